"""Written time stamps to UTC."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, ReadError
from dronesense.timescale.epochs import GPS_EPOCH_S, NS_PER_S

_PLAUSIBLE_UNIX_S: Final = (GPS_EPOCH_S, 4_102_444_800)
"""1980-01-06 to 2100-01-01; numeric stamps outside are in another unit or from a clock that was never set."""

_COUNTABLE: Final = (np.datetime64("1678-01-01", "s"), np.datetime64("2262-01-01", "s"))
"""Whole years that an int64 count of nanoseconds since 1970 holds."""

_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_NUMBER: Final = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?", re.ASCII)
_OFFSET: Final = re.compile(r"([+-])(\d\d):?(\d\d)?", re.ASCII)
_SECONDS_AND_NS: Final = re.compile(r"(\d+)\s+(\d{1,9})", re.ASCII)
_YEAR: Final = frozenset({"%Y", "%y", "%G", "%c", "%x"})
"""Directives of strptime without which every stamp would lie in 1900."""
_ZULU: Final = frozenset({"Z", "z", "UTC", "GMT"})
_UNIX_DIGITS: Final = {"unix": 9, "unix_s_ns": 9, "unix_ms": 6, "unix_us": 3, "unix_ns": 0}
"""Formats of POSIX time -> decimals of their unit that make nanoseconds."""


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
        ``"unix_ms"``, ``"unix_us"``, ``"unix_ns"``, ``"unix_s_ns"`` (whole s, a blank, ns within the
        second), or a ``strptime`` pattern with a year.
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
        If a stamp does not agree with the format, lies outside 1678 to 2261, or does not exist (or exists
        twice) in the zone because of daylight saving.
    ManifestError
        If a stamp has no offset and no zone is given, the zone is unknown, or the pattern has no year.

    Examples
    --------
    >>> parse_times(["2023-04-19 14:10:05.669701+00:00"])
    array([1681913405669701000])
    >>> parse_times(["2026-06-14 10:00:00"], zone="+05:00") == parse_times(["2026-06-14T05:00:00Z"])
    array([ True])
    """
    stamps = _Stamps([text.strip() for text in texts], rows, where)
    if format == "unix_s_ns":
        stamps = _joined_seconds(stamps)
    if format in _UNIX_DIGITS:
        return _parse_unix(stamps, format, zone)
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
        moments = np.array(bodies, dtype="datetime64[s]")
    except ValueError:
        raise stamps.refuse(_first_bad_date(bodies), "does not exist in the calendar", fix) from None
    _check_countable(moments, stamps)
    fraction = np.array([f"{(part or '')[:9]:0<9}" for _, _, part, _ in found], dtype="U9").astype(np.int64)
    suffixes = [suffix for *_, suffix in found]
    value = {suffix: _NO_OFFSET if suffix is None else _offset_s(suffix) for suffix in set(suffixes)}
    for suffix, offset in value.items():
        if offset is None:
            raise stamps.refuse(suffixes.index(suffix), "has an impossible offset from UTC", fix)
    return moments.astype(np.int64) * NS_PER_S + fraction, np.array(
        [value[suffix] for suffix in suffixes], dtype=np.int64
    )


def _check_countable(moments: NDArray[np.datetime64], stamps: _Stamps) -> None:
    """Refuse a stamp that would wrap around as int64 nanoseconds."""
    first, end = _COUNTABLE
    beyond = np.flatnonzero((moments < first) | (moments >= end))
    if beyond.size:
        years = "a year between 1678 and 2261"
        raise stamps.refuse(int(beyond[0]), f"is not in {years}", "correct the stamp, or check the format")


def _first_bad_date(bodies: list[str]) -> int:
    """Return the index of the first text that numpy refuses as a date; one of them is."""
    index = 0
    with contextlib.suppress(ValueError):
        for index, body in enumerate(bodies):  # noqa: B007 - where it stops
            np.datetime64(body, "s")
    return index


