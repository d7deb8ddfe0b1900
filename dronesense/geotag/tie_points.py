"""Tie points between overlapping strips, found by themselves: chips of both on the ground, correlated.

Strips are laid on a common grid with the mount as it is assumed to be, so that chips of any two headings look
alike but for a shift. The shift comes from the phase of their spectra (Kuglin & Hines 1975), between cells by
a discrete Fourier transform around the peak (Guizar-Sicairos et al. 2008, doi 10.1364/OL.33.000156).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.geotag import ortho, resample
from dronesense.geotag.boresight import Strip
from dronesense.geotag.inverse import pixels_at
from dronesense.geotag.locate import trace
from dronesense.model import Instrument, Terrain
from dronesense.model.tie_points import TiePoints

CHIP: Final = 64
"""Side of a chip, cells."""
COARSE_SIDE: Final = 512
"""The whole overlap, thinned to this side at most, gives the first shift."""
REACH: Final = 20
"""Cells that a chip may lie off after that."""
MAX_SHIFT_DEG: Final = 3.0
"""Error of the mount that is looked for."""
MAX_PER_PAIR: Final = 150
MIN_KNOWN: Final = 0.95
"""Share of a chip that both strips must show."""
SMOOTH: Final = 15
"""Cells of the box whose mean and deviation are taken off and out: light differs between headings."""
SETTLED: Final = 1.5
"""Cells that a chip may still lie off once it was moved: more is another peak."""
WHITE: Final = 0.5
"""How much spectra are flattened: 0 is a correlation, 1 the phase alone, which amplifies noise."""
UPSAMPLING: Final = 32
"""Steps per cell around the peak."""
MIN_PEAK: Final = 1.3
"""The peak must stand over the next one, at least 4 cells away, by this factor."""
MIN_CORRELATION: Final = 0.35
"""Of two chips once they are shifted."""
MAX_SIGMA_PX: Final = 0.5
LEAST_SIGMA_PX: Final = 0.05
"""Resampling and relief leave this much at best."""
SIGMA_FACTOR: Final = 2.0
"""Neighboring cells share the noise of a pixel: twice the uncertainty of independent ones."""

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A strip as one picture, `values` (lines, samples) float32; NaN where not valid."""

    strip: Strip
    values: Plane


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """A picture on the common grid: evened out, 0 where not `known`; `first`, `left`: cells of its corner."""

    values: Plane
    known: NDArray[np.bool_]
    first: int
    left: int


def find_tie_points(
    pictures: Sequence[Picture],
    *,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    gsd_m: float | None = None,
) -> TiePoints:
    """Find places that two strips show.

    Parameters
    ----------
    pictures : sequence of Picture
        Strips of one camera.
    instrument : Instrument
        A line scanner, mounted to within 3 degrees of what its mount says.
    terrain : Terrain
    crs : str
        Metric.
    gsd_m : float or None
        Cell of the common grid; None: as large as the median pixel.

    Returns
    -------
    TiePoints
        Empty where strips do not overlap or show nothing that can be recognized. Up to 150 for each pair of
        strips, spread evenly. Some may be mistakes: :func:`dronesense.geotag.boresight.solve` leaves out
        those that do not fit the others.

    Notes
    -----
    `sigma_px` follows from what two shifted chips differ by and from their gradients (Cramer-Rao bound,
    Robinson & Milanfar 2004, doi 10.1109/TIP.2004.832923).
    """
    rays = [_ray(each.strip, instrument, terrain, crs) for each in pictures]
    pixel_m = [ortho.typical_gsd(each.values.shape, **ray) for each, ray in zip(pictures, rays, strict=True)]
    gsd = gsd_m or float(np.median(pixel_m))
    sheets = [_sheet(each.values, gsd, ray) for each, ray in zip(pictures, rays, strict=True)]
    names = tuple(each.strip.name for each in pictures)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats, Floats]] = []
    for a, b in combinations(range(len(pictures)), 2):
        place_a, place_b, sigma = _match(sheets[a], sheets[b], _max_shift(rays[a], gsd))
        if not len(sigma):
            continue
        pixel_a = pixels_at(*(gsd * place_a).T, **rays[a])
        pixel_b = pixels_at(*(gsd * place_b).T, **rays[b])
        kept = np.isfinite(pixel_a).all(axis=1) & np.isfinite(pixel_b).all(axis=1)
        n = int(kept.sum())
        sigma = np.maximum(sigma * gsd / pixel_m[b], LEAST_SIGMA_PX)
        found.append((np.full(n, a), np.full(n, b), pixel_a[kept], pixel_b[kept], sigma[kept]))
    if not found:
        nothing, none = np.empty(0, dtype=np.int64), np.empty(0)
        return TiePoints(names, nothing, nothing, none, none, none, none, none)
    first, second, pixel_a, pixel_b, sigma = (np.concatenate(each) for each in zip(*found, strict=True))
    line_a, sample_a, line_b, sample_b = np.concatenate([pixel_a, pixel_b], axis=1).T
    return TiePoints(names, first, second, line_a, sample_a, line_b, sample_b, sigma)


