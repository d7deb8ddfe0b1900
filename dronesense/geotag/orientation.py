"""Rotation conventions of others, turned into our own: each function says from where to where.

Frames: *camera* is x to the top of the picture, y to its right, z along the optical axis: a nadir camera with
its top forward has the axes of the body (docs/conventions.md); *opencv* is x right, y down, z forward; *patb*
is x right, y up, z backward, that of photogrammetry; *ned* is north, east, down at the place, to true north;
*grid* is east, north, up along the axes of a projected CRS, *enu* the same to true north.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense import geodesy
from dronesense.geotag.poses import Poses
from dronesense.model.orientation import OrientationTable

Floats = NDArray[np.float64]

OPENCV_TO_CAMERA: Final = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
PATB_TO_CAMERA: Final = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
ENU_TO_NED: Final = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""East, north, up -> north, east, down; its own inverse."""

GIMBAL_PITCH_AT_NADIR_DEG: Final = -90.0
UPSIDE_DOWN_DEG: Final = 90.0
"""A roll beyond this is a gimbal that went over the top: DJI writes ±180 at nadir."""


def axis_rotation(angle_deg: ArrayLike, axis: int) -> Floats:
    """Return right-handed rotations (..., 3, 3) by *angle_deg* about axis 0, 1 or 2.

    Examples
    --------
    >>> axis_rotation(90.0, 2).round(6)[:, 0] + 0.0
    array([0., 1., 0.])
    """
    angle = np.radians(np.asarray(angle_deg, dtype=np.float64))
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.zeros((*angle.shape, 3, 3))
    second, third = (axis + 1) % 3, (axis + 2) % 3
    rotation[..., axis, axis] = 1.0
    rotation[..., second, second] = rotation[..., third, third] = c
    rotation[..., second, third], rotation[..., third, second] = -s, s
    return rotation


def rotation_rpy_to_ned(roll_deg: ArrayLike, pitch_deg: ArrayLike, yaw_deg: ArrayLike) -> Floats:
    """Return ``Rz(yaw) Ry(pitch) Rx(roll)``: body forward, starboard, down -> ned.

    Examples
    --------
    >>> rotation_rpy_to_ned(0.0, 90.0, 0.0).round(6)[:, 0] + 0.0
    array([ 0.,  0., -1.])
    """
    return axis_rotation(yaw_deg, 2) @ axis_rotation(pitch_deg, 1) @ axis_rotation(roll_deg, 0)


def rotation_gimbal_to_ned(yaw_deg: ArrayLike, pitch_deg: ArrayLike, roll_deg: ArrayLike) -> Floats:
    """Return camera -> ned of a gimbal: yaw clockwise from true north, pitch -90 straight down.

    ``Rz(yaw) Ry(pitch) Rx(roll) Ry(90)``: the gimbal's own x axis is the optical axis, so roll turns the
    picture about it. At nadir roll and yaw turn about the same axis, and roll ±180 with yaw is roll 0 with
    yaw + 180, as DJI writes it (:func:`fold_gimbal`).

    Examples
    --------
    Heading east and looking straight down, the top of the picture is east:

    >>> rotation_gimbal_to_ned(90.0, -90.0, 0.0).round(6)[:, 0] + 0.0
    array([0., 1., 0.])
    """
    return rotation_rpy_to_ned(roll_deg, pitch_deg, yaw_deg) @ axis_rotation(90.0, 1)


