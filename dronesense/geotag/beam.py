"""Where the beam of a laser that measures a column met the ground, how long it was, and how steep.

A column belongs to the whole light path, and what it says of a place it says of the path's foot: it is mapped
at the footprint, not at the aircraft.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.geotag import camera, uncertainty
from dronesense.geotag.locate import MAX_ATTITUDE_GAP_S, MAX_POSITION_GAP_S, meet
from dronesense.geotag.poses import Poses, interpolate
from dronesense.geotag.terrain import HIT, NO_TRAJECTORY, NOT_DOWN
from dronesense.model import Beam, GasSeries, GroundPoints, Mount, Terrain, Trajectory

SIGMA_TILT_DEG: Final = 1.0
"""Standard uncertainty of roll, pitch and heading where the track states none, degrees."""
SIGMA_LEVEL_DEG: Final = 5.0
"""Of a beam that is taken to look straight down because nothing says how the aircraft was tilted."""
SIGMA_RANGE_M: Final = 0.3
"""Standard uncertainty of a measured range, m: of the rangefinder, and of leaves it looked through."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BeamPaths:
    """Light paths to the ground.

    Parameters
    ----------
    points : GroundPoints
        Where they ended.
    length_m, sigma_length_m : (k,) float64
        How long they were, and its standard uncertainty; NaN where the status of the point is not 0.
    cos_vertical, sigma_cos : (k,) float64
        Cosine of the angle between beam and vertical, and its standard uncertainty.
    measured : (k,) bool
        Whether the length was measured by the instrument; the others are by the terrain.
    leveled : bool
        Nothing told the attitude: the beams are taken to look straight down.
    """

    points: GroundPoints
    length_m: Floats
    sigma_length_m: Floats
    cos_vertical: Floats
    sigma_cos: Floats
    measured: NDArray[np.bool_]
    leveled: bool


def locate_beams(
    series: GasSeries,
    *,
    trajectory: Trajectory,
    mount: Mount,
    terrain: Terrain,
    crs: str,
    clock_sigma_s: float = 0.0,
    sigma_range_m: float = SIGMA_RANGE_M,
) -> BeamPaths:
    """Follow the beam of every sample of a column to the ground.

    The beam points where the file says (pitch and yaw of a stabilized gimbal), else along the mount's optical
    axis in the aircraft's attitude, else straight down. It ends where the measured range says, else where it
    meets the terrain.

    Parameters
    ----------
    series : GasSeries
        A column; its time already is UTC. `series.beam` holds what the file says of the path.
    trajectory : Trajectory
        Needs heights, unless every range is measured.
    mount : Mount
        Of the instrument; at ``"nadir"`` without boresight the beam points along body down.
    terrain : Terrain
        In any CRS.
    crs : str
        Metric CRS of the result.
    clock_sigma_s : float
        Standard uncertainty of the series' time against UTC; that of the trajectory's clock is added.
    sigma_range_m : float
        Standard uncertainty of a measured range.

    Raises
    ------
    CoverageError
        If the track lies below the terrain.
    """
    crs = geodesy.check_crs(crs, metric=True)
    said = series.beam or Beam()
    leveled = not np.isfinite(trajectory.attitude).any()
    gap = MAX_POSITION_GAP_S if leveled else MAX_ATTITUDE_GAP_S
    poses = _steady(interpolate(trajectory, series.time, max_gap_s=gap), leveled)
    direction = _directions(poses, mount, said)
    length = _told(said.length_m, len(poses))
    measured = np.isfinite(length) & (length > 0.0)
    ready = poses.ok & np.isfinite(direction).all(axis=1) & (measured | np.isfinite(poses.height_m))
    k, some = len(poses), np.flatnonzero(ready)
    x, y, height, found, sigma = (np.full(k, np.nan) for _ in range(5))
    normal, cov = np.full((k, 3), np.nan), np.full((k, 2, 2), np.nan)
    status = np.full(k, NO_TRAJECTORY, dtype=np.uint8)
    if some.size:
        at = poses.take(some)
        arm = at.rotation @ np.asarray(mount.lever_arm_m)
        start = geodesy.displace(at.lon, at.lat, np.nan_to_num(at.height_m), arm)
        hits = _ends(start, direction[some], np.where(measured, length, np.nan)[some], terrain, crs)
        x[some], y[some], height[some], found[some], normal[some], status[some] = hits
        height[~np.isfinite(poses.height_m)] = np.nan
        hit = status[some] == HIT
        # A plane across the beam moves along it by the range's error if it rises by that over the sine.
        each = np.where(measured[some], sigma_range_m / np.abs(direction[some, 2]), terrain.sigma_m)
        rays = (at.take(np.flatnonzero(hit)), direction[some][hit], found[some][hit], normal[some][hit])
        clock = float(np.hypot(clock_sigma_s, trajectory.clock.sigma_s))
        cov[some[hit]] = _covariance(rays, tuple(part[hit] for part in start), mount, clock, each[hit], crs)
        sigma[some[hit]] = np.where(measured[some][hit], sigma_range_m, _length_sigma(rays, mount, terrain))
    steep = np.clip(direction[:, 2], 0.0, 1.0)
    points = GroundPoints(x, y, height, cov, status, crs, series.time)
    lost = status != HIT
    sigma_cos = np.sqrt(1.0 - steep**2) * _tilt(poses, mount)
    for part in (found, sigma, steep, sigma_cos):
        part[lost] = np.nan
    return BeamPaths(points, found, sigma, steep, sigma_cos, measured, leveled)


