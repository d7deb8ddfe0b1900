"""Delimited text with a heading line: CSV as loggers, spreadsheets and power failures leave it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean
from dronesense.model import Layout
from dronesense.readers.table_rows import (
    CUT_ROW,
    DELIMITERS,
    LONG_ROW,
    MAX_NAMED_LINES,
    SHORT_ROW,
    Heading,
    find_heading,
    fitting,
    records_of,
    until,
)
from dronesense.readers.table_text import COPY_AGAIN, decode, load

__all__ = [
    "CUT_ROW",
    "DELIMITERS",
    "LONG_ROW",
    "MAX_NAMED_LINES",
    "OPEN_END",
    "SHORT_ROW",
    "Table",
    "qualified",
    "read_head",
    "read_names",
    "read_table",
    "tolerated",
]

HEAD_BYTES: Final = 65536
"""A heading line is looked for in this many bytes."""

MISSING: Final = frozenset({"", "nan", "NaN", "NAN"})
"""Texts that always stand for "no value"."""

OPEN_END: Final = "file ends without a line end: may be cut"
MAX_GARBLED_SHARE: Final = 0.01
"""Share of a column's cells that may be garbled before the column is something else than it seems."""
MIN_GARBLED: Final = 3
"""So many may be garbled in a short table."""

PLAIN: Final = Layout()
"""Headings, then rows, to the end of the file."""

