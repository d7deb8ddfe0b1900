"""Put a track's heights on the ellipsoid when the user says what the log's heights refer to."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.errors import CoverageError, ManifestError
from dronesense.geotag.terrain import surface_of
from dronesense.model import Terrain, Trajectory


def refer_heights(trajectory: Trajectory, *, height_ref: str, terrain: Terrain | None) -> Trajectory:
    """Return *trajectory* with `height_m` derived as *height_ref* says.

    Parameters
    ----------
    trajectory : Trajectory
        As the log gave it.
    height_ref : str
        ``"auto"``: leave what the reader derived; ``"ellipsoid"``: the source's heights are ellipsoidal;
        ``"takeoff"``: they count from the first sample, which stands on the terrain.
    terrain : Terrain or None
        Needed for ``"takeoff"``.

    Raises
    ------
    ManifestError
        If *height_ref* is not supported.
    CoverageError
        If the terrain has no height at the take-off place.
    """
    if height_ref == "auto":
        return trajectory
    if height_ref == "ellipsoid":
        height = trajectory.height_source_m
        note = "heights: ellipsoidal, as stated in [track] height_ref"
        return _with_height(trajectory, height, note)
    if height_ref == "takeoff":
        if terrain is None:
            raise ManifestError(
                '[track] height_ref = "takeoff" needs the ground',
                fix="name a height model in [terrain], or set its height_m",
            )
        ground = _ground_at_takeoff(trajectory, terrain)
        known = trajectory.height_source_m[np.isfinite(trajectory.height_source_m)]
        if not known.size:
            raise CoverageError("the log holds no heights", where=trajectory.source)
        note = f"heights: counted from take-off, which stands on the terrain at {ground:.2f} m"
        return _with_height(trajectory, trajectory.height_source_m - known[0] + ground, note)
    raise ManifestError(
        f'[track] height_ref = "{height_ref}" is not supported yet: no geoid model comes with this version',
        fix='use "auto" (the log\'s own undulation), "ellipsoid" or "takeoff"',
    )


def above_ground(trajectory: Trajectory, terrain: Terrain) -> float | None:
    """Return how far above the terrain the track starts, m; None where either is unknown."""
    if not np.isfinite(trajectory.height_m[0]):
        return None
    above = float(trajectory.height_m[0]) - _ground(trajectory, terrain)
    return above if np.isfinite(above) else None


def _ground_at_takeoff(trajectory: Trajectory, terrain: Terrain) -> float:
    ground = _ground(trajectory, terrain)
    if not np.isfinite(ground):
        raise CoverageError("has no height at the take-off place", where=terrain.source)
    return ground


def _ground(trajectory: Trajectory, terrain: Terrain) -> float:
    """Return the height of the terrain below the first sample of the track; NaN where it has none."""
    surface = surface_of(terrain)
    x, y = trajectory.lon[:1], trajectory.lat[:1]
    if not terrain.is_flat:
        x, y = geodesy.to_grid(x, y, terrain.crs)
    return float(surface.height_at(x, y)[0])


def _with_height(trajectory: Trajectory, height: NDArray[np.float64], note: str) -> Trajectory:
    return dataclasses.replace(
        trajectory, height_m=height, height_ref="ellipsoid", history=(*trajectory.history, note)
    )
