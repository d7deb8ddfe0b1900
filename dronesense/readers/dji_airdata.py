"""Flights exported by Airdata, and the older tables of Litchi and Flytrex with the same columns.

See ``docs/formats/dji-csv.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.dji_columns import Columns
from dronesense.readers.dji_flight import Flight, Solution, build, gimbal_note, opened, stamped, two_heights
from dronesense.readers.dji_times import fit_coarse, read_wall_times
from dronesense.readers.streams import Float
from dronesense.readers.table import Table, read_table
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_MS, NS_PER_S

FORMAT: Final = "Airdata CSV"
SOURCE: Final = "airdata"

_COUNTER: Final = "time(millisecond)"
_STAMP: Final = "datetime(utc)"
_HEAD_LINES: Final = 5
_MARKS: Final = (b"time(millisecond", b"datetime(utc)")
_MORE_MARKS: Final = (b"height_above_takeoff", b"ascent(", b"gpslevel", b"isphoto", b"flycstate")
"""What tells Airdata's stamps from those of another logger that has no counter of milliseconds."""
LONGEST_COUNT_S: Final = 30 * 86_400
"""A counter of milliseconds beyond a month is no time since the start of a flight, s."""


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether the first lines hold Airdata's headings, in any order."""
    del path
    for line in head.replace(b"\0", b"").lower().replace(b" ", b"").splitlines()[:_HEAD_LINES]:
        if b"latitude" in line and b"longitude" in line:
            counter, stamp = (mark in line for mark in _MARKS)
            return counter or (stamp and any(mark in line for mark in _MORE_MARKS))
    return False


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of an Airdata table.

    Parameters
    ----------
    path : Path
        The table, in feet or meters.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `date` where the day and the month of the stamps cannot be told apart.

    Returns
    -------
    Trajectory
        A row per row with a position; heights above take-off, pictures where the flag of the camera rises.
    IngestReport
        Rows refused by reason, fit of the clocks, the elevation that Airdata gives the take-off point.

    Raises
    ------
    ReadError
        If a column is missing, has an unknown unit, or no row has a time and a position.
    """
    table = read_table(path, headings=(_COUNTER, _STAMP, "latitude", "longitude")).closed()
    tally, records = opened(table), len(table)
    time, known, clock = _clock(table, options, tally, label)
    table = stamped(table, known, tally, label=label)
    columns = Columns(table, label)
    position = [columns.find(name) for name in ("latitude", "longitude")]
    if position[0] is None or position[1] is None:
        raise ReadError(
            "has no columns latitude and longitude", where=label, fix="export the log again with positions"
        )
    columns.settle_decimals(position[0])
    details: dict[str, object] = {
        "gimbal": gimbal_note(columns, ("gimbal_heading", "gimbal_pitch", "gimbal_roll"))
    }
    height, ref = two_heights(
        columns.optional("m", "height_above_takeoff", "ascent"),
        columns.optional("m", "altitude_above_sealevel", "altitude"),
        tally,
        details,
    )
    lat, lon = (columns.number(each, "deg", unstated="deg") for each in position if each is not None)
    velocity = columns.together("m/s", "xspeed", "yspeed", "zspeed")
    flight = Flight(
        format=FORMAT,
        label=label,
        records=records,
        columns=columns,
        time=time[known],
        clock=clock,
        solutions=[Solution(SOURCE, lon, lat, height, ref, velocity_ned=velocity)],
        tally=tally,
        roll_pitch_yaw=columns.together("deg", "roll", "pitch", "compass_heading"),
        satellites=columns.counted("satellites"),
        gps_level=columns.counted("gpslevel"),
        photo=columns.flag("isphoto"),
        details=details,
    )
    tally.assumptions.append(
        "the clock of the app is right: the table tells UTC, not how the app came to know it"
    )
    return build(flight, options)


def _clock(
    table: Table, options: TrackOptions, tally: Tally, label: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_], Clock]:
    """Return UTC of all rows, which rows have it, and how: the stamps fitted by the counter."""
    columns = Columns(table, label)
    stamp = columns.find("datetime", unit="utc")
    if stamp is None:
        raise ReadError(
            "has no column datetime(utc): it cannot be put on UTC",
            where=label,
            fix="export the log again from Airdata with date and time in UTC",
        )
    wall = read_wall_times(columns.text(stamp), near=options.date, label=label)
    if wall.hinted:
        tally.answered.append("date")
    counter = columns.find("time")
    if counter is None or not wall.known.any():
        step_s = wall.step_ns / NS_PER_S
        return wall.ns, wall.known, Clock("exact", step_s / np.sqrt(3.0), note="stamps as written")
    count_s = _counter_s(columns.number(counter, "s", unstated="ms"))
    counted = np.isfinite(count_s)
    both = counted & wall.known
    if not both.any():
        return wall.ns, wall.known, Clock("exact", wall.step_ns / NS_PER_S / np.sqrt(3.0))
    count_ns = np.rint(np.where(counted, count_s, 0.0) * (NS_PER_S // NS_PER_MS)).astype(np.int64) * NS_PER_MS
    fit = fit_coarse(count_ns[both], wall.ns[both], wall.step_ns)
    if fit.warning():
        tally.warnings.append(fit.warning())
    clock = Clock("fitted", fit.sigma_s, fit.offset_ns / NS_PER_S, fit.note)
    return count_ns + fit.offset_ns, counted, clock


def _counter_s(count_s: Float) -> Float:
    """Return a counter with NaN for what cannot be a time since the start."""
    return np.where((count_s >= 0.0) & (count_s < LONGEST_COUNT_S), count_s, np.nan)
