"""Flights out of tables that DJI's programs export: gates, heights above take-off, axes, pictures.

What Airdata, Flight Reader and DatCon write differs in names and clocks only; this is what they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory, Triggers
from dronesense.model.trajectory import HeightRef
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
from dronesense.readers.dji_columns import Columns, all_zero
from dronesense.readers.streams import (
    ATTITUDE_SIGMA_DEG,
    SINGLE_FIX_SIGMA_M,
    Float,
    Mask,
    ordered,
    quaternions_of,
)
from dronesense.readers.table import Table
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S

FIX_3D: Final = 2
FIX_FILTER: Final = 7
"""`Trajectory.fix` of a 3-D fix and of the output of a navigation filter."""

LEAST_SATELLITES: Final = 4
"""Fewer satellites give no three-dimensional position."""
LEAST_GPS_LEVEL: Final = 2
"""Of 0 to 5; DJI's SDK calls 0 and 1 hardly any and very weak signal."""

CONSTANT_M: Final = 1.0
"""Two heights whose difference varies by less are one barometer with two zeros, m."""

MOVING_M_S: Final = 1.0
"""Slower motion tells nothing of the axes of a velocity, m/s rms."""
AXES_STEP_S: Final = 2.0
"""Motion is taken from positions so far apart, s: tables hold positions over several rows."""
AXES_AGREE: Final = (0.5, 1.5)
"""Where the regression of a velocity on the motion of the positions must lie; 1 if the axes are right."""

NO_STAMP: Final = "no time stamp"


@dataclass(slots=True)
class Solution:
    """One source of positions in a table, a value per row; NaN where a row has none.

    `held` tells the rows that repeat the position of the row before.
    """

    name: str
    lon: Float
    lat: Float
    height_m: Float | None
    height_ref: HeightRef
    fix: int = FIX_3D
    point: str = "unknown"
    held: Mask | None = None
    velocity_ned: Float | None = None


@dataclass(slots=True)
class Flight:
    """What a table of DJI holds; arrays have a value per row that has a time stamp.

    Parameters
    ----------
    format : str
        Name of the format.
    label : str
        What messages call the file.
    records : int
        Rows that were read.
    columns : Columns
        The columns, for what the reading of their cells counted.
    time : (n,) int64
        UTC, ns, in the order of the file.
    clock : Clock
        How `time` was obtained.
    solutions : list of Solution
        Sources of positions, the preferred one first.
    roll_pitch_yaw : (n, 3) float64, optional
        Of the aircraft, degrees.
    satellites, gps_level : (n,) float64, optional
        Quality of the fix.
    photo : (n,) bool, optional
        The camera takes a picture.
    """

    format: str
    label: str
    records: int
    columns: Columns
    time: NDArray[np.int64]
    clock: Clock
    solutions: list[Solution]
    tally: Tally
    roll_pitch_yaw: Float | None = None
    satellites: Float | None = None
    gps_level: Float | None = None
    photo: Mask | None = None
    details: dict[str, object] = field(default_factory=dict)


def opened(table: Table) -> Tally:
    """Return books that begin with those of the table."""
    tally = Tally(warnings=list(table.warnings), assumptions=list(table.assumptions))
    tally.dropped.update(table.dropped)
    return tally


def stamped(table: Table, known: Mask, tally: Tally, *, label: str) -> Table:
    """Return the rows of a table with a time stamp; the others are counted.

    Raises
    ------
    ReadError
        If there is none.
    """
    index = np.flatnonzero(tally.keep(known, NO_STAMP))
    if not index.size:
        raise ReadError(
            f"no row has a date and time{tally.reasons()}",
            where=label,
            fix="export the log again with date and time",
        )
    return table.take(index)


def build(flight: Flight, options: TrackOptions) -> tuple[Trajectory, IngestReport]:
    """Make trajectory and report of a flight.

    Raises
    ------
    ReadError
        If no row has a position, or not the source that *options* name.
    """
    tally, label = flight.tally, flight.label
    keep, piece = ordered(flight.time, tally)
    row = np.flatnonzero(keep)
    good = _received(flight, row, tally)
    row, piece = row[good], piece[good]
    candidates = [_positions(flight, each, row, piece) for each in flight.solutions]
    candidates = [each for each in candidates if each.time.size]
    if not candidates:
        raise ReadError(
            f"no row has a position{tally.reasons()}",
            where=label,
            fix="check that the log is of a flight with GPS",
        )
    chosen = choose(candidates, options.source, label=label)
    trajectory = assemble(
        chosen,
        label=label,
        tally=tally,
        attitude=_attitude(flight, row),
        triggers=_triggers(flight),
    )
    _tell(flight, chosen)
    details: dict[str, object] = {
        "source": chosen.name,
        "source_rate_hz": rate_hz(chosen.time),
        "sources": compare(chosen, candidates),
        "clock": {"kind": flight.clock.kind, "sigma_s": flight.clock.sigma_s, "note": flight.clock.note},
        "pictures": 0 if trajectory.triggers is None else len(trajectory.triggers),
        **flight.details,
    }
    return trajectory, tally.report(flight.format, flight.records, details=details)


