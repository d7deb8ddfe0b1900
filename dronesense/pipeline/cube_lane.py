"""Cubes: counts -> reflectance -> scores -> regions -> ground, one cube at a time, never whole in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dronesense import plugins
from dronesense.detect import spectral
from dronesense.detect.scoring import Told
from dronesense.errors import CoverageError, DronesenseError
from dronesense.hotspots import sightings
from dronesense.hotspots.sightings import Sighting
from dronesense.model import (
    CubeInput,
    CubeView,
    Detection,
    DetectRule,
    Flight,
    GroundPicture,
    GroundRaster,
    ScoreMap,
    Signature,
    SpectralCube,
)
from dronesense.model.cube import CubeQuantity
from dronesense.pipeline import cube_quality, plume_lane, radiometry
from dronesense.pipeline import ground as grounds
from dronesense.pipeline.account import Account
from dronesense.pipeline.ground import Ground
from dronesense.pipeline.keeping import Keep, at_once
from dronesense.pipeline.mosaic_lane import MAX_STRIP_CELLS, StripView
from dronesense.pipeline.picture import ground_picture
from dronesense.pipeline.site import Site

Searched = tuple[tuple[ScoreMap, tuple[Detection, ...]], ...]
"""What :func:`dronesense.detect.spectral.search` returns."""


@dataclass
class CubeFinds:
    """What one cube gave."""

    view: CubeView
    sightings: list[Sighting] = field(default_factory=list)
    rasters: list[GroundRaster] = field(default_factory=list)
    pictures: list[GroundPicture] = field(default_factory=list)
    strip: StripView | None = None


def follow_cube(
    given: CubeInput,
    *,
    flight: Flight,
    site: Site,
    account: Account,
    budget_bytes: int,
    keep: Keep = at_once,
    told: Told | None = None,
) -> CubeFinds:
    """Take one cube to regions on the ground; *told* is told how many of its lines are searched.

    Raises
    ------
    CalibrationError
        If a signature asks for reflectance and there is no panel.
    CoverageError
        If its pixels cannot have a place, or it cannot be searched.
    """
    rules = [rule for rule in flight.rules if rule.lane == "spectral"]
    grounds.check(given, flight)
    finds = CubeFinds(CubeView(given.cube, (), ()))
    quantities = _quantities(given, rules)
    reasons = []
    for quantity in quantities:
        try:
            _search(given, quantity, rules, finds, site, account, budget=budget_bytes, keep=keep, told=told)
        except DronesenseError as error:
            if len(quantities) == 1:
                raise
            reasons.append((f"{given.cube.path} ({quantity})", str(error)))
    if len(reasons) == len(quantities):
        raise CoverageError("; ".join(why for _, why in reasons))
    account.rejected += reasons
    columns = [rule for rule in flight.rules if rule.lane == "column"]
    if columns:
        with account.rejecting(f"{given.cube.path} (columns of gas)"):
            _columns(given, columns, finds, site=site, account=account, budget=budget_bytes, keep=keep)
    return finds


def search_cube(given: CubeInput, *, flight: Flight, budget_bytes: int, keep: Keep) -> None:
    """Work out what *keep* is to keep of a cube, for whoever follows it later; what fails is left to them."""
    account = Account(flight)
    rules = [rule for rule in flight.rules if rule.lane == "spectral"]
    for quantity in _quantities(given, rules):
        with account.rejecting(given.cube.path):
            cube = radiometry.calibrated(given, quantity, account)
            _searched(given, cube, quantity, _own(given, quantity, rules), budget=budget_bytes, keep=keep)
    columns = [rule for rule in flight.rules if rule.lane == "column"]
    if columns:
        with account.rejecting(given.cube.path):
            cube = plume_lane.lit(given, account)
            for rule in columns:
                plume_lane.retrieved(cube, rule, budget_bytes=budget_bytes, keep=keep)


def _columns(
    given: CubeInput,
    rules: Sequence[DetectRule],
    finds: CubeFinds,
    *,
    site: Site,
    account: Account,
    budget: int,
    keep: Keep,
) -> None:
    """Search the cube for gases."""
    cube = plume_lane.lit(given, account)
    ground = grounds.of(given, cube, site, budget_bytes=budget)
    found, rasters = plume_lane.search_columns(
        cube, rules, ground, account=account, budget_bytes=budget, keep=keep
    )
    finds.rasters += rasters
    for rule, score, detections in found:
        account.spectral_search(rule, score)
        finds.sightings += _placed(ground, detections, account)
        finds.view = CubeView(
            finds.view.cube, (*finds.view.scores, score), (*finds.view.detections, *detections)
        )


def _search(
    given: CubeInput,
    quantity: CubeQuantity,
    rules: Sequence[DetectRule],
    finds: CubeFinds,
    site: Site,
    account: Account,
    *,
    budget: int,
    keep: Keep,
    told: Told | None,
) -> None:
    """Search the cube in one quantity for the rules that ask for it; the first one searched is shown."""
    cube = radiometry.calibrated(given, quantity, account)
    if cube is not given.cube:
        found = cube_quality.look(given.cube, cube, saturation_dn=radiometry.saturation_of(given))
        account.cube_quality(cube_quality.statement(found, cube))
        account.warnings += cube_quality.warnings(found, cube)
    own = _own(given, quantity, rules)
    results = _searched(given, cube, quantity, own, budget=budget, keep=keep, told=told)
    if not finds.view.scores:
        finds.view = CubeView(cube, (), ())
    _follow(given, cube, own, results, finds, site=site, account=account, budget_bytes=budget)


def _own(given: CubeInput, quantity: CubeQuantity, rules: Sequence[DetectRule]) -> list[DetectRule]:
    """Return the rules that are sought in one quantity; those without a signature take what is shown."""
    anything = _quantities(given, rules)[0]
    return [rule for rule in rules if (_quantity_of(rule) or anything) == quantity]


def _searched(
    given: CubeInput,
    cube: SpectralCube,
    quantity: CubeQuantity,
    own: Sequence[DetectRule],
    *,
    budget: int,
    keep: Keep,
    told: Told | None = None,
) -> Searched:
    """Return what the rules of one quantity find in the calibrated *cube*."""
    if not own:
        return ()
    confusers = _confusers(own, quantity)
    return keep(
        (given.cube.path, quantity),
        Searched,
        lambda: spectral.search(cube, own, budget_bytes=budget, competing=confusers, told=told),
    )


def _confusers(rules: Sequence[DetectRule], quantity: CubeQuantity) -> list[Signature]:
    """Return what may be mistaken for a target of *rules*, each once."""
    named = {each.name: each for rule in rules for each in rule.confusers if each.quantity == quantity}
    return list(named.values())


def _quantities(given: CubeInput, rules: Sequence[DetectRule]) -> list[CubeQuantity]:
    """Return the quantities that the rules' signatures ask for; the first is the one that is shown."""
    wanted = {_quantity_of(rule) for rule in rules} - {None}
    order: tuple[CubeQuantity, ...] = ("reflectance", "radiance", "counts")
    return [quantity for quantity in order if quantity in wanted] or [given.cube.quantity]


