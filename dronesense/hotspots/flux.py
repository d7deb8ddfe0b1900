"""Emission rate by mass balance: what the wind carries through a curtain or a circle that was flown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import LinearRing, LineString

from dronesense.blocks import one_blas_thread
from dronesense.errors import CoverageError
from dronesense.model import FluxEstimate
from dronesense.units import GAS_CONSTANT

Floats = NDArray[np.float64]

MAX_NODES: Final = 700
"""Samples are averaged along the path to at most this many nodes: the dense system stays small."""
FIT_NODES: Final = 160
"""Nodes from which the covariance is fitted."""
FINE_S: Final = 96
FINE_Z: Final = 32
"""Cells of the surface on which the interpolated flux is integrated."""
MIN_SAMPLES: Final = 30
MIN_LEGS: Final = 3
"""Passes at different heights below which nothing is known of the vertical."""
CLOSED_SHARE: Final = 0.9
"""A path that sees its middle from this share of all directions is a circle."""
CIRCLE_RADIUS_SPREAD: Final = 0.35
"""Relative spread of the radius up to which a closed path is taken as a circle."""
OVER_THE_TOP: Final = 0.1
"""Share of the rate that may pass over the highest pass without a remark."""
OBLIQUE_DEG: Final = 60.0
"""A wind more oblique to the curtain than this says little about what passes it."""
KG_H_PER_KG_S: Final = 3600.0
PPM: Final = 1e-6
JITTER: Final = 1e-8


@dataclass(frozen=True, slots=True)
class WindMean:
    """Mean wind with its uncertainty: m/s toward east and north, sigma of speed (m/s) and direction (deg)."""

    east: float
    north: float
    sigma_speed_m_s: float
    sigma_direction_deg: float


@dataclass(frozen=True, slots=True, eq=False)
class _Surface:
    """The flown surface: path coordinate of every sample, outward or downwind normal, length, trace."""

    s: Floats
    normal: Floats
    length: float
    closed: bool
    outline: Any


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """What was measured on a curtain or circle around a source.

    Parameters
    ----------
    x, y, z : (m,) float64
        Places in `crs` and heights, m.
    enhancement_ppm : (m,) float64
        Mole fraction over the background.
    species : str
        Gas.
    molar_mass_g_mol : float
        Of the gas.
    temperature_k, pressure_hpa : float or (m,) float64
        Of the air at the samples.
    crs : str
        Metric CRS of x and y.
    wind_samples : (east, north), optional
        Wind toward, at each sample, m/s; default: the mean wind.
    sigma_background_ppm : float
        Standard uncertainty of the background, common to all samples.
    sigma_noise_ppm : float
        Noise of one sample.
    relative_calibration : float
        Relative standard uncertainty of the span.
    ground_m : float, optional
        Height of the ground on the same zero as z; without it nothing is said below the lowest pass.
    """

    x: Floats
    y: Floats
    z: Floats
    enhancement_ppm: Floats
    species: str
    molar_mass_g_mol: float
    temperature_k: Floats | float
    pressure_hpa: Floats | float
    crs: str
    wind_samples: tuple[Floats, Floats] | None = None
    sigma_background_ppm: float = 0.0
    sigma_noise_ppm: float = 0.0
    relative_calibration: float = 0.0
    ground_m: float | None = None

    def per_ppm(self, normal: Floats, wind: WindMean) -> Floats:
        """Return the flux density that 1 ppm carries through the surface, (m,) kg/(h m²)."""
        density = self.molar_mass_g_mol * 1e-3 * np.asarray(self.pressure_hpa) * 100.0
        density = density / (GAS_CONSTANT * np.asarray(self.temperature_k))
        east, north = (wind.east, wind.north) if self.wind_samples is None else self.wind_samples
        return np.asarray(PPM * density * (east * normal[:, 0] + north * normal[:, 1]) * KG_H_PER_KG_S)


@one_blas_thread()
def mass_balance(crossing: Crossing, wind: WindMean) -> FluxEstimate:
    """Return the rate that passed the flown surface, with its error budget.

    The flux density ``q = (c - background) M P / (R T) u_n`` at the samples is interpolated over the surface
    by ordinary kriging (covariance fitted by maximum likelihood, its own range along and up) and integrated;
    the variance of the *integral* counts how the errors of neighboring places hang together.

    Returns
    -------
    FluxEstimate
        `rate_kg_h` is the sampled part, plus half of what may lie between it and the ground.

    Raises
    ------
    CoverageError
        If there are too few samples or heights, or hardly any wind passes the surface.

    References
    ----------
    Cressie 1993, Statistics for spatial data, 3.2 and 5.2 (block kriging), doi 10.1002/9781119115151.
    """
    z, ground_m = crossing.z, crossing.ground_m
    surface = _surface(crossing.x, crossing.y, wind)
    warnings = _check(surface, crossing.x, z, wind)
    per_ppm = crossing.per_ppm(surface.normal, wind)
    nodes = _averaged(surface, z, np.column_stack([crossing.enhancement_ppm * per_ppm, np.abs(per_ppm)]))
    noise = (crossing.sigma_noise_ppm * nodes.values[:, 1]) ** 2 / nodes.count
    field = _Field(nodes.s, nodes.z, nodes.values[:, 0], noise, surface)
    bottom, top = float(z.min()), float(z.max())
    sampled, variance = field.integral(bottom, top)
    signed = _Field(nodes.s, nodes.z, nodes.values[:, 1], noise * 0.0, surface, like=field)
    carried, _ = signed.integral(bottom, top)
    below = {} if ground_m is None else _below(field, bottom, bottom - ground_m)
    rate = sampled + (0.5 * max(below.values(), key=abs) if below else 0.0)
    speed, across = math.hypot(wind.east, wind.north), _obliqueness(surface, wind)
    budget = {
        "wind": abs(rate) * wind.sigma_speed_m_s / speed,
        "direction": abs(rate) * math.tan(across) * math.radians(wind.sigma_direction_deg),
        "background": 0.0 if surface.closed else carried * crossing.sigma_background_ppm,
        "interpolation": math.sqrt(variance),
        "calibration": abs(rate) * crossing.relative_calibration,
        "unsampled": abs(max(below.values(), key=abs)) / math.sqrt(12.0) if below else 0.0,
    }
    bounds = {name: sampled + extra for name, extra in below.items()} or {"sampled": sampled}
    bounds["constant_above"] = rate + field.edge(top) * _spacing(nodes.z)
    return FluxEstimate(
        species=crossing.species,
        rate_kg_h=rate,
        sigma_kg_h=math.sqrt(sum(part**2 for part in budget.values())),
        budget_kg_h=budget,
        bounds_kg_h=bounds,
        surface="circle" if surface.closed else "curtain",
        outline=surface.outline,
        crs=crossing.crs,
        parameters={
            "wind_speed_m_s": speed,
            "obliqueness_deg": math.degrees(across),
            "length_m": surface.length,
            "heights_m": [bottom, top],
            "nodes": int(nodes.s.size),
            **field.parameters,
        },
        warnings=(*warnings, *_limits(rate, bounds, ground_m)),
    )


def _limits(rate: float, bounds: dict[str, float], ground_m: float | None) -> list[str]:
    """Say what passed where nobody flew."""
    limits = []
    if abs(bounds["constant_above"] - rate) > OVER_THE_TOP * abs(rate):
        limits.append("the highest pass still met gas: an unknown part went over it")
    if ground_m is None:
        limits.append("the height of the ground is not known: what passed below the lowest pass is left out")
    return limits


def _surface(x: Floats, y: Floats, wind: WindMean) -> _Surface:
    """Return the path coordinate and the normals: of a straight curtain, or of a circle around its middle."""
    middle = np.array([0.5 * (x.min() + x.max()), 0.5 * (y.min() + y.max())])
    east, north = x - middle[0], y - middle[1]
    radius, angle = np.hypot(east, north), np.arctan2(north, east)
    seen = np.count_nonzero(np.bincount(((angle + math.pi) / (2.0 * math.pi) * 36.0).astype(int) % 36))
    if seen >= CLOSED_SHARE * 36 and radius.std() < CIRCLE_RADIUS_SPREAD * radius.mean():
        mean = float(radius.mean())
        turn = np.linspace(0.0, 2.0 * math.pi, 72, endpoint=False)
        ring = LinearRing(np.column_stack([middle[0] + mean * np.cos(turn), middle[1] + mean * np.sin(turn)]))
        outward = np.column_stack([np.cos(angle), np.sin(angle)])
        return _Surface(mean * (angle + math.pi), outward, 2.0 * math.pi * mean, True, ring)
    places = np.column_stack([x - x.mean(), y - y.mean()])
    along = np.linalg.svd(places, full_matrices=False)[2][0]
    s = places @ along
    ends = [np.array([x.mean(), y.mean()]) + edge * along for edge in (s.min(), s.max())]
    across = np.array([along[1], -along[0]])
    downwind = across if across @ np.array([wind.east, wind.north]) >= 0.0 else -across
    normal = np.tile(downwind, (x.size, 1))
    return _Surface(s - s.min(), normal, float(np.ptp(s)), False, LineString(ends))


def _obliqueness(surface: _Surface, wind: WindMean) -> float:
    """Return the angle between the wind and the normal of a curtain, rad; 0 for a circle."""
    if surface.closed:
        return 0.0
    speed = math.hypot(wind.east, wind.north)
    through = wind.east * surface.normal[0, 0] + wind.north * surface.normal[0, 1]
    return math.acos(min(abs(through) / speed, 1.0)) if speed else math.pi / 2.0


def _check(surface: _Surface, x: Floats, z: Floats, wind: WindMean) -> list[str]:
    speed = math.hypot(wind.east, wind.north)
    if x.size < MIN_SAMPLES:
        raise CoverageError(f"{x.size} samples are too few for a mass balance")
    if not speed > 0.0:
        raise CoverageError(
            "without wind nothing is carried through a curtain", fix="state the wind in [wind]"
        )
    oblique = math.degrees(_obliqueness(surface, wind))
    if oblique > OBLIQUE_DEG:
        raise CoverageError(
            f"the wind meets the curtain at {oblique:.0f} degrees from its normal: hardly anything passes it",
            fix="fly across the wind",
        )
    legs = np.unique(np.round(z / max(_spacing(z), 1e-9))).size
    warnings = [] if legs >= MIN_LEGS else [f"only {legs} height(s): nothing is known of the vertical"]
    if surface.length > 0.0 and not np.ptp(z) > 0.0:
        raise CoverageError("all samples lie at one height: a curtain needs passes at several heights")
    return warnings


def _spacing(z: Floats) -> float:
    """Return the usual step between passes of different heights, m."""
    levels = np.sort(z)
    return float(np.ptp(levels) / max(1.0, math.sqrt(min(MAX_NODES, levels.size))))


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    s: Floats
    z: Floats
    values: Floats
    count: Floats


def _averaged(surface: _Surface, z: Floats, values: Floats) -> _Nodes:
    """Average runs of samples that follow each other."""
    run = max(1, -(-z.size // MAX_NODES))
    member = np.arange(z.size) // run
    if surface.closed:  # never across the seam of the circle
        member = member + np.cumsum(np.abs(np.diff(surface.s, prepend=surface.s[0])) > surface.length / 2.0)
    _, member, count = np.unique(member, return_inverse=True, return_counts=True)

    def mean(column: Floats) -> Floats:
        return np.asarray(np.bincount(member, column) / count)

    columns = np.column_stack([mean(column) for column in values.T])
    return _Nodes(mean(surface.s), mean(z), columns, count.astype(np.float64))


class _Field:
    """Flux density over the surface by ordinary kriging with an exponential covariance, its range apart."""

    def __init__(
        self,
        s: Floats,
        z: Floats,
        value: Floats,
        noise: Floats,
        surface: _Surface,
        like: _Field | None = None,
    ) -> None:
        from scipy.linalg import cho_factor, cho_solve

        self._s, self._z, self._surface = s, z, surface
        self._theta: tuple[float, float, float, float]
        self._theta = self._fit(value, noise) if like is None else like._theta
        sill, _, _, nugget = self._theta
        system = self._covariance(s, z) + np.diag(noise + nugget * sill + JITTER * sill)
        self._factor: Any = cho_factor(system, lower=True)
        one = np.ones(s.size)
        self._ones = cho_solve(self._factor, one)
        self._mean = float(self._ones @ value) / float(self._ones @ one)
        self._residual = cho_solve(self._factor, value - self._mean)

    @property
    def parameters(self) -> dict[str, float]:
        """What was fitted."""
        sill, range_s, range_z, nugget = self._theta
        return {"sill": sill, "range_along_m": range_s, "range_up_m": range_z, "nugget_share": nugget}

    def integral(self, bottom: float, top: float) -> tuple[float, float]:
        """Return the integral between two heights and its variance."""
        from scipy.linalg import cho_solve

        cell_s, cell_z = self._surface.length / FINE_S, (top - bottom) / FINE_Z
        to_s, to_z = np.meshgrid(
            (np.arange(FINE_S) + 0.5) * cell_s, bottom + (np.arange(FINE_Z) + 0.5) * cell_z
        )
        area = self._surface.length * (top - bottom)
        share = self._between(to_s.ravel(), to_z.ravel()).mean(axis=1)
        block = self._block_variance(to_s[0], to_z[:, 0])
        solved = cho_solve(self._factor, share)
        mean = self._mean + float(share @ self._residual)
        slack = 1.0 - float(self._ones @ share)
        variance = block - float(share @ solved) + slack**2 / float(self._ones.sum())
        return area * mean, area**2 * max(variance, 0.0)

    def edge(self, height: float) -> float:
        """Return the integral along the path at one height, per meter of height."""
        to_s = (np.arange(FINE_S) + 0.5) * self._surface.length / FINE_S
        share = self._between(to_s, np.full(FINE_S, height)).mean(axis=1)
        return self._surface.length * (self._mean + float(share @ self._residual))

    def _fit(self, value: Floats, noise: Floats) -> tuple[float, float, float, float]:
        """Return sill, ranges along and up, and nugget share of largest likelihood (Rasmussen 2006, 5.4)."""
        from scipy.linalg import solve_triangular
        from scipy.optimize import minimize

        variance = float(np.var(value)) or 1.0
        length, height = self._surface.length, float(np.ptp(self._z))

        def cost(parameters: Floats) -> float:
            sill, range_s, range_z, nugget = self._unpack(parameters, variance, length, height)
            self._theta = (sill, range_s, range_z, nugget)
            system = self._covariance(self._s, self._z)
            system[np.diag_indices_from(system)] += noise + nugget * sill + JITTER * sill
            try:
                factor = np.linalg.cholesky(system)
            except np.linalg.LinAlgError:
                return 1e12
            whitened = solve_triangular(
                factor, np.column_stack([value, np.ones_like(value)]), lower=True, check_finite=False
            )
            mean = float(whitened[:, 1] @ whitened[:, 0]) / float(whitened[:, 1] @ whitened[:, 1])
            left = whitened[:, 0] - mean * whitened[:, 1]
            return 0.5 * float(left @ left) + float(np.log(np.diag(factor)).sum())

        thin = slice(
            None, None, max(1, self._s.size // FIT_NODES)
        )  # parameters need fewer nodes than the estimate
        kept = self._s, self._z
        noise, value = noise[thin], value[thin]
        self._s, self._z = self._s[thin], self._z[thin]
        found = minimize(
            cost, np.array([0.0, math.log(0.1), math.log(0.3), -3.0]), method="Nelder-Mead",
            options={"maxiter": 120, "xatol": 0.02, "fatol": 0.05},
        )  # fmt: skip
        self._s, self._z = kept
        return self._unpack(found.x, variance, length, height)

    @staticmethod
    def _unpack(
        parameters: Floats, variance: float, length: float, height: float
    ) -> tuple[float, float, float, float]:
        sill, along, up, nugget = np.clip(parameters, -9.0, 4.0)
        return (
            variance * math.exp(sill),
            length * math.exp(along),
            height * math.exp(up),
            1.0 / (1.0 + math.exp(-nugget)),
        )

    def _distance(self, ds: Floats, dz: Floats) -> Floats:
        if self._surface.closed:
            ds = np.minimum(np.abs(ds), self._surface.length - np.abs(ds))
        _, range_s, range_z, _ = self._theta
        return np.asarray(np.sqrt((3.0 * ds / range_s) ** 2 + (3.0 * dz / range_z) ** 2))

    def _covariance(self, s: Floats, z: Floats) -> Floats:
        sill = self._theta[0]
        return np.asarray(sill * np.exp(-self._distance(s[:, None] - s, z[:, None] - z)))

    def _between(self, to_s: Floats, to_z: Floats) -> Floats:
        apart = self._distance(self._s[:, None] - to_s, self._z[:, None] - to_z)
        return np.asarray(self._theta[0] * np.exp(-apart))

    def _block_variance(self, to_s: Floats, to_z: Floats) -> float:
        """Return the mean covariance of two places of the surface: by their distances, not by all pairs."""
        ds, dz = to_s - to_s[0], to_z - to_z[0]
        weight_s = np.where(ds > 0.0, 2.0, 1.0) * np.arange(to_s.size, 0, -1) / to_s.size**2
        weight_z = np.where(dz > 0.0, 2.0, 1.0) * np.arange(to_z.size, 0, -1) / to_z.size**2
        covariance = self._theta[0] * np.exp(-self._distance(ds[None, :], dz[:, None]))
        return float(weight_z @ covariance @ weight_s)


def _below(field: _Field, bottom: float, depth: float) -> dict[str, float]:
    """Return what may have passed below the lowest pass under three assumptions, kg/h."""
    if depth <= 0.0:
        return {}
    edge = field.edge(bottom)
    return {"zero_below": 0.0, "linear_below": 0.5 * edge * depth, "constant_below": edge * depth}
