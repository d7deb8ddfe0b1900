"""Times as DJI's programs write them: dates of any country, 12-hour clocks, stamps of whole seconds."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, ReadError
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, S_PER_DAY, parse_times, to_iso

_STAMP: Final = re.compile(
    r"(?P<a>\d{1,4})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{1,4})\.?(?:[T ,]|\s)\s*"
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})[:.](?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?"
    r"\s*(?:(?P<half>[AaPp])\.?\s?[Mm]\.?)?\s*(?P<zulu>Z)?"
)
_DATE_PARTS: Final = ("a", "mark", "b", "c")
_YEAR_DIGITS: Final = 4
_FIRST_YEAR: Final = 1980
_LAST_YEAR: Final = 2199
_MONTHS: Final = 12

_LITERAL_SHARE: Final = 0.9
"""Rows that leave more than this share of a step open for the offset say nothing beyond the stamps."""
DISAGREE_SHARE: Final = 0.01
"""Stamps that contradict the counter up to this share are single damage, not a clock that was set."""

_IN_NAME: Final = (
    re.compile(r"(\d{4})[-_](\d\d)[-_](\d\d)[_ ]+\[?(\d\d)-(\d\d)-(\d\d)\]?", re.ASCII),
    re.compile(r"(?<!\d)(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?!\d)", re.ASCII),
)
"""``DJIFlightRecord_2020-12-02_[07-50-31].csv`` and ``DJI_20230628182818_0001_T.SRT``."""


@dataclass(frozen=True, slots=True, eq=False)
class WallTimes:
    """Stamps by a wall clock.

    Parameters
    ----------
    ns : (n,) int64
        What the clock showed, as ns since 1970-01-01 by that clock; 0 where unknown.
    known : (n,) bool
        The stamp is a date and a time that exist.
    step_ns : int
        Last digit that the stamps have.
    utc : bool
        Every stamp ends with ``Z``.
    hinted : bool
        The order of day and month came from the hint.
    """

    ns: NDArray[np.int64]
    known: NDArray[np.bool_]
    step_ns: int
    utc: bool
    hinted: bool = False


def read_wall_times(texts: Sequence[str], *, near: dt.date | None, label: str) -> WallTimes:
    """Read dates with times: year first, ``day.month.year``, or slashes whose order the file or *near* tells.

    Parameters
    ----------
    texts : sequence of str
        Such as ``2026-07-27 14:00:03.5``, ``27.7.2026 14:00:03,5``, ``7/27/2026 2:00:03.5 PM``. What is no
        stamp is unknown.
    near : datetime.date, optional
        A day within one of the first stamp, by which 7/6/2026 is told from 6/7/2026.
    label : str
        File, for messages.

    Raises
    ------
    ReadError
        If the order of day and month stays open.

    Examples
    --------
    >>> times = read_wall_times(["7/27/2026 2:00:03.5 PM", "n/a"], near=None, label="log.csv")
    >>> to_iso(times.ns[:1])[0][:-1], times.known.tolist()
    ('2026-07-27T14:00:03.500', [True, False])
    """
    matches = [_STAMP.fullmatch(text.strip()) for text in texts]
    found = [match for match in matches if match is not None]
    dates = list(dict.fromkeys(match.group(*_DATE_PARTS) for match in found))
    order, hinted = _date_order(dates, near, label)
    days = {parts: _day_number(parts, order) for parts in dates}
    ns = np.zeros(len(texts), dtype=np.int64)
    known = np.zeros(len(texts), dtype=bool)
    for index, match in enumerate(matches):
        day = None if match is None else days[match.group(*_DATE_PARTS)]
        of_day = None if match is None else _of_day_ns(match)
        if day is not None and of_day is not None:
            ns[index], known[index] = day * S_PER_DAY * NS_PER_S + of_day, True
    digits = max((len(match["part"] or "") for match in found), default=0)
    return WallTimes(ns, known, 10 ** (9 - digits), bool(found) and all(m["zulu"] for m in found), hinted)


def _date_order(
    dates: Sequence[tuple[str | None, ...]], near: dt.date | None, label: str
) -> tuple[str, bool]:
    """Return the order of those dates that leave it open, and whether *near* told it."""
    unsure = [[str(part) for part in parts] for parts in dates]
    unsure = [parts for parts in unsure if len(parts[0]) < _YEAR_DIGITS and parts[1] != "."]
    first_over, second_over = (any(int(parts[place]) > _MONTHS for parts in unsure) for place in (0, 2))
    if first_over != second_over:
        return ("dmy" if first_over else "mdy"), False
    if all(_day_number(parts, "dmy") == _day_number(parts, "mdy") for parts in unsure):
        return "dmy", False
    text = "{0}{1}{2}{1}{3}".format(*unsure[0])
    if near is None or first_over:
        raise ReadError(
            f'"{text}" is either day, month or month, day',
            where=label,
            fix="set date = YYYY-MM-DD under [track], or export the log with times in UTC",
        )
    read = {order: _day_number(unsure[0], order) for order in ("dmy", "mdy")}
    fits = [order for order, day in read.items() if day is not None and abs(day - _epoch_day(near)) <= 1]
    if len(fits) != 1:
        raise ReadError(
            f'"{text}" is not near {near.isoformat()}, neither as day, month nor as month, day',
            where=label,
            fix="set date under [track] to the day on which the log starts",
        )
    return fits[0], True


def _epoch_day(date: dt.date) -> int:
    return (date - dt.date(1970, 1, 1)).days


def _day_number(parts: Sequence[str | None], order: str) -> int | None:
    """Return days since 1970 of the three parts of a date (and its mark), or None if there is no such day."""
    first, mark, second, third = (str(part) for part in parts)
    if len(first) == _YEAR_DIGITS:
        year, month, day = first, second, third
    elif mark == "." or order == "dmy":
        day, month, year = first, second, third
    else:
        month, day, year = first, second, third
    if not _FIRST_YEAR <= int(year) <= _LAST_YEAR:
        return None
    try:
        return _epoch_day(dt.date(int(year), int(month), int(day)))
    except ValueError:
        return None


def _of_day_ns(match: re.Match[str]) -> int | None:
    """Return ns since midnight, or None if there is no such time of day."""
    hour, minute, second = (int(match[name]) for name in ("hour", "minute", "second"))
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"] in "Pp" else 0)
    if hour > 23 or minute > 59 or second > 60:
        return None
    return (hour * 3600 + minute * 60 + second) * NS_PER_S + int(f"{match['part'] or '':0<9}")


def to_utc(
    wall_ns: NDArray[np.int64], zone: str | None, tally: Tally, *, label: str, rows: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return UTC of stamps by a local clock; `Tally.answered` gets ``"tz"``.

    Parameters
    ----------
    wall_ns : (n,) int64
        As of :class:`WallTimes`.
    zone : str, optional
        `TrackOptions.zone`.
    tally : Tally
        Its `answered` says that the zone was used.
    label : str
        File, for messages.
    rows : (n,) int64, optional
        Lines of the file, for messages.

    Raises
    ------
    ReadError
        If there is no zone or no such one, or a stamp does not exist in it or exists twice.
    """
    fix = 'set tz = "UTC", "+05:00" or an IANA name such as "Asia/Almaty" under [track]'
    if zone is None:
        raise ReadError("its times are local and name no zone", where=label, fix=fix)
    texts = [text.removesuffix("Z") for text in to_iso(np.atleast_1d(wall_ns), 9).tolist()]
    try:
        utc = parse_times(texts, zone=zone, rows=rows, where=label)
    except ManifestError as error:
        raise ReadError(error.what, where=label, fix=fix) from error
    tally.answered.append("tz")
    return utc


