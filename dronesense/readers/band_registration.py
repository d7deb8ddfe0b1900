"""Where the pixels of one band fall in another: from the rig's geometry, or measured by phase correlation.

Measured: gradient magnitudes (vegetation is dark in red and bright in near infrared, its edges are edges in
both) are correlated in phase, first whole, then tile by tile; a plane motion is fitted to the tiles and its
residual is told. Reference: Kuglin and Hines, The phase correlation image alignment method, Proc. IEEE Int.
Conf. Cybernetics and Society (1975) 163-165; the peak is refined by a parabola through its neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model import lens as optics
from dronesense.model.capture import BandFrame
from dronesense.model.lens import Lens

Method = Literal["reference", "rig", "homography", "phase", "none"]
Image = NDArray[np.float32]
Doubles = NDArray[np.float64]

STEP: Final = 16
"""Rows and columns between places where a lens is followed: ``f'' h^2 / 8`` of a RedEdge's is 0.006 px."""
TILE: Final = 192
"""Edge of a tile, pixels."""
GRID: Final = (5, 6)
"""Tiles down and across."""
MIN_PEAK: Final = 12.0
"""Correlation peak over the standard deviation of its surface from which it counts.

Unrelated textures of 64 to 960 pixels, white and smooth, gave 10.6 at most in 190 pairs; tiles and wholes of
a flight capture 43 to 208.
"""
MIN_TILES: Final = 6
"""Tiles that a plane motion with six unknowns is fitted to; below, one shift."""
MIN_TILES_OF_SHIFT: Final = 3
"""Tiles that one shift is taken from; below, the whole picture's, and its residual is not known."""
OUTLIER: Final = 3.0
"""Tiles further from the fit than this many robust standard deviations (and 0.5 px) are left out."""
MIN_OUTLIER_PX: Final = 0.5
COARSE: Final = 4
"""Pixels along each axis that are averaged for the quick check."""
MAD_TO_SIGMA: Final = 1.4826
"""Median absolute deviation -> standard deviation of a normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class BandMap:
    """Where the shared grid falls in one band.

    Parameters
    ----------
    method : {"reference", "rig", "homography", "phase", "none"}
        ``rig``: rotations and lenses of the rig; ``homography``: the camera's own matrix; ``phase``:
        measured; ``none``: could not be measured, taken as it is.
    matrix : (3, 3) float64
        ``rig``: turns directions of the reference band into those of this band. Otherwise: takes (u, v, 1)
        of the shared grid to this band; with lenses, between the undistorted pixels of both.
    lens, grid_lens : Lens or None
        Of this band; of the reference band (None for ``homography``: the shared plane has no distortion).
    residual_px : float
        ``phase``: RMS distance of the tiles from the fit, pixels; NaN where nothing was measured.
    tiles : int
        Tiles that the fit rests on.
    knots : (2, n, m) float64 or None
        (v, u) at every 16th row and column from the first, see :meth:`settled`.
    """

    method: Method
    matrix: Doubles
    lens: Lens | None = None
    grid_lens: Lens | None = None
    residual_px: float = float("nan")
    tiles: int = 0
    knots: Doubles | None = None

    def settled(self, shape: tuple[int, int]) -> BandMap:
        """Return the same map with its lenses followed once for all over a grid of *shape*."""
        if self.lens is None and self.grid_lens is None:
            return self
        return replace(self, knots=self._knots(0, shape[0], shape[1]))

    def place(self, start: int, stop: int, cols: int) -> tuple[Doubles, Doubles]:
        """Return (v, u) of rows ``start:stop`` of the shared grid in this band, each (rows, cols).

        Lenses are followed at every 16th row and column and interpolated between: the error is below 0.01 px
        for the lenses of these cameras.
        """
        row, col = np.arange(start, stop), np.arange(cols)
        if self.lens is None and self.grid_lens is None:
            return self._trace(row[:, None].astype(np.float64), col.astype(np.float64))
        first = start // STEP
        if self.knots is None:
            coarse = self._knots(start, stop, cols)
        else:
            coarse = self.knots[:, first : (stop - 1) // STEP + 2]
        at, share = np.divmod(col, STEP)
        coarse = coarse[..., at] + (coarse[..., at + 1] - coarse[..., at]) * (share / STEP)
        at, share = np.divmod(row - first * STEP, STEP)
        v, u = coarse[:, at] + (coarse[:, at + 1] - coarse[:, at]) * (share / STEP)[:, None]
        return v, u

    def _knots(self, start: int, stop: int, cols: int) -> Doubles:
        """Return (v, u) at every 16th row and column around rows ``start:stop``."""
        row = STEP * np.arange(start // STEP, (stop - 1) // STEP + 2, dtype=np.float64)
        col = STEP * np.arange((cols - 1) // STEP + 2, dtype=np.float64)
        return np.stack(self._trace(row[:, None], col))

    def _trace(self, row: Doubles, col: Doubles) -> tuple[Doubles, Doubles]:
        """Return (v, u) of places of the shared grid, (n, 1) and (m,), in this band, each (n, m)."""
        if self.method == "rig" and self.lens is not None and self.grid_lens is not None:
            v, u = np.broadcast_arrays(row, col)
            rays = np.stack(optics.directions(self.grid_lens, u, v))
            turned = np.tensordot(self.matrix, rays, axes=1)
            u, v = optics.project(self.lens, turned[0], turned[1], turned[2])
            return v, u
        if self.grid_lens is not None:
            row, col = _straight(self.grid_lens, *np.broadcast_arrays(row, col))
        m = self.matrix
        u = m[0, 0] * col + (m[0, 1] * row + m[0, 2])
        v = m[1, 0] * col + (m[1, 1] * row + m[1, 2])
        if m[2, 0] != 0.0 or m[2, 1] != 0.0 or m[2, 2] != 1.0:
            scale = m[2, 0] * col + (m[2, 1] * row + m[2, 2])
            u, v = u / scale, v / scale
        if self.lens is not None:
            x = (u - self.lens.center_px[0]) / self.lens.focal_px[0]
            y = (v - self.lens.center_px[1]) / self.lens.focal_px[1]
            u, v = optics.project(self.lens, x, y, np.ones_like(x))
        return v, u


def from_metadata(frames: tuple[BandFrame, ...], reference: int) -> tuple[BandMap, ...] | None:
    """Return where the shared grid falls in each band as the files tell; None if one does not tell.

    A matrix of the camera leads to a plane that no band sees by itself, so the reference is mapped too. With
    the rotations of the rig the shared grid is that of the reference band; the bands are taken to see things
    far away against the few cm between their lenses.
    """
    if all(frame.homography is not None for frame in frames):
        found = []
        for frame in frames:
            matrix = np.reshape(np.asarray(frame.homography, dtype=np.float64), (3, 3))
            if not abs(np.linalg.det(matrix)) > 0.0:
                return None
            found.append(
                BandMap("homography", np.asarray(np.linalg.inv(matrix), dtype=np.float64), lens=frame.lens)
            )
        return tuple(found)
    lenses = [frame.lens for frame in frames]
    turns = [None if frame.rig_deg is None else _rotation(frame.rig_deg) for frame in frames]
    if any(each is None for each in lenses) or any(each is None for each in turns):
        return None
    origin = turns[reference]
    assert origin is not None
    return tuple(
        BandMap("reference", np.eye(3))
        if place == reference
        else BandMap("rig", np.linalg.inv(turn) @ origin, lens=lens, grid_lens=lenses[reference])
        for place, (turn, lens) in enumerate(zip(turns, lenses, strict=True))
        if turn is not None
    )


def _rotation(angles_deg: tuple[float, float, float]) -> Doubles:
    """Return ``Rx Ry Rz`` (MicaSense imageprocessing, image.py)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_euler("XYZ", angles_deg, degrees=True).as_matrix(), dtype=np.float64)


