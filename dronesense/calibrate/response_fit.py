"""Time constants and transport delay, fitted together: from switched standards, or from opposite passes.

A late reading may be delayed or slow. To first order a recording shows the sum ``delay + tau`` (the shift of
the center of gravity of a pulse); what parts the two is only the shape of the edges. Both are therefore
fitted together, and their covariance stands in the result: a delay that is read off alone is too long by a
share of tau.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.calibrate.response import UNUSABLE, lag
from dronesense.errors import CalibrationError
from dronesense.model import GasSeries, Response

MIN_SAMPLES: Final = 10
GRID_TAUS: Final = 9
MIN_GRID_DELAYS: Final = 25
MAX_GRID_DELAYS: Final = 200
GRID_INTERVALS: Final = 1.0
"""Step of the search grid in the delay, in sampling intervals: local minima lie farther apart."""
PASS_KNOTS: Final = 40
"""Knots of the unknown profile along the track."""
MIN_CORRECTION: Final = 1e-3
"""Shortest time constant that is tried, in sampling intervals."""
STRONG_CORRELATION: Final = 0.9
DIFFERENCE: Final = 1e-5
"""Relative step of the numerical Jacobian."""
_NS: Final = 1_000_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ResponseFit:
    """A fitted response.

    Parameters
    ----------
    response : Response
        With standard uncertainties and covariances.
    names : tuple of str
        Order of `covariance`: ``tau_s``, ``tau_down_s`` where it was fitted, ``delay_s``.
    covariance : (k, k) float64
        Covariance of the parameters, s²; residuals that are correlated from sample to sample widen it.
    residual : float
        Standard deviation of the residuals, in the unit of the reading.
    correlation : float
        Of `tau_s` and `delay_s`; near -1: only their sum is known.
    seconds, reading, fitted : (n,) float64
        The samples since the first one used, and the fit, for a picture.
    note : str
        The above in words.
    """

    response: Response
    names: tuple[str, ...]
    covariance: Floats
    residual: float
    correlation: float
    seconds: Floats
    reading: Floats
    fitted: Floats
    note: str


def fit_steps(
    series: GasSeries,
    switched: ArrayLike,
    levels: ArrayLike,
    *,
    asymmetric: bool | None = None,
    max_delay_s: float | None = None,
) -> ResponseFit:
    """Fit the response to a recording in which standards were switched at the inlet at known times.

    ``reading = zero + span * lag(levels(t - delay))``: zero and span are free, so that a raw reading will do
    and the levels may be 0 and 1. The air is constant between switches, so the model is exact at every stamp.

    Parameters
    ----------
    series : GasSeries
        The recording: flat before the first switch, and long enough after each (3 tau) to show the level.
    switched : (k,) array_like of int64
        UTC ns at which the inlet was switched, increasing; on the clock of the series.
    levels : (k + 1,) array_like
        What was at the inlet before the first switch and after each.
    asymmetric : bool, optional
        Fit a time constant of its own for falling readings. Default: if the levels both rise and fall.
    max_delay_s : float, optional
        Longest delay that is tried; default: half the shortest time between switches and ends.

    Raises
    ------
    ValueError
        If switches and levels do not fit together.
    CalibrationError
        If there are too few samples, the switches lie outside the recording, or no delay within the bounds
        fits.
    """
    times = np.asarray(switched, dtype=np.int64)
    steps = np.asarray(levels, dtype=np.float64)
    if times.ndim != 1 or steps.shape != (times.size + 1,) or not times.size or np.any(np.diff(times) <= 0):
        raise ValueError("needs increasing times of switching, and one level more than switches")
    rises, falls = bool(np.any(np.diff(steps) > 0.0)), bool(np.any(np.diff(steps) < 0.0))
    both = (rises and falls) if asymmetric is None else asymmetric
    if both and not (rises and falls):
        raise ValueError("two time constants need levels that both rise and fall")
    seconds, reading = _used(series)
    start = int(series.time[0])
    at = (times - start) / _NS
    if at[0] < seconds[0] or at[-1] >= seconds[-1]:
        raise CalibrationError(
            "the inlet was switched outside the recording",
            where=series.source or None,
            fix="check the clocks",
        )
    spans = np.diff(np.r_[at, seconds[-1]])
    longest = 0.5 * float(spans.min()) if max_delay_s is None else max_delay_s
    step = float(np.median(np.diff(seconds)))

    def shape(tau: Floats, delay: float) -> Floats:
        response = Response(tau_s=float(tau[0]), tau_down_s=float(tau[-1]) if both else None)
        return _stepped(seconds, at + delay, steps, response)[:, None]

    found = _search(shape, reading, both, step, (0.0, longest), float(spans.max()))
    return _result(found, seconds, reading, both, where=series.source)


def fit_passes(
    passes: Sequence[GasSeries],
    along_m: Sequence[ArrayLike],
    *,
    knots: int = PASS_KNOTS,
    max_delay_s: float = 10.0,
    max_tau_s: float = 30.0,
) -> ResponseFit:
    """Fit one time constant and the delay to passes of opposite heading over the same plume.

    Every pass reads the same unknown profile along the track (cubic B-splines), lagged along its own
    direction; the response that makes one profile fit all of them is the one. The wind must not have moved
    the plume between the passes: what it moved counts as delay, and is not in the covariance.

    Parameters
    ----------
    passes : sequence of GasSeries
        Two or more, of both headings, each without a gap.
    along_m : sequence of (m,) array_like
        Place of the inlet along the common line at each stamp.
    knots : int
        Knots of the profile.
    max_delay_s, max_tau_s : float
        Bounds of the search.

    Raises
    ------
    ValueError
        If passes and places do not fit together.
    CalibrationError
        If all passes have one heading, or the fit ends at a bound.
    """
    if len(passes) != len(along_m) or len(passes) < 2:
        raise ValueError("needs two passes or more, and the places of each")
    seconds, reading, place = [], [], []
    for each, along in zip(passes, along_m, strict=True):
        where = np.asarray(along, dtype=np.float64)
        if where.shape != (len(each),):
            raise ValueError("along_m must hold one place for each sample")
        keep = np.isfinite(each.value) & ((each.flags & int(UNUSABLE)) == 0) & np.isfinite(where)
        seconds.append(((each.time - each.time[0]) / _NS)[keep])
        reading.append(each.value[keep])
        place.append(where[keep])
    speed = [
        float(np.polyfit(t, s, 1)[0]) if t.size > 1 else math.nan for t, s in zip(seconds, place, strict=True)
    ]
    if not (min(speed) < 0.0 < max(speed)):
        raise CalibrationError(
            "the passes have one heading: delay and plume cannot be told apart",
            where=passes[0].source or None,
            fix="fly the same line back",
        )
    low, high = min(each.min() for each in place), max(each.max() for each in place)
    step = float(np.median(np.concatenate([np.diff(each) for each in seconds])))

    def shape(tau: Floats, delay: float) -> Floats:
        columns = [
            _lagged_columns(
                t, _splines(np.interp(t - delay, t, s) + _beyond(t, delay, v), low, high, knots), tau
            )
            for t, s, v in zip(seconds, place, speed, strict=True)
        ]
        return np.concatenate(columns)

    every = np.concatenate(reading)
    index = np.concatenate(seconds)
    found = _search(shape, every, False, step, (0.0, max_delay_s), max_tau_s, constant=False)
    return _result(found, index, every, False, where=passes[0].source)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Parameters (time constants, delay), their covariance, and the fit."""

    parameters: Floats
    covariance: Floats
    fitted: Floats
    residual: float
    at_bound: bool


