"""Navigation post-processed by Applanix POSPac (SBET), with its accuracies (smrmsg).

See ``docs/formats/sbet.md``; :mod:`dronesense.readers.sbet_records` finds the records.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.assembly import (
    METERS_PER_DEGREE,
    Attitude,
    Positions,
    Rank,
    assemble,
    choose,
    compare,
    plausible,
    rate_hz,
)
from dronesense.readers.content import load
from dronesense.readers.sbet_records import (
    HEADING,
    HEIGHT,
    LAT,
    LON,
    PITCH,
    ROLL,
    TIME,
    VX,
    VY,
    VZ,
    WANDER,
    Sbet,
    looks_like_records,
)
from dronesense.readers.streams import Float, between, gap_ns, ordered, quaternions_of, usual_step
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, S_PER_WEEK, gps_tow_to_utc_ns, leap_note, leap_seconds_at

FORMAT: Final = "Applanix SBET"
NAME: Final = "SBET"
ACCURACY_FIELDS: Final = 10
PPK: Final = 6
"""`Trajectory.fix` of a post-processed position."""
CLOCK_SIGMA_S: Final = 1e-3
"""Of the stamps of inertial samples against GPS time: a bound, the pulse per second itself keeps µs."""
STD_NED_M: Final = (0.05, 0.05, 0.10)
STD_RPY_DEG: Final = (0.025, 0.025, 0.08)
"""Where no smrmsg file says better: an APX-15 class unit, post-processed (Applanix APX-15 UAV data sheet)."""
ARC_MINUTES: Final = 60.0
LARGEST_RMS: Final = 1e4
"""Of an accuracy in any unit; larger is damage."""

# Axes of the velocity to north, east, up before the wander angle is taken off. Applanix: north, west, up.
_AXES: Final = {"north-west-up": (1.0, -1.0, 1.0), "north-east-down": (1.0, 1.0, -1.0)}
VELOCITY_TOLERANCE: Final = (0.5, 0.05)
"""Velocity agrees with the change of position up to this median difference: m/s, and part of the speed."""


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* holds records of 136 bytes that can be true, at constant steps of time."""
    data = np.frombuffer(head, dtype=np.uint8)
    try:
        size = path.stat().st_size
    except OSError:
        size = data.size
    return looks_like_records(data, size)


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of an SBET file, with the accuracies of the smrmsg file beside it.

    Parameters
    ----------
    path : Path
        The ``.sbet`` or ``.out`` file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `date` is needed: stamps are times of week. Its `time_scale`: ``"utc"`` where POSPac was told to
        write UTC instead of GPS time.

    Returns
    -------
    Trajectory
        A row per record, ellipsoidal heights, true heading.
    IngestReport
        Records refused by reason, damaged bytes, where the accuracies come from.

    Raises
    ------
    ReadError
        If the date is missing or no record can be read.
    """
    data = load(path, label)
    beside = companion(path)
    if beside is None:
        return track(data, label=label, options=options)
    try:
        accuracy = load(beside, beside)
    except ReadError:
        accuracy = np.empty(0, dtype=np.uint8)  # told as an accuracy that is missing
    return track(data, label=label, options=options, accuracy=accuracy, beside=beside)


def companion(path: Path) -> Path | None:
    """Return the smrmsg file of *path*: of the same stem, named after it, or the only one beside it."""
    try:
        beside = sorted(
            each
            for each in path.parent.iterdir()
            if "smrmsg" in each.name.lower() and each.name != path.name and each.is_file()
        )
    except OSError:  # a folder that may be entered but not listed
        return None
    own = {f"{path.stem}.smrmsg".lower(), path.name.lower().replace("sbet", "smrmsg")}
    named = [each for each in beside if each.name.lower() in own]
    if named:
        return named[0]
    return beside[0] if len(beside) == 1 else None


def track(
    data: NDArray[np.uint8],
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
    accuracy: NDArray[np.uint8] | None = None,
    beside: Path | None = None,
) -> tuple[Trajectory, IngestReport]:
    """Make the track of the bytes of an SBET file and, if there is one, of its smrmsg file at *beside*."""
    tally = Tally()
    log = Sbet(data, where=label)
    refused = log.records - len(log.rows)
    if refused:
        tally.dropped["values that no record can have"] += refused
    if log.holes:
        lost = sum(length for _, length in log.holes)
        tally.warnings.append(f"{lost} byte(s) in {len(log.holes)} place(s) belong to no whole record")
    rows, time, piece = _on_utc(log.rows, options, tally, label)
    lat, lon = np.degrees(rows[:, LAT]), np.clip(np.degrees(rows[:, LON]), -180.0, 180.0)
    keep = plausible("", time, lon, lat, rows[:, HEIGHT], tally)
    if not keep.size:
        raise ReadError(f"no record can be used{tally.reasons()}", where=label, fix="export it again")
    rows, time, lat, lon = rows[keep], time[keep], lat[keep], lon[keep]
    std = _std(accuracy, beside, rows[0, TIME], time, tally)
    velocity, axes = _velocity(rows, time, lat, lon, tally)
    positions = Positions(
        name=NAME,
        rank=Rank.PPK,
        time=time,
        lon=lon,
        lat=lat,
        height_m=rows[:, HEIGHT],
        height_source_m=rows[:, HEIGHT],
        height_ref="ellipsoid",
        std_ned_m=std.ned_m,
        sigma_from="log" if std.stated else "default",
        fix=np.full(time.size, PPK, dtype=np.uint8),
        clock=Clock("date-only", CLOCK_SIGMA_S, note=f"{_scale(options)} time of week, day from the user"),
        point="imu",
        velocity_ned=velocity,
        reset=piece[keep],
    )
    chosen = choose([positions], options.source, label=label)
    angles = np.degrees(rows[:, [ROLL, PITCH, HEADING]])
    angles[:, 2] -= np.degrees(rows[:, WANDER])
    turned = Attitude(NAME, time, quaternions_of(*angles.T), std.rpy_deg)
    trajectory = assemble(chosen, label=label, tally=tally, attitude=turned)
    tally.assumptions.append("positions taken as those of the IMU, unless POSPac moved them to the sensor")
    details = {
        "source": NAME,
        "source_rate_hz": rate_hz(time),
        "sources": compare(chosen, [positions]),
        "clock": {"kind": "date-only", "scale": _scale(options), "sigma_s": CLOCK_SIGMA_S},
        "velocity_axes": axes,
        "wander_deg": [float(np.degrees(end)) for end in (rows[0, WANDER], rows[-1, WANDER])],
        "accuracy_from": None if beside is None or not std.stated else beside.name,
    }
    companions = (str(beside.resolve()),) if beside is not None and std.stated else ()
    report = tally.report(FORMAT, log.records, holes=log.holes, companions=companions, details=details)
    return trajectory, report


def _scale(options: TrackOptions) -> str:
    return "UTC" if options.time_scale == "utc" else "GPS"


def _on_utc(
    rows: Float, options: TrackOptions, tally: Tally, label: str
) -> tuple[Float, NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows in order of time, their stamps as UTC, and numbers that grow at clock jumps."""
    if options.date is None:
        raise ReadError(
            "states the time of week but no date",
            where=label,
            fix="set date = YYYY-MM-DD under [track]: the UTC day on which the log starts",
        )
    time = gps_tow_to_utc_ns(rows[:, TIME], date=options.date, where=label)
    tally.answered.append("date")
    if options.time_scale == "auto":
        tally.assumptions.append(
            'stamps taken as GPS time of week, as POSPac writes unless told otherwise (time_scale = "utc")'
        )
    else:
        tally.answered.append("time_scale")
    if options.time_scale == "utc":
        time = time + leap_seconds_at(time) * NS_PER_S
    elif note := leap_note(time):
        tally.warnings.append(note)
    keep, piece = ordered(time, tally)
    return rows[keep], time[keep], piece


