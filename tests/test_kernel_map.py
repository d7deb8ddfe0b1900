"""Kernel maps: the published formula by hand, a peer's figures, and planted fields."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.hotspots import kernel_choice, kernel_map
from dronesense.hotspots.kernel_map import Grid, Kernel

CRS = "EPSG:32632"
# Four readings on cells of a grid of 8 x 6 cells of 1 m, x 0..7, y 0..5; rows run from north (y = 5).
X, Y, C = np.array([2.0, 2.0, 6.0, 6.0]), np.array([2.0, 4.0, 2.0, 4.0]), np.array([0.0, 10.0, 0.0, 0.0])
GRID = Grid(0.0, 5.0, 1.0, (6, 8), CRS)


def cell(layer: np.ndarray, x: int, y: int) -> float:
    return float(layer[5 - y, x])


def test_mean_variance_and_confidence_by_hand() -> None:
    mean, variance, alpha, omega = kernel_map.extrapolate(X, Y, C, grid=GRID, kernel=Kernel(4.0))
    assert cell(omega, 2, 4) == pytest.approx(0.030083159, abs=1e-9)
    assert cell(alpha, 2, 4) == pytest.approx(0.951407641, abs=1e-9)
    assert cell(mean, 2, 4) == pytest.approx(3.267369548, abs=1e-9)
    assert cell(variance, 2, 4) == pytest.approx(18.667998384, abs=1e-8)
    assert cell(omega, 4, 2) == pytest.approx(0.033050467, abs=1e-9)
    assert cell(alpha, 4, 2) == pytest.approx(0.963940877, abs=1e-9)
    assert cell(mean, 4, 2) == pytest.approx(2.349580046, abs=1e-9)
    assert cell(variance, 4, 2) == pytest.approx(14.707415905, abs=1e-8)


def test_the_wind_stretches_the_kernel_as_a_peer_has_it() -> None:
    wind = (np.full(4, 2.0 * np.cos(np.radians(30.0))), np.full(4, 2.0 * np.sin(np.radians(30.0))))
    mean, _, _, omega = kernel_map.extrapolate(X, Y, C, grid=GRID, kernel=Kernel(4.0, 0.5), wind=wind)
    assert cell(omega, 2, 4) == pytest.approx(0.029268029, abs=1e-8)
    assert cell(mean, 2, 4) == pytest.approx(3.351255115, abs=1e-6)
    assert cell(omega, 4, 2) == pytest.approx(0.033024826, abs=1e-8)
    assert cell(mean, 4, 2) == pytest.approx(2.085326658, abs=1e-6)


def test_no_wind_is_the_round_kernel() -> None:
    calm = (np.zeros(4), np.zeros(4))
    round_mean = kernel_map.extrapolate(X, Y, C, grid=GRID, kernel=Kernel(2.0))[0]
    stretched = kernel_map.extrapolate(X, Y, C, grid=GRID, kernel=Kernel(2.0, 0.5), wind=calm)[0]
    np.testing.assert_allclose(stretched, round_mean, rtol=1e-6)
    with pytest.raises(ValueError, match="needs the wind"):
        kernel_map.extrapolate(X, Y, C, grid=GRID, kernel=Kernel(2.0, 0.5))


def survey(
    rng: np.random.Generator, *, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ten lines of 100 m, 5 m apart, over a hill 15 m wide."""
    along, line = np.meshgrid(np.arange(0.0, 100.0, 0.5), np.arange(10))
    x, y = along.ravel(), 5.0 * line.ravel()
    value = np.exp(-0.5 * ((x - 50.0) ** 2 + (y - 22.0) ** 2) / 15.0**2) + noise * rng.normal(size=x.size)
    return x, y, value, line.ravel()


def test_a_planted_hill_is_found_where_it_is_and_nothing_is_drawn_where_nothing_was_sampled() -> None:
    x, y, value, _ = survey(np.random.default_rng(1), noise=0.05)
    grid = kernel_map.grid_around(x, y, cell_m=1.0, margin_m=12.0, crs=CRS)
    made = kernel_map.kernel_map(x, y, value, species="CH4", unit="ppm", grid=grid, kernel=Kernel(4.0))
    row, column = np.unravel_index(np.nanargmax(made.mean), made.mean.shape)
    a, _, west, _, _, north = made.transform
    assert abs(west + a * (column + 0.5) - 50.0) < 4.0
    assert abs(north - a * (row + 0.5) - 22.0) < 4.0
    assert np.isnan(made.mean[0, 0])
    assert np.array_equal(np.isnan(made.mean), np.isnan(made.sigma))
    assert float(np.nanmin(made.support)) >= kernel_map.MIN_SUPPORT


def test_merging_the_samples_of_a_cell_changes_little() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0.0, 40.0, size=(2, 6000))
    value = np.sin(x / 8.0) + rng.normal(size=6000)
    grid = kernel_map.grid_around(x, y, cell_m=0.5, margin_m=5.0, crs=CRS)
    merged = kernel_map.extrapolate(x, y, value, grid=grid, kernel=Kernel(4.0))[0]
    kept = kernel_map.MERGED_SAMPLES
    try:
        kernel_map.MERGED_SAMPLES = 10_000  # type: ignore[misc]
        exact = kernel_map.extrapolate(x, y, value, grid=grid, kernel=Kernel(4.0))[0]
    finally:
        kernel_map.MERGED_SAMPLES = kept  # type: ignore[misc]
    assert np.max(np.abs(merged - exact)) < 0.005 * np.ptp(exact)


