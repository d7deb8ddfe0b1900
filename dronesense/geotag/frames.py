"""Pixels of frame cameras -> places in a metric CRS with status and covariance; and ground points -> pixels.

A pose states where the camera's *body* was and how it was turned; the mount says how the camera sits in it.
Poses of the camera itself (from a gimbal, or an adjustment: :func:`dronesense.geotag.orientation.poses_of`)
go with the mount ``"nadir"``.

Adjustments in the plane of a map (omega, phi, kappa; SfM in map coordinates) treat grid and height as a
Cartesian space: scale and curvature have gone into their poses. `plane=True` follows their rays in that
space; it is exact for such poses and for them alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense import geodesy
from dronesense.errors import CoverageError
from dronesense.geotag import camera as mounts
from dronesense.geotag import uncertainty
from dronesense.geotag.frame_camera import optics, pixel_directions, pixels_of, row_times
from dronesense.geotag.locate import MAX_ATTITUDE_GAP_S, meet
from dronesense.geotag.orientation import (
    ENU_TO_NED,
    axis_rotation,
    matrix_to_wxyz,
    poses_of,
    rotation_gimbal_to_ned,
)
from dronesense.geotag.poses import Poses, interpolate
from dronesense.geotag.terrain import HIT, NO_TRAJECTORY, NOT_DOWN, Hits, intersect, surface_of
from dronesense.model import FrameCamera, GroundPoints, Instrument, Mount, Terrain, Trajectory
from dronesense.model.orientation import PictureOrientation

GIMBAL_SIGMA_DEG: Final = 1.0
"""Standard uncertainty of the angles that a camera's gimbal writes, about each axis, degrees.

Four pictures of a DJI Phantom 4 RTK were turned by 0.8 to 1.4 degrees in all against their adjustment by
structure from motion: 0.5 to 0.8 about each axis (tests/test_gimbal_pictures.py)."""
_CORNERS: Final = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]])
_LEVEL: Final = Mount()
_SHUTTER_ROUNDS: Final = 20
"""Each round shrinks the error of a row by the share of a row that the picture moves in a row's time."""
_SHUTTER_DONE_PX: Final = 1e-6

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """Rays of pixels and where they met the ground; those of unknown poses or pixels are left out."""

    lit: NDArray[np.bool_]
    pose: Ints
    direction: Floats
    hits: Hits
    frames: geodesy.TangentFrames


def shutter_poses(
    camera: FrameCamera,
    row: ArrayLike,
    *,
    time: int,
    trajectory: Trajectory,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
) -> tuple[Poses, Ints]:
    """Return the poses at which rows of a picture were exposed, and which of them each row has.

    Parameters
    ----------
    camera : FrameCamera
        Its rows may be exposed one after the other.
    row : (k,) array_like
        Fractional rows.
    time : int
        Stamp of the picture, UTC ns.
    trajectory : Trajectory
        Of the body that carries the camera.
    max_gap_s : float
        Longest interval between navigation samples that is bridged, s.

    Returns
    -------
    poses : Poses
        One for each different time.
    pose_of : (k,) int64
    """
    at, pose_of = np.unique(row_times(camera, time, row), return_inverse=True)
    return interpolate(trajectory, at, max_gap_s=max_gap_s), pose_of.astype(np.int64).reshape(-1)


def picture(
    pixels: ArrayLike,
    *,
    time: int,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
    gimbal_deg: tuple[float, float, float] | None = None,
) -> dict[str, Any]:
    """Return what :func:`locate_frame_pixels` and :func:`frame_footprints` ask of a picture taken at *time*.

    The pose of each row is that of the track at its time. Of a camera on a gimbal the track gives the place
    and *gimbal_deg*, yaw, pitch and roll as the picture states them, how it was turned, with an uncertainty
    of :data:`GIMBAL_SIGMA_DEG`; the track then needs no attitude.

    Raises
    ------
    CoverageError
        If the lens is not known.
    ManifestError
        If the mount is unknown, or a gimbal whose angles are not given.
    """
    if not isinstance(instrument.spec, FrameCamera):
        raise TypeError(f"{instrument.id} is no frame camera")
    optics(instrument.spec)
    turned = gimbal_deg if instrument.mount.rotation == mounts.GIMBAL else None
    if turned is None:
        mounts.camera_to_body(instrument.mount)
    row = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)[:, 0]
    poses, pose_of = shutter_poses(
        instrument.spec, row, time=time, trajectory=trajectory, max_gap_s=max_gap_s
    )
    return {
        "camera": instrument.spec,
        "poses": poses if turned is None else _turned(poses, turned),
        "pose_of": pose_of,
        "mount": instrument.mount,
        "terrain": terrain,
        "crs": crs,
    }


