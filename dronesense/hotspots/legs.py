"""Flight lines: stretches of a track that keep their direction."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TURN_DEG: Final = 45.0
"""A line ends where the course has turned by more than this from its beginning."""
STEP_M: Final = 2.0
"""Courses are taken over this distance: shorter ones are noise of the positions."""
MIN_STEPS: Final = 3
"""Shorter lines belong to the line before: a turn is no line."""


def flight_lines(x: Floats, y: Floats) -> NDArray[np.int64]:
    """Return a number for each place of a track, 0, 1, ...: places of one line share it.

    Parameters
    ----------
    x, y : (m,) float64
        Places along the track, in order, meters.

    Examples
    --------
    There and back on two lines:

    >>> x = np.concatenate([np.arange(0.0, 40.0), np.arange(40.0, 0.0, -1.0)])
    >>> y = np.repeat([0.0, 5.0], 40)
    >>> lines = flight_lines(x, y)
    >>> int(lines[0]), int(lines[30]), int(lines[50]), int(lines[79])
    (0, 0, 1, 1)
    """
    if x.size < 2:
        return np.zeros(x.size, dtype=np.int64)
    flown = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    knots = np.append(np.arange(0.0, max(flown[-1], STEP_M), STEP_M), max(flown[-1], STEP_M))
    step = np.diff(np.interp(knots, flown, x)) + 1j * np.diff(np.interp(knots, flown, y))
    number, starts, kept = np.zeros(step.size, dtype=np.int64), [0], step[0]
    limit = np.cos(np.radians(TURN_DEG))
    for k in range(1, step.size):
        along = (step[k] * kept.conjugate()).real
        if along < limit * abs(step[k]) * abs(kept) and abs(step[k]) > 0.0:
            if k - starts[-1] < MIN_STEPS and len(starts) > 1:
                number[starts[-1] : k] -= 1
                starts.pop()
            starts.append(k)
            kept = step[k]
        else:
            kept = kept + step[k]
        number[k] = len(starts) - 1
    at = np.clip(np.searchsorted(knots, flown, side="right") - 1, 0, step.size - 1)
    return np.asarray(np.unique(number[at], return_inverse=True)[1], dtype=np.int64)
