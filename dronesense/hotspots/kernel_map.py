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

CHUNK: Final = 128
"""Samples taken at a time: those that follow each other lie together, and reach only a part of the map."""
PAIRS: Final = 1 << 19
"""Sample-cell pairs taken at a time with wind, where the kernel does not factor."""
REACH_SIGMAS: Final = 6.0
"""A kernel is cut here, where it has fallen to 1.5e-8 of its peak."""
STRETCHED_REACH_SIGMAS: Final = 4.5
"""A stretched kernel is cut here, where it has fallen to 4e-5 of its peak."""
STRETCHED_CELLS_PER_SIGMA: Final = 3.0
"""A stretched kernel is summed on cells of this part of its short axis; a bicubic spline through them is
within 1e-3 of its peak."""
MARGIN_SIGMAS: Final = 3.0
"""The map reaches this many kernel widths beyond the samples; support has vanished there."""
MIN_SUPPORT: Final = 0.5
"""Cells where the samples have less than this share are left empty: no color outside of what was sampled."""
MERGE_CELLS_PER_SIGMA: Final = 4.0
"""Samples of one cell are merged where cells are finer than this part of the kernel width."""
MERGED_SAMPLES: Final = 4096
"""From this number of samples on."""
LOOK_WIDTHS: Final = 0.5
"""Samples within this part of a kernel width along the track are one look: average them to one, as only looks
may count as support."""
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

    def coarser(self, every: int) -> Grid:
        """Return a grid of cells *every* times as large that covers this one, from the same corner."""
        shape = (max(4, -(-(self.shape[0] - 1) // every) + 1), max(4, -(-(self.shape[1] - 1) // every) + 1))
        return Grid(self.west, self.north, self.cell * every, shape, self.crs)

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
    grid: Grid,
    kernel: Kernel,
    wind: tuple[Floats, Floats] | None = None,
    inside: NDArray[np.bool_] | None = None,
    min_support: float = MIN_SUPPORT,
) -> GasMap:
    """Return the map of a series of readings; see :func:`extrapolate`.

    `GasMap.sigma` is the standard deviation of a further reading there (not of the mean), `GasMap.support`
    the confidence alpha; cells below *min_support*, and those that *inside* leaves out, are NaN. Samples of
    one cell are merged where cells are fine.
    """
    mean, variance, alpha, _ = extrapolate(x, y, value, grid=grid, kernel=kernel, wind=wind)
    empty = alpha < min_support
    if inside is not None:
        empty |= ~inside
    mean[empty] = variance[empty] = np.nan
    return GasMap(
        species,
        unit,
        mean.astype(np.float32),
        np.sqrt(variance).astype(np.float32),
        np.where(empty, np.nan, alpha).astype(np.float32),
        grid.transform,
        grid.crs,
        "kernel-dmvw" if kernel.stretch_s else "kernel-dmv",
        {
            "sigma_m": kernel.sigma_m,
            "stretch_s": kernel.stretch_s,
            "cell_m": grid.cell,
            "min_support": min_support,
            "samples": int(value.size),
        },
    )


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
    if grid.cell * MERGE_CELLS_PER_SIGMA <= kernel.sigma_m and x.size > MERGED_SAMPLES:
        x, y, weights = _merged(x, y, weights, grid)
    totals: list[Floats] = [np.zeros(grid.shape) for _ in weights]
    scale = 1.0 / (math.sqrt(2.0 * math.pi) * kernel.sigma_m)
    reach = REACH_SIGMAS * kernel.sigma_m
    for first in range(0, x.size, CHUNK):
        part = slice(first, first + CHUNK)
        columns = _within(x[part], grid.x, reach)
        rows = _within(-y[part], -grid.y, reach)
        # The kernel factors: a product of matrices in place of samples times cells exponentials.
        along = scale * np.exp(-0.5 * ((grid.x[columns] - x[part, None]) / kernel.sigma_m) ** 2)
        across = scale * np.exp(-0.5 * ((grid.y[rows] - y[part, None]) / kernel.sigma_m) ** 2)
        for total, weight in zip(totals, weights, strict=True):
            total[rows, columns] += across.T @ (weight[part, None] * along)
    return totals


def _within(places: Floats, centers: Floats, reach: float) -> slice:
    """Return which of the rising *centers* lie within *reach* of any of *places*."""
    first, last = np.searchsorted(centers, [places.min() - reach, places.max() + reach])
    return slice(int(first), int(last))


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


def axes_of(kernel: Kernel, wind: tuple[Floats, Floats]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return long and short axis (m) of each sample's kernel, and the cosine and sine of its direction."""
    speed = np.hypot(*wind)
    long = kernel.sigma_m + kernel.stretch_s * speed
    short = kernel.sigma_m**2 / long
    safe = np.where(speed > 0.0, speed, 1.0)
    return long, short, np.where(speed > 0.0, wind[0] / safe, 1.0), np.where(speed > 0.0, wind[1] / safe, 0.0)


def _summed_stretched(
    x: Floats,
    y: Floats,
    weights: Sequence[Floats],
    grid: Grid,
    kernel: Kernel,
    wind: tuple[Floats, Floats],
) -> list[Floats]:
    """As :func:`_summed` with a kernel for each sample, on cells no finer than the kernels need."""
    long, short, cos, sin = axes_of(kernel, wind)
    every = max(1, int(float(short.min()) / (STRETCHED_CELLS_PER_SIGMA * grid.cell)))
    coarse = grid if every == 1 else grid.coarser(every)
    totals: list[Floats] = [np.zeros(coarse.shape[0] * coarse.shape[1]) for _ in weights]
    for samples, cells in _reached(x, y, (long, short, cos, sin), coarse):
        east = coarse.x[cells % coarse.shape[1]] - x[samples]
        north = coarse.y[cells // coarse.shape[1]] - y[samples]
        ahead = (east * cos[samples] + north * sin[samples]) / long[samples]
        aside = (north * cos[samples] - east * sin[samples]) / short[samples]
        density = np.exp(-0.5 * (ahead**2 + aside**2)) / (2.0 * math.pi * kernel.sigma_m**2)
        for total, weight in zip(totals, weights, strict=True):
            total += np.bincount(cells, density * weight[samples], total.size)
    shaped = [total.reshape(coarse.shape) for total in totals]
    return shaped if every == 1 else [_finer(each, coarse, grid) for each in shaped]


def _finer(values: Floats, coarse: Grid, grid: Grid) -> Floats:
    """Return a smooth layer of sums on a finer grid, by a bicubic spline; sums are never negative."""
    from scipy.interpolate import RectBivariateSpline

    spline = RectBivariateSpline(-coarse.y, coarse.x, values)
    return np.asarray(np.maximum(spline(-grid.y, grid.x), 0.0 if values.min() >= 0.0 else -np.inf))


def _reached(
    x: Floats, y: Floats, axes: tuple[Floats, Floats, Floats, Floats], grid: Grid
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of samples and cells within the ellipse of :data:`STRETCHED_REACH_SIGMAS`, some at a time.

    A row of the map at *n* north of a sample cuts its ellipse in a stretch of columns, in closed form.
    """
    long, short, cos, sin = axes
    reach = STRETCHED_REACH_SIGMAS
    square = (cos / long) ** 2 + (sin / short) ** 2  # of the quadratic form: e² square + 2 e n cross + ...
    cross = cos * sin * (1.0 / long**2 - 1.0 / short**2)
    high = reach * np.sqrt((long * sin) ** 2 + (short * cos) ** 2)
    top = np.ceil((grid.north - y - high) / grid.cell).astype(np.int64).clip(0)
    bottom = np.floor((grid.north - y + high) / grid.cell).astype(np.int64).clip(None, grid.shape[0] - 1)
    rows = np.maximum(bottom - top + 1, 0)
    pairs = np.cumsum(math.pi * reach**2 * long * short / grid.cell**2 + 2.0 * rows)
    bounds = np.searchsorted(pairs, np.arange(PAIRS, float(pairs[-1]), PAIRS))
    for first, last in zip([0, *bounds], [*bounds, x.size], strict=True):
        of, number = _runs(rows[first:last])
        of += first
        row = top[of] + number
        north = grid.north - row * grid.cell - y[of]
        inner = np.maximum(reach**2 - (north / (long[of] * short[of])) ** 2 / square[of], 0.0)
        half = np.sqrt(inner / square[of])
        middle = x[of] - cross[of] / square[of] * north - grid.west
        left = np.ceil((middle - half) / grid.cell).astype(np.int64).clip(0)
        right = np.floor((middle + half) / grid.cell).astype(np.int64).clip(None, grid.shape[1] - 1)
        span, number = _runs(np.maximum(right - left + 1, 0))
        yield of[span], row[span] * grid.shape[1] + left[span] + number


def _runs(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each element of runs of *lengths* which run it is in, and its number there."""
    owner = np.repeat(np.arange(lengths.size), lengths)
    return owner, np.arange(owner.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
