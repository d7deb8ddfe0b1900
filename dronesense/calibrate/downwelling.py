"""Light sensors on the roof of the aircraft: units, tilt, the share of the sky, and a panel against them.

The measured irradiance is a sum of the sun's beam, which a tilted sensor sees under another angle, and of the
sky's light, which it sees from everywhere: ``E = F(a) (E_direct cos a + E_diffuse)`` with a the angle
between sun and sensor and F the transmission of its cover. What reaches the ground is ``E_direct sin h +
E_diffuse``, h the elevation of the sun. One reading cannot tell the two parts: their ratio is assumed (6 to
1 under a clear sky, MicaSense ``imageprocessing``), or fitted to readings under several tilts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CalibrationError
from dronesense.geodesy.sun import sun_direction as sun_direction  # noqa: PLC0414 - offered here as well

Doubles = NDArray[np.float64]

CLEAR_SKY_RATIO: Final = 6.0
"""Direct over diffuse irradiance that is assumed without a fit (MicaSense imageprocessing; clear sky
only)."""
COVER_INDICES: Final = (1.000277, 1.6, 1.38)
"""Refractive indices of air, polycarbonate and PTFE, the covers of a DLS 1 (MicaSense imageprocessing)."""
DLS2_TO_SI: Final = 0.01
"""uW cm-2 nm-1 -> W m-2 nm-1: what a DLS 2 writes unless it states its scale."""
MIN_COSINE_SPREAD: Final = 0.05
"""Standard deviation of cos a below which direct and diffuse light are not told apart by a fit."""
MIN_ELEVATION_SIN: Final = 0.1
"""Sine of the sun's elevation (6 degrees) below which a tilt correction is refused: it explodes."""


@dataclass(frozen=True, slots=True, eq=False)
class GroundIrradiance:
    """Irradiance of a level surface with its parts.

    Parameters
    ----------
    horizontal, direct, diffuse : (n,) float64
        On level ground; of the beam, square to it; of the sky. Unit of the input.
    sigma : (n,) float64
        Standard uncertainty of `horizontal` from the fit; NaN where the ratio was assumed.
    ratio : float
        Direct over diffuse.
    assumed : bool
        The ratio was not measured.
    """

    horizontal: Doubles
    direct: Doubles
    diffuse: Doubles
    sigma: Doubles
    ratio: float
    assumed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """What two ways to know the irradiance say against each other, band by band.

    Parameters
    ----------
    ratio : (bands,) float64
        Panel over sensor.
    change : (bands,) float64 or None
        With two panels: how the light changed by the panels, over how it changed by the sensor.
    note : str
        One line for a report.
    """

    ratio: Doubles
    change: Doubles | None
    note: str


def to_si(light: Mapping[str, float]) -> tuple[float, str]:
    """Return the factor to W m-2 nm-1 of what a DLS wrote, and why.

    The scale that the file states; else 0.01 if it has ``HorizontalIrradiance``, as only a DLS 2 has; else 1.

    Examples
    --------
    >>> to_si({"HorizontalIrradiance": 90.0})[0], to_si({"SpectralIrradiance": 1.1})[0]
    (0.01, 1.0)
    """
    stated = light.get("IrradianceScaleToSIUnits", np.nan)
    if np.isfinite(stated) and stated > 0.0:
        return float(stated), "scale of the light sensor as the file states it"
    if "HorizontalIrradiance" in light:
        return DLS2_TO_SI, "light sensor taken as a DLS 2 in uW cm-2 nm-1: it has a horizontal irradiance"
    return 1.0, "light sensor taken as a DLS 1 in W m-2 nm-1"


