"""Everything that asks pyproj: choice of CRS, transforms, local frames, lengths and areas on the ellipsoid.

All coordinates are in x, y order (longitude first), whatever axis order the CRS defines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CoverageError, ManifestError

if TYPE_CHECKING:
    from pyproj import CRS, Geod, Proj, Transformer
    from shapely.geometry.base import BaseGeometry

WGS84: Final = "EPSG:4326"
"""Longitude and latitude on WGS84, degrees."""

SEMI_MAJOR_M: Final = 6378137.0
"""Semi-major axis of WGS84, m (NGA.STND.0036)."""
FLATTENING: Final = 1.0 / 298.257223563
"""Flattening of WGS84 (NGA.STND.0036)."""

_ECCENTRICITY_SQUARED: Final = FLATTENING * (2.0 - FLATTENING)
_UTM_LIMITS_DEG: Final = (-80.0, 84.0)
_UPS_NORTH, _UPS_SOUTH = "EPSG:5041", "EPSG:5042"
# Wider zones of Norway and Svalbard: (south, north, west, east, zone), degrees (NGA.SIG.0012).
_WIDE_ZONES: Final = (
    (56.0, 64.0, 3.0, 12.0, 32),
    (72.0, 84.0, 0.0, 9.0, 31),
    (72.0, 84.0, 9.0, 21.0, 33),
    (72.0, 84.0, 21.0, 33.0, 35),
    (72.0, 84.0, 33.0, 42.0, 37),
)

Floats = NDArray[np.float64]


@lru_cache(maxsize=64)
def _crs(crs: str) -> CRS:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise ManifestError(
            f"{crs!r} is not a coordinate reference system", fix='name one like "EPSG:32632"'
        ) from error


@lru_cache(maxsize=64)
def _transformer(from_crs: str, to_crs: str) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(_crs(from_crs), _crs(to_crs), always_xy=True)


@lru_cache(maxsize=64)
def _projection(crs: str) -> Proj:
    from pyproj import Proj

    return Proj(_crs(crs))


@lru_cache(maxsize=1)
def _geod() -> Geod:
    from pyproj import Geod

    return Geod(a=SEMI_MAJOR_M, f=FLATTENING)


def check_crs(crs: str, *, metric: bool = False) -> str:
    """Return *crs* as ``"EPSG:n"`` where it has a code, else as it came.

    Parameters
    ----------
    crs : str
        Anything pyproj understands.
    metric : bool
        Also demand meters, eastward x and northward y.

    Raises
    ------
    ManifestError
        If *crs* is not a CRS, or not a metric one where that is asked.

    Examples
    --------
    >>> check_crs("epsg:32632", metric=True)
    'EPSG:32632'
    """
    known = _crs(crs)
    if metric and not is_metric(crs):
        raise ManifestError(
            f"{crs!r} is not a projected CRS in meters with x to the east and y to the north",
            fix='use "auto" or a UTM zone like "EPSG:32632"',
        )
    authority = known.to_authority(min_confidence=100)
    return crs if authority is None else ":".join(authority)


def is_metric(crs: str) -> bool:
    """Tell whether *crs* is projected, in meters, with x to the east and y to the north.

    Examples
    --------
    >>> is_metric("EPSG:32632"), is_metric("EPSG:4326"), is_metric("EPSG:2263")
    (True, False, False)
    """
    known = _crs(crs)
    horizontal = known.sub_crs_list[0] if known.is_compound else known
    axes = horizontal.axis_info[:2]
    return bool(
        horizontal.is_projected
        and all(axis.unit_conversion_factor == 1.0 for axis in axes)
        and not any(axis.direction == "west" for axis in axes)
    )


def utm_crs(lon: float, lat: float) -> str:
    """Return the UTM zone of a place, ``"EPSG:326xx"`` or ``"EPSG:327xx"``; near the poles the UPS.

    The wider zones of south-west Norway and Svalbard are respected (NGA.SIG.0012).

    Raises
    ------
    ValueError
        If the place is not on the globe.

    Examples
    --------
    >>> utm_crs(9.0, 48.0), utm_crs(5.0, 60.0), utm_crs(-70.0, -33.0), utm_crs(0.0, 88.0)
    ('EPSG:32632', 'EPSG:32632', 'EPSG:32719', 'EPSG:5041')
    """
    if not (-180.0 <= lon <= 180.0 and -90.0 <= lat <= 90.0):
        raise ValueError(f"lon {lon}, lat {lat} is not a place on the globe")
    south, north = _UTM_LIMITS_DEG
    if lat >= north:
        return _UPS_NORTH
    if lat < south:
        return _UPS_SOUTH
    zone = int((lon + 180.0) // 6.0) % 60 + 1
    for low, high, west, east, wide in _WIDE_ZONES:
        if low <= lat < high and west <= lon < east:
            zone = wide
    return f"EPSG:{(32600 if lat >= 0.0 else 32700) + zone}"


def transform(x: ArrayLike, y: ArrayLike, from_crs: str, to_crs: str) -> tuple[Floats, Floats]:
    """Transform coordinates between two CRSs; NaN stays NaN.

    Raises
    ------
    CoverageError
        If *to_crs* cannot express a place.
    """
    x, y = (np.array(values, dtype=np.float64) for values in np.broadcast_arrays(x, y))
    known = np.isfinite(x) & np.isfinite(y)
    if from_crs != to_crs and known.any():
        x[known], y[known] = _transformer(from_crs, to_crs).transform(x[known], y[known])
        if not (np.isfinite(x[known]).all() and np.isfinite(y[known]).all()):
            raise CoverageError(
                f"some places have no coordinates in {to_crs}", fix="use a CRS that covers the flight"
            )
    x[~known] = y[~known] = np.nan
    return x, y


def to_grid(lon: ArrayLike, lat: ArrayLike, crs: str) -> tuple[Floats, Floats]:
    """Return x, y in *crs* of WGS84 degrees; see :func:`transform`.

    Examples
    --------
    >>> x, y = to_grid(9.0, 0.0, "EPSG:32632")
    >>> float(np.round(x, 6)), abs(float(np.round(y, 6)))
    (500000.0, 0.0)
    """
    return transform(lon, lat, WGS84, crs)


def to_lonlat(x: ArrayLike, y: ArrayLike, crs: str) -> tuple[Floats, Floats]:
    """Return WGS84 degrees of x, y in *crs*; see :func:`transform`."""
    return transform(x, y, crs, WGS84)


def transform_bounds(
    bounds: tuple[float, float, float, float], from_crs: str, to_crs: str, *, densify: int = 21
) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a box in another CRS, its edges followed at *densify* points."""
    west, south, east, north = _transformer(from_crs, to_crs).transform_bounds(*bounds, densify_pts=densify)
    return west, south, east, north


