"""What is compared with the threshold: the samples themselves, matched filters, an EWMA or a CUSUM.

Each statistic comes with the rate at which noise alone makes events of it. The negative side of the record
goes through the same statistic: where it holds more events than that rate explains, it takes over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import (
    gas_alarms,
    gas_background,
    gas_charts,
    gas_events,
    gas_templates,
    gas_whitening,
)

METHODS: Final = ("peak", "template", "cusum", "ewma")

PHI_SIGMAS: Final = 2.0
"""Correlation at the length of an event counts beyond this many standard errors of white noise."""
SPREAD_SIGMAS: Final = 2.0
"""A statistic that spreads wider than white noise makes it counts beyond so many standard errors."""
FOOT_NOISE: Final = 1.0
"""An event reaches to where its moving average falls below one standard deviation of a sample ..."""
HALF: Final = 0.5
"""... or, where it is lower than twice that, to half its height."""
WINDOWS_PER_TRANSFORM: Final = 8
"""Frequencies down to an eighth of the background's own."""
DIP_LEVEL: Final = 1.0
DIP_MEMORIES: Final = 6.0
"""A dip stays below one standard deviation; one that lasts so many memories of the noise is no noise."""
CUSUM_LEVELS: Final = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 14.0, 20.0)
"""Levels at which the background's part of a CUSUM is computed."""
CUSUM_MEMORY: Final = 16
"""Samples over which a CUSUM's residuals must be white: about what it takes to its alarm at a rise of one."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """The valid samples around their background.

    Parameters
    ----------
    z : (m,) float64
        Residuals in standard deviations.
    plume : (m,) bool
        Samples that took no part in background and noise.
    joined : (m - 1,) bool
        Whether neighbors belong together.
    phi : float
        Correlation of neighbors.
    step_s, window_s : float
        Sampling interval; window of the background.
    length : int
        Samples that an event must last.
    """

    z: Floats
    plume: Bools
    joined: Bools
    phi: float
    step_s: float
    window_s: float
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Statistic:
    """A statistic of a record.

    Parameters
    ----------
    value : (m,) float64
        At every sample, in its own standard deviations (a CUSUM: in those of one sample).
    model : NoiseModel
        How often noise alone makes an event of it.
    events : callable
        Level -> events, their heights.
    """

    value: Floats
    model: gas_alarms.NoiseModel
    events: Callable[[float], tuple[gas_events.Events, Floats]]


def prepare(record: Record, method: str) -> Statistic:
    """Return the statistic of a method.

    Parameters
    ----------
    record : Record
    method : {"peak", "template", "cusum", "ewma"}
        The samples; plume shapes of several durations; Page's cumulative sum; Roberts's moving average. All
        but the first work on whitened residuals.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, not {method!r}")
    if method == "peak":
        return _peak(record)
    whitening = gas_whitening.autoregression(record.z, ~record.plume, record.joined)
    maker = {"template": _template, "cusum": _cusum, "ewma": _ewma}[method]
    return maker(record, whitening)


def _peak(record: Record) -> Statistic:
    """Return the samples themselves; correlation at the length of an event counts too."""
    z, joined, length = record.z, record.joined, record.length
    phi = [record.phi]
    if length > 1:
        chance = PHI_SIGMAS / math.sqrt(z.size)
        far = max(gas_background.correlation(z, ~record.plume, joined, length) - chance, 0.0)
        phi.append(min(far ** (1.0 / length), gas_background.MAX_PHI))
    model = gas_alarms.NoiseModel(tuple(phi), length, float(z.size))
    lowest = gas_alarms.threshold(model, gas_alarms.TAIL_EVENTS[0])
    turned = _negative(record)
    dips = gas_events.runs_reaching(turned, joined, gas_alarms.LOW_OF_HIGH * lowest, lowest, length)
    model = gas_alarms.with_tail(model, turned[dips.peak])

    def events(level: float) -> tuple[gas_events.Events, Floats]:
        found = gas_events.find(z, joined, record.plume, level, length)
        return found, z[found.peak]

    return Statistic(z, model, events)


