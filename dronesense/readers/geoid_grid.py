"""Geoid grids of the user's choice: GTX (binary), GeoTIFF, and the text grid of NGA, told apart by content.

Only the part around the flight is read: EGM2008 at 1' has 930 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError, ReadError
from dronesense.geodesy.geoid import LARGEST_UNDULATION_M, GeoidGrid
from dronesense.readers import content, raster, tiff_directory
from dronesense.readers.height_model import METER_NAMES

GTX_HEADER: Final = np.dtype(
    [
        ("south", ">f8"),
        ("west", ">f8"),
        ("step_lat", ">f8"),
        ("step_lon", ">f8"),
        ("rows", ">i4"),
        ("cols", ">i4"),
    ]
)
"""NOAA VDatum's layout, as PROJ reads it; float32 big-endian follow, rows from south to north."""
GTX_NODATA: Final = -88.88
"""Below -88.88 and above -88.89: "no value"."""
MAX_NODES: Final = 50_000_000
"""Nodes that are held in memory (200 MB)."""
MARGIN_NODES: Final = 3
"""Nodes beyond the bounds, for the cubic interpolation."""

_TEXT_HEADER: Final = 6  # south, north, west, east, step in latitude, step in longitude
_FIX: Final = "name a grid of undulations above the WGS84 ellipsoid, in m: .gtx, .tif, or NGA's .grd"
_CLOSES: Final = 0.01  # of a cell
_HIGH_LATITUDE: Final = 90.0 + 1e-6

Nodes = NDArray[np.float32]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the nodes of a file lie, and how to get some rows and columns of them, from south to north."""

    west: float
    south: float
    step_lon: float
    step_lat: float
    rows: int
    cols: int
    window: Callable[[slice, slice], NDArray[np.floating[Any]]]

    @property
    def wraps(self) -> bool:
        return abs(self.cols * self.step_lon - 360.0) < _CLOSES * self.step_lon


def read(path: Path, *, label: str, bounds: Bounds | None = None) -> GeoidGrid:
    """Read a geoid grid, or the part of it that a flight needs.

    Parameters
    ----------
    path : Path
        A ``.gtx``, GeoTIFF or ``.grd`` file; its name does not matter.
    label : str
        What messages call it.
    bounds : (west, south, east, north), optional
        Part that is needed, degrees WGS84.

    Raises
    ------
    ReadError
        If the file is no geoid grid in degrees and meters, is cut, or too large.
    CoverageError
        If it does not cover the bounds, or holds no values there.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(GTX_HEADER.itemsize)
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=label) from error
    if head[:4] in tiff_directory.MAGICS:
        layout = _tiff(path, label)
    elif head and all(byte in b"0123456789+-.eE \t\r\n" for byte in head):
        layout = _text(path, label)
    else:
        layout = _gtx(path, label, head)
    return _cut(layout, label, bounds)


def _refuse(what: str, label: str, fix: str = _FIX) -> ReadError:
    return ReadError(what, where=label, fix=fix)


def _gtx(path: Path, label: str, head: bytes) -> _Layout:
    """Lay out a GTX file; its nodes stay on disk."""
    if len(head) < GTX_HEADER.itemsize:
        raise _refuse(f"holds {len(head)} bytes: no geoid grid", label)
    south, west, step_lat, step_lon, rows, cols = np.frombuffer(head, GTX_HEADER)[0].tolist()
    good = all(map(math.isfinite, (south, west, step_lat, step_lon))) and rows > 1 and cols > 1
    if not good or not (0.0 < step_lat < 90.0 and 0.0 < step_lon < 90.0):
        raise _refuse("is no geoid grid that is known: neither GeoTIFF nor GTX nor text", label)
    expected = GTX_HEADER.itemsize + 4 * rows * cols
    size = path.stat().st_size
    if size != expected:
        raise _refuse(
            f"has {size} bytes where its header asks for {expected} ({rows} x {cols} nodes)",
            label,
            "copy it again: it is cut, or no GTX file",
        )

    def window(some_rows: slice, some_cols: slice) -> Nodes:
        first, last, _ = some_rows.indices(rows)
        begin = GTX_HEADER.itemsize + 4 * cols * first

        def stored() -> bytes:  # not mapped: a card that is pulled out would kill the process
            with path.open("rb") as stream:
                stream.seek(begin)
                return stream.read(4 * cols * (last - first))

        nodes = np.frombuffer(content.patiently(stored, path, begin=begin), dtype=">f4")
        part = nodes.reshape(last - first, cols)[:, some_cols].astype(np.float32)
        return np.where((part < GTX_NODATA) & (part > GTX_NODATA - 0.01), np.float32(np.nan), part)

    return _Layout(west, south, step_lon, step_lat, rows, cols, window)


