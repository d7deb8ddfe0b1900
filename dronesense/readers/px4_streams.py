"""What PX4's navigation filter, barometer and camera log, as streams on UTC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import Clock, Triggers
from dronesense.readers.assembly import Attitude, Positions, Pressure, Rank, Velocity, plausible
from dronesense.readers.px4_rows import UNDULATION_LIMIT_M, Rows, finite, rows_of, sigma_of
from dronesense.readers.streams import Float, sigma_origin
from dronesense.readers.tally import Tally
from dronesense.readers.ulog import ULog
from dronesense.timescale import ClockFit

GLOBAL: Final = "vehicle_global_position"
LOCAL: Final = "vehicle_local_position"
FILTER_FIX: Final = 7
"""`Trajectory.fix` of a navigation filter's output."""
EARTH_RADIUS_M: Final = 6_371_000.0
"""Radius of the sphere on which PX4 projects local positions (src/lib/geo/geo.h)."""
QUATERNION_TOLERANCE: Final = 1e-2
"""A logged quaternion further from unit norm is damaged."""
UNDULATION_LEAST_M: Final = 0.5
"""The filter's two heights differ by centimeters where no receiver tells the geoid (simulation)."""
PRESSURE_RANGE_HPA: Final = (100.0, 1100.0)
PA_PER_HPA: Final = 100.0


def global_position(
    rows: Rows, fit: ClockFit, clock: Clock, undulation_m: float, tally: Tally
) -> Positions | None:
    """Return the filter's global position."""
    if not rows.has("lat", "lon", "alt"):
        tally.warnings.append(f"{rows.name} has no lat, lon or alt and is not used")
        return None
    for flag in ("lat_lon_valid", "alt_valid"):
        if flag in rows:
            rows = rows.where(tally.keep(rows[flag] != 0, f"{rows.name}: not {flag}"))
    lon, lat, alt = rows.numbers("lon", "lat", "alt").T
    if math.isnan(undulation_m) and "alt_ellipsoid" in rows:
        away = rows.numbers("alt_ellipsoid")[:, 0] - alt
        away = away[(np.abs(away) >= UNDULATION_LEAST_M) & (np.abs(away) <= UNDULATION_LIMIT_M)]
        undulation_m = float(np.median(away)) if away.size else undulation_m
    if "dead_reckoning" in rows and np.any(rows["dead_reckoning"]):
        share = float(np.mean(rows["dead_reckoning"] != 0))
        tally.warnings.append(f"{rows.name}: {share:.0%} of the positions are dead reckoning, without GPS")
    velocity = rows.numbers("vel_n", "vel_e", "vel_d") if rows.has("vel_n", "vel_e", "vel_d") else None
    resets = rows.counter("lat_lon_reset_counter", "alt_reset_counter")
    return _filtered(rows, fit, clock, (lon, lat, alt, undulation_m), velocity, resets, tally)


def local_position(
    rows: Rows, fit: ClockFit, clock: Clock, undulation_m: float, tally: Tally
) -> Positions | None:
    """Return the filter's local position, taken back from its projection, where it is tied to the globe."""
    if not rows.has("x", "y", "z", "ref_lat", "ref_lon", "ref_alt", "xy_global", "z_global"):
        return None
    tied = (rows["xy_global"] != 0) & (rows["z_global"] != 0)
    rows = rows.where(tally.keep(tied, f"{rows.name}: not tied to the globe (xy_global, z_global)"))
    x, y, z, ref_lat, ref_lon, ref_alt = rows.numbers("x", "y", "z", "ref_lat", "ref_lon", "ref_alt").T
    lon, lat = from_local(x, y, ref_lon, ref_lat)
    resets = rows.counter("xy_reset_counter", "z_reset_counter", "ref_timestamp")
    return _filtered(rows, fit, clock, (lon, lat, ref_alt - z, undulation_m), None, resets, tally)


def from_local(north_m: Float, east_m: Float, ref_lon: Float, ref_lat: Float) -> tuple[Float, Float]:
    """Return longitude and latitude, degrees, of PX4's local coordinates.

    PX4 projects azimuthally and equidistantly on a sphere of 6,371 km (src/lib/geo/geo.cpp,
    ``MapProjection``); formulas: J. P. Snyder, Map Projections - A Working Manual, USGS Professional
    Paper 1395 (1987), 20-14 and 20-15, doi:10.3133/pp1395.

    Examples
    --------
    >>> lon, lat = from_local(np.array([111_194.9]), np.array([0.0]), np.array([8.0]), np.array([47.0]))
    >>> round(float(lat[0]), 5), round(float(lon[0]), 5)
    (48.0, 8.0)
    """
    north, east = north_m / EARTH_RADIUS_M, east_m / EARTH_RADIUS_M
    away = np.hypot(north, east)
    cos_c = np.cos(away)
    ratio = np.sinc(away / np.pi)  # sin(c) / c
    sin_0, cos_0 = np.sin(np.radians(ref_lat)), np.cos(np.radians(ref_lat))
    lat = np.degrees(np.arcsin(np.clip(cos_c * sin_0 + north * ratio * cos_0, -1.0, 1.0)))
    turn = np.arctan2(east * ratio, cos_0 * cos_c - north * ratio * sin_0)
    return (ref_lon + np.degrees(turn) + 180.0) % 360.0 - 180.0, lat


