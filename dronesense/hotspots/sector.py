"""Where to walk upwind of a gas hotspot: a sector that holds its source with a stated probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from dronesense.errors import CoverageError
from dronesense.hotspots import plume
from dronesense.model import SearchSector

Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.9
REACH_M: Final = 150.0
"""How far upwind a sector goes when nobody says it: at 2.5 m/s a minute of transport."""
MIN_REACH_M: Final = 10.0
MAX_REACH_M: Final = 2000.0
"""Nearer and farther nothing is said of how far gas is met."""
REACH_STEPS: Final = 400
STABILITY: Final = "C"
"""Class whose width a plume gets when nothing is known: slightly unstable."""
SWAY_DEG: Final = 15.0
"""Sway of the direction when the wind does not say: assumed, on the wide side for a day that is flown."""
CALM_M_S: Final = 0.5
"""Below it a wind has no direction to speak of."""
ARC_STEPS: Final = 33
SIDE_STEPS: Final = 24


def search_sector(
    hotspot: str,
    target: str,
    x: float,
    y: float,
    cov: Floats,
    *,
    crs: str,
    wind_from_deg: float,
    wind_speed_m_s: float,
    sigma_from_deg: float,
    sway_deg: float = math.nan,
    convergence_deg: float = 0.0,
    stability: plume.Stability = STABILITY,
    reach_m: float = REACH_M,
    confidence: float = CONFIDENCE,
) -> SearchSector:
    """Return the ground upwind of a hotspot that holds its source with *confidence*, if it is within reach.

    At a distance r upwind the source lies off the wind's line by a normal error of variance
    ``(r tan(sigma))² + (r tan(sway))² + sigma_y(r)² + position²``: of the mean direction, of the direction
    while the gas was met, of the plume's width and of the hotspot. The sector is what lies within the
    two-sided quantile of that, and the hotspot's own error ellipse at that level.

    Parameters
    ----------
    hotspot, target : str
        Id and target of the hotspot.
    x, y : float
        Its place in *crs*, m.
    cov : (2, 2) float64
        Covariance of the place, m².
    crs : str
        Metric CRS.
    wind_from_deg, wind_speed_m_s : float
        Mean wind while the gas was met; the direction it comes from, clockwise from true north.
    sigma_from_deg : float
        Standard uncertainty of that direction.
    sway_deg : float
        Standard deviation of the direction within that time; NaN when unknown.
    convergence_deg : float
        From true north to grid north at the place (docs/conventions.md).
    stability : {"A", ..., "F"}
        For the width of the plume.
    reach_m : float
        How far upwind a source is looked for: see :func:`detection_reach`.
    confidence : float
        Share of the sources within reach that the sector holds.

    Raises
    ------
    CoverageError
        If the wind is calm, or so uncertain that every direction is upwind.

    Examples
    --------
    >>> import numpy as np
    >>> sector = search_sector("h1", "CH4", 0.0, 0.0, np.eye(2), crs="EPSG:32633", wind_from_deg=270.0,
    ...                        wind_speed_m_s=3.0, sigma_from_deg=5.0, sway_deg=10.0, reach_m=100.0)
    >>> [sector.geometry.contains(shapely.Point(x, 5.0)) for x in (-80.0, 80.0)]
    [True, False]
    """
    if not (0.0 < confidence < 1.0 and reach_m > 0.0 and sigma_from_deg >= 0.0):
        raise ValueError("confidence must lie in (0, 1), reach_m be > 0 and sigma_from_deg not negative")
    curves = plume.briggs(stability)
    fan = _fan(wind_speed_m_s, sigma_from_deg, sway_deg, float(np.max(curves.across.slope)), confidence)
    upwind = math.radians(wind_from_deg - convergence_deg)
    return SearchSector(
        hotspot=hotspot,
        target=target,
        geometry=_outline(np.array([x, y]), cov, upwind, fan, curves, reach_m),
        crs=crs,
        wind_from_deg=wind_from_deg % 360.0,
        wind_speed_m_s=wind_speed_m_s,
        half_angle_deg=math.degrees(fan.half_angle),
        reach_m=reach_m,
        confidence=confidence,
    )


@dataclass(frozen=True, slots=True)
class _Fan:
    """How a sector opens: quantile of the confidence, turning of the wind and half angle in all, radians."""

    confidence: float
    quantile: float
    turning: float
    half_angle: float


def _fan(speed_m_s: float, sigma_deg: float, sway_deg: float, slope: float, confidence: float) -> _Fan:
    """Return how a sector opens, or refuse a wind that does not say where upwind is."""
    from scipy.special import ndtri

    if not speed_m_s >= CALM_M_S:
        raise CoverageError(
            f"a wind of {speed_m_s:.1f} m/s has no upwind side",
            fix=f"a search sector needs {CALM_M_S} m/s or more",
        )
    sway = SWAY_DEG if math.isnan(sway_deg) else sway_deg
    turning = math.hypot(math.radians(sigma_deg), math.radians(sway))
    quantile = float(ndtri(0.5 + 0.5 * confidence))
    half_angle = quantile * math.hypot(turning, math.atan(slope))
    if half_angle >= 0.5 * math.pi:
        raise CoverageError(
            f"the wind is known to {math.degrees(turning):.0f} degrees only: all sides are upwind",
            fix="give a wind with a smaller sigma",
        )
    return _Fan(confidence, quantile, turning, half_angle)


def detection_reach(
    *,
    rate_kg_h: float,
    limit_ppm: float,
    wind_speed_m_s: float,
    density_kg_m3: float,
    stability: plume.Stability = STABILITY,
    height_m: float = 0.0,
) -> float:
    """Return how far downwind, m, a source at the ground is met above a limit on the plume's axis.

    Between 10 m and 2 km: nearer and farther nothing is said.

    Parameters
    ----------
    rate_kg_h : float
        Largest rate of interest.
    limit_ppm : float
        Detection limit of the readings.
    wind_speed_m_s, density_kg_m3, stability
        As in :func:`~dronesense.hotspots.plume.point_coupling`.
    height_m : float
        Of the readings above ground.
    """
    if not (rate_kg_h > 0.0 and limit_ppm > 0.0):
        raise ValueError("rate_kg_h and limit_ppm must be > 0")
    distance = np.geomspace(MIN_REACH_M, MAX_REACH_M, REACH_STEPS)
    met = (
        rate_kg_h
        * plume.point_coupling(
            np.zeros((1, 3)),
            np.column_stack([distance, np.zeros_like(distance), np.full_like(distance, height_m)]),
            wind_east=wind_speed_m_s,
            wind_north=0.0,
            dispersion=plume.briggs(stability),
            density_kg_m3=density_kg_m3,
        )[0]
    )
    above = np.flatnonzero(met >= limit_ppm)
    return float(distance[above[-1]]) if above.size else MIN_REACH_M


def _outline(
    center: Floats, cov: Floats, from_rad: float, fan: _Fan, curves: plume.Dispersion, reach: float
) -> BaseGeometry:
    """Return the union of the hotspot's ellipse and of the strip that widens upwind, cut by an arc."""
    upwind = np.array([math.sin(from_rad), math.cos(from_rad)])
    across = np.array([upwind[1], -upwind[0]])
    along_sigma = math.sqrt(max(float(upwind @ cov @ upwind), 0.0))
    # The position's own error moves the far end too.
    distance = np.linspace(0.0, reach + fan.quantile * along_sigma, SIDE_STEPS)
    widening = np.arctan(curves.across(distance) / np.maximum(distance, 1e-9))
    angle = fan.quantile * np.hypot(fan.turning, widening)
    angle[0] = angle[1]
    aside = np.hypot(
        distance * np.sin(np.minimum(angle, 0.5 * math.pi)),
        fan.quantile * math.sqrt(max(float(across @ cov @ across), 0.0)),
    )
    ahead = np.sqrt(np.maximum(distance**2 - np.minimum(aside, distance) ** 2, 0.0))
    end = math.atan2(float(aside[-1]), float(ahead[-1]))
    arc = np.linspace(end, -end, ARC_STEPS)
    radius = math.hypot(float(aside[-1]), float(ahead[-1]))
    u = np.concatenate([ahead, radius * np.cos(arc), ahead[::-1]])
    v = np.concatenate([aside, radius * np.sin(arc), -aside[::-1]])
    strip = shapely.Polygon(center + u[:, None] * upwind + v[:, None] * across).buffer(0.0)
    return shapely.union(strip, _ellipse(center, cov, fan.confidence))


def _ellipse(center: Floats, cov: Floats, confidence: float) -> BaseGeometry:
    """Return the hotspot's own error ellipse at *confidence*."""
    variance, axes = np.linalg.eigh(np.asarray(cov, dtype=np.float64))
    half = np.sqrt(np.maximum(variance, 1e-6) * -2.0 * math.log(1.0 - confidence))
    turn = np.linspace(0.0, 2.0 * math.pi, 4 * ARC_STEPS, endpoint=False)
    return shapely.Polygon(center + (np.column_stack([np.cos(turn), np.sin(turn)]) * half) @ axes.T)
