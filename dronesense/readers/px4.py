"""PX4 ULog ``.ulg``: columns to a trajectory. :mod:`dronesense.readers.ulog` reads the bytes.

See ``docs/formats/ulog.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory, Triggers
from dronesense.readers import ulog
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
from dronesense.readers.px4_rows import (
    NS_PER_US,
    UNIX_CLOCK_US,
    Receiver,
    Rows,
    receivers,
    rows_of,
    sigma_of,
    timed,
    utc_of,
)
from dronesense.readers.px4_streams import (
    GLOBAL,
    LOCAL,
    attitude,
    global_position,
    local_position,
    pictures,
    pressure,
    velocity,
)
from dronesense.readers.streams import ATTITUDE_SIGMA_DEG, sigma_origin
from dronesense.readers.tally import Tally
from dronesense.readers.ulog import MAGIC, ULog
from dronesense.timescale import (
    NS_PER_S,
    OUTLIER_S,
    RECEIVER_LATENCY_SIGMA_S,
    ClockFit,
    fit_latency_envelope,
)

FORMAT: Final = "PX4 ULog"


RELEASES: Final = ((255, ""), (192, "rc"), (128, "beta"), (64, "alpha"), (0, "dev"))
"""Least value of the last byte of ``ver_sw_release`` -> kind of version (PX4 src/lib/version/version.h)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What a track is made of; the log itself need not be held any more."""

    candidates: list[Positions]
    attitude: Attitude | None
    velocity: Velocity | None
    pressure: Pressure | None
    triggers: Triggers | None
    records: int
    holes: tuple[tuple[int, int], ...]
    details: dict[str, object]


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* starts with the mark of a ULog."""
    del path
    return head.startswith(MAGIC)


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of a PX4 log.

    Parameters
    ----------
    path : Path
        The ``.ulg`` file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `source`: ``"vehicle_global_position"``, ``"vehicle_local_position"`` (navigation filter),
        ``"vehicle_gps_position"``, ``"sensor_gps[k]"`` (receivers), or ``"auto"``: a receiver with fixed RTK,
        else the filter, else the receiver with most fixes. The rest the log says itself.

    Returns
    -------
    Trajectory
        A row per position and per attitude; WGS84, heights above the ellipsoid where the log tells the
        undulation.
    IngestReport
        What was refused and why, damaged byte ranges, dropouts, clock, rates, sources beside each other.

    Raises
    ------
    ReadError
        If the file is no ULog, has no UTC, no position, or not the source asked for.
    """
    tally = Tally()
    parts = _parts(ulog.read(path, where=label), tally, label)
    return _track(parts, tally, label, options)


def track(
    log: ULog,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Make the track of an opened log; parameters, result and errors as of :func:`read`."""
    tally = Tally()
    return _track(_parts(log, tally, label), tally, label, options)


def _track(parts: _Parts, tally: Tally, label: str, options: TrackOptions) -> tuple[Trajectory, IngestReport]:
    eligible = parts.candidates
    if options.source == "auto" and any(each.name == GLOBAL for each in eligible):
        eligible = [each for each in eligible if each.name != LOCAL]  # the same filter, once more
    chosen = choose(eligible, options.source, label=label)
    if not np.isfinite(chosen.height_m).all():
        tally.warnings.append("the log does not tell the geoid undulation: no height above the ellipsoid")
    trajectory = assemble(
        chosen,
        label=label,
        tally=tally,
        attitude=parts.attitude,
        velocity=parts.velocity,
        pressure=parts.pressure,
        triggers=parts.triggers,
    )
    details = parts.details | {
        "source": chosen.name,
        "source_rate_hz": rate_hz(chosen.time),
        "sources": compare(chosen, parts.candidates),
        "pictures": 0 if parts.triggers is None else len(parts.triggers),
    }
    return trajectory, tally.report(FORMAT, parts.records, holes=parts.holes, details=details)


