"""What a run says about itself: warnings, rejected inputs, false alarms, clocks, searches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import timescale
from dronesense.calibrate.chain import species_of
from dronesense.calibrate.limits import Limits, SeriesNoise
from dronesense.detect.gas import GasSearch
from dronesense.errors import DronesenseError, ManifestError
from dronesense.geotag import coverage
from dronesense.geotag.uncertainty import ce90
from dronesense.hotspots.fusion import MAX_CHANCE
from dronesense.model import (
    CubeView,
    DetectRule,
    Flight,
    FluxEstimate,
    GasMap,
    GasSeries,
    GroundRaster,
    Hotspot,
    ScoreMap,
    SearchSector,
    SourceEstimate,
    Trajectory,
)

RATE_SLACK: Final = 1.01
"""Above this the rate is another one than was asked for."""
NOTHING_SOUGHT: Final = (
    "nothing was sought: no [[detect]] says what to look for (dronesense init writes a flight.toml to start "
    "from)"
)
SHOWN_LOST: Final = 3
"""Detections without a place that are named one by one."""


class Account:
    """The books of one run.

    Attributes
    ----------
    warnings : list of str
        What to know before trusting the layer.
    lost : list of str
        Why detections have no place.
    rejected : list of (path, reason)
        Inputs that could not be used.
    """

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self.warnings: list[str] = []
        self.lost: list[str] = []
        self.overlaps: list[dict[str, object]] = []
        self.rejected: list[tuple[str, str]] = []
        self._false_alarms: list[str] = []
        self._clocks: list[dict[str, object]] = []
        self._searches: list[dict[str, object]] = []
        self._noise: dict[tuple[str, str], dict[str, object]] = {}
        self._limits: list[str] = []
        self._emissions: list[str] = []
        self._sectors: list[str] = []
        self._fusion: list[str] = []
        self._maps: list[dict[str, object]] = []
        self._radiometry: list[dict[str, object]] = []
        self._quality: list[dict[str, object]] = []
        self._check_rules()

    @contextmanager
    def rejecting(self, path: str) -> Iterator[None]:
        """Reject the input *path* with its reason when the block cannot use it; the rest goes on."""
        try:
            yield
        except ManifestError:
            raise
        except DronesenseError as error:
            self.rejected.append((path, str(error)))

    def _check_rules(self) -> None:
        held = {each for gas in self._flight.gas for each in species_of(gas.series, gas.instrument)}
        for rule in self._flight.rules:
            if rule.lane == "gas" and rule.species not in held:
                have = ", ".join(sorted(held)) or "none"
                self.warnings.append(
                    f'rule "{rule.target}" looks for {rule.species}, which no series holds (there is: {have})'
                )

    def clock(self, source: str, offset_s: float, sigma_s: float, method: str) -> None:
        """Note what was added to an analyser's time."""
        self._clocks.append(
            {
                "source": source,
                "offset_s": round(offset_s, 4),
                "sigma_s": round(sigma_s, 4),
                "method": method,
            }
        )

    def gas_search(self, rule: DetectRule, series: GasSeries, found: GasSearch) -> None:
        """Note how a series was searched, and the false alarms to expect."""
        expected, hourly = (found.parameters[f"expected_false_alarms{per}"] for per in ("", "_per_hour"))
        stated = (
            f"threshold {rule.threshold_sigma:g} sigma"
            if rule.false_alarms_per_hour is None
            else f"{rule.false_alarms_per_hour:g} per hour"
        )
        self._false_alarms.append(
            f"{rule.target} in {series.source}: {stated} stated, {hourly:.2g} per hour expected: "
            f"{expected:.2g} by chance in this flight"
        )
        if found.parameters["shorter_than_window"]:
            self.warnings.append(
                f"{series.source}: the usable {series.species} samples last less than the background's "
                f"window of {found.parameters['window_s']:g} s: expect more false alarms than stated"
            )
        if found.parameters["below_background_s"]:
            self.warnings.append(
                f"{series.source}: {series.species} lies far below its background for "
                f"{found.parameters['below_background_s']:g} s (a drift that the background cannot follow): "
                "gas met there is not seen"
            )
        self._searches.append(
            {
                "target": rule.target,
                "source": series.source,
                "species": series.species,
                "threshold": found.threshold,
                **found.parameters,
            }
        )

    def gas_noise(self, series: GasSeries, noise: SeriesNoise, by_record: Limits | None) -> None:
        """Note noise and limits of a series, once, each named for what it is."""
        key = (series.source, series.species)
        if key in self._noise:
            return
        self._noise[key] = {
            "source": series.source,
            "species": series.species,
            "unit": series.unit,
            "noise_of_a_reading": noise.sigma,
            "plume_free_samples": noise.samples,
            "interval_s": noise.interval_s,
            "allan_deviation": {f"{time:g} s": value for time, value in noise.adev.items()},
            "least_allan_deviation": {"value": noise.least, "averaging_s": noise.least_s},
            "limits": [_limits(each) for each in (noise.limits, by_record) if each is not None],
        }
        self._limits.append(_noise_text(series, noise, by_record))

    def spectral_search(self, rule: DetectRule, score: ScoreMap) -> None:
        """Note how a cube was searched, and the false alarms to expect; warn when they cannot be held."""
        self._searches.append(
            {
                "target": score.target,
                "source": score.cube,
                "method": score.method,
                "threshold": score.threshold,
                **score.parameters,
            }
        )
        self._check_rate(rule, score)
        limit = score.parameters.get("detection_limit")
        if isinstance(limit, dict):
            self._limits.append(f"{score.cube}: {limit['text']}")
        tested = int(np.count_nonzero(np.isfinite(score.score)))
        others = score.parameters.get("rejected_other_material", 0)
        meaning = score.parameters.get("meaning")
        if np.isfinite(score.false_alarm_rate):
            self._false_alarms.append(
                f"{score.target} in {score.cube}: {score.false_alarm_rate:.3g} per pixel, "
                f"{score.false_alarm_rate * tested:.2g} expected by chance in {tested} pixels"
                f"{f', {others} regions of another material left out' if others else ''}"
                f"{f' ({meaning})' if meaning else ''}"
            )

    def _check_rate(self, rule: DetectRule, score: ScoreMap) -> None:
        """Warn when the background does not allow the rate that was asked for, or leaves it in doubt."""
        asked = rule.false_alarm_rate
        if asked is not None and score.false_alarm_rate > asked * RATE_SLACK:
            self.warnings.append(
                f"{score.cube}: too many background pixels look like {score.target} to hold {asked:g} false "
                f"alarms per pixel; with the highest useful threshold it is {score.false_alarm_rate:.2g}"
            )
        if score.tail is not None and score.tail.note != "pareto":
            self.warnings.append(
                f"{score.cube}: the background's scores for {score.target} have no smooth tail "
                f"({score.tail.note}): expect another number of false alarms than stated"
            )
        unfit = score.parameters.get("shown_though_unfit", 0)
        if unfit:
            self.warnings.append(
                f"{score.cube}: {unfit} regions do not fit {score.target} but are shown, with a flag: its "
                "signature states no sigma, so nobody knows how much it may differ"
            )

    def flux(self, found: FluxEstimate) -> None:
        """Note what passed a curtain or circle."""
        self._emissions.append(
            f"{found.species}: {found.rate_kg_h:.2g} ± {found.sigma_kg_h:.1g} kg/h through the flown "
            f"{found.surface}: an indication, never proof"
        )
        self.warnings += [f"flux of {found.species}: {each}" for each in found.warnings]

    def source(self, found: SourceEstimate) -> None:
        """Note where a source may lie and how much it may emit."""
        low, high = found.rate_90_kg_h
        self._emissions.append(
            f"{found.species}: {found.rate_kg_h:.2g} kg/h (90 %: {low:.2g} to {high:.2g}), place within "
            f"{float(ce90(found.cov)):.0f} m (90 %), by {found.method}: an indication, never proof"
        )
        self.warnings += [f"source of {found.species}: {each}" for each in found.warnings]

    def maps(self, made: Sequence[GasMap]) -> None:
        """Note how maps were made."""
        self._maps += [{"species": each.species, "method": each.method, **each.parameters} for each in made]

    def radiometry(self, entry: dict[str, object]) -> None:
        """Note how a cube was calibrated, and how well."""
        self._radiometry.append(entry)

    def cube_quality(self, entry: dict[str, object]) -> None:
        """Note what is wrong with the values of a cube."""
        self._quality.append(entry)

    def sectors(self, found: Sequence[SearchSector]) -> None:
        """Note what the sectors upwind of gas hotspots hold, and what they assume."""
        if found:
            first = found[0]
            self._sectors.append(
                f"{len(found)} upwind of gas hotspots; each holds {first.confidence:.0%} of sources that lie "
                f"within {first.reach_m:g} m, if the wind was as stated and the gas came straight: an "
                "indication of where to walk, never proof"
            )

    def fused(self, found: Sequence[Hotspot], sectors: Sequence[SearchSector], *, chance: float) -> None:
        """Note how many spectral hotspots lie upwind of gas, and how many would by chance."""
        if chance > MAX_CHANCE:
            self.warnings.append(
                f"search sectors hold {chance:.0%} of the ground that cameras looked at: that a spectral "
                "hotspot lies in one says nothing, and none is fused with gas"
            )
        if found:
            self._fusion.append(
                f"{len(found)} spectral hotspots lie upwind of gas, in one of {len(sectors)} search sectors, "
                f"which hold {chance:.0%} of the ground that cameras looked at: so many of unrelated ones "
                "would lie there by chance"
            )

    def all_warnings(self) -> list[str]:
        """Return every warning once; of detections without a place the first few and how many more."""
        lost = self.lost[:SHOWN_LOST]
        if len(self.lost) > SHOWN_LOST:
            lost.append(f"... and {len(self.lost) - SHOWN_LOST} more detections without a place")
        return list(dict.fromkeys([*self.warnings, *lost]))

    def _with_noise(self, search: dict[str, object]) -> dict[str, object]:
        """Return what is said of a search, of a gas with the noise that it was made in."""
        known = self._noise.get((str(search["source"]), str(search.get("species", ""))))
        return search if known is None else {**search, "noise_and_limits": known}

    def statements(
        self, crs: str, views: Sequence[CubeView], rasters: Sequence[GroundRaster] = ()
    ) -> dict[str, object]:
        """Return what stands in ``run.json`` and, most of it, in the summary."""
        result: dict[str, object] = {
            "false_alarms": self._false_alarms,
            "gas_clock": self._clocks,
            "work_crs": crs,
            "emissions": self._emissions,
            "search_sectors": self._sectors,
            "fusion": self._fusion,
            "noise_and_limits": self._limits,
            "gas_maps": self._maps,
            "radiometry": self._radiometry,
            "cube_quality": self._quality,
            "overlaps": self.overlaps,
            "searches": [self._with_noise(each) for each in self._searches],
        }
        trajectory = self._flight.trajectory
        if trajectory is not None:
            result["track"] = (
                f"{trajectory.source}, {span(trajectory.time)}, clock {trajectory.clock.kind} ± "
                f"{trajectory.clock.sigma_s:.2g} s, {_heights(trajectory)}"
            )
            result["navigation_errors"] = _navigation_errors(trajectory)
        if self._flight.cubes:
            seen = sum(view.cube.shape[0] * view.cube.shape[2] for view in views)
            result["looked_at"] = (
                f"{len(views)} of {len(self._flight.cubes)} cubes, {seen} pixels{_ground_of(rasters, crs)}"
            )
        return {key: value for key, value in result.items() if value != []}


