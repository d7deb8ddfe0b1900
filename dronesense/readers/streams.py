"""Sampled streams: gates on their stamps, interpolation that stops at gaps, attitudes. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.timescale import NS_PER_S

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

GAP_S: Final = 1.0
"""Nothing is interpolated over a longer gap, s, unless the stream itself is slower."""
GAP_STEPS: Final = 2.5
"""A gap is longer than this many usual steps: two rows are missing."""

SPIKE_WINDOW: Final = 5
"""Samples of the running median that tells spikes: up to two damaged ones in a row are told from the rest."""

SINGLE_FIX_SIGMA_M: Final = (2.0, 4.0)
"""Standard uncertainty per horizontal axis and vertical of a GNSS position without corrections, m."""
ATTITUDE_SIGMA_DEG: Final = (0.5, 0.5, 2.0)
"""Standard uncertainty of roll, pitch, yaw of a small autopilot with a magnetometer, degrees."""


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
    inner = np.median(np.lib.stride_tricks.sliding_window_view(values, SPIKE_WINDOW), axis=-1)
    half = SPIKE_WINDOW // 2
    middle = np.concatenate([np.full(half, inner[0]), inner, np.full(half, inner[-1])])
    return np.asarray(np.abs(values - middle) > tolerance, dtype=bool)


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
        """Interpolate (m, 4) unit quaternions on the shortest arc; w >= 0; NaN where unknown."""
        from scipy.spatial.transform import Rotation

        ends = [quaternions[k][:, [1, 2, 3, 0]] for k in (self.left, self.right)]
        known = self.inside & np.isfinite(ends[0]).all(axis=1) & np.isfinite(ends[1]).all(axis=1)
        result = np.full(quaternions[self.left].shape, np.nan)
        if known.any():
            start, stop = (Rotation.from_quat(end[known]) for end in ends)
            turn = Rotation.from_rotvec(self.weight[known, None] * (start.inv() * stop).as_rotvec())
            result[known] = _wxyz(start * turn)
        return result


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
    from scipy.spatial.transform import Rotation

    angles = np.column_stack([yaw_deg, pitch_deg, roll_deg])
    known = np.isfinite(angles).all(axis=1)
    result = np.full((angles.shape[0], 4), np.nan)
    if known.any():
        result[known] = _wxyz(Rotation.from_euler("ZYX", angles[known], degrees=True))
    return result


def _wxyz(rotation: Any) -> Float:
    """Return a scipy Rotation as (n, 4) w, x, y, z with w >= 0."""
    quaternion = np.asarray(rotation.as_quat())[:, [3, 0, 1, 2]]
    return np.where(quaternion[:, :1] < 0.0, -quaternion, quaternion)
