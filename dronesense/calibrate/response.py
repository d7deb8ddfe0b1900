"""Inlet delay and response time of a gas analyser: back to the air at the inlet."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.model import Flag, GasSeries, Response

NOISE_GAIN: Final = 2.0
"""White noise of the restored series over that of the measured one: the stated rule for the strength.

Restoring without regularization amplifies noise by about ``tau / (sqrt(2) dt)``. Twice the noise keeps
features of ``(tau^2 dt)^(1/3) / 4`` and longer, whatever the sensor (docs/methods/gas.md)."""
GAP_INTERVALS: Final = 3.0
"""Stamps farther apart than this many median intervals are a gap: nothing is restored across it."""
EDGE_GAIN: Final = 1.5
"""Samples whose noise gain exceeds the segment's median by this factor are flagged :attr:`Flag.EDGE`."""
MIN_SEGMENT: Final = 5
"""Samples that a second difference of a first derivative spans."""
UNUSABLE: Final = Flag.STATUS | Flag.RANGE | Flag.SATURATED | Flag.STUCK | Flag.WARM_UP | Flag.DERIVED
"""Readings that say nothing about the gas; those on the ground or without a place still carry the signal."""

SIGN_SIGMAS: Final = 2.0
"""The cell is known to rise or fall where the lag term ``tau ds/dt`` is this many of its sigmas from 0."""
MAX_SIGN_ROUNDS: Final = 6
"""Rounds in which the time constant of each sample is chosen; the choice settles after two or three."""

_GAIN_FREQUENCIES: Final = 1024
_LOG_STRENGTH: Final = (-12.0, 12.0)
"""Decades between which the strength is sought, in units of the sampling interval."""
_KERNEL_REACH: Final = 12.0
"""The restoring kernel has fallen below 1e-4 of its peak at this many smoothing lengths."""
_MIN_REACH: Final = 12
_HALF_BAND: Final = 4
"""Second difference (3 points) of a central derivative (3 points): 5 points, 4 sub-diagonals."""
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Restored:
    """A restored stretch: air and cell mole fraction, variance of the air, gain of white noise."""

    air: NDArray[np.float64]
    cell: NDArray[np.float64]
    variance: NDArray[np.float64]
    gain: NDArray[np.float64]


