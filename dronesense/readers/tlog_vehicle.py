"""One vehicle in a MAVLink log: which sender, which of its lives, its messages in order of time.

A ground station records whatever it hears: several systems, cameras, itself; and it records on when the
autopilot restarts. What it hears late comes late: rows are put in the order of the sender's clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers.mavlink_frames import Messages, Telemetry
from dronesense.readers.stamps import EARLIEST_NS, LATEST_NS
from dronesense.readers.streams import spikes
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_MS

NS_PER_US: Final = 1000
UNIX_CLOCK_US: Final = 10**15
"""A `time_usec` beyond 10^15 µs (31 years) is Unix time, one below is time since boot (mavlink#496)."""

AUTOPILOT: Final = 1
"""Component id of a vehicle's autopilot (MAV_COMP_ID_AUTOPILOT1)."""
POSITIONS: Final = ("GLOBAL_POSITION_INT", "GPS_RAW_INT", "GPS2_RAW")
CLOCKED: Final = (
    "SYSTEM_TIME",
    "ATTITUDE",
    "ATTITUDE_QUATERNION",
    "GLOBAL_POSITION_INT",
    "LOCAL_POSITION_NED",
    "SCALED_PRESSURE",
)
"""Messages with `time_boot_ms` that tell restarts."""

NAMED_LIVES: Final = 8
"""Parts between restarts whose length a warning tells."""
RESTART_MS: Final = 10_000
"""A clock since boot that falls back by more has started again; less is a message that came late, ms."""


def dated(stamp_us: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell the stamps, µs of Unix time, that a log can have."""
    return np.asarray((stamp_us > EARLIEST_NS // NS_PER_US) & (stamp_us < LATEST_NS // NS_PER_US), dtype=bool)


@dataclass(frozen=True, slots=True)
class Life:
    """The messages from byte *first* up to *last*, between two restarts, over *span_s* of the clock."""

    first: int
    last: int
    span_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Messages in the order of their sender's clock.

    Parameters
    ----------
    name : str
        Message.
    messages : Messages
        The rows.
    time : (n,) int64
        Strictly increasing, ns: since boot, or UTC where *unix*.
    unix : bool
        What `time` counts from.
    """

    name: str
    messages: Messages
    time: NDArray[np.int64]
    unix: bool = False

    def numbers(self, *columns: str, scale: float = 1.0) -> NDArray[np.float64]:
        """Return fields as (n, len(columns)) float64, times *scale*."""
        with np.errstate(invalid="ignore"):  # a damaged number may be a signaling NaN
            return np.column_stack([self.messages[column].astype(np.float64) * scale for column in columns])

    def where(self, good: NDArray[np.bool_]) -> Rows:
        """Return the rows that are *good*."""
        return Rows(self.name, self.messages.where(good), self.time[good], self.unix)


@dataclass(frozen=True, slots=True, eq=False)
class Vehicle:
    """One life of one sender.

    Parameters
    ----------
    log : Telemetry
        The log.
    system, component : int
        The sender.
    life : Life
        The piece of the log.
    """

    log: Telemetry
    system: int
    component: int
    life: Life

    def messages(self, name: str, *, any_component: bool = False) -> Messages | None:
        """Return the messages *name* of this life, in the order of the log; None if there is none."""
        if name not in self.log:
            return None
        found = self.log[name]
        own = (found.system == self.system) & ((found.component == self.component) | any_component)
        own &= (found.offsets >= self.life.first) & (found.offsets < self.life.last)
        return found.where(own) if own.any() else None

    def rows(self, name: str, tally: Tally) -> Rows | None:
        """Return the messages *name* in order of time; None if there is none with a time."""
        found = self.messages(name)
        if found is None:
            return None
        if "time_boot_ms" in found:
            return _in_order(name, found, found["time_boot_ms"].astype(np.int64) * NS_PER_MS, tally)
        stamp = found["time_usec"]
        unix = bool(np.count_nonzero(stamp > UNIX_CLOCK_US) * 2 > stamp.size)
        good = (stamp > UNIX_CLOCK_US) == unix
        time = np.where(good, stamp, 0).astype(np.int64)
        if unix:
            good &= dated(time)
        good = tally.keep(good & (stamp > 0), f"{name}: clock not set")
        return _in_order(name, found.where(good), time[good] * NS_PER_US, tally, unix=unix)


def _in_order(
    name: str, found: Messages, time: NDArray[np.int64], tally: Tally, *, unix: bool = False
) -> Rows | None:
    """Return rows sorted by *time*, of equal ones the first that came; None if there is none."""
    order = np.argsort(time, kind="stable")
    first = np.diff(time[order], prepend=-1) > 0
    index = order[tally.keep(first, f"{name}: same time stamp again")]
    return Rows(name, found.take(index), time[index], unix) if index.size else None


def senders(log: Telemetry) -> Counter[tuple[int, int]]:
    """Return who sends positions: (system, component) -> rows."""
    counts: Counter[tuple[int, int]] = Counter()
    for name in POSITIONS:
        if name in log:
            found = log[name]
            pairs, rows = np.unique(
                np.column_stack([found.system, found.component]), axis=0, return_counts=True
            )
            counts.update(dict(zip(map(tuple, pairs.tolist()), rows.tolist(), strict=True)))
    return counts


def pick(log: Telemetry, system: int | None, *, label: str, tally: Tally) -> Vehicle:
    """Return the longest life of the vehicle *system*, or (None) of the one with most positions.

    Raises
    ------
    ReadError
        If nobody, or not that system, sends positions.
    """
    counts = senders(log)
    if not counts:
        raise ReadError(
            f"no vehicle in it sends a position ({', '.join(POSITIONS)})",
            where=label,
            fix="use a log of a flight with GPS",
        )
    mine = {pair: rows for pair, rows in counts.items() if system in (None, pair[0])}
    if not mine:
        known = sorted({pair[0] for pair in counts})
        raise ReadError(
            f"no vehicle of system id {system} in it sends a position",
            where=label,
            fix=f"use one of the system ids {', '.join(map(str, known))}",
        )
    best = max(mine, key=lambda pair: (pair[1] == AUTOPILOT, mine[pair], -pair[0]))
    for pair, rows in sorted(counts.items()):
        if pair != best:
            tally.dropped[f"positions of system {pair[0]}, component {pair[1]}"] += rows
    others = sorted({pair[0] for pair in counts} - {best[0]})
    if others and system is None:
        tally.warnings.append(
            f"several vehicles: system {best[0]} is used, {', '.join(map(str, others))} not "
            f'(source = "auto@{others[0]}" takes that one)'
        )
    return Vehicle(log, *best, _longest(lives(log, best), tally))


def lives(log: Telemetry, sender: tuple[int, int]) -> list[Life]:
    """Return the pieces of the log between restarts of *sender*, in the order of the log."""
    offsets, clocks = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for name in CLOCKED:
        if name in log:
            found = log[name]
            own = (found.system == sender[0]) & (found.component == sender[1])
            offsets.append(found.offsets[own])
            clocks.append(found["time_boot_ms"][own].astype(np.int64))
    offset, clock = np.concatenate(offsets), np.concatenate(clocks)
    if not offset.size:
        return [Life(0, log.size, 0.0)]
    order = np.argsort(offset)
    offset, clock = offset[order], clock[order]
    sound = ~spikes(clock, RESTART_MS)
    offset, clock = (offset[sound], clock[sound]) if sound.any() else (offset, clock)
    restart = np.flatnonzero(np.diff(clock) < -RESTART_MS) + 1
    edges = [0, *offset[restart].tolist(), log.size]
    return [
        Life(first, last, float(np.ptp(part)) / 1000.0)
        for first, last, part in zip(edges[:-1], edges[1:], np.split(clock, restart), strict=True)
    ]


def _longest(found: Sequence[Life], tally: Tally) -> Life:
    best = max(found, key=lambda life: life.span_s)
    if len(found) > 1:
        spans = ", ".join(f"{life.span_s:.0f} s" for life in found[:NAMED_LIVES])
        spans += ", ..." if len(found) > NAMED_LIVES else ""
        tally.warnings.append(
            f"the autopilot started {len(found)} times ({spans}): only part {found.index(best) + 1}, the "
            "longest, is used; cut the log to use another"
        )
    return best
