"""Gases, factor tables of electrochemical cells, calibration sheets, and factors of lamps: data, no code."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from dronesense.errors import ManifestError, did_you_mean
from dronesense.model.gas_tables import (
    Cell,
    ClimateCorrection,
    CompensationTable,
    ExposureLimit,
    Gas,
    MoxSensor,
    PidTable,
    PowerLaw,
)
from dronesense.readers import toml

ALGORITHMS: Final = ("1", "2", "3", "4")
MIN_PID_SIGMA: Final = 0.25
"""Makers disagree by 30 to 50 % on the same compound: no factor is known better than this."""

_ELEMENT = re.compile(r"([A-Z][a-z]?)(\d*)")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An unknown key is an error."""


class _Limit(_Strict, frozen=True):
    what: str
    ppm: float
    source: str


class _Gas(_Strict, frozen=True):
    name: str
    formula: str
    ionization_ev: float = math.nan
    ionization_source: str = ""
    limits: list[_Limit] = []
    interferents: list[str] = []


class _Gases(_Strict, frozen=True):
    schema: Literal[1]
    atomic_weights: dict[str, float | str]
    gases: dict[str, _Gas]


class _Compensation(_Strict, frozen=True):
    schema: Literal[1]
    id: str
    source: str
    temperature_c: list[float]
    sensors: dict[str, dict[str, list[float] | int]]
    serial_prefixes: dict[str, str] = {}


class _Cell(_Strict, frozen=True):
    type: str
    we_electronic_zero_mv: float
    ae_electronic_zero_mv: float
    we_sensor_zero_mv: float
    ae_sensor_zero_mv: float
    sensitivity_mv_ppb: float
    no2_sensitivity_mv_ppb: float = 0.0
    sigma_zero_mv: float = 0.0
    relative_sigma_sensitivity: float = 0.0


class _Cells(_Strict, frozen=True):
    schema: Literal[1]
    cells: dict[str, _Cell]


class _Factor(_Strict, frozen=True):
    factor: float
    source: str


class _Pid(_Strict, frozen=True):
    schema: Literal[1]
    vendor: str
    lamp_ev: float
    reference: str
    relative_sigma: float
    source: str
    factors: dict[str, _Factor]
    no_response: list[str] = []
    unverified_no_response: list[str] = []
    unverified: dict[str, float] = {}


class _Climate(_Strict, frozen=True):
    constant: float = 1.0
    linear: float = 0.0
    square: float = 0.0
    humidity: float = 0.0
    reference_percent: float = 0.0
    relative_sigma: float = 0.0


class _Law(_Strict, frozen=True):
    scale: float
    exponent: float
    sigma_log_scale: float = 0.0
    sigma_exponent: float = 0.0
    covariance: float = 0.0
    scatter: float = 0.0
    low: float = 0.0
    high: float = math.inf


class _Mox(_Strict, frozen=True):
    r0_ohm: float
    relative_sigma_r0: float = 0.0
    supply_v: float = math.nan
    load_ohm: float = math.nan
    climate: _Climate | None = None
    species: str = ""
    law: _Law | None = None
    points: list[tuple[float, float]] = []


class _MoxFile(_Strict, frozen=True):
    schema: Literal[1]
    sensors: dict[str, _Mox]


def molar_mass(formula: str, atomic_weights: dict[str, float]) -> float:
    """Return the molar mass of *formula*, g/mol.

    Raises
    ------
    ValueError
        If it is no formula, or an element has no weight.

    Examples
    --------
    >>> round(molar_mass("CH3NH2", {"C": 12.011, "H": 1.008, "N": 14.007}), 3)
    31.058
    """
    parts = _ELEMENT.findall(formula)
    if not parts or "".join(symbol + count for symbol, count in parts) != formula:
        raise ValueError(f'"{formula}" is no chemical formula')
    missing = sorted({symbol for symbol, _ in parts} - set(atomic_weights))
    if missing:
        raise ValueError(f"no atomic weight of {', '.join(missing)}")
    return float(sum(atomic_weights[symbol] * int(count or 1) for symbol, count in parts))


def read_gases(path: Path) -> dict[str, Gas]:
    """Read ``calibration/gases.toml``.

    Returns
    -------
    dict of str to Gas
        Species -> gas, with the molar mass computed from its formula.

    Raises
    ------
    ManifestError
        If the file cannot be read, a key is unknown or missing, or a formula is none.
    """
    entry = toml.load(path, _Gases)
    weights = {
        symbol: weight for symbol, weight in entry.atomic_weights.items() if not isinstance(weight, str)
    }
    gases = {}
    for species, each in entry.gases.items():
        where = f"{path}, key gases.{species}"
        try:
            mass = molar_mass(each.formula, weights)
        except ValueError as error:
            raise ManifestError(str(error), where=f"{where}.formula") from error
        if any(not limit.ppm > 0.0 or not limit.source for limit in each.limits):
            raise ManifestError("a limit must be greater than 0 and name its source", where=f"{where}.limits")
        gases[species] = Gas(
            id=species,
            name=each.name,
            formula=each.formula,
            molar_mass_g_mol=mass,
            ionization_ev=each.ionization_ev,
            ionization_source=each.ionization_source,
            limits=tuple(ExposureLimit(limit.what, limit.ppm, limit.source) for limit in each.limits),
            interferents=tuple(each.interferents),
        )
    return gases


