"""One pass over a cube: the scores of every pixel for every target, from the numbers of the file.

A line of a file is already (bands, samples), so nothing is transposed: dark signal, gain and the mean
background are taken off while the numbers are turned to float32, and one matrix holds whitening and targets.
A line's pixels and products stay in the processor's cache. Lines are grouped by their number in the cube,
never by block, and every group is multiplied in one piece by one thread: the scores do not depend on the size
of blocks or the number of workers, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import share_out, worker_count
from dronesense.detect.background import Background
from dronesense.detect.detectors import NONE, Detector, Products, Scorer
from dronesense.model import DetectRule, SpectralCube
from dronesense.model.cube import Folded, fold

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.uint8]
Index = slice | NDArray[np.int64]
Told = Callable[[int], object]
"""Takes how many lines of a cube are done."""

PIXELS_AT_ONCE: Final = 1536
"""Pixels multiplied at once, at most: with 270 bands they take 1.7 MB. Of fewer, threads wait more for each
other than the processor's cache brings."""
WHITENING_PARTS: Final = 6
"""A triangular matrix is applied in this many row blocks, without the empty columns of each."""
WORKERS: Final = 2
"""Threads that multiply: what reading and memory can feed."""
LINES_PER_BLOCK: Final = 8
"""Lines read at once where a line holds enough pixels."""
TAIL_PIXELS: Final = 1 << 19
"""Pixels that a background's tail is learned from, at most: bands of lines spread evenly over the cube."""
TAIL_LINES: Final = 64
"""Lines of such a band."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One rule, ready to be computed.

    Parameters
    ----------
    target, sigma : (k,) float64
        Signature and its standard uncertainty in the bands of `background`.
    matched : (k,) float64
        Times a pixel minus the mean background: the filled fraction.
    contrast : float
        Squared Mahalanobis distance of the target from the mean background.
    siblings : tuple of Task
        One for each further signature of the same target. A pixel takes the best score of all; with a
        :attr:`Detector.joint` detector all share one scorer.
    """

    rule: DetectRule
    detector: Detector
    scorer: Scorer
    background: Background
    target: Doubles
    sigma: Doubles
    matched: Doubles
    contrast: float
    notes: tuple[str, ...]
    siblings: tuple[Task, ...] = ()

    @property
    def family(self) -> tuple[Task, ...]:
        """The task and its siblings."""
        return (self, *self.siblings)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Maps of every task.

    Parameters
    ----------
    score, fraction : (tasks, rows, cols) float32
        NaN where not valid.
    energy : list of (t, cols) float32
        Squared Mahalanobis distance in the lines `tail_rows`, one map for each task; tasks of the same bands
        share one.
    tail_rows : (t,) int64
    variant : list of (rows, cols) uint8, or None
        For each task with siblings, which of its family score and fraction are of.
    """

    score: Floats
    fraction: Floats
    energy: list[Floats]
    tail_rows: NDArray[np.int64]
    variant: list[Places | None]


def score_cube(
    cube: SpectralCube,
    tasks: Sequence[Task],
    *,
    budget_bytes: int,
    workers: int = WORKERS,
    told: Told | None = None,
) -> Scores:
    """Run once over *cube* and return the maps of *tasks*.

    Parameters
    ----------
    budget_bytes : int
        For the blocks that are alive at a time.
    workers : int
        Threads, at most as many as there are processors.
    told : callable, optional
        Told how many lines have been read, by another thread.
    """
    rows, _, cols = cube.shape
    source = fold(cube.source)
    tail_rows = _tail_rows(rows, cols)
    groups: dict[bytes, list[int]] = {}
    for i, task in enumerate(tasks):
        groups.setdefault(task.background.bands.tobytes(), []).append(i)
    maps = np.empty((len(tasks), rows, cols), dtype=np.float32)
    fractions = np.empty_like(maps)
    energy: list[Floats] = [NONE] * len(tasks)
    variant = [np.empty((rows, cols), dtype=np.uint8) if task.siblings else None for task in tasks]
    plans = []
    for members in groups.values():
        shared = np.empty((len(tail_rows), cols), dtype=np.float32)
        for i in members:
            energy[i] = shared
        owner = np.array([i for i in members for _ in tasks[i].family])
        plans.append(_Plan(source, [each for i in members for each in tasks[i].family], owner, shared, cols))
    at = np.full(rows, -1, dtype=np.int64)
    at[tail_rows] = np.arange(len(tail_rows))
    target = _Maps(maps, fractions, variant, at)
    count = worker_count(workers)
    step = _lines_per_block(cube, plans[0].lines, budget_bytes // (count + 2))
    share_out(_blocks(source, rows, step, told), [_Worker(plans, target) for _ in range(count)])
    return Scores(maps, fractions, energy, tail_rows, variant)


def _tail_rows(rows: int, cols: int) -> NDArray[np.int64]:
    """Return the lines that tails are learned from: all, or bands of lines spread evenly."""
    if rows * cols <= TAIL_PIXELS:
        return np.arange(rows)
    bands = max(1, TAIL_PIXELS // (cols * TAIL_LINES))
    first = np.linspace(0, rows - TAIL_LINES, bands).astype(np.int64)
    return np.unique(np.clip(first[:, None] + np.arange(TAIL_LINES), 0, rows - 1))


def _lines_per_block(cube: SpectralCube, group: int, room: int) -> int:
    """Return how many lines to read at a time: some groups, as far as there is room."""
    _, bands, cols = cube.shape
    wanted = max(LINES_PER_BLOCK, group)
    return max(group, min(wanted, room // (bands * cols * 4)) // group * group)


def _blocks(
    source: Folded, rows: int, step: int, told: Told | None
) -> Iterator[tuple[int, NDArray[np.generic], Mask]]:
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        yield start, *source.read(start, stop)
        if told is not None:
            told(stop)


@dataclass(frozen=True, slots=True, eq=False)
class _Maps:
    """Where the results of all plans go; `tail_place` (rows,): place of a line among the tail's, or -1."""

    score: Floats
    fraction: Floats
    variant: list[Places | None]
    tail_place: NDArray[np.int64]


