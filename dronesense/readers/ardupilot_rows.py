"""Rows of ArduPilot messages on the clock since boot, without those whose stamps cannot be true.

Firmware since 3.3 stamps every row with ``TimeUS``, 3.1 and 3.2 most of them with ``TimeMS``. Older logs have
no clock but the GPS time of the ``GPS`` rows: the rows between two fixes are spread over the time between
them in the order of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.dataflash import MessageLog, Messages
from dronesense.readers.streams import SPIKE_WINDOW, Float, Mask, increasing, spikes, usual_step
from dronesense.readers.tally import Tally
from dronesense.timescale import MS_PER_WEEK

NS_PER_US: Final = 1000
US_PER_MS: Final = 1000

SPIKE_STEPS: Final = 4.0
"""A stamp further from the running median than this many usual steps is damaged; two occur at the ends."""
END_GAP_US: Final = 60_000_000
"""First and last stamps further from the rest than a minute are damaged, µs."""
SPIKE_FLOOR_US: Final = 500_000
"""Time stamps may be this far out of step for other reasons (a busy logger), µs."""
LAST_US: Final = 9_000_000_000_000_000
"""No stamp is later, µs: the year 2255 for a boot clock that counts from 1970."""

TOW_COLUMNS: Final = ("GMS", "GPSTimeMS", "TimeMS", "Time")
"""Names of the GPS time of week (ms) in the ``GPS`` rows of the firmwares, newest first."""
WEEK_COLUMNS: Final = ("GWk", "Week")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a message that passed the gates so far.

    Parameters
    ----------
    name : str
        Message, with the instance where there are several.
    messages : Messages
        The decoded type.
    index : (n,) int64
        Rows of `messages` that are kept.
    time_us : (n,) int64
        Boot clock, strictly increasing, µs.
    """

    name: str
    messages: Messages
    index: NDArray[np.intp]
    time_us: NDArray[np.int64]

    def __contains__(self, column: str) -> bool:
        return column in self.messages.numeric

    def __getitem__(self, column: str) -> NDArray[Any]:
        values = self.messages[column]
        return values if self.index.size == self.messages.count else values[self.index]

    def numbers(self, *columns: str) -> Float:
        """Return columns as (n, len(columns)) float64."""
        return np.column_stack([self[column].astype(np.float64) for column in columns])

    def where(self, good: Mask) -> Rows:
        """Return the rows that are *good*."""
        return Rows(self.name, self.messages, self.index[good], self.time_us[good])

    def epoch_columns(self) -> tuple[str | None, str | None]:
        """Return the columns of the GPS time of week (ms) and of the week; None where there is none."""
        return _epoch_columns(self.messages)


