"""Strips of one camera on one grid: what the best of them shows, and how well they agree in overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dronesense.geotag import mosaic
from dronesense.geotag.glt import MAX_CELLS
from dronesense.model import GroundRaster
from dronesense.pipeline.account import Account
from dronesense.pipeline.ground import Plane

DOUBTFUL: Final = 1.5
"""Strips farther apart than this many times their CE90s together: 1 pair in 170 when these are right."""
MAX_STRIP_CELLS: Final = 10_000_000
"""Larger strips are left out: three planes of each are held until the end of the run."""


@dataclass(frozen=True, slots=True, eq=False)
class StripView:
    """What a mosaic needs of one strip.

    Parameters
    ----------
    name, camera : str
        Of cube and instrument.
    bright : GroundRaster
        Its brightness.
    ce90_m, zenith_deg : (ny, nx) float32
        On the grid of the strip's rasters.
    """

    name: str
    camera: str
    bright: GroundRaster
    ce90_m: Plane
    zenith_deg: Plane


def mosaics(
    strips: Sequence[StripView], rasters: Sequence[GroundRaster], account: Account
) -> tuple[tuple[GroundRaster, ...], ...]:
    """Return score, strip and CE90 as bands, for each target that several strips were searched for.

    How strips agree where they overlap goes to *account*.
    """
    found: list[tuple[GroundRaster, ...]] = []
    for camera in dict.fromkeys(each.camera for each in strips):
        own = [each for each in strips if each.camera == camera]
        for group in _of_one_grid(own):
            if len(group) > 1:
                _compare(group, account)
                found += _of_targets(group, rasters, account)
    return tuple(found)


def _of_one_grid(strips: Sequence[StripView]) -> list[list[StripView]]:
    """Return strips with cells of one size and one CRS together, if their mosaic is not too large."""
    groups: dict[tuple[float, str], list[StripView]] = {}
    for each in strips:
        groups.setdefault((each.bright.transform[0], each.bright.crs), []).append(each)
    return [group for group in groups.values() if _cells(group) <= MAX_CELLS // 4]


def _cells(strips: Sequence[StripView]) -> float:
    """Return how many cells a mosaic would have."""
    boxes = []
    for each in strips:
        a, _, c, _, e, f = each.bright.transform
        rows, cols = each.ce90_m.shape
        boxes.append((c, f + e * rows, c + a * cols, f))
    west, south, east, north = np.array(boxes).T
    gsd = strips[0].bright.transform[0]
    return float((east.max() - west.min()) * (north.max() - south.min()) / gsd**2)


def _strip(view: StripView, values: GroundRaster) -> mosaic.Strip:
    return mosaic.Strip(view.name, values, view.ce90_m, view.zenith_deg)


def _compare(group: Sequence[StripView], account: Account) -> None:
    """Tell how far apart strips show the same ground."""
    stated = {each.name: float(np.nanmedian(each.ce90_m)) for each in group}
    made = mosaic.mosaic([_strip(view, view.bright) for view in group])
    for pair in made.overlaps:
        east, north = pair.offset_m
        expected = float(np.hypot(stated[pair.first], stated[pair.second]))
        told = "what they show tells no offset"
        if np.isfinite(east):
            apart = float(np.hypot(east, north))
            told = f"{pair.second} shows it {apart:.2f} m off: {east:+.2f} m east, {north:+.2f} m north"
            if apart > DOUBTFUL * expected:
                account.warnings.append(
                    f"{pair.first} and {pair.second} show the same ground {apart:.2g} m apart, more than "
                    f"their CE90 of {stated[pair.first]:.2g} m and {stated[pair.second]:.2g} m explain: "
                    "check mount, line times and heights, e.g. with dronesense calibrate boresight"
                )
        account.overlaps.append(
            {
                "strips": f"{pair.first} and {pair.second}",
                "cells": pair.cells,
                "offset": told,
                "ce90_m": [round(stated[pair.first], 3), round(stated[pair.second], 3)],
            }
        )


def _of_targets(
    group: Sequence[StripView], rasters: Sequence[GroundRaster], account: Account
) -> list[tuple[GroundRaster, ...]]:
    """Return the mosaic of each target that more than one strip has a raster of."""
    names = {each.name: each for each in group}
    targets: dict[str, list[GroundRaster]] = {}
    for raster in rasters:
        cube, _, target = raster.name.partition("__")
        if cube in names and raster.values.shape == names[cube].ce90_m.shape:
            targets.setdefault(target, []).append(raster)
    found: list[tuple[GroundRaster, ...]] = []
    for target, own in targets.items():
        if len(own) > 1:
            strips = [_strip(names[each.name.partition("__")[0]], each) for each in own]
            with account.rejecting(f"mosaic of {target}"):
                made = mosaic.mosaic(strips, name=f"mosaic__{target}")
                found.append((made.values, made.strip, made.ce90_m))
    return found