def test_the_width_is_the_one_that_predicts_lines_it_has_not_seen() -> None:
    quiet = survey(np.random.default_rng(3), noise=0.02)
    loud = survey(np.random.default_rng(3), noise=3.0)
    widths = [2.0, 4.0, 8.0, 16.0, 32.0]
    of_quiet, scores = kernel_choice.choose_sigma(*quiet, candidates_m=widths)
    of_loud, _ = kernel_choice.choose_sigma(*loud, candidates_m=widths)
    assert sorted(scores) == widths
    assert of_quiet < of_loud  # noise wants more averaging
    with pytest.raises(ValueError, match="at least two"):
        kernel_choice.choose_sigma(*quiet[:3], np.zeros(quiet[0].size, dtype=np.int64), candidates_m=[1.0])


def test_leaving_a_line_out_equals_mapping_without_it() -> None:
    """The vectorized score against the map itself, made anew without each line."""
    rng = np.random.default_rng(7)
    leg = np.repeat(np.arange(3), 4)
    x, y = rng.integers(0, 8, size=(2, 12)).astype(float)
    value = rng.normal(size=12)
    total = 0.0
    for line in range(3):
        seen = leg != line
        mean, variance, _, _ = kernel_map.extrapolate(
            x[seen], y[seen], value[seen], grid=Grid(0.0, 7.0, 1.0, (8, 8), CRS), kernel=Kernel(2.0)
        )
        for i in np.flatnonzero(~seen):
            row, column = int(7 - y[i]), int(x[i])
            spread, error = variance[row, column], value[i] - mean[row, column]
            total += 0.5 * np.log(2.0 * np.pi * spread) + 0.5 * error**2 / spread
    _, scores = kernel_choice.choose_sigma(x, y, value, leg, candidates_m=[2.0])
    assert scores[2.0] == pytest.approx(total / 12, rel=1e-9)


def brute_force(x, y, value, grid, kernel, wind):  # type: ignore[no-untyped-def]
    """The sums of the stretched kernel by its formula, every sample on every cell."""
    speed = np.hypot(*wind)
    long = kernel.sigma_m + kernel.stretch_s * speed
    short = kernel.sigma_m / (1.0 + kernel.stretch_s * speed / kernel.sigma_m)
    angle = np.arctan2(wind[1], wind[0])
    east, north = grid.x[None, :, None] - x, grid.y[:, None, None] - y
    ahead = (east * np.cos(angle) + north * np.sin(angle)) / long
    aside = (north * np.cos(angle) - east * np.sin(angle)) / short
    density = np.exp(-0.5 * (ahead**2 + aside**2)) / (2.0 * np.pi * long * short)
    return density.sum(axis=-1), (density * value).sum(axis=-1)


@pytest.mark.parametrize(("sigma", "tolerance"), [(2.0, 3e-4), (9.0, 2e-3)])
def test_stretched_sums_equal_brute_force_with_a_wind_that_turns(sigma: float, tolerance: float) -> None:
    """Narrow kernels are summed on the cells themselves, wide ones on coarser ones with a spline between."""
    rng = np.random.default_rng(8)
    x, y = rng.uniform(0.0, 50.0, size=(2, 40))
    value = rng.normal(1.0, 1.0, 40)
    wind = (rng.normal(2.0, 2.0, 40), rng.normal(0.0, 3.0, 40))
    wind[0][:3] = wind[1][:3] = 0.0  # calm
    kernel = Kernel(sigma, 0.5)
    grid = kernel_map.grid_around(x, y, cell_m=1.0, margin_m=10.0, crs=CRS)
    wanted, weighted = brute_force(x, y, value, grid, kernel, wind)
    mean, _, alpha, omega = kernel_map.extrapolate(x, y, value, grid=grid, kernel=kernel, wind=wind)
    peak = 1.0 / (2.0 * np.pi * sigma**2)
    assert np.max(np.abs(omega - wanted)) < tolerance * peak
    share = 1.0 - np.exp(-wanted / peak)
    by_formula = share * weighted / wanted + (1.0 - share) * value.mean()
    sampled = alpha > 0.5
    assert np.max(np.abs(mean - by_formula)[sampled]) < 10.0 * tolerance


def test_a_round_kernel_by_parts_of_the_map_equals_brute_force() -> None:
    """Samples in the order of a flight, and in any order."""
    rng = np.random.default_rng(9)
    x, y, value, _ = survey(rng, noise=0.1)
    grid = kernel_map.grid_around(x, y, cell_m=2.0, margin_m=20.0, crs=CRS)
    calm = (np.zeros(x.size), np.zeros(x.size))
    wanted, _ = brute_force(x, y, value, grid, Kernel(1.5), calm)
    for order in (np.arange(x.size), rng.permutation(x.size)):
        omega = kernel_map.extrapolate(x[order], y[order], value[order], grid=grid, kernel=Kernel(1.5))[3]
        np.testing.assert_allclose(omega, wanted, atol=1e-7 / (2.0 * np.pi * 1.5**2))


def test_cells_outside_of_what_is_asked_for_stay_empty() -> None:
    x, y, value, _ = survey(np.random.default_rng(1), noise=0.05)
    grid = kernel_map.grid_around(x, y, cell_m=1.0, margin_m=12.0, crs=CRS)
    west = np.broadcast_to(grid.x < 50.0, grid.shape)
    made = kernel_map.kernel_map(
        x, y, value, species="CH4", unit="ppm", grid=grid, kernel=Kernel(4.0), inside=west
    )
    assert not np.isfinite(made.mean[:, grid.x >= 50.0]).any()
    assert np.isfinite(made.mean[:, grid.x < 50.0]).any()