class Stamps:
    """The boot clock of a log.

    Attributes
    ----------
    log : MessageLog
        The log.
    by_order : bool
        The rows have no stamps: their time is that of the fixes around them in the file.
    """

    def __init__(self, log: MessageLog) -> None:
        self.log = log
        gps = log.get("GPS")
        self.by_order = gps is not None and _own_clock("GPS", gps) is None and "Time" in gps.numeric

    def rows(
        self, name: str, tally: Tally, *, instance: int | None = None, column: str = "", regular: bool = True
    ) -> Rows | None:
        """Return the rows of *name* in order of time, or None if there are none.

        Parameters
        ----------
        name : str
            Message.
        tally : Tally
            Takes the refusals.
        instance : int, optional
            Take only rows whose instance column has this value.
        column : str
            The instance column where the log does not name it.
        regular : bool
            The rows are samples: one far out of step with its neighbors is refused. False for events.
        """
        if name not in self.log:
            return None
        messages = self.log[name]
        stamps = self._of(name, messages)
        if stamps is None:
            tally.warnings.append(f"{name} has no time stamps and is not used")
            return None
        label = name
        index = np.arange(messages.count)
        if instance is not None:
            column = messages.format.instance or column
        if instance is not None and column in messages.numeric:
            own = messages[column] == instance
            label = name if own.all() else f"{name}[{instance}]"
            index = index[own]
        index = index[tally.keep(messages.confirmed[index], f"{label}: followed by bytes that are no record")]
        known = tally.keep((stamps[index] >= 0) & (stamps[index] <= LAST_US), f"{label}: no time stamp")
        index = index[known]
        if regular:
            index = index[tally.keep(~_stray(stamps[index]), f"{label}: time stamp out of order")]
        index = index[tally.keep(increasing(stamps[index]), f"{label}: time stamp out of order")]
        return Rows(label, messages, index, stamps[index]) if index.size else None

    def _of(self, name: str, messages: Messages) -> NDArray[np.int64] | None:
        """Return the boot clock of all rows, µs, -1 where it is not known; None without any."""
        if not self.by_order:
            return _own_clock(name, messages)
        places, time_us = self._fixes
        if not places.size:
            return None
        known = (messages.offsets >= places[0]) & (messages.offsets <= places[-1])
        spread = np.interp(messages.offsets, places, (time_us - time_us[0]).astype(np.float64))
        return np.where(known, np.rint(spread).astype(np.int64) + time_us[0], -1)

    @cached_property
    def _fixes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return places and GPS times of week (µs, counted on over the end of a week) of the GPS rows."""
        gps = self.log["GPS"]
        tow = gps["Time"].astype(np.int64)
        good = (tow > 0) & (tow < MS_PER_WEEK) & gps.confirmed
        if "Status" in gps:
            good &= gps["Status"] > 0
        places, tow = gps.offsets[good], tow[good]
        tow = tow + np.cumsum(np.diff(tow, prepend=tow[:1]) < -MS_PER_WEEK // 2) * MS_PER_WEEK
        good = increasing(tow) & ~_stray(tow * US_PER_MS)
        return places[good], tow[good] * US_PER_MS

    @property
    def step_s(self) -> float:
        """The usual time between the fixes that rows `by_order` are spread over, s."""
        return usual_step(self._fixes[1]) / 1e6 if self.by_order else 0.0


def instances(column: NDArray[Any]) -> list[int]:
    """Return the different values of an instance column, increasing."""
    if column.dtype.itemsize == 1:  # counted, not sorted: the columns are long and the values few
        counted = np.flatnonzero(np.bincount(column.view(np.uint8), minlength=256)).astype(np.uint8)
        column = np.sort(counted.view(column.dtype))
    return [int(value) for value in np.unique(column)]


def _own_clock(name: str, messages: Messages) -> NDArray[np.int64] | None:
    """Return the stamps that the rows carry themselves, µs."""
    tow, _ = _epoch_columns(messages) if name.startswith("GPS") else (None, None)
    for column, factor in (("TimeUS", 1), ("T", US_PER_MS), ("TimeMS", US_PER_MS)):
        of_boot = column != tow and (column != "T" or tow == "TimeMS")
        if column in messages.numeric and of_boot and messages[column].dtype.kind in "iu":
            return messages[column].astype(np.int64) * factor
    return None


def _epoch_columns(messages: Messages) -> tuple[str | None, str | None]:
    tow = next((column for column in TOW_COLUMNS if column in messages.numeric), None)
    return tow, next((column for column in WEEK_COLUMNS if column in messages.numeric), None)


def _stray(time_us: NDArray[np.int64]) -> Mask:
    """Tell the stamps that are out of step with their neighbors; a mere gap is none.

    For stamps in order the running median is the stamp itself. At the ends, where it is not, only stamps
    on the wrong side of the third, or a minute away from it, are stray.
    """
    bad = spikes(time_us, SPIKE_STEPS * usual_step(time_us) + SPIKE_FLOOR_US)
    if time_us.size >= SPIKE_WINDOW:
        half = SPIKE_WINDOW // 2
        ahead = time_us[half] - time_us[:half]
        behind = time_us[-half:] - time_us[-half - 1]
        bad[:half] = (ahead < 0) | (ahead > END_GAP_US)
        bad[-half:] = (behind < 0) | (behind > END_GAP_US)
    return bad