def transmission(angle_rad: ArrayLike) -> Doubles:
    """Return the share of light that passes the covers of a DLS 1 at an angle from its axis.

    Fresnel's equations for unpolarized light through air, polycarbonate, PTFE; NaN beyond 90 degrees.

    Examples
    --------
    >>> [round(float(transmission(a)), 3) for a in (0.0, 1.0)]
    [0.942, 0.901]
    """
    angle = np.asarray(angle_rad, dtype=np.float64)
    angle = np.where(np.abs(angle) <= np.pi / 2.0, angle, np.nan)
    through = np.ones_like(angle)
    for first, second in pairwise(COVER_INDICES):
        angle = np.arcsin(np.sin(angle) / first)  # as upstream: the angle in a layer of index `first`
        before = np.cos(angle)
        after = np.sqrt(1.0 - (first / second * np.sin(angle)) ** 2)
        across = ((first * before - second * after) / (first * before + second * after)) ** 2
        along = ((first * after - second * before) / (first * after + second * before)) ** 2
        through = through * (1.0 - 0.5 * (across + along))
    return np.asarray(through, dtype=np.float64)


def sun_sensor_angle(sun: Doubles, yaw_rad: ArrayLike, pitch_rad: ArrayLike, roll_rad: ArrayLike) -> Doubles:
    """Return the angle between the sun and the axis of a sensor that looks up when level, radians.

    Parameters
    ----------
    sun : (..., 3) float64
        North, east, down, see :func:`sun_direction`.
    yaw_rad, pitch_rad, roll_rad : array_like
        Attitude of the sensor, ``R = Rz(yaw) Ry(pitch) Rx(roll)``.
    """
    yaw, pitch, roll = (np.asarray(each, dtype=np.float64) for each in (yaw_rad, pitch_rad, roll_rad))
    axis = -np.stack(
        np.broadcast_arrays(
            np.cos(yaw) * np.sin(pitch) * np.cos(roll) + np.sin(yaw) * np.sin(roll),
            np.sin(yaw) * np.sin(pitch) * np.cos(roll) - np.cos(yaw) * np.sin(roll),
            np.cos(pitch) * np.cos(roll),
        ),
        axis=-1,
    )
    return np.asarray(np.arccos(np.clip(np.sum(axis * sun, axis=-1), -1.0, 1.0)), dtype=np.float64)


def level(
    measured: ArrayLike,
    *,
    sun_sensor_rad: ArrayLike,
    sun_elevation_rad: ArrayLike,
    ratio: float = CLEAR_SKY_RATIO,
) -> GroundIrradiance:
    """Return the irradiance of level ground from single readings, the ratio of direct to diffuse assumed.

    ``E_direct = E / F(a) / (1/ratio + cos a)``, ``E_ground = E_direct (1/ratio + sin h)``.

    Parameters
    ----------
    measured : (n,) float
        Readings of one band.
    sun_sensor_rad, sun_elevation_rad : (n,) float
        Angle between sun and sensor; elevation of the sun.
    ratio : float
        Direct over diffuse; inf: no sky, 0 < ratio.

    Raises
    ------
    CalibrationError
        If the sun is lower than 6 degrees, or behind the sensor.
    """
    if not ratio > 0.0:
        raise ValueError(f"ratio must be > 0, not {ratio}")
    angle = np.atleast_1d(np.asarray(sun_sensor_rad, dtype=np.float64))
    height = np.sin(np.atleast_1d(np.asarray(sun_elevation_rad, dtype=np.float64)))
    _check_sun(angle, height)
    values = np.atleast_1d(np.asarray(measured, dtype=np.float64))
    direct = values / transmission(angle) / (1.0 / ratio + np.cos(angle))
    diffuse = direct / ratio
    return GroundIrradiance(
        horizontal=direct * height + diffuse,
        direct=direct,
        diffuse=diffuse,
        sigma=np.full_like(direct, np.nan),
        ratio=ratio,
        assumed=True,
    )