def start_in_name(name: str) -> dt.datetime | None:
    """Return the local start that DJI puts into the name of a file, or None.

    Examples
    --------
    >>> print(start_in_name("Geotag_DJI_2020-12-02_[07-50-31].csv"))
    2020-12-02 07:50:31
    """
    for pattern in _IN_NAME:
        for match in pattern.finditer(name):
            year, month, day, hour, minute, second = (int(part) for part in match.groups())
            try:
                return dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - a wall clock
            except ValueError:
                continue
    return None


def wall_ns(moment: dt.datetime) -> int:
    """Return a naive moment as ns since 1970-01-01 by the same clock."""
    return int(np.datetime64(moment, "ns").astype(np.int64))


@dataclass(frozen=True, slots=True)
class CoarseFit:
    """UTC of a fine counter from stamps that were cut to whole steps.

    Parameters
    ----------
    offset_ns : int
        Added to the counter.
    sigma_s : float
        Standard uncertainty of the offset, s.
    agree, stamps : int
        Stamps that the offset explains, of so many.
    worst_s : float
        Largest contradiction, s.
    """

    offset_ns: int
    sigma_s: float
    agree: int
    stamps: int
    worst_s: float

    @property
    def note(self) -> str:
        """How it was found, for people."""
        return f"{self.agree} of {self.stamps} coarse stamps agree with one start of the fine clock"

    def warning(self) -> str:
        """Return what to tell where more stamps disagree than single damage explains, or nothing."""
        wrong = self.stamps - self.agree
        if wrong <= max(1.0, DISAGREE_SHARE * self.stamps):
            return ""
        return (
            f"{wrong} of {self.stamps} time stamps contradict the counter beside them, by up to "
            f"{self.worst_s:.3f} s: a clock was set, or two flights are in one file"
        )


