"""The true motion of the aircraft: three mapping strips, then crosswind legs through the plume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from dronesense.synthetic.frames import Array

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

    from dronesense.synthetic.plan import Plan

GRAVITY_M_S2: Final = 9.80665
STEP_S: Final = 0.02
"""Spacing of the samples that the motion is a cubic spline through, s."""
SMOOTHING_S: Final = 3.0
"""Length of the Hann window that rounds the corners of the planned path, s."""
LEAN_DEG_PER_M_S: Final = 0.5
"""Nose-down pitch a multirotor needs per m/s of speed, degrees (typical of 5 kg airframes)."""

JITTER: Final = {
    # amplitude (degrees) and frequency (Hz) of roll, pitch, yaw
    "roll": ((1.0, 0.11), (0.45, 0.37), (0.12, 0.93)),
    "pitch": ((0.8, 0.09), (0.3, 0.31), (0.1, 0.87)),
    "yaw": ((0.9, 0.07), (0.4, 0.23), (0.1, 0.61)),
}
WOBBLE: Final = ((0.25, 0.05), (0.1, 0.17))
"""Amplitude (m) and frequency (Hz) of the deviations from the planned path, each axis."""


@dataclass(slots=True)
class _Route:
    """Waypoints with the time of each."""

    time: list[float] = field(default_factory=list)
    point: list[Array] = field(default_factory=list)
    heading: list[float] = field(default_factory=list)

    def start(self, time_s: float, point: Array, heading_rad: float) -> None:
        self.time.append(time_s)
        self.point.append(point)
        self.heading.append(heading_rad)

    def hold(self, seconds: float, heading_rad: float | None = None) -> None:
        turned = self.heading[-1] if heading_rad is None else heading_rad
        change = (turned - self.heading[-1] + np.pi) % (2.0 * np.pi) - np.pi
        self.start(self.time[-1] + seconds, self.point[-1], self.heading[-1] + float(change))

    def go(self, point: Array, speed_m_s: float) -> float:
        """Fly straight to *point*, nose as it is; return when the leg began."""
        begin = self.time[-1]
        self.start(begin + float(np.linalg.norm(point - self.point[-1])) / speed_m_s, point, self.heading[-1])
        return begin


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """True position and attitude at any time.

    Parameters
    ----------
    spline : CubicSpline
        Seconds since boot -> east, north, up (m), roll, pitch, yaw (rad; yaw unwrapped).
    duration_s : float
        Length of the log, s.
    take_off_s, landed_s : float
        When the aircraft leaves and touches the ground, s since boot.
    strip_start_s : tuple of float
        When each mapping strip's run-in begins.
    legs_s : (start, end)
        When the crosswind legs begin and end.
    """

    spline: CubicSpline
    duration_s: float
    take_off_s: float
    landed_s: float
    strip_start_s: tuple[float, ...]
    legs_s: tuple[float, float]

    def pose(self, time_s: Array) -> tuple[Array, Array]:
        """Return (n, 3) ENU positions in m and (n, 3) roll, pitch, yaw in rad against the local NED frame."""
        both = np.asarray(self.spline(time_s))
        return both[..., :3], both[..., 3:]

    def velocity(self, time_s: Array) -> Array:
        """Return (n, 3) ENU velocities, m/s."""
        return np.asarray(self.spline(time_s, 1))[..., :3]


def _route(plan: Plan) -> tuple[_Route, list[float], tuple[float, float], float, float]:
    route, strips = _Route(), []
    home, bearing = plan.home, plan.strip_heading_rad
    route.start(0.0, home, bearing + plan.crab_rad[0])
    route.hold(plan.take_off_s)
    route.go(np.array([home[0], home[1], plan.height_m / 2.0]), plan.climb_m_s)
    route.hold(4.0)
    route.go(np.array([home[0], home[1], plan.height_m]), plan.climb_m_s)
    for number, (begin, end) in enumerate(plan.strips()):
        route.go(begin, plan.transit_m_s if number == 0 else plan.speed_m_s)
        route.hold(4.0, bearing + (np.pi if number % 2 else 0.0) + plan.crab_rad[number])
        strips.append(route.go(end, plan.speed_m_s))
        route.hold(2.0)
    legs = list(plan.crosswind_legs())
    above = legs[0][0].copy()
    above[2] = plan.height_m
    route.go(above, plan.transit_m_s)
    route.hold(2.0)
    route.go(legs[0][0], plan.climb_m_s)
    legs_begin = route.time[-1]
    for begin, end in legs:
        route.go(begin, plan.speed_m_s)
        across = end - begin
        route.hold(2.5, float(np.arctan2(across[0], across[1])))
        route.go(end, plan.speed_m_s)
        route.hold(1.5)
    legs_end = route.time[-1]
    high = route.point[-1].copy()
    high[2] = plan.height_m - 8.0
    route.go(high, plan.climb_m_s)
    route.hold(2.0)
    route.go(np.array([home[0], home[1], high[2]]), plan.transit_m_s)
    route.hold(3.0)
    route.go(np.array([home[0], home[1], home[2] + 8.0]), plan.climb_m_s)
    route.hold(2.0)
    route.go(home, 1.0)
    landed = route.time[-1]
    route.hold(14.0)
    return route, strips, (legs_begin, legs_end), landed, plan.take_off_s


def _sines(time_s: Array, terms: tuple[tuple[float, float], ...], rng: np.random.Generator) -> Array:
    out = np.zeros_like(time_s)
    for amplitude, frequency in terms:
        tuned = frequency * rng.uniform(0.85, 1.15)
        out += amplitude * rng.uniform(0.8, 1.2) * np.sin(2.0 * np.pi * (tuned * time_s + rng.random()))
    return out


def fly(plan: Plan, rng: np.random.Generator) -> Motion:
    """Return the motion that follows *plan* with rounded corners, wobble and jitter."""
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import convolve1d

    route, strips, legs, landed, take_off = _route(plan)
    duration = route.time[-1]
    time = np.arange(0.0, duration + STEP_S, STEP_S)
    knots = np.column_stack([np.array(route.point), route.heading])
    window = np.hanning(int(SMOOTHING_S / STEP_S) | 1)
    raw = np.column_stack([np.interp(time, route.time, knots[:, k]) for k in range(4)])
    smooth = convolve1d(raw, window / window.sum(), axis=0, mode="nearest")

    airborne = np.clip((smooth[:, 2] - plan.home[2]) / 4.0, 0.0, 1.0)
    airborne = airborne * airborne * (3.0 - 2.0 * airborne)
    position = smooth[:, :3] + airborne[:, None] * np.column_stack(
        [_sines(time, WOBBLE, rng) for _ in range(3)]
    )
    velocity = np.gradient(smooth[:, :3], STEP_S, axis=0)
    acceleration = np.gradient(velocity, STEP_S, axis=0)
    yaw = smooth[:, 3] + airborne * np.radians(_sines(time, JITTER["yaw"], rng))
    sin_yaw, cos_yaw = np.sin(yaw), np.cos(yaw)
    forward = velocity[:, 0] * sin_yaw + velocity[:, 1] * cos_yaw
    push = acceleration[:, 0] * sin_yaw + acceleration[:, 1] * cos_yaw
    side = acceleration[:, 0] * cos_yaw - acceleration[:, 1] * sin_yaw
    pitch = -np.arctan(push / GRAVITY_M_S2) - np.radians(LEAN_DEG_PER_M_S) * forward
    roll = np.arctan(side / GRAVITY_M_S2) + np.radians(rng.uniform(-0.5, 0.5))
    roll = airborne * (roll + np.radians(_sines(time, JITTER["roll"], rng)))
    pitch = airborne * (pitch + np.radians(_sines(time, JITTER["pitch"], rng)))
    spline = CubicSpline(time, np.column_stack([position, roll, pitch, yaw]))
    return Motion(spline, duration, take_off, landed, tuple(strips), legs)
