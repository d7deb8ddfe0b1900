"""Gas maps: the series of one species, averaged along the track, laid out by a kernel chosen by the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import one_blas_thread
from dronesense.calibrate import wind as winds
from dronesense.hotspots.kernel_choice import choose_kernel
from dronesense.hotspots.kernel_map import LOOK_WIDTHS, MARGIN_SIGMAS, Grid, Kernel, grid_around, kernel_map
from dronesense.hotspots.kriging import MIN_PLACES
from dronesense.hotspots.kriging_map import kriging_map
from dronesense.hotspots.legs import flight_lines
from dronesense.model import Flag, GasMap, GasTrace, Wind
from dronesense.pipeline.account import Account
from dronesense.pipeline.site import on_grid

CELL_M: Final = 1.0
MAX_MAP_CELLS: Final = 1_000_000
"""Larger areas get coarser cells: a map of a field, not of the country."""
WIDTHS_M: Final = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Kernel widths that are tried; wider ones say nothing about places."""
DEFAULT_WIDTH_M: Final = 4.0
"""Where one flight line alone leaves nothing to choose by."""
STRETCHES_S: Final = (0.25, 0.5, 1.0, 2.0)
"""Wind scales that are tried: how long gas is carried along before it is met, s."""
DEFAULT_STRETCH_S: Final = 0.5
CHOICE_SAMPLES: Final = 2000
"""Averages from which the kernel is chosen, at most: pairs of them are held at once."""
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
SEED: Final = 0
"""Of the draws of a variogram: the same flight gives the same map."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    """Averages along the track: places, readings, lines, noise, and the wind at each (m/s toward).

    The noise is that of one reading: neighbors share most of theirs, so their average is hardly better.
    """

    x: Floats
    y: Floats
    value: Floats
    line: Ints
    sigma: float
    wind: tuple[Floats, Floats] | None

    def averaged(self, every_m: float) -> _Looks:
        """Return the averages of what lies within *every_m* along a line."""
        piece = np.floor(_flown(self.x, self.y) / max(every_m, 1e-9)).astype(np.int64)
        ends = np.diff(piece, prepend=piece[0]) != 0
        member = np.cumsum(ends | (np.diff(self.line, prepend=self.line[0]) != 0))
        count = np.bincount(member)

        def mean(column: Floats) -> Floats:
            return np.asarray(np.bincount(member, column) / count)

        wind = None if self.wind is None else (mean(self.wind[0]), mean(self.wind[1]))
        line = self.line[np.searchsorted(member, np.arange(count.size))]
        return _Looks(mean(self.x), mean(self.y), mean(self.value), line, self.sigma, wind)


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """Kernels that suit the readings, and by what they were chosen."""

    plain: Kernel
    stretched: Kernel | None
    about_plain: dict[str, object]
    about_stretched: dict[str, object]


@one_blas_thread()
def gas_maps(traces: Sequence[GasTrace], account: Account, *, wind: Wind | None = None) -> tuple[GasMap, ...]:
    """Return the maps of the enhancement, or of the reading where no rule asked for a background, per series.

    By Kernel DM+V, the same stretched along the wind where that is known, and by kriging, all on one grid; no
    cell has a value where Kernel DM+V has too little support by samples.
    """
    maps: list[GasMap] = []
    for trace in traces:
        looks = _looks(trace, wind)
        if looks is None:
            account.warnings.append(
                f"{trace.series.source}: too few {trace.series.species} samples with a place for a map"
            )
        else:
            maps += _maps(looks, trace)
    account.maps(maps)
    return tuple(maps)


def _looks(trace: GasTrace, wind: Wind | None) -> _Looks | None:
    """Return the usable samples; None if they are too few."""
    series, points = trace.series, trace.points
    value = series.value if trace.background is None else series.value - trace.background
    usable = np.isfinite(value) & ((series.flags & int(UNUSABLE)) == 0) & (points.status == 0)
    if np.count_nonzero(usable) < MIN_SAMPLES:
        return None
    x, y = points.x[usable], points.y[usable]
    carried = None
    if wind is not None:
        carried = on_grid(*winds.at(wind, series.time[usable]), x, y, points.crs)
    noise = series.sigma[usable]
    sigma = float(np.nanmedian(noise)) if np.isfinite(noise).any() else 0.0
    return _Looks(x, y, value[usable], flight_lines(x, y), sigma, carried)


def _maps(samples: _Looks, trace: GasTrace) -> list[GasMap]:
    choice = _chosen(samples)
    width = choice.plain.sigma_m
    # Samples that follow each other closely are one look: only as such may they count as support.
    looks = samples.averaged(LOOK_WIDTHS * width)
    what: dict[str, Any] = {"species": trace.series.species, "unit": trace.series.unit}
    what["grid"] = _grid(looks, width, trace.points.crs)
    where = (looks.x, looks.y, looks.value)
    plain = kernel_map(*where, **what, kernel=choice.plain)
    inside = np.isfinite(plain.mean)
    maps = [_with(plain, choice.about_plain)]
    if choice.stretched is not None:
        blown = kernel_map(*where, **what, kernel=choice.stretched, wind=looks.wind, inside=inside)
        maps.append(_with(blown, choice.about_stretched))
    if looks.value.size >= MIN_PLACES and float(np.ptp(looks.value)) > 0.0:
        spacing = LOOK_WIDTHS * width
        rng = np.random.default_rng(SEED)
        maps.append(
            kriging_map(
                *where,
                looks.line,
                **what,
                inside=inside,
                width_m=width,
                spacing_m=spacing,
                rng=rng,
                sigma=looks.sigma,
            )
        )
    return maps


def _chosen(samples: _Looks) -> _Choice:
    """Return the kernels by which flight lines that were left out are predicted best."""
    windy = samples.wind is not None and float(np.max(np.hypot(*samples.wind))) > 0.0
    if samples.line.max() == 0:
        default: dict[str, object] = {"chosen_by": "default: one flight line alone"}
        stretched = Kernel(DEFAULT_WIDTH_M, DEFAULT_STRETCH_S) if windy else None
        return _Choice(Kernel(DEFAULT_WIDTH_M), stretched, default, default)
    spacing = max(float(_flown(samples.x, samples.y)[-1]) / CHOICE_SAMPLES, LOOK_WIDTHS * WIDTHS_M[0])
    means = samples.averaged(spacing)
    seen = (means.x, means.y, means.value, means.line)
    plain, scores = choose_kernel(*seen, candidates=[Kernel(width) for width in WIDTHS_M], spacing_m=spacing)
    chosen_by: dict[str, object] = {"chosen_by": "flight lines left out", "nats_per_sample": min(scores)}
    if not windy:
        return _Choice(plain, None, chosen_by, {})
    tried = [Kernel(plain.sigma_m, stretch) for stretch in STRETCHES_S]
    stretched, blown = choose_kernel(*seen, candidates=tried, wind=means.wind, spacing_m=spacing)
    gain = {"nats_per_sample": min(blown), "nats_gained_by_wind": min(scores) - min(blown)}
    return _Choice(plain, stretched, chosen_by, {**chosen_by, **gain})


def _grid(looks: _Looks, width_m: float, crs: str) -> Grid:
    margin = MARGIN_SIGMAS * width_m
    area = (float(np.ptp(looks.x)) + 2.0 * margin) * (float(np.ptp(looks.y)) + 2.0 * margin)
    cell = max(CELL_M, float(np.ceil(np.sqrt(area / MAX_MAP_CELLS) * 2.0) / 2.0))
    return grid_around(looks.x, looks.y, cell_m=cell, margin_m=margin, crs=crs)


def _with(made: GasMap, about: dict[str, object]) -> GasMap:
    return replace(made, parameters={**made.parameters, **about})


def _flown(x: Floats, y: Floats) -> Floats:
    """Return the distance along the track, m."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
