"""Times of day and dates of NMEA sentences to UTC.

A sentence has the time of day; only RMC, ZDA and PMGNTRK have the date. Days are counted over midnights in
the order of the log, and each sentence takes the date that stands nearest to it, before or after.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock
from dronesense.readers.nmea_sentences import Sentences
from dronesense.readers.streams import Float, Mask
from dronesense.readers.tally import Tally
from dronesense.timescale import (
    NS_PER_S,
    ROLLOVER_WEEKS,
    S_PER_DAY,
    S_PER_WEEK,
    day_seconds_to_utc_ns,
    to_iso,
    unroll_utc_ns,
)

NO_STAMP: Final = int(np.iinfo(np.int64).min)

TIME_FIELD: Final = {"GGA": 1, "RMC": 1, "GLL": 5, "GST": 1, "ZDA": 1, "PASHR": 1, "PMGNTRK": 7}
"""Formatter or address -> field with the time of day, ``hhmmss.sss``."""

DAY_NS: Final = S_PER_DAY * NS_PER_S
_EPOCH: Final = dt.date(2000, 1, 1)
_EPOCH_DAY: Final = (_EPOCH - dt.date(1970, 1, 1)).days
CENTURY_SPLIT: Final = 80
"""Years of two digits from here on are those of the last century: GPS starts in 1980."""
FIRST_DAY: Final = _EPOCH_DAY
"""A date before 2000 is that of a receiver which counts its weeks modulo 1024: no drone logged before."""
DOUBTFUL_DAY: Final = (dt.date(2010, 1, 1) - dt.date(1970, 1, 1)).days
"""Dates before 2010 may be 1024 weeks early as well; they are kept, with a warning."""
LAST_DAY: Final = (dt.date(2200, 1, 1) - dt.date(1970, 1, 1)).days
ROLLOVER_DAYS: Final = ROLLOVER_WEEKS * S_PER_WEEK // S_PER_DAY
MINUTES_PER_HOUR: Final = 60
S_PER_MINUTE: Final = 60
LEAP_SECOND: Final = 61
"""Seconds of a minute count to here where one is inserted."""
TIME_BYTES: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """When each sentence of a log was true.

    Parameters
    ----------
    utc : (n,) int64
        UTC ns, :data:`NO_STAMP` for sentences without a time.
    clock : Clock
        How the day was found.
    timed : (k,) intp
        Sentences that have a stamp.
    """

    utc: NDArray[np.int64]
    clock: Clock
    timed: NDArray[np.intp]

    def borrowed(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the stamps of sentences without a time of their own: that of the epoch they were sent with.

        It is the epoch after them if the log starts with such a sentence, else the one before them.
        """
        if not self.timed.size or not rows.size:
            return np.full(rows.shape, NO_STAMP)
        leads = bool(rows[0] < self.timed[0])
        at = np.searchsorted(self.timed, rows) - (0 if leads else 1)
        inside = (at >= 0) & (at < self.timed.size)
        return np.where(inside, self.utc[self.timed[np.clip(at, 0, self.timed.size - 1)]], NO_STAMP)


def sound_rows(rows: NDArray[np.intp], good: Mask, reason: str, tally: Tally) -> NDArray[np.intp]:
    """Return the *good* ones of *rows*; the others are counted under *reason*."""
    return rows[tally.keep(good, reason)]


def seconds_of_day(value: Float) -> Float:
    """Return seconds since midnight of ``hhmmss.sss``, NaN where that is no time of day.

    Examples
    --------
    >>> seconds_of_day(np.array([235959.5, 1261.0])).tolist()
    [86399.5, nan]
    """
    hours = np.floor(value / 1e4)
    minutes = np.floor(value / 1e2) - 1e2 * hours
    seconds = value - 1e4 * hours - 1e2 * minutes
    good = (value >= 0.0) & (hours < 24) & (minutes < MINUTES_PER_HOUR) & (seconds < LEAP_SECOND)
    total = (hours * MINUTES_PER_HOUR + minutes) * S_PER_MINUTE + seconds
    return np.where(good, np.round(total, 9), np.nan)


def stamped(sentences: Sentences, date: dt.date | None, tally: Tally, *, label: str) -> Stamps:
    """Return the UTC of every sentence that has a time.

    Parameters
    ----------
    sentences : Sentences
        The log.
    date : datetime.date or None
        UTC day of the first sentence, for a log without dates; else a day within 9.8 years of the flight.
    tally : Tally
        Takes refusals, and what was assumed of the dates.
    label : str
        What messages call the log.

    Raises
    ------
    ReadError
        If no sentence has a date and *date* is None.
    """
    rows, of_day, decimals = _times(sentences, tally)
    utc = np.full(len(sentences), NO_STAMP)
    if not rows.size:
        return Stamps(utc, Clock("relative", 0.0), rows)
    counted = day_seconds_to_utc_ns(of_day, date=_EPOCH, where=label)
    dated, days = _dates(sentences)
    days, note = _plausible_days(days, date, tally)
    known = days >= 0
    tally.keep(known, "date before 2000 or none")
    anchors = _anchors(rows, counted, dated[known], days[known])
    sigma_s = 10.0**-decimals / math.sqrt(12.0)
    if anchors is not None:
        clock = Clock("exact", sigma_s, note=note)
    elif date is not None:
        anchors = np.full(rows.size, (date - _EPOCH).days, dtype=np.int64)
        tally.answered.append("date")
        clock = Clock("date-only", sigma_s, note=f"{date} is the day of the first sentence")
    else:
        raise ReadError(
            "states the time of day but no date (no RMC, no ZDA)",
            where=label,
            fix="set date = YYYY-MM-DD under [track]: the UTC day of the first sentence",
        )
    utc[rows] = counted + anchors * DAY_NS
    return Stamps(utc, clock, rows)


