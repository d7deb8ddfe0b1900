"""Regions go to the signature that explains them best; rates are those of all targets together."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dronesense.detect import background, competing, feasibility, spectral
from dronesense.detect import tail as tails
from dronesense.detect.competing import Contest
from dronesense.detect.weighing import Group
from dronesense.model import Signature, SpectralCube

_SPEC = importlib.util.spec_from_file_location(
    "spectral_scenes", Path(__file__).with_name("spectral_scenes.py")
)
scenes = importlib.util.module_from_spec(_SPEC)
sys.modules["spectral_scenes"] = scenes
_SPEC.loader.exec_module(scenes)

RULE = {"name": "sought", "false_alarm_rate": 1e-4}


def planted(
    degrees: float, *, seed: int = 8
) -> tuple[SpectralCube, np.ndarray, np.ndarray, list[list[tuple]]]:
    """A scene with eight patches of a target and eight of a confuser so many degrees away."""
    scene = scenes.scene(seed, planted=0.0)
    rng = np.random.default_rng(seed)
    other = scenes.confuser(scene.nm, scene.target, degrees, rng)
    values = scene.values.copy()
    rows, _, cols = values.shape
    cells = rng.permutation([(r, c) for r in range(8, rows - 8, 14) for c in range(8, cols - 8, 14)])[:16]
    for i, (row, col) in enumerate(cells):
        patch = (slice(row, row + 3), slice(None), slice(col, col + 3))
        noise = (values[patch] - values[:, :, 1:][patch]) / np.sqrt(2.0)
        values[patch] = (scene.target if i < 8 else other)[:, None] * rng.uniform(0.9, 1.1) + noise
    places = [[tuple(cell) for cell in cells[:8].tolist()], [tuple(cell) for cell in cells[8:].tolist()]]
    return scenes.cube_of(values, scene.nm), scene.target, other, places


def seen(found: tuple, places: list[tuple]) -> int:
    pixels = {tuple(pixel) for each in found for pixel in each.index.tolist()}
    return sum((row + 1, col + 1) in pixels for row, col in places)


def test_a_region_is_reported_for_the_signature_that_explains_it() -> None:
    cube, target, other, (targets, confusers) = planted(1.5)
    rules = [scenes.rule_for(target, **RULE), scenes.rule_for(other, **{**RULE, "name": "other"})]
    (_, alone), *_ = spectral.search(cube, rules[:1])
    assert seen(alone, confusers) >= 4  # without competition they would be shown
    (score, found), (_, rival) = spectral.search(cube, rules)
    assert (seen(found, targets), seen(found, confusers)) == (8, 0)
    assert (seen(rival, targets), seen(rival, confusers)) == (0, 8)
    told = score.parameters["competition"]
    assert isinstance(told, dict)
    assert told["rivals"] == ["other"]
    assert told["explained_better_by_a_rival"] >= 4
    assert len(told["margin"]) == len(found)
    assert sorted(told["margin"])[-8] > competing.DECISIVE  # that of the eight targets


def test_a_known_confuser_need_not_be_sought() -> None:
    cube, target, other, (targets, confusers) = planted(1.5)
    known = Signature(
        "straw", np.arange(len(other)), other, np.zeros(len(other)), "reflectance", by_band=True
    )
    ((_, found),) = spectral.search(cube, [scenes.rule_for(target, **RULE)], competing=[known])
    assert (seen(found, targets), seen(found, confusers)) == (8, 0)


def test_what_cannot_be_told_apart_is_shown_for_both_with_a_flag() -> None:
    cube, target, _, (targets, _) = planted(1.5)
    twin = target * (1.0 + 1e-4 * np.sin(np.arange(len(target))))
    rules = [scenes.rule_for(target, **RULE), scenes.rule_for(twin, **{**RULE, "name": "twin"})]
    (_, found), (_, also) = spectral.search(cube, rules)
    assert seen(found, targets) == seen(also, targets) == 8
    assert all("or-twin" in each.flags for each in found)
    assert all("or-sought" in each.flags for each in also)


def test_the_margin_is_that_of_brute_force() -> None:
    """Each signature at its own best fill and gain, by generic least squares on the full covariance."""
    scene = scenes.scene(1, planted=0.0)
    known = background.estimate(scene.cube, ridge=3e-3)
    other = scenes.confuser(scene.nm, scene.target, 3.0, np.random.default_rng(0))
    k = len(scene.target)
    model = feasibility.prepare(
        known, scene.target, sigma=np.zeros(k), center_nm=scene.nm, model_error=0.02, stretch=(1.0, 1.0)
    )
    around = scene.values[5:9, :, 5:15].transpose(0, 2, 1).reshape(-1, k).astype(np.float64)
    pixel = 0.6 * scene.target + 0.4 * around[0]
    group = Group.of(pixel[None], known.mean, around)
    ((margin,),) = competing.margins([group], model, scene.target, other[None], guesses=[0.6])
    loading = feasibility.signature_covariance(scene.target, np.zeros(k), scene.nm, 0.02)
    growth = np.clip(scene.target / known.mean, 1.0, feasibility.MAX_NOISE_RATIO)
    costs = []
    for signature in (scene.target, other):
        best = np.inf
        for f in np.arange(6, 19) / 20:
            d = np.diag(np.sqrt(1 - f + f * growth))
            p = feasibility.SCENE_SHARE * (1 - f) ** 2
            s = p * known.covariance + (1 - p) * d @ known.noise @ d + f * f * loading
            s += 2.0 * (1 - f) ** 2 * np.cov(around.T)
            s += np.diag(np.diag(known.noise)) * feasibility.JITTER
            y, inverse = pixel - (1 - f) * around.mean(axis=0), np.linalg.inv(s)
            gain = np.linspace(0.5, 1.5, 20_001)
            quadratic = (f * signature) @ inverse @ (f * signature)
            rest = y @ inverse @ y - 2 * gain * (y @ inverse @ (f * signature)) + gain**2 * quadratic
            best = min(best, rest.min() + np.linalg.slogdet(s)[1])
        costs.append(best)
    assert margin == pytest.approx(costs[1] - costs[0], rel=1e-3, abs=1e-2)


def test_only_other_materials_are_rivals() -> None:
    cube, target, other, _ = planted(1.5)
    rules = [
        scenes.rule_for(target, **RULE),
        scenes.rule_for(target, **{**RULE, "name": "the same by another name"}),
        scenes.rule_for(other, **RULE, method="mf"),
    ]
    (first, found), (second, _), _ = spectral.search(cube, rules)
    assert "competition" not in first.parameters
    assert not any(flag.startswith("or-") for each in found for flag in each.flags)
    told = second.parameters["competition"]  # the third rule is another material of another name
    assert isinstance(told, dict)
    assert told["rivals"] == ["sought"]


def test_a_margin_decides_or_it_does_not() -> None:
    assert not Contest().lost
    assert not Contest().tied
    assert Contest("b", -3.0).lost
    assert Contest("b", 1.0).tied
    assert Contest("b", -1.0).tied


def test_rates_of_false_discoveries_are_those_of_the_whole_search() -> None:
    cube, target, other, _ = planted(3.0)
    rules = [scenes.rule_for(target, **RULE), scenes.rule_for(other, **{**RULE, "name": "other"})]
    results = spectral.search(cube, rules)
    p, owner = [], []
    for score, _ in results:
        values = tails.p_value(score.tail, score.score.ravel())  # every pixel of every map
        p.append(values)
        owner.append(score)
    every = np.sort(np.concatenate(p))
    ratio = np.minimum.accumulate((every * len(every) / np.arange(1, len(every) + 1))[::-1])[::-1]
    for _, found in results:
        assert found
        for each in found:
            rank = np.searchsorted(every, each.p_value * (1 + 1e-12), side="right")
            assert each.q_value == pytest.approx(min(1.0, ratio[rank - 1]), rel=1e-6)
    one = [(results[0][0], (replace(results[0][1][0], q_value=0.5),))]
    assert competing.with_shared_rates(one)[0][1][0].q_value == 0.5  # one map: as it was
