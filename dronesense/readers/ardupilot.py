"""ArduPilot logs to trajectories; :mod:`dataflash` and :mod:`dataflash_text` read their columns.

See ``docs/formats/dataflash.md``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory, Triggers
from dronesense.model.trajectory import ClockKind
from dronesense.readers.ardupilot_checks import damage, ends_in_flight
from dronesense.readers.ardupilot_filter import Filter, filter_positions, filter_rows
from dronesense.readers.ardupilot_gps import pictures, receivers
from dronesense.readers.ardupilot_rows import NS_PER_US, Stamps
from dronesense.readers.assembly import (
    Attitude,
    Positions,
    Pressure,
    Velocity,
    assemble,
    choose,
    compare,
    gnss_rank,
    rate_hz,
)
from dronesense.readers.content import load
from dronesense.readers.dataflash import DataFlash, MessageLog
from dronesense.readers.dataflash_chain import MAGIC
from dronesense.readers.dataflash_formats import FMT_TYPE
from dronesense.readers.dataflash_text import TEXT_SNIFF_BYTES, DataFlashText, looks_like_text
from dronesense.readers.streams import ATTITUDE_SIGMA_DEG
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, RECEIVER_LATENCY_SIGMA_S, ClockFit, fit_latency_envelope

SNIFF_BYTES: Final = 1024
"""A first ``FMT`` header within this many bytes makes a log; some vendors put a block before it."""

PRESSURE_RANGE_HPA: Final = (100.0, 1100.0)
PA_PER_HPA: Final = 100.0

_FIRMWARE: Final = re.compile(r"(Ardu\w+|APM:\w+|Blimp|AntennaTracker)\s+V?\d\S*")


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* starts like a log: ``A3 95 80``, at once or after a block, or ``FMT,`` lines."""
    del path
    return _is_binary(head) or looks_like_text(head)


def _is_binary(head: bytes) -> bool:
    return MAGIC + bytes([FMT_TYPE]) in head[:SNIFF_BYTES]


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of an ArduPilot log.

    Parameters
    ----------
    path : Path
        The ``.BIN`` or ``.log`` file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `source`: ``"POS"`` (navigation filter), ``"GPS"``, ``"GPS[k]"``, or ``"auto"``: a receiver with
        fixed RTK, else the filter, else the receiver with most fixes. Its `date` for logs of firmware 3.0,
        which state no week. The rest the log says itself.

    Returns
    -------
    Trajectory
        A row per position and per attitude; WGS84, heights above the ellipsoid where the log tells the
        undulation.
    IngestReport
        What was refused and why, damaged byte ranges, clock fit, rates, the sources beside each other.

    Raises
    ------
    ReadError
        If the file is no log, has no GPS time, or not the source asked for.
    """
    return _put_together(_gather(_open(path, label), label, options), label)


def _open(path: Path, label: str) -> MessageLog:
    data = load(path, label)
    text = looks_like_text(data[:TEXT_SNIFF_BYTES].tobytes())
    return (DataFlashText if text else DataFlash)(data, where=label)


def track(
    log: MessageLog,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Make the track of an opened log; parameters, result and errors as of :func:`read`."""
    return _put_together(_gather(log, label, options), label)


@dataclass(frozen=True, slots=True, eq=False)
class _Streams:
    """All that a track is made of: the log itself, most of the memory, is no longer needed."""

    positions: Positions
    attitude: Attitude | None
    velocity: Velocity | None
    pressure: Pressure | None
    triggers: Triggers | None
    tally: Tally
    report: Callable[[], IngestReport]


def _put_together(streams: _Streams, label: str) -> tuple[Trajectory, IngestReport]:
    trajectory = assemble(
        streams.positions,
        label=label,
        tally=streams.tally,
        attitude=streams.attitude,
        velocity=streams.velocity,
        pressure=streams.pressure,
        triggers=streams.triggers,
    )
    return trajectory, streams.report()


