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

from dronesense.detect.background import Background, distances, factor

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


def assess(
    spectra: NDArray[np.float32],
    background: Background,
    target: Doubles,
    *,
    sigma: Doubles,
    center_nm: Doubles,
    model_error: float,
) -> Fit:
    """Fit background plus target to each pixel and measure what is left over.

    For each fill f of a grid the covariance of the misfit is
    ``S(f) = (1 - f)^2 C + (1 - (1 - f)^2) N + f^2 M`` with the background's covariance C, the noise N, and
    M of the signature (:func:`signature_covariance`). The gain g follows by least squares. Two statistics
    are compared with their limits: ``r' S^-1 r``, and its part in the space of the slowest cosines, where
    materials differ and most noise is not. The limits are chi-square quantiles, stretched as the
    background's own pixels demand (real backgrounds have heavier tails than a Gaussian). A pixel can be the
    target if at any fill both pass; the fill that is stated is the most likely one, of least ``r' S^-1 r +
    log det S``.

    Parameters
    ----------
    spectra : (n, k) float32
        Pixels in the bands of *background*.
    target, sigma : (k,) float64
        Signature and its standard uncertainty (NaN: not known, taken as 0).
    center_nm : (k,) float64
        Band centers; NaN when not known.
    model_error : float
        Standard deviation of smooth multiplicative errors between signature and scene, e.g. 0.02.
    """
    k = len(target)
    loading = signature_covariance(target, sigma, center_nm, model_error)
    cosines = np.cos(np.pi * np.outer(np.arange(k) + 0.5, np.arange(min(SMOOTH_TERMS, k))) / k)
    offset = spectra.astype(np.float64) - background.mean
    best = np.full(len(spectra), np.inf)
    misfit = np.full(len(spectra), np.inf)
    fill, gain = np.zeros(len(spectra)), np.zeros(len(spectra))
    limits = _limits(background, cosines)
    for f in FILL_GRID:
        rest = (1.0 - f) ** 2
        spread = rest * background.covariance + (1.0 - rest) * background.noise + f * f * loading
        whitening, _ = factor(spread + _jitter(background), ridge=0.0, where="feasibility")
        residual, g = _residual(offset + f * background.mean, f * target, whitening)
        total = np.einsum("ij,ij->i", residual, residual)
        cost = total - 2.0 * float(np.log(np.diag(whitening)).sum())
        better = cost < best
        best[better], fill[better], gain[better] = cost[better], f, g[better]
        smooth = _smooth_part(residual, cosines, whitening)
        misfit = np.minimum(misfit, np.maximum(total / limits[0], smooth / limits[1]))
    return Fit(fill, gain, misfit)


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


def _residual(offset: Doubles, part: Doubles, whitening: Doubles) -> tuple[Doubles, Doubles]:
    """Return the whitened residual (n, k) of ``offset - gain * part``, and the best gain (n,)."""
    y = offset @ whitening.T
    u = whitening @ part
    norm = float(u @ u)
    gain = np.clip(y @ u / norm, *GAIN_LIMITS) if norm > 0.0 else np.zeros(len(y))
    return y - np.outer(gain, u), gain


def _smooth_part(residual: Doubles, cosines: Doubles, whitening: Doubles) -> Doubles:
    basis, _ = np.linalg.qr(whitening @ cosines)
    projected = residual @ basis
    return np.asarray(np.einsum("ij,ij->i", projected, projected))


def _limits(background: Background, cosines: Doubles) -> tuple[float, float]:
    """Return the limits of both statistics, from the spread of the background's own pixels."""
    from scipy.special import gammaincinv

    whitening, _ = factor(background.covariance + _jitter(background), ridge=0.0, where="feasibility")
    offset = (background.sample.astype(np.float64) - background.mean) @ whitening.T
    spread = (
        distances(background.sample, background.mean, whitening),
        _smooth_part(offset, cosines, whitening),
    )
    freedom = (cosines.shape[0], cosines.shape[1])
    limits = []
    for values, n in zip(spread, freedom, strict=True):
        expected = 2.0 * gammaincinv(n / 2.0, 1.0 - REFERENCE_LEVEL)
        stretch = max(1.0, float(np.quantile(values, 1.0 - REFERENCE_LEVEL)) / expected)
        limits.append(stretch * 2.0 * float(gammaincinv(n / 2.0, 1.0 - MISFIT_LEVEL)))
    return limits[0], limits[1]
