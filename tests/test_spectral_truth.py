"""Stated against realized false-alarm rates, on made-up scenes that no constant was chosen on.

The full tables are those of benchmarks/spectral_truth.py.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import io, ndimage, stats

from dronesense.detect import spectral
from dronesense.detect import tail as tails

pytestmark = pytest.mark.once

_SPEC = importlib.util.spec_from_file_location(
    "spectral_scenes", Path(__file__).with_name("spectral_scenes.py")
)
scenes = importlib.util.module_from_spec(_SPEC)
sys.modules["spectral_scenes"] = scenes
_SPEC.loader.exec_module(scenes)

METHODS = ("mf", "ace", "sam", "cem")
STATED = (1e-2, 1e-3, 1e-4)


def exceeded(found: tuple, away: np.ndarray) -> np.ndarray:
    """Background pixels (methods, rates) that reach the score of each stated rate."""
    return np.array(
        [[np.sum(s.score[away] >= tails.score_at(s.tail, rate)) for rate in STATED] for s, _ in found]
    )


@pytest.mark.parametrize("planted", [0.0, 0.01])
def test_stated_rates_hold_over_made_up_scenes(planted: float) -> None:
    counts, pixels = np.zeros((len(METHODS), len(STATED))), 0
    for seed in range(2000, 2008):
        scene = scenes.scene(seed, planted=planted)
        rules = [scene.rule(method, threshold=1e30) for method in METHODS]
        counts += exceeded(spectral.search(scene.cube, rules), scene.away)
        pixels += int(scene.away.sum())
    expected = pixels * np.array(STATED)
    least, most = stats.poisson.ppf(0.01, expected / 2.0), stats.poisson.ppf(0.99, expected * 2.0)
    assert np.all((counts >= least) & (counts <= most)), counts / expected
    assert np.all(np.abs(counts[:, 0] / expected[0] - 1.0) < 0.2), counts / expected


@pytest.mark.parametrize("name", ["sandiego_b/sandiego_plane", "abu/abu-airport-1", "abu/abu-airport-2"])
def test_stated_rates_hold_over_real_scenes(shared_data: Path, name: str) -> None:
    content = io.loadmat(shared_data / f"spectral/detect/{name}.mat")
    x, mask = content["data"].astype(np.float32), content["map"] > 0
    away = ~ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=2)
    cube = scenes.cube_of(x.transpose(0, 2, 1), np.full(x.shape[2], np.nan), "counts")
    rules = [
        scenes.rule_for(x[mask].mean(axis=0, dtype=float), "counts", method=m, threshold=1e30)
        for m in METHODS
    ]
    ratio = exceeded(spectral.search(cube, rules), away) / away.sum() / np.array(STATED)
    assert np.all((ratio[:, 0] > 0.5) & (ratio[:, 0] < 2.0)), ratio
    assert np.all(ratio[:, 1] < 2.0), ratio  # 9 pixels expected


def test_what_is_learned_on_half_of_the_lines_holds_on_the_others() -> None:
    counts, pixels = np.zeros(2), 0
    for seed in range(2000, 2006):
        scene = scenes.scene(seed, planted=0.002)
        ((score, _),) = spectral.search(scene.cube, [scene.rule("ace", threshold=1e30)])
        turn = np.arange(scene.away.shape[0]) // 10 % 2 == 0
        ace = np.clip(score.score, -0.999, 0.999)
        stands_out = np.sign(ace) * np.sqrt(np.abs(ace) / (1.0 - np.abs(ace)))  # along / across the target
        for learn, rest in ((turn, ~turn), (~turn, turn)):
            known = tails.fit(score.score[learn], exclude=tails.suspects(stands_out[learn]))
            background = score.score[rest][scene.away[rest]]
            counts += [np.sum(background >= tails.score_at(known, rate)) for rate in STATED[:2]]
            pixels += len(background)
    ratio = counts / pixels / np.array(STATED[:2])
    assert np.all((ratio > 0.5) & (ratio < 2.0)), ratio
