"""Enhancement events of a gas series, at a stated number of false alarms per hour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from dronesense.detect import gas_alarms, gas_background
from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import Detection, DetectRule, GasSeries
from dronesense.model.checks import freeze

METHOD: Final = "enhancement"
WINDOW_S: Final = 300.0
"""Period above which the background follows the series when nobody says otherwise, s."""
WINDOW_PER_PLUME: Final = 3.0
"""The window is at least so many times as long as the longest event."""
MAX_WIDENINGS: Final = 3
"""The window is doubled so many times at most."""
SADDLE: Final = 0.5
"""Two peaks are two events where the series falls below this part of the lower one between them."""
SADDLE_NOISE: Final = 3.0
"""... and by so many standard deviations of the noise more: a dip of the noise is no saddle."""
PHI_SIGMAS: Final = 2.0
"""Correlation at the length of an event counts beyond this many standard errors of white noise."""
FOOT: Final = 0.1
"""An event reaches from the first to the last sample above this part of its peak."""
P_VALUE_FLOOR: Final = 1e-12
"""No record is long enough to know smaller probabilities."""
PEAK_HALF_WIDTHS: Final = (0, 2, 3, 5, 8, 13, 21, 34, 55)
"""Half widths of the parabolas that the height of a peak is taken from, in samples; 0 is the raw reading."""
PEAK_AGREEMENT: Final = 2.0
"""Standard deviations by which a wider parabola may differ from a narrower one."""
RIVAL_DEPTH: Final = 5.0
"""Samples this many standard deviations below the highest could have been the highest."""
PEAK_SELECTION: Final = 0.7
"""The raw reading is the highest of its rivals. What it may be higher for that, in parts of the expected
maximum of as many normal variables (Blom 1958): not all of it, because most rivals start lower."""

_NS: Final = 1_000_000_000
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class GasSearch:
    """What a search of one series for one rule found.

    Parameters
    ----------
    background : (m,) float64
        In the series' unit, at every sample, under plumes and gaps too.
    noise : float
        Standard deviation of the plume-free samples around the background, in the series' unit.
    z : (m,) float64
        ``(value - background) / noise``; NaN for samples that are not valid.
    threshold : float
        In units of `noise`.
    detections : tuple of Detection
        In order of time; `index` are samples of the series, `weight` their enhancement.
    parameters : mapping
        How it was done, JSON-ready.
    """

    background: NDArray[np.float64]
    noise: float
    z: NDArray[np.float64]
    threshold: float
    detections: tuple[Detection, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None,), "background")
        freeze(self, np.float64, (len(self.background),), "z")


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    """Runs of the valid samples [first, last), the highest sample and the flags of each."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    peak: NDArray[np.int64]

    def __len__(self) -> int:
        return self.first.size