_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
"""What may as well be an integer with its thousands apart: proves no decimal comma."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of text with the line that each row came from.

    Parameters
    ----------
    path : Path
        The file.
    names : list of str
        Headings, stripped of padding; trailing unnamed columns are left out.
    columns : tuple of list of str
        One list of stripped cells per heading.
    row : (n,) int64
        1-based line of the file on which each row starts (the heading line counts).
    missing : frozenset of str
        Texts that :meth:`numbers` turns into NaN.
    dropped : mapping of str to int
        Reason -> number of rows left out.
    warnings : tuple of str
        What a user should know: cut file, ragged rows, guessed encoding.
    assumptions : tuple of str
        What was inferred from the file: where its headings are, how it writes decimals.
    open_ended : bool
        The last row has no line end: its last cell may be cut, see :meth:`closed`.
    decimal_comma : bool
        Some cell can only be a number with a decimal comma (``2,6``; not ``1,234``), and cells are not parted
        by commas.
    preamble : tuple of str
        The lines above the headings.
    below : tuple of list of str
        Cells of the lines below the headings that hold units and names, where the layout counts them.
    """

    path: Path
    names: list[str]
    columns: tuple[list[str], ...]
    row: NDArray[np.int64]
    missing: frozenset[str] = MISSING
    dropped: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    open_ended: bool = False
    decimal_comma: bool = False
    preamble: tuple[str, ...] = ()
    below: tuple[list[str], ...] = ()

    def __len__(self) -> int:
        return len(self.row)

    @property
    def all_names(self) -> frozenset[str]:
        """Every name that :meth:`text` knows a column by."""
        return frozenset(self.names).union(qualified(self.names))

    def text(self, name: str) -> list[str]:
        """Return the cells of column *name*.

        Headings that repeat (``Unit``, ``Residual``) go by their left neighbor as well: ``Methane: Unit``,
        see :func:`qualified`.

        Raises
        ------
        ReadError
            If there is no such column, or more than one.
        """
        count = self.names.count(name)
        if count == 0:
            names = qualified(self.names)
            if names.count(name) == 1:
                return self.columns[names.index(name)]
            raise ReadError(
                f'no column "{name}"{did_you_mean(name, self.names)}',
                where=self.path,
                fix=f"the columns are: {', '.join(self.names)}",
            )
        if count > 1:
            raise ReadError(
                f'{count} columns are headed "{name}"', where=self.path, fix="rename all but one of them"
            )
        return self.columns[self.names.index(name)]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return column *name* as (n,) float64; empty cells, NaN and the `missing` texts become NaN.

        Raises
        ------
        ReadError
            If a cell is not a number: file, line, column and the text are named.
        """
        cells = self._cells(name)
        numbers = _as_numbers(cells)
        if numbers is not None:
            return numbers
        bad = next(index for index, cell in enumerate(cells) if not is_number(cell))
        raise ReadError(
            f'"{cells[bad]}" is not a number',
            where=f"{self.path}, line {self.row[bad]}, column {name}",
            fix="a comma may part decimals or thousands: write decimals with a point and no thousands mark"
            if "," in cells[bad]
            else "correct it, or list it under missing",
        )

    def readings(self, name: str, warnings: list[str]) -> NDArray[np.float64]:
        """Return column *name* like :meth:`numbers`, but a few garbled cells become NaN, with a warning.

        A logger that loses a byte now and then must not cost the series; a column of which more than
        :data:`MAX_GARBLED_SHARE` is garbled is something else than it seems.

        Raises
        ------
        ReadError
            If more cells than that are no numbers.
        """
        cells = self._cells(name)
        numbers = _as_numbers(cells)
        if numbers is not None:
            return numbers
        bad = [index for index, cell in enumerate(cells) if not is_number(cell)]
        if len(bad) > tolerated(len(cells)) or any("," in cells[index] for index in bad):
            return self.numbers(name)
        lines = ", ".join(str(self.row[index]) for index in bad[:MAX_NAMED_LINES])
        more = f" and {len(bad) - MAX_NAMED_LINES} more" if len(bad) > MAX_NAMED_LINES else ""
        warnings.append(
            f'column {name}: {len(bad)} garbled cell(s) left out (line {lines}{more}: "{cells[bad[0]]}")'
        )
        for index in bad:
            cells[index] = "nan"
        return np.array(list(map(float, cells)))

    def _cells(self, name: str) -> list[str]:
        """Return column *name* with missing cells as ``nan`` and decimals with a point."""
        cells = ["nan" if cell in self.missing else cell for cell in self.text(name)]
        if self.decimal_comma and not any("." in cell for cell in cells):  # else a point may part thousands
            cells = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
        return cells

    def closed(self) -> Table:
        """Return the table without a last row that has no line end: its last cell may be cut.

        For time series, where a wrong last value costs more than a missing one.
        """
        if not self.open_ended or not len(self):
            return self
        return replace(
            self.take(np.arange(len(self) - 1)),
            dropped={**self.dropped, CUT_ROW: self.dropped.get(CUT_ROW, 0) + 1},
            open_ended=False,
        )

    def take(self, index: NDArray[np.intp]) -> Table:
        """Return the table with the rows *index* only, in that order."""
        if np.array_equal(index, np.arange(len(self))):
            return self
        kept = index.tolist()
        columns = tuple([column[each] for each in kept] for column in self.columns)
        return replace(self, columns=columns, row=self.row[index])


def qualified(names: list[str]) -> list[str]:
    """Return *names* with those that repeat put after the nearest one to their left that does not.

    Examples
    --------
    >>> qualified(["CO", "Unit", "CH4", "Unit"])
    ['CO', 'CO: Unit', 'CH4', 'CH4: Unit']
    """
    seen = Counter(names)
    result: list[str] = []
    owner = ""
    for name in names:
        if seen[name] == 1:
            owner = name
        result.append(name if seen[name] == 1 or not owner else f"{owner}: {name}")
    return result


def read_table(
    path: Path,
    *,
    delimiter: str | None = None,
    missing: Iterable[str] = (),
    headings: Iterable[str] = (),
    layout: Layout = PLAIN,
) -> Table:
    """Read a delimited text file with a heading line.

    UTF-8 (with or without BOM), UTF-16 and Latin-1; any line end; quoted cells; padded headings. Rows whose
    number of cells does not agree with the headings are left out and counted in `dropped`; a file that ends
    in the middle of a row, without a line end or with zero bytes is named in `warnings`.

    Parameters
    ----------
    path : Path
        The file.
    delimiter : str, optional
        None: comma, semicolon or tab, whichever splits the heading line into most columns. A blank stands
        for any run of blanks; with *headings* it is tried as well.
    missing : iterable of str
        Texts that stand for "no value" beside the empty cell and NaN.
    headings : iterable of str
        Headings to look for: the heading line is the one within the first :data:`HEAD_BYTES` that has most
        of them. Without, or when there is none with any, it is the first line that is not blank.
    layout : Layout
        How decimals are written, where the table ends, which lines below the headings are none of its rows.

    Returns
    -------
    Table

    Raises
    ------
    ReadError
        If the file cannot be opened, is empty, is not text, or a quote is never closed.
    """
    warnings: list[str] = []
    text = decode(path, load(path), warnings)
    if not text.strip():
        raise ReadError("is empty", where=path, fix=COPY_AGAIN)
    assumptions: list[str] = []
    text = until(text, layout.end, assumptions)
    head = _heading(path, text, delimiter, frozenset(headings))
    open_ended = not text.endswith(("\n", "\r"))
    if open_ended:
        warnings.append(OPEN_END)
    records = records_of(path, text, head)
    names = _names(records, path)
    dropped: dict[str, int] = {}
    below, records = records[1 : 1 + layout.skip_rows], records[1 + layout.skip_rows :]
    # A last row without a line end has lost cells; one with a line end is ragged, not cut.
    rows = fitting(records, len(names), dropped, warnings, may_be_cut=open_ended, extra=layout.extra_cells)
    columns = zip(*(cells for _, cells in rows), strict=True) if rows else ((),) * len(names)
    stripped = tuple([list(map(str.strip, column)) for column in columns])
    if head.line > 1:
        assumptions.insert(0, f"headings found on line {head.line}")
    may_have_comma = layout.decimal is None and head.delimiter != "," and "," in text
    decimal_comma = layout.decimal == "," or (may_have_comma and _any_proves_comma(stripped))
    if decimal_comma:
        assumptions.append("decimals are written with a comma")
    return Table(
        path=path,
        names=names,
        columns=stripped,
        row=np.array([line for line, _ in rows], dtype=np.int64),
        missing=MISSING | frozenset(missing),
        dropped=dropped,
        warnings=tuple(warnings),
        assumptions=tuple(assumptions),
        open_ended=open_ended and bool(rows) and rows[-1][0] == records[-1][0],
        decimal_comma=decimal_comma,
        preamble=tuple(text[: head.start].splitlines()),
        below=tuple([cell.strip() for cell in cells] for _, cells in below),
    )


def read_names(path: Path, *, delimiter: str | None = None, headings: Iterable[str] = ()) -> list[str]:
    """Return the headings of *path*; see :func:`read_head`."""
    return read_head(path, delimiter=delimiter, headings=headings)[0]


def read_head(
    path: Path, *, delimiter: str | None = None, headings: Iterable[str] = ()
) -> tuple[list[str], tuple[str, ...]]:
    """Return the headings of *path* and the lines above them, from its first :data:`HEAD_BYTES` only.

    Found as :func:`read_table` finds them; empty if there are none.

    Raises
    ------
    ReadError
        If the file cannot be opened or is not text.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(HEAD_BYTES)
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error
    if len(raw) == HEAD_BYTES:
        raw = raw[: raw.rfind(b"\n")]  # not within a character
    text = decode(path, raw, [])
    head = find_heading(text, delimiter, frozenset(headings))
    return head.names, tuple(text[: head.start].splitlines())


