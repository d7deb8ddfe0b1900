"""What a gas series says of the ground: maps, places of sources, emission rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from dronesense.model.checks import freeze


@dataclass(frozen=True, slots=True, eq=False)
class GasMap:
    """A concentration map with its confidence; NaN where nothing was sampled near enough.

    Parameters
    ----------
    species, unit : str
        What is mapped.
    mean, sigma, support : (ny, nx) float32
        Estimate, its standard uncertainty, and the share 0 to 1 that the samples (not the prior) have in it.
    transform : (a, b, c, d, e, f)
        As in :class:`~dronesense.model.MapGrid`, north up.
    crs : str
        Metric CRS of the grid.
    method : str
        ``"kernel-dmv"``, ``"kernel-dmvw"``, ``"kriging"``.
    parameters : mapping
        Every parameter with its value, JSON-ready.
    """

    species: str
    unit: str
    mean: NDArray[np.float32]
    sigma: NDArray[np.float32]
    support: NDArray[np.float32]
    transform: tuple[float, float, float, float, float, float]
    crs: str
    method: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freeze(self, np.float32, (None, None), "mean")
        freeze(self, np.float32, self.mean.shape, "sigma", "support")


@dataclass(frozen=True, slots=True, eq=False)
class SourceEstimate:
    """Where a source may lie and how much it may emit: an indication with its limits.

    Parameters
    ----------
    species : str
        Gas.
    x, y : float
        Posterior mean of the place in `crs`, m.
    cov : (2, 2) float64
        Posterior covariance of (x, y), m².
    crs : str
        Metric CRS.
    region_50, region_90 : shapely geometry
        Highest-density regions of the place, in `crs`.
    rate_kg_h : float
        Posterior median of the emission rate.
    rate_50_kg_h, rate_90_kg_h : (low, high)
        Central credible intervals.
    height_m : float
        Height of the source above ground that was assumed or found, m.
    method : str
        E.g. ``"gaussian-plume, turbulence-scaled"``.
    parameters : mapping
        Every parameter with its value, JSON-ready.
    warnings : tuple of str
        What limits it.
    """

    species: str
    x: float
    y: float
    cov: NDArray[np.float64]
    crs: str
    region_50: BaseGeometry
    region_90: BaseGeometry
    rate_kg_h: float
    rate_50_kg_h: tuple[float, float]
    rate_90_kg_h: tuple[float, float]
    height_m: float
    method: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze(self, np.float64, (2, 2), "cov")


@dataclass(frozen=True, slots=True, eq=False)
class FluxEstimate:
    """The emission rate that passed a curtain or circle: mass balance.

    Parameters
    ----------
    species : str
        Gas.
    rate_kg_h, sigma_kg_h : float
        Rate and its standard uncertainty, all parts of the budget together.
    budget_kg_h : mapping of str to float
        Standard uncertainty by cause: ``wind``, ``direction``, ``background``, ``interpolation``,
        ``calibration``, ``unsampled``, ``repeatability``.
    bounds_kg_h : mapping of str to float
        The rate under each assumption on what lies below the lowest and above the highest pass.
    surface : str
        ``"curtain"`` or ``"circle"``.
    outline : shapely geometry
        Ground track of the surface, in `crs`.
    crs : str
        Metric CRS.
    parameters : mapping
        Every parameter with its value, JSON-ready.
    warnings : tuple of str
        What limits it.
    """

    species: str
    rate_kg_h: float
    sigma_kg_h: float
    budget_kg_h: Mapping[str, float]
    bounds_kg_h: Mapping[str, float]
    surface: str
    outline: BaseGeometry
    crs: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SearchSector:
    """Where to walk upwind of a gas hotspot to look for its source; it says nothing of what lies beyond.

    Parameters
    ----------
    hotspot, target : str
        Id and target of the hotspot that it starts from.
    geometry : shapely geometry
        In `crs`.
    crs : str
        Metric CRS.
    wind_from_deg, wind_speed_m_s : float
        Mean wind while the gas was met.
    half_angle_deg : float
        Half opening of the sector.
    reach_m : float
        How far upwind it goes.
    confidence : float
        Share of sources that such a sector holds under its stated assumptions.
    """

    hotspot: str
    target: str
    geometry: BaseGeometry
    crs: str
    wind_from_deg: float
    wind_speed_m_s: float
    half_angle_deg: float
    reach_m: float
    confidence: float
