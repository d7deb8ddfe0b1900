"""A release of puffs that swinging winds carry off: shares no formula code with the inversion.

Puffs leave the source every half meter of way. Each keeps the velocity that the wind had at its release
(Ornstein-Uhlenbeck processes in direction and speed) and grows as a sphere that flattens; a reading is the
sum of all puffs in the air. The Gaussian plume is what a long average of this tends to, no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

# Slopes of sigma_y and sigma_z in open country below 1 km (Briggs 1973), without their bends.
ACROSS = {"A": 0.22, "B": 0.16, "C": 0.11, "D": 0.08, "E": 0.06, "F": 0.04}
VERTICAL = {"A": 0.20, "B": 0.12, "C": 0.08, "D": 0.06, "E": 0.03, "F": 0.016}
HALF = math.sqrt(0.5)
"""Half of the variance of a long average is swing, half is the growth of the puffs."""
SPEED_NOISE = 0.15


@dataclass(frozen=True)
class Release:
    """What is planted."""

    x: float
    y: float
    height_m: float
    rate_kg_h: float
    speed_m_s: float
    toward_rad: float
    stability: str
    across: float
    vertical: float
    swing_s: float
    size_m: float

    @property
    def sway(self) -> float:
        """Standard deviation of the direction of the puffs, and their growth sideways."""
        return ACROSS[self.stability] * self.across * HALF


@dataclass(frozen=True)
class Air:
    """When puffs left, and with which velocity."""

    released: np.ndarray
    direction: np.ndarray
    speed: np.ndarray


def draw_release(rng, area, *, speed=(1.0, 8.0), rate=(1.0, 30.0), spread=0.4) -> Release:
    """Draw a release in *area*."""
    return Release(
        x=rng.uniform(area[0], area[2]),
        y=rng.uniform(area[1], area[3]),
        height_m=rng.uniform(0.0, 2.0),
        rate_kg_h=float(np.exp(rng.uniform(*np.log(rate)))),
        speed_m_s=rng.uniform(*speed),
        toward_rad=rng.uniform(-math.pi, math.pi),
        stability=str(rng.choice(list("ABCDEF"))),
        across=float(np.exp(spread * rng.standard_normal())),
        vertical=float(np.exp(spread * rng.standard_normal())),
        swing_s=rng.uniform(15.0, 60.0),
        size_m=float(0.3 * np.exp(0.5 * rng.standard_normal())),
    )


def wandering(times, memory_s, rng):
    """Return an Ornstein-Uhlenbeck process of unit variance at evenly spaced *times*."""
    kept = math.exp(-(times[1] - times[0]) / memory_s)
    kick = rng.standard_normal(times.size) * math.sqrt(1.0 - kept**2)
    return lfilter([1.0], [1.0, -kept], kick, zi=[kept * rng.standard_normal()])[0]


def blow(release: Release, begin_s, end_s, rng, *, veer_rad=0.0) -> Air:
    """Return the air of a time; *veer_rad* is a slow veering on top of the swing."""
    released = np.arange(begin_s, end_s, 0.5 / release.speed_m_s)
    direction = release.toward_rad + release.sway * wandering(released, release.swing_s, rng)
    if veer_rad:
        direction = direction + veer_rad * wandering(released, 600.0, rng)
    speed = release.speed_m_s * np.exp(SPEED_NOISE * wandering(released, release.swing_s, rng))
    return Air(released, direction, speed)


def met_at(release: Release, air: Air, time_s, place, *, reach, density_kg_m3=0.668):
    """Return what is met at one time at places (m, 3), ppm."""
    first, last = np.searchsorted(air.released, [time_s - 2.0 * reach / release.speed_m_s, time_s])
    gone = air.speed[first:last] * (time_s - air.released[first:last])
    angle = air.direction[first:last]
    x, y = release.x + gone * np.cos(angle), release.y + gone * np.sin(angle)
    wide = np.hypot(release.sway * gone, release.size_m) + 0.05
    high = np.hypot(VERTICAL[release.stability] * release.vertical * gone, release.size_m) + 0.05
    # Puffs far from all places are left out.
    low, top = place[:, :2].min(axis=0), place[:, :2].max(axis=0)
    near = (
        (x > low[0] - 6 * wide) & (x < top[0] + 6 * wide) & (y > low[1] - 6 * wide) & (y < top[1] + 6 * wide)
    )
    x, y, wide, high = x[near], y[near], wide[near], high[near]
    flat = (place[:, :1] - x) ** 2 + (place[:, 1:2] - y) ** 2
    z = place[:, 2:]
    bell = np.exp(-0.5 * flat / wide**2) * (
        np.exp(-0.5 * ((z - release.height_m) / high) ** 2)
        + np.exp(-0.5 * ((z + release.height_m) / high) ** 2)
    )
    mass = release.rate_kg_h / 3600.0 * (air.released[1] - air.released[0])
    parts = mass * bell / ((2.0 * math.pi) ** 1.5 * wide**2 * high)
    return parts.sum(axis=1) / density_kg_m3 * 1e6


def readings(release: Release, time_s, place, rng, *, parts=5):
    """Return the enhancement in ppm of a moving analyzer at *place* (n, 3), averaged over a second."""
    reach = float(np.max(np.hypot(place[:, 0] - release.x, place[:, 1] - release.y))) + 20.0
    air = blow(release, time_s[0] - 2.0 * reach / release.speed_m_s - 1.0, time_s[-1] + 1.0, rng)
    ahead = (np.arange(parts) + 0.5) / parts - 0.5
    velocity = np.gradient(place, axis=0) / np.gradient(time_s)[:, None]
    # Turns are no part of a line.
    velocity[np.abs(np.gradient(time_s) - 1.0) > 0.1] = 0.0
    fine = place[:, None, :] + ahead[:, None] * velocity[:, None, :]
    times = (time_s[:, None] + ahead).ravel()
    looks = [
        met_at(release, air, t, p[None], reach=reach)[0]
        for t, p in zip(times, fine.reshape(-1, 3), strict=True)
    ]
    return np.reshape(looks, (-1, parts)).mean(axis=1)


def along_beams(release: Release, air: Air, time_s, start, ends, *, nodes=50):
    """Return path averages, (times, beams), of beams from *start* (3,) to *ends* (b, 3)."""
    share = (np.arange(nodes) + 0.5) / nodes
    place = (start + share[:, None, None] * (ends - start)).reshape(-1, 3)
    reach = float(np.max(np.hypot(place[:, 0] - release.x, place[:, 1] - release.y))) + 20.0
    each = [met_at(release, air, t, place, reach=reach).reshape(nodes, -1).mean(axis=0) for t in time_s]
    return np.array(each)


def anemometer(release: Release, air: Air, time_s, rng, *, spread=0.3, surface=0.7):
    """Return east, north, up at *time_s*: the swing of the puffs, and the small eddies that make them grow.

    The small eddies are known to a factor ``exp(spread)``; plumes at the ground rise slower by *surface*.
    """
    at = np.minimum(np.searchsorted(air.released, time_s), air.released.size - 1)
    small = release.sway * math.exp(spread * rng.standard_normal())
    angle = air.direction[at] + small * rng.standard_normal(at.size)
    lift = VERTICAL[release.stability] / surface * rng.standard_normal(at.size)
    return air.speed[at] * np.cos(angle), air.speed[at] * np.sin(angle), air.speed[at] * lift


def lawnmower(
    center, toward_rad, *, half_width=90.0, lines=10, spacing=26.0, first=-60.0, speed=6.0, heights=(2.0, 6.0)
):
    """Return times (s), places (n, 3) and numbers of lines across the wind, once at each height, at 1 Hz."""
    across = np.arange(-half_width, half_width, speed)
    ahead, aside, up, leg = [], [], [], []
    for height in heights:
        for k in range(lines):
            ahead.append(np.full(across.size, first + spacing * k))
            aside.append(across if k % 2 == 0 else -across)
            up.append(np.full(across.size, height))
            leg.append(np.full(across.size, len(leg)))
    a, s, z = np.concatenate(ahead), np.concatenate(aside), np.concatenate(up)
    cos, sin = math.cos(toward_rad), math.sin(toward_rad)
    place = np.column_stack([center[0] + a * cos - s * sin, center[1] + a * sin + s * cos, z])
    legs = np.concatenate(leg)
    # Turns take four seconds.
    return np.arange(a.size) + 4.0 * legs, place, legs