def adjusted(
    orientation: PictureOrientation, instrument: Instrument, *, time: int, terrain: Terrain, crs: str
) -> dict[str, Any]:
    """Return what :func:`locate_frame_pixels` and its kin ask of a picture that an adjustment placed.

    Its rays are followed in the plane of the map where pose, ground and result have one CRS.

    Raises
    ------
    CoverageError
        If the lens is not known.
    """
    if not isinstance(instrument.spec, FrameCamera):
        raise TypeError(f"{instrument.id} is no frame camera")
    optics(instrument.spec)
    table = orientation.table
    poses = poses_of(
        table,
        std_m=(orientation.sigma_m,) * 3,
        std_deg=(orientation.sigma_deg,) * 3,
        time=np.array([time], dtype=np.int64),
    )
    metric = geodesy.check_crs(crs)
    of_map = [geodesy.check_crs(each) for each in (table.crs, terrain.crs) if each]
    return {
        "camera": instrument.spec,
        "poses": poses,
        "mount": _LEVEL,
        "terrain": terrain,
        "crs": crs,
        "plane": bool(table.crs) and all(each == metric for each in of_map),
    }


def _turned(poses: Poses, gimbal_deg: tuple[float, float, float]) -> Poses:
    """Return *poses* with the attitude of a camera on a gimbal."""
    yaw, pitch, roll = gimbal_deg
    attitude = matrix_to_wxyz(rotation_gimbal_to_ned(yaw, pitch, roll))
    sigma = np.full((len(poses), 3), GIMBAL_SIGMA_DEG)
    slow = None if poses.slow is None else np.hstack([poses.slow[:, :3], sigma**2])
    return replace(
        poses,
        attitude=np.broadcast_to(attitude, (len(poses), 4)).copy(),
        rate=np.zeros((len(poses), 3)),
        std_rpy_deg=sigma,
        slow=slow,
    )


def locate_frame_pixels(
    pixels: ArrayLike,
    *,
    camera: FrameCamera,
    poses: Poses,
    terrain: Terrain,
    crs: str,
    mount: Mount = _LEVEL,
    pose_of: ArrayLike | None = None,
    plane: bool = False,
    clock_sigma_s: float = 0.0,
    rig: str = "",
) -> GroundPoints:
    """Locate pixels of a frame camera on the ground.

    Parameters
    ----------
    pixels : (k, 2) array_like
        Row and column, the center of a pixel being the integers.
    camera : FrameCamera
        With a lens.
    poses : Poses
        Of the body, see :func:`shutter_poses`; of the camera itself from
        :func:`dronesense.geotag.orientation.poses_of`.
    terrain : Terrain
        In any CRS; in that of the result for `plane`.
    crs : str
        Metric CRS of the result.
    mount : Mount
        How the camera sits in the body; a gimbal is taken as ``"nadir"``: its poses are the camera's own.
    pose_of : (k,) array_like or None
        Which pose each pixel has; None: all have the first.
    plane : bool
        Poses are from an adjustment in the axes of `crs`.
    clock_sigma_s : float
        Standard uncertainty of the exposure times against the trajectory.
    rig : str
        Whose errors of mounting the points share.

    Returns
    -------
    GroundPoints
        With the full covariance and its parts. Pixels beyond the fold of the lens have the status of rays
        that do not go down.

    Raises
    ------
    CoverageError
        If the lens is not known, or most poses lie below the terrain; for `plane` if the terrain has another
        CRS.
    ManifestError
        If `crs` is not metric, or the mount is unknown.
    """
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    mount = mounts.for_own_attitude(mount)
    sight = _look(pixels, camera, poses, mount, terrain, crs, _index(pose_of, len(pixels)), plane)
    hits, k = sight.hits, len(pixels)
    cov, own = np.full((k, 2, 2), np.nan), np.full((k, 2, 2), np.nan)
    shared = np.full((k, 2, uncertainty.SHARED_ERRORS), np.nan)
    hit = np.flatnonzero(hits.status == HIT)
    if hit.size:
        turn = mounts.camera_to_body(mount)
        across, down = (_steps(camera, pixels[hit], axis) @ turn.T for axis in (1, 0))
        of_hit = poses.take(sight.pose[hit])
        look = uncertainty.Look(
            of_hit,
            sight.direction[hit],
            hits.distance_m[hit],
            hits.normal[hit],
            sight.frames.linear[sight.pose[hit], :2],
            (of_hit.rotation @ across[:, :, None])[..., 0],
            np.zeros(hit.size),
            (of_hit.rotation @ down[:, :, None])[..., 0],
        )
        budget = uncertainty.error_budget(
            look, mount=mount, clock_sigma_s=clock_sigma_s, terrain_sigma_m=terrain.sigma_m
        )
        cov[hit], own[hit], shared[hit] = budget.common + budget.pixel, budget.pixel, budget.shared
    place = (hits.x, hits.y, hits.height_m, cov, hits.status, geodesy.check_crs(crs), poses.time[sight.pose])
    return GroundPoints(*place, cov_own=own, shared=shared, rig=rig)


