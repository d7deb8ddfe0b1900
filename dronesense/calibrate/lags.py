"""The coarse search for an offset between two streams: every lag of a grid at once, by FFT.

The height of the cross-correlation ranks the lags (it cannot be large over a short overlap); the masked
normalized one (Padfield 2012, doi 10.1109/TIP.2011.2181402) tells how well the streams agree there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

CHANCE: Final = 1e-3
"""Probability that unrelated streams agree as well at one of the offsets looked at (normal, independent
errors), above which an agreement counts for nothing."""
REACH: Final = 3.0
"""Peaks nearer than this many coarse steps are one; the fine search may move away from it by as much."""
HOLE_STEPS: Final = 2.5
"""A hole is also longer than this many usual steps of the stream: two samples are missing."""
MIN_SAMPLES: Final = 6

MAX_SHIFT_M: Final = 10.0
"""Two receivers on one aircraft may be apart by this much, all the time."""
MAX_RESIDUAL_M: Final = 10.0
"""Root mean square of what remains between their tracks."""
WANDER_M: Final = 2.0
"""Receivers wander by this much, the same way for minutes: distances that differ by less do not rank."""
EXPLAINED: Final = 0.5
"""Offsets at which the tracks share less than this part of the movement do not compete: two stays at the
take-off point fit each other at any offset."""

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A physical quantity against the clock of its instrument.

    Parameters
    ----------
    time : (n,) int64
        Strictly increasing, ns.
    value : (n,) or (n, k) float64
        One or more channels; samples with a NaN are left out.
    """

    time: NDArray[np.int64]
    value: Float


@dataclass(frozen=True, slots=True)
class Nature:
    """What a quantity is like, and what a true pair of its streams looks like.

    Parameters
    ----------
    name : str
        ``ClockOffset.method``.
    step_s : float
        Grid of the coarse search, s; 0: a fifth of the usual step of the slower stream.
    change_s : float
        Changes over this time are compared, s; 0: the values less their mean.
    lobe_s : float
        A peak nearer than this to the main one belongs to it, s.
    hole_s : float
        Longer holes are not bridged, s.
    smoothing_s : float
        Gaussian smoothing of the second stream before the fine search, s (symmetric, so it does not shift);
        0: the samples of both are means over their intervals, and each is averaged as the other is.
    overlap_s : float
        The two must share at least this much time, s.
    min_correlation : float
        Below, the streams do not show the same flight.
    scale : (low, high)
        Allowed size of the first stream's changes against the second's.
    slack_s : float
        Both halves of the flight may always differ by this much, s.
    block_s : float
        Blocks of the jackknife, s: longer than the correlation time of the errors.
    max_sigma_s : float
        An offset known worse than this is no help, s.
    max_second : float
        A second peak higher than this part of the first leaves open which one is true.
    either_sign : bool
        The streams may run against each other.
    places : bool
        The values are places, compared as they are; else the streams may differ by a constant.
    averaging : float
        Part of a sample interval by which a stamp may lie off the middle of what it averages.
    """

    name: str
    step_s: float
    change_s: float
    lobe_s: float
    hole_s: float
    smoothing_s: float
    overlap_s: float
    min_correlation: float
    scale: tuple[float, float]
    slack_s: float = 0.3
    block_s: float = 20.0
    max_sigma_s: float = 1.0
    max_second: float = 0.8
    either_sign: bool = False
    places: bool = False
    averaging: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """(n, k) values against seconds since a common epoch, without NaN."""

    seconds: Float
    value: Float
    hole_s: float

    @property
    def step(self) -> float:
        """Usual interval, s."""
        return float(np.median(np.diff(self.seconds)))


@dataclass(frozen=True, slots=True)
class Peak:
    """What the coarse search found.

    Parameters
    ----------
    lag_s : float
        To be added to the first stream's time to get the second's, s.
    correlation : float
        How well the streams agree there, -1 to 1.
    second : float
        The next best lag against it, 0 to 1.
    chance : float
        Correlation that unrelated streams reach.
    """

    lag_s: float
    correlation: float
    second: float
    chance: float


