"""The true ground: a hilly surface, what covers it, and the objects that lie on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.synthetic import spectra
from dronesense.synthetic.frames import Array
from dronesense.synthetic.plan import STRIPS, Plan, gsd_m

WAVES: Final = 6
"""Plane waves that make the hills."""
CELL_M: Final = 0.1
"""Cell of the grid that the cover of the ground is drawn on, m."""
MARGIN_M: Final = 6.0
SEPARATION_M: Final = 6.0
"""Least distance between objects, m."""
CANDIDATES: Final = 256
"""Places that are tried for an object."""
SUBPIXEL_AREAS: Final = (0.3, 0.45, 0.6, 0.75, 0.9)
"""Area of the sub-pixel targets in nominal pixel areas."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Hills: a sum of plane waves, so that height is defined everywhere without a grid."""

    amplitude_m: Array
    wave_rad_m: Array
    phase_rad: Array
    mean_m: float

    def up(self, east_m: Array, north_m: Array) -> Array:
        """Return the height of the ground in the ENU frame, m."""
        out = np.full(np.broadcast(east_m, north_m).shape, -self.mean_m)
        for amplitude, (k_east, k_north), phase in zip(
            self.amplitude_m, self.wave_rad_m, self.phase_rad, strict=True
        ):
            out += amplitude * np.sin(k_east * east_m + k_north * north_m + phase)
        return out


