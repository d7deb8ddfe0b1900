"""The clock since boot, fitted to the UTC stamps that arrived by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.timescale.epochs import NS_PER_S

RECEIVER_LATENCY_S: Final = (0.05, 0.2)
"""Range of the constant part of a GNSS receiver's output latency, s: fixes leave it 50 to 200 ms after their
epoch (ArduPilot AP_GPS ``get_lag`` 0.1 to 0.22 s; PX4 ``EKF2_GPS_DELAY`` 110 ms). No log shows it."""

RECEIVER_LATENCY_MEAN_S: Final = 0.125
"""Expectation of a latency that may lie anywhere in :data:`RECEIVER_LATENCY_S`, s."""

RECEIVER_LATENCY_SIGMA_S: Final = 0.132
"""Root mean square of such a latency, s: the standard uncertainty that it leaves when it is not corrected."""

RECEIVER_LATENCY_SPREAD_S: Final = 0.0433
"""Its standard deviation, ``0.15 / sqrt(12)``, s: what it leaves when its expectation is corrected."""

OUTLIER_S: Final = 1.0
"""A difference of clocks further than this from the fit is a damaged stamp, not a latency, s."""

STEP_S: Final = 0.3
"""Latencies fill their range without holes of this width, s; beyond such a hole one of the clocks was
another one: it was set, restarted, or did not yet know the leap seconds."""

LARGEST_NS: Final = 2**62
"""No two clocks are 146 years apart; larger differences come from damaged stamps, ns."""

SLOPE_MIN_SPAN_S: Final = 600.0
"""Shorter logs give no slope that means anything: jitter of 0.1 s over 60 s would read as 1,700 ppm."""

SLOPE_LIMIT: Final = 100e-6
"""Quartz clocks keep within 100 ppm; a steeper envelope is not a clock drift."""

SLOPE_BLOCKS: Final = 20
"""Time blocks whose earliest arrivals carry the slope."""

STEP_MIN_ROWS: Final = 5
"""Fewer neighboring stamps that differ are damaged, not a step of the clock."""

ROBUST_MIN_ROWS: Final = 10
"""From this many stamps on the single earliest arrival is distrusted and the second earliest used."""


@dataclass(frozen=True, slots=True)
class ClockFit:
    """A clock against UTC: ``utc = boot + offset_ns + slope * boot``.

    Parameters
    ----------
    offset_ns : int
        UTC minus boot clock where the boot clock is 0, ns.
    slope : float
        Rate of UTC against the boot clock, minus one; 0 for short logs.
    sigma_s : float
        Standard uncertainty of the UTC stamps it gives, s.
    spread_s : float
        Range of the latencies that were seen, s.
    n : int
        Stamps used.
    note : str
        How it was found, for people.
    warning : str
        What is wrong with the clocks, or an empty string.
    doubtful : tuple of (first, last)
        Times of the boot clock, ns, between which the clocks differ from the fit: after a step of either.
    """

    offset_ns: int
    slope: float
    sigma_s: float
    spread_s: float
    n: int
    note: str
    warning: str = ""
    doubtful: tuple[tuple[int, int], ...] = ()

    def to_utc(self, boot_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return UTC, ns, of stamps of the boot clock."""
        drift = np.rint(self.slope * boot_ns).astype(np.int64)
        return np.asarray(boot_ns + self.offset_ns + drift, dtype=np.int64)

    def trusted(self, boot_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell the stamps of the boot clock that do not lie in a `doubtful` part of the log."""
        good = np.ones(np.shape(boot_ns), dtype=bool)
        for first, last in self.doubtful:
            good &= (boot_ns < first) | (boot_ns > last)
        return good


def fit_latency_envelope(
    boot_ns: NDArray[np.int64], utc_ns: NDArray[np.int64], *, correct_latency: bool = False
) -> ClockFit:
    """Fit a clock to UTC stamps that arrived with a one-sided, varying latency.

    A message that carries the UTC of its epoch is stamped with the boot clock when it arrives, never
    before it was sent. The earliest arrivals, the upper envelope of ``utc - boot``, are therefore nearest
    to the truth; the mean and the first message are late by tens of milliseconds. What remains, the
    smallest latency, cannot be seen: it is part of `sigma_s` with its root mean square, or corrected by its
    expectation and counted with its spread.

    Where the differences fall into groups :data:`STEP_S` apart, one of the clocks was set on the way. The
    largest group is fitted; the others are refused and named in `warning` and `doubtful`.

    Parameters
    ----------
    boot_ns, utc_ns : (n,) int64
        Arrival by the boot clock, and UTC that the message states, ns, in the order of the log.
    correct_latency : bool
        Add :data:`RECEIVER_LATENCY_MEAN_S` to the offset.

    Returns
    -------
    ClockFit

    Raises
    ------
    ValueError
        If there is no stamp, or the arrays differ in length.

    Examples
    --------
    >>> boot = np.arange(100) * 200_000_000
    >>> latency = np.tile([3_000_000, 40_000_000], 50)
    >>> fit_latency_envelope(boot + latency, boot + 10**18).offset_ns - 10**18
    -3000000
    """
    boot = np.asarray(boot_ns, dtype=np.int64)
    utc = np.asarray(utc_ns, dtype=np.int64)
    if boot.shape != utc.shape or boot.ndim != 1 or boot.size == 0:
        raise ValueError("boot_ns and utc_ns must be two rows of the same length, at least 1")
    group = _groups(utc - boot)
    good = group == np.argmax(np.bincount(group))
    origin = int(np.clip(np.median((utc - boot)[good]), -LARGEST_NS, LARGEST_NS))
    warning, doubtful = _steps(boot, utc - boot - origin, group, good)
    difference = (utc - boot - origin)[good].astype(np.float64)
    boot = boot[good]
    slope, note = _envelope_slope(boot, difference)
    flat = difference - slope * boot
    top = _earliest(flat)
    flat_s = flat / NS_PER_S
    scatter = float(np.std(flat_s)) / np.sqrt(flat.size)
    unseen = RECEIVER_LATENCY_SPREAD_S if correct_latency else RECEIVER_LATENCY_SIGMA_S
    added = RECEIVER_LATENCY_MEAN_S * NS_PER_S if correct_latency else 0.0
    refused = int(np.count_nonzero(~good))
    return ClockFit(
        offset_ns=origin + round(top + added),
        slope=slope,
        sigma_s=float(np.hypot(scatter, unseen)),
        spread_s=float(np.ptp(flat_s)),
        n=int(flat.size),
        note=f"earliest arrivals of {flat.size} GNSS stamps, {refused} outliers left out; {note}",
        warning=warning,
        doubtful=doubtful,
    )


def _groups(difference: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the number of the group of each difference: groups lie :data:`STEP_S` apart."""
    rank = np.argsort(difference)
    group = np.zeros(difference.size, dtype=np.intp)
    group[rank[1:]] = np.cumsum(np.diff(difference[rank].astype(np.float64)) > STEP_S * NS_PER_S)
    return group


def _steps(
    boot: NDArray[np.int64], difference: NDArray[np.int64], group: NDArray[np.intp], good: NDArray[np.bool_]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return a warning of the runs of stamps of another group, and the boot times that they cover.

    A run has at least :data:`STEP_MIN_ROWS` stamps; fewer are damaged ones. It reaches half way to its
    neighbors.
    """
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(starts[1:], group.size)
    long = ~good[starts] & (ends - starts >= STEP_MIN_ROWS)
    starts, ends = starts[long], ends[long]
    if not starts.size:
        return "", ()
    middle = boot[:-1] + np.diff(boot) // 2
    open_ended = np.iinfo(np.int64)
    parts = tuple(
        (int(middle[i - 1]) if i else open_ended.min, int(middle[j - 1]) if j < boot.size else open_ended.max)
        for i, j in zip(starts.tolist(), ends.tolist(), strict=True)
    )
    size = np.median(difference[starts[0] : ends[0]]) / NS_PER_S
    rows = int(np.sum(ends - starts))
    warning = (
        f"UTC and the clock since boot step against each other {starts.size} time(s), first by {size:+.3f} s "
        f"at {boot[starts[0]] / NS_PER_S:.1f} s: {rows} stamps of the smaller part are refused"
    )
    return warning, parts


def _earliest(difference: NDArray[np.float64]) -> float:
    """Return the highest difference, or the second highest when there are enough to distrust one."""
    rank = 2 if difference.size >= ROBUST_MIN_ROWS else 1
    return float(np.partition(difference, difference.size - rank)[difference.size - rank])


def _envelope_slope(boot: NDArray[np.int64], difference: NDArray[np.float64]) -> tuple[float, str]:
    """Return the median of the pairwise slopes (Theil-Sen) of the blockwise earliest arrivals, and a note."""
    x = boot.astype(np.float64)
    span_s = float(np.ptp(x)) / NS_PER_S
    if span_s <= SLOPE_MIN_SPAN_S:
        return 0.0, f"no drift fitted over {span_s:.0f} s"
    block = np.floor((x - x.min()) / np.ptp(x) * SLOPE_BLOCKS)
    block[x == x.max()] -= 1.0  # the end of the last one, not a block of its own
    filled = [np.flatnonzero(block == k) for k in np.unique(block)]
    best = [members[np.argsort(difference[members])[-min(2, members.size)]] for members in filled]
    x, y = x[best], difference[best]
    i, j = np.triu_indices(len(best), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))
    if abs(slope) > SLOPE_LIMIT:
        return 0.0, f"a drift of {slope * 1e6:.0f} ppm is no clock's and was not used"
    return slope, f"drift {slope * 1e6:.2f} ppm over {span_s:.0f} s"
