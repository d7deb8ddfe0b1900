"""Shares as detectors: planted mixtures, and the choice of background spectra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dronesense.detect import mixtures
from dronesense.detect.background import Background
from dronesense.detect.detectors import NONE, Detector, Problem, Products

K = 12


def problem(seed: int, others: int = 0) -> tuple[Problem, np.ndarray]:
    """A background that is mixed of three spectra, each pure somewhere; and these."""
    rng = np.random.default_rng(seed)
    pure = rng.uniform(0.1, 0.6, size=(3, K))
    share = np.concatenate([np.eye(3), 0.9 * rng.dirichlet(np.ones(3), size=300) + 0.1 / 3])
    sample = (share @ pure)[rng.permutation(303)].astype(np.float32)
    target = rng.uniform(0.1, 0.6, size=K)
    background = Background(
        np.arange(K), sample.mean(axis=0), np.eye(K), np.eye(K), 0.0, np.eye(K), 1.0, sample, 1, 0, ()
    )
    more = rng.uniform(0.1, 0.6, size=(others, K))
    return Problem(target, background, np.arange(K, dtype=float), target[None], more), pure


def scored(detector: Detector, given: Problem, x: np.ndarray) -> np.ndarray:
    products = replace(Products(NONE, NONE, 1.0), spectra=np.ascontiguousarray(x.T, dtype=np.float32))
    return detector.prepare(given).score(products)


@pytest.mark.parametrize("seed", range(5))
def test_the_pure_spectra_are_found(seed: int) -> None:
    given, pure = problem(seed)
    made = mixtures.materials(given)
    np.testing.assert_array_equal(made[0], given.target)
    apart = np.abs(made[1:, None] - pure[None]).max(axis=2)
    assert len(made) == 4
    assert (apart.min(axis=0) < 1e-6).all()


@pytest.mark.parametrize("detector", [mixtures.nnls, mixtures.fcls], ids=lambda one: one.name)
def test_planted_shares_come_back(detector: Detector) -> None:
    given, pure = problem(9)
    rng = np.random.default_rng(2)
    fill = np.linspace(0.0, 1.0, 50)[:, None]
    x = fill * given.target + (1 - fill) * rng.dirichlet(np.ones(3), size=50) @ pure
    np.testing.assert_allclose(scored(detector, given, x), fill[:, 0], atol=1e-5)


def test_what_light_does() -> None:
    given, pure = problem(3)
    x = 0.4 * given.target + 0.6 * pure.mean(axis=0)
    found = scored(mixtures.nnls, given, np.outer([1.0, 0.5, 2.0], x))
    np.testing.assert_allclose(found, [0.4, 0.2, 0.8], atol=1e-5)
    assert scored(mixtures.fcls, given, np.outer([1.0, 0.5], x))[1] != pytest.approx(0.2, abs=0.02)


def test_other_signatures_are_materials_unless_they_repeat_the_target() -> None:
    given, _ = problem(4, others=2)
    repeated = replace(given, others=np.concatenate([given.others, 2.0 * given.target[None]]))
    made = mixtures.materials(repeated)
    np.testing.assert_array_equal(made[:3], np.concatenate([given.target[None], given.others]))
    assert len(made) == 6
    assert np.linalg.matrix_rank(made) == 6
