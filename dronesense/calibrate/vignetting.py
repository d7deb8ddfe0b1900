"""The radial polynomial that describes how a lens darkens towards its corners.

``P(r) = 1 + k0 r + k1 r^2 + ... + k5 r^6`` with r the distance from the vignetting center in pixels.
**MicaSense divides by it, DJI multiplies with it**: the same six numbers mean the fall-off in one, its cure
in the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def radial(
    shape: tuple[int, int], *, center: Sequence[float], coefficients: Sequence[float], first_row: int = 0
) -> NDArray[np.float64]:
    """Return P(r) of some rows of an image.

    Parameters
    ----------
    shape : (rows, cols)
        Of the rows.
    center : (x, y)
        Vignetting center, pixels; the center of the first pixel is 0.
    coefficients : sequence of float
        k0, k1, ...; any number of them.
    first_row : int
        Which row of the image the first one is.

    Examples
    --------
    >>> radial((1, 3), center=(0.0, 0.0), coefficients=(0.5, 0.25)).tolist()
    [[1.0, 1.75, 3.0]]
    """
    y = np.arange(first_row, first_row + shape[0], dtype=np.float64)[:, None] - center[1]
    x = np.arange(shape[1], dtype=np.float64) - center[0]
    r = np.hypot(x, y)
    value = np.zeros(shape)
    for each in reversed(coefficients):
        value += each
        value *= r
    value += 1.0
    return value
