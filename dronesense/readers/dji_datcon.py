"""Flights that DatCon (or CsvView) extracted from the aircraft's own ``FLYnnn.DAT`` file.

See ``docs/formats/dji-csv.md``.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.model.trajectory import HeightRef
from dronesense.readers.dji_columns import Columns, Heading
from dronesense.readers.dji_flight import FIX_3D, FIX_FILTER, Flight, Solution, build, opened, stamped
from dronesense.readers.dji_times import fit_coarse, read_wall_times
from dronesense.readers.streams import Float, Mask
from dronesense.readers.table import read_table
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_MS, NS_PER_S, RECEIVER_LATENCY_SIGMA_S

FORMAT: Final = "DatCon CSV"

_HEAD_LINES: Final = 5
_MARKS: Final = (b"offsettime", b"tick#", b"flighttime")
_POSITION: Final = re.compile(rb"(gps(\(\d\))?:lat)|(imu_atti\(\d\):latitude)")
_LATITUDE: Final = re.compile(r"(?P<source>(?:gps|imu_atti)(?:\(\d\))?):(?:lat|latitude)")
_RADIANS: Final = math.pi
"""Coordinates that nowhere exceed this, without a unit, may be radians."""
LONGEST_LOG_S: Final = 30 * 86_400
"""An offset beyond a month is damage, s."""
HELD_S: Final = 1.0
"""Receivers have at least one fix a second, s."""
_COUNTERS: Final = ("Tick#", "offsetTime", "Clock:Tick#", "Clock:offsetTime", "flightTime")


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether the first lines hold a tick or offset counter beside ``GPS(0):Lat`` or ``GPS:Lat``."""
    del path
    lines = head.replace(b"\0", b"").lower().splitlines()[:_HEAD_LINES]
    return any(_POSITION.search(line) and any(mark in line for mark in _MARKS) for line in lines)


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of a DatCon table.

    Parameters
    ----------
    path : Path
        The table.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `source`: ``"IMU_ATTI[0]"`` (navigation filter), ``"GPS[0]"`` (receiver), ...

    Returns
    -------
    Trajectory
        A row per position: heights above take-off for the filter, above the sea by the receiver for GPS.
    IngestReport
        Rows refused by reason, fit of the clock, the sources beside each other.

    Raises
    ------
    ReadError
        If there is no column with UTC or none with positions, or a column may be degrees or radians.
    """
    table = read_table(path, headings=_COUNTERS).closed()
    tally, records = opened(table), len(table)
    time, known, clock = _clock(Columns(table, label), tally, label)
    table = stamped(table, known, tally, label=label)
    columns = Columns(table, label)
    solutions = _solutions(columns, time[known], tally)
    if not solutions:
        raise ReadError(
            "has no columns of latitude and longitude (GPS(0):Lat, IMU_ATTI(0):Latitude)",
            where=label,
            fix="export the log again with the GPS and IMU_ATTI columns",
        )
    flight = Flight(
        format=FORMAT,
        label=label,
        records=records,
        columns=columns,
        time=time[known],
        clock=clock,
        solutions=solutions,
        tally=tally,
        roll_pitch_yaw=columns.together(
            "deg", *_spelled("imu_atti(0)", "roll", "pitch", "yaw"), unstated="deg"
        ),
        satellites=columns.counted("gps(0):numsv", "gps:numsv"),
    )
    tally.assumptions.append("columns without a unit taken as degrees, meters and m/s, as DatCon says")
    return build(flight, options)


def _clock(columns: Columns, tally: Tally, label: str) -> tuple[NDArray[np.int64], Mask, Clock]:
    """Return UTC of the rows: the receiver's stamps of whole seconds, made fine by the counter of the log."""
    stamp = columns.find("gps:datetimestamp", "gps(0):datetimestamp")
    date, of_day = columns.find("gps(0):date", "gps:date"), columns.find("gps(0):time", "gps:time")
    if stamp is not None:
        texts = [cell.removesuffix("Z") for cell in columns.text(stamp)]
    elif date is not None and of_day is not None:
        texts = [_joined(*cells) for cells in zip(columns.text(date), columns.text(of_day), strict=True)]
    else:
        raise ReadError(
            "has no column GPS:dateTimeStamp: it cannot be put on UTC",
            where=label,
            fix="export the log again with GPS:dateTimeStamp",
        )
    wall = read_wall_times(texts, near=None, label=label)
    heading = columns.find("offsettime", "clock:offsettime")
    if heading is None or not wall.known.any():
        clock = Clock("exact", math.hypot(wall.step_ns / NS_PER_S / math.sqrt(3.0), RECEIVER_LATENCY_SIGMA_S))
        return wall.ns, wall.known, clock
    offset_s = columns.number(heading, "s", unstated="s")
    counted = np.isfinite(offset_s) & (np.abs(offset_s) < LONGEST_LOG_S)
    count_ns = np.rint(np.where(counted, offset_s, 0.0) * 1e3).astype(np.int64) * NS_PER_MS
    both = counted & wall.known
    if not both.any():
        return wall.ns, wall.known, Clock("exact", RECEIVER_LATENCY_SIGMA_S)
    fit = fit_coarse(count_ns[both], wall.ns[both], wall.step_ns)
    if fit.warning():
        tally.warnings.append(fit.warning())
    tally.assumptions.append(
        f"constant latency of the receiver not corrected: {RECEIVER_LATENCY_SIGMA_S} s of the clock "
        "uncertainty stand for it"
    )
    sigma_s = math.hypot(fit.sigma_s, RECEIVER_LATENCY_SIGMA_S)
    return count_ns + fit.offset_ns, counted, Clock("fitted", sigma_s, fit.offset_ns / NS_PER_S, fit.note)


