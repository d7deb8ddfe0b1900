"""Could this pixel be the target at all? A test against look-alikes.

A detector scores how much of the target *direction* a pixel holds; a similar material holds much of it too.
Here the pixel is explained as a mixture, ``x = (1 - f) b + f g t + noise``, and what is left over is compared
with what background, noise, and the uncertainty of the signature can leave. The idea is that of mixture-tuned
matched filtering (Boardman 1998, JPL AVIRIS workshop): the allowed misfit shrinks from the spread of the
background to that of the noise as the pixel fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import chi_square
from dronesense.detect.background import Background, whiten
from dronesense.detect.weighing import Group, Root, weigh

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
MAX_NOISE_RATIO: Final = 10.0
"""The noise variance grows with the signal, at most this much between mean background and target."""
KEPT_STEPS: Final = 21
"""Factored covariances that a model keeps for pixels in front of their surroundings, until it is told to
forget them: 13 MB with 270 bands."""
BOUND_MARGIN: Final = 1.01
"""A bound must exceed a limit by this factor: it is computed with rounding errors of its own."""
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


class Model:
    """A target in front of a background, at every fill of the grid; from :func:`prepare`.

    The covariances are factored when they are asked for: most pixels need few of them. Some stay for the next
    pixels.
    """

    def __init__(
        self, background: Background, target: Doubles, loading: Doubles, stretch: tuple[float, float]
    ) -> None:
        k = len(target)
        self.mean = background.mean
        self._background, self._target, self._loading = background, target, loading
        self._cosines = slow_cosines(k)
        self._jitter = np.diag(_jitter(background))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.clip(target / background.mean, 1.0, MAX_NOISE_RATIO)
        ratio[~(background.mean > 0.0)] = 1.0
        self._ratio = ratio
        plain = tuple(chi_square.exceeded(MISFIT_LEVEL, n) for n in (k, self._cosines.shape[1]))
        self._limits = ((plain[0] * stretch[0], plain[1] * stretch[1]), (plain[0], plain[1]))
        self._steps: dict[tuple[int, float], Step] = {}

    def limits(self, *, near: bool) -> tuple[float, float]:
        """Return what the two statistics may reach, in front of the scene or of the pixels around."""
        return self._limits[near]

    def step(self, i: int, *, near: bool) -> Step:
        """Return what is needed to test fill *i* of the grid."""
        f = FILL_GRID[i]
        part = (SCENE_SHARE if near else 1.0) * (1.0 - f) ** 2
        step = self._steps.get((i, part))
        if step is None:
            growth = np.sqrt(1.0 - f + f * self._ratio)
            spread = self._background.noise * growth[:, None]
            spread *= growth * (1.0 - part)
            spread += part * self._background.covariance
            spread += f * f * self._loading
            np.einsum("ii->i", spread)[:] += self._jitter
            root = Root(spread)
            both = root.whitened(np.concatenate([f * self._target[None], self._cosines.T]))
            step = Step(f, root, both[0], both[1:].T)
            if near and len(self._steps) < KEPT_STEPS:
                self._steps[i, part] = step
        return step

    def possible(self, spectra: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return False where pixels (n, k) in front of the scene cannot be the target, by a cheap bound.

        What is seen of a residual through a few linear combinations, here the slowest cosines, never has a
        larger Mahalanobis distance than the whole.
        """
        cosines, background = self._cosines, self._background
        seen, mean, target = spectra @ cosines, self.mean @ cosines, self._target @ cosines
        covariance, loading = (cosines.T @ each @ cosines for each in (background.covariance, self._loading))
        jitter = cosines.T * self._jitter @ cosines
        found = np.zeros(len(spectra), dtype=np.bool_)
        for f in FILL_GRID:
            part = (1.0 - f) ** 2
            wide = cosines * np.sqrt(1.0 - f + f * self._ratio)[:, None]
            spread = part * covariance + (1.0 - part) * (wide.T @ background.noise @ wide)
            spread += f * f * loading + jitter
            y, aim = seen - (1.0 - f) * mean, f * target
            solved = np.linalg.solve(spread, np.concatenate([y, aim[None]]).T).T
            norm = float(aim @ solved[-1])
            gain = np.clip(y @ solved[-1] / norm, *GAIN_LIMITS) if norm > 0.0 else np.zeros(len(y))
            rest = y - gain[:, None] * aim
            least = np.einsum("nm,nm->n", rest, solved[:-1] - gain[:, None] * solved[-1])
            found |= ~(least > BOUND_MARGIN * self._limits[False][0])
        return found

    def forget(self) -> None:
        """Let go of the factored covariances: of many targets one after the other, one needs them."""
        self._steps.clear()


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One fill, and the root of S without the part of the pixels around.

    *part* and *slow* are the target's share and the slow cosines, whitened.
    """

    fill: float
    root: Root
    part: Doubles
    slow: Doubles


def slow_cosines(k: int) -> Doubles:
    """Return the (k, m) slowest cosines over k bands."""
    return np.asarray(np.cos(np.pi * np.outer(np.arange(k) + 0.5, np.arange(min(SMOOTH_TERMS, k))) / k))


def prepare(
    background: Background,
    target: Doubles,
    *,
    sigma: Doubles,
    center_nm: Doubles,
    model_error: float,
    stretch: tuple[float, float] | None = None,
) -> Model:
    """Make ready to test pixels against a target.

    The covariance of the misfit at fill f is ``S(f) = p C + (1 - p) D N D + f^2 M`` with ``p = s (1 - f)^2``,
    the background's covariance C and its share s (1 in front of the scene, :data:`SCENE_SHARE` in front of
    the pixels around), the noise N, and M of the signature (:func:`signature_covariance`). Noise grows with
    the signal: D holds the square root of ``1 - f + f t / m`` per band, where the target t is brighter than
    the mean m.

    Parameters
    ----------
    target, sigma : (k,) float64
        Signature and its standard uncertainty (NaN: not known, taken as 0).
    center_nm : (k,) float64
        Band centers; NaN when not known.
    model_error : float
        Standard deviation of smooth multiplicative errors between signature and scene, e.g. 0.02.
    stretch : (float, float), optional
        :func:`stretches` of *background*, where several targets share it.
    """
    loading = signature_covariance(target, sigma, center_nm, model_error)
    return Model(background, target, loading, stretches(background) if stretch is None else stretch)


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
    n = len(spectra)
    best, misfit = np.full(n, np.inf), np.full(n, np.inf)
    fill, gain = np.zeros(n), np.zeros(n)
    group = Group.of(spectra, model.mean, around)
    for i, f in enumerate(FILL_GRID):
        cost, g, here = (each[0] for each in _test([group], model, i))
        better = cost < best
        best[better], fill[better], gain[better] = cost[better], f, g[better]
        misfit = np.minimum(misfit, here)
    return Fit(fill, gain, misfit)


def feasible(
    spectra: NDArray[np.float32], model: Model, *, guess: NDArray[np.floating] | float = 1.0
) -> NDArray[np.bool_]:
    """Return :attr:`Fit.feasible` of :func:`assess` in front of the scene, sooner.

    Parameters
    ----------
    guess : (n,) or float
        Fills that the pixels probably have: those nearest to most of them are tried first.
    """
    passed = np.zeros(len(spectra), dtype=np.bool_)
    possible = model.possible(spectra)
    grid, likely = np.array(FILL_GRID), np.broadcast_to(np.clip(guess, 0.0, 1.0), len(spectra))
    while (left := possible & ~passed).any() and np.isfinite(grid).any():
        nearest = np.argmin(np.abs(grid - likely[left, None]), axis=1)
        i = int(np.argmax(np.bincount(nearest)))
        grid[i] = np.inf
        passed[left] = _test([Group.of(spectra[left], model.mean)], model, i)[2][0] <= 1.0
    return passed


def any_feasible(groups: Sequence[Group], model: Model, guesses: Sequence[float]) -> NDArray[np.bool_]:
    """Return of which *groups*, each in front of pixels around it, a pixel can be the target.

    Parameters
    ----------
    groups : sequence of Group
        All with pixels around.
    guesses : sequence of float
        For each the fill that is tried first.
    """
    order = np.argsort(np.abs(np.array(FILL_GRID) - np.array(guesses)[:, None]), axis=1, kind="stable")
    passed = np.zeros(len(groups), dtype=np.bool_)
    for fills in order.T:
        for i in np.unique(fills[~passed]).tolist():
            mine = np.flatnonzero(~passed & (fills == i))
            passed[mine] = [
                bool((one <= 1.0).any()) for one in _test([groups[at] for at in mine.tolist()], model, i)[2]
            ]
        if passed.all():
            break
    return passed


def _test(
    groups: Sequence[Group], model: Model, i: int
) -> tuple[list[Doubles], list[Doubles], list[Doubles]]:
    """Return cost, gain and misfit (n,) of the pixels of each group at fill *i* of the grid."""
    near = groups[0].near
    step = model.step(i, near=near)
    found = weigh(groups, step.fill, step.root, np.concatenate([step.part[None], step.slow.T]))
    norm = found.gram[:, 0, 0, None]
    along, inside = found.along[..., 0], found.along[..., 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(norm > 0.0, np.clip(along / norm, *GAIN_LIMITS), 0.0)
    total = found.own - gain * (2.0 * along - gain * norm)
    inside = inside - gain[..., None] * found.gram[:, None, 0, 1:]
    smooth = np.einsum(
        "gns,gsn->gn", inside, np.linalg.solve(found.gram[:, 1:, 1:], np.swapaxes(inside, 1, 2))
    )
    limits = model.limits(near=near)
    misfit = np.maximum(total / limits[0], smooth / limits[1])
    cost = total + found.log_det[:, None]
    sizes = [len(each.pixels) for each in groups]
    return (
        [one[:n] for one, n in zip(cost, sizes, strict=True)],
        [one[:n] for one, n in zip(gain, sizes, strict=True)],
        [one[:n] for one, n in zip(misfit, sizes, strict=True)],
    )


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


def stretches(background: Background) -> tuple[float, float]:
    """Return how much wider than a Gaussian the background's rarer pixels spread, in both statistics."""
    white = whiten(background.covariance + _jitter(background)).astype(np.float32)
    offset = (background.sample - background.mean.astype(np.float32)) @ white.T
    slow, _ = np.linalg.qr(white.astype(np.float64) @ slow_cosines(len(white)))
    inside = offset @ slow.astype(np.float32)
    spread = (np.einsum("ij,ij->i", offset, offset), np.einsum("ij,ij->i", inside, inside))
    total, smooth = (
        max(1.0, float(np.quantile(values, 1.0 - REFERENCE_LEVEL)) / chi_square.exceeded(REFERENCE_LEVEL, n))
        for values, n in zip(spread, slow.shape, strict=True)
    )
    return total, smooth