def _straight(lens: Lens, v: Doubles, u: Doubles) -> tuple[Doubles, Doubles]:
    """Return pixels (v, u) as they would lie without distortion."""
    x, y, z = optics.directions(lens, u, v)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            lens.center_px[1] + lens.focal_px[1] * y / z,
            lens.center_px[0] + lens.focal_px[0] * x / z,
        )


def measure(
    reference: NDArray[np.generic],
    band: NDArray[np.generic],
    *,
    grid_lens: Lens | None = None,
    lens: Lens | None = None,
) -> BandMap:
    """Return where the pixels of *reference* fall in *band*, two images of one shape.

    Parameters
    ----------
    reference, band : (rows, cols)
        Counts; which way bright and dark go does not matter.
    grid_lens, lens : Lens, optional
        Of *reference* and *band*: with both of perspective kind, distortion is taken off before the fit.

    Returns
    -------
    BandMap
        ``phase`` with an affine matrix (one shift if fewer than 6 tiles agree), or ``none`` with the identity
        if there is no common structure.
    """
    a, b = _edges(reference), _edges(band)
    shift, peak = _shifts(a[None], b[None])
    if not peak[0] >= MIN_PEAK:
        return BandMap("none", np.eye(3))
    whole = np.rint(shift[0]).astype(np.int64)
    rows, cols = a.shape
    top, left = _tile_corners(rows, cols, whole)
    if top.size == 0:
        return BandMap("phase", _translation(shift[0]), tiles=0)
    inside = np.arange(min(TILE, rows, cols))
    pick = (top[:, None, None] + inside[:, None], left[:, None, None] + inside)
    moved = (pick[0] + whole[0], pick[1] + whole[1])
    fine, peak = _shifts(a[pick], b[moved])
    good = peak >= MIN_PEAK
    middle = np.stack([top, left], axis=1)[good].astype(np.float64) + (inside.size - 1) / 2.0
    seen = middle + fine[good] + whole
    if grid_lens is None or lens is None or "fisheye" in (grid_lens.kind, lens.kind):
        return _fit(middle, seen, shift[0])
    found = _fit(
        np.column_stack(_straight(grid_lens, *middle.T)), np.column_stack(_straight(lens, *seen.T)), shift[0]
    )
    return replace(found, lens=lens, grid_lens=grid_lens) if found.tiles >= MIN_TILES else found


