"""The one place where readers open rasters: hardened against hostile and misled files.

The GTiff driver alone, no sidecar files (an ``.aux.xml`` or world file can move coordinates while the TIFF's
own hash stays the same), blocks capped. That no data are cut off, ``tiff_directory.check`` sees beforehand.
"""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from dronesense.errors import ReadError

MAX_BLOCK_BYTES: Final = 256 << 20
"""Decoded size of one strip or tile beyond which a file is refused: a 5 kB file can ask for 2 GB."""

_ENVIRONMENT: Final = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_CACHEMAX": 64 << 20,
}


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open *path* hardened; whatever GDAL says against it becomes a ReadError."""
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with rasterio.Env(**_ENVIRONMENT), python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as dataset:
                yield dataset
    except (RasterioError, CPLE_BaseError, UnicodeDecodeError) as error:
        raise ReadError(
            f"cannot be read as GeoTIFF ({error})", where=path, fix="copy it again from the card"
        ) from error


def check(path: Path, dataset: Any) -> None:
    """Refuse complex numbers and blocks that would take all memory."""
    if any(np.dtype(kind).kind not in "iuf" for kind in dataset.dtypes):
        raise ReadError(f"holds {dataset.dtypes[0]} numbers, not a cube or heights", where=path)
    item = max(np.dtype(kind).itemsize for kind in dataset.dtypes)
    largest = max(rows * cols for rows, cols in dataset.block_shapes) * item
    if dataset.interleaving is not None and dataset.interleaving.name.lower() == "pixel":
        largest *= dataset.count
    if largest > MAX_BLOCK_BYTES:
        raise ReadError(
            f"has blocks of {largest} bytes (at most {MAX_BLOCK_BYTES})",
            where=path,
            fix="write it again with smaller tiles: gdal_translate -co TILED=YES",
        )


def crs_text(dataset: Any) -> str:
    """Return the CRS as text, empty if there is none."""
    if not dataset.crs:
        return ""
    code = dataset.crs.to_epsg()
    return str(dataset.crs.to_wkt()) if code is None else f"EPSG:{code}"
