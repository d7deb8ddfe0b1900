"""The push-broom camera: rays from the true pose to the true ground, light, counts, and its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.synthetic import spectra
from dronesense.synthetic.frames import Array, Site, rotation
from dronesense.synthetic.ground import Cover, Surface, Thing
from dronesense.synthetic.motion import Motion
from dronesense.synthetic.plan import FOV_DEG, LINES, SAMPLES, Plan, line_period_s

EXPOSURE: Final = 0.6
"""Share of the line period that the shutter is open."""
TRACE_ROUNDS: Final = 9
"""Fixed-point rounds of the ray: each shrinks the error by slope times tangent of the view angle (< 0.2)."""
BACKGROUND_POINTS: Final = 9
OBJECT_POINTS: Final = 512
"""Points within a pixel's footprint: where only background is, and where an object may be."""
KRONECKER: Final = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)
"""Powers of the inverse of the root of x**4 = x + 1: a sequence that fills the unit cube evenly."""

FULL_SCALE_DN: Final = 16383
WHITE_DN: Final = 28000.0
"""Counts that a white surface would give at the best-lit band, were the converter not limited to 14 bits."""
ELECTRONS_PER_DN: Final = 5.0
READ_NOISE_ELECTRONS: Final = 40.0
DARK_DN: Final = 180.0
REFERENCE_LINES: Final = 64
"""Lines of the dark and the panel capture."""
STAMP_JITTER_S: Final = 2e-5
EDGE_PIXELS: Final = 8
"""How far from the edge of a strip a place must be to count as seen by it, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """What the camera really is (the instrument file holds what calibration found).

    Parameters
    ----------
    boresight_deg : (3,) float64
        Roll, pitch, yaw of the camera against the body.
    lever_arm_m : (3,) float64
        Projection center, body forward-right-down.
    dark_dn, response : (bands, samples) float64
        Offset, and counts for a white surface.
    """

    boresight_deg: Array
    lever_arm_m: Array
    dark_dn: Array
    response: Array


@dataclass(slots=True)
class Sighting:
    """An object in one strip: its largest share of a pixel, where, and the ground sampling distance there."""

    strip: str
    fill: float
    row: int
    col: int
    gsd_m: float
    pixels: list[tuple[int, int, float]] = field(default_factory=list)


def build(boresight_deg: Array, lever_arm_m: Array, rng: np.random.Generator) -> Camera:
    """Draw the detector: dark pattern, vignetting and pixel-to-pixel response."""
    x = (np.arange(SAMPLES) + 0.5) / SAMPLES * 2.0 - 1.0
    shape = (spectra.BANDS, SAMPLES)
    dark = DARK_DN + 6.0 * rng.standard_normal((1, SAMPLES)) + 2.0 * rng.standard_normal(shape)
    evenness = (1.0 - 0.12 * x**2) * (
        1.0 + 0.015 * rng.standard_normal((1, SAMPLES)) + 0.005 * rng.standard_normal(shape)
    )
    return Camera(
        boresight_deg,
        lever_arm_m,
        dark,
        WHITE_DN * spectra.illumination(spectra.centers_nm())[:, None] * evenness,
    )


def expose(camera: Camera, reflectance: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return (lines, bands, samples) counts of reflectances, with shot and read noise."""
    electrons = reflectance * (camera.response * ELECTRONS_PER_DN).astype(np.float32)
    spread = np.sqrt(np.maximum(electrons, 0.0) + np.float32(READ_NOISE_ELECTRONS**2))
    spread *= rng.standard_normal(electrons.shape, dtype=np.float32)
    electrons += spread
    electrons /= np.float32(ELECTRONS_PER_DN)
    electrons += camera.dark_dn.astype(np.float32)
    return np.clip(np.rint(electrons), 0, FULL_SCALE_DN).astype(np.uint16)


def tangents() -> Array:
    """Return (samples,) tangent of the across-track angle of each pixel's middle, positive to starboard."""
    edges = np.linspace(-1.0, 1.0, SAMPLES + 1) * np.tan(np.radians(FOV_DEG / 2.0))
    return np.asarray(0.5 * (edges[:-1] + edges[1:]))