def fit_coarse(counter_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], step_ns: int) -> CoarseFit:
    """Fit ``utc = counter + offset`` to stamps cut to a step: ``stamp <= utc < stamp + step`` for each row.

    Every row bounds the offset from both sides; the middle of the interval that most rows allow is taken. A
    step of 1 s with ten rows a second leaves 0.1 s open, that is 0.03 s standard uncertainty. Where the rows
    are no faster than the stamps they add nothing: then the stamps are taken as they are written, and may be
    late by a step.

    Parameters
    ----------
    counter_ns, stamp_ns : (n,) int64
        Fine counter and coarse stamp of the same rows, at least one.
    step_ns : int
        Step of the stamps, ns.

    Examples
    --------
    >>> counter = np.arange(50) * 100_000_000
    >>> fit = fit_coarse(counter, (counter + 7_340_000_000) // 10**9 * 10**9, 10**9)
    >>> abs(fit.offset_ns / 1e9 - 7.34) <= 0.05, fit.agree
    (True, 50)
    """
    low = stamp_ns - counter_ns
    edges = np.concatenate([low, low + step_ns])
    opens = np.repeat([1, -1], low.size)
    rank = np.lexsort((opens, edges))  # at equal edges an interval ends before the next one opens
    allowed = np.cumsum(opens[rank])
    best = int(np.argmax(allowed))
    first, last = int(edges[rank[best]]), int(edges[rank[best + 1]])
    width = last - first
    literal = width > _LITERAL_SHARE * step_ns
    offset = first if literal else first + width // 2
    beyond = np.maximum(np.maximum(low - offset, offset - (low + step_ns - 1)), 0)
    rms_s = math.sqrt(float(np.mean((beyond / NS_PER_S) ** 2)))
    spread_s = width / NS_PER_S / math.sqrt(3.0 if literal else 12.0)
    return CoarseFit(
        offset_ns=offset,
        sigma_s=math.hypot(spread_s, rms_s),
        agree=int(np.count_nonzero(beyond == 0)),
        stamps=int(low.size),
        worst_s=float(beyond.max()) / NS_PER_S,
    )
