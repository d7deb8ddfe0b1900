"""A short made-up flight for tests of places on the ground."""

from __future__ import annotations

from typing import Final

import numpy as np

from dronesense import geodesy
from dronesense.model import Clock, Trajectory

CRS: Final = "EPSG:32632"
LON, LAT, HEIGHT_M = 9.0, 48.0, 80.0


def trajectory(seconds_flown: float = 10.0) -> Trajectory:
    """Return a flight to the north at 5 m/s with slow roll, pitch and yaw, 10 poses a second."""
    from scipy.spatial.transform import Rotation

    t = np.arange(0.0, seconds_flown + 1.0, 0.1)
    n = len(t)
    way = (t - t.mean())[:, None] * [5.0, 0.0, 0.0]
    lon, lat, height = geodesy.displace(np.full(n, LON), np.full(n, LAT), np.full(n, HEIGHT_M), way)
    angles = np.column_stack([5 * np.sin(t / 3), 3 * np.sin(t / 2), 4 * np.sin(t)])
    attitude = Rotation.from_euler("ZYX", angles, degrees=True).as_quat()[:, [3, 0, 1, 2]]
    return Trajectory(
        time=np.round(t * 1e9).astype(np.int64),
        lon=lon,
        lat=lat,
        height_m=height,
        height_source_m=height,
        height_ref="ellipsoid",
        velocity_ned=np.tile([5.0, 0.0, 0.0], (n, 1)),
        attitude=attitude,
        std_ned_m=np.full((n, 3), 0.02),
        std_rpy_deg=np.full((n, 3), 0.1),
        fix=np.full(n, 5, np.uint8),
        segment=np.zeros(n, np.int32),
        clock=Clock("exact", 0.001),
        reference_point="imu",
        source="made up",
    )
