"""OpenSfM and OpenDroneMap: ``reconstruction.json``, and ``reference_lla.json`` beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dronesense import geodesy
from dronesense.errors import ReadError
from dronesense.model import FrameCamera, lens
from dronesense.model.orientation import OrientationTable

_BROWN = ("brown", "perspective", "simple_radial", "radial")
_EQUIDISTANT = ("fisheye", "fisheye_opencv")


def read(path: Path, *, crs: str = "", origin: tuple[float, float] | None = None) -> OrientationTable:
    """Read the poses and cameras of the first reconstruction of a file.

    Parameters
    ----------
    path : Path
        ``reconstruction.json``.
    crs : str
        OpenDroneMap: projected CRS along whose axes the reconstruction lies; empty: a tangent plane at the
        reference, as OpenSfM itself has it.
    origin : (x, y) or None
        Place of its zero in `crs`; None: that of its reference.

    Raises
    ------
    ReadError
        If it is no reconstruction, its reference is missing, or a camera model is not known.
    """
    try:
        made: Any = msgspec.json.decode(path.read_bytes())[0]
        cameras = {name: _camera(told, path) for name, told in made["cameras"].items()}
        names = tuple(made["shots"])
        shots = [made["shots"][name] for name in names]
        place = np.array([shot["translation"] for shot in shots], dtype=np.float64).reshape(-1, 3)
        turn = np.array([shot["rotation"] for shot in shots], dtype=np.float64).reshape(-1, 3)
        zero = made.get("reference_lla")
        if zero is None:
            zero = msgspec.json.decode(path.with_name("reference_lla.json").read_bytes())
        reference = (float(zero["longitude"]), float(zero["latitude"]), float(zero["altitude"]))
        camera = tuple(str(shot["camera"]) for shot in shots)
    except (OSError, msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ReadError(f"is no reconstruction of OpenSfM that is complete: {error}", where=path) from error
    if crs:
        if origin is None:
            x, y = geodesy.to_grid(*reference[:2], crs)
            origin = (float(x), float(y))
        reference = (*origin, reference[2])
    return OrientationTable(
        names, "world_to_camera", place, turn, crs=crs, origin=reference, camera=camera, cameras=cameras
    )


def _camera(told: dict[str, Any], path: Path) -> FrameCamera:
    """Return a camera; its numbers are shares of the longer side."""
    kind, shape = told["projection_type"], (int(told["height"]), int(told["width"]))
    if kind not in (*_BROWN, *_EQUIDISTANT):
        raise ReadError(f'its camera model "{kind}" is not known', where=path)
    focal = float(told["focal_x"] if "focal_x" in told else told["focal"])
    both = (focal, float(told.get("focal_y", focal)))
    center = (float(told.get("c_x", 0.0)), float(told.get("c_y", 0.0)))
    if kind in _BROWN:
        distortion = tuple(float(told.get(key, 0.0)) for key in ("k1", "k2", "p1", "p2", "k3"))
        model: lens.LensKind = "perspective"
    else:
        distortion = tuple(float(told.get(key, 0.0)) for key in ("k1", "k2", "k3", "k4"))
        model = "equidistant"
    made = lens.normalized(model, focal=both, center=center, distortion=distortion, shape=shape)
    return FrameCamera(shape=shape, lens=made)
