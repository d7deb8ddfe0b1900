"""Make SBET and smrmsg files of a straight flight with known truth."""

from __future__ import annotations

import numpy as np
from pyproj import Geod

RATE_HZ = 200.0


def flight(
    n=400,
    *,
    tow_s=36_000.0,
    lon=9.0,
    lat=48.0,
    height_m=300.0,
    heading_deg=50.0,
    course_deg=40.0,
    speed_m_s=8.0,
    climb_m_s=0.5,
    wander_deg=7.0,
    roll_deg=3.0,
    pitch_deg=-2.0,
    rate_hz=RATE_HZ,
):
    """Return (n, 17) records; heading, course and the rest are the truth, the wander angle is put on top."""
    since = np.arange(n) / rate_hz
    lons, lats, _ = Geod(ellps="WGS84").fwd(
        np.full(n, lon), np.full(n, lat), np.full(n, course_deg), speed_m_s * since
    )
    wander, course = np.radians(wander_deg), np.radians(course_deg)
    rows = np.zeros((n, 17))
    rows[:, 0] = (tow_s + since) % 604_800.0
    rows[:, 1], rows[:, 2], rows[:, 3] = np.radians(lats), np.radians(lons), height_m + climb_m_s * since
    rows[:, 4] = speed_m_s * np.cos(course + wander)
    rows[:, 5] = -speed_m_s * np.sin(course + wander)
    rows[:, 6] = climb_m_s
    rows[:, 7], rows[:, 8] = np.radians(roll_deg), np.radians(pitch_deg)
    rows[:, 9], rows[:, 10] = np.radians(heading_deg) + wander, wander
    rows[:, 13] = -9.81
    return rows


def accuracy(
    tow_s, *, north=0.02, east=0.03, down=0.05, roll_arcmin=1.5, pitch_arcmin=1.2, heading_arcmin=6.0
):
    """Return (k, 10) records of a smrmsg file at *tow_s*; values may be arrays."""
    rows = np.zeros((len(tow_s), 10))
    for column, value in enumerate(
        (tow_s, north, east, down, 0.01, 0.01, 0.01, roll_arcmin, pitch_arcmin, heading_arcmin)
    ):
        rows[:, column] = value
    return rows


def file(rows):
    """Return records as the bytes of a file."""
    return np.asarray(rows, dtype="<f8").tobytes()
