"""Checks that the records share: shape, order, finiteness; and the freezing of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def freeze(record: object, dtype: Any, shape: tuple[int | None, ...], *names: str) -> None:
    """Make the fields *names* of a frozen record read-only arrays of *dtype* and *shape* (None = any length).

    A field that is None stays None.

    Raises
    ------
    ValueError
        If a shape does not agree.
    """
    for name in names:
        value = getattr(record, name)
        if value is None:
            continue
        array = np.asarray(value, dtype=dtype)
        if len(shape) != array.ndim or any(
            want not in (None, got) for want, got in zip(shape, array.shape, strict=True)
        ):
            expected = tuple("any" if length is None else length for length in shape)
            raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        object.__setattr__(record, name, array)


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
