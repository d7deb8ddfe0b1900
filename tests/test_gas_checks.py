"""Every entry of the reference numbers (``gas/checks.json``) at its tolerance: here, or by a named test.

What a single call reproduces stands here. What needs a file or a whole run is tested elsewhere, and the table
below is checked to name tests that exist. What nobody should meet stands with its reason.
"""

from __future__ import annotations

import ast
import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from dronesense.calibrate import limits, line, pid
from dronesense.calibrate.response import lag
from dronesense.detect import gas, gas_baseline, gas_charts
from dronesense.geotag.poses import rpy_to_matrix
from dronesense.hotspots import kernel_map, kriging, plume
from dronesense.manifest.catalog import shipped_folder
from dronesense.model import Ambient, DetectRule, GasSeries, Response
from dronesense.model.detection import false_discovery_rates
from dronesense.readers.gas_tables import read_gases
from dronesense.units import mass_from_mole_fraction

TESTS = Path(__file__).parent
Entry = dict[str, Any]

DENSITY_RTOL: Final = 1e-2
"""Stated in the name of the entry."""
SULFUR_RTOL: Final = 2e-4
"""Molar masses of the table round sulfur to 32.06 and carbon to 12.011: its fourth decimal."""


def nist(check: Entry) -> None:
    """1000 points of the generator that NIST SP 1065 states; seven digits are published."""
    number, values = 1_234_567_890, []
    for _ in range(1000):
        values.append(number / 2_147_483_647)
        number = (16_807 * number) % 2_147_483_647
    for key, overlapping in (("adev", False), ("oadev", True)):
        lengths = [int(m) for m in check[key]]
        found = limits.allan_deviation(values, lengths, overlapping=overlapping)
        np.testing.assert_allclose(found, list(check[key].values()), rtol=5e-7)


def cusum(check: Entry) -> None:
    for level, key in ((4.0, "h4"), (5.0, "h5")):
        for name, published in check[key].items():
            shift = float(name.removeprefix("arl"))
            assert gas_charts.cusum_run_length(level, shift=shift) == pytest.approx(published, rel=1e-3)


def ewma(check: Entry) -> None:
    for smoothing, limit in ((0.2, 2.962), (0.1, 2.814)):
        published = check[f"lam{smoothing:g}_L{limit:g}"]
        for name, length in published.items():
            found = gas_charts.ewma_run_length(
                limit, smoothing=smoothing, shift=float(name.removeprefix("arl"))
            )
            assert found == pytest.approx(length, rel=2e-3)


def benjamini_hochberg(check: Entry) -> None:
    p = np.array(check["p"])
    assert np.count_nonzero(false_discovery_rates(p, tested=p.size) <= check["q"]) == check["rejected"]
    assert np.count_nonzero(p <= check["q"] / p.size) == check["bonferroni"]


def iso_11843(check: Entry) -> None:
    found = limits.iso_11843(check["x"], check["y"], repeats=check["K"])
    assert found.critical == pytest.approx(check["x_C"], abs=1e-6)
    assert found.detection == pytest.approx(check["x_D_noncentral_t"], abs=1e-6)
    assert 2.0 * found.critical == pytest.approx(check["x_D_2t_approx"], abs=1e-6)


def weighted_line(check: Entry) -> None:
    found = line.fit(check["x"], check["y"], sigma_reading=check["u"])
    expected = [check[key] for key in ("a", "b", "u_a", "u_b", "cov_ab")]
    of = found.line
    np.testing.assert_allclose(
        [of.zero, of.span, of.sigma_zero, of.sigma_span, of.covariance], expected, rtol=1e-6
    )
    assert found.chi2 == pytest.approx(check["chi2"], rel=1e-8)
    value, sigma = line.invert(found.line, check["inverse"]["y"], check["inverse"]["u_y"])
    assert float(value) == pytest.approx(check["inverse"]["x"], rel=1e-8)
    assert float(sigma) == pytest.approx(check["inverse"]["u_x"], rel=1e-6)