def grid_factors(lon: ArrayLike, lat: ArrayLike, crs: str) -> tuple[Floats, Floats, Floats]:
    """Return meridian convergence and scale of a projected CRS.

    Parameters
    ----------
    lon, lat : array_like
        WGS84 degrees.
    crs : str
        Projected CRS.

    Returns
    -------
    convergence_rad : ndarray
        Angle from true north to grid north, positive when grid north lies east of true north:
        grid heading = true heading - convergence.
    scale_east, scale_north : ndarray
        Grid length of one ellipsoidal meter along the parallel and along the meridian.

    Raises
    ------
    ValueError
        If *crs* is not projected.

    Examples
    --------
    East of the central meridian of the northern hemisphere grid north lies east of true north.

    >>> convergence, east, north = grid_factors(10.0, 60.0, "EPSG:32632")
    >>> round(float(np.degrees(convergence)), 2), round(float(east), 4)
    (0.87, 0.9996)
    """
    if not _crs(crs).is_projected:
        raise ValueError(f"{crs} is not projected: it has no convergence")
    lon, lat = (np.array(values, dtype=np.float64) for values in np.broadcast_arrays(lon, lat))
    factors = _projection(crs).get_factors(np.atleast_1d(lon), np.atleast_1d(lat))
    convergence, east, north = (
        np.asarray(values, dtype=np.float64).reshape(lon.shape)
        for values in (factors.meridian_convergence, factors.parallel_scale, factors.meridional_scale)
    )
    return np.radians(convergence), east, north


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
    normal = SEMI_MAJOR_M / np.sqrt(1.0 - _ECCENTRICITY_SQUARED * np.sin(phi) ** 2)
    across = (normal + h) * np.cos(phi)
    return np.stack(
        [
            across * np.cos(lam),
            across * np.sin(lam),
            (normal * (1.0 - _ECCENTRICITY_SQUARED) + h) * np.sin(phi),
        ],
        axis=-1,
    )


