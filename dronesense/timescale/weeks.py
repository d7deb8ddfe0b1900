"""Stamps that leave their week or day open: time of week, short week numbers, time of day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import ReadError
from dronesense.timescale.epochs import GPS_EPOCH_S, NS_PER_S, gps_ns_to_utc_ns, to_iso

S_PER_DAY: Final = 86_400
S_PER_WEEK: Final = 7 * S_PER_DAY
ROLLOVER_WEEKS: Final = 1024
"""The week number that GPS sends has 10 bits (IS-GPS-200N, 20.3.3.3.1.1)."""

LONGEST_DAY_S: Final = S_PER_DAY + 1
"""A time of day may count an inserted leap second, 23:59:60."""
LAST_TOW_S: Final = 2 * S_PER_WEEK
"""Survey software may count on over the end of the week; nothing counts two weeks."""
LAST_GPS_S: Final = 2**33
"""A count of GPS seconds beyond the year 2252 is no stamp (and would not fit into int64 ns much later)."""
FIRST_YEAR: Final = 1980
LAST_YEAR: Final = 2251
"""Years of a date that the stamps of the log are counted from."""


def gps_seconds_to_utc_ns(seconds: ArrayLike, *, where: str | Path | None = None) -> NDArray[np.int64]:
    """Return UTC of a count of GPS seconds since 1980-01-06T00:00:00Z.

    Parameters
    ----------
    seconds : array_like
        GPS seconds; as float64 they keep 0.24 µs.
    where : str or Path, optional
        File, for messages.

    Returns
    -------
    ndarray of int64
        UTC, ns since 1970-01-01.

    Raises
    ------
    ReadError
        If a count is not finite, negative, or beyond the year 2252.

    Examples
    --------
    >>> to_iso(int(gps_seconds_to_utc_ns(1_340_119_934.25)))
    '2022-06-24T15:31:56.250Z'
    """
    return gps_ns_to_utc_ns(_whole_ns(seconds, LAST_GPS_S, "GPS seconds since 1980-01-06", where))


def gps_tow_to_utc_ns(
    tow_s: ArrayLike, *, date: dt.date, where: str | Path | None = None
) -> NDArray[np.int64]:
    """Return UTC of a series of GPS times of week that comes without its week.

    The week is the one in which the first stamp falls on *date*; the roll-over at 604,800 s inside the
    series is undone: each stamp is put into the week that brings it nearest to the stamp before it.

    Parameters
    ----------
    tow_s : (n,) array_like
        GPS time of week, s, in the order of the log.
    date : datetime.date
        UTC day of the first stamp. One day beside it is taken too (a local date): the time of week itself
        says which day of the week it was.
    where : str or Path, optional
        File, for messages.

    Returns
    -------
    (n,) int64
        UTC, ns since 1970-01-01, leap seconds taken off.

    Raises
    ------
    ReadError
        If a stamp is not finite or not a time of week, or if the first stamp lies more than a day away from
        *date* in every week.

    Examples
    --------
    >>> to_iso(gps_tow_to_utc_ns([604_799.0, 1.0], date=dt.date(2026, 6, 13))).tolist()
    ['2026-06-13T23:59:41.000Z', '2026-06-13T23:59:43.000Z']
    """
    tow_ns = np.atleast_1d(_whole_ns(tow_s, LAST_TOW_S, "GPS seconds of the week", where))
    if tow_ns.size == 0:
        return tow_ns
    day_gps_s = _day_s(date, where) - GPS_EPOCH_S
    middle_ns = (day_gps_s + S_PER_DAY // 2) * NS_PER_S
    week = round((middle_ns - int(tow_ns[0])) / (S_PER_WEEK * NS_PER_S))
    utc = gps_ns_to_utc_ns(_unwrapped(tow_ns, S_PER_WEEK * NS_PER_S) + week * S_PER_WEEK * NS_PER_S)
    first = dt.date.fromisoformat(to_iso(int(utc[0]))[:10])
    if abs((first - date).days) > 1:
        raise ReadError(
            f"the first time of week, {tow_ns[0] / NS_PER_S:.0f} s, falls on a {first:%A}, "
            f"but {date.isoformat()} is a {date:%A}",
            where=where,
            fix=f"set date under [track] to the UTC day on which the log starts (nearest: {first})",
        )
    return utc


def day_seconds_to_utc_ns(
    seconds_of_day: ArrayLike, *, date: dt.date, where: str | Path | None = None
) -> NDArray[np.int64]:
    """Return UTC of a series of UTC times of day.

    A step back of more than 12 hours is midnight; a smaller one is left as it is, for the caller to judge. A
    series never runs before *date*.

    Parameters
    ----------
    seconds_of_day : (n,) array_like
        Seconds since 00:00 UTC, in the order of the log.
    date : datetime.date
        UTC day of the first stamp.
    where : str or Path, optional
        File, for messages.

    Returns
    -------
    (n,) int64
        UTC, ns since 1970-01-01.

    Raises
    ------
    ReadError
        If a stamp is not finite or not a time of day.

    Examples
    --------
    >>> to_iso(day_seconds_to_utc_ns([86_399.5, 0.5], date=dt.date(2026, 6, 14))).tolist()
    ['2026-06-14T23:59:59.500Z', '2026-06-15T00:00:00.500Z']
    """
    of_day = np.atleast_1d(_whole_ns(seconds_of_day, LONGEST_DAY_S, "seconds of the day", where))
    return _unwrapped(of_day, S_PER_DAY * NS_PER_S) + _day_s(date, where) * NS_PER_S


def unroll_week(
    week: ArrayLike, *, near: dt.date | None = None, not_before: dt.date | None = None
) -> NDArray[np.int64]:
    """Return full GPS weeks of week numbers modulo 1024.

    Parameters
    ----------
    week : array_like of int
        Week numbers; of larger ones the last 10 bits are taken.
    near, not_before : datetime.date
        One of the two: the full week nearest to that of the date, or the first one from it on (for instance
        the day on which the firmware was built).

    Returns
    -------
    ndarray of int64
        Weeks since 1980-01-06.

    Raises
    ------
    ValueError
        If both dates are given, or none.

    References
    ----------
    IS-GPS-200N, 20.3.3.3.1.1.

    Examples
    --------
    >>> unroll_week([299, 0], near=dt.date(2025, 1, 3)).tolist()
    [2347, 2048]
    """
    if (near is None) == (not_before is None):
        raise ValueError("give either near or not_before")
    day = near if near is not None else not_before
    assert day is not None
    reference = (_day_s(day) - GPS_EPOCH_S) // S_PER_WEEK
    lowest = reference if near is None else reference - ROLLOVER_WEEKS // 2
    return np.asarray(lowest + (np.asarray(week, dtype=np.int64) - lowest) % ROLLOVER_WEEKS, dtype=np.int64)


def unroll_utc_ns(utc_ns: NDArray[np.int64], *, near: dt.date) -> NDArray[np.int64]:
    """Return UTC stamps of a receiver that lost count of the week, moved by whole 1024 weeks near a date.

    Such receivers (their dates are 19.6 years early) still apply the leap seconds that the satellites send,
    so the stamps differ from the truth by whole days.

    Parameters
    ----------
    utc_ns : (n,) int64
        UTC as the receiver has it, ns.
    near : datetime.date
        A day within 9.8 years of the flight.

    Returns
    -------
    (n,) int64
        UTC, ns; all stamps are moved by the same amount, that of the first.

    Examples
    --------
    >>> to_iso(unroll_utc_ns(np.array([936_000_000 * 10**9]), near=dt.date(2019, 4, 20))).tolist()
    ['2019-04-15T08:00:00.000Z']
    """
    stamps = np.asarray(utc_ns, dtype=np.int64)
    if stamps.size == 0:
        return stamps
    period_ns = ROLLOVER_WEEKS * S_PER_WEEK * NS_PER_S
    turns = round((_day_s(near) * NS_PER_S - int(stamps[0])) / period_ns)
    return np.asarray(stamps + turns * period_ns, dtype=np.int64)


def _day_s(date: dt.date, where: str | Path | None = None) -> int:
    """Return 00:00 UTC of *date* in POSIX seconds."""
    if not FIRST_YEAR <= date.year <= LAST_YEAR:
        raise ReadError(f"{date.isoformat()} is not the day of a flight", where=where, fix="correct date")
    return (date - dt.date(1970, 1, 1)).days * S_PER_DAY


def _whole_ns(seconds: ArrayLike, end_s: float, name: str, where: str | Path | None) -> NDArray[np.int64]:
    """Return seconds as whole ns; refuse what is not within 0 to *end_s*."""
    value = np.asarray(seconds)
    bad = np.flatnonzero(~((value >= 0) & (value < end_s)))
    if bad.size:
        raise ReadError(
            f"stamp {int(bad[0]) + 1} of {value.size}, {value.flat[bad[0]]}, is not a count of {name}",
            where=where,
            fix="check that the file is what its name says, and the time scale under [track]",
        )
    whole = np.floor(value).astype(np.int64)
    part_ns = np.rint((value - whole) * NS_PER_S).astype(np.int64)
    return np.asarray(whole * NS_PER_S + part_ns, dtype=np.int64)


def _unwrapped(stamps: NDArray[np.int64], period: int) -> NDArray[np.int64]:
    """Return cyclic stamps counted on: a step of more than half a period is a roll-over.

    A roll-over back is only believed after one forward (late stamps around midnight): a clock that starts at
    0 until it is set does not put the log on the day before.
    """
    turns = np.zeros(stamps.size, dtype=np.int64)
    turns[1:] = np.cumsum(-np.rint(np.diff(stamps) / period).astype(np.int64))
    return stamps + (turns - np.minimum.accumulate(turns)) * period
