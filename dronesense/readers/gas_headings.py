"""Which column of a table is what: headings by name, in several languages, or by how they are made up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from dronesense.errors import UnitsError
from dronesense.model import Column, GasHeading, GasInstrument
from dronesense.readers.gas_clock import clock_in
from dronesense.readers.table import Table, qualified, read_table
from dronesense.units import convert

ELECTRODES: Final = ("we", "ae")
"""Fields of an electrochemical pair; their series are called ``NO2.we`` and ``NO2.ae``, in mV."""

_NAME, _UNIT = r"(?P<name>.+?)", r"(?P<unit>[^()\[\]_]+)"


@dataclass(frozen=True, slots=True)
class Headings:
    """The columns of an instrument as one table has them.

    Parameters
    ----------
    columns : dict of str to Column
        Heading in the table -> meaning; columns that the table lacks are there unless they are optional.
    in_ppm : frozenset of str
        Headings whose unit the file states: their valid range is in ppm (or ppm m).
    assumptions : tuple of str
        Which columns were not used, and why.
    """

    columns: dict[str, Column]
    in_ppm: frozenset[str] = frozenset()
    assumptions: tuple[str, ...] = ()


@dataclass
class _Choice:
    """What has been found so far."""

    columns: dict[str, Column] = field(default_factory=dict)
    in_ppm: set[str] = field(default_factory=set)
    unused: list[str] = field(default_factory=list)
    strange: list[UnitsError] = field(default_factory=list)

    def heading_of(self, species: str | None) -> str | None:
        found = (name for name, column in self.columns.items() if column.species == species)
        return None if species is None else next(found, None)

    def add(self, heading: str, column: Column) -> None:
        """Take *column*, unless an earlier one is of the same species."""
        first = self.heading_of(column.species)
        if first is None:
            self.columns[heading] = column
        else:
            self.unused.append(f'{column.species}: column "{first}" used, "{heading}" not')


def named_columns(spec: GasInstrument) -> list[str]:
    """Return every heading that *spec* names, by which the heading line is found."""
    return [
        *spec.time.columns,
        *(name for columns in spec.time.also for name in columns),
        *spec.columns,
        *(other for each in spec.columns.values() for other in each.also),
    ]


def open_table(path: Path, spec: GasInstrument) -> Table:
    """Read the table *path* as *spec* describes it; see :func:`dronesense.readers.table.read_table`."""
    return read_table(
        path,
        delimiter=spec.delimiter,
        missing=spec.missing,
        headings=named_columns(spec),
        layout=spec.layout,
    )


def resolve(names: Sequence[str], spec: GasInstrument, *, where: str | Path) -> Headings:
    """Return the columns of *spec* in a table with the headings *names*.

    Raises
    ------
    UnitsError
        If the headings of all gases have units that are none.
    """
    known = set(names) | set(qualified(list(names)))
    choice = _Choice()
    for heading, column in spec.columns.items():
        found = next((each for each in (heading, *column.also) if each in known), None)
        if column.field in ELECTRODES:
            column = replace(column, species=f"{column.of}.{column.field}")
        if found is not None and column.optional:
            choice.add(found, column)
        elif found is not None or not column.optional:
            choice.columns[found or heading] = column
    for rule in spec.gases:
        _take_by_rule(rule, names, choice, where)
    if choice.strange and not any(column.species for column in choice.columns.values()):
        raise choice.strange[0]
    return Headings(choice.columns, frozenset(choice.in_ppm), tuple(choice.unused))


def matches(names: Sequence[str], spec: GasInstrument) -> bool:
    """Return whether a table headed *names* has the clock and the species of *spec*, and is no relative's."""
    have = set(names) | set(qualified(list(names)))
    if not {*clock_in(have, spec.time).columns, *spec.match.headings} <= have or have.intersection(
        spec.match.without
    ):
        return False
    try:
        columns = resolve(names, spec, where="").columns
    except UnitsError:
        return False
    needed = {name for name, column in columns.items() if column.species is not None}
    return bool(needed) and needed <= have


def has_positions(names: Sequence[str], spec: GasInstrument) -> bool:
    """Return whether a table headed *names* has the clock, latitude and longitude of *spec*."""
    have = set(names) | set(qualified(list(names)))
    if not {*clock_in(have, spec.time).columns, *spec.match.headings} <= have:
        return False
    if have.intersection(spec.match.without):
        return False
    found = {
        column.field for heading, column in spec.columns.items() if have.intersection((heading, *column.also))
    }
    return {"latitude", "longitude"} <= found


def _take_by_rule(rule: GasHeading, names: Sequence[str], choice: _Choice, where: str | Path) -> None:
    """Add the columns that are headed as *rule* says."""
    pattern = _pattern(rule.heading)
    for heading in names:
        match = pattern.fullmatch(heading)
        column = None if match is None else rule.names.get(match["name"].strip())
        if match is None or column is None or heading in choice.columns:
            continue
        if "unit" in match.groupdict():
            unit = match["unit"].strip()
            try:
                _check_unit(unit, heading, where)
            except UnitsError as error:
                choice.strange.append(error)
                choice.unused.append(f'column "{heading}" not used: {error.what}')
                continue
            column = replace(column, unit=unit)
            choice.in_ppm.add(heading)
        choice.add(heading, column)


def _pattern(heading: str) -> re.Pattern[str]:
    text = re.escape(heading)
    text = re.sub(r"\\ (?=\\[(\[])", r"\\s*", text)  # "CH4(ppm)" as well as "CH4 (ppm)"
    return re.compile(text.replace(r"\{name\}", _NAME).replace(r"\{unit\}", _UNIT))


def _check_unit(unit: str, heading: str, where: str | Path) -> None:
    try:
        convert(1.0, unit, unit)
    except UnitsError as error:
        raise UnitsError(
            error.what,
            where=f'{where}, column "{heading}"',
            fix=f'name it under [columns] of the instrument: "{heading}" = {{ species = "", unit = "" }}',
        ) from error
