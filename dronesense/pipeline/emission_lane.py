"""Sources and emission rates: what the manifest's ``[[emission]]`` rules ask of the gas that was found."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate import wind as winds
from dronesense.calibrate.wind import MeanWind
from dronesense.errors import CoverageError
from dronesense.geotag.heights import surface_heights
from dronesense.hotspots.flux import Crossing, WindMean, mass_balance
from dronesense.hotspots.gas_readings import GasReadings
from dronesense.hotspots.legs import flight_lines
from dronesense.hotspots.source import estimate_source
from dronesense.model import EmissionRule, Flight, FluxEstimate, GasTrace, SourceEstimate, Wind
from dronesense.pipeline.account import Account
from dronesense.pipeline.map_lane import UNUSABLE
from dronesense.pipeline.site import Site, wind_on_grid
from dronesense.timescale import NS_PER_S

AIR_K: Final = 288.15
AIR_HPA: Final = 1013.25
"""Of the standard atmosphere, where the analyser's file has no temperature and pressure."""
LOWEST_PERCENT: Final = 2.0
LOWEST_SIGMAS: Final = 2.05
"""2 % of normal readings lie so many standard deviations low."""
LOWEST_WINDOW_S: Final = 300.0
"""As the window of the search's background."""
MAD_SIGMA: Final = 1.4826
"""Standard deviation over the median absolute value of a normal variable."""
SIGMA_BACKGROUND_SHARE: Final = 0.5
"""Standard uncertainty of the background over a curtain, as a share of the noise of one reading: what a
background that follows the series may hide over a whole leg."""

SEED: Final = 0
"""Of the random draws of an inversion: the same flight gives the same estimate."""
SOURCE_HEIGHT_M: Final = (0.0, 2.0)
"""Where a source may lie above ground when nobody says it."""

Floats = NDArray[np.float64]


@dataclass
class EmissionFinds:
    """What was inferred."""

    sources: list[SourceEstimate] = field(default_factory=list)
    fluxes: list[FluxEstimate] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """The usable samples of a series, with the air they were taken in."""

    time: NDArray[np.int64]
    x: Floats
    y: Floats
    z: Floats
    ground: Floats
    enhancement: Floats
    sigma: Floats
    temperature_k: float
    pressure_hpa: float


def follow_emissions(
    flight: Flight, traces: tuple[GasTrace, ...], *, site: Site, account: Account
) -> EmissionFinds:
    """Answer every rule of the flight; one that cannot be answered is rejected with its reason."""
    finds = EmissionFinds()
    for rule in flight.emissions:
        with account.rejecting(f"[[emission]] {rule.species}, {rule.method}"):
            wind = flight.wind
            if wind is None:
                raise CoverageError("no wind is known", fix="state it in [wind]")
            trace = _trace_of(rule, traces)
            samples = _samples(rule, trace, site, account)
            wind = wind_on_grid(wind, samples.x, samples.y, trace.points.crs)
            if rule.method == "plume":
                source = _source(rule, trace, samples, wind)
                finds.sources.append(source)
                account.source(source)
            else:
                flux = _flux(rule, trace, samples, wind)
                finds.fluxes.append(flux)
                account.flux(flux)
    return finds


def _trace_of(rule: EmissionRule, traces: tuple[GasTrace, ...]) -> GasTrace:
    for trace in traces:
        known = trace.background is not None or math.isfinite(rule.background_ppm)
        if trace.series.species == rule.species and known:
            if trace.series.quantity != "mole_fraction":
                raise CoverageError(f"{rule.species} is a {trace.series.quantity}, not a mole fraction")
            return trace
    raise CoverageError(
        f"no series of {rule.species} with a background",
        fix=f'add a [[detect]] rule with species = "{rule.species}", or state background_ppm',
    )


