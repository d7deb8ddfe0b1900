"""Two clocks by what both of their instruments felt: the offset between two streams of one quantity.

Coarse: every offset on a grid (:mod:`dronesense.calibrate.lags`). Fine: least squares, with a standard
uncertainty from a jackknife. An offset is accepted only if the streams agree more than chance lets them, no
other offset does nearly as well, and both halves of the flight give the same answer; else it is refused in
plain words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate.lags import REACH, Float, Nature, Peak, Record, Signal, averaged, coarse, record_of

__all__ = ["POSITIONS", "ClockOffset", "Nature", "Signal", "cross_correlate", "match_tracks", "refused"]

HALVES_SIGMAS: Final = 4.0
"""The two halves of the flight may differ by this many standard deviations, or by ``Nature.slack_s``."""
PER_SAMPLE: Final = 5
"""Coarse steps in a sample interval where the quantity sets no step; odd, for averages without a shift."""
FINE: Final = 20
"""Fine steps in a coarse one of a quantity's own ..."""
FINE_OF_SAMPLE: Final = 4
"""... and in one that is a part of a sample interval."""
MAX_CELLS: Final = 4_000_000
"""Streams longer than this many coarse steps are not searched: 46 days of pressure."""
MIN_BLOCKS: Final = 6
"""Blocks of the jackknife, and samples of a fit."""

POSITIONS: Final = Nature(
    "positions", step_s=1.0, change_s=0.0, lobe_s=20.0, hole_s=5.0, smoothing_s=0.4, overlap_s=60.0,
    min_correlation=0.95, scale=(0.8, 1.25), max_second=0.5, places=True,
)  # fmt: skip
"""East and north of two receivers, m."""

