"""Where the pixels of whole lines met the ground, to a fraction of a cell, in a fraction of the time.

The rays of a line scanner's line make a fan. Where the ground is smooth, every few rays are followed and the
places of those between are interpolated; how far that can be off is bounded beforehand, by what the camera
looks like and by the second differences of the heights. Bumps are followed ray by ray, and so are whole
blocks of lines over ground so steep, as at rocks and roofs, that a ray may meet it more than once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.geotag import camera, igm
from dronesense.geotag.locate import Trace, line_camera, trace, trace_lines
from dronesense.geotag.terrain import HIT, Surface, surface_of
from dronesense.model import Instrument, Terrain

STEPS: Final = (32, 16, 8, 4)
"""Every so many rays are followed."""
_WORTH: Final = 0.7
"""Least share of intervals that are interpolated: rays followed one by one take longer than whole lines."""
_PROBED: Final = 33
"""Lines of a strip that tell which step to take."""
_STEEPEST: Final = 0.9
"""A ray may fall so little faster than the ground rises toward it that it still meets it only once."""
_LARGEST_TAN: Final = 2.0
"""Rays flatter than 63 degrees from the vertical are followed one by one."""
_FAN_SHARE: Final = 0.5
"""Of the tolerance, on level ground."""
_FAN_SAFETY: Final = 1.5
"""What a fan between the probed lines may be worse than these."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Truths = NDArray[np.bool_]


