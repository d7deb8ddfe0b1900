"""Units of gas columns: what the file itself says, and mass concentrations at the state of their sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, UnitsError
from dronesense.model import Ambient, Column
from dronesense.model.gas import UNIT_OF_QUANTITY, GasQuantity
from dronesense.readers.table import Table
from dronesense.units import ZERO_CELSIUS_K, convert, mole_fraction_from_mass, quantity_of

Floats = NDArray[np.float64]

_ELECTRODES: Final = ("we", "ae")
_MILLIVOLT: Final = "mV"
_BASES: Final = ("dry", "wet")


def is_mass(column: Column) -> bool:
    """Return whether *column* is a mass concentration."""
    return is_same_kind(column.unit, "mg/m3")


def is_same_kind(unit: str, other: str) -> bool:
    """Return whether two units measure the same."""
    try:
        convert(1.0, unit, other)
    except UnitsError:
        return False
    return True


def state_text(column: Column) -> str:
    """Return a sentence on the air that a mass concentration refers to."""
    if column.state == "sample":
        return f"{column.unit} taken at the temperature and pressure of the sample"
    assert column.state is not None
    celsius, hpa = column.state
    return f"{column.unit} taken at {celsius:g} degC and {hpa:g} hPa"


def scale_of(column: Column, air: Ambient) -> tuple[GasQuantity, Callable[[Floats], Floats]]:
    """Return what *column* measures and how its readings turn into the unit of that quantity.

    Parameters
    ----------
    column : Column
        A gas column.
    air : Ambient
        Of its samples, for mass concentrations.

    Raises
    ------
    UnitsError
        If the unit is none of a gas, or a mass concentration lacks its molar mass, its state, or the
        temperature and pressure of the sample.
    """
    if column.field in _ELECTRODES:
        return "relative", lambda reading: np.asarray(convert(reading, column.unit, _MILLIVOLT))
    if not is_mass(column):
        quantity = quantity_of(column.unit)
        return quantity, lambda reading: convert(reading, column.unit, UNIT_OF_QUANTITY[quantity])
    temperature_k, pressure_hpa = _state(column, air)
    molar_mass = None if np.isnan(column.molar_mass) else column.molar_mass

    def from_mass(reading: Floats) -> Floats:
        return mole_fraction_from_mass(
            reading,
            column.unit,
            molar_mass_g_mol=molar_mass,
            temperature_k=temperature_k,
            pressure_hpa=pressure_hpa,
        )

    return "mole_fraction", from_mass


def _state(column: Column, air: Ambient) -> tuple[Floats | float | None, Floats | float | None]:
    if column.state is None:
        raise UnitsError(
            f'"{column.unit}" is a mass concentration: a mole fraction follows only at known T and p',
            fix='state molar_mass, and state = "sample" or [degC, hPa]: the air that the figure refers to',
        )
    if column.state == "sample":
        return air.temperature_k, air.pressure_hpa
    celsius, hpa = column.state
    return celsius + ZERO_CELSIUS_K, hpa


def stated_in_file(table: Table, columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return *columns* with the units and bases that columns of the file state for a species.

    Raises
    ------
    ReadError
        If the file says more than one.
    UnitsError
        If the unit is not the one of the instrument file.
    """
    result = dict(columns)
    for name, column in columns.items():
        if column.field not in ("unit", "basis") or name not in table.all_names:
            continue
        said = sorted(set(table.text(name)) - table.missing)
        where = f'{table.path}, column "{name}"'
        if len(said) > 1:
            raise ReadError(f"says {' and '.join(said)}", where=where, fix="split the file")
        for heading, gas in list(result.items()):
            if gas.species != column.of or not said:
                continue
            if column.field == "unit":
                _agree(said[0], gas, where)
                result[heading] = replace(gas, unit=said[0])
            elif said[0] in _BASES:
                result[heading] = replace(gas, basis="dry" if said[0] == "dry" else "wet")
    return result


def _agree(said: str, gas: Column, where: str) -> None:
    if gas.unit != "1" and not _same(said, gas.unit):
        raise UnitsError(
            f'says {gas.species} is in "{said}", the instrument "{gas.unit}"',
            where=where,
            fix="correct the unit in the instrument file, or leave it out there",
        )


def check_lines_below(
    lines: Sequence[Mapping[str, str]], columns: Mapping[str, Column], *, where: str | Path
) -> None:
    """Refuse a table whose line of units contradicts the instrument.

    Parameters
    ----------
    lines : sequence of mapping
        Heading -> cell of each line below the headings that holds no readings.
    columns : mapping of str to Column
        Heading -> meaning.

    Raises
    ------
    UnitsError
        If a cell is a unit, and not that of the column.
    """
    for cells in lines:
        for heading, column in columns.items():
            said = "" if column.unit == "1" and column.species is None else cells.get(heading, "")
            if said and is_same_kind(said, said) and not _same(said, column.unit):
                raise UnitsError(
                    f'the file says "{said}" below "{heading}", the instrument "{column.unit}"',
                    where=where,
                    fix=f'correct columns."{heading}".unit of the instrument file',
                )


def _same(one: str, other: str) -> bool:
    return is_same_kind(one, other) and convert(1.0, one, other) == 1.0