def _used(series: GasSeries) -> tuple[Floats, Floats]:
    keep = np.isfinite(series.value) & ((series.flags & int(UNUSABLE)) == 0)
    if int(keep.sum()) < MIN_SAMPLES:
        raise CalibrationError(
            f"{int(keep.sum())} usable samples do not tell a response (at least {MIN_SAMPLES})",
            where=series.source or None,
        )
    return ((series.time - series.time[0]) / _NS)[keep], series.value[keep]


def _stepped(seconds: Floats, at: Floats, levels: Floats, response: Response) -> Floats:
    """Return the lagged staircase at the stamps: exact, as the switches are stamps of their own."""
    stamps, place = np.unique(np.r_[seconds, at], return_inverse=True)
    air = levels[np.searchsorted(at, stamps, side="left")]  # the level until each stamp
    air[0] = levels[np.searchsorted(at, stamps[0], side="left")]
    return lag(stamps, air, response)[place[: seconds.size]]


def _lagged_columns(seconds: Floats, columns: Floats, tau: Floats) -> Floats:
    """Return every column lagged by one time constant; the air between stamps is the mean of its ends."""
    from scipy.linalg import solve_banded

    share = -np.expm1(-np.diff(seconds) / float(tau[0]))
    banded = np.ones((2, seconds.size))
    banded[1, :-1] = share - 1.0
    driven = np.vstack([columns[:1], share[:, None] * 0.5 * (columns[1:] + columns[:-1])])
    return np.asarray(solve_banded((1, 0), banded, driven, check_finite=False))


