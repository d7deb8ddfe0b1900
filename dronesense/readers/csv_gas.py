"""Gas series from any CSV logger, as its instrument description says: no vendor has code of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, ReadError, UnitsError
from dronesense.model import Ambient, Beam, Column, Flag, GasInstrument, GasSeries, IngestReport, Instrument
from dronesense.readers import gas_flags, gas_headings, gas_units
from dronesense.readers.gas_clock import value_of
from dronesense.readers.stamps import SAME_STAMP, StampedRows, stamped_rows
from dronesense.readers.table import DELIMITERS
from dronesense.timescale import NS_PER_S, to_iso
from dronesense.units import convert

MAD_TO_SIGMA: Final = 1.4826
"""Median absolute deviation -> standard deviation of a normal distribution: 1 / 0.67449."""

GAP_FACTOR: Final = 5.0
"""A step of more than this many median steps is reported as a gap."""

MAX_GAPS: Final = 50
"""Gaps that are listed one by one; all are counted."""

MAX_NAMES: Final = 20
"""Headings that a message repeats."""

MIN_FOR_NOISE: Final = 10
"""Fewer readings tell nothing about their noise."""

INFINITE: Final = "infinite reading"
HELD: Final = "reading held by the logger until the next one"

_AMBIENT: Final = {
    "pressure": ("pressure_hpa", "hPa"),
    "temperature": ("temperature_k", "K"),
    "humidity": ("humidity_percent", "percent"),
    "water": ("water_ppm", "ppm"),
}


_BEAM: Final = {
    "range": ("length_m", "m"),
    "beam_pitch": ("pitch_deg", "deg"),
    "beam_yaw": ("yaw_deg", "deg"),
}


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether *head* looks like a delimited table; which instrument wrote it, its headings say."""
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", errors="replace")
    first = next((line for line in text.splitlines() if line.strip()), "")
    return "\0" not in text and any(mark in first for mark in DELIMITERS)


def read(path: Path, *, label: str, instrument: Instrument) -> tuple[tuple[GasSeries, ...], IngestReport]:
    """Read every species of a table.

    A row without a reading of a species is no sample of its series (merged tables have gas on some rows).
    Rows are put in order of time; of rows with the same stamp the first is kept.

    Parameters
    ----------
    path : Path
        The table.
    label : str
        What the file is called in products, e.g. its path relative to the flight folder.
    instrument : Instrument
        A gas instrument: columns, units, clock.

    Returns
    -------
    series : tuple of GasSeries
        One per species column, in the order of the instrument file; mole fractions in ppm, columns in ppm m.
    report : IngestReport
        `details["series"]` has rate, gaps and flags of each.

    Raises
    ------
    ReadError
        If the file cannot be read, a column is missing, a cell or stamp is not what it should be, or there is
        no row.
    ManifestError
        If the instrument is not a gas instrument or names no species, or the zone of its stamps is unknown.
    UnitsError
        If a unit is unknown or does not fit its field.
    """
    spec = instrument.spec
    if not isinstance(spec, GasInstrument):
        raise ManifestError(
            f'"{instrument.id}" is a {instrument.kind} camera, not an analyser', where=instrument.path
        )
    table = gas_headings.open_table(path, spec)
    headings = gas_headings.resolve(table.names, spec, where=path)
    columns = gas_units.stated_in_file(table, headings.columns)
    species = {name: column for name, column in columns.items() if column.species is not None}
    if not species:
        raise _no_species(instrument, spec, path, table.names)
    rows = stamped_rows(table, spec, where=path)
    gas_units.check_lines_below(rows.units, columns, where=path)
    notes = _Notes(
        [*spec.notes, *table.assumptions, *rows.assumptions, *headings.assumptions],
        rows.warnings,
        rows.dropped,
    )
    rows = _in_order(rows)
    source = _Source(label, instrument, spec, columns, headings.in_ppm, rows, notes)
    ambient, beam = _fields(source, _AMBIENT), _fields(source, _BEAM)
    checks = gas_flags.status_checks(rows.table, columns, notes.warnings)
    series = gas_flags.mark_derived(
        [_series(name, column, source, ambient, beam, checks) for name, column in species.items()],
        notes.warnings,
    )
    said = {name: value_of(key, table.preamble) for name, key in spec.preamble.items()}
    details: dict[str, Any] = {"instrument": instrument.id, "series": [_detail(each) for each in series]}
    return series, IngestReport(
        format="gas table",
        records=len(table),
        dropped=notes.dropped,
        assumptions=tuple(notes.assumptions),
        warnings=tuple(notes.warnings),
        details=details | ({"preamble": said} if said else {}),
    )


