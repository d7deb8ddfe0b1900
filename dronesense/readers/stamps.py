"""Rows of a table on UTC: which have a time stamp that can be true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import GasInstrument, TimeColumn
from dronesense.readers import gas_clock
from dronesense.readers.table import MAX_NAMED_LINES, Table, tolerated

EARLIEST_NS: Final = int(np.datetime64("1980-01-06", "ns").astype(np.int64))
LATEST_NS: Final = int(np.datetime64("2100-01-01", "ns").astype(np.int64))
"""Stamps outside are from a clock that was not set (the GPS epoch and 1970 are the usual ones)."""

CLOCK_NOT_SET: Final = "time stamp before 1980 or after 2100"
NO_STAMP: Final = "no time stamp"
GARBLED: Final = "garbled time stamp"
SAME_STAMP: Final = "same time stamp as a row before"
UNITS_ROW: Final = "row of units below the headings"
HEADINGS_AGAIN: Final = "headings once more"


@dataclass(frozen=True, slots=True, eq=False)
class StampedRows:
    """The rows of a table that have a time, in the order of the file.

    Parameters
    ----------
    table : Table
        These rows only.
    time : (n,) int64
        UTC, ns since 1970-01-01.
    dropped : dict of str to int
        Reason -> rows left out, those that the table left out included.
    warnings : list of str
        What a user should know, those of the table included.
    units : tuple of dict
        Heading -> cell of each line below the headings that holds no readings.
    assumptions : tuple of str
        What the file was asked for: its zone, the order of its dates, the start of its clock.
    """

    table: Table
    time: NDArray[np.int64]
    dropped: dict[str, int]
    warnings: list[str]
    units: tuple[dict[str, str], ...] = ()
    assumptions: tuple[str, ...] = ()


def stamped_rows(table: Table, spec: GasInstrument, *, where: str | Path) -> StampedRows:
    """Return the rows of *table* that have a time, in the order of the file; *where* names the file.

    Left out and counted: a last row that may be cut, rows of units directly below the headings (no digit
    where the stamp should be), rows without a stamp, and those of a clock that was not set.

    Raises
    ------
    ReadError
        If a column or every stamp is missing, or a stamp is not what the instrument says.
    ManifestError
        If a stamp has no offset and the instrument no zone, or its format lacks the date.
    """
    table = table.closed()
    dropped, warnings = dict(table.dropped), list(table.warnings)

    def drop(reason: str, count: int) -> None:
        if count:
            dropped[reason] = dropped.get(reason, 0) + count

    column = gas_clock.clock_in(table.all_names, spec.time)
    texts, stamped, first = _stamps(table, column)
    drop(UNITS_ROW, int(stamped[:first].sum()) + len(table.below))
    drop(NO_STAMP, int((~stamped).sum()))
    stamped[:first] = False
    again = " ".join(column.columns)
    repeats = [number for number, text in enumerate(texts) if text == again and stamped[number]]
    drop(HEADINGS_AGAIN, len(repeats))
    stamped[repeats] = False
    index = np.flatnonzero(stamped)
    clock = gas_clock.of_file(column, [texts[each] for each in index], table.preamble, where)
    index, time, garbled = _parseable(index, texts, clock, table, where)
    drop(GARBLED, len(garbled))
    if garbled:
        lines = ", ".join(map(str, garbled[:MAX_NAMED_LINES]))
        warnings.append(f"{len(garbled)} row(s) left out: {GARBLED} (line {lines})")
    plausible = (time > EARLIEST_NS) & (time < LATEST_NS)
    unset = int((~plausible).sum())
    drop(CLOCK_NOT_SET, unset)
    if unset:
        warnings.append(f"{unset} row(s) left out: {CLOCK_NOT_SET}")
        index, time = index[plausible], time[plausible]
    if not index.size:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in dropped.items()) or "no rows"
        raise ReadError(
            f"holds no row with a time stamp ({reasons})",
            where=where,
            fix="check the time column of the instrument file, or copy the table again from the card",
        )
    units = [dict(zip(table.names, cells, strict=False)) for cells in table.below]
    units += [
        {name: column[each] for name, column in zip(table.names, table.columns, strict=True)}
        for each in range(first)
    ]
    return StampedRows(table.take(index), time, dropped, warnings, tuple(units), clock.assumptions)


def _stamps(table: Table, column: TimeColumn) -> tuple[list[str], NDArray[np.bool_], int]:
    """Return the stamps as written, which are there, and how many rows of units stand above the first."""
    columns = [table.text(name) for name in column.columns]
    texts = columns[0] if len(columns) == 1 else list(map(" ".join, zip(*columns, strict=True)))
    missing = table.missing
    stamped = np.array([text not in missing for text in texts], dtype=bool)
    for cells in columns if len(columns) > 1 else ():
        stamped &= np.array([cell not in missing for cell in cells], dtype=bool)
    first = next((row for row, text in enumerate(texts) if any(map(str.isdigit, text))), 0)
    return texts, stamped, first


def _parseable(
    index: NDArray[np.intp],
    texts: Sequence[str],
    clock: gas_clock.GasClock,
    table: Table,
    where: str | Path,
) -> tuple[NDArray[np.intp], NDArray[np.int64], list[int]]:
    """Return *index* without rows of garbled stamps, if they are few; their times; the lines left out."""
    try:
        return index, clock.parse([texts[each] for each in index], rows=table.row[index], where=where), []
    except ReadError:
        time = np.zeros(len(index), dtype=np.int64)
        good = np.ones(len(index), dtype=bool)
        for number, each in enumerate(index):
            try:
                row = table.row[each : each + 1]
                time[number] = clock.parse([texts[each]], rows=row, where=where)[0]
            except ReadError:
                good[number] = False
                if np.count_nonzero(~good) > tolerated(len(index)):
                    raise
        return index[good], time[good], table.row[index[~good]].tolist()
