"""Enhancement events of a gas series, at a stated number of false alarms per hour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import gas_alarms, gas_background, gas_events, gas_rounding, gas_statistics
from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import Detection, DetectRule, GasSeries
from dronesense.model.checks import freeze
from dronesense.model.detection import false_discovery_rates

METHOD: Final = {
    "peak": "enhancement",
    "template": "matched-template",
    "cusum": "cusum",
    "ewma": "ewma",
}
"""Detector that a detection names."""
WINDOW_S: Final = 300.0
"""Period above which the background follows the series when nobody says otherwise, s."""
WINDOW_PER_PLUME: Final = 3.0
"""The window is at least so many times as long as the longest event."""
MAX_WIDENINGS: Final = 3
"""The window is doubled so many times at most."""
LONG_DIP: Final = 0.1
"""Stretches below the background that last more than this part of the window are told."""
P_VALUE_FLOOR: Final = 1e-12
"""No record is long enough to know smaller probabilities."""
_NS: Final = 1_000_000_000
_HOUR_S: Final = 3600.0
_ROUNDING: Final = 1e-6
"""0.6 s at 10 Hz are 6 samples, whatever the last bit says."""


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
    score : (m,) float64
        What was compared with the threshold: `z` itself, or the statistic of the method; NaN where `z` is.
    threshold : float
        In units of `score`.
    detections : tuple of Detection
        In order of time; `index` are samples of the series, `weight` their enhancement.
    parameters : mapping
        How it was done, JSON-ready.
    """

    background: NDArray[np.float64]
    noise: float
    z: NDArray[np.float64]
    score: NDArray[np.float64]
    threshold: float
    detections: tuple[Detection, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None,), "background")
        freeze(self, np.float64, (len(self.background),), "z", "score")


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """The valid samples: number in the series, seconds, value; which neighbors are joined; lengths."""

    index: NDArray[np.int64]
    seconds: NDArray[np.float64]
    value: NDArray[np.float64]
    joined: NDArray[np.bool_]
    step_s: float
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """One look at the samples with one window."""

    under: gas_background.Background
    z: NDArray[np.float64]
    statistic: gas_statistics.Statistic
    level: float
    events: gas_events.Events
    height: NDArray[np.float64]
    longest_s: float
    rounded_to: float


