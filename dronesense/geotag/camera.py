"""Where each pixel of a camera looks, and how the camera sits in the aircraft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import ManifestError, did_you_mean
from dronesense.geotag.poses import rpy_to_matrix
from dronesense.model import LineCamera, Mount

EDGE_SAMPLES: Final = 0.5
"""A pixel reaches half a sample to either side of its center."""

NAMED_MOUNTS: Final[Mapping[str, NDArray[np.float64]]] = MappingProxyType(
    {
        "nadir": np.eye(3),  # camera x forward, y starboard, z down
        "nadir-90": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),  # x starboard, y aft
        "nadir-180": np.diag([-1.0, -1.0, 1.0]),  # turned about the optical axis: x aft, y port
        "nadir-270": np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),  # x port, y forward
    }
)
"""Exact rotations camera to body, by name."""

OBLIQUE_MOUNTS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "oblique": (0.0, 1.0),
        "oblique-aft": (0.0, -1.0),
        "oblique-starboard": (-1.0, 0.0),
        "oblique-port": (1.0, 0.0),
    }
)
"""How often the tilt counts as (roll, pitch) of the camera: its axis leaves nadir for that side."""

GIMBAL: Final = "gimbal"
"""A mount without fixed rotation."""

MAX_TILT_DEG: Final = 90.0
"""An oblique camera looks at the horizon at most."""


def directions(camera: LineCamera, sample: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return the unit vectors along which pixels look, in the camera frame (x forward, y starboard, z down).

    Parameters
    ----------
    camera : LineCamera
        Look angles of the pixel centers.
    sample : (k,) array_like or None
        Sample index, the center of a pixel being the integer; fractions are interpolated between the centers
        in the tangent plane, and continued by half a pixel at the edges. None: every pixel center.

    Returns
    -------
    (k, 3) float64

    Raises
    ------
    ValueError
        If an index lies outside the detector, ``[-0.5, samples - 0.5]``.
    ManifestError
        If a look angle reaches 90°.

    Examples
    --------
    >>> directions(LineCamera(1, np.array([[45.0, 0.0]]))).round(4) + 0.0
    array([[0.    , 0.7071, 0.7071]])
    """
    if not np.all(np.abs(camera.look_deg) < 90.0):
        raise ManifestError("a look angle of the camera is not below 90°", fix="check fov_deg or look_angles")
    tangent = np.tan(np.radians(camera.look_deg))
    if sample is not None:
        tangent = _between(tangent, np.asarray(sample, dtype=np.float64))
    across, along = tangent.T
    vectors = np.column_stack([along, across, np.ones_like(across)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _between(tangent: NDArray[np.float64], sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of *tangent* at fractional positions."""
    last = len(tangent) - 1
    if not np.all((sample >= -EDGE_SAMPLES) & (sample <= last + EDGE_SAMPLES)):
        raise ValueError(f"sample indices must lie in [-0.5, {last + EDGE_SAMPLES}]")
    start = np.clip(np.floor(sample), 0, max(last - 1, 0)).astype(np.intp)
    fraction = (sample - start)[:, None]
    between: NDArray[np.float64] = (1.0 - fraction) * tangent[start] + fraction * tangent[
        np.minimum(start + 1, last)
    ]
    return between


def camera_to_body(mount: Mount) -> NDArray[np.float64]:
    """Return the (3, 3) rotation from the camera to the body: named mount times boresight.

    Raises
    ------
    ManifestError
        If the mount has no name that is known, or is a gimbal, which has no fixed rotation.

    Examples
    --------
    >>> camera_to_body(Mount(rotation="nadir-180")).diagonal()
    array([-1., -1.,  1.])
    """
    roll, pitch, yaw = np.radians(mount.boresight_deg)
    rotation: NDArray[np.float64] = nominal_rotation(mount) @ rpy_to_matrix(roll, pitch, yaw)
    return rotation


def nominal_rotation(mount: Mount) -> NDArray[np.float64]:
    """Return the (3, 3) rotation from camera to body that the mount is named after, without boresight.

    Raises
    ------
    ManifestError
        As :func:`camera_to_body`.

    Examples
    --------
    A camera tilted forward by 30° looks 30° off the vertical, to the front:

    >>> nominal_rotation(Mount(rotation="oblique", tilt_deg=30.0))[:, 2].round(4) + 0.0
    array([0.5  , 0.   , 0.866])
    """
    named = NAMED_MOUNTS.get(mount.rotation)
    if named is not None:
        return named
    if mount.rotation in OBLIQUE_MOUNTS:
        if not abs(mount.tilt_deg) <= MAX_TILT_DEG:
            raise ManifestError(f"tilt_deg of the mount must lie within ±90, not {mount.tilt_deg}")
        roll, pitch = np.multiply(OBLIQUE_MOUNTS[mount.rotation], np.radians(mount.tilt_deg))
        return rpy_to_matrix(roll, pitch, 0.0)
    if mount.rotation == GIMBAL:
        raise ManifestError(
            "a gimbal has no fixed rotation, and nothing tells its angles at these times",
            fix="name the rotation of the mount, or give pictures that state the angles of the gimbal",
        )
    names = (*NAMED_MOUNTS, *OBLIQUE_MOUNTS, GIMBAL)
    raise ManifestError(
        f'unknown mount rotation "{mount.rotation}"{did_you_mean(mount.rotation, names)}',
        fix=f"use one of: {', '.join(names)}",
    )


def for_own_attitude(mount: Mount) -> Mount:
    """Return the mount of a camera whose attitude is its own: a gimbal's axes are those of a nadir camera."""
    return replace(mount, rotation="nadir") if mount.rotation == GIMBAL else mount
