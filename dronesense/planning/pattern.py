"""Legs over a site: parallel strips that cover all of it, flown to and fro."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from dronesense.errors import CoverageError
from dronesense.geodesy import grid_factors, to_grid, to_lonlat, utm_crs
from dronesense.model.flight_plan import FlightPattern, Leg

Floats = NDArray[np.float64]

RUN_IN_M: Final = 10.0
"""Flown straight before data begin, when nobody says it: attitude and speed settle."""
MIN_AREA_M2: Final = 1.0
"""A smaller site is a slip of the hand."""
MAX_EXTENT_M: Final = 50_000.0
"""A site that reaches farther is none for a drone, and leaves its UTM zone."""
MAX_STRIPS: Final = 2_000
"""Beyond it a plan is a mistake of units."""
HEADING_STEP_DEG: Final = 5.0
"""Between the headings that are tried beside those of the site's own edges."""
SLACK_M: Final = 1e-6
"""Rounding of grid coordinates."""
HALF_TURN_DEG: Final = 180.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """What is seen from the place of the aircraft, m: to port (negative), starboard, aft (negative), fore."""

    port: float
    starboard: float
    aft: float = 0.0
    fore: float = 0.0

    @property
    def width(self) -> float:
        """Swath, m."""
        return self.starboard - self.port


class _Span(NamedTuple):
    """Part of a strip: its number, its middle line, from and to along it."""

    strip: int
    middle: float
    start: float
    end: float


def on_grid(site: BaseGeometry) -> tuple[BaseGeometry, str]:
    """Return a site in degrees WGS84 on the UTM (or UPS) grid of its middle, with its CRS.

    A site on both sides of the antimeridian, given in parts or by longitudes of both signs, stays in one
    piece.

    Raises
    ------
    CoverageError
        If the site is smaller than 1 m² or reaches farther than 50 km.
    """
    west, south, east, north = site.bounds
    if east - west > HALF_TURN_DEG:
        site = shapely.transform(site, lambda c: np.column_stack([c[:, 0] % (2 * HALF_TURN_DEG), c[:, 1]]))
        west, south, east, north = site.bounds
    lon = (0.5 * (west + east) + HALF_TURN_DEG) % (2 * HALF_TURN_DEG) - HALF_TURN_DEG
    crs = utm_crs(lon, 0.5 * (south + north))
    if north - south > 1.0 or (east - west) * math.cos(math.radians(0.5 * (south + north))) > 1.0:
        raise _too_large("more than 100 km")
    mapped = shapely.transform(site, lambda c: np.column_stack(to_grid(_wrapped(c[:, 0]), c[:, 1], crs)))
    mapped = shapely.union_all(list(getattr(mapped, "geoms", [mapped])))
    left, bottom, right, top = mapped.bounds
    if max(right - left, top - bottom) > MAX_EXTENT_M:
        raise _too_large(f"{max(right - left, top - bottom) / 1000.0:.0f} km")
    if not mapped.area >= MIN_AREA_M2:
        raise CoverageError(
            f"the site measures {mapped.area:.2g} m²: too small to be one", fix="check its coordinates"
        )
    return mapped, crs


def _wrapped(lon: Floats) -> Floats:
    return np.asarray((lon + HALF_TURN_DEG) % (2.0 * HALF_TURN_DEG) - HALF_TURN_DEG)


def _too_large(extent: str) -> CoverageError:
    return CoverageError(
        f"the site reaches {extent}: too far for one plan",
        fix=f"divide it into parts of at most {MAX_EXTENT_M / 1000.0:.0f} km",
    )


def grid_facts(site: BaseGeometry, crs: str) -> tuple[float, float]:
    """Return convergence in degrees and grid meters for a meter on the ellipsoid, in the middle of a site."""
    lon, lat = to_lonlat(site.centroid.x, site.centroid.y, crs)
    convergence, east, north = grid_factors(lon, lat, crs)
    return math.degrees(float(convergence)), 0.5 * (float(east) + float(north))


