"""Delimited text with a heading line: CSV as loggers, spreadsheets and power failures leave it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean

DELIMITERS: Final = (",", ";", "\t")
"""Delimiters that are told apart by the heading line."""

BLANKS: Final = " "
"""As a delimiter: any run of blanks and tabs; such tables have no empty cells and no quotes."""

MAX_BYTES: Final = 1 << 30
"""Tables are read at once: a larger file (1 GiB) is hardly a table, and would take all memory."""

HEAD_BYTES: Final = 65536
"""A heading line is looked for in this many bytes."""

MISSING: Final = frozenset({"", "nan", "NaN", "NAN"})
"""Texts that always stand for "no value"."""

CUT_ROW: Final = "last row cut short"
SHORT_ROW: Final = "fewer cells than headings"
LONG_ROW: Final = "more cells than headings"
OPEN_END: Final = "file ends without a line end: may be cut"
MAX_NAMED_LINES: Final = 5
MAX_GARBLED_SHARE: Final = 0.01
"""Share of a column's cells that may be garbled before the column is something else than it seems."""
MIN_GARBLED: Final = 3
"""So many may be garbled in a short table."""
"""Lines named in a warning before it says "..."."""

_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
"""What may as well be an integer with its thousands apart: proves no decimal comma."""

_COPY_AGAIN: Final = "copy it again from the card"
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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

    def __len__(self) -> int:
        return len(self.row)

    def text(self, name: str) -> list[str]:
        """Return the cells of column *name*.

        Raises
        ------
        ReadError
            If there is no such column, or more than one.
        """
        count = self.names.count(name)
        if count == 0:
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
        bad = next(index for index, cell in enumerate(cells) if not _is_number(cell))
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
        bad = [index for index, cell in enumerate(cells) if not _is_number(cell)]
        if len(bad) > tolerated(len(cells)) or any("," in cells[index] for index in bad):
            return self.numbers(name)
        lines = ", ".join(str(self.row[index]) for index in bad[:MAX_NAMED_LINES])
        more = f" and {len(bad) - MAX_NAMED_LINES} more" if len(bad) > MAX_NAMED_LINES else ""
        warnings.append(
            f'column {name}: {len(bad)} garbled cell(s) left out (line {lines}{more}: "{cells[bad[0]]}")'
        )
        for index in bad:
            cells[index] = "nan"
        return np.array(cells, dtype=np.str_).astype(np.float64)

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
        kept = index.tolist()
        columns = tuple([column[each] for each in kept] for column in self.columns)
        return replace(self, columns=columns, row=self.row[index])