def _template(record: Record, whitening: tuple[float, ...]) -> Statistic:
    """Return the best of a bank of plume shapes."""
    widths = gas_templates.widths(
        step_s=record.step_s, window_s=record.window_s, min_duration_s=record.length * record.step_s
    )
    bank = gas_templates.bank(widths, tuple(round(each / whitening[0], 2) for each in whitening))
    found = gas_templates.respond(
        gas_whitening.whiten(record.z, record.joined, whitening), record.joined, bank
    )
    spread = np.array([_spread(row, record, shape) for row, shape in zip(found, bank.shape, strict=True)])
    value, best = (found / spread[:, None]).max(axis=0), (found / spread[:, None]).argmax(axis=0)
    quiet = gas_whitening.whiten(_negative(record), record.joined, whitening)
    negative = (gas_templates.respond(quiet, record.joined, bank) / spread[:, None]).max(axis=0)
    width = np.array(widths)
    return _gathered(record, value, negative, gas_templates.rate(bank), lambda peak: width[best[peak]])


def _ewma(record: Record, whitening: tuple[float, ...]) -> Statistic:
    """Return an exponentially weighted moving average: of white noise it is an autoregression of order 1."""
    smoothing = -math.expm1(-record.step_s / gas_charts.MEMORY_S)
    memory = 2.0 / smoothing
    value = gas_charts.ewma(
        gas_whitening.whiten(record.z, record.joined, whitening), record.joined, smoothing=smoothing
    )
    spread = _spread(value, record, gas_charts.kernel(smoothing))
    quiet = gas_whitening.whiten(_negative(record), record.joined, whitening)
    negative = gas_charts.ewma(quiet, record.joined, smoothing=smoothing) / spread

    def rate(level: float) -> float:
        level = min(level, gas_alarms.GAUSS_LIMIT)
        return gas_alarms.event_rate(level, gas_alarms.LOW_OF_HIGH * level, 1.0 - smoothing)

    return _gathered(record, value / spread, negative, rate, lambda peak: np.full(peak.size, memory))


def _cusum(record: Record, whitening: tuple[float, ...]) -> Statistic:
    """Return Page's cumulative sum."""
    residual = gas_whitening.whiten(record.z, record.joined, whitening)
    quiet = gas_whitening.whiten(_negative(record), record.joined, whitening)
    smoothing = 2.0 / CUSUM_MEMORY
    kernel = gas_charts.kernel(smoothing)
    gathered = gas_charts.ewma(residual, record.joined, smoothing=smoothing)
    spread = _spread(gathered, record, kernel)
    window = record.window_s / record.step_s
    kept = np.ones(len(CUSUM_LEVELS))
    if spread > _kept(kernel, window):
        residual, quiet = residual / spread, quiet / spread
    else:
        kept = np.array([_kept(np.ones(math.ceil(each)), window) for each in CUSUM_LEVELS])
    square = gas_whitening.power_error(record.z, ~record.plume, record.joined, whitening) ** 2

    def curve(level: float) -> float:
        # The rate goes as exp(-level / power). A sum takes some time to climb, and the background takes its
        # part of that; where the power is known within an error, the mean over what it may be counts.
        mean = level - 0.5 * square * level * min(level, 1.0 / max(square, 1e-12))
        return gas_charts.cusum_rate(mean / float(np.interp(level, CUSUM_LEVELS, kept)) ** 2)

    negative = gas_charts.cusum(quiet, record.joined)
    model = gas_alarms.NoiseModel((0.0,), 1, float(residual.size), curve=curve)
    lowest = gas_alarms.threshold(model, gas_alarms.TAIL_EVENTS[0])
    excursions = gas_events.runs_reaching(negative, record.joined, np.nextafter(0.0, 1.0), lowest, 1)
    model = gas_alarms.with_tail(model, negative[excursions.peak])

    def events(level: float) -> tuple[gas_events.Events, Floats]:
        found, heights = gas_charts.cusum_events(residual, record.joined, level)
        return _shaped(record, found, (found.last - found.first).astype(np.float64), heights)

    return Statistic(gas_charts.cusum(residual, record.joined), model, events)


def _gathered(
    record: Record,
    value: Floats,
    negative: Floats,
    rate: Callable[[float], float],
    span: Callable[[NDArray[np.int64]], Floats],
) -> Statistic:
    """Return a statistic that gathers neighbors, with its rate of false events and its negative side's."""
    joined = record.joined
    model = gas_alarms.NoiseModel((0.0,), 1, float(value.size), curve=rate)
    lowest = gas_alarms.threshold(model, gas_alarms.TAIL_EVENTS[0])
    below = gas_events.runs_reaching(negative, joined, gas_alarms.LOW_OF_HIGH * lowest, lowest, 1)
    model = gas_alarms.with_tail(model, negative[below.peak])

    def events(level: float) -> tuple[gas_events.Events, Floats]:
        found = gas_events.find(value, joined, record.plume, level, 1)
        return _shaped(record, found, span(found.peak), value[found.peak])

    return Statistic(value, model, events)


