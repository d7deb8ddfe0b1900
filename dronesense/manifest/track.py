"""What the manifest says of the track: logs put together, accuracies, the ground that it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from dronesense.errors import DronesenseError, ManifestError
from dronesense.manifest.schema import TrackTable
from dronesense.model import GasInstrument, IngestReport, Instrument, TrackOptions, Trajectory, Triggers
from dronesense.readers import csv_track
from dronesense.readers.assembly import Attitude, Positions, Pressure, Rank, assemble, residuals
from dronesense.readers.tally import Tally
from dronesense.timescale import to_iso

TERRAIN_MARGIN_M: Final = 500.0
"""How far beyond the track the height model is read."""
METERS_PER_DEGREE: Final = 111_320.0
"""Of latitude; good enough for a margin."""


_ROWS: Final = (
    "time",
    "lon",
    "lat",
    "height_m",
    "height_source_m",
    "velocity_ned",
    "attitude",
    "std_ned_m",
    "std_rpy_deg",
    "fix",
)
"""What a track has for each sample."""
_OPTIONS: Final = ("date", "tz", "time_scale", "roll_positive")
"""Keys of ``[track]`` that answer what some formats leave open."""


def options(table: TrackTable, instrument: Instrument | None) -> TrackOptions:
    """Return what ``[track]`` says for the reader."""
    return TrackOptions(table.source, instrument, table.date, table.tz, table.time_scale, table.roll_positive)


def of_analyser(path: Path, instrument: Instrument) -> Trajectory | None:
    """Return the positions that an analyser with a receiver wrote beside its readings; None without any."""
    spec = instrument.spec
    fields = {column.field for column in spec.columns.values()} if isinstance(spec, GasInstrument) else set()
    if not {"latitude", "longitude"} <= fields:
        return None
    try:
        return csv_track.read(path, label=path.name, options=TrackOptions(instrument=instrument))[0]
    except DronesenseError:
        return None


def not_used(table: TrackTable, reports: Sequence[IngestReport]) -> list[str]:
    """Say which answers nobody asked for: the log states it itself, and the log wins."""
    default, answered = TrackTable(path=table.path), {key for report in reports for key in report.answered}
    return [
        f"[track] {key} is not used: the log says it itself"
        for key in _OPTIONS
        if getattr(table, key) != getattr(default, key) and key not in answered
    ]


def join(tracks: Sequence[Trajectory], *, where: str) -> Trajectory:
    """Return the tracks of several logs as one, each its own segments: a camera may log every line apart.

    Raises
    ------
    ManifestError
        If two overlap in time, or differ in what their heights refer to.
    """
    tracks = sorted(tracks, key=lambda each: int(each.time[0]))
    if len(tracks) == 1:
        return tracks[0]
    for one, other in pairwise(tracks):
        if one.time[-1] >= other.time[0]:
            raise ManifestError(
                f"{one.source} (until {to_iso(int(one.time[-1]))}) and {other.source} (from "
                f"{to_iso(int(other.time[0]))}) overlap in time: which one is right cannot be known",
                where=where,
                fix="name one of them in [track] path",
            )
        if one.height_ref != other.height_ref:
            raise ManifestError(
                f"heights of {one.source} refer to {one.height_ref}, those of {other.source} to "
                f"{other.height_ref}",
                where=where,
                fix="name logs of one kind in [track] path",
            )
    segment, above = [], 0
    for each in tracks:
        segment.append(each.segment - each.segment[0] + above)
        above = int(segment[-1][-1]) + 1
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(each, name) for each in tracks]) for name in _ROWS
    }
    if any(each.pressure_hpa is not None for each in tracks):
        arrays["pressure_hpa"] = np.concatenate(
            [
                np.full(len(each), np.nan) if each.pressure_hpa is None else each.pressure_hpa
                for each in tracks
            ]
        )
    pictures = [each.triggers for each in tracks if each.triggers is not None]
    if pictures:
        arrays["triggers"] = Triggers(
            np.concatenate([each.time for each in pictures]),
            np.concatenate([each.number for each in pictures]),
            pictures[0].source,
        )
    return dataclasses.replace(
        tracks[0],
        **arrays,
        segment=np.concatenate(segment),
        clock=max((each.clock for each in tracks), key=lambda clock: clock.sigma_s),
        source=f"{tracks[0].source} and {len(tracks) - 1} more",
        history=tuple(line for each in tracks for line in each.history),
    )


def with_attitude(track: Trajectory, other: Trajectory) -> tuple[Trajectory, list[str]]:
    """Return the positions of *track* with the attitude (and, if it has none, the pressure) of *other*.

    The worse clock of the two counts: a place on the ground needs both.

    Returns
    -------
    Trajectory
        A row per position of *track* and attitude of *other*.
    list of str
        How far the positions of the two lie apart.

    Raises
    ------
    ManifestError
        If *other* has no attitude while *track* is flown.
    """
    known = np.isfinite(other.attitude).all(axis=1)
    known &= (other.time >= track.time[0]) & (other.time <= track.time[-1])
    if not known.any():
        raise ManifestError(
            f"{other.source} has no attitude during {track.source}",
            fix="name the log of the same flight in [track] attitude",
        )
    positions, theirs = _positions(track), _positions(other)
    pressure = None
    if track.pressure_hpa is not None:
        pressure = Pressure(track.time, track.pressure_hpa)
    elif other.pressure_hpa is not None:
        pressure = Pressure(other.time, other.pressure_hpa)
    tally = Tally()
    label, _, name = track.source.rpartition(":")
    joined = assemble(
        dataclasses.replace(positions, name=name),
        label=label,
        tally=tally,
        attitude=Attitude(other.source, other.time[known], other.attitude[known], other.std_rpy_deg[known]),
        pressure=pressure,
        triggers=track.triggers or other.triggers,
    )
    apart = residuals(theirs, positions)
    clock = max(track.clock, other.clock, key=lambda clock: clock.sigma_s)
    remarks = list(tally.warnings)
    if apart is not None:
        text = ", ".join(f"{key.replace('_', ' ')} {value:.2f} m" for key, value in apart.items())
        remarks.append(f"positions of {other.source} minus those used: {text}")
    history = (*track.history, f"attitude from {other.source}")
    origin = (track.sigma_from[0], other.sigma_from[1])
    return dataclasses.replace(joined, clock=clock, history=history, sigma_from=origin), remarks


def _positions(track: Trajectory) -> Positions:
    return Positions(
        name=track.source,
        rank=Rank.GNSS,
        time=track.time,
        lon=track.lon,
        lat=track.lat,
        height_m=track.height_m,
        height_source_m=track.height_source_m,
        height_ref=track.height_ref,
        std_ned_m=track.std_ned_m,
        fix=track.fix,
        clock=track.clock,
        point=track.reference_point,
        velocity_ned=track.velocity_ned,
        reset=track.segment.astype(np.int64),
        sigma_from=track.sigma_from[0],
    )


def bounds(trajectory: Trajectory) -> tuple[float, float, float, float]:
    """Return west, south, east, north of the track with a margin, degrees."""
    margin = TERRAIN_MARGIN_M / METERS_PER_DEGREE
    wider = margin / max(float(np.cos(np.radians(np.abs(trajectory.lat).max()))), 0.01)
    return (
        float(trajectory.lon.min()) - wider,
        float(trajectory.lat.min()) - margin,
        float(trajectory.lon.max()) + wider,
        float(trajectory.lat.max()) + margin,
    )


def with_sigma(trajectory: Trajectory, sigma: dict[str, float | None]) -> Trajectory:
    """Override the log's own accuracies by the manifest's."""
    position = trajectory.std_ned_m.copy()
    angles = trajectory.std_rpy_deg.copy()
    clock, given = trajectory.clock, list[str]()
    for name, array, columns in (
        ("horizontal_m", position, [0, 1]),
        ("vertical_m", position, [2]),
        ("roll_pitch_deg", angles, [0, 1]),
        ("heading_deg", angles, [2]),
    ):
        if sigma.get(name) is not None:
            array[:, columns] = sigma[name]
            given.append(name)
    if sigma.get("clock_s") is not None:
        clock = dataclasses.replace(clock, sigma_s=float(sigma["clock_s"] or 0.0))
    stated = {name: value for name, value in sigma.items() if value is not None}
    if not stated:
        return trajectory
    note = f"sigma from the manifest: {', '.join(f'{name} = {value}' for name, value in stated.items())}"
    return dataclasses.replace(
        trajectory,
        std_ned_m=position,
        std_rpy_deg=angles,
        clock=clock,
        history=(*trajectory.history, note),
        sigma_from=(
            _origin(trajectory.sigma_from[0], given, ("horizontal_m", "vertical_m")),
            _origin(trajectory.sigma_from[1], given, ("roll_pitch_deg", "heading_deg")),
        ),
    )


def _origin(before: str, given: Sequence[str], names: Sequence[str]) -> str:
    """Return where uncertainties come from when the manifest has stated *given* of their *names*."""
    stated = [name in given for name in names]
    return "flight.toml" if all(stated) else f"{before} and flight.toml" if any(stated) else before
