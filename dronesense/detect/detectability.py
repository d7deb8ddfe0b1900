"""How much of a pixel must a target fill to be found? Told before any target is seen.

Pixels of the scene's own background are given a share of the target, ``x = (1 - f) b + f t``, and scored as
the search scores them; the share that reaches the threshold is the probability of finding such a pixel.
Nothing is assumed of the shape of the background. Mixing shrinks a pixel's noise, a camera does not: the
missing part is added. The test against look-alikes comes later and is not in these figures.
"""

from __future__ import annotations

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
    white_pixels, white_noise : (n, k) float64
        The same, whitened.
    """

    background: Background
    pixels: Doubles
    noise: Doubles
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


def prepare(background: Background) -> Trial:
    """Take some of the background's pixels, spread evenly, and draw noise for them."""
    step = max(1, -(-len(background.sample) // TRIAL_PIXELS))
    pixels = background.sample[::step].astype(np.float64) - background.mean
    draws = np.random.default_rng(SEED).standard_normal(pixels.shape)
    noise = draws @ _root(background.noise).T
    white = background.whitening
    return Trial(background, pixels, noise, pixels @ white.T, noise @ white.T)


def predict(
    trial: Trial,
    scorer: Scorer,
    target: Doubles,
    *,
    sigma: Doubles,
    center_nm: Doubles,
    threshold: float,
) -> Detectability:
    """Return the probability that pixels with a share of *target* reach *threshold*.

    Parameters
    ----------
    trial : Trial
        From :func:`prepare`, in the bands of *target*.
    scorer : Scorer
        Of the search, ready for *target*.
    target, sigma : (k,) float64
        Signature and its standard uncertainty (NaN: not known, taken as 0), of which half is smooth over the
        bands.
    center_nm : (k,) float64
        NaN when not known.
    threshold : float
        In the scorer's unit.
    """
    background = trial.background
    offset = target - background.mean
    # Each pixel is the sum of four parts: itself, the target, the target's own error, noise.
    parts = [trial.pixels, np.broadcast_to(offset, trial.pixels.shape), trial.noise]
    white_target = background.whitening @ offset
    white = [trial.white_pixels, np.broadcast_to(white_target, trial.pixels.shape), trial.white_noise]
    if np.nan_to_num(sigma).any():
        covariance = signature_covariance(target, sigma, center_nm, 0.0)
        draws = np.random.default_rng(SEED + 1).standard_normal(trial.pixels.shape)
        parts.append(draws @ _root(covariance).T)
        white.append(parts[-1] @ background.whitening.T)
    fill = np.array(FILLS)
    amounts = np.stack([1.0 - fill, fill, np.sqrt(1.0 - (1.0 - fill) ** 2), fill], axis=1)[:, : len(parts)]
    contrast = float(white_target @ white_target)
    along = np.stack([part @ white_target for part in white], axis=1) / contrast
    gram = np.stack([np.stack([np.einsum("nk,nk->n", a, b) for b in white]) for a in white])
    found = np.empty(len(fill))
    for i, amount in enumerate(amounts):
        fraction = (along @ amount).astype(np.float32)
        energy = np.einsum("i,ijn,j->n", amount, gram, amount).astype(np.float32)
        if scorer.plain:
            products = Products(fraction, energy, contrast)
        else:
            centered = sum(share * part for share, part in zip(amount, parts, strict=True)).T
            products = _products(scorer, background, fraction, energy, contrast, centered)
        found[i] = np.mean(scorer.score(products) >= threshold)
    return Detectability(fill, found)


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
    value, vector = np.linalg.eigh(covariance)
    return np.asarray(vector * np.sqrt(np.maximum(value, 0.0)))


def _sentence(target: str, ninety: float, full: float, rate: float) -> str:
    at = f"at {rate:.2g} false alarms per pixel" if np.isfinite(rate) else "at the given threshold"
    if not np.isfinite(ninety):
        return f"{target}: even a full pixel is found only {full:.0%} of the time {at}"
    return f"{target}: a pixel filled to {ninety:.0%} is found 9 times out of 10 {at}"