def _filtered(
    rows: Rows,
    fit: ClockFit,
    clock: Clock,
    place: tuple[Float, Float, Float, float],
    velocity: Float | None,
    resets: NDArray[np.int64],
    tally: Tally,
) -> Positions | None:
    """Return a position of the filter; *place* is longitude, latitude, height and undulation."""
    lon, lat, alt, undulation_m = place
    good = np.isfinite(alt)
    tally.keep(good, f"{rows.name}: no height")
    keep = np.flatnonzero(good)
    keep = keep[plausible(rows.name, rows.boot_ns[keep], lon[keep], lat[keep], alt[keep], tally)]
    if not keep.size:
        return None
    return Positions(
        name=rows.name,
        rank=Rank.FILTER,
        time=fit.to_utc(rows.boot_ns[keep]),
        lon=lon[keep],
        lat=lat[keep],
        height_m=alt[keep] + undulation_m,
        height_source_m=alt[keep],
        height_ref="receiver-geoid",
        std_ned_m=sigma_of(rows)[0][keep],
        sigma_from=sigma_origin(sigma_of(rows)[1]),
        fix=np.full(keep.size, FILTER_FIX, dtype=np.uint8),
        clock=clock,
        point="imu",
        velocity_ned=None if velocity is None else velocity[keep],
        reset=resets[keep],
    )


def _trusted(log: ULog, key: str, fit: ClockFit, tally: Tally) -> Rows | None:
    """Return the rows of *key* where the clock is known, None if there are none."""
    rows = rows_of(log, key, tally, of_sample=True)
    if rows is None:
        return None
    rows = rows.where(tally.keep(fit.trusted(rows.boot_ns), f"{key}: clock in doubt"))
    return rows if rows.index.size else None


def attitude(log: ULog, fit: ClockFit, tally: Tally) -> Attitude | None:
    """Return ``vehicle_attitude.q``: w, x, y, z, body forward-right-down to north-east-down."""
    rows = _trusted(log, "vehicle_attitude", fit, tally)
    if rows is None or "q" not in rows or rows["q"].shape[1:] != (4,):
        tally.warnings.append("no attitude in the log (vehicle_attitude.q): cameras cannot be placed")
        return None
    quaternion = finite(rows["q"])
    norm = np.linalg.norm(quaternion, axis=1)
    good = np.abs(norm - 1.0) <= QUATERNION_TOLERANCE
    rows = rows.where(tally.keep(good, f"{rows.name}: no unit quaternion"))
    if not rows.index.size:
        return None
    quaternion = quaternion[good] / norm[good, None]
    reset = rows.counter("quat_reset_counter")
    return Attitude(rows.name, fit.to_utc(rows.boot_ns), quaternion, reset=reset)


def velocity(fused: Sequence[Rows], fit: ClockFit) -> Velocity | None:
    """Return the filter's velocity from the local position, where it is valid."""
    for rows in fused:
        if rows.has("vx", "vy", "vz", "v_xy_valid", "v_z_valid"):
            rows = rows.where(fit.trusted(rows.boot_ns))
            valid = (rows["v_xy_valid"] != 0) & (rows["v_z_valid"] != 0)
            ned = np.where(valid[:, None], rows.numbers("vx", "vy", "vz"), np.nan)
            return Velocity(fit.to_utc(rows.boot_ns), ned)
    return None


def pressure(log: ULog, fit: ClockFit, tally: Tally) -> Pressure | None:
    """Return the static pressure; ``sensor_baro.pressure`` is hPa or, from PX4 1.14 on, Pa."""
    for key, column in (("vehicle_air_data", "baro_pressure_pa"), ("sensor_baro", "pressure")):
        rows = _trusted(log, key, fit, tally)
        if rows is None or column not in rows:
            continue
        low, high = PRESSURE_RANGE_HPA
        hpa = finite(rows[column])
        if column == "baro_pressure_pa" or np.median(hpa) > high:
            hpa = hpa / PA_PER_HPA
        good = tally.keep((hpa >= low) & (hpa <= high), f"{key}: pressure out of range")
        if good.any():
            return Pressure(fit.to_utc(rows.boot_ns[good]), hpa[good])
    return None


def pictures(log: ULog, fit: ClockFit, tally: Tally) -> Triggers | None:
    """Return the pictures that the camera confirmed, else those it was told to take."""
    for key in ("camera_capture", "camera_trigger"):
        rows = None if key not in log else rows_of(log, key, tally)
        if rows is None:
            continue
        rows = rows.where(tally.keep(fit.trusted(rows.boot_ns), f"{key}: clock in doubt"))
        if "result" in rows:
            rows = rows.where(tally.keep(rows["result"] != 0, f"{key}: the camera failed"))
        if "feedback" in rows and np.any(rows["feedback"]):
            rows = rows.where(rows["feedback"] != 0)
        if rows.index.size:
            number = rows["seq"].astype(np.int64) if "seq" in rows else np.full(rows.index.shape, -1)
            return Triggers(fit.to_utc(rows.boot_ns), number, key)
    return None