def lay(
    site: BaseGeometry,
    seen: Footprint,
    *,
    crs: str,
    heading_deg: float | None,
    spacing_m: float,
    height_m: float,
    speed_m_s: float,
    run_in_m: float = RUN_IN_M,
    run_out_m: float = RUN_IN_M,
) -> FlightPattern:
    """Return legs whose swaths cover *site*, neighbors at most *spacing_m* apart.

    The strips are set so that the first and the last one end on the border of the site; the overlap that is
    left over is shared. Parts of one strip are flown as one leg where the way between them is shorter than
    leaving one and entering the next.

    Parameters
    ----------
    site : polygon or multipolygon
        In *crs*; holes are left out where that saves way.
    seen : Footprint
        What the camera sees, m.
    crs : str
        Metric CRS.
    heading_deg : float or None
        Of the first leg, from true north; None: the one with the fewest legs, then the shortest way.
    spacing_m : float
        Most between strips, on the ground, at most the swath.
    height_m, speed_m_s : float
        Above take-off; over ground.
    run_in_m, run_out_m : float
        Flown straight before and after each leg's data.

    Raises
    ------
    CoverageError
        If the site needs more than 2000 strips.
    """
    if not (0.0 < spacing_m <= seen.width * (1.0 + 1e-12) and run_in_m >= 0.0 and run_out_m >= 0.0):
        raise ValueError("spacing must be > 0 and at most the swath, run-in and run-out not negative")
    convergence, scale = grid_facts(site, crs)
    ground = Footprint(*(scale * edge for edge in (seen.port, seen.starboard, seen.aft, seen.fore)))
    runs = (scale * run_in_m, scale * run_out_m)
    if heading_deg is None:
        grid_deg = min(
            _headings(site), key=lambda each: _cost(site, ground, each, scale * spacing_m, sum(runs))
        )
    else:
        grid_deg = heading_deg - convergence
    turned = affinity.rotate(site, grid_deg - 90.0, origin=site.centroid)  # legs run along x
    spans, spacing = _spans(turned, ground.width, scale * spacing_m, sum(runs))
    origin = (site.centroid.x, site.centroid.y)
    legs = _to_and_fro(spans, ground, runs, height_m)
    angle = math.radians(90.0 - grid_deg)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    placed = tuple(replace(leg, points=(leg.points - origin) @ rotation.T + origin) for leg in legs)
    true_deg = (grid_deg + convergence) % 360.0
    return FlightPattern(crs, site, placed, true_deg, spacing / scale, seen.width, speed_m_s)


def _headings(site: BaseGeometry) -> list[float]:
    """Return grid headings to try: along the edges of the hull, where the width is least, and a fan."""
    corners = shapely.get_coordinates(site.convex_hull)
    step = np.diff(corners, axis=0)
    edges = np.degrees(np.arctan2(step[:, 0], step[:, 1])) % HALF_TURN_DEG
    fan = np.arange(0.0, HALF_TURN_DEG, HEADING_STEP_DEG)
    return [float(each) for each in np.unique(np.round(np.concatenate([edges, fan]), 6))]


def _cost(
    site: BaseGeometry, ground: Footprint, grid_deg: float, spacing: float, runs: float
) -> tuple[int, float]:
    turned = affinity.rotate(site, grid_deg - 90.0, origin=site.centroid)
    spans, _ = _spans(turned, ground.width, spacing, runs)
    return len(spans), round(sum(each.end - each.start + runs for each in spans), 3)


def _spans(turned: BaseGeometry, width: float, spacing: float, runs: float) -> tuple[list[_Span], float]:
    """Return what is to be seen of each strip along x, and the spacing between strips."""
    left, bottom, right, top = turned.bounds
    extent = top - bottom
    count = 1 if extent <= width else math.ceil((extent - width) / spacing - 1e-9) + 1
    if count > MAX_STRIPS:
        raise CoverageError(
            f"the site needs {count} legs",
            fix=f"fly higher, with less overlap, or divide the site: a plan has at most {MAX_STRIPS}",
        )
    step = (extent - width) / (count - 1) if count > 1 else spacing
    first = bottom + 0.5 * width if count > 1 else 0.5 * (bottom + top)
    spans: list[_Span] = []
    for number in range(count):
        middle = first + number * step
        half = 0.5 * width + SLACK_M
        band = shapely.box(left - 1.0, middle - half, right + 1.0, middle + half)
        parts = shapely.get_parts(shapely.intersection(turned, band))
        ends = sorted((b[0], b[2]) for b in (part.bounds for part in parts if not part.is_empty))
        merged: list[list[float]] = []
        for start, end in ends:
            if merged and start - merged[-1][1] <= runs:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        spans += [_Span(number, middle, start, end) for start, end in merged]
    return spans, step


def _to_and_fro(
    spans: list[_Span], ground: Footprint, runs: tuple[float, float], height_m: float
) -> list[Leg]:
    """Return the legs along x, the strips in turn, every second one backward."""
    legs: list[Leg] = []
    order = sorted({each.strip for each in spans})
    for turn, strip in enumerate(order):
        way = 1.0 if turn % 2 == 0 else -1.0
        own = [each for each in spans if each.strip == strip]
        for each in own if way > 0.0 else own[::-1]:
            start, end = (each.start, each.end) if way > 0.0 else (each.end, each.start)
            # What is seen lies ahead of or beside the aircraft: it flies that much behind or to the side.
            y = each.middle + way * 0.5 * (ground.port + ground.starboard)
            first, last = start - way * ground.fore, end - way * ground.aft
            x = [first - way * runs[0], first, last, last + way * runs[1]]
            points = np.column_stack([x, np.full(4, y)])
            legs.append(Leg(strip, points, np.full(4, height_m), (1, 2)))
    return legs


def data_length_m(pattern: FlightPattern) -> float:
    """Return the length of the legs between start and end of data, ground meters."""
    return sum(_way(leg.points[leg.data[0] : leg.data[1] + 1]) for leg in pattern.legs) / _scale(pattern)


def way_length_m(pattern: FlightPattern) -> float:
    """Return the way from the first point to the last, straight between legs, ground meters."""
    return _way(np.concatenate([leg.points for leg in pattern.legs])) / _scale(pattern)


def _scale(pattern: FlightPattern) -> float:
    return grid_facts(pattern.site, pattern.crs)[1]


def _way(points: Floats) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
