"""Metal-oxide sensors: by hand, against a real year of data, by Monte Carlo, and what stays relative."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from dronesense.calibrate.mox import (
    ClimateCorrection,
    PowerLaw,
    fit_power_law,
    ratio,
    resistance,
    to_mole_fraction,
)
from dronesense.errors import CalibrationError
from dronesense.model import Ambient, Flag, GasSeries


def make(
    value: list[float], *, sigma: float = 0.0, species: str = "VOC", ambient: Ambient | None = None
) -> GasSeries:
    m = len(value)
    return GasSeries(
        time=np.arange(m) * 1_000_000_000,
        species=species,
        quantity="relative",
        value=np.array(value),
        sigma=np.full(m, sigma),
        basis="unknown",
        flags=np.zeros(m, np.uint16),
        level="raw",
        ambient=Ambient() if ambient is None else ambient,
        instrument="",
        source="mox.csv",
        row=np.arange(m) + 2,
    )


def test_divider_by_hand() -> None:
    """10 kohm under a sensor at 5 V: 2.5 V means 10 kohm, 1 V means 40 kohm; 0 V and 5 V mean nothing."""
    got = resistance([2.5, 1.0, 0.0, 5.0, -1.0], supply_v=5.0, load_ohm=10e3)
    np.testing.assert_array_equal(got, [10e3, 40e3, np.nan, np.nan, np.nan])


def test_the_worked_case_of_the_reference() -> None:
    """Parameters that the reference quotes from memory, as arithmetic only: f(20, 65) and 384.38 ppm."""
    climate = ClimateCorrection(1.39538, -0.02718, 0.00035, -0.0018, 33.0)
    assert float(climate.factor(20.0, 65.0)) == pytest.approx(0.93418, abs=5e-6)
    assert float(PowerLaw(116.6020682, -2.769034857).ppm(0.65)) == pytest.approx(384.38, abs=0.005)


def test_ratio_takes_the_climate_off() -> None:
    ambient = Ambient(temperature_k=np.full(2, 293.15), humidity_percent=np.full(2, 65.0))
    climate = ClimateCorrection(1.39538, -0.02718, 0.00035, -0.0018, 33.0, relative_sigma=0.05)
    out = ratio(make([9341.8, 18683.6], ambient=ambient), r0_ohm=10e3, climate=climate)
    np.testing.assert_allclose(out.value, [1.0, 2.0], rtol=1e-5)
    np.testing.assert_allclose(out.sigma, [0.05, 0.1], rtol=1e-5)
    assert (out.quantity, out.unit) == ("relative", "1")
    with pytest.raises(CalibrationError, match="needs the temperature"):
        ratio(make([1.0]), r0_ohm=1.0, climate=climate)


def columns(path: Path, *names: str) -> np.ndarray:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return np.array([[float(row[name]) for name in names] for row in rows]).T


@pytest.mark.parametrize(
    ("sensor", "gas", "exponent", "r2", "pairs"),
    [("PT08_S2_NMHC", "C6H6_GT", 0.3408, 0.9826, 7344), ("PT08_S1_CO", "CO_GT", 0.2209, 0.717, None)],
)
def test_exponents_of_a_real_year(
    shared_data: Path, sensor: str, gas: str, exponent: float, r2: float, pairs: int | None
) -> None:
    """AirQualityUCI: ln of the sensor on ln of the reference (the "true" benzene there is itself derived)."""
    path = shared_data / "gas" / "uci_air_quality" / "AirQualityUCI.csv"
    signal, truth, co = columns(path, sensor, gas, "CO_GT")
    used = (signal > 0.0) & (truth > 0.0) & (co > 0.0)  # -200 is missing; the hours that the reference used
    law = fit_power_law(truth[used], signal[used])  # the roles are those of the reference: ln Rs on ln C
    assert law.exponent == pytest.approx(exponent, abs=5e-5)
    assert law.r2 == pytest.approx(r2, abs=5e-4)
    assert pairs is None or int(used.sum()) == pairs


def test_law_comes_back_and_its_uncertainty_is_that_of_a_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    seen = np.geomspace(0.3, 1.0, 40)
    laws = [
        fit_power_law(seen, 50.0 * seen**-2.0 * np.exp(0.1 * rng.standard_normal(40))) for _ in range(500)
    ]
    assert np.mean([law.exponent for law in laws]) == pytest.approx(-2.0, abs=0.01)
    assert np.std([law.exponent for law in laws]) == pytest.approx(
        np.mean([law.sigma_exponent for law in laws]), rel=0.1
    )
    logs = [math.log(law.scale) for law in laws]
    assert np.std(logs) == pytest.approx(np.mean([law.sigma_log_scale for law in laws]), rel=0.1)
    assert np.mean([law.scatter for law in laws]) == pytest.approx(0.1, rel=0.03)
    results = [to_mole_fraction(make([0.4], sigma=0.004), law) for law in laws]
    stated = np.mean([out.sigma[0] / out.value[0] for out in results])
    assert stated == pytest.approx(
        math.hypot(0.1, 2.0 * 0.01, np.std([math.log(law.ppm(0.4)) for law in laws])), rel=0.05
    )


def test_without_a_calibration_it_stays_relative() -> None:
    out = to_mole_fraction(make([0.5]), None)
    assert out.quantity == "relative"
    assert "stays relative" in out.history[-1]


def test_beyond_the_calibrated_range_is_flagged() -> None:
    law = fit_power_law([0.5, 0.7, 1.0], [4.0, 2.0, 1.0])
    out = to_mole_fraction(make([0.4, 0.6, -1.0]), law)
    assert [bool(each & Flag.RANGE) for each in out.flags] == [True, False, True]
    assert np.isnan(out.value[2])


def test_eco2_is_never_co2() -> None:
    law = PowerLaw(400.0, 1.0)
    with pytest.raises(CalibrationError, match="not CO2"):
        to_mole_fraction(make([1.0], species="eCO2"), law)
    derived = make([1.0], species="CO2")
    flagged = GasSeries(
        **{name: getattr(derived, name) for name in derived.__slots__ if name != "flags"},
        flags=np.array([int(Flag.DERIVED)], np.uint16),
    )
    with pytest.raises(CalibrationError, match="not CO2"):
        to_mole_fraction(flagged, law)


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 pairs"):
        fit_power_law([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="at least 3 pairs"):
        fit_power_law([1.0, 2.0, -3.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="supply_v"):
        resistance(1.0, supply_v=0.0, load_ohm=1.0)
    with pytest.raises(ValueError, match="r0_ohm"):
        ratio(make([1.0]), r0_ohm=0.0)
    ppm = to_mole_fraction(make([1.0]), PowerLaw(1.0, 1.0))
    with pytest.raises(CalibrationError, match="no raw metal-oxide signal"):
        to_mole_fraction(ppm, PowerLaw(1.0, 1.0))
