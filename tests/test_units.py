"""Units: exact factors by definition, mass concentrations against the reference table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.errors import UnitsError
from dronesense.units import convert, mass_from_mole_fraction, mole_fraction_from_mass, quantity_of

ROOM = {"temperature_k": 298.15, "pressure_hpa": 1013.25}
FAMILIES = [
    ("ppm", "ppb", "ppt", "percent", "umol/mol", "nmol/mol"),
    ("ppm m", "ppb m"),
    ("hPa", "Pa", "kPa", "mbar", "Torr", "atm"),
    ("degC", "K", "degF"),
    ("m", "ft", "km"),
    ("m/s", "km/h", "mph", "kn"),
    ("deg", "rad", "mrad"),
    ("s", "ms"),
]


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (1.0, "ppm", "ppb", 1000.0),
        (2067.6, "ppb", "ppm", 2.0676),
        (1.0, "percent", "ppm", 10_000.0),
        (1.0, "%", "ppm", 10_000.0),
        (3.0, "µmol/mol", "ppm", 3.0),
        (3.0, "μmol/mol", "nmol/mol", 3000.0),
        (5.0, "ppt", "ppb", 0.005),
        (7.0, "ppm·m", "ppb m", 7000.0),
        (7.0, "ppm*m", "ppm m", 7.0),
        (1.0, "atm", "hPa", 1013.25),
        (760.0, "Torr", "hPa", 1013.25),
        (39.7446, "kPa", "hPa", 397.446),
        (1000.0, "mbar", "hPa", 1000.0),
        (20.0, "°C", "K", 293.15),
        (20.0, "℃", "K", 293.15),
        (-40.0, "degF", "degC", -40.0),
        (212.0, "degF", "K", 373.15),
        (1.0, "ft", "m", 0.3048),
        (1.0, "km", "m", 1000.0),
        (36.0, "km/h", "m/s", 10.0),
        (1.0, "mph", "m/s", 0.44704),
        (1.0, "kn", "km/h", 1.852),
        (180.0, "deg", "rad", np.pi),
        (1.0, "rad", "mrad", 1000.0),
        (1500.0, "ms", "s", 1.5),
    ],
)
def test_factors_by_definition(value: float, unit: str, to: str, expected: float) -> None:
    assert convert(value, unit, to) == pytest.approx(expected, rel=1e-14)


@given(value=st.floats(-1e6, 1e6), family=st.sampled_from(FAMILIES), data=st.data())
def test_there_and_back(value: float, family: tuple[str, ...], data: st.DataObject) -> None:
    unit, to = data.draw(st.sampled_from(family)), data.draw(st.sampled_from(family))
    assert convert(convert(value, unit, to), to, unit) == pytest.approx(value, rel=1e-12, abs=1e-9)


def test_arrays_keep_their_gaps() -> None:
    out = convert(np.array([1000.0, np.nan]), "ppb", "ppm")
    np.testing.assert_array_equal(out, [1.0, np.nan])


def test_relative_readings_keep_their_number() -> None:
    assert convert(412.0, "mV", "1") == 412.0
    assert convert(412.0, "mV", "V") == pytest.approx(0.412)


@pytest.mark.parametrize(
    ("unit", "quantity"),
    [
        ("ppm", "mole_fraction"),
        ("nmol/mol", "mole_fraction"),
        ("%", "mole_fraction"),
        ("ppm·m", "column"),
        ("ppb m", "column"),
        ("mV", "relative"),
        ("V", "relative"),
        ("ohm", "relative"),
        ("Ω", "relative"),
        ("1", "relative"),
        ("counts", "relative"),
    ],
)
def test_quantity(unit: str, quantity: str) -> None:
    assert quantity_of(unit) == quantity


@pytest.mark.parametrize(
    ("unit", "to"),
    [("ppm", "ppm m"), ("ppm", "mg/m3"), ("hPa", "m"), ("degC", "deg"), ("mV", "ohm"), ("1", "ppm")],
)
def test_incompatible_units_are_refused(unit: str, to: str) -> None:
    with pytest.raises(UnitsError, match="does not convert"):
        convert(1.0, unit, to)


def test_unknown_unit_suggests_the_nearest() -> None:
    with pytest.raises(UnitsError, match='unknown unit "hPaa", did you mean "hPa"'):
        convert(1.0, "hPaa", "hPa")


@pytest.mark.parametrize("unit", ["hPa", "mg/m3", "m/s"])
def test_what_is_no_gas_reading_is_refused(unit: str) -> None:
    with pytest.raises(UnitsError):
        quantity_of(unit)


def test_mass_concentrations_against_the_reference(shared_data: Path) -> None:
    """Molar masses of the reference's table (IUPAC, two decimals); its figures have four decimals."""
    table = json.loads((shared_data / "gas" / "checks.json").read_text())["ppm_to_mg_m3_25C_1atm"]
    molar_mass = {
        "CH4": 16.04,
        "CO2": 44.01,
        "NH3": 17.03,
        "H2S": 34.08,
        "SO2": 64.06,
        "NO2": 46.01,
        "CO": 28.01,
        "HCl": 36.46,
        "PH3": 34.00,
        "CH3NH2": 31.06,
        "acetone": 58.08,
        "toluene": 92.14,
        "benzene": 78.11,
        "diethyl_ether": 74.12,
    }
    for gas, mass in molar_mass.items():
        per_ppm = mass_from_mole_fraction(1.0, "mg/m3", molar_mass_g_mol=mass, **ROOM)
        assert per_ppm == pytest.approx(table[gas], abs=3e-4), gas