class _Plan:
    """The matrices of all tasks that use the same bands, and the numbers that are taken off the file's.

    `members` (n,): the map that each of the tasks goes into, siblings one after the other.
    """

    def __init__(
        self, source: Folded, tasks: Sequence[Task], members: NDArray[np.int64], energy: Floats, cols: int
    ) -> None:
        background = tasks[0].background
        self.tasks, self.members, self.energy = tasks, members, energy
        self.rows_of_maps = _as_slice(members)
        self.lines = max(1, PIXELS_AT_ONCE // cols)
        self.width = min(cols, PIXELS_AT_ONCE)
        bands = background.bands
        k = self.k = len(bands)
        self.bands = slice(int(bands[0]), int(bands[-1]) + 1) if np.ptp(bands) == k - 1 else bands
        self.contrast = np.array([task.contrast for task in tasks])
        self.families = _families(tasks, members)
        self.values_asked = any(task.scorer.rows.size or task.scorer.needs for task in tasks)
        mean = background.mean.astype(np.float32)[:, None]
        self.mean = mean
        self.gain = None if source.gain is None else self._tiled(source.gain[self.bands])
        offset = None if source.offset is None else source.offset[self.bands]
        if self.values_asked:
            self.offset = None if offset is None else self._tiled(offset)
        else:
            self.offset = self._tiled(np.broadcast_to(-mean if offset is None else offset - mean, (k, cols)))
        self.repair = _repair(source, bands, mean[:, 0], centered=not self.values_asked)
        rounded = background.mean - mean[:, 0]
        if offset is not None and not self.values_asked:
            rounded = ((offset - mean) - (offset - background.mean[:, None])).mean(axis=1)
        self._stack(tasks, background, rounded)

    def _stack(self, tasks: Sequence[Task], background: Background, rounded: Doubles) -> None:
        """Stack whitening, matched filters and what the scorers ask for.

        Pixels come out too large by what rounding the mean to float32 has left, *rounded*. Where bands hardly
        vary on their own (a large condition number) it shows, so it is taken off the products: off the energy
        by one more row.
        """
        k = self.k
        white = background.whitening @ rounded
        self.energy_row, self.energy_rest = 2.0 * background.whitening.T @ white, np.float32(white @ white)
        self.fraction_rest = np.array([[task.matched @ rounded] for task in tasks], dtype=np.float32)
        self.matched = slice(k, k + len(tasks))
        idle = {i for each in self.families if each.joint for i in each.siblings()}
        scorers = [Scorer(task.scorer.score) if i in idle else task.scorer for i, task in enumerate(tasks)]
        more = [each.centered for each in scorers if each.centered.size]
        rows = [each.rows for each in scorers if each.rows.size]
        self.centered_of = _slices([len(each.centered) for each in scorers], start=self.matched.stop)
        self.rows_of = _slices([len(each.rows) for each in scorers], start=0)
        tail = np.concatenate([[task.matched for task in tasks], *more, [self.energy_row]])
        self.rows = np.concatenate(rows).astype(np.float32) if rows else np.empty((0, k), dtype=np.float32)
        edges = np.linspace(0, k, min(WHITENING_PARTS, k) + 1).astype(int).tolist()
        self.parts: list[tuple[slice, Floats]] = []
        for first, last in pairwise(edges):
            part = background.whitening[first:last, :last]
            end = last
            if last == k:
                part, end = np.concatenate([part, tail]), k + len(tail)
            self.parts.append((slice(first, end), np.ascontiguousarray(part, dtype=np.float32)))
        self.height = k + len(tail)
        plain: dict[str, list[int]] = {}
        for i, (task, scorer) in enumerate(zip(tasks, scorers, strict=True)):
            if scorer.plain and i not in idle:
                plain.setdefault(task.detector.name, []).append(i)
        self.plain = [
            (tasks[some[0]].scorer.score, _as_slice(some), _as_slice(self.members[some]))
            for some in plain.values()
        ]
        self.special = [i for i, each in enumerate(scorers) if not each.plain]

    def _tiled(self, values: Floats) -> Floats:
        return np.ascontiguousarray(np.tile(values, (1, self.lines)) if self.lines > 1 else values)


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """Tasks of one target: which of the plan's, which map, square roots of their contrasts (v, 1)."""

    tasks: slice
    place: int
    root: Floats
    joint: bool

    def nearest(self, fraction: Floats) -> NDArray[np.int64]:
        """Return which of the family explains most of each pixel, from the fractions (v, n)."""
        return np.asarray(np.argmax(fraction * self.root, axis=0))

    def siblings(self) -> range:
        """Return all of the family but the first."""
        return range(self.tasks.start + 1, self.tasks.stop)


def _families(tasks: Sequence[Task], members: NDArray[np.int64]) -> list[_Family]:
    """Return the tasks that share a map, where there is any with siblings."""
    places, first, count = np.unique(members, return_index=True, return_counts=True)
    if not np.any(count > 1):
        return []
    return [
        _Family(
            slice(start, start + n),
            place,
            np.sqrt(np.array([[each.contrast] for each in tasks[start : start + n]])).astype(np.float32),
            n > 1 and tasks[start].detector.joint,
        )
        for place, start, n in zip(places.tolist(), first.tolist(), count.tolist(), strict=True)
    ]


def _as_slice(index: Sequence[int] | NDArray[np.int64]) -> Index:
    """Return the slice of neighboring numbers: NumPy looks at and writes to it without copies."""
    first, n = int(index[0]), len(index)
    return slice(first, first + n) if list(index) == list(range(first, first + n)) else np.array(index)


def _slices(counts: Sequence[int], *, start: int) -> list[slice]:
    edges = np.cumsum([start, *counts]).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def _repair(
    source: Folded, bands: NDArray[np.int64], mean: Floats, *, centered: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats, Floats] | None:
    """Return place, column, lower and upper neighbor, share and constant of the elements to interpolate.

    Between values from which the mean has been taken, what is interpolated lacks a constant.
    """
    if not source.repair:
        return None
    assert source.share is not None
    place = np.full(int(max(part.max(initial=0) for part in (*source.repair, bands))) + 1, -1)
    place[bands] = np.arange(len(bands))
    band, col, below, above = source.repair
    low, high = place[below], place[above]
    used = place[band] >= 0
    # A neighbor may be a good band that this background does not use: the nearest used one stands in.
    low, high = np.where(low < 0, high, low), np.where(high < 0, low, high)
    used &= (low >= 0) & (high >= 0)
    band, col, low, high, share = place[band[used]], col[used], low[used], high[used], source.share[used]
    lacking = mean[low] + (mean[high] - mean[low]) * share - mean[band]
    return band, col, low, high, share, np.where(centered, lacking, np.float32(0.0)).astype(np.float32)


class _Worker:
    """Scores of one block after the other, in buffers of its own."""

    def __init__(self, plans: Sequence[_Plan], maps: _Maps) -> None:
        self.plans, self.maps = plans, maps
        width = max(plan.lines * plan.width for plan in plans)
        k = max(plan.k for plan in plans)
        self.values = np.empty((k, width), dtype=np.float32)
        self.centered = np.empty((k, width), dtype=np.float32)
        self.products = np.empty((max(plan.height for plan in plans), width), dtype=np.float32)
        several = max(len(plan.tasks) if plan.families else 0 for plan in plans)
        self.found = np.empty((several, width), dtype=np.float32)

    def __call__(self, block: tuple[int, NDArray[np.generic], Mask]) -> None:
        start, stored, valid = block
        with np.errstate(over="ignore", invalid="ignore"):  # infinite and missing values end as NaN
            for plan in self.plans:
                for first in range(0, len(stored), plan.lines):
                    lines = slice(first, min(first + plan.lines, len(stored)))
                    for left in range(0, stored.shape[2], plan.width):
                        cols = slice(left, min(left + plan.width, stored.shape[2]))
                        self._tile(plan, start + first, cols, stored[lines], valid[lines, cols])

    def _tile(self, plan: _Plan, row: int, cols: slice, stored: NDArray[np.generic], valid: Mask) -> None:
        """Score the columns *cols* of some lines, the first of which is line *row* of the cube."""
        g, n = valid.shape
        x = self._values(plan, cols, stored, g, n)
        d = x
        if plan.values_asked:
            d = self.centered[: plan.k, : g * n]
            np.subtract(x, plan.mean, out=d)
        out = self.products[: plan.height, : g * n]
        for rows, part in plan.parts:
            np.matmul(part, d[: min(rows.stop, plan.k)], out=out[rows])
        energy = np.einsum("bc,bc->c", out[: plan.k], out[: plan.k])
        energy -= out[-1] - plan.energy_rest
        fraction = out[plan.matched]
        fraction -= plan.fraction_rest
        usable = np.isfinite(energy) & valid.ravel()
        if not usable.all():
            fraction[:, ~usable] = np.nan
            energy[~usable] = np.nan
        lines = slice(row, row + g)
        if not plan.families:
            self.maps.fraction[plan.rows_of_maps, lines, cols] = fraction.reshape(-1, g, n)
        place = self.maps.tail_place[lines]
        kept = place >= 0
        if kept.any():
            plan.energy[place[kept], cols] = energy.reshape(g, n)[kept]
        for score, some, where in plan.plain:
            products = Products(fraction[some], energy, plan.contrast[some, None])
            self._keep(plan, some, where, score(products), lines, cols)
        if plan.special:
            self._special(plan, x, out, energy, lines, cols)
        if plan.families:
            self._best(plan, fraction, lines, cols)

    def _keep(
        self, plan: _Plan, some: int | Index, where: int | Index, score: Floats, lines: slice, cols: slice
    ) -> None:
        """Put the scores (.., n) of *some* tasks into the maps *where*, or aside until variants are known."""
        if plan.families:
            self.found[some, : score.shape[-1]] = score
        else:
            height = lines.stop - lines.start
            self.maps.score[where, lines, cols] = score.reshape(*score.shape[:-1], height, -1)

    def _best(self, plan: _Plan, fraction: Floats, lines: slice, cols: slice) -> None:
        """Put the best score of the variants of each target into its map, with the fraction of that one."""
        shape = (lines.stop - lines.start, -1)
        for each in plan.families:
            own, score = fraction[each.tasks], self.found[each.tasks, : fraction.shape[1]]
            best = each.nearest(own) if each.joint else np.argmax(score, axis=0)
            score = score[0] if each.joint else np.take_along_axis(score, best[None], axis=0)[0]
            self.maps.score[each.place, lines, cols] = score.reshape(shape)
            own = np.take_along_axis(own, best[None], axis=0)[0]
            self.maps.fraction[each.place, lines, cols] = own.reshape(shape)
            which = self.maps.variant[each.place]
            if which is not None:
                which[lines, cols] = best.reshape(shape)

    def _values(self, plan: _Plan, cols: slice, stored: NDArray[np.generic], g: int, n: int) -> Floats:
        """Return the pixels (k, g n): calibrated, and minus the mean where nobody asks for their values."""
        x = self.values[: plan.k, : g * n]
        for i in range(g):
            np.copyto(x[:, i * n : (i + 1) * n], stored[i][plan.bands, cols], casting="unsafe")
        part = cols if plan.lines == 1 else slice(0, g * n)
        if plan.gain is not None:
            np.multiply(x, plan.gain[:, part], out=x)
        if plan.offset is not None:
            np.add(x, plan.offset[:, part], out=x)
        if plan.repair is not None:
            band, col, low, high, share, lacking = plan.repair
            here = (col >= cols.start) & (col < cols.stop)
            for i in range(g):
                at = col[here] - cols.start + i * n
                below, above = x[low[here], at], x[high[here], at]
                x[band[here], at] = below + (above - below) * share[here] + lacking[here]
        return x

    def _special(
        self, plan: _Plan, x: Floats, out: Floats, energy: Floats, lines: slice, cols: slice
    ) -> None:
        """Ask the scorers that need more than fraction and energy, one by one."""
        rows = plan.rows @ x if len(plan.rows) else NONE
        norm = np.einsum("bc,bc->c", x, x)
        missing = np.isnan(energy)
        together = {each.tasks.start: each for each in plan.families if each.joint}
        for i in plan.special:
            fraction = out[plan.matched][i]
            if i in together:
                own = out[plan.matched][together[i].tasks]
                fraction = np.take_along_axis(own, together[i].nearest(own)[None], axis=0)[0]
            products = Products(
                fraction,
                energy,
                plan.tasks[i].contrast,
                rows[plan.rows_of[i]],
                out[plan.centered_of[i]],
                norm,
                x,
            )
            score = np.asarray(plan.tasks[i].scorer.score(products), dtype=np.float32)
            score[missing] = np.nan
            self._keep(plan, i, int(plan.members[i]), score, lines, cols)
