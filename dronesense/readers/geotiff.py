"""GeoTIFF: cubes of several bands, and height models of one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.errors import CoverageError, ManifestError, ReadError
from dronesense.model import (
    Bands,
    FrameCamera,
    IngestReport,
    Instrument,
    LineCamera,
    LineScan,
    MapGrid,
    SpectralCube,
    Terrain,
)
from dronesense.model.cube import CUBE_QUANTITIES, CubeQuantity
from dronesense.readers import line_times as line_time_files
from dronesense.readers import raster, tiff_directory
from dronesense.readers.envi_keys import NM_PER_UNIT, wavelength_in_name

MAX_TERRAIN_PIXELS: Final = 50_000_000
"""Pixels of a height model that are held in memory (400 MB)."""

TERRAIN_MARGIN_PIXELS: Final = 2
"""Pixels beyond the bounds, for interpolation at the edge."""

PLAUSIBLE_HEIGHT_M: Final = (-1000.0, 10000.0)
"""Land lies between -430 m and 8849 m; what is outside is an undeclared "no data" value."""

SUPPORTED_HEIGHT_REFS: Final = ("ellipsoid",)
METER_NAMES: Final = ("", "m", "meter", "meters", "metre", "metres")


def sniff(path: Path, head: bytes) -> bool:
    """Return whether *path* is a TIFF file of more than one band; one band is taken for a height model."""
    return head[:4] in tiff_directory.MAGICS and tiff_directory.samples_per_pixel(path) > 1


@dataclass(frozen=True, slots=True)
class GeoTiffSource:
    """Rows of a GeoTIFF, see :class:`~dronesense.model.CubeSource`.

    Parameters
    ----------
    path : Path
        The file.
    shape : (rows, bands, cols)
        Its shape.
    scale, offset : (bands,) float64
        ``value = scale * number + offset``.
    saturation : float
        Number from which a pixel is saturated; inf for none.
    """

    path: Path
    shape: tuple[int, int, int]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    saturation: float = float("inf")

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return rows ``start:stop`` as (rows, bands, cols) float32, and (rows, cols) validity.

        A pixel is invalid if in any band it is masked, "no data", NaN, infinite, or saturated.

        Raises
        ------
        ValueError
            If the rows lie outside the cube.
        ReadError
            If a strip or tile cannot be decoded.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise ValueError(f"rows {start}:{stop} are not within 0:{self.shape[0]}")
        with raster.opened(self.path) as dataset:
            window = ((start, stop), (0, self.shape[2]))
            raw = dataset.read(window=window)
            valid = (dataset.read_masks(window=window) != 0).all(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.ascontiguousarray(raw.transpose(1, 0, 2), dtype=np.float32)
        valid &= np.isfinite(values).all(axis=1)
        if math.isfinite(self.saturation):
            valid &= ~(values >= np.float32(self.saturation)).any(axis=1)
        if np.any(self.scale != 1.0) or np.any(self.offset != 0.0):
            with np.errstate(over="ignore", invalid="ignore"):
                values *= self.scale.astype(np.float32)[:, None]
                values += self.offset.astype(np.float32)[:, None]
        return values, valid


def read(
    path: Path,
    *,
    label: str,
    name: str,
    instrument: Instrument | None = None,
    line_times: str | Path = "auto",
) -> tuple[SpectralCube, IngestReport]:
    """Open a GeoTIFF as a cube; no pixel is read.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What the file is called in products, e.g. its path relative to the flight folder.
    name : str
        Short name of the cube.
    instrument : Instrument, optional
        Camera: its id, and the counts from which a pixel is saturated.
    line_times : str or Path
        Without map coordinates: ``"auto"`` (``<name>.lines.csv`` beside it), ``"none"``, or a file.

    Returns
    -------
    cube : SpectralCube
        `geometry` is a MapGrid if the file has a CRS and a transform, else a LineScan if it has line times.
    report : IngestReport
        What the file did not say is in `assumptions`.

    Raises
    ------
    ReadError
        If the file is not a GeoTIFF, is cut, or holds what is no cube.
    """
    path = Path(path)
    tiff_directory.check(path)
    assumptions: list[str] = []
    with raster.opened(path) as dataset:
        raster.check(path, dataset)
        shape = (dataset.height, dataset.count, dataset.width)
        bands = _bands(dataset, assumptions)
        quantity = _quantity(path, dataset, assumptions)
        grid = _grid(dataset)
        scale, offset = (np.array(each, dtype=np.float64) for each in (dataset.scales, dataset.offsets))
        details = {
            "dtype": dataset.dtypes[0],
            "crs": raster.crs_text(dataset),
            "nodata": _json_number(dataset.nodata),
        }
    if np.any(scale != 1.0) or np.any(offset != 0.0):
        assumptions.append("scale and offset of the file were applied")
    warnings: list[str] = []
    times = None if grid is not None else line_time_files.choose(path, line_times)
    geometry = _scan(times, shape[0], warnings) if grid is None else grid
    if geometry is None and line_times != "none":
        warnings.append("has no map coordinates of its own (sidecar files are not used) and no line times")
    saturation = float("inf")
    if (
        instrument is not None
        and isinstance(instrument.spec, LineCamera | FrameCamera)
        and quantity == "counts"
    ):
        saturation = instrument.spec.saturation_dn
    cube = SpectralCube(
        name=name,
        source=GeoTiffSource(path, shape, scale, offset, saturation),
        bands=bands,
        quantity=quantity,
        geometry=geometry,
        instrument="" if instrument is None else instrument.id,
        path=label,
        history=(f"read {label} as GeoTIFF, {quantity}",),
    )
    return cube, IngestReport(
        format="GeoTIFF",
        records=shape[0],
        assumptions=tuple(assumptions),
        warnings=tuple(warnings),
        companions=() if times is None else (str(times.resolve()),),
        details=details,
    )


def _scan(times: Path | None, lines: int, warnings: list[str]) -> LineScan | None:
    return None if times is None else LineScan(line_time_files.read(times, lines, warnings=warnings))


def _json_number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _bands(dataset: Any, assumptions: list[str]) -> Bands:
    """Return the wavelengths of band tags (GDAL's ENVI copies, its IMAGERY domain) or band descriptions."""
    center, width = np.full(dataset.count, np.nan), np.full(dataset.count, np.nan)
    for index in range(dataset.count):
        imagery = dataset.tags(index + 1, ns="IMAGERY")
        tags = {key.lower(): value for key, value in dataset.tags(index + 1).items()}
        unit = NM_PER_UNIT.get(tags.get("wavelength_units", "").strip().lower())
        if "CENTRAL_WAVELENGTH_UM" in imagery:
            center[index] = _number(imagery["CENTRAL_WAVELENGTH_UM"]) * NM_PER_UNIT["um"]
            width[index] = _number(imagery.get("FWHM_UM", "nan")) * NM_PER_UNIT["um"]
        elif unit is not None and "wavelength" in tags:
            center[index] = _number(tags["wavelength"]) * unit
            width[index] = _number(tags.get("fwhm", "nan")) * unit
        else:
            named = wavelength_in_name(dataset.descriptions[index] or "")
            center[index] = np.nan if named is None else named
    if not np.isfinite(center).all():
        assumptions.append("the file does not tell the wavelengths of all bands: none are used")
        center[:] = width[:] = np.nan
    return Bands(center, width, np.ones(dataset.count, dtype=bool))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _quantity(path: Path, dataset: Any, assumptions: list[str]) -> CubeQuantity:
    """Return the tag ``quantity``, else a guess that is recorded."""
    tags = {key.lower(): value for key, value in dataset.tags().items()}
    stated = tags.get("quantity", "").strip().lower()
    if stated in CUBE_QUANTITIES:
        return cast("CubeQuantity", stated)
    if stated:
        raise ReadError(
            f'unknown quantity "{stated}" in its tags', where=path, fix=f"one of {', '.join(CUBE_QUANTITIES)}"
        )
    whole = np.dtype(dataset.dtypes[0]).kind in "iu"
    words = " ".join([*tags.values(), *(text or "" for text in dataset.descriptions)]).lower()
    scaled = any(scale != 1.0 for scale in dataset.scales)
    guess: CubeQuantity = "counts" if whole and not scaled else "radiance"
    if guess == "radiance" and "reflectance" in words:
        guess = "reflectance"
    assumptions.append(
        f'{guess} assumed from {"whole" if whole else "decimal"} numbers; the tag "quantity" overrides'
    )
    return guess


def _grid(dataset: Any) -> MapGrid | None:
    crs = raster.crs_text(dataset)
    if not crs or dataset.transform.is_identity:
        return None
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    return MapGrid((a, b, c, d, e, f), crs)


def read_terrain(
    path: Path,
    *,
    label: str,
    bounds: tuple[float, float, float, float] | None,
    height_ref: str,
    sigma_m: float,
) -> tuple[Terrain, IngestReport]:
    """Read a height model, or the part of it that is needed.

    Parameters
    ----------
    path : Path
        GeoTIFF of one band, heights in m.
    label : str
        What the file is called in products.
    bounds : (west, south, east, north) or None
        Part that is needed, degrees WGS84; None: all of it.
    height_ref : str
        What the heights refer to; so far ``"ellipsoid"`` only.
    sigma_m : float
        Standard uncertainty of the heights, m.

    Returns
    -------
    terrain : Terrain
        Heights with NaN where there are no data.
    report : IngestReport
        How many pixels have none.

    Raises
    ------
    ManifestError
        If `height_ref` is not supported, or the file itself names another vertical datum.
    ReadError
        If the file is cut, has several bands, no CRS, a rotated grid, heights in another unit than m, or is
        too large.
    CoverageError
        If it has no height within the bounds.
    """
    path = Path(path)
    if height_ref not in SUPPORTED_HEIGHT_REFS:
        raise ManifestError(
            f'height_ref = "{height_ref}" of a height model is not supported yet',
            where=path,
            fix=f"convert it to heights above the WGS84 ellipsoid; supported: {SUPPORTED_HEIGHT_REFS[0]}",
        )
    tiff_directory.check(path)
    with raster.opened(path) as dataset:
        raster.check(path, dataset)
        crs = _check_terrain(path, dataset)
        window, transform = _window(path, dataset, crs, bounds)
        masked = dataset.read(1, window=window, masked=True)
        scale, offset = dataset.scales[0], dataset.offsets[0]
    with np.errstate(all="ignore"):  # signaling NaN and overflow end as "no height" below
        height = np.where(np.ma.getmaskarray(masked), np.nan, masked.data.astype(np.float64)) * scale + offset
    low, high = PLAUSIBLE_HEIGHT_M
    wild = np.isfinite(height) & ((height < low) | (height > high))
    height[wild | ~np.isfinite(height)] = np.nan
    warnings = []
    if wild.any():
        warnings.append(f"{int(wild.sum())} heights outside {low:g} to {high:g} m were taken for missing")
    empty = int(np.isnan(height).sum())
    if empty == height.size:
        raise CoverageError(
            "has no height in the area of the flight", where=path, fix="use a height model of the area"
        )
    if empty:
        warnings.append(f"{empty} of {height.size} pixels have no height")
    terrain = Terrain(height_m=height, transform=transform, crs=crs, sigma_m=sigma_m, source=label)
    return terrain, IngestReport(
        format="GeoTIFF height model",
        records=height.size,
        dropped={"no height": empty} if empty else {},
        warnings=tuple(warnings),
        details={"crs": crs, "shape": list(height.shape), "pixel_m": [transform[0], -transform[4]]},
    )


def _check_terrain(path: Path, dataset: Any) -> str:
    """Return the CRS of a height model that can be used as one."""
    if dataset.count != 1:
        raise ReadError(
            f"has {dataset.count} bands: a height model has one", where=path, fix="name the height model"
        )
    crs = raster.crs_text(dataset)
    if not crs or dataset.transform.is_identity:
        raise ReadError(
            "has no map coordinates of its own; sidecar files are not used",
            where=path,
            fix="write them into the file: gdal_translate -a_srs ... -a_ullr ...",
        )
    if dataset.transform.b != 0.0 or dataset.transform.d != 0.0:
        raise ReadError("is rotated against its grid", where=path, fix="turn it north up: gdalwarp")
    unit = (dataset.units[0] or "").strip().lower()
    if unit not in METER_NAMES:
        raise ReadError(f'has heights in "{unit}", not m', where=path, fix="convert them to m")
    vertical = dataset.crs.to_wkt().partition("VERT_CS[")[2]
    if vertical and "ellipsoid" not in vertical.partition(",")[0].lower():
        raise ManifestError(
            f"the file says that its heights refer to {vertical.partition(',')[0]}, not to the ellipsoid",
            where=path,
            fix="convert it to heights above the WGS84 ellipsoid",
        )
    return crs


def _window(
    path: Path, dataset: Any, crs: str, bounds: tuple[float, float, float, float] | None
) -> tuple[tuple[tuple[int, int], tuple[int, int]], tuple[float, float, float, float, float, float]]:
    """Return ((row, row), (col, col)) and the transform of the part within *bounds* and a margin."""
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    rows, cols = (0, dataset.height), (0, dataset.width)
    if bounds is not None:
        west, south, east, north = geodesy.transform_bounds(bounds, "EPSG:4326", crs)
        cols = _range((west - c) / a, (east - c) / a, dataset.width)
        rows = _range((north - f) / e, (south - f) / e, dataset.height)
        if rows[0] >= rows[1] or cols[0] >= cols[1]:
            raise CoverageError(
                "does not cover the area of the flight", where=path, fix="use a height model of the area"
            )
    count = (rows[1] - rows[0]) * (cols[1] - cols[0])
    if count > MAX_TERRAIN_PIXELS:
        raise ReadError(
            f"{count} pixels are too many for memory (at most {MAX_TERRAIN_PIXELS})",
            where=path,
            fix="cut it to the area of the flight: gdalwarp -te",
        )
    if count < 2:
        raise ReadError("has a single pixel: no surface", where=path, fix="set height_m for flat ground")
    return (rows, cols), (a, b, c + a * cols[0], d, e, f + e * rows[0])


def _range(one: float, other: float, size: int) -> tuple[int, int]:
    """Return first and last + 1 of the pixels between two places and a margin, within the raster."""
    low, high = sorted((one, other))
    first = math.floor(low) - TERRAIN_MARGIN_PIXELS
    last = math.ceil(high) + TERRAIN_MARGIN_PIXELS
    return max(0, first), min(size, last)