def _ray(strip: Strip, instrument: Instrument, terrain: Terrain, crs: str) -> dict[str, Any]:
    return {
        "line_time": strip.line_time,
        "trajectory": strip.trajectory,
        "instrument": instrument,
        "terrain": terrain,
        "crs": crs,
    }


def _max_shift(ray: dict[str, Any], gsd: float) -> int:
    """Return how many cells a strip may be off: the mount's error on the ground, seen from its lines."""
    samples = ray["instrument"].spec.samples
    lines = np.linspace(0, len(ray["line_time"]) - 1, 9).round()
    middle = np.column_stack([lines, np.full(len(lines), 0.5 * (samples - 1))])
    away = trace(middle, **ray).hits.distance_m
    farthest = float(np.nanmax(away, initial=0.0))
    return max(REACH, int(np.ceil(2.0 * np.tan(np.radians(MAX_SHIFT_DEG)) * farthest / gsd)))


def _sheet(values: Plane, gsd: float, ray: dict[str, Any]) -> _Sheet:
    """Lay a strip on the grid, and take mean and contrast of the surroundings out."""
    from scipy.ndimage import uniform_filter

    even = values - np.nanmedian(values, axis=0, keepdims=True)  # columns differ in what they see
    table = ortho.lookup(values.shape, gsd_m=gsd, offsets=True, seen=np.isfinite(values), **ray)
    if not table.number.size:
        return _Sheet(np.zeros((0, 0), dtype=np.float32), np.zeros((0, 0), dtype=np.bool_), 0, 0)
    laid = resample.bilinear(even.astype(np.float32), table)
    known = np.isfinite(laid)
    share = uniform_filter(known.astype(np.float32), SMOOTH, mode="constant")
    filled = np.where(known, laid, np.float32(0.0))

    def mean(plane: Plane) -> Plane:
        return np.asarray(uniform_filter(plane, SMOOTH, mode="constant") / np.maximum(share, 1e-3))

    rest = np.where(known, filled - mean(filled), np.float32(0.0))
    deviation = np.sqrt(np.maximum(mean(rest * rest), 0.0))
    floor = 0.1 * float(np.median(deviation[known])) + np.finfo(np.float32).tiny
    _, _, left, _, _, top = table.transform
    return _Sheet(
        np.asarray(rest / np.maximum(deviation, floor), dtype=np.float32),
        known,
        round(-top / gsd),
        round(left / gsd),
    )


