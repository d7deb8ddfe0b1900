"""Control charts for small lasting rises: CUSUM and EWMA of whitened residuals, and how long noise is quiet.

The run length of a chart is the number of samples until it first alarms; its mean over noise (the average
run length, ARL) solves a Fredholm equation of the second kind over the chart's states, here by Gauss-Legendre
quadrature (Nyström's method), without simulation. See Page 1954, doi 10.1093/biomet/41.1-2.100, and Brook &
Evans 1972, doi 10.1093/biomet/59.3.539 (CUSUM); Roberts 1959, doi 10.1080/00401706.1959.10489860, and
Lucas & Saccucci 1990, doi 10.1080/00401706.1990.10484583 (EWMA).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from dronesense.detect import gas_alarms, gas_events

REFERENCE: Final = 0.5
"""The CUSUM gathers what exceeds this many standard deviations: best against a rise of one (Page 1954)."""
MEMORY_S: Final = 2.0
"""Time constant of the EWMA, s: across a plume, and short against the background, which eats longer sums."""

KERNEL_REST: Final = 0.02

_NODES: Final = 96
"""States of the chart at which its equation is solved."""
_TABLE: Final = tuple(0.5 * step for step in range(1, 41))
"""CUSUM levels at which run lengths are computed; in between, and beyond, their logarithm is a line."""
_FIRST_LOOK: Final = 256
"""Samples looked at first when an event is followed; the look doubles until the event ends."""


def cusum(
    residual: NDArray[np.float64], joined: NDArray[np.bool_], *, reference: float = REFERENCE
) -> NDArray[np.float64]:
    """Return the one-sided CUSUM ``S[k] = max(0, S[k-1] + e[k] - reference)``.

    Parameters
    ----------
    residual : (m,) float64
        White noise of unit variance where there is no gas.
    joined : (m - 1,) bool
        Whether neighbors belong together.
    reference : float
        What is taken off every sample, in standard deviations. The sum starts from 0, at gaps too.

    Examples
    --------
    >>> cusum(np.array([1.0, 2.0, -3.0, 1.0]), np.ones(3, bool)).tolist()
    [0.5, 2.0, 0.0, 0.5]
    """
    result = np.empty(residual.size)
    for first, last in _stretches(joined):
        walk = np.cumsum(residual[first:last] - reference)
        result[first:last] = walk - np.minimum(np.minimum.accumulate(walk), 0.0)
    return result


def ewma(
    residual: NDArray[np.float64], joined: NDArray[np.bool_], *, smoothing: float
) -> NDArray[np.float64]:
    """Return the exponentially weighted moving average, in its own standard deviations.

    ``Q[k] = (1 - smoothing) Q[k-1] + smoothing e[k]`` over ``sqrt(smoothing / (2 - smoothing))``; it starts
    from 0 at the start and at gaps.

    Parameters
    ----------
    residual, joined
        As in :func:`cusum`.
    smoothing : float
        Weight of the newest sample, 0 < smoothing <= 1.
    """
    from scipy.signal import lfilter

    gain = smoothing / math.sqrt(smoothing / (2.0 - smoothing))
    result = np.empty(residual.size)
    for first, last in _stretches(joined):
        result[first:last] = lfilter([gain], [1.0, smoothing - 1.0], residual[first:last])
    return result


def kernel(smoothing: float) -> NDArray[np.float64]:
    """Return the weights of an EWMA, the oldest first, until :data:`KERNEL_REST` of them is left.

    Examples
    --------
    >>> kernel(0.5)[-3:].tolist()
    [0.125, 0.25, 0.5]
    """
    count = math.ceil(math.log(KERNEL_REST) / math.log1p(-smoothing))
    return np.asarray(smoothing * (1.0 - smoothing) ** np.arange(count - 1.0, -1.0, -1.0))


def cusum_run_length(level: float, *, reference: float = REFERENCE, shift: float = 0.0) -> float:
    """Return the mean number of samples until a one-sided CUSUM that starts at 0 reaches *level*.

    Solves ``L(s) = 1 + L(0) Phi(r - s) + integral over (0, level) of L(x) n(x + r - s) dx``, where r is
    *reference* less *shift*.

    Parameters
    ----------
    level : float
        Decision interval h, in standard deviations of one sample.
    reference : float
        As in :func:`cusum`.
    shift : float
        Mean of the samples; 0 is noise alone.

    Examples
    --------
    Hawkins & Olwell 1998 have 930.9:

    >>> round(cusum_run_length(5.0), 1)
    930.9
    """
    x, weight = gas_alarms.nodes(0.0, level, _NODES)
    states = np.concatenate([[0.0], x])
    down = ndtr(reference - shift - states)
    kernel = gas_alarms.density(x + reference - shift - states[:, None]) * weight
    matrix = np.eye(states.size) - np.column_stack([down, kernel])
    return float(np.linalg.solve(matrix, np.ones(states.size))[0])


def ewma_run_length(limit: float, *, smoothing: float, shift: float = 0.0, two_sided: bool = True) -> float:
    """Return the mean number of samples until an EWMA that starts at 0 passes *limit*.

    Solves ``L(q) = 1 + integral of L(x) n((x - (1 - w) q) / w - shift) / w dx`` over the quiet states; w is
    *smoothing*.

    Parameters
    ----------
    limit : float
        In the EWMA's own standard deviations.
    smoothing : float
        As in :func:`ewma`.
    shift : float
        Mean of the samples, in standard deviations of one sample.
    two_sided : bool
        Alarm on either side, or above only.

    Examples
    --------
    Lucas & Saccucci 1990 have 500:

    >>> round(ewma_run_length(2.962, smoothing=0.2))
    500
    """
    spread = math.sqrt(smoothing / (2.0 - smoothing))
    lowest = -limit if two_sided else -max(limit, gas_alarms.GAUSS_LIMIT)
    x, weight = gas_alarms.nodes(lowest * spread, limit * spread, 2 * _NODES)
    states = np.concatenate([[0.0], x])
    step = (x - (1.0 - smoothing) * states[:, None]) / smoothing - shift
    kernel = np.zeros((states.size, states.size))
    kernel[:, 1:] = gas_alarms.density(step) / smoothing * weight
    return float(np.linalg.solve(np.eye(states.size) - kernel, np.ones(states.size))[0])


def cusum_rate(level: float) -> float:
    """Return how often noise alone brings a CUSUM to *level*, per sample."""
    levels, logs = _run_lengths()
    if level <= levels[-1]:
        return math.exp(-float(np.interp(level, levels, logs)))
    slope = (logs[-1] - logs[-2]) / (levels[-1] - levels[-2])
    return math.exp(-min(float(logs[-1] + slope * (level - levels[-1])), 600.0))


@lru_cache(maxsize=1)
def _run_lengths() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return levels and the logarithm of the CUSUM's run lengths.

    The time back from an alarm to 0 counts too: an excursion is one event however long it lasts.
    """
    levels = np.array(_TABLE)
    quiet = np.array([cusum_run_length(level) for level in _TABLE])
    return levels, np.log(quiet + levels / REFERENCE)


