"""Sampled streams: gates on their stamps, interpolation that stops at gaps, attitudes. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, S_PER_DAY

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

GAP_S: Final = 1.0
"""Nothing is interpolated over a longer gap, s, unless the stream itself is slower."""
GAP_STEPS: Final = 2.5
"""A gap is longer than this many usual steps: two rows are missing."""

UNSET_S: Final = float(S_PER_DAY)
"""Stamps more than a day apart are those of a clock before and after it was set, s."""

BLOCK_SAMPLES: Final = 1 << 16
"""Samples worked on in one go: bounds the memory of what is made on the way (some 4 MiB)."""

SAME_TURN_RAD: Final = 1e-9
"""Between turns closer than this the arc is a straight line to the last digit, radians."""

SPIKE_WINDOW: Final = 5
"""Samples of the running median that tells spikes: up to two damaged ones in a row are told from the rest."""

SINGLE_FIX_SIGMA_M: Final = (2.0, 4.0)
"""Standard uncertainty per horizontal axis and vertical of a GNSS position without corrections, m."""
FIX_SIGMA_M: Final = {
    2: SINGLE_FIX_SIGMA_M,
    3: (1.0, 2.0),
    4: (0.5, 1.0),
    5: (0.03, 0.05),
    6: (0.1, 0.2),
}
"""`Trajectory.fix` -> standard uncertainty per horizontal axis and vertical, m, where a log states none.

Of standalone, differential (SBAS, code), float and fixed carrier solutions and PPP with consumer receivers:
usual sizes on the cautious side, no promises. ``[track] sigma`` in flight.toml says better."""
ATTITUDE_SIGMA_DEG: Final = (0.5, 0.5, 2.0)
"""Standard uncertainty of roll, pitch, yaw of a small autopilot with a magnetometer, degrees."""


def usual_sigma(fix: NDArray[np.uint8]) -> Float:
    """Return (n, 3) standard uncertainty north, east, down by `Trajectory.fix`; else that of a single fix."""
    kinds = range(int(fix.max(initial=0)) + 1)
    table = np.array([FIX_SIGMA_M.get(kind, SINGLE_FIX_SIGMA_M) for kind in kinds])
    return np.asarray(table[fix][:, [0, 0, 1]])


def sigma_origin(stated: NDArray[np.bool_] | bool) -> str:
    """Return where the standard uncertainties of positions come from, by which of them the log states."""
    every, some = bool(np.all(stated)), bool(np.any(stated))
    return "log" if every else "log and default" if some else "default"


def usual_step(time: NDArray[np.int64]) -> float:
    """Return the median step of *time*, 0 for fewer than two samples."""
    return float(np.median(np.diff(time))) if time.size > 1 else 0.0


def gap_ns(time: NDArray[np.int64], least_s: float = GAP_S) -> float:
    """Return the longest step of *time* (ns) that is not a gap."""
    return max(least_s * NS_PER_S, GAP_STEPS * usual_step(time))


def segments(time: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return a number per sample that grows by one after every gap."""
    number = np.zeros(time.shape, dtype=np.int32)
    number[1:] = np.cumsum(np.diff(time) > gap_ns(time))
    return number


def increasing(time: NDArray[np.int64]) -> Mask:
    """Tell the samples that are later than all before them.

    Examples
    --------
    >>> increasing(np.array([1, 3, 2, 3, 4]))
    array([ True,  True, False, False,  True])
    """
    good = np.ones(time.shape, dtype=bool)
    good[1:] = time[1:] > np.maximum.accumulate(time)[:-1]
    return good


def spikes(values: NDArray[Any], tolerance: float) -> Mask:
    """Tell the samples further than *tolerance* from the running median of :data:`SPIKE_WINDOW` samples.

    Examples
    --------
    >>> spikes(np.array([1, 2, 300, 4, 5, 6]), 10.0)
    array([False, False,  True, False, False, False])
    """
    if values.size < SPIKE_WINDOW:
        return np.zeros(values.shape, dtype=bool)
    windows = np.lib.stride_tricks.sliding_window_view(values, SPIKE_WINDOW)
    blocks = range(0, windows.shape[0], BLOCK_SAMPLES)
    inner = np.concatenate([np.median(windows[k : k + BLOCK_SAMPLES], axis=-1) for k in blocks])
    half = SPIKE_WINDOW // 2
    middle = np.concatenate([np.full(half, inner[0]), inner, np.full(half, inner[-1])])
    return np.asarray(np.abs(values - middle) > tolerance, dtype=bool)


