"""Where gas comes from and how much of it: a Gaussian plume turned around, with the errors of winds."""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CoverageError
from dronesense.hotspots import gas_readings, plume, plume_likelihood, tempering
from dronesense.hotspots.credible import highest_density_regions
from dronesense.hotspots.gas_readings import GasReadings, Paths
from dronesense.hotspots.plume_prior import FACTORS, Prior, Sources, Spread
from dronesense.model import SourceEstimate, Wind

__all__ = ["GasReadings", "estimate_source"]

Floats = NDArray[np.float64]

WITHIN_PASS: Final = 0.7
"""Of the width of a long average, what is met within one pass; the swing makes the rest: 0.7² + 0.7² = 1."""
SCALE_SIGMA: Final = 0.4
"""Curves of a class and angles of turbulence are good to a factor 1.5."""
UNKNOWN_SCALE_SIGMA: Final = 0.7
"""Without class and turbulence: class D, with A and F at 1.5 to 2 standard deviations."""
SURFACE_RISE: Final = 0.7
"""Growth of a plume's depth against the elevation angle of the wind: 1 aloft, 0.5 at the ground."""
LIFT_OF_SWAY: Final = 0.6
"""Vertical against sideways turbulence near the ground."""
SWING_SIGMA: Final = 0.5
MEMORY: Final = Spread(30.0, 0.5)
"""s for which gas is released in one direction: of the order of the large eddies."""
SIZE: Final = Spread(0.3, 0.7)
"""m; what releases gas, with the air that it disturbs."""
STRENGTH: Final = Spread(0.3, 0.4)
"""Passes differ by 30 % from the mean plume; how much they do in a flight is found from it."""
FLOOR_SIGMA: Final = 1.0
"""The floor of averages is of the size of the noise of a reading, within a factor of 2.7."""
BEND_SIGMAS: Final = 2.0
"""Averages below this many times the noise of a reading are compared by differences, above by ratios."""
AVERAGE_SWING: Final = 0.3
"""Of the swing, what is left in the direction of a mean over a minute whose own wind is known."""
SITE_TURN_DEG: Final = 5.0
"""Of a wind direction, on top of its own sigma: its north mark, and its turning between the heights."""
SITE_SPEED: Final = 0.1
"""Relative, of the speed that carries the plume against the one that was measured at another height."""
RATE_PRIOR_KG_H: Final = (1e-3, 1e4)
MIN_REACH_M: Final = 100.0
MAX_REACH_M: Final = 1000.0
PARTICLES: Final = 400
WEAK_WIND_M_S: Final = 1.0
BORDER: Final = 0.02
"""Of the area's side: draws nearer than this to its border count as at the border."""
BORDER_WARN: Final = 0.05
BORDER_REFUSE: Final = 0.5
"""Shares of the draws at the border that are worth a warning, and that make a place meaningless."""
ONE_SIDED: Final = 0.9
"""Share of the signal on one side of the plume's axis that is worth a warning."""


