"""Shares of materials in mixed pixels: least squares with non-negative shares that may have to sum to one.

All pixels are solved together. Each has a set of materials that may be present; pixels with the same set
share one factorization, and sets are changed by block principal pivoting until every pixel fulfills the
conditions of the optimum, which is unique where the spectra are independent.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_MATERIALS: Final = 32
"""Materials of one mixture: their sets are counted in the bits of a number."""
MAX_ROUNDS: Final = 500
"""Changes of the sets; a handful is usual."""
FULL_CHANGES: Final = 3
"""Changes of everything infeasible that may fail to help before one material at a time is changed."""
TOLERANCE: Final = 1e-10
"""Relative to the size of shares and of correlations: below, a number counts as zero."""


def shares(
    pixels: NDArray[np.floating], materials: Doubles, *, sum_to_one: bool = False
) -> tuple[Doubles, Doubles]:
    """Return the shares (n, p) of materials in pixels, all >= 0, and the norm (n,) of what is left over.

    Parameters
    ----------
    pixels : (n, k)
    materials : (p, k) float64
        Linearly independent spectra, at most 32.
    sum_to_one : bool
        False: NNLS. True: fully constrained least squares (FCLS); the shares of each pixel sum to one.

    Raises
    ------
    ValueError
        If the spectra are linearly dependent, or too many.

    Examples
    --------
    >>> grass, soil = [1.0, 4.0, 2.0], [3.0, 2.0, 2.0]
    >>> found, rest = shares(np.array([[1.5, 3.5, 2.0]]), np.array([grass, soil]), sum_to_one=True)
    >>> found.round(6)
    array([[0.75, 0.25]])
    """
    p = len(materials)
    if p > MAX_MATERIALS or np.linalg.matrix_rank(materials) < p:
        raise ValueError(f"{p} spectra are linearly dependent, or more than {MAX_MATERIALS}")
    gram = materials @ materials.T
    right = np.asarray(pixels, dtype=np.float64) @ materials.T
    found = _pivot(gram, right, sum_to_one=sum_to_one)
    rest = np.linalg.norm(pixels - found @ materials, axis=1)
    return found, rest


def _pivot(gram: Doubles, right: Doubles, *, sum_to_one: bool) -> Doubles:
    n, p = right.shape
    present, result = np.ones((n, p), dtype=np.bool_), np.zeros((n, p))
    least, patience = np.full(n, p + 1), np.full(n, FULL_CHANGES)
    left = np.arange(n)
    small_dual = TOLERANCE * np.abs(right).max(axis=1, initial=np.finfo(float).tiny)
    for _ in range(MAX_ROUNDS):
        value, dual = _solve(gram, right[left], present[left], sum_to_one=sum_to_one)
        here = present[left]
        wrong = np.where(here, value < -TOLERANCE, dual < -small_dual[left, None])
        count = wrong.sum(axis=1)
        done = count == 0
        result[left[done]] = np.maximum(value[done], 0.0)
        left, wrong, count = left[~done], wrong[~done], count[~done]
        if not len(left):
            break
        better = count < least[left]
        least[left[better]], patience[left[better]] = count[better], FULL_CHANGES
        patience[left[~better]] -= 1
        single = patience[left] < 0
        last = p - 1 - np.argmax(wrong[:, ::-1], axis=1)
        wrong[single] = np.arange(p) == last[single, None]
        present[left] ^= wrong
        if sum_to_one:  # shares that sum to one need a material
            empty = left[~present[left].any(axis=1)]
            present[empty, np.argmax(right[empty] - np.diag(gram) / 2.0, axis=1)] = True
    return result


def _solve(gram: Doubles, right: Doubles, present: Mask, *, sum_to_one: bool) -> tuple[Doubles, Doubles]:
    """Return shares and duals (n, p) with the materials that are *present*; a set is factored once."""
    code = present @ (1 << np.arange(present.shape[1], dtype=np.int64))
    order = np.argsort(code, kind="stable")
    value = np.zeros_like(right)
    push = np.zeros(len(right))
    edges = np.flatnonzero(np.diff(code[order])) + 1
    for some in np.split(order, edges):
        at = np.flatnonzero(present[some[0]])
        inverse = np.linalg.inv(gram[np.ix_(at, at)])
        part = right[np.ix_(some, at)] @ inverse
        if sum_to_one:
            ones = inverse.sum(axis=0)
            push[some] = (1.0 - part.sum(axis=1)) / ones.sum()
            part += push[some, None] * ones
        value[np.ix_(some, at)] = part
    return value, value @ gram - right - push[:, None]
