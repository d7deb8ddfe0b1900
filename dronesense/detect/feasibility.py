"""Could this pixel be the target at all? A test against look-alikes.

A detector scores how much of the target *direction* a pixel holds; a similar material holds much of it too.
Here the pixel is explained as a mixture, ``x = (1 - f) b + f g t + noise``, and what is left over is compared
with what background, noise, and the uncertainty of the signature can leave. The idea is that of mixture-tuned
matched filtering (Boardman 1998, JPL AVIRIS workshop): the allowed misfit shrinks from the spread of the
background to that of the noise as the pixel fills.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.background import Background, factor

Doubles = NDArray[np.float64]

FILL_GRID: Final = tuple(i / 20 for i in range(21))
"""Filled fractions that are tried."""
GAIN_LIMITS: Final = (0.5, 1.5)
"""Illumination of the target relative to the signature: half shade to a slope turned to the sun."""
MODEL_CORRELATION_NM: Final = 150.0
"""Errors of calibration and illumination vary smoothly over the spectrum, over about this distance, nm."""
MODEL_CORRELATION_SHARE: Final = 0.25
"""The same as a share of the bands, for a signature without wavelengths (150 nm of 400 to 1000 nm)."""
SMOOTH_TERMS: Final = 20
"""Cosines over the bands that carry the difference between two materials; noise is in all bands."""
MISFIT_LEVEL: Final = 1e-3
"""Probability that a pixel which is the target is called another material, per test (two are made)."""
JITTER: Final = 1e-6
"""Share of the noise variance added to the diagonal, so that the factorization never fails."""
SCENE_SHARE: Final = 0.02
"""Share of the whole scene's covariance that is added to that of the pixels around a region: what is under an
object need not be quite what is around it."""
RING_INFLATION: Final = 2.0
"""Factor on the covariance of the pixels around a region: they are few, their spread is underestimated."""
MAX_NOISE_RATIO: Final = 10.0
"""The noise variance grows with the signal, at most this much between mean background and target."""
REFERENCE_LEVEL: Final = 1e-2
"""Where the background's own spread is measured: rarer values may still be targets."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How well pixels are explained as background plus target.

    Parameters
    ----------
    fill, gain : (n,) float64
        Most likely filled fraction, and illumination relative to the signature.
    misfit : (n,) float64
        The larger of the two misfit statistics as a share of its limit: above 1 the pixel is another
        material.
    """

    fill: Doubles
    gain: Doubles
    misfit: Doubles

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """True where the pixel can be the target."""
        return self.misfit <= 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A target in front of a background, at every fill of the grid; from :func:`prepare`.

    Parameters
    ----------
    mean : (k,) float64
        Of the whole scene.
    target : (k,) float64
    whitening : tuple of (k, k) float64
        ``W(f)`` with ``W' W = S(f)^-1``, without the part of the pixels around.
    cosines : (k, m) float64
    limits : (float, float)
        Of both statistics.
    """

    mean: Doubles
    target: Doubles
    whitening: tuple[Doubles, ...]
    cosines: Doubles
    limits: tuple[float, float]


def prepare(
    background: Background,
    target: Doubles,
    *,
    sigma: Doubles,
    center_nm: Doubles,
    model_error: float,
    scene_share: float = 1.0,
) -> Model:
    """Factor the covariance of the misfit for each fill f of a grid.

    ``S(f) = p C + (1 - p) D N D + f^2 M`` with ``p = s (1 - f)^2``, the background's covariance C and its
    share s, the noise N, and M of the signature (:func:`signature_covariance`). Noise grows with the signal:
    D holds the square root of ``1 - f + f t / m`` per band, where the target t is brighter than the mean m.

    Parameters
    ----------
    target, sigma : (k,) float64
        Signature and its standard uncertainty (NaN: not known, taken as 0).
    center_nm : (k,) float64
        Band centers; NaN when not known.
    model_error : float
        Standard deviation of smooth multiplicative errors between signature and scene, e.g. 0.02.
    scene_share : float
        1: the background is that of the whole scene. :data:`SCENE_SHARE`: each call of :func:`assess` brings
        the pixels around its own.
    """
    k = len(target)
    loading = signature_covariance(target, sigma, center_nm, model_error)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(target / background.mean, 1.0, MAX_NOISE_RATIO)
    ratio[~(background.mean > 0.0)] = 1.0
    whitening = []
    for f in FILL_GRID:
        part = scene_share * (1.0 - f) ** 2
        growth = np.sqrt(1.0 - f + f * ratio)
        noise = np.outer(growth, growth) * background.noise
        spread = part * background.covariance + (1.0 - part) * noise + f * f * loading
        whitening.append(factor(spread + _jitter(background), ridge=0.0, where="feasibility")[0])
    cosines = np.cos(np.pi * np.outer(np.arange(k) + 0.5, np.arange(min(SMOOTH_TERMS, k))) / k)
    stretch = _stretches(background, cosines) if scene_share == 1.0 else (1.0, 1.0)
    limits = (
        stretch[0] * _chi_square(k, MISFIT_LEVEL),
        stretch[1] * _chi_square(cosines.shape[1], MISFIT_LEVEL),
    )
    return Model(background.mean, target, tuple(whitening), cosines, limits)


