"""Where pictures were taken and how the camera was turned, in the words of those who measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze
from dronesense.model.instrument import FrameCamera

OrientationConvention = Literal["opk", "rpy", "gimbal", "world_to_camera", "world_to_camera_wxyz"]

_TURNS: Final = {"opk": 3, "rpy": 3, "gimbal": 3, "world_to_camera": 3, "world_to_camera_wxyz": 4}


@dataclass(frozen=True, slots=True, eq=False)
class OrientationTable:
    """Exterior orientation of pictures, as written; :mod:`dronesense.geotag.orientation` turns it to poses.

    Parameters
    ----------
    names : tuple of str
        Pictures.
    convention : str
        What `turn` holds: ``opk`` omega, phi, kappa in degrees, in the axes of the grid of `crs`; ``rpy``
        roll, pitch, yaw in degrees of an aircraft under which the camera looks straight down; ``gimbal`` yaw,
        pitch, roll in degrees as a gimbal states them; ``world_to_camera`` a rotation vector in rad, and
        ``world_to_camera_wxyz`` a quaternion w, x, y, z, to a camera with x right, y down, z forward.
    place : (n, 3) float64
        Projection centers x, y (longitude, latitude) and height in `crs`; for ``world_to_camera...`` the
        translation *t* of ``camera = R world + t``.
    turn : (n, 3) or (n, 4) float64
        See `convention`.
    crs : str
        Of `place`; for ``world_to_camera...`` the projected CRS along whose axes the world's x, y lie, or
        empty: the world is a tangent plane with x east, y north, z up at `origin`.
    origin : (x, y, z)
        Place of the world's zero for ``world_to_camera...``: in `crs`, or longitude, latitude and height.
    camera : tuple of str
        Camera of each picture; empty when not told.
    cameras : mapping of str to FrameCamera
        What is told of the cameras.
    """

    names: tuple[str, ...]
    convention: OrientationConvention
    place: NDArray[np.float64]
    turn: NDArray[np.float64]
    crs: str = ""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    camera: tuple[str, ...] = ()
    cameras: Mapping[str, FrameCamera] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freeze(self, np.float64, (len(self.names), 3), "place")
        if self.convention not in _TURNS:
            raise ValueError(f"convention must be one of {tuple(_TURNS)}, not {self.convention!r}")
        freeze(self, np.float64, (len(self.names), _TURNS[self.convention]), "turn")

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class PictureOrientation:
    """Where one picture was taken and how it was turned, as an adjustment found it.

    Parameters
    ----------
    table : OrientationTable
        Of this picture alone; heights above the ellipsoid.
    sigma_m, sigma_deg : float
        Standard uncertainty of place and attitude about each axis.
    source : str
        File it was read from.
    """

    table: OrientationTable
    sigma_m: float
    sigma_deg: float
    source: str

    def __post_init__(self) -> None:
        if len(self.table) != 1:
            raise ValueError(f"must be of one picture, not of {len(self.table)}")
