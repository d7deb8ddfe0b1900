"""Flights exported by Flight Reader, PhantomHelp and TXTlogToCSV: columns called ``OSD.latitude`` and so on.

The user of these programs chooses columns, order, units, language and zone. See ``docs/formats/dji-csv.md``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.dji_columns import Columns, Heading
from dronesense.readers.dji_flight import Flight, Solution, build, gimbal_note, opened, stamped, two_heights
from dronesense.readers.dji_times import WallTimes, fit_coarse, read_wall_times, start_in_name, to_utc
from dronesense.readers.streams import Mask
from dronesense.readers.table import read_table
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, S_PER_DAY

FORMAT: Final = "Flight Reader CSV"
SOURCE: Final = "OSD"

_HEAD_LINES: Final = 5
_POSITION: Final = ("OSD.latitude", "OSD.longitude")
_MARKS: Final = tuple(name.lower().encode() for name in _POSITION)
_WORDS: Final = re.compile(r"\s+")
_DATE: Final = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}", re.ASCII)

EPOCH_MS_FROM: Final = 1e11
"""Unix times from here on count milliseconds: as seconds they would lie in the year 5138."""
EPOCH_RANGE_S: Final = (315_964_800.0, 4_102_444_800.0)
"""1980-01-06 to 2100-01-01, s."""


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a first line (``sep=,`` may come before) has the headings ``OSD.latitude`` and so on."""
    del path
    lines = head.replace(b"\0", b"").lower().splitlines()[:_HEAD_LINES]
    return any(all(mark in line for mark in _MARKS) for line in lines)


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of a table of Flight Reader, PhantomHelp or TXTlogToCSV.

    Parameters
    ----------
    path : Path
        The table.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `zone` unless the table has a column in UTC; its `date` where day and month of the stamps cannot
        be told apart.

    Returns
    -------
    Trajectory
        A row per row with a position; heights above take-off, pictures where the flag of the camera rises.
    IngestReport
        Rows refused by reason, how the clock was found.

    Raises
    ------
    ReadError
        If a column is missing, has an unknown unit, numbers or dates can be read in two ways, the zone is
        needed and not given, or no row has a time and a position.
    """
    table = read_table(path, headings=_POSITION).closed()
    tally, records = opened(table), len(table)
    columns = Columns(table, label)
    columns.settle_decimals(_needed(columns, "osd.latitude"))
    clock = _clock(columns, options, tally, label)
    table = stamped(table, clock.known, tally, label=label)
    columns = Columns(table, label, decimal_comma=columns.decimal_comma)
    details: dict[str, object] = {
        "time_columns": list(clock.headings),
        "decimal_comma": columns.decimal_comma,
        "gimbal": gimbal_note(columns, ("gimbal.yaw", "gimbal.pitch", "gimbal.roll")),
    }
    height, ref = two_heights(
        columns.optional("m", "osd.height"), columns.optional("m", "osd.altitude"), tally, details
    )
    lat, lon = (
        columns.number(_needed(columns, name), "deg", unstated="deg")
        for name in ("osd.latitude", "osd.longitude")
    )
    velocity = columns.together("m/s", "osd.xspeed", "osd.yspeed", "osd.zspeed")
    flight = Flight(
        format=FORMAT,
        label=label,
        records=records,
        columns=columns,
        time=clock.ns[clock.known],
        clock=clock.clock,
        solutions=[Solution(SOURCE, lon, lat, height, ref, velocity_ned=velocity)],
        tally=tally,
        roll_pitch_yaw=columns.together("deg", "osd.roll", "osd.pitch", "osd.yaw", unstated="deg"),
        satellites=columns.counted("osd.gpsnum"),
        gps_level=columns.counted("osd.gpslevel"),
        photo=columns.flag("camera.isphoto", "custom.isphoto"),
        details=details,
    )
    return build(flight, options)


def _needed(columns: Columns, name: str) -> Heading:
    heading = columns.find(name)
    if heading is None:
        raise ReadError(
            f"has no column {name}",
            where=columns.label,
            fix="export the log again with OSD.latitude and so on",
        )
    return heading


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """UTC of the rows that have it, how it was found, and the columns that told it."""

    ns: NDArray[np.int64]
    known: Mask
    clock: Clock
    headings: tuple[str, ...]


def _clock(columns: Columns, options: TrackOptions, tally: Tally, label: str) -> _Times:
    """Return UTC of the rows: from a count since 1970, a pair in UTC, or a local pair and the zone."""
    epoch = columns.find("custom.updatetime", "custom.datetime", unit="epoch")
    if epoch is not None:
        return _from_epoch(columns, epoch)
    headings = _pair(columns, "utc")
    local = headings is None
    if headings is None:
        headings = _pair(columns, "local") or _pair(columns, None)
    if headings is None:
        raise ReadError(
            "has no columns CUSTOM.date and CUSTOM.updateTime: it cannot be put on UTC",
            where=label,
            fix="export the log again with CUSTOM.date [UTC] and CUSTOM.updateTime [UTC]",
        )
    wall = _wall_times(columns, headings, options, tally, label)
    local = local and not wall.utc
    known = wall.known
    ns = wall.ns.copy()
    if local and known.any():
        ns[known] = to_utc(ns[known], options.zone, tally, label=label, rows=columns.table.row[known])
    names = tuple(each.text.strip() for each in headings)
    place = f"local time of {options.zone}" if local else "UTC"
    step_s = wall.step_ns / NS_PER_S
    if wall.step_ns < NS_PER_S or not known.any():
        note = f"{' and '.join(names)}: {place} in steps of {step_s:g} s"
        return _Times(ns, known, Clock("exact", step_s / np.sqrt(12.0), note=note), names)
    return _refined(columns, _Times(ns, known, Clock("exact", step_s / np.sqrt(3.0)), names), tally)


def _from_epoch(columns: Columns, heading: Heading) -> _Times:
    """Return UTC from a column that counts seconds or milliseconds since 1970; a file may hold both."""
    count = columns.plain(heading)
    count_s = np.where(count >= EPOCH_MS_FROM, count / 1e3, count)
    known = (count_s > EPOCH_RANGE_S[0]) & (count_s < EPOCH_RANGE_S[1])
    milliseconds = np.rint(np.where(known, count_s, 0.0) * 1e3).astype(np.int64)
    step_s = 0.001 if np.any(milliseconds % 1000) else 1.0
    note = f"{heading.text.strip()}, in steps of {step_s:g} s"
    ns = milliseconds * (NS_PER_S // 1000)
    return _Times(ns, known, Clock("exact", step_s / np.sqrt(12.0), note=note), (heading.text.strip(),))


def _pair(columns: Columns, unit: str | None) -> tuple[Heading, ...] | None:
    """Return the columns of date and time by one kind of clock, or one column that has both."""
    time = columns.find("custom.updatetime", unit=unit)
    date = columns.find("custom.date", unit=unit)
    if time is not None and date is not None:
        return date, time
    both = columns.find("custom.datetime", unit=unit)
    return (both,) if both is not None else None if time is None else (time,)


def _wall_times(
    columns: Columns, headings: Sequence[Heading], options: TrackOptions, tally: Tally, label: str
) -> WallTimes:
    """Return what the clock showed in each row."""
    cells = [columns.text(heading) for heading in headings]
    texts = [_WORDS.sub(" ", " ".join(parts)).strip() for parts in zip(*cells, strict=True)]
    start = start_in_name(columns.table.path.name)
    near: dt.date | None = options.date or (None if start is None else start.date())
    dateless = bool(texts) and not any(_DATE.search(text) for text in texts)
    if dateless and near is None:
        raise ReadError(
            "its times have no date", where=label, fix="set date = YYYY-MM-DD under [track] to the first day"
        )
    if dateless:
        wall = _counted_on(read_wall_times([f"{near} {text}" for text in texts], near=near, label=label))
    else:
        wall = read_wall_times(texts, near=near, label=label)
    if (wall.hinted or dateless) and options.date is not None:
        tally.answered.append("date")
    elif wall.hinted or dateless:
        tally.assumptions.append("the date in the name of the file is that of the first row")
    if texts and not wall.known.any():
        names = " and ".join(each.text.strip() for each in headings)
        raise ReadError(
            f'"{texts[0]}" ({names}) is no date with a time of day',
            where=label,
            fix="export the log again with CUSTOM.date [UTC] and CUSTOM.updateTime [UTC]",
        )
    return wall


def _counted_on(wall: WallTimes) -> WallTimes:
    """Return times of day counted on over midnight: a step back of more than half a day is one."""
    ns, known = wall.ns.copy(), wall.known
    turns = np.cumsum(np.diff(ns[known], prepend=ns[known][:1]) < -S_PER_DAY * NS_PER_S // 2)
    ns[known] += turns * S_PER_DAY * NS_PER_S
    return replace(wall, ns=ns)


def _refined(columns: Columns, times: _Times, tally: Tally) -> _Times:
    """Return stamps of whole seconds made fine by the flight time, where the table has it."""
    heading = next(
        (each for unit in ("s", "ms") if (each := columns.find("osd.flytime", unit=unit)) is not None), None
    )
    if heading is None:
        return times
    flown_s = columns.number(heading, "s")
    # Before take-off the counter stands still: such rows keep their own stamp.
    runs = np.isfinite(flown_s) & times.known
    runs[1:] &= np.diff(flown_s) > 0.0
    runs[:1] = False
    if np.count_nonzero(runs) < 2:
        return times
    count_ns = np.rint(np.where(runs, flown_s, 0.0) * 1e3).astype(np.int64) * (NS_PER_S // 1000)
    fit = fit_coarse(count_ns[runs], times.ns[runs], NS_PER_S)
    if fit.warning():
        tally.warnings.append(fit.warning())
    ns = np.where(runs, count_ns + fit.offset_ns, times.ns)
    clock = Clock("fitted", fit.sigma_s, fit.offset_ns / NS_PER_S, fit.note)
    return _Times(ns, times.known, clock, (*times.headings, heading.text.strip()))
