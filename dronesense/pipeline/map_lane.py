"""Gas maps: the series of one species, averaged along the track, laid out by a kernel chosen by the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import one_blas_thread
from dronesense.hotspots.kernel_map import Kernel, choose_sigma, kernel_map
from dronesense.hotspots.legs import flight_lines
from dronesense.model import Flag, GasMap, GasTrace
from dronesense.pipeline.account import Account

CELL_M: Final = 1.0
MAX_MAP_CELLS: Final = 1_000_000
"""Larger areas get coarser cells: a map of a field, not of the country."""
WIDTHS_M: Final = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Kernel widths that are tried; wider ones say nothing about places."""
DEFAULT_WIDTH_M: Final = 4.0
"""Where one flight line alone leaves nothing to choose by."""
LOOKS_PER_WIDTH: Final = 0.5
"""Samples within this part of a kernel width along the track are averaged to one look."""
CHOICE_SAMPLES: Final = 1200
"""Averages from which the width is chosen: all pairs of them are held at once."""
UNUSABLE: Final = (
    Flag.STATUS
    | Flag.RANGE
    | Flag.SATURATED
    | Flag.STUCK
    | Flag.WARM_UP
    | Flag.NO_POSITION
    | Flag.ON_GROUND
    | Flag.DERIVED
)
"""Samples that say nothing about the gas at a place."""
MIN_SAMPLES: Final = 20

Floats = NDArray[np.float64]


@one_blas_thread()
def gas_maps(traces: Sequence[GasTrace], account: Account) -> tuple[GasMap, ...]:
    """Return a map of the enhancement, or of the reading where no rule asked for a background, per series."""
    maps = []
    for trace in traces:
        made = _map(trace)
        if made is None:
            account.warnings.append(
                f"{trace.series.source}: too few {trace.series.species} samples with a place for a map"
            )
        else:
            maps.append(made)
    return tuple(maps)


def _map(trace: GasTrace) -> GasMap | None:
    series, points = trace.series, trace.points
    value = series.value if trace.background is None else series.value - trace.background
    usable = np.isfinite(value) & ((series.flags & int(UNUSABLE)) == 0) & (points.status == 0)
    if np.count_nonzero(usable) < MIN_SAMPLES:
        return None
    x, y, value = points.x[usable], points.y[usable], value[usable]
    lines = flight_lines(x, y)
    width = DEFAULT_WIDTH_M
    if lines.max() > 0:
        every = float(_flown(x, y)[-1]) / CHOICE_SAMPLES
        means = _averaged([x, y, value, lines.astype(np.float64)], _stretches(x, y, lines, every))
        east, north, mean, line = means
        width, _ = choose_sigma(east, north, mean, np.rint(line).astype(np.int64), candidates_m=WIDTHS_M)
    # Samples that follow each other closely are one look: only as such may they count as support.
    x, y, value = _averaged([x, y, value], _stretches(x, y, lines, LOOKS_PER_WIDTH * width))
    area = (float(np.ptp(x)) + 6.0 * width) * (float(np.ptp(y)) + 6.0 * width)
    return kernel_map(
        x,
        y,
        value,
        species=series.species,
        unit=series.unit,
        crs=points.crs,
        cell_m=max(CELL_M, np.ceil(np.sqrt(area / MAX_MAP_CELLS) * 2.0) / 2.0),
        kernel=Kernel(width),
    )


def _flown(x: Floats, y: Floats) -> Floats:
    """Return the distance along the track, m."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])


def _stretches(x: Floats, y: Floats, lines: NDArray[np.int64], every_m: float) -> NDArray[np.int64]:
    """Return a number for each sample: those of one line within *every_m* share it."""
    piece = np.floor(_flown(x, y) / max(every_m, 1e-9)).astype(np.int64)
    return np.asarray(
        np.cumsum((np.diff(piece, prepend=piece[0]) != 0) | (np.diff(lines, prepend=lines[0]) != 0))
    )


def _averaged(columns: Sequence[Floats], member: NDArray[np.int64]) -> list[Floats]:
    count = np.bincount(member)
    return [np.asarray(np.bincount(member, column) / count) for column in columns]