def _match(a: _Sheet, b: _Sheet, max_shift: int) -> tuple[Floats, Floats, Floats]:
    """Return places in both strips (n, 2), x and y in cells, and the uncertainty of their match."""
    nothing = np.empty((0, 2)), np.empty((0, 2)), np.empty(0)
    rows, cols = _overlap(a, b)
    if len(rows) < CHIP or len(cols) < CHIP:
        return nothing
    shift = _coarse_shift(_part(a, rows, cols), _part(b, rows, cols), max_shift)
    centers = _centers(a, b, rows, cols, shift)
    if not len(centers):
        return nothing
    chips = _chips(a, centers)
    moved = np.broadcast_to(shift, centers.shape)
    peak = np.zeros(len(centers))
    for _ in range(2):
        offset, peak = _correlate(chips, _chips(b, centers + moved))
        moved = moved + np.rint(offset).astype(np.int64)
    offset, peak = _correlate(chips, _chips(b, centers + moved), reach=2)
    known = _inside(b, centers + moved) & (peak >= MIN_PEAK)
    known &= (np.abs(moved - shift).max(axis=1) <= REACH) & (np.abs(offset).max(axis=1) <= SETTLED)
    sigma, alike = _quality(chips, _chips(b, centers + moved))
    known &= (alike >= MIN_CORRELATION) & (sigma <= MAX_SIGMA_PX)
    here = centers[known].astype(np.float64)
    return _xy(here), _xy(here + moved[known] + offset[known]), sigma[known]


def _xy(cells: Floats) -> Floats:
    """Return x and y, in cells, of the middles of chips: upper left corners of the cells that name them."""
    return np.column_stack([cells[:, 1], -cells[:, 0]])


def _overlap(a: _Sheet, b: _Sheet) -> tuple[range, range]:
    """Return rows and columns of the grid that both sheets have."""
    ends = [(each.first + len(each.values), each.left + each.values.shape[1]) for each in (a, b)]
    return (
        range(max(a.first, b.first), min(ends[0][0], ends[1][0])),
        range(max(a.left, b.left), min(ends[0][1], ends[1][1])),
    )


def _part(sheet: _Sheet, rows: range, cols: range) -> Plane:
    """Return part of a sheet."""
    return sheet.values[
        rows.start - sheet.first : rows.stop - sheet.first, cols.start - sheet.left : cols.stop - sheet.left
    ]