def offset(reference: Image, band: Image) -> float:
    """Return how far two images that should coincide are apart, pixels; NaN if they share no structure.

    Quick and coarse, on means of 4 x 4 pixels: good to half a pixel. Pixels that are NaN are left out.
    """
    small = []
    for image in (reference, band):
        rows, cols = (length // COARSE * COARSE for length in image.shape)
        blocks = image[:rows, :cols].reshape(rows // COARSE, COARSE, cols // COARSE, COARSE)
        small.append(blocks.mean(axis=(1, 3)))
    seen = np.isfinite(small[0]) & np.isfinite(small[1])
    if not seen.any():
        return float("nan")
    edges = [np.where(seen, _edges(np.maximum(np.nan_to_num(each), 0.0)), 0.0) for each in small]
    inner = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    crop = (slice(inner[0][0], inner[0][-1] + 1), slice(inner[1][0], inner[1][-1] + 1))
    shift, peak = _shifts(edges[0][crop][None].astype(np.float32), edges[1][crop][None].astype(np.float32))
    return float(COARSE * np.hypot(*shift[0])) if peak[0] >= MIN_PEAK else float("nan")


def _fit(at: Doubles, seen: Doubles, overall: Doubles) -> BandMap:
    """Return the plane motion of tiles at (row, col) that are *seen* elsewhere, outliers left out."""
    shift = seen - at
    keep = np.ones(len(at), dtype=bool)
    matrix, distance = _translation(overall), np.empty(0)
    for _ in range(3):
        if keep.sum() >= MIN_TILES:
            design = np.column_stack([at[:, 1], at[:, 0], np.ones(len(at))])
            target = np.column_stack([at[:, 1] + shift[:, 1], at[:, 0] + shift[:, 0]])
            solution = np.linalg.lstsq(design[keep], target[keep], rcond=None)[0]
            matrix = np.vstack([solution.T, [0.0, 0.0, 1.0]])
            distance = np.hypot(*(design @ solution - target).T)
        elif keep.sum() >= MIN_TILES_OF_SHIFT:
            middle = np.median(shift[keep], axis=0)
            matrix, distance = _translation(middle), np.hypot(*(shift - middle).T)
        else:
            return BandMap("phase", matrix)
        limit = max(MIN_OUTLIER_PX, OUTLIER * MAD_TO_SIGMA * float(np.median(distance[keep])))
        keep = distance <= limit
    residual = float(np.sqrt(np.mean(distance[keep] ** 2))) if keep.any() else float("nan")
    return BandMap("phase", matrix, residual_px=residual, tiles=int(keep.sum()))


def _translation(shift: Doubles) -> Doubles:
    return np.array([[1.0, 0.0, shift[1]], [0.0, 1.0, shift[0]], [0.0, 0.0, 1.0]])


def _tile_corners(
    rows: int, cols: int, shift: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first rows and columns of tiles that lie in both images."""
    edge = min(TILE, rows, cols)
    corners = []
    for length, moved, count in ((rows, int(shift[0]), GRID[0]), (cols, int(shift[1]), GRID[1])):
        first, last = max(0, -moved), min(length, length - moved) - edge
        if last < first:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        corners.append(np.unique(np.linspace(first, last, count).astype(np.int64)))
    top, left = np.meshgrid(*corners, indexing="ij")
    return top.ravel(), left.ravel()


def _edges(image: NDArray[np.generic]) -> Image:
    """Return the gradient magnitude of the logarithm: edges of dark and of bright things weigh alike."""
    values = np.log1p(image.astype(np.float32))
    down, across = np.gradient(values)
    return np.asarray(np.hypot(down, across), dtype=np.float32)


def _shifts(a: Image, b: Image) -> tuple[Doubles, Doubles]:
    """Return (row, col) shifts of b against a, and the peaks over the noise of their surface."""
    from scipy import fft

    rows, cols = a.shape[1:]
    window = (np.hanning(rows)[:, None] * np.hanning(cols)).astype(np.float32)
    spectra = [
        fft.rfft2((each - each.mean(axis=(1, 2), keepdims=True)) * window, axes=(1, 2)) for each in (a, b)
    ]
    cross = np.conj(spectra[0]) * spectra[1]
    cross /= np.maximum(np.abs(cross), np.finfo(np.float32).tiny)
    surface = fft.irfft2(cross, s=(rows, cols), axes=(1, 2))
    flat = surface.reshape(len(surface), -1)
    best = flat.argmax(axis=1)
    height = flat[np.arange(len(flat)), best]
    noise = flat.std(axis=1)
    row, col = np.divmod(best, cols)
    every = np.arange(len(flat))
    fine_row = _vertex(*(surface[every, (row + step) % rows, col] for step in (-1, 0, 1)))
    fine_col = _vertex(*(surface[every, row, (col + step) % cols] for step in (-1, 0, 1)))
    down = (row + rows // 2) % rows - rows // 2 + fine_row
    across = (col + cols // 2) % cols - cols // 2 + fine_col
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = np.where(noise > 0.0, height / noise, 0.0)
    return np.stack([down, across], axis=1).astype(np.float64), peak.astype(np.float64)


def _vertex(before: Doubles, top: Doubles, after: Doubles) -> Doubles:
    """Return where a parabola through three neighboring values has its top, -0.5 to 0.5."""
    bend = before - 2.0 * top + after
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bend < 0.0, np.clip(0.5 * (before - after) / bend, -0.5, 0.5), 0.0)