def _joined(date: str, of_day: str) -> str:
    """Return ``20170805`` and ``41151`` (4:11:51) as a stamp."""
    day, clock = date.partition(".")[0], of_day.partition(".")[0].zfill(6)
    return f"{day[:4]}-{day[4:6]}-{day[6:8]} {clock[:2]}:{clock[2:4]}:{clock[4:6]}"


def _solutions(columns: Columns, time: NDArray[np.int64], tally: Tally) -> list[Solution]:
    """Return the sources of positions, those of the navigation filter first."""
    found = []
    for match, latitude in columns.numbered(_LATITUDE):
        source = match["source"]
        longitude = columns.find(f"{source}:long", f"{source}:longitude", f"{source}:lon")
        if longitude is not None:
            found.append(_solution(columns, source, latitude, longitude, time))
    if not any(each.height_m is not None for each in found):
        tally.warnings.append("it has no height")
    return sorted(found, key=lambda each: each.fix != FIX_FILTER)


def _solution(
    columns: Columns, source: str, latitude: Heading, longitude: Heading, time: NDArray[np.int64]
) -> Solution:
    lat, lon = (columns.number(_with_unit(columns, each), "deg") for each in (latitude, longitude))
    filtered = source.startswith("imu_atti")
    ref: HeightRef = "takeoff" if filtered else "receiver-geoid"
    height = (
        columns.optional(
            "m",
            f"{source}:relativeheight",
            f"{source}:relativeheight:c",
            "general:relativeheight",
            "osd_data:relativeheight",
            unstated="m",
        )
        if filtered
        else columns.optional("m", f"{source}:heightmsl", unstated="m")
    )
    name, index = source.upper().partition("(")[0], source.partition("(")[2].rstrip(")") or "0"
    return Solution(
        name=f"{name}[{index}]",
        lon=lon,
        lat=lat,
        height_m=height,
        height_ref=ref if height is not None else "unknown",
        fix=FIX_FILTER if filtered else FIX_3D,
        point="imu" if filtered else "antenna",
        held=_held(time, lat, lon),
        velocity_ned=columns.together("m/s", *_spelled(source, "veln", "vele", "veld"), unstated="m/s"),
    )


def _with_unit(columns: Columns, heading: Heading) -> Heading:
    """Return a heading of coordinates with its unit; without one, degrees, if they cannot be radians."""
    if heading.unit is not None:
        return heading
    values = columns.plain(heading)
    if not np.any(np.abs(values) > _RADIANS):
        raise ReadError(
            f'column "{heading.text}" states no unit and may be degrees or radians',
            where=columns.label,
            fix="export the log again with a version of DatCon that writes units",
        )
    return replace(heading, unit="degrees")


def _held(time: NDArray[np.int64], lat: Float, lon: Float) -> Mask:
    """Tell rows that repeat a position of less than :data:`HELD_S` ago.

    DatCon writes more rows than the receiver has fixes; a position that stays longer is that of an aircraft
    at rest.
    """
    fresh = np.ones(lat.shape, dtype=bool)
    fresh[1:] = (np.diff(lat) != 0.0) | (np.diff(lon) != 0.0)
    latest = np.maximum.accumulate(np.where(fresh, np.arange(lat.size), 0))
    return np.asarray(~fresh & (time - time[latest] < HELD_S * NS_PER_S), dtype=bool)


def _spelled(source: str, *names: str) -> tuple[tuple[str, ...], ...]:
    """Return the names of columns of a source, each also as the later versions write what DatCon computed."""
    return tuple((f"{source}:{name}", f"{source}:{name}:c") for name in names)
