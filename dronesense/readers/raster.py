"""The one place where readers open rasters: hardened against hostile and misled files.

The GTiff driver alone, no sidecar files, blocks capped, and all decoding in a process of its own
(:mod:`dronesense.readers.decoder`) with limits of memory and time: a file that crashes the decoder, or
keeps it busy without end, costs this file and not the run. That no data are cut off, ``tiff_directory.check``
sees beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers.decoder import MAX_BLOCK_BYTES, Decoder, Held

DECODER: Final = Decoder("raster", "GeoTIFF")

Window = tuple[tuple[int, int], tuple[int, int]]


@dataclass(slots=True, eq=False)
class Raster:
    """An open file: what it says of itself, and its pixels; like a dataset of rasterio."""

    held: Held
    crs: Any
    transform: Any
    about: dict[str, Any] = field(init=False)
    dtypes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.about = self.held.about
        self.dtypes = tuple(self.about["dtypes"])

    def __getattr__(self, name: str) -> Any:
        """Return a plain property: count, height, width, units, scales, offsets, nodata, descriptions ..."""
        if name in ("tags", "imagery", "arrays") or name not in self.about:
            raise AttributeError(name)
        return self.about[name]

    def tags(self, band: int = 0, ns: str = "") -> dict[str, str]:
        """Return the tags of the file (0) or of a band; of the domain IMAGERY where *ns* says so."""
        found: dict[str, str] = self.about["imagery" if ns == "IMAGERY" else "tags"][band]
        return found

    def read(self, band: int | None = None, *, window: Window | None = None, masked: bool = False) -> Any:
        """Return the pixels of a window: (rows, cols) of one band, (bands, rows, cols) of all."""
        shape = self._shape(window) if band is not None else (self.about["count"], *self._shape(window))
        arrays = self._ask(
            {"do": "read", "band": band, "window": window, "masked": masked}, [shape] * (1 + masked)
        )
        return np.ma.MaskedArray(arrays[0], mask=arrays[1]) if masked else arrays[0]

    def read_masks(self, *, window: Window | None = None) -> NDArray[np.uint8]:
        """Return which pixels are valid, (bands, rows, cols), 0 where they are not."""
        shape = (self.about["count"], *self._shape(window))
        return self._ask({"do": "masks", "window": window}, [shape])[0]

    def _shape(self, window: Window | None) -> tuple[int, int]:
        (top, bottom), (left, right) = window or ((0, self.about["height"]), (0, self.about["width"]))
        return bottom - top, right - left

    def _ask(self, request: dict[str, Any], expected: list[tuple[int, ...]]) -> list[NDArray[Any]]:
        count = sum(int(np.prod(shape)) for shape in expected) * 8
        return self.held.ask(request, expected, decoded_bytes=count)[1]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open *path* hardened; whatever its decoder says against it becomes a ReadError."""
    import rasterio
    from rasterio.errors import CRSError

    with DECODER.opened(path) as held:
        try:
            crs = rasterio.CRS.from_wkt(held.about["crs"]) if held.about["crs"] else None
            yield Raster(held, crs, rasterio.Affine(*held.about["transform"]))
        except CRSError as error:
            raise ReadError(f"has a CRS that cannot be read ({error})", where=path) from error


def check(path: Path, dataset: Any) -> None:
    """Refuse complex numbers and blocks that would take all memory."""
    if any(np.dtype(kind).kind not in "iuf" for kind in dataset.dtypes):
        raise ReadError(f"holds {dataset.dtypes[0]} numbers, not a cube or heights", where=path)
    item = max(np.dtype(kind).itemsize for kind in dataset.dtypes)
    largest = max(rows * cols for rows, cols in dataset.block_shapes) * item
    if dataset.interleaving == "pixel":
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
