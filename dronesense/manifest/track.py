"""What the manifest says of the track: its accuracies, and the ground that it needs."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from dronesense.model import Trajectory

TERRAIN_MARGIN_M: Final = 500.0
"""How far beyond the track the height model is read."""
METERS_PER_DEGREE: Final = 111_320.0
"""Of latitude; good enough for a margin."""


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
    clock = trajectory.clock
    for name, array, columns in (
        ("horizontal_m", position, [0, 1]),
        ("vertical_m", position, [2]),
        ("roll_pitch_deg", angles, [0, 1]),
        ("heading_deg", angles, [2]),
    ):
        if sigma.get(name) is not None:
            array[:, columns] = sigma[name]
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
    )
