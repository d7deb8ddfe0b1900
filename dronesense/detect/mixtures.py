"""The target's share in a mixture with the background's own extremes, as detectors."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.detectors import Detector, Problem, Products, Scorer
from dronesense.detect.unmixing import MAX_MATERIALS, shares

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

MOST_ENDMEMBERS: Final = 6
"""Spectra that stand for the background, at most; with the target never more than bands."""
LEAST_NEW: Final = 1e-3
"""Share of a spectrum's length that the ones before must not explain, or it brings nothing new."""


def successive_projection(sample: NDArray[np.floating], count: int, *, known: Doubles) -> NDArray[np.int64]:
    """Return the rows of *sample* that are the farthest from what is known, one after the other.

    Each time the pixel is taken of which the greatest length lies outside of the space of *known* and the
    pixels taken before (Araujo et al. 2001, doi 10.1016/S0169-7439(01)00119-8); the first of equal ones.

    Parameters
    ----------
    sample : (n, k)
    count : int
        Fewer are returned where no pixel brings anything new.
    known : (m, k) float64
        Spectra that are in the mixture in any case, possibly none.

    Examples
    --------
    >>> pixels = np.array([[1.0, 0.0], [3.0, 1.0], [0.0, 2.0]])
    >>> successive_projection(pixels, 2, known=np.empty((0, 2))).tolist()
    [1, 2]
    """
    rest = np.array(sample, dtype=np.float64)
    least = LEAST_NEW * np.sqrt(np.einsum("nk,nk->n", rest, rest))
    if len(known):
        basis, _ = np.linalg.qr(known.T)
        rest -= (rest @ basis) @ basis.T
    chosen: list[int] = []
    while len(chosen) < count and len(rest):
        length = np.sqrt(np.einsum("nk,nk->n", rest, rest))
        farthest = int(np.argmax(np.where(length > least, length, -1.0)))
        if not length[farthest] > least[farthest]:
            break
        chosen.append(farthest)
        direction = rest[farthest] / length[farthest]
        rest -= np.outer(rest @ direction, direction)
    return np.array(chosen, dtype=np.int64)


def materials(problem: Problem) -> Doubles:
    """Return the spectra (p, k) of the mixture: the target, the other rules' that differ from it, background.

    Background pixels are taken from the trimmed sample by how far they are from what the signatures explain,
    so that pixels of the target do not stand for the background.
    """
    k = len(problem.target)
    spectra = problem.target[None]
    for other in problem.others:
        more = np.concatenate([spectra, other[None]])
        if len(more) <= min(k, MAX_MATERIALS - MOST_ENDMEMBERS) and _independent(more):
            spectra = more
    room = max(0, min(MOST_ENDMEMBERS, k - len(spectra)))
    sample = problem.background.sample
    chosen = successive_projection(sample, room, known=spectra)
    return np.concatenate([spectra, sample[chosen].astype(np.float64)])


def _independent(spectra: Doubles) -> bool:
    """Tell whether no spectrum is, but for a thousandth, a sum of the others."""
    unit = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
    return bool(np.linalg.svd(unit, compute_uv=False)[-1] > LEAST_NEW)


def _prepare(problem: Problem, *, sum_to_one: bool) -> Scorer:
    spectra = materials(problem)

    def score(products: Products) -> Floats:
        found = shares(products.spectra.T, spectra, sum_to_one=sum_to_one, workers=1)
        return found.share[:, 0].astype(np.float32)

    return Scorer(score, needs=frozenset({"spectra"}))


nnls: Final = Detector(
    "nnls",
    "fraction",
    partial(_prepare, sum_to_one=False),
    "non-negative least squares: Kim & Park 2011, doi 10.1137/110821172; "
    "background by successive projection: Araujo et al. 2001, doi 10.1016/S0169-7439(01)00119-8",
)
"""Share of the target in a mixture whose shares are not negative; proportional to the light."""

fcls: Final = Detector(
    "fcls",
    "fraction",
    partial(_prepare, sum_to_one=True),
    "fully constrained least squares: Heinz & Chang 2001, doi 10.1109/36.911111; "
    "background by successive projection: Araujo et al. 2001, doi 10.1016/S0169-7439(01)00119-8",
)
"""Share of the target in a mixture whose shares are not negative and sum to one."""
