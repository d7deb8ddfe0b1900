"""Spectral detectors: how the products of a pixel with a target become a score that grows with likeness.

A detector is an object of the entry-point group ``dronesense.detectors``. Before the pass over the pixels it
*prepares* for a target in front of a background: it says which rows the pixels are to be multiplied with, and
what else it needs; for each line it then makes a score of the products. Every score grows with likeness, so
"score >= threshold" holds for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.background import Background

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
NONE: Final = np.empty((0, 0), dtype=np.float32)
"""Of no pixels."""
TINY: Final = np.float32(1e-30)
"""Keeps 0 / 0 at 0: a pixel equal to the background mean, or a black one, is like nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A target in front of a background, in the bands that both have.

    Parameters
    ----------
    target : (k,) float64
        The signature.
    background : Background
    center_nm : (k,) float64
        Band centers; NaN when not known.
    variants : (v, k) float64
        All signatures of the target, at least *target* itself.
    others : (j, k) float64
        Signatures of the other rules of the search.
    """

    target: Doubles
    background: Background
    center_nm: Doubles
    variants: Doubles
    others: Doubles


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """What is known of the pixels of a line, n of them, and one target.

    With the background mean m and covariance C, pixel x, target t:

    Parameters
    ----------
    fraction : (n,) float32
        ``(t - m)' C^-1 (x - m) / (t - m)' C^-1 (t - m)``. Of several targets at a time: (targets, n).
    energy : (n,) float32
        ``(x - m)' C^-1 (x - m)``, the squared Mahalanobis distance of the pixel.
    contrast : float
        ``(t - m)' C^-1 (t - m)``, the squared Mahalanobis distance of the target. Of several: (targets, 1).
    rows, centered : (r, n) float32
        The scorer's rows times x, and times ``x - m``; empty unless it asks for them.
    norm : (n,) float32
        ``x' x``; empty unless the scorer needs it.
    spectra : (k, n) float32
        The pixels; empty unless the scorer needs them.
    """

    fraction: Floats
    energy: Floats
    contrast: float | Doubles
    rows: Floats = field(default_factory=lambda: NONE)
    centered: Floats = field(default_factory=lambda: NONE)
    norm: Floats = field(default_factory=lambda: NONE)
    spectra: Floats = field(default_factory=lambda: NONE)


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """A detector that is ready for one target.

    Parameters
    ----------
    score : callable
        From :class:`Products` to the (n,) float32 score.
    rows, centered : (r, k) float64
        To be multiplied with the pixels, and with the pixels minus the mean background.
    needs : frozenset of str
        ``"norm"``, ``"spectra"``: parts of :class:`Products`.
    """

    score: Callable[[Products], Floats]
    rows: Doubles = field(default_factory=lambda: np.empty((0, 0)))
    centered: Doubles = field(default_factory=lambda: np.empty((0, 0)))
    needs: frozenset[str] = frozenset()

    @property
    def plain(self) -> bool:
        """True if fraction, energy and contrast are enough: many targets are then scored at once."""
        return not (self.needs or self.rows.size or self.centered.size)


@dataclass(frozen=True, slots=True)
class Detector:
    """A spectral detector.

    Parameters
    ----------
    name : str
        As users write it in ``method =``.
    unit : str
        Of the score.
    prepare : callable
        From :class:`Problem` to :class:`Scorer`.
    reference : str
        Where the statistic was published.
    ceiling : float
        A threshold is never set higher: what hardly any target reaches. inf where scores have no upper end.
    needs_signature : bool
        False for one that looks for anything (anomalies) or asks the camera's bands (indices): its rules may
        come without a signature, and its scorer takes nothing from ``Problem.target``.
    quantity : str or None
        Of the cubes that it can be asked of (``"reflectance"`` for indices); None: of any.
    joint : bool
        True for one that scores all variants of a target at once, as a subspace. Of others the best score of
        all variants is taken.
    """

    name: str
    unit: str
    prepare: Callable[[Problem], Scorer]
    reference: str
    ceiling: float = float("inf")
    needs_signature: bool = True
    quantity: str | None = None
    joint: bool = False


def _fraction(products: Products) -> Floats:
    return products.fraction


def _signed_cosine_squared(products: Products) -> Floats:
    explained = products.fraction * np.abs(products.fraction)
    explained *= np.float32(products.contrast)
    explained /= np.maximum(products.energy, TINY)
    return explained


def evidence(products: Products) -> Floats:
    """Return by how much each pixel stands out toward the target, against its spread in all other directions.

    The ratio whose square is ``ACE / (1 - ACE)``: without bound, and close to a Gaussian for background, so
    that targets stand apart from it whatever the detector's own scale.
    """
    along = products.fraction * np.float32(np.sqrt(products.contrast))
    across = products.energy - along * along
    np.sqrt(np.maximum(across, TINY, out=across), out=across)
    return np.asarray(np.divide(along, across, out=along))


def _angle(problem: Problem) -> Scorer:
    unit = problem.target / np.linalg.norm(problem.target)
    return Scorer(_cosine, rows=unit[None], needs=frozenset({"norm"}))


def _cosine(products: Products) -> Floats:
    return np.asarray(products.rows[0] / np.maximum(np.sqrt(products.norm), TINY))


sam: Final = Detector(
    "sam",
    "1",
    _angle,
    "Kruse et al. 1993, doi 10.1016/0034-4257(93)90013-N",
    ceiling=0.9998,  # an angle of 1 degree
)
"""Spectral angle mapper: the score is the *cosine* of the angle (1 = equal shape), so that it grows with
likeness."""

mf: Final = Detector(
    "mf",
    "fraction",
    lambda problem: Scorer(_fraction),  # noqa: ARG005 - the fraction is always computed
    "Manolakis et al. 2014, doi 10.1109/MSP.2013.2278915",
)
"""Matched filter: estimate of the filled fraction of the pixel (0 = background mean, 1 = the target)."""

ace: Final = Detector(
    "ace",
    "1",
    lambda problem: Scorer(_signed_cosine_squared),  # noqa: ARG005 - nothing else is needed
    "Kraut, Scharf & McWhorter 2001, doi 10.1109/78.890324",
    ceiling=0.8,  # twice as much along the target as across it
)
"""Adaptive coherence estimator with a sign: squared cosine in whitened space, negative for a negative
matched filter."""