@dataclass(frozen=True, slots=True)
class Thing:
    """A flat square on the ground.

    Parameters
    ----------
    id : str
        Name in the truth.
    kind : {"target", "confuser"}
        Whether it is what is looked for.
    material : str
        Name of its spectrum.
    east_m, north_m : float
        Middle.
    size_m : float
        Side of its horizontal projection.
    turn_rad : float
        Azimuth of one side.
    """

    id: str
    kind: Literal["target", "confuser"]
    material: str
    east_m: float
    north_m: float
    size_m: float
    turn_rad: float

    def covers(self, east_m: Array, north_m: Array) -> NDArray[np.bool_]:
        """Tell which points lie on the square."""
        de, dn = east_m - self.east_m, north_m - self.north_m
        sin_t, cos_t = np.sin(self.turn_rad), np.cos(self.turn_rad)
        half = self.size_m / 2.0
        return np.asarray(
            (np.abs(de * sin_t + dn * cos_t) <= half) & (np.abs(de * cos_t - dn * sin_t) <= half)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """Coefficients of material spectra and of variability modes, on a fine grid of block coordinates."""

    coefficient: NDArray[np.float32]
    shape: tuple[int, int]

    def at(self, along_m: Array, across_m: Array) -> NDArray[np.float32]:
        """Return (..., k) coefficients of the cells that points fall into."""
        rows, cols = self.shape
        row = np.clip((along_m / CELL_M + rows / 2.0).astype(np.int64), 0, rows - 1)
        col = np.clip((across_m / CELL_M + cols / 2.0).astype(np.int64), 0, cols - 1)
        return np.asarray(self.coefficient[row * cols + col])


def draw_surface(plan: Plan, rng: np.random.Generator) -> Surface:
    """Draw hills of 5 to 15 m, peak to valley within the mapped block, mean zero there."""
    length = rng.uniform(90.0, 160.0, WAVES)
    azimuth = rng.uniform(0.0, 2.0 * np.pi, WAVES)
    wave = (2.0 * np.pi / length)[:, None] * np.column_stack([np.sin(azimuth), np.cos(azimuth)])
    phase = rng.uniform(0.0, 2.0 * np.pi, WAVES)
    weight = rng.uniform(0.5, 1.0, WAVES)
    rough = Surface(weight, wave, phase, 0.0)
    reach = np.linspace(-1.0, 1.0, 61)
    along, across = np.meshgrid(reach * plan.strip_length_m / 2.0, reach * plan.spacing_m * STRIPS / 2.0)
    height = rough.up(*plan.block_to_enu(along, across))
    scale = rng.uniform(5.0, 15.0) / float(np.ptp(height))
    return Surface(weight * scale, wave, phase, float(height.mean() * scale))


def _texture(shape: tuple[int, int], correlation_m: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a Gaussian random field of zero mean and unit variance."""
    from scipy.fft import irfft2, rfft2

    noise = rfft2(rng.standard_normal(shape, dtype=np.float32))
    along = np.fft.fftfreq(shape[0], CELL_M)[:, None]
    across = np.fft.rfftfreq(shape[1], CELL_M)[None, :]
    keep = np.exp(-((np.pi * correlation_m) ** 2) * (along**2 + across**2)).astype(np.float32)
    smooth = np.asarray(irfft2(noise * keep, s=shape), dtype=np.float32)
    return np.asarray((smooth - smooth.mean()) / smooth.std())


def draw_cover(plan: Plan, rng: np.random.Generator) -> Cover:
    """Draw a patchwork of soil, dry grass and vegetation with a road and two roofs, no spot like another."""
    rows = int((plan.strip_length_m + 4.0 * MARGIN_M) / CELL_M)
    cols = int((plan.spacing_m * STRIPS + 6.0 * MARGIN_M) / CELL_M)
    shape = (rows, cols)
    patches = [2.2 * _texture(shape, 7.0, rng) + 0.8 * _texture(shape, 0.5, rng) for _ in range(3)]
    share = np.exp(np.stack([*patches]) + np.log([1.0, 1.2, 0.7])[:, None, None]).astype(np.float32)
    share /= share.sum(axis=0)
    cover = np.zeros((len(spectra.MATERIALS), *shape), np.float32)
    cover[:3] = share
    along = (np.arange(rows)[:, None] + 0.5 - rows / 2.0) * CELL_M
    across = (np.arange(cols)[None, :] + 0.5 - cols / 2.0) * CELL_M

    middle = (
        rng.uniform(-20.0, 20.0)
        + rng.uniform(-0.3, 0.3) * along
        + 3.0 * np.sin(along / 15.0 + rng.uniform(0.0, 6.28))
    )
    road = np.abs(across - middle) < rng.uniform(1.6, 2.6)
    cover[:, road] = 0.0
    cover[3, road] = 1.0
    for material, size in ((4, (9.0, 7.0)), (5, (7.0, 6.0))):
        a, c = rng.uniform(-0.4, 0.4) * plan.strip_length_m, rng.uniform(-0.4, 0.4) * plan.spacing_m * STRIPS
        roof = (np.abs(along - a) < size[0] / 2.0) & (np.abs(across - c) < size[1] / 2.0)
        cover[:, roof] = 0.0
        cover[material, roof] = 1.0

    bright = 1.0 + 0.07 * _texture(shape, 2.5, rng) + 0.04 * rng.standard_normal(shape, dtype=np.float32)
    albedo = np.tensordot(
        spectra.materials(spectra.centers_nm()).mean(axis=1).astype(np.float32), cover, axes=1
    )
    sky = 0.06 * albedo * _texture(shape, 1.5, rng)
    edge = 0.25 * cover[2] * _texture(shape, 2.0, rng)
    iron = 0.02 * cover[0] * _texture(shape, 3.0, rng)
    slow = _texture(shape, 1.0, rng)
    smooth = [
        0.015
        * albedo
        * (0.5 * np.roll(slow, 137 * k, axis=k % 2) + rng.standard_normal(shape, dtype=np.float32))
        for k in range(1, spectra.SMOOTH_MODES + 1)
    ]
    stack = np.concatenate([cover, np.stack([sky, edge, iron, *smooth])]) * np.maximum(bright, 0.5)
    return Cover(np.ascontiguousarray(stack.reshape(len(stack), -1).T, dtype=np.float32), shape)


def draw_things(seen: Array, seen_twice: list[Array], rng: np.random.Generator) -> tuple[Thing, ...]:
    """Place covers of about 6 and 3 pixels (one in an overlap), five sub-pixel ones, and four confusers.

    Parameters
    ----------
    seen : (k, 2) float64
        East and north of places that a strip sees.
    seen_twice : list of (k, 2) float64
        For each pair of neighboring strips: east and north of places that both see.
    """
    pixel = gsd_m()
    wanted: list[tuple[str, Literal["target", "confuser"], str, float]] = [
        ("target-1", "target", "blue-cover", rng.uniform(5.5, 7.0) * pixel),
        ("target-2", "target", "blue-cover", rng.uniform(3.05, 3.5) * pixel),
        ("target-3", "target", "blue-cover", rng.uniform(3.05, 4.0) * pixel),
    ]
    for number, area in enumerate(SUBPIXEL_AREAS):
        wanted.append((f"target-{number + 4}", "target", "blue-cover", float(np.sqrt(area)) * pixel))
    sizes = (rng.uniform(6.0, 9.0), rng.uniform(4.0, 6.0), rng.uniform(0.75, 0.95), rng.uniform(0.55, 0.75))
    for number, size in enumerate(sizes):
        material = spectra.CONFUSERS[number % len(spectra.CONFUSERS)]
        wanted.append((f"confuser-{number + 1}", "confuser", material, size * pixel))

    things: list[Thing] = []
    overlap = {"target-2": seen_twice[-1], "target-5": seen_twice[0]}
    for name, kind, material, size in wanted:
        places = rng.permutation(overlap[name] if len(overlap.get(name, ())) else seen)[:CANDIDATES]
        places = places + pixel * rng.uniform(-2.0, 2.0, places.shape)  # not in the middle of a pixel
        east, north = _free_place(places, things)
        things.append(Thing(name, kind, material, east, north, size, float(rng.uniform(0.0, np.pi / 2.0))))
    return tuple(things)


def _free_place(places: Array, things: list[Thing]) -> tuple[float, float]:
    """Return the first of *places* that is far enough from all *things*, or the farthest."""
    taken = np.array([[t.east_m, t.north_m] for t in things]).reshape(-1, 2)
    apart = np.hypot(places[:, None, 0] - taken[:, 0], places[:, None, 1] - taken[:, 1])
    gap = apart.min(axis=1, initial=np.inf)
    free = np.flatnonzero(gap >= SEPARATION_M)
    best = int(free[0]) if len(free) else int(np.argmax(gap))
    return float(places[best, 0]), float(places[best, 1])
