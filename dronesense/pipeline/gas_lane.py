"""Gas: corrections -> clock -> response -> calibration -> place -> events, species by species."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dronesense.calibrate import analyzer, chain, clock, limits, response
from dronesense.detect import gas as gas_search
from dronesense.errors import CalibrationError, CoverageError
from dronesense.geotag import locate
from dronesense.hotspots import sightings
from dronesense.hotspots.sightings import Sighting
from dronesense.model import Flag, Flight, GasInput, GasSeries, GasTrace, Response
from dronesense.pipeline.account import Account, span
from dronesense.pipeline.column_lane import place_column
from dronesense.pipeline.site import Site
from dronesense.timescale import NS_PER_S

STATED_CLOCK_SIGMA_S: Final = 0.1
"""Standard uncertainty of a clock offset that the user states as a number, s."""
MIN_SKIRT: Final = 5
"""Samples before and after an event, or as many as it has itself, that count as its skirts."""
MIN_STANDARDS: Final = 3
"""Points from which the scatter around a line shows."""
LOST_REMARK: Final = 0.1
"""Share of samples without a place from which it is worth a warning: standing on the ground is not."""


@dataclass
class GasFinds:
    """What one analyser's file gave."""

    traces: list[GasTrace] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)


def follow_gas(given: GasInput, *, flight: Flight, site: Site, account: Account) -> GasFinds:
    """Take the series of one analyser to events on the ground; a species that cannot be used goes alone.

    Raises
    ------
    CoverageError
        If there is no track.
    CalibrationError
        If the analyser's clock cannot be found.
    """
    offset_s, sigma_s = _clock_offset(given, site, account)
    finds = GasFinds()
    for species in chain.species_of(given.series, given.instrument):
        with account.rejecting(f"{given.series[0].source} ({species})"):
            channel = _calibrated(given, species, offset_s, sigma_s, account)
            trace = _placed(given, channel.series, sigma_s, site, account)
            finds.traces.append(_searched(given, trace, channel, flight, account, finds.sightings))
    return finds


def _clock_offset(given: GasInput, site: Site, account: Account) -> tuple[float, float]:
    """Return what to add to the analyser's time to get UTC, and its standard uncertainty, s."""
    first = given.series[0]
    trajectory = site.trajectory
    if given.clock_offset_s != "auto":
        account.clock(first.source, given.clock_offset_s, STATED_CLOCK_SIGMA_S, "stated by the user")
        return given.clock_offset_s, STATED_CLOCK_SIGMA_S
    if given.shares_track_clock:
        account.clock(first.source, 0.0, 0.0, "the positions stand in the same file")
        return 0.0, 0.0
    found = clock.estimate_offset(first, trajectory)
    if not found.accepted and given.own_track is not None:
        by_place = clock.estimate_track_offset(given.own_track, trajectory)
        both = f"{found.reason}; by its own positions: {by_place.reason}"
        found = by_place if by_place.accepted else dataclasses.replace(found, reason=both)
    if not found.accepted:
        raise CalibrationError(
            f"the clock of {given.instrument.id} (stamps {span(first.time)}) against the track "
            f"({span(trajectory.time)}) could not be found: {found.reason}"
        )
    account.clock(first.source, found.offset_s, found.sigma_s, found.method)
    return found.offset_s, found.sigma_s


def _calibrated(
    given: GasInput, species: str, offset_s: float, sigma_s: float, account: Account
) -> chain.Channel:
    """Take one species through all corrections; the response goes where the signal is linear in the gas."""
    delay = Response() if given.calibration is None else given.calibration.response
    channel = chain.linear(
        species, given.series, given.instrument, sheets=given.sheets, record=given.calibration
    )
    series = clock.shift(channel.series, offset_s, sigma_s=sigma_s)
    series = response.deconvolve(series, delay, noise=channel.noise)
    channel = chain.finish(
        dataclasses.replace(channel, series=series),
        given.instrument,
        sheets=given.sheets,
        record=given.calibration,
    )
    account.warnings += [f"{series.source}: {each}" for each in channel.remarks]
    if analyzer.has_factory_values(channel.series):
        account.warnings.append(
            f"{series.source}: no calibration record for {given.instrument.id}: factory values"
        )
    return channel


def _placed(given: GasInput, series: GasSeries, sigma_s: float, site: Site, account: Account) -> GasTrace:
    """Locate one series; what its clock, delay and time constant leave open in time counts in its place."""
    delay = Response() if given.calibration is None else given.calibration.response
    clock_s = math.hypot(sigma_s, delay.sigma_lag_s)
    if series.quantity == "column":
        series, points = place_column(series, given.instrument.mount, clock_s, site, account)
    else:
        points = locate.locate_samples(
            series,
            trajectory=site.trajectory,
            mount=given.instrument.mount,
            crs=site.crs,
            clock_sigma_s=clock_s,
        )
    lost = points.status != 0
    if lost.all():
        raise CoverageError(
            f"none of its samples ({span(series.time)}) lies within the track ({span(site.trajectory.time)})",
            fix="check clock_offset_s in [[gas]], and that log and series are of one flight",
        )
    if lost.mean() > LOST_REMARK:
        account.warnings.append(
            f"{series.source}: {lost.mean():.0%} of the {series.species} samples ({span(series.time)}) lie "
            f"outside the track ({span(site.trajectory.time)}), have no place and were not searched"
        )
    flags = series.flags | np.where(lost, np.uint16(Flag.NO_POSITION), np.uint16(0))
    return GasTrace(dataclasses.replace(series, flags=flags), points)


def _searched(
    given: GasInput,
    trace: GasTrace,
    channel: chain.Channel,
    flight: Flight,
    account: Account,
    found_on_ground: list[Sighting],
) -> GasTrace:
    """Search one series by every rule of its species."""
    series = trace.series
    for rule in flight.rules:
        if rule.lane != "gas" or rule.species != series.species:
            continue
        found = gas_search.search(series, rule, sigma_span_rel=channel.relative_sigma)
        located, lost = sightings.from_samples(found.detections, trace.points, series)
        found_on_ground.extend(located)
        account.lost.extend(lost)
        account.gas_search(rule, series, found)
        account.gas_noise(series, *_noise(given, series, found))
        trace = dataclasses.replace(
            trace,
            background=found.background,
            z=found.z,
            threshold=found.threshold,
            detections=found.detections,
        )
    return trace


def _noise(
    given: GasInput, series: GasSeries, found: gas_search.GasSearch
) -> tuple[limits.SeriesNoise, limits.Limits | None]:
    """Return what the samples outside events tell of the noise, and what the record's standards do."""
    free = series.valid.copy()
    for each in found.detections:
        first, last = int(each.index.min()), int(each.index.max())
        skirt = max(MIN_SKIRT, last - first + 1)
        free[max(first - skirt, 0) : last + skirt + 1] = False
    seconds = (series.time - series.time[0]) / NS_PER_S
    noise = limits.series_noise(seconds, series.value, free, sigma=found.noise)
    line = None if given.calibration is None else given.calibration.species.get(series.species)
    if line is None or len(line.standards) < MIN_STANDARDS:
        return noise, None
    true, reading, _ = np.array(line.standards).T
    return noise, limits.iso_11843(true, reading)
