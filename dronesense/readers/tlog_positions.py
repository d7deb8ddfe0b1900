"""Where a vehicle in a MAVLink log was: its receivers, and its navigation filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import Clock
from dronesense.readers.ardupilot_gps import UNDULATION_LIMIT_M
from dronesense.readers.assembly import Positions, Rank, gnss_rank, plausible
from dronesense.readers.streams import Float, sigma_origin, usual_sigma
from dronesense.readers.tally import Tally
from dronesense.readers.tlog_vehicle import Rows, Vehicle
from dronesense.timescale import RECEIVER_LATENCY_SIGMA_S, ClockFit

DEGREES: Final = 1e-7
METERS_PER_MM: Final = 1e-3
M_S_PER_CM_S: Final = 1e-2
DEGREES_PER_CDEG: Final = 1e-2
UNKNOWN_U16: Final = 65535
"""A speed or course that the sender does not know."""
ACCURACY_LIMIT_M: Final = 1000.0
"""A receiver that states a worse accuracy does not know its position."""

FIX_3D: Final = 3
FIX_OF_TYPE: Final = np.array([0, 0, 1, 2, 3, 4, 5, 2, 6], dtype=np.uint8)
"""`fix_type` (0, 1 none, 2 2-D, 3 3-D, 4 differential, 5 RTK float, 6 RTK fixed, 7 static, 8 PPP) ->
`Trajectory.fix`."""
SINGLE_FIX: Final = 2
RTK_FIX: Final = 5
FILTER_FIX: Final = 7
"""`Trajectory.fix` of a navigation filter's output."""

FILTER: Final = "GLOBAL_POSITION_INT"
RECEIVERS: Final = ("GPS_RAW_INT", "GPS2_RAW")


def receiver(vehicle: Vehicle, name: str, fit: ClockFit, clock: Clock, tally: Tally) -> Positions | None:
    """Return the fixes of a receiver; None if there is none."""
    rows = vehicle.rows(name, tally)
    if rows is None:
        return None
    rows = rows.where(tally.keep(rows.messages["fix_type"] >= FIX_3D, f"{name}: no 3-D fix"))
    lat, lon = rows.numbers("lat", "lon", scale=DEGREES).T
    alt, above = rows.numbers("alt", "alt_ellipsoid", scale=METERS_PER_MM).T
    keep = plausible(name, rows.time, lon, lat, alt, tally)
    if not keep.size:
        return None
    rows = Rows(name, rows.messages.take(keep), rows.time[keep], rows.unix)
    alt, above = alt[keep], above[keep]
    undulation = np.where((above != 0.0) & (np.abs(above - alt) <= UNDULATION_LIMIT_M), above - alt, np.nan)
    undulation[undulation == 0.0] = np.nan  # a receiver that repeats the one height as the other
    known = undulation[np.isfinite(undulation)]
    usual = float(np.median(known)) if known.size else np.nan
    fix_type = rows.messages["fix_type"]
    fix = np.where(fix_type < FIX_OF_TYPE.size, FIX_OF_TYPE[np.minimum(fix_type, FIX_OF_TYPE.size - 1)], 2)
    if rows.unix:
        note = f"{name} carries Unix time"
        clock = Clock("exact", RECEIVER_LATENCY_SIGMA_S, 0.0, note)
    std, origin = _sigma(rows, fix, tally)
    return Positions(
        name=name,
        rank=gnss_rank(fix),
        time=rows.time if rows.unix else fit.to_utc(rows.time),
        lon=lon[keep],
        lat=lat[keep],
        height_m=alt + np.where(np.isfinite(undulation), undulation, usual),
        height_source_m=alt,
        height_ref="receiver-geoid",
        std_ned_m=std,
        sigma_from=origin,
        fix=fix.astype(np.uint8),
        clock=clock,
        point="antenna",
        velocity_ned=_course(rows),
    )


def _sigma(rows: Rows, fix: NDArray[np.uint8], tally: Tally) -> tuple[Float, str]:
    """Return the accuracy that the receiver states, else that of the kind of fix; and where it comes from."""
    horizontal, _, vertical = usual_sigma(fix).T
    stated = rows.numbers("h_acc", "v_acc", scale=METERS_PER_MM)
    known: NDArray[np.bool_] = np.all((stated > 0.0) & (stated < ACCURACY_LIMIT_M), axis=1)
    tally.assumptions.append(
        f"accuracy that {rows.name} states taken as the standard uncertainty per axis"
        if known.any()
        else f"position uncertainty of {rows.name} by kind of fix: it states none"
    )
    horizontal = np.where(known, stated[:, 0], horizontal)
    sigma = np.column_stack([horizontal, horizontal, np.where(known, stated[:, 1], vertical)])
    return sigma, sigma_origin(known)


def _course(rows: Rows) -> Float:
    """Return the velocity over ground from speed and course; its vertical part is not sent."""
    raw = rows.numbers("vel", "cog")
    raw[(raw == UNKNOWN_U16).any(axis=1)] = np.nan
    speed, course = raw[:, 0] * M_S_PER_CM_S, np.radians(raw[:, 1] * DEGREES_PER_CDEG)
    return np.column_stack([speed * np.cos(course), speed * np.sin(course), np.full(speed.size, np.nan)])


def filtered(
    vehicle: Vehicle, receivers: Sequence[Positions], fit: ClockFit, clock: Clock, tally: Tally
) -> Positions | None:
    """Return the filter's positions, with the undulation and the accuracy of the receiver with most fixes."""
    rows = vehicle.rows(FILTER, tally)
    if rows is None:
        return None
    lat, lon = rows.numbers("lat", "lon", scale=DEGREES).T
    alt = rows.numbers("alt", scale=METERS_PER_MM)[:, 0]
    keep = plausible(FILTER, rows.time, lon, lat, alt, tally)
    if not keep.size:
        return None
    rows = Rows(FILTER, rows.messages.take(keep), rows.time[keep])
    time, alt = fit.to_utc(rows.time), alt[keep]
    undulation, std, origin = np.nan, usual_sigma(np.full(keep.size, SINGLE_FIX, np.uint8)), "default"
    if receivers:
        best = max(receivers, key=lambda each: each.time.size)
        at, elapsed = time - best.time[0], best.time - best.time[0]
        std, origin = (
            np.column_stack([np.interp(at, elapsed, column) for column in best.std_ned_m.T]),
            best.sigma_from,
        )
        above = best.height_m - best.height_source_m
        undulation = float(np.median(above[np.isfinite(above)])) if np.isfinite(above).any() else np.nan
    return Positions(
        name=FILTER,
        rank=Rank.FILTER,
        time=time,
        lon=lon[keep],
        lat=lat[keep],
        height_m=alt + undulation,
        height_source_m=alt,
        height_ref="receiver-geoid",
        std_ned_m=std,
        sigma_from=origin,
        fix=np.full(keep.size, FILTER_FIX, dtype=np.uint8),
        clock=clock,
        point="imu",
        velocity_ned=rows.numbers("vx", "vy", "vz", scale=M_S_PER_CM_S),
    )
