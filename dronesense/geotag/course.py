"""Does the nose point where the aircraft flies? Course over ground against heading: mount and sign errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.model import Trajectory

MIN_SPEED_M_S: Final = 2.0
"""Slower flight has no course to speak of: wind and hovering decide."""
SPEED_FRACTION: Final = 0.5
"""Nor does flight slower than this part of the median of the faster one: a QuadPlane about to land drifts."""
MAX_TURN_DEG: Final = 20.0
"""In a turn the nose leads: samples whose course turns by more within two seconds do not count."""
MIN_SECONDS: Final = 10
"""Fewer seconds of straight flight are no ground for a verdict."""
MAX_SPREAD_DEG: Final = 35.0
"""Wider scatter than crab in a strong side wind (25°) makes: the aircraft does not fly nose first."""
FINE_DEG: Final = 10.0
"""Offsets below this pass, where legs there and back cancel the crab angle ..."""
CRAB_DEG: Final = 30.0
"""... and below this where no leg was flown back, so that side wind may be all of it."""
RIGHT_ANGLE_DEG: Final = 15.0
"""An offset this close to 90° or 180° is called that."""
ONE_WAY: Final = 0.9
"""Resultant length from which all courses are one direction (or, for doubled angles, one line)."""

_HALF_WINDOW_S: Final = 0.5  # of a velocity from positions: quantized degrees are too coarse for less
_TURN_STEP_S: Final = 1.0
_SECTORS: Final = 8  # of 45 degrees
_SECTOR_SECONDS: Final = 3  # fewer samples do not make a leg
_NS_PER_S: Final = 1e9

Floats = NDArray[np.float64]
Verdict = Literal["forward", "turned", "offset", "mirrored", "none"]


@dataclass(frozen=True, slots=True)
class CourseCheck:
    """Heading against course over ground.

    Parameters
    ----------
    offset_deg : float
        Heading minus course (``"mirrored"``: heading plus course), -180 to 180; NaN without data.
    spread_deg : float
        Circular standard deviation about it.
    n : int
        Seconds of straight flight it rests on.
    verdict : {"forward", "turned", "offset", "mirrored", "none"}
        Nose first; turned by 90° or 180°; another constant offset; heading turns against the course; nothing
        can be said.
    text : str
        The same in words.
    """

    offset_deg: float
    spread_deg: float
    n: int
    verdict: Verdict
    text: str

    @property
    def is_wrong(self) -> bool:
        """True where the heading cannot be right for an aircraft that flies nose first."""
        return self.verdict in ("turned", "offset", "mirrored")


def ground_velocity(trajectory: Trajectory) -> Floats:
    """Return velocities north, east (n, 2), m/s: as logged, else from the positions half a second around.

    NaN where neither is known, such as at the ends of a segment.
    """
    velocity = trajectory.velocity_ned[:, :2].copy()
    missing = np.flatnonzero(~np.isfinite(velocity).all(axis=1))
    if not missing.size:
        return velocity
    time, step = trajectory.time, int(_HALF_WINDOW_S * _NS_PER_S)
    before = np.searchsorted(time, time[missing] - step, side="left")
    after = np.searchsorted(time, time[missing] + step, side="right") - 1
    seconds = (time[after] - time[before]) / _NS_PER_S
    usable = (trajectory.segment[before] == trajectory.segment[after]) & (after > before)
    ends = [geodesy.to_ecef(trajectory.lon[i], trajectory.lat[i], 0.0) for i in (before, after)]
    axes = geodesy.ned_axes(trajectory.lon[missing], trajectory.lat[missing])[..., :2]
    moved = np.einsum("kij,ki->kj", axes, ends[1] - ends[0])
    velocity[missing] = np.where(usable[:, None], moved / np.where(usable, seconds, 1.0)[:, None], np.nan)
    return velocity


def heading(trajectory: Trajectory) -> Floats:
    """Return the true heading of the body's forward axis, rad; NaN where the attitude is unknown."""
    w, x, y, z = trajectory.attitude.T
    return np.asarray(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)))


