"""Scores and maps on the ground as cloud-optimized GeoTIFF, read back before it counts as written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import EvidenceError
from dronesense.model import GasMap, GroundRaster
from dronesense.writers.atomic import replacing

BLOCK_PIXELS: Final = 256
"""Side of a tile; GDAL's 512 wastes space on the narrow strips of a drone."""
CREATION: Final[dict[str, Any]] = {
    "driver": "COG",
    "dtype": "float32",
    "nodata": float("nan"),
    "compress": "DEFLATE",
    "predictor": "FLOATING_POINT",
    "blocksize": BLOCK_PIXELS,
    "overview_resampling": "AVERAGE",
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


def write(bands: GroundRaster | Sequence[GroundRaster], path: Path, *, overviews: str = "AVERAGE") -> None:
    """Write one raster, or several of one grid as bands, as a cloud-optimized GeoTIFF.

    Float32 with nodata NaN, deflate with predictor 3, tiles, overviews, statistics. The band description is
    ``<description> [<unit>]``, the band's unit is set as well. The file is read back and compared before it
    takes its name, because GDAL has reported success on a full disk. *overviews* are made by that resampling:
    ``"NEAREST"`` where a band holds numbers of things.

    Raises
    ------
    ValueError
        If the bands are not on one grid.
    EvidenceError
        If what was read back differs from what was written.
    OSError
        If the disk is full or the folder cannot be written.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError  # GDAL's errors leak through rasterio, without a public name
    from rasterio.errors import RasterioError

    bands = (bands,) if isinstance(bands, GroundRaster) else tuple(bands)
    grid = bands[0]
    if any((each.values.shape, each.transform, each.crs) != (grid.values.shape, grid.transform, grid.crs)
           for each in bands):  # fmt: skip
        raise ValueError("the bands of a file lie on one grid")
    height, width = grid.values.shape
    with replacing(path) as temporary:
        try:
            with (
                rasterio.Env(**ENVIRONMENT),
                rasterio.open(
                    temporary,
                    "w",
                    width=width,
                    height=height,
                    crs=grid.crs,
                    transform=rasterio.Affine(*grid.transform),
                    **{**_creation(bands), "overview_resampling": overviews},
                ) as sink,
            ):
                for number, each in enumerate(bands, start=1):
                    sink.write(each.values, number)
                    sink.set_band_description(number, band_description(each))
                    sink.set_band_unit(number, each.unit)
            same = _reads_back(bands, temporary)
        except (RasterioError, CPLE_BaseError, SystemError) as error:  # SystemError: a full disk at close
            raise OSError(f"{path}: GDAL could not write it ({error})") from error
        if not same:
            raise EvidenceError("does not read back as it was written", where=path, fix="check the disk")


def write_map(gas_map: GasMap, path: Path) -> None:
    """Write a concentration map: estimate, its standard uncertainty, and the share of the samples in it.

    Raises
    ------
    EvidenceError, OSError
        As :func:`write`.
    """
    about = f"{gas_map.species} by {gas_map.method}"
    bands = [
        GroundRaster(name, values, gas_map.transform, gas_map.crs, unit, f"{about}: {name}")
        for name, values, unit in (
            ("estimate", gas_map.mean, gas_map.unit),
            ("standard uncertainty", gas_map.sigma, gas_map.unit),
            ("support by samples", gas_map.support, "1"),
        )
    ]
    write(bands, path)


def write_picture(
    rgba: NDArray[np.uint8],
    path: Path,
    *,
    transform: tuple[float, float, float, float, float, float],
    crs: str,
    description: str,
) -> None:
    """Write a picture (4, ny, nx) of red, green, blue and alpha as a cloud-optimized GeoTIFF.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.enums import ColorInterp
    from rasterio.errors import RasterioError

    with replacing(path) as temporary:
        try:
            with (
                rasterio.Env(**ENVIRONMENT),
                rasterio.open(
                    temporary,
                    "w",
                    driver="COG",
                    dtype="uint8",
                    count=4,
                    width=rgba.shape[2],
                    height=rgba.shape[1],
                    crs=crs,
                    transform=rasterio.Affine(*transform),
                    compress="DEFLATE",
                    predictor="STANDARD",
                    blocksize=BLOCK_PIXELS,
                    overview_resampling="AVERAGE",
                ) as sink,
            ):
                sink.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
                sink.update_tags(TIFFTAG_IMAGEDESCRIPTION=description)
                sink.write(rgba)
        except (RasterioError, CPLE_BaseError, SystemError) as error:
            raise OSError(f"{path}: GDAL could not write it ({error})") from error


def band_description(raster: GroundRaster) -> str:
    """Return the band description: what it is, with its unit."""
    return f"{raster.description} [{raster.unit}]"


def _creation(bands: Sequence[GroundRaster]) -> dict[str, Any]:
    """Return the creation options; a raster without any value has no statistics."""
    valued = all(bool(np.isfinite(each.values).any()) for each in bands)
    return {**CREATION, "count": len(bands), "statistics": "YES" if valued else "NO"}


def _reads_back(bands: Sequence[GroundRaster], path: Path) -> bool:
    import rasterio

    grid = bands[0]
    with (
        rasterio.Env(**ENVIRONMENT, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        rasterio.open(path, driver="GTiff") as source,
    ):
        strips = range(0, grid.values.shape[0], STRIP_ROWS)
        return bool(
            source.shape == grid.values.shape
            and all(
                _same_rows(source, each.values, number, start)
                for number, each in enumerate(bands, start=1)
                for start in strips
            )
            and np.allclose(source.transform[:6], grid.transform, rtol=1e-12, atol=1e-9)
            and source.crs == rasterio.CRS.from_user_input(grid.crs)
            and np.isnan(source.nodata)
            and source.descriptions == tuple(map(band_description, bands))
        )


def _same_rows(source: Any, values: NDArray[np.float32], number: int, start: int) -> bool:
    stop = min(start + STRIP_ROWS, values.shape[0])
    written = source.read(number, window=((start, stop), (0, values.shape[1])))
    return bool(np.array_equal(written, values[start:stop], equal_nan=True))
