"""Other clocks to UTC: GPS week and time of week, written time stamps, the clock since boot.

Inside dronesense a time is an int64 count of nanoseconds since 1970-01-01T00:00:00Z, leap seconds not
counted (as in POSIX).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import ManifestError, ReadError

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

_LEAP_UTC_S: Final = np.array(LEAP_SECONDS, dtype="datetime64[s]").astype(np.int64)
_LEAP_GPS_NS: Final = (_LEAP_UTC_S - GPS_EPOCH_S + np.arange(1, len(LEAP_SECONDS) + 1)) * NS_PER_S

RECEIVER_LATENCY_SIGMA_S: Final = 0.05
"""Standard uncertainty that the never-observed constant part of a GNSS receiver's output latency leaves, s.

Receivers send a fix 50 to 200 ms after its epoch; a uniform spread of 150 ms has a standard deviation of
43 ms.
"""

OUTLIER_S: Final = 1.0
"""A difference of clocks further than this from the median is a damaged stamp, not a latency, s."""

SLOPE_MIN_SPAN_S: Final = 600.0
"""Shorter logs give no slope that means anything: jitter of 0.1 s over 60 s would read as 1,700 ppm."""

SLOPE_LIMIT: Final = 100e-6
"""Quartz clocks keep within 100 ppm; a steeper envelope is not a clock drift."""

SLOPE_BLOCKS: Final = 20
"""Time blocks whose earliest arrivals carry the slope."""

ROBUST_MIN_ROWS: Final = 10
"""From this many stamps on the single earliest arrival is distrusted and the second earliest used."""

_PLAUSIBLE_UNIX_S: Final = (GPS_EPOCH_S, 4_102_444_800)
"""1980-01-06 to 2100-01-01; numeric stamps outside are in another unit or from a clock that was never set."""

_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_NUMBER: Final = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?", re.ASCII)
_OFFSET: Final = re.compile(r"([+-])(\d\d):?(\d\d)?", re.ASCII)
_ZULU: Final = frozenset({"Z", "z", "UTC", "GMT"})


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
    leap = np.searchsorted(_LEAP_GPS_NS, gps_ns, side="right")
    return np.asarray(gps_ns + (GPS_EPOCH_S - leap) * NS_PER_S, dtype=np.int64)


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


def parse_times(
    texts: Sequence[str],
    *,
    format: str = "iso",  # noqa: A002 - the key's name in instrument files
    zone: str | None = None,
    rows: NDArray[np.int64] | None = None,
    where: str | Path | None = None,
) -> NDArray[np.int64]:
    """Return written time stamps as UTC.

    Parameters
    ----------
    texts : sequence of str
        The stamps, surrounding blanks ignored.
    format : str
        ``"iso"`` (date and time, any number of decimals, with or without offset), ``"unix"`` (s),
        ``"unix_ms"``, or a ``strptime`` pattern.
    zone : str, optional
        What stamps without an offset refer to: ``"UTC"``, ``"+05:00"`` or an IANA name. An offset in the
        stamp wins.
    rows : (n,) int64, optional
        File lines of the stamps, for messages.
    where : str or Path, optional
        File, for messages.

    Returns
    -------
    (n,) int64
        UTC, ns since 1970-01-01.

    Raises
    ------
    ReadError
        If a stamp does not agree with the format, or does not exist (or exists twice) in the zone because of
        daylight saving.
    ManifestError
        If a stamp has no offset and no zone is given, or the zone is unknown.

    Examples
    --------
    >>> parse_times(["2023-04-19 14:10:05.669701+00:00"])
    array([1681913405669701000])
    >>> parse_times(["2026-06-14 10:00:00"], zone="+05:00") == parse_times(["2026-06-14T05:00:00Z"])
    array([ True])
    """
    stamps = _Stamps([text.strip() for text in texts], rows, where)
    if format in ("unix", "unix_ms"):
        return _parse_unix(stamps, milli=format == "unix_ms", zone=zone)
    parse = _parse_iso if format == "iso" else _parse_pattern
    local, offset = parse(stamps, format)
    naive = np.flatnonzero(offset == _NO_OFFSET)
    if naive.size:
        offset[naive] = _zone_offsets_s(local[naive], stamps, naive, zone)
    return local - offset * NS_PER_S


_NO_OFFSET: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class _Stamps:
    """Texts with what a message needs to name one of them."""

    texts: list[str]
    rows: NDArray[np.int64] | None
    where: str | Path | None

    def place(self, index: int) -> str:
        row = (
            f"row {self.rows[index]}" if self.rows is not None else f"stamp {index + 1} of {len(self.texts)}"
        )
        return row if self.where is None else f"{self.where}, {row}"

    def refuse(self, index: int, why: str, fix: str) -> ReadError:
        return ReadError(f'time stamp "{self.texts[index]}" {why}', where=self.place(index), fix=fix)


def _parse_iso(stamps: _Stamps, _format: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return local ns and offset s (or :data:`_NO_OFFSET`) of ISO stamps; numpy does the calendar."""
    matches = [_ISO.fullmatch(text) for text in stamps.texts]
    fix = 'write 2026-06-14T05:00:00.0Z, or set format = "unix", "unix_ms" or a strptime pattern under [time]'
    if None in matches:
        raise stamps.refuse(matches.index(None), "is not an ISO date and time", fix)
    found = [match.groups() for match in matches if match is not None]
    bodies = [f"{day}T{clock}" for day, clock, _, _ in found]
    try:
        seconds = np.array(bodies, dtype="datetime64[s]").astype(np.int64)
    except ValueError:
        raise stamps.refuse(_first_bad_date(bodies), "does not exist in the calendar", fix) from None
    fraction = np.array([f"{(part or '')[:9]:0<9}" for _, _, part, _ in found], dtype="U9").astype(np.int64)
    suffixes = [suffix for *_, suffix in found]
    value = {suffix: _NO_OFFSET if suffix is None else _offset_s(suffix) for suffix in set(suffixes)}
    for suffix, offset in value.items():
        if offset is None:
            raise stamps.refuse(suffixes.index(suffix), "has an impossible offset from UTC", fix)
    return seconds * NS_PER_S + fraction, np.array([value[suffix] for suffix in suffixes], dtype=np.int64)


