"""The light sensor of a capture by what its files tell: MicaSense DLS 1 and 2, on level ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.calibrate import downwelling
from dronesense.errors import CalibrationError
from dronesense.model.capture import BandFrame, Capture

Doubles = NDArray[np.float64]

MAX_DLS_DIFFERENCE: Final = 0.02
"""Difference of a DLS 2's horizontal irradiance from the sum of its parts that is told."""


def irradiance(capture: Capture, *, ratio: ArrayLike | None = None) -> tuple[Doubles, tuple[str, ...]]:
    """Return the irradiance of level ground by the light sensor of MicaSense, W m-2 nm-1, and notes.

    A DLS 2 states direct and scattered light: they are summed for level ground. The reading of a DLS 1 is
    turned to level ground with the sun's place and the sensor's attitude.

    Parameters
    ----------
    capture : Capture
        With time and position.
    ratio : (bands,) float, optional
        Direct over diffuse light, see :func:`fitted_ratios`; None: 6, which holds under a clear sky only, and
        is said.

    Raises
    ------
    CalibrationError
        If there is no light sensor, no UTC or no position, or the sun is too low.
    """
    if capture.family != "micasense" or not any(frame.light for frame in capture.frames):
        raise CalibrationError("has no light sensor whose unit is known", where=capture.frames[0].path)
    notes: list[str] = []
    values = []
    if ratio is None:
        ratios = np.full(len(capture.frames), downwelling.CLEAR_SKY_RATIO)
    else:
        ratios = np.broadcast_to(np.asarray(ratio, dtype=np.float64), (len(capture.frames),))
    for frame, share in zip(capture.frames, ratios, strict=True):
        scale, why = downwelling.to_si(frame.light)
        notes.append(why)
        if "HorizontalIrradiance" in frame.light:
            values.append(_of_parts(capture, frame, notes) * scale)
            continue
        if ratio is None:
            notes.append(f"direct to diffuse light taken as {share:g} to 1: of a clear sky only")
        measured, angle, elevation = _tilted(capture, frame, notes)
        ground = downwelling.level(
            measured, sun_sensor_rad=angle, sun_elevation_rad=elevation, ratio=float(share)
        )
        values.append(float(ground.horizontal[0]) * scale)
    return np.array(values), tuple(dict.fromkeys(notes))


def _of_parts(capture: Capture, frame: BandFrame, notes: list[str]) -> float:
    """Return the irradiance of level ground from the parts a DLS 2 states, else as the camera computed it.

    Some firmware computes it wrongly from parts that are right (MicaSense imageprocessing, metadata): the sum
    is done again here, and a difference is told.
    """
    stated = frame.light["HorizontalIrradiance"]
    direct, diffuse = (frame.light.get(f"{name}Irradiance", 0.0) for name in ("Direct", "Scattered"))
    if capture.time is None or capture.position is None or not (direct > 0.0 and diffuse > 0.0):
        notes.append("horizontal irradiance as the camera computed it")
        return stated
    lon, lat, _ = capture.position
    up = -float(downwelling.sun_direction(lon, lat, capture.time)[2])
    value = direct * max(up, 0.0) + diffuse
    notes.append("horizontal irradiance from the direct and scattered parts that the camera states")
    if abs(stated - value) > MAX_DLS_DIFFERENCE * value:
        off = 100.0 * (stated / value - 1.0)
        notes.append(
            f"band {frame.band}: the camera's own horizontal irradiance is {off:+.0f} % off its parts"
        )
    return value


def fitted_ratios(captures: Sequence[Capture]) -> tuple[Doubles, tuple[str, ...]]:
    """Return direct over diffuse light of each band, fitted to the DLS 1 of captures of one light.

    Raises
    ------
    CalibrationError
        If the captures are too few, their tilts too alike, or the light changed between them.
    """
    notes: list[str] = []
    ratios = []
    for band in range(len(captures[0].frames) if captures else 0):
        readings = [_tilted(capture, capture.frames[band], notes) for capture in captures]
        measured, angle, elevation = (np.array(each) for each in zip(*readings, strict=True))
        fit = downwelling.fit_level(measured, sun_sensor_rad=angle, sun_elevation_rad=elevation)
        ratios.append(fit.ratio)
    if not ratios:
        raise CalibrationError("there is no capture to fit direct and diffuse light to")
    told = ", ".join(f"{ratio:.1f}" for ratio in ratios)
    notes.append(f"direct to diffuse light fitted to {len(captures)} captures: {told} to 1 by band")
    return np.array(ratios), tuple(dict.fromkeys(notes))


def _tilted(capture: Capture, frame: BandFrame, notes: list[str]) -> tuple[float, float, float]:
    """Return the reading of a DLS 1, its angle to the sun and the elevation of the sun, radians."""
    measured = frame.light.get("SpectralIrradiance", frame.light.get("Irradiance", np.nan))
    if capture.time is None or capture.position is None:
        raise CalibrationError(
            "has no time or no position: the tilt of its light sensor cannot be corrected", where=frame.path
        )
    lon, lat, _ = capture.position
    sun = downwelling.sun_direction(lon, lat, capture.time)
    angles = [frame.light.get(f"Dls{name}", 0.0) for name in ("Yaw", "Pitch", "Roll")]
    if "DlsYaw" not in frame.light:
        notes.append("attitude of the light sensor not stated: taken as level")
    angle = downwelling.sun_sensor_angle(sun, *angles)
    return measured, float(angle), float(np.arcsin(-sun[..., 2]))