def assess(spectra: NDArray[np.float32], model: Model, *, around: Doubles | None = None) -> Fit:
    """Fit background plus target to each pixel and measure what is left over.

    For each fill of the grid the gain g follows by least squares. Two statistics are compared with their
    limits: ``r' S^-1 r``, and its part in the space of the slowest cosines, where materials differ and most
    noise is not. The limits are chi-square quantiles; for the background of the whole scene they are
    stretched as its own pixels demand (real scenes have heavier tails than a Gaussian). A pixel can be the
    target if at any fill both pass; the fill that is stated is the most likely one, of least ``r' S^-1 r +
    log det S``.

    Parameters
    ----------
    spectra : (n, k) float32
        Pixels in the bands of *model*.
    around : (m, k) float64, optional
        Pixels around them. Their mean takes the place of the scene's, and S gains ``(1 - f)^2`` times their
        covariance, by a low-rank update (Woodbury).
    """
    n, k = spectra.shape
    mean, spread = model.mean, np.empty((0, k))
    if around is not None:
        mean = around.mean(axis=0)
        spread = (around - mean) * np.sqrt(RING_INFLATION / (len(around) - 1))
    best, misfit = np.full(n, np.inf), np.full(n, np.inf)
    fill, gain = np.zeros(n), np.zeros(n)
    for f, whitening in zip(FILL_GRID, model.whitening, strict=True):
        y = (spectra - (1.0 - f) * mean) @ whitening.T
        part = _Whitened((1.0 - f) * spread @ whitening.T)
        residual, g = _residual(y, whitening @ (f * model.target), part)
        total = np.einsum("ij,ij->i", residual, part.solve(residual))
        cost = total + part.log_det - 2.0 * float(np.log(np.diag(whitening)).sum())
        better = cost < best
        best[better], fill[better], gain[better] = cost[better], f, g[better]
        smooth = _smooth_part(residual, whitening @ model.cosines, part)
        misfit = np.minimum(misfit, np.maximum(total / model.limits[0], smooth / model.limits[1]))
    return Fit(fill, gain, misfit)


class _Whitened:
    """``I + Z' Z`` of few rows Z (m, k): what the pixels around add to a whitened covariance."""

    def __init__(self, rows: Doubles) -> None:
        self.rows = rows
        self.inner = np.eye(len(rows)) + rows @ rows.T
        self.log_det = float(np.linalg.slogdet(self.inner)[1])

    def solve(self, vectors: Doubles) -> Doubles:
        """Return ``(I + Z' Z)^-1 v`` for each row v (n, k)."""
        return np.asarray(vectors - np.linalg.solve(self.inner, self.rows @ vectors.T).T @ self.rows)


def signature_covariance(target: Doubles, sigma: Doubles, center_nm: Doubles, model_error: float) -> Doubles:
    """Return the (k, k) covariance of a signature as it appears in the scene.

    The model error is smooth over the spectrum. How *sigma* is correlated is not known: half of its
    variance is taken as smooth, half as independent from band to band.
    """
    k = len(target)
    place = center_nm / MODEL_CORRELATION_NM
    if not np.isfinite(center_nm).all():
        place = np.arange(k) / (MODEL_CORRELATION_SHARE * k)
    smooth = np.exp(-0.5 * np.subtract.outer(place, place) ** 2)
    own = np.nan_to_num(sigma, nan=0.0)
    return np.asarray(
        smooth * (np.outer(target, target) * model_error**2 + np.outer(own, own) / 2.0)
        + np.diag(own**2 / 2.0)
    )


def _jitter(background: Background) -> Doubles:
    return np.diag(np.diag(background.noise)) * JITTER


def _residual(y: Doubles, part: Doubles, whitened: _Whitened) -> tuple[Doubles, Doubles]:
    """Return the residual (n, k) of whitened pixels ``y - gain * part``, and the best gain (n,)."""
    solved = whitened.solve(part[None])[0]
    norm = float(solved @ part)
    gain = np.clip(y @ solved / norm, *GAIN_LIMITS) if norm > 0.0 else np.zeros(len(y))
    return y - np.outer(gain, part), gain


def _smooth_part(residual: Doubles, slow: Doubles, whitened: _Whitened) -> Doubles:
    """Return the part of ``r' S^-1 r`` (n,) in the span of whitened *slow* (k, m)."""
    inside = whitened.solve(residual) @ slow
    gram = slow.T @ whitened.solve(slow.T).T
    return np.asarray(np.einsum("ij,ji->i", inside, np.linalg.solve(gram, inside.T)))


def _stretches(background: Background, cosines: Doubles) -> tuple[float, float]:
    """Return how much wider than a Gaussian the background's rarer pixels spread, in both statistics."""
    whitening, _ = factor(background.covariance + _jitter(background), ridge=0.0, where="feasibility")
    offset = (background.sample.astype(np.float64) - background.mean) @ whitening.T
    nothing = _Whitened(np.empty((0, len(cosines))))
    spread = (np.einsum("ij,ij->i", offset, offset), _smooth_part(offset, whitening @ cosines, nothing))
    total, smooth = (
        max(1.0, float(np.quantile(values, 1.0 - REFERENCE_LEVEL)) / _chi_square(n, REFERENCE_LEVEL))
        for values, n in zip(spread, cosines.shape, strict=True)
    )
    return total, smooth


def _chi_square(freedom: int, probability: float) -> float:
    """Return what a chi-square variable exceeds with *probability*."""
    from scipy.special import gammaincinv

    return 2.0 * float(gammaincinv(freedom / 2.0, 1.0 - probability))
