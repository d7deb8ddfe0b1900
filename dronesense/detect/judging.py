"""Which regions can be the target? The test against look-alikes for all regions of a search, read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import share_out, worker_count
from dronesense.detect import feasibility
from dronesense.detect.feasibility import Model
from dronesense.detect.regions import Region
from dronesense.detect.scoring import WORKERS, Task
from dronesense.detect.stored import spectra
from dronesense.detect.weighing import Group
from dronesense.model import SpectralCube
from dronesense.model.cube import fold

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
CASES_AT_ONCE: Final = 1024
"""Regions of a target whose seeds are looked at together."""
RINGS_AT_ONCE: Final = 32
"""Regions whose surroundings are in memory at a time."""

Floats = NDArray[np.float32]
T = TypeVar("T")


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
    by_task: dict[int, list[Case]] = {i: [] for i in models}
    for each in sorted(cases, key=lambda each: (int(each.seeds[0, 0]), each.place)):
        by_task[each.task].append(each)
    likely: dict[int, _Likely] = {}

    def before_the_scene(some: Sequence[Case]) -> None:
        i, at = some[0].task, [each.seeds for each in some]
        guess = np.repeat([each.fill for each in some], [len(each) for each in at])
        seeds = spectra(source, np.concatenate(at))[:, tasks[i].background.bands]
        passed = feasibility.feasible(seeds, models[i], guess=guess)
        for each, keep in zip(some, np.split(passed, _edges(at)), strict=True):
            if keep.any():
                likely[each.place] = _Likely(each, each.seeds[keep], each.ring())

    def near(some: Sequence[_Likely]) -> None:
        i = some[0].case.task
        mean, bands = models[i].mean, tasks[i].background.bands
        at = [part for each in some for part in (each.seeds, each.ring)]
        values = np.split(spectra(source, np.concatenate(at))[:, bands], _edges(at))
        groups = [
            Group.of(seeds, mean, ring.astype(np.float64))
            for seeds, ring in zip(values[::2], values[1::2], strict=True)
        ]
        guesses = [min(each.case.fill, 1.0) for each in some]
        verdict[[each.case.place for each in some]] = feasibility.any_feasible(groups, models[i], guesses)

    in_turn(by_task.values(), before_the_scene, at_once=CASES_AT_ONCE)
    verdict[[place for place, each in likely.items() if len(each.ring) < MIN_RING_PIXELS]] = True
    ringed = [
        [likely[each.place] for each in family if each.place in likely and not verdict[each.place]]
        for family in by_task.values()
    ]
    in_turn(ringed, near, at_once=RINGS_AT_ONCE, done=lambda some: models[some[0].case.task].forget())
    return verdict


@dataclass(frozen=True, slots=True, eq=False)
class _Likely:
    """A case of which *seeds* (n, 2) can be the target before the scene; *ring* (m, 2) is around it."""

    case: Case
    seeds: NDArray[np.int64]
    ring: NDArray[np.int64]


def in_turn(
    families: Iterable[Sequence[T]],
    work: Callable[[Sequence[T]], object],
    *,
    at_once: int,
    done: Callable[[Sequence[T]], object] | None = None,
) -> None:
    """Share out the families in their order, some members at a time; *done* is called after the last of each.

    So several small families keep all threads busy, and little of what a family needs is alive at a time.
    """
    groups = [
        [family[first : first + at_once] for first in range(0, len(family), at_once)] for family in families
    ]
    left = [len(each) for each in groups]
    turn = threading.Lock()

    def worker(item: tuple[int, Sequence[T]]) -> None:
        number, some = item
        work(some)
        with turn:
            left[number] -= 1
            last = left[number] == 0
        if last and done is not None:
            done(some)

    items = [(number, some) for number, family in enumerate(groups) for some in family]
    share_out(items, [worker] * worker_count(WORKERS))


def _edges(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.cumsum([len(each) for each in parts])[:-1]


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
