"""Where a ray first meets the ground: exact, cell by cell, on the bilinear surface between pixel centers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.geodesy import TangentFrames
from dronesense.geotag.descent import Relief, Steepness, descend
from dronesense.geotag.rays import Rays, U, V, Z, per_ray, ray_shape
from dronesense.model import Terrain

HIT, NO_TRAJECTORY, NO_DATA, OUTSIDE, NOT_DOWN, GRAZING = range(6)
"""Codes of :class:`~dronesense.model.GroundPoints`."""

MIN_INCIDENCE_DEG: Final = 1.0
"""A ray that meets the surface at a smaller angle is grazing: any error of height is magnified 57 times."""

_CHUNK: Final = 32768  # rays at a time: the working arrays stay in the processor's cache
_NUDGE_PX: Final = 1e-7  # step across a cell border ...
_NUDGE_M: Final = 1e-4  # ... but not farther than this along the ray
_STILL_PX_PER_M: Final = 1e-9  # a ray that moves less never leaves its column of cells
_BELOW_M: Final = 1e-3  # a ray that enters a cell farther below came from where the surface is not known
_HEIGHT_MARGIN_M: Final = 1e-3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Cells = NDArray[np.int64] | NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Where rays met the ground; NaN where `status` is not 0.

    Parameters
    ----------
    x, y, height_m : (k,) float64
        In the CRS of the frames.
    distance_m : (k,) float64
        From the origin along the ray.
    normal : (k, 3) float64
        Upward unit normal of the surface in the north-east-down axes of the ray's origin.
    status : (k,) uint8
        As in :class:`~dronesense.model.GroundPoints`.
    """

    x: Floats
    y: Floats
    height_m: Floats
    distance_m: Floats
    normal: Floats
    status: NDArray[np.uint8]