def search(
    series: GasSeries,
    rule: DetectRule,
    *,
    window_s: float | None = None,
    sigma_span_rel: float = 0.0,
) -> GasSearch:
    """Find the runs of samples that rise above the background.

    1. Background and noise from the samples outside plumes (:mod:`dronesense.detect.gas_background`). The
    window
       widens until it is three times as long as the longest event; an event that is longer still is flagged
       ``"long-for-background"``.
    2. Threshold from ``rule.false_alarms_per_hour``: an event stays above half the threshold for
       ``rule.min_duration_s`` and reaches the threshold; how often noise of the measured correlation does so
       is computed, and where the negative side of the record has heavier tails, those count
       (:mod:`dronesense.detect.gas_alarms`). ``rule.threshold_sigma`` sets the threshold itself instead.
    3. Two peaks with a saddle below half of the lower one are two events.
    4. The height of a peak is read from the widest local parabola that agrees with the narrower ones
    (Lepski's rule;
       Goldenshluger & Nemirovski 1997): the highest of many noisy samples alone would be too high.

    Parameters
    ----------
    series : GasSeries
        Level ``"calibrated"``; samples that are not valid take no part.
    rule : DetectRule
        With the series' species, and either ``false_alarms_per_hour`` or ``threshold_sigma``.
    window_s : float, optional
        Window of the background, s; then it is not widened. Default: :data:`WINDOW_S`, widened as needed.
    sigma_span_rel : float
        Relative standard uncertainty of the span. The zero error is common to peak and background and
        cancels.

    Returns
    -------
    GasSearch
        Without detections when nothing rises. ``p_value`` of an event is the probability that noise makes one
        as high anywhere in the record; ``q_value`` the false discovery rate among the events (Benjamini &
        Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x). ``value`` is the enhancement at the peak.

    Raises
    ------
    CalibrationError
        If the series is raw.
    CoverageError
        If too few samples are valid to tell background from plumes.
    """
    _check(series, rule)
    valid = np.flatnonzero(series.valid)
    if valid.size < gas_background.MIN_SAMPLES:
        raise CoverageError(
            f"{valid.size} valid {series.species} samples: too few to tell background from plumes",
            where=series.source or None,
            fix=f"at least {gas_background.MIN_SAMPLES}; see the flags of the series for what was left out",
        )
    seconds = (series.time[valid] - series.time[0]) / _NS
    value = series.value[valid]
    step = float(np.median(np.diff(seconds)))
    joined = np.diff(seconds) <= gas_background.GAP_INTERVALS * step
    length = max(1, math.ceil(rule.min_duration_s / step - 1e-6))

    window = WINDOW_S if window_s is None else window_s
    for widening in range(MAX_WIDENINGS + 1):
        under = gas_background.estimate(seconds, value, window_s=window)
        z = (value - under.value) / under.noise
        model = _noise_model(z, under, joined, length)
        level = _threshold(model, rule, step)
        events = _events(z, joined, under.plume, level, length)
        longest = (
            float((seconds[events.last - 1] - seconds[events.first]).max()) + step if len(events) else 0.0
        )
        if window_s is not None or widening == MAX_WIDENINGS or WINDOW_PER_PLUME * longest <= window:
            break
        if window >= seconds[-1] - seconds[0]:
            break
        window *= 2.0

    detections = _detections(
        series, rule, valid, seconds, under, z, model, level, events, joined, sigma_span_rel
    )
    everywhere = np.interp((series.time - series.time[0]) / _NS, seconds, under.value)
    scores = np.full(len(series), np.nan)
    scores[valid] = z
    low = gas_alarms.LOW_OF_HIGH * level
    expected = model.expected(level, low)
    parameters: dict[str, object] = {
        "window_s": window,
        "noise": under.noise,
        "noise_correlation": under.phi,
        "noise_tail": model.tail,
        "stated_sigma": _median(series.sigma[valid]),
        "threshold_sigma": level,
        "low_threshold_sigma": low,
        "min_samples": length,
        "interval_s": step,
        "hours_searched": valid.size * step / _HOUR_S,
        "samples": len(series),
        "samples_searched": int(valid.size),
        "samples_in_plumes": int(np.count_nonzero(under.plume)),
        "expected_false_alarms": expected,
        "expected_false_alarms_per_hour": expected * _HOUR_S / (valid.size * step),
        "stated_false_alarms_per_hour": rule.false_alarms_per_hour,
        "sigma_span_rel": sigma_span_rel,
    }
    return GasSearch(everywhere, under.noise, scores, level, detections, parameters)


def _check(series: GasSeries, rule: DetectRule) -> None:
    """Refuse what is not ready, and what makes no sense."""
    if rule.species != series.species:
        raise ValueError(f"the rule is for {rule.species}, the series holds {series.species}")
    if (rule.false_alarms_per_hour is None) == (rule.threshold_sigma is None):
        raise ValueError("a gas rule needs either false_alarms_per_hour or threshold_sigma")
    stated = rule.false_alarms_per_hour if rule.threshold_sigma is None else rule.threshold_sigma
    if stated is None or not stated > 0.0:
        raise ValueError(f"false_alarms_per_hour or threshold_sigma must be > 0, not {stated}")
    if series.level != "calibrated":
        raise CalibrationError(
            f"{series.species} is raw",
            where=series.source or None,
            fix="calibrate it first (without a record the factory values are kept)",
        )


