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

from dronesense.blocks import share_out, worker_count
from dronesense.detect import feasibility
from dronesense.detect import tail as tails
from dronesense.detect.feasibility import FILL_GRID, GAIN_LIMITS, RING_INFLATION, Model
from dronesense.detect.judging import CASES_AT_ONCE, MIN_RING_PIXELS, RINGS_AT_ONCE, Case
from dronesense.detect.regions import RIM_PROBABILITY
from dronesense.detect.scoring import WORKERS, Task
from dronesense.detect.stored import spectra
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
    pixels: NDArray[np.floating],
    model: Model,
    own: Doubles,
    rivals: Doubles,
    *,
    around: Doubles | None = None,
    guess: float = 0.5,
) -> Doubles:
    """Return by how much *own* explains *pixels* better than each of *rivals*.

    Parameters
    ----------
    pixels : (n, k)
        Of one region.
    model : Model
        Of *own* in front of the background.
    own : (k,) float64
    rivals : (j, k) float64
    around : (m, k) float64, optional
        Pixels around; the whole scene stands in for them.
    guess : float
        Fill of the fullest pixel by the matched filter.

    Returns
    -------
    (j,) float64
        Twice the log-likelihood ratio; negative where the rival explains more.
    """
    signatures = np.concatenate([own[None], rivals])
    best = np.full((len(pixels), len(signatures)), np.inf)
    near = around is not None
    mean = model.mean if around is None else around.mean(axis=0)
    rows = np.empty((0, len(own)))
    if around is not None:
        rows = (around - mean) * np.sqrt(RING_INFLATION / (len(around) - 1))
    n, j = len(pixels), len(signatures)
    likely = min(max(guess, 0.0), 1.0)
    for i, fill in enumerate(FILL_GRID):
        if abs(fill - likely) > FILL_REACH or fill == 0.0:
            continue
        step = model.step(i, near=near)
        stacked = np.concatenate([pixels - (1.0 - fill) * mean, fill * signatures, (1.0 - fill) * rows])
        white = step.root.whitened(stacked)
        y, parts, spread = white[:n], white[n : n + j], white[n + j :]
        core = np.eye(len(spread)) + spread @ spread.T
        log_det = step.root.log_det + float(np.linalg.slogdet(core)[1])
        both = white[: n + j]
        solved = both - np.linalg.solve(core, spread @ both.T).T @ spread
        y_weighed, weighed = solved[:n], solved[n:]
        along, norm = y @ weighed.T, np.einsum("jk,jk->j", parts, weighed)
        gain = np.clip(along / norm, *GAIN_LIMITS)
        rest = np.einsum("nk,nk->n", y, y_weighed)[:, None] - 2.0 * gain * along + gain * gain * norm
        best = np.minimum(best, rest + log_det)
    cost = best.sum(axis=0)
    return np.asarray(cost[1:] - cost[0])


def explained(pixels: Doubles, task: Task, signatures: Doubles) -> Doubles:
    """Return how much of *pixels* each of *signatures* explains in front of the scene, (j,).

    The squared matched-filter signal-to-noise ratio, summed over the pixels; 0 for a negative fill. The
    difference of two is twice the logarithm of their likelihood ratio where nothing but the scene is known.
    """
    known = task.background
    white = (signatures - known.mean) @ known.whitening.T
    along = np.maximum((pixels - known.mean) @ known.whitening.T @ white.T, 0.0)
    return np.asarray(np.sum(along**2, axis=0) / np.maximum(np.einsum("jk,jk->j", white, white), 1e-300))


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
    asked = [(place, each) for place, each in enumerate(cases) if each.task in models]
    disputed = []
    for first in range(0, len(asked), CASES_AT_ONCE):
        some = asked[first : first + CASES_AT_ONCE]
        values = spectra(source, np.concatenate([each.seeds for _, each in some]))
        edges = np.cumsum([len(each.seeds) for _, each in some])[:-1]
        for (place, each), part in zip(some, np.split(values, edges), strict=True):
            task, rival = tasks[each.task], rivals[each.task]
            seeds = part[:, task.background.bands].astype(np.float64)
            energy = explained(seeds, task, np.concatenate([task.target[None], rival.values]))
            best = 1 + int(np.argmax(energy[1:]))
            if energy[best] < CHALLENGE_SHARE * energy[0]:
                result[place] = Contest(rival.names[best - 1], float(energy[0] - energy[best]))
            else:
                disputed.append((place, each, each.ring()))

    def contest(some: Sequence[tuple[int, Case, NDArray[np.int64]]]) -> None:
        values = spectra(
            source, np.concatenate([part for _, each, ring in some for part in (each.seeds, ring)])
        )
        edges = np.cumsum([len(each.seeds) + len(ring) for _, each, ring in some])[:-1]
        for (place, each, ring), part in zip(some, np.split(values, edges), strict=True):
            used = part[:, tasks[each.task].background.bands].astype(np.float64)
            seeds, around = used[: len(each.seeds)], used[len(each.seeds) :]
            other, own = rivals[each.task].values, rivals[each.task].own
            over = margins(
                seeds,
                models[each.task],
                tasks[each.task].target,
                np.concatenate([other, own]) if own.size else other,
                around=around if len(ring) >= MIN_RING_PIXELS else None,
                guess=each.fill,
            )
            margin = over[: len(other)] - min(0.0, float(np.min(over[len(other) :], initial=0.0)))
            least = int(np.argmin(margin))
            result[place] = Contest(rivals[each.task].names[least], float(margin[least]))

    for i, model in models.items():
        mine = [each for each in disputed if each[1].task == i]
        groups = [mine[first : first + RINGS_AT_ONCE] for first in range(0, len(mine), RINGS_AT_ONCE)]
        share_out(groups, [contest] * worker_count(WORKERS))
        model.forget()
    return result


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
