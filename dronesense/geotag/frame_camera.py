"""Where each pixel of a frame camera looks, and on which pixel a direction falls.

Camera axes: x to the top of the picture, y to its right, z along the optical axis; pixels are (row, col).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CoverageError
from dronesense.geotag.orientation import OPENCV_TO_CAMERA
from dronesense.geotag.poses import NS_PER_S
from dronesense.model import FrameCamera, lens

Floats = NDArray[np.float64]


def optics(camera: FrameCamera) -> lens.Lens:
    """Return the lens of *camera*.

    Raises
    ------
    CoverageError
        If it is not known.
    """
    if camera.lens is None:
        raise CoverageError(
            "the lens of the frame camera is not known, so its pixels look nowhere",
            fix="state [lens] in the instrument's file: focal_px, center_px and the distortion",
        )
    return camera.lens


def pixel_directions(camera: FrameCamera, pixels: ArrayLike) -> Floats:
    """Return the unit vectors along which pixels look, in the camera's axes.

    Parameters
    ----------
    camera : FrameCamera
        With a lens.
    pixels : (k, 2) array_like
        Row and column, the center of a pixel being the integers.

    Returns
    -------
    (k, 3) float64
        NaN where the lens maps no direction to the pixel (:func:`dronesense.model.lens.limit_rad`).

    Raises
    ------
    CoverageError
        If the lens is not known.

    Examples
    --------
    >>> pinhole = FrameCamera(lens=lens.Lens("perspective", (100.0, 100.0), (50.0, 50.0), ()))
    >>> pixel_directions(pinhole, [[50.0, 150.0]]).round(4) + 0.0
    array([[0.    , 0.7071, 0.7071]])
    """
    row, col = np.asarray(pixels, dtype=np.float64).reshape(-1, 2).T
    seen = np.column_stack(lens.directions(optics(camera), col, row)) @ OPENCV_TO_CAMERA.T
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    return np.asarray(seen)


def pixels_of(camera: FrameCamera, direction: ArrayLike, *, folded: bool = False) -> Floats:
    """Return the pixels (row, col) on which directions fall; NaN behind the camera and beyond the fold.

    Parameters
    ----------
    camera : FrameCamera
        With a lens.
    direction : (k, 3) array_like
        In the camera's axes, of any length.
    folded : bool
        As in :func:`dronesense.model.lens.project`.

    Returns
    -------
    (k, 2) float64
        Also outside of the picture.

    Raises
    ------
    CoverageError
        If the lens is not known.
    """
    x, y, z = (np.asarray(direction, dtype=np.float64).reshape(-1, 3) @ OPENCV_TO_CAMERA).T
    col, row = lens.project(optics(camera), x, y, z, folded=folded)
    return np.column_stack([row, col])


def row_times(camera: FrameCamera, time: int, row: ArrayLike) -> NDArray[np.int64]:
    """Return when rows of a picture were exposed, UTC ns: ``time + (row - row_reference) row_time_s``.

    Examples
    --------
    >>> row_times(FrameCamera(row_time_s=1e-5, row_reference=10.0), 0, [0.0, 10.0, 20.0])
    array([-100000,       0,  100000])
    """
    late = (np.asarray(row, dtype=np.float64) - camera.row_reference) * (camera.row_time_s * NS_PER_S)
    return np.asarray(time + np.rint(late).astype(np.int64))
