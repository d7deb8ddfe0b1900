"""The wind: from an anemometer that flies along, from a stated mean, and its mean over a stretch of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CoverageError
from dronesense.model import Wind

NS_PER_S: Final = 1e9
MIN_ROWS: Final = 3
"""Rows from which a mean wind can say how much it varies."""
MAX_LAG_SHARE: Final = 0.25
"""Autocorrelation is followed up to this share of the record."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanWind:
    """A mean over a stretch of time.

    Parameters
    ----------
    east, north : float
        m/s toward.
    sigma_east, sigma_north : float
        Standard uncertainty of the mean: of the instrument, and of a record that is short against its gusts.
    speed_m_s, from_deg : float
        Of the mean vector; degrees clockwise from true north.
    sigma_speed_m_s, sigma_from_deg : float
        Their standard uncertainties; the direction's is 180 at most.
    sway_deg : float
        Standard deviation of the direction within the stretch, degrees (NaN for a stated wind).
    turbulence_m_s : float
        Standard deviation of the horizontal wind within the stretch, per axis (NaN for a stated wind).
    n : int
        Rows.
    """

    east: float
    north: float
    sigma_east: float
    sigma_north: float
    speed_m_s: float
    from_deg: float
    sigma_speed_m_s: float
    sigma_from_deg: float
    sway_deg: float
    turbulence_m_s: float
    n: int


def from_anemometer(
    time: NDArray[np.int64],
    right: ArrayLike,
    forward: ArrayLike,
    *,
    velocity_ned: Floats,
    yaw_deg: ArrayLike,
    roll_deg: ArrayLike | None = None,
    pitch_deg: ArrayLike | None = None,
    up: ArrayLike | None = None,
    sigma_air_m_s: float = 0.0,
    sigma_velocity_m_s: float = 0.0,
    sigma_yaw_deg: float = 0.0,
    source: str = "",
) -> Wind:
    """Return the wind that an anemometer fixed to the aircraft felt, its own motion taken off.

    Relative air velocity, turned from the body into east-north-up, plus the velocity over ground. Without
    *roll_deg* and *pitch_deg* only the yaw turns it: right for a sensor on a leveling mount, and within
    1 - cos(tilt) for the horizontal part otherwise (1.5 % at 10 degrees). The rotors' induced flow is not
    known here: it belongs into a calibration of the anemometer.

    Parameters
    ----------
    time : (k,) int64
        UTC ns, strictly increasing.
    right, forward : (k,) array_like
        Air velocity relative to the aircraft TOWARD its right and its front, m/s.
    velocity_ned : (k, 3) float64
        Velocity over ground, m/s.
    yaw_deg, roll_deg, pitch_deg : (k,) array_like
        Attitude, degrees: yaw clockwise from true north, nose up and right wing down positive.
    up : (k,) array_like, optional
        Relative air velocity toward the top of the aircraft; 0 when not given.
    sigma_air_m_s, sigma_velocity_m_s, sigma_yaw_deg : float
        Standard uncertainties per axis.
    source : str
        File.
    """
    right, forward = np.asarray(right, dtype=np.float64), np.asarray(forward, dtype=np.float64)
    top = np.zeros_like(right) if up is None else np.asarray(up, dtype=np.float64)
    yaw = np.radians(np.asarray(yaw_deg, dtype=np.float64))
    roll = np.radians(np.zeros_like(yaw) if roll_deg is None else np.asarray(roll_deg, dtype=np.float64))
    pitch = np.radians(np.zeros_like(yaw) if pitch_deg is None else np.asarray(pitch_deg, dtype=np.float64))
    # Rx(roll), then Ry(pitch), then Rz(yaw), on the body vector forward, right, down.
    lateral = np.cos(roll) * right + np.sin(roll) * top
    down = np.sin(roll) * right - np.cos(roll) * top
    ahead = np.cos(pitch) * forward + np.sin(pitch) * down
    below = -np.sin(pitch) * forward + np.cos(pitch) * down
    cos, sin = np.cos(yaw), np.sin(yaw)
    from_air_east, from_air_north = lateral * cos + ahead * sin, ahead * cos - lateral * sin
    turn = math.radians(sigma_yaw_deg)
    fixed = sigma_air_m_s**2 + sigma_velocity_m_s**2
    tilted = roll_deg is not None or pitch_deg is not None
    return Wind(
        time=time,
        east=from_air_east + velocity_ned[:, 1],
        north=from_air_north + velocity_ned[:, 0],
        sigma_east=np.sqrt(fixed + (turn * from_air_north) ** 2),
        sigma_north=np.sqrt(fixed + (turn * from_air_east) ** 2),
        up=None if up is None else -below - velocity_ned[:, 2],
        source=source,
        history=(f"wind: anemometer of {source}, own motion taken off, {'attitude' if tilted else 'yaw'}",),
    )


