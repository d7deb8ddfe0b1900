"""Do the parts of a flight belong to the same hour? Remarks for people; nothing is refused here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import CubeInput, GasInput, LineScan, Trajectory
from dronesense.timescale import to_iso

SLACK_S: Final = 2.0
"""A series that leaves the track by less than this is not worth a remark, s."""


def remarks(trajectory: Trajectory | None, gas: Sequence[GasInput], cubes: Sequence[CubeInput]) -> list[str]:
    """Say which gas series and cubes reach beyond the track, and by how much."""
    if trajectory is None:
        return []
    said = []
    for each in gas:
        shift = 0.0 if each.clock_offset_s == "auto" else each.clock_offset_s
        time = each.series[0].time + np.int64(round(shift * 1e9))
        stamped = " as stamped" if each.clock_offset_s == "auto" else ""
        said += _remark(each.series[0].source, f"samples{stamped}", time, trajectory)
    for cube in cubes:
        if isinstance(cube.cube.geometry, LineScan):
            said += _remark(cube.cube.path, "lines", cube.cube.geometry.time, trajectory)
    return said


def _remark(source: str, what: str, time: NDArray[np.int64], trajectory: Trajectory) -> list[str]:
    first, last = int(trajectory.time[0]), int(trajectory.time[-1])
    slack = int(SLACK_S * 1e9)
    outside = int(np.count_nonzero((time < first - slack) | (time > last + slack)))
    if not outside:
        return []
    span = f"{to_iso(int(time[0]))} to {to_iso(int(time[-1]))}"
    flown = f"{to_iso(first)} to {to_iso(last)}"
    return [f"{source}: {outside} of {len(time)} {what} ({span}) lie outside the track ({flown}): no place"]