def _parts(log: ULog, tally: Tally, label: str) -> _Parts:
    """Take from *log* what a track is made of."""
    tally.warnings += log.warnings
    found = receivers(log, tally)
    solutions = (rows_of(log, key, tally, of_sample=True) for key in (GLOBAL, LOCAL))
    fused = [rows for rows in solutions if rows is not None]
    fit, clock = _clock(found, fused, tally, label)
    undulation_m = max(found, key=lambda each: each.lon.size).median_undulation_m if found else float("nan")
    motion = velocity(fused, fit)
    candidates = _solutions(fused, fit, clock, undulation_m, tally) + _fixes(found, fit, clock, tally)
    del found  # its topics, before others are decoded
    if not candidates:
        raise ReadError(
            f"no usable position{tally.reasons()}",
            where=label,
            fix="use the log of a flight with GPS, or another log of it",
        )
    _tell(log, tally)
    return _Parts(
        candidates=candidates,
        attitude=attitude(log, fit, tally),
        velocity=motion,
        pressure=pressure(log, fit, tally),
        triggers=pictures(log, fit, tally),
        records=log.messages,
        holes=log.holes,
        details=_details(log, fit, clock, undulation_m),
    )


def _clock(found: list[Receiver], fused: list[Rows], tally: Tally, label: str) -> tuple[ClockFit, Clock]:
    """Return what turns the boot clock into UTC: it is Unix time, or is fitted to a receiver's UTC."""
    stamped = [(each.rows.boot_ns, each.utc_ns) for each in found]
    if not any(utc_ns.any() for _, utc_ns in stamped):  # old filters repeat the UTC of the receiver
        stamped += [(rows.boot_ns, utc_of(rows)) for rows in fused]
    boot_ns, utc_ns = max(stamped, key=lambda pair: int(np.count_nonzero(pair[1])), default=(None, None))
    if boot_ns is None or utc_ns is None:
        raise _no_time(tally, label)
    known = utc_ns > 0
    is_unix = float(np.median(boot_ns)) > UNIX_CLOCK_US * NS_PER_US
    away_s = float(np.median((utc_ns - boot_ns)[known])) / NS_PER_S if known.any() else 0.0
    if is_unix and abs(away_s) <= OUTLIER_S:
        sigma_s = math.hypot(away_s, 1e-6 / math.sqrt(12.0))
        note = f"the boot clock is Unix time; the receivers' UTC is {away_s:+.6f} s from it"
        tally.assumptions.append("the boot clock, which is Unix time, taken as UTC")
        fit = ClockFit(0, 0.0, sigma_s, 0.0, int(boot_ns.size), note)
        return fit, Clock("exact", sigma_s, 0.0, note)
    if not known.any():
        raise _no_time(tally, label)
    if is_unix:
        tally.warnings.append(f"the boot clock is Unix time but {away_s:+.3f} s off the receivers' UTC")
    fit = fit_latency_envelope(boot_ns[known], utc_ns[known])
    if fit.warning:
        tally.warnings.append(fit.warning)
    tally.assumptions.append(
        f"constant latency of the receiver not corrected, a log cannot show it: {RECEIVER_LATENCY_SIGMA_S} s "
        "of the clock uncertainty stand for it"
    )
    return fit, Clock("fitted", fit.sigma_s, fit.offset_ns / NS_PER_S, fit.note)


def _no_time(tally: Tally, label: str) -> ReadError:
    return ReadError(
        f"no GPS fix with a UTC{tally.reasons()}: the log cannot be put on UTC",
        where=label,
        fix="use the log of a flight in which vehicle_gps_position or sensor_gps has rows with fix_type 3 or "
        "more and time_utc_usec, or another log of the flight",
    )


def _solutions(
    fused: list[Rows], fit: ClockFit, clock: Clock, undulation_m: float, tally: Tally
) -> list[Positions]:
    """Return the filter's global and local position as position sources; empty *fused*."""
    positions = []
    while fused:  # each is let go before the next
        rows = fused.pop(0)
        rows = rows.where(tally.keep(fit.trusted(rows.boot_ns), f"{rows.name}: clock in doubt"))
        make = global_position if rows.name == GLOBAL else local_position
        position = make(rows, fit, clock, undulation_m, tally)
        positions += [] if position is None else [position]
    return positions