def _ground_of(rasters: Sequence[GroundRaster], crs: str) -> str:
    """Return how much ground was looked at and missed, in words; nothing where it is not known."""
    grids = list({raster.name.split("__")[0]: raster for raster in rasters if raster.crs == crs}.values())
    if not grids:
        return ""
    ground = coverage.outline(grids)
    return (
        f", {ground.area_m2:.4g} m² of ground; {ground.gap_m2:.3g} m² inside its outline were not looked at"
    )


def _limits(of: Limits) -> dict[str, object]:
    return {
        "method": of.method,
        "critical_value": of.critical,
        "detection_limit": of.detection,
        "quantification_limit": of.quantification,
    }


def _noise_text(series: GasSeries, noise: SeriesNoise, by_record: Limits | None) -> str:
    """Return noise and limits of a species in one line."""
    deviations = [f"{value:.2g} at {time:g} s" for time, value in noise.adev.items() if np.isfinite(value)]
    if np.isfinite(noise.least):
        deviations.append(f"least {noise.least:.2g} at {noise.least_s:.3g} s")
    allan = f"Allan deviation {', '.join(deviations)}; " if deviations else ""
    of = noise.limits
    text = (
        f"{series.species} in {series.source} ({series.unit}): {allan}one reading above the background: "
        f"critical value {of.critical:.2g}, detection limit {of.detection:.2g}, quantification limit "
        f"{of.quantification:.2g} ({of.method}); from {noise.samples} plume-free samples of this flight, "
        "instrument and air together"
    )
    if by_record is not None:
        text += (
            f"; by the record's standards: critical value {by_record.critical:.2g}, "
            f"detection limit {by_record.detection:.2g} ({by_record.method}, for the mean of a plateau)"
        )
    return text