def _noise_model(
    z: NDArray[np.float64], under: gas_background.Background, joined: NDArray[np.bool_], length: int
) -> gas_alarms.NoiseModel:
    """Describe the noise: correlation, at the length of an event too, and tails of the negative side."""
    phi = [under.phi]
    if length > 1:
        chance = PHI_SIGMAS / math.sqrt(z.size)
        far = max(gas_background.correlation(z, ~under.plume, joined, length) - chance, 0.0)
        phi.append(min(far ** (1.0 / length), gas_background.MAX_PHI))
    model = gas_alarms.NoiseModel(tuple(phi), length, float(z.size))
    lowest = gas_alarms.threshold(model, gas_alarms.TAIL_EVENTS[0])
    negative = _runs_reaching(-z, joined, gas_alarms.LOW_OF_HIGH * lowest, lowest, length)
    return gas_alarms.with_tail(model, -z[negative.peak])


def _threshold(model: gas_alarms.NoiseModel, rule: DetectRule, step: float) -> float:
    if rule.threshold_sigma is not None:
        return rule.threshold_sigma
    assert rule.false_alarms_per_hour is not None
    return gas_alarms.threshold(model, rule.false_alarms_per_hour * model.samples * step / _HOUR_S)


def _runs_reaching(
    z: NDArray[np.float64], joined: NDArray[np.bool_], low: float, high: float, length: int
) -> _Events:
    """Return the runs at or above *low*, at least *length* samples long, that reach *high*."""
    first, last = gas_background.runs(z >= low, joined)
    long = last - first >= length
    first, last = first[long], last[long]
    peak = np.array([i + int(np.argmax(z[i:j])) for i, j in zip(first, last, strict=True)], dtype=np.int64)
    high_enough = z[peak] >= high
    return _Events(first[high_enough], last[high_enough], peak[high_enough])


def _events(
    z: NDArray[np.float64],
    joined: NDArray[np.bool_],
    plume: NDArray[np.bool_],
    level: float,
    length: int,
) -> _Events:
    """Return the runs that reach *level*: one plume is one event, cut at deep saddles between high peaks."""
    from scipy.signal import find_peaks

    pieces = _runs_reaching(z, joined, gas_alarms.LOW_OF_HIGH * level, level, length)
    breaks = np.concatenate([[0], np.cumsum(~(joined & plume[1:] & plume[:-1]))])
    apart = np.flatnonzero(np.diff(breaks[pieces.peak]) > 0) + 1
    cuts: list[tuple[int, int, int]] = []
    for group in np.split(np.arange(len(pieces)), apart) if len(pieces) else []:
        first, last = pieces.first[group[0]], pieces.last[group[-1]]
        padded = np.concatenate([[0.0], z[first:last], [0.0]])
        tops, found = find_peaks(padded, height=level, prominence=0.0)
        deep = found["prominences"] >= SADDLE * found["peak_heights"] + SADDLE_NOISE
        kept = tops[deep] - 1
        saddles = [a + int(np.argmin(z[first + a : first + b])) for a, b in pairwise(kept)]
        cuts += [_trimmed(z, first + a, first + b, level) for a, b in pairwise([0, *saddles, last - first])]
    table = np.array(cuts, dtype=np.int64).reshape(-1, 3)
    return _Events(table[:, 0], table[:, 1], table[:, 2])


def _trimmed(z: NDArray[np.float64], first: int, last: int, level: float) -> tuple[int, int, int]:
    """Return an event without its long low ends, and its highest sample."""
    peak = first + int(np.argmax(z[first:last]))
    foot = max(gas_alarms.LOW_OF_HIGH * level, FOOT * float(z[peak]))
    inside = first + np.flatnonzero(z[first:last] >= foot)
    return int(inside[0]), int(inside[-1]) + 1, peak


