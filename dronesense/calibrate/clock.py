"""The clocks of a flight's instruments against its log: from pressure, positions or the motion of an image.

Each function turns two records into two signals of one quantity and lays one over the other
(:mod:`dronesense.calibrate.sync`). An analyser's pressure sensor has no inlet line before it and follows
within a fraction of a second, unlike the gas.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate.sync import ClockOffset, Nature, Signal, cross_correlate, match_tracks, refused
from dronesense.errors import CoverageError
from dronesense.model import Clock, GasSeries, Trajectory, Triggers

MAX_OFFSET_S: Final = 2.0 * 3600.0
"""Largest clock error that is looked for when nobody says otherwise, s."""
MAX_IMAGE_OFFSET_S: Final = 60.0
"""The same for cameras, whose clocks are set before a flight, s."""

PRESSURE: Final = Nature(
    "pressure", step_s=1.0, change_s=4.0, lobe_s=20.0, hole_s=5.0, smoothing_s=0.4, overlap_s=60.0,
    min_correlation=0.7, scale=(0.5, 1.5), averaging=0.5,
)  # fmt: skip
"""Changes over 4 s: slow weather drops out, a climb of a few meters stands out. A climb lasts 20 s."""
RATES: Final = Nature(
    "rates", step_s=0.0, change_s=0.0, lobe_s=2.0, hole_s=0.5, smoothing_s=0.0, overlap_s=10.0,
    min_correlation=0.3, scale=(0.0, math.inf), slack_s=0.02, block_s=5.0, max_sigma_s=0.1,
    either_sign=True,
)  # fmt: skip
"""Angular rate against the shift of an image: the pixel size is unknown, and which side is which."""

SEA_LEVEL_HPA: Final = 1013.25
STANDARD_SCALE_M: Final = 44330.77
"""``T0 / L`` of the standard atmosphere, m (ICAO Doc 7488/3)."""
STANDARD_EXPONENT: Final = 5.25588
"""``g M / (R L)`` of the standard atmosphere (ICAO Doc 7488/3)."""
METERS_PER_DEGREE: Final = 111_195.0
"""One degree of a great circle on the mean sphere of 6,371 km, m; for the comparison of tracks only."""
CLIP_SIGMAS: Final = 5.0
"""Image shifts further from their median than this many robust standard deviations are cut to it."""
MAD_TO_SIGMA: Final = 1.4826

_NS: Final = 1_000_000_000
_AXES: Final = ("roll", "pitch", "yaw")


def estimate_offset(
    series: GasSeries, trajectory: Trajectory, *, max_offset_s: float = MAX_OFFSET_S
) -> ClockOffset:
    """Find the clock error of an analyser by laying its pressure over that of the flight log.

    Parameters
    ----------
    series : GasSeries
        With ``ambient.pressure_hpa``.
    trajectory : Trajectory
        With `pressure_hpa`; without it the pressure is derived from `height_m` or `height_source_m` by the
        standard atmosphere (its changes are good to a few per cent, which the scale of the fit absorbs).
    max_offset_s : float
        Offsets up to this size, of either sign, are considered.

    Returns
    -------
    ClockOffset
        Never guessed: `accepted` is False with a reason when the data do not decide.
    """
    if not max_offset_s > 0.0:
        raise ValueError(f"max_offset_s must be > 0, not {max_offset_s}")
    felt = _pressure(series.time, series.ambient.pressure_hpa)
    if felt is None:
        return _told(refused("the gas series carries no pressure", "none"), "none")
    log, method = _log_pressure(trajectory)
    if log is None:
        return _told(refused("the flight log carries neither pressure nor heights", "none"), "none")
    return _told(cross_correlate(felt, log, PRESSURE, max_offset_s=max_offset_s), method)


def estimate_track_offset(
    track: Trajectory, trajectory: Trajectory, *, max_offset_s: float = MAX_OFFSET_S
) -> ClockOffset:
    """Find the clock error of a track by laying it over another one of the same flight.

    Parameters
    ----------
    track : Trajectory
        Of the receiver of an analyser or a camera.
    trajectory : Trajectory
        Of the flight log, whose clock is taken as right.
    max_offset_s : float
        Offsets up to this size, of either sign, are considered.

    Returns
    -------
    ClockOffset
    """
    reference = float(np.median(trajectory.lat))
    lon = float(np.median(trajectory.lon))
    one, other = (_local(each, lon, reference) for each in (track, trajectory))
    return match_tracks(one, other, max_offset_s=max_offset_s)


def estimate_image_offset(
    time: NDArray[np.int64],
    shift: NDArray[np.float64],
    trajectory: Trajectory,
    *,
    axis: Literal["roll", "pitch", "yaw"] = "roll",
    max_offset_s: float = MAX_IMAGE_OFFSET_S,
) -> ClockOffset:
    """Find the clock error of a camera from how far each image moved against the one before.

    Parameters
    ----------
    time : (n,) int64
        Stamps of the frames or lines, strictly increasing, ns.
    shift : (n,) float64
        Shift of each against the one before, in any unit and sense; the first counts for nothing, NaN:
        unknown.
    trajectory : Trajectory
        With attitude.
    axis : {"roll", "pitch", "yaw"}
        Body axis that the turn about moves the image that way: roll moves it across the track.
    max_offset_s : float
        Offsets up to this size, of either sign, are considered.

    Returns
    -------
    ClockOffset
    """
    middle = time[:-1] + np.diff(time) // 2
    rate: NDArray[np.float64] = shift[1:] * _NS / np.diff(time)
    known = rate[np.isfinite(rate)]
    if known.size:
        center = float(np.median(known))
        limit = CLIP_SIGMAS * MAD_TO_SIGMA * float(np.median(np.abs(known - center)))
        rate = np.clip(rate, center - limit, center + limit)
    turn = body_rates(trajectory)
    gyro = Signal(turn.time, turn.value[:, _AXES.index(axis)])
    return cross_correlate(Signal(middle, rate), gyro, RATES, max_offset_s=max_offset_s)


def body_rates(trajectory: Trajectory) -> Signal:
    """Return the angular rates about the body axes (roll, pitch, yaw), degrees/s, between the attitudes.

    NaN across gaps and where the attitude is unknown.
    """
    from scipy.spatial.transform import Rotation

    time = trajectory.time
    rate = np.full((max(time.size - 1, 0), 3), np.nan)
    finite = np.asarray(np.isfinite(trajectory.attitude).all(axis=1))
    known = finite[1:] & finite[:-1] & (np.diff(trajectory.segment) == 0)
    if known.any():
        before, after = (
            Rotation.from_quat(each[known][:, [1, 2, 3, 0]])
            for each in (trajectory.attitude[:-1], trajectory.attitude[1:])
        )
        turn = np.degrees((before.inv() * after).as_rotvec())
        rate[known] = turn / (np.diff(time)[known] / _NS)[:, None]
    return Signal(time[:-1] + np.diff(time) // 2, rate)


def shift(series: GasSeries, offset_s: float, sigma_s: float = 0.0) -> GasSeries:
    """Add *offset_s* to the stamps of *series*; *sigma_s* is its standard uncertainty, kept in the history.

    Raises
    ------
    CoverageError
        If the offset is not finite.
    """
    step = f"clock: {offset_s:+.3f} s added to the instrument's time, sigma {sigma_s:.3f} s"
    time = series.time + _offset_ns(offset_s, series.source)
    return replace(series, time=time, history=(*series.history, step))


def shift_track(trajectory: Trajectory, offset_s: float, sigma_s: float = 0.0) -> Trajectory:
    """Add *offset_s* to the stamps of *trajectory* and its triggers: what the user or a comparison found.

    Parameters
    ----------
    trajectory : Trajectory
        Any.
    offset_s : float
        To be added to the log's time to get UTC, s.
    sigma_s : float
        Standard uncertainty of the offset, s. Where it is stated (> 0) it takes the place of the clock's own,
        which then no longer counts.

    Returns
    -------
    Trajectory
        With the offset in `clock` and `history`; a relative clock is on UTC by it and becomes a fitted one.

    Raises
    ------
    CoverageError
        If the offset is not finite.
    """
    added = _offset_ns(offset_s, trajectory.source)
    clock = trajectory.clock
    note = f"{offset_s:+.3f} s added to the log's time"
    moved = Clock(
        "fitted" if sigma_s > 0.0 or clock.kind == "relative" else clock.kind,
        sigma_s if sigma_s > 0.0 else clock.sigma_s,
        clock.offset_s + offset_s,
        "; ".join(filter(None, (clock.note, note))),
    )
    triggers = trajectory.triggers
    if triggers is not None:
        triggers = Triggers(triggers.time + added, triggers.number, triggers.source)
    step = f"clock: {note}, sigma {moved.sigma_s:.3f} s"
    return replace(
        trajectory,
        time=trajectory.time + added,
        clock=moved,
        triggers=triggers,
        history=(*trajectory.history, step),
    )


def _offset_ns(offset_s: float, source: str) -> int:
    if not math.isfinite(offset_s):
        raise CoverageError(
            "the clock offset is not a number",
            where=source or None,
            fix="set clock_offset_s in flight.toml to the seconds to add to the instrument's time",
        )
    return round(offset_s * _NS)


def _told(found: ClockOffset, method: str) -> ClockOffset:
    """Return *found* with what the user can do about a refusal."""
    if found.accepted:
        return replace(found, method=method)
    todo = "set clock_offset_s in flight.toml to the seconds to add to the instrument's time"
    return replace(found, method=method, reason=f"{found.reason}; {todo}")


def _pressure(time: NDArray[np.int64], hpa: NDArray[np.float64] | None) -> Signal | None:
    """Return a pressure record; None when there is none."""
    if hpa is None or not np.any(hpa > 0.0):
        return None
    return Signal(time, np.where(hpa > 0.0, hpa, np.nan))


def _log_pressure(trajectory: Trajectory) -> tuple[Signal | None, str]:
    """Return the log's pressure, measured or from its heights, and which of the two."""
    measured = _pressure(trajectory.time, trajectory.pressure_hpa)
    if measured is not None:
        return measured, "pressure"
    for height in (trajectory.height_m, trajectory.height_source_m):
        standard = SEA_LEVEL_HPA * (1.0 - height / STANDARD_SCALE_M) ** STANDARD_EXPONENT
        derived = _pressure(trajectory.time, standard)
        if derived is not None:
            return derived, "height"
    return None, "none"


def _local(track: Trajectory, lon: float, lat: float) -> Signal:
    """Return east and north of a common origin, m."""
    east = ((track.lon - lon + 180.0) % 360.0 - 180.0) * math.cos(math.radians(lat))
    return Signal(track.time, METERS_PER_DEGREE * np.column_stack([east, track.lat - lat]))