def _navigation_errors(trajectory: Trajectory) -> list[dict[str, object]]:
    """Return the median standard uncertainties of the track, and where each comes from."""
    position = np.median(trajectory.std_ned_m, axis=0)
    known = np.isfinite(trajectory.attitude).all(axis=1)
    found: list[dict[str, object]] = [
        {"of": "position", "north_east_down_m": _digits(position), "from": trajectory.sigma_from[0]}
    ]
    if known.any():
        angles = np.median(trajectory.std_rpy_deg[known], axis=0)
        found.append(
            {"of": "attitude", "roll_pitch_yaw_deg": _digits(angles), "from": trajectory.sigma_from[1]}
        )
    return found


def _digits(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{each:.3g}") for each in values.tolist()]


def span(time: NDArray[np.int64]) -> str:
    """Return the first and last of some times for people."""
    return f"{timescale.to_iso(int(time[0]))} to {timescale.to_iso(int(time[-1]))}"


def _heights(trajectory: Trajectory) -> str:
    """Return what the heights of a track are, in words."""
    if not np.isfinite(trajectory.height_m).any():
        return f"heights unknown (the log says: {trajectory.height_ref})"
    steps = [line.removeprefix("heights: ") for line in trajectory.history if line.startswith("heights: ")]
    if trajectory.height_ref == "ellipsoid" and not steps:
        return "heights above the ellipsoid"
    how = steps[-1] if steps else f"from {trajectory.height_ref} and the log's own undulation"
    return f"heights above the ellipsoid, {how}"
