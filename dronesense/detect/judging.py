"""Which regions can be the target? The test against look-alikes for all regions of a search, read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import share_out, worker_count
from dronesense.detect import feasibility
from dronesense.detect.feasibility import Model
from dronesense.detect.regions import Region
from dronesense.detect.scoring import WORKERS, Task
from dronesense.detect.stored import spectra
from dronesense.model import SpectralCube
from dronesense.model.cube import Folded, fold

JUDGED_PIXELS: Final = 3
"""Pixels of a region, filled most nearly whole, that are tested; one that can be the target is enough."""
JUDGED_SHARE: Final = 0.8
"""They must be filled at least this share of the fullest one."""
RING: Final = (2, 4)
"""What is around a region lies farther than the first, at most the second number of pixels: past the blur."""
MIN_RING_PIXELS: Final = 8
"""With fewer, the background of the whole scene is used alone."""
MAX_RING_PIXELS: Final = 80
"""Taken around a region: those around a 3 x 3 region with its rim number 120."""
CASES_AT_ONCE: Final = 4096
"""Regions whose seeds are in memory at a time."""
RINGS_AT_ONCE: Final = 32
"""Regions whose surroundings are in memory at a time."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A region to be judged.

    Parameters
    ----------
    task : int
        Number of its task.
    place : int
        Where its verdict goes.
    region : Region
    seeds : (n, 2) int64
        Its fullest pixels.
    fill : float
        Of the fullest pixel, by the matched filter.
    score : (rows, cols) float32
        Map of its task.
    threshold : float
        Below, a pixel is background.
    """

    task: int
    place: int
    region: Region
    seeds: NDArray[np.int64]
    fill: float
    score: Floats
    threshold: float

    def ring(self) -> NDArray[np.int64]:
        """Return the (n, 2) background pixels around the region."""
        return _ring(self.region, self.score, self.threshold)


def case(task: int, place: int, region: Region, *, score: Floats, fraction: Floats, threshold: float) -> Case:
    """Choose the pixels that decide about *region*."""
    seeds = _fullest(region, fraction)
    fill = float(fraction[tuple(seeds[0])])
    return Case(task, place, region, seeds, fill, score, threshold)


def judge(
    cube: SpectralCube, tasks: Sequence[Task], cases: Sequence[Case], *, model_error: float
) -> NDArray[np.bool_]:
    """Return which regions can be the target: a pixel of theirs, before the scene and before what is around.

    Parameters
    ----------
    tasks : sequence of Task
        Those that :attr:`Case.task` counts.
    cases : sequence of Case
        Each with a place of its own, from 0.
    model_error : float
        See :func:`dronesense.detect.feasibility.prepare`.
    """
    verdict = np.zeros(len(cases), dtype=np.bool_)
    if not cases:
        return verdict
    stretch: dict[bytes, tuple[float, float]] = {}
    models: dict[int, Model] = {}
    for i in sorted({each.task for each in cases}):
        bands = tasks[i].background.bands
        if bands.tobytes() not in stretch:
            stretch[bands.tobytes()] = feasibility.stretches(tasks[i].background)
        models[i] = feasibility.prepare(
            tasks[i].background,
            tasks[i].target,
            sigma=tasks[i].sigma,
            center_nm=cube.bands.center_nm[bands],
            model_error=model_error,
            stretch=stretch[bands.tobytes()],
        )
    source = fold(cube.source)
    ordered = sorted(cases, key=lambda each: (int(each.seeds[0, 0]), each.place))
    likely: list[_Likely] = []
    for start in range(0, len(ordered), CASES_AT_ONCE):
        likely += _before_the_scene(source, ordered[start : start + CASES_AT_ONCE], tasks, models)

    def near(some: tuple[list[_Likely], Floats]) -> None:
        group, values = some
        edges = np.cumsum([len(each.seeds) + len(each.ring) for each in group])[:-1]
        for each, part in zip(group, np.split(values, edges), strict=True):
            used = part[:, tasks[each.case.task].background.bands]
            verdict[each.case.place] = _before_the_ring(each, used, models[each.case.task])

    verdict[[each.case.place for each in likely if len(each.ring) < MIN_RING_PIXELS]] = True
    ringed = [each for each in likely if len(each.ring) >= MIN_RING_PIXELS]
    workers = [near] * worker_count(WORKERS)
    for i, model in models.items():
        share_out(_read(source, [each for each in ringed if each.case.task == i]), workers)
        model.forget()
    return verdict


@dataclass(frozen=True, slots=True, eq=False)
class _Likely:
    """A case of which *seeds* (n, 2) can be the target before the scene; *ring* (m, 2) is around it."""

    case: Case
    seeds: NDArray[np.int64]
    ring: NDArray[np.int64]


def _before_the_scene(
    source: Folded, some: Sequence[Case], tasks: Sequence[Task], models: dict[int, Model]
) -> list[_Likely]:
    """Return the cases of which some seeds can be the target in front of the whole scene."""
    values = spectra(source, np.concatenate([each.seeds for each in some]))
    owner = np.repeat(np.arange(len(some)), [len(each.seeds) for each in some])
    task = np.array([each.task for each in some])[owner]
    passed = np.zeros(len(values), dtype=np.bool_)

    def test(i: int) -> None:
        mine = task == i
        passed[mine] = feasibility.feasible(values[mine][:, tasks[i].background.bands], models[i])

    share_out(np.unique(task).tolist(), [test] * worker_count(WORKERS))
    verdicts = np.split(passed, np.flatnonzero(np.diff(owner)) + 1)
    kept = [(each, each.seeds[keep]) for each, keep in zip(some, verdicts, strict=True) if keep.any()]
    return [_Likely(each, seeds, each.ring()) for each, seeds in kept]


def _before_the_ring(each: _Likely, used: Floats, model: Model) -> bool:
    """Return whether one of the seeds, the first of *used*, can be the target before the pixels around."""
    pixels, ring = used[: len(each.seeds)], used[len(each.seeds) :].astype(np.float64)
    return bool(feasibility.feasible(pixels, model, around=ring, guess=min(each.case.fill, 1.0)).any())


def _read(source: Folded, cases: Sequence[_Likely]) -> Iterator[tuple[list[_Likely], Floats]]:
    """Yield some cases at a time and the spectra of their seeds and rings; their lines are read once."""
    for start in range(0, len(cases), RINGS_AT_ONCE):
        some = list(cases[start : start + RINGS_AT_ONCE])
        yield (
            some,
            spectra(source, np.concatenate([part for each in some for part in (each.seeds, each.ring)])),
        )


def _ring(region: Region, score: Floats, threshold: float) -> NDArray[np.int64]:
    """Return the background pixels (n, 2) around *region*, some of them evenly where they are many."""
    low = np.maximum(region.index.min(axis=0) - RING[1], 0)
    high = np.minimum(region.index.max(axis=0) + RING[1] + 1, score.shape)
    own = np.zeros(high - low, dtype=np.bool_)
    own[tuple((region.index - low).T)] = True
    plain = score[low[0] : high[0], low[1] : high[1]] < threshold
    ring = np.argwhere(_grown(own, RING[1]) & ~_grown(own, RING[0]) & plain) + low
    return np.asarray(ring[:: max(1, -(-len(ring) // MAX_RING_PIXELS))])


def _grown(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return where a pixel of *mask* lies within *reach* rows and columns."""
    for _ in range(2):
        wide = mask.copy()
        for step in range(1, min(reach, len(mask) - 1) + 1):
            wide[step:] |= mask[:-step]
            wide[:-step] |= mask[step:]
        mask = wide.T
    return mask


def _fullest(region: Region, fraction: Floats) -> NDArray[np.int64]:
    """Return the (k, 2) seeds of *region* that are filled most nearly whole: more than whole is a glint."""
    seeds = region.index[: region.seeds]
    fill = fraction[seeds[:, 0], seeds[:, 1]]
    nearness = np.minimum(fill, 2.0 - fill)
    best = np.argsort(-nearness, kind="stable")[:JUDGED_PIXELS]
    most = float(nearness[best[0]])
    return np.asarray(seeds[best[nearness[best] >= most - (1.0 - JUDGED_SHARE) * abs(most)]])
