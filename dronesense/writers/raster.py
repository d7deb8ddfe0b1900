"""Ground-projected scores as cloud-optimized GeoTIFF, read back before it counts as written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import EvidenceError
from dronesense.model import GroundRaster
from dronesense.writers.atomic import replacing

BLOCK_PIXELS: Final = 256
"""Side of a tile; GDAL's 512 wastes space on the narrow strips of a drone."""
CREATION: Final[dict[str, Any]] = {
    "driver": "COG",
    "count": 1,
    "dtype": "float32",
    "nodata": float("nan"),
    "compress": "DEFLATE",
    "predictor": "FLOATING_POINT",
    "blocksize": BLOCK_PIXELS,
    "overview_resampling": "AVERAGE",
    "statistics": "YES",
}
STRIP_ROWS: Final = 512
"""Rows compared at a time when the file is read back."""
ENVIRONMENT: Final[dict[str, Any]] = {
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_NUM_THREADS": "1",
    "GDAL_CACHEMAX": 64 * 1024 * 1024,
}
"""No side files, which would move coordinates unseen; one thread, as several may succeed on a full disk; a
cache of 64 MiB in place of a twentieth of the machine's memory."""


def gdal_versions() -> dict[str, str]:
    """Return the versions of GDAL and of the PROJ inside rasterio, for the run manifest."""
    import rasterio

    return {"gdal": rasterio.__gdal_version__, "proj (rasterio)": rasterio.__proj_version__}


def write(raster: GroundRaster, path: Path) -> None:
    """Write *raster* as a cloud-optimized GeoTIFF.

    Float32 with nodata NaN, deflate with predictor 3, tiles, overviews, statistics. The band description is
    ``<description> [<unit>]``, the band's unit is set as well. The file is read back and compared before it
    takes its name, because GDAL has reported success on a full disk.

    Raises
    ------
    EvidenceError
        If what was read back differs from what was written.
    OSError
        If the disk is full or the folder cannot be written.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError  # GDAL's errors leak through rasterio, without a public name
    from rasterio.errors import RasterioError

    height, width = raster.values.shape
    with replacing(path) as temporary:
        try:
            with (
                rasterio.Env(**ENVIRONMENT),
                rasterio.open(
                    temporary,
                    "w",
                    width=width,
                    height=height,
                    crs=raster.crs,
                    transform=rasterio.Affine(*raster.transform),
                    **_creation(raster.values),
                ) as sink,
            ):
                sink.write(raster.values, 1)
                sink.set_band_description(1, band_description(raster))
                sink.set_band_unit(1, raster.unit)
            same = _reads_back(raster, temporary)
        except (RasterioError, CPLE_BaseError, SystemError) as error:  # SystemError: a full disk at close
            raise OSError(f"{path}: GDAL could not write it ({error})") from error
        if not same:
            raise EvidenceError("does not read back as it was written", where=path, fix="check the disk")


def band_description(raster: GroundRaster) -> str:
    """Return the band description: what it is, with its unit."""
    return f"{raster.description} [{raster.unit}]"


def _creation(values: NDArray[np.float32]) -> dict[str, Any]:
    """Return the creation options; a raster without any value has no statistics."""
    return CREATION if bool(np.isfinite(values).any()) else {**CREATION, "statistics": "NO"}


def _reads_back(raster: GroundRaster, path: Path) -> bool:
    import rasterio

    with (
        rasterio.Env(**ENVIRONMENT, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        rasterio.open(path, driver="GTiff") as source,
    ):
        strips = range(0, raster.values.shape[0], STRIP_ROWS)
        return bool(
            source.shape == raster.values.shape
            and all(_same_rows(source, raster.values, start) for start in strips)
            and np.allclose(source.transform[:6], raster.transform, rtol=1e-12, atol=1e-9)
            and source.crs == rasterio.CRS.from_user_input(raster.crs)
            and np.isnan(source.nodata)
            and source.descriptions == (band_description(raster),)
        )


def _same_rows(source: Any, values: NDArray[np.float32], start: int) -> bool:
    stop = min(start + STRIP_ROWS, values.shape[0])
    written = source.read(1, window=((start, stop), (0, values.shape[1])))
    return bool(np.array_equal(written, values[start:stop], equal_nan=True))
