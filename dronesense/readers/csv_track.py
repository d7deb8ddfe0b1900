"""A track from a delimited table: a logger that writes positions beside its readings.

The instrument file says which column is what (``field = "latitude"``, ...), in which unit, and what heights
refer to.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, ReadError, did_you_mean
from dronesense.model import Clock, GasInstrument, IngestReport, Instrument, TrackOptions, Trajectory
from dronesense.model.trajectory import HEIGHT_REFS, HeightRef
from dronesense.readers.assembly import (
    Attitude,
    Positions,
    Pressure,
    Rank,
    assemble,
    compare,
    plausible,
    rate_hz,
)
from dronesense.readers.gas_headings import open_table, resolve
from dronesense.readers.instrument import with_clock
from dronesense.readers.stamps import StampedRows, stamped_rows
from dronesense.readers.streams import SINGLE_FIX_SIGMA_M, Float, increasing, quaternions_of
from dronesense.readers.table import Table
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S
from dronesense.units import convert

FORMAT: Final = "table with positions"
SINGLE_FIX: Final = 2
"""`Trajectory.fix` of positions of unknown quality: 3-D."""

_UNIT_OF_FIELD: Final = {
    "latitude": "deg",
    "longitude": "deg",
    "height": "m",
    "roll": "deg",
    "pitch": "deg",
    "yaw": "deg",
    "velocity_north": "m/s",
    "velocity_east": "m/s",
    "velocity_down": "m/s",
    "velocity_up": "m/s",
    "pressure": "hPa",
}
_QUANTA_NS: Final = tuple(NS_PER_S // 10**k for k in range(10))


def sniff(path: Path, head: bytes) -> bool:
    """Return False: which table holds a track is said by its instrument, not by its bytes."""
    del path, head
    return False


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track that a table holds.

    Parameters
    ----------
    path : Path
        The table.
    label : str
        What `Trajectory.source` calls it.
    options : TrackOptions
        Its `instrument` is needed: columns, units, clock and height reference; its `source` can only be
        ``"auto"``: a table holds one track.

    Returns
    -------
    Trajectory
        A row per row of the table with a position. Heights are ellipsoidal only if the instrument says so.
    IngestReport
        Rows refused by reason.

    Raises
    ------
    ManifestError
        If the instrument is missing, is no table, lacks a column, or states an unknown height reference.
    ReadError
        If the table lacks a column or no row has a position.
    """
    instrument, spec = _described(options, label)
    table = open_table(path, spec)
    rows = _stamped(table, spec, label)
    columns = _columns(rows.table, spec, instrument.path)
    tally = Tally(Counter(rows.dropped), rows.warnings, [*spec.notes, *table.assumptions, *rows.assumptions])
    keep = _gate(rows.time, columns, tally, label)
    time = rows.time[keep]
    columns = {name: values[keep] for name, values in columns.items()}
    n = time.size
    height, ellipsoidal, ref = _heights(columns, spec, n, instrument.path, tally.warnings)
    sigma_h, sigma_v = SINGLE_FIX_SIGMA_M
    step_s = next((q for q in _QUANTA_NS if not np.any(time % q)), 1) / NS_PER_S
    positions = Positions(
        name=instrument.id,
        rank=Rank.TABLE,
        time=time,
        lon=columns["longitude"],
        lat=columns["latitude"],
        height_m=ellipsoidal,
        height_source_m=height,
        height_ref=ref,
        std_ned_m=np.tile(np.array([sigma_h, sigma_h, sigma_v]), (n, 1)),
        sigma_from="default",
        fix=np.full(n, SINGLE_FIX, dtype=np.uint8),
        clock=Clock("exact", step_s / np.sqrt(12.0), note=f"stamps in steps of {step_s:g} s"),
        point="antenna",
        velocity_ned=_velocity(columns, n),
    )
    turn = Attitude("attitude", time, _attitude(columns, n, tally.warnings))
    pressure = Pressure(time, columns["pressure"]) if "pressure" in columns else None
    trajectory = assemble(positions, label=label, tally=tally, attitude=turn, pressure=pressure)
    tally.assumptions += [
        f"position uncertainty {sigma_h} m horizontal, {sigma_v} m vertical: the table states none",
        "time stamps taken as UTC of the position",
    ]
    tally.answered += ["tz"] if options.zone is not None else []
    details = {
        "instrument": instrument.id,
        "clock_step_s": step_s,
        "source_rate_hz": rate_hz(time),
        "sources": compare(positions, [positions]),
    }
    return trajectory, tally.report(FORMAT, len(table), details=details)


