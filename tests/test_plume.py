"""The forward model: published curves, an independent program's couplings, conservation of mass."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dronesense.hotspots import plume

RHO_PYELQ = 0.67847644

# gas.md 4.14: sigma_y, sigma_z at 100 m.
BRIGGS_100_M = {
    "A": (21.891, 20.0),
    "B": (15.921, 12.0),
    "C": (10.945, 7.921),
    "D": (7.960, 5.595),
    "E": (5.970, 2.913),
    "F": (3.980, 1.553),
}
# x, y, z_sensor, z_source, u, theta (toward, from east), turbulence h, v in deg, ppm per kg/h (pyELQ 1.0.13)
PYELQ = [
    (50, 0, 2, 0, 3, 0, 10, 5, 0.911231495),
    (50, 5, 2, 2, 3, 0, 10, 5, 0.736750615),
    (100, 10, 5, 2, 5, 0, 12, 6, 0.0886980454),
    (20, 0, 0, 0, 2, 0, 8, 4, 12.2261883),
    (100, 0, 2, 2, 4, 0.5235987756, 10, 5, 0.00219875595),
]


@pytest.mark.parametrize("stability", sorted(BRIGGS_100_M))
def test_briggs_rural_at_100_m_as_printed(stability):
    curves = plume.briggs(stability)
    got = (float(curves.across(np.array(100.0))), float(curves.vertical(np.array(100.0))))
    assert got == pytest.approx(BRIGGS_100_M[stability], abs=6e-4)


@pytest.mark.parametrize(
    ("stability", "across", "vertical"),
    [
        # By hand from table 19-6 of Boubel et al. 1994 at 1000 m: 1 + 0.0004 x = 1.4.
        ("A", 320 / math.sqrt(1.4), 240 * math.sqrt(2.0)),
        ("B", 320 / math.sqrt(1.4), 240 * math.sqrt(2.0)),
        ("C", 220 / math.sqrt(1.4), 200.0),
        ("D", 160 / math.sqrt(1.4), 140 / math.sqrt(1.3)),
        ("E", 110 / math.sqrt(1.4), 80 / math.sqrt(2.5)),
        ("F", 110 / math.sqrt(1.4), 80 / math.sqrt(2.5)),
    ],
)
def test_briggs_urban_at_1_km(stability, across, vertical):
    curves = plume.briggs(stability, terrain="urban")
    kilometer = np.array(1000.0)
    assert float(curves.across(kilometer)) == pytest.approx(across, rel=1e-12)
    assert float(curves.vertical(kilometer)) == pytest.approx(vertical, rel=1e-12)


@pytest.mark.parametrize("case", PYELQ)
def test_couplings_of_pyelq(case):
    x, y, z, h, u, theta, across, vertical, expected = case
    got = plume.point_coupling(
        np.array([[0.0, 0.0, h]]),
        np.array([[x, y, z]], dtype=float),
        wind_east=u * math.cos(theta),
        wind_north=u * math.sin(theta),
        dispersion=plume.turbulent(across, vertical, half_width_m=1.0),
        density_kg_m3=RHO_PYELQ,
    )
    assert got[0, 0] == pytest.approx(expected, rel=1e-6)


def test_values_of_pyelq_are_those_of_the_checks_file(shared_data):
    import json

    checks = json.loads((shared_data / "gas" / "checks.json").read_text())["pyelq_1.0.13_gauss_ppm_per_kg_h"]
    assert checks["rho_CH4_288.15K_101325Pa"] == RHO_PYELQ
    assert [tuple(row) for row in checks["values"]] == PYELQ


@pytest.mark.parametrize(
    ("gas", "molar_mass", "kelvin", "density"),
    [
        # pyELQ's own test values, tolerance 1e-2; molar masses: sums of standard atomic weights.
        ("CH4", 16.043, 293.15, 0.668),
        ("CH4", 16.043, 273.15, 0.717),
        ("C2H6", 30.07, 273.15, 1.3547),
        ("CO2", 44.009, 293.15, 1.842),
        ("CO2", 44.009, 273.15, 1.977),
        ("NO2", 46.005, 273.15, 2.05),
        ("H2", 2.016, 273.15, 0.08988),
    ],
)
def test_density_of_gases(gas, molar_mass, kelvin, density):
    got = plume.gas_density_kg_m3(molar_mass_g_mol=molar_mass, temperature_k=kelvin, pressure_hpa=1013.25)
    assert got == pytest.approx(density, rel=1e-2)


def test_density_of_propane_follows_from_its_molar_volume_not_from_the_peer():
    """PyELQ's 1.8988 kg/m³ at 20 °C lies 3.6 % above an ideal gas; 24.0551 L/mol (gas.md 4) gives 1.8332."""
    got = plume.gas_density_kg_m3(molar_mass_g_mol=44.097, temperature_k=293.15, pressure_hpa=1013.25)
    assert got == pytest.approx(44.097 / 24.0551, rel=1e-5)
    assert 1.8988 / got == pytest.approx(1.036, abs=1e-3)