def trace(
    camera: Camera,
    motion: Motion,
    site: Site,
    surface: Surface,
    time_s: Array,
    across: Array,
    along: Array | float,
) -> tuple[Array, Array]:
    """Return where rays meet the ground, and from where they came.

    Parameters
    ----------
    time_s : (lines,) float64
        When, s since boot.
    across, along : (samples,) float64 or float
        Tangents of the view angles, to starboard and forward.

    Returns
    -------
    hit : (lines, samples, 3) float64
        ENU, m.
    center : (lines, 3) float64
        Projection centers, ENU, m.
    """
    position, angles = motion.pose(time_s)
    body_to_enu = site.ned_to_enu(position) @ rotation(angles[:, 0], angles[:, 1], angles[:, 2])
    center = position + body_to_enu @ camera.lever_arm_m
    camera_to_enu = body_to_enu @ rotation(
        *np.radians(camera.boresight_deg)
    )  # nadir mount: camera axes are the body's
    forward, right, axis = np.moveaxis(camera_to_enu[:, None, :, :], -1, 0)
    ray = (
        axis
        + np.asarray(across)[None, :, None] * right
        + np.broadcast_to(along, np.shape(across))[None, :, None] * forward
    )
    ray = ray / -ray[..., 2:]  # one meter down per unit
    start = center[:, None, :]
    drop = np.broadcast_to(center[:, None, 2], ray.shape[:2])
    for _ in range(TRACE_ROUNDS):
        ground = surface.up(start[..., 0] + drop * ray[..., 0], start[..., 1] + drop * ray[..., 1])
        drop = start[..., 2] - ground
    return start + drop[..., None] * ray, center