def _text(path: Path, label: str) -> _Layout:
    """Read NGA's text grid: six numbers, then rows from north to south; the last column repeats the first."""
    try:
        numbers = np.array(path.read_bytes().split(), dtype=np.float64)
    except ValueError as error:
        raise _refuse(f"is no grid of numbers ({error})", label) from error
    south, north, west, east, step_lat, step_lon = [*numbers[:_TEXT_HEADER], *[math.nan] * 6][:_TEXT_HEADER]
    if not (north > south and east > west and step_lat > 0.0 and step_lon > 0.0):
        raise _refuse("does not start with south, north, west, east and two steps", label)
    rows, cols = round((north - south) / step_lat) + 1, round((east - west) / step_lon) + 1
    if numbers.size != _TEXT_HEADER + rows * cols:
        raise _refuse(
            f"has {numbers.size - _TEXT_HEADER} values where its header asks for {rows} x {cols}",
            label,
            "copy it again: it is cut",
        )
    nodes = numbers[_TEXT_HEADER:].reshape(rows, cols)[::-1]
    if abs(east - west - 360.0) < _CLOSES * step_lon:
        nodes = nodes[:, :-1]
    rows, cols = nodes.shape
    return _Layout(west, south, step_lon, step_lat, rows, cols, lambda some, other: nodes[some, other])


def _tiff(path: Path, label: str) -> _Layout:
    """Lay out a GeoTIFF of one band in degrees and meters; its nodes are the centers of the pixels."""
    tiff_directory.check(path)
    with raster.opened(path) as dataset:
        raster.check(path, dataset)
        if dataset.count != 1:
            raise _refuse(f"has {dataset.count} bands: a geoid grid has one", label)
        if not dataset.crs or not dataset.crs.is_geographic or dataset.transform.is_identity:
            raise _refuse("is not in longitude and latitude", label)
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        unit = (dataset.units[0] or "").strip().lower()
        rows, cols = dataset.height, dataset.width
    if b or d or not (a > 0.0 > e):
        raise _refuse("is rotated or upside down", label, "turn it north up: gdalwarp")
    if unit not in METER_NAMES:
        raise _refuse(f'has undulations in "{unit}", not m', label, "convert them to m")

    def window(some_rows: slice, some_cols: slice) -> Nodes:
        span = ((rows - some_rows.stop, rows - some_rows.start), (some_cols.start, some_cols.stop))
        with raster.opened(path) as opened:
            part = opened.read(1, window=span, masked=True)
            scale, offset = opened.scales[0], opened.offsets[0]
        with np.errstate(all="ignore"):
            value = np.where(np.ma.getmaskarray(part), np.nan, part.data.astype(np.float32)) * scale + offset
        return np.asarray(value[::-1], dtype=np.float32)

    return _Layout(c + a / 2.0, f + e * (rows - 0.5), a, -e, rows, cols, window)


def _cut(layout: _Layout, label: str, bounds: Bounds | None) -> GeoidGrid:
    """Return the grid, or the part of it within *bounds* and a margin, checked for sane undulations."""
    top = layout.south + (layout.rows - 1) * layout.step_lat
    if not (
        -_HIGH_LATITUDE <= layout.south < top <= _HIGH_LATITUDE and layout.cols * layout.step_lon < 361.0
    ):
        raise _refuse("does not lie on the globe in degrees", label)
    rows, first, count = slice(0, layout.rows), 0, layout.cols
    if bounds is not None:
        rows, first, count = _span(layout, label, bounds)
    if (rows.stop - rows.start) * count > MAX_NODES:
        raise _refuse(
            f"has {(rows.stop - rows.start) * count} nodes, too many for memory (at most {MAX_NODES})",
            label,
            "cut it to the area of the flight: gdal_translate -projwin",
        )
    pieces, at = [], first % layout.cols
    left = count
    while left:
        width = min(left, layout.cols - at)
        pieces.append(layout.window(rows, slice(at, at + width)))
        at, left = 0, left - width
    nodes = np.concatenate(pieces, axis=1)
    known = np.isfinite(nodes)
    if not known.any():
        raise CoverageError("holds no value in the area of the flight", where=label, fix=_FIX)
    largest = float(np.abs(nodes[known]).max())
    if largest > LARGEST_UNDULATION_M:
        raise _refuse(f"holds {largest:g}, more than any undulation in m", label)
    nodes = np.where(known, nodes, np.float32(np.nan))
    west = layout.west + first * layout.step_lon
    south = layout.south + rows.start * layout.step_lat
    return GeoidGrid(nodes, west, south, layout.step_lon, layout.step_lat, label)


def _span(layout: _Layout, label: str, bounds: Bounds) -> tuple[slice, int, int]:
    """Return rows, first column (may lie beyond the last: it wraps) and number of columns for *bounds*."""
    west, south, east, north = bounds
    low = math.floor((south - layout.south) / layout.step_lat) - MARGIN_NODES
    high = math.ceil((north - layout.south) / layout.step_lat) + MARGIN_NODES + 1
    rows = slice(max(low, 0), min(high, layout.rows))
    offset = (west - layout.west) % 360.0
    if not layout.wraps and offset > (layout.cols - 1) * layout.step_lon and offset + (east - west) >= 360.0:
        offset -= 360.0  # the bounds begin a little west of the grid
    first = math.floor(offset / layout.step_lon) - MARGIN_NODES
    last = math.ceil((offset + east - west) / layout.step_lon) + MARGIN_NODES + 1
    if layout.wraps:
        if last - first >= layout.cols:
            first, last = 0, layout.cols
    else:
        first, last = max(first, 0), min(last, layout.cols)
    if rows.stop - rows.start < 2 or last - first < 2:
        raise CoverageError(
            "does not cover the flight", where=label, fix="use a geoid grid of the area of the flight"
        )
    return rows, first, last - first
