"""The ellipsoid of WGS84: lengths and areas on it, earth-centered coordinates, directions of the axes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from pyproj import Geod
    from shapely.geometry.base import BaseGeometry

SEMI_MAJOR_M: Final = 6378137.0
"""Semi-major axis of WGS84, m (NGA.STND.0036)."""
FLATTENING: Final = 1.0 / 298.257223563
"""Flattening of WGS84 (NGA.STND.0036)."""

ECCENTRICITY_SQUARED: Final = FLATTENING * (2.0 - FLATTENING)
"""First eccentricity of WGS84, squared."""

Floats = NDArray[np.float64]


@lru_cache(maxsize=1)
def _geod() -> Geod:
    from pyproj import Geod

    return Geod(a=SEMI_MAJOR_M, f=FLATTENING)


def geodesic_distance(lon0: ArrayLike, lat0: ArrayLike, lon1: ArrayLike, lat1: ArrayLike) -> Floats:
    """Return lengths of the shortest lines on the ellipsoid, m (Karney 2013, doi 10.1007/s00190-012-0578-z).

    Examples
    --------
    One degree of latitude at the equator:

    >>> round(float(geodesic_distance(0.0, 0.0, 0.0, 1.0)), 1)
    110574.4
    """
    a, b, c, d = (np.array(v, dtype=np.float64) for v in np.broadcast_arrays(lon0, lat0, lon1, lat1))
    return np.asarray(_geod().inv(a, b, c, d)[2], dtype=np.float64)


def geodesic_area(geometry: BaseGeometry) -> float:
    """Return the area on the ellipsoid of a lon/lat polygon or collection of polygons, m².

    Holes are taken off whatever way their rings turn; points and lines have none
    (Karney 2013, doi 10.1007/s00190-012-0578-z).
    """
    from shapely.geometry import Polygon

    if isinstance(geometry, Polygon):
        rings = (geometry.exterior, *geometry.interiors)
        areas = [
            abs(_geod().polygon_area_perimeter(*ring.coords.xy)[0]) for ring in rings if not ring.is_empty
        ]
        return float(2.0 * areas[0] - sum(areas)) if areas else 0.0
    return sum(geodesic_area(part) for part in getattr(geometry, "geoms", ()))


def to_ecef(lon: ArrayLike, lat: ArrayLike, height_m: ArrayLike) -> Floats:
    """Return earth-centered coordinates (..., 3) of WGS84 degrees and ellipsoidal heights, m (EPSG:9602)."""
    lam, phi = np.radians(np.asarray(lon, dtype=np.float64)), np.radians(np.asarray(lat, dtype=np.float64))
    h = np.asarray(height_m, dtype=np.float64)
    normal = SEMI_MAJOR_M / np.sqrt(1.0 - ECCENTRICITY_SQUARED * np.sin(phi) ** 2)
    across = (normal + h) * np.cos(phi)
    return np.stack(
        [
            across * np.cos(lam),
            across * np.sin(lam),
            (normal * (1.0 - ECCENTRICITY_SQUARED) + h) * np.sin(phi),
        ],
        axis=-1,
    )


def ned_axes(lon: ArrayLike, lat: ArrayLike) -> Floats:
    """Return rotations (..., 3, 3) whose columns are north, east and down in earth-centered coordinates."""
    lam, phi = np.radians(np.asarray(lon, dtype=np.float64)), np.radians(np.asarray(lat, dtype=np.float64))
    sl, cl, sp, cp = np.sin(lam), np.cos(lam), np.sin(phi), np.cos(phi)
    rows = [[-sp * cl, -sl, -cp * cl], [-sp * sl, cl, -cp * sl], [cp, np.zeros_like(cp), -sp]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
