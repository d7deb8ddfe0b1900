"""Which of several signatures explains a region best? A region is reported for that one, with the margin.

Every signature is put in the target's place, ``x = (1 - f) b + f g t + noise``, each with its own best fill f
and gain g, and weighed with the same covariance (:mod:`dronesense.detect.feasibility`): a generalized
likelihood ratio test (Kelly 1986, doi 10.1109/TAES.1986.310745, of two signals instead of signal and none).
The margin is twice the logarithm of the ratio, summed over the fullest pixels of the region. Only rivals that
explain a good part of it before the scene alone are looked at that closely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import feasibility
from dronesense.detect import tail as tails
from dronesense.detect.feasibility import FILL_GRID, GAIN_LIMITS, Model
from dronesense.detect.judging import CASES_AT_ONCE, MIN_RING_PIXELS, RINGS_AT_ONCE, Case, in_turn
from dronesense.detect.regions import RIM_PROBABILITY
from dronesense.detect.scoring import Task
from dronesense.detect.stored import spectra
from dronesense.detect.weighing import Group, weigh
from dronesense.model import Detection, ScoreMap, SpectralCube
from dronesense.model.cube import fold
from dronesense.model.detection import false_discovery_rates

Doubles = NDArray[np.float64]

DECISIVE: Final = 2.0
"""Margin that decides: a likelihood ratio of e. Within it both explain the region, which is flagged."""
CHALLENGE_SHARE: Final = 0.5
"""A rival that explains less of a region than this share of what its own signature explains, before the scene
alone, is no rival: nothing around the region is looked at."""
FILL_REACH: Final = 0.3
"""Fills this near to the matched filter's are tried."""


@dataclass(frozen=True, slots=True)
class Contest:
    """The best rival of a region's signature.

    Parameters
    ----------
    rival : str
        Its name; empty when there is none.
    margin : float
        Twice the log-likelihood ratio, positive where the region's own signature explains more; inf without
        a rival.
    """

    rival: str = ""
    margin: float = float("inf")

    @property
    def lost(self) -> bool:
        """True if the rival explains the region decidedly better."""
        return self.margin < -DECISIVE

    @property
    def tied(self) -> bool:
        """True if neither does."""
        return abs(self.margin) <= DECISIVE


@dataclass(frozen=True, slots=True, eq=False)
class Rivals:
    """Signatures that compete with a task's own: *names*, and *values* (j, k) in its bands.

    `own` (v, k): other signatures of the task's own target. The best of all stands against the rivals.
    """

    names: tuple[str, ...]
    values: Doubles
    own: Doubles = field(default_factory=lambda: np.empty((0, 0)))


def rivals_of(
    task: Task, names: Sequence[str], known: Sequence[tuple[Doubles, Doubles, NDArray[np.bool_]]]
) -> Rivals:
    """Return which signatures compete with that of *task*: of other names, other values, in all its bands.

    Parameters
    ----------
    names : sequence of str
    known : sequence of (value, sigma, covered)
        Each in all bands of the cube, as :func:`dronesense.detect.matching.signature_in_bands` gives them.
    """
    bands = task.background.bands
    found: dict[bytes, tuple[str, Doubles]] = {}
    for name, (value, _, covered) in zip(names, known, strict=True):
        mine = np.asarray(value[bands], dtype=np.float64)
        if name != task.rule.target and covered[bands].all() and not np.array_equal(mine, task.target):
            found.setdefault(mine.tobytes(), (name, mine))
    values = np.array([value for _, value in found.values()]).reshape(-1, len(bands))
    return Rivals(tuple(name for name, _ in found.values()), values)


def margins(
    groups: Sequence[Group], model: Model, own: Doubles, rivals: Doubles, *, guesses: Sequence[float]
) -> Doubles:
    """Return by how much *own* explains the pixels of each group better than each of *rivals*.

    Parameters
    ----------
    groups : sequence of Group
        The pixels of a region each; all near pixels of their own, or none.
    model : Model
        Of *own* in front of the background.
    own : (k,) float64
    rivals : (j, k) float64
    guesses : sequence of float
        For each the fill of its fullest pixel by the matched filter.

    Returns
    -------
    (g, j) float64
        Twice the log-likelihood ratio; negative where the rival explains more.
    """
    signatures = np.concatenate([own[None], rivals])
    most = max(len(each.pixels) for each in groups)
    best = np.full((len(groups), most, len(signatures)), np.inf)
    likely = np.clip(guesses, 0.0, 1.0)
    for i, fill in enumerate(FILL_GRID):
        mine = np.flatnonzero(np.abs(fill - likely) <= FILL_REACH)
        if fill == 0.0 or not len(mine):
            continue
        step = model.step(i, near=groups[0].near)
        found = weigh(
            [groups[at] for at in mine.tolist()], fill, step.root, step.root.whitened(fill * signatures)
        )
        norm = np.einsum("gvv->gv", found.gram)[:, None]
        gain = np.clip(found.along / norm, *GAIN_LIMITS)
        rest = found.own[..., None] - gain * (2.0 * found.along - gain * norm)
        n = rest.shape[1]
        best[mine, :n] = np.minimum(best[mine, :n], rest + found.log_det[:, None, None])
    present = np.arange(most) < np.array([[len(each.pixels)] for each in groups])
    cost = np.where(present[..., None], best, 0.0).sum(axis=1)
    return np.asarray(cost[:, 1:] - cost[:, :1])


