"""Tracks in tables ``Id, Time(seconds), Time(text), Latitude, Longitude`` with the start in the file's name.

Such tables come with the sample files of ExifTool. See ``docs/formats/dji-csv.md``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.dji_columns import Columns
from dronesense.readers.dji_flight import Flight, Solution, build, opened, stamped
from dronesense.readers.dji_times import start_in_name, to_utc, wall_ns
from dronesense.readers.table import read_table
from dronesense.timescale import NS_PER_S

FORMAT: Final = "DJI geotag CSV"
SOURCE: Final = "geotag"

HEADINGS: Final = ("Time(seconds)", "Latitude", "Longitude")
_MARKS: Final = (b"time(seconds)", b"time(text)", b"latitude", b"longitude")
LONGEST_S: Final = 30 * 86_400
"""A count beyond a month is damage, s."""
START_SIGMA_S: Final = 1.0 / math.sqrt(3.0)
"""The start in the name is cut to whole seconds: its root mean square error, s."""


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether the first line holds the headings."""
    del path
    first = head.replace(b"\0", b"").lstrip().splitlines()[:1]
    line = first[0].lower().replace(b" ", b"") if first else b""
    return all(mark in line for mark in _MARKS)


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of such a table.

    Parameters
    ----------
    path : Path
        The table; its name has the local start, as in ``Geotag_DJI_2020-12-02_[07-50-31].csv``.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `zone` is needed.

    Returns
    -------
    Trajectory
        A row per row with a position, without heights.
    IngestReport
        Rows refused by reason.

    Raises
    ------
    ReadError
        If the name has no start, there is no zone, or no row has a time and a position.
    """
    table = read_table(path, headings=HEADINGS).closed()
    tally, records = opened(table), len(table)
    start = start_in_name(path.name)
    if start is None:
        raise ReadError(
            "its name does not tell when it starts",
            where=label,
            fix="give it back the name that it had, such as Geotag_DJI_2020-12-02_[07-50-31].csv",
        )
    columns = Columns(table, label)
    wanted = [columns.find(name) for name in ("latitude", "longitude", "time")]
    if None in wanted:
        raise ReadError("lacks a column", where=label, fix=f"it needs {', '.join(HEADINGS)}")
    lat, lon, count = (heading for heading in wanted if heading is not None)
    columns.settle_decimals(lat)
    count_s = columns.number(count, "s")
    known = (count_s >= 0.0) & (count_s < LONGEST_S)
    origin = to_utc(np.array([wall_ns(start)]), options.zone, tally, label=label, rows=None)[0]
    time = origin + np.rint(np.where(known, count_s, 0.0) * NS_PER_S).astype(np.int64)
    table = stamped(table, known, tally, label=label)
    columns = Columns(table, label, decimal_comma=columns.decimal_comma)
    flight = Flight(
        format=FORMAT,
        label=label,
        records=records,
        columns=columns,
        time=time[known],
        clock=Clock("date-only", START_SIGMA_S, note=f"start {start} by the name of the file"),
        solutions=[
            Solution(
                SOURCE,
                columns.number(lon, "deg", unstated="deg"),
                columns.number(lat, "deg", unstated="deg"),
                None,
                "unknown",
            )
        ],
        tally=tally,
        details={"start_local": start.isoformat()},
    )
    tally.warnings.append("it has no height")
    tally.assumptions.append("second 0 of the table is the start in the name of the file")
    return build(flight, options)
