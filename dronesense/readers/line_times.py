"""The time of each line of a push-broom cube: ``<name>.lines.csv`` with the columns line and utc."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers.table import read_table
from dronesense.timescale import parse_times

SUFFIX: Final = ".lines.csv"


def find(cube: Path) -> Path | None:
    """Return the file of line times beside *cube*: its name up to any of its dots, and ``.lines.csv``.

    For ``strip_1.bil.hdr`` these are ``strip_1.bil.hdr.lines.csv``, ``strip_1.bil.lines.csv`` and
    ``strip_1.lines.csv``; the longest name that exists.
    """
    parts = cube.name.split(".")
    names = [".".join(parts[:count]) + SUFFIX for count in range(len(parts), 0, -1)]
    return next((path for path in map(cube.with_name, names) if path.is_file()), None)


def choose(cube: Path, line_times: str | Path) -> Path | None:
    """Return the file of line times: of :func:`find` for ``"auto"``, None for ``"none"``, else as named."""
    if line_times == "auto":
        return find(cube)
    return None if line_times == "none" else Path(line_times)


def read(path: Path, lines: int, *, warnings: list[str]) -> NDArray[np.int64]:
    """Read the middle of the exposure of each line.

    Parameters
    ----------
    path : Path
        CSV with the columns ``line`` (counted from 0 or 1, without gaps) and ``utc`` (ISO 8601; stamps
        without an offset are UTC, as the heading says).
    lines : int
        Lines of the cube.
    warnings : list of str
        Gets what a user should know of the file: without a line end the last time may be cut.

    Returns
    -------
    (lines,) int64
        UTC, ns since 1970-01-01, strictly increasing.

    Raises
    ------
    ReadError
        If there is not one time a line, a line is missing, or a time does not follow the one before it.
    """
    table = read_table(path)
    warnings.extend(f"{path.name}: {warning}" for warning in table.warnings)
    number = table.numbers("line")
    if len(table) != lines:
        cut = f" ({'; '.join(table.warnings)})" if table.warnings else ""
        raise ReadError(
            f"{len(table)} line times for {lines} lines{cut}",
            where=path,
            fix="copy both files again from the card: one of them is cut, or they do not belong together",
        )
    wrong = np.flatnonzero(number != np.arange(lines) + (1.0 if number[0] == 1.0 else 0.0))
    if wrong.size:
        row = table.row[wrong[0]]
        raise ReadError(
            f'line number "{table.text("line")[wrong[0]]}" is out of order',
            where=f"{path}, line {row}",
            fix="lines are counted from 0 or 1 without gaps",
        )
    time = parse_times(table.text("utc"), zone="UTC", rows=table.row, where=path)
    back = np.flatnonzero(np.diff(time) <= 0) + 1
    if back.size:
        raise ReadError(
            f"{back.size} line time(s) do not follow the one before",
            where=f"{path}, line {table.row[back[0]]}",
            fix="the clock was set during the strip: cut the strip there, or correct the times",
        )
    return time
