"""A cube in color on the ground, for people to find their way by."""

from __future__ import annotations

from typing import Final

import numpy as np

from dronesense.model import GroundPicture, GroundRaster, SpectralCube, colors
from dronesense.pipeline.ground import Ground

READ_BYTES: Final = 256 * 1024 * 1024
"""Values that are read for a picture: all lines of a small cube, every k-th of a large one, shown k times."""
MAX_CELLS: Final = 4_000_000
"""Cells of a picture: finer ones are left out."""
OPAQUE: Final = 255
LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


def ground_picture(cube: SpectralCube, ground: Ground) -> tuple[GroundPicture, GroundRaster]:
    """Return *cube* in true or false color on the ground, and its brightness, 0 to 1, in every cell.

    Raises
    ------
    CoverageError
        If no pixel meets the ground.
    """
    rows, bands, cols = cube.shape
    step = max(1, -(-rows * bands * cols * 4 // READ_BYTES))
    shown, kind = colors.rgb_bands(cube.bands)
    picture = colors.stretched(*colors.decimated(cube, shown, rows=range(0, rows, step)))
    lines = np.arange(rows) // step
    luma = (picture @ np.array(LUMA)).astype(np.float32)
    bright = ground.raster(luma[lines], name=cube.name, unit="1", description="brightness")
    rgba = np.empty((0, 0, 0), dtype=np.uint8)
    for channel in range(3):
        plane = picture[lines, :, channel].astype(np.float32)
        raster = ground.raster(plane, name=cube.name, unit="1", description=kind)
        skip = max(1, int(np.ceil(np.sqrt(raster.values.size / MAX_CELLS))))
        values = raster.values[::skip, ::skip]
        if channel == 0:
            a, b, c, d, e, f = raster.transform
            transform = (a * skip, b * skip, c, d * skip, e * skip, f)
            rgba = np.zeros((4, *values.shape), dtype=np.uint8)
            rgba[3] = np.where(np.isfinite(values), OPAQUE, 0)
        rgba[channel] = np.round(np.nan_to_num(values) * OPAQUE).astype(np.uint8)
    thinned = f"; every {step}. line" if step > 1 else ""
    about = f"{cube.name}: {kind}; stretched, for looking at only{thinned}"
    return GroundPicture(cube.name, rgba, transform, raster.crs, about), bright
