"""Chi-square probabilities, without the start-up time of a library of special functions."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

TERMS: Final = 10_000
"""Of the series and the continued fraction; both end long before."""
PRECISION: Final = 1e-15
ROUNDS: Final = 200
"""Of the bisection: each halves what is left of the doubles between two ends."""


def below(value: float, freedom: float) -> float:
    """Return the probability that a chi-square variable of *freedom* degrees lies below *value*.

    The regularized incomplete gamma function, by its series (DLMF 8.11.4) below the mean and by its continued
    fraction (DLMF 8.9.2, in Lentz's form) above.

    Examples
    --------
    >>> round(below(3.841, 1), 4)  # a table says 0.95
    0.95
    """
    a, x = freedom / 2.0, value / 2.0
    if x <= 0.0:
        return 0.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        for n in range(1, TERMS):
            term *= x / (a + n)
            total += term
            if term < total * PRECISION:
                break
        return total * scale
    b = x + 1.0 - a
    c, d = math.inf, 1.0 / b
    h = d
    for n in range(1, TERMS):
        step = -n * (n - a)
        b += 2.0
        d = 1.0 / (step * d + b)
        c = b + step / c
        h *= c * d
        if abs(c * d - 1.0) < PRECISION:
            break
    return 1.0 - h * scale


@cache
def exceeded(probability: float, freedom: float) -> float:
    """Return what a chi-square variable of *freedom* degrees exceeds with *probability*.

    Examples
    --------
    >>> round(exceeded(0.05, 10), 2)  # a table says 18.31
    18.31
    """
    low, high = 0.0, max(1.0, freedom)
    while below(high, freedom) < 1.0 - probability:
        high *= 2.0
    for _ in range(ROUNDS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if below(middle, freedom) < 1.0 - probability else (low, middle)
    return high
