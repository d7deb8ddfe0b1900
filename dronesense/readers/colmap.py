"""COLMAP's text form: ``cameras.txt`` and ``images.txt`` in one folder.

Its pixels have the corner of the first one at (0, 0), so principal points are moved by half a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import FrameCamera, lens
from dronesense.model.orientation import OrientationTable

CORNER_TO_CENTER_PX: Final = -0.5

MODELS: Final[Mapping[str, tuple[lens.LensKind, tuple[str, ...]]]] = MappingProxyType(
    {
        "SIMPLE_PINHOLE": ("perspective", ("f", "cx", "cy")),
        "PINHOLE": ("perspective", ("fx", "fy", "cx", "cy")),
        "SIMPLE_RADIAL": ("perspective", ("f", "cx", "cy", "k1")),
        "RADIAL": ("perspective", ("f", "cx", "cy", "k1", "k2")),
        "OPENCV": ("perspective", ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")),
        "FULL_OPENCV": (
            "perspective",
            ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
        ),
        "OPENCV_FISHEYE": ("equidistant", ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")),
        "SIMPLE_RADIAL_FISHEYE": ("equidistant", ("f", "cx", "cy", "k1")),
        "RADIAL_FISHEYE": ("equidistant", ("f", "cx", "cy", "k1", "k2")),
    }
)
"""Parameters of each camera model, in their order (COLMAP, src/colmap/sensor/models.h)."""


def read(folder: Path, *, crs: str = "", origin: tuple[float, float, float]) -> OrientationTable:
    """Read poses and cameras of a reconstruction whose world has the scale and axes of a map.

    Parameters
    ----------
    folder : Path
        With ``cameras.txt`` and ``images.txt``.
    crs : str
        Projected CRS along whose axes x, y lie; empty: x east, y north, z up in a tangent plane at `origin`.
    origin : (x, y, height)
        Place of its zero: in `crs`, or longitude, latitude; COLMAP itself knows of none.

    Raises
    ------
    ReadError
        If a file is missing or not as described, or a camera model is not known.
    """
    cameras = {}
    for words in _lines(folder / "cameras.txt"):
        cameras[words[0]] = _camera(words, folder / "cameras.txt")
    path = folder / "images.txt"
    rows = _lines(path, step=2)
    try:
        numbers = np.array([[float(text) for text in words[1:8]] for words in rows]).reshape(-1, 7)
        camera = tuple(words[8] for words in rows)
        names = tuple(" ".join(words[9:]) for words in rows)
    except (ValueError, IndexError) as error:
        raise ReadError(f"is no list of pictures: {error}", where=path) from error
    turn, place = numbers[:, :4], numbers[:, 4:]
    if not (np.isfinite(numbers).all() and np.linalg.norm(turn, axis=1).all() and all(names)):
        raise ReadError("a picture has no name, or numbers that are no pose", where=path)
    return OrientationTable(
        names,
        "world_to_camera_wxyz",
        place,
        turn,
        crs=crs,
        origin=origin,
        camera=camera,
        cameras=cameras,
    )


def _lines(path: Path, *, step: int = 1) -> list[list[str]]:
    """Return the words of every *step*-th line that is no comment; the lines of points may be empty."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError("cannot be read", where=path) from error
    kept = [line for line in lines if not line.startswith("#")]
    return [line.split() for line in kept[::step] if line.strip()]


def _camera(words: list[str], path: Path) -> FrameCamera:
    try:
        kind, names = MODELS[words[1]]
        shape = (int(words[3]), int(words[2]))
        value = dict(zip(names, (float(text) for text in words[4:]), strict=True))
    except (KeyError, IndexError, ValueError) as error:
        raise ReadError(
            f"the camera {' '.join(words[:2])} is not known or not complete", where=path
        ) from error
    focal = (value.get("fx", value.get("f", 0.0)), value.get("fy", value.get("f", 0.0)))
    center = (value["cx"] + CORNER_TO_CENTER_PX, value["cy"] + CORNER_TO_CENTER_PX)
    keys = lens.COEFFICIENT_ORDERS["opencv"] if kind == "perspective" else ("k1", "k2", "k3", "k4")
    numbers = tuple(value.get(key, 0.0) for key in keys)
    distortion = lens.brown(numbers) if kind == "perspective" else numbers
    return FrameCamera(shape=shape, lens=lens.Lens(kind, focal, center, distortion))
