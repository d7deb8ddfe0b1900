"""The same flight over ground that is not flat: heights above it, and legs that follow it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.geodesy import transform
from dronesense.geotag.terrain import surface_of
from dronesense.model import Terrain
from dronesense.model.flight_plan import FlightPattern, Leg

Floats = NDArray[np.float64]

STEP_M: Final = 5.0
"""Between places where the ground is looked up."""
TOLERANCE_M: Final = 1.0
"""Height by which a leg that follows the ground may leave it: what a barometer holds anyway."""
MAX_PLACES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Relief:
    """Heights of a flight above the ground of its site, m.

    Parameters
    ----------
    ground_low_m, ground_high_m : float
        Of the site, above the place of take-off.
    above_low_m, above_high_m : float
        Least and greatest height of the legs above the ground that they see: below them, at the edges of
        their swath (taken to lie on both sides alike), and of level legs anywhere in the site.
    missing : float
        Share of the places without a height.
    """

    ground_low_m: float
    ground_high_m: float
    above_low_m: float
    above_high_m: float
    missing: float


def drape(
    pattern: FlightPattern, terrain: Terrain, *, height_m: float, follow: bool
) -> tuple[FlightPattern, Relief]:
    """Return *pattern* with its heights above take-off, and what they are above the ground of *terrain*.

    Take-off is at the first point of the pattern. Without *follow* all legs stay *height_m* above that place;
    with it they rise and sink with the ground, straight between points that are within 1 m of it.

    Raises
    ------
    CoverageError
        If the terrain has no height at take-off or anywhere in the site, or the legs meet the ground.
    """
    home = _ground(terrain, pattern.legs[0].points[:1], pattern.crs)[0]
    if not math.isfinite(home):
        raise CoverageError(
            "the height model has no height where the first leg begins",
            where=terrain.source,
            fix="use one that reaches beyond the site, by the run-in",
        )
    site = _ground(terrain, _inside(pattern), pattern.crs) - home
    if not np.isfinite(site).any():
        raise CoverageError("the height model does not cover the site", where=terrain.source)
    legs, below, beside = [], [], []
    for leg in pattern.legs:
        made, over, aside = _follow(leg, terrain, pattern, home, height_m, follow)
        legs.append(made)
        below.append(over)
        beside.append(aside.ravel())
    over = np.concatenate(below)
    if not np.isfinite(over).any():
        raise CoverageError("the height model does not cover the legs", where=terrain.source)
    if np.nanmin(over) <= 0.0:
        raise CoverageError(
            f"the legs meet the ground: {-np.nanmin(over):.0f} m below it at worst",
            where=terrain.source,
            fix="fly higher, or let the legs follow the ground (--follow)",
        )
    # The highest ground may lie beside the legs: what is seen there counts too.
    low, high = float(np.nanmin(site)), float(np.nanmax(site))
    over = np.concatenate([over, *beside])
    above_low, above_high = float(np.nanmin(over)), float(np.nanmax(over))
    if not follow:
        above_low, above_high = min(above_low, height_m - high), max(above_high, height_m - low)
    relief = Relief(low, high, above_low, above_high, float(np.mean(np.isnan(site))))
    return replace(pattern, legs=tuple(legs)), relief


def _follow(
    leg: Leg, terrain: Terrain, pattern: FlightPattern, home: float, height_m: float, follow: bool
) -> tuple[Leg, Floats, Floats]:
    """Return a leg with heights above take-off; those above the ground below and at the swath's edges."""
    crs = pattern.crs
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(leg.points, axis=0), axis=1))])
    count = max(2, math.ceil(length[-1] / STEP_M) + 1)
    way = np.unique(np.concatenate([length, np.linspace(0.0, length[-1], count)]))
    points = np.column_stack([np.interp(way, length, leg.points[:, axis]) for axis in (0, 1)])
    ground = _ground(terrain, points, crs) - home
    step = leg.points[-1] - leg.points[0]
    side = 0.5 * pattern.swath_m * np.array([-step[1], step[0]]) / max(float(np.hypot(*step)), 1e-9)
    data = (way >= length[leg.data[0]]) & (way <= length[leg.data[1]])
    edges = np.stack([_ground(terrain, points[data] + each, crs) - home for each in (side, -side)])
    if not follow or np.isnan(ground).all():
        level = replace(leg, height_m=np.full(len(leg.points), height_m))
        return level, height_m - ground, height_m - edges
    known = np.isfinite(ground)
    wanted = np.interp(way, way[known], ground[known]) + height_m
    line = shapely.simplify(shapely.LineString(np.column_stack([way, wanted])), TOLERANCE_M)
    kept = np.union1d(shapely.get_coordinates(line)[:, 0], length)
    height = np.interp(kept, way, wanted)
    placed = np.column_stack([np.interp(kept, length, leg.points[:, axis]) for axis in (0, 1)])
    first, last = np.searchsorted(kept, [length[leg.data[0]], length[leg.data[1]]])
    flown = np.interp(way, kept, height)
    return Leg(leg.strip, placed, height, (int(first), int(last))), flown - ground, flown[data] - edges


def _inside(pattern: FlightPattern) -> Floats:
    """Return places of the site on an even grid, and the corners of its outline."""
    left, bottom, right, top = pattern.site.bounds
    step = max(STEP_M, math.sqrt((right - left) * (top - bottom) / MAX_PLACES))
    grid = np.stack(np.meshgrid(np.arange(left, right, step), np.arange(bottom, top, step)), axis=-1)
    grid = grid.reshape(-1, 2)
    inside = grid[shapely.contains_xy(pattern.site, grid[:, 0], grid[:, 1])]
    return np.concatenate([inside, shapely.get_coordinates(pattern.site)])


def _ground(terrain: Terrain, points: Floats, crs: str) -> Floats:
    surface = surface_of(terrain)
    if terrain.is_flat:
        return np.full(len(points), surface.height[0, 0])
    x, y = transform(points[:, 0], points[:, 1], crs, terrain.crs)
    return surface.height_at(x, y)