def check_course(trajectory: Trajectory) -> CourseCheck:
    """Compare heading and course over ground where the aircraft flies straight and faster than 2 m/s.

    An aircraft that flies nose first has a heading near its course, off by the crab angle that side wind asks
    for; legs there and back cancel it. A constant offset of 90° or 180° is a mount error or swapped axes; a
    heading that falls when the course grows is a sign error. Where the nose wanders, nothing is said: a
    multirotor may fly sideways.

    Notes
    -----
    Means are directional (Mardia, Jupp 2000, Directional Statistics, doi 10.1002/9780470316979, ch. 2). Each
    sector of 45° of course counts alike, and where some legs have one back only those are used.
    """
    course, nose = _straight_flight(trajectory)
    n = len(course)
    if n < MIN_SECONDS:
        text = f"course not checked: {n} s of fast and straight flight with known attitude are too few"
        return CourseCheck(np.nan, np.nan, n, "none", text)
    if _resultant(course) > ONE_WAY:
        offset, spread = _mean(nose - course)
        text = (
            f"heading minus course is {offset:+.0f}°, but the aircraft flew in one direction only: side wind "
            "or a multirotor's choice cannot be told from an error"
        )
        return CourseCheck(offset, spread, n, "none", text)
    weight, balanced = _weights(course)
    offset, spread = _mean(nose - course, weight)
    mirrored, mirrored_spread = _mean(nose + course, weight)
    one_line = _resultant(2.0 * course) > ONE_WAY
    if min(spread, MAX_SPREAD_DEG) > _mean(nose, weight)[1]:
        text = (
            "the nose keeps its direction whatever the course: the aircraft does not fly nose first, so the "
            "heading cannot be checked by its course"
        )
        return CourseCheck(offset, spread, n, "none", text)
    if mirrored_spread < min(spread, MAX_SPREAD_DEG) and not one_line:
        return CourseCheck(mirrored, mirrored_spread, n, "mirrored", _mirrored_text(mirrored))
    if spread > MAX_SPREAD_DEG:
        text = (
            f"heading and course do not go together (spread {spread:.0f}°): the aircraft does not fly nose "
            "first, so the heading cannot be checked by its course"
        )
        return CourseCheck(offset, spread, n, "none", text)
    verdict, text = _judge(offset, spread, n, balanced=balanced)
    if verdict in ("turned", "offset") and one_line:
        text += "; flown along one line, a heading of wrong sign would look the same"
    return CourseCheck(offset, spread, n, verdict, text)


def _judge(offset: float, spread: float, n: int, *, balanced: bool) -> tuple[Verdict, str]:
    """Return verdict and text of a heading that keeps a constant offset from the course."""
    if abs(offset) <= (FINE_DEG if balanced else CRAB_DEG):
        return "forward", f"heading follows the course ({offset:+.1f}° ± {spread:.0f}° over {n} s)"
    head = f"heading minus course is {offset:+.0f}° ± {spread:.0f}° over {n} s of straight flight: "
    if abs(offset) >= 180.0 - RIGHT_ANGLE_DEG:
        return "turned", head + "the autopilot or the camera is mounted backwards, or it flew tail first"
    if abs(abs(offset) - 90.0) <= RIGHT_ANGLE_DEG:
        side = "right" if offset > 0.0 else "left"
        return "turned", head + (
            f"the autopilot or the camera is mounted a quarter turn to the {side}, its axes are swapped, or "
            "it flew sideways"
        )
    return "offset", head + "a mount error, magnetic instead of true north, or it flew sideways"


def _mirrored_text(total: float) -> str:
    head = f"heading turns against the course (their sum stays at {total:+.0f}°): "
    if abs(total - 90.0) <= RIGHT_ANGLE_DEG:
        return head + "it seems to be counted counter-clockwise from east, not clockwise from north"
    return head + "its sign is wrong, or it is counted counter-clockwise"


def _straight_flight(trajectory: Trajectory) -> tuple[Floats, Floats]:
    """Return course and heading, rad, once a second where the flight is fast and straight."""
    velocity, nose = ground_velocity(trajectory), heading(trajectory)
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    fast = np.isfinite(nose) & (speed > MIN_SPEED_M_S)
    if fast.any():
        fast &= speed > SPEED_FRACTION * np.median(speed[fast])
    usable = np.flatnonzero(fast)
    second = trajectory.time[usable] // int(_NS_PER_S)
    pick = usable[np.unique(second, return_index=True)[1]]
    course = np.arctan2(velocity[:, 1], velocity[:, 0])
    time, step = trajectory.time, int(_TURN_STEP_S * _NS_PER_S)
    before = np.searchsorted(time, time[pick] - step, side="left")
    after = np.searchsorted(time, time[pick] + step, side="right") - 1
    turned = np.abs(np.angle(np.exp(1j * (course[after] - course[before]))))
    straight = turned <= np.radians(MAX_TURN_DEG)  # NaN where a velocity is unknown: not straight
    straight &= trajectory.segment[before] == trajectory.segment[after]
    return course[pick[straight]], nose[pick[straight]]


def _weights(course: Floats) -> tuple[Floats, bool]:
    """Return weights that let sectors of courses count alike, and whether these are legs there and back."""
    axis = np.angle(np.mean(np.exp(4j * course))) / 4.0  # of lines and cross lines: the middle of a sector
    turn = (course - axis) / (2.0 * np.pi) + 0.5 / _SECTORS
    sector = np.floor(np.mod(turn, 1.0) * _SECTORS).astype(np.int64) % _SECTORS
    count = np.bincount(sector, minlength=_SECTORS)
    flown = count >= _SECTOR_SECONDS
    paired = flown & np.roll(flown, _SECTORS // 2)
    used = paired if paired.any() else flown
    weight = np.where(used, 1.0 / np.maximum(count, 1), 0.0)[sector]
    if not weight.any():
        weight = np.ones(len(course))
    return weight, bool(paired.any())


def _resultant(angle: Floats, weight: Floats | None = None) -> float:
    return float(np.abs(np.average(np.exp(1j * angle), weights=weight)))


def _mean(angle: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Return circular mean and standard deviation, degrees."""
    length = min(_resultant(angle, weight), 1.0)
    mean = np.degrees(np.angle(np.average(np.exp(1j * angle), weights=weight)))
    return float(mean), float(np.degrees(np.sqrt(-2.0 * np.log(max(length, 1e-12)))))
