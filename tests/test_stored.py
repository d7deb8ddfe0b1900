"""Pixels picked out of a file beside those of whole rows."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.detect.stored import ROWS_AT_ONCE, picker, spectra
from dronesense.model.cube import Folded

ROWS, BANDS, COLS = 40, 7, 11


def made(seed: int, reads: list[tuple[int, int]]) -> tuple[Folded, np.ndarray]:
    """Return a source with two elements that are interpolated, and its values (rows, bands, cols)."""
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 4096, size=(ROWS, BANDS, COLS), dtype=np.uint16)
    gain, offset = (rng.uniform(0.5, 1.5, size=(BANDS, COLS)).astype(np.float32) for _ in range(2))

    def read(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        reads.append((start, stop))
        return stored[start:stop], np.ones((stop - start, COLS), dtype=bool)

    repair = tuple(np.array(each) for each in ([2, 5], [3, 3], [1, 4], [3, 6]))
    share = np.array([0.5, 0.25], dtype=np.float32)
    values = stored * gain + offset
    values[:, 2, 3] = values[:, 1, 3] + (values[:, 3, 3] - values[:, 1, 3]) * np.float32(0.5)
    values[:, 5, 3] = values[:, 4, 3] + (values[:, 6, 3] - values[:, 4, 3]) * np.float32(0.25)
    return Folded(read, gain, offset, repair, share), values.astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_spectra_are_those_of_the_rows_and_each_is_read_once(seed: int) -> None:
    reads: list[tuple[int, int]] = []
    source, values = made(seed, reads)
    rng = np.random.default_rng(seed)
    pixels = np.stack([rng.integers(0, ROWS, size=30), rng.integers(0, COLS, size=30)], axis=1)
    pixels = np.concatenate([pixels, [[12, 3], [12, 3]]])
    np.testing.assert_array_equal(spectra(source, pixels), values[pixels[:, 0], :, pixels[:, 1]])
    read = [row for start, stop in reads for row in range(start, stop)]
    assert sorted(read) == np.unique(pixels[:, 0]).tolist()
    assert max(stop - start for start, stop in reads) <= ROWS_AT_ONCE


def test_no_pixels_and_one_row() -> None:
    source, values = made(0, [])
    assert spectra(source, np.empty((0, 2), dtype=np.int64)).size == 0
    at = np.array([3, 0, 3])
    np.testing.assert_array_equal(picker(source, at)(source.read(4, 5)[0][0]), values[4][:, at])
