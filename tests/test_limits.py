"""Noise and limits against published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.calibrate import limits


def nist_series() -> np.ndarray:
    """The 1000 points of NIST SP 1065, section 12.4: a linear congruential generator."""
    number, values = 1_234_567_890, []
    for _ in range(1000):
        values.append(number / 2_147_483_647)
        number = (16_807 * number) % 2_147_483_647
    return np.array(values)


@pytest.mark.parametrize(
    ("overlapping", "published"),
    [(False, [2.922319e-1, 9.965736e-2, 3.897804e-2]), (True, [2.922319e-1, 9.159953e-2, 3.241343e-2])],
)
def test_allan_deviation_equals_the_published_table_of_nist(
    overlapping: bool, published: list[float]
) -> None:
    found = limits.allan_deviation(nist_series(), [1, 10, 100], overlapping=overlapping)
    np.testing.assert_allclose(found, published, rtol=5e-7)


def test_allan_deviation_of_white_noise_falls_with_the_root_of_the_averaging() -> None:
    noise = np.random.default_rng(1).normal(size=200_000)
    found = limits.allan_deviation(noise, [1, 16, 64])
    np.testing.assert_allclose(found, [1.0, 0.25, 0.125], rtol=0.05)


def test_too_long_an_average_has_no_deviation_and_gaps_are_refused() -> None:
    assert np.isnan(limits.allan_deviation([1.0, 2.0, 3.0], [2, 3, 50])).tolist() == [True, True, True]
    with pytest.raises(ValueError, match="gaps"):
        limits.allan_deviation([1.0, np.nan], [1])


def test_noise_of_a_series_ignores_a_plume_and_a_drift() -> None:
    rng = np.random.default_rng(2)
    seconds = np.arange(5000.0)
    plume = 50.0 * np.exp(-0.5 * ((seconds - 2500.0) / 30.0) ** 2)
    assert limits.noise_of(0.3 * rng.normal(size=5000) + plume + 0.01 * seconds) == pytest.approx(
        0.3, rel=0.05
    )


def test_currie_known_and_paired_blank() -> None:
    known, paired = limits.currie(1.0), limits.currie(1.0, paired=True)
    assert [known.critical, known.detection] == pytest.approx([1.645, 3.290], abs=1e-3)
    assert [paired.critical, paired.detection] == pytest.approx([2.326, 4.652], abs=1e-3)
    assert known.quantification == 10.0
    assert limits.currie_counts(16.0).detection == pytest.approx(2.71 + 4.65 * 4.0)


def test_currie_keeps_its_two_probabilities() -> None:
    rng = np.random.default_rng(3)
    limit = limits.currie(0.4, alpha=0.05, beta=0.05)
    blank, there = 0.4 * rng.normal(size=100_000), limit.detection + 0.4 * rng.normal(size=100_000)
    assert np.mean(blank > limit.critical) == pytest.approx(0.05, abs=0.003)
    assert np.mean(there < limit.critical) == pytest.approx(0.05, abs=0.003)


def test_iso_11843_by_hand() -> None:
    true = [0, 0, 0, 2, 2, 2, 5, 5, 5, 10, 10, 10]
    reading = [0.11, 0.09, 0.1, 0.52, 0.49, 0.51, 1.13, 1.08, 1.11, 2.09, 2.13, 2.11]
    found = limits.iso_11843(true, reading)
    assert found.critical == pytest.approx(0.163878, abs=1e-6)
    assert found.detection == pytest.approx(0.320353, abs=1e-6)
    with pytest.raises(ValueError, match="two different standards"):
        limits.iso_11843([1, 1, 1], [1, 2, 3])


def test_noise_of_a_flight_with_gaps_and_plumes_is_that_of_its_quiet_samples() -> None:
    """White noise of 0.2 at 2 Hz: 0.2 / sqrt(2) at 1 s, 0.2 / sqrt(20) at 10 s; the plumes are left out."""
    rng = np.random.default_rng(4)
    seconds = np.delete(np.arange(0.0, 4000.0, 0.5), slice(3000, 3100))
    value = 2.0 + 0.2 * rng.normal(size=seconds.size)
    plume = (np.abs(seconds % 500.0 - 250.0) < 20.0) | (np.abs(seconds - 3000.0) < 100.0)
    value[plume] += 30.0
    value[5] = np.nan
    found = limits.series_noise(seconds, value, ~plume, sigma=0.2)
    assert found.interval_s == 0.5
    assert found.samples == int((~plume).sum()) - 1
    assert found.adev[1.0] == pytest.approx(0.2 / np.sqrt(2.0), rel=0.05)
    assert found.adev[10.0] == pytest.approx(0.2 / np.sqrt(20.0), rel=0.1)
    assert found.limits.critical == pytest.approx(1.645 * 0.2, rel=1e-3)
    assert found.limits.method == "Currie 1968, known blank, alpha 0.05, beta 0.05"


def test_averaging_longer_than_the_drift_allows_does_not_help() -> None:
    """White noise of 1 and a random walk of 0.1: least where sqrt(1/m) meets sqrt(m/3) 0.1, m = 17."""
    rng = np.random.default_rng(5)
    value = rng.normal(size=50_000) + np.cumsum(0.1 * rng.normal(size=50_000))
    found = limits.series_noise(np.arange(50_000.0), value, np.ones(50_000, bool), sigma=1.0)
    assert found.least_s in (8.0, 16.0, 32.0)
    expected = np.sqrt(1.0 / found.least_s + found.least_s * 0.1**2 / 3.0)
    assert found.least == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("step", [2.0, 0.8])
def test_an_averaging_time_between_two_readings_is_not_made_up(step: float) -> None:
    seconds = np.arange(0.0, 400.0, step)
    found = limits.series_noise(seconds, np.sin(seconds), np.ones(seconds.size, bool), sigma=1.0)
    assert np.isnan(found.adev[1.0]) == (step == 2.0)
    assert np.isfinite(found.adev[10.0])


def test_too_few_samples_tell_nothing() -> None:
    found = limits.series_noise([0.0, 1.0], [1.0, 2.0], [True, False], sigma=0.1)
    assert found.samples == 1
    assert np.isnan([found.interval_s, found.least, *found.adev.values()]).all()
