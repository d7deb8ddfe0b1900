"""Search a cube for reference spectra: scores, thresholds, regions, and the test against look-alikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import plugins
from dronesense.blocks import one_blas_thread, prefetch
from dronesense.detect import background as backgrounds
from dronesense.detect import feasibility, regions
from dronesense.detect import tail as tails
from dronesense.detect.background import Background
from dronesense.detect.detectors import TINY, Detector, Products, evidence
from dronesense.detect.regions import Region
from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import Detection, DetectRule, ScoreMap, Signature, SpectralCube, TailModel
from dronesense.model.cube import DEFAULT_BLOCK_BYTES
from dronesense.model.signature import resample_spectrum

DEFAULT_RIDGE: Final = 1e-3
"""Share of the mean eigenvalue added to the diagonal of the covariance."""
DEFAULT_FALSE_ALARM_RATE: Final = 1e-5
"""Per pixel, for a rule that states neither a rate nor a threshold."""
DEFAULT_MODEL_ERROR: Final = 0.02
"""Smooth multiplicative errors left by panel, calibration and illumination: relative standard deviation."""
MIN_COVERED: Final = 0.5
"""Share of the good bands that a signature must cover."""
WHITENING_PARTS: Final = 3
"""A triangular matrix is applied in this many row blocks, without the empty columns of each."""
LIVE_BLOCKS: Final = 4
"""Blocks alive at a time: one in work, one ready, one being read, and its raw values."""
JUDGED_PIXELS: Final = 3
"""Pixels of a region, filled most nearly whole, that are tested; one that can be the target is enough."""
JUDGED_SHARE: Final = 0.8
"""They must be filled at least this share of the fullest one."""

UNFIT: Final = "may-be-another-material"
"""Flag of a region that does not fit a signature whose own spread is not known."""
RING: Final = (2, 4)
"""What is around a region lies farther than the first, at most the second number of pixels: past the blur."""
MIN_RING_PIXELS: Final = 8
"""With fewer, the background of the whole scene is used alone."""
MAX_RING_PIXELS: Final = 80
"""Taken around a region: those around a 3 x 3 region with its rim number 120."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One rule, ready to be computed."""

    rule: DetectRule
    detector: Detector
    background: Background
    target: Doubles
    sigma: Doubles
    matched: Doubles
    contrast: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Maps:
    """Score, filled fraction, and :func:`~dronesense.detect.detectors.evidence`, each (rows, cols)."""

    score: Floats
    fraction: Floats
    evidence: Floats


def search(
    cube: SpectralCube,
    rules: Sequence[DetectRule],
    *,
    ridge: float = DEFAULT_RIDGE,
    budget_bytes: int = DEFAULT_BLOCK_BYTES * LIVE_BLOCKS,
    model_error: float = DEFAULT_MODEL_ERROR,
) -> tuple[tuple[ScoreMap, tuple[Detection, ...]], ...]:
    """Search *cube* for the signatures of *rules*.

    A sample gives the background (:func:`dronesense.detect.background.estimate`); one pass over all blocks
    the scores of all targets; the tail of the background's scores the threshold for the stated false-alarm
    rate. A last look at the regions tells look-alikes from targets
    (:func:`dronesense.detect.feasibility.assess`): those that cannot be the target are left out, and counted
    in ``ScoreMap.parameters["rejected_other_material"]``.

    Parameters
    ----------
    cube : SpectralCube
        Of the quantity of the signatures: a reflectance signature needs a reflectance cube.
    rules : sequence of DetectRule
        Spectral rules. `threshold` wins over `false_alarm_rate`; with neither, 1e-5 per pixel.
    ridge : float
        Share of the mean eigenvalue added to the diagonal of the covariance.
    budget_bytes : int
        Memory for blocks and sample; the maps (12 bytes per pixel and rule, 4 of which stay) come on top.
    model_error : float
        Relative standard deviation of smooth multiplicative errors between signature and scene.

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
        If a rule has no signature.
    """
    if not rules:
        return ()
    matched = [_match_bands(cube, rule) for rule in rules]
    with one_blas_thread():
        whole = backgrounds.estimate(cube, ridge=ridge, budget_bytes=budget_bytes)
        tasks = [_prepare(cube, whole, rule, *parts) for rule, parts in zip(rules, matched, strict=True)]
        maps = _score(cube, tasks, budget_bytes)
        maps.reverse()  # each is let go when its task is finished: they are as large as the scene
        return tuple(_finish(cube, task, maps.pop(), model_error) for task in tasks)


