"""A matched filter that tells mixtures with the target from what only lies in its direction."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.background import whiten
from dronesense.detect.detectors import Detector, Problem, Products, Scorer

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def axes(problem: Problem) -> tuple[Doubles, Doubles]:
    """Return the matrix (k, k) to coordinates where noise has unit covariance, and the background's there.

    The background's covariance, with its ridge, is diagonal in them: its variances (k,) come second, 1 where
    there is only noise.
    """
    known = problem.background
    white = whiten(known.noise)
    loaded = known.covariance + known.ridge * np.diag(np.diag(known.covariance))
    variance, direction = np.linalg.eigh(white @ loaded @ white.T)
    return np.asarray(direction.T @ white), variance


def _prepare(problem: Problem) -> Scorer:
    matrix, variance = axes(problem)
    target = (matrix @ (problem.target - problem.background.mean)).astype(np.float32)[:, None]
    extra = (variance - 1.0).astype(np.float32)[:, None]

    def score(products: Products) -> Floats:
        fraction = products.fraction
        rest = products.centered - target * fraction
        left = np.square(np.float32(1.0) - np.clip(fraction, 0.0, 1.0))
        rest *= rest
        rest /= np.maximum(extra * left + np.float32(1.0), np.float32(1e-6))
        infeasible = np.sqrt(rest.mean(axis=0))
        return np.asarray(fraction / np.maximum(infeasible, np.float32(1.0)))

    return Scorer(score, centered=matrix)


mtmf: Final = Detector(
    "mtmf",
    "fraction",
    _prepare,
    "after Boardman & Kruse 2011, doi 10.1109/TGRS.2011.2161585",
)
"""The matched filter's fraction, divided by the infeasibility where that is above 1: how far, in standard
deviations, the pixel lies from a mixture of background and target in this proportion."""
