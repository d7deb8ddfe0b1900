"""Spectral detectors: how the products of a pixel with a target become a score that grows with likeness.

A detector is an object of the entry-point group ``dronesense.detectors``: a name, the unit of its score,
what it needs, and a function of :class:`Products`. Every score grows with likeness, so "score >= threshold"
holds for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TINY: Final = np.float32(1e-30)
"""Keeps 0 / 0 at 0: a pixel equal to the background mean, or a black one, is like nothing."""


@dataclass(frozen=True, slots=True)
class Products:
    """Inner products of pixels with one target.

    With the background mean m and covariance C, pixel x, target t (cosine: None if not needed):

    Parameters
    ----------
    fraction : (n,) float32
        ``(t - m)' C^-1 (x - m) / (t - m)' C^-1 (t - m)``.
    energy : (n,) float32
        ``(x - m)' C^-1 (x - m)``, the squared Mahalanobis distance of the pixel.
    contrast : float
        ``(t - m)' C^-1 (t - m)``, the squared Mahalanobis distance of the target.
    cosine : (n,) float32 or None
        ``t' x / (|t| |x|)``.
    """

    fraction: Floats
    energy: Floats
    contrast: float
    cosine: Floats | None


@dataclass(frozen=True, slots=True)
class Detector:
    """A spectral detector.

    Parameters
    ----------
    name : str
        As users write it in ``method =``.
    unit : str
        Of the score.
    needs : frozenset of str
        ``{"cosine"}`` if it needs the cosine; the others are always computed.
    score : callable
        From :class:`Products` to the (n,) float32 score.
    reference : str
        Where the statistic was published.
    ceiling : float
        A threshold is never set higher: what hardly any target reaches. inf where scores have no upper end.
    """

    name: str
    unit: str
    needs: frozenset[str]
    score: Callable[[Products], Floats]
    reference: str
    ceiling: float = float("inf")


def _cosine(products: Products) -> Floats:
    assert products.cosine is not None
    return products.cosine


def _fraction(products: Products) -> Floats:
    return products.fraction


def _signed_cosine_squared(products: Products) -> Floats:
    explained = products.fraction * np.abs(products.fraction) * np.float32(products.contrast)
    return np.asarray(explained / np.maximum(products.energy, TINY), dtype=np.float32)


def evidence(products: Products) -> Floats:
    """Return by how much each pixel stands out toward the target, against its spread in all other directions.

    The ratio whose square is ``ACE / (1 - ACE)``: without bound, and close to a Gaussian for background, so
    that targets stand apart from it whatever the detector's own scale.
    """
    along = products.fraction * np.float32(np.sqrt(products.contrast))
    across = np.sqrt(np.maximum(products.energy - along**2, TINY))
    return np.asarray(along / across, dtype=np.float32)


sam: Final = Detector(
    "sam",
    "1",
    frozenset({"cosine"}),
    _cosine,
    "Kruse et al. 1993, doi 10.1016/0034-4257(93)90013-N",
    ceiling=0.9998,  # an angle of 1 degree
)
"""Spectral angle mapper: the score is the *cosine* of the angle (1 = equal shape), so that it grows with
likeness."""

mf: Final = Detector(
    "mf",
    "fraction",
    frozenset(),
    _fraction,
    "Manolakis et al. 2014, doi 10.1109/MSP.2013.2278915",
)
"""Matched filter: estimate of the filled fraction of the pixel (0 = background mean, 1 = the target)."""

ace: Final = Detector(
    "ace",
    "1",
    frozenset(),
    _signed_cosine_squared,
    "Kraut, Scharf & McWhorter 2001, doi 10.1109/78.890324",
    ceiling=0.8,  # twice as much along the target as across it
)
"""Adaptive coherence estimator with a sign: squared cosine in whitened space, negative for a negative
matched filter."""