def _no_species(instrument: Instrument, spec: GasInstrument, path: Path, names: list[str]) -> Exception:
    """Return the error for a table without a gas: the instrument's fault, or the table's."""
    if spec.gases or any(column.species or column.of for column in spec.columns.values()):
        some = ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
        return ReadError(
            f'has no gas column of "{instrument.id}"', where=path, fix=f"the columns are: {some}"
        )
    return ManifestError(
        "names no column with a species", where=instrument.path, fix="add one under [columns]"
    )


@dataclass(frozen=True, slots=True)
class _Notes:
    assumptions: list[str]
    warnings: list[str]
    dropped: dict[str, int]

    def drop(self, reason: str, count: int) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What every column of one file needs."""

    label: str
    instrument: Instrument
    spec: GasInstrument
    columns: Mapping[str, Column]
    in_ppm: frozenset[str]
    rows: StampedRows
    notes: _Notes

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return column *name* in order of time, in its own unit."""
        return self.rows.table.readings(name, self.notes.warnings)

    def converted(self, name: str, to: str) -> NDArray[np.float64]:
        """Return column *name* in order of time, in unit *to*."""
        try:
            return convert(self.numbers(name), self.columns[name].unit, to)
        except UnitsError as error:
            raise self.unit_error(name, error) from error

    def unit_error(self, name: str, error: UnitsError) -> UnitsError:
        """Return *error* with the key of the instrument file that it is about."""
        return UnitsError(
            error.what, where=f'{self.instrument.path}, key columns."{name}".unit', fix=error.fix
        )

    def fields(self, *wanted: str) -> dict[str, str]:
        """Return field -> heading for the *wanted* fields that the instrument names and the table has."""
        found: dict[str, str] = {}
        for name, column in self.columns.items():
            if column.field not in wanted or column.of is not None:
                continue
            if name not in self.rows.table.all_names:
                self.notes.warnings.append(f'no column "{name}": the {column.field} is not known')
            elif column.field in found:
                self.notes.warnings.append(f'a second column for the {column.field}, "{name}", is not used')
            else:
                found[column.field] = name
        return found


def _in_order(rows: StampedRows) -> StampedRows:
    """Return the rows in order of time; of those with the same stamp, as in the file."""
    back = np.flatnonzero(np.diff(rows.time) < 0)
    if not back.size:
        return rows
    line = rows.table.row[back[0] + 1]
    rows.warnings.append(f"time runs backwards {back.size} time(s), first at line {line}: rows were sorted")
    order = np.argsort(rows.time, kind="stable")
    return replace(rows, table=rows.table.take(order), time=rows.time[order])


def _fields(source: _Source, wanted: Mapping[str, tuple[str, str]]) -> dict[str, NDArray[np.float64]]:
    """Return the columns of *wanted* fields by the name of the record's attribute, in its unit."""
    return {
        wanted[field][0]: source.converted(name, wanted[field][1])
        for field, name in source.fields(*wanted).items()
    }


def _series(
    name: str,
    column: Column,
    source: _Source,
    ambient: Mapping[str, NDArray[np.float64]],
    beam: Mapping[str, NDArray[np.float64]],
    checks: Sequence[gas_flags.Check],
) -> GasSeries:
    assert column.species is not None
    reading = source.numbers(name)
    source.notes.drop(INFINITE, int(np.isinf(reading).sum()))
    sample = _first_of_each_stamp(np.flatnonzero(np.isfinite(reading)), column.species, source)
    repeats = source.numbers(column.hold) if isinstance(column.hold, str) else reading
    new = gas_flags.fresh(repeats[sample], column)
    source.notes.drop(f"{column.species}: {HELD}", int((~new).sum()))
    sample = sample[new]
    reading = reading[sample]
    air = Ambient(**{field: values[sample] for field, values in ambient.items()})
    sigma = _sigma(reading, sample, column, source)
    try:
        quantity, scale = gas_units.scale_of(column, air)
        value = scale(reading)
        sigma = scale(sigma)
    except UnitsError as error:
        raise source.unit_error(name, error) from error
    if quantity == "mole_fraction" and gas_units.is_mass(column):
        source.notes.assumptions.append(f"{column.species}: {gas_units.state_text(column)}")
    series = GasSeries(
        time=source.rows.time[sample],
        species=column.species,
        quantity=quantity,
        value=value,
        sigma=sigma,
        basis=column.basis,
        flags=gas_flags.flags_of(
            reading,
            column,
            in_range=value if name in source.in_ppm else reading,
            repeats=repeats[sample],
            time=source.rows.time[sample],
            start=int(source.rows.time[0]),
            warm_up_s=source.spec.warm_up_s,
            valid_range=source.spec.valid_range.get(column.species, (-np.inf, np.inf)),
            checks=[(each.flag, each.bad[sample]) for each in checks if each.of in (None, column.species)],
        ),
        level="raw",
        ambient=air,
        instrument=source.instrument.id,
        source=source.label,
        row=source.rows.table.row[sample],
        beam=Beam(**{field: values[sample] for field, values in beam.items()}) if beam else None,
        history=(f'read column "{name}" of {source.label} in {column.unit} as {source.instrument.id}',),
    )
    _warn(series, source.notes)
    return series