@pytest.mark.parametrize("distance", [5.0, 80.0, 2000.0])
@pytest.mark.parametrize("stability", list("ABCDEF"))
def test_a_curtain_at_any_distance_passes_the_whole_rate(stability, distance):
    """Check value curtain_integral: the integral of C u over y and z is Q."""
    curves = plume.briggs(stability)
    across, vertical = (float(g(np.array(distance))) for g in (curves.across, curves.vertical))
    height, speed = 3.0, 2.5
    y = np.linspace(-9.0, 9.0, 361) * across
    z = np.linspace(0.0, height + 9.0 * vertical, 4001)
    field = plume.dilution(
        np.full((1, 1), distance),
        y[:, None],
        z[None, :],
        source_height=height,
        speed=np.array(speed),
        dispersion=curves,
    )
    flux = np.trapezoid(np.trapezoid(field * speed, z, axis=1), y)
    assert flux == pytest.approx(1.0, abs=1e-6)


def test_nothing_is_met_upwind():
    got = plume.point_coupling(
        np.zeros((1, 3)),
        np.array([[-10.0, 0.0, 1.0], [0.0, 0.0, 1.0], [10.0, 0.0, 1.0]]),
        wind_east=3.0,
        wind_north=0.0,
        dispersion=plume.briggs("D"),
        density_kg_m3=1.0,
    )
    assert got[0, 0] == got[0, 1] == 0.0
    assert got[0, 2] > 0.0


def test_each_sample_of_a_moving_sensor_has_its_own_wind():
    """A sensor to the north in a south wind and one to the east in a west wind meet the same."""
    got = plume.point_coupling(
        np.array([[5.0, 5.0, 0.0]]),
        np.array([[5.0, 45.0, 2.0], [45.0, 5.0, 2.0], [45.0, 5.0, 2.0]]),
        wind_east=np.array([0.0, 3.0, 0.0]),
        wind_north=np.array([3.0, 0.0, 3.0]),
        dispersion=plume.briggs("C"),
        density_kg_m3=1.0,
    )[0]
    assert got[0] == pytest.approx(got[1], rel=1e-12)
    assert got[2] == 0.0