@dataclass(frozen=True, slots=True, eq=False)
class _Std:
    ned_m: Float
    rpy_deg: Float
    stated: bool


def _std(
    accuracy: NDArray[np.uint8] | None,
    beside: Path | None,
    first_tow_s: float,
    time: NDArray[np.int64],
    tally: Tally,
) -> _Std:
    """Return standard uncertainties at *time*: those of smrmsg, the stated default where it has none."""
    ned_m, rpy_deg = np.tile(STD_NED_M, (time.size, 1)), np.tile(STD_RPY_DEG, (time.size, 1))
    covered = np.zeros(time.shape, dtype=bool)
    if accuracy is not None and beside is not None:
        stamp, values = _accuracies(accuracy, first_tow_s, int(time[0]))
        if stamp.size:
            at = between(stamp, time, gap_ns(stamp))
            covered = at.inside
            found = at.linear(values)
            ned_m[covered], rpy_deg[covered] = found[covered, :3], found[covered, 6:] / ARC_MINUTES
        if not covered.all():
            tally.warnings.append(
                f"{beside.name} has no accuracy for {np.count_nonzero(~covered)} of {time.size} records"
            )
    if not covered.all():
        tally.assumptions.append(
            "uncertainty of position {} m north, {} m east, {} m down".format(*STD_NED_M)
            + ", of roll {} deg, pitch {} deg, heading {} deg".format(*STD_RPY_DEG)
            + " where no smrmsg file says better"
        )
    return _Std(ned_m, rpy_deg, bool(covered.any()))


