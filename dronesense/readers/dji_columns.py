"""Columns of the tables that DJI's programs export: found by name, in any order, unit and decimal mark."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, UnitsError
from dronesense.readers.streams import Float, Mask
from dronesense.readers.table import Table
from dronesense.units import convert

_HEADING: Final = re.compile(r"\s*(?P<name>.*?)\s*(?:\((?P<round>[^()]*)\)|\[(?P<square>.*)\])?\s*")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMMA_NUMBER: Final = re.compile(r"[+-]?\d+(?:,\d+)+(?:\.\d*)?|[+-]?\d+(?:\.\d+)+,\d+", re.ASCII)
_FINE_COMMA: Final = re.compile(r"[+-]?\d{1,3},\d{4,}", re.ASCII)
"""Four digits after the comma are decimals: thousands come in threes."""
_TRUE: Final = frozenset({"1", "true", "yes", "on", "taking"})

LARGEST: Final = 1e15
"""Nothing in these tables is larger; beyond it is damage."""

_UNITS: Final = {
    "feet": "ft",
    "foot": "ft",
    "ft": "ft",
    "meters": "m",
    "metres": "m",
    "meter": "m",
    "m": "m",
    "mph": "mph",
    "m/s": "m/s",
    "mps": "m/s",
    "meters/sec": "m/s",
    "meters/second": "m/s",
    "km/h": "km/h",
    "kmh": "km/h",
    "kph": "km/h",
    "kmph": "km/h",
    "ft/s": "ft/s",
    "knots": "kn",
    "kn": "kn",
    "kt": "kn",
    "degrees": "deg",
    "degree": "deg",
    "deg": "deg",
    "°": "deg",
    "360": "deg",
    "radians": "rad",
    "rad": "rad",
    "millisecond": "ms",
    "milliseond": "ms",  # so in some exports
    "milliseconds": "ms",
    "ms": "ms",
    "seconds": "s",
    "second": "s",
    "sec": "s",
    "secs": "s",
    "s": "s",
}
"""How the headings spell units -> how :mod:`dronesense.units` does."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading apart: the text as it stands, the name in small letters, the first word of its unit."""

    text: str
    name: str
    unit: str | None


def split_heading(text: str) -> Heading:
    """Return the parts of a heading.

    Examples
    --------
    >>> split_heading(" zSpeed(m/s)")
    Heading(text=' zSpeed(m/s)', name='zspeed', unit='m/s')
    >>> split_heading("IMU_ATTI(0):Latitude[degrees [-180;180]]").unit
    'degrees'
    """
    match = _HEADING.fullmatch(text)
    assert match is not None
    unit = match["round"] if match["round"] is not None else match["square"]
    words = (unit or "").replace("[", " ").split()
    return Heading(text, "".join(match["name"].casefold().split()), words[0].casefold() if words else None)


