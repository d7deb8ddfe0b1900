"""ENVI files of geometry and cubes, written line by line or piece by piece: nothing is held whole in memory.

The files of :mod:`dronesense.geotag.igm`, :mod:`glt <dronesense.geotag.glt>` and
:mod:`resample <dronesense.geotag.resample>`: input geometry (IGM), lookup table (GLT), observation, cubes on
a map grid. What ENVI, GDAL and SPy open; raw numbers, little endian.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.writers.atomic import replacing, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

Interleave = Literal["bil", "bip", "bsq"]

DATA_TYPES: Final = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12}
"""ENVI's numbers of data types."""

_AXES: Final = {"bil": (0, 2, 1), "bip": (0, 1, 2), "bsq": (2, 0, 1)}  # (row, col, band) as the file has them
_FILL_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """What an ENVI header says.

    Parameters
    ----------
    rows, cols, bands : int
        Size.
    dtype : str
        One of :data:`DATA_TYPES`.
    interleave : {"bil", "bip", "bsq"}
        Order of the numbers.
    band_names : tuple of str
        One for each band.
    description : str
        What it is.
    transform : (a, b, c, d, e, f) or None
        Of a north-up grid, corner of the first cell at (0, 0); None: sensor geometry.
    crs : str
        Of the grid.
    wavelength_nm, fwhm_nm : tuple of float
        Of the bands, where they have any.
    nodata : float or None
        What stands where there is nothing.
    """

    rows: int
    cols: int
    bands: int
    dtype: str
    interleave: Interleave
    band_names: tuple[str, ...]
    description: str
    transform: tuple[float, float, float, float, float, float] | None = None
    crs: str = ""
    wavelength_nm: tuple[float, ...] = ()
    fwhm_nm: tuple[float, ...] = ()
    nodata: float | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DATA_TYPES:
            raise ValueError(f"dtype must be one of {tuple(DATA_TYPES)}, not {self.dtype!r}")
        if self.interleave not in _AXES:
            raise ValueError(f"interleave must be one of {tuple(_AXES)}, not {self.interleave!r}")
        if len(self.band_names) != self.bands:
            raise ValueError(f"{len(self.band_names)} names for {self.bands} bands")
        if self.transform is not None and (self.transform[1] != 0.0 or self.transform[3] != 0.0):
            raise ValueError("an ENVI header has no turned grid")


def header(layout: Layout, *, wkt: str = "") -> str:
    """Return the text of the ENVI header.

    The reference pixel of ``map info`` is (1, 1), and the coordinates are those of its upper left corner.

    Parameters
    ----------
    layout : Layout
        What it says.
    wkt : str
        The grid's CRS in ESRI's WKT 1, for ``coordinate system string``.
    """
    lines = [
        "ENVI",
        f"description = {{{_plain(layout.description)}}}",
        f"samples = {layout.cols}",
        f"lines = {layout.rows}",
        f"bands = {layout.bands}",
        "header offset = 0",
        "file type = ENVI Standard",
        f"data type = {DATA_TYPES[layout.dtype]}",
        f"interleave = {layout.interleave}",
        "byte order = 0",
        f"band names = {{{', '.join(map(_plain, layout.band_names))}}}",
    ]
    if layout.nodata is not None:
        lines.append(f"data ignore value = {layout.nodata:g}")
    if layout.transform is not None:
        lines.append(f"map info = {{{_map_info(layout)}}}")
        if wkt:
            lines.append(f"coordinate system string = {{{wkt}}}")
    if layout.wavelength_nm:
        lines += ["wavelength units = Nanometers", f"wavelength = {{{_numbers(layout.wavelength_nm)}}}"]
    if layout.fwhm_nm and np.isfinite(layout.fwhm_nm).all():
        lines.append(f"fwhm = {{{_numbers(layout.fwhm_nm)}}}")
    return "\n".join(lines) + "\n"


def _map_info(layout: Layout) -> str:
    assert layout.transform is not None
    a, _, c, _, e, f = layout.transform
    place = f"1, 1, {c!r}, {f!r}, {a!r}, {-e!r}"
    zone = _utm(layout.crs)
    if zone is not None:
        return f"UTM, {place}, {zone[0]}, {zone[1]}, WGS-84, units=Meters"
    return f"Arbitrary, {place}, 0, units=Meters"


def _utm(crs: str) -> tuple[int, str] | None:
    """Return zone and hemisphere of a UTM zone on WGS84, by its EPSG code."""
    code = crs.upper().removeprefix("EPSG:")
    if len(code) == 5 and code[:3] in ("326", "327") and 1 <= int(code[3:]) <= 60:
        return int(code[3:]), "North" if code[2] == "6" else "South"
    return None


def _plain(text: str) -> str:
    """Return *text* without what has a meaning in a header."""
    return "".join(" " if sign in "{}\r\n" else sign for sign in text).replace(",", ";")


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.10g}" for value in values)


def _wkt(crs: str) -> str:
    from rasterio import CRS

    return str(CRS.from_user_input(crs).to_wkt(version="WKT1_ESRI")) if crs else ""


class Sink:
    """An ENVI file that is being filled.

    Write with :meth:`lines` or :meth:`cells`, in any order; what is not written holds the layout's nodata.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.layout = layout
        shape = layout.rows, layout.cols, layout.bands
        order = _AXES[layout.interleave]
        dtype = np.dtype(layout.dtype).newbyteorder("<")
        _allocate(path, layout.rows * layout.cols * layout.bands * dtype.itemsize)
        stored = np.memmap(path, dtype=dtype, mode="r+", shape=tuple(shape[axis] for axis in order))
        self._file: np.memmap[Any, Any] | None = stored
        self._cells: NDArray[Any] = stored.transpose(np.argsort(order))
        if layout.nodata:  # a new file holds zeros
            for start in range(0, layout.rows, _FILL_ROWS):
                self._cells[start : start + _FILL_ROWS] = layout.nodata

    def lines(self, start: int, bands: Sequence[NDArray[Any]] | NDArray[Any]) -> None:
        """Write (bands, n, cols) from row *start* on."""
        for number, band in enumerate(bands):
            self._cells[start : start + len(band), :, number] = band

    def cells(self, row: NDArray[np.int64], col: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Write spectra (k, bands) to cells."""
        self._cells[row, col] = values

    def close(self) -> None:
        """Bring everything to the disk and let go of the file."""
        if self._file is not None:
            self._file.flush()
        self._file, self._cells = None, np.empty((0, 0, 0))


def _allocate(path: Path, size: int) -> None:
    """Make a file of *size* zeros whose place on the disk is sure, where the system can promise it."""
    with path.open("wb") as stream:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)  # a mapped file on a full disk ends the program
        else:
            stream.truncate(size)


@contextmanager
def envi(path: Path, layout: Layout) -> Iterator[Sink]:
    """Make the ENVI file *path*, with its header at ``<path>.hdr``; both are there complete, or not at all.

    Parameters
    ----------
    path : Path
        The numbers; the header's name is this and ``.hdr``, with the ending replaced where it has one.
    layout : Layout
        Size and meaning.

    Yields
    ------
    Sink
        Where lines or cells are written to.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    text = header(layout, wkt=_wkt(layout.crs)).encode("utf-8")
    with replacing(path) as temporary:
        sink = Sink(temporary, layout)
        try:
            yield sink
        finally:
            sink.close()
    write_bytes(path.with_suffix(".hdr"), text)