def ordered(time: NDArray[np.int64], tally: Tally, name: str = "") -> tuple[Mask, NDArray[np.int64]]:
    """Bring stamps in the order of the log into strictly increasing order by leaving rows out.

    Left out and counted in *tally*: rows more than a day from the most (a clock not yet set), single damaged
    stamps, repeated stamps (the first row stays), rows that come late. Where the clock jumps back for good,
    the rows of one side whose stamps the other side has too (the smaller loss; the later side if equal) are
    left out, a warning tells the size, and a new piece starts. A smaller jump forward is a gap, which
    :func:`segments` sees.

    Parameters
    ----------
    time : (n,) int64
        Stamps in the order of the log, ns.
    tally : Tally
        Takes counts and warnings.
    name : str
        What the messages call the stream.

    Returns
    -------
    keep : (n,) bool
        Rows to keep.
    piece : (k,) int64
        For each kept row a number that grows by one where the clock jumped back: `Positions.reset`.

    Examples
    --------
    >>> keep, piece = ordered(np.array([1, 2, 2, 4, 3, 5]) * 10**9, Tally())
    >>> keep
    array([ True,  True, False,  True, False,  True])
    """
    step = np.diff(time)
    if time.size and (step > 0).all() and (step <= UNSET_S * NS_PER_S).all():
        return np.ones(time.shape, dtype=bool), np.zeros(time.shape, dtype=np.int64)
    prefix = f"{name}: " if name else ""
    index = np.arange(time.size)
    index = index[tally.keep(_main_days(time), prefix + "clock not set")]
    alone = spikes(time[index], gap_ns(time[index])) & _disordered(time[index])
    index = index[tally.keep(~alone, prefix + "damaged time stamp")]
    same = np.diff(time[index], prepend=time[index][:1] - 1) == 0
    index = index[tally.keep(~same, prefix + "same time stamp as the row before")]
    stamps = time[index]
    good = _in_order(stamps)
    jump = _jumps_back(stamps)
    piece = np.zeros(stamps.size, dtype=np.int64)
    piece[jump + 1] = 1
    keep = np.zeros(time.shape, dtype=bool)
    keep[index[good]] = True
    if jump.size:
        back = (stamps[jump] - stamps[jump + 1]) / NS_PER_S
        lost = int(np.count_nonzero(~good))
        tally.dropped[prefix + "time stamps twice after a clock jump"] += lost
        tally.warnings.append(
            f"{prefix}the clock jumps back {jump.size} time(s), by {back.max():.3f} s at row "
            f"{index[jump[np.argmax(back)]] + 2}: {lost} row(s) left out, nothing is interpolated across"
        )
    else:
        tally.keep(good, prefix + "time stamp not after the one before")
    return keep, np.cumsum(piece)[good]


def _main_days(time: NDArray[np.int64]) -> Mask:
    """Tell the samples of the largest group without :data:`UNSET_S` between neighbors, in whatever order."""
    rank = np.argsort(time)
    group = np.empty(time.shape, dtype=np.intp)
    steps = np.diff(time[rank].astype(np.float64), prepend=0.0)  # float: int64 may overflow
    group[rank] = np.cumsum(steps > UNSET_S * NS_PER_S)
    return group == np.argmax(np.bincount(group)) if group.size else np.zeros(0, dtype=bool)


def _disordered(time: NDArray[np.int64]) -> Mask:
    """Tell the samples that are not later than all before, or not earlier than all after them."""
    return ~(increasing(time) & _before_the_rest(time))


def _before_the_rest(time: NDArray[np.int64]) -> Mask:
    """Tell the samples that are earlier than all after them."""
    good = np.ones(time.shape, dtype=bool)
    good[:-1] = time[:-1] < np.minimum.accumulate(time[::-1])[::-1][1:]
    return good


def _in_order(time: NDArray[np.int64]) -> Mask:
    """Tell which samples to keep: within each tangle the late ones go or those ahead, whichever are fewer."""
    keep_early, keep_late = increasing(time), _before_the_rest(time)
    if keep_early.all():
        return keep_early
    highest = np.maximum.accumulate(time)[:-1]
    lowest = np.minimum.accumulate(time[::-1])[::-1][1:]
    tangle = np.zeros(time.shape, dtype=np.intp)
    tangle[1:] = np.cumsum(highest < lowest)
    kept = [np.bincount(tangle, weights=each) for each in (keep_early, keep_late)]
    return np.where((kept[0] >= kept[1])[tangle], keep_early, keep_late)


