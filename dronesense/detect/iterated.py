"""A background without its targets: what scores high is left out of it, and it is estimated again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import background as backgrounds
from dronesense.detect import tail as tails
from dronesense.detect.background import Background
from dronesense.errors import CoverageError
from dronesense.model import SpectralCube, TailModel

EXCLUDED_PROBABILITY: Final = 1e-3
"""Pixels whose score the background exceeds with at most this probability are left out of it."""
NEIGHBORS: Final = 1
"""Pixels around one that is left out, which go with it: partly filled neighbors."""
MAX_ROUNDS: Final = 3
STABLE_SHARE: Final = 0.01
"""Share of the pixels left out that may change from round to round when they count as the same."""

Mask = NDArray[np.bool_]


def high_pixels(score: NDArray[np.float32], known: Sequence[TailModel | None]) -> Mask:
    """Return the (rows, cols) pixels that score high for any target, with their neighbors.

    Parameters
    ----------
    score : (targets, rows, cols) float32
        NaN where not valid.
    known : sequence of TailModel or None
        Tail of the background's scores of each target; None: nothing is left out for it.
    """
    found = np.zeros(score.shape[1:], dtype=np.bool_)
    for each, tail in zip(score, known, strict=True):
        if tail is not None:
            found |= each >= tails.score_at(tail, EXCLUDED_PROBABILITY)
    wide = found.copy()
    for axis in (0, 1):
        grown = wide.copy()
        for step in range(1, NEIGHBORS + 1):
            ahead = (slice(None),) * axis + (slice(step, None),)
            behind = (slice(None),) * axis + (slice(None, -step),)
            grown[ahead] |= wide[behind]
            grown[behind] |= wide[ahead]
        wide = grown
    return wide


def stable(before: Mask, after: Mask) -> bool:
    """Return whether two sets of pixels are, but for 1 % of them, the same."""
    return int(np.count_nonzero(before ^ after)) <= STABLE_SHARE * max(1, int(np.count_nonzero(after)))


def without(cube: SpectralCube, excluded: Mask, *, ridge: float, rounds: int) -> Background | None:
    """Return the background without the pixels *excluded*, or None where too few would be left."""
    try:
        known = backgrounds.estimate(cube, ridge=ridge, exclude=excluded)
    except CoverageError:
        return None
    note = (
        f"background, round {rounds}: {int(excluded.sum())} of {excluded.size} pixels left out that score "
        f"above a background probability of {EXCLUDED_PROBABILITY:g} for a target, with their neighbors"
    )
    return replace(known, history=(*known.history, note))
