"""What an analyser can see: Allan deviation, critical value, limits of detection and quantification.

"Three sigma" is none of these; every limit here is named for what it is and for the probabilities behind it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

ERROR_RATE: Final = 0.05
"""Probability of a false positive (alpha) and of a false negative (beta) that IUPAC recommends."""
QUANTIFICATION_SIGMAS: Final = 10.0
"""L_Q: where the relative standard deviation is 10 % (Currie 1968)."""
AVERAGING_S: Final = (1.0, 10.0)
"""Averaging times at which an Allan deviation is reported, s."""
MIN_AVERAGES: Final = 8
"""Averages of a length that must fit into the samples, for its Allan deviation to mean something."""
GAP_INTERVALS: Final = 1.5
"""Stamps farther apart than this many median intervals are a gap."""
MAX_STRETCH: Final = 1.25
"""An average may be longer than asked for by this factor: readings every 0.8 s make no whole second."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a quantity, in its unit.

    Parameters
    ----------
    critical : float
        L_C, the critical value: a blank exceeds it with probability alpha. A result above it is a detection.
    detection : float
        L_D, the detection limit: a true value there is missed (falls below `critical`) with probability beta.
    quantification : float
        L_Q, the quantification limit; NaN where the standard defines none.
    method : str
        Which definition.
    """

    critical: float
    detection: float
    quantification: float
    method: str


@dataclass(frozen=True, slots=True)
class SeriesNoise:
    """What the plume-free samples of a series tell about its noise: instrument and air together.

    Parameters
    ----------
    samples : int
        Plume-free samples.
    interval_s : float
        Between two of them (median), s.
    adev : mapping of float to float
        Averaging time, s -> Allan deviation; NaN where the series cannot tell.
    least, least_s : float
        Smallest Allan deviation found, and its averaging time: averaging longer does not help.
    sigma : float
        Standard deviation of one reading around the background.
    limits : Limits
        Of one reading above the background.
    """

    samples: int
    interval_s: float
    adev: Mapping[float, float]
    least: float
    least_s: float
    sigma: float
    limits: Limits


def series_noise(
    seconds: ArrayLike,
    value: ArrayLike,
    free: ArrayLike,
    *,
    sigma: float,
    averaging_s: Sequence[float] = AVERAGING_S,
) -> SeriesNoise:
    """Return Allan deviations and Currie's limits of a series with gaps and plumes.

    The overlapping Allan deviation is pooled over all stretches of *free* samples without a gap, so that no
    difference reaches across one. Its least value is sought over averages of 1, 2, 4, ... readings of which
    at least :data:`MIN_AVERAGES` fit into the samples.

    Parameters
    ----------
    seconds, value : (n,) array_like
        Stamps, increasing, and readings (not less the background: a drift must show).
    free : (n,) array_like of bool
        Samples that hold no plume and are to be trusted.
    sigma : float
        Standard deviation of one reading around the background.
    averaging_s : sequence of float
        Averaging times to report; NaN where a reading is already longer, or too few averages fit in.

    Examples
    --------
    >>> noise = series_noise(range(8), [1.0, 2.0] * 4, [True] * 8, sigma=0.5)
    >>> round(noise.adev[1.0], 6), noise.interval_s, round(noise.limits.critical, 3)
    (0.707107, 1.0, 0.822)
    """
    time, reading = (np.asarray(each, dtype=np.float64) for each in (seconds, value))
    good = np.asarray(free, dtype=bool) & np.isfinite(reading)
    count = int(good.sum())
    step = float(np.median(np.diff(time[good]))) if count > 1 else math.nan
    lengths = [round(each / step) if step > 0.0 else 0 for each in averaging_s]
    octaves = [1 << power for power in range(max(count // MIN_AVERAGES, 1).bit_length())]
    found = _pooled(time, reading, good, step, sorted({*lengths, *octaves}))
    reported = {
        each: found.get(m, math.nan) if m * step <= MAX_STRETCH * each else math.nan
        for each, m in zip(averaging_s, lengths, strict=True)
    }
    known = {m: found[m] for m in octaves if math.isfinite(found.get(m, math.nan))}
    best = min(known, key=lambda m: known[m], default=0)
    return SeriesNoise(
        samples=count,
        interval_s=step,
        adev=reported,
        least=known.get(best, math.nan),
        least_s=best * step if known else math.nan,
        sigma=sigma,
        limits=currie(sigma),
    )


def _pooled(
    time: NDArray[np.float64],
    reading: NDArray[np.float64],
    good: NDArray[np.bool_],
    step: float,
    lengths: Sequence[int],
) -> dict[int, float]:
    """Return the overlapping Allan deviation of each length, over pairs of averages without gap or plume."""
    part = np.cumsum(~good | (np.diff(time, prepend=time[:1]) > GAP_INTERVALS * step))
    part = np.where(good, part, -1)
    middle = float(np.mean(reading[good])) if good.any() else 0.0
    total = np.concatenate([[0.0], np.cumsum(np.where(good, reading - middle, 0.0))])
    result = {}
    for m in lengths:
        if m < 1 or 2 * m > reading.size:
            continue
        whole = (part[: part.size - 2 * m + 1] == part[2 * m - 1 :]) & (part[2 * m - 1 :] >= 0)
        change = (total[2 * m :] - 2.0 * total[m:-m] + total[: -2 * m])[whole] / m
        if change.size >= (MIN_AVERAGES - 2) * m:  # as many as one stretch of so many averages gives
            result[m] = math.sqrt(0.5 * float(np.mean(change**2)))
    return result


def allan_deviation(
    value: ArrayLike, averaging: ArrayLike, *, overlapping: bool = True
) -> NDArray[np.float64]:
    """Return the Allan deviation of evenly spaced readings.

    Parameters
    ----------
    value : (n,) array_like
        Readings without gaps.
    averaging : (k,) array_like of int
        Numbers of readings m that are averaged; the averaging time is m intervals.
    overlapping : bool
        Use all overlapping pairs of averages (more degrees of freedom, same expectation).

    Returns
    -------
    (k,) float64
        ``sqrt(<(y2 - y1)^2> / 2)`` of neighboring averages; NaN where fewer than two fit in.

    Raises
    ------
    ValueError
        If a reading is not finite or an m is below 1.

    References
    ----------
    Riley & Howe 2008, Handbook of frequency stability analysis, NIST SP 1065, equations 7 and 10.

    Examples
    --------
    >>> allan_deviation([1.0, 2.0, 1.0, 2.0], [1, 2]).round(6)
    array([0.707107, 0.      ])
    """
    reading = np.asarray(value, dtype=np.float64)
    lengths = np.atleast_1d(np.asarray(averaging, dtype=np.int64))
    if not np.isfinite(reading).all():
        raise ValueError("readings must be finite: split the series at its gaps")
    if np.any(lengths < 1):
        raise ValueError("averaging lengths must be at least 1")
    total = np.concatenate([[0.0], np.cumsum(reading - reading.mean())]) if reading.size else np.zeros(1)
    result = np.full(lengths.size, np.nan)
    for index, m in enumerate(lengths.tolist()):
        step = 1 if overlapping else m
        mean = (total[m:] - total[:-m])[::step] / m if m < total.size else np.empty(0)
        distance = m if overlapping else 1
        change = mean[distance:] - mean[:-distance]
        if change.size:
            result[index] = math.sqrt(0.5 * float(np.mean(change**2)))
    return result


def noise_of(value: ArrayLike) -> float:
    """Return the standard deviation of white noise under a slowly varying signal; NaN for too few readings.

    The median absolute difference of neighbors, scaled to a normal distribution, over sqrt(2): plumes and
    drifts that are longer than two readings hardly enter.
    """
    change = np.diff(np.asarray(value, dtype=np.float64))
    change = change[np.isfinite(change)]
    if not change.size:
        return math.nan
    from scipy.stats import median_abs_deviation

    return float(median_abs_deviation(change, scale="normal")) / math.sqrt(2.0)


def currie(
    sigma_blank: float, *, paired: bool = False, alpha: float = ERROR_RATE, beta: float = ERROR_RATE
) -> Limits:
    """Return the limits of a reading of known, constant noise.

    Parameters
    ----------
    sigma_blank : float
        Standard deviation of a reading of the blank.
    paired : bool
        The blank is itself measured once beside every reading, and its noise counts as well: factor sqrt(2).
    alpha, beta : float
        Probabilities of a false positive and of a false negative.

    References
    ----------
    Currie 1968, Analytical Chemistry 40, 586, doi 10.1021/ac60259a007.

    Examples
    --------
    >>> limits = currie(1.0)
    >>> round(limits.critical, 3), round(limits.detection, 2), limits.quantification
    (1.645, 3.29, 10.0)
    """
    from scipy.special import ndtri

    sigma = sigma_blank * (math.sqrt(2.0) if paired else 1.0)
    critical = -float(ndtri(alpha)) * sigma
    kind = "paired" if paired else "known blank"
    return Limits(
        critical,
        critical - float(ndtri(beta)) * sigma,
        QUANTIFICATION_SIGMAS * sigma,
        f"Currie 1968, {kind}, alpha {alpha:g}, beta {beta:g}",
    )


def currie_counts(background: float) -> Limits:
    """Return the limits of a count over a paired background of *background* counts (Currie 1968, table II).

    >>> round(currie_counts(100.0).detection, 2)
    49.21
    """
    root = math.sqrt(background)
    return Limits(
        2.33 * root,
        2.71 + 4.65 * root,
        50.0 * (1.0 + math.sqrt(1.0 + background / 12.5)),
        "Currie 1968, paired counts, alpha = beta = 0.05",
    )


def iso_11843(
    true: ArrayLike,
    reading: ArrayLike,
    *,
    repeats: int = 1,
    alpha: float = ERROR_RATE,
    beta: float = ERROR_RATE,
) -> Limits:
    """Return the limits that a linear calibration with constant noise supports, in units of the standards.

    Parameters
    ----------
    true, reading : (n,) array_like
        Standards and what the instrument read, n >= 3.
    repeats : int
        Readings that are averaged for a result (K of the standard).
    alpha, beta : float
        Probabilities of a false positive and of a false negative.

    Raises
    ------
    ValueError
        If there are fewer than 3 points or fewer than two different standards.

    References
    ----------
    ISO 11843-2:2000, Capability of detection, 5.1 to 5.3; detection limit by the non-central t
    distribution.
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr, stdtrit

    x, y = (np.asarray(values, dtype=np.float64) for values in (true, reading))
    n = x.size
    spread = float(np.sum((x - x.mean()) ** 2)) if n else 0.0
    if n < 3 or not spread > 0.0:
        raise ValueError("needs at least 3 points and two different standards")
    slope = float(np.sum((x - x.mean()) * (y - y.mean()))) / spread
    residual = y - y.mean() - slope * (x - x.mean())
    degrees = n - 2
    noise = math.sqrt(float(np.sum(residual**2)) / degrees)
    width = noise / abs(slope) * math.sqrt(1.0 / repeats + 1.0 / n + x.mean() ** 2 / spread)
    quantile = -float(stdtrit(degrees, alpha))
    shift = float(
        brentq(lambda delta: float(nctdtr(degrees, delta, quantile)) - beta, 0.0, 10.0 * quantile + 10.0)
    )
    return Limits(
        quantile * width,
        shift * width,
        math.nan,
        f"ISO 11843-2, {n} points, K = {repeats}, alpha {alpha:g}, beta {beta:g}",
    )