def _beyond(seconds: Floats, delay: float, speed: float) -> Floats:
    """Return how far before the first place the air of the first readings was taken."""
    early = np.minimum(seconds - delay - seconds[0], 0.0)
    return np.asarray(early * speed)


def _splines(place: Floats, low: float, high: float, knots: int) -> Floats:
    """Return cubic B-splines on even knots from *low* to *high*; constant beyond."""
    from scipy.interpolate import BSpline

    inner = np.linspace(low, high, knots)
    padded = np.r_[[low] * 3, inner, [high] * 3]
    basis = BSpline.design_matrix(np.clip(place, low, high), padded, 3)
    return np.asarray(basis.toarray())


def _project(columns: Floats, reading: Floats) -> Floats:
    """Return the fit of the linear part."""
    return np.asarray(columns @ np.linalg.lstsq(columns, reading, rcond=None)[0], dtype=np.float64)


def _search(
    shape: Callable[[Floats, float], Floats],
    reading: Floats,
    both: bool,
    step_s: float,
    delays: tuple[float, float],
    max_tau_s: float,
    *,
    constant: bool = True,
) -> _Found:
    """Find time constants and delay by variable projection: grid, then Gauss-Newton within bounds."""
    from scipy.optimize import least_squares

    ones = np.ones((reading.size, 1))

    def fitted(parameters: Floats) -> Floats:
        columns = shape(np.exp(parameters[:-1]), float(parameters[-1]))
        return _project(np.hstack([ones, columns]) if constant else columns, reading)

    def misfit(parameters: Floats) -> Floats:
        return fitted(parameters) - reading

    wanted = math.ceil((delays[1] - delays[0]) / (GRID_INTERVALS * step_s)) + 1
    tried = np.linspace(*delays, min(max(wanted, MIN_GRID_DELAYS), MAX_GRID_DELAYS))
    low, high = math.log(MIN_CORRECTION * step_s), math.log(max_tau_s)
    grid = [
        (float(np.sum(misfit(np.r_[[tau] * (1 + both), delay]) ** 2)), tau, delay)
        for tau in np.linspace(math.log(0.3 * step_s), high, GRID_TAUS)[:-1]
        for delay in tried
    ]
    _, tau, delay = min(grid)
    solution = least_squares(
        misfit,
        np.r_[[tau] * (1 + both), delay],
        bounds=([low] * (1 + both) + [delays[0] - step_s], [high] * (1 + both) + [delays[1] + step_s]),
        x_scale=np.r_[[0.3] * (1 + both), max(step_s, math.exp(tau))],
        diff_step=np.full(2 + both, DIFFERENCE),
        xtol=1e-12,
        ftol=1e-12,
    )
    jacobian, residual = np.asarray(solution.jac), np.asarray(solution.fun)
    free = max(reading.size - jacobian.shape[1] - 2, 1)
    variance = float(residual @ residual) / free * _inflation(residual)
    covariance = variance * np.linalg.pinv(jacobian.T @ jacobian)
    scale = np.r_[np.exp(solution.x[:-1]), 1.0]
    taus = np.exp(solution.x[:-1])
    return _Found(
        np.r_[taus, solution.x[-1]],
        covariance * np.outer(scale, scale),
        residual + reading,
        math.sqrt(float(residual @ residual) / free),
        bool(np.any(solution.active_mask[1:] != 0) or solution.active_mask[0] > 0),
    )


