"""Pictures made smaller for documents."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

LEAST_SIDE: Final = 200
"""Pixels; a picture is not made smaller than that."""
PNG_HEAD: Final = b"\x89PNG\r\n\x1a\n"
MOST_BYTES: Final = 64_000_000
"""Of a picture that is opened at all."""
MOST_PIXELS: Final = 100_000_000
LAYERS: Final = (3, 4)
"""Channels of pictures that are averaged: colors, colors with opacity."""


def shrunk(path: Path, most_bytes: int) -> bytes | None:
    """Return a PNG file, its sides halved until it has at most *most_bytes*; None if it is no such file.

    Gray pictures and those with a palette come as they are if they are small enough, else not at all.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    if not data.startswith(PNG_HEAD):
        return None
    if len(data) <= most_bytes:
        return data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # pictures have no place, as they should
        try:
            with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path, driver="PNG") as source:
                height, width, count = source.height, source.width, source.count
                if count not in LAYERS or height * width > MOST_PIXELS or source.dtypes[0] != "uint8":
                    return None
                while len(data) > most_bytes and min(height, width) > LEAST_SIDE:
                    height, width = -(-height // 2), -(-width // 2)
                    data = _png(source, height, width)
        except RasterioError:
            return None
    return data if len(data) <= most_bytes else None


def _png(source: object, height: int, width: int) -> bytes:
    """Return an open picture as PNG of that size, cells averaged."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.io import MemoryFile

    assert isinstance(source, rasterio.DatasetReader)
    pixels = source.read(out_shape=(source.count, height, width), resampling=Resampling.average)
    with MemoryFile() as memory:
        with memory.open(
            driver="PNG", height=height, width=width, count=source.count, dtype="uint8"
        ) as target:
            target.write(pixels)
        return bytes(memory.read())
