"""Rasters and pictures thinned for pages, tablets and outlines, read without holding them whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import GroundPicture, GroundRaster

THINNED_PIXELS: Final = 1024
"""Longest side of a raster that outlines and pictures are made of."""
RGBA: Final = 4
STRIP_ROWS: Final = 1024
"""Rows read at a time while thinning."""


def thin(source: GroundRaster | Path) -> GroundRaster:
    """Return a raster of :class:`Layers` thinned, read from the disk where it is a file."""
    return read_thinned(source) if isinstance(source, Path) else thinned(source)


def thinned(raster: GroundRaster) -> GroundRaster:
    """Return every k-th pixel, so that no side is longer than :data:`THINNED_PIXELS`."""
    step = _step(raster.values.shape)
    values = raster.values[::step, ::step]
    return GroundRaster(
        raster.name, values, _scaled(raster.transform, step), raster.crs, raster.unit, raster.description
    )


def read_thinned(path: Path) -> GroundRaster:
    """Return the first band of a raster as :func:`thinned` does, without reading it whole.

    Raises
    ------
    ReadError
        If GDAL cannot read it.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path) as source:
            step = _step(source.shape)
            rows = math.lcm(step, STRIP_ROWS)
            windows = (
                ((start, min(start + rows, source.height)), (0, source.width))
                for start in range(0, source.height, rows)
            )
            strips = [source.read(1, window=window)[::step, ::step].copy() for window in windows]
            values = np.concatenate(strips).astype(np.float32)
            values = np.where(values == source.nodata, np.float32(np.nan), values)
            description = (source.descriptions[0] or path.stem).rsplit(" [", 1)[0]
            crs = source.crs.to_string() if source.crs else ""
            unit, transform = source.units[0] or "", tuple(source.transform)[:6]
    except RasterioError as error:
        raise ReadError(f"is not a raster that GDAL reads ({error})", where=path) from error
    if not crs:
        raise ReadError("has no CRS", where=path)
    return GroundRaster(path.stem, values, _scaled(transform, step), crs, unit, description)


def thin_picture(source: GroundPicture | Path) -> GroundPicture:
    """Return a picture of :class:`Layers` thinned as :func:`thinned` does, read where it is a file.

    Raises
    ------
    ReadError
        If GDAL cannot read it, or it is no picture with an opacity.
    """
    if isinstance(source, GroundPicture):
        step = _step(source.rgba.shape[1:])
        rgba = source.rgba[:, ::step, ::step]
        return GroundPicture(
            source.name, rgba, _scaled(source.transform, step), source.crs, source.description
        )
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(source) as file:
            if file.count != RGBA or file.dtypes[0] != "uint8" or not file.crs:
                raise ReadError("is no picture on the ground", where=source)
            step = _step(file.shape)
            rgba = file.read()[:, ::step, ::step]
            about = str(file.tags().get("TIFFTAG_IMAGEDESCRIPTION", source.stem))
            transform, crs = tuple(file.transform)[:6], file.crs.to_string()
    except RasterioError as error:
        raise ReadError(f"is not a raster that GDAL reads ({error})", where=source) from error
    return GroundPicture(source.stem, rgba, _scaled(transform, step), crs, about)


def _step(size: tuple[int, ...]) -> int:
    return -(-max(size) // THINNED_PIXELS)


def _scaled(transform: Any, step: int) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = (float(each) for each in transform)
    return (a * step, b * step, c, d * step, e * step, f)