def _detections(
    series: GasSeries,
    rule: DetectRule,
    valid: NDArray[np.int64],
    seconds: NDArray[np.float64],
    under: gas_background.Background,
    z: NDArray[np.float64],
    model: gas_alarms.NoiseModel,
    level: float,
    events: _Events,
    joined: NDArray[np.bool_],
    sigma_span_rel: float,
) -> tuple[Detection, ...]:
    """Turn events into detections with their probabilities and heights."""
    low = gas_alarms.LOW_OF_HIGH * level
    expected = np.array([model.expected(float(z[k]), low) for k in events.peak])
    p_values = np.clip(-np.expm1(-expected), P_VALUE_FLOOR, 1.0)
    q_values = false_discovery_rates(p_values)
    bridge = under.sigma(seconds[events.peak]) if len(events) else np.empty(0)
    border = np.concatenate([[True], ~joined, [True]])
    out = []
    for n, (first, last, peak) in enumerate(zip(events.first, events.last, events.peak, strict=True)):
        height, spread = _peak_height(z, peak, border, under.phi)
        value = height * under.noise
        sigma = math.hypot(spread * under.noise, float(bridge[n]), value * sigma_span_rel)
        flags = []
        if border[first] or border[last]:
            flags.append("cut-by-gap")
        if WINDOW_PER_PLUME * (seconds[last - 1] - seconds[first]) > under.window_s:
            flags.append("long-for-background")
        out.append(
            Detection(
                target=rule.target,
                kind="gas",
                method=METHOD,
                origin=series.species,
                source=series.source,
                index=valid[first:last],
                weight=np.maximum(z[first:last], 0.0) * under.noise,
                peak=int(peak - first),
                score=float(z[peak]),
                p_value=float(p_values[n]),
                q_value=float(q_values[n]),
                value=value,
                sigma=sigma,
                unit=series.unit,
                flags=tuple(flags),
            )
        )
    return tuple(out)


def _peak_height(
    z: NDArray[np.float64], peak: int, border: NDArray[np.bool_], phi: float
) -> tuple[float, float]:
    """Return the height of a peak and its standard deviation, both in units of the noise.

    Parabolas are fitted around the peak, wider and wider. A wider one is taken as long as it differs from
    every narrower one by no more than noise of the measured correlation explains; half of its distance from
    the next narrower one is counted as what smoothing may have taken off.
    """
    most = max(PEAK_HALF_WIDTHS)
    apart = np.abs(np.subtract.outer(np.arange(2 * most + 1), np.arange(2 * most + 1)))
    covariance = phi**apart
    first, last = max(peak - most, 0), min(peak + most + 1, z.size)
    around = np.zeros(2 * most + 1)
    around[first - peak + most : last - peak + most] = z[first:last]
    rivals = np.count_nonzero(around >= z[peak] - RIVAL_DEPTH)
    selection = PEAK_SELECTION * float(ndtri((rivals - 0.375) / (rivals + 0.25)))
    rows = [np.eye(1, 2 * most + 1, most)[0]]
    for half in PEAK_HALF_WIDTHS[1:]:
        inside = peak - half >= 0 and peak + half < z.size
        if not inside or bool(border[peak - half + 1 : peak + half + 1].any()):
            break
        row = np.pad(_parabola_row(half), most - half)
        change = row - np.array(rows)
        agreement = np.full(len(rows), PEAK_AGREEMENT)
        agreement[0] += selection
        allowed = agreement * np.sqrt(np.einsum("ij,jk,ik->i", change, covariance, change))
        if bool(np.any(np.abs(change @ around) > allowed)):
            break
        rows.append(row)
    height = float(rows[-1] @ around)
    bias = height - float(rows[max(len(rows) - 2, 0)] @ around)
    return height, math.sqrt(float(rows[-1] @ covariance @ rows[-1]) + bias**2)


def _parabola_row(half: int) -> NDArray[np.float64]:
    """Return the weights that give the value at the middle of a least-squares parabola (Savitzky-Golay)."""
    x = np.arange(-half, half + 1) / half
    row: NDArray[np.float64] = np.linalg.pinv(np.column_stack([np.ones_like(x), x, x**2]))[0]
    return row


def false_discovery_rates(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Benjamini-Hochberg adjusted p-values (q-values) of independent tests.

    Examples
    --------
    >>> [float(q) for q in false_discovery_rates(np.array([0.01, 0.04, 0.03]))]
    [0.03, 0.04, 0.04]
    """
    order = np.argsort(p_values)[::-1]
    rank = p_values.size - np.arange(p_values.size)
    q = np.empty_like(p_values)
    q[order] = np.minimum(np.minimum.accumulate(p_values[order] * p_values.size / rank), 1.0)
    return q


def _median(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None
