"""Which pixel of a strip each cell of a map grid shows: the lookup table of all that is put on the ground.

A pixel covers the cells whose centers lie in its footprint; where footprints overlap the pixel wins whose
center is nearest, counted in pixels along its own axes.
Cells that no pixel covers stay empty, but for narrow gaps where filling is asked for; filled cells are
marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError

MAX_CELLS: Final = 400_000_000
"""Largest table, cells (3.2 GB while it is made): a bound against a few rays that run to the horizon."""
STRETCH_LIMIT: Final = 4.0
"""A pixel farther from its neighbor than this many median spacings sees another surface, as at a roof."""
FOOTPRINT_MARGIN: Final = 0.05
"""Footprints reach this far over each side, in pixels, so that no cracks open between them."""
FILL_CELLS: Final = 1.5
"""Gaps up to this distance, in cells, from a cell that is seen are filled where that is asked for."""

_CHUNK: Final = 32768  # pixels drawn at a time: the working arrays stay in the processor's cache
_REACH: Final = 0.5 + FOOTPRINT_MARGIN
_FILL_ROWS: Final = 1024
_MEDIAN_OF: Final = 10_000  # spacings that the typical one is taken from

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]
Transform = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A map grid and the pixel that each of its cells shows.

    Parameters
    ----------
    number : (ny, nx) int32 or int64
        1 + row * columns + column of the pixel; negative where it was filled in from a neighbor; 0: none.
    shape : (rows, columns)
        Of the strip.
    transform : (a, b, c, d, e, f)
        Of the grid, corner of the first cell at (0, 0).
    crs : str
        Of the grid.
    offset : (2, ny, nx) float32 or None
        How far the cell's center lies from the pixel's, in lines and in samples, -0.55 to 0.55: for bilinear
        interpolation. 0 toward a side without a neighbor, and in filled cells.
    """

    number: NDArray[np.signedinteger]
    shape: tuple[int, int]
    transform: Transform
    crs: str
    offset: NDArray[np.float32] | None = None

    def pixel(self, rows: slice = slice(None)) -> tuple[Ints, Ints]:
        """Return line and sample of the pixels in grid rows *rows*, -1 where there is none."""
        number = np.abs(self.number[rows].astype(np.int64)) - 1
        line = np.where(number < 0, -1, number // self.shape[1])
        return line, np.where(number < 0, -1, number % self.shape[1])

    def spread(self, nodes: Sequence[Ints], values: Floats) -> NDArray[np.float32]:
        """Return values at some pixels, interpolated between them, as the cells show them; NaN: no pixel.

        Parameters
        ----------
        nodes : (lines, samples) of int
            Ascending.
        values : (lines, samples) float64
        """
        from scipy.ndimage import map_coordinates

        result = np.full(self.number.shape, np.nan, dtype=np.float32)
        for start in range(0, len(result), _FILL_ROWS):
            rows = slice(start, start + _FILL_ROWS)
            seen = self.number[rows] != 0
            pixel = [each[seen] for each in self.pixel(rows)]
            places = [
                np.interp(each, node, np.arange(len(node))) for each, node in zip(pixel, nodes, strict=True)
            ]
            result[rows][seen] = map_coordinates(values, places, order=1, mode="nearest")
        return result

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Which cells were filled in."""
        return self.number < 0


@dataclass(frozen=True, slots=True, eq=False)
class Spacing:
    """Vectors over pixels and whether they have neighbors, along one axis; all of the shape of the pixels."""

    x: Singles
    y: Singles
    behind: NDArray[np.bool_]
    ahead: NDArray[np.bool_]

    def part(self, rows: slice) -> Spacing:
        """Return that of some lines."""
        return Spacing(self.x[rows], self.y[rows], self.behind[rows], self.ahead[rows])

    def turned(self) -> Spacing:
        """Return it with lines and samples changed over."""
        return Spacing(self.x.T, self.y.T, self.behind.T, self.ahead.T)


def spacing(x: Floats, y: Floats, broken: NDArray[np.bool_]) -> Spacing:
    """Return the vector over each pixel along the first axis, from its neighbors on either side.

    Parameters
    ----------
    x, y : (n, m) float64
        Places of pixels; NaN where they have none.
    broken : (n - 1,) bool
        Where lines are missing between one row and the next.
    """
    dx, dy = np.diff(x, axis=0).astype(np.float32), np.diff(y, axis=0).astype(np.float32)
    size = dx * dx
    size += dy * dy
    near = np.zeros_like(size, dtype=np.bool_)
    if size.size:
        sampled = size.ravel()[:: max(1, size.size // _MEDIAN_OF)]
        sampled = sampled if np.isfinite(sampled).any() else size.ravel()
        if np.isfinite(sampled).any():
            near = size <= STRETCH_LIMIT**2 * np.nanmedian(sampled)
        near &= ~broken[:, None]
    edge = np.zeros((1, x.shape[1]), dtype=np.bool_)
    ahead, behind = np.concatenate([near, edge]), np.concatenate([edge, near])
    if near.all() and len(x) > 2:
        return Spacing(_mean_of_sides(dx), _mean_of_sides(dy), behind, ahead)
    sides = ahead.astype(np.float32) + behind
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = [np.where(near, step, np.float32(0.0)) for step in (dx, dy)]
        none = edge.astype(np.float32)
        mean_x, mean_y = (
            (np.concatenate([each, none]) + np.concatenate([none, each])) / sides for each in steps
        )
        return Spacing(mean_x, mean_y, behind, ahead)


def _mean_of_sides(step: Singles) -> Singles:
    """Return the mean of the steps on either side; at the ends the one step that there is."""
    mean = np.empty((len(step) + 1, step.shape[1]), dtype=step.dtype)
    np.add(step[1:], step[:-1], out=mean[1:-1])
    mean[1:-1] *= 0.5
    mean[0], mean[-1] = step[0], step[-1]
    return mean


class Canvas:
    """A table that grows, with the distance in pixels from each cell's center to the pixel that it shows.

    Parameters
    ----------
    gsd_m : float
        Side of a cell; its borders are multiples of it.
    offsets : bool
        Also keep where in the pixel the center of a cell lies.
    many : bool
        Numbers need 64 bits.
    """

    def __init__(self, gsd_m: float, *, offsets: bool = False, many: bool = False) -> None:
        self.gsd = gsd_m
        self.left = self.top = 0  # first column and row held, counted in cells from the origin of the CRS
        self.number = np.zeros((0, 0), dtype=np.int64 if many else np.int32)
        self._distance = np.empty((0, 0), dtype=np.float32)
        self._offset = np.zeros((2, 0, 0), dtype=np.float32) if offsets else None

    def draw(self, x: Floats, y: Floats, *, along: Spacing, across: Spacing, first: int) -> None:
        """Let the pixels of whole lines cover the cells whose centers lie in their parallelograms.

        Parameters
        ----------
        x, y : (n, cols) float64
            Places; NaN: none.
        along, across : Spacing
            Over these pixels.
        first : int
            Number of their first line in the strip.
        """
        n, cols = x.shape
        step = max(1, _CHUNK // cols)
        drawn = [
            _Pixels.of(x, y, along, across, slice(start, min(start + step, n)), self.gsd)
            for start in range(0, n, step)
        ]
        drawn = [each for each in drawn if len(each.index)]
        if not drawn:
            return
        ends = np.array([each.ends for each in drawn])
        self._grow(*(int(each) for each in (*ends[:, :2].min(axis=0), *ends[:, 2:].max(axis=0))))
        for each in drawn:
            self._draw(each, first * cols + 1)

    def _draw(self, pixels: _Pixels, base: int) -> None:
        """Try every cell of the rectangles around pixels."""
        width = self.number.shape[1]
        low_col, low_row = pixels.low_col, pixels.low_row
        cell = ((low_row - self.top) * width + (low_col - self.left)).astype(np.int64)
        row_p, row_q = pixels.p, pixels.q
        for down in range(pixels.span[1]):
            p, q = row_p.copy(), row_q.copy()
            for right in range(pixels.span[0]):
                far = np.maximum(np.abs(p), np.abs(q))
                some = np.flatnonzero(far <= _REACH)
                if some.size:
                    distance = far.take(some)
                    where = cell.take(some) + (down * width + right)
                    self._put(where, distance, some, base, (q, p), pixels)
                if right + 1 < pixels.span[0]:
                    p += pixels.p_by[0]
                    q += pixels.q_by[0]
            if down + 1 < pixels.span[1]:
                row_p = row_p + pixels.p_by[1]
                row_q = row_q + pixels.q_by[1]

    def _put(
        self,
        cell: Ints,
        distance: NDArray[np.float32],
        some: NDArray[np.intp],
        base: int,
        offset: tuple[Singles, Singles],
        pixels: _Pixels,
    ) -> None:
        """Write pixels into cells that show nothing nearer."""
        shown = self._distance.reshape(-1)
        nearer = np.flatnonzero(distance < shown.take(cell))
        if nearer.size < cell.size:
            cell, distance, some = cell.take(nearer), distance.take(nearer), some.take(nearer)
        shown[cell] = distance
        beaten = shown.take(cell) > distance
        while beaten.any():  # several pixels for one cell, and the last was not the nearest
            shown[cell[beaten]] = distance[beaten]
            beaten = shown.take(cell) > distance
        won = np.flatnonzero(shown.take(cell) == distance)
        if won.size < cell.size:
            cell, some = cell.take(won), some.take(won)
        self.number.reshape(-1)[cell] = pixels.index.take(some) + base
        if self._offset is not None:
            for plane, part, (behind, ahead) in zip(self._offset, offset, pixels.sides, strict=True):
                low = behind.take(some) * np.float32(-_REACH)
                high = ahead.take(some) * np.float32(_REACH)
                plane.reshape(-1)[cell] = np.clip(part.take(some), low, high)

    def _grow(self, left: int, top: int, right: int, bottom: int) -> None:
        """Make room for the columns *left* to *right* and the rows *top* to *bottom*, and for some more."""
        rows, cols = self.number.shape
        if not rows:
            self.left, self.top = left, top
        low = [min(left, self.left), min(top, self.top)]
        high = [max(right, self.left + cols - 1), max(bottom, self.top + rows - 1)]
        width, height = high[0] - low[0] + 1, high[1] - low[1] + 1
        if width * height > MAX_CELLS:
            raise CoverageError(
                f"the raster would have {width} x {height} cells of {self.gsd} m",
                fix="look for lines whose rays run to the horizon, or use larger cells",
            )
        if rows:
            room = [
                (high[axis] - low[axis]) // 4 for axis in (0, 1)
            ]  # or each block would copy all before it
            low = [low[0] - room[0] * (left < self.left), low[1] - room[1] * (top < self.top)]
            over = right > self.left + cols - 1, bottom > self.top + rows - 1
            high = [high[0] + room[0] * over[0], high[1] + room[1] * over[1]]
        shape = high[1] - low[1] + 1, high[0] - low[0] + 1
        if shape != (rows, cols):
            y, x = self.top - low[1], self.left - low[0]
            self.number = _enlarged(self.number, shape, y, x, 0)
            self._distance = _enlarged(self._distance, shape, y, x, np.inf)
            if self._offset is not None:
                self._offset = np.stack([_enlarged(each, shape, y, x, 0.0) for each in self._offset])
        self.left, self.top = low

    def finish(self, shape: tuple[int, int], crs: str, *, fill: bool = False) -> Lookup:
        """Return the table, cut to the cells that show something; the canvas is used up."""
        self._distance = np.empty((0, 0), dtype=np.float32)
        rows = np.flatnonzero(self.number.any(axis=1))
        cols = np.flatnonzero(self.number.any(axis=0))
        top, bottom = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
        left, right = (int(cols[0]), int(cols[-1]) + 1) if cols.size else (0, 0)
        number = np.ascontiguousarray(self.number[top:bottom, left:right])
        offset = None
        if self._offset is not None:
            offset = np.ascontiguousarray(self._offset[:, top:bottom, left:right])
        if fill:
            _fill(number)
        x, y = (self.left + left) * self.gsd, -(self.top + top) * self.gsd
        return Lookup(number, shape, (self.gsd, 0.0, x, 0.0, -self.gsd, y), crs, offset)


@dataclass(slots=True, eq=False)
class _Pixels:
    """Pixels that have a place, with the rectangle of cells around each.

    (p, q) are a cell's coordinates in the pixel, across and along; they are linear in column and row.
    """

    index: Ints  # in the lines that are drawn, flat
    low_col: Floats
    low_row: Floats
    p: Singles
    q: Singles
    p_by: tuple[Singles, Singles]  # change with a column, with a row
    q_by: tuple[Singles, Singles]
    span: tuple[int, int]  # columns and rows of the largest rectangle
    ends: tuple[float, float, float, float]  # left, top, right, bottom
    sides: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]

    @classmethod
    def of(cls, x: Floats, y: Floats, along: Spacing, across: Spacing, lines: slice, gsd: float) -> _Pixels:
        """Prepare some lines for drawing."""
        vectors = (across.x, across.y, along.x, along.y)
        x, y = x[lines].ravel(), y[lines].ravel()
        ax, ay, lx, ly = (each[lines].ravel() for each in vectors)
        sides = [(side.behind[lines].ravel(), side.ahead[lines].ravel()) for side in (along, across)]
        area = ax * ly - ay * lx
        seen = np.isfinite(area + x)
        seen &= area != 0.0
        index = np.flatnonzero(seen)
        if index.size < seen.size:
            x, y = x.take(index), y.take(index)
            ax, ay, lx, ly, area = (each.take(index) for each in (ax, ay, lx, ly, area))
            sides = [(behind.take(index), ahead.take(index)) for behind, ahead in sides]
        index += lines.start * across.x.shape[1]
        half_x, half_y = np.abs(ax), np.abs(ay)
        half_x += np.abs(lx)
        half_y += np.abs(ly)
        half_x *= np.float32(_REACH / gsd)
        half_y *= np.float32(_REACH / gsd)
        x, y = x * (1.0 / gsd) - 0.5, y * (-1.0 / gsd) - 0.5  # in cells, from the center of cell (0, 0)
        low_col, low_row = np.ceil(x - half_x), np.ceil(y - half_y)
        high_col, high_row = np.floor(x + half_x), np.floor(y + half_y)
        none = not index.size
        ends = (low_col, low_row, high_col + 1.0, high_row + 1.0)  # room for what rounding adds
        limits = (0.0,) * 4 if none else (*(e.min() for e in ends[:2]), *(e.max() for e in ends[2:]))
        span = (0, 0) if none else (int((high_col - low_col).max()) + 1, int((high_row - low_row).max()) + 1)
        scale: Singles = np.asarray(np.float32(gsd) / area, dtype=np.float32)
        p_by, q_by = (ly * scale, lx * scale), (ay * -scale, ax * -scale)
        off_col: Singles = (low_col - x).astype(np.float32)
        off_row: Singles = (low_row - y).astype(np.float32)
        p = off_col * p_by[0] + off_row * p_by[1]
        q = off_col * q_by[0] + off_row * q_by[1]
        return cls(index, low_col, low_row, p, q, p_by, q_by, span, limits, sides)


def _enlarged(plane: NDArray, shape: tuple[int, int], y: int, x: int, empty: float) -> NDArray:  # type: ignore[type-arg]
    """Return *plane* at (y, x) of a larger one."""
    wide = np.full(shape, empty, dtype=plane.dtype)
    wide[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
    return wide


def _fill(number: NDArray[np.signedinteger]) -> None:
    """Give the cells of narrow gaps the nearest pixel, negative. The outline does not grow."""
    from scipy.ndimage import binary_closing, distance_transform_edt

    reach = int(np.ceil(FILL_CELLS))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.hypot(y, x) <= FILL_CELLS
    margin = 3 * reach
    before = np.zeros((0, number.shape[1]), dtype=number.dtype)  # rows above as they were drawn
    for start in range(0, len(number), _FILL_ROWS):
        stop = min(start + _FILL_ROWS, len(number))
        part = np.concatenate([before, number[start : stop + margin]])
        seen = part > 0
        if seen.any():
            padded = np.pad(seen, margin)
            gap = binary_closing(padded, disk)[margin:-margin, margin:-margin] & ~seen
            _, (near_row, near_col) = distance_transform_edt(~seen, return_indices=True)
            own = slice(len(before), len(before) + stop - start)
            found = -part[near_row[own], near_col[own]]
            before = part[: own.stop][-margin:]
            number[start:stop][gap[own]] = found[gap[own]]
        else:
            before = part[: len(before) + stop - start][-margin:]


def broken_lines(line_time: Ints, gap_limit: float) -> NDArray[np.bool_]:
    """Return where lines are missing between one line and the next: gaps over *gap_limit* median periods."""
    gap = np.diff(np.asarray(line_time, dtype=np.int64))
    return np.asarray(gap > gap_limit * np.median(gap)) if gap.size else np.zeros(0, dtype=np.bool_)


def from_places(
    blocks: Iterable[tuple[int, Floats, Floats]],
    *,
    shape: tuple[int, int],
    gsd_m: float,
    crs: str,
    broken: NDArray[np.bool_] | None = None,
    seen: NDArray[np.bool_] | None = None,
    offsets: bool = False,
    fill: bool = False,
) -> Lookup:
    """Make a lookup table from the places of pixels.

    Parameters
    ----------
    blocks : iterable of (first line, x, y)
        Consecutive lines, all of the strip; x and y (n, cols) float64, NaN where a pixel has no place.
    shape : (rows, columns)
        Of the strip.
    gsd_m : float
        Side of a cell; the grid's borders are multiples of it.
    crs : str
        Of x and y.
    broken : (rows - 1,) bool or None
        Where lines are missing between one line and the next.
    seen : (rows, columns) bool or None
        Pixels that may be shown; None: all.
    offsets : bool
        Also keep where in the pixel each cell lies, for bilinear interpolation.
    fill : bool
        Fill gaps up to :data:`FILL_CELLS` cells from a cell that is seen.

    Returns
    -------
    Lookup
        Empty when no pixel has a place.

    Raises
    ------
    CoverageError
        If the grid would have more than :data:`MAX_CELLS` cells.
    """
    rows, cols = shape
    broken = np.zeros(max(rows - 1, 0), dtype=np.bool_) if broken is None else broken
    canvas = Canvas(gsd_m, offsets=offsets, many=rows * cols >= 2**31 - 1)
    none = np.zeros(max(cols - 1, 0), dtype=np.bool_)
    held: tuple[Floats, Floats] | None = None  # the line before, and one that waits for the line after it
    first = 0
    for start, x, y in blocks:
        x, y = (x, y) if held is None else (np.concatenate([held[0], x]), np.concatenate([held[1], y]))
        base = start - (0 if held is None else len(held[0]))
        ends = len(x) + base >= rows
        stop = len(x) if ends else len(x) - 1
        own = slice(first - base, stop)
        if own.stop > own.start:
            along = spacing(x, y, broken[base : base + len(x) - 1])
            across = spacing(x[own].T, y[own].T, none).turned()
            shown = x[own]
            if seen is not None:
                shown = np.where(seen[first : first + len(shown)], shown, np.nan)
            canvas.draw(shown, y[own], along=along.part(own), across=across, first=first)
        first = base + stop
        keep = max(stop - 1, 0)
        held = x[keep:], y[keep:]
    return canvas.finish(shape, crs, fill=fill)
