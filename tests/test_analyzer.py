"""Zero and span: the reference's worked calibration, Monte Carlo, and the guards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dronesense.calibrate.analyzer import calibrate, has_factory_values, relative_span_sigma
from dronesense.errors import CalibrationError
from dronesense.model import Ambient, GasCalibration, GasSeries, SpeciesCalibration


def series(
    value: list[float], sigma: float, *, instrument: str = "analyser", level: str = "raw"
) -> GasSeries:
    m = len(value)
    return GasSeries(
        time=np.arange(m) * 1_000_000_000,
        species="CH4",
        quantity="mole_fraction",
        value=np.array(value),
        sigma=np.full(m, sigma),
        basis="dry",
        flags=np.zeros(m, np.uint16),
        level=level,
        ambient=Ambient(),
        instrument=instrument,
        source="raw/analyser.csv",
        row=np.arange(m) + 2,
    )


def record(line: SpeciesCalibration, *, instrument: str = "analyser") -> GasCalibration:
    return GasCalibration(instrument, 0, {"CH4": line}, path="calibration/records/analyser/2026-06-01.toml")


def test_inverse_of_the_reference_calibration(shared_data: Path) -> None:
    """ISO 6143: check ``wls_cal`` inverts 7.0 ± 0.15 into 6.87688 ± 0.16535."""
    check = json.loads((shared_data / "gas" / "checks.json").read_text())["wls_cal"]
    line = SpeciesCalibration(check["a"], check["b"], check["u_a"], check["u_b"], check["cov_ab"])
    out = calibrate(series([check["inverse"]["y"]], check["inverse"]["u_y"]), record(line))
    assert out.value[0] == pytest.approx(check["inverse"]["x"], rel=1e-8)
    assert out.sigma[0] == pytest.approx(check["inverse"]["u_x"], rel=1e-6)


def test_by_hand() -> None:
    """y = 3.09, zero 0.05, span 1.03: x = 3.04 / 1.03; each term of the variance on its own."""
    x = 3.04 / 1.03
    for line, variance in (
        (SpeciesCalibration(0.05, 1.03), 0.01**2),
        (SpeciesCalibration(0.05, 1.03, sigma_zero=0.02), 0.01**2 + 0.02**2),
        (SpeciesCalibration(0.05, 1.03, sigma_span=0.004), 0.01**2 + (x * 0.004) ** 2),
        (SpeciesCalibration(0.05, 1.03, 0.02, 0.004, -3e-5), 0.01**2 + 0.02**2 + (x * 0.004) ** 2 - 6e-5 * x),
    ):
        out = calibrate(series([3.09], 0.01), record(line))
        assert out.value[0] == pytest.approx(x)
        assert out.sigma[0] == pytest.approx(np.sqrt(variance) / 1.03)
    assert out.level == "calibrated"
    assert "2026-06-01.toml" in out.history[-1]


def test_sigma_is_what_a_monte_carlo_gives() -> None:
    rng = np.random.default_rng(3)
    line = SpeciesCalibration(0.06, 1.01, 0.04, 0.013, -3e-4)
    cov = [[line.sigma_zero**2, line.covariance], [line.covariance, line.sigma_span**2]]
    zero, span = rng.multivariate_normal([line.zero, line.span], cov, 200_000).T
    reading = 7.0 + 0.15 * rng.standard_normal(200_000)
    out = calibrate(series([7.0], 0.15), record(line))
    assert out.sigma[0] == pytest.approx(np.std((reading - zero) / span), rel=0.01)


def test_missing_values_stay_missing() -> None:
    out = calibrate(series([1.0, np.nan], 0.1), record(SpeciesCalibration(0.0, 2.0)))
    np.testing.assert_array_equal(out.value, [0.5, np.nan])
    np.testing.assert_array_equal(out.valid, [True, False])


def test_without_a_record_the_factory_values_stay_and_the_history_says_so() -> None:
    raw = series([2.0, 2.1], 0.006)
    out = calibrate(raw, None)
    assert out.level == "calibrated"
    np.testing.assert_array_equal(out.value, raw.value)
    np.testing.assert_array_equal(out.sigma, raw.sigma)
    assert has_factory_values(out)
    assert not has_factory_values(calibrate(raw, record(SpeciesCalibration(0.0, 1.0))))


def test_guards() -> None:
    line = SpeciesCalibration(0.0, 1.0)
    with pytest.raises(CalibrationError, match="calibrated already"):
        calibrate(series([1.0], 0.1, level="calibrated"), record(line))
    with pytest.raises(CalibrationError, match="instrument"):
        calibrate(series([1.0], 0.1), record(line, instrument="another"))
    other = GasCalibration("analyser", 0, {"CH": line}, path="records/analyser/x.toml")
    with pytest.raises(CalibrationError, match=r'x.toml: no \[species.CH4\], did you mean "CH"'):
        calibrate(series([1.0], 0.1), other)


def test_relative_span_sigma() -> None:
    raw = series([1.0], 0.1)
    assert relative_span_sigma(raw, None) == 0.0
    assert relative_span_sigma(raw, record(SpeciesCalibration(0.0, 2.0, 0.5, 0.01))) == pytest.approx(0.005)