def ned_axes(lon: ArrayLike, lat: ArrayLike) -> Floats:
    """Return rotations (..., 3, 3) whose columns are north, east and down in earth-centered coordinates."""
    lam, phi = np.radians(np.asarray(lon, dtype=np.float64)), np.radians(np.asarray(lat, dtype=np.float64))
    sl, cl, sp, cp = np.sin(lam), np.cos(lam), np.sin(phi), np.cos(phi)
    rows = [[-sp * cl, -sl, -cp * cl], [-sp * sl, cl, -cp * sl], [cp, np.zeros_like(cp), -sp]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def displace(
    lon: ArrayLike, lat: ArrayLike, height_m: ArrayLike, offset_ned_m: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return lon, lat and height of places moved by (k, 3) meters north, east, down.

    Examples
    --------
    >>> lon, lat, height = displace([9.0], [48.0], [100.0], np.array([[0.0, 0.0, -20.0]]))
    >>> round(float(lon[0]), 9), round(float(lat[0]), 9), round(float(height[0]), 6)
    (9.0, 48.0, 120.0)
    """
    moved = to_ecef(lon, lat, height_m) + np.einsum("kij,kj->ki", ned_axes(lon, lat), offset_ned_m)
    lon, lat, height_m = _transformer("EPSG:4978", "EPSG:4979").transform(*moved.T)
    return np.asarray(lon), np.asarray(lat), np.asarray(height_m)


@dataclass(frozen=True, slots=True, eq=False)
class TangentFrames:
    """Second-order maps from local north-east-down offsets to x, y, height of a CRS.

    ``(x, y, h) = origin + linear @ d + quadratic @ (dn², de², dd², dn de, dn dd, de dd)``: convergence,
    scale, reduction for height and curvature of the earth in one.

    Parameters
    ----------
    origin : (k, 3) float64
        x, y in the CRS, and ellipsoidal height.
    linear : (k, 3, 3) float64
        First derivatives.
    quadratic : (k, 3, 6) float64
        Coefficients of the products.
    """

    origin: Floats
    linear: Floats
    quadratic: Floats


# Offsets of the stencil in units of its reach: center, +-n, +-e, +-d, then +-(n+e), +-(n+d), +-(e+d).
_HALF_STENCIL: Final = np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.float64
)
_STENCIL: Final = np.concatenate([np.zeros((1, 3)), _HALF_STENCIL, -_HALF_STENCIL])


def tangent_frames(
    lon: ArrayLike, lat: ArrayLike, height_m: ArrayLike, crs: str, *, reach_m: float = 1000.0
) -> TangentFrames:
    """Expand *crs* around places, from central differences of the exact earth-centered geometry.

    Parameters
    ----------
    lon, lat, height_m : (k,) array_like
        WGS84 degrees and ellipsoidal height.
    crs : str
        Projected or geographic.
    reach_m : float
        Half width of the stencil, of the order of the distances to be bridged. The error of the expansion
        grows with the cube of the distance: about 0.01 mm at 1 km in UTM.
    """
    lon, lat, height_m = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lon, lat, height_m))
    offsets = reach_m * np.einsum("kij,sj->ksi", ned_axes(lon, lat), _STENCIL)
    places = (to_ecef(lon, lat, height_m)[:, None, :] + offsets).reshape(-1, 3)
    p_lon, p_lat, p_h = _transformer("EPSG:4978", "EPSG:4979").transform(*places.T)
    x, y = to_grid(p_lon, p_lat, crs)
    values = np.stack([x, y, p_h], axis=-1).reshape(len(lon), len(_STENCIL), 3)
    center, plus, minus = values[:, 0], values[:, 1:7], values[:, 7:]
    if not _crs(crs).is_projected:  # across the date line
        for side in (plus, minus):
            side[..., 0] -= 360.0 * np.round((side[..., 0] - center[:, None, 0]) / 360.0)
    linear = (plus[:, :3] - minus[:, :3]) / (2.0 * reach_m)
    half_second = (plus + minus - 2.0 * center[:, None]) / (2.0 * reach_m**2)
    mixed = half_second[:, 3:] - half_second[:, [0, 0, 1]] - half_second[:, [1, 2, 2]]
    quadratic = np.concatenate([half_second[:, :3], mixed], axis=1)
    return TangentFrames(center, linear.transpose(0, 2, 1), quadratic.transpose(0, 2, 1))
