"""Readings that were rounded: what they may have been before.

An analyser that shows whole steps of the size of its noise has no threshold with a stated rate of false
alarms: between two steps nothing happens, at a step the rate jumps by factors. Each reading is therefore
replaced by a draw from its cell, as the noise around the background spreads it: randomized quantile residuals
(Dunn & Smyth 1996, doi 10.1080/10618600.1996.10474708). What was normal before rounding is normal again.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

COARSE: Final = 0.5
"""Steps larger than this part of the noise matter."""
CLIP: Final = 2.5
"""What lies farther out than this many standard deviations counts as no more than that."""
SEED: Final = 19_960_901
"""Of the draws: the same record gives the same events in every run."""

_LATTICE_ERROR: Final = 0.02
"""Distances between readings are whole steps within this part of a step."""
_SAME: Final = 1e-9
"""Readings that differ by less than this part of their size are the same (last bits)."""
_ROUNDS: Final = 200
_SETTLED: Final = 1e-4


def step_of(value: NDArray[np.float64]) -> float:
    """Return the step that all readings are whole multiples apart of, or 0 if there is none.

    Examples
    --------
    >>> round(step_of(np.array([2.0, 2.25, 2.25, 3.0])), 12)
    0.25
    >>> step_of(np.array([2.0, 2.25, 2.41]))
    0.0
    """
    apart = np.diff(np.unique(value))
    apart = apart[apart > _SAME * max(float(np.abs(value).max()), 1e-300)]
    if apart.size == 0:
        return 0.0
    step = float(apart.min())
    whole = np.rint(apart / step)
    step = float(apart.sum() / whole.sum())
    return step if bool((np.abs(apart / step - whole) < _LATTICE_ERROR).all()) else 0.0


def noise_of(rest: NDArray[np.float64], *, step: float, first: float) -> float:
    """Return the standard deviation before rounding, by maximum likelihood of the cells (EM).

    Parameters
    ----------
    rest : (m,) float64
        Rounded readings less the background, without plumes.
    step : float
        Step of the rounding.
    first : float
        Where to begin.
    """
    noise = first
    for _ in range(_ROUNDS):
        low, high = (rest - 0.5 * step) / noise, (rest + 0.5 * step) / noise
        low = np.where(low > CLIP, CLIP, np.where(high < -CLIP, -np.inf, low))
        high = np.where(low >= CLIP, np.inf, np.where(high < -CLIP, -CLIP, high))
        inside = np.maximum(ndtr(high) - ndtr(low), 1e-300)
        square = 1.0 - (_moment(high) - _moment(low)) / inside
        new = max(noise * math.sqrt(float(np.mean(square))), step / math.sqrt(12.0))
        if abs(new - noise) < _SETTLED * noise:
            return new
        noise = new
    return noise


def unround(
    value: NDArray[np.float64], background: NDArray[np.float64], *, step: float, noise: float
) -> NDArray[np.float64]:
    """Return a draw from the cell of every reading: normal noise around *background*, cut to the cell.

    Parameters
    ----------
    value, background : (m,) float64
        Rounded readings, and what they lie around.
    step, noise : float
        Step of the rounding; standard deviation before it.

    Returns
    -------
    (m,) float64
        Within half a step of *value*.
    """
    middle = (value - background) / noise
    half = 0.5 * step / noise
    # In the lower half of the distribution no digits are lost.
    sign = np.where(middle > 0.0, -1.0, 1.0)
    low, high = ndtr(sign * middle - half), ndtr(sign * middle + half)
    share = np.random.default_rng(SEED).random(value.size)
    drawn = sign * ndtri(low + share * (high - low))
    drawn = np.where(np.isfinite(drawn), drawn, middle)
    return background + noise * np.clip(drawn, middle - half, middle + half)


def _moment(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x n(x), 0 at the ends."""
    finite = np.where(np.isfinite(x), x, 0.0)
    moment: NDArray[np.float64] = finite * np.exp(-0.5 * finite**2) / math.sqrt(2.0 * math.pi)
    return moment
