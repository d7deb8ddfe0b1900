"""Resonon cameras: navigation files ``.lcf`` and line times ``.times``.

A ``.lcf`` has no heading: time (s), roll, pitch, heading (rad), longitude, latitude (degrees), height (m
above the ellipsoid), 0, 0, 5 or 0 for "use", and what the maker of the unit adds. See
``docs/formats/resonon-lcf.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.camera_clock import epoch_seconds_to_utc, is_epoch_count, quantum_s
from dronesense.readers.camera_track import camera_track, roll_sign
from dronesense.readers.number_rows import NumberRows, first_rows, number_rows, read_bytes
from dronesense.readers.streams import Float, Mask
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, S_PER_DAY, fit_latency_envelope

FORMAT: Final = "Resonon LCF"
ONE_FILE_PER_LINE: Final = True
"""The camera starts a file with every line: the files of a flight are one track."""

COLUMNS: Final = 10
"""Columns that the vendor's specification fixes; it leaves those after them to the unit."""
TIME, ROLL, PITCH, HEADING, LON, LAT, HEIGHT, SPARE, SPARE_2, USE = range(COLUMNS)
CALENDAR: Final = slice(10, 16)
"""Year, month, day, hours, minutes, seconds, of units with a Piccolo."""
CALENDAR_LOW: Final = np.array([1990.0, 1.0, 1.0, 0.0, 0.0, 0.0])
CALENDAR_HIGH: Final = np.array([2200.0, 13.0, 32.0, 24.0, 60.0, 61.0])
DATED_SHARE: Final = 0.9
"""Columns 11 to 16 are dates if they can be in at least this share of the rows."""
USE_VALUES: Final = (0.0, 5.0)

