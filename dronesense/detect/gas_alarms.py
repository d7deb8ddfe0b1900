"""How often noise alone makes an event: the threshold for a stated rate of false alarms.

An *event* is a run of samples above a low level that reaches a high level and lasts long enough. For noise
that is a first-order autoregression, x[k] = phi x[k-1] + sqrt(1 - phi^2) e[k] of unit variance, its rate
follows from the transition kernel by quadrature, without simulation. Where the record's own negative side
shows heavier tails than that, they take over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

LOW_OF_HIGH: Final = 0.5
"""An event reaches down to this part of the threshold: a dip above it does not cut the event in two."""
THRESHOLD_RANGE: Final = (2.0, 30.0)
"""No threshold is lower or higher, in standard deviations: below, false alarms are rarer than stated."""
GAUSS_LIMIT: Final = 8.0
"""Gaussian rates are not computed beyond this level: no record is long enough to know them."""

TAIL_EVENTS: Final = (40.0, 8.0, 1.0)
"""The negative side is compared at the levels that Gaussian noise would pass so many times in the record."""
TAIL_SURPRISE: Final = 0.05
"""Probability of so many negative events or more below which the tails count as heavy."""
TAIL_MIN_EVENTS: Final = 5
MAX_SHAPE: Final = 0.5
"""Largest shape of the Pareto tail that is believed: a variance must exist."""
TAIL_SHAPE: Final = 0.2
"""Shape expected before looking (that of Student's t with 5 degrees of freedom) ..."""
TAIL_SHAPE_WEIGHT: Final = 25.0
"""... which counts as so many events: few events tell little about a shape."""

_REACH: Final = 6.0
"""Standard deviations above the threshold after which the density is nil."""
_NODES: Final = (24, 256)
_NODES_PER_STEP: Final = 6.0


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Noise of unit variance: what false alarms are reckoned from.

    Parameters
    ----------
    phi : tuple of float
        Correlation from sample to sample; the highest rate of all entries counts.
    length : int
        Samples that an event must last.
    samples : float
        Samples of the record.
    base, base_events, shape, scale : float
        Generalized Pareto tail of the heights of events above `base`: events in the record, shape, scale. Not
        used while `base_events` is 0.
    curve : callable or None
        Rate per sample of events that reach a level, for statistics other than the samples themselves; `phi`
        and `length` then do not count.
    """

    phi: tuple[float, ...]
    length: int
    samples: float
    base: float = math.inf
    base_events: float = 0.0
    shape: float = 0.0
    scale: float = 1.0
    curve: Callable[[float], float] | None = None

    @property
    def tail(self) -> str:
        """``"gaussian"`` or ``"pareto"``."""
        return "pareto" if self.base_events else "gaussian"

    def expected(self, high: float, low: float) -> float:
        """Return the number of false events that reach *high*, expected in the record."""
        if self.curve is not None:
            gauss = self.samples * self.curve(high)
        else:
            gauss = self.samples * max(
                event_rate(min(high, GAUSS_LIMIT), min(low, GAUSS_LIMIT), phi, self.length)
                for phi in self.phi
            )
        if not self.base_events or high < self.base:
            return gauss
        excess = (high - self.base) / self.scale
        tail = math.exp(-excess) if self.shape == 0.0 else (1.0 + self.shape * excess) ** (-1.0 / self.shape)
        return max(gauss, self.base_events * tail)


def event_rate(high: float, low: float, phi: float, length: int = 1) -> float:
    """Return the probability per sample that an event begins.

    Parameters
    ----------
    high, low : float
        The event stays at or above *low* and reaches *high*, in standard deviations.
    phi : float
        Correlation from sample to sample, 0 <= phi < 1.
    length : int
        Samples that the event lasts at least.

    Notes
    -----
    The density of the first sample is ``n(x) Phi((low - phi x) / s)`` for x >= low, with ``s^2 = 1 - phi^2``,
    the normal density n and distribution Phi (the chain is reversible). Its mass is split into "has reached
    high" and "has not", moved on ``length - 1`` times by the kernel ``n((x' - phi x) / s) / s``; what has not
    reached *high* by then does so with the probability h that solves ``h = P(high | x) + integral of kernel *
    h`` (Nyström's method on Gauss-Legendre nodes).

    Examples
    --------
    White noise, no lower level: the probability of an up-crossing, p (1 - p).

    >>> p = 0.001349898
    >>> round(event_rate(3.0, 3.0, 0.0) / (p * (1 - p)), 6)
    1.0
    """
    s = math.sqrt(1.0 - phi * phi)
    above, above_weight = _dense_nodes(high, high + _REACH, s)
    first_above = _entry(above, low, phi, s)
    if high > low:
        below, below_weight = _dense_nodes(low, high, s)
        first_below = _entry(below, low, phi, s)
    else:
        below = below_weight = first_below = np.empty(0)
    if length > 1:
        x = np.concatenate([below, above])
        weight = np.concatenate([below_weight, above_weight])
        kernel = density((x[:, None] - phi * x) / s) / s
    k = below.size
    reached, waiting = np.concatenate([np.zeros(k), first_above]), first_below
    for _ in range(length - 1):
        arrived = kernel[:, :k] @ (below_weight * waiting)
        reached = kernel @ (weight * reached)
        reached[k:] += arrived[k:]
        waiting = arrived[:k]
    total = float((np.concatenate([below_weight, above_weight]) * reached).sum())
    if k:
        jump = ndtr((phi * below - high) / s)
        stay = density((below - phi * below[:, None]) / s) / s * below_weight
        hit = np.linalg.solve(np.eye(k) - stay, jump)
        total += float((below_weight * waiting * hit).sum())
    return total


def threshold(model: NoiseModel, events: float) -> float:
    """Return the level that false events reach *events* times in the record, on average.

    Clipped to :data:`THRESHOLD_RANGE`.
    """
    from scipy.optimize import brentq

    low, high = THRESHOLD_RANGE

    def excess(level: float) -> float:
        return math.log(max(model.expected(level, LOW_OF_HIGH * level), 1e-300)) - math.log(events)

    if excess(low) <= 0.0:
        return low
    if excess(high) >= 0.0:
        return high
    return float(brentq(excess, low, high, xtol=1e-4))


def with_tail(model: NoiseModel, heights: NDArray[np.float64]) -> NoiseModel:
    """Return *model* with the tail of *heights* where they exceed what Gaussian noise gives.

    Parameters
    ----------
    model : NoiseModel
        Without a tail.
    heights : (k,) float64
        Heights of the events on the negative side of the record, which holds no plumes, however low they are.

    Notes
    -----
    With an exponential tail and a scale estimated from k events, the predictive tail is ``(1 + x / (k
    scale))^-k``: a Pareto tail whose shape is larger by ``1 / k``. That is what is added.
    """
    levels = [threshold(model, events) for events in TAIL_EVENTS]
    counts = [int(np.count_nonzero(heights >= level)) for level in levels]
    expected = [model.expected(level, LOW_OF_HIGH * level) for level in levels]
    surprises = [_poisson_tail(n, mean) for n, mean in zip(counts, expected, strict=True)]
    if counts[0] < TAIL_MIN_EVENTS or min(surprises) > TAIL_SURPRISE:
        return model
    shape, scale = pareto_fit(heights[heights >= levels[0]] - levels[0])
    mean, events = scale / (1.0 - shape), float(counts[0])
    shape = (shape * events + TAIL_SHAPE * TAIL_SHAPE_WEIGHT) / (events + TAIL_SHAPE_WEIGHT)
    # The scale is known from so many events only: the mixture over what it may be has a heavier tail.
    return replace(
        model, base=levels[0], base_events=events, shape=shape + 1.0 / events, scale=mean * (1.0 - shape)
    )


def pareto_fit(excess: NDArray[np.float64]) -> tuple[float, float]:
    """Return shape and scale of a generalized Pareto distribution by probability-weighted moments.

    Hosking & Wallis 1987, doi 10.1080/00401706.1987.10488243; the shape is held within [0,
    :data:`MAX_SHAPE`], and the scale then keeps the mean.
    """
    y = np.sort(excess)
    n = y.size
    mean = float(y.mean())
    rest = (n - np.arange(1, n + 1) + 0.35) / n
    moment = float((rest * y).mean())
    shape = 2.0 - mean / (mean - 2.0 * moment) if mean > 2.0 * moment else MAX_SHAPE
    shape = min(max(shape, 0.0), MAX_SHAPE)
    return shape, mean * (1.0 - shape)


def _poisson_tail(count: int, mean: float) -> float:
    """Return the probability of *count* or more events."""
    from scipy.special import gammainc

    return float(gammainc(count, mean)) if count else 1.0


def _entry(x: NDArray[np.float64], low: float, phi: float, s: float) -> NDArray[np.float64]:
    """Return the density, per sample, of x being the first sample at or above *low*."""
    entering: NDArray[np.float64] = density(x) * ndtr((low - phi * x) / s)
    return entering


def density(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the density of the standard normal distribution."""
    value: NDArray[np.float64] = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    return value


@lru_cache(maxsize=512)
def _gauss_legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.polynomial.legendre.leggauss(count)


def _dense_nodes(low: float, high: float, s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Gauss-Legendre nodes and weights on [low, high], dense against the step of the chain."""
    fewest, most = _NODES
    return nodes(low, high, int(min(max(fewest, math.ceil(_NODES_PER_STEP * (high - low) / s)), most)))


def nodes(low: float, high: float, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Gauss-Legendre nodes and weights on [low, high]."""
    x, weight = _gauss_legendre(count)
    half = 0.5 * (high - low)
    return low + half * (x + 1.0), half * weight
