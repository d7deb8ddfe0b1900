"""Position and attitude between the navigation samples, and nothing where they are not known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense import geodesy
from dronesense.model import Trajectory

NS_PER_S: Final = 1e9
EXTRAPOLATION_SAMPLES: Final = 1.0
"""How far before the first and after the last sample a pose is given, in sample intervals.

One step: a camera that starts navigation and image together also ends them together, and its last line then
lies up to a step beyond the last navigation sample (Resonon: 4.4 ms at 200 Hz)."""
LINE_GAP: Final = 1.5
"""Lines farther apart than this many median periods have lines missing between them."""
RATE_BASE_S: Final = 0.2
"""Angular rates are means over about this time: neighboring samples of a fast log differ by noise."""
NOISE_SAMPLES: Final = 100
"""So many samples before and after the asked times tell how much of a log's error is white."""
LEAST_NOISE_SAMPLES: Final = 30
"""Fewer samples tell nothing of the noise."""
WHITE_LIMIT: Final = 1.5
"""Second differences of more than so many times the variance that the stated error explains are motion."""
_TINY_RAD: Final = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """Where the navigation reference point was and how the body was turned, at given times.

    Parameters
    ----------
    time : (k,) int64
        UTC ns.
    lon, lat, height_m : (k,) float64
        WGS84 degrees and ellipsoidal height; NaN where not `ok`, height also where the trajectory has none.
    attitude : (k, 4) float64
        Unit quaternion w, x, y, z, body to local north-east-down; NaN when unknown.
    velocity_ned : (k, 3) float64
        m/s: as logged, else from the positions.
    rate : (k, 3) float64
        Angular velocity about the body axes, rad/s; means over :data:`RATE_BASE_S`.
    std_ned_m, std_rpy_deg : (k, 3) float64
        Standard uncertainties; NaN when unknown. Between samples smaller by what interpolation averages.
    ok : (k,) bool
        True where the trajectory covers the time.
    slow : (k, 6) float64 or None
        Part of the variances of `std_ned_m` and `std_rpy_deg` that does not jump from sample to sample: the
        drift of receivers and filters, which two passes of a flight may have in common. None: not known.
    """

    time: NDArray[np.int64]
    lon: Floats
    lat: Floats
    height_m: Floats
    attitude: Floats
    velocity_ned: Floats
    rate: Floats
    std_ned_m: Floats
    std_rpy_deg: Floats
    ok: NDArray[np.bool_]
    slow: Floats | None = None

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: NDArray[np.intp]) -> Poses:
        """Return the poses at *index*."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            part = getattr(self, field.name)
            moved[field.name] = None if part is None else part[index]
        return Poses(**moved)

    @property
    def rotation(self) -> Floats:
        """Return the (k, 3, 3) matrices that turn body vectors into north-east-down vectors."""
        return quaternion_to_matrix(self.attitude)


def quaternion_to_matrix(quaternion: Floats) -> Floats:
    """Return rotation matrices (..., 3, 3) of unit quaternions (..., 4) in the order w, x, y, z.

    Examples
    --------
    A right roll of 90° puts the right wing (body y) straight down:

    >>> import numpy as np
    >>> quaternion_to_matrix(np.array([0.5**0.5, 0.5**0.5, 0.0, 0.0])).round(6)[:, 1] + 0.0
    array([0., 0., 1.])
    """
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    rows = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rpy_to_matrix(roll_rad: float, pitch_rad: float, yaw_rad: float) -> Floats:
    """Return ``Rz(yaw) Ry(pitch) Rx(roll)``, (3, 3).

    Examples
    --------
    Nose up by 90°: body forward points against down.

    >>> rpy_to_matrix(0.0, np.pi / 2, 0.0).round(6)[:, 0] + 0.0
    array([ 0.,  0., -1.])
    """
    half = 0.5 * np.array([roll_rad, pitch_rad, yaw_rad])
    c, s = np.cos(half), np.sin(half)
    x, y, z = (np.array([c[i], *(s[i] * axis)]) for i, axis in enumerate(np.eye(3)))
    return quaternion_to_matrix(_multiply(_multiply(z, y), x))


def _multiply(p: Floats, q: Floats) -> Floats:
    """Hamilton product of quaternions (..., 4)."""
    pw, px, py, pz = np.moveaxis(p, -1, 0)
    qw, qx, qy, qz = np.moveaxis(q, -1, 0)
    return np.stack(
        [
            pw * qw - px * qx - py * qy - pz * qz,
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
        ],
        axis=-1,
    )


def _rotation_vector(q0: Floats, q1: Floats) -> Floats:
    """Shortest rotation from *q0* to *q1* as a vector (k, 3) in body axes, rad."""
    relative = _multiply(q0 * np.array([1.0, -1.0, -1.0, -1.0]), q1)
    relative = np.where(relative[:, :1] < 0.0, -relative, relative)
    sine = np.linalg.norm(relative[:, 1:], axis=1)
    angle = 2.0 * np.arctan2(sine, relative[:, 0])
    scale = np.where(sine > _TINY_RAD, angle / np.where(sine > _TINY_RAD, sine, 1.0), 2.0)
    vector: Floats = relative[:, 1:] * scale[:, None]
    return vector


def _turn(q: Floats, vector: Floats) -> Floats:
    """Quaternions *q* turned by rotation vectors in body axes, normalized."""
    angle = np.linalg.norm(vector, axis=1)
    scale = np.where(angle > _TINY_RAD, np.sin(0.5 * angle) / np.where(angle > _TINY_RAD, angle, 1.0), 0.5)
    turned = _multiply(q, np.column_stack([np.cos(0.5 * angle), vector * scale[:, None]]))
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    return turned


def interpolate(trajectory: Trajectory, time: NDArray[np.int64], *, max_gap_s: float) -> Poses:
    """Interpolate a trajectory: position linearly, attitude along the shortest rotation (slerp).

    Parameters
    ----------
    trajectory : Trajectory
        Navigation samples.
    time : (k,) int64
        UTC ns, in any order.
    max_gap_s : float
        Longest interval between two samples that is bridged, s.

    Returns
    -------
    Poses
        Not `ok`, with NaN, between two segments, inside a longer gap, and farther than one sample interval
        outside the trajectory.

    References
    ----------
    Shoemake 1985, Animating rotation with quaternion curves, doi 10.1145/325334.325242.
    """
    time = np.asarray(time, dtype=np.int64)
    start, stop, fraction, ok = _brackets(trajectory, time, max_gap_s)

    def between(values: Floats) -> Floats:
        f = fraction.reshape(-1, *(1,) * (values.ndim - 1))
        mixed = (1.0 - f) * values[start] + f * values[stop]
        mixed = np.where(f == 0.0, values[start], np.where(f == 1.0, values[stop], mixed))
        mixed[~ok] = np.nan
        return mixed

    lon0 = trajectory.lon[start]
    step = np.mod(trajectory.lon[stop] - lon0 + 180.0, 360.0) - 180.0
    lon = np.where(ok, np.mod(lon0 + fraction * step + 180.0, 360.0) - 180.0, np.nan)
    lon = np.where(ok & (fraction == 0.0), lon0, lon)

    q0 = trajectory.attitude[start]
    turn = _rotation_vector(q0, trajectory.attitude[stop])
    f = fraction[:, None]
    attitude = np.where(f == 0.0, q0, np.where(f == 1.0, trajectory.attitude[stop], _turn(q0, f * turn)))
    attitude[~ok] = np.nan
    rate = _rate(trajectory, start, stop)
    rate[~ok] = np.nan

    calm, slow = _interpolated_noise(trajectory, start, stop, fraction)
    velocity = between(trajectory.velocity_ned)
    missing = np.flatnonzero(ok & ~np.isfinite(velocity).all(axis=1))
    velocity[missing] = _velocity(trajectory, start[missing], stop[missing])
    return Poses(
        time,
        lon,
        between(trajectory.lat),
        between(trajectory.height_m),
        attitude,
        velocity,
        rate,
        between(trajectory.std_ned_m) * calm[:, :3],
        between(trajectory.std_rpy_deg) * calm[:, 3:],
        ok,
        slow,
    )


def _brackets(
    trajectory: Trajectory, time: NDArray[np.int64], max_gap_s: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, NDArray[np.bool_]]:
    """Return the samples before and after each time, the fraction between them, and whether they serve."""
    nodes, segment = trajectory.time, trajectory.segment
    last = len(nodes) - 1
    usable = (segment[1:] == segment[:-1]) & (np.diff(nodes) <= max_gap_s * NS_PER_S)
    usable = np.concatenate([usable, [False]])  # there is no interval after the last sample

    start = np.clip(np.searchsorted(nodes, time, side="right") - 1, 0, max(last - 1, 0))
    exact = time == nodes[start]
    # A sample that ends its segment is reached from the interval before it, or stands alone.
    start = np.where(exact & ~usable[start] & (start > 0) & usable[start - 1], start - 1, start)
    alone = exact & ~usable[start]
    alone_at_end = (time == nodes[last]) & ~usable[start]
    start = np.where(alone_at_end, last, start)
    stop = np.where(alone | alone_at_end, start, np.minimum(start + 1, last))

    fraction = (time - nodes[start]) / np.maximum(nodes[stop] - nodes[start], 1)
    inside = (fraction >= -EXTRAPOLATION_SAMPLES) & (fraction <= 1.0 + EXTRAPOLATION_SAMPLES)
    return start, stop, fraction, (usable[start] & inside) | alone | alone_at_end


def _rate(trajectory: Trajectory, start: NDArray[np.intp], stop: NDArray[np.intp]) -> Floats:
    """Return the mean angular velocity (k, 3) about the body axes around intervals of a trajectory, rad/s.

    Over :data:`RATE_BASE_S` or the interval, whichever is longer, within the segment.
    """
    time, segment = trajectory.time, trajectory.segment
    seconds = (time[stop] - time[start]) / NS_PER_S
    reach = (np.maximum(0.5 * (RATE_BASE_S - seconds), 0.0) * NS_PER_S).astype(np.int64)
    first = np.searchsorted(time, time[start] - reach, side="left")
    last = np.searchsorted(time, time[stop] + reach, side="right") - 1
    first = np.where(segment[first] == segment[start], first, start)
    last = np.where(segment[last] == segment[stop], last, stop)
    seconds = (time[last] - time[first]) / NS_PER_S
    seconds[start == stop] = np.nan
    turn = _rotation_vector(trajectory.attitude[first], trajectory.attitude[last])
    return np.asarray(turn / seconds[:, None])


def _interpolated_noise(
    trajectory: Trajectory, start: NDArray[np.intp], stop: NDArray[np.intp], fraction: Floats
) -> tuple[Floats, Floats]:
    """Return what interpolation leaves of the stated errors, and the slow part of what is left; (k, 6) each.

    Of north, east, down, roll, pitch, yaw: standard deviation over the stated one, and variance over all of
    the variance. Between two samples with independent errors the variance is ``(1 - f)² + f²`` of one
    sample's; with a common error it stays. How much of the error jumps from sample to sample is seen in the
    log: white noise of variance w² gives second differences of variance 6 w² and of covariance -4 w² with
    the next. Smooth motion and slow errors raise that covariance, so that w² is not taken for too large.
    """
    if not len(start):
        return np.ones((0, 6)), np.ones((0, 6))
    first, last = int(start.min()) - NOISE_SAMPLES, int(stop.max()) + NOISE_SAMPLES
    white = _white_share(trajectory, slice(max(first, 0), min(last, len(trajectory.time))))
    inside = np.clip(fraction, 0.0, 1.0)[:, None]
    left = 1.0 - white * (1.0 - (1.0 - inside) ** 2 - inside**2)
    return np.sqrt(left), (1.0 - white) / left


def _white_share(trajectory: Trajectory, near: slice) -> Floats:
    """Return the part (6,) of the stated variances that is independent from sample to sample."""
    time = trajectory.time[near]
    steps = np.diff(time)
    if len(time) < LEAST_NOISE_SAMPLES:
        return np.zeros(6)
    even = (np.diff(trajectory.segment[near]) == 0) & (steps < LINE_GAP * np.median(steps))
    height = np.nan_to_num(trajectory.height_m[near])
    lon, lat = trajectory.lon[near], trajectory.lat[near]
    axes = geodesy.ned_axes(lon[:1], lat[:1])[0]
    place = geodesy.to_ecef(lon, lat, height)
    rotation = quaternion_to_matrix(trajectory.attitude[near])
    forward = rotation[:, :, 0]
    rpy = np.column_stack(
        [
            np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2]),
            -np.arcsin(np.clip(forward[:, 2], -1.0, 1.0)),
            np.arctan2(forward[:, 1], forward[:, 0]),
        ]
    )
    rpy[1:] = rpy[0] + np.cumsum(np.mod(np.diff(rpy, axis=0) + np.pi, 2.0 * np.pi) - np.pi, axis=0)
    values = np.column_stack([place @ axes, np.degrees(rpy)])
    stated = np.column_stack([trajectory.std_ned_m[near], trajectory.std_rpy_deg[near]]) ** 2
    bend = np.diff(values, n=2, axis=0)
    bend[~(even[1:] & even[:-1])] = np.nan
    return _white_part(bend, stated)


def _white_part(bend: Floats, stated: Floats) -> Floats:
    """Return white over stated variance (m,) from second differences *bend* (n, m); 0 where it is unknown."""
    pairs = bend[1:] * bend[:-1]
    out = np.zeros(bend.shape[1])
    for i in range(bend.shape[1]):
        own, next_ = bend[:, i], pairs[:, i]
        own, next_ = own[np.isfinite(own)], next_[np.isfinite(next_)]
        variance = float(np.median(stated[:, i]))
        if len(next_) < LEAST_NOISE_SAMPLES or not variance > 0.0:
            continue
        if np.mean(own**2) <= WHITE_LIMIT * 6.0 * variance:
            out[i] = np.clip(-np.mean(next_) / (4.0 * variance), 0.0, 1.0)
    return out


def _velocity(trajectory: Trajectory, start: NDArray[np.intp], stop: NDArray[np.intp]) -> Floats:
    """Mean velocity north, east, down between two samples, from their positions; NaN for a single one."""
    seconds = (trajectory.time[stop] - trajectory.time[start]) / NS_PER_S
    seconds = np.where(stop > start, seconds, np.nan)
    height = trajectory.height_m
    ends = [
        geodesy.to_ecef(trajectory.lon[i], trajectory.lat[i], np.nan_to_num(height[i])) for i in (start, stop)
    ]
    axes = geodesy.ned_axes(trajectory.lon[start], trajectory.lat[start])
    velocity: Floats = np.einsum("kij,ki->kj", axes, ends[1] - ends[0]) / seconds[:, None]
    velocity[~np.isfinite(height[start] + height[stop]), 2] = np.nan
    return velocity


def line_scan_times(line_time: NDArray[np.int64], row: ArrayLike) -> NDArray[np.int64]:
    """Return the times at fractional rows: at the edge of a line half a period from its middle.

    Where lines are missing between two rows each keeps the median period.

    Parameters
    ----------
    line_time : (rows,) int64
        UTC ns, middle of each line's exposure.
    row : (k,) array_like
        Fractional row, at most half a row outside.

    Raises
    ------
    ValueError
        If a row lies outside.
    """
    row = np.asarray(row, dtype=np.float64)
    last = len(line_time) - 1
    if not np.all((row >= -0.5) & (row <= last + 0.5)):
        raise ValueError(f"rows must lie in [-0.5, {last + 0.5}]")
    nearest = np.clip(np.rint(row), 0, last).astype(np.int64)
    offset = row - nearest
    if last == 0:
        return np.asarray(line_time[nearest])
    gap = np.diff(line_time)
    period = np.median(gap)
    gap = np.where(gap > LINE_GAP * period, period, gap)
    step = np.where(offset < 0.0, gap[np.maximum(nearest - 1, 0)], gap[np.minimum(nearest, last - 1)])
    return np.asarray(line_time[nearest] + np.rint(offset * step).astype(np.int64))
