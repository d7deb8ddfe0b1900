"""Gas tables: against reference numbers, densities of a peer, real calibration sheets, and damaged files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from dronesense.errors import ManifestError
from dronesense.manifest.catalog import shipped_folder
from dronesense.readers import gas_tables
from dronesense.units import mass_from_mole_fraction

GASES = shipped_folder() / "gases.toml"
AAN = shipped_folder() / "electrochemical" / "aan803-04.toml"
ALIAS = {"CH3NH2": "methylamine"}


def test_mass_per_ppm_equals_the_reference(shared_data: Path) -> None:
    """Check ``ppm_to_mg_m3_25C_1atm``: four decimals, sulfur by today's atomic weight (2e-4)."""
    table = json.loads((shared_data / "gas" / "checks.json").read_text())["ppm_to_mg_m3_25C_1atm"]
    gases = gas_tables.read_gases(GASES)
    for name in set(table) - {"kind", "Vm_L"}:
        got = mass_from_mole_fraction(
            1.0,
            "mg/m3",
            molar_mass_g_mol=gases[ALIAS.get(name, name)].molar_mass_g_mol,
            temperature_k=298.15,
            pressure_hpa=1013.25,
        )
        assert float(got) == pytest.approx(table[name], rel=2e-4), name


@pytest.mark.parametrize(
    ("species", "kelvin", "density"),
    [
        ("CH4", 293.15, 0.668),
        ("CH4", 273.15, 0.717),
        ("C2H6", 273.15, 1.3547),
        ("CO2", 293.15, 1.842),
        ("CO2", 273.15, 1.977),
        ("NO2", 273.15, 2.05),
        ("H2", 273.15, 0.08988),
    ],
)
def test_densities_equal_the_peer(species: str, kelvin: float, density: float) -> None:
    """Check ``pyelq_density_kg_m3_1atm``, rtol 1e-2: an ideal gas of our molar mass."""
    mass = gas_tables.read_gases(GASES)[species].molar_mass_g_mol
    got = mass_from_mole_fraction(
        1e6, "mg/m3", molar_mass_g_mol=mass, temperature_k=kelvin, pressure_hpa=1013.25
    )
    assert float(got) * 1e-6 == pytest.approx(density, rel=1e-2)


def test_the_peer_s_propane_is_heavier_than_propane() -> None:
    """Its 1.8988 and 1.8316 kg/m3 need 45.7 g/mol; C3H8 is 44.097. We keep to the atomic weights."""
    mass = gas_tables.read_gases(GASES)["C3H8"].molar_mass_g_mol
    assert mass == pytest.approx(3 * 12.011 + 8 * 1.008)
    for kelvin, density in ((293.15, 1.8988), (303.15, 1.8316)):
        got = mass_from_mole_fraction(
            1e6, "mg/m3", molar_mass_g_mol=mass, temperature_k=kelvin, pressure_hpa=1013.25
        )
        assert density / (float(got) * 1e-6) == pytest.approx(1.035, abs=0.003)


def test_molar_masses_of_known_gases() -> None:
    """Values of the CRC Handbook to its two decimals."""
    gases = gas_tables.read_gases(GASES)
    for name, mass in {
        "CH4": 16.04,
        "CO2": 44.01,
        "H2S": 34.08,
        "NH3": 17.03,
        "HCl": 36.46,
        "toluene": 92.14,
    }.items():
        assert gases[name].molar_mass_g_mol == pytest.approx(mass, abs=0.011)


def test_every_limit_has_a_source_and_nothing_unverified_is_hidden() -> None:
    for gas in gas_tables.read_gases(GASES).values():
        assert all(limit.source and limit.ppm > 0.0 for limit in gas.limits)
        assert math.isnan(gas.ionization_ev) == (gas.ionization_source == "")