def _negative(record: Record) -> Floats:
    """Return the negative side, turned over, as noise has made it.

    Plumes are cut out, because what follows them is no noise. So are dips that last much longer than the
    noise remembers: there the background lies too high.
    """
    z, joined = record.z, record.joined
    result = np.where(record.plume & (z > 0.0), 0.0, -z)
    first, last = gas_background.runs(result > DIP_LEVEL, joined)
    longest = DIP_MEMORIES * (1.0 + record.phi) / (1.0 - record.phi)
    for begin, end in zip(first, last, strict=True):
        if end - begin > longest and result[begin:end].max() > gas_background.PLUME_HIGH:
            result[begin:end] = 0.0
    return result


def _spread(value: Floats, record: Record, kernel: Floats) -> float:
    """Return the standard deviation of a statistic that is a weighted sum of the residuals.

    The background takes a part of every sum, which is known. What whitening leaves adds up: an excess counts
    beyond chance, where about as many values are independent as kernels fit into the record.
    """
    from scipy.ndimage import maximum_filter1d

    memory = kernel.size
    near = maximum_filter1d(record.plume.view(np.uint8), 2 * memory + 1) > 0
    quiet = value if near.all() else value[~near]
    held = float(np.sqrt(np.mean(np.clip(quiet, -gas_background.CLIP, gas_background.CLIP) ** 2)))
    chance = SPREAD_SIGMAS / math.sqrt(2.0 * max(quiet.size / memory, 1.0))
    kept = _kept(kernel, record.window_s / record.step_s)
    if held <= kept * (1.0 + chance):
        return kept
    middle = 1.4826 * float(np.median(np.abs(quiet)))
    return max(held, middle)


def _kept(kernel: Floats, window: float) -> float:
    """Return the standard deviation that sums of white noise keep when a background is taken off.

    A background of *window* samples takes ``1 / (1 + (f window)^4)`` of a sine of frequency f.
    """
    n = 2 ** math.ceil(math.log2(WINDOWS_PER_TRANSFORM * max(window, kernel.size)))
    left = 1.0 - 1.0 / (1.0 + (np.fft.fftfreq(n) * window) ** 4)
    power = np.abs(np.fft.fft(kernel, n)) ** 2
    return math.sqrt(float((power * left**2).sum() / power.sum() / (left**2).mean()))


def _shaped(
    record: Record, events: gas_events.Events, span: Floats, height: Floats
) -> tuple[gas_events.Events, Floats]:
    """Return events as the series shows them: the statistic reaches farther than the plume, and elsewhere.

    Events that turn out to be one keep the greater height.
    """
    rows: list[tuple[int, int, int]] = []
    heights: list[float] = []
    for first, last, width, high in zip(events.first, events.last, span, height, strict=True):
        row = _shape(record, int(first), int(last), max(1, round(float(width))))
        if rows and row[0] < rows[-1][1]:
            begin, end, peak = rows[-1]
            higher = peak if record.z[peak] >= record.z[row[2]] else row[2]
            rows[-1], heights[-1] = (
                (min(begin, row[0]), max(end, row[1]), higher),
                max(heights[-1], float(high)),
            )
        else:
            rows.append(row)
            heights.append(float(high))
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return gas_events.Events(table[:, 0], table[:, 1], table[:, 2]), np.array(heights)


def _shape(record: Record, first: int, last: int, span: int) -> tuple[int, int, int]:
    """Return where one event begins and ends, and its highest sample: by the moving average of the series."""
    from scipy.ndimage import uniform_filter1d

    breaks = np.flatnonzero(~record.joined) + 1
    begin = int(breaks[breaks <= first][-1]) if breaks.size and breaks[0] <= first else 0
    end = int(breaks[breaks > first][0]) if breaks.size and breaks[-1] > first else record.z.size
    begin, end = max(begin, first - span), min(end, last + span)
    z = record.z[begin:end]
    mean = uniform_filter1d(z, min(span, z.size), mode="nearest")
    inner = slice(first - begin, last - begin)
    top = first - begin + int(np.argmax(mean[inner]))
    low = np.flatnonzero(mean < max(gas_events.FOOT * mean[top], min(FOOT_NOISE, HALF * mean[top])))
    start = int(low[low < top][-1]) + 1 if np.any(low < top) else 0
    stop = int(low[low > top][0]) if np.any(low > top) else z.size
    near = slice(max(start, top - span // 2), min(stop, top + span // 2 + 1))
    peak = near.start + int(np.argmax(z[near]))
    return begin + start, begin + stop, begin + peak
