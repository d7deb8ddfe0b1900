"""`[correct.<species>]` of a gas instrument: what lies between a signal and a mole fraction."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from dronesense.errors import ManifestError, did_you_mean
from dronesense.model import Column, Correct, PidLamp
from dronesense.readers.instrument_keys import Strict

ALGORITHMS: Final = (1, 2, 3, 4)


class NdirKeys(Strict, frozen=True):
    """`ndir`: conditions at which a sensor that counts molecules was set."""

    reference_hpa: float = 1013.25
    reference_degc: float = 25.0


class WaterKeys(Strict, frozen=True):
    """`dry`, as coefficients: wet / dry = 1 + linear h + square h^2, h in percent."""

    linear: float
    square: float = 0.0


class PidKeys(Strict, frozen=True):
    """`pid`."""

    vendor: str
    lamp_ev: float
    compound: str


class CorrectKeys(Strict, frozen=True):
    """`[correct.<species>]`."""

    ndir: bool | NdirKeys = False
    dry: str | WaterKeys | None = None
    sigma_water_percent: float = 0.0
    cell: str | None = None
    electrodes: str | None = None
    table: str = "aan803-04"
    algorithm: int | None = None
    no2: str | None = None
    sigma_temperature_k: float = 1.0
    mox: str | None = None
    pid: PidKeys | None = None


def to_correct(
    path: Path, entries: Mapping[str, CorrectKeys], *, columns: Mapping[str, Column], species: Collection[str]
) -> dict[str, Correct]:
    """Return the corrections of an instrument, checked.

    Parameters
    ----------
    path : Path
        The instrument file, for messages.
    entries : mapping of str to CorrectKeys
        Species -> keys.
    columns : mapping of str to Column
        Of the instrument.
    species : collection of str
        That its columns and headings hold; a cell makes its species from two electrodes instead.

    Raises
    ------
    ManifestError
        If two keys contradict each other, one is out of its range, or a column that one needs is not named.
    """
    made = {name for name, keys in entries.items() if keys.cell is not None}
    for name, keys in entries.items():
        where = f'{path}, key correct."{name}"'
        _check_numbers(where, keys)
        _check_kinds(where, keys)
        if keys.cell is not None and name in species:
            raise ManifestError(
                "has a column of its own: the cell cannot make it as well",
                where=where,
                fix="give cell and column different species",
            )
        if keys.cell is not None:
            _check_electrodes(where, name, keys, columns)
        elif name not in species:
            what = f'no column has the species "{name}"{did_you_mean(name, species)}'
            raise ManifestError(what, where=where)
        if keys.no2 is not None and (keys.no2 == name or keys.no2 not in {*species, *made}):
            raise ManifestError(
                f'no2 = "{keys.no2}" is no other species of this instrument',
                where=f"{where}.no2",
                fix=f"use one of: {', '.join(sorted({*species, *made} - {name})) or 'none'}",
            )
    return {name: _correct(keys) for name, keys in entries.items()}


def _check_numbers(where: str, keys: CorrectKeys) -> None:
    if isinstance(keys.ndir, NdirKeys) and not (
        0.0 < keys.ndir.reference_hpa < math.inf and -273.15 < keys.ndir.reference_degc < math.inf
    ):
        raise ManifestError("are no pressure in hPa and temperature in degC", where=f"{where}.ndir")
    if isinstance(keys.dry, WaterKeys) and not math.isfinite(keys.dry.linear + keys.dry.square):
        raise ManifestError("linear and square must be finite", where=f"{where}.dry")
    if not (0.0 <= keys.sigma_water_percent < math.inf and 0.0 <= keys.sigma_temperature_k < math.inf):
        raise ManifestError("sigmas must be 0 or greater", where=where)
    if keys.algorithm is not None and keys.algorithm not in ALGORITHMS:
        raise ManifestError(
            f"AAN 803 has no algorithm {keys.algorithm}", where=f"{where}.algorithm", fix="use 1, 2, 3 or 4"
        )
    if keys.pid is not None and not 0.0 < keys.pid.lamp_ev < math.inf:
        raise ManifestError("must be greater than 0, in eV", where=f"{where}.pid.lamp_ev")


def _check_kinds(where: str, keys: CorrectKeys) -> None:
    """Refuse what no one sensor is: a cell and a lamp, keys of a cell without a cell."""
    kinds = [
        name
        for name, has in (
            ("ndir", keys.ndir is not False),
            ("cell", keys.cell is not None),
            ("mox", keys.mox is not None),
            ("pid", keys.pid is not None),
        )
        if has
    ]
    if len(kinds) > 1:
        raise ManifestError(f"is {' and '.join(kinds)} at once", where=where, fix="keep one of them")
    if not kinds and keys.dry is None:
        raise ManifestError(
            "asks for nothing", where=where, fix="set ndir, dry, cell, mox or pid, or take the table away"
        )
    if keys.dry is not None and {"mox", "cell"} & set(kinds):
        raise ManifestError(
            f"dry is for mole fractions, not for the signal of {kinds[0]}", where=f"{where}.dry"
        )
    if keys.cell is None and (keys.electrodes or keys.algorithm or keys.no2):
        raise ManifestError(
            "electrodes, algorithm and no2 are for an electrochemical cell",
            where=where,
            fix='add cell = "..." with its serial number, or leave them out',
        )


def _check_electrodes(where: str, name: str, keys: CorrectKeys, columns: Mapping[str, Column]) -> None:
    pair = keys.electrodes or name
    for electrode, kind in (("we", "working"), ("ae", "auxiliary")):
        if not any(column.field == electrode and column.of == pair for column in columns.values()):
            raise ManifestError(
                f'no column is the {kind} electrode of "{pair}"',
                where=where,
                fix=f'name one with field = "{electrode}", of = "{pair}", or say electrodes = "..."',
            )


def _correct(keys: CorrectKeys) -> Correct:
    ndir = NdirKeys() if keys.ndir is True else keys.ndir
    return Correct(
        ndir=(ndir.reference_hpa, ndir.reference_degc) if isinstance(ndir, NdirKeys) else None,
        dry=(keys.dry.linear, keys.dry.square) if isinstance(keys.dry, WaterKeys) else keys.dry,
        sigma_water_percent=keys.sigma_water_percent,
        cell=keys.cell,
        electrodes=keys.electrodes,
        table=keys.table,
        algorithm=keys.algorithm,
        no2=keys.no2,
        sigma_temperature_k=keys.sigma_temperature_k,
        mox=keys.mox,
        pid=None if keys.pid is None else PidLamp(keys.pid.vendor, keys.pid.lamp_ev, keys.pid.compound),
    )
