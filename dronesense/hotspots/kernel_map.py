"""Gas distribution maps by kernel extrapolation with variance: Kernel DM+V and its wind-stretched form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import GasMap

Floats = NDArray[np.float64]

CHUNK: Final = 4096
"""Samples taken at a time: bounds the memory."""
PAIRS: Final = 1 << 22
"""Sample-cell pairs taken at a time with wind, where the kernel does not factor."""
MARGIN_SIGMAS: Final = 3.0
"""The map reaches this many kernel widths beyond the samples; support has vanished there."""
MIN_SUPPORT: Final = 0.5
"""Cells where the samples have less than this share are left empty: no color outside of what was sampled."""
MERGE_CELLS_PER_SIGMA: Final = 4.0
"""Samples of one cell are merged where cells are finer than this part of the kernel width."""
MAX_CELLS: Final = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Cell centers ``west + col * cell``, ``north - row * cell``, in meters of *crs*."""

    west: float
    north: float
    cell: float
    shape: tuple[int, int]
    crs: str

    @property
    def x(self) -> Floats:
        """Centers of the columns."""
        return np.asarray(self.west + self.cell * np.arange(self.shape[1]))

    @property
    def y(self) -> Floats:
        """Centers of the rows, from north to south."""
        return np.asarray(self.north - self.cell * np.arange(self.shape[0]))

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Of the corners, as in :class:`~dronesense.model.GasMap`."""
        half = 0.5 * self.cell
        return (self.cell, 0.0, self.west - half, 0.0, -self.cell, self.north + half)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A two-dimensional Gaussian, stretched along the wind.

    Parameters
    ----------
    sigma_m : float
        Width without wind.
    stretch_s : float
        Wind scale gamma: the long axis is ``sigma + gamma |u|``, the short one keeps the area. 0: no wind.
    """

    sigma_m: float
    stretch_s: float = 0.0

    def __post_init__(self) -> None:
        if not (self.sigma_m > 0.0 and self.stretch_s >= 0.0):
            raise ValueError(f"sigma_m must be > 0 and stretch_s >= 0, not {self.sigma_m}, {self.stretch_s}")


def grid_around(x: Floats, y: Floats, *, cell_m: float, margin_m: float, crs: str) -> Grid:
    """Return a grid that holds the places with a margin, its centers at multiples of *cell_m*.

    Raises
    ------
    ValueError
        If it would have more than :data:`MAX_CELLS` cells.
    """
    west, south = (math.floor((float(v.min()) - margin_m) / cell_m) * cell_m for v in (x, y))
    east, north = (math.ceil((float(v.max()) + margin_m) / cell_m) * cell_m for v in (x, y))
    shape = (round((north - south) / cell_m) + 1, round((east - west) / cell_m) + 1)
    if shape[0] * shape[1] > MAX_CELLS:
        raise ValueError(f"a map of {shape[0]} x {shape[1]} cells of {cell_m} m is too large")
    return Grid(west, north, cell_m, shape, crs)


