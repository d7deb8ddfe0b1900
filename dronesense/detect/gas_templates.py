"""Matched filters for plumes of several durations, in whitened noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import gas_alarms, gas_events

SHORTEST_SAMPLES: Final = 2.0
"""Full width at half maximum of the shortest template, in samples: one sample alone has no shape."""
OCTAVE: Final = 2.0
"""Ratio of neighboring durations: a plume in between loses 3 % of its signal-to-noise ratio at most."""
LONGEST_OF_WINDOW: Final = 0.1
"""Longest template against the window of the background, which would eat longer ones."""
REACH: Final = 1.5
"""Templates are cut this many full widths from their middle: 0.2 % of a Gaussian's height."""

SIMULATED: Final = 2**18
"""Samples of white noise that the bank is tried on once: 73 h at 1 Hz, 7 h at 10 Hz."""
SEED: Final = 20_231_119
"""Of that noise: the same bank has the same false alarms in every run."""
FEWEST_EVENTS: Final = 100
"""Levels that fewer events of the trial reach are not compared: their rate is known to 10 % at best."""
SLOPE_LEVELS: Final = 4
"""Beyond the tried levels the part that is left grows as over the last so many."""
TRIED_LEVELS: Final = tuple(0.25 * step for step in range(8, 25))

_HALF_WIDTH: Final = 4.0 * math.log(2.0)
"""``exp(-4 ln 2 (t / width)^2)`` has the full width *width* at half its height."""


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Whitened plume shapes of unit energy, and the sample of each where its plume is highest.

    Parameters
    ----------
    shape : tuple of (n,) float64
        In order of duration.
    middle : tuple of int
        Position in the shape where the plume, seen through the analyser, is highest.
    width : tuple of float
        Full width at half maximum of the plume in the air, in samples.
    """

    shape: tuple[NDArray[np.float64], ...]
    middle: tuple[int, ...]
    width: tuple[float, ...]


@lru_cache(maxsize=64)
def bank(widths: tuple[float, ...], whitening: tuple[float, ...] = (1.0,)) -> Bank:
    """Return Gaussian plumes of several widths as whitened residuals show them.

    Parameters
    ----------
    widths : tuple of float
        Full widths at half maximum, in samples.
    whitening : tuple of float
        Filter that makes the noise white: ``(1, -phi)`` for an autoregression of first order.
    """
    shapes, middles = [], []
    for width in widths:
        reach = math.ceil(REACH * width)
        t = np.arange(-reach, reach + 1, dtype=np.float64)
        middles.append(reach)
        white = np.convolve(np.exp(-_HALF_WIDTH * (t / width) ** 2), whitening)[: t.size]
        shapes.append(white / math.sqrt(float(white @ white)))
    return Bank(tuple(shapes), tuple(middles), widths)


def widths(*, step_s: float, window_s: float, min_duration_s: float = 0.0) -> tuple[float, ...]:
    """Return the full widths of the templates, in samples: octaves up to a tenth of the window.

    Examples
    --------
    >>> widths(step_s=1.0, window_s=300.0)
    (2.0, 4.0, 8.0, 16.0)
    """
    shortest = max(SHORTEST_SAMPLES, min_duration_s / step_s)
    longest = max(LONGEST_OF_WINDOW * window_s / step_s, shortest)
    count = 1 + math.floor(math.log(longest / shortest, OCTAVE) + 1e-9)
    return tuple(shortest * OCTAVE**k for k in range(count))


def respond(residual: NDArray[np.float64], joined: NDArray[np.bool_], templates: Bank) -> NDArray[np.float64]:
    """Return what each template finds at every sample, in standard deviations of white noise.

    At the ends of stretches the part of the template that has samples counts, with its own energy.

    Parameters
    ----------
    residual : (m,) float64
        Whitened, of unit variance.
    joined : (m - 1,) bool
        Whether neighbors belong together.
    templates : Bank

    Returns
    -------
    (k, m) float64
        One row per template.
    """
    from scipy.signal import oaconvolve

    longest = max(shape.size for shape in templates.shape)
    place = np.arange(residual.size) + longest * np.concatenate([[0], np.cumsum(~joined)])
    padded, full = np.zeros(int(place[-1]) + 1), np.zeros(int(place[-1]) + 1)
    padded[place], full[place] = residual, 1.0
    result = np.empty((len(templates.shape), residual.size))
    for row, shape, middle in zip(result, templates.shape, templates.middle, strict=True):
        backward = shape[::-1]
        at = place + shape.size - 1 - middle
        found = oaconvolve(padded, backward)[at]
        energy = np.clip(oaconvolve(full, backward**2)[at], 0.0, 1.0)
        # Less than a tenth of a template says nothing about its shape.
        row[:] = np.where(energy > 0.1, found / np.sqrt(np.maximum(energy, 0.1)), 0.0)
    return result


@dataclass(frozen=True, slots=True)
class BankRate:
    """How often noise alone makes an event of a whole bank, per sample, against the level.

    The templates' up-crossings add up to a bound; neighbors cross together, and a crossing soon after another
    belongs to the same event. The part that is left was counted once on simulated white noise, up to the
    highest level that enough events reach. It grows on from there as before, to 1 at most: the higher the
    level, the rarer do two crossings go together.
    """

    lag_one: tuple[float, ...]
    level: tuple[float, ...]
    part: tuple[float, ...]

    def __call__(self, level: float) -> float:
        """Return the rate of events that reach *level*, in standard deviations."""
        part = float(np.interp(level, self.level, self.part))
        if level > self.level[-1]:
            known = min(len(self.level), SLOPE_LEVELS)
            rise = (self.part[-1] - self.part[-known]) / max(self.level[-1] - self.level[-known], 1e-9)
            part = min(part + rise * (level - self.level[-1]), 1.0)
        return part * _crossings(level, self.lag_one)


@lru_cache(maxsize=64)
def rate(templates: Bank) -> BankRate:
    """Return the rate of false events of a bank; counted once per bank."""
    lag_one = tuple(float(shape[1:] @ shape[:-1]) for shape in templates.shape)
    noise = np.random.default_rng(SEED).standard_normal(SIMULATED)
    joined = np.ones(SIMULATED - 1, dtype=np.bool_)
    best = respond(noise, joined, templates).max(axis=0)
    levels: list[float] = []
    parts: list[float] = []
    for level in TRIED_LEVELS:
        count = len(gas_events.runs_reaching(best, joined, gas_alarms.LOW_OF_HIGH * level, level, 1))
        if count < FEWEST_EVENTS and levels:
            break
        levels.append(level)
        parts.append(count / SIMULATED / _crossings(level, lag_one))
    return BankRate(lag_one, tuple(levels), tuple(parts))


def _crossings(level: float, lag_one: Sequence[float]) -> float:
    """Return the rate at which any template crosses *level* upward, each counted."""
    level = min(level, gas_alarms.GAUSS_LIMIT)
    return sum(gas_alarms.event_rate(level, level, max(each, 0.0)) for each in lag_one)
