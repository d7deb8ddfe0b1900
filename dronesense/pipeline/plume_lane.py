"""Gas in cubes: columns over every pixel, on the ground with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence

from dronesense.detect import column_filter, column_regions
from dronesense.model import CubeInput, Detection, DetectRule, GroundRaster, ScoreMap, SpectralCube
from dronesense.model.absorption import ColumnMap
from dronesense.pipeline import radiometry
from dronesense.pipeline.account import Account
from dronesense.pipeline.ground import Ground
from dronesense.pipeline.keeping import Keep


def lit(given: CubeInput, account: Account) -> SpectralCube:
    """Return the cube in numbers proportional to light: reflectance where a panel was seen, or radiance.

    Raises
    ------
    CalibrationError
        If it holds counts, and there is neither a panel nor a gain.
    """
    if given.cube.quantity != "counts":
        return given.cube
    if not given.panels:
        return radiometry.to_radiance(given, account)
    return radiometry.calibrated(given, "reflectance", account)


def retrieved(cube: SpectralCube, rule: DetectRule, *, budget_bytes: int, keep: Keep) -> ColumnMap:
    """Return the columns that a rule asks for."""
    table = rule.absorption
    assert table is not None
    return keep(
        (cube.path, "columns", rule.target),
        ColumnMap,
        lambda: column_filter.retrieve(
            cube,
            table,
            threshold=rule.threshold,
            false_alarm_rate=rule.false_alarm_rate,
            target=rule.target,
            budget_bytes=budget_bytes,
        ),
    )


def search_columns(
    cube: SpectralCube,
    rules: Sequence[DetectRule],
    ground: Ground,
    *,
    account: Account,
    budget_bytes: int,
    keep: Keep,
) -> tuple[list[tuple[DetectRule, ScoreMap, tuple[Detection, ...]]], list[GroundRaster]]:
    """Return what each rule found in *cube*, and the maps of columns and their uncertainty on the ground."""
    found, rasters = [], []
    for rule in rules:
        columns = retrieved(cube, rule, budget_bytes=budget_bytes, keep=keep)
        detections = column_regions.detect(columns, source=cube.path, min_pixels=rule.min_pixels)
        found.append((rule, columns.score, detections))
        for values, name, words in (
            (columns.value, rule.target, "column above the background"),
            (columns.sigma, f"{rule.target}_sigma", "its standard uncertainty"),
        ):
            with account.rejecting(f"{cube.path} (raster of {name})"):
                raster = ground.raster(
                    values,
                    name=f"{cube.name}__{name}",
                    unit=columns.unit,
                    description=f"{rule.species}: {words}",
                )
                rasters.append(raster)
    return found, rasters
