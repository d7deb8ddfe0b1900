"""The Gaussian plume: how much gas each sensor or beam meets for a source of one kilogram per hour."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.units import GAS_CONSTANT, HOUR_S, MICRO, PA_PER_HPA

Floats = NDArray[np.float64]
Real = NDArray[Any]
Stability = Literal["A", "B", "C", "D", "E", "F"]
Terrain = Literal["rural", "urban"]

BEAM_NODES: Final = 16
"""Gauss-Legendre nodes on the part of a beam that lies in the plume."""
BEAM_REACH_SIGMAS: Final = 5.5
"""A beam is integrated where it runs within this many sigma of the axis; 4e-8 of the plume lies beyond."""
NEAREST_M: Final = 0.01
"""A source is no point: nearer than this downwind nothing is said."""
GRAMS_PER_KG: Final = 1e3


@dataclass(frozen=True, slots=True, eq=False)
class Growth:
    """How a plume widens with the distance x that it has gone: ``slope x (1 + bend x)^power + width``.

    Parameters
    ----------
    slope : float or (n,) array
        Of sigma against distance near the source; one for each receptor, or for all.
    bend_per_m, power : float
        How it levels off; 0 for a straight cone.
    width_m : float or array
        Half width of the source.
    """

    slope: float | Real
    bend_per_m: float = 0.0
    power: float = 0.0
    width_m: float | Real = 0.0

    def __call__(self, distance: Real) -> Real:
        """Return sigma in m at *distance* (m, not negative)."""
        sigma = self.slope * distance
        if self.bend_per_m and self.power:
            bent = 1.0 + self.bend_per_m * distance
            root = np.sqrt(bent) if abs(self.power) == 0.5 else bent ** abs(self.power)
            sigma = sigma * root if self.power > 0.0 else sigma / root
        return np.asarray(sigma + self.width_m)

    def scaled(self, factor: float | Real) -> Growth:
        """Return the growth with *factor* on its slope; the source keeps its width."""
        return replace(self, slope=self.slope * factor)


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Crosswind and vertical growth of a plume."""

    across: Growth
    vertical: Growth
    name: str

    def scaled(self, across: float | Real, vertical: float | Real) -> Dispersion:
        """Return the dispersion with a factor on each of its slopes."""
        return replace(self, across=self.across.scaled(across), vertical=self.vertical.scaled(vertical))


_RURAL: Final[dict[str, tuple[Growth, Growth]]] = {
    "A": (Growth(0.22, 1e-4, -0.5), Growth(0.20)),
    "B": (Growth(0.16, 1e-4, -0.5), Growth(0.12)),
    "C": (Growth(0.11, 1e-4, -0.5), Growth(0.08, 2e-4, -0.5)),
    "D": (Growth(0.08, 1e-4, -0.5), Growth(0.06, 1.5e-3, -0.5)),
    "E": (Growth(0.06, 1e-4, -0.5), Growth(0.03, 3e-4, -1.0)),
    "F": (Growth(0.04, 1e-4, -0.5), Growth(0.016, 3e-4, -1.0)),
}
_URBAN_AB: Final = (Growth(0.32, 4e-4, -0.5), Growth(0.24, 1e-3, 0.5))
_URBAN_EF: Final = (Growth(0.11, 4e-4, -0.5), Growth(0.08, 1.5e-3, -0.5))
_URBAN: Final[dict[str, tuple[Growth, Growth]]] = {
    "A": _URBAN_AB,
    "B": _URBAN_AB,
    "C": (Growth(0.22, 4e-4, -0.5), Growth(0.20)),
    "D": (Growth(0.16, 4e-4, -0.5), Growth(0.14, 3e-4, -0.5)),
    "E": _URBAN_EF,
    "F": _URBAN_EF,
}


def briggs(stability: Stability, *, terrain: Terrain = "rural") -> Dispersion:
    """Return Briggs' curves of a Pasquill stability class: averages over some ten minutes to an hour.

    Made for 100 m to 10 km; nearer, they go on as cones.

    Parameters
    ----------
    stability : {"A", "B", "C", "D", "E", "F"}
        From very unstable to stable.
    terrain : {"rural", "urban"}
        Open country or town.

    References
    ----------
    Briggs 1973, Diffusion estimation for small emissions, doi 10.2172/5118833; as printed in Boubel
    et al. 1994, Fundamentals of air pollution, 3rd ed., tables 19-6 and 19-7.

    Examples
    --------
    >>> curves = briggs("D")
    >>> round(float(curves.across(np.array(100.0))), 3), round(float(curves.vertical(np.array(100.0))), 3)
    (7.96, 5.595)
    """
    tables = {"rural": _RURAL, "urban": _URBAN}
    if terrain not in tables or stability not in tables[terrain]:
        raise ValueError(
            f'stability must be one of A to F and terrain "rural" or "urban", not {stability}, {terrain}'
        )
    across, vertical = tables[terrain][stability]
    return Dispersion(across, vertical, f"Briggs {terrain} {stability}")