def _sigma(
    reading: NDArray[np.float64], sample: NDArray[np.int64], column: Column, source: _Source
) -> NDArray[np.float64]:
    """Return the uncertainty of each reading: as the file states it, else the noise."""
    sigma = np.full(sample.size, np.nan)
    for name, other in source.columns.items():
        if other.field == "sigma" and other.of == column.species and name in source.rows.table.all_names:
            stated = source.numbers(name)[sample]
            sigma = np.where(stated > 0.0, stated, np.nan)
    if np.isfinite(sigma).all() and sigma.size:
        return sigma
    return np.where(np.isfinite(sigma), sigma, _noise(reading, column, source.notes))


def _first_of_each_stamp(sample: NDArray[np.int64], species: str, source: _Source) -> NDArray[np.int64]:
    first = np.ones(sample.size, dtype=bool)
    first[1:] = np.diff(source.rows.time[sample]) > 0
    repeated = int((~first).sum())
    source.notes.drop(SAME_STAMP, repeated)
    if repeated:
        source.notes.warnings.append(f"{species}: {repeated} of {first.size} rows repeat a time stamp")
    return sample[first]


def _noise(reading: NDArray[np.float64], column: Column, notes: _Notes) -> float:
    """Return the stated sigma, else that of the first differences, at least that of the display's step."""
    if np.isfinite(column.sigma):
        return column.sigma
    if reading.size < MIN_FOR_NOISE:
        notes.assumptions.append(
            f"{column.species}: sigma is not stated and {reading.size} readings do not tell it"
        )
        return float("nan")
    steps = np.diff(reading)
    mad = float(np.median(np.abs(steps - np.median(steps))))
    sigma = max(MAD_TO_SIGMA * mad / np.sqrt(2.0), gas_flags.resolution(reading) / np.sqrt(12.0))
    notes.assumptions.append(
        f"{column.species}: sigma {sigma:.3g} {column.unit} estimated from differences of successive readings"
    )
    return float(sigma)


def _gaps(series: GasSeries) -> tuple[float, NDArray[np.int64]]:
    """Return the median step, ns, and the samples after which a gap begins."""
    steps = np.diff(series.time)
    typical = float(np.median(steps))
    return typical, np.flatnonzero(steps > GAP_FACTOR * typical)


def _warn(series: GasSeries, notes: _Notes) -> None:
    if not len(series):
        notes.warnings.append(f"{series.species}: the column holds no reading")
    if len(series) > 1:
        _, gaps = _gaps(series)
        if gaps.size:
            longest = float(np.diff(series.time)[gaps].max()) / NS_PER_S
            notes.warnings.append(f"{series.species}: {gaps.size} gap(s), the longest {longest:.1f} s")


def _detail(series: GasSeries) -> dict[str, Any]:
    """Return rate, gaps and flags of *series*, ready for JSON."""
    flagged = {flag.name: int(((series.flags & flag) != 0).sum()) for flag in Flag if flag}
    detail: dict[str, Any] = {
        "species": series.species,
        "unit": series.unit,
        "samples": len(series),
        "flagged": {name: count for name, count in flagged.items() if count},
    }
    if len(series) > 1:
        typical, gaps = _gaps(series)
        steps = np.diff(series.time)
        detail |= {
            "first": to_iso(series.time[0]),
            "last": to_iso(series.time[-1]),
            "rate_hz": round(NS_PER_S / typical, 4),
            "gap_count": int(gaps.size),
            "gaps": [
                {"start": to_iso(series.time[at]), "duration_s": round(float(steps[at]) / NS_PER_S, 3)}
                for at in gaps[:MAX_GAPS]
            ],
        }
    return detail
