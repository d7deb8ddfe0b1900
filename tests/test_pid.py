"""Photoionization detectors: the maker's own examples, spread between makers, and what is never used."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from dronesense.calibrate.pid import correct, find, mixture
from dronesense.errors import CalibrationError
from dronesense.manifest.catalog import shipped_folder
from dronesense.model import Ambient, GasSeries
from dronesense.readers.gas_tables import read_pid

TABLES = [read_pid(path) for path in sorted((shipped_folder() / "pid").glob("*.toml"))]


def make(value: list[float], sigma: float = 0.0) -> GasSeries:
    m = len(value)
    return GasSeries(
        time=np.arange(m) * 1_000_000_000,
        species="TVOC",
        quantity="mole_fraction",
        value=np.array(value),
        sigma=np.full(m, sigma),
        basis="unknown",
        flags=np.zeros(m, np.uint16),
        level="calibrated",
        ambient=Ambient(),
        instrument="",
        source="pid.csv",
        row=np.arange(m) + 2,
    )


@pytest.mark.parametrize(
    ("vendor", "lamp", "compound", "reading", "true"),
    [
        ("rae", 10.6, "butyl_acetate", 10.0, 26.0),
        ("rae", 10.6, "trichloroethylene", 10.0, 5.4),
        ("rae", 10.6, "m-xylene", 100.0, 43.0),
        ("ion-science", 10.6, "anisole", 10.0, 4.7),
        ("shawcity", 10.6, "isobutylene", 7.0, 7.0),
    ],
)
def test_examples_of_the_makers(vendor: str, lamp: float, compound: str, reading: float, true: float) -> None:
    out = correct(make([reading]), compound, find(TABLES, compound, vendor=vendor, lamp_ev=lamp))
    assert out.value[0] == pytest.approx(true)
    assert out.sigma[0] >= 0.25 * true - 1e-12
    assert out.species == "TVOC", "no compound is named from a PID alone"
    assert "cannot tell" in out.history[-1]


def test_the_same_compound_differs_by_lamp() -> None:
    assert find(TABLES, "1_2-dichloroethane", vendor="rae", lamp_ev=11.7).factor == 0.6
    with pytest.raises(CalibrationError, match="no factor for"):
        find(TABLES, "1_2-dichloroethane", vendor="rae", lamp_ev=10.6)


def test_spread_between_makers_is_uncertainty() -> None:
    """n-hexane: 4.3 against 3.3: 1 / sqrt(3) = 0.58 is below 25 % of 4.3, so that 1.075 stays."""
    hexane = find(TABLES, "n-hexane", vendor="rae", lamp_ev=10.6)
    assert hexane.vendors == ("rae", "shawcity")
    assert hexane.sigma == pytest.approx(1.075)
    assert find(TABLES, "n-hexane", vendor="shawcity", lamp_ev=10.6).sigma == pytest.approx(0.825)
    far = [*TABLES[:0], *(each for each in TABLES if each.vendor == "rae" and each.lamp_ev == 10.6)]
    other = type(far[0])("other", 10.6, "isobutylene", {"benzene": 1.53}, {"benzene": "x"}, 0.25)
    assert find([*far, other], "benzene", vendor="rae", lamp_ev=10.6).sigma == pytest.approx(
        1.0 / math.sqrt(3.0)
    )


def test_noise_and_factor_add_in_squares() -> None:
    out = correct(make([10.0], sigma=1.0), "m-xylene", find(TABLES, "m-xylene", vendor="rae", lamp_ev=10.6))
    assert out.sigma[0] == pytest.approx(math.hypot(0.43, 10.0 * 0.25 * 0.43))


def test_mixture_of_the_technical_note(shared_data: Path) -> None:
    """Check ``pid_mixture_tn106``: 3.17, 8.4 and 2.6 as printed (two digits)."""
    case = json.loads((shared_data / "gas" / "checks.json").read_text())["pid_mixture_tn106"]
    names = ("benzene", "n-hexane")
    got = mixture(
        dict(zip(names, (case["x_benzene"], case["x_hexane"]), strict=True)),
        dict(zip(names, case["CF"], strict=True)),
        dict(zip(names, case["TLV"], strict=True)),
    )
    assert got.factor == pytest.approx(case["CF_mix"], abs=0.005)
    assert got.limit_ppm == pytest.approx(case["TLV_mix"], abs=0.05)
    assert got.alarm_reading == pytest.approx(case["alarm_reading"], abs=0.051)


def test_mixture_by_hand() -> None:
    """The same, without the file: 1 / (0.05 / 0.53 + 0.95 / 4.3) = 3.172; 1 / (0.1 + 0.019) = 8.403."""
    rae = next(each for each in TABLES if (each.vendor, each.lamp_ev) == ("rae", 10.6))
    got = mixture({"benzene": 0.05, "n-hexane": 0.95}, rae.factors, {"benzene": 0.5, "n-hexane": 50.0})
    assert (got.factor, got.limit_ppm, got.alarm_reading) == pytest.approx((3.1719, 8.4034, 2.6494), rel=1e-4)


@pytest.mark.parametrize("gas", ["CH4", "CO", "CO2", "HCN"])
def test_what_the_lamp_cannot_see_is_refused(gas: str) -> None:
    with pytest.raises(CalibrationError, match="does not ionize"):
        find(TABLES, gas, vendor="rae", lamp_ev=10.6)


def test_factors_from_memory_are_named_and_never_used() -> None:
    with pytest.raises(CalibrationError, match=r"1.1 is remembered but was read nowhere"):
        find(TABLES, "acetone", vendor="rae", lamp_ev=10.6)


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(CalibrationError, match='did you mean "rae"'):
        find(TABLES, "benzene", vendor="rai", lamp_ev=10.6)
    with pytest.raises(CalibrationError, match='did you mean "benzene"'):
        find(TABLES, "benzen", vendor="rae", lamp_ev=10.6)
    with pytest.raises(ValueError, match="add up to 1"):
        mixture({"a": 0.5}, {"a": 1.0}, {"a": 1.0})
    with pytest.raises(ValueError, match="no factor or limit of a"):
        mixture({"a": 1.0}, {}, {"a": 1.0})
    column = make([1.0])
    raw = GasSeries(**{**{n: getattr(column, n) for n in column.__slots__}, "quantity": "column"})
    with pytest.raises(CalibrationError, match="needs ppm"):
        correct(raw, "benzene", find(TABLES, "benzene", vendor="rae", lamp_ev=10.6))
