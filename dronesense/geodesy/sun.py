"""Where the sun stands."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

J2000_NS: Final = 946_728_000_000_000_000
"""2000-01-01T12:00:00Z in ns since 1970; the low-precision formulas do not tell it from the epoch J2000.0."""
NS_PER_DAY: Final = 86_400_000_000_000

Floats = NDArray[np.float64]


def sun_direction(lon_deg: ArrayLike, lat_deg: ArrayLike, time_ns: ArrayLike) -> Floats:
    """Return the unit vector towards the sun, (..., 3) north, east, down.

    Low-precision formulas of the Astronomical Almanac (0.01 degrees until 2050), as in J. J. Michalsky, Solar
    Energy 40 (1988) 227, doi 10.1016/0038-092X(88)90045-X. Without refraction.
    """
    lon, lat = np.radians(np.asarray(lon_deg, dtype=np.float64)), np.radians(lat_deg)
    days = _days(time_ns)
    mean_longitude = np.radians(280.460 + 0.9856474 * days)
    anomaly = _anomaly(days)
    ecliptic = mean_longitude + np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    obliquity = np.radians(23.439 - 4.0e-7 * days)
    x, y, z = (
        np.cos(ecliptic),
        np.cos(obliquity) * np.sin(ecliptic),
        np.sin(obliquity) * np.sin(ecliptic),
    )
    sidereal = np.radians(15.0 * (18.697374558 + 24.06570982441908 * days)) + lon
    hour = sidereal - np.arctan2(y, x)
    declination = np.arcsin(z)
    up = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    return np.asarray(np.stack(np.broadcast_arrays(north, east, -up), axis=-1), dtype=np.float64)


def sun_distance(time_ns: ArrayLike) -> Floats:
    """Return the distance from the earth to the sun, astronomical units, to 0.0001 or so.

    Examples
    --------
    Perihelion of 2024 (3 January): 0.9833.

    >>> round(float(sun_distance(1_704_240_000 * 10**9)), 4)
    0.9833
    """
    anomaly = _anomaly(_days(time_ns))
    return np.asarray(1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2.0 * anomaly))


def _days(time_ns: ArrayLike) -> Floats:
    """Return days since :data:`J2000_NS`."""
    ns = np.asarray(time_ns, dtype=np.int64) - J2000_NS
    return np.asarray(ns // NS_PER_DAY + (ns % NS_PER_DAY) / NS_PER_DAY)


def _anomaly(days: Floats) -> Floats:
    """Return the sun's mean anomaly, rad."""
    return np.asarray(np.radians(357.528 + 0.9856003 * days))
