"""Local ordinary kriging: an estimate with its standard uncertainty from the nearest samples only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Model = Literal["exponential", "spherical"]

NEIGHBORS: Final = 64
"""Samples that take part in an estimate; farther ones are screened off by the nearer."""
TILE: Final = 4
"""Side in targets of a tile that shares its neighbors."""
BATCH: Final = 64
"""Systems solved at a time: their arrays stay in the processor's cache."""
PAIRS: Final = 200_000
"""Pairs of samples of the experimental variogram."""
NEAR: Final = 100
"""Nearest samples that are paired with one, where a distance is stated and there are too many pairs."""
LAGS: Final = 15
MIN_PLACES: Final = 10
"""Samples from which a variogram can be fitted."""
NUGGET_FLOOR: Final = 1e-9
"""Of the sill: keeps samples at one place from making the system singular."""


@dataclass(frozen=True, slots=True)
class Variogram:
    """``gamma(h) = nugget + (sill - nugget) f(h / range)``, 0 at h = 0.

    Parameters
    ----------
    model : {"exponential", "spherical"}
        ``f = 1 - exp(-3 h / range)``, or ``1.5 h/range - 0.5 (h/range)^3`` up to the range.
    sill : float
        Variance at large distance, nugget included.
    range_m : float
        Distance where the variance is (practically) the sill, m.
    nugget : float
        Variance of a repeated sample at one place.
    """

    model: Model
    sill: float
    range_m: float
    nugget: float = 0.0

    def __post_init__(self) -> None:
        if not (self.sill > 0.0 and self.range_m > 0.0 and 0.0 <= self.nugget <= self.sill):
            raise ValueError(f"sill and range must be > 0 and the nugget within 0 to the sill, not {self}")

    def at(self, distance: Floats) -> Floats:
        """Return gamma at *distance* (m); the nugget counts at any distance above 0."""
        if self.model == "exponential":
            shape = -np.expm1(distance * (-3.0 / self.range_m))
        else:
            inner = np.minimum(distance / self.range_m, 1.0)
            shape = inner * (1.5 - 0.5 * inner * inner)
        shape *= self.sill - self.nugget
        return np.where(distance > 0.0, self.nugget + shape, 0.0) if self.nugget else np.asarray(shape)


def fit_variogram(
    x: Floats,
    y: Floats,
    value: Floats,
    *,
    model: Model = "exponential",
    max_distance_m: float | None = None,
    rng: np.random.Generator,
) -> Variogram:
    """Fit a variogram to samples, weighted by the pairs of each distance (Cressie 1985).

    Parameters
    ----------
    x, y, value : (m,) float64
        Places (m) and values.
    model : {"exponential", "spherical"}
        Shape.
    max_distance_m : float, optional
        Default: half the diagonal of the places.
    rng : numpy.random.Generator
        Draws the pairs where there are too many.

    Raises
    ------
    ValueError
        If there are fewer than 10 samples or they do not vary.
    """
    from scipy.optimize import least_squares

    variance = float(np.var(value))
    if value.size < MIN_PLACES or not variance > 0.0:
        raise ValueError(f"a variogram needs at least {MIN_PLACES} samples that vary")
    reach = 0.5 * math.hypot(float(np.ptp(x)), float(np.ptp(y))) if max_distance_m is None else max_distance_m
    i, j = _pairs(x, y, None if max_distance_m is None else reach, rng)
    distance = np.hypot(x[i] - x[j], y[i] - y[j])
    near = (distance <= reach) & (distance > 0.0)
    half = 0.5 * (value[i] - value[j])[near] ** 2
    bins = np.minimum((distance[near] / reach * LAGS).astype(np.int64), LAGS - 1)
    count = np.bincount(bins, minlength=LAGS)
    used = count > 0
    lag = np.bincount(bins, distance[near], LAGS)[used] / count[used]
    gamma = np.bincount(bins, half, LAGS)[used] / count[used]
    weight = np.sqrt(count[used])

    def misfit(parameters: Floats) -> Floats:
        found = _of(model, parameters)
        return np.asarray(weight * (gamma / found.at(lag) - 1.0))

    start = np.array([math.log(variance), math.log(reach / 2.0), 0.1])
    bounds = ([math.log(variance * 1e-3), math.log(reach * 1e-3), 0.0],
              [math.log(variance * 1e3), math.log(reach * 10.0), 1.0])  # fmt: skip
    return _of(model, least_squares(misfit, start, bounds=bounds, loss="soft_l1").x)


