"""Calibration lines: by hand, against the published York data, and by coverage."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.calibrate import line
from dronesense.model import SpeciesCalibration

# Pearson's data with York's weights (York 1966, doi 10.1139/p66-090), the field's standard test.
PEARSON_X = [0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4]
PEARSON_Y = [5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5]
WEIGHT_X = np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1])
WEIGHT_Y = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500])


def test_weighted_line_and_its_inverse_by_hand() -> None:
    found = line.fit(
        [0, 2, 5, 10, 20], [0.05, 2.11, 5.02, 10.3, 20.1], sigma_reading=[0.05, 0.05, 0.1, 0.2, 0.4]
    )
    assert found.line.zero == pytest.approx(0.06418082, abs=1e-8)
    assert found.line.span == pytest.approx(1.00857111, abs=1e-8)
    assert found.line.sigma_zero == pytest.approx(0.0400661, abs=1e-7)
    assert found.line.sigma_span == pytest.approx(0.01281709, abs=1e-8)
    assert found.line.covariance == pytest.approx(-0.0002954796, abs=1e-10)
    assert found.chi2 == pytest.approx(1.84515546, abs=1e-8)
    x, u = line.invert(found.line, 7.0, 0.15)
    assert (float(x), float(u)) == pytest.approx((6.87687669, 0.16534692), abs=1e-8)


def test_both_sides_uncertain_equals_yorks_published_solution() -> None:
    # York et al. 2004, table II: intercept 5.47991, slope -0.480533, sigmas 0.294971, 0.0579850, S 11.8664.
    # The line rises here, as a calibration must: y is mirrored, y' = 10 - y.
    found = line.fit(
        PEARSON_X, 10.0 - np.array(PEARSON_Y), sigma_reading=WEIGHT_Y**-0.5, sigma_true=WEIGHT_X**-0.5
    )
    assert found.line.zero == pytest.approx(10.0 - 5.47991, abs=1e-5)
    assert found.line.span == pytest.approx(0.480533, abs=1e-6)
    assert found.line.sigma_zero == pytest.approx(0.294971, abs=1e-5)
    assert found.line.sigma_span == pytest.approx(0.0579850, abs=1e-6)
    assert found.chi2 == pytest.approx(11.8664, abs=1e-3)


def test_the_stated_sigmas_cover() -> None:
    rng = np.random.default_rng(4)
    true = np.array([0.0, 2.0, 5.0, 10.0, 20.0])
    inside = 0
    for _ in range(1000):
        standards = true + 0.1 * rng.normal(size=5)
        readings = 0.5 + 1.1 * true + 0.05 * rng.normal(size=5)
        found = line.fit(standards, readings, sigma_reading=0.05, sigma_true=0.1).line
        inside += abs(found.span - 1.1) <= 1.96 * found.sigma_span
    assert inside / 1000 == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(
    ("x", "y", "u", "message"),
    [
        ([1.0, 1.0], [1.0, 2.0], 0.1, "two different standards"),
        ([0.0, 1.0], [1.0, 2.0], 0.0, "sigma_reading > 0"),
        ([0.0, np.nan], [1.0, 2.0], 0.1, "finite"),
        ([0.0, 1.0], [2.0, 1.0], 0.1, "fall where the standards rise"),
    ],
)
def test_points_that_make_no_line_are_refused(x: list[float], y: list[float], u: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        line.fit(x, y, sigma_reading=u)


def test_a_drift_is_interpolated_and_its_unknown_course_counts() -> None:
    before, after = SpeciesCalibration(0.0, 1.0, 0.01, 0.002), SpeciesCalibration(0.2, 1.04, 0.01, 0.002)
    middle = line.drifted(before, after, 0.5)
    assert (middle.zero, middle.span) == pytest.approx((0.1, 1.02))
    # Half of each sigma squared twice, and half of 0.2 / sqrt(12).
    assert middle.sigma_zero == pytest.approx(np.sqrt(2 * 0.005**2 + (0.1 / np.sqrt(12)) ** 2))
    assert line.drifted(before, after, 1.7) == after
    assert line.drifted(before, after, 0.0) == before