def _quantity_of(rule: DetectRule) -> CubeQuantity | None:
    """Return the quantity that a rule's signature is to be sought in; absorption acts on radiance."""
    if rule.signature is None:
        asked: CubeQuantity | None = plugins.find("dronesense.detectors", rule.method).quantity
        return asked
    quantity = rule.signature.quantity
    return "radiance" if quantity == "absorption" else quantity


def _follow(
    given: CubeInput,
    cube: SpectralCube,
    rules: Sequence[DetectRule],
    results: Sequence[tuple[ScoreMap, tuple[Detection, ...]]],
    finds: CubeFinds,
    *,
    site: Site,
    account: Account,
    budget_bytes: int,
) -> None:
    """Put what was found on the ground."""
    ground = grounds.of(given, cube, site, budget_bytes=budget_bytes)
    seen = finds.view
    finds.view = CubeView(
        seen.cube,
        (*seen.scores, *(score for score, _ in results)),
        (*seen.detections, *(each for _, found in results for each in found)),
    )
    for rule, (score, detections) in zip(rules, results, strict=True):
        account.spectral_search(rule, score)
        finds.sightings += _placed(ground, detections, account)
        with account.rejecting(f"{cube.path} (raster of {score.target})"):
            raster = ground.raster(
                score.score,
                name=f"{score.cube}__{score.target}",
                unit=score.unit,
                description=f"{score.method} score for {score.target}",
            )
            finds.rasters.append(raster)
    if not finds.pictures:
        with account.rejecting(f"{cube.path} (picture on the ground)"):
            picture, bright = ground_picture(cube, ground)
            finds.pictures.append(picture)
            small = bright.values.size <= MAX_STRIP_CELLS
            quality = ground.quality() if small else None
            if quality is not None and given.instrument is not None:
                finds.strip = StripView(cube.name, given.instrument.id, bright, *quality)


def _placed(ground: Ground, detections: Sequence[Detection], account: Account) -> list[Sighting]:
    """Give every detection of one score map its place on the ground."""
    found: list[Sighting] = []
    for detection in detections:
        pixels = detection.index.astype(np.float64)
        located, lost = sightings.from_pixels(detection, ground.points(pixels), ground.corners(pixels))
        found.extend(located)
        account.lost.extend(lost)
    return found