def _received(flight: Flight, row: NDArray[np.intp], tally: Tally) -> Mask:
    """Tell the *row* numbers whose fix is good enough."""
    good = np.ones(row.size, dtype=bool)
    for values, least, what in (
        (flight.satellites, LEAST_SATELLITES, "satellites"),
        (flight.gps_level, LEAST_GPS_LEVEL, "as GPS level"),
    ):
        if values is not None:
            enough = ~(values[row] < least)
            tally.keep(enough | ~good, f"fewer than {least} {what}")
            good &= enough
    return good


def _positions(
    flight: Flight, solution: Solution, row: NDArray[np.intp], piece: NDArray[np.int64]
) -> Positions:
    """Return the rows of a source with a plausible position."""
    tally = flight.tally
    if solution.held is not None:
        fresh = ~solution.held[row]
        row, piece = row[fresh], piece[fresh]
    time, lon, lat = flight.time[row], solution.lon[row], solution.lat[row]
    height = None if solution.height_m is None else solution.height_m[row]
    several = len(flight.solutions) > 1
    keep = plausible(solution.name if several else "", time, lon, lat, height, tally)
    n = keep.size
    unknown = np.full(n, np.nan)
    velocity = None
    if solution.velocity_ned is not None and n:
        velocity = trusted_velocity(
            solution.velocity_ned[row][keep],
            time=time[keep],
            lon=lon[keep],
            lat=lat[keep],
            height=unknown if height is None else height[keep],
            tally=tally,
        )
    sigma_h, sigma_v = SINGLE_FIX_SIGMA_M
    return Positions(
        name=solution.name,
        rank=Rank.TABLE,
        time=time[keep],
        lon=lon[keep],
        lat=lat[keep],
        height_m=unknown,
        height_source_m=unknown if height is None else height[keep],
        height_ref=solution.height_ref,
        std_ned_m=np.tile(np.array([sigma_h, sigma_h, sigma_v]), (n, 1)),
        sigma_from="default",
        fix=np.full(n, solution.fix, dtype=np.uint8),
        clock=flight.clock,
        point=solution.point,
        velocity_ned=velocity,
        reset=piece[keep],
    )


