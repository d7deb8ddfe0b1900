"""Shares of materials beside SciPy's solvers and the conditions of the optimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from dronesense.detect import unmixing
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
    found = shares(pixels, materials)
    for one, here, left in zip(pixels, found.share, found.rest, strict=True):
        expected, norm = nnls(materials.T, one)
        np.testing.assert_allclose(here, expected, atol=1e-8)
        assert left == pytest.approx(norm, abs=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 200), st.integers(1, 9))
def test_shares_that_sum_to_one_are_optimal(seed: int, p: int) -> None:
    # Karush-Kuhn-Tucker: one price for all materials that are present, none cheaper among the absent
    pixels, materials = draw(seed, p=p)
    found = shares(pixels, materials, sum_to_one=True).share
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
        found = shares(truth @ materials, materials, sum_to_one=sum_to_one)
        np.testing.assert_allclose(found.share, truth, atol=1e-8)
        assert found.rest.max() < 1e-9


def test_dependent_spectra_are_refused() -> None:
    with pytest.raises(ValueError, match="dependent"):
        shares(np.ones((1, 3)), np.ones((2, 3)))


def test_spectra_that_are_nearly_alike_are_told_apart() -> None:
    # condition 1e5: the normal equations would keep 6 digits, the orthogonal form keeps 11
    rng = np.random.default_rng(5)
    materials = rng.uniform(0.1, 0.6, size=(4, 30))
    materials[1] = materials[0] + 1e-5 * rng.normal(size=30)
    truth = rng.dirichlet(np.full(4, 0.7), size=300)
    for sum_to_one in (False, True):
        found = shares(truth @ materials, materials, sum_to_one=sum_to_one)
        np.testing.assert_allclose(found.share, truth, atol=1e-8)
    noisy = truth @ materials + 1e-3 * rng.normal(size=(300, 30))
    found = shares(noisy, materials)
    for one, here, left in zip(noisy, found.share, found.rest, strict=True):
        expected, norm = nnls(materials.T, one)
        np.testing.assert_allclose(here, expected, atol=1e-8)
        assert left == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize("sum_to_one", [False, True])
def test_pixel_by_pixel_gives_the_same(monkeypatch: pytest.MonkeyPatch, sum_to_one: bool) -> None:
    pixels, materials = draw(3, n=200)
    expected = shares(pixels, materials, sum_to_one=sum_to_one)
    monkeypatch.setattr(unmixing, "MAX_ROUNDS", 1)
    found = shares(pixels, materials, sum_to_one=sum_to_one)
    np.testing.assert_allclose(found.share, expected.share, atol=1e-10)
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=1e-8)
    np.testing.assert_array_equal(found.share == 0.0, expected.share == 0.0)


@pytest.mark.parametrize("sum_to_one", [False, True])
def test_shares_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch, sum_to_one: bool) -> None:
    monkeypatch.setattr(unmixing, "PIXELS_AT_ONCE", 64)
    pixels, materials = draw(4, n=1000)
    one, two = (shares(pixels, materials, sum_to_one=sum_to_one, workers=n) for n in (1, 2))
    for field in ("share", "sigma", "rest"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


@pytest.mark.parametrize("sum_to_one", [False, True])
def test_pixels_that_are_not_finite_or_black(sum_to_one: bool) -> None:
    pixels, materials = draw(6, n=6)
    pixels[1, 3], pixels[5, :2] = np.nan, (np.inf, -np.inf)
    pixels[2] = 0.0
    found = shares(pixels, materials, sum_to_one=sum_to_one)
    for one in (1, 5):
        assert np.isnan(found.share[one]).all()
        assert np.isnan(found.sigma[one]).all()
    alone = shares(pixels[3:5], materials, sum_to_one=sum_to_one)
    np.testing.assert_allclose(found.share[3:5], alone.share, rtol=1e-12, atol=1e-15)
    if sum_to_one:
        assert found.share[2].sum() == pytest.approx(1.0)
    else:
        np.testing.assert_array_equal(found.share[2], 0.0)
    assert shares(pixels[:0], materials).share.shape == (0, 5)


def brute_sigma(materials: np.ndarray, at: np.ndarray, *, sum_to_one: bool) -> np.ndarray:
    """Return sigmas for unit noise of the materials *at*, by substitution of the last share."""
    if not sum_to_one:
        return np.sqrt(np.diag(np.linalg.inv(materials[at] @ materials[at].T)))
    if len(at) == 1:
        return np.zeros(1)
    free = materials[at[:-1]] - materials[at[-1]]
    covariance = np.linalg.inv(free @ free.T)
    return np.sqrt(np.append(np.diag(covariance), covariance.sum()))


@pytest.mark.parametrize("sum_to_one", [False, True])
def test_sigma_is_that_of_least_squares_with_the_present_materials(sum_to_one: bool) -> None:
    pixels, materials = draw(7, n=80)
    found = shares(pixels, materials, sum_to_one=sum_to_one)
    for share, sigma, rest in zip(found.share, found.sigma, found.rest, strict=True):
        present = np.flatnonzero(share)
        unit = rest / np.sqrt(materials.shape[1] - len(present) + sum_to_one)
        np.testing.assert_allclose(
            sigma[present],
            unit * brute_sigma(materials, present, sum_to_one=sum_to_one),
            rtol=1e-8,
            atol=1e-12,
        )
        for absent in np.flatnonzero(share == 0.0):
            with_it = brute_sigma(materials, np.append(absent, present), sum_to_one=sum_to_one)
            assert sigma[absent] == pytest.approx(unit * with_it[0], rel=1e-8)


@pytest.mark.parametrize("sum_to_one", [False, True])
def test_given_noise_weighs_bands_and_sigma_is_the_spread(sum_to_one: bool) -> None:
    rng = np.random.default_rng(8)
    _, materials = draw(8, p=4, k=30)
    mixing = rng.normal(size=(30, 30))
    noise = 1e-5 * (mixing @ mixing.T / 30 + np.diag(np.linspace(0.1, 3.0, 30)))
    truth = np.array([0.4, 0.3, 0.2, 0.1])
    pixels = truth @ materials + rng.multivariate_normal(np.zeros(30), noise, size=20_000)
    found = shares(pixels, materials, sum_to_one=sum_to_one, noise=noise)
    assert (found.share > 0.0).all()
    # 20,000 draws: means to 4 standard errors, spreads to 4 / sqrt(2 n) = 2 %
    sigma = found.sigma[0]
    np.testing.assert_allclose(found.share.mean(axis=0), truth, atol=4.0 * sigma.max() / np.sqrt(20_000))
    np.testing.assert_allclose(found.share.std(axis=0), sigma, rtol=0.02)
    assert np.mean(found.rest**2) == pytest.approx(30 - 4 + sum_to_one, rel=0.02)
    plain = shares(pixels, materials, sum_to_one=sum_to_one)
    assert (plain.share.std(axis=0) > found.share.std(axis=0)).all()


def test_sigma_is_not_stated_without_spare_bands() -> None:
    pixels, materials = (
        np.array([[1.0, 2.0, 3.0]]),
        np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    )
    found = shares(pixels, materials)
    np.testing.assert_allclose(found.share, pixels)
    assert np.isnan(found.sigma).all()
    np.testing.assert_allclose(
        shares(pixels, materials, noise=np.diag([4.0, 1.0, 9.0])).sigma, [[2.0, 1.0, 3.0]]
    )