def test_molar_volume_by_hand() -> None:
    """A gas of M g/mol at 1 ppm has M / Vm mg/m3; Vm in L/mol from section 4.1 of the reference."""
    for celsius, volume in ((25.0, 24.46540), (20.0, 24.0551), (0.0, 22.41397)):
        per_ppm = mass_from_mole_fraction(
            1.0,
            "mg/m3",
            molar_mass_g_mol=100.0,
            temperature_k=celsius + 273.15,
            pressure_hpa=1013.25,
        )
        assert 100.0 / per_ppm == pytest.approx(volume, rel=3e-6)


def test_mass_and_mole_fraction_are_inverse_at_every_state() -> None:
    state = {
        "molar_mass_g_mol": 17.03,
        "temperature_k": np.array([263.0, 300.0]),
        "pressure_hpa": np.array([850.0, 1000.0]),
    }
    there = mole_fraction_from_mass(250.0, "µg/m³", **state)
    np.testing.assert_allclose(mass_from_mole_fraction(there, "ug/m3", **state), 250.0, rtol=1e-13)
    assert there[0] != there[1]


@pytest.mark.parametrize("missing", ["molar_mass_g_mol", "temperature_k", "pressure_hpa"])
def test_mass_without_the_state_of_the_sample_is_refused(missing: str) -> None:
    state = {"molar_mass_g_mol": 16.04, **ROOM, missing: None}
    with pytest.raises(UnitsError, match=missing):
        mole_fraction_from_mass(1.0, "mg/m3", **state)
    with pytest.raises(UnitsError, match="> 0"):
        mole_fraction_from_mass(1.0, "mg/m3", **{**state, missing: -3.0})


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        # 1 flick = 1 W/(cm2 sr um) = 1e4 W per m2 and 1e-3 per nm
        ("flick", 10.0),
        ("uflick", 1e-5),
        ("microflicks", 1e-5),
        ("mW/(cm2 sr um)", 1e-2),
        ("W/m^2/sr/um", 1e-3),
        ("W/m2/sr/\u00b5m", 1e-3),
        ("uW nm-1 cm-2 sr-1", 1e-2),
        ("\u00b5W\u00b7cm\u207b\u00b2\u00b7sr\u207b\u00b9\u00b7nm\u207b\u00b9", 1e-2),
        ("mW/(cm^2*um*sr)", 1e-2),
        ("W/(str*um*m^2)", 1e-3),
        ("mW/m^2/sr/um", 1e-6),
        ("uW/(m2 sr um)", 1e-9),
        ("nW/(cm^2*SR*nm)", 1e-5),
        ("Watts per (meter squared steradian micron)", 1e-3),
        ("microWatts per (steradian nanometer [centemeter squared])", 1e-2),
        ("W m^{-2} sr^{-1} nm^{-1}", 1.0),
    ],
)
def test_spectral_radiance_however_it_is_written(unit, factor):
    assert convert(1.0, unit, "W/(m2 sr nm)") == pytest.approx(factor, rel=1e-14)
    assert convert(factor, "W/(m2 sr nm)", unit) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize(
    "unit",
    [
        "W/m2",
        "W/m2/nm",
        "W/m2/sr/nm/nm",
        "W/m2/sr/sr/nm",
        "W m2 sr nm",
        "mW/sr/nm",
        "mW/(cm^2*um*sr)*1000",
        "Watts per meter squared per nanometer",
        "W/W/m2/sr/nm",
        "W/m/sr/nm2",
    ],
)
def test_what_is_no_spectral_radiance_is_unknown(unit):
    with pytest.raises(UnitsError, match="unknown unit"):
        convert(1.0, unit, "W/(m2 sr nm)")
