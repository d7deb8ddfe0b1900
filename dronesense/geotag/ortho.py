"""Scores of a push-broom cube -> a north-up raster.

Every pixel is followed to the ground and covers the cells whose centers lie in its footprint; where
footprints overlap the nearest pixel wins. Cells that no pixel saw stay empty: nothing is filled in.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.errors import CoverageError
from dronesense.geotag import fan, glt, resample
from dronesense.geotag.locate import MAX_ATTITUDE_GAP_S, footprints
from dronesense.geotag.poses import LINE_GAP
from dronesense.model import GroundRaster, Instrument, Terrain, Trajectory

DEFAULT_BUDGET_BYTES: Final = 256 * 1024 * 1024
"""Working memory beside the raster itself."""
PLACE_TOLERANCE: Final = 0.02
"""Cells; places of pixels may be off by that where it saves time."""
_SAMPLED_ROWS, _SAMPLED_COLS = 25, 25

Ints = NDArray[np.int64]


def project(
    score: NDArray[np.float32],
    *,
    name: str,
    unit: str,
    description: str,
    line_time: Ints,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    gsd_m: float | None = None,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
) -> GroundRaster:
    """Project the scores of a push-broom cube onto the ground.

    Parameters
    ----------
    score : (rows, cols) float32
        NaN where a pixel is not valid.
    name, unit, description : str
        Of the raster.
    line_time, trajectory, instrument, terrain, crs, max_gap_s
        As for :func:`dronesense.geotag.locate.locate_pixels`.
    gsd_m : float or None
        Cell size, m. None: the side of a square as large as the median footprint, to two digits.
    budget_bytes : int
        Working memory beside the raster.

    Returns
    -------
    GroundRaster
        North-up, its borders at multiples of the cell size, NaN where no valid pixel saw the ground.

    Raises
    ------
    CoverageError
        If no pixel meets the ground, or the raster would have more cells than
        :data:`dronesense.geotag.glt.MAX_CELLS`.
    """
    score = np.asarray(score, dtype=np.float32)
    ray: dict[str, Any] = {
        "line_time": line_time,
        "trajectory": trajectory,
        "instrument": instrument,
        "terrain": terrain,
        "crs": crs,
        "max_gap_s": max_gap_s,
    }
    seen = np.isfinite(score)
    table = lookup(score.shape, gsd_m=gsd_m, budget_bytes=budget_bytes, seen=seen, **ray)
    if table.number.size == 0:
        raise CoverageError(
            f"no pixel of {name} meets the ground",
            where=terrain.source,
            fix="check the times, terrain and mount",
        )
    return GroundRaster(name, resample.nearest(score, table), table.transform, table.crs, unit, description)


def lookup(
    shape: tuple[int, ...],
    *,
    line_time: Ints,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    gsd_m: float | None = None,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
    seen: NDArray[np.bool_] | None = None,
    offsets: bool = False,
    fill: bool = False,
) -> glt.Lookup:
    """Return which pixel of a push-broom strip each cell of the ground shows.

    Parameters
    ----------
    shape : (rows, cols)
        Of the strip.
    line_time, trajectory, instrument, terrain, crs, gsd_m, max_gap_s, budget_bytes
        As for :func:`project`.
    seen : (rows, cols) bool or None
        Pixels that may be shown; None: all.
    offsets, fill
        As for :func:`dronesense.geotag.glt.from_places`.

    Returns
    -------
    Lookup
        Of size 0 when no pixel meets the ground.
    """
    rows, cols = shape
    ray: dict[str, Any] = {
        "line_time": line_time,
        "trajectory": trajectory,
        "instrument": instrument,
        "terrain": terrain,
        "crs": crs,
        "max_gap_s": max_gap_s,
    }
    if gsd_m is None:
        gsd_m = typical_gsd((rows, cols), **ray)
    return glt.from_places(
        fan.places(budget_bytes=budget_bytes, tolerance_m=PLACE_TOLERANCE * gsd_m, **ray),
        shape=(rows, cols),
        gsd_m=gsd_m,
        crs=geodesy.check_crs(crs, metric=True),
        broken=glt.broken_lines(line_time, LINE_GAP),
        seen=seen,
        offsets=offsets,
        fill=fill,
    )


def typical_gsd(shape: tuple[int, int], **ray: Any) -> float:
    """Return the side of a square as large as the median footprint, to two significant digits.

    The parameters beside the strip's shape are those of :func:`dronesense.geotag.locate.footprints`.

    Raises
    ------
    CoverageError
        If no footprint meets the ground.
    """
    rows, cols = (
        np.unique(np.linspace(0, n - 1, count).astype(np.int64))
        for n, count in zip(shape, (_SAMPLED_ROWS, _SAMPLED_COLS), strict=True)
    )
    pixels = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    corners = footprints(pixels, **ray)
    one, other = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    area = 0.5 * np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
    area = area[area > 0.0]
    if not area.size:
        raise CoverageError("no footprint meets the ground", fix="check the times, terrain and mount")
    return float(f"{np.sqrt(np.median(area)):.2g}")