def search(
    series: GasSeries,
    rule: DetectRule,
    *,
    sigma_span_rel: float = 0.0,
) -> GasSearch:
    """Find the runs of samples that rise above the background.

    1. Background and noise from the samples outside plumes (:mod:`dronesense.detect.gas_background`). The
       window widens until it is three times as long as the longest event; an event that is longer still is
       flagged ``"long-for-background"``. Readings in steps as large as the noise are drawn from within their
       steps first (:mod:`dronesense.detect.gas_rounding`).
    2. Threshold from ``rule.false_alarms_per_hour``: an event stays above half the threshold for
       ``rule.min_duration_s`` and reaches the threshold; how often noise of the measured correlation does so
       is computed, and where the negative side of the record has heavier tails, those count
       (:mod:`dronesense.detect.gas_alarms`). That is the method ``"peak"``; ``"template"`` (plume shapes of
       several durations), ``"cusum"`` and ``"ewma"`` gather a plume's samples in whitened residuals and have
       thresholds of their own (:mod:`dronesense.detect.gas_statistics`).
       ``rule.threshold_sigma`` sets the threshold itself instead.
    3. One plume is one event, but two peaks with a saddle below half of the lower one are two.
    4. The height of a peak comes from the widest local parabola that agrees with the narrower ones: the
       highest of many noisy samples alone would be too high (:mod:`dronesense.detect.gas_events`).

    Parameters
    ----------
    series : GasSeries
        Level ``"calibrated"``; samples that are not valid take no part.
    rule : DetectRule
        With the series' species, and either ``false_alarms_per_hour`` or ``threshold_sigma``. A
        ``window_s`` is not widened; the default is :data:`WINDOW_S`, widened as needed.
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
    samples = _samples(series, rule)
    window = WINDOW_S if rule.window_s is None else rule.window_s
    found = _look(samples, rule, window)
    for _ in range(MAX_WIDENINGS if rule.window_s is None else 0):
        if WINDOW_PER_PLUME * found.longest_s <= window or window >= samples.seconds[-1] - samples.seconds[0]:
            break
        window *= 2.0
        found = _look(samples, rule, window)

    everywhere = np.interp((series.time - series.time[0]) / _NS, samples.seconds, found.under.value)
    z, score = np.full(len(series), np.nan), np.full(len(series), np.nan)
    z[samples.index], score[samples.index] = found.z, found.statistic.value
    return GasSearch(
        background=everywhere,
        noise=found.under.noise,
        z=z,
        score=score,
        threshold=found.level,
        detections=_detections(series, rule, samples, found, sigma_span_rel),
        parameters=_parameters(series, rule, samples, found)
        | {"method": rule.method, "background": rule.background, "sigma_span_rel": sigma_span_rel},
    )


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


def _samples(series: GasSeries, rule: DetectRule) -> _Samples:
    """Take the valid samples, or refuse when there are too few."""
    index = np.flatnonzero(series.valid)
    if index.size < gas_background.MIN_SAMPLES:
        raise CoverageError(
            f"{index.size} valid {series.species} samples: too few to tell background from plumes",
            where=series.source or None,
            fix=f"at least {gas_background.MIN_SAMPLES}; see the flags of the series for what was left out",
        )
    seconds = (series.time[index] - series.time[0]) / _NS
    step = float(np.median(np.diff(seconds)))
    joined = np.diff(seconds) <= gas_background.GAP_INTERVALS * step
    length = max(1, math.ceil(rule.min_duration_s / step - _ROUNDING))
    return _Samples(index, seconds, series.value[index], joined, step, length)


def _look(samples: _Samples, rule: DetectRule, window_s: float) -> _Found:
    """Background, noise, threshold and events with one window."""
    under = gas_background.estimate(samples.seconds, samples.value, window_s=window_s, start=rule.background)
    under, z, rounded_to = _residuals(samples, under)
    record = gas_statistics.Record(
        z, under.plume, samples.joined, under.phi, samples.step_s, window_s, samples.length
    )
    statistic = gas_statistics.prepare(record, rule.method)
    level = _threshold(statistic.model, rule, samples.step_s)
    events, height = statistic.events(level)
    lasting = samples.seconds[events.last - 1] - samples.seconds[events.first] + samples.step_s
    return _Found(under, z, statistic, level, events, height, float(lasting.max(initial=0.0)), rounded_to)


def _residuals(
    samples: _Samples, under: gas_background.Background
) -> tuple[gas_background.Background, NDArray[np.float64], float]:
    """Return the samples in standard deviations of the noise; coarse steps are undone first."""
    step = gas_rounding.step_of(samples.value)
    if step <= gas_rounding.COARSE * under.noise:
        return under, (samples.value - under.value) / under.noise, 0.0
    rest = (samples.value - under.value)[~under.plume]
    noise = gas_rounding.noise_of(rest, step=step, first=under.noise)
    drawn = gas_rounding.unround(samples.value, under.value, step=step, noise=noise)
    z = (drawn - under.value) / noise
    phi = gas_background.correlation(z, ~under.plume, samples.joined, 1)
    return replace(under, noise=noise, phi=phi), z, step


def _threshold(model: gas_alarms.NoiseModel, rule: DetectRule, step: float) -> float:
    if rule.threshold_sigma is not None:
        return rule.threshold_sigma
    assert rule.false_alarms_per_hour is not None
    return gas_alarms.threshold(model, rule.false_alarms_per_hour * model.samples * step / _HOUR_S)


def _detections(
    series: GasSeries,
    rule: DetectRule,
    samples: _Samples,
    found: _Found,
    sigma_span_rel: float,
) -> tuple[Detection, ...]:
    """Turn events into detections with their probabilities and heights."""
    under, z, model, events = found.under, found.z, found.statistic.model, found.events
    seconds, valid = samples.seconds, samples.index
    low = gas_alarms.LOW_OF_HIGH * found.level
    expected = np.array([model.expected(float(height), low) for height in found.height])
    p_values = np.clip(-np.expm1(-expected), P_VALUE_FLOOR, 1.0)
    q_values = false_discovery_rates(p_values, tested=p_values.size)
    bridge = under.sigma(seconds[events.peak]) if len(events) else np.empty(0)
    border = np.concatenate([[True], ~samples.joined, [True]])
    out = []
    for n, (first, last, peak) in enumerate(zip(events.first, events.last, events.peak, strict=True)):
        height, spread = gas_events.peak_height(z, peak, border, under.phi)
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
                method=METHOD[rule.method],
                origin=series.species,
                source=series.source,
                index=valid[first:last],
                weight=np.maximum(z[first:last], 0.0) * under.noise,
                peak=int(peak - first),
                score=float(found.height[n]),
                p_value=float(p_values[n]),
                q_value=float(q_values[n]),
                value=value,
                sigma=sigma,
                unit=series.unit,
                flags=tuple(flags),
            )
        )
    return tuple(out)


def _below(samples: _Samples, found: _Found) -> int:
    """Return the number of samples in long stretches below the background, where gas would not be seen."""
    dips = gas_events.runs_reaching(
        -found.z, samples.joined, gas_background.PLUME_LOW, gas_background.PLUME_HIGH, 1
    )
    lasting = dips.last - dips.first
    return int(lasting[lasting * samples.step_s > LONG_DIP * found.under.window_s].sum())


def _parameters(series: GasSeries, rule: DetectRule, samples: _Samples, found: _Found) -> dict[str, object]:
    """How it was done, for the run's record."""
    low = gas_alarms.LOW_OF_HIGH * found.level
    hours = samples.index.size * samples.step_s / _HOUR_S
    expected = found.statistic.model.expected(found.level, low)
    stated = series.sigma[samples.index]
    stated = stated[np.isfinite(stated)]
    return {
        "window_s": found.under.window_s,
        "noise": found.under.noise,
        "noise_correlation": found.under.phi,
        "rounded_to": found.rounded_to,
        "noise_tail": found.statistic.model.tail,
        "stated_sigma": float(np.median(stated)) if stated.size else None,
        "threshold_sigma": found.level,
        "low_threshold_sigma": low,
        "min_samples": samples.length,
        "interval_s": samples.step_s,
        "hours_searched": hours,
        "samples": len(series),
        "samples_searched": int(samples.index.size),
        "below_background_s": _below(samples, found) * samples.step_s,
        "shorter_than_window": bool(samples.index.size * samples.step_s < found.under.window_s),
        "samples_in_plumes": int(np.count_nonzero(found.under.plume)),
        "expected_false_alarms": expected,
        "expected_false_alarms_per_hour": expected / hours,
        "stated_false_alarms_per_hour": rule.false_alarms_per_hour,
    }
