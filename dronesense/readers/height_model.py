"""Height models: GeoTIFF of one band, brought to heights above the ellipsoid."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.errors import CoverageError, ManifestError, ReadError
from dronesense.geodesy.geoid import GeoidGrid, undulation_raster
from dronesense.model import IngestReport, Terrain
from dronesense.readers import raster, tiff_directory

MAX_TERRAIN_PIXELS: Final = 50_000_000
"""Pixels of a height model that are held in memory (400 MB)."""

TERRAIN_MARGIN_PIXELS: Final = 2
"""Pixels beyond the bounds, for interpolation at the edge."""

PLAUSIBLE_HEIGHT_M: Final = (-1000.0, 10000.0)
"""Land lies between -430 m and 8849 m; what is outside is an undeclared "no data" value."""

TERRAIN_HEIGHT_REFS: Final = ("ellipsoid", "egm96", "egm2008")
"""What heights of a height model may count from."""
VERTICAL_NAMES: Final = {"ellipsoid": "ellipsoid", "egm96": "egm96", "egm2008": "egm2008", "egm08": "egm2008"}
"""Word in the name of a vertical datum -> what the heights count from."""
METER_NAMES: Final = ("", "m", "meter", "meters", "metre", "metres")


def read_terrain(
    path: Path,
    *,
    label: str,
    bounds: tuple[float, float, float, float] | None,
    height_ref: str,
    sigma_m: float,
    geoid: GeoidGrid | None = None,
) -> tuple[Terrain, IngestReport]:
    """Read a height model, or the part of it that is needed, with heights above the ellipsoid.

    Parameters
    ----------
    path : Path
        GeoTIFF of one band, heights in m.
    label : str
        What the file is called in products.
    bounds : (west, south, east, north) or None
        Part that is needed, degrees WGS84; None: all of it.
    height_ref : str
        What the heights refer to: ``"ellipsoid"``, ``"egm96"`` or ``"egm2008"``. Undulations are added pixel
        by pixel.
    sigma_m : float
        Standard uncertainty of the heights, m.
    geoid : GeoidGrid, optional
        Geoid of the user's choice in place of the packaged EGM96; needed for ``"egm2008"``.

    Returns
    -------
    terrain : Terrain
        Heights with NaN where there are no data.
    report : IngestReport
        How many pixels have none.

    Raises
    ------
    ManifestError
        If `height_ref` is not supported or needs a geoid, or the file itself names another vertical datum.
    ReadError
        If the file is cut, has several bands, no CRS, a rotated grid, heights in another unit than m, or is
        too large.
    CoverageError
        If it has no height within the bounds.
    """
    path = Path(path)
    _check_reference(path, height_ref, geoid)
    tiff_directory.check(path)
    with raster.opened(path) as dataset:
        raster.check(path, dataset)
        crs = _check_terrain(path, dataset, height_ref)
        window, transform = _window(path, dataset, crs, bounds)
        masked = dataset.read(1, window=window, masked=True)
        scale, offset = dataset.scales[0], dataset.offsets[0]
    with np.errstate(all="ignore"):  # signaling NaN and overflow end as "no height" below
        height = np.where(np.ma.getmaskarray(masked), np.nan, masked.data.astype(np.float64)) * scale + offset
    warnings, empty = _blank(path, height)
    details: dict[str, Any] = {
        "crs": crs,
        "shape": list(height.shape),
        "pixel_m": [transform[0], -transform[4]],
        "height_ref": height_ref,
    }
    if height_ref != "ellipsoid":
        lift = undulation_raster(transform, height.shape, crs, grid=geoid)
        height += lift
        details["geoid"] = "EGM96" if geoid is None else geoid.name
        details["undulation_m"] = round(float(np.median(lift)), 3)
    terrain = Terrain(height_m=height, transform=transform, crs=crs, sigma_m=sigma_m, source=label)
    return terrain, IngestReport(
        format="GeoTIFF height model",
        records=height.size,
        dropped={"no height": empty} if empty else {},
        warnings=tuple(warnings),
        details=details,
    )


def _blank(path: Path, height: NDArray[np.float64]) -> tuple[list[str], int]:
    """Set what is no height to NaN; return what to warn of and how many pixels have none."""
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
    return warnings, empty


def _check_reference(path: Path, height_ref: str, geoid: GeoidGrid | None) -> None:
    """Refuse what the heights cannot be converted from."""
    if height_ref not in TERRAIN_HEIGHT_REFS:
        raise ManifestError(
            f'height_ref = "{height_ref}" of a height model is not supported',
            where=path,
            fix=f"use one of: {', '.join(TERRAIN_HEIGHT_REFS)}",
        )
    if height_ref == "egm2008" and geoid is None:
        raise ManifestError(
            'height_ref = "egm2008" of a height model: EGM2008 is not packaged',
            where=path,
            fix='name a grid of EGM2008 (.gtx or .tif) as geoid = "..." in [track]',
        )


def _check_terrain(path: Path, dataset: Any, height_ref: str) -> str:
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
    _, named, vertical = dataset.crs.to_wkt().partition("VERT_CS[")
    name = vertical.partition(",")[0].strip('"')
    known = next((ref for word, ref in VERTICAL_NAMES.items() if word in name.lower()), None)
    if named and known != height_ref:
        fix = "convert it to heights above the WGS84 ellipsoid"
        if known is not None:
            fix = f'set height_ref = "{known}" in [terrain]'
        raise ManifestError(
            f'the file says that its heights refer to "{name}", not to "{height_ref}"', where=path, fix=fix
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