def signature_in_bands(
    signature: Signature, cube: SpectralCube
) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Return value and uncertainty of *signature* in the bands of *cube*, and which bands it covers.

    Raises
    ------
    CalibrationError
        If the quantities differ, or a signature by band has another number of bands.
    """
    if signature.quantity != cube.quantity:
        fix = f"use a signature in {cube.quantity}"
        if cube.quantity == "counts" and signature.quantity == "reflectance":
            fix = "give the cube a panel (and a dark capture), so that it can be turned into reflectance"
        raise CalibrationError(
            f"the signature {signature.name!r} is in {signature.quantity}, the cube in {cube.quantity}",
            where=cube.path,
            fix=fix,
        )
    if not signature.by_band:
        sensor = {"center_nm": cube.bands.center_nm, "fwhm_nm": cube.bands.fwhm_nm}
        value, covered = resample_spectrum(signature.wavelength_nm, signature.value, **sensor)
        sigma, _ = resample_spectrum(signature.wavelength_nm, signature.sigma, **sensor)
        return value, sigma, covered
    if len(signature.value) != len(cube.bands):
        raise CalibrationError(
            f"the signature {signature.name!r} has {len(signature.value)} bands, the cube {len(cube.bands)}",
            where=cube.path,
            fix="take the signature from a cube of the same camera and binning",
        )
    return signature.value, signature.sigma, np.ones(len(cube.bands), dtype=np.bool_)


def _match_bands(cube: SpectralCube, rule: DetectRule) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Return the signature of *rule* in the cube's bands, and refuse it when it covers too few of them."""
    if rule.signature is None:
        raise ValueError(f"rule {rule.target!r} has no signature")
    value, sigma, covered = signature_in_bands(rule.signature, cube)
    good = cube.bands.good
    if not rule.signature.by_band and not np.isfinite(cube.bands.center_nm).any():
        raise CoverageError(
            "the cube has no wavelengths",
            where=cube.path,
            fix="put them into the header, or use a signature taken from the cube's own bands",
        )
    share = float((covered & good).sum()) / max(1, int(good.sum()))
    if share < MIN_COVERED:
        low, high = rule.signature.wavelength_nm[[0, -1]]
        raise CoverageError(
            f"the signature {rule.signature.name!r} ({low:g} to {high:g} nm) covers {share:.0%} of the bands",
            where=cube.path,
            fix=f"use a signature that covers at least {MIN_COVERED:.0%} of the good bands",
        )
    return value, sigma, covered


def _prepare(
    cube: SpectralCube,
    whole: Background,
    rule: DetectRule,
    value: Doubles,
    sigma: Doubles,
    covered: NDArray[np.bool_],
) -> _Task:
    """Fold signature and background into the vectors that the pass over pixels needs."""
    detector: Detector = plugins.find("dronesense.detectors", rule.method)
    background = backgrounds.subset(whole, covered[whole.bands], where=cube.path)
    target = value[background.bands]
    white = background.whitening @ (target - background.mean)
    contrast = float(white @ white)
    notes = (
        f"{rule.method}: {len(target)} of {int(cube.bands.good.sum())} good bands, {detector.reference}",
    )
    matched = background.whitening.T @ white / contrast
    return _Task(rule, detector, background, target, sigma[background.bands], matched, contrast, notes)