def record_of(signal: Signal, epoch: int, nature: Nature) -> Record | None:
    """Return the finite part of a signal; None when it is too short to be of use."""
    value = signal.value if signal.value.ndim > 1 else signal.value[:, None]
    good = np.isfinite(value).all(axis=1)
    seconds = (signal.time[good] - epoch) / _NS
    if seconds.size < MIN_SAMPLES or seconds[-1] - seconds[0] < nature.overlap_s:
        return None
    hole_s = max(nature.hole_s, HOLE_STEPS * float(np.median(np.diff(seconds))))
    return Record(seconds, value[good], hole_s)


def coarse(a: Record, b: Record, nature: Nature, step: float, max_offset_s: float) -> Peak | None:
    """Return the best lag of *b* against *a* within *max_offset_s*; None when nothing can be compared."""
    lags = _Lags(a, b, nature, step, max_offset_s)
    return (_of_places if nature.places else _of_changes)(lags, nature, step)


class _Lags:
    """Both records on one grid, and sums of products at every lag of the second against the first."""

    def __init__(self, a: Record, b: Record, nature: Nature, step: float, max_offset_s: float) -> None:
        from scipy.fft import irfft, next_fast_len, rfft

        starts = [record.seconds[0] - step for record in (a, b)]
        self.x, self.known_x = _gridded(a, starts[0], step, nature)
        self.y, self.known_y = _gridded(b, starts[1], step, nature)
        if not nature.smoothing_s:
            self.x = averaged(self.x, b.step / step) * self.known_x[:, None]
            self.y = averaged(self.y, a.step / step) * self.known_y[:, None]
        n, m = len(self.x), len(self.y)
        length = next_fast_len(n + m, real=True)

        def correlate(left: Float, right: Float) -> Float:
            """Sum over channels; index k: cell i of the first lies on cell i + k - (n - 1) of the second."""
            product = np.conj(rfft(left, length, axis=0)) * rfft(right, length, axis=0)
            if product.ndim > 1:
                product = product.sum(axis=1)
            full: Float = np.roll(irfft(product, length), n - 1)[: n + m - 1]
            return full

        self.correlate = correlate
        self.seconds = (np.arange(n + m - 1) - (n - 1)) * step + starts[1] - starts[0]
        self.overlap = np.maximum(np.rint(correlate(self.known_x, self.known_y)), 0.0)
        reach = np.abs(self.seconds) <= max_offset_s + REACH * step
        self.allowed = reach & (self.overlap * step >= nature.overlap_s)


def _gridded(record: Record, start: float, step: float, nature: Nature) -> tuple[Float, Float]:
    """Return (cells, k) of what is compared, 0 where it is not known, and a 1 where it is, else 0."""
    cells = math.ceil((record.seconds[-1] - start) / step) + 1
    cell = np.floor((record.seconds - start) / step).astype(np.int64)
    count = np.bincount(cell, minlength=cells)[:cells].astype(np.float64)
    known = np.flatnonzero(count)
    grid = np.arange(cells, dtype=np.float64)
    sums = [np.bincount(cell, each, cells)[known] for each in record.value.T]
    mean = np.column_stack([np.interp(grid, known, each / count[known]) for each in sums])
    after = np.searchsorted(known, grid, side="left")
    width = known[np.minimum(after, known.size - 1)] - known[np.maximum(after - 1, 0)]
    inside = (grid >= known[0]) & (grid <= known[-1])
    bridged = inside & ((count > 0) | (width * step <= record.hole_s))
    span = round(nature.change_s / step)
    if span:
        bridged, mean = bridged[span:] & bridged[:-span], mean[span:] - mean[:-span]
    elif not nature.places:
        mean -= mean[bridged].mean(axis=0)
    return mean * bridged[:, None], bridged.astype(np.float64)


def _of_changes(lags: _Lags, nature: Nature, step: float) -> Peak | None:
    """Return the lag of the highest cross-correlation; None when nothing can be compared."""
    product = lags.correlate(lags.x, lags.y)
    height = np.where(lags.allowed, np.abs(product) if nature.either_sign else product, -np.inf)
    best = int(np.argmax(height))
    if not lags.allowed.any() or not height[best] > 0.0:
        return None
    squares = [(each**2).sum(axis=1) for each in (lags.x, lags.y)]
    energy = lags.correlate(squares[0], lags.known_y)[best] * lags.correlate(lags.known_x, squares[1])[best]
    if not energy > 0.0:
        return None
    far = lags.allowed & (np.abs(lags.seconds - lags.seconds[best]) > max(nature.lobe_s, REACH * step))
    return Peak(
        float(lags.seconds[best]) + _parabola(height, best) * step,
        float(product[best]) / math.sqrt(energy),
        max(float(height[far].max()) / float(height[best]), 0.0) if far.any() else 0.0,
        _chance(lags, float(lags.overlap[best])),
    )


