"""What was looked at and what was not: the outline of lookup tables and rasters, with their gaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from dronesense.geotag.glt import Lookup
from dronesense.model import GroundRaster

SIMPLIFY_CELLS: Final = 0.5
"""Tolerance of the outline: the stairs of a slanted edge go, nothing as wide as a cell does."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was looked at.

    Parameters
    ----------
    seen : shapely geometry
        Polygons in `crs`, holes kept; empty when nothing was seen.
    gaps : shapely geometry
        What lies within the outer rings, or within the area that was asked for, and was not seen.
    area_m2, gap_m2 : float
        On the grid.
    crs : str
        Of the geometries.
    """

    seen: BaseGeometry
    gaps: BaseGeometry
    area_m2: float
    gap_m2: float
    crs: str


def outline(
    grids: Iterable[Lookup | GroundRaster], *, area: BaseGeometry | None = None, min_gap_m2: float = 0.0
) -> Coverage:
    """Return the union of what strips saw, and the gaps in it.

    Parameters
    ----------
    grids : iterable of Lookup or GroundRaster
        In one CRS. A table's filled cells count as seen; of a raster the cells with a value.
    area : shapely geometry, optional
        In the same CRS: what should have been looked at. None: what the outer rings enclose.
    min_gap_m2 : float
        Gaps smaller than that are not listed; they do not count as seen either.

    Raises
    ------
    ValueError
        If there is no grid, or they are of several CRSs.
    """
    parts: list[BaseGeometry] = []
    systems: list[str] = []
    for grid in grids:
        systems.append(grid.crs)
        mask = grid.number != 0 if isinstance(grid, Lookup) else np.isfinite(grid.values)
        parts.append(_polygons(mask, grid.transform))
    if not systems or len(set(systems)) > 1:
        raise ValueError(f"coverage is of grids of one CRS, not of {sorted(set(systems))}")
    seen = shapely.union_all(parts)
    wanted = _without_holes(seen) if area is None else area
    missed = shapely.difference(wanted, seen)
    holes = [each for each in shapely.get_parts(missed) if each.geom_type == "Polygon"]
    gaps = shapely.MultiPolygon([each for each in holes if each.area >= min_gap_m2])
    return Coverage(seen, gaps, float(seen.area), float(gaps.area), systems[0])


def _polygons(mask: NDArray[np.bool_], transform: tuple[float, ...]) -> BaseGeometry:
    """Return the outline of cells, its stairs smoothed."""
    import rasterio.features

    affine = rasterio.Affine(*transform)
    shapes = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, transform=affine)
    area = shapely.union_all([shapely.geometry.shape(each) for each, _ in shapes])
    tolerance = SIMPLIFY_CELLS * float(np.sqrt(abs(affine.determinant)))
    smooth: BaseGeometry = shapely.simplify(area, tolerance, preserve_topology=True)
    return smooth


def _without_holes(area: BaseGeometry) -> BaseGeometry:
    """Return polygons filled."""
    rings = [shapely.polygons(shapely.get_exterior_ring(each)) for each in shapely.get_parts(area)]
    filled: BaseGeometry = shapely.union_all(rings)
    return filled