POINTS = np.array([[2.0, 2.0, 0.0], [2.0, 4.0, 10.0], [6.0, 2.0, 0.0], [6.0, 4.0, 0.0]]).T
GRID = kernel_map.Grid(0.0, 5.0, 1.0, (6, 8), "EPSG:32632")


def kernel_dmv(check: Entry) -> None:
    np.testing.assert_array_equal(np.array(check["pts_xyc"]).T, POINTS)
    mean, variance, alpha, omega = kernel_map.extrapolate(
        *POINTS, grid=GRID, kernel=kernel_map.Kernel(check["sigma"])
    )
    for key, at in (("cell_2_4", (1, 2)), ("cell_4_2", (3, 4))):
        found = {"Omega": omega[at], "alpha": alpha[at], "mean": mean[at], "var": variance[at]}
        assert found == pytest.approx(check[key], abs=1e-8)


def kernel_dmvw(check: Entry) -> None:
    angle = np.radians(np.full(4, 30.0))
    mean, _, _, omega = kernel_map.extrapolate(
        *POINTS,
        grid=GRID,
        kernel=kernel_map.Kernel(4.0, 0.5),
        wind=(2.0 * np.cos(angle), 2.0 * np.sin(angle)),
    )
    for key, at in (("cell_2_4", (1, 2)), ("cell_4_2", (3, 4))):
        assert omega[at] == pytest.approx(check[key]["Omega"], abs=1e-8)
        assert mean[at] == pytest.approx(check[key]["mean"], abs=1e-6)


def pykrige(check: Entry) -> None:
    x, y, z = np.array(check["pts_xyz"], dtype=np.float64).T
    for model, key in (("exponential", "exponential_sill3_range15_nugget0.2"), ("spherical", None)):
        for place, published in check[key or "spherical_same"].items():
            at = [np.array([float(each)]) for each in place.split(",")]
            variogram = kriging.Variogram(model, 3.0, 15.0, 0.2)  # type: ignore[arg-type]
            found, spread = kriging.krige(x, y, z, *at, variogram=variogram)
            assert [found[0], spread[0]] == pytest.approx(published, abs=1e-6)


def pyelq(check: Entry) -> None:
    for x, y, z, source, speed, toward, across, vertical, published in check["values"]:
        found = plume.point_coupling(
            np.array([[0.0, 0.0, source]]),
            np.array([[x, y, z]], dtype=np.float64),
            wind_east=speed * math.cos(toward),
            wind_north=speed * math.sin(toward),
            dispersion=plume.turbulent(across, vertical, half_width_m=check["source_half_width"]),
            density_kg_m3=check["rho_CH4_288.15K_101325Pa"],
        )
        assert found[0, 0] == pytest.approx(published, rel=1e-6)


def densities(check: Entry) -> None:
    gases = read_gases(shipped_folder() / "gases.toml")
    for key in set(check) - {"kind"}:
        gas, kelvin = key.split("@")
        found = plume.gas_density_kg_m3(
            molar_mass_g_mol=gases[gas].molar_mass_g_mol, temperature_k=float(kelvin), pressure_hpa=1013.25
        )
        if gas == "C3H8":  # see UNMET
            assert check[key] / found == pytest.approx(1.035, abs=0.003)
        else:
            assert found == pytest.approx(check[key], rel=DENSITY_RTOL), key


def asls(check: Entry) -> None:
    i = np.arange(200.0)
    signal = 2.0 + 0.001 * i + 3.0 * np.exp(-(((i - 100) / 8) ** 2)) + 0.5 * np.exp(-(((i - 40) / 5) ** 2))
    found = gas_baseline.baseline(signal, strength=check["lam"], asymmetry=check["p"])
    for at, published in check["at"].items():
        assert found[int(at)] == pytest.approx(published, abs=1e-4)


