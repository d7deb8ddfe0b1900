"""The clock of a gas analyser against the flight log, from the pressure that both of them feel.

The analyser's pressure sensor has no inlet line before it and follows within a fraction of a second, unlike
the gas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.model import GasSeries, Trajectory

MAX_OFFSET_S: Final = 2.0 * 3600.0
"""Largest clock error that is looked for when nobody says otherwise, s."""
MIN_CORRELATION: Final = 0.7
"""Below this correlation of the pressure changes the two records do not show the same flight."""
MAX_SECOND_PEAK: Final = 0.8
"""A second peak higher than this part of the first leaves open which one is true."""
MIN_OVERLAP_S: Final = 60.0
"""The two records must share at least this much time, s."""
HALVES_SIGMAS: Final = 4.0
"""The two halves of the flight may differ by this many standard deviations ..."""
HALVES_SLACK_S: Final = 0.3
"""... or by this much, s, whichever is more."""
COARSE_STEP_S: Final = 1.0
"""Grid of the coarse search, s."""
CHANGE_OVER_S: Final = 4.0
"""Pressure changes are taken over this time, s: slow weather drops out, a climb of a few meters stands
out."""
MAIN_LOBE_S: Final = 20.0
"""A peak nearer than this to the main one belongs to it, s: the duration of a climb."""
MAX_HOLE_S: Final = 5.0
"""Longer holes of a pressure record are not bridged, s."""
SMOOTHING_S: Final = 0.4
"""Gaussian smoothing of the log's pressure before the fine search, s; symmetric, so it does not shift it."""
FINE_STEP_S: Final = 0.05
FINE_REACH_S: Final = 3.0
"""How far the fine search may move away from the coarse peak, s."""
BLOCK_S: Final = 20.0
"""Blocks of the jackknife, s: longer than the correlation time of the pressure errors."""
MIN_BLOCKS: Final = 6
MAX_SIGMA_S: Final = 1.0
"""An offset known worse than this is no help, s."""
SEA_LEVEL_HPA: Final = 1013.25
STANDARD_SCALE_M: Final = 44330.77
"""``T0 / L`` of the standard atmosphere, m (ICAO Doc 7488/3)."""
STANDARD_EXPONENT: Final = 5.25588
"""``g M / (R L)`` of the standard atmosphere (ICAO Doc 7488/3)."""
PRESSURE_SCALE_RANGE: Final = (0.5, 1.5)
"""A true pair of sensors agrees in the size of pressure changes within this range."""

