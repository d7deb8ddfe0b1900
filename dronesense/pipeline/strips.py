"""The push-broom strips of a flight: tracks, line times, and a picture of each to recognize places by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError, ManifestError
from dronesense.geotag.boresight import Strip
from dronesense.geotag.tie_points import Picture
from dronesense.model import Flight, Instrument, LineCamera, LineScan, SpectralCube, Terrain
from dronesense.model.cube import fold
from dronesense.pipeline.account import Account
from dronesense.pipeline.site import Site

PICTURE_BANDS: Final = 8
"""Bands whose mean is the picture, spread evenly over the good ones."""
LINES_AT_ONCE: Final = 64
"""Lines in memory at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Strips:
    """Strips of one camera, the ground below, and why cubes were left out."""

    strips: tuple[Strip, ...]
    cubes: tuple[SpectralCube, ...]
    instrument: Instrument
    terrain: Terrain
    crs: str
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    time_offset_s: float = 0.0

    def pictures(self) -> list[Picture]:
        """Read the strips as pictures, some lines at a time."""
        return [Picture(strip, picture_of(cube)) for strip, cube in zip(self.strips, self.cubes, strict=True)]


def strips_of(flight: Flight) -> Strips:
    """Return the push-broom strips of *flight*, all of one camera.

    Raises
    ------
    CoverageError
        If there is none.
    ManifestError
        If they are of several cameras.
    """
    account = Account(flight)
    site = Site(flight, account)
    strips, cubes, skipped, cameras = [], [], [], {}
    time_offset_s = 0.0
    for given in flight.cubes:
        scan = given.cube.geometry
        if not isinstance(scan, LineScan):
            skipped.append((given.cube.path, "is no push-broom cube with line times"))
        elif given.instrument is None or not isinstance(given.instrument.spec, LineCamera):
            skipped.append((given.cube.path, "its optics and mount are not known"))
        else:
            cameras[given.instrument.id] = given.instrument
            time_offset_s = 0.0 if given.calibration is None else given.calibration.time_offset_s
            strips.append(Strip(given.cube.name, scan.time, site.trajectory))
            cubes.append(given.cube)
    if not strips:
        told = "; ".join(f"{path} {reason}" for path, reason in skipped) or "there is no cube"
        raise CoverageError(f"the flight has no strip: {told}", where=flight.root)
    if len(cameras) > 1:
        raise ManifestError(
            f"the strips are of several cameras: {', '.join(sorted(cameras))}",
            where=flight.root,
            fix="calibrate one camera at a time: leave the cubes of the others out",
        )
    (instrument,) = cameras.values()
    terrain = site.terrain
    return Strips(
        tuple(strips),
        tuple(cubes),
        instrument,
        terrain,
        site.crs,
        tuple(skipped),
        tuple(account.warnings),
        time_offset_s,
    )


def picture_of(cube: SpectralCube) -> NDArray[np.float32]:
    """Return the mean (rows, cols) of some bands as stored; NaN where not valid."""
    rows, _, cols = cube.shape
    good = np.flatnonzero(cube.bands.good)
    bands = good[np.unique(np.linspace(0, len(good) - 1, min(PICTURE_BANDS, len(good))).round().astype(int))]
    read = fold(cube.source).read
    picture = np.empty((rows, cols), dtype=np.float32)
    for start in range(0, rows, LINES_AT_ONCE):
        stop = min(start + LINES_AT_ONCE, rows)
        stored, valid = read(start, stop)
        mean = stored[:, bands].astype(np.float32).mean(axis=1)
        picture[start:stop] = np.where(valid, mean, np.float32(np.nan))
    return picture
