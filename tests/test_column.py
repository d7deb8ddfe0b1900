"""Clean air along a light path is taken off, whatever plumes it passes; slants become vertical."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dronesense.calibrate import column
from dronesense.model import Ambient, GasSeries

CH4_PPM = 1.94


def flight(
    rng: np.random.Generator,
    *,
    noise: float = 2.0,
    plumes: float = 0.1,
    correlation: float = 0.0,
    m: int = 1200,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lengths of 25 to 59 m that wander, columns of clean air with noise, plumes in some of the samples."""
    length = 42.0 + 17.0 * np.sin(np.arange(m) / 70.0)
    white = rng.normal(size=m)
    for i in range(1, m):
        white[i] = correlation * white[i - 1] + math.sqrt(1.0 - correlation**2) * white[i]
    value = 3.0 + CH4_PPM * length + noise * white
    gas = np.zeros(m)
    while np.mean(gas > 0.5) < plumes:
        gas += rng.uniform(20.0, 300.0) * np.exp(-0.5 * ((np.arange(m) - rng.uniform(0, m)) / 4.0) ** 2)
    return length, value + gas, gas


@pytest.mark.parametrize("plumes", [0.0, 0.1, 0.3])
def test_the_mole_fraction_of_clean_air_is_found_under_plumes(plumes: float) -> None:
    rng = np.random.default_rng(1)
    apart, sigma = [], []
    for _ in range(40):
        length, value, _ = flight(rng, plumes=plumes)
        found = column.path_background(value, length)
        assert found is not None
        apart.append(found.slope_ppm - CH4_PPM)
        sigma.append(found.sigma_slope_ppm)
    # By hand: 2 ppm m / (12 m x sqrt(1200)) = 0.0048 ppm; plumes that are clipped leave a little.
    assert np.mean(sigma) == pytest.approx(2.0 / (17.0 / math.sqrt(2.0) * math.sqrt(1200.0)), rel=0.35)
    assert abs(np.mean(apart)) < 0.004
    assert np.std(apart) < 1.6 * np.mean(sigma)


def test_noise_that_hangs_together_counts_in_the_uncertainty() -> None:
    rng = np.random.default_rng(2)
    pulls = []
    for _ in range(60):
        length, value, _ = flight(rng, plumes=0.0, correlation=0.8)
        found = column.path_background(value, length)
        assert found is not None
        pulls.append((found.slope_ppm - CH4_PPM) / found.sigma_slope_ppm)
    assert 0.7 < float(np.sqrt(np.mean(np.square(pulls)))) < 1.3


def test_heights_do_not_look_like_gas_any_more() -> None:
    length, value, gas = flight(np.random.default_rng(3))
    found = column.path_background(value, length)
    assert found is not None
    rest = value - found.at(length)[0]
    clean = gas < 0.5
    assert abs(np.corrcoef(length[clean], value[clean])[0, 1]) > 0.98
    assert abs(np.corrcoef(length[clean], rest[clean])[0, 1]) < 0.1
    assert np.median(rest[gas > 20.0] - gas[gas > 20.0]) == pytest.approx(0.0, abs=0.6)
    assert np.mean(found.clean[gas > 20.0]) == 0.0
    assert found.noise_ppm_m == pytest.approx(2.0, rel=0.06)


def test_two_lengths_by_hand() -> None:
    """40 samples at 20 m read 40 ± 1, 40 at 60 m read 120 ± 1: 2 ppm, 80 ppm m at the middle, 40 m."""
    length = np.repeat([20.0, 60.0], 40)
    value = 2.0 * length + np.tile([1.0, -1.0], 40)
    found = column.path_background(value, length)
    assert found is not None
    assert (found.slope_ppm, found.offset_ppm_m, found.center_m) == pytest.approx((2.0, 80.0, 40.0))
    # Residuals of 1 on 80 samples, 2 numbers fitted: noise sqrt(80 / 78) / 0.9546.
    noise = math.sqrt(80.0 / 78.0) / 0.9546
    assert found.noise_ppm_m == pytest.approx(noise, rel=1e-3)
    assert found.sigma_slope_ppm == pytest.approx(noise / (20.0 * math.sqrt(80.0)), rel=1e-3)
    level, sigma = found.at(np.array([40.0, 80.0]))
    np.testing.assert_allclose(level, [80.0, 160.0])
    at_40 = noise / math.sqrt(80.0)
    np.testing.assert_allclose(sigma, [at_40, at_40 * math.sqrt(1.0 + (40.0 / 20.0) ** 2)], rtol=1e-3)


def test_lengths_that_do_not_differ_and_short_series_have_no_background_by_length() -> None:
    rng = np.random.default_rng(4)
    assert column.path_background(rng.normal(size=200), np.full(200, 30.0)) is None
    assert column.path_background(rng.normal(size=20), np.linspace(20.0, 60.0, 20)) is None
    length, value, _ = flight(rng)
    assert column.path_background(value, length, usable=np.zeros(length.size, dtype=bool)) is None


def series(value: np.ndarray, sigma: float) -> GasSeries:
    m = value.size
    return GasSeries(
        np.arange(m) * 10**8, "CH4", "column", value, np.full(m, sigma), "unknown",
        np.zeros(m, dtype=np.uint16), "calibrated", Ambient(), "laser", "raw/laser.csv", np.arange(m) + 2,
    )  # fmt: skip


def test_taking_clean_air_off_carries_every_uncertainty() -> None:
    length = np.repeat([20.0, 60.0], 40)
    value = 2.0 * length + np.tile([1.0, -1.0], 40)
    found = column.path_background(value, length)
    assert found is not None
    wide = np.where(np.arange(80) == 3, np.nan, length)
    made = column.without_path(series(value, 1.5), found, length_m=wide, sigma_length_m=np.full(80, 0.5))
    assert np.isnan(made.value[3])
    np.testing.assert_allclose(np.abs(np.delete(made.value, 3)), 1.0, atol=1e-9)
    line = found.at(np.array([20.0]))[1][0]
    assert made.sigma[0] == pytest.approx(math.sqrt(1.5**2 + line**2 + (2.0 * 0.5) ** 2))
    assert made.history[-1].startswith("column: clean air of 2 ± ")


def test_slants_become_vertical_by_hand() -> None:
    """Pitch 10, roll 5 degrees (checks.json, tdlas_geometry): 100 ppm m become 98.1060."""
    cos = math.cos(math.radians(10.0)) * math.cos(math.radians(5.0))
    given = series(np.array([100.0, 100.0]), 2.0)
    made = column.to_vertical(
        given, cos_vertical=np.array([cos, np.nan]), sigma_cos=np.array([0.003, np.nan])
    )
    assert made.value[0] == pytest.approx(98.1060262, abs=1e-6)
    assert made.sigma[0] == pytest.approx(math.hypot(2.0 * 0.981060262, 100.0 * 0.003))
    assert np.isnan(made.value[1])
    assert made.history[-1] == "column: slant to vertical (median tilt 11.2 deg)"