class Surface:
    """A terrain made ready for rays: pixel coordinates, and the greatest height of ever larger tiles.

    Parameters
    ----------
    terrain : Terrain
        A grid, or one height for everywhere.

    Raises
    ------
    CoverageError
        If a grid has fewer than two rows or columns, or no height at all.
    """

    def __init__(self, terrain: Terrain) -> None:
        self.terrain = terrain
        self.height = terrain.height_m
        self.is_flat = terrain.is_flat
        if not np.isfinite(self.height).any():
            raise CoverageError("the terrain holds no heights", where=terrain.source)
        self.low = float(np.nanmin(self.height))
        self.high = float(np.nanmax(self.height))
        if self.is_flat:
            return
        if min(self.height.shape) < 2:
            raise CoverageError(
                f"a terrain grid of {self.height.shape} pixels spans no surface", where=terrain.source
            )
        a, b, _, d, e, _ = terrain.transform
        self.to_pixel = np.linalg.inv(np.array([[a, b], [d, e]]))  # map offsets -> (col, row) offsets
        self.tile_max, self.tile_start, self.tile_width = _pyramid(self.height)

    @cached_property
    def steepness(self) -> Steepness:
        """How much the heights change from pixel to pixel."""
        return Steepness(self.height)

    @cached_property
    def relief(self) -> Relief:
        """How much the slope changes from pixel to pixel."""
        return Relief(self.height)

    @property
    def levels(self) -> int:
        """Number of the level whose one tile covers the whole grid."""
        return len(self.tile_start) - 1

    def pixel(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return fractional (col, row), the center of a pixel being the integer."""
        _, _, c, _, _, f = self.terrain.transform
        col, row = self.to_pixel @ np.stack([np.ravel(x - c), np.ravel(y - f)])
        return col.reshape(np.shape(x)) - 0.5, row.reshape(np.shape(x)) - 0.5

    def height_at(self, x: Floats, y: Floats) -> Floats:
        """Return bilinear heights; NaN outside the pixel centers and beside missing pixels."""
        if self.is_flat:
            return np.full(np.shape(x), self.height[0, 0])
        col, row = self.pixel(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        rows, cols = self.height.shape
        inside = (col >= 0.0) & (col <= cols - 1) & (row >= 0.0) & (row <= rows - 1)
        j = np.clip(np.nan_to_num(col), 0, cols - 2).astype(np.int64)
        i = np.clip(np.nan_to_num(row), 0, rows - 2).astype(np.int64)
        h, across, down, twist = self.cell(i, j)
        p, q = col - j, row - i
        return np.where(inside, h + across * p + down * q + twist * p * q, np.nan)

    def cell(self, i: Cells, j: Cells) -> tuple[Floats, Floats, Floats, Floats]:
        """Return h, A, B, C of ``h + A p + B q + C p q`` in cells with their first corner at row i, col j."""
        cols = self.height.shape[1]
        flat = self.height.reshape(-1)
        first = i * cols + j
        h00, right, below = flat.take(first), flat[1:].take(first), flat[cols:].take(first)
        right -= h00
        twist = flat[cols + 1 :].take(first)
        twist -= below
        twist -= right
        below -= h00
        return h00, right, below, twist

    def gradient(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Return the slopes of the bilinear surface, m per pixel across and down; NaN at NaN."""
        if self.is_flat:
            return np.zeros(np.shape(col)), np.zeros(np.shape(row))
        rows, cols = self.height.shape
        with np.errstate(invalid="ignore"):
            j, i = col.astype(np.int32), row.astype(np.int32)  # places on the grid are not negative
        np.clip(j, 0, cols - 2, out=j)
        np.clip(i, 0, rows - 2, out=i)
        _, across, down, twist = self.cell(i, j)
        return across + twist * (row - i), down + twist * (col - j)

    def in_pixels(self, frames: TangentFrames) -> TangentFrames:
        """Return frames of the terrain's CRS with columns and rows in place of x and y."""
        if self.is_flat:
            return frames
        col, row = self.pixel(frames.origin[:, 0], frames.origin[:, 1])
        linear, quadratic = frames.linear.copy(), frames.quadratic.copy()
        linear[:, :2] = self.to_pixel @ linear[:, :2]
        quadratic[:, :2] = self.to_pixel @ quadratic[:, :2]
        return TangentFrames(np.column_stack([col, row, frames.origin[:, 2]]), linear, quadratic)

    def on_map(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Return x, y of fractional columns and rows."""
        if self.is_flat:
            return col, row
        a, b, c, d, e, f = self.terrain.transform
        col, row = col + 0.5, row + 0.5
        if b == d == 0.0:
            return a * col + c, e * row + f
        return a * col + b * row + c, d * col + e * row + f


@lru_cache(maxsize=2)
def surface_of(terrain: Terrain) -> Surface:
    """Return the :class:`Surface` of *terrain*, made once for all the calls that a flight needs."""
    return Surface(terrain)


def _pyramid(height: Floats) -> tuple[Floats, Ints, Ints]:
    """Return maxima of square tiles of 2**level cells, all levels in one array, with starts and widths.

    From level 1 on a tile's maximum includes the ring of cells around it, so that neither rounding nor the
    slight curvature of a ray in map coordinates can carry it past higher ground unseen. A tile without
    heights has -inf.
    """
    nodes = np.where(np.isnan(height), -np.inf, height)
    cells = np.maximum(np.maximum(nodes[:-1, :-1], nodes[:-1, 1:]), np.maximum(nodes[1:, :-1], nodes[1:, 1:]))
    wide = np.pad(cells, 1, constant_values=-np.inf)
    wide = np.maximum(np.maximum(wide[:-2], wide[1:-1]), wide[2:])
    wide = np.maximum(np.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    levels = [cells]
    while max(levels[-1].shape) > 1:
        below = wide if len(levels) == 1 else levels[-1]
        below = np.pad(below, [(0, n % 2) for n in below.shape], constant_values=-np.inf)
        levels.append(below.reshape(below.shape[0] // 2, 2, below.shape[1] // 2, 2).max(axis=(1, 3)))
    starts = np.cumsum([0] + [level.size for level in levels[:-1]], dtype=np.int64)
    widths = np.array([level.shape[1] for level in levels], dtype=np.int64)
    return np.concatenate([level.ravel() for level in levels]), starts, widths


def intersect(
    surface: Surface, frames: TangentFrames, frame: Ints, direction: Floats, *, normals: bool = True
) -> Hits:
    """Find where rays first meet the ground.

    Parameters
    ----------
    surface : Surface
        The ground.
    frames : TangentFrames
        Origins of the rays, expanded in the terrain's CRS (in any CRS when it is flat).
    frame : (k,) int64
        Which frame each ray starts from. Rays in order, as many from each frame, take the least time.
    direction : (k, 3) float64
        Unit vectors north, east, down.
    normals : bool
        False: the normals are not asked for, and stay NaN.

    Returns
    -------
    Hits
        With status 0; or 2 the ray ends where there are no heights, 3 it leaves the grid, or comes from
        outside of it or from below the surface, 4 it does not go down, 5 it grazes the surface.

    Notes
    -----
    Rays that fall faster than the ground anywhere on their way meet it once, and Newton's method finds where
    (:mod:`dronesense.geotag.descent`). All others descend a pyramid of maxima: over a tile whose maximum it
    clears a ray advances to the tile's border or to the height of the maximum; in a single cell, where the
    bilinear surface along a line is a parabola, the first crossing is solved for. So the *first* crossing is
    found, whatever the relief. A ray passes over a cell without heights; if it is below the surface when it
    leaves it, it has ended there.

    References
    ----------
    Tevs, Ihrke, Seidel 2008, Maximum mipmaps for fast, accurate, and scalable dynamic height field rendering,
    doi 10.1145/1342250.1342279.
    """
    k = len(direction)
    distance, status = np.empty(k), np.empty(k, dtype=np.uint8)
    place = np.empty((3, k))
    normal = np.empty((k, 3)) if normals else np.broadcast_to(np.nan, (k, 3))
    in_pixels = surface.in_pixels(frames)
    per_frame = max(1, int(np.searchsorted(frame, frame[0], side="right"))) if k else 1
    chunk = max(1, _CHUNK // per_frame) * per_frame  # whole lines
    for start in range(0, k, chunk):
        part = slice(start, start + chunk)
        rays = Rays.build(in_pixels, frame[part], direction[part])
        s, code, gradient = (_search_flat if surface.is_flat else _search_grid)(surface, rays)
        up = _normal(in_pixels, frame[part], gradient)
        sine = _incidence(up, direction[part])
        code[(code == HIT) & ~(sine >= np.sin(np.radians(MIN_INCIDENCE_DEG)))] = GRAZING
        if code.any():
            s[code != HIT] = np.nan
        distance[part], status[part] = s, code
        for axis in (U, V, Z):
            place[axis, part] = rays.at(s, axis)
        if normals:
            normal[part] = np.stack([each.ravel() for each in up], axis=1)
            normal[part][code != HIT] = np.nan
    x, y = surface.on_map(place[U], place[V])
    return Hits(x, y, place[Z], distance, normal, status)


def _search_flat(surface: Surface, rays: Rays) -> tuple[Floats, NDArray[np.uint8], tuple[Floats, Floats]]:
    """Return distance, status and slope on a surface of one height."""
    height = float(surface.height[0, 0])
    s = rays.reach(height)
    status = np.full(len(s), HIT, dtype=np.uint8)
    start, slope, _ = rays.terms[Z]
    with np.errstate(invalid="ignore"):
        status[rays.at(s, Z) > height + _HEIGHT_MARGIN_M] = NOT_DOWN  # it passes over the horizon
    status[start < height] = OUTSIDE
    status[~(slope < 0.0)] = NOT_DOWN
    s[status != HIT] = np.nan
    level = np.zeros(len(s))
    return s, status, (level, level)


def _normal(
    frames: TangentFrames, frame: Ints, gradient: tuple[Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """Return upward normals north, east, down, by frames, of a surface with a gradient in its pixels."""
    shape = ray_shape(frame)
    linear = per_ray(frames.linear, frame)
    along_u, along_v = (each.reshape(shape) for each in gradient)
    north, east = (
        -(along_u * linear[:, U, axis, None] + along_v * linear[:, V, axis, None]) for axis in (0, 1)
    )
    down = -1.0 / np.sqrt(north * north + east * east + 1.0)
    north *= -down
    east *= -down
    return north, east, down


def _incidence(up: tuple[Floats, Floats, Floats], direction: Floats) -> Floats:
    """Return the sine of the angle between rays and the surface that they meet."""
    north, east, down = (part * direction[:, axis].reshape(part.shape) for axis, part in enumerate(up))
    return np.asarray(-(north + east + down).ravel())


def _search_grid(surface: Surface, rays: Rays) -> tuple[Floats, NDArray[np.uint8], tuple[Floats, Floats]]:
    """Return distance, status and slope of the ground on a grid."""
    s, (across, down) = descend(surface, rays)
    status = np.full(len(rays), HIT, dtype=np.uint8)
    left = np.flatnonzero(np.isnan(s))
    if not left.size:
        return s, status, (across, down)
    status[left] = NOT_DOWN
    live = left[rays.terms[Z, 1, left] < 0.0]
    walk = _Walk.start(surface, rays.take(live), live)
    late = walk.s >= walk.end  # below all ground before they reach the grid
    status[walk.ray[late]] = OUTSIDE
    walk = walk.keep(~late)
    while len(walk.ray):
        done, code = walk.step(surface)
        if done.any():
            s[walk.ray[done]], status[walk.ray[done]] = walk.s[done], code[done]
            walk = walk.keep(~done)
    some = rays.take(left)
    across[left], down[left] = surface.gradient(some.at(s[left], U), some.at(s[left], V))
    return s, status, (across, down)


@dataclass(slots=True, eq=False)
class _Walk:
    """Rays on their way down: number, distance so far and to the end, level, and what the last cell was."""

    ray: Ints
    s: Floats
    end: Floats
    level: Ints
    blind: NDArray[np.uint8]
    u: Floats
    v: Floats
    z: Floats

    @classmethod
    def start(cls, surface: Surface, some: Rays, live: Ints) -> _Walk:
        """Put rays where they come down to the highest ground, or enter the grid."""
        begin = some.reach(surface.high + _HEIGHT_MARGIN_M)
        end = some.reach(surface.low - _HEIGHT_MARGIN_M) + _HEIGHT_MARGIN_M
        rows, cols = surface.height.shape
        for axis, last in ((U, cols - 1), (V, rows - 1)):
            origin, rate, bend = some.terms[axis]
            still = np.abs(rate) < _STILL_PX_PER_M
            border = np.where(rate > 0.0, 0.0, last) - origin
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                enter = border / rate
                enter -= bend * enter**2 / (rate + 2.0 * bend * enter)
                enter += _NUDGE_PX / np.abs(rate)
            comes_in = ~still & (border * rate > 0.0)
            begin = np.maximum(begin, np.where(comes_in, enter, 0.0))
        speed = np.hypot(some.terms[U, 1], some.terms[V, 1])
        pixels = speed * np.maximum(end - begin, 0.0)
        level = np.ceil(np.log2(np.maximum(pixels, 1.0))).astype(np.int64)
        level = np.minimum(level, surface.levels)
        blind = np.full(len(live), OUTSIDE, dtype=np.uint8)
        return cls(live, begin, end, level, blind, *some.terms)

    def keep(self, mask: NDArray[np.bool_]) -> _Walk:
        """Return the walk of the rays in *mask*."""
        some = np.flatnonzero(mask)
        return _Walk(
            self.ray.take(some),
            self.s.take(some),
            self.end.take(some),
            self.level.take(some),
            self.blind.take(some),
            self.u.take(some, axis=1),
            self.v.take(some, axis=1),
            self.z.take(some, axis=1),
        )

    def step(self, surface: Surface) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Advance every ray by one tile; return which are done, and their status."""
        rows, cols = surface.height.shape
        s = self.s
        u, du = _along(self.u, s)
        v, dv = _along(self.v, s)
        z, dz = _along(self.z, s)
        nudge = np.minimum(_NUDGE_PX / np.maximum(np.abs(du) + np.abs(dv), _NUDGE_PX), _NUDGE_M)
        j = np.floor(u + du * nudge).astype(np.int64)
        i = np.floor(v + dv * nudge).astype(np.int64)
        outside = (j < 0) | (i < 0) | (j > cols - 2) | (i > rows - 2)
        ended = s >= self.end
        done = outside | ended
        code = np.where(outside, OUTSIDE, NO_DATA).astype(np.uint8)
        np.clip(j, 0, cols - 2, out=j)
        np.clip(i, 0, rows - 2, out=i)

        size = np.left_shift(1, self.level)
        tj, ti = j >> self.level, i >> self.level
        leave = np.minimum(
            _border(u, du, tj * size, np.minimum((tj + 1) * size, cols - 1)),
            _border(v, dv, ti * size, np.minimum((ti + 1) * size, rows - 1)),
        )
        leave = np.minimum(s + np.maximum(leave, nudge), self.end)
        top = surface.tile_max[surface.tile_start[self.level] + ti * surface.tile_width[self.level] + tj]
        meet = s + (z - top) / np.maximum(-dz, _STILL_PX_PER_M)
        lower = meet < leave
        cells = np.flatnonzero((self.level == 0) & ~done & (lower | (self.blind != HIT)))
        if cells.size:
            self._solve(surface, cells, leave, i, j, done, code)
        down = lower & (self.level > 0)
        moved = np.where(down, np.maximum(s, meet), leave)
        self.s = np.where(done, self.s, moved)
        self.level = np.where(down, self.level - 1, np.minimum(self.level + 1, surface.levels))
        return done, code

    def _solve(
        self,
        surface: Surface,
        cells: Ints,
        leave: Floats,
        i: Ints,
        j: Ints,
        done: NDArray[np.bool_],
        code: NDArray[np.uint8],
    ) -> None:
        """Find the first crossing of rays *cells* with the one cell that each is in."""
        s0, s1, i, j = self.s[cells], leave[cells], i[cells], j[cells]
        h, across, down, twist = surface.cell(i, j)
        (u, v, z) = (_along(line.take(cells, axis=1), s0)[0] for line in (self.u, self.v, self.z))
        (u1, v1, z1) = (_along(line.take(cells, axis=1), s1)[0] for line in (self.u, self.v, self.z))
        p, q, dp, dq = u - j, v - i, u1 - u, v1 - v
        c0 = z - (h + across * p + down * q + twist * p * q)
        c1 = (z1 - z) - (across * dp + down * dq + twist * (p * dq + q * dp))
        c2 = -twist * dp * dq
        root = np.sqrt(np.maximum(c1 * c1 - 4.0 * c2 * c0, 0.0))
        real = c1 * c1 >= 4.0 * c2 * c0
        with np.errstate(divide="ignore", invalid="ignore"):
            t = 2.0 * c0 / (root - c1)
        t = np.where(c0 <= 0.0, 0.0, t)
        crossed = (c0 <= 0.0) | (real & (t >= 0.0) & (t <= 1.0))
        blind = self.blind[cells]
        hidden = c0 < -_BELOW_M
        code[cells] = np.where(
            hidden, np.where(blind == HIT, NO_DATA, blind), np.where(crossed, HIT, code[cells])
        )
        done[cells] = crossed | hidden
        hit = crossed & ~hidden
        self.blind[cells] = np.where(np.isnan(c0), NO_DATA, HIT)

        # The ray is a parabola, not its chord: one step of Newton takes off the difference (1 mm in 90 m).
        cells, i, j, s0, s1 = cells[hit], i[hit], j[hit], s0[hit], s1[hit]
        s = s0 + t[hit] * (s1 - s0)
        (u, du), (v, dv), (z, dz) = (_along(line.take(cells, axis=1), s) for line in (self.u, self.v, self.z))
        p, q, h, across, down, twist = u - j, v - i, h[hit], across[hit], down[hit], twist[hit]
        above = z - (h + across * p + down * q + twist * p * q)
        fall = dz - (across * du + down * dv + twist * (p * dv + q * du))
        s -= np.divide(above, fall, out=np.zeros_like(s), where=fall < 0.0)
        self.s[cells] = np.clip(s, s0, s1)


def _along(line: Floats, s: Floats) -> tuple[Floats, Floats]:
    """Return value and derivative of parabolas at *s*."""
    a, b, c = line
    return a + s * (b + s * c), b + 2.0 * s * c


def _border(value: Floats, rate: Floats, low: Ints, high: Ints) -> Floats:
    """Return how far it is to the border of a tile, inf when a ray does not move across it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        far = np.where(rate > 0.0, high - value, low - value) / rate
    return np.asarray(np.where(np.abs(rate) > _STILL_PX_PER_M, far, np.inf))