PULSE = np.where((np.arange(60) >= 10) & (np.arange(60) <= 29), 5.0, 0.0)


def first_order(check: Entry) -> None:
    found = lag(np.arange(60.0), PULSE, Response(tau_s=check["tau"]))
    for at, published in check["y"].items():
        assert found[int(at)] == pytest.approx(published, rel=1e-8)
    decay = math.exp(-check["dt"] / check["tau"])  # air[k] = (s[k] - decay s[k - 1]) / (1 - decay)
    gain = math.hypot(1.0, decay) / (1.0 - decay)
    assert gain == pytest.approx(check["exact_inverse_white_noise_gain"], rel=1e-8)


def asymmetric(check: Entry) -> None:
    response = Response(tau_s=check["tau_up"], tau_down_s=check["tau_down"])
    found = lag(np.arange(60.0), PULSE, response)
    for at, published in check["y"].items():
        assert found[int(at)] == pytest.approx(published, rel=1e-8)


def mass_per_ppm(check: Entry) -> None:
    gases = read_gases(shipped_folder() / "gases.toml")
    for name in set(check) - {"kind", "Vm_L"}:
        mass = gases[{"CH3NH2": "methylamine"}.get(name, name)].molar_mass_g_mol
        found = mass_from_mole_fraction(
            1.0, "mg/m3", molar_mass_g_mol=mass, temperature_k=298.15, pressure_hpa=1013.25
        )
        assert float(found) == pytest.approx(check[name], rel=SULFUR_RTOL), name
        assert mass / float(found) == pytest.approx(check["Vm_L"], rel=1e-8)


def mixture(check: Entry) -> None:
    names = ("benzene", "hexane")
    found = pid.mixture(
        {name: check[f"x_{name}"] for name in names},
        dict(zip(names, check["CF"], strict=True)),
        dict(zip(names, check["TLV"], strict=True)),
    )
    assert found.factor == pytest.approx(check["CF_mix"], abs=0.005)
    assert found.limit_ppm == pytest.approx(check["TLV_mix"], abs=0.05)
    assert found.alarm_reading == pytest.approx(check["alarm_reading"], abs=0.05)


def tdlas(check: Entry) -> None:
    """By the rotation of docs/conventions.md: the optical axis of a nadir mount, from body to local."""
    turn = rpy_to_matrix(math.radians(check["roll"]), math.radians(check["pitch"]), 0.3)
    down = float((turn @ [0.0, 0.0, 1.0])[2])
    agl = check["agl_m"]
    found = {
        "off_nadir_deg": math.degrees(math.acos(down)),
        "slant_m": agl / down,
        "vertical_of_100_ppm_m": 100.0 * down,
        "footprint_offset_m": agl * math.sqrt(1.0 - down**2) / down,
    }
    assert found == pytest.approx({name: check[name] for name in found}, rel=1e-8)


HERE: Final[dict[str, Callable[[Entry], None]]] = {
    "allan_nist_sp1065_1000pt": nist,
    "cusum_one_sided_k0.5": cusum,
    "ewma_two_sided": ewma,
    "bh1995": benjamini_hochberg,
    "iso11843_2": iso_11843,
    "wls_cal": weighted_line,
    "kernel_dmv_iso": kernel_dmv,
    "kernel_dmvw": kernel_dmvw,
    "pykrige_1.7.3": pykrige,
    "pyelq_1.0.13_gauss_ppm_per_kg_h": pyelq,
    "pyelq_density_kg_m3_1atm_rtol1e-2": densities,
    "asls_pybaselines": asls,
    "first_order_lag": first_order,
    "lag_asymmetric": asymmetric,
    "ppm_to_mg_m3_25C_1atm": mass_per_ppm,
    "pid_mixture_tn106": mixture,
    "tdlas_geometry": tdlas,
}

ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {
    "gasflux_0.2.2_testdata": (
        "test_flux.py::test_the_curtain_of_a_peer_against_its_trapezoid_rule",
        "test_real_flights.py::test_a_table_of_a_curtain_becomes_an_emission_rate_that_covers_the_truth",
    ),
    "g4301_dry": ("test_ambient.py::test_the_dry_columns_of_a_real_picarro_g4301",),
    "ugga_dry": ("test_ambient.py::test_the_dry_columns_of_a_real_lgr_are_dilution",),
    "curtain_integral": ("test_plume.py::test_a_curtain_at_any_distance_passes_the_whole_rate",),
}
"""Entry -> tests that need a file or an integral."""