def _accuracies(
    data: NDArray[np.uint8], first_tow_s: float, first_ns: int
) -> tuple[NDArray[np.int64], Float]:
    """Return stamps (UTC ns, increasing) and (k, 9) rms values of a smrmsg file; none if it is damaged."""
    count = data.size // (8 * ACCURACY_FIELDS)
    rows = np.ndarray((count, ACCURACY_FIELDS), "<f8", data.tobytes())
    with np.errstate(all="ignore"):
        good = np.all((rows >= 0.0) & (rows <= [2.0 * S_PER_WEEK, *[LARGEST_RMS] * 9]), axis=1)
    rows = rows[good & (rows[:, 1:4] > 0.0).all(axis=1)]
    half = S_PER_WEEK / 2  # counted from the first record of the track: a week may end in between
    since = (rows[:, 0] - first_tow_s + half) % S_PER_WEEK - half
    stamp = first_ns + np.rint(since * NS_PER_S).astype(np.int64)
    keep, _ = ordered(stamp, Tally())
    return stamp[keep], rows[keep, 1:]


def _velocity(
    rows: Float, time: NDArray[np.int64], lat: Float, lon: Float, tally: Tally
) -> tuple[Float, str]:
    """Return (n, 3) velocity north, east, down, and the axes of the file that agree with the positions."""
    span = max(1, round(NS_PER_S / usual_step(time))) if time.size > 1 else 1
    seconds = (time[span:] - time[:-span]) / NS_PER_S
    turn = (lon[span:] - lon[:-span] + 180.0) % 360.0 - 180.0
    east = METERS_PER_DEGREE * np.cos(np.radians(lat[span:])) * turn / seconds
    north = METERS_PER_DEGREE * (lat[span:] - lat[:-span]) / seconds
    up = (rows[span:, HEIGHT] - rows[:-span, HEIGHT]) / seconds
    moved = np.column_stack([north, east, -up])
    for name, axes in _AXES.items():
        n, e, u = (sign * rows[:, k] for sign, k in zip(axes, (VX, VY, VZ), strict=True))
        cos, sin = np.cos(rows[:, WANDER]), np.sin(rows[:, WANDER])
        ned = np.column_stack([n * cos + e * sin, e * cos - n * sin, -u])
        off = np.linalg.norm((ned[span:] + ned[:-span]) / 2.0 - moved, axis=1)
        limit = VELOCITY_TOLERANCE[0] + VELOCITY_TOLERANCE[1] * np.linalg.norm(moved, axis=1)
        if not off.size or np.median(off - limit) <= 0.0:
            return ned, name
    tally.warnings.append("velocities do not agree with the change of positions: left out")
    return np.full((time.size, 3), np.nan), "unknown"