def frame_footprints(
    pixels: ArrayLike,
    *,
    camera: FrameCamera,
    poses: Poses,
    terrain: Terrain,
    crs: str,
    mount: Mount = _LEVEL,
    pose_of: ArrayLike | None = None,
    plane: bool = False,
) -> Floats:
    """Return the corners (k, 4, 2) of pixels in `crs`, in ring order; NaN where a corner finds no ground.

    The parameters are those of :func:`locate_frame_pixels`.
    """
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    corners = (pixels[:, None, :] + _CORNERS).reshape(-1, 2)
    pose = np.repeat(_index(pose_of, len(pixels)), len(_CORNERS))
    sight = _look(corners, camera, poses, mounts.for_own_attitude(mount), terrain, crs, pose, plane)
    return np.column_stack([sight.hits.x, sight.hits.y]).reshape(-1, 4, 2)


def frame_places(
    pixels: ArrayLike,
    *,
    camera: FrameCamera,
    poses: Poses,
    terrain: Terrain,
    crs: str,
    mount: Mount = _LEVEL,
    pose_of: ArrayLike | None = None,
    plane: bool = False,
) -> tuple[Floats, Floats]:
    """Return easting and northing (k,) of pixels without their uncertainty; NaN where a ray finds no ground.

    The parameters are those of :func:`locate_frame_pixels`.
    """
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    pose = _index(pose_of, len(pixels))
    hits = _look(pixels, camera, poses, mounts.for_own_attitude(mount), terrain, crs, pose, plane).hits
    return hits.x, hits.y


def project_points(
    x: ArrayLike,
    y: ArrayLike,
    height_m: ArrayLike,
    *,
    camera: FrameCamera,
    poses: Poses,
    crs: str,
    mount: Mount = _LEVEL,
    pose_of: ArrayLike | None = None,
    plane: bool = False,
    folded: bool = False,
) -> Floats:
    """Return the pixels (row, col) on which ground points fall, whether in sight or hidden.

    Parameters
    ----------
    x, y, height_m : (k,) array_like
        In `crs`, and above the ellipsoid.
    camera, poses, mount, pose_of, plane
        As for :func:`locate_frame_pixels`.
    crs : str
        Any CRS; a metric one for `plane`.
    folded : bool
        As in :func:`dronesense.model.lens.project`.

    Returns
    -------
    (k, 2) float64
        Also outside of the picture; NaN behind the camera and beyond the fold of its lens.
    """
    x, y, height_m = (np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in (x, y, height_m))
    pose = _index(pose_of, len(x))
    mount = mounts.for_own_attitude(mount)
    center, frames = _stand(poses, mount, crs, plane=plane)
    if plane:
        shift = np.column_stack([x, y, height_m]) - frames.origin[pose]
        ned = (np.swapaxes(frames.linear, 1, 2)[pose] @ shift[:, :, None])[..., 0]
    else:
        lon, lat = geodesy.to_lonlat(x, y, crs)
        shift = geodesy.to_ecef(lon, lat, height_m) - geodesy.to_ecef(*center)[pose]
        axes = geodesy.ned_axes(*center[:2])
        ned = (np.swapaxes(axes, 1, 2)[pose] @ shift[:, :, None])[..., 0]
    to_ned = poses.rotation @ mounts.camera_to_body(mount)
    return pixels_of(camera, (np.swapaxes(to_ned, 1, 2)[pose] @ ned[:, :, None])[..., 0], folded=folded)


def project_to_picture(
    x: ArrayLike,
    y: ArrayLike,
    height_m: ArrayLike,
    *,
    camera: FrameCamera,
    time: int,
    trajectory: Trajectory,
    crs: str,
    mount: Mount = _LEVEL,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
) -> Floats:
    """Return the pixels of ground points in a picture whose rows were exposed one after the other.

    The row of a point decides when it was seen, and that where it falls: iterated until rows stand still to
    1e-6 px; NaN where they do not. Other parameters as for :func:`shutter_poses` and :func:`project_points`.
    """
    x, y, height_m = (np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in (x, y, height_m))
    row = np.full(len(x), float(camera.row_reference))
    pixels = np.full((len(x), 2), np.nan)
    left = np.arange(len(x))
    for _ in range(_SHUTTER_ROUNDS):
        poses, pose_of = shutter_poses(
            camera, row[left], time=time, trajectory=trajectory, max_gap_s=max_gap_s
        )
        found = project_points(
            x[left],
            y[left],
            height_m[left],
            camera=camera,
            poses=poses,
            crs=crs,
            mount=mount,
            pose_of=pose_of,
        )
        still = np.abs(found[:, 0] - row[left]) <= _SHUTTER_DONE_PX
        pixels[left[still]] = found[still]
        moving = ~still & np.isfinite(found[:, 0])
        left = left[moving]
        row[left] = found[moving, 0]
        if not left.size:
            break
    return pixels


