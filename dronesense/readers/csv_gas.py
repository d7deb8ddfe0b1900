"""Gas series from any CSV logger, as its instrument description says: no vendor has code of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, UnitsError
from dronesense.model import Ambient, Column, Flag, GasInstrument, GasSeries, IngestReport, Instrument
from dronesense.model.gas import UNIT_OF_QUANTITY
from dronesense.readers.stamps import SAME_STAMP, StampedRows, named_columns, stamped_rows
from dronesense.readers.table import DELIMITERS, read_table
from dronesense.timescale import NS_PER_S, to_iso
from dronesense.units import convert, quantity_of

MAD_TO_SIGMA: Final = 1.4826
"""Median absolute deviation -> standard deviation of a normal distribution: 1 / 0.67449."""

STUCK_REPEATS: Final = 20
"""Equal readings in a row beyond which a sensor counts as stuck.

With steps no larger than the noise, the next reading falls on the same step with a chance of at most 0.38
(the share of a normal distribution within half a sigma): 21 equal ones by chance come below 1e-8.
"""

GAP_FACTOR: Final = 5.0
"""A step of more than this many median steps is reported as a gap."""

MAX_GAPS: Final = 50
"""Gaps that are listed one by one; all are counted."""

MIN_FOR_NOISE: Final = 10
"""Fewer readings tell nothing about their noise."""

INFINITE: Final = "infinite reading"

_AMBIENT: Final = {
    "pressure": ("pressure_hpa", "hPa"),
    "temperature": ("temperature_k", "K"),
    "humidity": ("humidity_percent", "percent"),
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
    species = {name: column for name, column in spec.columns.items() if column.species is not None}
    if not species:
        raise ManifestError(
            "names no column with a species", where=instrument.path, fix="add one under [columns]"
        )
    table = read_table(path, delimiter=spec.delimiter, missing=spec.missing, headings=named_columns(spec))
    rows = stamped_rows(table, spec, where=path)
    notes = _Notes([*table.assumptions], rows.warnings, rows.dropped)
    rows = _in_order(rows)
    source = _Source(label, instrument, spec, rows, notes)
    ambient, status = _ambient(source), _status(source)
    series = [_series(name, column, source, ambient, status) for name, column in species.items()]
    return tuple(series), IngestReport(
        format="gas table",
        records=len(table),
        dropped=notes.dropped,
        assumptions=tuple(notes.assumptions),
        warnings=tuple(notes.warnings),
        details={"instrument": instrument.id, "series": [_detail(each) for each in series]},
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
    rows: StampedRows
    notes: _Notes

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return column *name* in order of time, in its own unit."""
        return self.rows.table.readings(name, self.notes.warnings)

    def converted(self, name: str, to: str) -> NDArray[np.float64]:
        """Return column *name* in order of time, in unit *to*."""
        try:
            return convert(self.numbers(name), self.spec.columns[name].unit, to)
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
        for name, column in self.spec.columns.items():
            if column.field not in wanted:
                continue
            if name not in self.rows.table.names:
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


def _ambient(source: _Source) -> dict[str, NDArray[np.float64]]:
    return {
        _AMBIENT[field][0]: source.converted(name, _AMBIENT[field][1])
        for field, name in source.fields(*_AMBIENT).items()
    }


def _status(source: _Source) -> NDArray[np.bool_]:
    """Return True for rows whose status is not one of the good ones."""
    bad = np.zeros(source.rows.time.size, dtype=bool)
    for name in source.fields("status").values():
        ok = source.spec.columns[name].ok
        if ok:
            bad |= ~np.isin(source.numbers(name), ok)
    return bad


def _series(
    name: str,
    column: Column,
    source: _Source,
    ambient: Mapping[str, NDArray[np.float64]],
    status: NDArray[np.bool_],
) -> GasSeries:
    assert column.species is not None
    try:
        quantity = quantity_of(column.unit)
    except UnitsError as error:
        raise source.unit_error(name, error) from error
    unit = UNIT_OF_QUANTITY[quantity]
    reading = source.numbers(name)
    source.notes.drop(INFINITE, int(np.isinf(reading).sum()))
    sample = _first_of_each_stamp(np.flatnonzero(np.isfinite(reading)), column.species, source)
    reading = reading[sample]
    noise = _noise(reading, column, source.notes)
    series = GasSeries(
        time=source.rows.time[sample],
        species=column.species,
        quantity=quantity,
        value=convert(reading, column.unit, unit),
        sigma=np.full(sample.size, convert(noise, column.unit, unit)),
        basis=column.basis,
        flags=_flags(reading, column, source.spec, status[sample]),
        level="raw",
        ambient=Ambient(**{field: values[sample] for field, values in ambient.items()}),
        instrument=source.instrument.id,
        source=source.label,
        row=source.rows.table.row[sample],
        history=(f'read column "{name}" of {source.label} in {column.unit} as {source.instrument.id}',),
    )
    _warn(series, source.notes)
    return series


def _first_of_each_stamp(sample: NDArray[np.int64], species: str, source: _Source) -> NDArray[np.int64]:
    first = np.ones(sample.size, dtype=bool)
    first[1:] = np.diff(source.rows.time[sample]) > 0
    repeated = int((~first).sum())
    source.notes.drop(SAME_STAMP, repeated)
    if repeated:
        source.notes.warnings.append(f"{species}: {repeated} of {first.size} rows repeat a time stamp")
    return sample[first]


def _flags(
    reading: NDArray[np.float64], column: Column, spec: GasInstrument, status: NDArray[np.bool_]
) -> NDArray[np.uint16]:
    low, high = spec.valid_range.get(column.species or "", (-np.inf, np.inf))
    flags = np.zeros(reading.size, dtype=np.uint16)
    for flag, where in (
        (Flag.RANGE, (reading < low) | (reading > high)),
        (Flag.STATUS, status),
        (Flag.STUCK, _stuck(reading, column.sigma)),
    ):
        flags[where] |= np.uint16(flag)
    return flags


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
    sigma = max(MAD_TO_SIGMA * mad / np.sqrt(2.0), _resolution(reading) / np.sqrt(12.0))
    notes.assumptions.append(
        f"{column.species}: sigma {sigma:.3g} {column.unit} estimated from differences of successive readings"
    )
    return float(sigma)


def _resolution(reading: NDArray[np.float64]) -> float:
    """Return the smallest step between two different readings; 0 if all are equal."""
    steps = np.diff(np.unique(reading))
    return float(steps.min()) if steps.size else 0.0


def _stuck(reading: NDArray[np.float64], sigma: float) -> NDArray[np.bool_]:
    """Return True for readings in a run of more than :data:`STUCK_REPEATS` equal ones.

    Only where noise is expected: a stated sigma greater than 0 and not below the step of the display.
    """
    if not (sigma > 0.0 and reading.size > STUCK_REPEATS and _resolution(reading) <= sigma):
        return np.zeros(reading.size, dtype=bool)
    start = np.flatnonzero(np.diff(reading, prepend=np.nan) != 0.0)  # NaN differs from everything
    length = np.diff(start, append=reading.size)
    return np.repeat(length > STUCK_REPEATS, length)


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
