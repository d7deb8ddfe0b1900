"""Whether the numbers of a cube or library of reflectance are fractions yet: their median tells.

By ENVI's definition numbers divided by the ``reflectance scale factor`` are fractions. Writers of whole
numbers keep to it; writers of decimals leave the key in the header after they divided, or did not divide.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dronesense.model import CubeSource
from dronesense.readers.envi_header import Header

KEY: Final = "reflectance scale factor"
ROWS: Final = 9
"""Rows that are looked at, evenly spread."""
DARKEST: Final = 1e-3
"""The median of a scene over its bands and pixels is not below this reflectance; deep water has 0.005."""
BRIGHTEST: Final = 2.0
"""Nor above this one: fresh snow has less than 1, glint covers few pixels."""


def divisor(typical: float, header: Header, factor: float, whole: bool, *, assumptions: list[str]) -> float:
    """Return what the numbers of a file of reflectance are to be divided by.

    Parameters
    ----------
    typical : float
        Median of the numbers as they are in the file; 0 if there are none.
    header : Header
        For messages.
    factor : float
        The ``reflectance scale factor``, 1 where there is none.
    whole : bool
        Whether the numbers are whole ones, which always are to be divided.
    assumptions : list of str
        Takes what was decided.

    Raises
    ------
    ReadError
        If they are no fractions after that, or two ways to read them are possible.
    """
    seen = f"they are typically {typical:.3g}"
    if whole or typical > BRIGHTEST:
        result = factor
    elif factor != 1.0 and DARKEST <= typical / factor <= BRIGHTEST:
        raise header.refuse(
            KEY,
            f"decimals may be fractions yet, or not: {seen}, {typical / factor:.3g} after the division",
            f'write "{KEY} = 1" if they are fractions, else divide them',
        )
    else:
        result = 1.0
    if typical / result > BRIGHTEST:
        raise header.refuse(
            KEY,
            f"numbers are no reflectance as a fraction: they are typically {typical / result:.3g}",
            f'state "{KEY}" (100 for percent, often 10000) in the header, or quantity = radiance or counts',
        )
    if result != 1.0:
        assumptions.append(f"values were divided by the {KEY} {factor:g}")
    elif factor != 1.0:
        assumptions.append(f"the {KEY} {factor:g} was not applied to decimal numbers: {seen}")
    return result


def typical_of(source: CubeSource) -> float:
    """Return the median of what is greater than 0 in valid pixels of a few rows; 0 if there are none."""
    rows = np.unique(np.linspace(0, source.shape[0] - 1, ROWS).astype(np.int64))
    found = []
    for row in rows:
        values, valid = source.read(int(row), int(row) + 1)
        numbers = values.transpose(0, 2, 1)[valid]
        found.append(numbers[numbers > 0.0])
    numbers = np.concatenate(found)
    return float(np.median(numbers)) if numbers.size else 0.0
