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
_SETTLED_M: Final = 1e-7
"""Change of distance at which a ray has met the ground: 0.1 micrometer."""

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


def _tile_max(steps: Floats) -> Floats:
    """Return maxima of square tiles of :data:`TILE_PX`; a missing step counts as infinitely steep."""
    rows, cols = steps.shape
    edges = np.arange(0, rows, TILE_PX), np.arange(0, cols, TILE_PX)
    largest = np.maximum.reduceat(np.maximum.reduceat(steps, edges[0], axis=0), edges[1], axis=1)
    return np.where(np.isnan(largest), np.inf, largest)


def descend(surface: Surface, rays: Rays) -> Floats:
    """Return where rays meet the ground, m from their origins; NaN where only the exact search can tell.

    Parameters
    ----------
    surface : Surface
        A grid.
    rays : Rays
        In its pixel coordinates.
    """
    s = np.full(len(rays), np.nan)
    begin, end = rays.reach(surface.high), rays.reach(surface.low)
    sure = np.flatnonzero(_meets_once(surface, rays, begin, end))
    if not sure.size:
        return s
    some = rays if sure.size == len(rays) else rays.take(sure)
    start = begin if sure.size == len(rays) else begin[sure]
    found, settled = _newton(surface, some, 0.5 * (start + (end if sure.size == len(rays) else end[sure])))
    s[sure] = np.where(settled & (found >= start), found, np.nan)
    return s


def _meets_once(surface: Surface, rays: Rays, begin: Floats, end: Floats) -> NDArray[np.bool_]:
    """Tell which rays stay within the grid on their way from *begin* to *end* and fall faster than it."""
    rows, cols = surface.height.shape
    sure = np.isfinite(end)
    begin, end = np.where(sure, begin, 0.0), np.where(sure, end, 0.0)
    box = []
    for axis, last in ((U, cols - 1), (V, rows - 1)):
        one, other = rays.at(begin, axis), rays.at(end, axis)
        low, high = np.minimum(one, other), np.maximum(one, other)
        sure &= (low >= 0.0) & (high <= last)
        box.append((low, high))
    if not sure.any():
        return sure
    bounds = [
        limit
        for low, high in box
        for limit in (low.min(where=sure, initial=np.inf), high.max(where=sure, initial=0.0))
    ]
    across, down = surface.steepness.within(*bounds)
    if not np.isfinite(across + down):
        return np.zeros_like(sure)
    climb = across * np.abs(rays.terms[U, 1]) + down * np.abs(rays.terms[V, 1])
    return np.asarray(sure & (-rays.terms[Z, 1] > _SAFETY * climb))


def _newton(surface: Surface, rays: Rays, s: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Follow rays to where they meet the bilinear surface; also tell which have settled."""
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
        down += twist * u
        step = z / (across * du + down * dv - dz)
        s = s + step
        settled: NDArray[np.bool_] = np.abs(step) < _SETTLED_M
        if settled.all():
            break
    return s, settled
