"""The upper tail of the background's scores: from false-alarm rate to threshold, from score to p-value.

Peaks over threshold with a generalized Pareto distribution (Pickands 1975, doi 10.1214/aos/1176343003),
fitted by probability-weighted moments (Hosking & Wallis 1987, doi 10.1080/00401706.1987.10488243). The
targets are in the scene that the tail is learned from; see :func:`suspects` for how they are kept out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.model import TailModel

Doubles = NDArray[np.float64]

TAIL_SHARES: Final = (0.005, 0.01, 0.02, 0.05)
"""Shares of the background above the start of the Pareto tail; the first that fits is taken."""
GOOD_EXCESSES: Final = 800
"""Excesses that fix a shape to about 0.04; a smaller share is not tried with fewer."""
MIN_EXCESSES: Final = 100
"""Fewest excesses to fit a Pareto tail to, at the largest share."""
MIN_SCORES: Final = 200
"""Fewest scores to learn any tail from."""
KS_FACTOR: Final = 0.90
"""Kolmogorov-Smirnov distance times sqrt(n) that 1 to 4 in 100 true Pareto samples exceed, both parameters
fitted (own simulation, shapes -0.3 to 0.3; tests/test_tail.py repeats it)."""
KS_SMALL: Final = 0.02
"""A distance that changes no probability of the tail by more than 2 % of its start is no reason to refuse
it."""
KS_LARGE: Final = 0.08
"""A distance above which no Pareto tail is used, whatever the number of excesses."""
SHAPE_LIMIT: Final = 0.45
"""Largest shape: probability-weighted moments need less than 0.5."""
CORE_ROUNDS: Final = ((0.20, 0.05), (0.10, 0.02), (0.10, 0.01), (0.10, 0.006), (0.10, 0.003))
"""Exceedance shares between which the contamination-proof tail is fitted, for each round of finding
suspects: the
tail is followed farther out as they leave."""
SHAPE_MARGIN: Final = 0.10
"""Added to its shape before scores are called targets, besides one standard error: errors raise the
threshold."""
CORE_POINTS: Final = 25
"""Quantiles of that fit."""
CORE_SHAPES: Final = tuple(i / 50 for i in range(-50, 23))
"""Shapes that are tried for it."""
MIRROR: Final = 2.0
"""Scores this many times as far above the median as the lowest score lies below are suspects in any case.
A choice: real backgrounds reach 1.5 to 4 times as far on one side as on the other (docs/methods)."""
EXPECTED_LOST: Final = 0.5
"""Background pixels that the exclusion of targets may cost, by expectation."""
HALO_PIXELS: Final = 2
"""Pixels around an excluded one that go with it: partly filled neighbors."""
EMPIRICAL_POINTS: Final = 256
"""Points of the empirical part."""
FLOOR_SHARE: Final = 1e-3
"""No p-value is stated below this share of 1 / n: the model is not known that far out."""


def fit(scores: NDArray[np.float32], *, exclude: NDArray[np.bool_] | None = None) -> TailModel:
    """Learn the tail of the background's scores.

    The Pareto tail is fitted to the highest 0.5 % of the scores or, where these are too few or do not pass a
    Kolmogorov-Smirnov test, to the highest 1, 2 or 5 %. Its shape is raised by one standard error, so that
    errors rather raise the threshold. Where no share fits, the empirical quantiles are used alone and the
    note says so.

    Parameters
    ----------
    scores : float32, any shape
        NaN where not valid. Neighbors in the array are neighbors in the scene.
    exclude : bool, shape of *scores*, optional
        What is not background; :func:`suspects` of the scores when not given.

    Raises
    ------
    CoverageError
        If there are fewer than 200 valid scores.

    Examples
    --------
    >>> normal = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    >>> round(score_at(fit(normal), 1e-3), 1)  # a table says 3.09
    3.1
    """
    valid = np.isfinite(scores)
    if int(valid.sum()) < MIN_SCORES:
        raise CoverageError(
            f"{int(valid.sum())} valid scores are too few to learn the background's tail",
            fix="search a larger area, or give a threshold",
        )
    keep = valid & ~(suspects(scores) if exclude is None else exclude)
    if int(keep.sum()) < MIN_SCORES:
        keep = valid
    _, shape, _ = _core(scores[keep], *CORE_ROUNDS[-1])
    shape_limit = _raised(shape, CORE_ROUNDS[-1][1] * int(keep.sum()))
    background = scores[keep].astype(np.float64)
    background.sort()
    best = _pareto(background, shape_limit)
    if best is None or best.misfit > KS_LARGE:
        reason = "too few scores" if best is None else f"Kolmogorov-Smirnov distance {best.misfit:.3f}"
        return _model(background, None, f"empirical: no Pareto tail ({reason})")
    passed = best.misfit <= _allowed_misfit(best.count)
    note = "pareto" if passed else f"pareto, poor fit (Kolmogorov-Smirnov distance {best.misfit:.3f})"
    return _model(background, best, note)


def suspects(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where *scores* are too high to be background: targets, look-alikes, and their neighbors.

    1. A Pareto tail is fitted to the *quantiles* between the highest 20 % and 5 % of the scores: targets in
       less than about 3 % of the scene hardly move them. Its shape is raised by 0.1 and one standard error.
    2. Suspects are scores that this heavier tail would show less than 0.5 times in the scene, and those that
       lie twice as far above the median as the lowest score lies below (no target scores low), with their
       neighbors within 2 pixels. 1 and 2 are done five times without the suspects, farther out each time.

    Fainter targets stay in the background: they raise a threshold learned from it, they never lower it.
    The score to ask is :func:`dronesense.detect.detectors.evidence`: in it targets stand out most.

    Parameters
    ----------
    scores : float32, any shape
        NaN where not valid. Neighbors in the array are neighbors in the scene.
    """
    from scipy.ndimage import binary_dilation, generate_binary_structure

    valid = np.isfinite(scores)
    structure = generate_binary_structure(scores.ndim, scores.ndim)
    found = np.zeros(scores.shape, dtype=np.bool_)
    for first, last in CORE_ROUNDS:
        rest = scores[valid & ~found]
        if rest.size < MIN_SCORES:
            break
        start, shape, scale = _core(rest, first, last)
        if not scale > 0.0:
            break
        rare = EXPECTED_LOST / rest.size / first
        highest = start + scale * float(_reach(rare, _raised(shape, last * rest.size)))
        middle = float(np.median(rest))
        highest = min(highest, middle + MIRROR * (middle - float(rest.min())))
        extreme = valid & (np.nan_to_num(scores, nan=-np.inf) > highest)
        found = binary_dilation(extreme, structure, iterations=HALO_PIXELS)
    return found