def deconvolve(
    series: GasSeries,
    response: Response,
    *,
    noise_gain: float = NOISE_GAIN,
    noise: ArrayLike | None = None,
) -> GasSeries:
    """Take the inlet delay off the stamps and undo the first-order lag of the cell.

    The cell follows the air as ``tau ds/dt = x - s``. The cell's course s is estimated from the readings y by
    Tikhonov regularization of the air's second difference, and the air is read from it::

        s = argmin  sum (y - s)^2 + strength * sum (D2 x)^2,    x = C s,  C = 1 + tau d/dt

    with central differences on the real stamps (Tikhonov & Arsenin 1977; Eilers 2003, doi 10.1021/ac034173t,
    for the banded form). The strength is the smallest whose gain of white noise stays below *noise_gain*. The
    map from y to x is linear and keeps constants, so that the variance of x follows exactly. Delay and
    zero/span calibration commute with it; deconvolve first if `sigma` shall hold noise and common errors each
    with its own gain.

    With ``response.tau_down_s`` the time constant of each sample is the one of the cell's slope there: rising
    or falling where the slope is :data:`SIGN_SIGMAS` from 0, the mean of both where it is not (to choose by
    the sign of noise would bias the air). The bound of the noise gain is kept for the longer one.

    Parameters
    ----------
    series : GasSeries
        Any level. Samples that are not finite or flagged :data:`UNUSABLE` take no part and keep their value.
    response : Response
        Time constant and delay; ``tau_s = 0`` leaves the values as they are.
    noise_gain : float
        Upper bound of the gain of white noise, > 0.
    noise : float or (m,) array_like, optional
        Standard deviation of the part of `sigma` that is independent from sample to sample; the rest of the
        variance is common to all samples and keeps its size. Default: all of `sigma` is independent.

    Returns
    -------
    GasSeries
        With new stamps, values, sigma, and :attr:`Flag.EDGE` beside gaps where the gain is not reached.

    Examples
    --------
    >>> import numpy as np
    >>> from dronesense.model import Ambient, GasSeries, Response
    >>> one = np.ones(1)
    >>> s = GasSeries(np.array([10_000_000_000]), "CH4", "mole_fraction", one, one, "dry", np.zeros(1), "raw",
    ...               Ambient(), "", "", one)
    >>> int(deconvolve(s, Response(delay_s=2.0)).time[0])
    8000000000
    """
    if not noise_gain > 0.0:
        raise ValueError(f"noise_gain must be > 0, not {noise_gain}")
    history = [*series.history, f"deconvolve: delay {response.delay_s:g} s taken off the stamps"]
    time = series.time - round(response.delay_s * _NS)
    usable = np.flatnonzero(np.isfinite(series.value) & ((series.flags & int(UNUSABLE)) == 0))
    if response.tau_s == 0.0 or usable.size == 0:
        return replace(series, time=time, history=tuple(history))
    seconds = (series.time - series.time[0]) / _NS
    step = float(np.median(np.diff(seconds[usable]))) if usable.size > 1 else response.tau_s
    strength = regularization(max(response.tau_s, response.falling_s) / step, noise_gain)
    value, sigma, flags = series.value.copy(), series.sigma.copy(), series.flags.copy()
    independent = sigma if noise is None else np.minimum(sigma, np.asarray(noise, dtype=np.float64))
    breaks = np.flatnonzero(np.diff(seconds[usable]) > GAP_INTERVALS * step) + 1
    for part in np.split(usable, breaks):
        if part.size < MIN_SEGMENT:
            flags[part] |= int(Flag.EDGE)
            continue
        done, from_tau = _restore_either(
            seconds[part], value[part], independent[part], response, step, strength
        )
        common = np.maximum(sigma[part] ** 2 - independent[part] ** 2, 0.0)
        value[part] = done.air
        sigma[part] = np.sqrt(done.variance + common + from_tau**2)
        flags[part[done.gain > EDGE_GAIN * np.median(done.gain)]] |= int(Flag.EDGE)
        flags[part[[0, -1]]] |= int(Flag.EDGE)
    how = f"Tikhonov strength {strength:.3g} (interval {step:g} s), white noise gain at most {noise_gain:g}"
    history.append(f"deconvolve: first-order lag of {_lag_text(response)} undone, {how}")
    return replace(series, time=time, value=value, sigma=sigma, flags=flags, history=tuple(history))


def lag(seconds: ArrayLike, air: ArrayLike, response: Response) -> NDArray[np.float64]:
    """Return what a first-order cell reads: exact for air that is constant between stamps.

    ``s[k] = s[k-1] + (1 - exp(-(t[k] - t[k-1]) / tau)) (x[k] - s[k-1])`` with x[k] the air from t[k-1] to
    t[k], and tau that of rising (x above s) or falling; s[0] = x[0]. The delay plays no part. The recursion
    is solved as a bidiagonal system for a guess of where the cell rises, and the guess corrected until it
    holds (Howard's policy iteration, which ends because the map is monotone).

    Parameters
    ----------
    seconds : (n,) array_like
        Stamps, strictly increasing.
    air : (n,) array_like
        Air at the inlet.
    response : Response
        Time constants.

    Examples
    --------
    >>> lag([0.0, 10.0, 20.0], [0.0, 1.0, 1.0], Response(tau_s=10.0)).round(4)
    array([0.    , 0.6321, 0.8647])
    """
    from scipy.linalg import solve_banded

    time, inlet = np.asarray(seconds, dtype=np.float64), np.asarray(air, dtype=np.float64)
    if time.ndim != 1 or time.shape != inlet.shape:
        raise ValueError(f"seconds and air must be of one length, not {time.shape} and {inlet.shape}")
    if time.size == 0 or response.tau_s == 0.0:
        return inlet.copy()
    step = np.diff(time)
    if np.any(step <= 0.0):
        raise ValueError("seconds must increase")
    rise, fall = (-np.expm1(-step / tau) for tau in (response.tau_s, response.falling_s))
    rising = np.diff(inlet) >= 0.0
    for _ in range(time.size):
        share = np.where(rising, rise, fall)
        banded = np.ones((2, time.size))
        banded[1, :-1] = share - 1.0
        cell = solve_banded((1, 0), banded, np.r_[inlet[0], share * inlet[1:]], check_finite=False)
        now = inlet[1:] > cell[:-1]
        if response.tau_down_s is None or np.array_equal(now, rising):
            break
        rising = now
    return np.asarray(cell)