def turbulent(horizontal_deg: ArrayLike, vertical_deg: ArrayLike, *, half_width_m: float = 0.0) -> Dispersion:
    """Return a plume that widens as the wind swings: ``sigma = tan(angle) x``, across plus the half width.

    The near field of Taylor's theory: gas goes straight on with the velocity it was given. Angles are the
    standard deviations of the direction, per receptor or for all.

    References
    ----------
    Taylor 1922, doi 10.1112/plms/s2-20.1.196; Draxler 1976, doi 10.1016/0004-6981(76)90226-2.
    """
    across = np.tan(np.radians(np.asarray(horizontal_deg, dtype=np.float64)))
    vertical = np.tan(np.radians(np.asarray(vertical_deg, dtype=np.float64)))
    return Dispersion(Growth(across, width_m=half_width_m), Growth(vertical), "turbulence-scaled")


def gas_density_kg_m3(*, molar_mass_g_mol: float, temperature_k: float, pressure_hpa: float) -> float:
    """Return the density of a pure ideal gas, kg/m³.

    Examples
    --------
    >>> round(gas_density_kg_m3(molar_mass_g_mol=16.0425, temperature_k=288.15, pressure_hpa=1013.25), 4)
    0.6785
    """
    if not (molar_mass_g_mol > 0.0 and temperature_k > 0.0 and pressure_hpa > 0.0):
        raise ValueError("molar mass, temperature and pressure must be > 0")
    return molar_mass_g_mol / GRAMS_PER_KG * pressure_hpa * PA_PER_HPA / (GAS_CONSTANT * temperature_k)


def ppm_per_kg_h(density_kg_m3: float) -> float:
    """Return the factor from s/m³ (kg/m³ for a kg/s) to ppm for a kg/h."""
    return 1.0 / (HOUR_S * density_kg_m3 * MICRO)


def dilution(
    ahead: Real,
    aside: Real,
    height: Real,
    *,
    source_height: Real | float,
    speed: Real,
    dispersion: Dispersion,
) -> Real:
    """Return the concentration for a unit rate, s/m³, with all gas reflected by the ground.

    ``exp(-y²/2σy²) [exp(-(z-h)²/2σz²) + exp(-(z+h)²/2σz²)] / (2π u σy σz)``; 0 upwind of the source.

    Parameters
    ----------
    ahead, aside : array
        m downwind of the source and to the side of its plume's axis; any shapes that broadcast, also below.
    height, source_height : array
        m above ground.
    speed : array
        Of the wind, m/s.
    dispersion : Dispersion
        Growth with distance.
    """
    downwind = ahead > NEAREST_M
    safe = np.where(downwind, ahead, 1.0)
    across, vertical = dispersion.across(safe), dispersion.vertical(safe)
    with np.errstate(under="ignore", over="ignore"):
        side = -0.5 * (aside / across) ** 2
        profile = np.exp(side - 0.5 * ((height - source_height) / vertical) ** 2)
        profile += np.exp(side - 0.5 * ((height + source_height) / vertical) ** 2)
        diluted = profile / (2.0 * math.pi * speed * across * vertical)
    return np.asarray(np.where(downwind, diluted, 0.0))


def point_coupling(
    source: Floats,
    receptor: Floats,
    *,
    wind_east: ArrayLike,
    wind_north: ArrayLike,
    dispersion: Dispersion,
    density_kg_m3: float,
) -> Floats:
    """Return the ppm that each receptor meets for a kg/h of each source.

    Parameters
    ----------
    source : (s, 3) float64
        x, y, height above ground, m.
    receptor : (n, 3) float64
        The same; a moving sensor is one receptor for each sample.
    wind_east, wind_north : (n,) array_like or float
        m/s toward, for each receptor its own.
    dispersion : Dispersion
        Its slopes for all receptors or one for each.
    density_kg_m3 : float
        Of the pure gas: :func:`gas_density_kg_m3`.

    Returns
    -------
    (s, n) float64
    """
    speed, east, north = _axes(wind_east, wind_north)
    dx = receptor[None, :, 0] - source[:, None, 0]
    dy = receptor[None, :, 1] - source[:, None, 1]
    diluted = dilution(
        dx * east + dy * north,
        dy * east - dx * north,
        receptor[None, :, 2],
        source_height=source[:, None, 2],
        speed=speed,
        dispersion=dispersion,
    )
    return np.asarray(diluted * ppm_per_kg_h(density_kg_m3))