_NS: Final = 1_000_000_000
_STEPS: Final = 8
"""Gauss-Newton converges in two or three steps; this is the limit."""


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
        ``"pressure"``, ``"height"`` or ``"none"``.
    reason : str
        In words.
    """

    offset_s: float
    sigma_s: float
    accepted: bool
    method: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class _Record:
    """Pressure against seconds since a common epoch, without NaN, in stretches without holes."""

    seconds: NDArray[np.float64]
    pressure: NDArray[np.float64]

    @property
    def step(self) -> float:
        return float(np.median(np.diff(self.seconds)))


@dataclass(frozen=True, slots=True)
class _Peak:
    lag_s: float
    correlation: float
    second: float


@dataclass(frozen=True, slots=True)
class _Fit:
    offset_s: float
    sigma_s: float
    scale: float


def estimate_offset(
    series: GasSeries, trajectory: Trajectory, *, max_offset_s: float = MAX_OFFSET_S
) -> ClockOffset:
    """Find the clock error of an analyser by laying its pressure over that of the flight log.

    Coarse: cross-correlation by FFT of the pressure changes over :data:`CHANGE_OVER_S` on a 1 s grid. Fine:
    least squares of ``p_analyser(t) = a + b p_log(t + offset) + c t`` by Gauss-Newton; standard uncertainty
    by a jackknife over blocks (Künsch 1989, doi 10.1214/aos/1176347265), and half a reading interval that a
    reading may be averaged over. An offset is accepted only if the changes correlate, no other offset does
    nearly as well, and both halves of the flight give the same answer.

    Parameters
    ----------
    series : GasSeries
        With ``ambient.pressure_hpa``.
    trajectory : Trajectory
        With `pressure_hpa`; without it the pressure is derived from `height_m` or `height_source_m` by the
        standard atmosphere (its changes are good to a few per cent, which `b` absorbs).
    max_offset_s : float
        Offsets up to this size, of either sign, are considered.

    Returns
    -------
    ClockOffset
        Never guessed: `accepted` is False with a reason when the data do not decide.
    """
    if not max_offset_s > 0.0:
        raise ValueError(f"max_offset_s must be > 0, not {max_offset_s}")
    epoch = int(trajectory.time[0])
    gas = _record(series.time, series.ambient.pressure_hpa, epoch)
    if gas is None:
        return _refused("the gas series carries no pressure", "none")
    log, method = _log_record(trajectory, epoch)
    if log is None:
        return _refused("the flight log carries neither pressure nor heights", "none")
    peak = _coarse(gas, log, max_offset_s)
    if peak is None:
        return _refused(
            f"pressure and flight log share less than {MIN_OVERLAP_S:.0f} s, or none of them changes height",
            method,
        )
    if peak.correlation < MIN_CORRELATION:
        return _refused(f"the pressure changes correlate only by {peak.correlation:.2f}", method)
    if peak.second > MAX_SECOND_PEAK:
        return _refused(
            f"another offset fits nearly as well ({peak.second:.0%} of the best): the heights repeat", method
        )
    return _refine(gas, log, peak, method)


def shift(series: GasSeries, offset_s: float, sigma_s: float = 0.0) -> GasSeries:
    """Add *offset_s* to the stamps of *series*; *sigma_s* is its standard uncertainty, kept in the history.

    Raises
    ------
    CoverageError
        If the offset is not finite.
    """
    if not math.isfinite(offset_s):
        raise CoverageError(
            "the clock offset is not a number",
            where=series.source or None,
            fix="set clock_offset_s in flight.toml to the seconds to add to the instrument's time",
        )
    step = f"clock: {offset_s:+.3f} s added to the instrument's time, sigma {sigma_s:.3f} s"
    return replace(series, time=series.time + round(offset_s * _NS), history=(*series.history, step))


def _refused(why: str, method: str) -> ClockOffset:
    todo = "set clock_offset_s in flight.toml to the seconds to add to the instrument's time"
    return ClockOffset(0.0, math.inf, accepted=False, method=method, reason=f"{why}; {todo}")


def _record(time: NDArray[np.int64], pressure: NDArray[np.float64] | None, epoch: int) -> _Record | None:
    """Return the finite part of a pressure record; None when it is too short to be of use."""
    if pressure is None:
        return None
    good = np.isfinite(pressure) & (pressure > 0.0)
    seconds = (time[good] - epoch) / _NS
    if seconds.size < MIN_BLOCKS or seconds[-1] - seconds[0] < MIN_OVERLAP_S:
        return None
    return _Record(seconds, pressure[good])


def _log_record(trajectory: Trajectory, epoch: int) -> tuple[_Record | None, str]:
    """Return the log's pressure, measured or from its heights, and which of the two."""
    measured = _record(trajectory.time, trajectory.pressure_hpa, epoch)
    if measured is not None:
        return measured, "pressure"
    for height in (trajectory.height_m, trajectory.height_source_m):
        pressure = SEA_LEVEL_HPA * (1.0 - height / STANDARD_SCALE_M) ** STANDARD_EXPONENT
        derived = _record(trajectory.time, pressure, epoch)
        if derived is not None:
            return derived, "height"
    return None, "none"


