"""The upper tail of the background's scores: from false-alarm rate to threshold, from score to p-value.

Peaks over threshold with a generalized Pareto distribution (Pickands 1975, doi 10.1214/aos/1176343003),
fitted by probability-weighted moments (Hosking & Wallis 1987, doi 10.1080/00401706.1987.10488243). The
targets are in the scene that the tail is learned from; see :func:`suspects` for how they are kept out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.model import TailModel

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

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
TOP_SHARE: Final = 0.35
"""Share of the scores, the highest, that are put in order: 20 % of them and room for what is left out."""
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
ANCHOR: Final = 25
"""Highest scores that the Pareto tail runs through: rates down to 25 / n are counted (25 tell a rate to
20 %), only rarer ones follow a curve. Of 25 and 50 the better one on made-up scenes (docs/methods)."""
EMPIRICAL_POINTS: Final = 256
"""Points of the empirical part."""
FLOOR_SHARE: Final = 1e-3
"""No p-value is stated below this share of 1 / n: the model is not known that far out."""


def fit(scores: NDArray[np.float32], *, exclude: NDArray[np.bool_] | None = None) -> TailModel:
    """Learn the tail of the background's scores.

    The Pareto tail is fitted to the highest 0.5 % of the scores or, where these are too few or do not pass a
    Kolmogorov-Smirnov test, to the highest 1, 2 or 5 %. Its shape is raised by one standard error, so that
    errors rather raise the threshold. Rates down to 25 / n are those of the scores themselves: only beyond
    the 25 highest the curve is followed, with the heavier of its shape and theirs. Where no share fits, the
    empirical quantiles are used alone and the note says so.

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
    background = scores[keep]
    background.sort()
    n = len(background)
    _, shape, _ = _core(background, n, *CORE_ROUNDS[-1])
    shape_limit = _raised(shape, CORE_ROUNDS[-1][1] * n)
    best = _pareto(background, shape_limit)
    if best is None or best.misfit > KS_LARGE:
        reason = "too few scores" if best is None else f"Kolmogorov-Smirnov distance {best.misfit:.3f}"
        return _model(background, None, f"empirical: no Pareto tail ({reason})")
    passed = best.misfit <= _allowed_misfit(best.count)
    note = "pareto" if passed else f"pareto, poor fit (Kolmogorov-Smirnov distance {best.misfit:.3f})"
    return _model(background, _anchored(background, best), note)


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
    flat = scores.ravel()
    found = np.zeros(scores.shape, dtype=np.bool_)
    values = flat[np.isfinite(flat)]
    n = len(values)
    if n < MIN_SCORES:
        return found
    values.sort()
    middle = float(values[n // 2])
    place = np.flatnonzero(flat >= values[int((1.0 - TOP_SHARE) * n)])
    place = place[np.argsort(flat[place])]
    top = flat[place]
    lost = found.ravel()
    for first, last in CORE_ROUNDS:
        rest = n - int(np.count_nonzero(np.isfinite(flat[lost])))
        high = top[~lost[place]]
        if rest < MIN_SCORES or len(high) <= first * rest:
            break
        start, shape, scale = _core(high, rest, first, last)
        if not scale > 0.0:
            break
        rare = EXPECTED_LOST / rest / first
        highest = start + scale * float(_reach(rare, _raised(shape, last * rest)))
        lowest = float(np.min(flat, where=~(lost | np.isnan(flat)), initial=np.inf))
        highest = min(highest, middle + MIRROR * (middle - lowest))
        lost[:] = False
        _mark_around(found, np.flatnonzero(flat >= np.nextafter(np.float32(highest), np.float32(np.inf))))
    return found


def _mark_around(found: NDArray[np.bool_], extreme: NDArray[np.int64]) -> None:
    """Set *found* within :data:`HALO_PIXELS` of the pixels *extreme* (flat index)."""
    steps = np.array(list(product(range(-HALO_PIXELS, HALO_PIXELS + 1), repeat=found.ndim)))
    near = np.stack(np.unravel_index(extreme, found.shape), axis=1)[:, None] + steps
    found[tuple(np.moveaxis(np.clip(near, 0, np.array(found.shape) - 1), -1, 0))] = True


@dataclass(frozen=True, slots=True)
class _Pareto:
    start: float
    count: int
    shape: float
    scale: float
    misfit: float


def _allowed_misfit(count: int) -> float:
    return max(KS_SMALL, KS_FACTOR / float(np.sqrt(count)))


def _pareto(background: Floats, shape_limit: float) -> _Pareto | None:
    """Return the tail of the sorted *background* at the first share that fits, or else the best of all."""
    n = len(background)
    best: _Pareto | None = None
    for share in TAIL_SHARES:
        count = int(share * n)
        if count < (MIN_EXCESSES if share == TAIL_SHARES[-1] else GOOD_EXCESSES):
            continue
        start = float(background[n - count - 1])
        excess = background[n - count :].astype(np.float64) - start
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


def _anchored(background: Floats, tail: _Pareto) -> _Pareto:
    """Return *tail* from the highest :data:`ANCHOR` scores on: the heavier shape of the two, their scale.

    Below them the scores themselves tell the rate better than any fit: small things of odd materials make
    steps that a curve through 500 scores passes by.
    """
    if tail.count <= ANCHOR:
        return tail
    start = float(background[len(background) - ANCHOR - 1])
    excess = background[len(background) - ANCHOR :].astype(np.float64) - start
    shape = max(tail.shape, fit_pareto(excess)[0])
    scale = _scale_of(excess, shape)
    if not scale > 0.0:
        return tail
    return _Pareto(start, ANCHOR, shape, scale, tail.misfit)


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


def _core(top: Floats, n: int, first: float, last: float) -> tuple[float, float, float]:
    """Return start, shape and scale of the tail between two exceedance shares, by least squares.

    *top* are the highest of *n* scores, in rising order.
    """
    share, reach = _curves(first, last)
    place = (1.0 - share) * (n - 1) - (n - len(top))
    low = np.clip(np.floor(place).astype(np.int64), 0, len(top) - 1)
    below, above = (top[np.minimum(low + step, len(top) - 1)].astype(np.float64) for step in (0, 1))
    quantile = below + (above - below) * (place - low)
    rise = quantile - quantile[0]
    scale = (reach @ (share * rise)) / (reach**2 @ share)
    cost = (rise - scale[:, None] * reach) ** 2 @ share
    best = int(np.argmin(cost))
    return float(quantile[0]), CORE_SHAPES[best], float(scale[best])


@cache
def _curves(first: float, last: float) -> tuple[Doubles, Doubles]:
    """Return the exceedance shares between two, and how far each of the shapes reaches there."""
    share = np.geomspace(first, last, CORE_POINTS)
    return share, np.stack([_reach(share / first, shape) for shape in CORE_SHAPES])


def _model(background: Floats, pareto: _Pareto | None, note: str) -> TailModel:
    """Return the record: empirical up to the start of the Pareto tail, or all the way."""
    n = len(background)
    last = 1 if pareto is None else pareto.count
    rank = np.unique(np.round(n - np.geomspace(n, last, EMPIRICAL_POINTS)).astype(np.int64))
    chosen = background[np.clip(rank, 0, n - 1)].astype(np.float64)
    quantile, first = np.unique(chosen, return_index=True)
    probability = (n - rank[first]) / (n + 1.0)
    if pareto is None:
        return TailModel(quantile, probability, float("inf"), 0.0, 0.0, 0.0, n, note)
    share = pareto.count / n
    return TailModel(quantile, probability, pareto.start, share, pareto.shape, pareto.scale, n, note)