def _samples(rule: EmissionRule, trace: GasTrace, site: Site, account: Account) -> _Samples:
    series, points = trace.series, trace.points
    if math.isfinite(rule.background_ppm) or trace.background is None:
        value = series.value - rule.background_ppm
    else:
        value = series.value - trace.background
    usable = np.isfinite(value) & ((series.flags & int(UNUSABLE)) == 0) & (points.status == 0)
    usable &= np.isfinite(points.height_m)
    if not usable.any():
        raise CoverageError(f"no sample of {series.species} has a place and a height")
    x, y = points.x[usable], points.y[usable]
    air = []
    for values, default, what in (
        (series.ambient.temperature_k, AIR_K, "temperature"),
        (series.ambient.pressure_hpa, AIR_HPA, "pressure"),
    ):
        known = np.array([]) if values is None else values[usable][np.isfinite(values[usable])]
        air.append(float(known.mean()) if known.size else default)
        if not known.size:
            account.warnings.append(
                f"{series.source}: the file has no {what} of the air: {default:g} is taken for emission rates"
            )
    return _Samples(
        series.time[usable],
        x,
        y,
        points.height_m[usable],
        surface_heights(site.terrain, x, y, site.crs),
        value[usable],
        series.sigma[usable],
        *air,
    )


def _mean(wind: Wind, samples: _Samples) -> MeanWind:
    return winds.mean(wind, int(samples.time[0]), int(samples.time[-1]))


def _flux(rule: EmissionRule, trace: GasTrace, samples: _Samples, wind: Wind) -> FluxEstimate:
    mean = _mean(wind, samples)
    noise = float(np.median(samples.sigma))
    ground = samples.ground[np.isfinite(samples.ground)]
    crossing = Crossing(
        samples.x,
        samples.y,
        samples.z,
        samples.enhancement,
        rule.species,
        rule.molar_mass_g_mol,
        samples.temperature_k,
        samples.pressure_hpa,
        trace.points.crs,
        wind_samples=None if wind.is_constant else winds.at(wind, samples.time),
        sigma_background_ppm=_background_sigma(rule, trace, noise),
        sigma_noise_ppm=noise,
        ground_m=float(np.median(ground)) if ground.size else None,
    )
    return mass_balance(crossing, WindMean(mean.east, mean.north, mean.sigma_speed_m_s, mean.sigma_from_deg))


def _background_sigma(rule: EmissionRule, trace: GasTrace, noise: float) -> float:
    """Return the standard uncertainty of the background under a whole curtain, ppm.

    A background that follows the series may lie within plumes that follow each other without a pause. How
    far it lies above the lowest readings around, more than their noise explains, is what it may hide.
    """
    from scipy.ndimage import percentile_filter

    if math.isfinite(rule.background_ppm) or trace.background is None:
        return rule.sigma_background_ppm
    valid = trace.series.valid
    value, background = trace.series.value[valid], trace.background[valid]
    step_s = float(np.median(np.diff(trace.series.time[valid]))) / NS_PER_S
    fast = MAD_SIGMA * float(np.median(np.abs(np.diff(value)))) / math.sqrt(2.0)
    lowest = percentile_filter(value, LOWEST_PERCENT, size=max(int(LOWEST_WINDOW_S / step_s), 1))
    hidden = max(float(np.mean(background - lowest)) - LOWEST_SIGMAS * fast, 0.0)
    return math.hypot(SIGMA_BACKGROUND_SHARE * noise, hidden)


def _source(rule: EmissionRule, trace: GasTrace, samples: _Samples, wind: Wind) -> SourceEstimate:
    above = samples.z - samples.ground
    known = np.isfinite(above)
    if not known.any():
        raise CoverageError(
            f"the ground below the samples of {rule.species} is not known", fix="name it in [terrain]"
        )
    x, y = samples.x[known], samples.y[known]
    readings = GasReadings(
        samples.time[known],
        x,
        y,
        np.maximum(above[known], 0.0),
        samples.enhancement[known],
        samples.sigma[known],
        trace.points.crs,
        leg=flight_lines(x, y),
    )
    height = SOURCE_HEIGHT_M if math.isnan(rule.source_height_m) else rule.source_height_m
    return estimate_source(
        readings,
        wind,
        species=rule.species,
        molar_mass_g_mol=rule.molar_mass_g_mol,
        temperature_k=samples.temperature_k,
        pressure_hpa=samples.pressure_hpa,
        rng=np.random.default_rng(SEED),
        stability=rule.stability,
        source_height_m=height,
    )
