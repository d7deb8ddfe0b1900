"""Will a leak be noticed? The share of its places and winds for which a leg meets the plume above the limit.

A Gaussian plume is a mean over some ten minutes. A real crossing takes seconds: the plume that it meets is
narrower, meanders, and may be missed or exceed the mean. The chance is that of the mean plume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.hotspots import plume
from dronesense.model.flight_plan import FlightPattern
from dronesense.planning.pattern import grid_facts

Floats = NDArray[np.float64]

TEMPERATURE_K: Final = 288.15
PRESSURE_HPA: Final = 1013.25
"""Of the standard atmosphere at sea level (ISO 2533), for the density of the gas."""
SOURCES: Final = 400
"""Places of a leak that are tried, about; fewer where there are many legs."""
MIN_SOURCES: Final = 100
MANY_LEGS: Final = 50
WINDS: Final = 36
"""Directions that are tried where none is given."""
LEG_NODES: Final = 96
"""Places on each leg where the plume is looked up, beside those next to its axis."""
FOUND_SHARE: Final = 0.9
MAX_RATE_KG_H: Final = 1e5
"""What it would take more than that to meet is not met: a Gaussian has no end, a plume has."""
TRIAL_M: Final = 1.0
"""Step of the distances at which a plume is looked up, m."""
FARTHEST_M: Final = 2000.0
"""Beyond, nothing is said: as for search sectors."""
SPACINGS_M: Final = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Leg spacings of the table."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A leak at the ground, the weather, and the limit of the sensor.

    Parameters
    ----------
    rate_kg_h : float
        Emission rate.
    limit_ppm : float
        Enhancement that the sensor finds, as it flies.
    wind_m_s : float
        At the height of the legs.
    stability : {"A", ..., "F"}
        Pasquill's class.
    density_kg_m3 : float
        Of the pure gas: :func:`dronesense.hotspots.plume.gas_density_kg_m3`.
    wind_from_deg : float or None
        From true north; None: every direction alike.
    """

    rate_kg_h: float
    limit_ppm: float
    wind_m_s: float
    stability: plume.Stability
    density_kg_m3: float
    wind_from_deg: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.rate_kg_h, self.limit_ppm, self.wind_m_s, self.density_kg_m3)
        if not all(math.isfinite(each) and each > 0.0 for each in numbers):
            raise ValueError("rate, limit, wind and density must be > 0")


@dataclass(frozen=True, slots=True)
class GasReach:
    """What a pattern finds of leaks.

    Parameters
    ----------
    chance : float
        Share of the places in the site (and winds) from which a leak is met above the limit.
    rate_found_kg_h : float
        Rate that would be met from nine places in ten; inf where the pattern meets fewer plumes at all.
    tried : (sources, winds)
        How many places and directions were tried.
    """

    chance: float
    rate_found_kg_h: float
    tried: tuple[int, int]


def peak_ppm(leak: Leak, distance_m: Floats, *, height_m: float) -> Floats:
    """Return the mean plume's ppm on its axis, *height_m* above ground, at distances downwind of the leak."""
    distance = np.asarray(distance_m, dtype=np.float64)
    receptor = np.column_stack([distance, np.zeros_like(distance), np.full_like(distance, height_m)])
    return np.asarray(leak.rate_kg_h * _coupling(leak, np.zeros((1, 3)), receptor, 1.0, 0.0)[0])


def crossing_chance(leak: Leak, *, spacing_m: float, height_m: float) -> float:
    """Return the chance that legs across the wind, *spacing_m* apart and without end, meet the plume's axis.

    The leak lies anywhere between two legs, so the next one downwind lies anywhere within one spacing; the
    chance is the share of those distances from which that leg, or one farther on, is above the limit.

    Parameters
    ----------
    leak : Leak
    spacing_m, height_m : float
        Between legs; of the legs above ground.

    Examples
    --------
    >>> leak = Leak(1.0, 0.05, 3.0, "D", 0.68)
    >>> [crossing_chance(leak, spacing_m=1.0, height_m=height) for height in (5.0, 100.0)]
    [1.0, 0.0]
    """
    if not (spacing_m > 0.0 and height_m >= 0.0):
        raise ValueError("spacing must be > 0 and height not negative")
    step = min(TRIAL_M, spacing_m / LEG_NODES)
    distance = np.arange(0.5 * step, FARTHEST_M, step)
    above = peak_ppm(leak, distance, height_m=height_m) >= leak.limit_ppm
    share = np.floor(distance[above] % spacing_m / step)
    return float(min(1.0, np.unique(share).size / (spacing_m / step)))


