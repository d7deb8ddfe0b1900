"""Coordinate reference systems by pyproj: choice, checks, transforms, meridian convergence and scale."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CoverageError, ManifestError

if TYPE_CHECKING:
    from pyproj import CRS, Proj, Transformer

WGS84: Final = "EPSG:4326"
"""Longitude and latitude on WGS84, degrees."""

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
def parsed(crs: str) -> CRS:
    """Return *crs* as pyproj has it."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise ManifestError(
            f"{crs!r} is not a coordinate reference system", fix='name one like "EPSG:32632"'
        ) from error


@lru_cache(maxsize=64)
def transformer(from_crs: str, to_crs: str) -> Transformer:
    """Return the transformer between two CRSs, x before y."""
    from pyproj import Transformer

    return Transformer.from_crs(parsed(from_crs), parsed(to_crs), always_xy=True)


@lru_cache(maxsize=64)
def _projection(crs: str) -> Proj:
    from pyproj import Proj

    return Proj(parsed(crs))


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
    known = parsed(crs)
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
    known = parsed(crs)
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
        x[known], y[known] = transformer(from_crs, to_crs).transform(x[known], y[known])
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


def cf_grid_mapping(crs: str) -> dict[str, Any]:
    """Return the attributes of the variable that says the CRS in a CF file, with ``crs_wkt``.

    CF conventions 1.11, section 5.6.

    Examples
    --------
    >>> cf_grid_mapping("EPSG:32632")["longitude_of_central_meridian"]
    9.0
    """
    return dict(parsed(crs).to_cf())


def cf_axes(crs: str) -> dict[str, dict[str, str]]:
    """Return the attributes of the coordinates ``x`` and ``y`` of *crs* in a CF file.

    Examples
    --------
    >>> cf_axes("EPSG:4326")["x"]["units"], cf_axes("EPSG:32632")["y"]["standard_name"]
    ('degrees_east', 'projection_y_coordinate')
    """
    named = {str(each["axis"]).lower(): dict(each) for each in parsed(crs).cs_to_cf()}
    return {axis: named.get(axis, {"axis": axis.upper()}) for axis in ("x", "y")}


def transform_bounds(
    bounds: tuple[float, float, float, float], from_crs: str, to_crs: str, *, densify: int = 21
) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a box in another CRS, its edges followed at *densify* points."""
    west, south, east, north = transformer(from_crs, to_crs).transform_bounds(*bounds, densify_pts=densify)
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
    if not parsed(crs).is_projected:
        raise ValueError(f"{crs} is not projected: it has no convergence")
    lon, lat = (np.array(values, dtype=np.float64) for values in np.broadcast_arrays(lon, lat))
    factors = _projection(crs).get_factors(np.atleast_1d(lon), np.atleast_1d(lat))
    convergence, east, north = (
        np.asarray(values, dtype=np.float64).reshape(lon.shape)
        for values in (factors.meridian_convergence, factors.parallel_scale, factors.meridional_scale)
    )
    return np.radians(convergence), east, north