UNMET: Final[dict[str, str]] = {
    "pyelq_density_kg_m3_1atm_rtol1e-2:C3H8": "1.8988 kg/m3 at 293.15 K needs 45.7 g/mol; C3H8 is 44.097, "
    "and an ideal gas of it 1.8332: 3.5 % off, outside of the stated 1 %. The atomic weights are followed.",
    "gasflux_0.2.2_testdata:kg_h_reported": "marked KNOWN WRONG: density times 0.509, cell size times 0.887. "
    "The trapezoid rule with the true geometry beside it is met.",
    "chilbolton_ml_own": "what one program of the reference found (1.58 m off, 0.55 of the rate), no truth: "
    "a rate within a factor of 1.5 cannot meet it. Ours is judged by the true place and rate.",
}
"""Entry, or entry:key, that is not to be met -> why."""


@pytest.fixture(scope="module")
def checks(shared_data: Path) -> dict[str, Entry]:
    found: dict[str, Entry] = json.loads((shared_data / "gas/checks.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", HERE)
def test_reference_number(checks: dict[str, Entry], name: str) -> None:
    HERE[name](checks[name])


def test_no_entry_is_forgotten(checks: dict[str, Entry]) -> None:
    assert {*HERE, *ELSEWHERE, *(name for name in UNMET if ":" not in name)} == set(checks) - {"_note"}
    for name in UNMET:
        entry, _, key = name.partition(":")
        assert not key or any(each.startswith(key) for each in checks[entry])


@pytest.mark.parametrize("node", [node for nodes in ELSEWHERE.values() for node in nodes])
def test_the_named_test_is_there(node: str) -> None:
    file, name = node.split("::")
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("species", "unit", "first_s", "median", "rms"),
    [("CH4", 1.0, 0.0, 0.004, 0.010), ("C2H6", 1e-3, 400.0, 0.0015, 0.004)],
)
def test_backgrounds_of_the_real_flight_against_the_reference(
    shared_data: Path, species: str, unit: float, first_s: float, median: float, rms: float
) -> None:
    """One polynomial through the flight against a background that follows the air: docs/methods/gas.md."""
    folder = shared_data / "gas/uav_aeris_nmt"
    with (folder / f"expected_background_{species}_nmt_reference.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    at, expected = (
        np.array([float(row[key]) for row in rows]) for key in ("seconds", f"{species}_background")
    )
    with (folder / "level0.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row[species]]
    seconds, value = (np.array([float(row[key]) for row in rows]) for key in ("Seconds", species))
    series = GasSeries(
        time=np.rint(seconds * 1e9).astype(np.int64), species=species, quantity="mole_fraction",
        value=unit * value, sigma=np.full(value.size, 1e-3), basis="dry",
        flags=np.zeros(value.size, np.uint16), level="calibrated", ambient=Ambient(), instrument="",
        source="level0.csv", row=np.arange(value.size),
    )  # fmt: skip
    found = gas.search(series, DetectRule(species, species, false_alarms_per_hour=1.0))
    off = (np.interp(at, seconds, found.background) - unit * expected)[at >= first_s]
    assert off.size > 900
    assert abs(float(np.median(off))) < median
    assert math.sqrt(float(np.mean(off**2))) < rms