def trusted_velocity(
    velocity: Float, *, time: NDArray[np.int64], lon: Float, lat: Float, height: Float, tally: Tally
) -> Float:
    """Return a velocity north, east, down without the parts that contradict the motion of the positions.

    Parameters
    ----------
    velocity : (n, 3) float64
        As the table states it, m/s.
    time, lon, lat, height : (n,) arrays
        Positions at the same stamps: UTC ns, degrees, m (NaN where unknown).
    tally : Tally
        Takes a warning for each part that is left out: it becomes NaN.
    """
    step = max(1, round(AXES_STEP_S * rate_hz(time)))
    result = velocity.copy()
    if time.size <= 2 * step:
        return result
    span_s = (time[step:] - time[:-step]) / NS_PER_S
    turn = (lon[step:] - lon[:-step] + 180.0) % 360.0 - 180.0
    motion = np.column_stack(
        [
            (lat[step:] - lat[:-step]) * METERS_PER_DEGREE / span_s,
            turn * METERS_PER_DEGREE * np.cos(np.radians(lat[step:])) / span_s,
        ]
    )
    middle = velocity[step // 2 : step // 2 + span_s.size]
    slope = _regression(middle[:, :2], motion)
    if slope is not None and not AXES_AGREE[0] <= slope <= AXES_AGREE[1]:
        result[:, :2] = np.nan
        tally.warnings.append(
            "its horizontal speeds do not follow the positions as north and east "
            f"(factor {slope:.2f}): not used"
        )
    up = (height[step:] - height[:-step]) / span_s
    slope = _regression(-middle[:, 2:], up[:, None])
    if slope is not None and not AXES_AGREE[0] <= slope <= AXES_AGREE[1]:
        result[:, 2] = np.nan
        tally.warnings.append(
            f"its vertical speed does not follow the height as positive down (factor {slope:.2f}): not used"
        )
    return result


def _regression(velocity: Float, motion: Float) -> float | None:
    """Return the slope of *velocity* on *motion* through the origin; None without motion."""
    known = np.isfinite(velocity).all(axis=1) & np.isfinite(motion).all(axis=1)
    velocity, motion = velocity[known], motion[known]
    if not len(motion) or float(np.sqrt(np.mean(np.sum(motion**2, axis=1)))) < MOVING_M_S:
        return None
    return float(np.sum(velocity * motion) / np.sum(motion**2))


def _attitude(flight: Flight, row: NDArray[np.intp]) -> Attitude | None:
    """Return the attitude of the aircraft, or None where it is not there or never anything but 0."""
    if flight.roll_pitch_yaw is None:
        return None
    if all_zero(flight.roll_pitch_yaw):
        flight.tally.warnings.append("roll, pitch and heading are 0 in every row: taken as missing")
        return None
    angles = flight.roll_pitch_yaw[row]
    known = np.isfinite(angles).all(axis=1)
    if not known.any():
        return None
    return Attitude("attitude", flight.time[row][known], quaternions_of(*angles[known].T))


def _triggers(flight: Flight) -> Triggers | None:
    """Return a picture for each time that the camera's flag rises."""
    if flight.photo is None:
        return None
    rises = np.flatnonzero(flight.photo & ~np.concatenate([[False], flight.photo[:-1]]))
    time = np.unique(flight.time[rises])
    return Triggers(time, np.full(time.size, -1, dtype=np.int64), "photo flag") if time.size else None


def _tell(flight: Flight, chosen: Positions) -> None:
    """Note what was assumed, and the words found where numbers belong."""
    tally = flight.tally
    if flight.columns.text_cells:
        flight.details["words_in_numbers"] = dict(flight.columns.text_cells)
        worst = ", ".join(f"{name}: {count}" for name, count in flight.columns.text_cells.most_common())
        tally.warnings.append(f"words where numbers belong, taken as missing ({worst})")
    sigma_h, sigma_v = SINGLE_FIX_SIGMA_M
    tally.assumptions.append(
        f"position uncertainty {sigma_h} m horizontal, {sigma_v} m vertical: the table states none"
    )
    if flight.roll_pitch_yaw is not None:
        roll, pitch, yaw = ATTITUDE_SIGMA_DEG
        tally.assumptions.append(
            "attitude is that of the aircraft: heading from true north, pitch positive nose up, roll "
            f"positive right wing down; uncertain by {roll}, {pitch}, {yaw} deg (roll, pitch, heading)"
        )
    if chosen.velocity_ned is not None:
        tally.assumptions.append("speeds x, y, z taken as north, east, down")
    if chosen.height_ref == "takeoff":
        tally.assumptions.append("heights are the barometer's above the take-off point")


def two_heights(
    above_takeoff: Float | None, above_sea: Float | None, tally: Tally, details: dict[str, object]
) -> tuple[Float | None, HeightRef]:
    """Return the height to use of the two that DJI states, and its reference.

    The one above the sea is that above take-off plus a constant, so it is a barometer's too: the constant is
    reported as ``takeoff_elevation_m``. Alone, without the other one, its zero is not known.
    """
    if above_takeoff is None:
        if above_sea is not None:
            tally.warnings.append("nothing says what its only height is above: reference unknown")
            return above_sea, "unknown"
        tally.warnings.append("it has no height")
        return None, "unknown"
    if above_sea is not None:
        constant = above_sea - above_takeoff
        constant = constant[np.isfinite(constant)]
        if constant.size:
            spread = float(np.ptp(constant))
            details["takeoff_elevation_m"] = float(np.median(constant))
            details["takeoff_elevation_spread_m"] = spread
            if spread > CONSTANT_M:
                tally.warnings.append(
                    f"height above the sea minus height above take-off varies by {spread:.1f} m: "
                    "they are not one barometer; the height above take-off is used"
                )
    return above_takeoff, "takeoff"


def gimbal_note(columns: Columns, names: Sequence[str]) -> str:
    """Return whether the table has angles of a gimbal: ``"present"``, ``"all zero"`` or ``"absent"``."""
    found = [heading for heading in map(columns.find, names) if heading is not None]
    if not found:
        return "absent"
    return "all zero" if all_zero(*(columns.plain(heading) for heading in found)) else "present"
