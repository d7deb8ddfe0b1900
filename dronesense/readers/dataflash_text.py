"""ArduPilot text logs ``.log``: lines to columns.

Lines of noise, then ``FMT`` lines that define the messages, then ``NAME, value, value``: what a ground
station makes of a ``.BIN``, or what firmware 3.x sent over its console. The result is the same
:class:`~dronesense.readers.dataflash.MessageLog` as of a binary log. See ``docs/formats/dataflash.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers.dataflash import MessageLog, Messages
from dronesense.readers.dataflash_formats import LETTERS, Format, make_format, one_per_type

TEXT_SNIFF_BYTES: Final = 8192
NEWLINE: Final = ord("\n")
COMMA: Final = ord(",")
NAME_BYTES: Final = 4
FMT_CELLS: Final = 5
"""Type, length, name, letters and the first column of an ``FMT`` line."""
UNSTATED_COLUMNS: Final = "Type,Length,Name,Format"
"""Columns that old firmware gives for ``FMT`` itself; the fifth, ``Columns``, is missing."""

TEXTS: Final = "nNZ"
WITH_COMMAS: Final = TEXTS + "a"
"""Letters of columns that may hold commas."""
MODE_BYTES: Final = 16
"""A flight mode is written by its name."""
NUMBER_BYTES: Final = 40
"""No number is written longer; a longer cell is damage."""
NAMED_LINES: Final = 5
"""Damaged lines that a message names."""
PREAMBLE_LINES: Final = 20
PREAMBLE_CHARACTERS: Final = 200
MALFORMED: Final = "line that is no record of its type"
ARRAY_SIZE: Final = 32
"""Numbers in a column of the letter ``a``."""

_FMT_LINE: Final = re.compile(rb"^\s*FMT,\s*\d{1,3},\s*\d{1,3},\s*\w{1,4}\s*,\s*[A-Za-z]+\s*,", re.MULTILINE)
_INTEGERS: Final = re.compile(rb"-?\d+")


def looks_like_text(head: bytes) -> bool:
    """Tell whether *head* holds a line that defines a message of a text log, and no NUL byte."""
    return b"\0" not in head and _FMT_LINE.search(head) is not None


class Lines(Messages):
    """:class:`Messages` of a text log; `offsets` are line numbers, from 1."""

    __slots__ = ("_columns",)

    def __init__(
        self, log: MessageLog, form: Format, offsets: NDArray[np.int64], columns: dict[str, NDArray[Any]]
    ) -> None:
        super().__init__(log, form, offsets)
        self._columns = columns

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self._columns:
            raise self._no_column(column)
        return self._columns[column].copy()


class DataFlashText(MessageLog):
    """A text log.

    Parameters
    ----------
    data : (n,) uint8
        Its bytes.
    where : str, optional
        What messages call the file.

    Raises
    ------
    ReadError
        If no line defines a message.
    """

    kind = "ArduPilot DataFlash text"

    def __init__(self, data: NDArray[np.uint8], *, where: str | Path) -> None:
        self.where = where
        self.size = data.size
        self._bytes = data
        self._starts, self._ends = _lines(data)
        names = _names(data, self._starts, self._ends)
        self._malformed: list[int] = []
        defined = self._read_formats(names)
        if not defined:
            raise ReadError(
                "no line that defines a message (FMT, ...): not an ArduPilot text log, or cut at its start",
                where=where,
                fix="download the log again, or convert the .BIN file again",
            )
        self._rows = self._by_type(names, defined)
        self.records = sum(rows.size for rows in self._rows.values())
        counts = np.zeros(256, dtype=np.intp)
        for kind, rows in self._rows.items():
            counts[kind] = rows.size
        super().__init__(defined, counts)

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> lines refused so far: those of the wrong number of cells, and unreadable decoded ones."""
        return {MALFORMED: len(set(self._malformed))} if self._malformed else {}

    @property
    def remarks(self) -> list[str]:
        """The first of the lines refused so far."""
        if not self._malformed:
            return []
        lines = sorted(set(self._malformed))
        named = ", ".join(str(line) for line in lines[:NAMED_LINES])
        rest = ", ..." if len(lines) > NAMED_LINES else ""
        return [f"{len(lines)} line(s) are no records of their type and are left out: line {named}{rest}"]

    def line(self, index: int) -> bytes:
        """Return a line without its end."""
        return self._bytes[self._starts[index] : self._ends[index]].tobytes()

    def _read_formats(self, names: NDArray[np.uint32]) -> list[Format]:
        """Return one format per type; note the lines before the first."""
        records = []
        rows = np.flatnonzero(names == _key("FMT"))
        for row in rows.tolist():
            form, problem = _read_format(self.line(row))
            if form is None:
                self._malformed.append(row + 1)
                problem = ""
            records.append((row + 1, form, problem))
        defined, self.warnings = one_per_type(records, "FMT line")
        self._first = int(rows[0]) if rows.size else 0
        head = (self.line(row)[:PREAMBLE_CHARACTERS] for row in range(min(self._first, PREAMBLE_LINES)))
        self.preamble = tuple(line.decode("latin-1").strip() for line in head)
        return defined

    def _by_type(self, names: NDArray[np.uint32], defined: list[Format]) -> dict[int, NDArray[np.intp]]:
        """Return type -> lines with enough cells; note the others from the first definition on."""
        commas = _count_commas(self._bytes, self._starts, self._ends)
        named = np.zeros(names.size, dtype=bool)
        found = {}
        for form in defined:
            rows = np.flatnonzero(names == _key(form.name))
            named[rows] = True
            if form.name == "FMT":
                found[form.type] = rows
                continue
            wanted = len(form.columns)
            spare = any(letter in WITH_COMMAS for letter in form.letters)
            fits = (commas[rows] == wanted) | ((commas[rows] > wanted) & spare) | (not form.letters)
            self._malformed += (rows[~fits] + 1).tolist()
            found[form.type] = rows[fits]
        blank = self._ends == self._starts
        stray = np.flatnonzero(~named & ~blank)
        self._malformed += (stray[stray >= self._first] + 1).tolist()
        return found

    def _messages(self, form: Format, decoded: Any) -> Messages:
        return Lines(self, form, *decoded)

    def _decode(self, form: Format) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        rows = self._rows[form.type]
        if form.name == "FMT":
            return self._decode_formats(form, rows)
        cells = [_split(self.line(row), form) for row in rows.tolist()]
        good = np.ones(rows.size, dtype=bool)
        values = {}
        for place, (letter, column) in enumerate(zip(form.letters, form.columns, strict=True)):
            values[column], sound = _convert([row[place] for row in cells], letter)
            good &= sound
        self._malformed += (rows[~good] + 1).tolist()
        columns = {name: column[good] for name, column in values.items()}
        return rows[good].astype(np.int64) + 1, columns

    def _decode_formats(
        self, form: Format, rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Return the definitions themselves, whose last cell has commas."""
        lines = [self.line(row).split(b",", FMT_CELLS) for row in rows.tolist()]
        good = np.array([_read_format(b",".join(line))[0] is not None for line in lines], dtype=bool)
        sound = [[cell.strip() for cell in line] for line, fine in zip(lines, good, strict=True) if fine]
        columns: dict[str, NDArray[Any]] = {}
        for place, (letter, column) in enumerate(zip(form.letters, form.columns, strict=True), start=1):
            cells = [line[place] if place < len(line) else b"" for line in sound]
            columns[column], _ = _convert(cells, letter)
        return rows[good].astype(np.int64) + 1, columns


def _lines(data: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each line starts and ends, blanks and line ends not counted."""
    breaks = np.flatnonzero(data == NEWLINE)
    starts = np.concatenate([[0], breaks + 1]).astype(np.int64)
    ends = np.concatenate([breaks, [data.size]]).astype(np.int64)
    if starts[-1] == data.size:
        starts, ends = starts[:-1], ends[:-1]
    if data.size and data[:3].tobytes() == b"\xef\xbb\xbf":
        starts[0] = min(3, ends[0])
    for blank in (b"\r", b" "):
        ends -= (ends > starts) & (data[np.maximum(ends - 1, 0)] == ord(blank))
    return starts, ends


def _key(name: str) -> int:
    """Return a message name as :func:`_names` does."""
    return int.from_bytes(name.encode("ascii"), "little")


def _names(data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the bytes before the first comma of each line as one number, 0 where they are not 1 to 4."""
    key = np.zeros(starts.size, dtype=np.uint32)
    ended = np.zeros(starts.size, dtype=bool)
    for place in range(NAME_BYTES + 1):
        at = starts + place
        letter = np.where(at < ends, data[np.minimum(at, data.size - 1)], 0)
        ended |= letter == COMMA
        if place < NAME_BYTES:
            key |= np.where(ended, 0, letter.astype(np.uint32) << np.uint32(8 * place)).astype(np.uint32)
    return np.where(ended, key, 0)


def _count_commas(
    data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the commas of each line."""
    places = np.flatnonzero(data == COMMA)
    return np.searchsorted(places, ends) - np.searchsorted(places, starts)


def _read_format(line: bytes) -> tuple[Format | None, str]:
    """Return the format that an ``FMT`` line defines, and what is wrong with it."""
    cells = [cell.strip().decode("latin-1") for cell in line.split(b",")]
    numbers = cells[1:3]
    if len(cells) <= FMT_CELLS - 1 or not all(cell.isascii() and cell.isdigit() for cell in numbers):
        return None, "damaged"
    kind, length = (int(cell[:NAME_BYTES]) for cell in numbers)
    if not (0 <= kind <= 255 and 0 <= length <= 255):
        return None, "damaged"
    labels = ",".join(cells[5:])
    if cells[3] == "FMT" and labels == UNSTATED_COLUMNS:
        labels += ",Columns"
    return make_format(kind, length, cells[3], cells[4], labels)


def _split(line: bytes, form: Format) -> list[bytes]:
    """Return the cells of a line; surplus commas belong to its first text or array."""
    cells = line.split(b",")[1:]
    surplus = len(cells) - len(form.columns)
    if surplus:
        place = next(k for k, letter in enumerate(form.letters) if letter in WITH_COMMAS)
        cells[place : place + surplus + 1] = [b",".join(cells[place : place + surplus + 1])]
    return [cell.strip() for cell in cells]


def _convert(cells: list[bytes], letter: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return a column and which of its cells are what the letter says; scaled letters are written scaled."""
    kind, divisor = LETTERS[letter]
    if letter == "a":
        return _arrays(cells)
    if letter in TEXTS or (letter == "M" and not all(cell.isdigit() for cell in cells)):
        width = np.dtype(kind).itemsize if letter in TEXTS else MODE_BYTES
        return np.array([cell[:width] for cell in cells], dtype=f"S{width}"), np.ones(len(cells), dtype=bool)
    dtype = np.dtype(np.float64 if divisor is not None else kind)
    parse: Callable[[bytes], float] = _whole if dtype.kind in "iu" else float
    if all(len(cell) <= NUMBER_BYTES for cell in cells):
        try:
            numbers = [parse(cell) for cell in cells]
            return _fitted(numbers, dtype)
        except ValueError:
            pass
    return _fitted([_number(cell, parse) for cell in cells], dtype)


def _whole(cell: bytes) -> float:
    """Return a whole number; some converters write it with decimals."""
    try:
        return int(cell)
    except ValueError:
        value = float(cell)
        if value != value or value in (float("inf"), float("-inf")) or value % 1:
            raise ValueError(cell) from None
        return int(value)


def _number(cell: bytes, parse: Callable[[bytes], float]) -> float | None:
    """Return the number that a cell holds, or None."""
    if len(cell) > NUMBER_BYTES:
        return None
    try:
        return parse(cell)
    except ValueError:
        return None


def _fitted(
    numbers: list[float] | list[float | None], dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return numbers as an array, and which of them the type can hold."""
    good = np.ones(len(numbers), dtype=bool)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = int(limits.min), int(limits.max)
        kept = [0 if value is None or not low <= value <= high else value for value in numbers]
        good = np.array([value is not None and low <= value <= high for value in numbers], dtype=bool)
        return np.array(kept, dtype=dtype), good
    good = np.array([value is not None for value in numbers], dtype=bool)
    with np.errstate(over="ignore"):
        return np.array([0.0 if value is None else value for value in numbers]).astype(dtype), good


def _arrays(cells: list[bytes]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return cells of 32 numbers each."""
    found = [[int(word[:7]) for word in _INTEGERS.findall(cell)[: ARRAY_SIZE + 1]] for cell in cells]
    limits = np.iinfo(np.int16)
    good = np.array(
        [len(row) == ARRAY_SIZE and limits.min <= min(row) and max(row) <= limits.max for row in found],
        dtype=bool,
    )
    rows = [row if fine else [0] * ARRAY_SIZE for row, fine in zip(found, good, strict=True)]
    return np.array(rows, dtype=np.int16).reshape(len(rows), ARRAY_SIZE), good
