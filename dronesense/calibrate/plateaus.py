"""Plateaus of a calibration recording: where the reading stood still, its mean, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate import limits, line
from dronesense.calibrate.response import UNUSABLE
from dronesense.errors import CalibrationError
from dronesense.model import GasSeries, SpeciesCalibration
from dronesense.model.calibration import Standard
from dronesense.timescale import to_iso

MIN_SAMPLES: Final = 10
MIN_DURATION_S: Final = 60.0
"""Shortest plateau that is looked for."""
GAP_INTERVALS: Final = 3.0
STABLE_SIGMAS: Final = 4.0
"""The halves of a window may differ by this many standard deviations of their difference."""
STABLE_RANGE: Final = 0.005
"""... or by this part of the whole range of readings: the tail of a step is longer than any noise."""
DRIFT_SIGMAS: Final = 3.0
LONGEST_SHARE: Final = 4
"""The Allan deviation is taken up to this part of the plateau: longer, few degrees of freedom are left."""
MAD_TO_SIGMA: Final = 1.4826
"""Median absolute deviation -> standard deviation of a normal distribution: 1 / 0.67449."""
POOR_FIT: Final = 0.01
"""Probability of chi-squared below which the stated uncertainties do not explain the residuals."""
_NS: Final = 1_000_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plateau:
    """The mean of a stretch of readings.

    Parameters
    ----------
    start, end : int
        UTC ns of its first and last sample.
    samples : int
    mean, sigma : float
        With the standard uncertainty of the mean, from the Allan deviation.
    noise : float
        Standard deviation of one reading.
    drift, sigma_drift : float
        Change from start to end along a straight line, and its standard uncertainty.
    """

    start: int
    end: int
    samples: int
    mean: float
    sigma: float
    noise: float
    drift: float
    sigma_drift: float

    @property
    def drifts(self) -> bool:
        """Whether the drift is certain, and larger than the noise of one reading."""
        return abs(self.drift) > max(DRIFT_SIGMAS * self.sigma_drift, self.noise)


@dataclass(frozen=True, slots=True)
class StandardsFit:
    """A calibration line and the plateaus behind it, in the order of `standards`."""

    species: str
    standards: tuple[Standard, ...]
    plateaus: tuple[Plateau, ...]
    fitted: line.LineFit
    warnings: tuple[str, ...]

    @property
    def record_line(self) -> SpeciesCalibration:
        """The line, with the points that it was fitted to."""
        points = [
            (standard.value, plateau.mean, plateau.sigma)
            for standard, plateau in zip(self.standards, self.plateaus, strict=True)
        ]
        return replace(self.fitted.line, standards=tuple(points))

    @property
    def note(self) -> str:
        """The fit in a line."""
        true = ", ".join(f"{each.value:g}" for each in self.standards)
        text = f"{self.species}: standards {true}"
        if self.fitted.degrees:
            text += f", chi2/nu = {self.fitted.chi2:.3g}/{self.fitted.degrees}"
        return "; ".join([text, *self.warnings])


def find(series: GasSeries, *, min_duration_s: float = MIN_DURATION_S) -> list[Plateau]:
    """Find the stretches in which the reading stands still, in order of time.

    A window of *min_duration_s* is stable if the means of its halves agree within :data:`STABLE_SIGMAS` of
    the noise, or :data:`STABLE_RANGE` of the range. Overlapping stable windows make a stretch; its first half
    window is left out, as the tail of the step may reach into it.

    Raises
    ------
    CalibrationError
        If there are fewer samples than a window holds.
    """
    seconds, value = _usable(series)
    step = float(np.median(np.diff(seconds))) if seconds.size > 1 else math.inf
    half = max(round(0.5 * min_duration_s / step), MIN_SAMPLES // 2) if math.isfinite(step) else 1
    width = 2 * half
    if value.size < width + 1:
        raise CalibrationError(
            f"{value.size} usable samples are shorter than a plateau of {min_duration_s:g} s",
            where=series.source or None,
        )
    low, high = np.percentile(value, [1.0, 99.0])
    noise = limits.noise_of(value)
    bound = max(STABLE_SIGMAS * noise * math.sqrt(2.0 / half), STABLE_RANGE * float(high - low))
    index = np.flatnonzero(_good(series))
    found = []
    for part in np.split(np.arange(value.size), np.flatnonzero(np.diff(seconds) > GAP_INTERVALS * step) + 1):
        for first, last in _stretches(value[part], half, bound):
            inside = index[part[first : last + 1]]
            found.append(average(series, int(series.time[inside[0]]), int(series.time[inside[-1]])))
    return found


def _stretches(value: Floats, half: int, bound: float) -> list[tuple[int, int]]:
    """Return first and last sample of each stable stretch of readings without a gap."""
    width = 2 * half
    if value.size < width:
        return []
    total = np.concatenate([[0.0], np.cumsum(value - value.mean())])
    apart = total[width:] - 2.0 * total[half:-half] + total[:-width]
    stable = np.diff(np.r_[0, (np.abs(apart) <= bound * half).astype(np.int8), 0])
    begins = np.flatnonzero(stable == 1)
    if not begins.size:
        return []
    ends = np.flatnonzero(stable == -1) - 1 + width
    # One window of noise does not part a plateau, a step that is over within a reading does.
    left, right = ends[:-1] - half, begins[1:]
    levels = np.abs((total[right + half] - total[right]) - (total[left + half] - total[left]))
    parted = (begins[1:] > ends[:-1]) | (levels > bound * half)
    runs = []
    for begin, end in zip(begins[np.r_[True, parted]], ends[np.r_[parted, True]], strict=True):
        first = int(begin) + half
        rest = np.abs(value[first:end] - np.median(value[first:end]))
        near = np.flatnonzero(rest <= STABLE_SIGMAS * MAD_TO_SIGMA * float(np.median(rest)))
        if near.size >= MIN_SAMPLES:  # a window may hold the first samples of the next step
            runs.append((first + int(near[0]), first + int(near[-1])))
    return runs


def average(series: GasSeries, start: int, end: int) -> Plateau:
    """Average the usable readings from *start* to *end* (UTC ns).

    The standard uncertainty of the mean of n readings is the largest of ``adev(m) sqrt(m / n)`` over the
    averaging lengths m up to n / 4: sigma / sqrt(n) for white noise, and honestly more where the noise is
    correlated. A certain drift adds itself as a rectangular distribution, ``drift / sqrt(12)``.

    Raises
    ------
    CalibrationError
        If fewer than 10 usable samples lie between them.
    """
    keep = _good(series) & (series.time >= start) & (series.time <= end)
    n = int(keep.sum())
    if n < MIN_SAMPLES:
        raise CalibrationError(
            f"{n} usable samples from {to_iso(start)} to {to_iso(end)} (at least {MIN_SAMPLES})",
            where=series.source or None,
            fix="correct the interval, or record the standard longer",
        )
    time, value = series.time[keep], series.value[keep]
    seconds = (time - time[0]) / _NS
    lengths = 2 ** np.arange(int(math.log2(n / LONGEST_SHARE)) + 1)
    deviation = limits.allan_deviation(value, lengths)
    centered = seconds - seconds.mean()
    slope = float(centered @ value / (centered @ centered))
    rest = value - value.mean() - slope * centered
    power = float(rest @ rest)
    rho = min(max(float(rest[1:] @ rest[:-1]) / power, 0.0), 0.99) if power > 0.0 else 0.0
    spread = math.sqrt(power / (n - 2))
    sigma_slope = spread * math.sqrt((1.0 + rho) / (1.0 - rho)) / math.sqrt(float(centered @ centered))
    drift, sigma_drift = slope * float(seconds[-1]), sigma_slope * float(seconds[-1])
    sigma = max(float(np.nanmax(deviation * np.sqrt(lengths / n))), spread / math.sqrt(n))
    if abs(drift) > DRIFT_SIGMAS * sigma_drift:
        sigma = math.hypot(sigma, drift / math.sqrt(12.0))
    return Plateau(
        start=int(time[0]),
        end=int(time[-1]),
        samples=n,
        mean=float(value.mean()),
        sigma=sigma,
        noise=spread,
        drift=drift,
        sigma_drift=sigma_drift,
    )


def fit(
    series: GasSeries, standards: Sequence[Standard], *, min_duration_s: float = MIN_DURATION_S
) -> StandardsFit:
    """Fit the calibration line of one species to a recording of standards.

    Parameters
    ----------
    series : GasSeries
        Level ``"raw"``.
    standards : sequence of Standard
        Of this species, two or more values. Either all state their interval, or none: then as many plateaus
        as standards must be found, and are taken in order.
    min_duration_s : float
        Of the plateaus that are looked for.

    Raises
    ------
    CalibrationError
        If plateaus and standards do not fit together, one drifts, or no line goes through them.
    """
    where = series.source or None
    if series.level != "raw":
        raise CalibrationError(f"{series.species} is calibrated already", where=where)
    plateaus = _matched(series, standards, min_duration_s)
    for standard, plateau in zip(standards, plateaus, strict=True):
        _refuse_drift(series, standard, plateau)
    try:
        fitted = line.fit(
            [each.value for each in standards],
            [each.mean for each in plateaus],
            sigma_reading=[max(each.sigma, np.finfo(float).tiny ** 0.25) for each in plateaus],
            sigma_true=[each.sigma for each in standards],
        )
    except ValueError as error:
        raise CalibrationError(f"{series.species}: {error}", where=where) from error
    return StandardsFit(series.species, tuple(standards), tuple(plateaus), fitted, _poor(fitted))


def _matched(series: GasSeries, standards: Sequence[Standard], min_duration_s: float) -> list[Plateau]:
    """Return the plateau of each standard: as stated, or as found."""
    stated = [each.start is not None and each.end is not None for each in standards]
    if all(stated):
        return [average(series, int(each.start or 0), int(each.end or 0)) for each in standards]
    if any(stated):
        raise CalibrationError(
            f"some standards of {series.species} state start and end and some do not",
            where=series.source or None,
            fix="state them for all, or for none",
        )
    found = find(series, min_duration_s=min_duration_s)
    if len(found) != len(standards):
        seen = "; ".join(f"{to_iso(each.start)} to {to_iso(each.end)} at {each.mean:.4g}" for each in found)
        raise CalibrationError(
            f"{len(standards)} standards of {series.species}, but {len(found)} plateaus ({seen or 'none'})",
            where=series.source or None,
            fix="state start and end of each [[standard]]",
        )
    return found


def _refuse_drift(series: GasSeries, standard: Standard, plateau: Plateau) -> None:
    if plateau.drifts and abs(plateau.drift) > max(standard.sigma, standard.max_drift):
        raise CalibrationError(
            f"the plateau of {standard.value:g} {series.unit} {series.species}, {to_iso(plateau.start)} "
            f"to {to_iso(plateau.end)}, drifts by {plateau.drift:.3g} ± {plateau.sigma_drift:.2g}",
            where=series.source or None,
            fix="wait longer before it, shorten the interval, or allow it with max_drift",
        )


def _poor(fitted: line.LineFit) -> tuple[str, ...]:
    from scipy.stats import chi2

    if not fitted.degrees or float(chi2.sf(fitted.chi2, fitted.degrees)) >= POOR_FIT:
        return ()
    warning = (
        "the points lie farther from a line than their uncertainties explain: the response is bent, "
        "a standard is wrong, or the analyser drifted"
    )
    return (warning,)


def _good(series: GasSeries) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(series.value) & ((series.flags & int(UNUSABLE)) == 0))


def _usable(series: GasSeries) -> tuple[Floats, Floats]:
    keep = _good(series)
    return ((series.time - series.time[:1]) / _NS)[keep], series.value[keep]
