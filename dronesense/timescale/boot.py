"""The clock since boot, fitted to the UTC stamps that arrived by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.timescale.epochs import NS_PER_S

RECEIVER_LATENCY_SIGMA_S: Final = 0.05
"""Standard uncertainty that the never-observed constant part of a GNSS receiver's output latency leaves, s.

Receivers send a fix 50 to 200 ms after its epoch; a uniform spread of 150 ms has a standard deviation of
43 ms.
"""

OUTLIER_S: Final = 1.0
"""A difference of clocks further than this from the median is a damaged stamp, not a latency, s."""

SLOPE_MIN_SPAN_S: Final = 600.0
"""Shorter logs give no slope that means anything: jitter of 0.1 s over 60 s would read as 1,700 ppm."""

SLOPE_LIMIT: Final = 100e-6
"""Quartz clocks keep within 100 ppm; a steeper envelope is not a clock drift."""

SLOPE_BLOCKS: Final = 20
"""Time blocks whose earliest arrivals carry the slope."""

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
    """

    offset_ns: int
    slope: float
    sigma_s: float
    spread_s: float
    n: int
    note: str

    def to_utc(self, boot_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return UTC, ns, of stamps of the boot clock."""
        drift = np.rint(self.slope * boot_ns).astype(np.int64)
        return np.asarray(boot_ns + self.offset_ns + drift, dtype=np.int64)


def fit_latency_envelope(boot_ns: NDArray[np.int64], utc_ns: NDArray[np.int64]) -> ClockFit:
    """Fit a clock to UTC stamps that arrived with a one-sided, varying latency.

    A message that carries the UTC of its epoch is stamped with the boot clock when it arrives, never
    before it was sent. The earliest arrivals, the upper envelope of ``utc - boot``, are therefore nearest
    to the truth; the mean and the first message are late by tens of milliseconds. What remains, the
    smallest latency, cannot be seen and is counted as :data:`RECEIVER_LATENCY_SIGMA_S`.

    Parameters
    ----------
    boot_ns, utc_ns : (n,) int64
        Arrival by the boot clock, and UTC that the message states, ns.

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
    origin = int(np.median(utc - boot))
    difference = (utc - boot - origin).astype(np.float64)
    good = np.abs(difference) <= OUTLIER_S * NS_PER_S
    boot, difference = boot[good], difference[good]
    slope, note = _envelope_slope(boot, difference)
    flat = difference - slope * boot
    top = _earliest(flat)
    latency_s = (top - flat) / NS_PER_S
    scatter = float(np.std(latency_s)) / np.sqrt(flat.size)
    refused = int(np.count_nonzero(~good))
    return ClockFit(
        offset_ns=origin + round(top),
        slope=slope,
        sigma_s=float(np.hypot(scatter, RECEIVER_LATENCY_SIGMA_S)),
        spread_s=float(np.ptp(latency_s)),
        n=int(flat.size),
        note=f"earliest arrivals of {flat.size} GNSS stamps, {refused} outliers left out; {note}",
    )


def _earliest(difference: NDArray[np.float64]) -> float:
    """Return the highest difference, or the second highest when there are enough to distrust one."""
    rank = 2 if difference.size >= ROBUST_MIN_ROWS else 1
    return float(np.partition(difference, difference.size - rank)[difference.size - rank])


def _envelope_slope(boot: NDArray[np.int64], difference: NDArray[np.float64]) -> tuple[float, str]:
    """Return the median of the pairwise slopes (Theil-Sen) of the blockwise earliest arrivals, and a note."""
    span_s = float(np.ptp(boot)) / NS_PER_S
    if span_s <= SLOPE_MIN_SPAN_S:
        return 0.0, f"no drift fitted over {span_s:.0f} s"
    edges = np.linspace(float(boot.min()), float(boot.max()), SLOPE_BLOCKS + 1)
    block = np.clip(np.searchsorted(edges, boot, side="right") - 1, 0, SLOPE_BLOCKS - 1)
    filled = [np.flatnonzero(block == k) for k in range(SLOPE_BLOCKS)]
    best = [
        members[np.argsort(difference[members])[-min(2, members.size)]] for members in filled if members.size
    ]
    x, y = boot[best].astype(np.float64), difference[best]
    i, j = np.triu_indices(len(best), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i]))) if i.size else 0.0
    if abs(slope) > SLOPE_LIMIT:
        return 0.0, f"a drift of {slope * 1e6:.0f} ppm is no clock's and was not used"
    return slope, f"drift {slope * 1e6:.2f} ppm over {span_s:.0f} s"
