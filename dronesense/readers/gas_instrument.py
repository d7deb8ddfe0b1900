"""The keys of a gas instrument, checked: docs/formats/instrument-toml.md says what each means."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from dronesense.errors import ManifestError, did_you_mean
from dronesense.model import Column, GasHeading, GasInstrument, Layout, Match, TimeColumn
from dronesense.readers.gas_clock import AUTO, ELAPSED, EXCEL, NUMERIC, zone_in
from dronesense.readers.gas_correct import CorrectKeys, to_correct
from dronesense.readers.instrument_keys import MountKeys, Strict

DateOrder = Literal["dmy", "mdy", "ymd"]
Basis = Literal["dry", "wet", "unknown"]

OF_A_SPECIES: Final = ("unit", "basis", "sigma", "we", "ae")
"""Fields that mean nothing without `of`."""

FIELDS: Final = (
    "pressure",
    "temperature",
    "humidity",
    "water",
    "status",
    *OF_A_SPECIES,
    "latitude",
    "longitude",
    "height",
    "range",
    "beam_pitch",
    "beam_yaw",
    "roll",
    "pitch",
    "yaw",
    "velocity_north",
    "velocity_east",
    "velocity_down",
    "velocity_up",
    "wind_speed",
    "wind_from",
    "wind_east",
    "wind_north",
    "wind_right",
    "wind_forward",
    "wind_up",
)
"""What a column without a species may hold."""

TIME_FORMATS: Final = (
    "iso", "unix", "unix_ms", "unix_us", "unix_ns", "unix_s_ns", NUMERIC, EXCEL, ELAPSED, AUTO,
)  # fmt: skip
"""Beside strptime patterns, which hold a percent sign."""


class TimeKeys(Strict, frozen=True):
    """`[time]`."""

    column: str | list[str]
    format: str = "iso"
    zone: str | None = None
    date_order: DateOrder | None = None
    zone_line: str | None = None
    start: str | None = None
    start_line: str | None = None
    also: tuple[str | list[str], ...] = ()


class ColumnKeys(Strict, frozen=True):
    """One entry of `[columns]`."""

    species: str | None = None
    field: str | None = None
    unit: str = "1"
    basis: Basis = "unknown"
    sigma: float | None = None
    ok: tuple[float | str, ...] = ()
    bad_bits: int = 0
    within: tuple[float, float] | None = None
    flag: Literal["status", "range", "saturated", "warm_up", "on_ground"] = "status"
    of: str | None = None
    optional: bool = False
    also: tuple[str, ...] = ()
    saturation: float = float("inf")
    hold: bool | str = False
    derived: bool = False
    stuck: int = 20
    molar_mass: float = float("nan")
    state: Literal["sample"] | tuple[float, float] | None = None


class HeadingKeys(Strict, frozen=True):
    """One `[[gases]]`."""

    heading: str | list[str]
    names: dict[str, str]
    unit: str | None = None
    basis: Basis = "unknown"
    hold: bool = False
    molar_mass: dict[str, float] = msgspec.field(default_factory=dict)
    state: Literal["sample"] | tuple[float, float] | None = None


class LayoutKeys(Strict, frozen=True):
    """`[layout]`."""

    decimal: Literal[".", ","] | None = None
    end: str | None = None
    skip_rows: int = 0
    extra_cells: bool = False


class MatchKeys(Strict, frozen=True):
    """`[match]`."""

    headings: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    text: str = ""
    last: bool = False


class GasFile(Strict, frozen=True):
    """A file with `kind = "gas"`."""

    schema: Literal[1]
    id: str
    kind: Literal["gas"]
    time: TimeKeys
    columns: dict[str, ColumnKeys] = msgspec.field(default_factory=dict)
    gases: tuple[HeadingKeys, ...] = ()
    valid_range: dict[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    height_ref: Literal["ellipsoid", "egm96", "egm2008", "receiver-geoid", "takeoff", "unknown"] | None = None
    layout: LayoutKeys = LayoutKeys()
    warm_up_s: float = 0.0
    preamble: dict[str, str] = msgspec.field(default_factory=dict)
    match: MatchKeys = MatchKeys()
    notes: tuple[str, ...] = ()
    correct: dict[str, CorrectKeys] = msgspec.field(default_factory=dict)
    mount: MountKeys = MountKeys()


def to_gas(path: Path, entry: GasFile) -> GasInstrument:
    """Return the instrument that the keys *entry* of *path* describe.

    Raises
    ------
    ManifestError
        If a value is out of its range or two contradict each other; the key is named.
    """
    time = _time(path, entry.time)
    for name, column in entry.columns.items():
        _check_column(f'{path}, key columns."{name}"', column)
    gases = tuple(
        _heading(f"{path}, key gases", heading, each)
        for each in entry.gases
        for heading in ([each.heading] if isinstance(each.heading, str) else each.heading)
    )
    species = [column.species for column in entry.columns.values() if column.species is not None]
    species += [column.species for each in gases for column in each.names.values() if column.species]
    _check_ranges(path, entry, species)
    if entry.delimiter is not None and len(entry.delimiter) != 1:
        fix = 'such as ";" or "\\t"; " " stands for any run of blanks'
        raise ManifestError("must be one character", where=f"{path}, key delimiter", fix=fix)
    if entry.layout.skip_rows < 0 or not 0.0 <= entry.warm_up_s < float("inf"):
        raise ManifestError("skip_rows and warm_up_s must be 0 or greater", where=path)
    columns = {name.strip(): _column(column) for name, column in entry.columns.items()}
    return GasInstrument(
        time=time,
        columns=columns,
        valid_range=dict(entry.valid_range),
        missing=entry.missing,
        delimiter=entry.delimiter,
        height_ref=entry.height_ref,
        gases=gases,
        layout=Layout(
            decimal=entry.layout.decimal,
            end=entry.layout.end,
            skip_rows=entry.layout.skip_rows,
            extra_cells=entry.layout.extra_cells,
        ),
        warm_up_s=entry.warm_up_s,
        preamble=dict(entry.preamble),
        match=Match(entry.match.headings, entry.match.without, entry.match.text, entry.match.last),
        notes=entry.notes,
        correct=to_correct(path, entry.correct, columns=columns, species=species),
    )


def _time(path: Path, keys: TimeKeys) -> TimeColumn:
    columns = tuple([keys.column] if isinstance(keys.column, str) else keys.column)
    if not columns or not all(columns):
        raise ManifestError("no column is named", where=f"{path}, key time.column")
    if keys.format not in TIME_FORMATS and "%" not in keys.format:
        raise ManifestError(
            f'unknown time format "{keys.format}"{did_you_mean(keys.format, TIME_FORMATS)}',
            where=f"{path}, key time.format",
            fix=f"one of {', '.join(TIME_FORMATS)}, or a strptime pattern such as %Y-%m-%d %H:%M:%S.%f",
        )
    if keys.date_order is not None and keys.format not in (NUMERIC, ELAPSED, AUTO):
        raise ManifestError(
            "means something only with dates in figures",
            where=f"{path}, key time.date_order",
            fix=f'set format = "{NUMERIC}", or leave date_order out',
        )
    if (keys.start is not None or keys.start_line is not None) and keys.format != ELAPSED:
        fix = f'set format = "{ELAPSED}", or leave them out'
        raise ManifestError(
            "start and start_line mean something only with seconds since a start",
            where=f"{path}, key time",
            fix=fix,
        )
    return TimeColumn(
        columns=columns,
        format=keys.format,
        zone=keys.zone or zone_in(columns),
        date_order=keys.date_order,
        zone_line=keys.zone_line,
        start=keys.start,
        start_line=keys.start_line,
        also=tuple((each,) if isinstance(each, str) else tuple(each) for each in keys.also),
    )


def _check_ranges(path: Path, entry: GasFile, species: list[str]) -> None:
    for gas, (low, high) in entry.valid_range.items():
        where = f"{path}, key valid_range.{gas}"
        if gas not in species:
            what = f'no column has the species "{gas}"{did_you_mean(gas, species)}'
            raise ManifestError(what, where=where)
        if not low < high:
            raise ManifestError(f"the range [{low}, {high}] is empty", where=where, fix="write [low, high]")


def _check_column(where: str, column: ColumnKeys) -> None:
    if (column.species is None) == (column.field is None):
        raise ManifestError(
            "a column holds either a species or a field", where=where, fix="state one of them"
        )
    if column.field is not None and column.field not in FIELDS:
        raise ManifestError(
            f'unknown field "{column.field}"{did_you_mean(column.field, FIELDS)}',
            where=where,
            fix=f"one of {', '.join(FIELDS)}",
        )
    if column.field in OF_A_SPECIES and column.of is None:
        raise ManifestError(
            f'field = "{column.field}" is about a species', where=where, fix='add of = "CH4", or another gas'
        )
    if column.of is not None and column.field not in ("status", *OF_A_SPECIES):
        raise ManifestError(
            "of is for status, unit, basis, sigma, we and ae only", where=where, fix="leave it out"
        )
    if column.sigma is not None and not (np.isfinite(column.sigma) and column.sigma >= 0.0):
        raise ManifestError(f"sigma must be 0 or greater, not {column.sigma}", where=where)
    if column.within is not None and not column.within[0] <= column.within[1]:
        raise ManifestError("within is empty", where=where, fix="write [low, high]")
    if column.field != "status" and (
        column.ok or column.bad_bits or column.within or column.flag != "status"
    ):
        raise ManifestError(
            'ok, bad_bits, within and flag are for field = "status"', where=where, fix="leave them out"
        )
    if column.stuck < 0 or column.bad_bits < 0:
        raise ManifestError("stuck and bad_bits must be 0 or greater", where=where)
    if not (np.isnan(column.molar_mass) or 0.0 < column.molar_mass < float("inf")):
        raise ManifestError("molar_mass must be greater than 0, in g/mol", where=where)


def _column(column: ColumnKeys) -> Column:
    return Column(
        unit=column.unit,
        species=column.species,
        field=column.field,
        basis=column.basis,
        sigma=float("nan") if column.sigma is None else column.sigma,
        ok=column.ok,
        bad_bits=column.bad_bits,
        within=column.within,
        flag=column.flag.upper(),
        of=column.of,
        optional=column.optional,
        also=column.also,
        saturation=column.saturation,
        hold=column.hold,
        derived=column.derived,
        stuck=column.stuck,
        molar_mass=column.molar_mass,
        state=column.state,
    )


def _heading(where: str, heading: str, keys: HeadingKeys) -> GasHeading:
    """Return one rule of how gas columns are headed."""
    if heading.count("{name}") != 1 or heading.count("{unit}") > 1:
        raise ManifestError(f'"{heading}" must hold {{name}} once, and {{unit}} at most once', where=where)
    if ("{unit}" in heading) == (keys.unit is not None):
        raise ManifestError(
            f'the unit of "{heading}" stands either in the heading or under unit',
            where=where,
            fix='write {unit} where the heading has it, or state unit = "ppm"',
        )
    strange = sorted(set(keys.molar_mass) - set(keys.names.values()))
    if strange:
        near = did_you_mean(strange[0], keys.names.values())
        raise ManifestError(f'molar_mass of "{strange[0]}", which is not among names{near}', where=where)
    return GasHeading(
        heading=heading,
        names={
            name: Column(
                unit=keys.unit or "1",
                species=species,
                basis=keys.basis,
                hold=keys.hold,
                molar_mass=keys.molar_mass.get(species, float("nan")),
                state=keys.state,
            )
            for name, species in keys.names.items()
        },
    )
