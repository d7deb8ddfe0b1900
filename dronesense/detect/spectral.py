"""Search a cube for reference spectra: scores, thresholds, regions, and the test against look-alikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense import plugins
from dronesense.blocks import one_blas_thread, share_out, worker_count
from dronesense.detect import anomaly, detectability, iterated, judging, regions, scoring
from dronesense.detect import background as backgrounds
from dronesense.detect import tail as tails
from dronesense.detect.background import Background
from dronesense.detect.competing import Contest, Rivals, rivals_of, settle, with_shared_rates
from dronesense.detect.detectability import Detectability, Trial
from dronesense.detect.detectors import Detector, Problem, Products, Scorer, evidence
from dronesense.detect.judging import Case
from dronesense.detect.matching import match_bands, signature_in_bands
from dronesense.detect.regions import Region
from dronesense.detect.scoring import Scores, Task, Told
from dronesense.model import Detection, DetectRule, ScoreMap, Signature, SpectralCube, TailModel
from dronesense.model.cube import DEFAULT_BLOCK_BYTES

DEFAULT_RIDGE: Final = 3e-3
"""Share of each band's variance added to it; see docs/methods/spectral-detection.md for what it brings."""
DEFAULT_FALSE_ALARM_RATE: Final = 1e-5
"""Per pixel, for a rule that states neither a rate nor a threshold."""
DEFAULT_MODEL_ERROR: Final = 0.02
"""Smooth multiplicative errors left by panel, calibration and illumination: relative standard deviation."""
UNFIT: Final = "may-be-another-material"
"""Flag of a region that does not fit a signature whose own spread is not known."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Draft:
    """What one rule found, before it is judged."""

    score_map: ScoreMap
    parameters: dict[str, object]
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Verdict:
    """A region that is not refused: which variant of its target it is, whether it fits, its best rival."""

    region: Region
    variant: int
    fits: bool
    contest: Contest

    def flags(self) -> tuple[str, ...]:
        return (() if self.fits else (UNFIT,)) + ((f"or-{self.contest.rival}",) if self.contest.tied else ())


def search(
    cube: SpectralCube,
    rules: Sequence[DetectRule],
    *,
    ridge: float = DEFAULT_RIDGE,
    budget_bytes: int = DEFAULT_BLOCK_BYTES,
    model_error: float = DEFAULT_MODEL_ERROR,
    competing: Sequence[Signature] = (),
    told: Told | None = None,
) -> tuple[tuple[ScoreMap, tuple[Detection, ...]], ...]:
    """Search *cube* for the signatures of *rules*.

    A sample gives the background (:func:`dronesense.detect.background.estimate`); one pass over all blocks
    the scores of all targets; the tail of the background's scores the threshold for the stated false-alarm
    rate. A last look at the regions tells look-alikes from targets
    (:func:`dronesense.detect.feasibility.assess`): those that cannot be the target are left out, and counted
    in ``ScoreMap.parameters["rejected_other_material"]``. Where several signatures are known, a region is
    reported for the one that explains it best (:func:`dronesense.detect.competing.settle`), for both where it
    is a tie. False discovery rates are those of all targets together.

    Parameters
    ----------
    cube : SpectralCube
        Of the quantity of the signatures: a reflectance signature needs a reflectance cube.
    rules : sequence of DetectRule
        Spectral rules. `threshold` wins over `false_alarm_rate`; with neither, 1e-5 per pixel.
    ridge : float
        Share of each band's variance that is added to it.
    budget_bytes : int
        Memory for blocks; the sample (at most 32 MiB, and as much for its neighbors) and the maps (8 bytes
        per pixel and rule, 4 of which stay) come on top.
    model_error : float
        Relative standard deviation of smooth multiplicative errors between signature and scene.
    competing : sequence of Signature
        Of materials that may be mistaken for a target but are not sought; the rules compete among themselves
        in any case.
    told : callable, optional
        Told how many lines are done; it begins anew for rules in front of another background.

    Returns
    -------
    tuple of (ScoreMap, tuple of Detection)
        In rule order; detections by falling score.

    Raises
    ------
    CalibrationError
        If a signature is not of the cube's quantity.
    CoverageError
        If a signature covers less than half of the good bands, or there are too few pixels.
    PluginError
        If there is no such detector.
    ValueError
        If a rule has no signature and its method needs one, or there is no such background.

    Notes
    -----
    Rules without a signature are searched by :func:`dronesense.detect.anomaly.search`. Rules compete with
    those in front of the same background.
    """
    if not rules:
        return ()
    common: Any = {"ridge": ridge, "budget_bytes": budget_bytes, "told": told}
    results: list[tuple[ScoreMap, tuple[Detection, ...]] | None] = [None] * len(rules)
    groups: dict[tuple[str, tuple[int, int] | None], list[int]] = {}
    for i, rule in enumerate(rules):
        if rule.species is not None:
            raise ValueError(f"rule {rule.target!r} has no signature: it looks for a gas")
        if rule.signature is None:
            results[i] = anomaly.search(cube, rule, **common)
        else:
            groups.setdefault((rule.background, rule.window_pixels), []).append(i)
    for members in groups.values():
        own = [rules[i] for i in members]
        seen = anomaly.in_front_of(cube, own[0], ridge=ridge)
        found = _search(seen, own, model_error=model_error, competing=competing, **common)
        for i, (score, detections) in zip(members, found, strict=True):
            results[i] = (score, detections)
    return tuple(each for each in results if each is not None)


def _search(
    cube: SpectralCube,
    rules: Sequence[DetectRule],
    *,
    ridge: float,
    budget_bytes: int,
    model_error: float,
    competing: Sequence[Signature],
    told: Told | None,
) -> tuple[tuple[ScoreMap, tuple[Detection, ...]], ...]:
    """Search for the signatures of rules that share a background."""
    matched = [match_bands(cube, rule) for rule in rules]
    known = [(one, one, covered) for value, _, covered in matched for one in value]
    known += [signature_in_bands(other, cube) for other in competing]
    names = [rule.target for rule, (value, _, _) in zip(rules, matched, strict=True) for _ in value]
    names += [other.name for other in competing]
    with one_blas_thread():
        whole = backgrounds.estimate(cube, ridge=ridge)
        tasks = _prepare(cube, whole, rules, matched)
        scores = scoring.score_cube(cube, tasks, budget_bytes=budget_bytes, told=told)
        rounds: dict[str, object] = {}
        if rules[0].background == "iterated":
            tasks, scores, rounds = _iterate(
                cube, rules, matched, (tasks, scores), ridge=ridge, budget_bytes=budget_bytes
            )
        drafts: list[_Draft | None] = [None] * len(tasks)
        distinct = {id(task.background): task.background for task in tasks}
        center_nm = cube.bands.center_nm
        trials = {key: detectability.prepare(one, center_nm[one.bands]) for key, one in distinct.items()}

        def draft(i: int) -> None:
            drafts[i] = _draft(cube.name, tasks[i], i, scores, model_error, trials[id(tasks[i].background)])

        share_out(range(len(tasks)), [draft] * worker_count(scoring.WORKERS))
        done = [each for each in drafts if each is not None]
        for each in done:
            each.parameters.update(rounds)
        rivals = [_rivals(task, names, known) for task in tasks]
        judged = _judge(cube, tasks, done, scores, rivals, model_error)
        results: list[tuple[ScoreMap, tuple[Detection, ...]] | None] = [None] * len(tasks)

        def finish(i: int) -> None:
            results[i] = _finish(cube, tasks[i], done[i], scores.fraction[i], rivals[i], judged[i])

        share_out(range(len(tasks)), [finish] * worker_count(scoring.WORKERS))
        return with_shared_rates([each for each in results if each is not None])


def _iterate(
    cube: SpectralCube,
    rules: Sequence[DetectRule],
    matched: Sequence[tuple[Doubles, Doubles, NDArray[np.bool_]]],
    first: tuple[list[Task], Scores],
    *,
    ridge: float,
    budget_bytes: int,
) -> tuple[list[Task], Scores, dict[str, object]]:
    """Leave what scores high out of the background and score again, until the pixels stay the same."""
    tasks, scores = first
    excluded = np.zeros(scores.score.shape[1:], dtype=np.bool_)
    rounds = 0
    while rounds < iterated.MAX_ROUNDS:
        known = [_tail(task, i, scores) for i, task in enumerate(tasks)]
        found = iterated.high_pixels(scores.score, known)
        if iterated.stable(excluded, found):
            break
        whole = iterated.without(cube, found, ridge=ridge, rounds=rounds + 1)
        if whole is None:
            break
        excluded, rounds = found, rounds + 1
        tasks = _prepare(cube, whole, rules, matched)
        scores = scoring.score_cube(cube, tasks, budget_bytes=budget_bytes)
    return tasks, scores, {"excluded_pixels": int(excluded.sum()), "rounds": rounds}


def _prepare(
    cube: SpectralCube,
    whole: Background,
    rules: Sequence[DetectRule],
    matched: Sequence[tuple[Doubles, Doubles, NDArray[np.bool_]]],
) -> list[Task]:
    """Fold signatures and backgrounds into the vectors that the pass over pixels needs."""
    tasks = []
    shared: dict[bytes, Background] = {}
    for rule, (value, sigma, covered) in zip(rules, matched, strict=True):
        detector: Detector = plugins.find("dronesense.detectors", rule.method)
        anomaly.check_quantity(detector, cube, rule)
        used = covered[whole.bands]
        if used.tobytes() not in shared:
            shared[used.tobytes()] = backgrounds.subset(whole, used, where=cube.path)
        background = shared[used.tobytes()]
        used_bands = background.bands
        others = [other[0][:, used_bands] for other in matched if other[0] is not value]
        problem = Problem(
            target=value[0, used_bands],
            background=background,
            center_nm=cube.bands.center_nm[used_bands],
            variants=value[:, used_bands],
            others=np.concatenate([np.empty((0, len(used_bands))), *others]),
        )
        scorers = _scorers(detector, problem, cube.path)
        count = f"{len(used_bands)} of {int(cube.bands.good.sum())} good bands"
        notes: tuple[str, ...] = (f"{rule.method}: {count}, {detector.reference}",)
        if rule.variants:
            how = "as a subspace" if detector.joint else "the best of them for each pixel"
            notes += (f"{len(value)} signatures of {rule.target!r}, {how}",)
        family = []
        for scorer, target, spread in zip(
            scorers, problem.variants, _with_calibration(sigma, value, cube)[:, used_bands], strict=True
        ):
            white = background.whitening @ (target - background.mean)
            contrast = float(white @ white)
            matched_filter = background.whitening.T @ white / contrast
            task = Task(rule, detector, scorer, background, target, spread, matched_filter, contrast, notes)
            family.append(task)
        tasks.append(replace(family[0], siblings=tuple(family[1:])))
    return tasks


def _scorers(detector: Detector, problem: Problem, where: str) -> list[Scorer]:
    """Return the scorer of each variant; one for all of a detector that takes them together."""
    if detector.joint or len(problem.variants) == 1:
        return [anomaly.ready(detector, problem, where=where)] * len(problem.variants)
    variants = (replace(problem, target=each) for each in problem.variants)
    return [anomaly.ready(detector, each, where=where) for each in variants]


def _rivals(
    task: Task, names: Sequence[str], known: Sequence[tuple[Doubles, Doubles, NDArray[np.bool_]]]
) -> Rivals:
    """Return what competes with the target of *task*, and all of its own signatures."""
    own = np.array([each.target for each in task.family]) if task.siblings else np.empty((0, 0))
    return replace(rivals_of(task, names, known), own=own)


def _with_calibration(sigma: Doubles, value: Doubles, cube: SpectralCube) -> Doubles:
    """Add what the calibration of the cube leaves open to the uncertainty of a signature (NaN: not known)."""
    if cube.relative_sigma is None:
        return sigma
    left = np.nan_to_num(cube.relative_sigma, nan=0.0) * np.abs(value)  # (v, bands), as sigma
    return np.where(left > 0.0, np.hypot(np.nan_to_num(sigma, nan=0.0), left), sigma)


def _draft(cube: str, task: Task, i: int, scores: Scores, model_error: float, trial: Trial) -> _Draft:
    """Learn the tail of one task, set its threshold and outline its regions."""
    rule, score = task.rule, scores.score[i]
    tail = _tail(task, i, scores)
    rate, notes = float("nan"), task.notes
    if rule.threshold is not None:
        threshold = rule.threshold
    else:
        rate = DEFAULT_FALSE_ALARM_RATE if rule.false_alarm_rate is None else rule.false_alarm_rate
        assert tail is not None
        threshold = tails.score_at(tail, rate)
        if threshold > task.detector.ceiling:
            threshold = task.detector.ceiling
            rate = float(tails.p_value(tail, threshold))
            notes = (*notes, f"the background's tail is too heavy for the rate asked for: {rate:.2g} it is")
    limits = [
        detectability.predict(trial, each.scorer, each.target, sigma=each.sigma, threshold=threshold)
        for each in task.family
    ]
    parameters: dict[str, object] = {
        "detection_limit": _hardest(limits).summary(rule.target, rate),
        "background": rule.background,
        "ridge": task.background.ridge,
        "condition": task.background.condition,
        "background_pixels": task.background.pixels,
        "background_trimmed": task.background.trimmed,
        "bands": len(task.background.bands),
        "contrast": task.contrast,
        "model_error": model_error,
        "min_pixels": rule.min_pixels,
        "tail": "not fitted" if tail is None else tail.note,
        "history": [*task.background.history, *notes],
    }
    if task.siblings:
        parameters["variants"] = {
            "signatures": [each.name for each in rule.signatures],
            "contrast": [each.contrast for each in task.family],
            "fill_found_9_in_10": [_or_none(each.limit(0.9)) for each in limits],
        }
    score_map = ScoreMap(
        cube=cube,
        target=rule.target,
        method=rule.method,
        score=score,
        unit=task.detector.unit,
        threshold=threshold,
        false_alarm_rate=rate,
        tail=tail,
        parameters=parameters,
    )
    return _Draft(score_map, parameters, regions.outline(score_map, min_pixels=rule.min_pixels))


def _hardest(limits: Sequence[Detectability]) -> Detectability:
    """Return that of the variant that is found least often, over all fills."""
    return min(limits, key=lambda each: float(each.found.mean()))


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _judge(
    cube: SpectralCube,
    tasks: Sequence[Task],
    drafts: Sequence[_Draft],
    scores: Scores,
    rivals: Sequence[Rivals],
    model_error: float,
) -> list[list[_Verdict]]:
    """Return for each task what is known of its regions that can be the target."""
    cases: list[Case] = []
    flat = [each for task in tasks for each in task.family]
    owner = np.repeat(np.arange(len(tasks)), [len(task.family) for task in tasks]).tolist()
    first = [owner.index(i) for i in range(len(tasks))]
    for i, draft in enumerate(drafts):
        which = scores.variant[i]
        for region in draft.regions:
            chosen = judging.case(
                first[i] + (0 if which is None else int(which[tuple(region.index[0])])),
                len(cases),
                region,
                score=scores.score[i],
                fraction=scores.fraction[i],
                threshold=draft.score_map.threshold,
            )
            cases.append(chosen)
    fits = judging.judge(cube, flat, cases, model_error=model_error)
    cases, fits = _other_variants(cube, flat, owner, cases, fits, model_error)
    shown = [each for each in cases if fits[each.place] or not _spread_is_known(flat[each.task])]
    contests = settle(cube, flat, shown, [rivals[i] for i in owner], model_error=model_error)
    verdicts: list[list[_Verdict]] = [[] for _ in tasks]
    for each, contest in zip(shown, contests, strict=True):
        i = owner[each.task]
        verdicts[i].append(_Verdict(each.region, each.task - first[i], bool(fits[each.place]), contest))
    return verdicts


def _other_variants(
    cube: SpectralCube,
    flat: Sequence[Task],
    owner: Sequence[int],
    cases: Sequence[Case],
    fits: NDArray[np.bool_],
    model_error: float,
) -> tuple[list[Case], NDArray[np.bool_]]:
    """Test what does not fit the variant that it is most like against the others; one that fits is enough."""
    again = [
        replace(each, task=other)
        for each in cases
        if not fits[each.place]
        for other in range(len(flat))
        if owner[other] == owner[each.task] and other != each.task
    ]
    fit = judging.judge(
        cube, flat, [replace(each, place=n) for n, each in enumerate(again)], model_error=model_error
    )
    found = list(cases)
    passed = fits.copy()
    for each in reversed([each for each, yes in zip(again, fit, strict=True) if yes]):
        found[each.place], passed[each.place] = each, True
    return found, passed


def _finish(
    cube: SpectralCube,
    task: Task,
    draft: _Draft,
    fraction: Floats,
    rivals: Rivals,
    verdicts: Sequence[_Verdict],
) -> tuple[ScoreMap, tuple[Detection, ...]]:
    """Leave out what is another material, and record the rest."""
    kept = [each for each in verdicts if not each.contest.lost]
    draft.parameters["regions"] = len(draft.regions)
    draft.parameters["rejected_other_material"] = len(draft.regions) - len(verdicts)
    draft.parameters["shown_though_unfit"] = sum(not each.fits for each in kept)
    if rivals.names:
        draft.parameters["competition"] = {
            "rivals": list(dict.fromkeys(rivals.names)),
            "explained_better_by_a_rival": len(verdicts) - len(kept),
            "tied": sum(each.contest.tied for each in kept),
            "second": [each.contest.rival for each in kept],
            "margin": [each.contest.margin for each in kept],
        }
    if task.siblings:
        names = [each.name for each in task.rule.signatures]
        draft.parameters["variant"] = [names[each.variant] for each in kept]
    sigma = 1.0 / float(np.sqrt(min(each.contrast for each in task.family)))
    return draft.score_map, regions.detect(
        draft.score_map,
        [each.region for each in kept],
        source=cube.path,
        fraction=fraction,
        sigma=sigma,
        flags=[each.flags() for each in kept],
    )


def _spread_is_known(task: Task) -> bool:
    """Tell whether a misfit says "another material".

    A signature that was taken from a scene without a sigma is the mean of pixels that differ by nobody knows
    how much: its regions are flagged, not rejected.
    """
    signatures = task.rule.signatures
    return all(not each.by_band or bool(np.isfinite(each.sigma).any()) for each in signatures)


def _tail(task: Task, i: int, scores: Scores) -> TailModel | None:
    """Fit the tail; where it cannot be and the rule gives a threshold, do without."""
    every = len(scores.tail_rows) == scores.score.shape[1]
    rows = slice(None) if every else scores.tail_rows
    score = scores.score[i, rows]
    if task.rule.threshold is not None and int(np.isfinite(score).sum()) < tails.MIN_SCORES:
        return None
    which = scores.variant[i]
    contrast = np.array([each.contrast for each in task.family])
    own = task.contrast if which is None else contrast[which[rows]]
    outstanding = evidence(Products(scores.fraction[i, rows], scores.energy[i], own))
    return tails.fit(score, exclude=tails.suspects(outstanding))
