"""Pixels of a cube in the numbers of its file, turned into values only where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model.cube import Folded

ROWS_AT_ONCE: Final = 8
"""Rows that are read together, at most."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def picker(source: Folded, at: NDArray[np.int64]) -> Callable[[NDArray[np.generic]], Floats]:
    """Return a function from a row (bands, cols) as stored to the values (bands, n) of its pixels *at*."""
    value = _valuer(source, at)
    return lambda stored: value(stored[:, at])


def _valuer(source: Folded, at: NDArray[np.int64]) -> Callable[[NDArray[np.generic]], Floats]:
    """Return a function from pixels (bands, n) as stored, of the columns *at*, to their values."""
    gain = None if source.gain is None else source.gain[:, at]
    offset = None if source.offset is None else source.offset[:, at]
    place = band = below = above = np.empty(0, dtype=np.int64)
    share = np.empty(0, dtype=np.float32)
    if source.repair:
        assert source.share is not None
        element, place = np.nonzero(source.repair[1][:, None] == at)
        band, below, above = (source.repair[i][element] for i in (0, 2, 3))
        share = source.share[element]

    def value(stored: NDArray[np.generic]) -> Floats:
        values = stored.astype(np.float32)
        if gain is not None:
            values *= gain
        if offset is not None:
            values += offset
        if len(place):
            low, high = values[below, place], values[above, place]
            values[band, place] = low + (high - low) * share
        return values

    return value


def spectra(source: Folded, pixels: NDArray[np.int64]) -> Floats:
    """Return the spectra (n, bands) of *pixels* (n, 2), rows and columns; each row is read once.

    Rows that follow each other are read together.
    """
    order = np.argsort(pixels[:, 0], kind="stable")
    row, col = pixels[order].T
    result: Floats | None = None
    for first, last in _runs(row):
        start = int(row[first])
        stored = source.read(start, int(row[last - 1]) + 1)[0]
        here = col[first:last]
        values = _valuer(source, here)(stored[row[first:last] - start, :, here].T)
        if result is None:
            result = np.empty((len(pixels), len(values)), dtype=np.float32)
        result[order[first:last]] = values.T
    return np.empty((0, 0), dtype=np.float32) if result is None else result


def _runs(row: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield where in the sorted *row* a run of consecutive rows begins and ends, at most some rows long."""
    first = 0
    for place in np.flatnonzero(np.diff(row)) + 1:
        if row[place] > row[place - 1] + 1 or row[place] >= row[first] + ROWS_AT_ONCE:
            yield first, int(place)
            first = int(place)
    if len(row):
        yield first, len(row)