def spacing_table(leak: Leak, *, height_m: float) -> list[tuple[float, float]]:
    """Return (spacing in m, chance) for some leg spacings; see :func:`crossing_chance`."""
    return [(each, crossing_chance(leak, spacing_m=each, height_m=height_m)) for each in SPACINGS_M]


def reach(pattern: FlightPattern, leak: Leak, *, height_m: float) -> GasReach:
    """Return what *pattern*, flown *height_m* above ground, finds of leaks somewhere in its site.

    Places lie on a regular grid. From each, the plume's mean is looked up along every leg, at the leg's point
    next to the plume's axis and at even steps; the greatest value is compared with the limit. Legs that lie
    upwind or beyond 2 km meet nothing.

    Raises
    ------
    CoverageError
        If no place of the site can be tried.
    """
    sources = _places(pattern)
    convergence, scale = grid_facts(pattern.site, pattern.crs)
    if leak.wind_from_deg is None:
        winds = np.arange(WINDS) * (360.0 / WINDS)
    else:
        winds = np.array([leak.wind_from_deg])
    toward = np.radians(winds + 180.0 - convergence)
    east, north = np.sin(toward), np.cos(toward)
    peak = np.zeros((len(sources), len(winds)))
    for leg in pattern.legs:
        start, end = leg.points[leg.data[0]], leg.points[leg.data[1]]
        for column, (along_x, along_y) in enumerate(zip(east, north, strict=True)):
            met = _best(leak, sources, start, end, np.array([along_x, along_y]), scale, height_m)
            np.maximum(peak[:, column], met, out=peak[:, column])
    values = np.sort(peak.ravel())[::-1]
    needed = values[math.ceil(FOUND_SHARE * values.size) - 1]
    rate = leak.limit_ppm / needed if needed * MAX_RATE_KG_H >= leak.limit_ppm else math.inf
    return GasReach(float(np.mean(peak * leak.rate_kg_h >= leak.limit_ppm)), float(rate), peak.shape)


def _places(pattern: FlightPattern) -> Floats:
    """Return places on an even grid over the site, about :data:`SOURCES`, (s, 2)."""
    site = pattern.site
    left, bottom, right, top = site.bounds
    wanted = max(MIN_SOURCES, min(SOURCES, SOURCES * MANY_LEGS // len(pattern.legs)))
    step = math.sqrt(site.area / wanted)
    x = np.arange(left + 0.5 * step, right, step)
    y = np.arange(bottom + 0.5 * step, top, step)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    inside = grid[shapely.contains_xy(site, grid[:, 0], grid[:, 1])]
    if not len(inside):
        point = site.representative_point()
        inside = np.array([[point.x, point.y]])
    if not len(inside):
        raise CoverageError("the site has no place for a leak")
    return inside


def _best(
    leak: Leak, sources: Floats, start: Floats, end: Floats, wind: Floats, scale: float, height_m: float
) -> Floats:
    """Return the ppm for 1 kg/h that each source's plume has at its best on a leg, (s,)."""
    side = np.array([-wind[1], wind[0]])
    step = end - start
    turn = float(step @ side)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = ((sources - start) @ side) / turn
    crossing = np.clip(np.nan_to_num(crossing, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    even = np.broadcast_to(np.linspace(0.0, 1.0, LEG_NODES), (len(sources), LEG_NODES))
    share = np.concatenate([even, crossing[:, None]], axis=1)
    offset = start + share[..., None] * step - sources[:, None, :]
    ahead, aside = (offset @ wind) / scale, (offset @ side) / scale
    diluted = plume.dilution(
        ahead,
        aside,
        np.asarray(height_m),
        source_height=0.0,
        speed=np.asarray(leak.wind_m_s),
        dispersion=plume.briggs(leak.stability),
    )
    diluted = np.where(ahead <= FARTHEST_M, diluted, 0.0)
    return np.asarray(diluted.max(axis=1) * plume.ppm_per_kg_h(leak.density_kg_m3))


def _coupling(leak: Leak, source: Floats, receptor: Floats, east: float, north: float) -> Floats:
    return plume.point_coupling(
        source,
        receptor,
        wind_east=leak.wind_m_s * east,
        wind_north=leak.wind_m_s * north,
        dispersion=plume.briggs(leak.stability),
        density_kg_m3=leak.density_kg_m3,
    )