@dataclass(slots=True)
class Columns:
    """Columns of a table by name.

    Parameters
    ----------
    table : Table
        Cells as text.
    label : str
        What messages call the file.
    decimal_comma : bool
        Numbers are written with a comma.
    text_cells : Counter
        Heading -> cells that hold words where numbers belong, counted while reading.
    """

    table: Table
    label: str
    decimal_comma: bool = False
    text_cells: Counter[str] = field(default_factory=Counter)
    _headings: list[Heading] = field(init=False)

    def __post_init__(self) -> None:
        self._headings = [split_heading(name) for name in self.table.names]

    def settle_decimals(self, heading: Heading) -> None:
        """Learn the decimal mark from a column of degrees.

        Raises
        ------
        ReadError
            If the column has both.
        """
        cells = self.table.text(heading.text)
        comma = any(_FINE_COMMA.fullmatch(cell) for cell in cells)
        if comma and any("." in cell for cell in cells):
            raise ReadError(
                f'column "{heading.text}" has decimals with a point and with a comma',
                where=self.label,
                fix="export the log again with one decimal mark",
            )
        self.decimal_comma = comma or self.table.decimal_comma

    def find(self, *names: str, unit: str | None = None) -> Heading | None:
        """Return the first heading with one of the *names*, earlier names first, or None.

        Parameters
        ----------
        names : str
            In small letters, without blanks and unit.
        unit : str, optional
            In small letters; None: any.
        """
        for name in names:
            for each in self._headings:
                if each.name == name and unit in (None, each.unit):
                    return each
        return None

    def numbered(self, pattern: re.Pattern[str]) -> Iterable[tuple[re.Match[str], Heading]]:
        """Yield headings whose name fits *pattern*, in the order of the file."""
        for each in self._headings:
            match = pattern.fullmatch(each.name)
            if match is not None:
                yield match, each

    def text(self, heading: Heading) -> list[str]:
        """Return the cells of a column."""
        return self.table.text(heading.text)

    def plain(self, heading: Heading) -> Float:
        """Return a column of numbers; empty cells and words are NaN, words are counted.

        Raises
        ------
        ReadError
            If a comma may be a decimal mark or part thousands.
        """
        cells = [cell.replace("\u2212", "-") for cell in self.table.text(heading.text)]
        if self.decimal_comma and not any("." in cell for cell in cells):
            cells = [cell.replace(",", ".") for cell in cells]
        good = [bool(_NUMBER.fullmatch(cell)) for cell in cells]
        bad = [index for index, fine in enumerate(good) if not fine]
        for index in bad:
            cell = cells[index]
            if _COMMA_NUMBER.fullmatch(cell):
                raise ReadError(
                    f'"{cell}": the comma may part decimals or thousands',
                    where=f"{self.label}, line {self.table.row[index]}, column {heading.text}",
                    fix="export the log again with a decimal point and without marks between thousands",
                )
            if cell not in self.table.missing:
                self.text_cells[heading.text] += 1
            cells[index] = "nan"
        numbers = np.array(cells, dtype=np.str_).astype(np.float64) if cells else np.empty(0)
        numbers[~(np.abs(numbers) < LARGEST)] = np.nan
        return numbers

    def number(self, heading: Heading, to: str, *, unstated: str | None = None) -> Float:
        """Return a column of numbers in the unit *to*; see :meth:`plain`.

        Parameters
        ----------
        heading : Heading
            From :meth:`find`.
        to : str
            Unit of the result.
        unstated : str, optional
            Unit of a column that states none. Without it such a column is refused.

        Raises
        ------
        ReadError
            If the unit is missing or not known, or not a unit of this kind.
        """
        unit = unstated if heading.unit is None else _UNITS.get(heading.unit)
        if unit is None:
            stated = "states no unit" if heading.unit is None else f'has the unknown unit "{heading.unit}"'
            raise ReadError(
                f'column "{heading.text}" {stated}',
                where=self.label,
                fix="export the log again in meters and m/s, with units in the headings",
            )
        try:
            return convert(self.plain(heading), unit, to)
        except UnitsError as error:
            raise ReadError(
                f'column "{heading.text}": {error.what}', where=self.label, fix="correct the heading"
            ) from error

    def optional(self, to: str, *names: str, unstated: str | None = None) -> Float | None:
        """Return :meth:`number` of the first column with one of the *names*, or None."""
        heading = self.find(*names)
        return None if heading is None else self.number(heading, to, unstated=unstated)

    def together(self, to: str, *names: str | tuple[str, ...], unstated: str | None = None) -> Float | None:
        """Return (n, k) columns like :meth:`optional`, or None unless all are there; of a tuple, any one."""
        found = [
            self.optional(to, *((name,) if isinstance(name, str) else name), unstated=unstated)
            for name in names
        ]
        known = [column for column in found if column is not None]
        return np.column_stack(known) if len(known) == len(names) else None

    def flag(self, *names: str) -> Mask | None:
        """Return which rows say true (1, True, Yes), or None without such a column."""
        heading = self.find(*names)
        if heading is None:
            return None
        return np.array([_is_true(cell) for cell in self.text(heading)], dtype=bool)

    def counted(self, *names: str) -> Float | None:
        """Return a column of counts, or None without one, or if it is 0 or empty in every row."""
        heading = self.find(*names)
        if heading is None:
            return None
        values = self.plain(heading)
        return values if bool(np.any(values > 0.0)) else None


def _is_true(cell: str) -> bool:
    word = cell.casefold().strip()
    return word in _TRUE or word in {"1.0", "1,0"}


def all_zero(*columns: NDArray[np.float64]) -> bool:
    """Tell columns that never hold anything but 0: what is not there is written as 0.

    Examples
    --------
    >>> all_zero(np.array([0.0, np.nan]), np.zeros(2)), all_zero(np.array([0.0, 0.1]))
    (True, False)
    """
    return not any(bool(np.any(np.nan_to_num(column) != 0.0)) for column in columns)