def _times(sentences: Sentences, tally: Tally) -> tuple[NDArray[np.intp], Float, int]:
    """Return the sentences with a time of day in the order of the log, s since midnight, and its decimals."""
    found: list[tuple[NDArray[np.intp], Float]] = []
    decimals = 0
    for name, field in TIME_FIELD.items():
        rows = sentences.by_address[name] if name in sentences.by_address else sentences.rows(name)
        if not rows.size:
            continue
        (value,), _ = sentences.columns(rows, [field])
        of_day = seconds_of_day(value)
        none = np.isnan(of_day) & np.isfinite(value)
        tally.keep(~none, f"{name} with a time of day that is none")
        good = np.isfinite(of_day)
        found.append((rows[good], of_day[good]))
        if good.any() and name != "ZDA":  # receivers write it without decimals
            _, _, part = sentences.texts(rows[good][:1], field, TIME_BYTES)[0].partition(b".")
            decimals = max(decimals, min(len(part), 9))
    if not found:
        return np.zeros(0, dtype=np.intp), np.zeros(0), 0
    rows = np.concatenate([each for each, _ in found])
    order = np.argsort(rows, kind="stable")
    return rows[order], np.concatenate([each for _, each in found])[order], decimals


def _dates(sentences: Sentences) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the sentences with a date and the day, counted from 1970; below 0 where it is none."""
    rmc = sentences.rows("RMC")
    rmc = rmc[sentences.texts(rmc, 2) == b"A"]
    zda = sentences.rows("ZDA")
    track = sentences.by_address.get("PMGNTRK", np.zeros(0, dtype=np.intp))
    parts = [
        (rmc, *_split(*sentences.columns(rmc, [9])[0])),
        (track, *_split(*sentences.columns(track, [10])[0])),
    ]
    (day, month, year), _ = sentences.columns(zda, [2, 3, 4])
    parts.append((zda, day, month, year))
    rows, day, month, year = (np.concatenate([part[k] for part in parts]) for k in range(4))
    stated = np.isfinite(day + month + year)
    order = np.flatnonzero(stated)[np.argsort(rows[stated], kind="stable")]
    return rows[order].astype(np.intp), _civil(day[order], month[order], year[order])


def _split(ddmmyy: Float) -> tuple[Float, Float, Float]:
    day = np.floor(ddmmyy / 1e4)
    month = np.floor(ddmmyy / 1e2) - 1e2 * day
    year = ddmmyy - 1e4 * day - 1e2 * month
    return day, month, np.where(year < CENTURY_SPLIT, 2000.0, 1900.0) + year


def _civil(day: Float, month: Float, year: Float) -> NDArray[np.int64]:
    """Return days since 1970-01-01, -1 where the date does not exist."""
    good = (day >= 1) & (day <= 31) & (month >= 1) & (month <= 12) & (year >= 1980) & (year < 2200)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0).astype(np.int64).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(good, day - 1, 0).astype(np.int64)
    good &= days.astype("datetime64[M]") == months
    return np.where(good, days.astype(np.int64), -1)


def _plausible_days(
    days: NDArray[np.int64], date: dt.date | None, tally: Tally
) -> tuple[NDArray[np.int64], str]:
    """Undo the rollover of the 10-bit week: near the user's *date*, else of days before 2000 only."""
    good = days >= 0
    if not good.any():
        return days, ""
    stated = int(np.median(days[good]))
    said = "date as the receiver states it"
    if date is not None:
        moved = unroll_utc_ns(np.array([stated * DAY_NS]), near=date)
        turn = int(moved[0]) // DAY_NS - stated
        if turn:
            tally.answered.append("date")
            said = f"date moved by {turn} days (rollover of the 10-bit week), to be near {date}"
        return np.where(good, days + turn, days), said
    early = good & (days < FIRST_DAY)
    moved_days = np.where(early, days + ROLLOVER_DAYS, days)
    if np.any(early & (moved_days >= FIRST_DAY)) and early[good].mean() > 0.5:
        said = f"{_iso(stated)} moved by 1024 weeks to {_iso(stated + ROLLOVER_DAYS)}"
        tally.assumptions.append(f"the receiver lost count of the week: {said}")
        tally.warnings.append(f"the log is dated {said}: set date under [track] if that is not the day")
    elif stated < DOUBTFUL_DAY and stated >= FIRST_DAY:
        tally.warnings.append(
            f"the log is dated {_iso(stated)}; a receiver that lost count of the week would mean "
            f"{_iso(stated + ROLLOVER_DAYS)}: set date under [track] to have it so"
        )
    return np.where(good & (moved_days >= FIRST_DAY), moved_days, -1), said


def _iso(day: int) -> str:
    return to_iso(day * DAY_NS)[:10]


def _anchors(
    rows: NDArray[np.intp], counted: NDArray[np.int64], dated: NDArray[np.intp], days: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Return how many days to add to the *counted* stamps of each sentence; None without any date."""
    at = np.searchsorted(rows, dated)
    both = (at < rows.size) & (rows[np.minimum(at, rows.size - 1)] == dated)
    at, days = at[both], days[both]
    if not at.size:
        return None
    shift = days - counted[at] // DAY_NS
    right = np.searchsorted(at, np.arange(rows.size))
    left = np.clip(right - 1, 0, at.size - 1)
    right = np.minimum(right, at.size - 1)
    place = np.arange(rows.size)
    near = np.where(np.abs(at[right] - place) <= np.abs(place - at[left]), right, left)
    return np.asarray(shift[near], dtype=np.int64)