def _index(pose_of: ArrayLike | None, k: int) -> Ints:
    return np.zeros(k, dtype=np.int64) if pose_of is None else np.asarray(pose_of, dtype=np.int64)


def _steps(camera: FrameCamera, pixels: Floats, axis: int) -> Floats:
    """Return the change (k, 3) of directions from one edge of pixels to the other along rows or columns."""
    half = np.zeros(2)
    half[axis] = 0.5
    change = pixel_directions(camera, pixels + half) - pixel_directions(camera, pixels - half)
    return np.asarray(np.nan_to_num(change))  # at the fold half a pixel has no direction: it has no size


def _stand(
    poses: Poses, mount: Mount, crs: str, *, plane: bool
) -> tuple[tuple[Floats, Floats, Floats], geodesy.TangentFrames]:
    """Return projection centers (lon, lat, height) and the maps of their surroundings into *crs*."""
    arm = poses.rotation @ np.asarray(mount.lever_arm_m)
    center = (poses.lon, poses.lat, poses.height_m)
    if arm.any():
        center = geodesy.displace(*center, arm)
    if not plane:
        return center, geodesy.tangent_frames(*center, crs)
    crs = geodesy.check_crs(crs, metric=True)
    convergence, _, _ = geodesy.grid_factors(*center[:2], crs)
    x, y = geodesy.to_grid(*center[:2], crs)
    linear = ENU_TO_NED @ axis_rotation(-np.degrees(convergence), 2)
    quadratic = np.zeros((len(x), 3, 6))
    return center, geodesy.TangentFrames(np.column_stack([x, y, center[2]]), linear, quadratic)


def _look(
    pixels: Floats,
    camera: FrameCamera,
    poses: Poses,
    mount: Mount,
    terrain: Terrain,
    crs: str,
    pose: Ints,
    plane: bool,
) -> _Sight:
    """Follow the rays of pixels to the ground."""
    crs = geodesy.check_crs(crs, metric=True)
    to_ned = poses.rotation @ mounts.camera_to_body(mount)
    seen = pixel_directions(camera, pixels)
    known = poses.ok & np.isfinite(poses.height_m) & np.isfinite(poses.attitude).all(axis=1)
    _refuse_unknown(poses, known)
    standing = np.cumsum(known) - 1
    lit = known[pose] & np.isfinite(seen).all(axis=1)
    direction = np.full(seen.shape, np.nan)
    direction[lit] = (to_ned[pose[lit]] @ seen[lit, :, None])[..., 0]
    center, frames = _stand(poses.take(np.flatnonzero(known)), mount, crs, plane=plane)
    frame = standing[pose[lit]]
    if plane:
        if not terrain.is_flat and geodesy.check_crs(terrain.crs) != crs:
            raise CoverageError(
                f"poses adjusted in the axes of {crs} need a terrain in the same CRS",
                where=terrain.source,
                fix=f"warp the terrain to {crs}",
            )
        hits = intersect(surface_of(terrain), frames, frame, direction[lit])
    else:
        hits = meet(center, frame, direction[lit], terrain, crs)
    every = np.full((len(poses), 2, 3), np.nan)
    every[known] = frames.linear[:, :2]
    spread = geodesy.TangentFrames(np.full((len(poses), 3), np.nan), every, np.zeros((len(poses), 2, 6)))
    return _Sight(lit, pose, direction, _spread(hits, lit, known[pose]), spread)


def _refuse_unknown(poses: Poses, known: NDArray[np.bool_]) -> None:
    if known.any() or not poses.ok.any():
        return
    raise CoverageError(
        "no exposure has both a height above the ellipsoid and an attitude, so pixels cannot be placed",
        fix="give a log with attitude, or the angles of the gimbal, and what heights refer to",
    )


def _spread(hits: Hits, lit: NDArray[np.bool_], posed: NDArray[np.bool_]) -> Hits:
    """Return *hits* of the rays in *lit* in their places among all."""

    def over(values: Floats) -> Floats:
        wide = np.full((len(lit), *values.shape[1:]), np.nan)
        wide[lit] = values
        return wide

    status = np.where(posed, NOT_DOWN, NO_TRAJECTORY).astype(np.uint8)
    status[lit] = hits.status
    return Hits(
        over(hits.x), over(hits.y), over(hits.height_m), over(hits.distance_m), over(hits.normal), status
    )