def fold_gimbal(
    yaw_deg: ArrayLike, pitch_deg: ArrayLike, roll_deg: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Return the same attitudes with a roll of 90 at most: beyond, (roll -+ 180, -180 - pitch, yaw + 180).

    The rotation is exactly the same; at nadir the pitch stays -90.

    Returns
    -------
    yaw_deg, pitch_deg, roll_deg : ndarray
        Yaw within -180 to 180.

    Examples
    --------
    >>> [float(each) for each in fold_gimbal(10.0, -90.0, 180.0)]
    [-170.0, -90.0, 0.0]
    """
    yaw, pitch, roll = (
        np.array(each, dtype=np.float64) for each in np.broadcast_arrays(yaw_deg, pitch_deg, roll_deg)
    )
    over = np.abs(roll) > UPSIDE_DOWN_DEG
    roll = np.where(over, roll - np.copysign(180.0, roll), roll)
    pitch = np.where(over, 2.0 * GIMBAL_PITCH_AT_NADIR_DEG - pitch, pitch)
    yaw = np.where(over, np.mod(yaw + 360.0, 360.0) - 180.0, yaw)
    return yaw, pitch, roll


def rotation_opk_to_grid(omega_deg: ArrayLike, phi_deg: ArrayLike, kappa_deg: ArrayLike) -> Floats:
    """Return ``Rx(omega) Ry(phi) Rz(kappa)``: patb -> grid.

    References
    ----------
    Baumker and Heimes 2001, New calibration and computing method for direct georeferencing of image and
    scanner data using the position and angular data of an hybrid inertial navigation system, OEEPE.

    Examples
    --------
    All zero: a nadir picture with its right to the east of the grid.

    >>> rotation_opk_to_grid(0.0, 0.0, 0.0).diagonal()
    array([1., 1., 1.])
    """
    return axis_rotation(omega_deg, 0) @ axis_rotation(phi_deg, 1) @ axis_rotation(kappa_deg, 2)


def patb_to_camera(patb_to_world: Floats) -> Floats:
    """Return camera -> world of patb -> world, (..., 3, 3)."""
    return np.asarray(patb_to_world @ PATB_TO_CAMERA.T)


def opencv_to_camera(opencv_to_world: Floats) -> Floats:
    """Return camera -> world of opencv -> world, (..., 3, 3)."""
    return np.asarray(opencv_to_world @ OPENCV_TO_CAMERA.T)


def enu_to_ned(to_enu: Floats, *, convergence_rad: ArrayLike = 0.0) -> Floats:
    """Return rotations into north, east, down of those into east, north, up.

    Parameters
    ----------
    to_enu : (..., 3, 3) float64
        Into *enu*, or into *grid* with its convergence.
    convergence_rad : (...) array_like
        Angle from true north to grid north, positive when grid north lies east of true north
        (:func:`dronesense.geodesy.grid_factors`).

    Examples
    --------
    Grid north 1° east of true north: what looks along grid north looks 1° east of true north.

    >>> ned = enu_to_ned(np.eye(3), convergence_rad=np.radians(1.0)) @ np.array([0.0, 1.0, 0.0])
    >>> round(float(np.degrees(np.arctan2(ned[1], ned[0]))), 9)
    1.0
    """
    return np.asarray(axis_rotation(np.degrees(convergence_rad), 2) @ (ENU_TO_NED @ to_enu))


def vector_to_matrix(vector: ArrayLike) -> Floats:
    """Return rotation matrices (k, 3, 3) of rotation vectors (k, 3), rad (Rodrigues' formula).

    Examples
    --------
    >>> vector_to_matrix([[0.0, 0.0, np.pi / 2]])[0].round(6)[:, 0] + 0.0
    array([0., 1., 0.])
    """
    vector = np.asarray(vector, dtype=np.float64).reshape(-1, 3)
    angle = np.linalg.norm(vector, axis=1)[:, None]
    half = np.sinc(angle / (2.0 * np.pi)) / 2.0  # sin(angle / 2) / angle
    return wxyz_to_matrix(np.column_stack([np.cos(0.5 * angle), half * vector]))


def wxyz_to_matrix(quaternion: ArrayLike) -> Floats:
    """Return rotation matrices (k, 3, 3) of quaternions (k, 4) w, x, y, z of any length but 0."""
    from dronesense.geotag.poses import quaternion_to_matrix

    quaternion = np.asarray(quaternion, dtype=np.float64).reshape(-1, 4)
    return quaternion_to_matrix(quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True))


def matrix_to_wxyz(rotation: ArrayLike) -> Floats:
    """Return unit quaternions (k, 4) w, x, y, z, with w >= 0, of rotation matrices (k, 3, 3).

    Examples
    --------
    >>> matrix_to_wxyz(np.eye(3))
    array([[1., 0., 0., 0.]])
    """
    from scipy.spatial.transform import Rotation

    xyzw = Rotation.from_matrix(np.asarray(rotation, dtype=np.float64).reshape(-1, 3, 3)).as_quat()
    wxyz = np.roll(np.asarray(xyzw, dtype=np.float64), 1, axis=1)
    return np.where(wxyz[:, :1] < 0.0, -wxyz, wxyz)


def world_to_camera_pose(world_to_opencv: Floats, translation: Floats) -> tuple[Floats, Floats]:
    """Return projection centers ``-R^T t`` and camera -> world of ``opencv = R world + t`` (OpenSfM, COLMAP).

    Parameters
    ----------
    world_to_opencv : (k, 3, 3) float64
    translation : (k, 3) float64

    Returns
    -------
    center : (k, 3) float64
        In the world.
    rotation : (k, 3, 3) float64
        Camera -> world.
    """
    back = np.swapaxes(world_to_opencv, -1, -2)
    center = -(back @ translation[..., None])[..., 0]
    return center, opencv_to_camera(back)


def poses_of(
    table: OrientationTable,
    *,
    std_m: tuple[float, float, float] = (float("nan"),) * 3,
    std_deg: tuple[float, float, float] = (float("nan"),) * 3,
    time: NDArray[np.int64] | None = None,
) -> Poses:
    """Return poses of pictures, the body being the camera: the mount of their camera is ``"nadir"``.

    Parameters
    ----------
    table : OrientationTable
        Heights above the ellipsoid.
    std_m : (north, east, down)
        Standard uncertainty of the projection centers, m.
    std_deg : (roll, pitch, yaw)
        Of the attitude, degrees.
    time : (n,) int64 or None
        UTC ns; None: 0.

    Raises
    ------
    ManifestError
        If the CRS is not known.
    """
    n = len(table)
    rotation, lon, lat, height = _oriented(table)
    fill = np.broadcast_to
    return Poses(
        np.zeros(n, dtype=np.int64) if time is None else np.asarray(time, dtype=np.int64),
        lon,
        lat,
        height,
        matrix_to_wxyz(rotation),
        np.zeros((n, 3)),
        np.zeros((n, 3)),
        np.array(fill(np.asarray(std_m, dtype=np.float64), (n, 3))),
        np.array(fill(np.asarray(std_deg, dtype=np.float64), (n, 3))),
        np.ones(n, dtype=bool),
    )


def _oriented(table: OrientationTable) -> tuple[Floats, Floats, Floats, Floats]:
    """Return camera -> ned, and longitude, latitude, height."""
    if table.convention in ("world_to_camera", "world_to_camera_wxyz"):
        turn = vector_to_matrix if table.convention == "world_to_camera" else wxyz_to_matrix
        center, to_world = world_to_camera_pose(turn(table.turn), table.place)
        if not table.crs:
            return _from_tangent_plane(center, to_world, table.origin)
        center = center + np.asarray(table.origin)
        return _on_grid(center, to_world, table.crs)
    if table.convention == "opk":
        return _on_grid(table.place, patb_to_camera(rotation_opk_to_grid(*table.turn.T)), table.crs)
    turned = rotation_rpy_to_ned if table.convention == "rpy" else rotation_gimbal_to_ned
    lon, lat = geodesy.to_lonlat(table.place[:, 0], table.place[:, 1], table.crs or geodesy.WGS84)
    return turned(*table.turn.T), lon, lat, table.place[:, 2]


def _on_grid(center: Floats, to_grid: Floats, crs: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Return camera -> ned and places of poses along the axes of a projected CRS."""
    crs = geodesy.check_crs(crs, metric=True)
    lon, lat = geodesy.to_lonlat(center[:, 0], center[:, 1], crs)
    convergence, _, _ = geodesy.grid_factors(lon, lat, crs)
    return enu_to_ned(to_grid, convergence_rad=convergence), lon, lat, center[:, 2]


def _from_tangent_plane(
    center: Floats, to_enu: Floats, origin: tuple[float, float, float]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return camera -> ned and places of poses east, north, up of *origin* (longitude, latitude, height)."""
    lon0, lat0, height0 = (np.full(len(center), each) for each in origin)
    lon, lat, height = geodesy.displace(lon0, lat0, height0, center @ ENU_TO_NED.T)
    there = geodesy.ned_axes(lon0, lat0)
    here = geodesy.ned_axes(lon, lat)
    return np.swapaxes(here, -1, -2) @ there @ enu_to_ned(to_enu), lon, lat, height
