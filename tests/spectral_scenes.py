"""Made-up scenes for the truth of stated false-alarm rates; no formula is shared with ``dronesense.detect``.

Fields of materials with edges (Voronoi cells, blurred), heavy-tailed texture, shade, clutter of odd things,
noise that is correlated over the bands and grows with the light. Everything is drawn from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal, spatial

from dronesense.model import Bands, DetectRule, Signature, SpectralCube


@dataclass
class Rows:
    """A cube in memory, a line at a time."""

    values: np.ndarray
    valid: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return self.values[start:stop], self.valid[start:stop]


@dataclass
class Scene:
    """Values (rows, bands, cols), the spectrum sought, and the pixels more than two from all planted."""

    values: np.ndarray
    nm: np.ndarray
    target: np.ndarray
    away: np.ndarray
    quantity: str = "reflectance"

    @property
    def cube(self) -> SpectralCube:
        return cube_of(self.values, self.nm, self.quantity)

    def rule(self, method: str = "ace", **options: object) -> DetectRule:
        return rule_for(self.target, self.quantity, method=method, **options)


def cube_of(values: np.ndarray, nm: np.ndarray, quantity: str = "reflectance") -> SpectralCube:
    bands = values.shape[1]
    source = Rows(values.astype(np.float32), np.isfinite(values).all(axis=1))
    listed = Bands(nm, np.full(bands, 8.0), np.ones(bands, dtype=bool))
    return SpectralCube("line", source, listed, quantity, None, "camera", "raw/line.hdr")  # type: ignore[arg-type]


def rule_for(
    target: np.ndarray,
    quantity: str = "reflectance",
    *,
    name: str = "sought",
    sigma: float = 0.0,
    method: str = "ace",
    **options: object,
) -> DetectRule:
    k = len(target)
    own = Signature(name, np.arange(float(k)), target, sigma * np.abs(target), quantity, by_band=True)  # type: ignore[arg-type]
    return DetectRule(name, signature=own, method=method, **options)  # type: ignore[arg-type]


def spectrum(nm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A material: a slope, one or two steps, some broad features; 0.02 to 0.9."""
    place = (nm - nm[0]) / (nm[-1] - nm[0])
    value = rng.uniform(0.05, 0.3) + rng.uniform(-0.1, 0.35) * place
    for _ in range(rng.integers(1, 3)):
        value = value + rng.uniform(-0.1, 0.35) / (
            1 + np.exp(-(place - rng.uniform(0.1, 0.9)) / rng.uniform(0.015, 0.1))
        )
    for _ in range(rng.integers(1, 5)):
        value = value + rng.uniform(-0.06, 0.15) * np.exp(
            -(((place - rng.random()) / rng.uniform(0.02, 0.12)) ** 2)
        )
    return np.asarray(np.clip(value, 0.02, 0.9))