def _gather(log: MessageLog, label: str, options: TrackOptions) -> _Streams:
    """Return the streams of a log, and its report once the track is made."""
    tally = Tally(warnings=list(log.warnings))
    stamps = Stamps(log)
    found = receivers(stamps, options.date, tally, label=label)
    if not found:
        raise ReadError(
            f"no GPS row with a 3-D fix and a date{tally.reasons()}: it cannot be put on UTC",
            where=label,
            fix="use the log of a flight with GPS, or another log format",
        )
    best = max(found, key=lambda each: (gnss_rank(each.fix), each.utc_ns.size))
    fit = fit_latency_envelope(best.rows.time_us * NS_PER_US, best.utc_ns)
    tally.warnings += [fit.warning] if fit.warning else []
    clock = _clock(fit, stamps, tally)
    candidates = [each.positions(clock) for each in found]
    flown = Filter(stamps, tally)
    pos = filter_rows(stamps, found, fit, tally)
    resets: dict[str, int] = {}
    if pos is not None:
        reset, resets = flown.resets(pos)
        candidates.insert(0, filter_positions(pos, best, fit, clock, reset))
    chosen = choose(candidates, options.source, label=label)
    if not np.isfinite(chosen.height_m).all():
        tally.warnings.append("the log does not tell the geoid undulation: no height above the ellipsoid")
    used = next((each for each in found if chosen.name == f"GPS[{each.index}]"), best)
    pictures_taken = pictures(stamps, fit, np.concatenate([each.utc_ns for each in found]), tally)
    streams = (flown.attitude(fit), flown.velocity(fit), _pressure(stamps, fit, tally), pictures_taken)
    details = _details(log, candidates, chosen, fit, clock) | {
        "undulation_m": used.undulation_m if np.isfinite(used.undulation_m) else None,
        "resets": resets,
        "pictures": 0 if pictures_taken is None else len(pictures_taken),
    }
    if resets and chosen.name == "POS":
        named = ", ".join(f"{count} x {reason}" for reason, count in resets.items())
        tally.warnings.append(f"the filter jumped, nothing is interpolated across ({named})")
    _tell(log, tally, early=ends_in_flight(log, chosen, used), stated=used.stated)
    report = partial(tally.report, log.kind, log.records, holes=log.holes, details=details)
    return _Streams(chosen, *streams, tally, report)


def _clock(fit: ClockFit, stamps: Stamps, tally: Tally) -> Clock:
    """Return the clock of the track; a log whose rows have no stamps has a coarse one."""
    kind: ClockKind = "date-only" if "date" in tally.answered else "fitted"
    sigma_s, note = fit.sigma_s, fit.note
    if stamps.by_order:
        spread_s = stamps.step_s / math.sqrt(12.0)
        sigma_s = math.hypot(sigma_s, spread_s)
        note = "GPS time of the fixes; other rows by their order in the file"
        tally.assumptions.append(
            "rows other than GPS have no time stamp: those between two fixes are spread over the time "
            f"between them in the order of the file ({spread_s:.2f} s of uncertainty beside the latency)"
        )
    return Clock(kind, sigma_s, fit.offset_ns / NS_PER_S, note)


def _pressure(stamps: Stamps, fit: ClockFit, tally: Tally) -> Pressure | None:
    """Return the static pressure of the first barometer, or None."""
    rows = stamps.rows("BARO", tally, instance=0, column="I")
    if rows is None or "Press" not in rows:
        return None
    hpa = rows["Press"].astype(np.float64) / PA_PER_HPA
    low, high = PRESSURE_RANGE_HPA
    good = tally.keep((hpa >= low) & (hpa <= high), f"{rows.name}: pressure out of range")
    return Pressure(fit.to_utc(rows.time_us[good] * NS_PER_US), hpa[good])


def _firmware(log: MessageLog) -> str:
    """Return the line of ``MSG`` that names the firmware, or that before the first line of a text log."""
    texts = log["MSG"].text("Message") if "MSG" in log and "Message" in log["MSG"] else []
    return next((text for text in [*texts, *log.preamble] if _FIRMWARE.match(text)), "")


def _details(
    log: MessageLog, candidates: Sequence[Positions], chosen: Positions, fit: ClockFit, clock: Clock
) -> dict[str, object]:
    return {
        "firmware": _firmware(log),
        "messages": {name: log.count(name) for name in log},
        "source": chosen.name,
        "source_rate_hz": rate_hz(chosen.time),
        "sources": compare(chosen, candidates),
        "clock": {
            "kind": clock.kind,
            "offset_s": fit.offset_ns / NS_PER_S,
            "drift_ppm": fit.slope * 1e6,
            "latency_spread_s": fit.spread_s,
            "sigma_s": clock.sigma_s,
            "stamps": fit.n,
        },
        "unconfirmed_records": log.doubtful,
    }


def _tell(log: MessageLog, tally: Tally, *, early: str | None, stated: bool) -> None:
    """Note what happened to the bytes, with the damage named, and what was assumed."""
    if log.holes:
        tally.warnings.insert(0, damage(log))
    for reason, count in log.dropped.items():
        tally.dropped[reason] += count
    tally.warnings += [*log.remarks, *([] if early is None else [early])]
    angles = "roll {} deg, pitch {} deg, yaw {} deg".format(*ATTITUDE_SIGMA_DEG)
    tally.assumptions.append(
        f"constant latency of the receiver not corrected, a log cannot show it: {RECEIVER_LATENCY_SIGMA_S} s "
        "of the clock uncertainty stand for it"
    )
    tally.assumptions.append(f"attitude uncertainty {angles}: the log states none")
    tally.assumptions.append(
        "accuracy of the receiver (GPA) taken as the standard uncertainty per axis"
        if stated
        else "position uncertainty by kind of fix: the log states none"
    )