def _score(cube: SpectralCube, tasks: Sequence[_Task], budget_bytes: int) -> list[_Maps]:
    """Run once over the cube and return the maps of every task."""
    rows, _, cols = cube.shape
    maps = [_Maps(*(np.full((rows, cols), np.nan, dtype=np.float32) for _ in range(3))) for _ in tasks]
    groups: dict[bytes, list[int]] = {}
    for i, task in enumerate(tasks):
        groups.setdefault(task.background.bands.tobytes(), []).append(i)
    kernels = [(_Kernel([tasks[i] for i in group], cols), group) for group in groups.values()]
    for block in prefetch(cube.blocks(max(1, budget_bytes // LIVE_BLOCKS))):
        for line, (values, valid) in enumerate(
            zip(block.values, block.valid, strict=True), start=block.start
        ):
            for kernel, group in kernels:
                for i, products in zip(group, kernel(values), strict=True):
                    usable = valid & np.isfinite(products.fraction)
                    maps[i].score[line, usable] = tasks[i].detector.score(products)[usable]
                    maps[i].fraction[line, usable] = products.fraction[usable]
                    maps[i].evidence[line, usable] = evidence(products)[usable]
    return maps


class _Kernel:
    """Products of a line with several tasks that use the same bands.

    A line in file order is already (bands, samples), so nothing is transposed; pixels and products of a line
    stay in the processor's cache, and the buffers are used again for the next.
    """

    def __init__(self, tasks: Sequence[_Task], samples: int) -> None:
        background = tasks[0].background
        bands = background.bands
        self.bands = slice(int(bands[0]), int(bands[-1]) + 1) if np.ptp(bands) == len(bands) - 1 else bands
        self.mean = background.mean.astype(np.float32)[:, None]
        self.matched = np.stack([task.matched for task in tasks]).astype(np.float32)
        self.contrast = [task.contrast for task in tasks]
        unit = [task.target / np.linalg.norm(task.target) for task in tasks]
        self.unit = (
            np.stack(unit).astype(np.float32)
            if any("cosine" in task.detector.needs for task in tasks)
            else None
        )
        self.parts: list[tuple[slice, Floats]] = []
        edges = np.linspace(0, len(bands), WHITENING_PARTS + 1).astype(int)
        for first, last in pairwise(edges.tolist()):
            part = np.ascontiguousarray(background.whitening[first:last, :last], dtype=np.float32)
            self.parts.append((slice(first, last), part))
        self.offset = np.empty((len(bands), samples), dtype=np.float32)
        self.white = np.empty_like(self.offset)

    def __call__(self, line: Floats) -> list[Products]:
        x = line[self.bands]
        cosine = None
        if self.unit is not None:
            norm = np.sqrt(np.einsum("bc,bc->c", x, x))
            cosine = (self.unit @ x) / np.maximum(norm, TINY)
        np.subtract(x, self.mean, out=self.offset)
        fraction = self.matched @ self.offset
        for rows, part in self.parts:
            np.matmul(part, self.offset[: rows.stop], out=self.white[rows])
        energy = np.einsum("bc,bc->c", self.white, self.white)
        return [
            Products(fraction[k], energy, contrast, None if cosine is None else cosine[k])
            for k, contrast in enumerate(self.contrast)
        ]


def _finish(
    cube: SpectralCube, task: _Task, maps: _Maps, model_error: float
) -> tuple[ScoreMap, tuple[Detection, ...]]:
    """Threshold, outline, judge and record the regions of one task."""
    rule = task.rule
    tail = _tail(task, maps)
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
    parameters: dict[str, object] = {
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
    score_map = ScoreMap(
        cube=cube.name,
        target=rule.target,
        method=rule.method,
        score=maps.score,
        unit=task.detector.unit,
        threshold=threshold,
        false_alarm_rate=rate,
        tail=tail,
        parameters=parameters,
    )
    found = regions.outline(score_map, min_pixels=rule.min_pixels)
    feasible = _judge(cube, task, found, maps, threshold, model_error)
    shown = feasible | (not _spread_is_known(rule))
    kept = [region for region, keep in zip(found, shown, strict=True) if keep]
    flags = [() if fits else (UNFIT,) for fits in feasible[shown]]
    parameters["regions"] = len(found)
    parameters["rejected_other_material"] = len(found) - len(kept)
    parameters["shown_though_unfit"] = sum(map(len, flags))
    sigma = 1.0 / float(np.sqrt(task.contrast))
    return score_map, regions.detect(
        score_map, kept, source=cube.path, fraction=maps.fraction, sigma=sigma, flags=flags
    )


def _spread_is_known(rule: DetectRule) -> bool:
    """Tell whether a misfit says "another material".

    A signature that was taken from a scene without a sigma is the mean of pixels that differ by nobody knows
    how much: its regions are flagged, not rejected.
    """
    assert rule.signature is not None
    return not rule.signature.by_band or bool(np.isfinite(rule.signature.sigma).any())


def _tail(task: _Task, maps: _Maps) -> TailModel | None:
    """Fit the tail; where it cannot be and the rule gives a threshold, do without."""
    if task.rule.threshold is not None and int(np.isfinite(maps.score).sum()) < tails.MIN_SCORES:
        return None
    return tails.fit(maps.score, exclude=tails.suspects(maps.evidence))


def _judge(
    cube: SpectralCube,
    task: _Task,
    found: Sequence[Region],
    maps: _Maps,
    threshold: float,
    model_error: float,
) -> NDArray[np.bool_]:
    """Return which regions can be the target, from the fullest of their pixels and what is around them."""
    bands = task.background.bands

    @cache
    def model(scene_share: float) -> feasibility.Model:
        return feasibility.prepare(
            task.background,
            task.target,
            sigma=task.sigma,
            center_nm=cube.bands.center_nm[bands],
            model_error=model_error,
            scene_share=scene_share,
        )

    feasible = np.zeros(len(found), dtype=np.bool_)
    plain = maps.score < threshold
    for i, region in enumerate(found):
        spectra = _spectra(cube, _fullest(region, maps.fraction))[:, bands]
        ring = _ring(region, plain)
        passed = feasibility.assess(spectra, model(1.0)).feasible
        if passed.any() and len(ring) >= MIN_RING_PIXELS:
            around = _spectra(cube, ring)[:, bands].astype(np.float64)
            near = feasibility.assess(spectra, model(feasibility.SCENE_SHARE), around=around)
            passed = passed & near.feasible
        feasible[i] = passed.any()
    return feasible


def _spectra(cube: SpectralCube, pixels: NDArray[np.int64]) -> Floats:
    """Return the spectra (n, bands) of *pixels* (n, 2), each row of the cube read once."""
    result = np.empty((len(pixels), cube.shape[1]), dtype=np.float32)
    for row in np.unique(pixels[:, 0]).tolist():
        here = pixels[:, 0] == row
        result[here] = cube.source.read(row, row + 1)[0][0][:, pixels[here, 1]].T
    return result


def _ring(region: Region, plain: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the *plain* pixels (n, 2) around *region*, some of them evenly where they are many."""
    from scipy.ndimage import maximum_filter

    low = np.maximum(region.index.min(axis=0) - RING[1], 0)
    high = np.minimum(region.index.max(axis=0) + RING[1] + 1, plain.shape)
    own = np.zeros(high - low, dtype=np.bool_)
    own[tuple((region.index - low).T)] = True
    inner, outer = (maximum_filter(own, size=2 * reach + 1, mode="constant") for reach in RING)
    ring = np.argwhere(outer & ~inner & plain[low[0] : high[0], low[1] : high[1]]) + low
    return np.asarray(ring[:: max(1, -(-len(ring) // MAX_RING_PIXELS))])


def _fullest(region: Region, fraction: Floats) -> NDArray[np.int64]:
    """Return the (k, 2) seeds of *region* that are filled most nearly whole: more than whole is a glint."""
    seeds = region.index[: region.seeds]
    fill = fraction[seeds[:, 0], seeds[:, 1]]
    nearness = np.minimum(fill, 2.0 - fill)
    best = np.argsort(-nearness, kind="stable")[:JUDGED_PIXELS]
    most = float(nearness[best[0]])
    return np.asarray(seeds[best[nearness[best] >= most - (1.0 - JUDGED_SHARE) * abs(most)]])