def estimate_source(
    readings: GasReadings,
    wind: Wind,
    *,
    species: str,
    molar_mass_g_mol: float,
    temperature_k: float,
    pressure_hpa: float,
    rng: np.random.Generator,
    stability: plume.Stability | Literal["auto"] = "auto",
    terrain: plume.Terrain = "rural",
    turbulence_deg: tuple[ArrayLike, ArrayLike] | None = None,
    source_height_m: float | tuple[float, float] = (0.0, 2.0),
    area: tuple[float, float, float, float] | None = None,
    rate_prior_kg_h: tuple[float, float] = RATE_PRIOR_KG_H,
    particles: int = PARTICLES,
) -> SourceEstimate:
    """Return the posterior of place and rate of one steady source; an indication, never proof.

    Of each line of a moving sensor only the mean and the place of the crossing are used, of fixed sensors and
    beams means over a minute or longer; swing, strength, growth and height of the plume are uncertain and
    integrated out: see ``docs/methods/source.md``.

    Parameters
    ----------
    readings : GasReadings
        At least some of them downwind of the source.
    wind : Wind
        A series, or one row for all; counted from grid north of the readings' CRS.
    species : str
        Gas.
    molar_mass_g_mol, temperature_k, pressure_hpa : float
        Of the gas, and of the air.
    rng : numpy.random.Generator
        Randomness.
    stability : {"auto", "A", ..., "F"}
        Pasquill class. ``"auto"``: *turbulence_deg* where given, else the wind's own swing, else class D
        with wide priors.
    terrain : {"rural", "urban"}
        For Briggs' curves of the class.
    turbulence_deg : (horizontal, vertical), optional
        Standard deviations of direction and elevation of the wind within a minute, of each reading or all.
    source_height_m : float or (low, high)
        Above ground; a range is a uniform prior.
    area : (west, south, east, north), optional
        Where the source may lie. Default: around the readings by their own extent, 100 m to 1 km.
    rate_prior_kg_h : (low, high)
        The logarithm of the rate is uniform between them.
    particles : int
        Even; more are more accurate and slower.

    Raises
    ------
    CoverageError
        If too few readings are usable, the wind is calm or unknown, or most of the posterior lies at the
        border of the default area.

    """
    kept = gas_readings.reduced(readings, wind, turbulence_rad=_in_radians(turbulence_deg, len(readings)))
    density = plume.gas_density_kg_m3(
        molar_mass_g_mol=molar_mass_g_mol, temperature_k=temperature_k, pressure_hpa=pressure_hpa
    )
    ppm = plume.ppm_per_kg_h(density)
    known, scale, basis = _growth(readings, wind, kept, stability=stability, terrain=terrain, ppm=ppm)
    sigma_turn, sigma_speed = _wind_sigma(wind)
    prior = _prior(readings, kept, scale, sigma_turn, height=source_height_m, area=area, rate=rate_prior_kg_h)
    draws = tempering.sample(
        prior.draw(particles, rng),
        log_likelihood=lambda theta: plume_likelihood.log_likelihood(known, prior.sources(theta)),
        log_prior=prior.log_density,
        rng=rng,
    )
    sources = prior.sources(draws.theta)
    # A rate and a wind speed only ever appear as their ratio: the speed's error is added to the draws.
    error = math.hypot(sigma_speed, SITE_SPEED)
    rate = sources.rate_kg_h * np.exp(error * rng.standard_normal(sources.rate_kg_h.size))
    warnings = _warnings(sources, rate, prior, kept, area_stated=area is not None)
    return _estimate(
        sources, rate, prior, draws, kept, species=species, crs=readings.crs, basis=basis, warnings=warnings
    )


def _in_radians(turbulence_deg: tuple[ArrayLike, ArrayLike] | None, n: int) -> tuple[Floats, Floats] | None:
    if turbulence_deg is None:
        return None
    horizontal, vertical = (
        np.radians(np.broadcast_to(np.asarray(angle, dtype=np.float64), n)) for angle in turbulence_deg
    )
    return horizontal, vertical


def _prior(
    readings: GasReadings,
    kept: gas_readings.Reduced,
    scale: float,
    sigma_turn: float,
    *,
    height: float | tuple[float, float],
    area: tuple[float, float, float, float] | None,
    rate: tuple[float, float],
) -> Prior:
    """Return the priors; what each rests on is said in docs/methods/source.md."""
    low, high = height if isinstance(height, tuple) else (height, height)
    if not 0.0 <= low <= high or not 0.0 < rate[0] < rate[1]:
        raise ValueError("source_height_m must be 0 <= low <= high, rate_prior_kg_h 0 < low < high")
    return Prior(
        area=_around(kept) if area is None else area,
        rate_kg_h=rate,
        height_m=(low, high),
        turn_rad=math.hypot(sigma_turn, math.radians(SITE_TURN_DEG)),
        across=Spread(1.0, scale),
        vertical=Spread(1.0, scale),
        swing=Spread(1.0, math.hypot(SWING_SIGMA, scale - SCALE_SIGMA)),
        memory_s=MEMORY,
        size_m=SIZE,
        strength=STRENGTH,
        floor_ppm=Spread(float(np.nanmedian(readings.sigma_ppm)), FLOOR_SIGMA),
    )


