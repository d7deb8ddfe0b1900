"""The clock of a table: what its stamps mean once the lines above the headings have been asked."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, ReadError
from dronesense.model import TimeColumn
from dronesense.timescale import NS_PER_S, parse_times

NUMERIC: Final = "numeric"
"""A date in figures, in the order that `date_order` states: ``28/09/2022 12:10:45.205``."""
ELAPSED: Final = "elapsed"
"""Seconds since a start that stands above the headings, or in the instrument file."""

EXCEL: Final = "excel"
"""Days since 1899-12-30, as spreadsheets keep dates; local."""
AUTO: Final = "auto"
"""ISO, a date in figures or POSIX time, whichever the stamps can only be."""

Order = Literal["dmy", "mdy", "ymd"]

_DATE: Final = re.compile(
    r"(\d{1,4})[/.-](\d{1,2})[/.-](\d{4}|\d{1,2})[\sT-]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,:](\d+))?)?"
    r"\s*(?:([AaPp])\.?[Mm]\.?)?\s*([Zz]|UTC|GMT|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_PLACES: Final[dict[Order, tuple[int, int, int]]] = {"dmy": (2, 1, 0), "mdy": (2, 0, 1), "ymd": (0, 1, 2)}
"""Where year, month and day stand."""
_SAYS_UTC: Final = re.compile(r"(?<![a-z])utc(?!_?off)", re.IGNORECASE)
_NOON: Final = 12
_NO_HOUR: Final = 99
"""Refused as a time that does not exist: 13 PM."""
_CENTURY: Final = 2000
"""Added to years of two figures: no analyser of the 1900s flies."""
_PLAIN_NUMBER: Final = re.compile(r"\d+(?:\.\d*)?", re.ASCII)
_POSIX: Final = {"unix": 1.0, "unix_ms": 1e-3, "unix_us": 1e-6, "unix_ns": 1e-9}
_POSIX_S: Final = (315_964_800.0, 4_102_444_800.0)
"""1980-01-06 to 2100-01-01: a number is a time within it in one of the units at most."""
_EXCEL_DAYS: Final = (29_226.0, 73_051.0)
"""1980-01-06 to 2100-01-01 as days since 1899-12-30."""
_EXCEL_EPOCH: Final = np.datetime64("1899-12-30", "ms")
_MS_PER_DAY: Final = 86_400_000
_MAX_SECONDS: Final = 1e9
"""Seconds since a start: beyond 30 years they are something else."""


@dataclass(frozen=True, slots=True)
class GasClock:
    """How the stamps of one file turn into UTC.

    Parameters
    ----------
    column : TimeColumn
        With the zone and the order of dates that the file itself states.
    start_ns : int
        For seconds since a start: that start, UTC ns.
    assumptions : tuple of str
        What the file was asked for.
    """

    column: TimeColumn
    start_ns: int = 0
    assumptions: tuple[str, ...] = ()

    def parse(
        self, texts: Sequence[str], *, rows: NDArray[np.int64] | None, where: str | Path
    ) -> NDArray[np.int64]:
        """Return stamps as UTC ns.

        Raises
        ------
        ReadError
            If one is not what the instrument says.
        ManifestError
            If the zone is unknown.
        """
        column = self.column
        if column.format == ELAPSED:
            return self.start_ns + _elapsed(texts, rows, where)
        if column.format == NUMERIC:
            assert column.date_order is not None
            texts, form = _as_iso(texts, column.date_order, rows, where), "iso"
        elif column.format == EXCEL:
            texts, form = _days_as_iso(texts, rows, where), "iso"
        else:
            form = column.format
        return parse_times(texts, format=form, zone=column.zone, rows=rows, where=where)


def of_file(column: TimeColumn, texts: Sequence[str], preamble: Sequence[str], where: str | Path) -> GasClock:
    """Return the clock of one file.

    Parameters
    ----------
    column : TimeColumn
        What the instrument file says.
    texts : sequence of str
        The stamps, by which the order of dates in figures may be proven.
    preamble : sequence of str
        The lines above the headings.
    where : str or Path
        The file, for messages.

    Raises
    ------
    ManifestError
        If dates may be read in more than one way, or a start is not known: the key to set is named.
    ReadError
        If no order of day and month fits all dates.
    """
    assumptions: list[str] = []
    if column.zone_line is not None and column.zone is None:
        zone = value_of(column.zone_line, preamble)
        if zone is not None:
            assumptions.append(f'zone "{zone}" as the file states')
            column = replace(column, zone=zone)
    if column.format == AUTO:
        column = replace(column, format=_found_out(texts, assumptions, where))
    if column.format == NUMERIC:
        column = _ordered(column, texts, assumptions, where)
    start = 0 if column.format != ELAPSED else _start(column, preamble, assumptions, where)
    return GasClock(column, start, tuple(assumptions))


def zone_in(headings: Sequence[str]) -> str | None:
    """Return ``"UTC"`` when a heading itself says so.

    Examples
    --------
    >>> zone_in(["Time (UTC)"]), zone_in(["datetime_utc"]), zone_in(["UTCDateTime"]), zone_in(["Time"])
    ('UTC', 'UTC', 'UTC', None)
    """
    return "UTC" if any(_SAYS_UTC.search(heading) for heading in headings) else None


def clock_in(names: Collection[str], column: TimeColumn) -> TimeColumn:
    """Return *column* with those of its columns that a table headed *names* has."""
    for columns in (column.columns, *column.also):
        if all(each in names for each in columns):
            return replace(column, columns=columns, also=(), zone=column.zone or zone_in(columns))
    return column


def _found_out(texts: Sequence[str], assumptions: list[str], where: str | Path) -> str:
    """Return the format that most of the stamps *texts* can only have."""
    if not texts:
        return "iso"
    numbers = [float(text) for text in texts if _PLAIN_NUMBER.fullmatch(text)]
    if 2 * len(numbers) <= len(texts):
        figures = sum(_DATE.fullmatch(text) is not None for text in texts)
        return NUMERIC if 2 * figures > len(texts) else "iso"
    middle = float(np.median(numbers))
    for name, second in _POSIX.items():
        if _POSIX_S[0] <= middle * second <= _POSIX_S[1]:
            assumptions.append(f'stamps are numbers: read as "{name}" (POSIX time, UTC)')
            return name
    raise ManifestError(
        f'its stamps are numbers such as "{texts[0]}", and no POSIX time',
        where=where,
        fix=f'copy the instrument file and set format under [time]: "{EXCEL}" for days since 1899-12-30, '
        f'"{ELAPSED}" with start for seconds since a start',
    )


def value_of(key: str, preamble: Sequence[str]) -> str | None:
    """Return what stands behind *key* in a line of the *preamble*, or on the line below it; None if nothing.

    Examples
    --------
    >>> value_of("Timezone:", ["SN: TG10", "Timezone: Europe/Oslo"])
    'Europe/Oslo'
    >>> value_of("Path length (m)", ["Path length (m)", "   34.89"])
    '34.89'
    """
    for number, line in enumerate(preamble):
        _, found, rest = line.partition(key)
        if not found:
            continue
        rest = rest.strip(" \t:=,;\"'")
        if rest:
            return rest
        below = preamble[number + 1].strip(" \t\"'") if number + 1 < len(preamble) else ""
        return below or None
    return None


def _ordered(
    column: TimeColumn, texts: Sequence[str], assumptions: list[str], where: str | Path
) -> TimeColumn:
    """Return *column* with the order of day, month and year, as stated or as the dates prove."""
    dates = [match.groups() for match in map(_DATE.fullmatch, texts) if match is not None]
    if not dates:
        return column if column.date_order else replace(column, date_order="ymd")  # refused stamp by stamp
    possible = [order for order in _PLACES if _fits(dates, order)]
    if column.date_order is not None:
        if column.date_order not in possible:
            raise ManifestError(
                f'no dates such as "{_first_misfit(texts, column.date_order)}" in the order '
                f'"{column.date_order}"',
                where=where,
                fix="correct date_order under [time] of the instrument",
            )
        return column
    if len(possible) == 1:
        assumptions.append(f'dates are written "{possible[0]}": no other order fits all of them')
        return replace(column, date_order=possible[0])
    if not possible:
        raise ReadError("no order of day and month fits all dates", where=where, fix="correct the dates")
    example = next(text for text in texts if _DATE.fullmatch(text))
    choices = " or ".join(f'"{order}"' for order in possible)
    raise ManifestError(
        f'the date of "{example}" may be read as {" or ".join(possible)}',
        where=where,
        fix=f"set date_order = {choices} under [[gas]], or under [time] of the instrument",
    )


def _fits(dates: list[tuple[str, ...]], order: Order) -> bool:
    """Return whether all *dates* exist when read in *order*, the year with two or four figures."""
    year, month, day = _PLACES[order]
    return all(
        len(date[year]) in (2, 4)
        and len(date[month]) <= 2
        and len(date[day]) <= 2
        and 1 <= int(date[month]) <= 12
        and 1 <= int(date[day]) <= 31
        for date in {each[:3] for each in dates}
    )


def _first_misfit(texts: Sequence[str], order: Order) -> str:
    matches = ((text, _DATE.fullmatch(text)) for text in texts)
    return next(text for text, match in matches if match and not _fits([match.groups()], order))


def _as_iso(
    texts: Sequence[str], order: Order, rows: NDArray[np.int64] | None, where: str | Path
) -> list[str]:
    """Return dates in figures as ISO texts."""
    year, month, day = _PLACES[order]
    result: list[str] = []
    for number, text in enumerate(texts):
        match = _DATE.fullmatch(text.strip())
        if match is None:
            place = number if rows is None else rows[number]
            raise ReadError(
                f'time stamp "{text}" is not a date in figures and a time',
                where=f"{where}, row {place}",
                fix="correct format under [time] of the instrument",
            )
        part = match.groups()
        hour = int(part[3])
        if part[7] is not None:
            hour = hour % _NOON + (_NOON if part[7] in "pP" else 0) if 1 <= hour <= _NOON else _NO_HOUR
        full = int(part[year]) + (_CENTURY if len(part[year]) == 2 else 0)
        clock = f"{hour:02d}:{part[4]}:{part[5] or '00'}.{part[6] or '0'}{part[8] or ''}"
        result.append(f"{full:04d}-{int(part[month]):02d}-{int(part[day]):02d}T{clock}")
    return result


def _days_as_iso(texts: Sequence[str], rows: NDArray[np.int64] | None, where: str | Path) -> list[str]:
    """Return days since 1899-12-30 as ISO texts, to the millisecond."""
    days = np.array([float(text) if _PLAIN_NUMBER.fullmatch(text) else np.nan for text in texts])
    bad = np.flatnonzero(~((days >= _EXCEL_DAYS[0]) & (days <= _EXCEL_DAYS[1])))
    if bad.size:
        place = bad[0] if rows is None else rows[bad[0]]
        raise ReadError(
            f'time stamp "{texts[bad[0]]}" is not a number of days since 1899-12-30, 1980 to 2100',
            where=f"{where}, row {place}",
            fix="correct format under [time] of the instrument",
        )
    moments = _EXCEL_EPOCH + np.rint(days * _MS_PER_DAY).astype("timedelta64[ms]")
    return [str(each) for each in np.datetime_as_string(moments, unit="ms")]


def _start(column: TimeColumn, preamble: Sequence[str], assumptions: list[str], where: str | Path) -> int:
    """Return the moment that seconds count from, UTC ns."""
    text = column.start
    if text is None and column.start_line is not None:
        text = value_of(column.start_line, preamble)
        if text is None:
            raise ReadError(f'no line "{column.start_line}" above the headings states the start', where=where)
    if text is None:
        raise ManifestError(
            "its stamps are seconds since a start that it does not state",
            where=where,
            fix='set start = "2026-06-14T05:00:00Z" under [time] of the instrument',
        )
    numeric = _DATE.fullmatch(text) is not None
    own = replace(column, format=NUMERIC if numeric else "iso")
    if numeric:
        own = _ordered(own, [text], assumptions, where)
    start = int(GasClock(own).parse([text], rows=None, where=where)[0])
    assumptions.append(f'seconds count from "{text}"')
    return start


def _elapsed(texts: Sequence[str], rows: NDArray[np.int64] | None, where: str | Path) -> NDArray[np.int64]:
    """Return seconds as ns."""
    seconds = np.full(len(texts), np.nan)
    for number, text in enumerate(texts):
        try:
            seconds[number] = float(text)
        except ValueError:
            continue
    bad = np.flatnonzero(~(np.abs(seconds) < _MAX_SECONDS))
    if bad.size:
        place = bad[0] if rows is None else rows[bad[0]]
        raise ReadError(
            f'time stamp "{texts[bad[0]]}" is not a number of seconds',
            where=f"{where}, row {place}",
            fix="correct format under [time] of the instrument",
        )
    return np.asarray(np.rint(seconds * NS_PER_S), dtype=np.int64)