@settings(max_examples=60)
@given(
    angle=st.floats(0.0, 2.0 * math.pi),
    x=st.floats(-40.0, 40.0),
    y=st.floats(-40.0, 40.0),
    climb=st.floats(-1.0, 3.0),
    stability=st.sampled_from("ABCDEF"),
)
def test_beams_equal_brute_force(angle, x, y, climb, stability):
    """The mean of 40 001 points on a beam, for beams across, along, upwind and beside the plume."""
    direction = np.array([math.cos(angle), math.sin(angle)])
    nearest = np.array([x, y]) + np.clip(-direction @ [x, y], 0.0, 60.0) * direction
    assume(np.hypot(*nearest) > 3.0)  # at the source itself the field has no bound
    source = np.array([[0.0, 0.0, 0.5]])
    start = np.array([[x, y, 1.6]])
    end = start + np.array([60.0 * math.cos(angle), 60.0 * math.sin(angle), climb])
    curves = plume.briggs(stability)
    given_all = {"wind_east": 2.0, "wind_north": 1.0, "dispersion": curves, "density_kg_m3": 0.68}
    share = (np.arange(40_001) + 0.5) / 40_001
    points = start + share[:, None] * (end - start)
    brute = plume.point_coupling(source, points, **given_all).mean()
    on_axis = np.array([[26.8, 13.4, 0.5]])
    peak = plume.point_coupling(source, on_axis, **given_all)[0, 0]
    fine = plume.beam_coupling(source, start, end, nodes=64, **given_all)[0, 0]
    usual = plume.beam_coupling(source, start, end, **given_all)[0, 0]
    assert fine == pytest.approx(brute, rel=1e-2, abs=1e-5 * peak)
    assert usual == pytest.approx(fine, rel=5e-2, abs=1e-4 * peak)


def test_a_beam_across_the_plume_converges_with_its_nodes():
    source, start, end = np.zeros((1, 3)), np.array([[30.0, -50.0, 1.0]]), np.array([[30.0, 50.0, 1.0]])
    settings = {"wind_east": 3.0, "wind_north": 0.0, "dispersion": plume.briggs("D"), "density_kg_m3": 1.0}
    exact = plume.beam_coupling(source, start, end, nodes=200, **settings)[0, 0]
    # By hand: the crosswind integral is 2 exp(-z²/2 sigma_z²) / (sqrt(2 pi) u sigma_z), over 100 m.
    sigma = float(plume.briggs("D").vertical(np.array(30.0)))
    by_hand = 2.0 * math.exp(-0.5 / sigma**2) / (math.sqrt(2.0 * math.pi) * 3.0 * sigma) / 100.0
    assert exact == pytest.approx(by_hand * plume.ppm_per_kg_h(1.0), rel=2e-5)
    error = [
        abs(plume.beam_coupling(source, start, end, nodes=n, **settings)[0, 0] / exact - 1.0)
        for n in (4, 8, 16)
    ]
    assert error[0] > error[1] > error[2]
    assert error[2] < 1e-5


def test_many_sources_and_receptors_at_once_equal_one_by_one():
    rng = np.random.default_rng(1)
    source, receptor = rng.uniform(0.0, 30.0, (4, 3)), rng.uniform(0.0, 90.0, (7, 3))
    east, north = rng.uniform(1.0, 3.0, 7), rng.uniform(-1.0, 2.0, 7)
    turning = plume.turbulent(rng.uniform(5, 20, 7), rng.uniform(3, 9, 7), half_width_m=0.3)
    both = plume.point_coupling(
        source, receptor, wind_east=east, wind_north=north, dispersion=turning, density_kg_m3=1.0
    )
    assert both.shape == (4, 7)
    for j in range(7):
        own = plume.turbulent(
            np.degrees(np.arctan(turning.across.slope[j])),
            np.degrees(np.arctan(turning.vertical.slope[j])),
            half_width_m=0.3,
        )
        for i in range(4):
            alone = plume.point_coupling(
                source[i : i + 1],
                receptor[j : j + 1],
                wind_east=east[j],
                wind_north=north[j],
                dispersion=own,
                density_kg_m3=1.0,
            )
            assert both[i, j] == pytest.approx(alone[0, 0], rel=1e-9)


def test_what_makes_no_plume_is_refused():
    here = np.zeros((1, 3))
    with pytest.raises(ValueError, match="above 0 m/s"):
        plume.point_coupling(
            here, here, wind_east=0.0, wind_north=0.0, dispersion=plume.briggs("D"), density_kg_m3=1.0
        )
    with pytest.raises(ValueError, match="A to F"):
        plume.briggs("G")
    with pytest.raises(ValueError, match="must be > 0"):
        plume.gas_density_kg_m3(molar_mass_g_mol=16.0, temperature_k=0.0, pressure_hpa=1000.0)
