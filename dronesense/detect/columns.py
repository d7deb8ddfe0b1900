"""A mean of its own for every detector column: stripes of a push-broom camera are not alarms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.model import SpectralCube
from dronesense.model.cube import CubeSource, Folded, fold

MIN_LINES: Final = 64
"""Usable pixels of a column, at least: its mean is then known to 1/8 of the background's spread."""
BLOCK_LINES: Final = 16
"""Lines read at a time."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnSource:
    """A source minus *excess* (bands, cols): what each column lies above the mean of all."""

    source: CubeSource
    excess: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, bands, columns."""
        return self.source.shape

    def read(self, start: int, stop: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Return rows ``start:stop`` as (rows, bands, cols) float32, and (rows, cols) validity."""
        values, valid = self.source.read(start, stop)
        return values - self.excess, valid

    def folded(self) -> Folded:
        """Return the numbers of the file; the excess goes into the offset, so that it costs nothing."""
        inner = fold(self.source)
        if inner.repair:  # repaired elements would miss the excess of their own column and band
            return Folded(self.read)
        offset = -self.excess if inner.offset is None else inner.offset - self.excess
        return replace(inner, offset=offset)


def without_columns(cube: SpectralCube) -> SpectralCube:
    """Return *cube* with every column shifted, band by band, to the mean of all columns.

    Reads the cube once; sums are float64 over the valid pixels, line after line, so the result does not
    depend on how many lines are read at a time.

    Parameters
    ----------
    cube : SpectralCube
        Its columns are detector columns: not a cube that was put on a map grid.

    Raises
    ------
    CoverageError
        If hardly any column has 64 valid pixels.
    """
    rows, bands, cols = cube.shape
    good = cube.bands.good
    total, count = np.zeros((bands, cols)), np.zeros(cols, dtype=np.int64)
    for start in range(0, rows, BLOCK_LINES):
        values, valid = cube.source.read(start, min(start + BLOCK_LINES, rows))
        for line, allowed in zip(values, valid, strict=True):
            usable = allowed & np.isfinite(line[good]).all(axis=0)
            total[:, usable] += line[:, usable]
            count += usable
    known = count >= MIN_LINES
    if known.sum() < max(1, cols // 2):
        raise CoverageError(
            f"{int(np.median(count))} valid lines are too few for a mean of each column",
            where=cube.path,
            fix=f'give a cube of at least {MIN_LINES} lines, or use background = "scene"',
        )
    mean = total[:, known] / count[known]
    excess = np.zeros((bands, cols), dtype=np.float32)
    excess[:, known] = mean - mean.mean(axis=1, keepdims=True)
    excess[~good] = 0.0
    note = f"background by column: {int(known.sum())} of {cols} columns shifted to the mean of all"
    return replace(cube, source=ColumnSource(cube.source, excess), history=(*cube.history, note))