def _fixes(found: list[Receiver], fit: ClockFit, clock: Clock, tally: Tally) -> list[Positions]:
    """Return the receivers as position sources."""
    positions = []
    for receiver in found:
        if clock.kind == "exact":
            time = fit.to_utc(receiver.rows.boot_ns)
        else:
            receiver, time = timed(receiver, fit, tally)
        if not time.size:
            continue
        std, stated = sigma_of(receiver.rows)
        if not stated:
            tally.assumptions.append(f"{receiver.name}: position uncertainty of a single fix: none is stated")
        positions.append(
            Positions(
                name=receiver.name,
                rank=gnss_rank(receiver.fix),
                time=time,
                lon=receiver.lon,
                lat=receiver.lat,
                height_m=receiver.height_m(),
                height_source_m=receiver.alt_m,
                height_ref="receiver-geoid",
                std_ned_m=std,
                sigma_from=sigma_origin(stated),
                fix=receiver.fix,
                clock=clock,
                point="antenna",
                velocity_ned=receiver.velocity_ned(),
                reset=receiver.rows.counter(),
            )
        )
    return positions


def _tell(log: ULog, tally: Tally) -> None:
    """Note what happened to the bytes, dropouts, an end in flight, and what was assumed."""
    if log.holes:
        tally.warnings.insert(0, damage(log))
    if log.ghosts:
        tally.dropped["record completed by padding"] += log.ghosts
    if log.unknown:
        count = sum(log.unknown.values())
        tally.dropped["data without a subscription"] += count
        tally.warnings.append(f"{count} data messages belong to no topic that the log defines")
    if log.dropouts:
        total, longest = (f(each.duration_ms for each in log.dropouts) for f in (sum, max))
        tally.warnings.append(
            f"the logger paused {len(log.dropouts)} time(s), {total} ms in all, {longest} ms at most: "
            "nothing is interpolated across"
        )
    landed = log.get("vehicle_land_detected")
    if landed is not None and "landed" in landed and landed["landed"][-1] == 0:
        tally.warnings.append("the log ends before the landing: it may be cut")
    angles = "roll {} deg, pitch {} deg, yaw {} deg".format(*ATTITUDE_SIGMA_DEG)
    tally.assumptions.append(f"attitude uncertainty {angles}: the log states none")
    tally.assumptions.append("eph and epv of the log taken as the standard uncertainty per axis")


def damage(log: ULog) -> str:
    """Return what the holes of *log* mean, for people."""
    total = sum(length for _, length in log.holes)
    first, length = log.holes[0]
    if len(log.holes) == 1 and first + length == log.size:
        return f"the log ends in the middle of a message or in padding ({total} bytes from byte {first} on)"
    places = f"{len(log.holes)} place(s), the first at byte {first}"
    return f"the log is damaged: {total} bytes hold no message, in {places}"


def version_text(release: object) -> str:
    """Return ``ver_sw_release`` for people.

    Examples
    --------
    >>> version_text(0x010F00FF), version_text(0x010B0200), version_text("x")
    ('1.15.0', '1.11.2 dev', '')
    """
    if not isinstance(release, int):
        return ""
    major, minor, patch, kind = (release & 0xFFFFFFFF).to_bytes(4, "big")
    word = next(word for least, word in RELEASES if kind >= least)
    return f"{major}.{minor}.{patch} {word}".strip()


def _details(log: ULog, fit: ClockFit, clock: Clock, undulation_m: float) -> dict[str, object]:
    info = {key: value for key, value in log.info.items() if isinstance(value, str | int)}
    return {
        "firmware": f"{info.get('sys_name', 'PX4')} {version_text(info.get('ver_sw_release'))}".strip(),
        "ver_sw": info.get("ver_sw", ""),
        "device": info.get("ver_hw", ""),
        "system": {
            key: info[key] for key in ("sys_name", "sys_os_name", "sys_mcu", "sys_uuid") if key in info
        },
        "messages": {key: log.count(key) for key in log},
        "dropouts": {
            "count": len(log.dropouts),
            "total_ms": sum(each.duration_ms for each in log.dropouts),
        },
        "clock": {
            "kind": clock.kind,
            "offset_s": fit.offset_ns / NS_PER_S,
            "drift_ppm": fit.slope * 1e6,
            "latency_spread_s": fit.spread_s,
            "sigma_s": clock.sigma_s,
            "stamps": fit.n,
        },
        "undulation_m": None if math.isnan(undulation_m) else undulation_m,
    }