def read_table(
    path: Path, *, delimiter: str | None = None, missing: Iterable[str] = (), headings: Iterable[str] = ()
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

    Returns
    -------
    Table

    Raises
    ------
    ReadError
        If the file cannot be opened, is empty, is not text, or a quote is never closed.
    """
    warnings: list[str] = []
    text = _decode(path, _load(path), warnings)
    if not text.strip():
        raise ReadError("is empty", where=path, fix=_COPY_AGAIN)
    wanted = frozenset(headings)
    head = _find_heading(text[:HEAD_BYTES], delimiter, wanted)
    if wanted and all(map(_is_number, head.names)):
        raise ReadError(
            "has no heading line, and columns are found by their headings",
            where=path,
            fix="put a line with the names of the columns first",
        )
    open_ended = not text.endswith(("\n", "\r"))
    if open_ended:
        warnings.append(OPEN_END)
    records = _records(path, text, head)
    names = [name.strip() for name in records[0][1]] if records else []
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ReadError("has no heading line", where=path)
    dropped: dict[str, int] = {}
    # A last row without a line end has lost cells; one with a line end is ragged, not cut.
    rows = _keep(records[1:], len(names), dropped, warnings, may_be_cut=open_ended)
    columns = zip(*(cells for _, cells in rows), strict=True) if rows else ((),) * len(names)
    assumptions = [f"headings found on line {head.line}"] if head.line > 1 else []
    decimal_comma = head.delimiter != "," and any(_proves_comma(cell) for _, cells in rows for cell in cells)
    if decimal_comma:
        assumptions.append("decimals are written with a comma")
    return Table(
        path=path,
        names=names,
        columns=tuple([cell.strip() for cell in column] for column in columns),
        row=np.array([line for line, _ in rows], dtype=np.int64),
        missing=MISSING | frozenset(missing),
        dropped=dropped,
        warnings=tuple(warnings),
        assumptions=tuple(assumptions),
        open_ended=open_ended and bool(rows) and rows[-1][0] == records[-1][0],
        decimal_comma=decimal_comma,
    )


def read_names(path: Path, *, delimiter: str | None = None, headings: Iterable[str] = ()) -> list[str]:
    """Return the headings of *path* from its first :data:`HEAD_BYTES` only, as :func:`read_table` finds them.

    Empty if there is none.

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
    return _find_heading(_decode(path, raw, []), delimiter, frozenset(headings)).names


def _load(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        raw = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error
    if size > MAX_BYTES:
        raise ReadError(f"{size} bytes is too large for a table (at most {MAX_BYTES})", where=path)
    return raw


def _decode(path: Path, raw: bytes, warnings: list[str]) -> str:
    """Return the text of *raw*, noting guesses in *warnings*."""
    encoding = next((name for bom, name in _BOMS if raw.startswith(bom)), "")
    if not encoding and len(raw) > 1 and 0 in raw[:2] and any(raw[:2]):
        encoding = "utf-16-be" if raw[0] == 0 else "utf-16-le"
    if encoding.startswith("utf-16") and len(raw) % 2:
        warnings.append("file ends within a character: it is cut")
        raw = raw[:-1]
    try:
        text = raw.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding.startswith("utf-16"):
            what = f"is not valid UTF-16 (byte {error.start})"
            raise ReadError(what, where=path, fix=_COPY_AGAIN) from error
        warnings.append(f"byte {error.start} is not UTF-8: the text was read as Latin-1")
        text = raw.decode("latin-1")
    stripped = text.rstrip("\0")
    if len(stripped) < len(text):
        warnings.append(f"{len(text) - len(stripped)} zero bytes at the end: power was lost in writing")
    if "\0" in stripped:
        line = stripped.count("\n", 0, stripped.index("\0")) + 1
        raise ReadError(
            "holds zero bytes: not a text file, or damaged",
            where=f"{path}, line {line}",
            fix=_COPY_AGAIN,
        )
    return stripped.removeprefix("\ufeff")


@dataclass(frozen=True, slots=True)
class _Heading:
    """The heading line: its 1-based number, the offset of its first character, how it is split, its cells."""

    line: int
    start: int
    delimiter: str
    names: list[str]


def _find_heading(head: str, delimiter: str | None, wanted: frozenset[str]) -> _Heading:
    """Return the line of *head* with most of the *wanted* headings, else the first that is not blank."""
    marks = (delimiter,) if delimiter else (*DELIMITERS, BLANKS) if wanted else DELIMITERS
    best, score, start = _Heading(1, 0, marks[0], []), (-1, 0), 0
    for line, text in enumerate(io.StringIO(head, newline=""), 1):
        if text.strip():
            for mark in marks:
                names = _split(text, mark)
                matches = len(wanted.intersection(names))
                # A line after the first takes matches; among delimiters of a line without any, columns count.
                if (matches, 0) > (score[0], 0) or (line == best.line and (matches, len(names)) > score):
                    best, score = _Heading(line, start, mark, names), (matches, len(names))
            if not wanted:
                break
        start += len(text)
    return best


def _split(line: str, delimiter: str) -> list[str]:
    """Return the stripped cells of one line."""
    if delimiter == BLANKS:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]


def _proves_comma(cell: str) -> bool:
    """Return whether *cell* can only be a number with a decimal comma."""
    cell = cell.strip()
    return "," in cell and bool(_DECIMAL_COMMA.fullmatch(cell)) and not _THOUSANDS.fullmatch(cell)


def _records(path: Path, text: str, head: _Heading) -> list[tuple[int, list[str]]]:
    """Return (first line, cells) of each record that is not blank, from the heading line on."""
    text = text[head.start :]
    if head.delimiter == BLANKS:
        lines = enumerate(io.StringIO(text, newline=""), head.line)
        return [(line, row.split()) for line, row in lines if row.strip()]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=head.delimiter, skipinitialspace=True)
    records: list[tuple[int, list[str]]] = []
    start = head.line
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                records.append((start, cells))
            last, start = start, head.line + reader.line_num
    except csv.Error as error:
        raise ReadError(f"cannot be split into cells ({error})", where=f"{path}, line {start}") from error
    tail = list(io.StringIO(text, newline=""))[last - head.line :]
    if "".join(tail).count('"') % 2 == 0:
        return records
    if len(tail) > 1:
        raise ReadError(
            "a quote is never closed", where=f"{path}, line {last}", fix="close the quote on that line"
        )
    return [*records[:-1], (last, [])]  # the file is cut inside a quoted cell


def _keep(
    records: list[tuple[int, list[str]]],
    width: int,
    dropped: dict[str, int],
    warnings: list[str],
    *,
    may_be_cut: bool,
) -> list[tuple[int, list[str]]]:
    """Return the records of *width* cells; count the others in *dropped* and name them in *warnings*."""
    kept: list[tuple[int, list[str]]] = []
    left_out: dict[str, list[int]] = {}
    last = records[-1][0] if records else 0
    for line, cells in records:
        if len(cells) == width or (len(cells) > width and not any(cell.strip() for cell in cells[width:])):
            kept.append((line, cells[:width]))
        elif len(cells) > width:
            left_out.setdefault(LONG_ROW, []).append(line)
        else:
            left_out.setdefault(CUT_ROW if may_be_cut and line == last else SHORT_ROW, []).append(line)
    for reason, lines in left_out.items():
        dropped[reason] = len(lines)
        named = ", ".join(map(str, lines[:MAX_NAMED_LINES])) + (
            ", ..." if len(lines) > MAX_NAMED_LINES else ""
        )
        warnings.append(f"{reason}: {len(lines)} row(s) left out (line {named})")
    return kept


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
        return np.array(cells, dtype=np.str_).astype(np.float64)
    except ValueError:
        return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
