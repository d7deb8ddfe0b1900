"""How often CE90 holds the true place of a hotspot, over many simulated flights.

Run: ``python benchmarks/position_coverage.py --flights 3000 --processes 2``

The truth is made backwards and by other code than the package's: a target lies on the true ground, a true
attitude (SciPy) and a true mount give the ray that saw it, and the aircraft is put where that ray must have
started. What the package is told then differs from the truth by errors drawn from the stated budget:
navigation white or as Gauss-Markov processes, the others once a flight. Two passes of each flight see the
target; each alone, and both together, are placed by ``geotag.locate`` and ``hotspots.merge``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from pyproj import Transformer  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from dronesense.geotag import uncertainty  # noqa: E402
from dronesense.geotag.locate import footprints, locate_pixels  # noqa: E402
from dronesense.hotspots.merge import merge  # noqa: E402
from dronesense.hotspots.sightings import Sighting, from_pixels  # noqa: E402
from dronesense.model import (  # noqa: E402
    Clock,
    Detection,
    Hotspot,
    Instrument,
    LineCamera,
    Mount,
    Terrain,
    Trajectory,
)

Floats = NDArray[np.float64]
Noise = Literal["white", "correlated"]

CRS: Final = "EPSG:32633"
PLACE: Final = (15.6, 47.1)  # convergence 0.4 deg
START_NS: Final = 1_700_000_000_000_000_000
SAMPLES: Final = 200  # pixels across
LINES: Final = 120  # of a pass; the target lies in the middle
MARGIN_S: Final = 5.0  # of navigation before and after the lines
CELL_M: Final = 25.0  # of the terrain, a plane: bilinear is exact
HALF_CELLS: Final = 24

# Usual sizes, m and deg: horizontal, vertical; roll, pitch, heading.
RECEIVERS: Final = {
    "standalone": (2.0, 4.0),
    "differential": (0.7, 1.2),
    "float": (0.3, 0.5),
    "fixed": (0.02, 0.04),
}
ATTITUDES: Final = {"consumer": (0.5, 0.5, 2.0), "tactical": (0.025, 0.025, 0.08), "gimbal": (1.0, 1.0, 2.0)}
NAV_HZ: Final = {"white": (5.0, 10.0, 20.0), "correlated": (10.0, 50.0, 200.0)}  # fast logs are filtered
MOUNTS: Final = {"nadir": Rotation.identity(), "nadir-180": Rotation.from_euler("z", 180, degrees=True)}
MERGED: Final = ("opposite", "crossing")

TO_LONLAT: Final = Transformer.from_crs(CRS, "EPSG:4979", always_xy=True)
TO_GRID: Final = Transformer.from_crs("EPSG:4979", CRS, always_xy=True)
TO_ECEF: Final = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
FROM_ECEF: Final = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)


@dataclass(frozen=True)
class Setup:
    """One flight: how it was flown, and the standard uncertainties that are stated."""

    receiver: str
    attitude: str
    noise: Noise
    tau_s: float
    gap_s: float
    pair: str
    height_m: float
    slope: tuple[float, float]
    speed: float
    fov_deg: float
    half_size: float  # of the target, pixels
    nav_hz: float
    boresight_deg: float
    lever_m: float
    clock_s: float
    terrain_m: float

    @property
    def std_ned(self) -> Floats:
        horizontal, vertical = RECEIVERS[self.receiver]
        return np.array([horizontal, horizontal, vertical])

    @property
    def std_rpy(self) -> Floats:
        return np.array(ATTITUDES[self.attitude])


@dataclass(frozen=True)
class Outcome:
    """What one placing said and how far off it was."""

    setup: Setup
    passes: str
    error_m: float
    ce90_m: float

    @property
    def held(self) -> bool:
        return self.error_m <= self.ce90_m


@dataclass(frozen=True)
class Pass:
    """One strip: true geometry at the line times, and what was seen."""

    name: str
    trajectory: Trajectory
    line_time: NDArray[np.int64]
    pixels: NDArray[np.int64]


def draw(rng: np.random.Generator, noise: Noise) -> Setup:
    """Draw a flight and its budget; sizes of errors evenly in their logarithm."""

    def log(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    steep, aspect = rng.uniform(0.0, 0.45), rng.uniform(0.0, 2.0 * np.pi)
    return Setup(
        receiver=str(rng.choice(list(RECEIVERS))),
        attitude=str(rng.choice(list(ATTITUDES))),
        noise=noise,
        tau_s=log(10.0, 600.0) if noise == "correlated" else 0.0,
        gap_s=log(20.0, 300.0),
        pair=str(rng.choice(MERGED)),
        height_m=log(20.0, 150.0),
        slope=(steep * np.cos(aspect), steep * np.sin(aspect)),
        speed=rng.uniform(2.0, 15.0),
        fov_deg=rng.uniform(15.0, 50.0),
        half_size=float(rng.choice([0.5, 1.0, 1.5, 2.5])),
        nav_hz=float(rng.choice(NAV_HZ[noise])),
        boresight_deg=log(0.02, 0.5),
        lever_m=log(0.005, 0.05),
        clock_s=log(1e-4, 0.02),
        terrain_m=log(0.05, 3.0),
    )


def process(rng: np.random.Generator, time: Floats, std: Floats, tau_s: float) -> Floats:
    """Return errors (n, m) of deviations *std*: white, or Gauss-Markov of correlation time *tau_s*."""
    out = rng.normal(size=(len(time), len(std)))
    if tau_s > 0.0:
        kept = np.exp(-np.diff(time) / tau_s)
        for i, rho in enumerate(kept, start=1):
            out[i] = rho * out[i - 1] + np.sqrt(1.0 - rho**2) * out[i]
    return out * std


def fly(rng: np.random.Generator, setup: Setup) -> list[Outcome]:
    """Simulate one flight of two passes; return the placings by each and by both."""
    mount_name = str(rng.choice(list(MOUNTS)))
    stated_boresight = rng.normal(0.0, 1.0, 3)
    lever = rng.normal(0.0, 0.2, 3)
    mount = Mount(
        rotation=mount_name,
        boresight_deg=tuple(stated_boresight),
        lever_arm_m=tuple(lever),
        sigma_boresight_deg=setup.boresight_deg,
        sigma_lever_arm_m=setup.lever_m,
    )
    true_boresight = stated_boresight + rng.normal(0.0, setup.boresight_deg, 3)
    to_body = MOUNTS[mount_name] * Rotation.from_euler("ZYX", true_boresight[::-1], degrees=True)
    true_lever = lever + rng.normal(0.0, setup.lever_m, 3)
    late_s, terrain_error = rng.normal(0.0, setup.clock_s), rng.normal(0.0, setup.terrain_m)

    tangent = np.tan(np.radians(0.5 * setup.fov_deg)) * (2.0 * (np.arange(SAMPLES) + 0.5) / SAMPLES - 1.0)
    look = np.column_stack([np.degrees(np.arctan(tangent)), np.zeros(SAMPLES)])
    instrument = Instrument("camera", "line_scan", LineCamera(SAMPLES, look), mount, "")

    target = np.array([*TO_GRID.transform(*PLACE, 0.0)[:2], 300.0])
    terrain = plane(target, setup, terrain_error)
    course = rng.uniform(0.0, 360.0)
    courses = (course, course + (180.0 if setup.pair == "opposite" else rng.uniform(50.0, 130.0)))
    tracks = [Track.draw(rng, setup, each) for each in courses]
    period = 2.0 * np.tan(np.radians(0.5 * setup.fov_deg)) * setup.height_m / SAMPLES / setup.speed
    starts = (0.0, LINES * period + setup.gap_s)
    seen = [(LINES // 2 + rng.uniform(-0.5, 0.5), rng.uniform(0.06, 0.94) * SAMPLES) for _ in starts]

    times = [
        np.arange(first - MARGIN_S, first + LINES * period + MARGIN_S, 1.0 / setup.nav_hz) for first in starts
    ]
    errors = process(rng, np.concatenate(times), np.r_[setup.std_ned, setup.std_rpy], setup.tau_s)
    error_of = np.split(errors, [len(times[0])])
    sightings: list[Sighting] = []
    for i, (first, track, (row, column)) in enumerate(zip(starts, tracks, seen, strict=True)):
        moment = first + row * period + late_s  # when the camera truly saw it
        across = np.interp(column, np.arange(SAMPLES), tangent)
        ray = (track.attitude(moment) * to_body).apply([0.0, across, 1.0])
        center = -setup.height_m / ray[2] * ray
        middle = center - track.attitude(moment).apply(true_lever)
        trajectory = log_of(track, times[i], moment, middle, target, error_of[i], setup)
        line_time = START_NS + np.rint((first + np.arange(LINES) * period) * 1e9).astype(np.int64)
        found = Pass(f"strip{i}", trajectory, line_time, patch(row, column, setup.half_size))
        sightings.append(sight(found, instrument, terrain, setup))
    outcomes = [_outcome(setup, "one", place([each], setup), target) for each in sightings]
    together = place(sightings, setup)
    return [*outcomes, _outcome(setup, setup.pair, together, target)]


@dataclass(frozen=True)
class Track:
    """A straight true path, crabbing, with swinging angles."""

    velocity_ned: Floats
    mean_rpy: Floats
    swing_rpy: Floats
    rate: Floats
    phase: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, setup: Setup, course_deg: float) -> Track:
        course = np.radians(course_deg)
        heading = course_deg + rng.uniform(-25.0, 25.0)  # strong wind across
        return cls(
            setup.speed * np.array([np.cos(course), np.sin(course), 0.0]),
            np.array([rng.uniform(-6.0, 6.0), rng.uniform(-12.0, 6.0), heading]),
            rng.uniform(0.0, [2.0, 1.5, 1.0]),
            2.0 * np.pi / rng.uniform(2.0, 8.0, 3),
            rng.uniform(0.0, 2.0 * np.pi, 3),
        )

    def attitude(self, time: float | Floats) -> Rotation:
        return self.with_error(time, np.zeros(3))

    def with_error(self, time: float | Floats, error_deg: Floats) -> Rotation:
        swing = self.swing_rpy * np.sin(np.multiply.outer(time, self.rate) + self.phase)
        rpy = self.mean_rpy + swing + error_deg
        return Rotation.from_euler("ZYX", rpy[..., ::-1], degrees=True)


def plane(target: Floats, setup: Setup, error_m: float) -> Terrain:
    """Return the stated ground: the plane through *target*, higher by *error_m*."""
    off = CELL_M * (np.arange(2 * HALF_CELLS) - HALF_CELLS + 0.5)
    height = target[2] + error_m + setup.slope[0] * off[None, :] + setup.slope[1] * -off[:, None]
    west, north = target[0] - HALF_CELLS * CELL_M, target[1] + HALF_CELLS * CELL_M
    return Terrain(height, (CELL_M, 0.0, west, 0.0, -CELL_M, north), CRS, setup.terrain_m, "plane")


def log_of(
    track: Track, time: Floats, moment: float, middle: Floats, target: Floats, error: Floats, setup: Setup
) -> Trajectory:
    """Return the navigation as logged; *middle* (north, east, down of the target) is the true place then."""
    lon, lat, height = TO_LONLAT.transform(*target)
    ned = middle + track.velocity_ned * (time - moment)[:, None] + error[:, :3]
    n = len(time)
    a, b = np.radians([lon, lat])
    axes = np.array(
        [
            [-np.sin(b) * np.cos(a), -np.sin(b) * np.sin(a), np.cos(b)],
            [-np.sin(a), np.cos(a), 0.0],
            [-np.cos(b) * np.cos(a), -np.cos(b) * np.sin(a), -np.sin(b)],
        ]
    )
    x = np.array(TO_ECEF.transform(lon, lat, height)) + ned @ axes
    where = FROM_ECEF.transform(*x.T)
    return Trajectory(
        time=START_NS + np.rint(time * 1e9).astype(np.int64),
        lon=where[0],
        lat=where[1],
        height_m=where[2],
        height_source_m=where[2],
        height_ref="ellipsoid",
        velocity_ned=np.tile(track.velocity_ned, (n, 1)),
        attitude=track.with_error(time, error[:, 3:]).as_quat()[:, [3, 0, 1, 2]],
        std_ned_m=np.tile(setup.std_ned, (n, 1)),
        std_rpy_deg=np.tile(setup.std_rpy, (n, 1)),
        fix=np.full(n, 2, dtype=np.uint8),
        segment=np.zeros(n, dtype=np.int32),
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="simulated",
    )


def patch(row: float, column: float, half_size: float) -> NDArray[np.int64]:
    """Return the pixels whose middles lie in a square around (row, column)."""
    r, c = (
        np.arange(np.ceil(middle - half_size), np.floor(middle + half_size) + 1) for middle in (row, column)
    )
    cells = np.stack(np.meshgrid(r, c, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int64)
    return cells[(cells[:, 1] >= 0) & (cells[:, 1] < SAMPLES)]


def sight(found: Pass, instrument: Instrument, terrain: Terrain, setup: Setup) -> Sighting:
    """Place what a pass saw."""
    known = {
        "line_time": found.line_time,
        "trajectory": found.trajectory,
        "instrument": instrument,
        "terrain": terrain,
        "crs": CRS,
    }
    k = len(found.pixels)
    detection = Detection(
        target="target",
        kind="spectral",
        method="planted",
        origin=found.name,
        source=found.name,
        index=found.pixels,
        weight=np.ones(k),
        peak=0,
        score=10.0,
        p_value=1e-6,
        q_value=1e-6,
        value=1.0,
        sigma=0.1,
        unit="1",
    )
    points = locate_pixels(found.pixels, clock_sigma_s=setup.clock_s, **known)
    (sighting,), _ = from_pixels(detection, points, footprints(found.pixels, **known))
    return sighting


def place(sightings: Sequence[Sighting], setup: Setup) -> tuple[Hotspot, ...]:
    """Return the hotspots that the sightings make."""
    del setup
    return merge(sightings, flight="f", radius_m="auto", ce90=uncertainty.ce90, ellipse=uncertainty.ellipse)


def _outcome(setup: Setup, passes: str, hotspots: Sequence[Hotspot], target: Floats) -> Outcome:
    if len(hotspots) != 1:
        passes = "kept apart"
    first = hotspots[0]
    x, y = TO_GRID.transform(first.lon, first.lat, 0.0)[:2]
    return Outcome(setup, passes, float(np.hypot(x - target[0], y - target[1])), first.ce90_m)


def flight(seed: int) -> list[Outcome]:
    """Return what flight number *seed* gives; even ones have white errors, odd ones correlated."""
    rng = np.random.default_rng([20261123, seed])
    return fly(rng, draw(rng, "correlated" if seed % 2 else "white"))


def coverage(outcomes: Iterable[Outcome]) -> float:
    """Return the share that CE90 held."""
    return float(np.mean([each.held for each in outcomes]))


def _conditions() -> dict[str, Callable[[Outcome], bool]]:
    chosen: dict[str, Callable[[Outcome], bool]] = {"all": lambda _: True}
    for low, high in ((20, 40), (40, 80), (80, 150)):
        chosen[f"height {low} to {high} m"] = lambda o, a=low, b=high: a <= o.setup.height_m < b
    for low, high in ((0.0, 0.15), (0.15, 0.3), (0.3, 0.45)):
        chosen[f"slope {low:g} to {high:g}"] = lambda o, a=low, b=high: a <= np.hypot(*o.setup.slope) < b
    for low, high in ((2, 6), (6, 10), (10, 15)):
        chosen[f"speed {low} to {high} m/s"] = lambda o, a=low, b=high: a <= o.setup.speed < b
    for low, high in ((15, 32), (32, 50)):
        chosen[f"swath {low} to {high} deg"] = lambda o, a=low, b=high: a <= o.setup.fov_deg < b
    for size in (0.5, 1.0, 1.5, 2.5):
        chosen[f"target {2 * size:g} pixels wide"] = lambda o, a=size: o.setup.half_size == a
    for name in RECEIVERS:
        chosen[f"receiver {name}"] = lambda o, a=name: o.setup.receiver == a
    for name in ATTITUDES:
        chosen[f"attitude {name}"] = lambda o, a=name: o.setup.attitude == a
    for low, high in ((10, 40), (40, 150), (150, 600)):
        chosen[f"tau {low} to {high} s"] = lambda o, a=low, b=high: a <= o.setup.tau_s < b
    for rate in (5.0, 10.0, 20.0, 50.0, 200.0):
        chosen[f"navigation at {rate:g} Hz"] = lambda o, a=rate: o.setup.nav_hz == a
    return chosen


def main() -> None:
    """Print coverage by condition."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flights", type=int, default=3000)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.processes) as pool:
        outcomes = [each for found in pool.map(flight, range(asked.flights), chunksize=25) for each in found]
    columns = [(noise, passes) for noise in ("white", "correlated") for passes in ("one", *MERGED)]
    write = sys.stdout.write
    write("| CE90 held, % (n) | " + " | ".join(f"{noise}, {passes}" for noise, passes in columns) + " |\n")
    write("|---" * (1 + len(columns)) + "|\n")
    for label, chosen in _conditions().items():
        cells = []
        for noise, passes in columns:
            some = [o for o in outcomes if o.setup.noise == noise and o.passes == passes and chosen(o)]
            cells.append(f"{100.0 * coverage(some):.1f} ({len(some)})" if some else "")
        write(f"| {label} | " + " | ".join(cells) + " |\n")
    apart = [o for o in outcomes if o.passes == "kept apart"]
    write(f"\nkept apart: {len(apart)} of {asked.flights} pairs\n")


if __name__ == "__main__":
    main()