def cusum_events(
    residual: NDArray[np.float64], joined: NDArray[np.bool_], level: float
) -> tuple[gas_events.Events, NDArray[np.float64]]:
    """Return the events of a CUSUM, and how high it went in each.

    After an alarm the chart is followed to its highest value, where the rise ends; it has ended once the
    chart has fallen by *level* from there or the stretch is over. The event begins after the chart's last
    zero (Page's estimate of when a rise began). The chart starts again from 0 behind the event.

    Parameters
    ----------
    residual, joined
        As in :func:`cusum`.
    level : float
        Decision interval.
    """
    found: list[tuple[int, int, float]] = []
    for first, last in _stretches(joined):
        at = first
        while (event := _next(residual, at, last, level)) is not None:
            found.append(event)
            at = event[1]
    table = np.array([(a, b) for a, b, _ in found], dtype=np.int64).reshape(-1, 2)
    events = gas_events.Events(table[:, 0], table[:, 1], table[:, 1] - 1)
    return events, np.array([height for _, _, height in found])


def _stretches(joined: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield first and past-the-last sample of each stretch without gaps."""
    edges = [0, *(np.flatnonzero(~joined) + 1).tolist(), joined.size + 1]
    yield from pairwise(edges)


def _next(residual: NDArray[np.float64], at: int, end: int, level: float) -> tuple[int, int, float] | None:
    """Return beginning, end and height of the first event from *at* on, or None."""
    look = _FIRST_LOOK
    while at < end:
        last = min(at + look, end)
        alone = np.ones(last - at - 1, dtype=np.bool_)
        chart = cusum(residual[at:last], alone)
        alarm = int(np.argmax(chart >= level))
        if chart[alarm] >= level:
            top = np.maximum.accumulate(chart[alarm:])
            fallen = np.flatnonzero(chart[alarm:] <= top - min(level, float(top[0])))
            if fallen.size or last == end:
                stop = alarm + (int(fallen[0]) if fallen.size else last - at - alarm - 1)
                peak = alarm + int(np.argmax(chart[alarm : stop + 1]))
                zeros = np.flatnonzero(chart[:alarm] == 0.0)
                begin = int(zeros[-1]) + 1 if zeros.size else 0
                return at + begin, at + peak + 1, float(chart[peak])
        elif last == end:
            return None
        look *= 2
    return None