def _growth(
    readings: GasReadings,
    wind: Wind,
    kept: gas_readings.Reduced,
    *,
    stability: plume.Stability | Literal["auto"],
    terrain: plume.Terrain,
    ppm: float,
) -> tuple[plume_likelihood.Readings, float, str]:
    """Return the readings with the growth of their plumes, the error of the scales, and the basis."""
    sway = gas_readings.wind_swing_rad(wind, int(readings.time.min()), int(readings.time.max()))
    told = kept.averages.sway
    own = stability == "auto" and bool(len(told)) and float(np.isfinite(told).mean()) > 0.5
    scale = SCALE_SIGMA
    if stability != "auto":
        curves = plume.briggs(stability, terrain=terrain)
        basis = curves.name
    elif math.isfinite(sway) or own:
        usual = sway if math.isfinite(sway) else float(np.nanmedian(told))
        curves = plume.turbulent(math.degrees(usual), math.degrees(LIFT_OF_SWAY * SURFACE_RISE * usual))
        basis = "swing of the wind"
    else:
        curves = plume.briggs("D", terrain=terrain)
        scale, basis = UNKNOWN_SCALE_SIGMA, f"{curves.name}, stability unknown"
    averaged, sway_of_average = curves, np.full(len(told), math.atan(float(np.max(curves.across.slope))))
    if own:
        # One average says little of its own turbulence.
        sway_of_average = np.full(len(told), np.nanmedian(told))
        lift = LIFT_OF_SWAY * sway_of_average
        if np.isfinite(kept.averages.lift).any():
            lift = np.full(len(told), np.nanmedian(kept.averages.lift))
        averaged = plume.turbulent(np.degrees(sway_of_average), np.degrees(SURFACE_RISE * lift))
        basis = "turbulence of each average"
    known = plume_likelihood.Readings(
        kept.passes,
        kept.averages,
        curves.scaled(WITHIN_PASS, 1.0),
        averaged,
        WITHIN_PASS * math.atan(float(np.max(curves.across.slope))),
        AVERAGE_SWING * sway_of_average,
        BEND_SIGMAS * float(np.nanmedian(readings.sigma_ppm)),
        ppm,
    )
    return known, scale, basis


def _wind_sigma(wind: Wind) -> tuple[float, float]:
    """Return the standard uncertainty of the direction, rad, and of the speed, relative, of the mean wind."""
    mean = np.array([float(np.nanmean(wind.east)), float(np.nanmean(wind.north))])
    speed = max(float(np.hypot(*mean)), gas_readings.CALM_M_S)
    along = mean / speed
    across = np.array([-along[1], along[0]])
    shared = 0.0 if wind.cov_east_north is None else float(np.nanmean(wind.cov_east_north))
    variance = [float(np.nanmean(sigma**2)) for sigma in (wind.sigma_east, wind.sigma_north)]
    cov = np.array([[variance[0], shared], [shared, variance[1]]])
    return (
        math.atan(math.sqrt(max(float(across @ cov @ across), 0.0)) / speed),
        math.sqrt(max(float(along @ cov @ along), 0.0)) / speed,
    )


def _ends(paths: Paths) -> Floats:
    return np.concatenate([paths.start[:, :2], (paths.start + paths.step)[:, :2]])


def _around(kept: gas_readings.Reduced) -> tuple[float, float, float, float]:
    """Return the default search area."""
    places = np.concatenate([_ends(kept.passes), _ends(kept.averages)])
    low, high = places.min(axis=0), places.max(axis=0)
    reach = float(np.clip(np.hypot(*(high - low)), MIN_REACH_M, MAX_REACH_M))
    return float(low[0]) - reach, float(low[1]) - reach, float(high[0]) + reach, float(high[1]) + reach