def read_compensation(path: Path) -> CompensationTable:
    """Read ``calibration/electrochemical/<issue>.toml``.

    Raises
    ------
    ManifestError
        If the file cannot be read, a row has not one factor a temperature, or the suggested algorithm is not
        there.
    """
    entry = toml.load(path, _Compensation)
    if len(entry.temperature_c) < 2 or np.any(np.diff(entry.temperature_c) <= 0.0):
        raise ManifestError("temperatures must increase", where=f"{path}, key temperature_c")
    factors: dict[str, dict[int, Any]] = {}
    suggested: dict[str, int] = {}
    for sensor, rows in entry.sensors.items():
        where = f"{path}, key sensors.{sensor}"
        first = rows.get("suggested")
        if not isinstance(first, int) or str(first) not in rows:
            raise ManifestError("suggested must name one of its algorithms", where=where)
        suggested[sensor], factors[sensor] = first, {}
        for key, row in rows.items():
            if key == "suggested":
                continue
            if key not in ALGORITHMS:
                raise ManifestError(f'unknown algorithm "{key}"', where=where, fix="use 1, 2, 3 or 4")
            if isinstance(row, int) or len(row) != len(entry.temperature_c):
                raise ManifestError(
                    f"algorithm {key} needs {len(entry.temperature_c)} factors, one a temperature",
                    where=where,
                )
            factors[sensor][int(key)] = np.array(row)
    return CompensationTable(
        id=entry.id,
        source=entry.source,
        temperature_c=np.array(entry.temperature_c),
        factors=factors,
        suggested=suggested,
        serial_prefixes=entry.serial_prefixes,
        path=str(path),
    )


def read_cells(path: Path, *, table: CompensationTable | None = None) -> dict[str, Cell]:
    """Read calibration sheets: our TOML, or the JSON in which Smart Citizen keeps those of Alphasense.

    Parameters
    ----------
    path : Path
        ``*.toml`` with ``[cells."<serial>"]``, or ``*.json``.
    table : CompensationTable, optional
        Names the types of serial numbers in JSON, which does not; a serial number that it does not know has
        the type ``""``.

    Returns
    -------
    dict of str to Cell
        By serial number; NaN where a JSON sheet is silent.

    Raises
    ------
    ManifestError
        If the file cannot be read, or an entry is no number.
    """
    if path.suffix.lower() == ".json":
        return _json_cells(path, {} if table is None else dict(table.serial_prefixes))
    entry = toml.load(path, _Cells)
    cells = {}
    for serial, each in entry.cells.items():
        if table is not None and each.type not in table.factors:
            raise ManifestError(
                f'no sensor "{each.type}" in {table.id}{did_you_mean(each.type, table.factors)}',
                where=f'{path}, key cells."{serial}".type',
                fix=f"use one of: {', '.join(table.factors)}",
            )
        if each.sensitivity_mv_ppb == 0.0:
            raise ManifestError("sensitivity_mv_ppb must not be 0", where=f'{path}, key cells."{serial}"')
        cells[serial] = Cell(serial=serial, path=str(path), **msgspec.structs.asdict(each))
    return cells


_SHEET: Final = {
    "we_electronic_zero_mv": "we_electronic_zero_mv",
    "ae_electronic_zero_mv": "ae_electronic_zero_mv",
    "we_sensor_zero_mv": "we_sensor_zero_mv",
    "ae_sensor_zero_mv": "ae_sensor_zero_mv",
    "we_sensitivity_mv_ppb": "sensitivity_mv_ppb",
    "we_cross_sensitivity_no2_mv_ppb": "no2_sensitivity_mv_ppb",
}
"""Key of a JSON sheet -> field of :class:`Cell`."""


