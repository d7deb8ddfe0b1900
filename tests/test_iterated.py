"""Targets are left out of their own background, in rounds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from dronesense.detect import iterated, spectral
from dronesense.detect import tail as tails

pytestmark = pytest.mark.once

_SPEC = importlib.util.spec_from_file_location(
    "spectral_scenes", Path(__file__).with_name("spectral_scenes.py")
)
scenes = importlib.util.module_from_spec(_SPEC)
sys.modules["spectral_scenes"] = scenes
_SPEC.loader.exec_module(scenes)


def contaminated() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gaussian ground (100 x 100 x 12), 1.5 % of it whole pixels of a target; the target, and where it is."""
    rng = np.random.default_rng(3)
    ground = 0.3 + 0.03 * rng.normal(size=(100, 1, 100)) + 0.01 * rng.normal(size=(100, 12, 100))
    target = 0.3 + 0.12 * np.sin(np.arange(12.0))
    where = np.zeros((100, 100), dtype=bool)
    where[20:30, 20:35] = True
    ground.transpose(0, 2, 1)[where] = target + 0.01 * rng.normal(size=(150, 12))
    return ground, target, where


def test_targets_in_the_background_no_longer_hide_themselves() -> None:
    values, target, where = contaminated()
    cube = scenes.cube_of(values, np.linspace(450.0, 900.0, 12))
    sought = target + 0.01 * np.cos(2.0 * np.arange(12.0))  # no reference is exact
    rules = [
        scenes.rule_for(sought, method="mf", false_alarm_rate=1e-4, background=kind)
        for kind in ("scene", "iterated")
    ]
    (plain, _), (clean, found) = spectral.search(cube, rules)
    away = ~where
    outstanding = [float(each.score[where].mean() / each.score[away].std()) for each in (plain, clean)]
    assert outstanding[1] > 1.2 * outstanding[0]
    offset = sought - 0.3
    covariance = 0.03**2 * np.ones((12, 12)) + 0.01**2 * np.eye(12)  # that the ground was made with
    expected = offset @ np.linalg.solve(covariance, offset)
    assert float(clean.parameters["contrast"]) == pytest.approx(expected, rel=0.15)  # type: ignore[arg-type]
    assert float(plain.parameters["contrast"]) < 0.6 * expected  # type: ignore[arg-type]
    told = clean.parameters
    assert 150 <= told["excluded_pixels"] < 150 + 0.02 * 10_000  # type: ignore[operator]
    assert 1 <= told["rounds"] <= iterated.MAX_ROUNDS  # type: ignore[operator]
    assert any("left out that score above" in line for line in told["history"])  # type: ignore[union-attr]
    assert sum(where[tuple(pixel)] for each in found for pixel in each.index.tolist()) == 150


def test_the_rates_hold_where_nothing_is_planted() -> None:
    above, pixels = np.zeros(2), 0
    for seed in range(40, 46):
        scene = scenes.scene(seed, planted=0.0)
        rule = scene.rule("mf", threshold=1e30, background="iterated")
        ((score, _),) = spectral.search(scene.cube, [rule])
        assert score.tail is not None
        above += [np.sum(score.score >= tails.score_at(score.tail, rate)) for rate in (1e-2, 1e-3)]
        pixels += score.score.size
    ratio = above / pixels / np.array([1e-2, 1e-3])
    assert ((ratio > 0.5) & (ratio < 2.0)).all(), ratio


def test_neighbors_of_high_pixels_go_with_them() -> None:
    score = np.random.default_rng(0).normal(size=(1, 60, 60)).astype(np.float32)
    tail = tails.fit(score[0])
    score[0] = 0.0
    score[0, 10, 0] = 99.0
    expected = np.zeros((60, 60), dtype=bool)
    expected[9:12, 0:2] = True
    np.testing.assert_array_equal(iterated.high_pixels(score, [tail]), expected)
    assert not iterated.high_pixels(score, [None]).any()
    assert iterated.stable(expected, expected)
    assert not iterated.stable(~expected, expected)


def test_anomalies_cannot_leave_themselves_out() -> None:
    values, _, _ = contaminated()
    cube = scenes.cube_of(values, np.linspace(450.0, 900.0, 12))
    rule = scenes.DetectRule("anomaly", method="rx", background="iterated")
    with pytest.raises(ValueError, match="needs a signature"):
        spectral.search(cube, [rule])