def regularization(tau_intervals: float, noise_gain: float) -> float:
    """Return the smallest strength at which the gain of white noise is at most *noise_gain*.

    Computed from the transfer function on a regular grid, ``|C|^2 / (1 + strength |C|^2 |D2|^2)^2`` averaged
    over frequency (Parseval). 0-like (1e-12) if the plain inverse is below the bound already.

    Parameters
    ----------
    tau_intervals : float
        Time constant in sampling intervals.
    noise_gain : float
        The bound.
    """
    from scipy.optimize import brentq

    omega = (np.arange(_GAIN_FREQUENCIES) + 0.5) * (math.pi / _GAIN_FREQUENCIES)
    inverse = 1.0 + (tau_intervals * np.sin(omega)) ** 2
    penalty = inverse * (2.0 - 2.0 * np.cos(omega)) ** 2

    def excess(log_strength: float) -> float:
        power = inverse / (1.0 + 10.0**log_strength * penalty) ** 2
        return 0.5 * math.log(float(power.mean())) - math.log(noise_gain)

    low, high = _LOG_STRENGTH
    if excess(low) <= 0.0:
        return float(10.0**low)
    if excess(high) >= 0.0:
        return float(10.0**high)
    return float(10.0 ** brentq(excess, low, high, xtol=1e-6))


def _lag_text(response: Response) -> str:
    if response.tau_down_s is None:
        return f"{response.tau_s:g} s"
    return f"{response.tau_s:g} s rising and {response.tau_down_s:g} s falling"


def _restore_either(
    seconds: NDArray[np.float64],
    reading: NDArray[np.float64],
    sigma: NDArray[np.float64],
    response: Response,
    step_s: float,
    strength: float,
) -> tuple[_Restored, NDArray[np.float64]]:
    """Restore one stretch, each sample with its time constant; return the sigma from that one as well."""
    rising, falling = response.tau_s, response.falling_s
    tau_s = np.full(reading.size, 0.5 * (rising + falling))
    sigma_tau_s = np.full(reading.size, 0.5 * (response.sigma_tau_s + response.sigma_falling_s))
    done = _restore(seconds, reading, sigma, tau_s, step_s, strength)
    for _ in range(MAX_SIGN_ROUNDS if response.tau_down_s is not None else 0):
        moves, clear = done.air - done.cell, SIGN_SIGMAS * np.sqrt(done.variance)
        known = [moves > clear, moves < -clear]
        chosen = np.select(known, [rising, falling], 0.5 * (rising + falling))
        half_gap = abs(rising - falling) / math.sqrt(12.0)  # rectangular between the two
        sigma_tau_s = np.select(known, [response.sigma_tau_s, response.sigma_falling_s], half_gap)
        if np.array_equal(chosen, tau_s):
            break
        tau_s = chosen
        done = _restore(seconds, reading, sigma, tau_s, step_s, strength)
    return done, sigma_tau_s * (done.air - done.cell) / tau_s


