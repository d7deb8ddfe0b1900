"""Text that is numbers only: rows of as many cells each, parted by blanks, without headings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers.streams import Float
from dronesense.readers.table import CUT_ROW

OTHER_LENGTH: Final = "row with another number of cells"
GARBLED: Final = "row with a cell that is no number"
_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, eq=False)
class NumberRows:
    """Rows of numbers.

    Parameters
    ----------
    values : (n, m) float64
        The cells.
    line : (n,) int64
        1-based line of the file of each row, blank lines not counted.
    dropped : dict of str to int
        Reason -> rows left out.
    """

    values: Float
    line: NDArray[np.int64]
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.line)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of *path*.

    Raises
    ------
    ReadError
        If it cannot be opened.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error


def first_rows(head: bytes, fits: Callable[[int], bool]) -> Float | None:
    """Return the whole rows of *head* if all are numbers, as many in each, and as *fits* wants; else None."""
    whole, newline, _ = head.removeprefix(_MARK).rpartition(b"\n")
    rows = [line.split() for line in whole.split(b"\n") if line.strip()] if newline else []
    if not rows or not fits(len(rows[0])) or any(len(row) != len(rows[0]) for row in rows):
        return None
    return _numbers([cell for row in rows for cell in row], len(rows[0]))


def number_rows(data: bytes, *, least: int, where: str | Path) -> NumberRows:
    r"""Return the rows of *data* that have the usual number of cells, all of them numbers.

    Parameters
    ----------
    data : bytes
        The file.
    least : int
        Fewest cells of a row.
    where : str or Path
        File, for messages.

    Raises
    ------
    ReadError
        If no row is left.

    Examples
    --------
    >>> rows = number_rows(b"1 2\n3 x\n\n5 6\n7", least=2, where="made up")
    >>> rows.values.tolist(), rows.line.tolist()
    ([[1.0, 2.0], [5.0, 6.0]], [1, 3])
    >>> rows.dropped
    {'last row cut short': 1, 'row with a cell that is no number': 1}
    """
    lines = [line.split() for line in data.removeprefix(_MARK).rstrip(b"\0").split(b"\n")]
    open_ended = bool(lines[-1])
    lines = [cells for cells in lines if cells]
    counts = np.array([len(cells) for cells in lines], dtype=np.int64)
    fitting = counts[counts >= least]
    if not fitting.size:
        raise ReadError(f"has no row of at least {least} cells", where=where, fix="copy it again")
    width = int(np.argmax(np.bincount(fitting)))
    good = counts == width
    dropped: dict[str, int] = {}
    if open_ended and _is_cut(lines, width):
        good[-1] = False
        dropped[CUT_ROW] = 1
    other = int(np.count_nonzero(counts != width)) - int(counts[-1] != width and CUT_ROW in dropped)
    if other:
        dropped[OTHER_LENGTH] = other
    kept = np.flatnonzero(good)
    values = _numbers([cell for row in kept for cell in lines[row]], width)
    if values is None:
        parsed = [_numbers(lines[row], width) for row in kept]
        sound = np.array([each is not None for each in parsed], dtype=bool)
        values = np.array([each for each in parsed if each is not None]).reshape(-1, width)
        dropped[GARBLED] = int(np.count_nonzero(~sound))
        kept = kept[sound]
    if not kept.size:
        raise ReadError("has no row of numbers", where=where, fix="copy it again from the card")
    return NumberRows(values, kept.astype(np.int64) + 1, dropped)


def _is_cut(lines: list[list[bytes]], width: int) -> bool:
    """Tell whether the last row, which has no line end, lacks cells or digits of the row before it."""
    if len(lines[-1]) != width or len(lines) < 2:
        return len(lines[-1]) != width
    return len(lines[-1][-1]) < len(lines[-2][-1])


def _numbers(cells: list[bytes], width: int) -> Float | None:
    """Return *cells* as (rows, width) numbers, None if one is none ("1_000" is); infinite ones are NaN."""
    if any(b"_" in cell for cell in cells):
        return None
    try:
        values = np.array(cells, dtype=np.bytes_).astype(np.float64).reshape(-1, width)
    except ValueError:
        return None
    values[np.isinf(values)] = np.nan
    return values
