"""HySpex navigation: one row per scan line, as the maker's software writes it for rectification.

Columns without headings, parted by blanks: index, longitude, latitude, height, roll, pitch, heading (degrees,
m), time. See ``docs/formats/hyspex.md``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.camera_clock import epoch_seconds_to_utc, is_epoch_count, quantum_s
from dronesense.readers.camera_track import camera_track, roll_sign
from dronesense.readers.number_rows import first_rows, number_rows, read_bytes
from dronesense.readers.streams import Float
from dronesense.readers.tally import Tally
from dronesense.timescale import S_PER_DAY, S_PER_WEEK, day_seconds_to_utc_ns, gps_tow_to_utc_ns

FORMAT: Final = "HySpex navigation"
ONE_FILE_PER_LINE: Final = True
"""The camera starts a file with every line: the files of a flight are one track."""

COLUMNS: Final = 8
INDEX, LON, LAT, HEIGHT, ROLL, PITCH, HEADING, TIME = range(COLUMNS)
SNIFF_ROWS: Final = 2
"""Two rows whose index grows by one make a file; one alone may be anything."""
HEIGHT_LIMIT_M: Final = 20_000.0


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether all rows of *head* are eight numbers in their ranges, the first counting by one."""
    del path
    rows = first_rows(head, lambda cells: cells == COLUMNS)
    if rows is None or len(rows) < SNIFF_ROWS:
        return False
    angles = np.abs(rows[:, [ROLL, PITCH, HEADING]]) <= (180.0, 90.0, 360.0)
    places = np.abs(rows[:, [LON, LAT, HEIGHT]]) <= (180.0, 90.0, HEIGHT_LIMIT_M)
    counts = (np.diff(rows[:, INDEX]) == 1.0).all() and rows[0, INDEX] % 1.0 == 0.0 <= rows[0, INDEX]
    runs = (np.diff(rows[:, TIME]) >= 0.0).all() and rows[0, TIME] >= 0.0
    return bool(counts and runs and angles.all() and places.all())


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of a navigation file.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        The format does not say since when it counts its seconds: `time_scale` and `date` do. Counts over a
        day are GPS times of week; below, ``"gps"`` means time of week and ``"utc"`` time of day. Its
        `roll_positive`, ``"auto"``: right wing down.

    Returns
    -------
    Trajectory
        A row per scan line. What heights refer to is not known.
    IngestReport
        Rows refused by reason.

    Raises
    ------
    ReadError
        If no row is usable, or the options do not say what the times are.
    """
    return decode(read_bytes(path), label=label, options=options)


def decode(
    data: bytes,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track from the bytes of a file, see :func:`read`."""
    tally = Tally()
    rows = number_rows(data, least=COLUMNS, where=label)
    for reason, count in rows.dropped.items():
        tally.dropped[reason] += count
    seconds = rows.values[:, TIME]
    timed = np.asarray(np.isfinite(seconds) & (seconds >= 0.0), dtype=bool)
    tally.keep(timed, "row without a time")
    values = rows.values[timed]
    if not values.size:
        raise ReadError("holds no row with a time", where=label, fix="copy it again from the card")
    time, clock = _utc(values[:, TIME], options, tally, label)
    sign = roll_sign(options, tally, usual=1.0, why="the file does not say")
    trajectory, details = camera_track(
        values[:, [LON, LAT, HEIGHT]],
        values[:, [ROLL, PITCH, HEADING]] * (sign, 1.0, 1.0),
        time,
        name="navigation",
        clock=clock,
        ellipsoidal=False,
        options=options,
        label=label,
        tally=tally,
    )
    return trajectory, tally.report(FORMAT, len(rows), details=details)


def _utc(seconds: Float, options: TrackOptions, tally: Tally, label: str) -> tuple[NDArray[np.int64], Clock]:
    """Return UTC ns of the time column, and the clock."""
    if is_epoch_count(seconds):
        return epoch_seconds_to_utc(seconds, options=options, tally=tally, label=label)
    if float(np.max(seconds)) > 2 * S_PER_WEEK:
        raise ReadError("its times are no count of seconds of a day, a week or since 1980", where=label)
    of_week = options.time_scale == "gps" or (options.time_scale == "auto" and np.max(seconds) > S_PER_DAY)
    if options.time_scale == "auto" and not of_week:
        raise ReadError(
            "its times are seconds of the GPS week or of the UTC day",
            where=label,
            fix='set time_scale = "gps" (week) or "utc" (day) under [track]',
        )
    if options.date is None:
        raise ReadError(
            "holds no date",
            where=label,
            fix="set date = YYYY-MM-DD under [track]: the UTC day of its first line",
        )
    tally.answered.append("date")
    if options.time_scale == "auto":
        tally.assumptions.append("times over a day taken as seconds of the GPS week")
    else:
        tally.answered.append("time_scale")
    to_utc = gps_tow_to_utc_ns if of_week else day_seconds_to_utc_ns
    utc = to_utc(seconds, date=options.date, where=label)
    note = f"seconds of the {'GPS week' if of_week else 'UTC day'} of {options.date}"
    return utc, Clock("date-only", quantum_s(utc) / math.sqrt(12.0), note=note)