def _json_cells(path: Path, prefixes: dict[str, str]) -> dict[str, Cell]:
    try:
        sheets = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ManifestError(f"cannot be opened ({error.strerror})", where=path) from error
    except ValueError as error:
        raise ManifestError(f"is not JSON: {error}", where=path) from error
    if not isinstance(sheets, dict):
        raise ManifestError("holds no sheets by serial number", where=path)
    cells = {}
    for serial, sheet in sheets.items():
        if not isinstance(sheet, dict) or "we_sensitivity_mv_ppb" not in sheet:
            continue  # boards stand among the cells
        numbers = {field: _number(path, serial, key, sheet.get(key, "")) for key, field in _SHEET.items()}
        if math.isnan(numbers["no2_sensitivity_mv_ppb"]):
            numbers["no2_sensitivity_mv_ppb"] = 0.0
        kind = next((name for prefix, name in prefixes.items() if serial.startswith(prefix)), "")
        cells[serial] = Cell(serial=serial, type=kind, path=str(path), **numbers)
    return cells


def _number(path: Path, serial: str, key: str, text: object) -> float:
    if text in ("", None):
        return math.nan
    try:
        return float(str(text))
    except ValueError as error:
        raise ManifestError(f'"{text}" is no number', where=f"{path}, key {serial}.{key}") from error


def read_pid(path: Path) -> PidTable:
    """Read ``calibration/pid/<vendor>-<lamp>.toml``.

    Raises
    ------
    ManifestError
        If the file cannot be read, a factor is not greater than 0, a compound stands twice, or the
        uncertainty is below :data:`MIN_PID_SIGMA`.
    """
    entry = toml.load(path, _Pid)
    if not entry.relative_sigma >= MIN_PID_SIGMA:
        raise ManifestError(
            f"relative_sigma {entry.relative_sigma:g} is more than anyone knows",
            where=f"{path}, key relative_sigma",
            fix=f"{MIN_PID_SIGMA} or more: makers disagree by 30 to 50 %",
        )
    if any(not each.factor > 0.0 for each in entry.factors.values()):
        raise ManifestError("factors must be greater than 0", where=f"{path}, key factors")
    twice = set(entry.factors) & (set(entry.no_response) | set(entry.unverified))
    if twice:
        raise ManifestError(f"{', '.join(sorted(twice))} stands twice", where=path)
    return PidTable(
        vendor=entry.vendor,
        lamp_ev=entry.lamp_ev,
        reference=entry.reference,
        factors={name: each.factor for name, each in entry.factors.items()},
        sources={name: each.source for name, each in entry.factors.items()},
        relative_sigma=entry.relative_sigma,
        no_response=frozenset((*entry.no_response, *entry.unverified_no_response)),
        unverified=entry.unverified,
        source=entry.source,
        path=str(path),
    )


def read_mox(path: Path) -> dict[str, MoxSensor]:
    """Read ``calibration/mox/*.toml``: sheets of metal-oxide sensors.

    Returns
    -------
    dict of str to MoxSensor
        By name.

    Raises
    ------
    ManifestError
        If the file cannot be read, a number is out of its range, or a sheet has both a law and points, or
        either without the species.
    """
    entry = toml.load(path, _MoxFile)
    return {
        name: _mox(f'{path}, key sensors."{name}"', name, each, path) for name, each in entry.sensors.items()
    }


def _mox(where: str, name: str, entry: _Mox, path: Path) -> MoxSensor:
    if not (0.0 < entry.r0_ohm < math.inf and 0.0 <= entry.relative_sigma_r0 < math.inf):
        raise ManifestError("r0_ohm must be greater than 0, relative_sigma_r0 0 or greater", where=where)
    if math.isnan(entry.supply_v) != math.isnan(entry.load_ohm) or min(entry.supply_v, entry.load_ohm) <= 0.0:
        raise ManifestError(
            "supply_v and load_ohm must both be greater than 0, or both left out", where=where
        )
    if entry.law is not None and entry.points:
        raise ManifestError("holds both law and points", where=where, fix="keep one of the two")
    fitted = entry.law is not None or bool(entry.points)
    if fitted != bool(entry.species):
        raise ManifestError(
            "a law, or points, hold for one gas",
            where=where,
            fix='state species = "..." beside them, or leave all out: the series then stays relative',
        )
    if entry.law is not None and not (entry.law.scale > 0.0 and math.isfinite(entry.law.exponent)):
        raise ManifestError("scale must be greater than 0 and exponent finite", where=f"{where}.law")
    if any(not (ratio > 0.0 and ppm > 0.0) for ratio, ppm in entry.points):
        raise ManifestError("Rs / R0 and ppm must be greater than 0", where=f"{where}.points")
    return MoxSensor(
        id=name,
        r0_ohm=entry.r0_ohm,
        relative_sigma_r0=entry.relative_sigma_r0,
        supply_v=entry.supply_v,
        load_ohm=entry.load_ohm,
        climate=None if entry.climate is None else ClimateCorrection(**msgspec.structs.asdict(entry.climate)),
        species=entry.species,
        law=None if entry.law is None else PowerLaw(**msgspec.structs.asdict(entry.law)),
        points=tuple(entry.points),
        path=str(path),
    )