def _coarse_shift(a: Plane, b: Plane, most: int) -> NDArray[np.int64]:
    """Return by how many rows and columns, at most *most*, what *a* shows lies farther in *b*."""
    step = max(1, -(-max(a.shape) // COARSE_SIDE))
    if step > 1:
        ny, nx = (n // step * step for n in a.shape)
        a, b = (
            each[:ny, :nx].reshape(ny // step, step, nx // step, step).mean(axis=(1, 3)) for each in (a, b)
        )
    size = [2 * n for n in a.shape]
    spectrum = np.conj(np.fft.rfft2(a, size)) * np.fft.rfft2(b, size)
    surface = np.fft.irfft2(spectrum / (np.abs(spectrum) ** WHITE + 1e-12), size)
    reach = [min(most // step + 1, n - 1) for n in a.shape]
    near = np.roll(surface, reach, axis=(0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
    best = np.unravel_index(int(np.argmax(near)), near.shape)
    return np.array([step * int(best[0] - reach[0]), step * int(best[1] - reach[1])], dtype=np.int64)


def _centers(a: _Sheet, b: _Sheet, rows: range, cols: range, shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return middles (n, 2) of chips that both sheets show, spread evenly, not more than wanted."""
    spacing = max(CHIP // 4, int(np.sqrt(len(rows) * len(cols) / (2.0 * MAX_PER_PAIR))))
    half = CHIP // 2
    grid = np.stack(
        np.meshgrid(
            np.arange(rows.start + half, rows.stop - half + 1, spacing),
            np.arange(cols.start + half, cols.stop - half + 1, spacing),
            indexing="ij",
        ),
        axis=-1,
    ).reshape(-1, 2)
    grid = grid[_inside(a, grid) & _inside(b, grid + shift)]
    return np.asarray(grid[:: max(1, -(-len(grid) // MAX_PER_PAIR))])


def _inside(sheet: _Sheet, centers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which chips a sheet shows almost all of."""
    total = np.zeros((sheet.known.shape[0] + 1, sheet.known.shape[1] + 1))
    np.cumsum(np.cumsum(sheet.known, axis=0), axis=1, out=total[1:, 1:])
    low = centers - [sheet.first, sheet.left] - CHIP // 2
    high = low + CHIP
    fits = np.all((low >= 0) & (high <= sheet.known.shape), axis=1)
    low, high = np.where(fits[:, None], low, 0), np.where(fits[:, None], high, 0)
    held = total[high[:, 0], high[:, 1]] - total[low[:, 0], high[:, 1]]
    held += total[low[:, 0], low[:, 1]] - total[high[:, 0], low[:, 1]]
    return np.asarray(fits & (held >= MIN_KNOWN * CHIP * CHIP))


def _chips(sheet: _Sheet, centers: NDArray[np.int64]) -> Floats:
    """Return chips (n, 64, 64) around *centers*, 0 outside of the sheet."""
    at = np.arange(-(CHIP // 2), CHIP // 2)
    row = centers[:, 0, None, None] - sheet.first + at[:, None]
    col = centers[:, 1, None, None] - sheet.left + at
    ny, nx = sheet.values.shape
    inside = (row >= 0) & (row < ny) & (col >= 0) & (col < nx)
    return np.where(inside, sheet.values[np.clip(row, 0, ny - 1), np.clip(col, 0, nx - 1)], 0.0)


def _correlate(a: Floats, b: Floats, *, reach: int = REACH) -> tuple[Floats, Floats]:
    """Return by how many rows and columns (n, 2) what *a* shows lies farther in *b*, and how clearly."""
    window = np.hanning(CHIP)[:, None] * np.hanning(CHIP)
    spectrum = np.conj(np.fft.fft2(a * window)) * np.fft.fft2(b * window)
    spectrum /= np.abs(spectrum) ** WHITE + 1e-12
    surface = np.fft.fftshift(np.fft.ifft2(spectrum).real, axes=(1, 2))
    middle = CHIP // 2
    near = surface[:, middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    n, side = len(a), 2 * reach + 1
    best = near.reshape(n, -1).argmax(axis=1)
    row, col = best // side - reach, best % side - reach
    own = near.reshape(n, -1).max(axis=1)
    at = np.arange(CHIP) - middle
    away = np.maximum(np.abs(at[:, None] - row[:, None, None]), np.abs(at - col[:, None, None])) >= 4
    second = np.where(away, surface, -np.inf).reshape(n, -1).max(axis=1)
    fine = np.arange(-UPSAMPLING, UPSAMPLING + 1) / UPSAMPLING
    turn = 2j * np.pi * np.fft.fftfreq(CHIP)
    down = np.exp(turn * (row[:, None, None] + fine[:, None]))
    across = np.exp(turn[:, None] * (col[:, None, None] + fine))
    detail = (down @ spectrum @ across).real
    top = detail.reshape(n, -1).argmax(axis=1)
    offset = np.column_stack([row + fine[top // len(fine)], col + fine[top % len(fine)]])
    with np.errstate(divide="ignore", invalid="ignore"):
        return offset, np.where(own > 0.0, own / np.maximum(second, 1e-12 * np.abs(own)), 0.0)


def _quality(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the uncertainty (n,) of the shift of chips that lie on each other, and their correlation."""
    n = len(a)
    norm = np.sqrt(np.einsum("nij,nij->n", a, a) * np.einsum("nij,nij->n", b, b))
    alike = np.einsum("nij,nij->n", a, b) / np.maximum(norm, 1e-12)
    noise = np.var((a - b).reshape(n, -1), axis=1)
    gradient = [np.diff(0.5 * (a + b), axis=axis) for axis in (1, 2)]
    least = np.min([np.einsum("nij,nij->n", each, each) for each in gradient], axis=0)
    return SIGMA_FACTOR * np.sqrt(noise / np.maximum(least, 1e-12)), alike
