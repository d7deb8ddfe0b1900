"""GeoTIFF cubes of several bands; height models, which have one, are read by `height_model`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import (
    Bands,
    FrameCamera,
    IngestReport,
    Instrument,
    LineCamera,
    LineScan,
    MapGrid,
    SpectralCube,
    TrackOptions,
)
from dronesense.model.cube import CUBE_QUANTITIES, CubeQuantity
from dronesense.readers import envi_scale, raster, tiff_directory
from dronesense.readers import line_times as line_time_files
from dronesense.readers.envi_keys import NM_PER_UNIT, wavelength_in_name


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
    track: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[SpectralCube, IngestReport]:
    """Open a GeoTIFF as a cube; no pixel is read, but a few rows of reflectance.

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
    track : TrackOptions
        Not used: line times beside a GeoTIFF are on UTC.

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
    del track
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
    source = GeoTiffSource(
        path, shape, scale, offset, _saturation(instrument) if quantity == "counts" else float("inf")
    )
    if quantity == "reflectance":
        _refuse_percent(source)
    warnings: list[str] = []
    times = None if grid is not None else line_time_files.choose(path, line_times)
    geometry = _scan(times, shape[0], warnings) if grid is None else grid
    if geometry is None and line_times != "none":
        warnings.append("has no map coordinates of its own (sidecar files are not used) and no line times")
    cube = SpectralCube(
        name=name,
        source=source,
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


def _refuse_percent(source: GeoTiffSource) -> None:
    typical = envi_scale.typical_of(source)
    if typical > envi_scale.BRIGHTEST:
        raise ReadError(
            f"numbers are no reflectance as a fraction: they are typically {typical:.3g}",
            where=source.path,
            fix="set the scale of its bands (0.01 for percent), or its tag quantity to radiance or counts",
        )


def _saturation(instrument: Instrument | None) -> float:
    if instrument is None or not isinstance(instrument.spec, LineCamera | FrameCamera):
        return float("inf")
    return instrument.spec.saturation_dn


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
