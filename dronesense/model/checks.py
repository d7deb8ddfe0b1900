"""Checks that the records share: shape, order, finiteness; and the freezing of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def frozen(array: Any, *, dtype: Any, shape: tuple[int | None, ...], name: str) -> NDArray[Any]:
    """Return *array* as a read-only array of *dtype* whose shape agrees with *shape* (None = any length).

    Raises
    ------
    ValueError
        If the shape does not agree.
    """
    result = np.asarray(array, dtype=dtype)
    if result.ndim != len(shape) or any(want is not None and want != got for want, got in zip(shape, result.shape, strict=True)):
        raise ValueError(f"{name} has shape {result.shape}, expected {tuple('any' if s is None else s for s in shape)}")
    if result.flags.writeable:
        result = result.view()
        result.flags.writeable = False
    return result


def strictly_increasing(time: NDArray[np.int64], name: str) -> None:
    """Raise ValueError unless *time* grows from each sample to the next."""
    if time.size > 1 and not bool(np.all(np.diff(time) > 0)):
        first = int(np.flatnonzero(np.diff(time) <= 0)[0]) + 1
        raise ValueError(f"{name} must be strictly increasing; sample {first} is not")


def within(values: NDArray[np.float64], low: float, high: float, name: str) -> None:
    """Raise ValueError if a finite value lies outside ``[low, high]``."""
    finite = values[np.isfinite(values)]
    if finite.size and (finite.min() < low or finite.max() > high):
        raise ValueError(f"{name} lies outside [{low}, {high}]: {finite.min()} to {finite.max()}")