def _jumps_back(time: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the samples after which the clock is back and stays so for :data:`SPIKE_WINDOW` samples."""
    if time.size <= SPIKE_WINDOW:
        return np.zeros(0, dtype=np.intp)
    after = np.lib.stride_tricks.sliding_window_view(time[1:], SPIKE_WINDOW).max(axis=-1)
    return np.flatnonzero((np.diff(time)[: after.size] < 0) & (after <= time[: after.size]))


@dataclass(frozen=True, slots=True)
class Between:
    """Where stamps lie in a stream: at ``left + weight (right - left)``; not `inside`: in a gap.

    Parameters
    ----------
    left, right : (n,) intp
        Samples on either side; the same one for a stamp that is a sample's own.
    weight : (n,) float64
        0 at the left, 1 at the right sample.
    inside : (n,) bool
        False before the first, after the last sample and within gaps.
    """

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    weight: Float
    inside: Mask

    def linear(self, values: Float) -> Float:
        """Interpolate (m,) or (m, k) *values*; NaN where not `inside`."""
        shape = (-1,) + (1,) * (values.ndim - 1)
        start = values[self.left]
        result = start + self.weight.reshape(shape) * (values[self.right] - start)
        return np.where(self.inside.reshape(shape), result, np.nan)

    def longitude(self, lon: Float) -> Float:
        """Interpolate degrees of longitude the short way round, also across 180; NaN where not `inside`."""
        turn = (lon[self.right] - lon[self.left] + 180.0) % 360.0 - 180.0
        result = lon[self.left] + np.where(self.weight > 0.0, self.weight * turn, 0.0)
        result = np.where(np.abs(result) > 180.0, (result + 180.0) % 360.0 - 180.0, result)
        return np.where(self.inside, result, np.nan)

    def slerp(self, quaternions: Float) -> Float:
        """Interpolate (m, 4) unit quaternions on the shortest arc; w >= 0; NaN where unknown.

        References
        ----------
        K. Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985, doi:10.1145/325334.325242.
        """
        result = quaternions[self.left]
        norm = np.linalg.norm(result, axis=1)
        result /= np.where(self.inside & (norm > 0.0), norm, np.nan)[:, None]
        turning = np.flatnonzero(self.inside & (self.weight > 0.0))
        start, stop = result[turning], quaternions[self.right[turning]]
        norm = np.linalg.norm(stop, axis=1)
        stop = stop / np.where(norm > 0.0, norm, np.nan)[:, None]
        stop = np.where(np.sum(start * stop, axis=1, keepdims=True) < 0.0, -stop, stop)
        apart, together = (np.linalg.norm(part, axis=1) for part in (stop - start, stop + start))
        angle = 2.0 * np.arctan2(apart, together)
        weight = self.weight[turning]
        sine = np.sin(angle)
        near = sine < SAME_TURN_RAD
        divisor = np.where(near, 1.0, sine)
        first = np.where(near, 1.0 - weight, np.sin((1.0 - weight) * angle) / divisor)
        second = np.where(near, weight, np.sin(weight * angle) / divisor)
        between_them = first[:, None] * start + second[:, None] * stop
        result[turning] = between_them / np.linalg.norm(between_them, axis=1, keepdims=True)
        return np.negative(result, out=result, where=result[:, :1] < 0.0)


def between(time: NDArray[np.int64], wanted: NDArray[np.int64], limit_ns: float) -> Between:
    """Find *wanted* stamps among the samples at *time* (increasing); steps over *limit_ns* are gaps."""
    last = time.size - 1
    right = np.searchsorted(time, wanted)
    exact = time[np.minimum(right, last)] == wanted
    left = np.where(exact, right, right - 1)
    within = (left >= 0) & (right <= last)
    left, right = np.clip(left, 0, last), np.clip(right, 0, last)
    step = time[right] - time[left]
    weight = (wanted - time[left]) / np.where(step > 0, step, 1)
    return Between(left, right, np.where(within, weight, 0.0), within & (step <= limit_ns))


def quaternions_of(roll_deg: Float, pitch_deg: Float, yaw_deg: Float) -> Float:
    """Return (n, 4) quaternions w, x, y, z (w >= 0), body to north-east-down: ``Rz(yaw) Ry(pitch) Rx(roll)``.

    Rows with a NaN angle are NaN.
    """
    result = np.empty((len(roll_deg), 4))
    for first in range(0, len(roll_deg), BLOCK_SAMPLES):
        part = slice(first, first + BLOCK_SAMPLES)
        half = [np.radians(angle[part]) / 2.0 for angle in (roll_deg, pitch_deg, yaw_deg)]
        cos_r, cos_p, cos_y = (np.cos(angle) for angle in half)
        sin_r, sin_p, sin_y = (np.sin(angle) for angle in half)
        result[part, 0] = cos_r * cos_p * cos_y + sin_r * sin_p * sin_y
        result[part, 1] = sin_r * cos_p * cos_y - cos_r * sin_p * sin_y
        result[part, 2] = cos_r * sin_p * cos_y + sin_r * cos_p * sin_y
        result[part, 3] = cos_r * cos_p * sin_y - sin_r * sin_p * cos_y
    return np.negative(result, out=result, where=result[:, :1] < 0.0)
