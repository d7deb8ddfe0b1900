"""Pictures and cubes in the geometry of the sensor -> onto a map grid, by a lookup table.

A cube streams: some lines are in memory at a time, whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.geotag.glt import Lookup
from dronesense.model import SpectralCube
from dronesense.model.cube import DEFAULT_BLOCK_BYTES

Method = Literal["nearest", "bilinear"]
METHODS: Final = ("nearest", "bilinear")

_STRIP_ROWS: Final = 64  # rows of the grid whose range of lines is kept
_CHUNK: Final = 65536  # cells at a time: the working arrays stay in the processor's cache

Plane = NDArray[np.float32]
Ints = NDArray[np.int64]


def nearest(values: Plane, table: Lookup) -> Plane:
    """Return what each cell shows: the value of its pixel, NaN where it has none.

    Parameters
    ----------
    values : (..., rows, cols) float32
        One plane or several, of the strip's shape.
    table : Lookup
        Which pixel each cell shows.

    Returns
    -------
    (..., ny, nx) float32
    """
    planes = _planes(values, table)
    result = np.empty((len(planes), table.number.size), dtype=np.float32)
    flat = table.number.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        pixel = np.abs(flat[part]).astype(np.intp)
        pixel -= 1
        empty = np.flatnonzero(pixel < 0)
        for plane, out in zip(planes, result, strict=True):
            np.take(plane, pixel, out=out[part], mode="clip")
            out[part][empty] = np.nan
    return result.reshape(*values.shape[:-2], *table.number.shape)


def bilinear(values: Plane, table: Lookup) -> Plane:
    """Return the values between pixel centers at the centers of the cells.

    Parameters
    ----------
    values : (..., rows, cols) float32
        One plane or several, of the strip's shape. NaN: not known.
    table : Lookup
        Made with ``offsets=True``.

    Returns
    -------
    (..., ny, nx) float32
        Where a neighbor is not known the others count; NaN where the cell's own pixel is not known.

    Raises
    ------
    ValueError
        If the table has no offsets.
    """
    planes = _planes(values, table)
    result = np.full((len(planes), table.number.size), np.nan, dtype=np.float32)
    for cells, pixel in _seen(table):
        down, right, q, p = _toward(table, cells)
        down *= table.shape[1]
        corners = pixel, pixel + right, pixel + down, pixel + down + right
        for plane, out in zip(planes, result, strict=True):
            own, beside, next_line, opposite = (plane.take(corner) for corner in corners)
            out[cells] = mix(own, beside, next_line, opposite, q, p)
    return result.reshape(*values.shape[:-2], *table.number.shape)


def mix(own: Plane, beside: Plane, next_line: Plane, opposite: Plane, q: Plane, p: Plane) -> Plane:
    """Return bilinear means of four values; those that are NaN stay out, with NaN where *own* is.

    Parameters
    ----------
    own, beside, next_line, opposite : float32
        The pixel itself, its neighbor along the line, across lines, and both.
    q, p : float32
        Shares of the way to the next line and to the neighbor in the line, 0 to 0.55.
    """
    upper = beside - own
    upper *= p
    upper += own
    lower = opposite - next_line
    lower *= p
    lower += next_line
    lower -= upper
    lower *= q
    lower += upper
    lost = np.flatnonzero(np.isnan(lower))
    if lost.size:
        q, p = (np.broadcast_to(each, lower.shape).reshape(-1)[lost] for each in (q, p))
        some = np.stack([each.reshape(-1)[lost] for each in (own, beside, next_line, opposite)])
        weight = np.stack([(1 - q) * (1 - p), (1 - q) * p, q * (1 - p), q * p])
        known = np.isfinite(some)
        weight *= known
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (np.where(known, some, 0.0) * weight).sum(axis=0) / weight.sum(axis=0)
        lower.reshape(-1)[lost] = np.where(known[0], mean, np.nan)
    return lower


def _planes(values: Plane, table: Lookup) -> list[Plane]:
    """Return the planes of *values* in one row each."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if values.shape[-2:] != table.shape:
        raise ValueError(f"values of {values.shape[-2:]} pixels, a table of a strip of {table.shape}")
    return list(values.reshape(-1, values.shape[-2] * values.shape[-1]))


