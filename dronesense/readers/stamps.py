"""Rows of a table on UTC: which have a time stamp that can be true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import GasInstrument
from dronesense.readers.table import MAX_NAMED_LINES, Table, tolerated
from dronesense.timescale import parse_times

EARLIEST_NS: Final = int(np.datetime64("1980-01-06", "ns").astype(np.int64))
LATEST_NS: Final = int(np.datetime64("2100-01-01", "ns").astype(np.int64))
"""Stamps outside are from a clock that was not set (the GPS epoch and 1970 are the usual ones)."""

CLOCK_NOT_SET: Final = "time stamp before 1980 or after 2100"
NO_STAMP: Final = "no time stamp"
GARBLED: Final = "garbled time stamp"
SAME_STAMP: Final = "same time stamp as a row before"
UNITS_ROW: Final = "row of units below the headings"


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
    """

    table: Table
    time: NDArray[np.int64]
    dropped: dict[str, int]
    warnings: list[str]


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

    cells = list(zip(*map(table.text, spec.time.columns), strict=True))
    texts = [" ".join(row) for row in cells]
    stamped = np.array(
        [text not in table.missing and all(cell not in table.missing for cell in row)
         for text, row in zip(texts, cells, strict=True)],
        dtype=bool,
    )  # fmt: skip
    digits = np.array([any(char.isdigit() for char in text) for text in texts], dtype=bool)
    first = int(digits.argmax()) if digits.any() else 0
    drop(UNITS_ROW, int(stamped[:first].sum()))
    drop(NO_STAMP, int((~stamped).sum()))
    stamped[:first] = False
    index = np.flatnonzero(stamped)
    index, garbled = _parseable(index, texts, spec, table, where)
    drop(GARBLED, len(garbled))
    if garbled:
        lines = ", ".join(map(str, garbled[:MAX_NAMED_LINES]))
        warnings.append(f"{len(garbled)} row(s) left out: {GARBLED} (line {lines})")
    time = _parsed([texts[each] for each in index], spec, table.row[index], where)
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
    return StampedRows(table.take(index), time, dropped, warnings)


def _parsed(
    texts: list[str], spec: GasInstrument, rows: NDArray[np.int64], where: str | Path
) -> NDArray[np.int64]:
    return parse_times(texts, format=spec.time.format, zone=spec.time.zone, rows=rows, where=where)


def _parseable(
    index: NDArray[np.intp], texts: list[str], spec: GasInstrument, table: Table, where: str | Path
) -> tuple[NDArray[np.intp], list[int]]:
    """Return *index* without rows whose stamp is garbled, if they are few, and the lines of those."""
    try:
        _parsed([texts[each] for each in index], spec, table.row[index], where)
    except ReadError:
        good = np.ones(len(index), dtype=bool)
        for number, each in enumerate(index):
            try:
                _parsed([texts[each]], spec, table.row[each : each + 1], where)
            except ReadError:
                good[number] = False
                if np.count_nonzero(~good) > tolerated(len(index)):
                    raise
        return index[good], table.row[index[~good]].tolist()
    return index, []


def named_columns(spec: GasInstrument) -> list[str]:
    """Return every heading that *spec* names, by which the heading line is found."""
    return [*spec.time.columns, *spec.columns]
