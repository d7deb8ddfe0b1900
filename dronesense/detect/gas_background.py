"""The background under the plumes of a gas series, and the noise around it.

A rolling quantile, or a baseline by asymmetric least squares, gives a first background that plumes cannot
lift; then plumes are taken out and a Whittaker smoother goes through what is left, again and again until the
plumes stay the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import gas_baseline

STARTS: Final = ("quantile", *gas_baseline.FAMILY)
"""What the first background may be: a rolling quantile, or a baseline by asymmetric least squares."""

BINS_PER_WINDOW: Final = 40
"""Bins that the smoother works on per window (but none is narrower than a sampling interval)."""
START_PERCENT: Final = 20.0
"""Quantile of the first background: up to 80 % of a window may be plume."""
START_PASSES: Final = 3
"""The quantile of a slope lies low; what is left over is put back this many times."""
PLUME_LOW: Final = 2.0
PLUME_HIGH: Final = 5.0
"""A plume is a run above the low level that reaches the high one, in standard deviations of the noise."""
SKIRT: Final = 0.25
"""A plume is widened by this part of its length on either side ..."""
MIN_SKIRT: Final = 1
"""... and by so many samples at least."""
CLIP: Final = 2.5
"""Residuals beyond this many standard deviations take no part in the standard deviation."""
MAX_ROUNDS: Final = 12
GAP_INTERVALS: Final = 3.0
"""Stamps farther apart than this many median intervals are a gap."""
MAX_PHI: Final = 0.995
"""Noise with more memory than this is drift, which the background follows."""
MIN_SAMPLES: Final = 30
"""Fewer valid samples tell neither background nor noise."""

_QUANTILE_SPREAD: Final = 0.7571508
"""``z(0.3) - z(0.1)`` of the standard normal distribution."""
_QUANTILE_30: Final = -0.5244005
"""``z(0.3)`` of the standard normal distribution."""
_CLIPPED_VARIANCE: Final = 1.0 - 2.0 * CLIP * math.exp(-0.5 * CLIP**2) / math.sqrt(2.0 * math.pi) / math.erf(
    CLIP / math.sqrt(2.0)
)
"""Variance of a standard normal variable within plus and minus :data:`CLIP`."""


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What a series would have been without plumes.

    Parameters
    ----------
    value : (m,) float64
        Background at every sample.
    plume : (m,) bool
        Samples that took no part.
    noise : float
        Standard deviation of the samples around the background.
    phi : float
        Correlation of neighboring samples around the background, 0 or more.
    window_s : float
        Period above which the background follows the series, s.
    center, weight : (b,) float64
        Bins of the smoother: time, s, and number of samples relative to a full bin.
    strength : float
        Penalty on the second difference of the bins.
    bin_noise : float
        Standard deviation of the mean of a full bin, correlation allowed for.
    """

    value: NDArray[np.float64]
    plume: NDArray[np.bool_]
    noise: float
    phi: float
    window_s: float
    center: NDArray[np.float64]
    weight: NDArray[np.float64]
    strength: float
    bin_noise: float

    def sigma(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviation of the background at times: the noise of what it rests on."""
        at = np.clip(np.searchsorted(self.center, seconds), 0, self.center.size - 1)
        unit = np.zeros((self.center.size, at.size))
        unit[at, np.arange(at.size)] = 1.0
        row = _solve(self.weight, self.strength, unit)
        sigma: NDArray[np.float64] = self.bin_noise * np.sqrt((self.weight[:, None] * row**2).sum(axis=0))
        return sigma


def estimate(
    seconds: NDArray[np.float64],
    value: NDArray[np.float64],
    *,
    window_s: float,
    start: str = "quantile",
) -> Background:
    """Estimate background and noise of valid samples.

    The smoother minimizes ``sum w (y - b)^2 + strength * sum (D2 b)^2`` over bins (Eilers 2003,
    doi 10.1021/ac034173t); it halves a sine of period *window_s*. Under plumes w = 0, and b is bridged
    smoothly. Negative excursions are taken out as plumes are, so that noise alone leaves no bias.

    Parameters
    ----------
    seconds, value : (m,) float64
        Increasing stamps and finite values, at least :data:`MIN_SAMPLES`.
    window_s : float
        At least three times the duration of the longest plume.
    start : str
        First background: one of :data:`STARTS`. A record that is too short for a baseline takes the quantile.
    """
    if start not in STARTS:
        raise ValueError(f"start must be one of {STARTS}, not {start!r}")
    step = float(np.median(np.diff(seconds)))
    width = max(window_s / BINS_PER_WINDOW, step)
    cell = ((seconds - seconds[0]) / width).astype(np.int64)
    count = int(cell[-1]) + 1
    center = seconds[0] + (np.arange(count) + 0.5) * width
    strength = (window_s / (2.0 * math.pi * width)) ** 4
    joined = np.diff(seconds) <= GAP_INTERVALS * step

    if start == "quantile" or count < gas_baseline.MIN_SAMPLES:
        level: NDArray[np.float64] = _start(value, cell, center, seconds)
    else:
        filled, median = _bin_medians(value, cell)
        grid = np.interp(center, center[filled], median)
        level = np.interp(seconds, center, gas_baseline.baseline(grid, family=start, strength=strength))
    noise, offset = _first_noise(value - level, value)
    level = level + offset
    plume = np.zeros(value.size, dtype=np.bool_)
    weight: NDArray[np.float64] = np.ones(count)
    for _ in range(MAX_ROUNDS):
        rest = value - level
        found = _plumes(rest / noise, joined) | _wide_plumes(rest, cell, plume)
        if found.all():
            break
        weight = np.bincount(cell[~found], minlength=count).astype(np.float64) * (step / width)
        total = np.bincount(cell[~found], value[~found], count) * (step / width)
        middle = float(total.sum() / weight.sum())
        level = np.interp(seconds, center, _solve(weight, strength, total - weight * middle) + middle)
        noise = _clipped_noise((value - level)[~found], noise, value)
        settled = bool(np.array_equal(found, plume))
        plume = found
        if settled:
            break
    phi = correlation((value - level) / noise, ~plume, joined, 1)
    memory = math.sqrt((1.0 + phi) / (1.0 - phi))
    bin_noise = noise * min(memory * math.sqrt(step / width), 1.0)
    return Background(level, plume, noise, phi, window_s, center, weight, strength, bin_noise)


def correlation(
    z: NDArray[np.float64], usable: NDArray[np.bool_], joined: NDArray[np.bool_], lag: int
) -> float:
    """Return the correlation of residuals *lag* samples apart, within [0, :data:`MAX_PHI`]."""
    return min(max(autocorrelation(z, usable, joined, lag), 0.0), MAX_PHI)


def autocorrelation(
    z: NDArray[np.float64], usable: NDArray[np.bool_], joined: NDArray[np.bool_], lag: int
) -> float:
    """Return the correlation of residuals *lag* samples apart, of either sign.

    Residuals are held within :data:`CLIP`; pairs with a gap between them do not count.
    """
    stretch = np.concatenate([[0], np.cumsum(~joined)])
    both = usable[lag:] & usable[:-lag] & (stretch[lag:] == stretch[:-lag])
    if np.count_nonzero(both) < MIN_SAMPLES:
        return 0.0
    clipped = np.clip(z, -CLIP, CLIP)
    first, second = clipped[:-lag][both], clipped[lag:][both]
    power = math.sqrt(float((first**2).mean() * (second**2).mean()))
    return float((first * second).mean()) / power if power > 0.0 else 0.0


def runs(above: NDArray[np.bool_], joined: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and past-the-last sample of each run of True that no gap interrupts.

    Examples
    --------
    >>> above = np.array([False, True, True, True, False])
    >>> [list(map(int, part)) for part in runs(above, np.array([True, True, False, True]))]
    [[1, 3], [3, 4]]
    """
    begins = above.copy()
    begins[1:] &= ~(above[:-1] & joined)
    ends = above.copy()
    ends[:-1] &= ~(above[1:] & joined)
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1


def _start(
    value: NDArray[np.float64],
    cell: NDArray[np.int64],
    center: NDArray[np.float64],
    seconds: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the rolling quantile of bin medians: low, but not lifted by plumes."""
    from scipy.ndimage import percentile_filter, uniform_filter1d

    level = np.zeros(value.size)
    for _ in range(START_PASSES):
        filled, median = _bin_medians(value - level, cell)
        grid = np.interp(center, center[filled], median)
        low = percentile_filter(grid, START_PERCENT, size=BINS_PER_WINDOW + 1, mode="nearest")
        smooth = uniform_filter1d(low, BINS_PER_WINDOW // 2, mode="nearest")
        level = level + np.interp(seconds, center, smooth)
    return level


def _bin_medians(
    value: NDArray[np.float64], cell: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the bins that hold samples, and their medians."""
    filled, first = np.unique(cell, return_index=True)
    last = np.append(first[1:], cell.size)
    ordered = value[np.lexsort((value, cell))]
    return filled, 0.5 * (ordered[(first + last - 1) // 2] + ordered[(first + last) // 2])


def _first_noise(rest: NDArray[np.float64], value: NDArray[np.float64]) -> tuple[float, float]:
    """Return noise and offset of the background from the lower quantiles, which plumes hardly touch."""
    tenth, third = np.quantile(rest, [0.1, 0.3])
    noise = max(float(third - tenth) / _QUANTILE_SPREAD, _noise_floor(value))
    return noise, float(third) - _QUANTILE_30 * noise


def _noise_floor(value: NDArray[np.float64]) -> float:
    """Return the noise that rounding alone leaves: the smallest step over sqrt(12); never 0."""
    steps = np.abs(np.diff(value))
    steps = steps[steps > 0.0]
    tiny = 1e-9 * max(float(np.abs(value).max()), 1e-9)
    return max(float(steps.min()) / math.sqrt(12.0), tiny) if steps.size else tiny


def _clipped_noise(rest: NDArray[np.float64], noise: float, value: NDArray[np.float64]) -> float:
    """Return the standard deviation of the residuals, those beyond :data:`CLIP` left out and allowed for."""
    start = 1.4826 * float(np.median(np.abs(rest)))
    noise = start if start > 0.0 else noise
    for _ in range(MAX_ROUNDS):
        core = rest[np.abs(rest) <= CLIP * noise]
        if core.size == 0:
            break
        noise = math.sqrt(float((core**2).mean()) / _CLIPPED_VARIANCE)
    return max(noise, _noise_floor(value))


def _plumes(
    z: NDArray[np.float64], joined: NDArray[np.bool_], longest: int | None = None
) -> NDArray[np.bool_]:
    """Return the samples of excursions of either sign, up to *longest* samples each, with their skirts."""
    change = np.zeros(z.size + 1)
    for side in (z, -z):
        first, last = runs(side > PLUME_LOW, joined)
        if first.size == 0:
            continue
        edges = np.column_stack([first, last]).ravel()
        tops = np.maximum.reduceat(np.append(side, -np.inf), edges)[::2]
        high = tops > PLUME_HIGH
        if longest is not None:
            high &= last - first <= longest
        first, last = first[high], last[high]
        skirt = np.maximum(MIN_SKIRT, np.ceil(SKIRT * (last - first))).astype(np.int64)
        np.add.at(change, np.maximum(first - skirt, 0), 1.0)
        np.add.at(change, np.minimum(last + skirt, z.size), -1.0)
    found: NDArray[np.bool_] = np.cumsum(change)[:-1] > 0.5
    return found


def _wide_plumes(
    rest: NDArray[np.float64], cell: NDArray[np.int64], plume: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the samples in bins whose means stand out: plumes too weak for single samples, and their feet.

    What is longer than a third of the window is background.
    """
    filled, part = np.unique(cell, return_inverse=True)
    mean = np.bincount(part, rest) / np.bincount(part)
    clear = np.bincount(part, plume) == 0
    spread = 1.4826 * float(np.median(np.abs(mean[clear] if clear.any() else mean)))
    if spread == 0.0:
        return np.zeros(rest.size, dtype=np.bool_)
    found: NDArray[np.bool_] = _plumes(mean / spread, np.diff(filled) == 1, BINS_PER_WINDOW // 3)[part]
    return found


def _solve(weight: NDArray[np.float64], strength: float, right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve ``(diag(weight) + strength D2' D2) x = right`` on a regular grid; two bins have no bend."""
    from scipy.linalg import solveh_banded

    n = weight.size
    banded = np.zeros((3, n))
    if n > 2:
        inner = np.zeros((3, n - 2)) + np.array([1.0, -2.0, 1.0])[:, None]
        for shift in range(3):
            for other in range(shift, 3):
                banded[other - shift, shift : shift + n - 2] += strength * inner[shift] * inner[other]
    # The tiny weight keeps the system definite where two full bins are not given.
    banded[0] += weight + 1e-12 * (weight.sum() / n + strength)
    solution: NDArray[np.float64] = solveh_banded(banded[: min(3, n)], right, lower=True, check_finite=False)
    return solution
