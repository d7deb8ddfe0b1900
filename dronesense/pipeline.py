"""The whole product on one page: an opened flight in, a hotspot layer out. No file is opened here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from dronesense import geodesy, timescale
from dronesense.calibrate import analyzer, clock, reflectance, response
from dronesense.detect import gas as gas_search
from dronesense.detect import spectral
from dronesense.errors import CalibrationError, CoverageError, DronesenseError, ManifestError
from dronesense.geotag import locate, ortho, uncertainty
from dronesense.hotspots import merge, sightings
from dronesense.hotspots.sightings import Sighting
from dronesense.model import (
    CubeInput,
    CubeView,
    Detection,
    DetectRule,
    Flag,
    Flight,
    GasInput,
    GasSeries,
    GasTrace,
    GroundRaster,
    HotspotLayer,
    LineScan,
    MapGrid,
    ScoreMap,
    SpectralCube,
    Terrain,
    Trajectory,
)
from dronesense.model.cube import DEFAULT_BLOCK_BYTES

Progress = Callable[[str, int, int], None]
"""Stage, steps done, steps in all."""

FLAT_TERRAIN_SIGMA_M: Final = 5.0
"""Standard uncertainty of "the ground is as high as the take-off place", when there is no height model."""
STATED_CLOCK_SIGMA_S: Final = 0.1
"""Standard uncertainty of a clock offset that the user states as a number, s."""


def process(
    flight: Flight, *, progress: Progress | None = None, budget_bytes: int = DEFAULT_BLOCK_BYTES
) -> HotspotLayer:
    """Calibrate, match, geotag and cluster everything that a flight holds.

    Parameters
    ----------
    flight : Flight
        From :func:`dronesense.open_flight`.
    progress : callable, optional
        Called with stage, steps done, steps in all.
    budget_bytes : int
        Size of one block of a cube in memory; the peak is a small multiple of it, whatever the cube's size.

    Returns
    -------
    HotspotLayer
        Empty when nothing was found; inputs that could not be used stand in ``rejected`` with the reason.

    Raises
    ------
    CoverageError
        If no input could be used at all.
    """
    run = _Run(flight, budget_bytes)
    tell = progress or _silent
    for number, gas in enumerate(flight.gas, 1):
        run.attempt(gas.series[0].source, run.gas, gas)
        tell("gas", number, len(flight.gas))
    for number, cube in enumerate(flight.cubes, 1):
        run.attempt(cube.cube.path, run.cube, cube)
        tell("cube", number, len(flight.cubes))
    run.check_rules()
    if not run.traces and not run.views:
        reasons = "; ".join(f"{path}: {why}" for path, why in run.rejected)
        raise CoverageError(f"no input could be used ({reasons})", where=flight.root)
    hotspots = merge.merge(
        run.sightings,
        flight=flight.id,
        radius_m=flight.merge_radius_m,
        ce90=uncertainty.ce90,
        ellipse=uncertainty.ellipse,
    )
    tell("merge", 1, 1)
    return HotspotLayer(
        flight=flight.id,
        hotspots=hotspots,
        trajectory=flight.trajectory,
        gas=tuple(run.traces),
        cubes=tuple(run.views),
        rasters=tuple(run.rasters),
        statements=run.statements(),
        warnings=(*flight.warnings, *dict.fromkeys(run.warnings)),
        rejected=(*flight.rejected, *run.rejected),
    )


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


class _Run:
    """One run: the work CRS and terrain that all lanes share, and what they bring home."""

    def __init__(self, flight: Flight, budget_bytes: int) -> None:
        self.flight = flight
        self.budget_bytes = budget_bytes
        self.warnings: list[str] = []
        self.rejected: list[tuple[str, str]] = []
        self.sightings: list[Sighting] = []
        self.traces: list[GasTrace] = []
        self.views: list[CubeView] = []
        self.rasters: list[GroundRaster] = []
        self.false_alarms: list[str] = []
        self.searches: list[dict[str, object]] = []
        self.clocks: list[dict[str, object]] = []
        self.crs = self._work_crs()

    def attempt(self, path: str, lane: Callable[..., None], *args: object) -> None:
        """Run *lane*; an input that cannot be used is rejected with its reason, the rest goes on."""
        try:
            lane(*args)
        except ManifestError:
            raise
        except DronesenseError as error:
            self.rejected.append((path, str(error)))

    def check_rules(self) -> None:
        """Warn of gas rules whose species no series holds."""
        held = {series.species for gas in self.flight.gas for series in gas.series}
        for rule in self.flight.rules:
            if rule.species is not None and rule.species not in held:
                have = ", ".join(sorted(held)) or "none"
                self.warnings.append(
                    f'rule "{rule.target}" looks for {rule.species}, which no series holds (there is: {have})'
                )

    # -- gas --

    def gas(self, gas: GasInput) -> None:
        """Clock -> calibration -> response -> place -> events, for every species of one analyser."""
        trajectory = self.flight.trajectory
        if trajectory is None:
            raise CoverageError(
                "there is no track, so the samples have no place", fix="name the flight log in [track]"
            )
        offset_s, sigma_s = self._clock_offset(gas)
        for raw in gas.series:
            self.attempt(f"{raw.source} ({raw.species})", self._species, gas, raw, offset_s, sigma_s)

    def _species(self, gas: GasInput, raw: GasSeries, offset_s: float, sigma_s: float) -> None:
        """Run one series; the response comes before zero and span, whose uncertainty it must not amplify."""
        trajectory = self.flight.trajectory
        assert trajectory is not None
        series = clock.shift(raw, offset_s, sigma_s=sigma_s)
        if gas.calibration is not None:
            series = response.deconvolve(series, gas.calibration.response)
        series = analyzer.calibrate(series, gas.calibration)
        if analyzer.has_factory_values(series):
            self.warnings.append(
                f"{series.source}: no calibration record for {gas.instrument.id}: factory values"
            )
        points = locate.locate_samples(
            series, trajectory=trajectory, mount=gas.instrument.mount, crs=self.crs, clock_sigma_s=sigma_s
        )
        lost = np.where(points.status != 0, np.uint16(Flag.NO_POSITION), np.uint16(0))
        series = dataclasses.replace(series, flags=series.flags | lost)
        self._gas_events(gas, series, GasTrace(series, points))

    def _gas_events(self, gas: GasInput, series: GasSeries, trace: GasTrace) -> None:
        rules = [rule for rule in self.flight.rules if rule.species == series.species]
        for rule in rules:
            found = gas_search.search(
                series, rule, sigma_span_rel=analyzer.relative_span_sigma(series, gas.calibration)
            )
            located, lost = sightings.from_samples(found.detections, trace.points, series)
            self.sightings.extend(located)
            self.warnings.extend(lost)
            trace = GasTrace(
                series, trace.points, found.background, found.z, found.threshold, found.detections
            )
            self._state_gas_search(rule, series, found)
        self.traces.append(trace)

    def _state_gas_search(self, rule: DetectRule, series: GasSeries, found: gas_search.GasSearch) -> None:
        expected, hourly = (found.parameters[f"expected_false_alarms{per}"] for per in ("", "_per_hour"))
        stated = (
            f"threshold {rule.threshold_sigma:g} sigma"
            if rule.false_alarms_per_hour is None
            else f"{rule.false_alarms_per_hour:g} per hour"
        )
        self.false_alarms.append(
            f"{rule.target} in {series.source}: {stated} stated, {hourly:.2g} per hour expected: "
            f"{expected:.2g} by chance in this flight"
        )
        self.searches.append(
            {"target": rule.target, "source": series.source, "threshold": found.threshold, **found.parameters}
        )

    def _clock_offset(self, gas: GasInput) -> tuple[float, float]:
        """Return what to add to the analyser's time to get UTC, and its standard uncertainty, s."""
        first = gas.series[0]
        trajectory = self.flight.trajectory
        assert trajectory is not None
        if gas.clock_offset_s != "auto":
            self._state_clock(gas, gas.clock_offset_s, STATED_CLOCK_SIGMA_S, "stated by the user")
            return float(gas.clock_offset_s), STATED_CLOCK_SIGMA_S
        if gas.shares_track_clock:
            self._state_clock(gas, 0.0, 0.0, "the positions stand in the same file")
            return 0.0, 0.0
        found = clock.estimate_offset(first, trajectory)
        if not found.accepted:
            raise CalibrationError(
                f"the clock of {gas.instrument.id} against UTC could not be found: {found.reason}"
            )
        self._state_clock(gas, found.offset_s, found.sigma_s, found.method)
        return found.offset_s, found.sigma_s

    def _state_clock(self, gas: GasInput, offset_s: float, sigma_s: float, method: str) -> None:
        self.clocks.append(
            {
                "source": gas.series[0].source,
                "offset_s": round(offset_s, 4),
                "sigma_s": round(sigma_s, 4),
                "method": method,
            }
        )

    # -- cubes --

    def cube(self, given: CubeInput) -> None:
        """Reflectance -> scores -> regions -> ground, for one cube."""
        rules = [rule for rule in self.flight.rules if rule.signature is not None]
        cube = self._calibrated(given, rules)
        if cube.geometry is None:
            raise CoverageError(
                "has neither line times nor a map grid, so its pixels have no place",
                fix="put <name>.lines.csv (columns line,utc) beside it",
            )
        results = spectral.search(cube, rules, budget_bytes=self.budget_bytes) if rules else ()
        for score, detections in results:
            self._place(given, cube, detections)
            self.attempt(f"{cube.path} (raster)", self._raster, given, cube, score)
            self._state_spectral_search(score)
        self.views.append(
            CubeView(
                cube, tuple(score for score, _ in results), tuple(d for _, each in results for d in each)
            )
        )

    def _calibrated(self, given: CubeInput, rules: Sequence[DetectRule]) -> SpectralCube:
        """Return the cube in the quantity that the rules' signatures ask for."""
        wanted = {rule.signature.quantity for rule in rules if rule.signature is not None}
        if given.cube.quantity != "counts" or not wanted - {"counts"}:
            return given.cube
        record = given.calibration
        return reflectance.calibrate(
            given.cube,
            dark=given.dark if given.dark is not None else (None if record is None else record.dark),
            panel=given.panel,
            bad_pixels=None if record is None else record.bad_pixels,
        )

    def _place(self, given: CubeInput, cube: SpectralCube, detections: Sequence[Detection]) -> None:
        """Give every detection of one score map its place on the ground."""
        for detection in detections:
            pixels = detection.index.astype(np.float64)
            if isinstance(cube.geometry, MapGrid):
                points = locate.locate_map_pixels(pixels, cube.geometry, crs=self.crs)
                corners = locate.map_footprints(pixels, cube.geometry, crs=self.crs)
            else:
                ray = self._line_scan(given, cube)
                points = locate.locate_pixels(pixels, **ray)
                corners = locate.footprints(pixels, **ray)
            located, lost = sightings.from_pixels(detection, points, corners)
            self.sightings.extend(located)
            self.warnings.extend(lost)

    def _line_scan(self, given: CubeInput, cube: SpectralCube) -> dict[str, Any]:
        """Return what it takes to follow a pixel's ray to the ground."""
        trajectory, instrument = self.flight.trajectory, given.instrument
        if trajectory is None:
            raise CoverageError("there is no track for its lines", fix="name the flight log in [track]")
        if instrument is None:
            raise CoverageError("its optics and mount are not known", fix="set instrument in [[cube]]")
        assert isinstance(cube.geometry, LineScan)
        return {
            "line_time": cube.geometry.time,
            "trajectory": trajectory,
            "instrument": instrument,
            "terrain": self.terrain,
            "crs": self.crs,
        }

    def _raster(self, given: CubeInput, cube: SpectralCube, score: ScoreMap) -> None:
        """Put a score map on the ground."""
        name = f"{score.cube}__{score.target}"
        description = f"{score.method} score for {score.target} ({score.unit})"
        if isinstance(cube.geometry, MapGrid):
            grid = cube.geometry
            raster = GroundRaster(name, score.score, grid.transform, grid.crs, score.unit, description)
        else:
            ray = self._line_scan(given, cube)
            raster = ortho.project(score.score, name=name, unit=score.unit, description=description, **ray)
        self.rasters.append(raster)

    def _state_spectral_search(self, score: ScoreMap) -> None:
        self.searches.append(
            {
                "target": score.target,
                "source": score.cube,
                "method": score.method,
                "threshold": score.threshold,
                **score.parameters,
            }
        )
        tested = int(np.count_nonzero(np.isfinite(score.score)))
        rejected = score.parameters.get("rejected_other_material", 0)
        if np.isfinite(score.false_alarm_rate):
            self.false_alarms.append(
                f"{score.target} in {score.cube}: {score.false_alarm_rate:g} per pixel stated, "
                f"{score.false_alarm_rate * tested:.2g} expected by chance in {tested} pixels"
                f"{f', {rejected} regions of another material left out' if rejected else ''}"
            )

    # -- shared --

    def _work_crs(self) -> str:
        if self.flight.crs != "auto":
            if not geodesy.is_metric(self.flight.crs):
                raise ManifestError(
                    f'[flight] crs = "{self.flight.crs}" is not metric', fix='use "auto" or a UTM zone'
                )
            return self.flight.crs
        trajectory = self.flight.trajectory
        if trajectory is not None:
            return geodesy.utm_crs(float(np.median(trajectory.lon)), float(np.median(trajectory.lat)))
        for given in self.flight.cubes:
            grid = given.cube.geometry
            if isinstance(grid, MapGrid):
                rows, _, cols = given.cube.shape
                a, b, c, d, e, f = grid.transform
                x, y = a * cols / 2 + b * rows / 2 + c, d * cols / 2 + e * rows / 2 + f
                lon, lat = geodesy.to_lonlat(np.array([x]), np.array([y]), grid.crs)
                return geodesy.utm_crs(float(lon[0]), float(lat[0]))
        raise CoverageError(
            "nothing says where the flight was: no track and no cube on a map grid",
            where=self.flight.root,
            fix="name the flight log in [track]",
        )

    @cached_property
    def terrain(self) -> Terrain:
        """The flight's terrain, or the height of the take-off place, with a warning."""
        if self.flight.terrain is not None:
            return self.flight.terrain
        trajectory = self.flight.trajectory
        assert trajectory is not None
        known = trajectory.height_m[np.isfinite(trajectory.height_m)]
        if not known.size:
            raise CoverageError(
                "neither the ground's nor the aircraft's height is known",
                fix="name a height model in [terrain]",
            )
        self.warnings.append(
            f"no height model: the ground is taken as flat at the take-off height {known[0]:.1f} m (± "
            f"{FLAT_TERRAIN_SIGMA_M:g} m); name one in [terrain] for a better place"
        )
        return Terrain.flat(float(known[0]), sigma_m=FLAT_TERRAIN_SIGMA_M, source="take-off height")

    def statements(self) -> dict[str, object]:
        """Return what the run says about itself."""
        result: dict[str, object] = {
            "false_alarms": self.false_alarms,
            "gas_clock": self.clocks,
            "work_crs": self.crs,
        }
        trajectory = self.flight.trajectory
        if trajectory is not None:
            result["track"] = (
                f"{trajectory.source}, {timescale.to_iso(int(trajectory.time[0]))} to "
                f"{timescale.to_iso(int(trajectory.time[-1]))}, clock {trajectory.clock.kind} ± "
                f"{trajectory.clock.sigma_s:.2g} s, {_heights(trajectory)}"
            )
        if self.flight.cubes:
            seen = sum(view.cube.shape[0] * view.cube.shape[2] for view in self.views)
            result["looked_at"] = f"{len(self.views)} of {len(self.flight.cubes)} cubes, {seen} pixels"
        result["searches"] = self.searches
        return {key: value for key, value in result.items() if value not in ([], "")}


def _heights(trajectory: Trajectory) -> str:
    """Return what the heights of a track are, in words."""
    known = np.isfinite(trajectory.height_m)
    if not known.any():
        return f"heights unknown (the log says: {trajectory.height_ref})"
    if trajectory.height_ref == "ellipsoid":
        return "heights above the ellipsoid"
    return f"heights above the ellipsoid, from {trajectory.height_ref} and the log's own undulation"
