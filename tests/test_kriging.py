"""Local kriging against a peer, on planted fields, and by coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dronesense.hotspots import kriging
from dronesense.hotspots.kriging import Variogram

X, Y, Z = (np.array(v, dtype=np.float64) for v in ([0, 10, 0, 10, 4], [0, 0, 10, 10, 6], [1, 3, 2, 5, 4]))


@pytest.mark.parametrize(
    ("model", "place", "mean", "variance"),
    [
        ("exponential", (5.0, 5.0), 3.63729431, 1.467036702),
        ("spherical", (5.0, 5.0), 3.743027273, 0.979536528),
        ("spherical", (8.0, 2.0), 3.330682992, 1.356496536),
    ],
)
def test_equals_pykrige(model: Any, place: tuple[float, float], mean: float, variance: float) -> None:
    at_x, at_y = np.array([place[0]]), np.array([place[1]])
    found, spread = kriging.krige(X, Y, Z, at_x, at_y, variogram=Variogram(model, 3.0, 15.0, 0.2))
    assert found[0] == pytest.approx(mean, abs=1e-6)
    assert spread[0] == pytest.approx(variance, abs=1e-6)


def test_many_places_equal_pykrige_in_the_same_run() -> None:
    pykrige = pytest.importorskip("pykrige.ok")
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0.0, 100.0, size=(2, 60))
    z = np.sin(x / 20.0) + np.cos(y / 15.0)
    peer = pykrige.OrdinaryKriging(
        x, y, z, "exponential", variogram_parameters={"sill": 1.5, "range": 60.0, "nugget": 0.1}
    )
    to_x, to_y = rng.uniform(0.0, 100.0, size=(2, 40))
    wanted, spread = peer.execute("points", to_x, to_y)
    found, variance = kriging.krige(x, y, z, to_x, to_y, variogram=Variogram("exponential", 1.5, 60.0, 0.1))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(variance, spread, atol=1e-6)


def simulated(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A Gaussian field with an exponential variogram of sill 2, range 30, nugget 0.2."""
    x, y = rng.uniform(0.0, 100.0, size=(2, n))
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    cov = 1.8 * np.exp(-3.0 * distance / 30.0) + 0.2 * np.eye(n)
    return x, y, np.linalg.cholesky(cov) @ rng.normal(size=n)


@pytest.mark.once
def test_the_stated_uncertainty_covers_and_neighbors_suffice() -> None:
    rng = np.random.default_rng(2)
    variogram = Variogram("exponential", 2.0, 30.0, 0.2)
    inside, total, apart = 0, 0, []
    for _ in range(12):
        x, y, z = simulated(rng, 400)
        args = (x[:350], y[:350], z[:350], x[350:], y[350:])
        local, spread = kriging.krige(*args, variogram=variogram, neighbors=64)
        everything, _ = kriging.krige(*args, variogram=variogram, neighbors=350)
        apart.append(float(np.sqrt(np.mean((local - everything) ** 2))))
        inside += int(np.count_nonzero(np.abs(local - z[350:]) <= 1.645 * np.sqrt(spread)))
        total += 50
    assert inside / total == pytest.approx(0.90, abs=0.03)
    assert max(apart) < 0.07  # of a field with a standard deviation of 1.4


def test_a_grid_by_tiles_is_near_the_grid_by_single_places() -> None:
    rng = np.random.default_rng(3)
    x, y, z = simulated(rng, 300)
    to_x, to_y = np.meshgrid(np.arange(10.0, 33.0), np.arange(10.0, 31.0))
    variogram = Variogram("exponential", 2.0, 30.0, 0.2)
    tiled, _ = kriging.krige(x, y, z, to_x, to_y, variogram=variogram)
    single, _ = kriging.krige(x, y, z, to_x.ravel(), to_y.ravel(), variogram=variogram)
    assert tiled.shape == to_x.shape
    assert np.max(np.abs(tiled.ravel() - single)) < 0.02


def test_samples_at_one_place_make_no_trouble() -> None:
    x = np.repeat([0.0, 5.0, 10.0], 3)
    found, _ = kriging.krige(
        x, x, np.tile([1.0, 2.0, 3.0], 3), np.array([5.0]), np.array([5.0]),
        variogram=Variogram("spherical", 1.0, 20.0), noise_variance=0.1,
    )  # fmt: skip
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(2.0, abs=1e-6)


def test_a_planted_variogram_is_found() -> None:
    rng = np.random.default_rng(4)
    found = [kriging.fit_variogram(*simulated(rng, 500), max_distance_m=50.0, rng=rng) for _ in range(6)]
    assert np.median([each.sill for each in found]) == pytest.approx(2.0, rel=0.35)
    assert np.median([each.range_m for each in found]) == pytest.approx(30.0, rel=0.4)
    with pytest.raises(ValueError, match="at least 10 samples"):
        kriging.fit_variogram(X, Y, Z, rng=rng)