def places(
    *,
    line_time: Ints,
    instrument: Instrument,
    tolerance_m: float,
    budget_bytes: int = igm.DEFAULT_BUDGET_BYTES,
    **ray: Any,
) -> Iterator[tuple[int, Floats, Floats]]:
    """Yield (first line, x, y) of all lines of a strip in blocks, as :func:`.glt.from_places` takes them.

    Parameters
    ----------
    line_time, instrument, ray
        As for :func:`.igm.follow`.
    tolerance_m : float
        How far a place may lie from where :func:`.igm.blocks` puts it, m.
    budget_bytes : int
        Working memory.

    Yields
    ------
    first : int
    x, y : (n, cols) float64
        NaN where a pixel has no place.

    Raises
    ------
    CoverageError
        As :func:`.igm.follow`.
    """
    cols = line_camera(instrument).samples
    everything = {"line_time": line_time, "instrument": instrument, **ray}
    plan = _Plan.make(len(line_time), tolerance_m, everything)
    lines = max(1, budget_bytes // (igm.RAY_BYTES * cols))
    for start in range(0, len(line_time), lines):
        rows = np.arange(start, min(start + lines, len(line_time)))
        if plan is not None:
            coarse = _Coarse.follow(rows, plan.nodes, everything)
            good = coarse.smooth(tolerance_m, plan.fan_error_m)
            if good.mean() >= _WORTH:
                yield start, *_filled(coarse, good, plan.share, everything)
                continue
        found = trace_lines(rows, **everything).hits
        yield start, found.x.reshape(-1, cols), found.y.reshape(-1, cols)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Which samples of a line are followed, where the others look between them, how far off that may be."""

    nodes: Ints
    share: Floats
    fan_error_m: float

    @classmethod
    def make(cls, rows: int, tolerance_m: float, ray: dict[str, Any]) -> _Plan | None:
        """Return the plan with the fewest rays that some lines of a strip allow; None: follow all rays."""
        instrument = ray["instrument"]
        cols = line_camera(instrument).samples
        probe = np.unique(np.linspace(0, rows - 1, _PROBED).astype(np.int64))
        whole = _Coarse.follow(probe, np.arange(cols), ray) if rows > 1 else None
        if whole is None or not np.isfinite(whole.found.hits.distance_m).any():
            return None
        reach = float(np.nanmax(whole.found.hits.distance_m * whole.found.direction[:, 2]))
        rotation = whole.found.poses.rotation
        tangent = _tangents(instrument, rotation[np.isfinite(rotation).all(axis=(1, 2))])
        for step in STEPS:
            if 2 * step > cols - 1:
                continue
            nodes = np.append(np.arange(0, cols - 1, step), cols - 1)
            share, place = _shares(nodes, instrument), _interval(nodes)
            low, high = tangent[:, nodes[place]], tangent[:, nodes[place + 1]]
            off = np.hypot(*np.moveaxis(tangent - low - (high - low) * share[:, None], -1, 0))
            error = float(off.max(initial=0.0)) * reach * _FAN_SAFETY
            if error < _FAN_SHARE * tolerance_m:
                good = whole.thinned(nodes).smooth(tolerance_m, error)
                if good.mean() >= _WORTH:
                    return cls(nodes, share, error)
        return None


def _tangents(instrument: Instrument, rotation: Floats) -> Floats:
    """Return (..., samples, 2): where rays of a camera so turned meet a plane 1 m away; NaN: they do not."""
    looks = camera.directions(line_camera(instrument)) @ camera.camera_to_body(instrument.mount).T
    seen = looks @ np.swapaxes(rotation, -1, -2)
    down = np.where(seen[..., 2:] > 0.0, seen[..., 2:], np.nan)
    return np.asarray(seen[..., :2] / down)


def _shares(nodes: Ints, instrument: Instrument) -> Floats:
    """Return which part of the way from one node to the next each sample looks, 0 at nodes."""
    tangent = _tangents(instrument, camera.camera_to_body(instrument.mount).T)  # in the camera's own frame
    place = _interval(nodes)
    low = tangent[nodes[place]]
    whole = tangent[nodes[place + 1]] - low
    part = ((tangent - low) * whole).sum(axis=1)
    return np.asarray(part / np.maximum((whole * whole).sum(axis=1), np.finfo(np.float64).tiny))


def _interval(nodes: Ints) -> Ints:
    """Return the number of the interval between nodes that each sample lies in."""
    samples = np.arange(nodes[-1] + 1)
    return np.asarray(np.minimum(np.searchsorted(nodes, samples, side="right") - 1, len(nodes) - 2))


@dataclass(frozen=True, slots=True, eq=False)
class _Coarse:
    """Some rays of each line: places (lines, nodes), and what they met in the pixels of the terrain."""

    rows: Ints
    nodes: Ints
    found: Trace
    surface: Surface
    x: Floats
    y: Floats
    col: Floats
    row: Floats
    tangent: Floats
    hit: Truths

    @classmethod
    def follow(cls, rows: Ints, nodes: Ints, ray: dict[str, Any]) -> _Coarse:
        terrain: Terrain = ray["terrain"]
        found = trace_lines(rows, samples=nodes, **ray)
        surface, hits, shape = surface_of(terrain), found.hits, (len(rows), len(nodes))
        x, y, col, row = hits.x, hits.y, hits.x, hits.y
        if not terrain.is_flat:
            if geodesy.check_crs(terrain.crs) != found.crs:
                col, row = geodesy.transform(x, y, found.crs, terrain.crs)
            col, row = surface.pixel(col, row)
        north, east, down = found.direction.T
        with np.errstate(divide="ignore", invalid="ignore"):
            tangent = np.hypot(north, east) / down
        x, y, col, row, tangent = (each.reshape(shape) for each in (x, y, col, row, tangent))
        hit = (hits.status == HIT).reshape(shape)
        return cls(rows, nodes, found, surface, x, y, col, row, tangent, hit)

    def thinned(self, nodes: Ints) -> _Coarse:
        """Return those of the nodes that are in *nodes*; the trace stays that of all."""
        some = np.searchsorted(self.nodes, nodes)
        x, y, col, row, tangent = (
            each[:, some] for each in (self.x, self.y, self.col, self.row, self.tangent)
        )
        return _Coarse(self.rows, nodes, self.found, self.surface, x, y, col, row, tangent, self.hit[:, some])

    def smooth(self, tolerance_m: float, fan_error_m: float) -> Truths:
        """Return (lines, nodes - 1): intervals whose inner places a straight line tells to *tolerance_m*.

        A curve over L pixels of a surface whose second differences are at most K lies within K (L + 1) L / 4
        of its chord: it bends by K at each of at most L + 1 edges, and each bend counts for L / 4 at most.
        """
        good: Truths = self.hit[:, 1:] & self.hit[:, :-1]
        tangent = np.maximum(self.tangent[:, 1:], self.tangent[:, :-1])
        good &= tangent < _LARGEST_TAN
        good &= fan_error_m <= tolerance_m
        if self.surface.is_flat or not good.any():
            return good
        length_m = np.hypot(np.diff(self.x, axis=1), np.diff(self.y, axis=1))
        length = np.hypot(np.diff(self.col, axis=1), np.diff(self.row, axis=1))
        good &= (length_m > 0.0) & (length < self.surface.relief.REACH_PX)
        if not good.any():
            return good
        per_m = float((length[good] / length_m[good]).max())
        slope = self._steepest() * per_m
        if not slope * tangent[good].max() < _STEEPEST:
            return np.zeros_like(good)
        bend = self.surface.relief.bend(self.col, self.row)
        bend = np.maximum(bend[:, 1:], bend[:, :-1])
        with np.errstate(invalid="ignore"):
            closer = 1.0 / (1.0 - slope * tangent)  # ground that rises toward the ray stretches its errors
            off = bend * (0.25 * length * (length + 1.0)) * tangent * closer + fan_error_m * closer**3
        good &= off <= tolerance_m
        return good

    def _steepest(self) -> float:
        """Return the largest slope under the rays, m per pixel."""
        hit = np.isfinite(self.col)
        col, row = self.col[hit], self.row[hit]
        lon, lat = (np.asarray(each) for each in (self.found.poses.lon, self.found.poses.lat))
        ok = np.isfinite(lon + lat)
        start = self.surface.pixel(*geodesy.to_grid(lon[ok], lat[ok], self.surface.terrain.crs))
        col, row = np.append(col, start[0]), np.append(row, start[1])
        across, down = self.surface.steepness.within(col.min(), col.max(), row.min(), row.max())
        return float(np.hypot(across, down))


def _filled(coarse: _Coarse, good: Truths, share: Floats, ray: dict[str, Any]) -> tuple[Floats, Floats]:
    """Return the places of all pixels: between nodes on straight lines, where that does not hold followed."""
    nodes, cols = coarse.nodes, len(share)
    step = int(nodes[1] - nodes[0])
    whole = (cols - 1) // step * step  # samples in full intervals
    inner_share, last_share = share[:whole].reshape(-1, step), share[whole : cols - 1]
    result = []
    for values in (coarse.x, coarse.y):
        full = np.empty((len(coarse.rows), cols))
        change = np.diff(values, axis=1)
        count = len(inner_share)
        inner = np.multiply(change[:, :count, None], inner_share)
        inner += values[:, :count, None]
        full[:, :whole] = inner.reshape(len(full), whole)
        if whole < cols - 1:
            full[:, whole : cols - 1] = values[:, -2, None] + change[:, -1:] * last_share
        full[:, nodes] = values  # also beside one that met no ground
        result.append(full)
    x, y = result
    line, interval = np.nonzero(~good)
    if line.size:
        inside = np.arange(1, step)
        sample = (nodes[interval][:, None] + inside).ravel()
        line = np.repeat(line, len(inside))
        keep = sample < np.repeat(nodes[interval + 1], len(inside))
        line, sample = line[keep], sample[keep]
        exact = trace(np.column_stack([coarse.rows[line], sample]), **ray).hits
        x[line, sample], y[line, sample] = exact.x, exact.y
    return x, y