@pytest.mark.parametrize("text", ["ch4", "C(H4)", "", "4HC", "Xx2"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"formula|atomic weight"):
        gas_tables.molar_mass(text, {"C": 12.011, "H": 1.008})


def test_factor_table_holds_two_algorithms_a_sensor() -> None:
    table = gas_tables.read_compensation(AAN)
    assert len(table.factors) == 12
    assert all(len(rows) == 2 and table.suggested[name] in rows for name, rows in table.factors.items())
    assert table.factors["NO2-B4"][1].tolist() == [1.3, 1.3, 1.3, 1.3, 1.0, 0.6, 0.4, 0.2, -1.5]
    assert table.factors["SO2-B4"][4][-1] == 450.0


def test_real_calibration_sheets_are_read(shared_data: Path) -> None:
    table = gas_tables.read_compensation(AAN)
    path = shared_data / "gas" / "electrochem_alphasense" / "smartcitizen_calibrations.json"
    cells = gas_tables.read_cells(path, table=table)
    raw = json.loads(path.read_text())
    assert len(cells) == sum("we_sensitivity_mv_ppb" in sheet for sheet in raw.values()) > 400
    one = cells["162031254"]
    assert (one.type, one.sensitivity_mv_ppb, one.we_sensor_zero_mv) == (
        "CO-B4",
        pytest.approx(0.45464),
        pytest.approx(-27.2),
    )
    assert math.isnan(one.we_electronic_zero_mv)
    oxidant = cells["204160142"]
    assert (oxidant.type, oxidant.no2_sensitivity_mv_ppb) == ("OX-B4", pytest.approx(0.3647883))


def test_sheets_of_our_own(tmp_path: Path) -> None:
    path = tmp_path / "cells.toml"
    path.write_text(
        'schema = 1\n[cells."202742055"]\ntype = "NO2-B4"\n'
        "we_electronic_zero_mv = 295\nae_electronic_zero_mv = 290\n"
        "we_sensor_zero_mv = -5\nae_sensor_zero_mv = -4\nsensitivity_mv_ppb = 0.3\n"
    )
    table = gas_tables.read_compensation(AAN)
    assert gas_tables.read_cells(path, table=table)["202742055"].sensitivity_mv_ppb == 0.3
    path.write_text(path.read_text().replace("NO2-B4", "NO2-B5"))
    with pytest.raises(ManifestError, match='did you mean "NO2-B4"'):
        gas_tables.read_cells(path, table=table)
    (tmp_path / "sheet.json").write_text('{"162": {"we_sensitivity_mv_ppb": "many"}}')
    with pytest.raises(ManifestError, match=r"162.we_sensitivity_mv_ppb.*is no number"):
        gas_tables.read_cells(tmp_path / "sheet.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ManifestError, match="is not JSON"):
        gas_tables.read_cells(tmp_path / "broken.json")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1 = [0.7, ", "1 = [", "needs 9 factors"),
        ("suggested = 1\n1 = [0.7", "suggested = 3\n1 = [0.7", "suggested"),
        ("2 = [0.2, 0.2, 0.2, 0.2, 0.3", "5 = [0.2, 0.2, 0.2, 0.2, 0.3", "unknown algorithm"),
        ("[-30.0, -20.0", "[-30.0, -40.0", "must increase"),
    ],
)
def test_damaged_factor_tables_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = AAN.read_text()
    assert old in text
    (tmp_path / "table.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ManifestError, match=message):
        gas_tables.read_compensation(tmp_path / "table.toml")


def test_all_shipped_lamps_are_read_and_keyed() -> None:
    tables = [gas_tables.read_pid(path) for path in sorted((shipped_folder() / "pid").glob("*.toml"))]
    keys = [(each.vendor, each.lamp_ev) for each in tables]
    assert len(set(keys)) == len(keys) >= 4
    for each in tables:
        assert each.relative_sigma >= 0.25
        assert not set(each.unverified) & set(each.factors)
        assert Path(each.path).stem == f"{each.vendor}-{each.lamp_ev:g}"


def test_a_factor_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    text = (shipped_folder() / "pid" / "rae-10.6.toml").read_text()
    for old, new, message in (
        ("relative_sigma = 0.25", "relative_sigma = 0.05", "more than anyone knows"),
        ("factor = 0.53", "factor = -0.53", "greater than 0"),
        ("acetone = 1.1", "benzene = 1.1", "stands twice"),
    ):
        (tmp_path / "pid.toml").write_text(text.replace(old, new, 1))
        with pytest.raises(ManifestError, match=message):
            gas_tables.read_pid(tmp_path / "pid.toml")


MOX = """schema = 1
[sensors.mq-17]
r0_ohm = 12000.0
supply_v = 5.0
load_ohm = 10000.0
species = "CH4"
climate = { constant = 1.4, linear = -0.02 }
law = { scale = 50.0, exponent = -2.0, high = 20.0 }
[sensors.bare]
r0_ohm = 3.0e4
"""


def test_sheets_of_metal_oxides_are_read(tmp_path: Path) -> None:
    (tmp_path / "mox.toml").write_text(MOX)
    found = gas_tables.read_mox(tmp_path / "mox.toml")
    sensor = found["mq-17"]
    assert (sensor.r0_ohm, sensor.supply_v, sensor.load_ohm, sensor.species) == (12e3, 5.0, 1e4, "CH4")
    assert sensor.climate is not None
    assert float(sensor.climate.factor(20.0, 50.0)) == pytest.approx(1.0)
    assert sensor.law is not None
    assert float(sensor.law.ppm(5.0)) == pytest.approx(2.0)
    assert found["bare"].law is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("r0_ohm = 12000.0", "r0_ohm = 0.0", "r0_ohm must be greater than 0"),
        ("load_ohm = 10000.0\n", "", "must both be greater than 0"),
        ('species = "CH4"\n', "", "hold for one gas"),
        ("climate", "points = [[1.0, 50.0]]\nclimate", "both law and points"),
        ("scale = 50.0", "scale = -1.0", "scale must be greater than 0"),
        ("law = { scale = 50.0, exponent = -2.0, high = 20.0 }", "points = [[1.0, 0.0]]", "must be greater"),
    ],
)
def test_damaged_sheets_of_metal_oxides_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MOX
    (tmp_path / "mox.toml").write_text(MOX.replace(old, new, 1))
    with pytest.raises(ManifestError, match=message):
        gas_tables.read_mox(tmp_path / "mox.toml")
