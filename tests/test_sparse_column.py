"""The sparse filter equals the published equations, written out plainly, to 1e-4."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.detect.sparse_column import sparse_filter
from dronesense.errors import CoverageError


def published(x: np.ndarray, k: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Foote et al. 2020 for one group (n, b): every round from all pixels."""
    n = len(x)
    mu = x.mean(axis=0)
    r = x @ mu / (mu @ mu)
    t = k * mu
    alpha = np.zeros(n)
    for i in range(rounds + 1):
        clean = x - np.outer(r * alpha, t)
        weight = 1.0 / (r * (alpha + 1e-4)) if i else np.zeros(n)
        mu = clean.mean(axis=0)
        t = k * mu
        p = np.linalg.solve((clean - mu).T @ (clean - mu) / n, t)
        alpha = np.maximum(((x - mu) @ p - weight) / (r * (t @ p)), 0.0)
    return alpha, r


def group(seed: int, n: int = 700, b: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    k = -1e-5 * rng.random(b) * (rng.random(b) < 0.5)
    ground = 1.0 + 0.3 * rng.normal(size=(n, 3)) @ np.cumsum(rng.normal(size=(3, b)), axis=1) / 8.0
    truth = np.where(rng.random(n) < 0.03, rng.uniform(1000.0, 8000.0, n), 0.0)
    light = np.abs(ground) + 0.3
    return light * np.exp(np.outer(truth, k)) + 0.002 * rng.normal(size=(n, b)), k, truth


@pytest.mark.parametrize("rounds", [0, 1, 5, 30])
def test_equal_to_the_published_equations(rounds: int) -> None:
    x, k, _ = group(0)
    more = group(1)[0]
    found = sparse_filter(np.stack([x, more]), k, rounds=rounds)
    for i, each in enumerate((x, more)):
        expected, albedo = published(each, k, rounds)
        np.testing.assert_allclose(found.value[i], expected, atol=1e-4 * expected.max())
        np.testing.assert_allclose(found.albedo[i], albedo, rtol=1e-12)


def test_most_are_zero_and_plumes_are_not() -> None:
    x, k, truth = group(2)
    found = sparse_filter(x[None], k)
    assert np.mean(found.value[0][truth == 0.0] == 0.0) > 0.9
    strong = truth > 6.0 * found.sigma[0]
    assert strong.sum() > 5
    assert np.all(found.value[0][strong] > 0.0)


def test_zeroed_below_two_deviations() -> None:
    """``alpha = a - s**2 / alpha`` has no solution below ``a = 2 s``, where alpha would be s."""
    x, k, _ = group(3)
    found = sparse_filter(x[None], k, rounds=300)
    above = found.value[0][found.value[0] > 0.0] / found.sigma[0][found.value[0] > 0.0]
    assert above.min() > 0.95


def test_too_few_pixels() -> None:
    x, k, _ = group(4, n=20)
    with pytest.raises(CoverageError, match="singular"):
        sparse_filter(x[None], k)
