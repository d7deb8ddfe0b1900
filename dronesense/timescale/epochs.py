"""UTC as a count of nanoseconds: units, leap seconds, GPS week and time of week, ISO text."""

from __future__ import annotations

from typing import Any, Final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
MS_PER_WEEK: Final = 7 * 86_400_000

GPS_EPOCH_S: Final = 315_964_800
"""1980-01-06T00:00:00Z in POSIX seconds (IS-GPS-200, 3.3.4)."""

LEAP_SECONDS: Final = (
    "1981-07-01", "1982-07-01", "1983-07-01", "1985-07-01", "1988-01-01", "1990-01-01",
    "1991-01-01", "1992-07-01", "1993-07-01", "1994-07-01", "1996-01-01", "1997-07-01",
    "1999-01-01", "2006-01-01", "2009-01-01", "2012-07-01", "2015-07-01", "2017-01-01",
)  # fmt: skip
"""First UTC day after each leap second since the GPS epoch (IERS Bulletin C); none after 2017."""

LEAP_TABLE_KNOWN_UNTIL: Final = "2026-06-28"
"""Expiry of the list behind the table (IERS Bulletin C 70, July 2025): whether a leap second was announced
for a later day is not known here."""

_LEAP_UTC_S: Final = np.array(LEAP_SECONDS, dtype="datetime64[s]").astype(np.int64)
_LEAP_GPS_NS: Final = (_LEAP_UTC_S - GPS_EPOCH_S + np.arange(1, len(LEAP_SECONDS) + 1)) * NS_PER_S


def gps_to_utc_ns(week: ArrayLike, tow_ms: ArrayLike) -> NDArray[np.int64]:
    """Return UTC of a GPS week and time of week.

    Parameters
    ----------
    week : array_like of int
        Full GPS week since 1980-01-06 (not modulo 1024).
    tow_ms : array_like
        Time of week, ms; fractions are kept to 1 ns.

    Returns
    -------
    ndarray of int64
        UTC, ns since 1970-01-01. A stamp within an inserted leap second (23:59:60) gets the number of the
        second after it.

    References
    ----------
    IS-GPS-200N, 3.3.4 and 20.3.3.5.2.4; leap seconds from IERS Bulletin C.

    Examples
    --------
    >>> to_iso(int(gps_to_utc_ns(2347, 481_577_800)))
    '2025-01-03T13:45:59.800Z'
    """
    tow = np.asarray(tow_ms)
    whole = tow.astype(np.int64)
    part_ns = np.rint((tow - whole) * NS_PER_MS).astype(np.int64)
    gps_ns = (np.asarray(week).astype(np.int64) * MS_PER_WEEK + whole) * NS_PER_MS + part_ns
    return gps_ns_to_utc_ns(gps_ns)


def gps_ns_to_utc_ns(gps_ns: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
    """Return UTC, ns since 1970-01-01, of GPS nanoseconds since 1980-01-06T00:00:00Z.

    Examples
    --------
    >>> to_iso(int(gps_ns_to_utc_ns(np.int64(1_419_947_177_800_000_000))))
    '2025-01-03T13:45:59.800Z'
    """
    leap = np.searchsorted(_LEAP_GPS_NS, gps_ns, side="right")
    return np.asarray(gps_ns + (GPS_EPOCH_S - leap) * NS_PER_S, dtype=np.int64)


def leap_seconds_at(utc_ns: ArrayLike) -> NDArray[np.int64]:
    """Return GPS time minus UTC, whole s, at UTC stamps.

    Examples
    --------
    >>> leap_seconds_at([1_420_070_400 * 10**9, 1_735_689_600 * 10**9]).tolist()  # 2015, 2025
    [16, 18]
    """
    return np.searchsorted(_LEAP_UTC_S * NS_PER_S, np.asarray(utc_ns, dtype=np.int64), side="right")


def leap_note(utc_ns: ArrayLike) -> str:
    """Return what to tell of stamps made from GPS time that are later than the table is known to hold.

    An empty string for earlier ones, and for none.

    Examples
    --------
    >>> leap_note([1_735_689_600 * 10**9])
    ''
    """
    stamps = np.asarray(utc_ns, dtype=np.int64)
    known = np.datetime64(LEAP_TABLE_KNOWN_UNTIL, "ns").astype(np.int64)
    if not stamps.size or stamps.max() < known:
        return ""
    return (
        f"GPS time taken as {len(LEAP_SECONDS)} s ahead of UTC: leap seconds after {LEAP_TABLE_KNOWN_UNTIL} "
        "are not in the table"
    )


@overload
def to_iso(ns: int | np.integer[Any], digits: int = 3) -> str: ...
@overload
def to_iso(ns: NDArray[np.int64], digits: int = 3) -> NDArray[np.str_]: ...
def to_iso(ns: int | np.integer[Any] | NDArray[np.int64], digits: int = 3) -> str | NDArray[np.str_]:
    """Return UTC nanoseconds as ISO 8601 text with a ``Z``, rounded to 0 to 9 *digits* of a second.

    Examples
    --------
    >>> to_iso(1_700_000_000_123_500_000), to_iso(1_700_000_000_999_999_999, 0)
    ('2023-11-14T22:13:20.124Z', '2023-11-14T22:13:21Z')
    """
    if not 0 <= digits <= 9:
        raise ValueError(f"digits must be 0 to 9, not {digits}")
    step = 10 ** (9 - digits)
    rounded = (np.asarray(ns, dtype=np.int64) + step // 2) // step * step
    text = np.datetime_as_string(rounded.astype("datetime64[ns]"), unit="ns")
    kept = np.char.add(text.astype(f"U{20 + digits if digits else 19}"), "Z")
    return str(kept) if kept.ndim == 0 else kept
