"""How much of a pixel must a target fill to be found? Told before any target is seen.

Pixels of the scene's own background are given a share of the target, ``x = (1 - f) b + f t``, and scored as
the search scores them; the share that reaches the threshold is the probability of finding such a pixel.
Nothing is assumed of the shape of the background. Mixing shrinks a pixel's noise, a camera does not: the
missing part is added. The test against look-alikes comes later and is not in these figures.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.background import Background
from dronesense.detect.detectors import NONE, Products, Scorer
from dronesense.detect.feasibility import signature_covariance

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

TRIAL_PIXELS: Final = 2048
"""Background pixels that are given a target: they tell 90 % to 0.7 %."""
FILLS: Final = tuple(i / 100 for i in (*range(20), *range(20, 50, 2), *range(50, 101, 5)))
"""Shares that are tried; between them the probability is drawn straight."""
SHOWN_FILLS: Final = (0.05, 0.1, 0.2, 0.4, 1.0)
"""Shares whose probabilities are told."""
SEED: Final = 20_241
"""Of the draws of noise and of the signature's errors: the same prediction every time."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Background pixels ready to be given targets; from :func:`prepare`, for all targets in front of it.

    Parameters
    ----------
    background : Background
    pixels, noise : (n, k) float64
        Pixels minus the mean, and draws of the camera's noise.
    error : (n, k) float64
        Draws of a signature's error, in its standard uncertainties: half of the variance smooth over the
        bands.
    white_pixels, white_noise : (n, k) float64
        Whitened.
    """

    background: Background
    pixels: Doubles
    noise: Doubles
    error: Doubles
    white_pixels: Doubles
    white_noise: Doubles


@dataclass(frozen=True, slots=True, eq=False)
class Detectability:
    """Probability that a pixel reaches the threshold, by the share of it that the target fills.

    Parameters
    ----------
    fill, found : (m,) float64
    """

    fill: Doubles
    found: Doubles

    def at(self, fill: Doubles | float) -> Doubles:
        """Return the probability at *fill*."""
        return np.asarray(np.interp(fill, self.fill, self.found))

    def limit(self, probability: float) -> float:
        """Return the least fill from which *probability* is kept up to a full pixel; NaN where it is not.

        >>> made = Detectability(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.8, 1.0]))
        >>> round(made.limit(0.4), 3), round(made.limit(0.9), 3)
        (0.25, 0.75)
        """
        kept = np.minimum.accumulate(self.found[::-1])[::-1]
        if not kept[-1] >= probability:
            return float("nan")
        first = int(np.argmax(kept >= probability))
        if first == 0:
            return float(self.fill[0])
        low, high = kept[first - 1], kept[first]
        share = (probability - low) / (high - low)
        return float(self.fill[first - 1] + share * (self.fill[first] - self.fill[first - 1]))

    def summary(self, target: str, rate: float) -> dict[str, object]:
        """Return what is told of it, JSON-ready; *rate* is the stated false-alarm rate, NaN if not known."""
        half, ninety = (self.limit(p) for p in (0.5, 0.9))
        return {
            "fill_found_1_in_2": half if np.isfinite(half) else None,
            "fill_found_9_in_10": ninety if np.isfinite(ninety) else None,
            "probability_at_fill": {f"{fill:g}": float(self.at(fill)) for fill in SHOWN_FILLS},
            "basis": "own background with the signature mixed in; before the test against look-alikes",
            "text": _sentence(target, ninety, float(self.found[-1]), rate),
        }


def prepare(background: Background, center_nm: Doubles) -> Trial:
    """Take some of the background's pixels, spread evenly, and draw noise and errors of signatures for them.

    Parameters
    ----------
    center_nm : (k,) float64
        Of the background's bands; NaN when not known.
    """
    step = max(1, -(-len(background.sample) // TRIAL_PIXELS))
    pixels = background.sample[::step].astype(np.float64) - background.mean
    random = np.random.default_rng(SEED)
    noise = random.standard_normal(pixels.shape) @ _root(background.noise).T
    unit = np.ones(pixels.shape[1])
    error = (
        random.standard_normal(pixels.shape) @ _root(signature_covariance(0.0 * unit, unit, center_nm, 0.0)).T
    )
    white = background.whitening
    return Trial(background, pixels, noise, error, pixels @ white.T, noise @ white.T)


def predict(
    trial: Trial, scorer: Scorer, target: Doubles, *, sigma: Doubles, threshold: float
) -> Detectability:
    """Return the probability that pixels with a share of *target* reach *threshold*.

    Parameters
    ----------
    trial : Trial
        From :func:`prepare`, in the bands of *target*.
    scorer : Scorer
        Of the search, ready for *target*.
    target, sigma : (k,) float64
        Signature and its standard uncertainty (NaN: not known, taken as 0).
    threshold : float
        In the scorer's unit.
    """
    background = trial.background
    offset = target - background.mean
    own = np.nan_to_num(sigma)
    # Each pixel is the sum of four parts: itself, the target, noise, the target's own error.
    white_target = background.whitening @ offset
    contrast = float(white_target @ white_target)
    white = [trial.white_pixels, trial.white_noise]
    if own.any():
        white.append(trial.error @ (background.whitening * own).T)
    fill = np.array(FILLS)[:, None]
    amounts = [1.0 - fill, np.sqrt(1.0 - (1.0 - fill) ** 2), fill]
    along = [part @ white_target for part in white]
    inside = fill * contrast + sum(share * part for share, part in zip(amounts, along, strict=False))
    energy = fill * (2.0 * inside - fill * contrast)
    for i, first in enumerate(white):
        for j, second in enumerate(white[: i + 1]):
            twice = 1.0 if i == j else 2.0
            energy += twice * amounts[i] * amounts[j] * np.einsum("nk,nk->n", first, second)
    fraction, squared = (inside / contrast).astype(np.float32), energy.astype(np.float32)
    if scorer.plain:
        found = np.mean(scorer.score(Products(fraction, squared, contrast)) >= threshold, axis=1)
        return Detectability(fill[:, 0], found)
    found = np.empty(len(fill))
    for i, f in enumerate(FILLS):
        centered = amounts[0][i] * trial.pixels + f * offset + amounts[1][i] * trial.noise
        if own.any():
            centered += f * own * trial.error
        products = _products(scorer, background, fraction[i], squared[i], contrast, centered.T)
        found[i] = np.mean(scorer.score(products) >= threshold)
    return Detectability(fill[:, 0], found)


def _products(
    scorer: Scorer,
    background: Background,
    fraction: Floats,
    energy: Floats,
    contrast: float,
    centered: Doubles,
) -> Products:
    """Return what a scorer asks for of pixels minus the mean, *centered* (k, n)."""
    spectra = centered + background.mean[:, None]
    return Products(
        fraction,
        energy,
        contrast,
        (scorer.rows @ spectra).astype(np.float32) if scorer.rows.size else NONE,
        (scorer.centered @ centered).astype(np.float32) if scorer.centered.size else NONE,
        np.einsum("kn,kn->n", spectra, spectra).astype(np.float32),
        spectra.astype(np.float32),
    )


def _root(covariance: Doubles) -> Doubles:
    """Return R with ``R R' = covariance``, also of a singular one."""
    with suppress(np.linalg.LinAlgError):
        return np.asarray(np.linalg.cholesky(covariance))
    value, vector = np.linalg.eigh(covariance)
    return np.asarray(vector * np.sqrt(np.maximum(value, 0.0)))


def _sentence(target: str, ninety: float, full: float, rate: float) -> str:
    at = f"at {rate:.2g} false alarms per pixel" if np.isfinite(rate) else "at the given threshold"
    if not np.isfinite(ninety):
        return f"{target}: even a full pixel is found only {full:.0%} of the time {at}"
    return f"{target}: a pixel filled to {ninety:.0%} is found 9 times out of 10 {at}"