def footprint_points(count: int) -> Array:
    """Return (count, 3) evenly spread points in the cube [-1, 1]: across, along, time within the exposure."""
    steps = np.arange(1, count + 1, dtype=np.float64)[:, None] * np.array(KRONECKER)
    return np.asarray(2.0 * np.mod(0.5 + steps, 1.0) - 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """Middle and half-axes (across, along, with time) of every footprint: (lines, samples, 2)."""

    middle: Array
    across: Array
    along: Array
    drift: Array

    def points(self, offset: Array) -> Array:
        """Return east and north of one point of the cube [-1, 1] in every footprint."""
        moved = self.middle + offset[0] * self.across + offset[1] * self.along + offset[2] * self.drift
        return np.asarray(moved)


def look(camera: Camera, motion: Motion, site: Site, surface: Surface, time_s: Array) -> Footprints:
    """Return the footprints of the lines taken at *time_s* (mid-exposure)."""
    tan = tangents()
    half = 0.5 * float(tan[1] - tan[0])
    late = time_s + 0.5 * EXPOSURE * line_period_s()
    middle = trace(camera, motion, site, surface, time_s, tan, 0.0)[0][..., :2]
    across = trace(camera, motion, site, surface, time_s, tan + half, 0.0)[0][..., :2] - middle
    along = trace(camera, motion, site, surface, time_s, tan, half)[0][..., :2] - middle
    drift = trace(camera, motion, site, surface, late, tan, 0.0)[0][..., :2] - middle
    return Footprints(middle, across, along, drift)


def well_inside(seen: Footprints) -> Array:
    """Return (k, 2) east and north of a lattice of places that a strip sees, away from its edges."""
    edge = EDGE_PIXELS
    return np.asarray(seen.middle[4 * edge : -4 * edge : edge, edge:-edge:edge].reshape(-1, 2))


def seen_by_both(first: Footprints, second: Footprints, plan: Plan) -> Array:
    """Return (k, 2) east and north of places well inside *first* that lie well inside *second* too."""
    edge, inner = EDGE_PIXELS, well_inside(first)
    along, across = plan.enu_to_block(inner[:, 0], inner[:, 1])
    sides = []
    for col in (edge, -1 - edge):
        other_along, other_across = plan.enu_to_block(*second.middle[:, col].T)
        order = np.argsort(other_along)
        sides.append(np.interp(along, other_along[order], other_across[order], left=np.nan, right=np.nan))
    low, high = np.minimum(*sides), np.maximum(*sides)
    return np.asarray(inner[(across > low) & (across < high)])


def background(footprints: Footprints, plan: Plan, cover: Cover) -> NDArray[np.float32]:
    """Return (lines, samples, k) mean coefficients of what the footprints cover."""
    points = footprint_points(BACKGROUND_POINTS)
    total: NDArray[np.float32] | None = None
    for offset in points:
        ground = footprints.points(offset)
        part = cover.at(*plan.enu_to_block(ground[..., 0], ground[..., 1]))
        total = part if total is None else total + part
    assert total is not None
    return total / np.float32(len(points))


def fills(footprints: Footprints, thing: Thing) -> tuple[NDArray[np.int64], Array]:
    """Return (k, 2) pixels that see *thing* and the share of each one's footprint that it fills."""
    reach = np.abs(footprints.across).max() + np.abs(footprints.along).max() + np.abs(footprints.drift).max()
    away = np.hypot(footprints.middle[..., 0] - thing.east_m, footprints.middle[..., 1] - thing.north_m)
    near = np.argwhere(away < thing.size_m * np.sqrt(0.5) + 2.0 * reach)
    row, col = near[:, 0], near[:, 1]
    local = Footprints(
        *(
            a[row, col][:, None, :]
            for a in (footprints.middle, footprints.across, footprints.along, footprints.drift)
        )
    )
    x, y, z = footprint_points(OBJECT_POINTS).T[..., None]
    ground = local.middle + x * local.across + y * local.along + z * local.drift
    share = thing.covers(ground[..., 0], ground[..., 1]).mean(axis=1)
    return near[share > 0.0], share[share > 0.0]


def line_times(motion: Motion, plan: Plan, number: int) -> Array:
    """Return (lines,) mid-exposure times of strip *number*, s since boot, centered on the block."""
    begin = motion.strip_start_s[number]
    heading = plan.strip_heading_rad + (np.pi if number % 2 else 0.0)
    time = begin + np.arange(0.0, 2.0 * plan.strip_length_m / plan.speed_m_s, 0.02)
    position, _ = motion.pose(time)
    along = position[:, 0] * np.sin(heading) + position[:, 1] * np.cos(heading)
    middle = float(np.interp(0.0, along[: int(np.argmax(along)) + 1], time[: int(np.argmax(along)) + 1]))
    return np.asarray(middle + (np.arange(LINES) - (LINES - 1) / 2.0) * line_period_s(), dtype=np.float64)


def paint(
    coefficient: NDArray[np.float32],
    seen: list[tuple[NDArray[np.int64], Array, NDArray[np.float32]]],
) -> NDArray[np.float32]:
    """Return (lines, bands, samples) reflectance: background, with objects mixed in by share."""
    nm = spectra.centers_nm()
    basis = np.concatenate([spectra.materials(nm), spectra.modes(nm)]).astype(np.float32)
    out = coefficient @ basis
    for pixel, share, spectrum in seen:
        row, col = pixel[:, 0], pixel[:, 1]
        part = share[:, None].astype(np.float32)
        out[row, col] = (1.0 - part) * out[row, col] + part * spectrum
    return np.ascontiguousarray(np.maximum(out, 0.004).transpose(0, 2, 1))


def write_envi(path: Path, counts: NDArray[np.uint16], description: str) -> None:
    """Write *counts* (lines, bands, samples) as BIL at *path* with ``.hdr`` appended for the header."""
    lines, bands, samples = counts.shape
    header = [
        "ENVI",
        f"description = {{{description}}}",
        f"samples = {samples}",
        f"lines = {lines}",
        f"bands = {bands}",
        "header offset = 0",
        "file type = ENVI Standard",
        "data type = 12",
        "interleave = bil",
        "byte order = 0",
        "sensor type = example line scanner",
        "wavelength units = Nanometers",
        "wavelength = {" + ", ".join(f"{v:.2f}" for v in spectra.centers_nm()) + "}",
        "fwhm = {" + ", ".join([f"{spectra.FWHM_NM:.2f}"] * bands) + "}",
    ]
    path.write_bytes(counts.astype("<u2").tobytes())
    path.with_name(path.name + ".hdr").write_text("\n".join(header) + "\n", encoding="utf-8", newline="\n")