def field(shape: tuple[int, int], width: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth Gaussian field of unit variance."""
    one = ndimage.gaussian_filter(rng.normal(size=shape), width, mode="wrap")
    return np.asarray((one - one.mean()) / one.std())


def heavy(shape: tuple[int, int], width: float, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """A field like Student's t: Gaussian over the root of a slower gamma field."""
    slow = sum(field(shape, 2.0 * width, rng) ** 2 for _ in range(int(degrees))) / int(degrees)
    return np.asarray(field(shape, width, rng) / np.sqrt(np.maximum(slow, 0.05)))


def ground(shape: tuple[int, int], nm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (rows, cols, bands) of fields of materials, without noise."""
    rows, cols = shape
    count = int(rng.integers(3, 8))
    kinds = np.stack([spectrum(nm, rng) for _ in range(count)])
    cells = int(rng.integers(8, 60))
    seeds = rng.random((cells, 2)) * shape
    kind_of = rng.integers(0, count, cells)
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), axis=-1)
    grid = grid + np.stack([2.0 * field(shape, 4.0, rng) for _ in range(2)], axis=-1)
    label = kind_of[spatial.cKDTree(seeds).query(grid.reshape(-1, 2))[1]].reshape(shape)
    share = np.stack([(label == i).astype(float) for i in range(count)], axis=-1)
    share += rng.uniform(0.0, 0.3) * rng.dirichlet(np.full(count, 0.4), size=shape)
    share = ndimage.gaussian_filter(share, (rng.uniform(0.4, 1.2),) * 2 + (0,))
    share /= share.sum(axis=-1, keepdims=True)
    values = share @ kinds
    degrees = float(rng.integers(4, 12))
    modes = np.stack([spectrum(nm, rng) for _ in range(4)])
    modes -= modes.mean(axis=1, keepdims=True)
    amount = np.stack([heavy(shape, rng.uniform(0.5, 2.5), degrees, rng) for _ in range(4)], axis=-1)
    values += values * (amount @ modes) * rng.uniform(0.05, 0.25)
    light = 1.0 + rng.uniform(0.03, 0.15) * heavy(shape, rng.uniform(0.6, 6.0), degrees, rng)
    return np.asarray(values * np.clip(light, 0.15, 2.5)[..., None])


def clutter(values: np.ndarray, nm: np.ndarray, rng: np.random.Generator) -> None:
    """Strew small things of other materials: up to 0.4 % of the pixels, whole and in part."""
    rows, cols, _ = values.shape
    kinds = np.stack([spectrum(nm, rng) for _ in range(5)])
    for _ in range(int(rng.uniform(0.0, 0.004) * rows * cols / 2.0)):
        row, col = rng.integers(0, rows - 2), rng.integers(0, cols - 2)
        high, wide = rng.integers(1, 3, size=2)
        fill = rng.uniform(0.1, 1.0)
        spot = values[row : row + high, col : col + wide]
        spot[:] = (1 - fill) * spot + fill * rng.uniform(0.7, 1.3) * kinds[rng.integers(0, len(kinds))]


def noise(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shot and read noise of (rows, cols, bands), neighboring bands correlated."""
    snr = rng.uniform(60.0, 300.0)
    tie = rng.uniform(0.0, 0.6)
    white = rng.normal(size=values.shape)
    tied = signal.lfilter([np.sqrt(1 - tie**2)], [1.0, -tie], white, axis=-1)
    return np.asarray(tied * 0.3 / snr * np.sqrt((np.maximum(values, 0.0) + 0.03) / 0.33))


def scene(seed: int, *, planted: float | None = None, fills: tuple[float, float] = (0.2, 1.0)) -> Scene:
    """Return the scene of *seed*; *planted*: share of the pixels that hold target, drawn if not given."""
    rng = np.random.default_rng((7_005, seed))
    shape = tuple(rng.choice([100, 140, 200, 260], size=2).tolist())
    bands = int(rng.choice([40, 80, 120]))
    nm = np.linspace(400.0, 1000.0, bands)
    values = ground(shape, nm, rng)
    clutter(values, nm, rng)
    target = spectrum(nm, rng)
    away = np.ones(shape, dtype=bool)
    share = float(rng.choice([0.0, 0.002, 0.01])) if planted is None else planted
    for row, col in spots(shape, int(share * shape[0] * shape[1]), rng):
        fill = rng.uniform(*fills)
        values[row, col] = (1 - fill) * values[row, col] + fill * rng.uniform(0.9, 1.1) * target
        away[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3] = False
    values = values + noise(values, rng)
    return Scene(np.ascontiguousarray(values.transpose(0, 2, 1)), nm, target, away)


def spots(shape: tuple[int, int], count: int, rng: np.random.Generator) -> np.ndarray:
    """Return *count* places (n, 2) in groups of up to nine pixels."""
    found: list[tuple[int, int]] = []
    while len(found) < count:
        side = int(rng.integers(1, 4))
        row, col = rng.integers(0, np.array(shape) - side)
        found += [(int(row) + i, int(col) + j) for i in range(side) for j in range(side)]
    return np.array(sorted(set(found[:count])), dtype=np.int64).reshape(-1, 2)


def confuser(nm: np.ndarray, target: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """Another material at this spectral angle: different by three features of 20 to 150 nm."""
    width = rng.uniform(20.0, 150.0)
    change = sum(
        rng.normal() * np.exp(-0.5 * ((nm - rng.uniform(420.0, 980.0)) / width) ** 2) for _ in range(3)
    )
    change = change - target * (change @ target) / (target @ target)
    return np.asarray(
        target + np.tan(np.radians(degrees)) * np.linalg.norm(target) * change / np.linalg.norm(change)
    )