def _changes(record: _Record, first: float, cells: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pressure changes on a grid of cells, 0 where unknown, and the mask of known ones."""
    cell = np.floor((record.seconds - first) / COARSE_STEP_S).astype(np.int64)
    count = np.bincount(cell, minlength=cells)[:cells].astype(np.float64)
    center = np.bincount(cell, record.pressure, cells)[:cells]
    known = np.flatnonzero(count)
    grid = np.arange(cells, dtype=np.float64)
    mean = np.interp(grid, known, center[known] / count[known])
    after = np.searchsorted(known, grid, side="left")
    width = known[np.minimum(after, known.size - 1)] - known[np.maximum(after - 1, 0)]
    inside = (grid >= known[0]) & (grid <= known[-1])
    bridged = inside & ((count > 0) | (width * COARSE_STEP_S <= MAX_HOLE_S))
    span = round(CHANGE_OVER_S / COARSE_STEP_S)
    both = (bridged[span:] & bridged[:-span]).astype(np.float64)
    change = (mean[span:] - mean[:-span]) * both
    return change, both


def _coarse(gas: _Record, log: _Record, max_offset_s: float) -> _Peak | None:
    """Return the best lag on the coarse grid, refined by a parabola; None when nothing can be compared.

    The height of the cross-correlation itself ranks the lags (it cannot be large over a short overlap); the
    masked normalized one (Padfield 2012, doi 10.1109/TIP.2011.2181402) tells how well the records agree
    there.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    first = [record.seconds[0] - COARSE_STEP_S for record in (gas, log)]
    cells = [
        math.ceil((record.seconds[-1] - start) / COARSE_STEP_S) + 1
        for record, start in zip((gas, log), first, strict=True)
    ]
    a, known_a = _changes(gas, first[0], cells[0])
    b, known_b = _changes(log, first[1], cells[1])
    length = next_fast_len(a.size + b.size, real=True)

    def correlate(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        product = irfft(np.conj(rfft(x, length)) * rfft(y, length), length)
        full: NDArray[np.float64] = np.roll(product, a.size - 1)[: a.size + b.size - 1]
        return full

    # Index k: cell i of the analyser lies on cell i + k - (a.size - 1) of the log.
    lag = (np.arange(a.size + b.size - 1) - (a.size - 1)) * COARSE_STEP_S + first[1] - first[0]
    overlap = correlate(known_a, known_b) * COARSE_STEP_S
    allowed = (np.abs(lag) <= max_offset_s + FINE_REACH_S) & (overlap >= MIN_OVERLAP_S)
    height = np.where(allowed, correlate(a, b), -np.inf)
    if not allowed.any() or not float(height.max()) > 0.0:
        return None
    best = int(np.argmax(height))
    energy = correlate(a**2, known_b)[best] * correlate(known_a, b**2)[best]
    if not energy > 0.0:
        return None
    far = allowed & (np.abs(lag - lag[best]) > MAIN_LOBE_S)
    second = float(height[far].max()) / float(height[best]) if far.any() else 0.0
    return _Peak(
        float(lag[best]) + _parabola(height, best) * COARSE_STEP_S,
        float(height[best]) / math.sqrt(energy),
        second,
    )


def _parabola(height: NDArray[np.float64], best: int) -> float:
    """Return the vertex, in cells from *best*, of the parabola through the peak and its neighbors."""
    if not 0 < best < height.size - 1:
        return 0.0
    before, top, after = height[best - 1 : best + 2]
    curvature = before - 2.0 * top + after
    if not (np.isfinite(curvature) and curvature < 0.0):
        return 0.0
    return float(0.5 * (before - after) / curvature)


def _refine(gas: _Record, log: _Record, peak: _Peak, method: str) -> ClockOffset:
    """Fit the offset, check its halves, and decide."""
    fit = _fit(gas, log, peak.lag_s)
    if fit is None or abs(fit.offset_s - peak.lag_s) > FINE_REACH_S:
        return _refused("the fine fit does not settle at the peak of the correlation", method)
    low, high = PRESSURE_SCALE_RANGE
    if not low <= fit.scale <= high:
        return _refused(f"the pressure changes differ in size ({fit.scale:.2f} times the log's)", method)
    halves = _halves(gas, log, fit)
    if halves is None:
        return _refused("only one part of the flight changes height, so the offset cannot be checked", method)
    apart = abs(halves[0].offset_s - halves[1].offset_s)
    allowed = max(HALVES_SLACK_S, HALVES_SIGMAS * math.hypot(halves[0].sigma_s, halves[1].sigma_s))
    if apart > allowed:
        return _refused(f"the two halves of the flight differ by {apart:.2f} s", method)
    averaging = 0.5 * gas.step / math.sqrt(12.0)
    sigma = math.hypot(fit.sigma_s, averaging)
    if sigma > MAX_SIGMA_S:
        return _refused(f"the offset is uncertain by {sigma:.1f} s", method)
    reason = (
        f"pressure changes correlate by {peak.correlation:.2f}, next best offset "
        f"{max(peak.second, 0.0):.0%}, halves differ by {apart:.2f} s"
    )
    return ClockOffset(fit.offset_s, sigma, accepted=True, method=method, reason=reason)


def _halves(gas: _Record, log: _Record, fit: _Fit) -> tuple[_Fit, _Fit] | None:
    """Fit both halves of the flight, cut where half of the squared pressure rates lie."""
    at = gas.seconds + fit.offset_s
    rate = np.gradient(np.interp(at, log.seconds, log.pressure), at)
    rate[(at < log.seconds[0]) | (at > log.seconds[-1])] = 0.0
    energy = np.cumsum(rate**2)
    cut = int(np.searchsorted(energy, 0.5 * energy[-1]))
    parts = [_Record(gas.seconds[part], gas.pressure[part]) for part in (slice(None, cut), slice(cut, None))]
    fits = [_fit(part, log, fit.offset_s) if part.seconds.size > MIN_BLOCKS else None for part in parts]
    if fits[0] is None or fits[1] is None:
        return None
    return fits[0], fits[1]


def _fit(gas: _Record, log: _Record, offset_s: float) -> _Fit | None:
    """Least squares of the analyser's pressure on the log's, shifted; None when it does not converge."""
    from scipy.ndimage import gaussian_filter1d

    grid = np.arange(log.seconds[0], log.seconds[-1], FINE_STEP_S)
    smooth = gaussian_filter1d(np.interp(grid, log.seconds, log.pressure), SMOOTHING_S / FINE_STEP_S)
    slope = np.gradient(smooth, FINE_STEP_S)
    total = 0.0
    for _ in range(_STEPS):
        at = gas.seconds + offset_s + total
        inside = (at >= grid[0] + FINE_REACH_S) & (at <= grid[-1] - FINE_REACH_S) & _covered(at, log)
        if np.count_nonzero(inside) < MIN_BLOCKS:
            return None
        at = at[inside]
        drift = (at - at.mean()) / max(float(np.ptp(at)), 1.0)
        rate = np.interp(at, grid, slope)
        design = np.column_stack([np.ones_like(at), np.interp(at, grid, smooth), drift, rate])
        coefficient, *_ = np.linalg.lstsq(design, gas.pressure[inside], rcond=None)
        scale = float(coefficient[1])
        if not scale > 0.0:
            return None
        move = float(np.clip(coefficient[3] / scale, -FINE_REACH_S, FINE_REACH_S))
        total += move
        if abs(total) > 2.0 * FINE_REACH_S:
            return None
        if abs(move) < 0.1 * FINE_STEP_S:
            break
    residual = gas.pressure[inside] - design @ coefficient
    sigma = _jackknife(at, design, residual) / scale
    return _Fit(offset_s + total, sigma, scale)


def _covered(at: NDArray[np.float64], log: _Record) -> NDArray[np.bool_]:
    """Tell which times do not lie in a hole of the log."""
    after = np.clip(np.searchsorted(log.seconds, at), 1, log.seconds.size - 1)
    covered: NDArray[np.bool_] = log.seconds[after] - log.seconds[after - 1] <= MAX_HOLE_S
    return covered


def _jackknife(at: NDArray[np.float64], design: NDArray[np.float64], residual: NDArray[np.float64]) -> float:
    """Return the block-jackknife standard deviation of the last coefficient of a linear fit.

    Leaving out a block changes the coefficients by ``-(X'X - B)^-1 X_b' r_b`` with ``B = X_b' X_b``; blocks
    are at least :data:`BLOCK_S` long, and there are at least :data:`MIN_BLOCKS` of them.
    """
    length = min(BLOCK_S, float(np.ptp(at)) / MIN_BLOCKS + FINE_STEP_S)
    block = np.floor((at - at[0]) / length).astype(np.int64)
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    normal = np.add.reduceat(design[:, :, None] * design[:, None, :], starts, axis=0)
    score = np.add.reduceat(design * residual[:, None], starts, axis=0)
    ridge = np.finfo(np.float64).eps * np.trace(normal.sum(axis=0)) * np.eye(design.shape[1])
    left = normal.sum(axis=0) - normal + ridge
    change = np.linalg.solve(left, -score[:, :, None])[:, -1, 0]
    blocks = starts.size
    return float(math.sqrt((blocks - 1) / blocks * float(np.sum((change - change.mean()) ** 2))))
