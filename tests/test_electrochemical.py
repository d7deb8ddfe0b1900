"""AAN 803: every algorithm by hand, the reference case, uncertainty by Monte Carlo, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dronesense.calibrate.electrochemical import compensate, corrected_mv, factor
from dronesense.errors import CalibrationError
from dronesense.manifest.catalog import shipped_folder
from dronesense.model import Ambient, Flag, GasSeries
from dronesense.model.gas_tables import Cell
from dronesense.readers.gas_tables import read_compensation

TABLE = read_compensation(shipped_folder() / "electrochemical" / "aan803-04.toml")
NO2 = Cell("202000001", "NO2-B4", 295.0, 290.0, 12.0, 8.0, 0.3)
OX = Cell("204000001", "OX-B4", 200.0, 210.0, -14.0, -20.0, 0.4, no2_sensitivity_mv_ppb=0.36)


def make(
    value: list[float], *, celsius: float | None = 25.0, species: str = "NO2", sigma: float = 0.0
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
        ambient=Ambient(temperature_k=None if celsius is None else np.full(m, celsius + 273.15)),
        instrument="",
        source="raw.csv",
        row=np.arange(m) + 2,
    )


def test_the_reference_case() -> None:
    """NO2-B4 at 25 °C: n = 0.5 between 0.6 and 0.4; 15 - 0.5 * 10 = 10 mV; over 0.3 mV/ppb 33.333 ppb."""
    assert factor(TABLE, "NO2-B4", 1, 25.0) == pytest.approx(0.5)
    got = corrected_mv([310.0], [300.0], [25.0], cell=NO2, table=TABLE, algorithm=1)
    assert got.value_mv[0] == pytest.approx(10.0)
    out = compensate(make([310.0]), make([300.0]), cell=NO2, table=TABLE, mv_per_unit=1.0, algorithm=1)
    assert out.value[0] * 1e3 == pytest.approx(33.333, abs=5e-4)
    assert (out.quantity, out.unit, out.level) == ("mole_fraction", "ppm", "raw")


@pytest.mark.parametrize(
    ("sensor", "algorithm", "expected"),
    [
        ("CO-B4", 1, 15.0 - 3.0 * 10.0),
        ("CO-B4", 2, 15.0 - 1.0 * (12.0 / 8.0) * 10.0),
        ("NO2-B4", 3, 15.0 - (12.0 - 8.0) - 1.0 * 10.0),
        ("SO2-B4", 4, 15.0 - 12.0 - 0.0),
        ("SO2-A4", 1, 15.0 - 0.4 * 10.0),
    ],
)
def test_algorithms_by_hand_at_20_degrees(sensor: str, algorithm: int, expected: float) -> None:
    cell = replace(NO2, type=sensor)
    got = corrected_mv([310.0], [300.0], [20.0], cell=cell, table=TABLE, algorithm=algorithm)
    assert got.value_mv[0] == pytest.approx(expected)


@pytest.mark.parametrize("algorithm", [1, 3])
def test_the_result_scales_with_the_unit_of_the_voltages(algorithm: int) -> None:
    """All voltages times ten give ten times the result: an equation in mV squared would give a hundred."""
    tenfold = replace(
        NO2,
        we_electronic_zero_mv=2950.0,
        ae_electronic_zero_mv=2900.0,
        we_sensor_zero_mv=120.0,
        ae_sensor_zero_mv=80.0,
    )
    one = corrected_mv([310.0], [300.0], [25.0], cell=NO2, table=TABLE, algorithm=algorithm)
    ten = corrected_mv([3100.0], [3000.0], [25.0], cell=tenfold, table=TABLE, algorithm=algorithm)
    assert ten.value_mv[0] == pytest.approx(10.0 * one.value_mv[0])


def test_volts_and_millivolts_agree() -> None:
    mv = compensate(make([310.0, 311.0]), make([300.0, 300.0]), cell=NO2, table=TABLE, mv_per_unit=1.0)
    v = compensate(make([0.310, 0.311]), make([0.300, 0.300]), cell=NO2, table=TABLE, mv_per_unit=1e3)
    np.testing.assert_allclose(v.value, mv.value)
    np.testing.assert_allclose(v.sigma, mv.sigma)


def test_the_choice_of_the_algorithm_is_uncertainty() -> None:
    """At 25 °C: algorithm 1 gives 10 mV, algorithm 3 gives 15 - 4 - 0.7 * 10 = 4 mV: 6 mV apart."""
    out = compensate(
        make([310.0]), make([300.0]), cell=NO2, table=TABLE, mv_per_unit=1.0, sigma_temperature_k=0.0
    )
    assert out.value[0] == pytest.approx(10.0 / 0.3 / 1e3)
    assert out.sigma[0] == pytest.approx(6.0 / math.sqrt(3.0) / 0.3 / 1e3)
    assert "differ by 20 ppb" in out.history[-1]


def test_uncertainty_is_that_of_a_monte_carlo() -> None:
    cell = replace(NO2, sigma_zero_mv=0.5, relative_sigma_sensitivity=0.03)
    rng = np.random.default_rng(0)
    n = 40_000
    we, ae = 340.0 + 0.4 * rng.standard_normal(n), 300.0 + 0.3 * rng.standard_normal(n)
    celsius = 33.0 + 1.0 * rng.standard_normal(n)
    we_zero, ae_zero = 295.0 + 0.5 * rng.standard_normal(n), 290.0 + 0.5 * rng.standard_normal(n)
    slope = 0.3 * (1.0 + 0.03 * rng.standard_normal(n))
    n_t = np.interp(celsius, TABLE.temperature_c, TABLE.factors["NO2-B4"][1])
    drawn = ((we - we_zero) - n_t * (ae - ae_zero)) / slope / 1e3
    working, auxiliary = make([340.0], celsius=33.0, sigma=0.4), make([300.0], sigma=0.3)
    out = compensate(working, auxiliary, cell=cell, table=TABLE, mv_per_unit=1.0, algorithm=1)
    assert out.value[0] == pytest.approx(drawn.mean(), rel=0.01)
    assert out.sigma[0] == pytest.approx(drawn.std(), rel=0.03)


def test_nitrogen_dioxide_is_taken_off_an_oxidant_cell() -> None:
    """OX-B4 at 20 °C, algorithm 1, n = 1.7: WEt 80, AEt 10 -> 63 mV; 50 ppb NO2 take 18 mV; 45 / 0.4 ppb."""
    working, auxiliary = make([280.0], celsius=20.0, species="O3"), make([220.0])
    no2 = replace(make([0.05]), quantity="mole_fraction", sigma=np.array([0.002]))
    out = compensate(
        working,
        auxiliary,
        cell=OX,
        table=TABLE,
        mv_per_unit=1.0,
        algorithm=1,
        no2=no2,
        sigma_temperature_k=0.0,
    )
    assert out.value[0] * 1e3 == pytest.approx(45.0 / 0.4)
    assert out.sigma[0] * 1e3 == pytest.approx(0.36 * 2.0 / 0.4)
    with pytest.raises(CalibrationError, match="O3 and NO2 alike"):
        compensate(working, auxiliary, cell=OX, table=TABLE, mv_per_unit=1.0)
    as_sum = compensate(
        replace(working, species="OX"), auxiliary, cell=OX, table=TABLE, mv_per_unit=1.0, algorithm=1
    )
    assert as_sum.value[0] * 1e3 == pytest.approx(63.0 / 0.4)
    with pytest.raises(CalibrationError, match="stamps of the oxidant"):
        compensate(
            working, auxiliary, cell=OX, table=TABLE, mv_per_unit=1.0, no2=replace(no2, time=no2.time + 1)
        )


def test_beyond_the_table_the_end_is_used_and_flagged() -> None:
    out = compensate(
        make([310.0], celsius=55.0), make([300.0]), cell=NO2, table=TABLE, mv_per_unit=1.0, algorithm=1
    )
    assert out.flags[0] & Flag.RANGE
    assert out.value[0] == pytest.approx((15.0 + 1.5 * 10.0) / 0.3 / 1e3)


def test_what_cannot_be_done_is_refused() -> None:
    good = {"cell": NO2, "table": TABLE, "mv_per_unit": 1.0}
    with pytest.raises(CalibrationError, match="needs its temperature"):
        compensate(make([310.0], celsius=None), make([300.0]), **good)
    with pytest.raises(CalibrationError, match="different stamps"):
        compensate(make([310.0, 311.0]), make([300.0]), **good)
    with pytest.raises(CalibrationError, match="not the raw voltage"):
        compensate(replace(make([310.0]), quantity="mole_fraction"), make([300.0]), **good)
    with pytest.raises(CalibrationError, match="has no we_electronic_zero_mv"):
        compensate(
            make([310.0]), make([300.0]), **{**good, "cell": replace(NO2, we_electronic_zero_mv=math.nan)}
        )
    with pytest.raises(CalibrationError, match='did you mean "NO2-B4"'):
        compensate(make([310.0]), make([300.0]), **{**good, "cell": replace(NO2, type="NO2-B5")})
    with pytest.raises(CalibrationError, match="no algorithm 2 for NO2-B4"):
        compensate(make([310.0]), make([300.0]), **good, algorithm=2)
    with pytest.raises(CalibrationError, match="divides by it"):
        compensate(
            make([310.0]),
            make([300.0]),
            **{**good, "cell": replace(NO2, type="CO-B4", ae_sensor_zero_mv=0.0)},
            algorithm=2,
        )
