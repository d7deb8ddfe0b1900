"""What a user should know of an ArduPilot log: damage, gaps, an end in flight, filter against receiver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import Trajectory
from dronesense.readers.ardupilot_gps import METERS_PER_DEGREE, NS_PER_US, Receiver, Rows
from dronesense.readers.dataflash import DataFlash
from dronesense.readers.streams import GAP_STEPS, between, gap_ns, usual_step
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, ClockFit, to_iso

EVENT_ARMED: Final = 10
EVENT_DISARMED: Final = 11
"""`EV.Id` (ArduPilot, libraries/AP_Logger/AP_Logger.h, enum LogEvent)."""

END_S: Final = 1.0
"""Speed and height at the ends of a log are medians over this time, s."""
MOVING_M_S: Final = 2.0
"""A receiver at rest shows some 0.1 m/s, a filter that settles up to 2 m/s."""
ALOFT_M: Final = 10.0
"""Higher than this above its start a log has not landed; a receiver at rest may wander by meters."""


def ends_in_flight(log: DataFlash, track: Trajectory, receiver: Receiver) -> str | None:
    """Return why *log* seems to end before the landing, or None.

    The last event of arming (``EV``, ``ARM``) decides. Logs without any are judged by the receiver's speed
    and by the height above the start, at their end.
    """
    armed = _last_armed(log)
    if armed is not None:
        return "the log ends while the motors are armed: it may be cut" if armed else None
    late = receiver.utc_ns >= receiver.utc_ns[-1] - END_S * NS_PER_S
    speed = float(np.median(np.linalg.norm(receiver.velocity_ned()[late, :2], axis=1)))
    if speed > MOVING_M_S:
        return f"the log ends at a speed of {speed:.1f} m/s: it may be cut"
    height, time = track.height_source_m, track.time
    first, last = (
        float(np.median(height[near]))
        for near in (time <= time[0] + END_S * NS_PER_S, time >= time[-1] - END_S * NS_PER_S)
    )
    if last - first > ALOFT_M:
        return f"the log ends {last - first:.0f} m above its start: it may be cut"
    return None


def _last_armed(log: DataFlash) -> bool | None:
    """Return whether the last event says armed; None if none says anything."""
    events: list[tuple[int, bool]] = []
    for name, column, armed, disarmed in (
        ("EV", "Id", EVENT_ARMED, EVENT_DISARMED),
        ("ARM", "ArmState", 1, 0),
    ):
        if name in log and {"TimeUS", column} <= set(log[name]):
            rows = zip(log[name]["TimeUS"].tolist(), log[name][column].tolist(), strict=True)
            events += [(time, state == armed) for time, state in rows if state in (armed, disarmed)]
    return max(events)[1] if events else None


def note_gaps(name: str, time: NDArray[np.int64], tally: Tally) -> None:
    """Warn of gaps in a stream: a piece of the log may be missing even where its bytes are sound."""
    step = np.diff(time)
    gaps = np.flatnonzero(step > GAP_STEPS * usual_step(time))
    if gaps.size:
        worst = gaps[np.argmax(step[gaps])]
        tally.warnings.append(
            f"{name}: {gaps.size} gap(s), the longest {step[worst] / NS_PER_S:.2f} s "
            f"from {to_iso(int(time[worst]))}"
        )


def residuals(pos: Rows, receiver: Receiver, clock: ClockFit) -> Mapping[str, float] | None:
    """Return the median and 95th percentile of filter minus receiver, horizontal distance and height, m."""
    time = clock.to_utc(pos.time_us * NS_PER_US)
    place = between(time, receiver.utc_ns, gap_ns(time))
    lat, lon, alt = (
        place.linear(pos["Lat"]),
        place.longitude(pos["Lng"]),
        place.linear(pos["Alt"].astype(np.float64)),
    )
    north = (lat - receiver.rows["Lat"]) * METERS_PER_DEGREE
    east = (
        ((lon - receiver.rows["Lng"] + 180.0) % 360.0 - 180.0) * METERS_PER_DEGREE * np.cos(np.radians(lat))
    )
    up = alt - receiver.rows["Alt"]
    good = np.isfinite(north)
    if not good.any():
        return None
    flat, steep = np.hypot(north[good], east[good]), np.abs(up[good])
    return {
        "horizontal_p50": float(np.percentile(flat, 50)),
        "horizontal_p95": float(np.percentile(flat, 95)),
        "vertical_p50": float(np.percentile(steep, 50)),
        "vertical_p95": float(np.percentile(steep, 95)),
    }


def damage(log: DataFlash) -> str:
    """Return what the holes of *log* mean, for people."""
    total = sum(length for _, length in log.holes)
    first, length = log.holes[0]
    if len(log.holes) == 1 and first + length == log.size:
        return f"the log ends in the middle of a record or in padding ({total} bytes from byte {first} on)"
    places = f"{len(log.holes)} place(s), the first at byte {first}"
    return f"the log is damaged: {total} bytes hold no record, in {places}"
