"""Shares of materials beside SciPy's solvers and the conditions of the optimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from dronesense.detect.unmixing import shares


def draw(seed: int, n: int = 60, p: int = 5, k: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    materials = rng.uniform(0.05, 0.6, size=(p, k))
    mixed = rng.dirichlet(np.full(p, 0.5), size=n) * rng.uniform(0.5, 1.5, size=(n, 1))
    return mixed @ materials + 0.05 * rng.normal(size=(n, k)), materials


@settings(max_examples=30)
@given(st.integers(0, 200), st.integers(1, 9))
def test_non_negative_shares_equal_scipy(seed: int, p: int) -> None:
    pixels, materials = draw(seed, p=p)
    found, rest = shares(pixels, materials)
    for one, here, left in zip(pixels, found, rest, strict=True):
        expected, norm = nnls(materials.T, one)
        np.testing.assert_allclose(here, expected, atol=1e-8)
        assert left == pytest.approx(norm, abs=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 200), st.integers(1, 9))
def test_shares_that_sum_to_one_are_optimal(seed: int, p: int) -> None:
    # Karush-Kuhn-Tucker: one price for all materials that are present, none cheaper among the absent
    pixels, materials = draw(seed, p=p)
    found, _ = shares(pixels, materials, sum_to_one=True)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)
    assert found.min() >= 0.0
    gradient = (found @ materials - pixels) @ materials.T
    for here, slope in zip(found, gradient, strict=True):
        price = slope[here > 1e-9]
        np.testing.assert_allclose(price, price[0], atol=1e-8)
        assert np.all(slope >= price[0] - 1e-8)


def test_planted_shares_come_back() -> None:
    rng = np.random.default_rng(1)
    _, materials = draw(1, p=6, k=50)
    truth = rng.dirichlet(np.full(6, 0.3), size=500)
    for sum_to_one in (False, True):
        found, rest = shares(truth @ materials, materials, sum_to_one=sum_to_one)
        np.testing.assert_allclose(found, truth, atol=1e-8)
        assert rest.max() < 1e-9


def test_dependent_spectra_are_refused() -> None:
    with pytest.raises(ValueError, match="dependent"):
        shares(np.ones((1, 3)), np.ones((2, 3)))