def stated(
    speed_m_s: float,
    from_deg: float,
    *,
    sigma_speed_m_s: float,
    sigma_from_deg: float,
    time: int = 0,
    source: str = "",
) -> Wind:
    """Return one wind for the whole flight, as somebody states it.

    Raises
    ------
    ValueError
        If a number is not finite or out of range.

    Examples
    --------
    A wind from the west blows to the east:

    >>> wind = stated(4.0, 270.0, sigma_speed_m_s=0.5, sigma_from_deg=10.0)
    >>> round(float(wind.east[0]), 6), abs(round(float(wind.north[0]), 6))
    (4.0, 0.0)
    """
    numbers = (speed_m_s, from_deg, sigma_speed_m_s, sigma_from_deg)
    if not all(map(math.isfinite, numbers)) or min(speed_m_s, sigma_speed_m_s, sigma_from_deg) < 0.0:
        raise ValueError(
            "speed, direction and their sigmas must be finite, and all but from_deg not negative"
        )
    angle = math.radians(from_deg)
    across = speed_m_s * math.radians(sigma_from_deg)
    sin, cos = math.sin(angle), math.cos(angle)
    return Wind(
        time=np.array([time]),
        east=np.array([-speed_m_s * sin]),
        north=np.array([-speed_m_s * cos]),
        sigma_east=np.array([math.hypot(sigma_speed_m_s * sin, across * cos)]),
        sigma_north=np.array([math.hypot(sigma_speed_m_s * cos, across * sin)]),
        cov_east_north=np.array([sin * cos * (sigma_speed_m_s**2 - across**2)]),
        source=source,
        history=(f"wind: {speed_m_s:g} m/s from {from_deg:g} deg, stated by {source or 'the user'}",),
    )


def mean(wind: Wind, start: int | None = None, stop: int | None = None) -> MeanWind:
    """Return the vector mean of *wind* from *start* to *stop* (UTC ns, inclusive; default: all of it).

    The uncertainty of the mean counts gusts that last: the number of independent rows follows from the
    autocorrelation (Bartlett 1946), summed to its first zero. What the instrument is off by, it is off by in
    every row.

    Raises
    ------
    CoverageError
        If the wind has no row in that stretch.
    """
    if wind.is_constant:
        rows = np.zeros(1, dtype=np.intp)
    else:
        inside = np.isfinite(wind.east) & np.isfinite(wind.north)
        inside &= (wind.time >= (wind.time[0] if start is None else start)) & (
            wind.time <= (wind.time[-1] if stop is None else stop)
        )
        rows = np.flatnonzero(inside)
    if not rows.size:
        raise CoverageError(
            "has no wind for that time",
            where=wind.source or None,
            fix="state speed_m_s and from_deg in [wind]",
        )
    east, north = wind.east[rows], wind.north[rows]
    mean_east, mean_north = float(east.mean()), float(north.mean())
    speed = math.hypot(mean_east, mean_north)
    gust_east, gust_north = _standard_error(east), _standard_error(north)
    sigma_east = math.hypot(gust_east, float(np.sqrt(np.mean(wind.sigma_east[rows] ** 2))))
    sigma_north = math.hypot(gust_north, float(np.sqrt(np.mean(wind.sigma_north[rows] ** 2))))
    along, across = (
        (mean_east / speed, mean_north / speed),
        (mean_north / speed, -mean_east / speed),
    ) if speed else ((1.0, 0.0), (0.0, 1.0))  # fmt: skip
    shared = 0.0 if wind.cov_east_north is None else float(np.mean(wind.cov_east_north[rows]))
    cov = np.array([[sigma_east**2, shared], [shared, sigma_north**2]])
    sigma_speed, sigma_across = (
        math.sqrt(max(float(np.array(axis) @ cov @ np.array(axis)), 0.0)) for axis in (along, across)
    )
    turbulence = sway = math.nan
    if rows.size >= MIN_ROWS:
        turbulence = float(np.sqrt(0.5 * (east.var(ddof=1) + north.var(ddof=1))))
        sway = _circular_std_deg(np.arctan2(east, north))
    return MeanWind(
        mean_east,
        mean_north,
        sigma_east,
        sigma_north,
        speed,
        math.degrees(math.atan2(-mean_east, -mean_north)) % 360.0,
        sigma_speed,
        min(180.0, math.degrees(math.atan2(sigma_across, speed))) if sigma_across else 0.0,
        sway,
        turbulence,
        int(rows.size),
    )


def at(wind: Wind, time: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return east and north (m/s toward) at *time*: linear between rows, the nearest row outside."""
    if wind.is_constant:
        return np.full(time.shape, wind.east[0]), np.full(time.shape, wind.north[0])
    known = np.isfinite(wind.east) & np.isfinite(wind.north)
    seconds, wanted = ((stamps - wind.time[0]) / NS_PER_S for stamps in (wind.time[known], np.asarray(time)))
    return np.interp(wanted, seconds, wind.east[known]), np.interp(wanted, seconds, wind.north[known])


def _standard_error(values: Floats) -> float:
    """Return the standard error of the mean of a record whose rows hang together; 0 for a lone row."""
    n = values.size
    if n < MIN_ROWS:
        return 0.0
    departure = values - values.mean()
    variance = float(np.mean(departure**2))
    if variance == 0.0:
        return 0.0
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(departure, size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, size)[: max(2, int(MAX_LAG_SHARE * n))] / (n * variance)
    below = np.flatnonzero(correlation <= 0.0)
    reach = int(below[0]) if below.size else correlation.size
    inflation = 1.0 + 2.0 * float(np.sum(correlation[1:reach]))
    return math.sqrt(variance / n * max(inflation, 1.0))


def _circular_std_deg(angle: Floats) -> float:
    """Return the circular standard deviation, degrees (Mardia & Jupp 2000, 2.3.10)."""
    length = float(np.hypot(np.mean(np.sin(angle)), np.mean(np.cos(angle))))
    return math.degrees(math.sqrt(-2.0 * math.log(min(max(length, 1e-12), 1.0))))
