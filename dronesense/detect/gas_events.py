"""The events of a scored gas series: where each begins and ends, and how high its peak is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from dronesense.detect import gas_alarms, gas_background

SADDLE: Final = 0.5
"""Two peaks are two events where the series falls below this part of the lower one between them."""
SADDLE_NOISE: Final = 3.0
"""... and by so many standard deviations of the noise more: a dip of the noise is no saddle."""
FOOT: Final = 0.1
"""An event reaches from the first to the last sample above this part of its peak."""
PEAK_HALF_WIDTHS: Final = (0, 2, 3, 5, 8, 13, 21, 34, 55)
"""Half widths of the parabolas that the height of a peak is taken from, in samples; 0 is the raw reading."""
PEAK_AGREEMENT: Final = 2.0
"""Standard deviations by which a wider parabola may differ from a narrower one."""
RIVAL_DEPTH: Final = 5.0
"""Samples this many standard deviations below the highest could have been the highest."""
PEAK_SELECTION: Final = 0.7
"""The raw reading is the highest of its rivals. What it may be higher for that, in parts of the expected
maximum of as many normal variables (Blom 1958): not all of it, because most rivals start lower."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Runs of samples ``first:last``, and the highest sample of each."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    peak: NDArray[np.int64]

    def __len__(self) -> int:
        return self.first.size


def runs_reaching(
    z: NDArray[np.float64], joined: NDArray[np.bool_], low: float, high: float, length: int
) -> Events:
    """Return the runs at or above *low*, at least *length* samples long, that reach *high*."""
    first, last = gas_background.runs(z >= low, joined)
    long = last - first >= length
    first, last = first[long], last[long]
    peak = np.array([i + int(np.argmax(z[i:j])) for i, j in zip(first, last, strict=True)], dtype=np.int64)
    high_enough = z[peak] >= high
    return Events(first[high_enough], last[high_enough], peak[high_enough])


def find(
    z: NDArray[np.float64],
    joined: NDArray[np.bool_],
    plume: NDArray[np.bool_],
    level: float,
    length: int,
) -> Events:
    """Return the runs that reach *level*: one plume is one event, cut at deep saddles between high peaks."""
    from scipy.signal import find_peaks

    pieces = runs_reaching(z, joined, gas_alarms.LOW_OF_HIGH * level, level, length)
    breaks = np.concatenate([[0], np.cumsum(~(joined & plume[1:] & plume[:-1]))])
    apart = np.flatnonzero(np.diff(breaks[pieces.peak]) > 0) + 1
    cuts: list[tuple[int, int, int]] = []
    for group in np.split(np.arange(len(pieces)), apart) if len(pieces) else []:
        first, last = pieces.first[group[0]], pieces.last[group[-1]]
        padded = np.concatenate([[0.0], z[first:last], [0.0]])
        tops, found = find_peaks(padded, height=level, prominence=0.0)
        deep = found["prominences"] >= SADDLE * found["peak_heights"] + SADDLE_NOISE
        kept = tops[deep] - 1
        saddles = [a + int(np.argmin(z[first + a : first + b])) for a, b in pairwise(kept)]
        cuts += [_trimmed(z, first + a, first + b, level) for a, b in pairwise([0, *saddles, last - first])]
    table = np.array(cuts, dtype=np.int64).reshape(-1, 3)
    return Events(table[:, 0], table[:, 1], table[:, 2])


def _trimmed(z: NDArray[np.float64], first: int, last: int, level: float) -> tuple[int, int, int]:
    """Return an event without its long low ends, and its highest sample."""
    peak = first + int(np.argmax(z[first:last]))
    foot = max(gas_alarms.LOW_OF_HIGH * level, FOOT * float(z[peak]))
    inside = first + np.flatnonzero(z[first:last] >= foot)
    return int(inside[0]), int(inside[-1]) + 1, peak


def peak_height(
    z: NDArray[np.float64], peak: int, border: NDArray[np.bool_], phi: float
) -> tuple[float, float]:
    """Return the height of a peak and its standard deviation, both in units of the noise.

    Parabolas are fitted around the peak, wider and wider. A wider one is taken as long as it differs from
    every narrower one by no more than noise of the measured correlation explains; its distance from
    the next narrower one is counted as what smoothing may have taken off.

    The rule is Lepski's (Goldenshluger & Nemirovski 1997, Math. Methods Statist. 6, 135-170).
    """
    most = max(PEAK_HALF_WIDTHS)
    apart = np.abs(np.subtract.outer(np.arange(2 * most + 1), np.arange(2 * most + 1)))
    covariance = phi**apart
    first, last = max(peak - most, 0), min(peak + most + 1, z.size)
    around = np.zeros(2 * most + 1)
    around[first - peak + most : last - peak + most] = z[first:last]
    rivals = np.count_nonzero(around >= z[peak] - RIVAL_DEPTH)
    selection = PEAK_SELECTION * float(ndtri((rivals - 0.375) / (rivals + 0.25)))
    rows = [np.eye(1, 2 * most + 1, most)[0]]
    for half in PEAK_HALF_WIDTHS[1:]:
        inside = peak - half >= 0 and peak + half < z.size
        if not inside or bool(border[peak - half + 1 : peak + half + 1].any()):
            break
        row = np.pad(_parabola_row(half), most - half)
        change = row - np.array(rows)
        agreement = np.full(len(rows), PEAK_AGREEMENT)
        agreement[0] += selection
        allowed = agreement * np.sqrt(np.einsum("ij,jk,ik->i", change, covariance, change))
        if bool(np.any(np.abs(change @ around) > allowed)):
            break
        rows.append(row)
    height = float(rows[-1] @ around)
    bias = height - float(rows[max(len(rows) - 2, 0)] @ around)
    return height, math.sqrt(float(rows[-1] @ covariance @ rows[-1]) + bias**2)


def _parabola_row(half: int) -> NDArray[np.float64]:
    """Return the weights that give the value at the middle of a least-squares parabola (Savitzky-Golay)."""
    x = np.arange(-half, half + 1) / half
    row: NDArray[np.float64] = np.linalg.pinv(np.column_stack([np.ones_like(x), x, x**2]))[0]
    return row
