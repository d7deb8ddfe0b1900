"""Everything that asks pyproj: choice of CRS, transforms, local frames, lengths and areas on the ellipsoid.

All coordinates are in x, y order (longitude first), whatever axis order the CRS defines. Heights above the
ellipsoid and above the geoid: :mod:`dronesense.geodesy.geoid`.
"""

from dronesense.geodesy.crs import (
    WGS84,
    cf_axes,
    cf_grid_mapping,
    check_crs,
    grid_factors,
    is_metric,
    to_grid,
    to_lonlat,
    transform,
    transform_bounds,
    utm_crs,
)
from dronesense.geodesy.ellipsoid import (
    ECCENTRICITY_SQUARED,
    FLATTENING,
    SEMI_MAJOR_M,
    geodesic_area,
    geodesic_distance,
    ned_axes,
    to_ecef,
)
from dronesense.geodesy.frames import TangentFrames, displace, tangent_frames
from dronesense.geodesy.geoid import GeoidGrid, undulation, undulation_raster
from dronesense.geodesy.notation import places

__all__ = [
    "ECCENTRICITY_SQUARED",
    "FLATTENING",
    "SEMI_MAJOR_M",
    "WGS84",
    "GeoidGrid",
    "TangentFrames",
    "cf_axes",
    "cf_grid_mapping",
    "check_crs",
    "displace",
    "geodesic_area",
    "geodesic_distance",
    "grid_factors",
    "is_metric",
    "ned_axes",
    "places",
    "tangent_frames",
    "to_ecef",
    "to_grid",
    "to_lonlat",
    "transform",
    "transform_bounds",
    "undulation",
    "undulation_raster",
    "utm_crs",
]