def _told(values: Floats | None, k: int) -> Floats:
    return np.full(k, np.nan) if values is None else values


def _steady(poses: Poses, leveled: bool) -> Poses:
    """Return the poses with an uncertainty of attitude, and a level attitude where none is known at all."""
    std = poses.std_rpy_deg
    if not leveled:
        return replace(poses, std_rpy_deg=np.where(np.isfinite(std), std, SIGMA_TILT_DEG))
    attitude = np.tile([1.0, 0.0, 0.0, 0.0], (len(poses), 1))
    return replace(poses, attitude=attitude, std_rpy_deg=np.full_like(std, SIGMA_LEVEL_DEG))


def _directions(poses: Poses, mount: Mount, said: Beam) -> Floats:
    """Return the unit vectors north, east, down along which the beams look; NaN where nothing tells."""
    rotation = poses.rotation
    direction = np.asarray(rotation @ camera.camera_to_body(mount)[:, 2])
    pitch = np.radians(_told(said.pitch_deg, len(poses)))
    heading = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    yaw = np.radians(_told(said.yaw_deg, len(poses)))
    yaw = np.where(np.isfinite(yaw), yaw, heading)
    stated = np.column_stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), -np.sin(pitch)])
    return np.where(np.isfinite(pitch)[:, None], stated, direction)


def _ends(
    start: tuple[Floats, Floats, Floats], direction: Floats, length: Floats, terrain: Terrain, crs: str
) -> tuple[Floats, Floats, Floats, Floats, Floats, NDArray[np.uint8]]:
    """Return x, y, height, distance, normal and status: at the measured *length*, else on the terrain."""
    lon, lat, height = geodesy.displace(*start, np.nan_to_num(length)[:, None] * direction)
    x, y = geodesy.to_grid(lon, lat, crs)
    normal, distance = -direction, length.copy()
    status = np.where(direction[:, 2] > 0.0, HIT, NOT_DOWN).astype(np.uint8)
    open_end = np.flatnonzero(np.isnan(length))
    if open_end.size:
        origin = tuple(part[open_end] for part in start)
        hits = meet(
            (origin[0], origin[1], origin[2]), np.arange(open_end.size), direction[open_end], terrain, crs
        )
        x[open_end], y[open_end], height[open_end] = hits.x, hits.y, hits.height_m
        distance[open_end], normal[open_end], status[open_end] = hits.distance_m, hits.normal, hits.status
    missed = status != HIT
    for part in (x, y, height, distance):
        part[missed] = np.nan
    return x, y, height, distance, normal, status


_Rays = tuple[Poses, Floats, Floats, Floats]
"""Poses, directions, lengths and ground normals."""


def _covariance(
    rays: _Rays, start: tuple[Floats, ...], mount: Mount, clock_s: float, sigma_m: Floats, crs: str
) -> Floats:
    """Return the covariance (k, 2, 2) of the footprints; a measured range ends on a plane across the beam."""
    poses, direction, distance, normal = rays
    frames = geodesy.tangent_frames(start[0], start[1], start[2], crs)
    still = np.zeros_like(direction)
    look = uncertainty.Look(
        poses, direction, distance, normal, frames.linear[:, :2], still, np.zeros(len(distance))
    )
    budget = uncertainty.error_budget(look, mount=mount, clock_sigma_s=clock_s, terrain_sigma_m=1.0)
    shared = budget.shared.copy()
    shared[:, :, -1] *= sigma_m[:, None]
    parts = np.concatenate([budget.navigation, shared], axis=2)
    return np.asarray(parts @ parts.transpose(0, 2, 1))


def _tilt(poses: Poses, mount: Mount) -> Floats:
    """Return the standard uncertainty of the beam's angle to the vertical, rad."""
    level = np.sqrt(np.mean(poses.std_rpy_deg[:, :2] ** 2, axis=1))
    return np.asarray(np.radians(np.hypot(level, mount.sigma_boresight_deg)))


def _length_sigma(rays: _Rays, mount: Mount, terrain: Terrain) -> Floats:
    """Return the standard uncertainty of lengths that the terrain gives: of heights, and of the tilt."""
    poses, direction, distance, normal = rays
    descent = -np.einsum("ki,ki->k", normal, direction)
    upright = -normal[:, 2] / descent
    heights = np.hypot(terrain.sigma_m, np.nan_to_num(poses.std_ned_m[:, 2])) * upright
    slant = np.sqrt(np.maximum(1.0 / np.maximum(descent, 1e-6) ** 2 - 1.0, 0.0))
    return np.asarray(np.hypot(heights, distance * slant * _tilt(poses, mount)))
