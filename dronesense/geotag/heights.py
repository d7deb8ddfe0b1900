"""Heights onto the ellipsoid: by the log's own undulation, a geoid model, or the ground at take-off.

A height is above something, and the log or the user says above what; nothing is guessed. Every step leaves a
line in the history, and a warning where it rests on an assumption.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.errors import CoverageError, ManifestError
from dronesense.geodesy.geoid import GeoidGrid, undulation
from dronesense.geotag.course import ground_velocity
from dronesense.geotag.terrain import surface_of
from dronesense.model import Terrain, Trajectory
from dronesense.model.trajectory import HeightRef

RECEIVER_GEOID_SIGMA_M: Final = 1.5
"""Standard uncertainty of "the receiver's mean sea level is EGM96": receivers hold coarse tables; they were
0.03 m, 0.5 m and 1.5 m off in three logs (docs/methods/heights.md)."""
EGM96_SIGMA_M: Final = 0.04
"""Who writes EGM96 heights mostly interpolates linearly in the 15' grid: rms difference from the series."""
EGM2008_SIGMA_M: Final = 0.02
"""The same for a grid of the user's choice."""
FOREIGN_GRID_M: Final = 5.0
"""A user's geoid farther from EGM96 than this is doubted; EGM2008 and EGM96 differ by 1 m or so."""
START_SPEED_M_S: Final = 2.0
"""An aircraft that is faster in its first sample does not stand on the ground."""

Floats = NDArray[np.float64]
Statement = Literal["auto", "ellipsoid", "egm96", "egm2008", "takeoff"]

_NEEDS_GRID: Final = 'name a grid of EGM2008 (.gtx or .tif) as geoid = "..." in [track]'


def to_ellipsoid(
    trajectory: Trajectory, *, height_ref: Statement, terrain: Terrain | None, geoid: GeoidGrid | None = None
) -> tuple[Trajectory, tuple[str, ...]]:
    """Return *trajectory* with `height_m` above the ellipsoid, and what to warn of.

    Parameters
    ----------
    trajectory : Trajectory
        As the log gave it.
    height_ref : str
        ``"auto"``: what the log derived itself stays; else what its `height_ref` says is converted.
        ``"ellipsoid"``, ``"egm96"``, ``"egm2008"``, ``"takeoff"``: what the source's heights count from,
        whatever the log says. Heights from take-off count from the first sample, which stands on the terrain.
    terrain : Terrain or None
        Needed for ``"takeoff"``.
    geoid : GeoidGrid, optional
        A geoid of the user's choice, in place of the packaged EGM96; needed for ``"egm2008"``.

    Returns
    -------
    trajectory : Trajectory
        With `height_ref` as stated and `std_ned_m` grown by the uncertainty of the step. `height_m` stays NaN
        where nothing says what the heights refer to.
    warnings : tuple of str
        What was assumed, or what is missing and how to supply it.

    Raises
    ------
    ManifestError
        If what is stated needs a geoid or a ground that is not given.
    CoverageError
        If the log holds no heights, the geoid does not cover the track, or the terrain has no height at the
        take-off place.
    """
    if height_ref == "auto":
        return _by_itself(trajectory, terrain, geoid)
    if not np.isfinite(trajectory.height_source_m).any():
        raise CoverageError("the log holds no heights", where=trajectory.source)
    says, warnings = "as stated in [track] height_ref", list[str]()
    if height_ref == "ellipsoid":
        stated = _with_height(
            trajectory, trajectory.height_source_m, "ellipsoid", f"heights: ellipsoidal, {says}"
        )
    elif height_ref == "egm96" or height_ref == "egm2008":
        stated, warnings = _from_geoid(trajectory, height_ref, geoid, says)
    elif height_ref == "takeoff":
        stated, warnings = _from_takeoff(trajectory, terrain, says)
    else:
        raise ValueError(f"height_ref must be one of {get_args(Statement)}, not {height_ref!r}")
    change = stated.height_m - trajectory.height_m
    shift = float(np.median(change[np.isfinite(change)])) if np.isfinite(change).any() else 0.0
    if abs(shift) > EGM96_SIGMA_M:
        warnings.append(
            f'[track] height_ref = "{height_ref}" overrides the log: heights are {abs(shift):.2f} m '
            f"{'higher' if shift > 0 else 'lower'} than the log itself has them"
        )
    return stated, tuple(warnings)


def _by_itself(
    trajectory: Trajectory, terrain: Terrain | None, geoid: GeoidGrid | None
) -> tuple[Trajectory, tuple[str, ...]]:
    """Convert what the log's own word allows."""
    reference, says, warnings = trajectory.height_ref, "as the log says", list[str]()
    stated = trajectory
    if np.isfinite(trajectory.height_m).any() or not np.isfinite(trajectory.height_source_m).any():
        return stated, ()
    if reference == "ellipsoid":
        stated = _with_height(
            trajectory, trajectory.height_source_m, reference, f"heights: ellipsoidal, {says}"
        )
    elif reference == "egm2008" and geoid is None:
        warnings = [f"heights are above EGM2008, {says}, which is not packaged: {_NEEDS_GRID}"]
    elif reference in ("egm96", "egm2008", "receiver-geoid"):
        stated, warnings = _from_geoid(trajectory, reference, geoid, says)
    elif reference == "takeoff":
        try:
            stated, warnings = _from_takeoff(trajectory, terrain, says)
        except (ManifestError, CoverageError) as error:
            warnings = [f"heights count from take-off, {says}, and stay unknown: {error}"]
    return stated, tuple(warnings)  # of heights above something unknown the reader has told


