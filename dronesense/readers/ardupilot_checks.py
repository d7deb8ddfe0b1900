"""What a user should know of an ArduPilot log: damage, an end in flight."""

from __future__ import annotations

from typing import Final

import numpy as np

from dronesense.readers.ardupilot_gps import Receiver
from dronesense.readers.assembly import Positions
from dronesense.readers.dataflash import MessageLog
from dronesense.timescale import NS_PER_S

EVENT_ARMED: Final = 10
EVENT_DISARMED: Final = 11
"""`EV.Id` (ArduPilot, libraries/AP_Logger/AP_Logger.h, enum LogEvent)."""

END_S: Final = 1.0
"""Speed and height at the ends of a log are medians over this time, s."""
MOVING_M_S: Final = 2.0
"""A receiver at rest shows some 0.1 m/s, a filter that settles up to 2 m/s."""
ALOFT_M: Final = 10.0
"""Higher than this above its start a log has not landed; a receiver at rest may wander by meters."""

REGULAR_HOLES: Final = 8
"""Fewer holes are damage, not a vendor's habit."""
REGULAR_SHARE: Final = 0.6
"""Holes of one length, of all: a block that falls between two records makes the same hole as one within."""


def ends_in_flight(log: MessageLog, track: Positions, receiver: Receiver) -> str | None:
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


def _last_armed(log: MessageLog) -> bool | None:
    """Return whether the last event says armed; None if none says anything."""
    events: list[tuple[int, bool]] = []
    for name, column, armed, disarmed in (
        ("EV", "Id", EVENT_ARMED, EVENT_DISARMED),
        ("ARM", "ArmState", 1, 0),
    ):
        if name in log and {"TimeUS", column} <= log[name].numeric:
            rows = zip(log[name]["TimeUS"].tolist(), log[name][column].tolist(), strict=True)
            events += [(time, state == armed) for time, state in rows if state in (armed, disarmed)]
    return max(events)[1] if events else None


def damage(log: MessageLog) -> str:
    """Return what the holes of *log* mean, for people; thousands of them in one line."""
    total = sum(length for _, length in log.holes)
    first, length = log.holes[0]
    if len(log.holes) == 1 and first + length == log.size:
        return f"the log ends in the middle of a record or in padding ({total} bytes from byte {first} on)"
    places = f"{len(log.holes)} place(s), the first at byte {first}"
    doubt = f"; {log.doubtful} record(s) before them have no sure end: not used" if log.doubtful else ""
    return f"the log is damaged: {total} bytes hold no record, in {places}{_regular(log.holes)}{doubt}"


def _regular(holes: tuple[tuple[int, int], ...]) -> str:
    """Return the words for blocks that a vendor put into the stream at regular places, or nothing."""
    if len(holes) < REGULAR_HOLES:
        return ""
    place, length = np.array(holes).T
    lengths, of_length = np.unique(length, return_counts=True)
    size = int(lengths[np.argmax(of_length)])
    if of_length.max() < REGULAR_SHARE * length.size:
        return ""
    apart = round(float(np.median(np.diff(place))))
    return f"; most are {size} bytes long, some {apart} bytes apart: perhaps blocks that a vendor put there"
