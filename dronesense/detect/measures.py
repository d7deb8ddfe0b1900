"""More spectral detectors: likeness of shape, constrained energy, subspaces, anomalies.

All are objects of the entry-point group ``dronesense.detectors``, see :mod:`dronesense.detect.detectors`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.detectors import TINY, Detector, Problem, Products, Scorer

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

LEAST_SHARE: Final = 1e-6
"""Share of a band in a spectrum's sum below which its logarithm is not followed: negative and dark bands."""
BACKGROUND_DIRECTIONS: Final = 5
"""Directions of the background's second moments that OSP and AMSD take as the unwanted subspace, at most."""


def _raw_moments(problem: Problem) -> Doubles:
    """Return ``C + m m'`` with the background's ridge."""
    known = problem.background
    loaded = known.covariance + known.ridge * np.diag(np.diag(known.covariance))
    return np.asarray(loaded + np.outer(known.mean, known.mean))


def _unwanted(problem: Problem) -> Doubles:
    """Return an orthonormal basis (k, r) of the background's strongest directions about zero."""
    k = len(problem.target)
    _, vectors = np.linalg.eigh(_raw_moments(problem))
    return np.asarray(vectors[:, -min(BACKGROUND_DIRECTIONS, max(1, k // 2)) :])


def _correlation(problem: Problem) -> Scorer:
    shape = problem.target - problem.target.mean()
    shape /= max(float(np.linalg.norm(shape)), float(TINY))
    row = shape.astype(np.float32)

    def score(products: Products) -> Floats:
        rest = products.spectra - products.spectra.mean(axis=0)
        spread = np.sqrt(np.einsum("kn,kn->n", rest, rest))
        return np.asarray((row @ rest) / np.maximum(spread, TINY))

    return Scorer(score, needs=frozenset({"spectra"}))


def _energy_filter(problem: Problem) -> Scorer:
    weight = np.asarray(np.linalg.solve(_raw_moments(problem), problem.target), dtype=np.float64)
    weight /= problem.target @ weight
    return Scorer(lambda products: products.rows[0], rows=weight[None])


def _projection(problem: Problem) -> Scorer:
    basis = _unwanted(problem)
    clean = problem.target - basis @ (basis.T @ problem.target)
    return Scorer(lambda products: products.rows[0], rows=np.asarray(clean / (problem.target @ clean))[None])


def _subspace(problem: Problem) -> Scorer:
    unwanted = _unwanted(problem)
    rest = problem.variants.T - unwanted @ (unwanted.T @ problem.variants.T)
    own, strength, _ = np.linalg.svd(rest, full_matrices=False)
    own = own[:, strength > strength[0] * 1e-6]
    q, basis = unwanted.shape[1], np.concatenate([unwanted, own], axis=1)
    explained = basis.astype(np.float32)

    def score(products: Products) -> Floats:
        wanted = np.einsum("rn,rn->n", products.rows[q:], products.rows[q:])
        rest = products.spectra - explained @ products.rows  # a difference of squares would lose its digits
        neither = np.einsum("kn,kn->n", rest, rest)
        return np.asarray(wanted / np.maximum(neither, products.norm * 1e-6 + TINY))

    return Scorer(score, rows=basis.T, needs=frozenset({"norm", "spectra"}))


def _adaptive_subspace(problem: Problem) -> Scorer:
    known = problem.background
    own, strength, _ = np.linalg.svd(known.whitening @ (problem.variants - known.mean).T, full_matrices=False)
    own = own[:, strength > strength[0] * 1e-6]

    def score(products: Products) -> Floats:
        wanted = np.einsum("rn,rn->n", products.centered, products.centered)
        return np.asarray(np.sign(products.fraction) * wanted / np.maximum(products.energy, TINY))

    return Scorer(score, centered=own.T @ known.whitening)


def _distance(problem: Problem) -> Scorer:  # noqa: ARG001 - it is the same for every target
    return Scorer(_anomaly)


def _anomaly(products: Products) -> Floats:
    return np.broadcast_to(products.energy, products.fraction.shape).copy()


def _shares(spectra: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return each spectrum (k, n) as shares of its sum, none below the least."""
    total = np.maximum(spectra.sum(axis=0), TINY)
    share = np.maximum(spectra / total, LEAST_SHARE)
    return np.asarray(share / share.sum(axis=0))


def _divergence(problem: Problem, spectra: Floats) -> Floats:
    p = _shares(spectra)
    q = _shares(problem.target[:, None]).astype(np.float32)
    return np.asarray(((p - q) * (np.log(p) - np.log(q))).sum(axis=0), dtype=np.float32)


def _information(problem: Problem) -> Scorer:
    def score(products: Products) -> Floats:
        return -_divergence(problem, products.spectra)

    return Scorer(score, needs=frozenset({"spectra"}))


def _information_angle(problem: Problem) -> Scorer:
    unit = problem.target / np.linalg.norm(problem.target)

    def score(products: Products) -> Floats:
        cosine = products.rows[0] / np.maximum(np.sqrt(products.norm), TINY)
        tangent = np.sqrt(np.maximum(1.0 - cosine * cosine, 0.0)) / np.maximum(cosine, np.float32(1e-6))
        return np.asarray(-_divergence(problem, products.spectra) * tangent, dtype=np.float32)

    return Scorer(score, rows=unit[None], needs=frozenset({"norm", "spectra"}))


scm: Final = Detector(
    "scm", "1", _correlation, "Pearson correlation of two spectra over the bands", ceiling=0.9998
)
"""Spectral correlation mapper: the cosine without each spectrum's mean; free of gain and offset."""

cem: Final = Detector(
    "cem", "fraction", _energy_filter, "constrained energy minimization: t' R^-1 x / t' R^-1 t, R = C + m m'"
)
"""Constrained energy minimization: the filter of least output energy that gives 1 for the target."""

osp: Final = Detector(
    "osp", "fraction", _projection, "orthogonal subspace projection: t' P x / t' P t, P off the background"
)
"""Orthogonal subspace projection, off the five strongest directions of the background."""

amsd: Final = Detector(
    "amsd",
    "1",
    _subspace,
    "matched subspace: energy in the target's subspace / in neither",
    joint=True,
)
"""Matched subspace detector: energy that only the target's signatures explain over what nothing explains."""

asd: Final = Detector(
    "asd",
    "1",
    _adaptive_subspace,
    "Kraut, Scharf & McWhorter 2001, doi 10.1109/78.890324",
    ceiling=0.8,
    joint=True,
)
"""Adaptive subspace detector: ACE for several signatures; with one signature it is ACE."""

rx: Final = Detector("rx", "1", _distance, "Reed & Yu 1990, doi 10.1109/29.60107", needs_signature=False)
"""Anomalies of any kind: the distance from the background; what they are is not known. A signature, where
there is one, decides only about look-alikes."""

sid: Final = Detector(
    "sid", "1", _information, "Chang 2000, doi 10.1109/18.857802: sum (p - q) (ln p - ln q), negative"
)
"""Spectral information divergence with its sign turned: 0 = equal shape."""

sid_sam: Final = Detector(
    "sid-sam",
    "1",
    _information_angle,
    "Du et al. 2004, doi 10.1117/1.1766301: divergence times the tangent of the angle, negative",
)
"""Divergence times the tangent of the spectral angle, with its sign turned: 0 = equal shape."""
