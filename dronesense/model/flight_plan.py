"""A flight before it is flown: the legs and where they lead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from dronesense.model.checks import freeze


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """One straight line of a pattern, in the order in which it is flown.

    Parameters
    ----------
    strip : int
        Number of the strip of ground, across the legs, from 0.
    points : (n, 2) float64
        x, y of start, data start, points between (terrain), data end, end.
    height_m : (n,) float64
        Of each point above the place of take-off.
    data : (first, last)
        Rows of `points` between which data count; before and after lie run-in and run-out.
    """

    strip: int
    points: NDArray[np.float64]
    height_m: NDArray[np.float64]
    data: tuple[int, int]

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None, 2), "points")
        freeze(self, np.float64, (len(self.points),), "height_m")


@dataclass(frozen=True, slots=True, eq=False)
class FlightPattern:
    """Legs over a site.

    Parameters
    ----------
    crs : str
        Metric CRS of the legs and the site.
    site : geometry
        What is to be seen.
    legs : tuple of Leg
        In the order in which they are flown.
    heading_deg : float
        Of the first leg, clockwise from true north.
    spacing_m : float
        Between strips, on the ground: never more than asked.
    swath_m : float
        Width that a leg sees.
    speed_m_s : float
        Over ground.
    """

    crs: str
    site: BaseGeometry
    legs: tuple[Leg, ...]
    heading_deg: float
    spacing_m: float
    swath_m: float
    speed_m_s: float