def explained(pixels: Doubles, task: Task, signatures: Doubles) -> Doubles:
    """Return how much of each of *pixels* each of *signatures* explains in front of the scene, (n, j).

    The squared matched-filter signal-to-noise ratio; 0 for a negative fill. The difference of two is twice
    the logarithm of their likelihood ratio where nothing but the scene is known.
    """
    known = task.background
    white = (signatures - known.mean) @ known.whitening.T
    along = np.maximum((pixels - known.mean) @ (white @ known.whitening).T, 0.0)
    return np.asarray(along**2 / np.maximum(np.einsum("jk,jk->j", white, white), 1e-300))


def settle(
    cube: SpectralCube,
    tasks: Sequence[Task],
    cases: Sequence[Case],
    rivals: Sequence[Rivals],
    *,
    model_error: float,
) -> list[Contest]:
    """Return the best rival of each case and the margin over it.

    Parameters
    ----------
    cases : sequence of Case
        Regions that can be their target.
    rivals : sequence of Rivals
        Of each of *tasks*.
    model_error : float
        See :func:`dronesense.detect.feasibility.prepare`.
    """
    result = [Contest()] * len(cases)
    models: dict[int, Model] = {}
    for i in sorted({each.task for each in cases if rivals[each.task].names}):
        models[i] = feasibility.prepare(
            tasks[i].background,
            tasks[i].target,
            sigma=tasks[i].sigma,
            center_nm=cube.bands.center_nm[tasks[i].background.bands],
            model_error=model_error,
            stretch=(1.0, 1.0),
        )
    source = fold(cube.source)
    by_task: dict[int, list[tuple[int, Case]]] = {i: [] for i in models}
    for place, each in enumerate(cases):
        if each.task in models:
            by_task[each.task].append((place, each))
    disputed: dict[int, tuple[int, Case, NDArray[np.int64]]] = {}

    def challenge(some: Sequence[tuple[int, Case]]) -> None:
        task, rival = tasks[some[0][1].task], rivals[some[0][1].task]
        signatures = np.concatenate([task.target[None], rival.values])
        at = [each.seeds for _, each in some]
        values = spectra(source, np.concatenate(at))[:, task.background.bands].astype(np.float64)
        first = np.cumsum([0, *(len(each) for each in at[:-1])])
        energy = np.add.reduceat(explained(values, task, signatures), first, axis=0)
        best = 1 + np.argmax(energy[:, 1:], axis=1)
        for (place, each), row, other in zip(some, energy, best.tolist(), strict=True):
            if row[other] < CHALLENGE_SHARE * row[0]:
                result[place] = Contest(rival.names[other - 1], float(row[0] - row[other]))
            else:
                disputed[place] = (place, each, each.ring())

    def contest(some: Sequence[tuple[int, Case, NDArray[np.int64]]]) -> None:
        task, (other, own) = tasks[some[0][1].task], _values(rivals[some[0][1].task])
        at = [part for _, each, ring in some for part in (each.seeds, ring)]
        values = spectra(source, np.concatenate(at))[:, task.background.bands].astype(np.float64)
        parts = np.split(values, np.cumsum([len(each) for each in at])[:-1])
        for near in (True, False):
            mine = [n for n, each in enumerate(some) if (len(each[2]) >= MIN_RING_PIXELS) is near]
            if not mine:
                continue
            over = margins(
                [
                    Group.of(parts[2 * n], task.background.mean, parts[2 * n + 1] if near else None)
                    for n in mine
                ],
                models[some[0][1].task],
                task.target,
                np.concatenate([other, own]),
                guesses=[some[n][1].fill for n in mine],
            )
            margin = over[:, : len(other)] - np.min(over[:, len(other) :], axis=1, initial=0.0, keepdims=True)
            for n, least, row in zip(mine, margin.argmin(axis=1).tolist(), margin, strict=True):
                result[some[n][0]] = Contest(rivals[some[n][1].task].names[least], float(row[least]))

    in_turn(by_task.values(), challenge, at_once=CASES_AT_ONCE)
    contested = [[disputed[place] for place, _ in family if place in disputed] for family in by_task.values()]
    in_turn(contested, contest, at_once=RINGS_AT_ONCE, done=lambda some: models[some[0][1].task].forget())
    return result


def _values(rivals: Rivals) -> tuple[Doubles, Doubles]:
    """Return the signatures of rivals and those of the task's own target, in as many bands."""
    return rivals.values, rivals.own if rivals.own.size else rivals.values[:0]


def with_shared_rates(
    results: Sequence[tuple[ScoreMap, tuple[Detection, ...]]],
) -> tuple[tuple[ScoreMap, tuple[Detection, ...]], ...]:
    """Return the detections with false discovery rates over the pixels of all targets of a search together.

    Benjamini & Hochberg 1995 (doi 10.1111/j.2517-6161.1995.tb02031.x): asking for more targets is testing
    more often. Maps without a tail have no p-values and do not count.
    """
    tailed = [(each, each.tail) for each, _ in results if each.tail is not None]
    if len(tailed) < 2:
        return tuple(results)
    high = []
    for each, tail in tailed:
        level = min(each.threshold, tails.score_at(tail, RIM_PROBABILITY))
        high.append(tails.p_value(tail, each.score[each.score >= level]))
    p = np.sort(np.concatenate(high))
    rates = false_discovery_rates(p, tested=sum(int(np.isfinite(each.score).sum()) for each, _ in tailed))

    def shared(found: Detection) -> Detection:
        if not np.isfinite(found.p_value):
            return found
        place = min(int(np.searchsorted(p, found.p_value, side="left")), len(p) - 1)
        return replace(found, q_value=float(rates[place]))

    return tuple((each, tuple(shared(one) for one in found)) for each, found in results)
