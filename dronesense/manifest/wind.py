"""The wind of a flight: as ``[wind]`` states it, or from a file, on the ground or flying along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate import wind
from dronesense.errors import ManifestError
from dronesense.geotag import poses
from dronesense.manifest.schema import WindTable
from dronesense.model import Trajectory, Wind

SIGMA_SPEED_SHARE: Final = 0.2
SIGMA_SPEED_M_S: Final = 0.5
SIGMA_FROM_DEG: Final = 15.0
"""Of a wind that somebody states without saying how well it is known: whichever of the first two is more."""
SIGMA_ANEMOMETER_M_S: Final = 0.5
"""Of an anemometer on a multirotor, per axis: rotors disturb the air by some tenths of a meter a second."""
SIGMA_MAST_M_S: Final = 0.3
"""Of an anemometer on the ground whose file states none, per axis."""
SIGMA_YAW_DEG: Final = 2.0
"""Of a small autopilot's heading."""
MAX_GAP_S: Final = 1.0
"""Longest gap of the track that is bridged where the file lacks the aircraft's own motion, s."""

Floats = NDArray[np.float64]


def stated(table: WindTable, *, time: int, where: str) -> tuple[Wind, list[str]]:
    """Return the wind that ``[wind]`` states in numbers, and what had to be assumed.

    Raises
    ------
    ManifestError
        If speed or direction is missing or out of range.
    """
    if table.speed_m_s is None or table.from_deg is None:
        raise ManifestError(
            "[wind] needs a path, or speed_m_s and from_deg",
            where=where,
            fix="from_deg is where the wind comes from, degrees clockwise from north",
        )
    remarks = []
    speed, turn = table.sigma_speed_m_s, table.sigma_from_deg
    if speed is None:
        speed = max(SIGMA_SPEED_SHARE * table.speed_m_s, SIGMA_SPEED_M_S)
        remarks.append(f"[wind] states no sigma_speed_m_s: {speed:.2g} m/s is assumed")
    if turn is None:
        turn = SIGMA_FROM_DEG
        remarks.append(f"[wind] states no sigma_from_deg: {turn:g} degrees are assumed")
    try:
        made = wind.stated(
            table.speed_m_s,
            table.from_deg,
            sigma_speed_m_s=speed,
            sigma_from_deg=turn,
            time=time,
            source="[wind]",
        )
    except ValueError as error:
        raise ManifestError(f"[wind]: {error}", where=where) from error
    return made, remarks


def from_columns(columns: Mapping[str, Any], trajectory: Trajectory | None, *, label: str) -> Wind:
    """Return the wind of a table's columns, see :mod:`dronesense.readers.csv_wind`.

    An anemometer that flies along (``wind_right``, ``wind_forward``) needs the aircraft's velocity and yaw:
    from the same table where it has them, else from the track.

    Raises
    ------
    ManifestError
        If neither the table nor a track tells the aircraft's own motion.
    """
    time = columns["time"]
    if "wind_right" in columns:
        return _flown(columns, trajectory, label)
    if "wind_east" in columns:
        east, north = columns["wind_east"], columns["wind_north"]
    else:
        angle = np.radians(columns["wind_from"])
        east, north = -columns["wind_speed"] * np.sin(angle), -columns["wind_speed"] * np.cos(angle)
    sigma = np.full(time.size, SIGMA_MAST_M_S)
    return Wind(
        time,
        east,
        north,
        sigma,
        sigma,
        up=columns.get("wind_up"),
        source=label,
        history=(f"wind: read {time.size} rows of {label}",),
    )


def _flown(columns: Mapping[str, Any], trajectory: Trajectory | None, label: str) -> Wind:
    time = columns["time"]
    if {"velocity_north", "velocity_east", "yaw"} <= set(columns):
        down = columns.get("velocity_down", -columns.get("velocity_up", np.zeros(time.size)))
        velocity = np.column_stack([columns["velocity_north"], columns["velocity_east"], down])
        angles: Mapping[str, Any] = {name: columns.get(name) for name in ("roll", "pitch", "yaw")}
    elif trajectory is not None:
        there = poses.interpolate(trajectory, time, max_gap_s=MAX_GAP_S)
        velocity, angles = there.velocity_ned, _angles(there.attitude)
    else:
        raise ManifestError(
            "is an anemometer that flies along, and nothing tells the aircraft's own motion",
            where=label,
            fix="name the flight log in [track]",
        )
    known = np.isfinite(columns["wind_right"]) & np.isfinite(columns["wind_forward"])
    known &= np.isfinite(velocity).all(axis=1) & np.isfinite(angles["yaw"])
    if not known.any():
        raise ManifestError("has no row with a wind and the aircraft's motion", where=label)

    def kept(values: Any) -> Any:
        return None if values is None else np.asarray(values)[known]

    return wind.from_anemometer(
        time[known],
        kept(columns["wind_right"]),
        kept(columns["wind_forward"]),
        up=kept(columns.get("wind_up")),
        velocity_ned=velocity[known],
        yaw_deg=kept(angles["yaw"]),
        roll_deg=kept(angles["roll"]),
        pitch_deg=kept(angles["pitch"]),
        sigma_air_m_s=SIGMA_ANEMOMETER_M_S,
        sigma_yaw_deg=SIGMA_YAW_DEG,
        source=label,
    )


def _angles(quaternion: Floats) -> dict[str, Floats]:
    """Return roll, pitch and yaw, degrees, of quaternions w, x, y, z (body to north-east-down)."""
    w, x, y, z = quaternion.T
    return {
        "roll": np.degrees(np.arctan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))),
        "pitch": np.degrees(np.arcsin(np.clip(2.0 * (w * y - z * x), -1.0, 1.0))),
        "yaw": np.degrees(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))),
    }
