"""Predicted rates of detection against planted pixels, closed forms and scenes made elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dronesense.detect import background, detectability, spectral
from dronesense.detect.detectability import Detectability
from dronesense.detect.detectors import Problem, ace, mf
from dronesense.detect.measures import cem

_SPEC = importlib.util.spec_from_file_location(
    "spectral_scenes", Path(__file__).with_name("spectral_scenes.py")
)
spectral_scenes = importlib.util.module_from_spec(_SPEC)
sys.modules["spectral_scenes"] = spectral_scenes
_SPEC.loader.exec_module(spectral_scenes)

NM = np.linspace(400.0, 1000.0, 20)


def gaussian() -> tuple[background.Background, np.ndarray]:
    """A background of independent bands without texture, and a target five deviations away in one band."""
    values = np.random.default_rng(0).normal(1.0, 0.1, size=(120, 20, 120))
    known = background.estimate(spectral_scenes.cube_of(values, NM), ridge=0.0)
    target = np.ones(20)
    target[7] += 0.5
    return known, target


def problem(known: background.Background, target: np.ndarray) -> Problem:
    return Problem(target, known, NM, target[None], np.empty((0, len(target))))


def test_a_gaussian_background_has_a_closed_form() -> None:
    # The matched filter of x = (1 - f) b + f t, noise kept whole, is normal: mean f, deviation 1 / 5.
    known, target = gaussian()
    made = detectability.predict(
        detectability.prepare(known, NM),
        mf.prepare(problem(known, target)),
        target,
        sigma=np.full(20, np.nan),
        threshold=0.6,
    )
    expected = stats.norm.sf((0.6 - made.fill) * 5.0)
    np.testing.assert_allclose(made.found, expected, atol=0.03)
    assert made.limit(0.5) == pytest.approx(0.6, abs=0.02)
    assert made.limit(0.9) == pytest.approx(0.6 + stats.norm.ppf(0.9) / 5.0, abs=0.03)


def test_a_signature_of_unknown_error_is_found_less_surely() -> None:
    known, target = gaussian()
    trial, scorer = detectability.prepare(known, NM), ace.prepare(problem(known, target))
    sure, unsure = (
        detectability.predict(trial, scorer, target, sigma=np.full(20, sigma), threshold=0.4).at(1.0)
        for sigma in (0.0, 0.2)
    )
    assert unsure < sure - 0.1


def test_detectors_that_need_the_pixels_get_them() -> None:
    known, target = gaussian()
    trial = detectability.prepare(known, NM)
    options = {"sigma": np.zeros(20), "threshold": 0.5}
    one = detectability.predict(trial, cem.prepare(problem(known, target)), target, **options)
    weight = cem.prepare(problem(known, target)).rows[0]
    for fill, found in ((0.0, one.at(0.0)), (0.5, one.at(0.5)), (1.0, one.at(1.0))):
        noise = np.sqrt(1.0 - (1.0 - fill) ** 2) * trial.noise
        mixed = (1.0 - fill) * (trial.pixels + known.mean) + fill * target + noise
        assert np.mean(mixed @ weight >= 0.5) == pytest.approx(float(found), abs=1e-3)


def test_limits_need_a_rate_that_is_kept() -> None:
    fill = np.array([0.0, 0.5, 1.0])
    assert np.isnan(Detectability(fill, np.array([0.0, 0.95, 0.6])).limit(0.9))  # lost again when full
    assert Detectability(fill, np.array([0.95, 1.0, 1.0])).limit(0.9) == 0.0
    told = Detectability(fill, np.array([0.0, 0.2, 0.6])).summary("blue", 1e-5)
    assert told["fill_found_9_in_10"] is None
    assert (
        told["text"]
        == "blue: even a full pixel is found only 60% of the time at 1e-05 false alarms per pixel"
    )


@pytest.mark.parametrize("method", ["mf", "ace", "sam"])
def test_planted_pixels_are_found_as_often_as_predicted(method: str) -> None:
    scene = spectral_scenes.scene(0, planted=0.0)
    rng = np.random.default_rng(1)
    ((score, _),) = spectral.search(scene.cube, [scene.rule(method, false_alarm_rate=1e-3)])
    told = score.parameters["detection_limit"]
    assert isinstance(told, dict)
    for fill in (0.05, 0.1, 0.2, 0.4):
        values = scene.values.copy()
        rows, _, cols = values.shape
        row, col = rng.integers(0, rows, 120), rng.integers(0, cols - 1, 120)
        noise = (values[row, :, col + 1] - values[row, :, col]) / np.sqrt(2.0) * np.sqrt(1 - (1 - fill) ** 2)
        values[row, :, col] = (1 - fill) * values[row, :, col] + fill * scene.target + noise
        ((planted, _),) = spectral.search(
            spectral_scenes.cube_of(values, scene.nm), [scene.rule(method, threshold=score.threshold)]
        )
        found = np.mean(planted.score[row, col] >= score.threshold)
        chance = 1.64 * np.sqrt(0.25 / 120)
        assert abs(found - told["probability_at_fill"][f"{fill:g}"]) < 0.10 + chance, (method, fill)