LARGEST_STEP_S: Final = 1.0
"""Navigation has at least one row a second; a clock with longer steps counts ms or µs."""
MS_STEP_LIMIT: Final = 1000.0
LONGEST_COUNT_S: Final = 9e9
"""What fits into int64 ns."""
HEIGHT_LIMIT_M: Final = 20_000.0


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether all rows of *head* are numbers in the ranges of the ten columns."""
    del path
    rows = first_rows(head, lambda cells: cells >= COLUMNS)
    if rows is None:
        return False
    with np.errstate(invalid="ignore"):
        angles = np.abs(rows[:, [ROLL, PITCH, HEADING]]) <= (math.pi, math.pi / 2.0, 2.0 * math.pi)
        places = np.abs(rows[:, [LON, LAT, HEIGHT]]) <= (180.0, 90.0, HEIGHT_LIMIT_M)
    spare = (rows[:, [SPARE, SPARE_2]] == 0.0).all() and np.isin(rows[:, USE], USE_VALUES).all()
    return bool(spare and angles.all() and places.all() and np.any(rows[:, LAT] != 0.0))


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of an ``.lcf`` file.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `roll_positive` (``"auto"``: right wing up, as the vendor specifies) and `time_scale` (``"auto"``:
        GPS seconds).

    Returns
    -------
    Trajectory
        A row per row that is marked for use. Heights are ellipsoidal. Where the unit counts a time of its
        own, the clock is ``"relative"``: stamps count from 1970 and fit line times of the same unit only.
    IngestReport
        Rows refused by reason.

    Raises
    ------
    ReadError
        If no row is usable, or GPS and Unix seconds cannot be told apart and the options do not say.
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
    navigation = Navigation.of(data, options=options, tally=tally, label=label)
    used = navigation.rows.values[:, USE] != 0.0
    tally.keep(used, "row marked as not to be used")
    values = navigation.rows.values[used]
    if options.roll_positive == "auto":
        tally.warnings.append(
            "files of this camera are known with roll of either sign: compare strips of opposite headings, "
            'and set roll_positive = "right-wing-down" or "right-wing-up" under [track]'
        )
    sign = roll_sign(options, tally, usual=-1.0, why="the vendor's specification says so")
    trajectory, details = camera_track(
        values[:, [LON, LAT, HEIGHT]],
        np.degrees(values[:, [ROLL, PITCH, HEADING]]) * (sign, 1.0, 1.0),
        navigation.time[used],
        name="LCF",
        clock=navigation.clock,
        ellipsoidal=True,
        options=options,
        label=label,
        tally=tally,
    )
    details["columns"] = int(navigation.rows.values.shape[1])
    return trajectory, tally.report(FORMAT, len(navigation.rows), details=details)


@dataclass(frozen=True, slots=True, eq=False)
class Navigation:
    """Rows of an ``.lcf`` with the time of each.

    Parameters
    ----------
    rows : NumberRows
        At least :data:`COLUMNS` columns.
    time : (n,) int64
        UTC ns; since 1970 without a date where `clock` is relative.
    clock : Clock
        How `time` was found.
    """

    rows: NumberRows
    time: NDArray[np.int64]
    clock: Clock

    @classmethod
    def of(cls, data: bytes, *, options: TrackOptions, tally: Tally, label: str) -> Navigation:
        """Return the rows of the bytes of a file; *tally* takes what was refused and assumed.

        Raises
        ------
        ReadError
            If there is no row, or its stamps cannot be told.
        """
        rows = number_rows(data, least=COLUMNS, where=label)
        for reason, count in rows.dropped.items():
            tally.dropped[reason] += count
        seconds = rows.values[:, TIME]
        good = np.asarray(np.isfinite(seconds) & (seconds >= 0.0), dtype=bool)
        tally.keep(good, "row without a time")
        if not good.any():
            raise ReadError("holds no row with a time", where=label, fix="copy it again from the card")
        rows = NumberRows(rows.values[good], rows.line[good], rows.dropped)
        seconds = seconds[good]
        if is_epoch_count(seconds):
            typical = np.sort(seconds)[seconds.size // 2]
            near = np.abs(seconds - typical) < S_PER_DAY
            near = tally.keep(np.asarray(near, dtype=bool), "clock not set")
            rows = NumberRows(rows.values[near], rows.line[near], rows.dropped)
            time, clock = epoch_seconds_to_utc(seconds[near], options=options, tally=tally, label=label)
            return cls(rows, time, clock)
        seconds = _own_seconds(seconds, tally)
        if seconds.max() > LONGEST_COUNT_S:
            raise ReadError("its stamps are no count of seconds", where=label, fix="check the first column")
        own = np.rint(seconds * NS_PER_S).astype(np.int64)
        calendar = _calendar(rows.values)
        if calendar is not None:
            utc, dated = calendar
            fit = fit_latency_envelope(own[dated], utc[dated])
            tally.assumptions.append("date and time of columns 11 to 16 taken as UTC")
            tally.warnings.extend(filter(None, [fit.warning]))
            return cls(
                rows, fit.to_utc(own), Clock("fitted", fit.sigma_s, fit.offset_ns / NS_PER_S, fit.note)
            )
        tally.warnings.append(
            "the unit counts a time of its own, not UTC: only line times of the same unit fit to it, and the "
            "dates of the results mean nothing"
        )
        sigma_s = quantum_s(own) / math.sqrt(12.0)
        return cls(rows, own, Clock("relative", sigma_s, note="the unit's own clock, counted from 1970"))


def line_utc(times: Path, navigation: Path, *, options: TrackOptions, tally: Tally) -> NDArray[np.int64]:
    """Return when each line of a cube was taken, UTC ns.

    The first line of both files was written at the same moment, as the vendor's specification says; the rest
    follows by the camera's own clock.

    Parameters
    ----------
    times : Path
        ``.times``: one number a line, s since the camera was started.
    navigation : Path
        The ``.lcf`` of the same line.
    options : TrackOptions
        As for :func:`read`.
    tally : Tally
        Takes what was assumed.

    Raises
    ------
    ReadError
        If a line has no time, or the first row of the navigation is not sound.
    """
    lines = number_rows(read_bytes(times), least=1, where=times)
    if lines.dropped or lines.values.shape[1] != 1 or not np.isfinite(lines.values).all():
        why = f" ({', '.join(lines.dropped)})" if lines.dropped else ""
        raise ReadError(f"does not have one time a line{why}", where=times, fix="copy it again from the card")
    start = first_utc(navigation, options=options, tally=tally)
    since = lines.values[:, 0] - lines.values[0, 0]
    if np.abs(since).max() > S_PER_DAY:
        raise ReadError("its times span more than a day", where=times, fix="copy it again from the card")
    tally.assumptions.append(
        f"the first line of {times.name} and the first row of {navigation.name} are of the same moment, and "
        "times are those of the middle of the exposure"
    )
    return np.asarray(start + np.rint(since * NS_PER_S).astype(np.int64), dtype=np.int64)


def first_utc(navigation: Path, *, options: TrackOptions, tally: Tally) -> int:
    """Return the time of the first row of an ``.lcf``, UTC ns.

    Raises
    ------
    ReadError
        If that row is damaged.
    """
    spare = Tally(warnings=tally.warnings, answered=tally.answered)
    found = Navigation.of(read_bytes(navigation), options=options, tally=spare, label=str(navigation))
    if found.rows.line[0] != 1:
        raise ReadError(
            "its first row, which ties the lines of the cube to it, is damaged",
            where=navigation,
            fix="copy it again from the card, or write <name>.lines.csv with the columns line and utc",
        )
    return int(found.time[0])


def _own_seconds(count: Float, tally: Tally) -> Float:
    """Return the unit's own count in seconds; long steps tell that it counts ms or µs."""
    step = float(np.median(np.abs(np.diff(count)))) if count.size > 1 else 0.0
    if step < LARGEST_STEP_S:
        return count
    unit, divisor = ("ms", 1e3) if step < MS_STEP_LIMIT else ("us", 1e6)
    tally.assumptions.append(f"the first column counts {unit}: its usual step is {step:g}")
    return count / divisor


def _calendar(values: Float) -> tuple[NDArray[np.int64], Mask] | None:
    """Return UTC ns of the columns with date and time and which rows have one, or None where few have."""
    if values.shape[1] < CALENDAR.stop:
        return None
    stamp = values[:, CALENDAR]
    good = np.all((stamp >= CALENDAR_LOW) & (stamp < CALENDAR_HIGH), axis=1)
    good &= np.all(np.floor(stamp[:, :-1]) == stamp[:, :-1], axis=1)
    if np.mean(good) < DATED_SHARE:
        return None
    year, month, day, hour, minute, second = np.where(good[:, None], stamp, CALENDAR_LOW).T
    months = ((year - 1970) * 12 + month - 1).astype(np.int64).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day.astype(np.int64) - 1
    of_day = (hour * 60 + minute) * 60 + second
    return days * S_PER_DAY * NS_PER_S + np.rint(of_day * NS_PER_S).astype(np.int64), good