def _parse_pattern(stamps: _Stamps, pattern: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return local ns and offset s of stamps written by a strptime pattern."""
    if "%" not in pattern:
        raise ManifestError(
            f'format "{pattern}" is not a time format',
            where=stamps.where,
            fix='use "iso", "unix", "unix_ms" or a strptime pattern',
        )
    if not _YEAR.intersection(re.findall("%.", pattern)):  # "%%" is one directive
        raise ManifestError(
            f'format "{pattern}" has no year: a time of day alone is no time stamp',
            where=stamps.where,
            fix="have the logger write the date, and name its column under time.column as well",
        )
    local = np.empty(len(stamps.texts), dtype="datetime64[us]")
    offset = np.full(len(stamps.texts), _NO_OFFSET, dtype=np.int64)
    for index, text in enumerate(stamps.texts):
        try:
            moment = datetime.strptime(text, pattern)  # noqa: DTZ007 - zone applied by caller
        except ValueError:
            raise stamps.refuse(
                index, f'does not agree with the format "{pattern}"', "correct format under [time]"
            ) from None
        shift = moment.utcoffset()
        if shift is not None:
            offset[index] = int(shift.total_seconds())
        local[index] = np.datetime64(moment.replace(tzinfo=None), "us")
    _check_countable(local, stamps)
    return local.astype(np.int64) * 1000, offset


def _joined_seconds(stamps: _Stamps) -> _Stamps:
    """Return stamps of whole seconds and nanoseconds as seconds with decimals."""
    matches = [_SECONDS_AND_NS.fullmatch(text) for text in stamps.texts]
    if None in matches:
        what = "is not whole seconds and nanoseconds"
        raise stamps.refuse(matches.index(None), what, "correct format and column under [time]")
    return replace(stamps, texts=[f"{match[1]}.{match[2]:0>9}" for match in matches if match is not None])


def _parse_unix(stamps: _Stamps, name: str, zone: str | None) -> NDArray[np.int64]:
    """Return UTC ns of POSIX time in the unit that *name* says, exact to 1 ns (float64 keeps 0.24 µs)."""
    if zone not in (None, "UTC"):
        raise ManifestError(
            f'zone = "{zone}" makes no sense for POSIX time, which is UTC',
            where=stamps.where,
            fix="remove zone",
        )
    matches = [_NUMBER.fullmatch(text) for text in stamps.texts]
    if None in matches:
        raise stamps.refuse(matches.index(None), "is not a plain number", "correct format under [time]")
    digits = _UNIX_DIGITS[name]
    scale = int(10**digits)
    found = [match.groups() for match in matches if match is not None]
    low, high = _PLAUSIBLE_UNIX_S
    guess = np.array([float(f"{sign}{whole}") for sign, whole, _ in found]) * (scale / NS_PER_S)
    wrong = np.flatnonzero((guess < low) | (guess > high))
    if wrong.size:
        raise stamps.refuse(
            int(wrong[0]),
            f'is not between 1980 and 2100 as "{name.removesuffix("_s_ns")}"',
            "check format under [time], and the clock",
        )
    whole_ns = np.array([int(whole) for _, whole, _ in found], dtype=np.int64) * scale
    parts = [f"{(part or '')[:digits]:0<{digits}}" or "0" for _, _, part in found]
    part_ns = np.array([int(part) for part in parts], dtype=np.int64)
    return whole_ns + part_ns


def _offset_s(text: str) -> int | None:
    """Return the offset from UTC of ``Z``, ``UTC`` or ``+05:00`` in s; None if it is none or beyond 24 h."""
    if text in _ZULU:
        return 0
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    hours, minutes = int(match[2]), int(match[3] or 0)
    if hours > 23 or minutes > 59:
        return None
    seconds = hours * 3600 + minutes * 60
    return -seconds if match[1] == "-" else seconds


def _zone_offsets_s(
    local: NDArray[np.int64], stamps: _Stamps, index: NDArray[np.intp], zone: str | None
) -> NDArray[np.int64]:
    """Return the offset from UTC of wall-clock stamps of *zone*, asked once a minute of the clock."""
    fix = (
        'set zone = "UTC" (or "+05:00", or an IANA name such as "Asia/Almaty") under [[gas]] of flight.toml, '
        "or under [time] of the instrument"
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
