"""Do the parts of a flight belong to the same hour? Remarks for people; nothing is refused here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import CubeInput, GasInput, LineScan, Trajectory
from dronesense.timescale import to_iso

REMARKABLE: Final = 0.1
"""Share of samples outside the track from which it is worth a remark: those before take-off are not."""
REMARKABLE_AS_STAMPED: Final = 0.5
"""The same for an analyser whose clock is still to be found."""


def remarks(trajectory: Trajectory | None, gas: Sequence[GasInput], cubes: Sequence[CubeInput]) -> list[str]:
    """Say which gas series and cubes reach beyond the track, and by how much."""
    if trajectory is None:
        return []
    said = []
    for each in gas:
        shift = 0.0 if each.clock_offset_s == "auto" else each.clock_offset_s
        time = each.series[0].time + np.int64(round(shift * 1e9))
        auto = each.clock_offset_s == "auto"
        what, share = ("samples as stamped", REMARKABLE_AS_STAMPED) if auto else ("samples", REMARKABLE)
        said += _remark(each.series[0].source, what, time, trajectory, share)
    for cube in cubes:
        if isinstance(cube.cube.geometry, LineScan):
            said += _remark(cube.cube.path, "lines", cube.cube.geometry.time, trajectory, 0.0)
    return said


def _remark(
    source: str, what: str, time: NDArray[np.int64], trajectory: Trajectory, share: float
) -> list[str]:
    first, last = int(trajectory.time[0]), int(trajectory.time[-1])
    outside = int(np.count_nonzero((time < first) | (time > last)))
    if outside <= share * len(time):
        return []
    span = f"{to_iso(int(time[0]))} to {to_iso(int(time[-1]))}"
    flown = f"{to_iso(first)} to {to_iso(last)}"
    return [f"{source}: {outside} of {len(time)} {what} ({span}) lie outside the track ({flown}): no place"]
