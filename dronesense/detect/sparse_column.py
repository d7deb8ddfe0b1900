"""The sparse matched filter for columns of a gas: most pixels hold none.

Foote et al. 2020, doi 10.1109/TGRS.2020.2976888 (the algorithm of mag1c): albedo correction, no negative
columns, and a weight on each column that is the inverse of its last estimate (reweighted l1). Equations and
what it does to values: docs/methods/gas-columns-from-cubes.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.column_statistics import inverse_covariance

Doubles = NDArray[np.float64]

ROUNDS: Final = 30
"""Of the published program."""
SMALLEST_PPM_M: Final = 1e-4
"""Added to a column before its weight is taken (the published 1e-9 in units of 1e5 ppm m)."""
SHRINKS: Final = 0.8
"""Pixels at zero are put aside when this share or less of those at hand is above it."""


@dataclass(frozen=True, slots=True, eq=False)
class SparseColumns:
    """Columns of groups of pixels.

    Parameters
    ----------
    value : (groups, n) float64
        ppm m, >= 0; most are exactly 0.
    albedo : (groups, n) float64
        ``x' mu / mu' mu`` that values were divided by.
    sigma : (groups, n) float64
        Standard uncertainty of the filter without sparsity, ``1 / (albedo sqrt(t' C^-1 t))``.
    """

    value: Doubles
    albedo: Doubles
    sigma: Doubles


def sparse_filter(
    x: NDArray[np.floating[Any]], absorption: Doubles, *, rounds: int = ROUNDS
) -> SparseColumns:
    """Return the sparse columns of each group of pixels, which shares a background.

    With the current columns ``alpha`` and albedos ``r``, every round takes mean and covariance of
    ``x - r alpha t``, sets ``t = k mu`` and ``alpha = max(0, ((x - mu)' C^-1 t - w) / (r t' C^-1 t))`` with
    ``w = 1 / (r (alpha + eps))``. Here mean and covariance are those of ``x`` with a change of rank two, and
    a pixel at zero is not looked at again: its weight is 1 / eps, which no column outweighs. A round costs
    what its few pixels above zero cost.

    Parameters
    ----------
    x : (groups, n, b) float
        Radiance; at least as many pixels as bands in each group.
    absorption : (b,) float64
        Unit absorption *k*, 1 / (ppm m).
    rounds : int
        After the first, unweighted filter.

    Raises
    ------
    CoverageError
        If a covariance is singular.
    """
    x = np.asarray(x, dtype=np.float64)
    g, n, b = x.shape
    mean = x.mean(axis=1)
    albedo = (x @ mean[:, :, None])[:, :, 0] / np.einsum("gb,gb->g", mean, mean)[:, None]
    d = x - mean[:, None, :]
    inverse = inverse_covariance(d.transpose(0, 2, 1) @ d / n)
    target = absorption * mean
    weight = (inverse @ target[:, :, None])[:, :, 0]
    energy = np.einsum("gb,gb->g", weight, target)
    value = ((d @ weight[:, :, None])[:, :, 0] / (albedo * energy[:, None])).ravel()
    place = np.flatnonzero(value > 0.0)
    alpha, r, d = value[place], albedo.ravel()[place], d.reshape(g * n, b)[place]
    ends = np.searchsorted(place, n * np.arange(g + 1)).tolist()
    for _ in range(rounds):
        weight, energy, shift, target = _updated(d, r * alpha, ends, mean, target, inverse, absorption, n)
        along = np.concatenate([d[a:z] @ weight[i] + shift[i] for i, (a, z) in enumerate(pairwise(ends))])
        spread = np.repeat(energy, np.diff(ends))
        alpha = np.maximum((along - 1.0 / (r * (alpha + SMALLEST_PPM_M))) / (r * spread), 0.0)
        above = alpha > 0.0
        if np.count_nonzero(above) <= SHRINKS * len(above):
            place, alpha, r, d = place[above], alpha[above], r[above], d[above]
            ends = np.searchsorted(place, n * np.arange(g + 1)).tolist()
    result = np.zeros(g * n)
    result[place] = alpha
    return SparseColumns(result.reshape(g, n), albedo, 1.0 / (albedo * np.sqrt(energy)[:, None]))


def _updated(
    d: Doubles,
    gas: Doubles,
    ends: list[int],
    mean: Doubles,
    target: Doubles,
    inverse: Doubles,
    absorption: Doubles,
    n: int,
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return filters, their energies, what they make of the change of the mean, and the new targets.

    Without its gas a group has the mean ``m - a t`` and the covariance ``C - s t' - t s' + v t t'``, with the
    mean a and variance v of the gas, and its covariance s with the pixels (Woodbury).
    """
    spans = list(pairwise(ends))
    level = np.array([gas[a:z].sum() for a, z in spans]) / n
    variance = np.array([gas[a:z] @ gas[a:z] for a, z in spans]) / n - level**2
    shared = np.array([gas[a:z] @ d[a:z] for a, z in spans]) / n
    new = absorption * (mean - level[:, None] * target)
    both = np.stack([shared, target], axis=2)
    solved = inverse @ np.concatenate([both, new[:, :, None]], axis=2)
    small = both.transpose(0, 2, 1) @ solved
    core = small[:, :, :2].copy()
    core[:, 0, 0] -= variance
    core[:, 0, 1] -= 1.0
    core[:, 1, 0] -= 1.0
    weight = (solved[:, :, 2:] - solved[:, :, :2] @ np.linalg.solve(core, small[:, :, 2:]))[:, :, 0]
    shift = level * np.einsum("gb,gb->g", weight, target)
    return weight, np.einsum("gb,gb->g", weight, new), shift, new