def fit_level(
    measured: ArrayLike, *, sun_sensor_rad: ArrayLike, sun_elevation_rad: ArrayLike
) -> GroundIrradiance:
    """Return the irradiance of level ground, direct and diffuse light fitted to readings under several tilts.

    ``E / F(a) = E_direct cos a + E_diffuse`` by least squares over the readings, taken as of one light:
    seconds to a few minutes of flight with turns.

    Raises
    ------
    CalibrationError
        If there are fewer than 3 readings, their tilts are too alike to tell the parts apart, or a part
        comes out negative.
    """
    angle = np.asarray(sun_sensor_rad, dtype=np.float64)
    height = np.sin(np.broadcast_to(np.asarray(sun_elevation_rad, dtype=np.float64), angle.shape))
    if angle.ndim != 1 or angle.size < 3:
        raise CalibrationError(
            f"{angle.size} readings of the light sensor are too few to tell direct from diffuse light",
            fix="use at least 3 under different tilts, or assume the ratio",
        )
    _check_sun(angle, height)
    cosine = np.cos(angle)
    spread = float(cosine.std())
    if not spread >= MIN_COSINE_SPREAD:
        raise CalibrationError(
            f"the readings of the light sensor are under too similar tilts (cosines spread {spread:.3f}, "
            f"{MIN_COSINE_SPREAD} needed)",
            fix="use readings with turns, or assume the ratio",
        )
    design = np.column_stack([cosine, np.ones_like(cosine)])
    target = np.asarray(measured, dtype=np.float64) / transmission(angle)
    inverse = np.linalg.inv(design.T @ design)
    direct, diffuse = inverse @ design.T @ target
    if not (direct > 0.0 and diffuse > 0.0):
        raise CalibrationError(
            f"the fit of the light sensor gives {direct:.4g} direct and {diffuse:.4g} diffuse irradiance",
            fix="the light changed between the readings: use fewer, or assume the ratio",
        )
    residual = target - design @ (direct, diffuse)
    covariance = inverse * float(residual @ residual) / max(angle.size - 2, 1)
    to_ground = np.column_stack([height, np.ones_like(height)])
    sigma = np.sqrt(np.einsum("ni,ij,nj->n", to_ground, covariance, to_ground))
    return GroundIrradiance(
        horizontal=direct * height + diffuse,
        direct=np.full_like(height, direct),
        diffuse=np.full_like(height, diffuse),
        sigma=sigma,
        ratio=float(direct / diffuse),
        assumed=False,
    )


def compare(
    panel: ArrayLike,
    sensor: ArrayLike,
    *,
    panel_after: ArrayLike | None = None,
    sensor_after: ArrayLike | None = None,
) -> Disagreement:
    """Return what panel and sensor say against each other; which of the two is right, it does not tell.

    Parameters
    ----------
    panel, sensor : (bands,) float
        Irradiance at one time by either.
    panel_after, sensor_after : (bands,) float, optional
        The same at a second time: then it is told whether they agree about how far the light changed.

    Examples
    --------
    >>> print(compare([0.9, 1.1], [1.0, 1.0]).note)
    panel against light sensor: -10 % to +10 % by band
    """
    first, second = np.asarray(panel, dtype=np.float64), np.asarray(sensor, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(second > 0.0, first / second, np.nan)
    note = f"panel against light sensor: {_range(ratio)} by band"
    change = None
    if panel_after is not None and sensor_after is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            by_panel = np.asarray(panel_after, dtype=np.float64) / first
            by_sensor = np.asarray(sensor_after, dtype=np.float64) / second
            change = by_panel / by_sensor
        note += (
            f"; the light changed by {_range(by_panel)} by the panels, by {_range(by_sensor)} by the sensor"
        )
    return Disagreement(ratio, change, note)


def _range(ratio: Doubles) -> str:
    known = ratio[np.isfinite(ratio)]
    if not known.size:
        return "not known"
    return f"{100.0 * (known.min() - 1.0):+.0f} % to {100.0 * (known.max() - 1.0):+.0f} %"


def _check_sun(angle: Doubles, height: Doubles) -> None:
    if bool((height < MIN_ELEVATION_SIN).any()):
        raise CalibrationError(
            "the sun stands lower than 6 degrees: the tilt of the light sensor cannot be corrected",
            fix="use the panel alone",
        )
    if bool((np.abs(angle) >= np.pi / 2.0).any()):
        raise CalibrationError(
            "the sun is behind the light sensor, by its attitude", fix="check how the sensor is mounted"
        )