def beam_coupling(
    source: Floats,
    start: Floats,
    end: Floats,
    *,
    wind_east: ArrayLike,
    wind_north: ArrayLike,
    dispersion: Dispersion,
    density_kg_m3: float,
    nodes: int = BEAM_NODES,
) -> Floats:
    """Return the path-averaged ppm of each beam for a kg/h of each source; see :func:`point_coupling`.

    Parameters
    ----------
    start, end : (n, 3) float64
        Ends of the beams, x, y, height above ground, m.
    nodes : int
        Gauss-Legendre nodes on the part of the beam that lies in the plume.

    Returns
    -------
    (s, n) float64
    """
    speed, east, north = _axes(wind_east, wind_north)
    along = end - start
    ahead, ahead_step = _component(source, start, along, east, north)
    aside, aside_step = _component(source, start, along, -north, east)
    # The vertical growth may be (n,) too: nodes go first, receptors stay last.
    share, weight = beam_nodes(
        ahead, ahead_step, aside, aside_step, slope=dispersion.across.slope, width=dispersion.across.width_m,
        nodes=nodes,
    )  # fmt: skip
    diluted = dilution(
        ahead + share * ahead_step,
        aside + share * aside_step,
        start[:, 2] + share * along[:, 2],
        source_height=source[:, None, 2],
        speed=speed,
        dispersion=dispersion,
    )
    return np.asarray(np.sum(weight * diluted, axis=0) * ppm_per_kg_h(density_kg_m3))


def beam_nodes(
    ahead: Real,
    ahead_step: Real,
    aside: Real,
    aside_step: Real,
    *,
    slope: float | Real,
    width: float | Real,
    nodes: int,
) -> tuple[Real, Real]:
    """Return where to look at beams, as shares of their length, and the weights; nodes are a new first axis.

    A beam runs from (*ahead*, *aside*) by (*ahead_step*, *aside_step*) in the plume's axes. Only the part
    with ``ahead > 0`` and ``|aside| < 5.5 (slope ahead + width)`` counts; its ends are roots of linear
    equations, so sixteen nodes do what thousands on the whole beam would (*slope* must be the steepest of
    the growth).
    """
    low, high = np.zeros_like(ahead), np.ones_like(ahead)
    reach = BEAM_REACH_SIGMAS * slope
    edge = BEAM_REACH_SIGMAS * width
    # Each limit reads value + share * step >= 0.
    for value, step in (
        (ahead, ahead_step),
        (reach * ahead + edge - aside, reach * ahead_step - aside_step),
        (reach * ahead + edge + aside, reach * ahead_step + aside_step),
    ):
        flat = step == 0.0
        root = -value / np.where(flat, 1.0, step)
        low = np.where(~flat & (step > 0.0), np.maximum(low, root), low)
        high = np.where(~flat & (step < 0.0), np.minimum(high, root), high)
        high = np.where(flat & (value < 0.0), low, high)
    span = np.maximum(high - low, 0.0)
    # Far outside low may be huge: such beams have no weight, any share does.
    low = np.clip(low, 0.0, 1.0)
    place, weight = np.polynomial.legendre.leggauss(nodes)
    shape = (nodes,) + (1,) * span.ndim
    kind = span.dtype
    return (
        low + span * (0.5 + 0.5 * place).reshape(shape).astype(kind),
        span * (0.5 * weight).reshape(shape).astype(kind),
    )


def _axes(wind_east: ArrayLike, wind_north: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the speed and the unit vector of a wind."""
    east, north = np.asarray(wind_east, dtype=np.float64), np.asarray(wind_north, dtype=np.float64)
    speed = np.hypot(east, north)
    if not np.all(speed > 0.0):
        raise ValueError("a plume needs a wind above 0 m/s at each receptor")
    return speed, east / speed, north / speed


def _component(
    source: Floats, start: Floats, along: Floats, east: Floats, north: Floats
) -> tuple[Floats, Floats]:
    """Return the part of ``start - source`` along a direction, (s, n), and of the beam, (s, n)."""
    dx = start[None, :, 0] - source[:, None, 0]
    dy = start[None, :, 1] - source[:, None, 1]
    value = dx * east + dy * north
    return value, np.broadcast_to(along[:, 0] * east + along[:, 1] * north, value.shape)
