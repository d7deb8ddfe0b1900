"""The matched filter with infeasibility: planted mixtures beside pixels of equal fraction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dronesense.detect import mtmf
from dronesense.detect.background import Background, factor
from dronesense.detect.detectors import Problem, Products

K = 20


def scene(seed: int) -> tuple[Problem, np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = 0.05 * rng.normal(size=(K, 4))
    noise = np.diag(np.full(K, 0.004**2))
    covariance = root @ root.T + noise
    mean, target = np.full(K, 0.3), 0.3 + 0.1 * rng.normal(size=K)
    whitening, condition = factor(covariance, ridge=0.0, where="")
    sample = (mean + rng.multivariate_normal(np.zeros(K), covariance, size=400)).astype(np.float32)
    background = Background(
        np.arange(K), mean, covariance, noise, 0.0, whitening, condition, sample, 400, 0, ()
    )
    return Problem(target, background, np.arange(K, dtype=float), target[None], np.empty((0, K))), rng, root


def scored(problem: Problem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score and matched-filter fraction of pixels (n, K)."""
    known = problem.background
    scorer = mtmf.mtmf.prepare(problem)
    inverse = np.linalg.inv(known.covariance)
    d, t = x - known.mean, problem.target - known.mean
    fraction = (d @ inverse @ t / (t @ inverse @ t)).astype(np.float32)
    products = Products(fraction, fraction, 1.0)
    return scorer.score(replace(products, centered=(scorer.centered @ d.T).astype(np.float32))), fraction


def test_mixtures_score_their_fraction_and_false_ones_of_equal_fraction_less() -> None:
    problem, rng, root = scene(1)
    known = problem.background
    fill = np.repeat([0.3, 0.5, 0.8], 200)[:, None]
    ground = known.mean + rng.normal(size=(600, 4)) @ root.T
    true = (1 - fill) * ground + fill * problem.target + 0.004 * rng.normal(size=(600, K))
    # Another material: the same answer of the matched filter, elsewhere otherwise
    inverse = np.linalg.inv(known.covariance)
    t = problem.target - known.mean
    other = 0.1 * rng.normal(size=(600, K))
    other -= np.outer(other @ inverse @ t / (t @ inverse @ t), t)
    good, fraction = scored(problem, true)
    false, same = scored(problem, true + other)
    np.testing.assert_allclose(same, fraction, atol=1e-4)
    assert (false < 0.3 * fraction).all()
    assert (good > 0.5 * fraction).all()  # chi-square of 20 bands reaches 4 * 20 once in 1e8
    assert np.median(good / fraction) > 0.9
    for some in np.split(np.arange(600), 3):
        assert false[some].max() < good[some].min()


def test_the_axes_make_noise_and_background_diagonal() -> None:
    problem, _, _ = scene(2)
    matrix, variance = mtmf.axes(problem)
    known = problem.background
    np.testing.assert_allclose(matrix @ known.noise @ matrix.T, np.eye(K), atol=1e-9)
    np.testing.assert_allclose(
        matrix @ known.covariance @ matrix.T, np.diag(variance), atol=1e-9 * variance.max()
    )


def test_infeasibility_is_the_distance_in_the_mixed_covariance() -> None:
    problem, rng, _ = scene(3)
    known = problem.background
    x = known.mean + 0.05 * rng.normal(size=(50, K))
    found, fraction = scored(problem, x)
    for one, f, got in zip(x, fraction.astype(float), found, strict=True):
        p = (1 - min(max(f, 0.0), 1.0)) ** 2
        spread = p * known.covariance + (1 - p) * known.noise
        rest = one - known.mean - f * (problem.target - known.mean)
        infeasible = np.sqrt(rest @ np.linalg.inv(spread) @ rest / K)
        np.testing.assert_allclose(got, f / max(1.0, infeasible), rtol=1e-3, atol=1e-5)