def _from_geoid(
    trajectory: Trajectory, reference: HeightRef, geoid: GeoidGrid | None, says: str
) -> tuple[Trajectory, list[str]]:
    """Add undulations to the heights of the source."""
    if reference == "egm2008" and geoid is None:
        raise ManifestError('[track] height_ref = "egm2008": EGM2008 is not packaged', fix=_NEEDS_GRID)
    lift = undulation(trajectory.lon, trajectory.lat, grid=geoid)
    model = "EGM96" if geoid is None else geoid.name
    warnings = [] if geoid is None else _doubt_grid(trajectory, lift, geoid)
    size = float(np.median(lift))
    sigma = EGM96_SIGMA_M if reference == "egm96" else EGM2008_SIGMA_M
    if reference == "receiver-geoid":
        sigma = RECEIVER_GEOID_SIGMA_M
        warnings.append(
            f"the log states heights above mean sea level as its receiver computes it, and no undulation: "
            f"{model} is used ({size:+.2f} m), with a standard uncertainty of {sigma:g} m"
        )
    note = f"heights: {reference} {says}, brought to the ellipsoid by {model} ({size:+.2f} m)"
    height = trajectory.height_source_m + lift
    return _with_height(trajectory, height, reference, note, sigma_m=sigma), warnings


def _doubt_grid(trajectory: Trajectory, lift: Floats, geoid: GeoidGrid) -> list[str]:
    """Compare the user's geoid with EGM96, which is never far from the truth."""
    apart = float(np.median(lift - undulation(trajectory.lon, trajectory.lat)))
    if abs(apart) <= FOREIGN_GRID_M:
        return []
    side = "above" if apart > 0 else "below"
    remark = "it does not seem to hold undulations above the WGS84 ellipsoid in m"
    return [f"{geoid.name} lies {abs(apart):.1f} m {side} EGM96 here: {remark}"]


def _from_takeoff(trajectory: Trajectory, terrain: Terrain | None, says: str) -> tuple[Trajectory, list[str]]:
    """Stand the first sample with a height on the terrain."""
    if terrain is None:
        raise ManifestError(
            'height_ref = "takeoff" needs the ground',
            fix="name a height model in [terrain], or set its height_m",
        )
    first = int(np.flatnonzero(np.isfinite(trajectory.height_source_m))[0])
    ground = float(ground_below(trajectory, terrain)[first])
    if not np.isfinite(ground):
        raise CoverageError(
            "has no height at the take-off place",
            where=terrain.source,
            fix="use a height model that covers the take-off place",
        )
    warnings = []
    speed = float(np.hypot(*ground_velocity(trajectory)[first]))
    if speed > START_SPEED_M_S:
        warnings.append(
            f"heights count from take-off, but the log starts in flight ({speed:.1f} m/s): its first sample "
            "was put on the ground, so all heights are too low by its height above it"
        )
    height = trajectory.height_source_m - trajectory.height_source_m[first] + ground
    note = f"heights: counted from take-off {says}, which stands on the terrain at {ground:.2f} m"
    return _with_height(trajectory, height, "takeoff", note, sigma_m=terrain.sigma_m), warnings


def _with_height(
    trajectory: Trajectory, height: Floats, reference: HeightRef, note: str, *, sigma_m: float = 0.0
) -> Trajectory:
    std = trajectory.std_ned_m.copy()
    std[:, 2] = np.hypot(std[:, 2], sigma_m)
    return dataclasses.replace(
        trajectory,
        height_m=height,
        height_ref=reference,
        std_ned_m=std,
        history=(*trajectory.history, note),
    )


def flat_ground(
    height_m: float,
    *,
    height_ref: Literal["ellipsoid", "egm96", "egm2008"],
    lon: float,
    lat: float,
    sigma_m: float,
    source: str,
    geoid: GeoidGrid | None = None,
) -> Terrain:
    """Return flat ground of a stated height, which may be above the geoid.

    Parameters
    ----------
    height_m : float
        As stated.
    height_ref : {"ellipsoid", "egm96", "egm2008"}
        What it counts from.
    lon, lat : float
        A place of the flight: there the undulation is taken.
    sigma_m : float
        Standard uncertainty.
    source : str
        How the height was chosen.
    geoid : GeoidGrid, optional
        As in :func:`to_ellipsoid`.
    """
    lift = 0.0
    if height_ref == "egm2008" and geoid is None:
        raise ManifestError('[terrain] height_ref = "egm2008": EGM2008 is not packaged', fix=_NEEDS_GRID)
    if height_ref != "ellipsoid":
        lift = float(undulation(lon, lat, grid=geoid))
        source = f"{source}, {lift:+.2f} m to the ellipsoid"
    return Terrain.flat(height_m + lift, sigma_m=sigma_m, source=source)


def surface_heights(terrain: Terrain, x: Floats, y: Floats, crs: str) -> Floats:
    """Return the height of the terrain at places of a metric CRS, m; NaN where it has none."""
    if not terrain.is_flat and terrain.crs != crs:
        x, y = geodesy.transform(x, y, crs, terrain.crs)
    return surface_of(terrain).height_at(x, y)


def ground_below(trajectory: Trajectory, terrain: Terrain) -> Floats:
    """Return the height of the terrain below every sample, m; NaN where it has none."""
    surface = surface_of(terrain)
    x, y = trajectory.lon, trajectory.lat
    if not terrain.is_flat:
        x, y = geodesy.to_grid(x, y, terrain.crs)
    return surface.height_at(x, y)