def _restore(
    seconds: NDArray[np.float64],
    reading: NDArray[np.float64],
    sigma: NDArray[np.float64],
    tau_s: NDArray[np.float64],
    step_s: float,
    strength: float,
) -> _Restored:
    """Solve one stretch without gaps, and propagate its noise."""
    from scipy.linalg import cho_solve_banded, cholesky_banded

    inverse = _lag_inverse(seconds, tau_s)
    bend = _compose(_second_difference(seconds, step_s), inverse)
    system = strength * _gram(bend)
    system[0] += 1.0
    factor = (cholesky_banded(system, lower=True, check_finite=False), True)
    middle = float(np.mean(reading))
    cell = cho_solve_banded(factor, reading - middle, check_finite=False)
    air = _apply(inverse, cell)

    # Rows of the restoring matrix, found for every P-th sample at once: P exceeds twice the reach of a row.
    n = reading.size
    smoothing = (strength * (float(tau_s.max()) / step_s) ** 2) ** (1.0 / 6.0) + strength**0.25
    reach = min(n, max(_MIN_REACH, math.ceil(_KERNEL_REACH * smoothing)))
    spacing = min(n, 2 * reach + 1)
    gain_squared, variance = np.empty(n), np.empty(n)
    offsets = np.arange(-reach, reach + 1)
    for first in range(spacing):
        at = np.arange(first, n, spacing)
        rows = cho_solve_banded(factor, _apply_transposed(inverse, at, n), check_finite=False)
        near = at[:, None] + offsets
        inside = (near >= 0) & (near < n)
        near = np.clip(near, 0, n - 1)
        weight = np.where(inside, rows[near], 0.0)
        gain_squared[at] = (weight**2).sum(axis=1)
        variance[at] = ((weight * sigma[near]) ** 2).sum(axis=1)
    return _Restored(air + middle, cell + middle, variance, np.sqrt(gain_squared))


# Banded operators as (rows, width) weights around the diagonal: row i acts on samples i - width//2 ... i +
# width//2.


def _lag_inverse(seconds: NDArray[np.float64], tau_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of ``1 + tau d/dt``: three-point derivative, second order on irregular stamps."""
    n = seconds.size
    weight = np.zeros((n, 3))
    before, after = np.diff(seconds)[:-1], np.diff(seconds)[1:]
    weight[1:-1, 0] = -after / (before * (before + after))
    weight[1:-1, 1] = (after - before) / (before * after)
    weight[1:-1, 2] = before / (after * (before + after))
    weight[0, 1:] = np.array([-1.0, 1.0]) / (seconds[1] - seconds[0])
    weight[-1, :2] = np.array([-1.0, 1.0]) / (seconds[-1] - seconds[-2])
    weight *= tau_s[:, None]
    weight[:, 1] += 1.0
    return weight


def _second_difference(seconds: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """Return the weights of the second derivative times ``step^2``; the two end rows are empty."""
    weight = np.zeros((seconds.size, 3))
    before, after = np.diff(seconds)[:-1] / step_s, np.diff(seconds)[1:] / step_s
    mean = 0.5 * (before + after)
    weight[1:-1, 0] = 1.0 / (before * mean)
    weight[1:-1, 2] = 1.0 / (after * mean)
    weight[1:-1, 1] = -weight[1:-1, 0] - weight[1:-1, 2]
    return weight


def _compose(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n, 5) weights of the product of two (n, 3) operators."""
    n = len(left)
    product = np.zeros((n, 5))
    padded = np.pad(right, ((1, 1), (0, 0)))
    for shift in range(3):
        product[:, shift : shift + 3] += left[:, shift, None] * padded[shift : shift + n]
    return product


def _gram(operator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``A.T @ A`` in the lower banded form of LAPACK, for the (n, 5) weights of A."""
    n, width = operator.shape
    half = width // 2
    banded = np.zeros((_HALF_BAND + 1, n))
    row = np.arange(n)
    for first in range(width):
        for second in range(first, width):
            column = row + first - half
            inside = (column >= 0) & (row + second - half < n)
            np.add.at(
                banded[second - first],
                column[inside],
                operator[inside, first] * operator[inside, second],
            )
    return banded


def _apply(operator: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n, 3) operator applied to *values*."""
    padded = np.pad(values, 1)
    n = values.size
    return operator[:, 0] * padded[:n] + operator[:, 1] * values + operator[:, 2] * padded[2:]


def _apply_transposed(operator: NDArray[np.float64], at: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Return the sum of the rows *at* of the (n, 3) operator, as a vector."""
    out = np.zeros(n)
    for shift in range(3):
        column = at + shift - 1
        inside = (column >= 0) & (column < n)
        out[column[inside]] += operator[at[inside], shift]
    return out
