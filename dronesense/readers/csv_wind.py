"""Wind as a table logs it: raw columns in SI units; :mod:`dronesense.calibrate.wind` makes a wind of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, ReadError, UnitsError
from dronesense.model import GasInstrument, IngestReport, Instrument
from dronesense.readers.gas_headings import open_table, resolve
from dronesense.readers.stamps import SAME_STAMP, stamped_rows
from dronesense.units import convert

Columns = dict[str, NDArray[np.float64] | NDArray[np.int64]]

_SPEED, _ANGLE = "m/s", "deg"
UNIT_OF_FIELD: Final = {
    "wind_speed": _SPEED,
    "wind_from": _ANGLE,
    "wind_east": _SPEED,
    "wind_north": _SPEED,
    "wind_right": _SPEED,
    "wind_forward": _SPEED,
    "wind_up": _SPEED,
    "velocity_north": _SPEED,
    "velocity_east": _SPEED,
    "velocity_down": _SPEED,
    "velocity_up": _SPEED,
    "roll": _ANGLE,
    "pitch": _ANGLE,
    "yaw": _ANGLE,
    "height": "m",
}
"""Fields that are returned, and in which unit; the wind itself and what takes the carrier's motion off it."""

PAIRS: Final = (
    ("wind_speed", "wind_from"),
    ("wind_east", "wind_north"),
    ("wind_right", "wind_forward"),
)
"""One of these is needed."""


def read(path: Path, *, label: str, instrument: Instrument) -> tuple[Columns, IngestReport]:
    """Read the wind columns of a table, as they stand.

    Nothing is rotated or averaged: ``wind_right`` and ``wind_forward`` are the air's velocity relative to the
    carrier, toward its right and its front; ``wind_east`` and ``wind_north`` point toward; ``wind_from`` is
    where the wind comes from, clockwise from north.

    Parameters
    ----------
    path : Path
        The table.
    label : str
        What messages call it.
    instrument : Instrument
        A gas instrument whose columns name fields of the wind; it needs no species.

    Returns
    -------
    columns : dict of str to (n,) array
        ``time`` (int64, UTC ns, strictly increasing) and one float64 array per field of
        :data:`UNIT_OF_FIELD` that the table has, m/s, degrees and m; NaN where a row has none.
    report : IngestReport
        Rows left out by reason.

    Raises
    ------
    ManifestError
        If the instrument is a camera, or names no pair of :data:`PAIRS`.
    ReadError
        If the table lacks the columns, or holds no row.
    UnitsError
        If a unit does not fit its field.
    """
    spec = instrument.spec
    if not isinstance(spec, GasInstrument):
        raise ManifestError(
            f'"{instrument.id}" is a {instrument.kind} camera, no table', where=instrument.path
        )
    table = open_table(path, spec)
    known = resolve(table.names, spec, where=path).columns
    heading = {column.field: name for name, column in known.items() if column.field in UNIT_OF_FIELD}
    if not any(pair[0] in heading and pair[1] in heading for pair in PAIRS):
        raise ManifestError(
            "names no wind",
            where=instrument.path,
            fix=f"add columns with field = {' or '.join(' and '.join(pair) for pair in PAIRS)}",
        )
    rows = stamped_rows(table, spec, where=path)
    order = np.argsort(rows.time, kind="stable")
    time = rows.time[order]
    first = np.ones(time.size, dtype=bool)
    first[1:] = np.diff(time) > 0
    dropped = dict(rows.dropped)
    if not first.all():
        dropped[SAME_STAMP] = dropped.get(SAME_STAMP, 0) + int((~first).sum())
    columns: Columns = {"time": time[first]}
    for field, name in heading.items():
        if field is None or name not in table.all_names:
            if field is not None and field.startswith("wind"):
                raise ReadError(f'no column "{name}" for the {field}', where=path)
            continue
        values = rows.table.readings(name, rows.warnings)[order][first]
        try:
            columns[field] = convert(values, known[name].unit, UNIT_OF_FIELD[field])
        except UnitsError as error:
            raise UnitsError(
                error.what, where=f'{instrument.path}, key columns."{name}".unit', fix=error.fix
            ) from error
    return columns, IngestReport(
        format="wind table",
        records=len(table),
        dropped=dropped,
        assumptions=(*spec.notes, *table.assumptions, *rows.assumptions),
        warnings=tuple(rows.warnings),
        details={"instrument": instrument.id, "source": label, "fields": sorted(set(columns) - {"time"})},
    )
