"""Rows of a dataset in an HDF5 file, decoded in a process of its own, see :mod:`~dronesense.readers.hdf`."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers.decoder import Decoder, Held

DECODER: Final = Decoder("hdf", "HDF5")


@dataclass(frozen=True, slots=True, eq=False)
class HdfSource:
    """Rows of a dataset, see :class:`~dronesense.model.CubeSource`; the file is opened for each block.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str
        Name of the dataset.
    axes : (int, int, int)
        Axis of the dataset that holds lines, bands, samples.
    shape : (rows, bands, cols)
    good : (bands,) bool
        Bands that decide whether a pixel is valid.
    fill : tuple of float
        Numbers that stand for "no data".
    scale, offset : float
        ``value = scale * number + offset``.
    saturation : float
        Number from which a pixel is saturated; inf for none.
    chunks : tuple of int
        Size of the dataset's chunks; empty if it lies in one piece.
    """

    path: Path
    dataset: str
    axes: tuple[int, int, int]
    shape: tuple[int, int, int]
    good: NDArray[np.bool_]
    fill: tuple[float, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    saturation: float = math.inf
    chunks: tuple[int, ...] = ()

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return rows ``start:stop`` as (rows, bands, cols) float32, and (rows, cols) validity.

        Raises
        ------
        ValueError
            If the rows lie outside the cube.
        ReadError
            If the file has changed or a chunk cannot be decoded.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise ValueError(f"rows {start}:{stop} are not within 0:{self.shape[0]}")
        window = [(0, 0)] * 3
        for axis, span in zip(
            self.axes, ((start, stop), (0, self.shape[1]), (0, self.shape[2])), strict=True
        ):
            window[axis] = span
        with opened(self.path) as held:
            raw = part(held, self.dataset, window, self.chunks).transpose(self.axes)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.ascontiguousarray(raw, dtype=np.float32)
            used = raw[:, self.good]
            valid = np.isfinite(values[:, self.good]).all(axis=1)
            for fill in self.fill:
                valid &= ~(used == raw.dtype.type(fill)).any(axis=1)
            if math.isfinite(self.saturation):
                valid &= ~(used >= self.saturation).any(axis=1)
            if self.scale != 1.0:
                values *= np.float32(self.scale)
            if self.offset != 0.0:
                values += np.float32(self.offset)
        return values, np.asarray(valid)


@contextmanager
def opened(path: Path) -> Iterator[Held]:
    """Open *path* with h5py, in a process of its own; what goes wrong in it is the file's fault.

    Raises
    ------
    ReadError
        If h5py is not installed, or the file cannot be read.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ReadError(
            "reading HDF5 and NetCDF-4 needs h5py, which is not installed",
            where=path,
            fix='pip install "dronesense[hdf]"',
        )
    with DECODER.opened(path) as held:
        yield held


def part(
    held: Held, dataset: str, window: Sequence[tuple[int, int]], chunks: tuple[int, ...] = ()
) -> NDArray[Any]:
    """Return a part of a dataset; whole chunks are decoded for it."""
    steps = chunks or (1,) * len(window)
    decoded = [
        -(-stop // step) * step - start // step * step
        for (start, stop), step in zip(window, steps, strict=True)
    ]
    shape = tuple(stop - start for start, stop in window)
    request = {"do": "read", "dataset": dataset, "window": window}
    return held.ask(request, [shape], decoded_bytes=8 * math.prod(decoded))[1][0]
