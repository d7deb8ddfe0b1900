"""Navigation that a camera logs for itself, one solution with attitude, to a trajectory."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, TrackOptions, Trajectory
from dronesense.readers.assembly import (
    Attitude,
    Positions,
    Rank,
    assemble,
    choose,
    compare,
    plausible,
    rate_hz,
)
from dronesense.readers.streams import SINGLE_FIX_SIGMA_M, Float, ordered, quaternions_of
from dronesense.readers.tally import Tally
from dronesense.timescale import to_iso

FILTER: Final = 7
"""`Trajectory.fix`: the output of a navigation filter."""


def roll_sign(options: TrackOptions, tally: Tally, *, usual: float, why: str) -> float:
    """Return 1 where roll is positive with the right wing down, -1 where up.

    Parameters
    ----------
    options : TrackOptions
        Its `roll_positive`; ``"auto"``: *usual*.
    tally : Tally
        Takes the answer that was used, or the assumption.
    usual : float
        1 or -1.
    why : str
        Who says so, for the assumption.
    """
    if options.roll_positive != "auto":
        tally.answered.append("roll_positive")
        return -1.0 if options.roll_positive == "right-wing-up" else 1.0
    tally.assumptions.append(f"roll positive with the right wing {'down' if usual > 0 else 'up'}: {why}")
    return usual


def camera_track(
    places: Float,
    angles_deg: Float,
    time: NDArray[np.int64],
    *,
    name: str,
    clock: Clock,
    ellipsoidal: bool,
    options: TrackOptions,
    label: str,
    tally: Tally,
) -> tuple[Trajectory, dict[str, object]]:
    """Return the trajectory of rows of position and attitude, and the details of its report.

    Parameters
    ----------
    places : (n, 3) float64
        Longitude, latitude (degrees), height (m).
    angles_deg : (n, 3) float64
        Roll (right wing down), pitch, yaw.
    time : (n,) int64
        UTC ns, in the order of the file.
    name : str
        What ``[track] source`` calls the solution.
    clock : Clock
        How `time` was found.
    ellipsoidal : bool
        Whether the format says that heights are ellipsoidal; else what they refer to is not known.
    options : TrackOptions
        Its `source`.
    label : str
        What messages call the file.
    tally : Tally
        Takes refusals and assumptions.

    Raises
    ------
    ReadError
        If no row is left.
    """
    keep, piece = _usable(places, angles_deg, time, label, tally)
    time, (lon, lat, height) = time[keep], places[keep].T
    sigma_h, sigma_v = SINGLE_FIX_SIGMA_M
    tally.assumptions.append(
        f"position uncertainty {sigma_h} m horizontal, {sigma_v} m vertical: the file states none"
    )
    positions = Positions(
        name=name,
        rank=Rank.FILTER,
        time=time,
        lon=lon,
        lat=lat,
        height_m=height if ellipsoidal else np.full(keep.size, np.nan),
        height_source_m=height,
        height_ref="ellipsoid" if ellipsoidal else "unknown",
        std_ned_m=np.tile(np.array([sigma_h, sigma_h, sigma_v]), (keep.size, 1)),
        sigma_from="default",
        fix=np.full(keep.size, FILTER, dtype=np.uint8),
        clock=clock,
        point="imu",
        reset=piece,
    )
    chosen = choose([positions], options.source, label=label)
    attitude = Attitude("attitude", time, quaternions_of(*angles_deg[keep].T))
    trajectory = assemble(chosen, label=label, tally=tally, attitude=attitude)
    return trajectory, {
        "source": name,
        "source_rate_hz": rate_hz(time),
        "sources": compare(chosen, [positions]),
        "clock": {
            "kind": clock.kind,
            "sigma_s": clock.sigma_s,
            "note": clock.note,
            "start": to_iso(int(time[0])),
        },
    }


def _usable(
    places: Float, angles_deg: Float, time: NDArray[np.int64], label: str, tally: Tally
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the rows to keep, and a number per kept row that grows where the clock jumped back."""
    known = np.isfinite(places).all(axis=1) & np.isfinite(angles_deg).all(axis=1)
    keep = np.flatnonzero(tally.keep(np.asarray(known, dtype=bool), "row without a solution"))
    keep = keep[plausible("", time[keep], places[keep, 0], places[keep, 1], places[keep, 2], tally)]
    in_order, piece = ordered(time[keep], tally)
    keep = keep[in_order]
    if not keep.size:
        fix = "copy it again from the card"
        raise ReadError(f"holds no usable row{tally.reasons()}", where=label, fix=fix)
    return keep, piece
