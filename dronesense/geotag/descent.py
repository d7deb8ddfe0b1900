"""The quick way down: rays that fall faster than the ground does anywhere on their way meet it only once.

Along such a ray the height above the ground shrinks without a stop, so the one crossing that Newton's method
finds is the first. How steep the ground can be is bounded by the largest steps between neighboring pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.geotag.rays import Rays, U, V, Z

if TYPE_CHECKING:
    from dronesense.geotag.terrain import Surface

TILE_PX: Final = 32
"""Side of the tiles whose steepest steps are kept."""
_SAFETY: Final = 1.01
"""A ray must fall this much faster than the ground: its direction bends by 1e-4 in a kilometer."""
_ITERATIONS: Final = 8
"""Newton's method needs 3 or 4; what has not settled by then is left to the exact search."""
_SETTLED_M: Final = 1e-5
"""Last change of distance of a ray that has met the ground; within a cell the next is a millionth of it."""
_LONGER: Final = 1.001
"""The curved earth makes a way longer than along the tangent: 0.3 m in 2 km."""
_MARGIN_PX: Final = 1.0
"""... and moves it sideways, by less than a pixel."""

Floats = NDArray[np.float64]


class Steepness:
    """The largest change of height from one pixel to the next, by tiles; inf where heights are missing."""

    def __init__(self, height: Floats) -> None:
        self.across = _tile_max(np.abs(np.diff(height, axis=1)))
        self.down = _tile_max(np.abs(np.diff(height, axis=0)))

    def within(self, low_col: float, high_col: float, low_row: float, high_row: float) -> tuple[float, float]:
        """Return the largest steps across and down, m per pixel, in the tiles that a rectangle touches."""
        rows = slice(max(int(low_row) // TILE_PX, 0), int(high_row) // TILE_PX + 1)
        cols = slice(max(int(low_col) // TILE_PX, 0), int(high_col) // TILE_PX + 1)
        across, down = self.across[rows, cols], self.down[rows, cols]
        return float(across.max(initial=0.0)), float(down.max(initial=0.0))


class Relief:
    """The largest change of slope from one pixel to the next, by tiles; inf where heights are missing."""

    REACH_PX: Final = 8
    """What :meth:`bend` says holds as far as that from the place asked for."""

    def __init__(self, height: Floats) -> None:
        across = np.pad(np.diff(height, n=2, axis=1), [(0, 0), (1, 1)])  # the first and last are no edges
        down = np.pad(np.diff(height, n=2, axis=0), [(1, 1), (0, 0)])
        twist = np.pad(np.diff(np.diff(height, axis=0), axis=1), [(0, 1), (0, 1)])
        wide = np.pad(sum(_tile_max(np.abs(each), self.REACH_PX) for each in (across, down, twist)), 1)
        wide = np.maximum(np.maximum(wide[:-2], wide[1:-1]), wide[2:])
        self.tiles = np.maximum(np.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])

    def bend(self, col: Floats, row: Floats) -> Floats:
        """Return how much slopes may change around places, m per pixel and pixel, in any direction."""
        rows, cols = self.tiles.shape
        with np.errstate(invalid="ignore"):
            j, i = (np.nan_to_num(each).astype(np.int64) // self.REACH_PX for each in (col, row))
        return np.asarray(self.tiles[np.clip(i, 0, rows - 1), np.clip(j, 0, cols - 1)])


def _tile_max(steps: Floats, side: int = TILE_PX) -> Floats:
    """Return maxima of square tiles of *side* pixels; a missing step counts as infinitely steep."""
    rows, cols = steps.shape
    edges = np.arange(0, rows, side), np.arange(0, cols, side)
    largest = np.maximum.reduceat(np.maximum.reduceat(steps, edges[0], axis=0), edges[1], axis=1)
    return np.where(np.isnan(largest), np.inf, largest)


def descend(surface: Surface, rays: Rays) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return where rays meet the ground, and its slope there; NaN where only the exact search can tell.

    Parameters
    ----------
    surface : Surface
        A grid.
    rays : Rays
        In its pixel coordinates.

    Returns
    -------
    distance : (k,) float64
        m from the origins.
    slope : (k,) and (k,) float64
        Of the ground, m per pixel across and down; of no meaning where the distance is NaN.
    """
    k = len(rays)
    begin, end, sure = _way(surface, rays)
    index = np.flatnonzero(sure)
    if not index.size:
        return np.full(k, np.nan), (np.zeros(k), np.zeros(k))
    if index.size == k:
        found, settled, slope = _newton(surface, rays, 0.5 * (begin + end))
        found[~settled | (found < begin)] = np.nan
        return found, slope
    found, settled, slope = _newton(surface, rays.take(index), 0.5 * (begin[index] + end[index]))
    found[~settled | (found < begin[index])] = np.nan
    s, across, down = np.full(k, np.nan), np.zeros(k), np.zeros(k)
    s[index], across[index], down[index] = found, *slope
    return s, (across, down)


def _way(surface: Surface, rays: Rays) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return where rays come among the heights and leave them, and which stay in the grid and fall faster.

    The curved earth lets a ray fly higher than its tangent: it is above all ground where the tangent is.
    """
    rows, cols = surface.height.shape
    start, slope, _ = rays.terms[Z]
    sure = slope < 0.0
    per_m = np.divide(-1.0, slope, out=np.zeros_like(slope), where=sure)
    begin = np.maximum(start - surface.high, 0.0) * per_m
    end = np.maximum(start - surface.low, 0.0) * per_m
    far = end * _LONGER
    box = []
    for axis, last in ((U, cols - 1), (V, rows - 1)):
        a, b, _ = rays.terms[axis]
        one, other = begin * b, far * b
        one += a
        other += a
        low, high = np.minimum(one, other), np.maximum(one, other)
        sure &= low >= _MARGIN_PX
        sure &= high <= last - _MARGIN_PX
        box.append((low, high))
    if not sure.any():
        return begin, end, sure
    bounds = [
        limit
        for low, high in box
        for limit in (
            low.min(where=sure, initial=np.inf) - _MARGIN_PX,
            high.max(where=sure, initial=0.0) + _MARGIN_PX,
        )
    ]
    across, down = surface.steepness.within(*bounds)
    if not np.isfinite(across + down):
        return begin, end, np.zeros_like(sure)
    climb = np.abs(rays.terms[U, 1]) * (_SAFETY * across)
    climb += np.abs(rays.terms[V, 1]) * (_SAFETY * down)
    climb += slope
    sure &= climb < 0.0
    return begin, end, sure


def _newton(
    surface: Surface, rays: Rays, s: Floats
) -> tuple[Floats, NDArray[np.bool_], tuple[Floats, Floats]]:
    """Follow rays to where they meet the bilinear surface; also tell which have settled, and the slope."""
    rows, cols = surface.height.shape
    (_, du, _), (_, dv, _), (_, dz, _) = rays.terms
    for _ in range(_ITERATIONS):
        u, v, z = rays.at(s, U), rays.at(s, V), rays.at(s, Z)
        with np.errstate(invalid="ignore"):  # a ray thrown far off by a crest: it comes back or is given up
            j, i = u.astype(np.int32), v.astype(np.int32)
        np.clip(j, 0, cols - 2, out=j)
        np.clip(i, 0, rows - 2, out=i)
        h, across, down, twist = surface.cell(i, j)
        u -= j
        v -= i
        across += twist * v  # now the slope of the surface along the columns
        z -= h
        z -= across * u
        z -= down * v
        twist *= u
        down += twist
        rate = across * du
        rate += down * dv
        rate -= dz
        z /= rate
        s = s + z
        settled: NDArray[np.bool_] = np.abs(z, out=z) < _SETTLED_M
        if settled.all():
            break
    return s, settled, (across, down)