def _inflation(residual: Floats) -> float:
    """Return by how much a correlation of neighbors (AR(1)) widens variances; 1 for white residuals."""
    power = float(residual @ residual)
    rho = float(residual[1:] @ residual[:-1]) / power if power > 0.0 else 0.0
    rho = min(max(rho, 0.0), 1.0 - 1.0 / residual.size)
    return (1.0 + rho) / (1.0 - rho)


def _result(found: _Found, seconds: Floats, reading: Floats, both: bool, *, where: str) -> ResponseFit:
    if found.at_bound:
        raise CalibrationError(
            "the best response lies at the bound of the search",
            where=where or None,
            fix="check the times of switching and the clocks, or record longer at each level",
        )
    sigma = np.sqrt(np.diag(found.covariance))
    shared = found.covariance[-1, :-1]
    response = Response(
        tau_s=float(found.parameters[0]),
        delay_s=float(found.parameters[-1]),
        sigma_tau_s=float(sigma[0]),
        sigma_delay_s=float(sigma[-1]),
        tau_down_s=float(found.parameters[1]) if both else None,
        sigma_tau_down_s=float(sigma[1]) if both else 0.0,
        covariance_tau_delay=float(shared[0]),
        covariance_tau_down_delay=float(shared[-1]),
    )
    correlation = float(shared[0] / (sigma[0] * sigma[-1])) if sigma[0] * sigma[-1] > 0.0 else 0.0
    names = ("tau_s", "tau_down_s", "delay_s") if both else ("tau_s", "delay_s")
    return ResponseFit(
        response,
        names,
        found.covariance,
        found.residual,
        correlation,
        seconds,
        reading,
        found.fitted,
        _in_words(response, correlation),
    )


def _in_words(response: Response, correlation: float) -> str:
    """Return the fit in a line, with what its confounding means."""
    total = response.sigma_tau_s**2 + response.sigma_delay_s**2 + 2.0 * response.covariance_tau_delay
    text = (
        f"tau {response.tau_s:.3g} ± {response.sigma_tau_s:.2g} s, "
        f"delay {response.delay_s:.3g} ± {response.sigma_delay_s:.2g} s, fitted together "
        f"(correlation {correlation:+.2f}; their sum {response.tau_s + response.delay_s:.3g} "
        f"± {math.sqrt(max(total, 0.0)):.2g} s)"
    )
    if response.tau_down_s is not None:
        apart = abs(response.tau_s - response.tau_down_s)
        spread = math.hypot(response.sigma_tau_s, response.sigma_tau_down_s)
        text += f"; falling tau {response.tau_down_s:.3g} ± {response.sigma_tau_down_s:.2g} s"
        text += (
            ", different from the rising one" if apart > 2.0 * spread else ", not told from the rising one"
        )
    if abs(correlation) > STRONG_CORRELATION:
        text += "; hardly more than their sum is known"
    return text