def _seen(table: Lookup) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield flat numbers of cells and of the pixels that they show, some at a time."""
    flat = table.number.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        cells = np.flatnonzero(part)
        if cells.size:
            yield cells + start, np.abs(part[cells]).astype(np.intp) - 1


def _toward(table: Lookup, cells: NDArray[np.intp]) -> tuple[Ints, Ints, Plane, Plane]:
    """Return steps to the neighbors (lines, samples) that cells lie toward, and the shares of the way."""
    if table.offset is None:
        raise ValueError("the table was made without offsets")
    along, across = (plane.reshape(-1).take(cells) for plane in table.offset)
    steps = (np.sign(each).astype(np.int64) for each in (along, across))
    down, right = steps
    return down, right, np.abs(along), np.abs(across)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Spectra of some cells.

    Parameters
    ----------
    row, col : (k,) int64
        Cells of the grid.
    values : (k, bands) float32
        NaN where the pixel is not valid.
    """

    row: Ints
    col: Ints
    values: NDArray[np.float32]


def stream(
    cube: SpectralCube,
    table: Lookup,
    *,
    method: Method = "nearest",
    bands: NDArray[np.intp] | None = None,
    budget_bytes: int = DEFAULT_BLOCK_BYTES,
) -> Iterator[Piece]:
    """Yield the spectra of all cells that show a pixel, in the order of the cube's lines.

    Parameters
    ----------
    cube : SpectralCube
        Read once, front to back.
    table : Lookup
        Of its shape; with offsets for ``"bilinear"``.
    method : {"nearest", "bilinear"}
        Nearest leaves spectra as they were measured.
    bands : (b,) int or None
        Bands to keep; None: all.
    budget_bytes : int
        Size of a block of lines, B.

    Yields
    ------
    Piece
        Every cell once.
    """
    rows, count, cols = cube.shape
    if (rows, cols) != table.shape:
        raise ValueError(f"a cube of {(rows, cols)} pixels, a table of a strip of {table.shape}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, not {method!r}")
    ranges = _line_ranges(table)
    step = max(1, budget_bytes // (count * cols * 4))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        low, high = (start, stop) if method == "nearest" else (max(start - 1, 0), min(stop + 1, rows))
        values, valid = cube.source.read(low, high)
        values = values if bands is None else values[:, bands]
        for strip, (first, last) in enumerate(ranges):
            if first < stop and last >= start:
                yield from _pieces(table, strip * _STRIP_ROWS, (start, stop), low, values, valid, method)


def _pieces(
    table: Lookup,
    top: int,
    lines: tuple[int, int],
    low: int,
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    method: Method,
) -> Iterator[Piece]:
    """Yield the spectra of the cells of one strip of the grid that show pixels of *lines*."""
    nx, cols = table.number.shape[1], table.shape[1]
    number = np.abs(table.number[top : top + _STRIP_ROWS].reshape(-1)).astype(np.int64) - 1
    inside = np.flatnonzero((number >= lines[0] * cols) & (number < lines[1] * cols))
    chunk = max(1, _CHUNK * 16 // values.shape[1])
    for start in range(0, inside.size, chunk):
        cells = inside[start : start + chunk]
        line, sample = number[cells] // cols - low, number[cells] % cols

        def spectra(line: Ints, sample: Ints) -> NDArray[np.float32]:
            found = values[line, :, sample]
            found[~valid[line, sample]] = np.nan
            return found

        own = spectra(line, sample)
        if method == "bilinear":
            down, right, q, p = _toward(table, cells + top * nx)
            around = (spectra(line, sample + right), spectra(line + down, sample))
            own = mix(own, *around, spectra(line + down, sample + right), q[:, None], p[:, None])
        yield Piece(cells // nx + top, cells % nx, own)


def _line_ranges(table: Lookup) -> list[tuple[int, int]]:
    """Return the first and the last line that each strip of the grid shows; (rows, -1) for none."""
    ranges = []
    for top in range(0, table.number.shape[0], _STRIP_ROWS):
        number = np.abs(table.number[top : top + _STRIP_ROWS])
        shown = number[number > 0].astype(np.int64)
        ends = (shown.min() - 1, shown.max() - 1) if shown.size else (table.shape[0] * table.shape[1], -1)
        ranges.append((int(ends[0]) // table.shape[1], int(ends[1]) // table.shape[1]))
    return ranges
