"""Rays as parabolas in the coordinates of a raster: what the search for the ground works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.geodesy import TangentFrames

U, V, Z = range(3)
"""Axes of :class:`Rays`: column, row, height."""

_PRODUCTS: Final = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""Pairs of north, east, down that the quadratic terms of a frame belong to."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Rays:
    """Rays ``place = a + s (b + s c)``, s being the distance from the origin in m.

    Parameters
    ----------
    terms : (3, 3, k) float64
        By axis (column, row, height) and order (a, b, c). The center of a pixel is the integer.
    """

    terms: Floats

    @classmethod
    def build(cls, frames: TangentFrames, frame: Ints, direction: Floats) -> Rays:
        """Expand rays in *frames*, whose x and y are columns and rows of the raster."""
        first, count, run = _runs(frame)
        k = len(frame)
        terms = np.empty((3, 3, k))
        shape = (count, run)
        ned = [direction[:, axis].reshape(shape).copy() for axis in range(3)]
        products = [ned[a] * ned[b] for a, b in _PRODUCTS]
        rows = slice(first, first + count) if first >= 0 else frame
        spare = np.empty(shape)
        for axis in range(3):
            a, b, c = (term.reshape(shape) for term in terms[axis])
            a[...] = frames.origin[rows, axis, None]
            _add_up(b, frames.linear[rows, axis], ned, spare)
            _add_up(c, frames.quadratic[rows, axis], products, spare)
        return cls(terms)

    def __len__(self) -> int:
        return int(self.terms.shape[2])

    def take(self, index: NDArray[np.intp]) -> Rays:
        """Return the rays at *index*."""
        return Rays(self.terms.take(index, axis=2))

    def at(self, s: Floats, axis: int) -> Floats:
        """Return the coordinate of one axis at distances *s*."""
        a, b, c = self.terms[axis]
        place = s * c
        place += b
        place *= s
        place += a
        return np.asarray(place)

    def reach(self, height: float) -> Floats:
        """Return where each ray comes down to *height*: 0 if it starts below, inf if it rises."""
        start, slope, bend = self.terms[Z]
        drop = np.maximum(start - height, 0.0)
        root = np.sqrt(np.maximum(slope * slope - 4.0 * bend * drop, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(slope < 0.0, 2.0 * drop / (root - slope), np.inf))


def per_ray(values: Floats, frame: Ints) -> Floats:
    """Return numbers per frame (f, ...) for rays shaped by :func:`ray_shape`: one row for each of theirs."""
    first, count, _ = _runs(frame)
    return values[first : first + count] if first >= 0 else values[frame]


def ray_shape(frame: Ints) -> tuple[int, int]:
    """Return the shape (frames, rays of each) of rays in order; (k, 1) where they have none."""
    _, count, run = _runs(frame)
    return count, run


def _runs(frame: Ints) -> tuple[int, int, int]:
    """Return first frame, number of frames and rays per frame; first is -1 where rays are not so ordered.

    The rays of a picture come line by line, as many from each: numbers of a line then need no copies.
    """
    k = len(frame)
    if k == 0:
        return -1, 0, 1
    first = int(frame[0])
    count = int(frame[-1]) - first + 1
    if count < 1 or k % count or k == count:
        return -1, k, 1
    table = frame.reshape(count, k // count)
    regular = bool((table == np.arange(first, first + count)[:, None]).all())
    return (first, count, k // count) if regular else (-1, k, 1)


def _add_up(out: Floats, weights: Floats, parts: Sequence[Floats], spare: Floats) -> None:
    """Set *out* to the sum of *parts* times the columns of *weights*."""
    np.multiply(parts[0], weights[:, 0, None], out=out)
    for number, part in enumerate(parts[1:], start=1):
        np.multiply(part, weights[:, number, None], out=spare)
        out += spare
