"""Rules without a signature: what differs from the background, whatever it is.

An anomaly differs from the background; what it is is not known. No test against look-alikes is possible, and
no share of a pixel is estimated: the value of a detection is its score.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import plugins
from dronesense.blocks import one_blas_thread
from dronesense.detect import background as backgrounds
from dronesense.detect import clusters, columns, local, regions, scoring
from dronesense.detect import tail as tails
from dronesense.detect.background import Background
from dronesense.detect.detectors import Detector, Problem, Scorer
from dronesense.detect.scoring import Task, Told
from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import Detection, DetectRule, ScoreMap, SpectralCube, TailModel
from dronesense.model.cube import DEFAULT_BLOCK_BYTES, MapGrid

MEANING: Final = "anomaly: differs from the background, what it is is not known"
DEFAULT_FALSE_ALARM_RATE: Final = 1e-5
"""Per pixel, for a rule that states neither a rate nor a threshold."""


def search(
    cube: SpectralCube,
    rule: DetectRule,
    *,
    ridge: float,
    budget_bytes: int = DEFAULT_BLOCK_BYTES,
    told: Told | None = None,
) -> tuple[ScoreMap, tuple[Detection, ...]]:
    """Search *cube* by a rule without a signature, in front of the background that the rule names.

    Parameters
    ----------
    cube : SpectralCube
        Of any quantity: the distance from a background does not change under gain and offset of the bands.
    rule : DetectRule
        Its `background`: ``"scene"``; ``"columns"``, the mean by detector column; ``"local"``, the mean by
        pixel from a window around it; ``"clusters"``, several kinds of ground (method ``"rx"`` only).
    ridge : float
        Share of each band's variance that is added to it.
    budget_bytes : int
        Memory for blocks.
    told : callable, optional
        Told how many lines are done.

    Raises
    ------
    CalibrationError
        If the detector is for cubes of another quantity.
    CoverageError
        If there are too few pixels for the statistics, or the detector needs a band that is not there.
    ValueError
        If the detector needs a signature, or there is no such background.
    """
    detector = _detector(cube, rule)
    with one_blas_thread():
        seen = in_front_of(cube, rule, ridge=ridge)
        known = backgrounds.estimate(seen, ridge=ridge)
        task = _task(seen, rule, detector, known)
        scores = scoring.score_cube(seen, [task], budget_bytes=budget_bytes, told=told)
    score = scores.score[0]
    asked = score[scores.tail_rows]
    tail, threshold, rate = _threshold(rule, asked)
    parameters: dict[str, object] = {
        "meaning": MEANING if rule.method == "rx" else "an index of its bands; what it is is not known",
        "background": rule.background,
        "ridge": known.ridge,
        "condition": known.condition,
        "background_pixels": known.pixels,
        "background_trimmed": known.trimmed,
        "bands": len(known.bands),
        "min_pixels": rule.min_pixels,
        "tail": "not fitted" if tail is None else tail.note,
        "history": [*seen.history[len(cube.history) :], *known.history, *task.notes],
    }
    score_map = ScoreMap(
        cube=cube.name,
        target=rule.target,
        method=rule.method,
        score=score,
        unit=detector.unit,
        threshold=threshold,
        false_alarm_rate=rate,
        tail=tail,
        parameters=parameters,
    )
    found = regions.outline(score_map, min_pixels=rule.min_pixels)
    parameters["regions"] = len(found)
    detections = regions.detect(score_map, found, source=cube.path, fraction=score, sigma=float("nan"))
    return score_map, tuple(replace(each, unit=detector.unit) for each in detections)


def _detector(cube: SpectralCube, rule: DetectRule) -> Detector:
    """Return the detector of *rule*, which must not need what the rule or the cube does not have."""
    detector: Detector = plugins.find("dronesense.detectors", rule.method)
    if detector.needs_signature:
        raise ValueError(f"rule {rule.target!r}: method {rule.method!r} needs a signature")
    check_quantity(detector, cube, rule)
    return detector


def check_quantity(detector: Detector, cube: SpectralCube, rule: DetectRule) -> None:
    """Refuse a cube of another quantity than the detector works on, and backgrounds that take it away.

    Raises
    ------
    CalibrationError
        If that is so.
    """
    if detector.quantity is None:
        return
    if detector.quantity != cube.quantity:
        raise CalibrationError(
            f"method {rule.method!r} (rule {rule.target!r}) needs {detector.quantity}, not {cube.quantity}",
            where=cube.path,
            fix="give the cube a panel (and a dark capture), or search a reflectance cube",
        )
    if rule.background in ("columns", "local"):
        raise CalibrationError(
            f"method {rule.method!r} (rule {rule.target!r}) needs {detector.quantity} itself, not what "
            f"differs from a background = {rule.background!r}",
            where=cube.path,
            fix='use background = "scene"',
        )


def ready(detector: Detector, problem: Problem, *, where: str) -> Scorer:
    """Return the scorer of *detector*; what it lacks is told with the cube that lacks it."""
    try:
        return detector.prepare(problem)
    except CoverageError as error:
        raise CoverageError(error.what, where=error.where or where, fix=error.fix) from error


def _threshold(rule: DetectRule, asked: NDArray[np.float32]) -> tuple[TailModel | None, float, float]:
    """Return the tail of the scores, the threshold and the rate that it is set for (NaN: by the rule).

    Nothing is left out: a distance has no low side to tell targets by, and what is odd in a background is
    background. Taking suspects out made 66 times as many false alarms as stated (docs/methods).
    """
    few = int(np.isfinite(asked).sum()) < tails.MIN_SCORES
    nothing = np.zeros(asked.shape, dtype=np.bool_)
    tail = None if rule.threshold is not None and few else tails.fit(asked, exclude=nothing)
    if rule.threshold is not None:
        return tail, rule.threshold, float("nan")
    assert tail is not None
    rate = DEFAULT_FALSE_ALARM_RATE if rule.false_alarm_rate is None else rule.false_alarm_rate
    return tail, tails.score_at(tail, rate), rate


def in_front_of(cube: SpectralCube, rule: DetectRule, *, ridge: float) -> SpectralCube:
    """Return *cube* with the means that the rule's background has column by column or pixel by pixel."""
    if rule.background not in backgrounds.KINDS:
        raise ValueError(f"rule {rule.target!r}: background must be one of {backgrounds.KINDS}")
    if rule.background == "clusters" and (rule.signature is not None or rule.method != "rx"):
        raise ValueError('background = "clusters" is for method = "rx" without a signature')
    if rule.background == "iterated" and rule.signature is None:
        raise ValueError('background = "iterated" needs a signature: anomalies leave themselves out')
    if rule.background == "columns":
        if isinstance(cube.geometry, MapGrid):
            raise CoverageError(
                "the columns of a cube on a map grid are not detector columns",
                where=cube.path,
                fix='use background = "scene" or "local"',
            )
        return columns.without_columns(cube)
    if rule.background == "local":
        known = backgrounds.estimate(cube, ridge=ridge)
        level = np.zeros(len(cube.bands))
        level[known.bands] = known.mean
        return local.without_surroundings(cube, level, window=rule.window_pixels or local.DEFAULT_WINDOW)
    return cube


def _task(seen: SpectralCube, rule: DetectRule, detector: Detector, known: Background) -> Task:
    k = len(known.bands)
    target = known.mean + 1.0  # of no meaning: the scorer takes nothing from it
    notes: tuple[str, ...] = (f"{rule.method}: {detector.reference}",)
    if rule.background == "clusters":
        kinds = clusters.find(known)
        made = clusters.scorer(known, kinds)
        notes = (*notes, kinds.note())
    else:
        problem = Problem(
            target=target,
            background=known,
            center_nm=seen.bands.center_nm[known.bands],
            variants=target[None],
            others=np.empty((0, k)),
        )
        made = ready(detector, problem, where=seen.path)
    return Task(
        rule=rule,
        detector=detector,
        scorer=made,
        background=known,
        target=target,
        sigma=np.full(k, np.nan),
        matched=np.zeros(k),
        contrast=1.0,
        notes=notes,
    )