@dataclass(frozen=True, slots=True)
class _Pareto:
    start: float
    count: int
    shape: float
    scale: float
    misfit: float


def _allowed_misfit(count: int) -> float:
    return max(KS_SMALL, KS_FACTOR / float(np.sqrt(count)))


def _pareto(background: Doubles, shape_limit: float) -> _Pareto | None:
    """Return the tail of the sorted *background* at the first share that fits, or else the best of all."""
    n = len(background)
    best: _Pareto | None = None
    for share in TAIL_SHARES:
        count = int(share * n)
        if count < (MIN_EXCESSES if share == TAIL_SHARES[-1] else GOOD_EXCESSES):
            continue
        start = float(background[n - count - 1])
        excess = background[n - count :] - start
        shape, scale = fit_pareto(excess, limit=shape_limit)
        shape += _shape_error(count)
        scale = _scale_of(excess, shape)
        if not scale > 0.0:
            continue
        tail = _Pareto(start, count, shape, scale, ks_distance(excess, shape, scale))
        if tail.misfit <= _allowed_misfit(count):
            return tail
        if best is None or tail.misfit < best.misfit:
            best = tail
    return best


def p_value(tail: TailModel, score: NDArray[np.floating] | float) -> Doubles:
    """Return the probability that a background pixel scores higher than *score* (any shape).

    Never below 1e-3 / n (Pareto) or 1 / (n + 1) (empirical): as far as n background scores can tell.
    """
    s = np.asarray(score, dtype=np.float64)
    below = np.exp(np.interp(s, tail.quantile, np.log(tail.probability)))
    if not np.isfinite(tail.threshold):
        return np.asarray(below)
    z = np.maximum(s - tail.threshold, 0.0) / tail.scale
    above = np.maximum(tail.exceedance * _survival(z, tail.shape), FLOOR_SHARE / tail.n_background)
    return np.where(s > tail.threshold, above, below)


