"""Pixels of a cube in the numbers of its file, turned into values only where they are asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dronesense.model.cube import Folded

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def picker(source: Folded, at: NDArray[np.int64]) -> Callable[[NDArray[np.generic]], Floats]:
    """Return a function from a row (bands, cols) as stored to the values (bands, n) of its pixels *at*."""
    gain = None if source.gain is None else source.gain[:, at]
    offset = None if source.offset is None else source.offset[:, at]
    place = band = below = above = np.empty(0, dtype=np.int64)
    share = np.empty(0, dtype=np.float32)
    if source.repair:
        assert source.share is not None
        element, place = np.nonzero(source.repair[1][:, None] == at)
        band, below, above = (source.repair[i][element] for i in (0, 2, 3))
        share = source.share[element]

    def pick(stored: NDArray[np.generic]) -> Floats:
        values = stored[:, at].astype(np.float32)
        if gain is not None:
            values *= gain
        if offset is not None:
            values += offset
        if len(place):
            low, high = values[below, place], values[above, place]
            values[band, place] = low + (high - low) * share
        return values

    return pick


def spectra(source: Folded, pixels: NDArray[np.int64]) -> Floats:
    """Return the spectra (n, bands) of *pixels* (n, 2), rows and columns; each row is read once."""
    order = np.argsort(pixels[:, 0], kind="stable")
    rows, first = np.unique(pixels[order, 0], return_index=True)
    result: Floats | None = None
    for row, here in zip(rows.tolist(), np.split(order, first[1:]), strict=True):
        values = picker(source, pixels[here, 1])(source.read(row, row + 1)[0][0])
        if result is None:
            result = np.empty((len(pixels), len(values)), dtype=np.float32)
        result[here] = values.T
    return np.empty((0, 0), dtype=np.float32) if result is None else result