def _warnings(
    sources: Sources, rate: Floats, prior: Prior, kept: gas_readings.Reduced, *, area_stated: bool
) -> tuple[str, ...]:
    """Return what speaks against the estimate.

    Raises
    ------
    CoverageError
        If most of it lies at the border of a search area that nobody stated.
    """
    west, south, east, north = prior.area
    near_x, near_y = BORDER * (east - west), BORDER * (north - south)
    at_border = (sources.x < west + near_x) | (sources.x > east - near_x)
    at_border |= (sources.y < south + near_y) | (sources.y > north - near_y)
    share = float(at_border.mean())
    if share > BORDER_REFUSE and not area_stated:
        raise CoverageError(
            f"{share:.0%} of the possible places lie at the border of the search area",
            fix="the source lies elsewhere: fly farther upwind, or give a larger area",
        )
    warnings = []
    if share > BORDER_WARN:
        warnings.append(f"{share:.0%} of the possible places lie at the border of the search area")
    if kept.left_out:
        warnings.append(f"{kept.left_out} passes or averages left out: their wind is calm or unknown")
    speed = float(np.median(np.concatenate([kept.passes.speed, kept.averages.speed])))
    if speed < WEAK_WIND_M_S:
        warnings.append(f"wind of {speed:.1f} m/s only: plumes meander, place and rate are weak")
    low, high = prior.rate_kg_h
    if float(np.quantile(rate, 0.05)) < 3.0 * low:
        warnings.append("the readings go with no source too: the rate is an upper limit")
    if float(np.quantile(rate, 0.95)) > high / 3.0:
        warnings.append("the rate reaches the upper end of its prior")
    crossed = kept.passes[kept.passes.crossed]
    if len(crossed):
        # A plume that is met at the end of a line only may lie mostly beyond it.
        length = np.hypot(crossed.step[:, 0], crossed.step[:, 1])
        at = np.hypot(*(crossed.center - crossed.start[:, :2]).T) / length
        edge = float(((at < 1.0 - ONE_SIDED) | (at > ONE_SIDED)).mean())
        if edge > 0.5:
            warnings.append("the gas was met at the ends of the lines: the plume may lie beyond them")
    elif len(kept.passes):
        warnings.append("no line across the wind met the plume clearly")
    return tuple(warnings)


def _estimate(
    sources: Sources,
    rate: Floats,
    prior: Prior,
    draws: tempering.Draws,
    kept: gas_readings.Reduced,
    *,
    species: str,
    crs: str,
    basis: str,
    warnings: tuple[str, ...],
) -> SourceEstimate:
    region_50, region_90 = highest_density_regions(sources.x, sources.y, (0.5, 0.9))
    level = np.quantile(rate, [0.05, 0.25, 0.5, 0.75, 0.95])
    nuisance = {
        name: [float(f"{value:.4g}") for value in np.quantile(getattr(sources, name), [0.05, 0.5, 0.95])]
        for name in ("height", "turn_rad", *FACTORS)
    }
    return SourceEstimate(
        species=species,
        x=float(sources.x.mean()),
        y=float(sources.y.mean()),
        cov=np.cov(sources.x, sources.y),
        crs=crs,
        region_50=region_50,
        region_90=region_90,
        rate_kg_h=float(level[2]),
        rate_50_kg_h=(float(level[1]), float(level[3])),
        rate_90_kg_h=(float(level[0]), float(level[4])),
        height_m=float(np.median(sources.height)),
        method=f"gaussian-plume, {basis}",
        parameters={
            "passes": len(kept.passes),
            "passes_crossed": int(kept.passes.crossed.sum()),
            "averages": len(kept.averages),
            "area": list(prior.area),
            "rate_prior_kg_h": list(prior.rate_kg_h),
            "height_prior_m": list(prior.height_m),
            "turn_sigma_deg": math.degrees(prior.turn_rad),
            "posterior_05_50_95": nuisance,
            "log_evidence": draws.log_evidence,
            "acceptance": draws.acceptance,
            "temperatures": draws.steps,
        },
        warnings=warnings,
    )
