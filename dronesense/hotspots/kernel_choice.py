"""The kernel of a gas map, chosen by how well it predicts flight lines that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.hotspots.kernel_map import LOOK_WIDTHS, Kernel, axes_of

Floats = NDArray[np.float64]

REACH_SIGMAS: Final = 4.0
"""Kernels are cut this far from a flight line, where they have fallen to 3e-4 of their peak."""
VARIANCE_FLOOR: Final = 1e-6
"""Of the variance of all readings: a reading that a map predicts without any spread scores no better."""


def choose_sigma(
    x: Floats, y: Floats, value: Floats, leg: NDArray[np.int64], *, candidates_m: Sequence[float]
) -> tuple[float, dict[float, float]]:
    """Return the width of a round kernel, and the score of each width: see :func:`choose_kernel`."""
    kernels = [Kernel(float(sigma)) for sigma in candidates_m]
    best, scores = choose_kernel(x, y, value, leg, candidates=kernels)
    return best.sigma_m, {each.sigma_m: score for each, score in zip(kernels, scores, strict=True)}


def choose_kernel(
    x: Floats,
    y: Floats,
    value: Floats,
    leg: NDArray[np.int64],
    *,
    candidates: Sequence[Kernel],
    wind: tuple[Floats, Floats] | None = None,
    spacing_m: float = math.inf,
) -> tuple[Kernel, list[float]]:
    """Return the kernel that predicts flight lines it has not seen best, and the score of each.

    For each leg the samples of all others predict its readings by Kernel DM+V; the score is the mean negative
    log predictive density (lower is better), per sample.

    Parameters
    ----------
    x, y, value : (m,) float64
        Places in meters and readings; average long series first.
    leg : (m,) int64
        Which flight line a sample belongs to; at least two.
    candidates : sequence of Kernel
        What to try; of equals the first wins.
    wind : (east, north), optional
        (m,) m/s toward, at each sample; needed for stretched kernels.
    spacing_m : float
        Distance of samples along a line: where it is less than :data:`LOOK_WIDTHS` kernel widths each counts
        as a part of a look only, in the confidence of the map.

    Raises
    ------
    ValueError
        If there are fewer than two legs, or a stretched kernel comes without wind.
    """
    if np.unique(leg).size < 2:
        raise ValueError("leaving a flight line out needs at least two of them")
    if wind is None and any(each.stretch_s for each in candidates):
        raise ValueError("a stretched kernel needs the wind at each sample")
    still = np.zeros_like(x)
    samples = np.stack([x, y, value, *((still, still) if wind is None else wind)])
    order = np.argsort(leg, kind="stable")
    ends = np.cumsum(np.unique(leg, return_counts=True)[1])
    scores = [_score(samples[:, order], ends, each, spacing_m) for each in candidates]
    return candidates[int(np.argmin(scores))], scores


@dataclass(slots=True, eq=False)
class _Line:
    """A flight line, the samples of others that it can reach, and how near they are, (own, others)."""

    own: slice
    others: NDArray[np.intp]
    to_own: Floats
    to_others: Floats


def _score(samples: Floats, ends: NDArray[np.intp], kernel: Kernel, spacing_m: float) -> float:
    """Return the mean negative log density of samples sorted by leg; each leg is left out in turn.

    What others tell is what all tell less what the leg itself does: sums are taken once, near each leg.
    """
    value = samples[2]
    look = min(1.0, spacing_m / (LOOK_WIDTHS * kernel.sigma_m))
    lines, omega, weighted = _lines(samples, ends, kernel)
    near, alpha = _mean(omega, weighted, look)
    # Of a sample that a leg does not reach the residual depends on it by the mean of all others only.
    free, bound = value - near, 1.0 - alpha
    squares = np.stack([free * free, free * bound, bound * bound])
    everywhere, total = squares.sum(axis=1), float(value.sum())
    density = np.empty(value.size)
    floor = max(float(np.var(value)) * VARIANCE_FLOOR, 1e-300)
    for line in lines:
        own, others = line.own, line.others
        left = value.size - (own.stop - own.start)
        overall = (total - float(value[own].sum())) / left
        far = everywhere - squares[:, own].sum(axis=1) - squares[:, others].sum(axis=1)
        told = np.maximum(omega[others] - line.to_others.sum(axis=0), 0.0)
        near, alpha = _mean(told, weighted[others] - value[own] @ line.to_others, look)
        residual = (value[others] - near - (1.0 - alpha) * overall) ** 2
        told = line.to_own.sum(axis=1)
        near, alpha = _mean(told, line.to_own @ value[others], look)
        variance = alpha * (line.to_own @ residual) / np.where(told > 0.0, told, 1.0)
        elsewhere = float(far @ (1.0, -2.0 * overall, overall**2))
        variance += (1.0 - alpha) * (max(elsewhere, 0.0) + float(residual.sum())) / left
        spread = np.maximum(variance, floor)
        error = value[own] - near - (1.0 - alpha) * overall
        density[own] = 0.5 * np.log(2.0 * math.pi * spread) + 0.5 * error**2 / spread
    return float(density.mean())


def _lines(samples: Floats, ends: NDArray[np.intp], kernel: Kernel) -> tuple[list[_Line], Floats, Floats]:
    """Return the lines with what they reach, and the sums of kernels and of readings at each sample."""
    x, y, value = samples[:3]
    reach = REACH_SIGMAS * (kernel.sigma_m + kernel.stretch_s * float(np.max(np.hypot(*samples[3:]))))
    turning = bool(kernel.stretch_s and np.ptp(samples[3:], axis=1).any())
    omega, weighted = np.empty(value.size), np.empty(value.size)
    lines = []
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        own = slice(int(first), int(last))
        near = (x > x[own].min() - reach) & (x < x[own].max() + reach)
        near &= (y > y[own].min() - reach) & (y < y[own].max() + reach)
        near[own] = False
        others = np.flatnonzero(near)
        to_own = _closeness(samples[:, own], samples[:, others], kernel)
        back = _closeness(samples[:, others], samples[:, own], kernel).T if turning else to_own
        itself = _closeness(samples[:, own], samples[:, own], kernel)
        omega[own] = to_own.sum(axis=1) + itself.sum(axis=1)
        weighted[own] = to_own @ value[others] + itself @ value[own]
        lines.append(_Line(own, others, to_own, back))
    return lines, omega, weighted


def _mean(omega: Floats, weighted: Floats, look: float) -> tuple[Floats, Floats]:
    """Return what the samples tell of the map's mean, and their share in it: sums are over the peak."""
    alpha = -np.expm1(-look * omega)
    return alpha * weighted / np.where(omega > 0.0, omega, 1.0), alpha


def _closeness(at: Floats, of: Floats, kernel: Kernel) -> Floats:
    """Return the kernels *of* samples over their peak *at* others: (at, of)."""
    east, north = at[0][:, None] - of[0], at[1][:, None] - of[1]
    if kernel.stretch_s:
        long, short, cos, sin = axes_of(kernel, (of[3], of[4]))
        scale = kernel.sigma_m
        east, north = (
            (east * cos + north * sin) * (scale / long),
            (north * cos - east * sin) * (scale / short),
        )
    east *= east
    north *= north
    east += north
    east *= -0.5 / kernel.sigma_m**2
    return np.asarray(np.exp(east, out=east))