def _heading(path: Path, text: str, delimiter: str | None, wanted: frozenset[str]) -> Heading:
    """Return where the headings of *text* stand; refuse a table that has none of those *wanted*."""
    head = find_heading(text[:HEAD_BYTES], delimiter, wanted)
    if wanted and all(map(is_number, head.names)):
        raise ReadError(
            "has no heading line, and columns are found by their headings",
            where=path,
            fix="put a line with the names of the columns first",
        )
    return head


def _names(records: list[tuple[int, list[str]]], path: Path) -> list[str]:
    """Return the headings, the first of *records*, without unnamed ones at the end."""
    names = [name.strip() for name in records[0][1]] if records else []
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ReadError("has no heading line", where=path)
    return names


def _any_proves_comma(columns: Iterable[list[str]]) -> bool:
    return any("," in cell and _proves_comma(cell) for column in columns for cell in column)


def _proves_comma(cell: str) -> bool:
    """Return whether *cell* can only be a number with a decimal comma."""
    cell = cell.strip()
    return "," in cell and bool(_DECIMAL_COMMA.fullmatch(cell)) and not _THOUSANDS.fullmatch(cell)


def tolerated(rows: int) -> int:
    """Return how many of so many cells may be garbled."""
    return max(MIN_GARBLED, int(MAX_GARBLED_SHARE * rows)) if rows > 2 * MIN_GARBLED else 0


def _as_numbers(cells: list[str]) -> NDArray[np.float64] | None:
    """Return *cells* as numbers, or None if one of them is none."""
    if not cells:
        return np.empty(0)
    if "_" in "".join(cells):  # Python reads "1_000" as 1000
        return None
    try:
        return np.array(list(map(float, cells)))
    except ValueError:
        return None


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number, written as Python takes it but without underscores."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