def _of_places(lags: _Lags, nature: Nature, step: float) -> Peak | None:
    """Return the lag of the least squared distance among those that explain the movement; None if none does.

    A common shift is free up to :data:`MAX_SHIFT_M`. `correlation` is the part of the variance that the other
    track explains (Lin 1989, doi 10.2307/2532051), `second` a ratio of root mean square distances.
    """
    count = np.maximum(lags.overlap, 1.0)
    squares = [(each**2).sum(axis=1) for each in (lags.x, lags.y)]
    sums = [
        np.column_stack([lags.correlate(p, q) for p, q in pairs])
        for pairs in (
            [(each, lags.known_y) for each in lags.x.T],
            [(lags.known_x, each) for each in lags.y.T],
        )
    ]
    power = lags.correlate(squares[0], lags.known_y) + lags.correlate(lags.known_x, squares[1])
    variance = power / count - sum((each**2).sum(axis=1) for each in sums) / count**2
    shift2 = (((sums[0] - sums[1]) / count[:, None]) ** 2).sum(axis=1)
    residual = (power - 2.0 * lags.correlate(lags.x, lags.y)) / count - shift2
    cost = np.maximum(residual, 0.0) + np.maximum(np.sqrt(shift2) - MAX_SHIFT_M, 0.0) ** 2
    explained = np.where(lags.allowed, count * (variance - cost), -np.inf)
    if not lags.allowed.any() or not explained.max() > 0.0:
        return None
    cost = np.where(explained >= EXPLAINED * explained.max(), cost, np.inf)
    best = int(np.argmin(cost))
    far = np.abs(lags.seconds - lags.seconds[best]) > max(nature.lobe_s, REACH * step)
    wander = WANDER_M**2
    agreement = 1.0 - float(cost[best] / variance[best])
    if cost[best] > MAX_RESIDUAL_M**2:
        agreement = min(agreement, 0.0)
    return Peak(
        float(lags.seconds[best]) + _parabola(-cost, best) * step,
        agreement,
        math.sqrt(float((cost[best] + wander) / (cost[far].min() + wander))) if far.any() else 0.0,
        0.0,
    )


def _chance(lags: _Lags, overlap: float) -> float:
    """Return the correlation that unrelated streams reach at some offset with a probability of `CHANCE`.

    The number of independent samples follows from both autocorrelations (Bartlett's formula).
    """
    from scipy.fft import irfft, next_fast_len, rfft
    from scipy.special import ndtri

    far = max(int(overlap) // 4, 1)
    correlations = []
    for stream in (lags.x, lags.y):
        length = next_fast_len(2 * len(stream), real=True)
        power = (np.abs(rfft(stream, length, axis=0)) ** 2).sum(axis=1)
        own = irfft(power, length)[: far + 1]
        correlations.append(np.pad(own / own[0], (0, far + 1 - own.size)))
    per_sample = max(1.0 + 2.0 * float(np.sum(correlations[0][1:] * correlations[1][1:])), 1.0)
    samples = overlap * lags.x.shape[1] / per_sample
    offsets = max(int(np.count_nonzero(lags.allowed)), 1)
    return math.tanh(-float(ndtri(CHANCE / 2.0 / offsets)) / math.sqrt(max(samples - 3.0, 1.0)))


def _parabola(height: Float, best: int) -> float:
    """Return the vertex, in cells from *best*, of the parabola through the peak and its neighbors."""
    if not 0 < best < height.size - 1:
        return 0.0
    before, top, after = height[best - 1 : best + 2]
    if not (np.isfinite(before) and np.isfinite(after)):
        return 0.0
    curvature = before - 2.0 * top + after
    return float(0.5 * (before - after) / curvature) if curvature < 0.0 else 0.0


def averaged(values: Float, cells: float) -> Float:
    """Return the running mean over an odd number of cells, as near to *cells* as may be."""
    from scipy.ndimage import uniform_filter1d

    mean: Float = uniform_filter1d(values, 2 * int(cells / 2.0) + 1, axis=0, mode="nearest")
    return mean
