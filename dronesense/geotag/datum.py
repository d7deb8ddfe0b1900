"""A sanity gate: whether the track starts on the ground, and if not, which mix-up of heights explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.geodesy.geoid import GeoidGrid, undulation
from dronesense.geotag.course import ground_velocity
from dronesense.geotag.heights import ground_below
from dronesense.model import Terrain, Trajectory

GATE_M: Final = 5.0
"""A start this near the ground is not doubted: height models and cheap receivers are no better ..."""
GATE_SIGMAS: Final = 3.0
"""... nor one within so many standard uncertainties of terrain and track."""
MATCH_M: Final = 3.0
"""A mix-up is named when it explains the offset to this, or to two standard uncertainties ..."""
MATCH_SHARE: Final = 0.3
"""... but never to more than this part of the offset."""
REST_M_S: Final = 1.0
"""Slower than this, the aircraft may stand."""
METERS_PER_FOOT: Final = 0.3048
"""International foot."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _End:
    """First or last sample over known ground: height above it, whether it may stand there."""

    above_m: float
    source_m: float
    ground_m: float
    sigma_m: float
    undulation_m: float
    still: bool
    reference: str

    @property
    def from_takeoff(self) -> bool:
        """True where the source's height is about 0 and nobody has tied it to the ground yet."""
        return abs(self.source_m) <= self.gate_m and self.reference != "takeoff"

    @property
    def gate_m(self) -> float:
        """Return how far off the ground it may lie without a doubt."""
        return max(GATE_M, GATE_SIGMAS * self.sigma_m)


def datum_check(trajectory: Trajectory, terrain: Terrain, *, geoid: GeoidGrid | None = None) -> list[str]:
    """Compare the track with the ground, and name the mix-up of heights that explains what does not fit.

    A track whose first sample lies off the ground by about the undulation mixes heights above the geoid and
    above the ellipsoid; one that starts near 0 over high ground counts from take-off; a factor of 0.3048
    mixes feet and meters. A log that starts in flight is judged only where it runs below the ground.

    Parameters
    ----------
    trajectory : Trajectory
        With heights above the ellipsoid, as far as they are known.
    terrain : Terrain
        The ground; flat ground is compared too.
    geoid : GeoidGrid, optional
        Geoid of the user's choice, else EGM96.

    Returns
    -------
    list of str
        Remarks with sizes, the probable cause and what to set; empty for a flight that fits its ground.
    """
    ground = ground_below(trajectory, terrain)
    above = trajectory.height_m - ground
    known = np.flatnonzero(np.isfinite(above))
    if not known.size:
        return []
    source = np.where(np.isnan(trajectory.height_source_m), trajectory.height_m, trajectory.height_source_m)
    speed = np.hypot(*ground_velocity(trajectory).T)

    picks = known[[0, -1, int(np.argmin(above[known]))]]
    lift = undulation(trajectory.lon[picks], trajectory.lat[picks], grid=geoid)
    std = trajectory.std_ned_m[picks, 2]
    sigma = np.hypot(terrain.sigma_m, np.where(np.isfinite(std), std, 0.0))
    still = ~(speed[picks] > REST_M_S)
    start, last, lowest = (
        _End(
            float(above[k]),
            float(source[k]),
            float(ground[k]),
            float(s),
            float(n),
            bool(v),
            trajectory.height_ref,
        )
        for k, s, n, v in zip(picks, sigma, lift, still, strict=True)
    )
    remarks = []
    if abs(start.above_m) > start.gate_m and (start.still or start.above_m < 0.0):
        remarks.append(_start_text(start, last, terrain))
    if lowest.above_m < min(start.above_m, 0.0) - lowest.gate_m:
        part = float(np.mean(above[known] < -lowest.gate_m))
        fits = start.still and abs(start.above_m) <= start.gate_m
        remarks.append(_below_text(lowest, part, terrain, judged=fits or bool(remarks)))
    return remarks


def _start_text(start: _End, last: _End, terrain: Terrain) -> str:
    where = f"the track starts {_off(start)} the ground of {terrain.source}"
    if last.still and abs(last.above_m) > last.gate_m:
        where += f" and ends {_off(last)} it"
    hope = "if it started on the ground, " if start.above_m > 0.0 else ""
    causes = _causes(start)
    if causes:
        return f"{where}; {hope}{'; or '.join(causes)}"
    return (
        f"{where}; {hope}the heights of log and terrain count from different zeros, or places are wrong by "
        "far more than ce90_m says; check height_ref in [track] and [terrain]"
    )


def _below_text(lowest: _End, part: float, terrain: Terrain, *, judged: bool) -> str:
    text = f"the track runs {_off(lowest)} the ground of {terrain.source} ({100.0 * part:.0f} % of it below)"
    if not judged and lowest.undulation_m > 0.0 and lowest.above_m + lowest.undulation_m > -lowest.gate_m:
        return (
            f"{text}; the geoid lies {lowest.undulation_m:.1f} m above the ellipsoid here: were its heights "
            'above the geoid, it would not; check height_ref in [track] and [terrain] ("egm96")'
        )
    return f"{text}: drift of the barometer, a wrong place, or a height model that is wrong there"


def _off(end: _End) -> str:
    return f"{abs(end.above_m):.1f} m {'above' if end.above_m > 0.0 else 'below'}"


def _causes(start: _End) -> list[str]:
    """Return every mix-up that explains the offset of the start, in words."""
    bar = min(max(MATCH_M, 2.0 * start.sigma_m), MATCH_SHARE * abs(start.above_m))

    def explains(offset: float) -> bool:
        return abs(start.above_m - offset) <= bar

    n = start.undulation_m
    geoid = f"the geoid lies {abs(n):.1f} m {'above' if n > 0.0 else 'below'} the ellipsoid here"
    causes = []
    if explains(-n):
        causes.append(
            f"{geoid}: probably the log's heights above the geoid were taken as ellipsoidal "
            '(height_ref = "egm96" in [track])'
        )
    if explains(n):
        causes.append(
            f"{geoid}: probably the terrain's heights above the geoid were taken as ellipsoidal "
            '(height_ref = "egm96" in [terrain]), or the undulation was added to the track twice'
        )
    if explains(-2.0 * n):
        causes.append(f"{geoid}: probably it was taken off the log's heights instead of added")
    if start.from_takeoff:
        causes.append(
            f"the ground lies at {start.ground_m:.1f} m and the log starts at {start.source_m:.1f} m: "
            'probably its heights count from take-off (height_ref = "takeoff" in [track])'
        )
    if explains(start.source_m * (1.0 - METERS_PER_FOOT)):
        causes.append("probably the log's heights are in feet and were taken as meters (factor 0.3048)")
    if explains(start.source_m * (1.0 - 1.0 / METERS_PER_FOOT)):
        causes.append("probably the log's heights are in meters and were taken as feet (factor 0.3048)")
    if explains(start.ground_m * (METERS_PER_FOOT - 1.0)):
        causes.append("probably the terrain's heights are in feet and were taken as meters (factor 0.3048)")
    return causes
