"""The kriging map's band holds against unseen lines and against the planted truth."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.hotspots import kernel_map, kriging
from dronesense.hotspots.kriging import Variogram
from dronesense.hotspots.kriging_map import kriging_map, unseen_errors

CRS = "EPSG:32632"


def planted(rng: np.random.Generator, *, noise: float) -> tuple[np.ndarray, ...]:
    """Noisy lines of 60 m, 6 m apart, and 200 places between them: a field of sill 2 and range 30."""
    along, line = np.meshgrid(np.arange(0.0, 60.0, 2.0), np.arange(11))
    x = np.concatenate([along.ravel(), rng.uniform(0.0, 60.0, 200)])
    y = np.concatenate([6.0 * line.ravel(), rng.uniform(0.0, 60.0, 200)])
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    field = np.linalg.cholesky(2.0 * np.exp(-3.0 * distance / 30.0) + 1e-9 * np.eye(x.size))
    truth = field @ rng.normal(size=x.size)
    n = along.size
    return x, y, truth, truth[:n] + noise * rng.normal(size=n), line.ravel()


def make(x, y, value, line, *, seed=0, inside=None, cell=1.0, sigma=0.0):  # type: ignore[no-untyped-def]
    grid = kernel_map.grid_around(x, y, cell_m=cell, margin_m=4.0, crs=CRS)
    everywhere = np.ones(grid.shape, dtype=bool) if inside is None else inside(grid)
    return grid, kriging_map(
        x, y, value, line, species="CH4", unit="ppm", grid=grid, inside=everywhere, width_m=4.0,
        spacing_m=2.0, rng=np.random.default_rng(seed), sigma=sigma,
    )  # fmt: skip


def at(grid: kernel_map.Grid, layer: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rows, columns = np.rint((grid.north - y) / grid.cell), np.rint((x - grid.west) / grid.cell)
    return np.asarray(layer[rows.astype(int), columns.astype(int)], dtype=np.float64)


def test_the_band_holds_the_field_between_the_lines() -> None:
    """A further noisy average lies within the 90 % band 9 times out of 10, on ten planted fields."""
    rng = np.random.default_rng(1)
    held, total = 0, 0
    for _ in range(10):
        x, y, truth, value, line = planted(rng, noise=0.4)
        n = value.size
        grid, made = make(x[:n], y[:n], value, line, cell=0.5)
        further = truth[n:] + 0.4 * rng.normal(size=truth.size - n)
        error = further - at(grid, made.mean, x[n:], y[n:])
        held += int(np.count_nonzero(np.abs(error) <= 1.645 * at(grid, made.sigma, x[n:], y[n:])))
        total += error.size
    assert 0.87 < held / total < 0.96  # the band may only be widened


def test_unseen_errors_have_unit_size_and_a_variogram_that_is_too_sure_is_told() -> None:
    rng = np.random.default_rng(2)
    right, sure = [], []
    for _ in range(6):
        x, y, _, value, line = planted(rng, noise=0.4)
        n = value.size
        given = (x[:n], y[:n], value, line)
        fair = unseen_errors(
            *given, variogram=Variogram("exponential", 2.0, 30.0), noise_variance=0.16, rng=rng
        )
        keen = unseen_errors(
            *given, variogram=Variogram("exponential", 0.2, 30.0), noise_variance=0.016, rng=rng
        )
        right.append(np.mean(fair**2))
        sure.append(np.mean(keen**2))
    assert np.mean(right) == pytest.approx(1.0, abs=0.12)
    assert np.mean(sure) == pytest.approx(10.0, rel=0.15)  # a tenth of the variance: ten times the square


def test_an_error_at_one_line_is_by_the_others_only() -> None:
    """Two lines, 1 and 3: each is predicted to be the other, off by 2."""
    x = np.tile(np.arange(0.0, 20.0, 2.0), 2)
    line = np.repeat([0, 1], 10)
    value = np.where(line == 0, 1.0, 3.0)
    found = unseen_errors(
        x, 5.0 * line, value, line, variogram=Variogram("exponential", 1.0, 30.0), noise_variance=0.0,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.size == 20
    assert np.count_nonzero(found > 0.0) == 10
    at_x, at_y = x[:10], np.zeros(10)
    _, variance = kriging.krige(
        x[10:], np.full(10, 5.0), value[10:], at_x, at_y, variogram=Variogram("exponential", 1.0, 30.0)
    )
    np.testing.assert_allclose(np.sort(found)[:10], np.sort(-2.0 / np.sqrt(variance)))


def test_only_cells_inside_have_values_and_the_samples_are_told_apart_from_noise() -> None:
    x, y, _, value, line = planted(np.random.default_rng(3), noise=0.4)
    n = value.size
    grid, made = make(
        x[:n], y[:n], value, line, sigma=0.4, inside=lambda grid: np.broadcast_to(grid.x < 30.0, grid.shape)
    )
    assert made.method == "kriging"
    assert np.array_equal(np.isfinite(made.mean), np.broadcast_to(grid.x < 30.0, grid.shape))
    assert np.array_equal(np.isnan(made.mean), np.isnan(made.sigma))
    assert float(np.nanmin(made.sigma)) > 0.4  # of a further average, its noise included
    assert 0.0 <= float(np.nanmin(made.support)) < float(np.nanmax(made.support)) < 1.0


def test_one_line_alone_has_no_factor_and_the_same_seed_gives_the_same_map() -> None:
    x, y, _, value, line = planted(np.random.default_rng(4), noise=0.4)
    own = line == 5
    n = value.size
    _, made = make(x[:n][own], y[:n][own], value[own], line[own])
    assert made.parameters["band_factor"] == 1.0
    assert made.parameters["unseen_within_90_percent_band"] is None
    first, second = (make(x[:n], y[:n], value, line)[1] for _ in range(2))
    np.testing.assert_array_equal(first.mean, second.mean)


def test_nothing_but_noise_is_a_flat_map() -> None:
    rng = np.random.default_rng(5)
    x, y, _, value, line = planted(rng, noise=0.4)
    n = value.size
    _, made = make(x[:n], y[:n], rng.normal(size=n), line)
    assert float(np.nanstd(made.mean)) < 0.35
    assert float(np.nanmedian(made.sigma)) == pytest.approx(1.0, rel=0.15)