def krige(
    x: Floats,
    y: Floats,
    value: Floats,
    target_x: Floats,
    target_y: Floats,
    *,
    variogram: Variogram,
    neighbors: int = NEIGHBORS,
    noise_variance: Floats | float = 0.0,
    tile: int = TILE,
    inside: NDArray[np.bool_] | None = None,
) -> tuple[Floats, Floats]:
    """Estimate values at targets from their nearest samples by ordinary kriging.

    Parameters
    ----------
    x, y, value : (m,) float64
        Samples.
    target_x, target_y : (ny, nx) or (k,) float64
        Where to. Of a two-dimensional grid, tiles share their neighbors (those nearest to the middle of the
        tile) and so one factorization; rows of targets are estimated one by one.
    variogram : Variogram
        Of the field.
    neighbors : int
        Samples for each estimate, at least 1.
    noise_variance : float or (m,) float64
        Variance of each sample beyond the nugget.
    tile : int
        Side of a tile in targets.
    inside : bool ndarray like the targets, optional
        Which targets are asked for; the others are NaN. Default: all.

    Returns
    -------
    mean, variance : ndarray like the targets
        Estimate and kriging variance (of the value there, nugget included).

    References
    ----------
    Cressie 1993, Statistics for spatial data, 3.2, doi 10.1002/9781119115151.

    Examples
    --------
    At a sample the estimate is the sample.

    >>> places = np.array([0.0, 10.0, 20.0])
    >>> mean, variance = krige(places, places * 0, np.array([1.0, 3.0, 2.0]), places[:1], places[:1] * 0,
    ...                        variogram=Variogram("exponential", 3.0, 15.0))
    >>> round(float(mean[0]), 6), round(float(variance[0]), 6)
    (1.0, 0.0)
    """
    from scipy.spatial import cKDTree

    tree: Any = cKDTree(np.column_stack([x, y]))
    count = min(neighbors, x.size)
    noise = np.broadcast_to(np.asarray(noise_variance, dtype=np.float64), x.shape)
    mean, variance = np.full(target_x.shape, np.nan), np.full(target_x.shape, np.nan)
    tiles = _tiles(target_x.shape, tile)
    if inside is not None:
        tiles = tiles[inside.ravel()[tiles].any(axis=1)]
    flat_x, flat_y = target_x.ravel(), target_y.ravel()
    for first in range(0, len(tiles), BATCH):
        members = tiles[first : first + BATCH]
        there = np.column_stack([flat_x[members].mean(axis=1), flat_y[members].mean(axis=1)])
        near = tree.query(there, k=count)[1].reshape(len(members), count)
        estimate, spread = _solve(
            x[near], y[near], value[near], noise[near], flat_x[members], flat_y[members], variogram
        )
        mean.ravel()[members] = estimate
        variance.ravel()[members] = spread
    if inside is not None:
        mean[~inside] = variance[~inside] = np.nan
    return mean, variance


def _tiles(shape: tuple[int, ...], tile: int) -> NDArray[np.int64]:
    """Return (tiles, targets) flat indices; at ragged edges a target is named twice."""
    if len(shape) == 1:
        return np.arange(shape[0])[:, None]
    rows, columns = (np.minimum(np.arange(0, -(-n // tile) * tile), n - 1).reshape(-1, tile) for n in shape)
    index = rows[:, None, :, None] * shape[1] + columns[None, :, None, :]
    return np.asarray(index.reshape(-1, tile * tile))


def _solve(
    x: Floats, y: Floats, value: Floats, noise: Floats, to_x: Floats, to_y: Floats, variogram: Variogram
) -> tuple[Floats, Floats]:
    """Solve a batch of systems (b, k) for (b, t) targets each."""
    batch, k = x.shape
    system = np.ones((batch, k + 1, k + 1))
    system[:, k, k] = 0.0
    system[:, :k, :k] = variogram.at(_distance(x[:, :, None] - x[:, None, :], y[:, :, None] - y[:, None, :]))
    diagonal = np.arange(k)
    system[:, diagonal, diagonal] = -(noise + NUGGET_FLOOR * variogram.sill)
    right = np.ones((batch, k + 1, to_x.shape[1]))
    right[:, :k] = variogram.at(_distance(x[:, :, None] - to_x[:, None], y[:, :, None] - to_y[:, None]))
    weight = np.linalg.solve(system, right)
    mean = (value[:, None, :] @ weight[:, :k])[:, 0]
    variance = np.einsum("bkt,bkt->bt", weight, right)
    return mean, np.maximum(variance, 0.0)


def _distance(east: Floats, north: Floats) -> Floats:
    east *= east
    north *= north
    east += north
    return np.asarray(np.sqrt(east, out=east))


def _pairs(
    x: Floats, y: Floats, reach: float | None, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs, or a draw of them; within *reach* of neighbors, as few of a large area are near."""
    n = x.size
    if n * (n - 1) // 2 <= PAIRS:
        first, second = np.triu_indices(n, 1)
        return first.astype(np.int64), second.astype(np.int64)
    if reach is None:
        i = rng.integers(0, n, PAIRS)
        return i, (i + rng.integers(1, n, PAIRS)) % n
    from scipy.spatial import cKDTree

    tree: Any = cKDTree(np.column_stack([x, y]))
    i = np.sort(rng.choice(n, min(n, PAIRS // NEAR), replace=False))
    j = tree.query(np.column_stack([x[i], y[i]]), k=min(NEAR, n), distance_upper_bound=reach)[1]
    i = np.broadcast_to(i[:, None], j.shape)
    paired = (j < n) & (j != i)
    return i[paired], j[paired].astype(np.int64)


def _of(model: Model, parameters: Floats) -> Variogram:
    sill = math.exp(parameters[0])
    return Variogram(model, sill, math.exp(parameters[1]), float(np.clip(parameters[2], 0.0, 1.0)) * sill)
