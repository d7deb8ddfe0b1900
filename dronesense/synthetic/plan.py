"""What is flown and where: sizes, speeds, strips, legs, wind, clocks; all drawn from the seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from dronesense.synthetic.frames import Array

SAMPLES: Final = 256
FOV_DEG: Final = 32.0
LINES: Final = 500
STRIPS: Final = 3
HEIGHT_M: Final = 60.0
"""Height of the mapping strips above the mean ground, m."""
SPEED_M_S: Final = 5.0
OVERLAP: Final = 0.28
"""Share of a strip's width that the next strip sees again."""
RUN_IN_M: Final = 14.0
"""Straight flight before the first and after the last line of a strip, m."""
TAKE_OFF_S: Final = 32.0
"""Seconds from boot to take-off."""
SOURCE_DOWNWIND_M: Final = 75.0
"""From the middle of the strips to the gas source, m downwind: no gas over the strips."""
LEG_DOWNWIND_M: Final = (90.0, 105.0, 120.0, 135.0, 150.0)
"""Distances of the crosswind legs from the source, m."""
LEG_HALF_M: Final = 80.0
LEG_HEIGHT_M: Final = 24.0
IMU_ABOVE_GROUND_M: Final = 0.3

SIGMA_HORIZONTAL_M: Final = 0.05
SIGMA_VERTICAL_M: Final = 0.1
SIGMA_ROLL_PITCH_DEG: Final = 0.05
SIGMA_HEADING_DEG: Final = 0.2
SIGMA_CLOCK_S: Final = 0.01
SIGMA_BORESIGHT_DEG: Final = 0.05
SIGMA_LEVER_ARM_M: Final = 0.01
SIGMA_TERRAIN_M: Final = 0.3

FIRST_DAY_S: Final = 1_781_049_600
"""2026-06-10T00:00:00Z, Unix seconds: the first day that a flight may be on."""


def gsd_m() -> float:
    """Return the nominal ground sampling distance across track, m."""
    return float(2.0 * HEIGHT_M * np.tan(np.radians(FOV_DEG) / 2.0) / SAMPLES)


def line_period_s() -> float:
    """Return the line period that makes pixels square at the nominal height, s (whole microseconds)."""
    return round(gsd_m() / SPEED_M_S, 6)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The flight as planned, in the site's ENU frame (the mean ground of the mapped block has up = 0).

    Parameters
    ----------
    strip_heading_rad : float
        Of the first strip, clockwise from north; the others alternate.
    crab_rad : tuple of float
        Nose against course, one per strip.
    wind_from_deg, wind_m_s : float
        Mean wind.
    home : (3,) float64
        Where the aircraft stands, m.
    boot_s : float
        Unix time (UTC) of the autopilot's boot.
    """

    strip_heading_rad: float
    crab_rad: tuple[float, ...]
    wind_from_deg: float
    wind_m_s: float
    home: Array
    boot_s: float
    height_m: float = HEIGHT_M
    speed_m_s: float = SPEED_M_S
    transit_m_s: float = 9.0
    climb_m_s: float = 2.5
    take_off_s: float = TAKE_OFF_S

    @property
    def strip_length_m(self) -> float:
        """Length of the ground that one strip covers, m."""
        return LINES * gsd_m()

    @property
    def spacing_m(self) -> float:
        """Distance between the middles of neighboring strips, m."""
        return (1.0 - OVERLAP) * SAMPLES * gsd_m()

    def block_to_enu(self, along_m: Array, across_m: Array) -> tuple[Array, Array]:
        """Return east and north of block coordinates (along the first strip, to its right)."""
        sin_h, cos_h = np.sin(self.strip_heading_rad), np.cos(self.strip_heading_rad)
        return along_m * sin_h + across_m * cos_h, along_m * cos_h - across_m * sin_h

    def enu_to_block(self, east_m: Array, north_m: Array) -> tuple[Array, Array]:
        """Return along and across of east and north."""
        sin_h, cos_h = np.sin(self.strip_heading_rad), np.cos(self.strip_heading_rad)
        return east_m * sin_h + north_m * cos_h, east_m * cos_h - north_m * sin_h

    def strips(self) -> Iterator[tuple[Array, Array]]:
        """Yield begin and end of each strip, run-in and run-out included."""
        reach = self.strip_length_m / 2.0 + RUN_IN_M
        for number in range(STRIPS):
            sign = -1.0 if number % 2 else 1.0
            across = (number - (STRIPS - 1) / 2.0) * self.spacing_m
            ends = [self.block_to_enu(np.float64(sign * s * reach), np.float64(across)) for s in (-1.0, 1.0)]  # type: ignore[arg-type]
            first, last = (np.array([e, n, self.height_m]) for e, n in ends)
            yield first, last

    @property
    def downwind(self) -> Array:
        """Unit vector (east, north) that the wind blows to."""
        angle = np.radians(self.wind_from_deg)
        return np.array([-np.sin(angle), -np.cos(angle)])

    @property
    def source(self) -> Array:
        """East and north of the gas source, m."""
        return SOURCE_DOWNWIND_M * self.downwind

    def crosswind_legs(self) -> Iterator[tuple[Array, Array]]:
        """Yield begin and end of each leg through the plume, nearest to the source first."""
        along = self.downwind
        across = np.array([-along[1], along[0]])
        for number, distance in enumerate(LEG_DOWNWIND_M):
            middle = self.source + distance * along
            sign = 1.0 if number % 2 else -1.0
            height = LEG_HEIGHT_M + (3.0 if number % 2 else 0.0)
            yield (
                np.array([*(middle + sign * LEG_HALF_M * across), height]),
                np.array([*(middle - sign * LEG_HALF_M * across), height]),
            )