def _stamped(table: Table, spec: GasInstrument, label: str) -> StampedRows:
    """Return the rows on UTC; a zone that is missing is asked for where a track states it."""
    try:
        return stamped_rows(table, spec, where=label)
    except ManifestError as error:
        if "no zone" not in error.what:
            raise
        fix = 'set tz = "UTC", "+05:00" or an IANA name such as "Asia/Almaty" under [track]'
        raise ReadError(error.what, where=error.where, fix=fix) from error


def _described(options: TrackOptions, label: str) -> tuple[Instrument, GasInstrument]:
    """Return the instrument, with the zone that the user knows, and what it says of the table."""
    instrument = options.instrument
    if options.source != "auto":
        what = f'a table has no position source "{options.source}"'
        raise ReadError(what, where=label, fix='use source = "auto"')
    if instrument is None:
        fix = 'set instrument = "..." under [track]: the instrument file names the columns'
        raise ManifestError("a table needs an instrument to be read as a track", where=label, fix=fix)
    if not isinstance(instrument.spec, GasInstrument):
        fix = 'use an instrument with kind = "gas" and [columns]'
        raise ManifestError(
            f'instrument "{instrument.id}" does not describe a table', where=instrument.path, fix=fix
        )
    instrument = with_clock(instrument, zone=options.zone)
    assert isinstance(instrument.spec, GasInstrument)
    return instrument, instrument.spec


def _columns(table: Table, spec: GasInstrument, where: str) -> dict[str, Float]:
    """Return field -> values in the unit of the record."""
    found: dict[str, Float] = {}
    for heading, column in resolve(table.names, spec, where=where).columns.items():
        if column.field not in _UNIT_OF_FIELD:
            continue
        if column.field in found:
            raise ManifestError(f"two columns are the {column.field}", where=where, fix="keep one of them")
        found[column.field] = convert(table.numbers(heading), column.unit, _UNIT_OF_FIELD[column.field])
    missing = [name for name in ("latitude", "longitude") if name not in found]
    if missing:
        fix = f'add under [columns]: "<heading>" = {{ field = "{missing[0]}", unit = "deg" }}'
        raise ManifestError(f"no column is the {' or the '.join(missing)}", where=where, fix=fix)
    return found


def _gate(time: NDArray[np.int64], columns: dict[str, Float], tally: Tally, label: str) -> NDArray[np.intp]:
    """Return the rows with a plausible position, one of each stamp."""
    keep = plausible("", time, columns["longitude"], columns["latitude"], columns.get("height"), tally)
    keep = keep[tally.keep(increasing(time[keep]), "time stamp not after the one before")]
    if not keep.size:
        raise ReadError(
            f"no row with a position{tally.reasons()}", where=label, fix="check the instrument file"
        )
    return keep


def _heights(
    columns: dict[str, Float], spec: GasInstrument, n: int, where: str, warnings: list[str]
) -> tuple[Float, Float, HeightRef]:
    """Return stated heights, ellipsoidal heights (NaN unless that is what is stated), and the reference."""
    unknown = np.full(n, np.nan)
    height = columns.get("height")
    if height is None:
        warnings.append("the table has no height")
        return unknown, unknown, "unknown"
    ref = next((known for known in HEIGHT_REFS if known == (spec.height_ref or "unknown")), None)
    if ref is None:
        near = did_you_mean(spec.height_ref or "", HEIGHT_REFS)
        fix = f"set height_ref = one of {', '.join(HEIGHT_REFS)} in the instrument file"
        raise ManifestError(f'height_ref = "{spec.height_ref}" is unknown{near}', where=where, fix=fix)
    if ref == "ellipsoid":
        return height, height, ref
    warnings.append(
        "nothing says what heights refer to: state height_ref under [track] of flight.toml"
        if ref == "unknown"
        else f"heights refer to {ref}: no height above the ellipsoid without an undulation"
    )
    return height, unknown, ref


def _velocity(columns: dict[str, Float], n: int) -> Float:
    """Return (n, 3) velocity north, east, down; NaN where the table has none."""
    unknown = np.full(n, np.nan)
    down = columns["velocity_down"] if "velocity_down" in columns else -columns.get("velocity_up", unknown)
    return np.column_stack(
        [columns.get("velocity_north", unknown), columns.get("velocity_east", unknown), down]
    )


def _attitude(columns: dict[str, Float], n: int, warnings: list[str]) -> Float:
    """Return (n, 4) quaternions, NaN unless roll, pitch and yaw are all there."""
    angles = [columns[name] for name in ("roll", "pitch", "yaw") if name in columns]
    if len(angles) == 3:
        return quaternions_of(*angles)
    if angles:
        warnings.append("roll, pitch and yaw are used only if all three are there")
    return np.full((n, 4), np.nan)