def _first_bad_date(bodies: list[str]) -> int:
    """Return the index of the first text that numpy refuses as a date; one of them is."""
    for index, body in enumerate(bodies):
        try:
            np.datetime64(body, "s")
        except ValueError:
            return index
    raise ValueError("every date exists")


def _parse_pattern(stamps: _Stamps, pattern: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return local ns and offset s of stamps written by a strptime pattern."""
    if "%" not in pattern:
        raise ManifestError(
            f'format "{pattern}" is not a time format',
            where=stamps.where,
            fix='use "iso", "unix", "unix_ms" or a strptime pattern',
        )
    local = np.empty(len(stamps.texts), dtype=np.int64)
    offset = np.full(len(stamps.texts), _NO_OFFSET, dtype=np.int64)
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clock; the zone is applied by the caller
    for index, text in enumerate(stamps.texts):
        try:
            moment = datetime.strptime(text, pattern)  # noqa: DTZ007 - same
        except ValueError:
            raise stamps.refuse(
                index, f'does not agree with the format "{pattern}"', "correct format under [time]"
            ) from None
        shift = moment.utcoffset()
        if shift is not None:
            offset[index] = int(shift.total_seconds())
        local[index] = (moment.replace(tzinfo=None) - epoch) // timedelta(microseconds=1) * 1000
    return local, offset


def _parse_unix(stamps: _Stamps, *, milli: bool, zone: str | None) -> NDArray[np.int64]:
    """Return UTC ns of POSIX seconds or milliseconds, exact to 1 ns (a float64 would keep 0.24 µs)."""
    if zone not in (None, "UTC"):
        raise ManifestError(
            f'zone = "{zone}" makes no sense for POSIX time, which is UTC',
            where=stamps.where,
            fix="remove zone",
        )
    matches = [_NUMBER.fullmatch(text) for text in stamps.texts]
    if None in matches:
        raise stamps.refuse(matches.index(None), "is not a plain number", "correct format under [time]")
    digits = 6 if milli else 9
    scale = NS_PER_MS if milli else NS_PER_S
    found = [match.groups() for match in matches if match is not None]
    low, high = _PLAUSIBLE_UNIX_S
    seconds_per_unit = 1e-3 if milli else 1.0
    guess = np.array([float(f"{sign}{whole}") for sign, whole, _ in found]) * seconds_per_unit
    wrong = np.flatnonzero((guess < low) | (guess > high))
    if wrong.size:
        name = "unix_ms" if milli else "unix"
        raise stamps.refuse(
            int(wrong[0]),
            f'is not between 1980 and 2100 as "{name}"',
            "check format under [time], and the clock",
        )
    whole_ns = np.array([int(whole) for _, whole, _ in found], dtype=np.int64) * scale
    part_ns = np.array([int(f"{(part or '')[:digits]:0<{digits}}") for _, _, part in found], dtype=np.int64)
    return whole_ns + part_ns


def _offset_s(text: str) -> int | None:
    """Return the offset from UTC of ``Z``, ``UTC`` or ``+05:00`` in s; None if it is none or beyond 24 h."""
    if text in _ZULU:
        return 0
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    if int(hours) > 23 or int(minutes or 0) > 59:
        return None
    return (int(hours) * 3600 + int(minutes or 0) * 60) * (-1 if sign == "-" else 1)


def _zone_offsets_s(
    local: NDArray[np.int64], stamps: _Stamps, index: NDArray[np.intp], zone: str | None
) -> NDArray[np.int64]:
    """Return the offset from UTC of wall-clock stamps of *zone*, asked once a minute of the clock."""
    fix = (
        'set zone = "UTC" (or "+05:00", or an IANA name such as "Asia/Almaty") under [time] of the instrument'
    )
    if zone is None:
        first = int(index[0])
        raise ManifestError(
            f'time stamp "{stamps.texts[first]}" has no zone', where=stamps.place(first), fix=fix
        )
    fixed = _offset_s(zone)
    if fixed is not None:
        return np.full(local.shape, fixed, dtype=np.int64)
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ManifestError(f'zone "{zone}" is unknown', where=stamps.where, fix=fix) from None
    minutes, inverse = np.unique(local // (60 * NS_PER_S), return_inverse=True)
    walls = [datetime.fromtimestamp(int(minute) * 60, UTC).replace(tzinfo=info) for minute in minutes]
    early, late = (
        np.array([_utc_offset(wall.replace(fold=fold)) for wall in walls], dtype=np.int64) for fold in (0, 1)
    )
    doubtful = np.flatnonzero(early[inverse] != late[inverse])
    if doubtful.size:
        first = int(index[doubtful[0]])
        raise stamps.refuse(
            first,
            f"does not exist or exists twice in {zone} (daylight saving)",
            "give the zone as a fixed offset such as +02:00",
        )
    return early[inverse]


def _utc_offset(wall: datetime) -> int:
    """Return the offset from UTC of an aware datetime, s."""
    shift = wall.utcoffset()
    assert shift is not None
    return round(shift.total_seconds())


@dataclass(frozen=True, slots=True)
class ClockFit:
    """A clock against UTC: ``utc = boot + offset_ns + slope * boot``.

    Parameters
    ----------
    offset_ns : int
        UTC minus boot clock where the boot clock is 0, ns.
    slope : float
        Rate of UTC against the boot clock, minus one; 0 for short logs.
    sigma_s : float
        Standard uncertainty of the UTC stamps it gives, s.
    spread_s : float
        Range of the latencies that were seen, s.
    n : int
        Stamps used.
    note : str
        How it was found, for people.
    """

    offset_ns: int
    slope: float
    sigma_s: float
    spread_s: float
    n: int
    note: str

    def to_utc(self, boot_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return UTC, ns, of stamps of the boot clock."""
        drift = np.rint(self.slope * boot_ns).astype(np.int64)
        return np.asarray(boot_ns + self.offset_ns + drift, dtype=np.int64)


def fit_latency_envelope(boot_ns: NDArray[np.int64], utc_ns: NDArray[np.int64]) -> ClockFit:
    """Fit a clock to UTC stamps that arrived with a one-sided, varying latency.

    A message that carries the UTC of its epoch is stamped with the boot clock when it arrives, never
    before it was sent. The earliest arrivals, the upper envelope of ``utc - boot``, are therefore nearest
    to the truth; the mean and the first message are late by tens of milliseconds. What remains, the
    smallest latency, cannot be seen and is counted as :data:`RECEIVER_LATENCY_SIGMA_S`.

    Parameters
    ----------
    boot_ns, utc_ns : (n,) int64
        Arrival by the boot clock, and UTC that the message states, ns.

    Returns
    -------
    ClockFit

    Raises
    ------
    ValueError
        If there is no stamp, or the arrays differ in length.

    Examples
    --------
    >>> boot = np.arange(100) * 200_000_000
    >>> latency = np.tile([3_000_000, 40_000_000], 50)
    >>> fit_latency_envelope(boot + latency, boot + 10**18).offset_ns - 10**18
    -3000000
    """
    boot = np.asarray(boot_ns, dtype=np.int64)
    utc = np.asarray(utc_ns, dtype=np.int64)
    if boot.shape != utc.shape or boot.ndim != 1 or boot.size == 0:
        raise ValueError("boot_ns and utc_ns must be two rows of the same length, at least 1")
    origin = int(np.median(utc - boot))
    difference = (utc - boot - origin).astype(np.float64)
    good = np.abs(difference) <= OUTLIER_S * NS_PER_S
    boot, difference = boot[good], difference[good]
    slope, note = _envelope_slope(boot, difference)
    flat = difference - slope * boot
    top = _earliest(flat)
    latency_s = (top - flat) / NS_PER_S
    scatter = float(np.std(latency_s)) / np.sqrt(flat.size)
    refused = int(np.count_nonzero(~good))
    return ClockFit(
        offset_ns=origin + round(top),
        slope=slope,
        sigma_s=float(np.hypot(scatter, RECEIVER_LATENCY_SIGMA_S)),
        spread_s=float(np.ptp(latency_s)),
        n=int(flat.size),
        note=f"earliest arrivals of {flat.size} GNSS stamps, {refused} outliers left out; {note}",
    )


def _earliest(difference: NDArray[np.float64]) -> float:
    """Return the highest difference, or the second highest when there are enough to distrust one."""
    rank = 2 if difference.size >= ROBUST_MIN_ROWS else 1
    return float(np.partition(difference, difference.size - rank)[difference.size - rank])


def _envelope_slope(boot: NDArray[np.int64], difference: NDArray[np.float64]) -> tuple[float, str]:
    """Return the median of the pairwise slopes (Theil-Sen) of the blockwise earliest arrivals, and a note."""
    span_s = float(np.ptp(boot)) / NS_PER_S
    if span_s <= SLOPE_MIN_SPAN_S:
        return 0.0, f"no drift fitted over {span_s:.0f} s"
    edges = np.linspace(float(boot.min()), float(boot.max()), SLOPE_BLOCKS + 1)
    block = np.clip(np.searchsorted(edges, boot, side="right") - 1, 0, SLOPE_BLOCKS - 1)
    filled = [np.flatnonzero(block == k) for k in range(SLOPE_BLOCKS)]
    best = [
        members[np.argsort(difference[members])[-min(2, members.size)]] for members in filled if members.size
    ]
    x, y = boot[best].astype(np.float64), difference[best]
    i, j = np.triu_indices(len(best), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i]))) if i.size else 0.0
    if abs(slope) > SLOPE_LIMIT:
        return 0.0, f"a drift of {slope * 1e6:.0f} ppm is no clock's and was not used"
    return slope, f"drift {slope * 1e6:.2f} ppm over {span_s:.0f} s"