_ITERATIONS: Final = 8
"""Gauss-Newton converges in two or three; this is the limit."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """An estimated clock error.

    Parameters
    ----------
    offset_s : float
        To be *added* to the instrument's time to get the log's time, s; 0 when there is no estimate.
    sigma_s : float
        Standard uncertainty, s; inf when there is no estimate.
    accepted : bool
        False: do not use it; `reason` says why and what to do.
    method : str
        What was compared: ``"pressure"``, ``"height"``, ``"positions"``, ``"rates"`` or ``"none"``.
    reason : str
        In words.
    correlation, second : float
        How well the streams agree, -1 to 1, and the next best offset against the best, 0 to 1; NaN if the
        search did not come that far.
    """

    offset_s: float
    sigma_s: float
    accepted: bool
    method: str
    reason: str
    correlation: float = math.nan
    second: float = math.nan


def refused(why: str, method: str, correlation: float = math.nan, second: float = math.nan) -> ClockOffset:
    """Return that there is no offset, and *why*."""
    return ClockOffset(0.0, math.inf, False, method, why, correlation, second)


@dataclass(frozen=True, slots=True)
class _Fit:
    offset_s: float
    sigma_s: float
    scale: float


def cross_correlate(a: Signal, b: Signal, nature: Nature, *, max_offset_s: float) -> ClockOffset:
    """Find what to add to the clock of *a* to get that of *b*, by laying one signal over the other.

    The height of the cross-correlation ranks the offsets (it cannot be large over a short overlap); the
    masked normalized one (Padfield 2012, doi 10.1109/TIP.2011.2181402) tells how well the streams agree
    there, against what chance gives for as many independent samples (Bartlett 1935, doi 10.2307/2342284).
    Then least squares of ``a(t) = c + s b(t + offset) + d t`` by Gauss-Newton, with the standard uncertainty
    of a jackknife over blocks (Künsch 1989, doi 10.1214/aos/1176347265).

    Parameters
    ----------
    a, b : Signal
        Of as many channels; rates, gaps and noise may differ.
    nature : Nature
        What is compared, and what is asked of a true pair.
    max_offset_s : float
        Offsets up to this size, of either sign, are considered.

    Returns
    -------
    ClockOffset
        Never guessed: `accepted` is False with a reason when the data do not decide.

    Examples
    --------
    >>> t = np.arange(0, 300 * 10**9, 10**8)
    >>> climb = np.interp(t / 1e9, [0, 60, 70, 150, 190, 300], [0, 0, 30, 30, 90, 90])
    >>> heights = Nature("height", 1.0, 4.0, 20.0, 5.0, 0.4, 60.0, 0.7, (0.5, 1.5))
    >>> late = Signal(t + 7 * 10**9, climb)
    >>> round(cross_correlate(late, Signal(t, climb), heights, max_offset_s=60.0).offset_s, 3)
    -7.0
    """
    if not max_offset_s > 0.0:
        raise ValueError(f"max_offset_s must be > 0, not {max_offset_s}")
    epoch = int(b.time[0]) if b.time.size else 0
    first, second = record_of(a, epoch, nature), record_of(b, epoch, nature)
    if first is None or second is None:
        which = "first" if first is None else "second"
        why = f"the {which} stream holds less than {nature.overlap_s:.0f} s of {nature.name}"
        return refused(why, nature.name)
    if first.value.shape[1] != second.value.shape[1]:
        raise ValueError("both signals must have the same number of channels")
    step = nature.step_s or max(first.step, second.step) / PER_SAMPLE
    if max(each.seconds[-1] - each.seconds[0] for each in (first, second)) > MAX_CELLS * step:
        return refused("the streams are too long to be compared: a stamp may be wrong", nature.name)
    if nature.places:  # one origin near both: only differences of places count
        center = second.value.mean(axis=0)
        first, second = (replace(each, value=each.value - center) for each in (first, second))
    peak = coarse(first, second, nature, step, max_offset_s)
    if peak is None:
        why = f"the two streams share less than {nature.overlap_s:.0f} s, or one of them does not change"
        return refused(why, nature.name)
    doubt = _doubt(peak, nature)
    if doubt:
        return refused(doubt, nature.name, peak.correlation, peak.second)
    return _refine(first, second, peak, nature, step)


def match_tracks(a: Signal, b: Signal, *, max_offset_s: float) -> ClockOffset:
    """Find what to add to the clock of *a* to get that of *b*, by laying one track over the other.

    The offset is that of the least mean squared distance; a distance common to all points is free up to
    :data:`MAX_SHIFT_M` (so that the lines of a survey, which only differ in place, are told apart).

    Parameters
    ----------
    a, b : Signal
        (n, 2) east and north of the same origin, m.
    max_offset_s : float
        Offsets up to this size, of either sign, are considered.

    Returns
    -------
    ClockOffset
    """
    return cross_correlate(a, b, POSITIONS, max_offset_s=max_offset_s)


def _doubt(peak: Peak, nature: Nature) -> str:
    """Return why the peak does not stand out, or an empty string."""
    agreement = abs(peak.correlation)
    if agreement < nature.min_correlation:
        return f"the changes of {nature.name} correlate only by {peak.correlation:.2f}"
    if agreement < peak.chance:
        return (
            f"a correlation of {peak.correlation:.2f} may be chance: as few samples as these reach "
            f"{peak.chance:.2f}"
        )
    if peak.second > nature.max_second:
        return (
            f"another offset fits nearly as well ({peak.second:.0%} of the best): the flight repeats itself"
        )
    return ""


def _refine(a: Record, b: Record, peak: Peak, nature: Nature, step: float) -> ClockOffset:
    """Fit the offset, check its halves, and decide."""

    def no(why: str) -> ClockOffset:
        return refused(why, nature.name, peak.correlation, peak.second)

    margin = 4.0 * REACH * step
    start, end = a.seconds[0] + peak.lag_s - margin, a.seconds[-1] + peak.lag_s + margin
    during = (b.seconds >= start) & (b.seconds <= end)
    b = replace(b, seconds=b.seconds[during], value=b.value[during])
    fit = _fit(a, b, peak.lag_s, nature, step)
    if fit is None or abs(fit.offset_s - peak.lag_s) > REACH * step:
        return no("the fine fit does not settle at the peak of the correlation")
    low, high = nature.scale
    size = math.copysign(fit.scale, fit.scale * peak.correlation)
    if not low <= size <= high:
        return no(f"the changes of {nature.name} differ in size ({fit.scale:.2f} times the log's)")
    halves = _halves(a, b, fit, nature, step)
    if halves is None:
        return no(
            f"only one part of the flight shows changes of {nature.name}, so the offset cannot be checked"
        )
    apart = abs(halves[0].offset_s - halves[1].offset_s)
    allowed = max(nature.slack_s, HALVES_SIGMAS * math.hypot(halves[0].sigma_s, halves[1].sigma_s))
    if apart > allowed:
        return no(f"the two halves of the flight differ by {apart:.2g} s")
    sigma = math.hypot(fit.sigma_s, nature.averaging * a.step / math.sqrt(12.0))
    if sigma > nature.max_sigma_s:
        return no(f"the offset is uncertain by {sigma:.2g} s")
    reason = (
        f"changes of {nature.name} correlate by {peak.correlation:.2f}, next best offset "
        f"{peak.second:.0%}, halves differ by {apart:.2g} s"
    )
    return ClockOffset(fit.offset_s, sigma, True, nature.name, reason, peak.correlation, peak.second)


def _halves(a: Record, b: Record, fit: _Fit, nature: Nature, step: float) -> tuple[_Fit, _Fit] | None:
    """Fit both halves of the flight, cut where half of the squared rates of change lie."""
    at = a.seconds + fit.offset_s
    rate = np.gradient(_at(at, b.seconds, b.value), at, axis=0)
    energy = np.cumsum(np.where((at < b.seconds[0]) | (at > b.seconds[-1]), 0.0, (rate**2).sum(axis=1)))
    cut = int(np.searchsorted(energy, 0.5 * energy[-1]))
    parts = [
        Record(a.seconds[part], a.value[part], a.hole_s) for part in (slice(None, cut), slice(cut, None))
    ]
    fits = [
        _fit(part, b, fit.offset_s, nature, step) if part.seconds.size > MIN_BLOCKS else None
        for part in parts
    ]
    if fits[0] is None or fits[1] is None:
        return None
    return fits[0], fits[1]


def _at(wanted: Float, seconds: Float, value: Float) -> Float:
    return np.column_stack([np.interp(wanted, seconds, each) for each in value.T])


def _fit(a: Record, b: Record, offset_s: float, nature: Nature, step: float) -> _Fit | None:
    """Least squares of the first record on the second, shifted; None when it does not converge."""
    from scipy.ndimage import gaussian_filter1d

    fine, reach = step / (FINE if nature.step_s else FINE_OF_SAMPLE), REACH * step
    if b.seconds.size < MIN_BLOCKS:
        return None
    grid = np.arange(b.seconds[0], b.seconds[-1], fine)
    smooth = _at(grid, b.seconds, b.value)
    if nature.smoothing_s:
        smooth = gaussian_filter1d(smooth, nature.smoothing_s / fine, axis=0)
    else:
        smooth = averaged(smooth, a.step / fine)
    slope = np.gradient(smooth, fine, axis=0)
    channels = a.value.shape[1]
    total = 0.0
    for _ in range(_ITERATIONS):
        at = a.seconds + offset_s + total
        inside = (at >= grid[0] + reach) & (at <= grid[-1] - reach) & _covered(at, b)
        if np.count_nonzero(inside) < MIN_BLOCKS:
            return None
        at = at[inside]
        own = np.tile(np.eye(channels), (at.size, 1))  # rows: all channels of the first sample, ...
        drift = np.repeat((at - at.mean()) / max(float(np.ptp(at)), 1.0), channels)
        other, rate = _at(at, grid, smooth).ravel(), _at(at, grid, slope).ravel()
        design = np.column_stack([own, own * drift[:, None], other, rate])
        observed = a.value[inside].ravel()
        coefficient, *_ = np.linalg.lstsq(design, observed, rcond=None)
        scale = float(coefficient[-2])
        if scale == 0.0 or (scale < 0.0 and not nature.either_sign):
            return None
        move = float(np.clip(coefficient[-1] / scale, -reach, reach))
        total += move
        if abs(total) > 2.0 * reach:
            return None
        if abs(move) < 0.1 * fine:
            break
    residual = observed - design @ coefficient
    sigma = _jackknife(np.repeat(at, channels), design, residual, nature.block_s) / abs(scale)
    return _Fit(offset_s + total, sigma, scale)


def _covered(at: Float, record: Record) -> NDArray[np.bool_]:
    """Tell which times do not lie in a hole of the record."""
    after = np.clip(np.searchsorted(record.seconds, at), 1, record.seconds.size - 1)
    covered: NDArray[np.bool_] = record.seconds[after] - record.seconds[after - 1] <= record.hole_s
    return covered


def _jackknife(at: Float, design: Float, residual: Float, block_s: float) -> float:
    """Return the block-jackknife standard deviation of the last coefficient of a linear fit.

    Leaving out a block changes the coefficients by ``-(X'X - B)^-1 X_b' r_b`` with ``B = X_b' X_b``; blocks
    are *block_s* long, and shorter if there were less than :data:`MIN_BLOCKS` of them. That there are few
    of them is accounted for by the variance of Student's t (JCGM 101:2008, 6.4.9.4).
    """
    length = min(block_s, max(float(np.ptp(at)), 1e-9) / MIN_BLOCKS * (1.0 + 1e-6))
    block = np.floor((at - at[0]) / length).astype(np.int64)
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    normal = np.add.reduceat(design[:, :, None] * design[:, None, :], starts, axis=0)
    score = np.add.reduceat(design * residual[:, None], starts, axis=0)
    ridge = np.finfo(np.float64).eps * np.trace(normal.sum(axis=0)) * np.eye(design.shape[1])
    left = normal.sum(axis=0) - normal + ridge
    change = np.linalg.solve(left, -score[:, :, None])[:, -1, 0]
    blocks = starts.size
    variance = (blocks - 1) / blocks * float(np.sum((change - change.mean()) ** 2))
    few = (blocks - 1) / max(blocks - 3, 1)
    return math.sqrt(variance * few)