def score_at(tail: TailModel, probability: float) -> float:
    """Return the score that a background pixel exceeds with *probability*.

    Where only the empirical part is known and *probability* lies below 1 / (n + 1), the highest background
    score.

    Raises
    ------
    ValueError
        If *probability* is not between 0 and 1.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability must lie between 0 and 1, not {probability}")
    if np.isfinite(tail.threshold) and probability < tail.exceedance:
        return float(tail.threshold + tail.scale * _reach(probability / tail.exceedance, tail.shape))
    return float(np.interp(-np.log(probability), -np.log(tail.probability), tail.quantile))


def fit_pareto(excess: Doubles, *, limit: float = SHAPE_LIMIT) -> tuple[float, float]:
    """Return shape and scale of a generalized Pareto distribution from sorted *excess* over its start.

    Probability-weighted moments with plotting positions ``(i - 0.35) / n`` (Hosking & Wallis 1987). A shape
    above *limit* is set to it, and the scale to that of the median excess.
    """
    n = len(excess)
    a0 = float(excess.mean())
    a1 = float(np.mean((1.0 - (np.arange(1, n + 1) - 0.35) / n) * excess))
    if not a0 > 2.0 * a1 > 0.0:
        return 0.0, a0
    shape = 2.0 - a0 / (a0 - 2.0 * a1)
    if shape > limit:
        return limit, _scale_of(excess, limit)
    return shape, 2.0 * a0 * a1 / (a0 - 2.0 * a1)


def _scale_of(excess: Doubles, shape: float) -> float:
    """Return the scale that gives the median of *excess* with *shape*."""
    return float(np.median(excess)) / float(_reach(0.5, shape))


def ks_distance(excess: Doubles, shape: float, scale: float) -> float:
    """Return the Kolmogorov-Smirnov distance of sorted *excess* from a generalized Pareto distribution."""
    n = len(excess)
    expected = 1.0 - _survival(excess / scale, shape)
    step = np.arange(n + 1) / n
    return float(max(np.max(step[1:] - expected), np.max(expected - step[:-1])))


def _shape_error(count: float) -> float:
    """Return the standard error of a shape near 0 from *count* excesses (Hosking & Wallis 1987)."""
    return 1.0 / float(np.sqrt(max(count, 1.0)))


def _raised(shape: float, count: float) -> float:
    return min(SHAPE_LIMIT, shape + SHAPE_MARGIN + _shape_error(count))


def _survival(z: Doubles, shape: float) -> Doubles:
    if abs(shape) < 1e-9:
        return np.asarray(np.exp(-z))
    return np.asarray(np.maximum(1.0 + shape * z, 0.0) ** (-1.0 / shape))


def _reach(probability: Doubles | float, shape: float) -> Doubles:
    """Return the scaled excess that is exceeded with *probability*."""
    log = -np.log(np.asarray(probability, dtype=np.float64))
    return np.asarray(log if abs(shape) < 1e-9 else np.expm1(shape * log) / shape)


def _core(scores: NDArray[np.float32], first: float, last: float) -> tuple[float, float, float]:
    """Return start, shape and scale of the tail between two exceedance shares, by least squares."""
    share = np.geomspace(first, last, CORE_POINTS)
    quantile = np.quantile(scores, 1.0 - share).astype(np.float64)
    rise = quantile - quantile[0]
    best = (np.inf, 0.0, 0.0)
    for shape in CORE_SHAPES:
        reach = _reach(share / first, shape)
        scale = float(np.sum(share * reach * rise) / np.sum(share * reach**2))
        cost = float(np.sum(share * (rise - scale * reach) ** 2))
        best = min(best, (cost, shape, scale))
    return float(quantile[0]), best[1], best[2]


def _model(background: Doubles, pareto: _Pareto | None, note: str) -> TailModel:
    """Return the record: empirical up to the start of the Pareto tail, or all the way."""
    n = len(background)
    last = 1 if pareto is None else pareto.count
    rank = np.unique(np.round(n - np.geomspace(n, last, EMPIRICAL_POINTS)).astype(np.int64))
    quantile, first = np.unique(background[np.clip(rank, 0, n - 1)], return_index=True)
    probability = (n - rank[first]) / (n + 1.0)
    if pareto is None:
        return TailModel(quantile, probability, float("inf"), 0.0, 0.0, 0.0, n, note)
    share = pareto.count / n
    return TailModel(quantile, probability, pareto.start, share, pareto.shape, pareto.scale, n, note)
