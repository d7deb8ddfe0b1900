"""A mean of its own for every pixel, from a window around it without a guard window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import SpectralCube
from dronesense.model.cube import CubeSource

DEFAULT_WINDOW: Final = (5, 21)
"""Pixels across the guard and the outer window. Not tuned: see docs/methods/spectral-detection.md."""
MIN_AROUND: Final = 16
"""Valid pixels in the window, at least; a pixel with fewer is not valid."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class LocalSource:
    """A source minus the mean of the window around each pixel, plus *level* (bands,).

    Sums are float64 and of one line at a time, added in the order of the lines: values do not depend on how
    many lines are read at once. ``outer // 2`` lines on either side are read as well.
    """

    source: CubeSource
    good: Mask
    level: Floats
    guard: int
    outer: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, bands, columns."""
        return self.source.shape

    def read(self, start: int, stop: int) -> tuple[Floats, Mask]:
        """Return rows ``start:stop`` as (rows, bands, cols) float32, and (rows, cols) validity."""
        rows = self.shape[0]
        reach = self.outer // 2
        first, last = max(0, start - reach), min(rows, stop + reach)
        values, valid = self.source.read(first, last)
        usable = valid & np.isfinite(values[:, self.good]).all(axis=1)
        clean = np.where(usable[:, None, :], values, np.float32(0.0))
        clean[:, ~self.good] = 0.0
        wide = _along(clean, self.outer), _along(usable, self.outer)
        near = _along(clean, self.guard), _along(usable, self.guard)
        result = np.empty((stop - start, *values.shape[1:]), dtype=np.float32)
        allowed = np.empty((stop - start, values.shape[2]), dtype=np.bool_)
        for i, row in enumerate(range(start, stop)):
            outside, inside = (self._lines(row, first, last, width) for width in (self.outer, self.guard))
            count = wide[1][outside].sum(axis=0) - near[1][inside].sum(axis=0)
            total = wide[0][outside].sum(axis=0) - near[0][inside].sum(axis=0)
            mean = total / np.maximum(count, 1)
            result[i] = values[row - first] - mean + self.level[:, None]
            allowed[i] = usable[row - first] & (count >= MIN_AROUND)
        return result, allowed

    @staticmethod
    def _lines(row: int, first: int, last: int, width: int) -> slice:
        reach = width // 2
        return slice(max(first, row - reach) - first, min(last, row + reach + 1) - first)


def _along(lines: NDArray[np.float32] | Mask, width: int) -> Doubles:
    """Return sums over *width* pixels along the last axis, cut at the ends."""
    reach, cols = width // 2, lines.shape[-1]
    sums = np.zeros((*lines.shape[:-1], cols + 1))
    np.cumsum(lines, axis=-1, dtype=np.float64, out=sums[..., 1:])
    at = np.arange(cols)
    return np.asarray(sums[..., np.minimum(at + reach + 1, cols)] - sums[..., np.maximum(at - reach, 0)])


def without_surroundings(
    cube: SpectralCube, level: Doubles, *, window: tuple[int, int] = DEFAULT_WINDOW
) -> SpectralCube:
    """Return *cube* with what is around each pixel taken off it, and *level* put on.

    Parameters
    ----------
    cube : SpectralCube
    level : (bands,) float64
        Mean of the scene, so that values stay where they were.
    window : (guard, outer) int
        Pixels across, both odd.

    Raises
    ------
    ValueError
        If the window is not a pair of odd numbers, the first less than the second.
    """
    guard, outer = window
    if not (0 < guard < outer and guard % 2 and outer % 2):
        raise ValueError(f"a window is a pair of odd numbers, the guard less than the outer, not {window}")
    source = LocalSource(cube.source, cube.bands.good, level.astype(np.float32), guard, outer)
    note = f"local background: mean of {outer} x {outer} pixels without the inner {guard} x {guard}"
    return replace(cube, source=source, history=(*cube.history, note))