def extrapolate(
    x: Floats,
    y: Floats,
    value: Floats,
    *,
    grid: Grid,
    kernel: Kernel,
    wind: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the map of mean, variance, confidence and weight: Kernel DM+V.

    With N the kernel, ``Omega = sum N``, ``R = sum N r``, the confidence
    ``alpha = 1 - exp(-Omega / N(0))`` with ``N(0) = 1 / (2 pi sigma^2)``::

        mean = alpha R / Omega + (1 - alpha) mean(r)
        variance = alpha V / Omega + (1 - alpha) v0,   V = sum N (r - mean(x))^2

    where ``mean(x)`` is the map at the cell of a sample and v0 the mean square of those residuals.

    Parameters
    ----------
    x, y, value : (m,) float64
        Places in meters and readings, finite.
    grid : Grid
        Where to.
    kernel : Kernel
        Width and stretch.
    wind : (east, north), optional
        (m,) m/s toward, at each sample; needed for a stretched kernel.

    Returns
    -------
    mean, variance, alpha, omega : (ny, nx) float64

    References
    ----------
    Lilienthal et al. 2009, A statistical approach to gas distribution modelling with mobile robots - the
    Kernel DM+V algorithm, IROS 2009; Reggente & Lilienthal 2009, Using local wind information for gas
    distribution mapping in outdoor environments with a mobile robot, IEEE Sensors 2009.
    """
    if kernel.stretch_s and wind is None:
        raise ValueError("a stretched kernel needs the wind at each sample")
    column = np.clip(np.rint((x - grid.west) / grid.cell).astype(np.int64), 0, grid.shape[1] - 1)
    row = np.clip(np.rint((grid.north - y) / grid.cell).astype(np.int64), 0, grid.shape[0] - 1)
    overall = float(value.mean())
    omega, weighted = _summed(x, y, [np.ones_like(value), value], grid, kernel, wind)
    peak = 1.0 / (2.0 * math.pi * kernel.sigma_m**2)
    alpha = -np.expm1(-omega / peak)
    safe = np.where(omega > 0.0, omega, 1.0)
    mean = alpha * weighted / safe + (1.0 - alpha) * overall
    residual = (value - mean[row, column]) ** 2
    (spread,) = _summed(x, y, [residual], grid, kernel, wind)
    variance = alpha * spread / safe + (1.0 - alpha) * float(residual.mean())
    return mean, variance, alpha, omega


def kernel_map(
    x: Floats,
    y: Floats,
    value: Floats,
    *,
    species: str,
    unit: str,
    crs: str,
    cell_m: float,
    kernel: Kernel,
    wind: tuple[Floats, Floats] | None = None,
    min_support: float = MIN_SUPPORT,
) -> GasMap:
    """Return the map of a series of readings; see :func:`extrapolate`.

    `GasMap.sigma` is the standard deviation of a further reading there (not of the mean), `GasMap.support`
    the confidence alpha; cells below *min_support* are NaN. Samples of one cell are merged where cells are
    fine.
    """
    long_axis = kernel.sigma_m
    if wind is not None:
        long_axis += kernel.stretch_s * float(np.max(np.hypot(*wind)))
    grid = grid_around(x, y, cell_m=cell_m, margin_m=MARGIN_SIGMAS * long_axis, crs=crs)
    mean, variance, alpha, _ = extrapolate(x, y, value, grid=grid, kernel=kernel, wind=wind)
    empty = alpha < min_support
    mean[empty] = variance[empty] = np.nan
    return GasMap(
        species,
        unit,
        mean.astype(np.float32),
        np.sqrt(variance).astype(np.float32),
        np.where(empty, np.nan, alpha).astype(np.float32),
        grid.transform,
        crs,
        "kernel-dmvw" if kernel.stretch_s else "kernel-dmv",
        {
            "sigma_m": kernel.sigma_m,
            "stretch_s": kernel.stretch_s,
            "cell_m": cell_m,
            "min_support": min_support,
            "samples": int(value.size),
        },
    )


def choose_sigma(
    x: Floats, y: Floats, value: Floats, leg: NDArray[np.int64], *, candidates_m: Sequence[float]
) -> tuple[float, dict[float, float]]:
    """Return the kernel width that predicts flight lines it has not seen best, and the score of each width.

    For each leg the samples of all others predict its readings; the score is the mean negative log
    predictive density (lower is better), per sample. All pairs are held at once: average long series first.

    Parameters
    ----------
    x, y, value : (m,) float64
        Places in meters and readings.
    leg : (m,) int64
        Which flight line a sample belongs to; at least two.
    candidates_m : sequence of float
        Widths to try.

    Raises
    ------
    ValueError
        If there are fewer than two legs.
    """
    legs, member = np.unique(leg, return_inverse=True)
    if legs.size < 2:
        raise ValueError("leaving a flight line out needs at least two of them")
    floor = max(float(np.var(value)) * 1e-6, 1e-300)
    own = np.zeros((x.size, legs.size))
    own[np.arange(x.size), member] = 1.0
    others = 1.0 - own  # (sample, leg that is left out)
    count = others.sum(axis=0)
    overall = (value @ others) / count
    squared = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2
    scores: dict[float, float] = {}
    for sigma in candidates_m:
        relative = np.exp(-0.5 * squared / sigma**2)
        omega = relative @ others
        alpha = -np.expm1(-omega)
        safe = np.where(omega > 0.0, omega, 1.0)
        mean = alpha * (relative @ (others * value[:, None])) / safe + (1.0 - alpha) * overall
        residual = others * (value[:, None] - mean) ** 2
        variance = alpha * (relative @ residual) / safe + (1.0 - alpha) * residual.sum(axis=0) / count
        rows = np.arange(x.size)
        spread = np.maximum(variance[rows, member], floor)
        error = value - mean[rows, member]
        density = 0.5 * np.log(2.0 * math.pi * spread) + 0.5 * error**2 / spread
        scores[float(sigma)] = float(density.mean())
    return min(scores, key=lambda sigma: scores[sigma]), scores


def _summed(
    x: Floats,
    y: Floats,
    weights: Sequence[Floats],
    grid: Grid,
    kernel: Kernel,
    wind: tuple[Floats, Floats] | None,
) -> list[Floats]:
    """Return ``sum_i N(cell - sample_i) w_i`` for each of *weights*."""
    if kernel.stretch_s and wind is not None:
        return _summed_stretched(x, y, weights, grid, kernel, wind)
    if grid.cell * MERGE_CELLS_PER_SIGMA <= kernel.sigma_m and x.size > CHUNK:
        x, y, weights = _merged(x, y, weights, grid)
    totals: list[Floats] = [np.zeros(grid.shape) for _ in weights]
    scale = 1.0 / (math.sqrt(2.0 * math.pi) * kernel.sigma_m)
    for first in range(0, x.size, CHUNK):
        part = slice(first, first + CHUNK)
        # The kernel factors: a product of matrices in place of samples times cells exponentials.
        along = scale * np.exp(-0.5 * ((grid.x[None, :] - x[part, None]) / kernel.sigma_m) ** 2)
        across = scale * np.exp(-0.5 * ((grid.y[None, :] - y[part, None]) / kernel.sigma_m) ** 2)
        for total, weight in zip(totals, weights, strict=True):
            total += across.T @ (weight[part, None] * along)
    return totals


def _merged(
    x: Floats, y: Floats, weights: Sequence[Floats], grid: Grid
) -> tuple[Floats, Floats, list[Floats]]:
    """Return one sample for each visited cell, at the mean place, with the summed weights."""
    cell = np.rint((grid.north - y) / grid.cell).astype(np.int64) * grid.shape[1]
    cell += np.rint((x - grid.west) / grid.cell).astype(np.int64)
    _, member, count = np.unique(cell, return_inverse=True, return_counts=True)
    n = count.size
    return (
        np.bincount(member, x, n) / count,
        np.bincount(member, y, n) / count,
        [np.asarray(np.bincount(member, weight, n), dtype=np.float64) for weight in weights],
    )


def _summed_stretched(
    x: Floats,
    y: Floats,
    weights: Sequence[Floats],
    grid: Grid,
    kernel: Kernel,
    wind: tuple[Floats, Floats],
) -> list[Floats]:
    """As :func:`_summed` with a kernel for each sample, all cells that it reaches."""
    speed = np.hypot(*wind)
    long = kernel.sigma_m + kernel.stretch_s * speed
    short = kernel.sigma_m / (1.0 + kernel.stretch_s * speed / kernel.sigma_m)
    safe = np.where(speed > 0.0, speed, 1.0)
    cos, sin = np.where(speed > 0.0, wind[0] / safe, 1.0), np.where(speed > 0.0, wind[1] / safe, 0.0)
    totals: list[Floats] = [np.zeros(grid.shape[0] * grid.shape[1]) for _ in weights]
    for samples, cells in _reached(x, y, long, grid):
        east = grid.x[cells % grid.shape[1]] - x[samples]
        north = grid.y[cells // grid.shape[1]] - y[samples]
        ahead = (east * cos[samples] + north * sin[samples]) / long[samples]
        aside = (north * cos[samples] - east * sin[samples]) / short[samples]
        density = np.exp(-0.5 * (ahead**2 + aside**2)) / (2.0 * math.pi * long[samples] * short[samples])
        for total, weight in zip(totals, weights, strict=True):
            total += np.bincount(cells, density * weight[samples], total.size)
    return [total.reshape(grid.shape) for total in totals]


REACH_SIGMAS: Final = 6.0
"""A stretched kernel is cut here, where it has fallen to 1.5e-8 of its peak."""


def _reached(
    x: Floats, y: Floats, long: Floats, grid: Grid
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64]]]:
    """Yield pairs of samples and cells within :data:`REACH_SIGMAS`, some samples at a time."""
    ny, nx = grid.shape
    reach = int(np.ceil(REACH_SIGMAS * float(long.max()) / grid.cell))
    wide, high = (np.arange(-min(reach, n), min(reach, n) + 1) for n in (nx, ny))
    column = np.rint((x - grid.west) / grid.cell).astype(np.int64)
    row = np.rint((grid.north - y) / grid.cell).astype(np.int64)
    each = max(1, PAIRS // (wide.size * high.size))
    for first in range(0, x.size, each):
        chosen = np.arange(first, min(first + each, x.size))
        columns = column[chosen, None, None] + wide[None, None, :]
        rows = row[chosen, None, None] + high[None, :, None]
        columns, rows = np.broadcast_arrays(columns, rows)
        inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
        samples = np.broadcast_to(chosen[:, None, None], inside.shape)[inside]
        yield samples, (rows * nx + columns)[inside]
