"""The site's own east-north-up frame, and rotations written out element by element.

Everything true lives in one Cartesian frame: east, north, up (ENU) at the site's origin, tied to the Earth
through geocentric coordinates (EPSG:4978).  Nothing here is shared with :mod:`dronesense.geodesy` or
:mod:`dronesense.geotag`: a wrong convention there must not find its mirror image here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyproj import Transformer

Array = NDArray[np.float64]

GEODETIC: Final = "EPSG:4979"
GEOCENTRIC: Final = "EPSG:4978"
UTM_ZONE_WIDTH_DEG: Final = 6.0


@lru_cache
def _transformer(source: str, target: str) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def _enu_rows(lon_deg: Array, lat_deg: Array) -> Array:
    """Return (..., 3, 3): rows are the local east, north and up axes in geocentric coordinates."""
    sin_lon, cos_lon = np.sin(np.radians(lon_deg)), np.cos(np.radians(lon_deg))
    sin_lat, cos_lat = np.sin(np.radians(lat_deg)), np.cos(np.radians(lat_deg))
    east = np.stack([-sin_lon, cos_lon, np.zeros_like(sin_lon)], axis=-1)
    north = np.stack([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat], axis=-1)
    up = np.stack([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat], axis=-1)
    return np.stack([east, north, up], axis=-2)


@dataclass(frozen=True, slots=True)
class Site:
    """Where the flight takes place.

    Parameters
    ----------
    lon_deg, lat_deg : float
        Origin of the ENU frame, WGS84.
    height_m : float
        Ellipsoidal height of the origin, m.
    undulation_m : float
        Height of the geoid above the ellipsoid, m; constant over the site.
    """

    lon_deg: float
    lat_deg: float
    height_m: float
    undulation_m: float

    @property
    def utm(self) -> str:
        """EPSG code of the UTM zone (WGS84) that the origin lies in."""
        zone = int((self.lon_deg + 180.0) // UTM_ZONE_WIDTH_DEG) + 1
        return f"EPSG:{(32600 if self.lat_deg >= 0.0 else 32700) + zone}"

    def _origin(self) -> tuple[Array, Array]:
        xyz = _transformer(GEODETIC, GEOCENTRIC).transform(self.lon_deg, self.lat_deg, self.height_m)
        return np.array(xyz, dtype=np.float64), _enu_rows(np.float64(self.lon_deg), np.float64(self.lat_deg))  # type: ignore[arg-type]

    def to_geodetic(self, enu: Array) -> tuple[Array, Array, Array]:
        """Return longitude, latitude (degrees) and ellipsoidal height (m) of (n, 3) site coordinates."""
        origin, rows = self._origin()
        xyz = origin + np.atleast_2d(enu) @ rows
        lon, lat, height = _transformer(GEOCENTRIC, GEODETIC).transform(xyz[:, 0], xyz[:, 1], xyz[:, 2])
        return np.asarray(lon), np.asarray(lat), np.asarray(height)

    def from_geodetic(self, lon_deg: Array, lat_deg: Array, height_m: Array) -> Array:
        """Return (n, 3) site coordinates of geodetic positions."""
        origin, rows = self._origin()
        x, y, z = _transformer(GEODETIC, GEOCENTRIC).transform(lon_deg, lat_deg, height_m)
        return (np.stack([x, y, z], axis=-1) - origin) @ rows.T

    def ned_to_enu(self, enu: Array) -> Array:
        """Return (n, 3, 3): from the north-east-down frame *at each point* to the site's ENU frame.

        It differs from a plain permutation by the convergence of meridians and plumb lines over the site.
        """
        _, rows = self._origin()
        lon, lat, _ = self.to_geodetic(enu)
        east, north, up = np.moveaxis(_enu_rows(lon, lat), -2, 0)
        ned_axes_in_ecef = np.stack([north, east, -up], axis=-1)
        return np.asarray(rows @ ned_axes_in_ecef)

    def to_utm(self, lon_deg: Array, lat_deg: Array) -> tuple[Array, Array]:
        """Return easting and northing in :attr:`utm`."""
        x, y = _transformer("EPSG:4326", self.utm).transform(lon_deg, lat_deg)
        return np.asarray(x), np.asarray(y)

    def from_utm(self, x_m: Array, y_m: Array) -> tuple[Array, Array]:
        """Return longitude and latitude of easting and northing."""
        lon, lat = _transformer(self.utm, "EPSG:4326").transform(x_m, y_m)
        return np.asarray(lon), np.asarray(lat)


def rotation(roll_rad: Array, pitch_rad: Array, yaw_rad: Array) -> Array:
    """Return (..., 3, 3) matrices that turn body (forward, right, down) into the frame the angles refer to.

    Yaw about down first, then pitch about the new right axis, then roll about the new forward axis.

    Examples
    --------
    A nose-up pitch lifts the forward axis (down becomes negative):

    >>> rotation(np.float64(0), np.radians(90.0), np.float64(0))[:, 0].round(6).tolist()
    [0.0, 0.0, -1.0]
    """
    cr, sr = np.cos(roll_rad), np.sin(roll_rad)
    cp, sp = np.cos(pitch_rad), np.sin(pitch_rad)
    cy, sy = np.cos(yaw_rad), np.sin(yaw_rad)
    forward = np.stack([cp * cy, cp * sy, -sp], axis=-1)
    right = np.stack([sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, sr * cp], axis=-1)
    down = np.stack([cr * sp * cy + sr * sy, cr * sp * sy - sr * cy, cr * cp], axis=-1)
    return np.stack([forward, right, down], axis=-1)


def draw_site(rng: np.random.Generator) -> Site:
    """Draw a place on either hemisphere, away from zone edges, the equator, and the irregular UTM zones."""
    north = bool(rng.integers(2))
    latitude = rng.uniform(3.0, 55.0) if north else -rng.uniform(3.0, 52.0)
    zone = int(rng.integers(2, 60))
    longitude = -180.0 + UTM_ZONE_WIDTH_DEG * (zone - 1) + rng.uniform(0.5, UTM_ZONE_WIDTH_DEG - 0.5)
    if north and rng.random() < 0.2:  # high latitudes, east of the irregular zones of Norway and Svalbard
        latitude, longitude = (
            rng.uniform(60.0, 69.0),
            48.0 + UTM_ZONE_WIDTH_DEG * int(rng.integers(0, 12)) + rng.uniform(0.5, 5.5),
        )
    return Site(
        float(longitude), float(latitude), float(rng.uniform(60.0, 900.0)), float(rng.uniform(-45.0, 55.0))
    )
