"""Rows of a cube that are read when somebody looks at them, as an array of others."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model.cube import DEFAULT_BLOCK_BYTES, SpectralCube
from dronesense.model.exchange import installed, need

need("xarray")

from xarray.backends import BackendArray  # noqa: E402 - asked for first, so that its absence is said in words
from xarray.core import indexing  # noqa: E402

BYTES: Final = 4
"""Of a float32."""

Key = int | slice


class CubeRows:
    """A cube as an array (rows, bands, columns), NaN where a pixel is not valid; indexing reads the file.

    Parameters
    ----------
    cube : SpectralCube
        Read in blocks: more than the part asked for and one block is never in memory.
    """

    def __init__(self, cube: SpectralCube) -> None:
        self.source = cube.source
        self.shape: tuple[int, ...] = cube.shape
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.ndim = 3
        _, bands, cols = cube.shape
        self.step = max(1, DEFAULT_BLOCK_BYTES // (bands * cols * BYTES))

    def __getitem__(self, key: tuple[Key, ...]) -> NDArray[Any]:
        """Return what integers and slices, one for each dimension, name."""
        first, *others = key
        numbers = np.arange(self.shape[0])[first]
        wanted = np.atleast_1d(numbers)
        parts = [self._block(wanted, start)[(slice(None), *others)] for start in self._starts(wanted)]
        if not parts:
            parts = [np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *others)]]
        found = np.concatenate(parts)
        if wanted.size > 1 and wanted[0] > wanted[-1]:
            found = found[::-1]
        return found if numbers.ndim else found[0]

    def _starts(self, wanted: NDArray[np.intp]) -> list[int]:
        """Return where the blocks begin that hold *wanted* rows."""
        return [int(number) * self.step for number in np.unique(wanted // self.step)]

    def _block(self, wanted: NDArray[np.intp], start: int) -> NDArray[Any]:
        """Return the *wanted* rows of the block that begins at *start*, increasing."""
        here = np.sort(wanted[(wanted >= start) & (wanted < start + self.step)])
        values, valid = self.source.read(int(here[0]), int(here[-1]) + 1)
        block: NDArray[Any] = self._of(values, valid)[here - here[0]]
        return block

    def _of(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[Any]:
        return np.where(valid[:, None, :], values, np.float32(np.nan))


class ValidRows(CubeRows):
    """Which pixels of a cube are valid, (rows, columns), read as :class:`CubeRows`."""

    def __init__(self, cube: SpectralCube) -> None:
        super().__init__(cube)
        self.shape = (cube.shape[0], cube.shape[2])
        self.dtype = np.dtype(np.bool_)
        self.ndim = 2

    def _of(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[Any]:  # noqa: ARG002 - as in the base
        return np.asarray(valid, dtype=np.bool_)


class _Backend(BackendArray):  # type: ignore[misc,unused-ignore]
    """Rows as xarray's own lazy arrays want them."""

    def __init__(self, rows: CubeRows) -> None:
        self.rows, self.shape, self.dtype = rows, rows.shape, rows.dtype

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self.rows.__getitem__
        )


def lazy(rows: CubeRows) -> Any:
    """Return *rows* as an array that xarray takes without reading it: of dask where it is installed."""
    if not installed("dask"):
        return indexing.LazilyIndexedArray(_Backend(rows))
    array: Any = import_module("dask.array")
    return array.from_array(
        rows,
        chunks=(rows.step, *rows.shape[1:]),
        name=False,
        lock=True,  # not every file may be read from two threads
        meta=np.empty((0,) * rows.ndim, rows.dtype),
    )
