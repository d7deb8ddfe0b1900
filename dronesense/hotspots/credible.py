"""Where draws of a place lie: the smallest regions that hold a stated share of them, as polygons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Floats = NDArray[np.float64]

CELLS: Final = 160
"""Cells along the longer side of what the draws cover."""
MARGIN: Final = 0.5
"""Around the outer draws, in standard deviations."""
BANDWIDTH_SHARE: Final = 0.5
"""Of Scott's rule: wide enough to be smooth, narrow enough to widen a region by some per cent only."""
OUTER_SHARE: Final = 5e-4
"""Share of the draws at each end of an axis that do not set the extent of the grid."""


def highest_density_regions(x: Floats, y: Floats, shares: Sequence[float]) -> tuple[BaseGeometry, ...]:
    """Return for each of *shares* the smallest region that holds it, as polygons along cells of a fine grid.

    The grid lies along the principal axes of the draws.

    Parameters
    ----------
    x, y : (n,) float64
        Draws of equal weight, m.
    shares : sequence of float
        Between 0 and 1.

    Returns
    -------
    tuple of shapely geometry
        Polygon or MultiPolygon each.

    References
    ----------
    Hyndman 1996, Computing and graphing highest density regions, doi 10.2307/2684423; Scott
    1992, Multivariate density estimation.
    """
    if x.size < 2 or not all(0.0 < share < 1.0 for share in shares):
        raise ValueError("regions need two draws or more, and shares between 0 and 1")
    # Along the principal axes, scaled to the same spread: a kernel that is round there widens nothing.
    center = np.array([np.median(x), np.median(y)])
    draws = np.column_stack([x, y]) - center
    _, axes = np.linalg.eigh(np.cov(draws.T))
    turned = draws @ axes
    scale = np.array([_spread(turned[:, 0]), _spread(turned[:, 1])])
    u, v = (turned / scale).T
    (low_u, high_u), (low_v, high_v) = _ends(u), _ends(v)
    cell = max(high_u - low_u, high_v - low_v) / CELLS
    columns, rows = math.ceil((high_u - low_u) / cell), math.ceil((high_v - low_v) / cell)
    count, _, _ = np.histogram2d(
        u, v, bins=(columns, rows), range=((low_u, low_u + columns * cell), (low_v, low_v + rows * cell))
    )
    density = _smoothed(count, BANDWIDTH_SHARE * x.size ** (-1.0 / 6.0) / cell)
    order = np.argsort(density, axis=None)[::-1]
    held = np.cumsum(density.ravel()[order])
    held /= held[-1]
    regions = []
    for share in shares:
        inside = np.zeros(density.size, dtype=np.bool_)
        inside[order[: int(np.searchsorted(held, share)) + 1]] = True
        outline = _outline(inside.reshape(density.shape), low_u, low_v, cell)
        regions.append(shapely.transform(outline, lambda place: (place * scale) @ axes.T + center))
    return tuple(regions)


def _spread(values: Floats) -> float:
    """Return a standard deviation of the middle part: far modes do not blur near ones."""
    low, high = np.quantile(values, [0.25, 0.75])
    return max(min(float(values.std()), float(high - low) / 1.349), 1e-6)


def _ends(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [OUTER_SHARE, 1.0 - OUTER_SHARE])
    return float(low) - MARGIN, float(high) + MARGIN


def _smoothed(count: Floats, sigma_cells: float) -> Floats:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(count, sigma_cells, mode="constant"))


def _outline(inside: NDArray[np.bool_], west: float, south: float, cell: float) -> BaseGeometry:
    """Return the union of cells; runs of cells in a column are one box each."""
    padded = np.zeros((inside.shape[0], inside.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = inside
    step = np.diff(padded, axis=1)
    column, low = np.nonzero(step == 1)
    _, high = np.nonzero(step == -1)
    boxes = shapely.box(
        west + column * cell, south + low * cell, west + (column + 1) * cell, south + high * cell
    )
    merged: BaseGeometry = shapely.union_all(boxes, grid_size=cell * 1e-6)
    return merged
