"""Which pixel of a push-broom strip shows a place: the way from the ground back, by Newton's method."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.geotag.locate import trace
from dronesense.geotag.terrain import HIT
from dronesense.model import LineCamera

COARSE: Final = 16
"""Every so many lines and samples are followed to the ground for a first guess."""
ROUNDS: Final = 12
STEP_PX: Final = 0.25
"""For the derivatives."""
LONGEST_STEP_PX: Final = 40.0
"""A track that turns makes derivatives useless farther away."""
TOLERANCE_PX: Final = 1e-4
"""A smaller last step is the answer."""

Floats = NDArray[np.float64]


def pixels_at(x: ArrayLike, y: ArrayLike, **ray: Any) -> Floats:
    """Return the pixels that show places.

    Parameters
    ----------
    x, y : (k,) array_like
        In the metric CRS of *ray*.
    ray
        `line_time`, `trajectory`, `instrument`, `terrain`, `crs` as for
        :func:`dronesense.geotag.locate.locate_pixels`.

    Returns
    -------
    (k, 2) float64
        Line and sample, the center of a pixel being the integer; NaN where no pixel shows the place, or none
        was found.

    Raises
    ------
    CoverageError
        As :func:`dronesense.geotag.locate.locate_pixels`.
    """
    from scipy.spatial import cKDTree

    spec = ray["instrument"].spec
    if not isinstance(spec, LineCamera):
        raise TypeError(f"{ray['instrument'].id} is no line scanner")
    wanted = np.column_stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    last = np.array([len(ray["line_time"]) - 1, spec.samples - 1], dtype=np.float64)
    axes = [np.unique(np.linspace(0, end, int(end) // COARSE + 2).round()) for end in last]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    place, hit = _places(grid, ray)
    pixel = np.full((len(wanted), 2), np.nan)
    if not hit.any() or not len(wanted):
        return pixel
    known = np.isfinite(wanted).all(axis=1)
    pixel[known] = grid[hit][cKDTree(place[hit]).query(wanted[known])[1]]
    left, answered = np.flatnonzero(known), np.zeros(len(wanted), dtype=np.bool_)
    for _ in range(ROUNDS):
        if not left.size:
            break
        step, found = _step(pixel[left], wanted[left], last, ray)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        step *= np.minimum(1.0, LONGEST_STEP_PX / np.maximum(length, TOLERANCE_PX))
        moved = pixel[left] + step
        inside = found & np.all((moved >= -0.5) & (moved <= last + 0.5), axis=1)
        pixel[left] = np.clip(moved, -0.5, last + 0.5)
        small = length[:, 0] <= TOLERANCE_PX
        answered[left[small & inside]] = True
        left = left[found & ~small]
    pixel[~answered] = np.nan
    return pixel


def _places(pixels: Floats, ray: dict[str, Any]) -> tuple[Floats, NDArray[np.bool_]]:
    hits = trace(pixels, **ray).hits
    return np.column_stack([hits.x, hits.y]), hits.status == HIT


def _step(
    pixel: Floats, wanted: Floats, last: Floats, ray: dict[str, Any]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return how far (k, 2) pixels are from the right ones, to first order, and where that is known."""
    low, high = np.maximum(pixel - STEP_PX, -0.5), np.minimum(pixel + STEP_PX, last + 0.5)
    around = [pixel]
    for axis in (0, 1):
        for end in (low, high):
            moved = pixel.copy()
            moved[:, axis] = end[:, axis]
            around.append(moved)
    place, hit = _places(np.concatenate(around), ray)
    here, a, b, c, d = np.split(place, 5)
    slope = np.stack([b - a, d - c], axis=-1) / (high - low)[:, None, :]
    found = np.all(np.split(hit, 5), axis=0) & (np.abs(np.linalg.det(np.nan_to_num(slope))) > 0.0)
    step = np.zeros_like(pixel)
    step[found] = np.linalg.solve(slope[found], (wanted - here)[found, :, None])[..., 0]
    return step, found
