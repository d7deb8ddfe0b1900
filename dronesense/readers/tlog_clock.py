"""The clock of a vehicle in a MAVLink log on UTC.

Messages carry the autopilot's time since boot; SYSTEM_TIME pairs it with UTC. The ground station's stamps say
when a message arrived by a clock that nobody checks: they serve only where the vehicle never tells UTC.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock
from dronesense.readers.tally import Tally
from dronesense.readers.tlog_vehicle import (
    CLOCKED,
    NS_PER_US,
    RESTART_MS,
    UNIX_CLOCK_US,
    Vehicle,
    dated,
)
from dronesense.timescale import NS_PER_MS, NS_PER_S, RECEIVER_LATENCY_SIGMA_S, ClockFit, fit_latency_envelope

QUANTUM_S: Final = 1e-3
"""Step of `time_boot_ms`, s."""
LATE_PERCENTILE: Final = 95
ROBUST_MIN_ROWS: Final = 10
"""From this many arrivals on the single earliest one is distrusted."""
DOUBTFUL_S: Final = 3600.0
"""Ground station and vehicle that differ by more, s: one of them was never set."""
GROUND_CLOCK_SIGMA_S: Final = 1.0
"""Standard uncertainty assumed for the clock of a ground station, s: nothing in a log checks it; computers
that take the time from a network keep it better, others are off by seconds to minutes."""


def fit_clock(vehicle: Vehicle, tally: Tally, *, label: str) -> tuple[ClockFit, Clock, dict[str, object]]:
    """Return boot clock to UTC: by SYSTEM_TIME, else by the receiver's Unix time, else by arrival on ground.

    Returns
    -------
    ClockFit
        What puts stamps of the boot clock on UTC.
    Clock
        The same for the track.
    dict
        Facts for the report.

    Raises
    ------
    ReadError
        If the log has no UTC at all.
    """
    reference = "SYSTEM_TIME"
    boot, utc, received = _system_time(vehicle)
    if not boot.size:
        reference = "GPS_RAW_INT"
        boot, utc, received = _beside_unix_fixes(vehicle)
        if boot.size:
            tally.warnings.append(
                "no SYSTEM_TIME with UTC: the boot clock is put on the Unix time of GPS_RAW_INT by the order"
                " of the log"
            )
    if boot.size:
        fit = fit_latency_envelope(boot, utc)
        if fit.warning:
            tally.warnings.append(fit.warning)
        tally.assumptions.append(
            "constant latency of the receiver not corrected, a log cannot show it: "
            f"{RECEIVER_LATENCY_SIGMA_S} s of the clock uncertainty stand for it"
        )
        ground = _ground_minus(received, fit.to_utc(boot))
        facts = _facts(fit, ground, reference)
        if ground is not None and abs(ground["median"]) > DOUBTFUL_S:
            tally.warnings.append(
                f"the ground station's clock is {ground['median']:+.0f} s off the vehicle's UTC: one of them"
                " was not set"
            )
    else:
        fit = _fit_arrivals(vehicle, label=label)
        tally.warnings.append(
            "no UTC of the vehicle (SYSTEM_TIME missing or 0): its clock is put on that of the ground station"
            f" by the earliest arrivals, which nothing checks; uncertainty {fit.sigma_s:.1f} s"
        )
        facts = _facts(fit, None, "ground station")
    sigma = float(np.hypot(fit.sigma_s, QUANTUM_S / np.sqrt(12.0)))
    return fit, Clock("fitted", sigma, fit.offset_ns / NS_PER_S, fit.note), facts


def _facts(fit: ClockFit, ground: dict[str, float] | None, reference: str) -> dict[str, object]:
    return {
        "reference": reference,
        "offset_s": fit.offset_ns / NS_PER_S,
        "drift_ppm": fit.slope * 1e6,
        "latency_spread_s": fit.spread_s,
        "sigma_s": fit.sigma_s,
        "stamps": fit.n,
        "ground_station_minus_utc_s": ground,
    }


_Stamps = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Boot clock, ns; UTC, ns; arrival by the ground station's clock, µs."""


def _system_time(vehicle: Vehicle) -> _Stamps:
    """Return the stamps of SYSTEM_TIME whose UTC is set."""
    found = vehicle.messages("SYSTEM_TIME")
    if found is None:
        return (np.zeros(0, dtype=np.int64),) * 3
    unix = found["time_unix_usec"]
    good = dated(unix)
    boot = found["time_boot_ms"][good].astype(np.int64) * NS_PER_MS
    return boot, unix[good].astype(np.int64) * NS_PER_US, found.received_us[good]


def _beside_unix_fixes(vehicle: Vehicle) -> _Stamps:
    """Return the boot clock of the last message before each fix that carries Unix time."""
    fixes, clocked = vehicle.messages("GPS_RAW_INT"), vehicle.messages("ATTITUDE")
    if fixes is None or clocked is None:
        return (np.zeros(0, dtype=np.int64),) * 3
    unix = fixes["time_usec"]
    at = np.searchsorted(clocked.offsets, fixes.offsets) - 1
    good = (unix > UNIX_CLOCK_US) & dated(unix) & (at >= 0)
    boot = clocked["time_boot_ms"].astype(np.int64)[at[good]] * NS_PER_MS
    return boot, unix[good].astype(np.int64) * NS_PER_US, fixes.received_us[good]


def _arrivals(vehicle: Vehicle) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return boot clock and arrival on ground, ns, of all messages that have both."""
    boot, received = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for name in CLOCKED:
        found = vehicle.messages(name)
        if found is not None:
            good = dated(found.received_us)
            boot.append(found["time_boot_ms"][good].astype(np.int64) * NS_PER_MS)
            received.append(found.received_us[good] * NS_PER_US)
    return np.concatenate(boot), np.concatenate(received)


def _fit_arrivals(vehicle: Vehicle, *, label: str) -> ClockFit:
    """Return boot clock to the ground station's by the earliest arrivals: none comes before it is sent."""
    boot, received = _arrivals(vehicle)
    if not boot.size:
        raise ReadError(
            "holds no UTC: neither SYSTEM_TIME nor stamps of the ground station",
            where=label,
            fix="use the autopilot's own log, or a .tlog with the ground station's stamps",
        )
    delay = received - boot
    delay = np.sort(delay)
    delay = delay[np.abs(delay - delay[delay.size // 2]) < RESTART_MS * NS_PER_MS]
    earliest = int(delay[1 if delay.size >= ROBUST_MIN_ROWS else 0])
    late_s = (delay - earliest) / NS_PER_S
    jitter_s = float(np.percentile(late_s, LATE_PERCENTILE))
    return ClockFit(
        offset_ns=earliest,
        slope=0.0,
        sigma_s=float(np.hypot(jitter_s, GROUND_CLOCK_SIGMA_S)),
        spread_s=float(np.ptp(late_s)),
        n=int(delay.size),
        note=f"earliest of {delay.size} arrivals by the ground station's clock",
    )


def _ground_minus(received_us: NDArray[np.int64], utc: NDArray[np.int64]) -> dict[str, float] | None:
    """Return how far the ground station's stamps are off UTC, s."""
    good = dated(received_us)
    if not good.any():
        return None
    off = (received_us[good] * NS_PER_US - utc[good]) / NS_PER_S
    return {"median": float(np.median(off)), "least": float(off.min()), "most": float(off.max())}
