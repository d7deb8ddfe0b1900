"""Scores of a push-broom cube -> a north-up raster.

Every pixel is followed to the ground and covers the cells whose centers lie in its footprint; where
footprints overlap the nearest pixel wins. Cells that no pixel saw stay empty: nothing is filled in.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.geotag.locate import MAX_ATTITUDE_GAP_S, footprints, trace
from dronesense.geotag.poses import LINE_GAP
from dronesense.model import GroundRaster, Instrument, Terrain, Trajectory

DEFAULT_BUDGET_BYTES: Final = 256 * 1024 * 1024
"""Working memory beside the raster itself."""
MAX_CELLS: Final = 400_000_000
"""Largest raster, cells (1.6 GB): a bound against a few rays that run to the horizon."""
STRETCH_LIMIT: Final = 4.0
"""A pixel farther from its neighbor than this many median spacings sees another surface, as at a roof."""
FOOTPRINT_MARGIN: Final = 0.05
"""Footprints reach this far over each side, in pixels, so that no cracks open between them."""

_RAY_BYTES: Final = 1200  # working memory per pixel of a block, measured
_SAMPLED_ROWS, _SAMPLED_COLS = 25, 25

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]


def project(
    score: NDArray[np.float32],
    *,
    name: str,
    unit: str,
    description: str,
    line_time: Ints,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    gsd_m: float | None = None,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
) -> GroundRaster:
    """Project the scores of a push-broom cube onto the ground.

    Parameters
    ----------
    score : (rows, cols) float32
        NaN where a pixel is not valid.
    name, unit, description : str
        Of the raster.
    line_time, trajectory, instrument, terrain, crs, max_gap_s
        As for :func:`dronesense.geotag.locate.locate_pixels`.
    gsd_m : float or None
        Cell size, m. None: the side of a square as large as the median footprint, to two digits.
    budget_bytes : int
        Working memory beside the raster.

    Returns
    -------
    GroundRaster
        North-up, its borders at multiples of the cell size, NaN where no valid pixel saw the ground.

    Raises
    ------
    CoverageError
        If no pixel meets the ground, or the raster would have more than :data:`MAX_CELLS` cells.
    """
    score = np.asarray(score, dtype=np.float32)
    rows, cols = score.shape
    ray: dict[str, Any] = {
        "line_time": line_time,
        "trajectory": trajectory,
        "instrument": instrument,
        "terrain": terrain,
        "crs": crs,
        "max_gap_s": max_gap_s,
    }
    if gsd_m is None:
        gsd_m = _typical_gsd(score.shape, ray)
    canvas = _Canvas(gsd_m)
    broken = _broken(line_time)
    step = max(1, budget_bytes // (_RAY_BYTES * cols) - 2)
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        first, last = max(start - 1, 0), min(stop + 1, rows)  # the neighbors give the footprints' size
        grid = np.stack(np.meshgrid(np.arange(first, last), np.arange(cols), indexing="ij"), axis=-1)
        hits = trace(grid, **ray).hits
        place = (hits.x + 1j * hits.y).reshape(last - first, cols)
        along = _spacing(place, broken[first : last - 1])
        across = _spacing(place.T, np.zeros(max(cols - 1, 0), dtype=np.bool_)).T
        own = slice(start - first, stop - first)
        canvas.draw(place[own], across[own], along[own], score[start:stop])
    if canvas.values.size == 0:
        raise CoverageError(
            f"no pixel of {name} meets the ground",
            where=terrain.source,
            fix="check the times, terrain and mount",
        )
    return GroundRaster(name, canvas.values, canvas.transform, crs, unit, description)


def _typical_gsd(shape: tuple[int, ...], ray: dict[str, Any]) -> float:
    """Return the side of a square as large as the median footprint, to two significant digits."""
    rows, cols = (
        np.unique(np.linspace(0, n - 1, count).astype(np.int64))
        for n, count in zip(shape, (_SAMPLED_ROWS, _SAMPLED_COLS), strict=True)
    )
    pixels = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    corners = footprints(pixels, **ray) @ np.array([1.0, 1.0j])
    diagonals = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    area = 0.5 * np.abs(_cross(*diagonals))
    area = area[area > 0.0]
    if not area.size:
        raise CoverageError("no footprint meets the ground", fix="check the times, terrain and mount")
    return float(f"{np.sqrt(np.median(area)):.2g}")


def _broken(line_time: Ints) -> NDArray[np.bool_]:
    """Return where lines are missing between one line and the next."""
    gap = np.diff(np.asarray(line_time, dtype=np.int64))
    return np.asarray(gap > LINE_GAP * np.median(gap)) if gap.size else np.zeros(0, dtype=np.bool_)


def _spacing(place: Complexes, broken: NDArray[np.bool_]) -> Complexes:
    """Return the vector over each pixel along the first axis, from its neighbors on either side."""
    step = np.diff(place, axis=0)
    step[broken] = np.nan
    size = np.abs(step)
    if np.isfinite(size).any():
        step[~(size <= STRETCH_LIMIT * np.nanmedian(size))] = np.nan
    edge = np.full((1, place.shape[1]), np.nan + 0j)
    ahead, behind = np.concatenate([step, edge]), np.concatenate([edge, step])
    mean = 0.5 * (ahead + behind)
    return np.asarray(np.where(np.isnan(mean), np.where(np.isnan(ahead), behind, ahead), mean))


def _cross(a: Complexes, b: Complexes) -> Floats:
    """Return the cross products of vectors written as x + i y."""
    return np.asarray((np.conj(a) * b).imag)


class _Canvas:
    """A raster that grows, with the distance from each cell's center to the pixel that it shows."""

    def __init__(self, gsd_m: float) -> None:
        self.gsd = gsd_m
        self.left = self.top = 0  # first column and row, counted in cells from the origin of the CRS
        self.values = np.empty((0, 0), dtype=np.float32)
        self.distance = np.empty((0, 0), dtype=np.float32)

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Map transform of the raster."""
        return self.gsd, 0.0, self.left * self.gsd, 0.0, -self.gsd, -self.top * self.gsd

    def draw(self, place: Complexes, across: Complexes, along: Complexes, score: NDArray[np.float32]) -> None:
        """Let pixels cover the cells whose centers lie in their parallelograms."""
        area = _cross(across, along)
        seen = np.isfinite(score) & np.isfinite(place) & np.isfinite(area) & (area != 0.0)
        place, across, along, area, score = (a[seen] for a in (place, across, along, area, score))
        if not place.size:
            return
        reach = 0.5 + FOOTPRINT_MARGIN
        half_x = reach * (np.abs(across.real) + np.abs(along.real))
        half_y = reach * (np.abs(across.imag) + np.abs(along.imag))
        low_col, high_col = self._cells(place.real - half_x, place.real + half_x)
        low_row, high_row = self._cells(-place.imag - half_y, -place.imag + half_y)
        self._grow(int(low_col.min()), int(high_col.max()), int(low_row.min()), int(high_row.max()))
        for down in range(int((high_row - low_row).max()) + 1):
            for right in range(int((high_col - low_col).max()) + 1):
                row, col = low_row + down, low_col + right
                inside = np.flatnonzero((row <= high_row) & (col <= high_col))
                center = self.gsd * ((col[inside] + 0.5) - 1j * (row[inside] + 0.5))
                off = center - place[inside]
                u = _cross(off, along[inside]) / area[inside]
                v = _cross(across[inside], off) / area[inside]
                covered = (np.abs(u) <= reach) & (np.abs(v) <= reach)
                inside = inside[covered]
                self._put(row[inside], col[inside], np.abs(off[covered]), score[inside])

    def _cells(self, low: Floats, high: Floats) -> tuple[Ints, Ints]:
        """Return the first and last cell with centers between two coordinates."""
        first, last = np.ceil(low / self.gsd - 0.5), np.floor(high / self.gsd - 0.5)
        return first.astype(np.int64), last.astype(np.int64)

    def _grow(self, left: int, right: int, top: int, bottom: int) -> None:
        """Enlarge the raster to hold the columns *left* to *right* and the rows *top* to *bottom*."""
        rows, cols = self.values.shape
        if rows:
            left, right = min(left, self.left), max(right, self.left + cols - 1)
            top, bottom = min(top, self.top), max(bottom, self.top + rows - 1)
        height, width = max(bottom - top + 1, 0), max(right - left + 1, 0)
        if height * width > MAX_CELLS:
            raise CoverageError(
                f"the raster would have {width} x {height} cells of {self.gsd} m",
                fix="look for lines whose rays run to the horizon, or use larger cells",
            )
        if (height, width) != (rows, cols):
            inner = (
                slice(self.top - top, self.top - top + rows),
                slice(self.left - left, self.left - left + cols),
            )
            for attribute, empty in (("values", np.nan), ("distance", np.inf)):
                wide = np.full((height, width), empty, dtype=np.float32)
                if rows:
                    wide[inner] = getattr(self, attribute)
                setattr(self, attribute, wide)
        self.left, self.top = left, top

    def _put(self, row: Ints, col: Ints, distance: Floats, score: NDArray[np.float32]) -> None:
        """Write scores into cells that show nothing nearer."""
        cell = (row - self.top) * self.values.shape[1] + (col - self.left)
        order = np.argsort(-distance, kind="stable")  # of several for one cell the last, the nearest, stays
        order = order[distance[order] < self.distance.reshape(-1)[cell[order]]]
        self.distance.reshape(-1)[cell[order]] = distance[order]
        self.values.reshape(-1)[cell[order]] = score[order]
