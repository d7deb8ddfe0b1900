"""Place and rate from readings: planted sources, symmetry, refusals, and how often regions hold the truth."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from dronesense.errors import CoverageError
from dronesense.hotspots import plume
from dronesense.hotspots.source import GasReadings, estimate_source
from dronesense.model import Wind

AIR = {"species": "CH4", "molar_mass_g_mol": 16.0425, "temperature_k": 288.15, "pressure_hpa": 1000.0}
DENSITY = plume.gas_density_kg_m3(molar_mass_g_mol=16.0425, temperature_k=288.15, pressure_hpa=1000.0)
AREA = (-60.0, -60.0, 60.0, 60.0)
SIGMA = 0.02
CRS = "EPSG:32633"


def constant_wind(east, north=0.0, sigma=0.0):
    one = np.ones(1)
    return Wind(np.zeros(1, dtype=np.int64), east * one, north * one, sigma * one, sigma * one)


def turned(values, angle):
    c, s = math.cos(angle), math.sin(angle)
    return np.column_stack([values[:, 0] * c - values[:, 1] * s, values[:, 0] * s + values[:, 1] * c])


def flight(source=(5.0, -12.0, 1.0), rate=6.0, *, speed=4.0, seed=0, noise=SIGMA, half_width=80.0, side=1.0):
    """Return readings of lines across a wind to the east at two heights; the plume swings by 5 degrees."""
    rng = np.random.default_rng(seed)
    across = np.arange(-half_width if side else 0.0, half_width, 2.0)
    parts = []
    for number, (height, ahead) in enumerate((z, x) for z in (2.0, 5.0) for x in range(-45, 160, 25)):
        place = np.column_stack([np.full(across.size, float(ahead)), across, np.full(across.size, height)])
        swing = math.radians(5.0) * rng.standard_normal()
        met = plume.point_coupling(
            np.array([source]),
            place,
            wind_east=speed * math.cos(swing),
            wind_north=speed * math.sin(swing),
            dispersion=plume.briggs("C").scaled(0.7, 1.0),
            density_kg_m3=DENSITY,
        )[0]
        parts.append(
            (place, rate * math.exp(0.2 * rng.standard_normal()) * met, np.full(across.size, number))
        )
    place, value, leg = (np.concatenate(each) for each in zip(*parts, strict=True))
    time = np.arange(len(value)) * 500_000_000
    value = value + noise * rng.standard_normal(value.size)
    return GasReadings(time, *place.T.copy(), value, np.full(value.size, SIGMA), CRS, leg=leg)


def estimate(readings, wind=None, *, seed=0, **settings):
    settings = {"stability": "C", "area": AREA, "particles": 100} | settings
    wind = constant_wind(4.0) if wind is None else wind
    return estimate_source(readings, wind, **AIR, rng=np.random.default_rng(seed), **settings)


@pytest.fixture(scope="module")
def found():
    return estimate(flight())


def test_a_planted_source_is_found(found):
    off = np.array([found.x - 5.0, found.y + 12.0])
    assert np.hypot(*off) < 15.0
    assert off @ np.linalg.solve(found.cov, off) < 9.0
    assert found.rate_kg_h == pytest.approx(6.0, rel=0.5)
    assert found.region_90.distance(shapely.Point(5.0, -12.0)) < 5.0
    assert found.rate_90_kg_h[0] < 6.0 < found.rate_90_kg_h[1]
    assert found.region_90.area < 0.1 * 120.0**2
    assert found.region_90.buffer(0.1).contains(found.region_50)
    assert found.parameters["passes"] == 18
    assert found.warnings == ()


def test_the_same_seed_gives_the_same_estimate(found):
    again = estimate(flight())
    assert (again.x, again.y, again.rate_kg_h) == (found.x, found.y, found.rate_kg_h)


def test_three_times_the_gas_is_three_times_the_rate():
    readings = flight(noise=0.0)
    tripled = replace(
        readings, enhancement_ppm=3.0 * readings.enhancement_ppm, sigma_ppm=3.0 * readings.sigma_ppm
    )
    once = estimate(readings, rate_prior_kg_h=(0.1, 1e3))
    thrice = estimate(tripled, rate_prior_kg_h=(0.3, 3e3))
    assert thrice.rate_kg_h == pytest.approx(3.0 * once.rate_kg_h, rel=1e-3)
    assert (thrice.x, thrice.y) == pytest.approx((once.x, once.y), abs=1e-2)


def test_a_turned_and_shifted_scene_gives_the_turned_and_shifted_place():
    angle, shift = math.radians(70.0), np.array([400.0, -300.0])
    readings = flight()
    place = turned(np.column_stack([readings.x, readings.y]), angle) + shift
    moved = replace(readings, x=place[:, 0].copy(), y=place[:, 1].copy())
    wind = constant_wind(4.0 * math.cos(angle), 4.0 * math.sin(angle))
    here = estimate(readings, area=(-80.0, -80.0, 80.0, 80.0))
    there = estimate(moved, wind, area=(320.0, -380.0, 480.0, -220.0), seed=1)
    expected = turned(np.array([[here.x, here.y]]), angle)[0] + shift
    # Other draws of the same posterior: equal to a part of its width.
    assert np.hypot(there.x - expected[0], there.y - expected[1]) < 0.4 * math.sqrt(np.trace(here.cov))
    assert there.rate_kg_h == pytest.approx(here.rate_kg_h, rel=0.08)
    assert there.region_90.area == pytest.approx(here.region_90.area, rel=0.35)


def test_an_error_of_the_wind_widens_the_rate(found):
    # 0.8 of 4 m/s, and 10 % of every site: 22 % of the rate by itself.
    unsure = estimate(flight(), constant_wind(4.0, sigma=0.8))
    low, high = unsure.rate_90_kg_h
    assert math.log(high / low) > 2.0 * 1.645 * 0.22
    assert high / low > found.rate_90_kg_h[1] / found.rate_90_kg_h[0]
    assert unsure.parameters["turn_sigma_deg"] == pytest.approx(math.hypot(11.31, 5.0), abs=0.01)


def test_readings_without_a_number_or_a_place_are_left_out(found):
    readings = flight()
    value, x = readings.enhancement_ppm.copy(), readings.x.copy()
    spoiled = replace(
        readings,
        time=np.append(readings.time, readings.time[-1] + np.arange(1, 4)),
        x=np.append(x, [np.nan, 0.0, 0.0]),
        y=np.append(readings.y, np.zeros(3)),
        z_agl_m=np.append(readings.z_agl_m, [1.0, np.inf, 1.0]),
        enhancement_ppm=np.append(value, [9.0, 9.0, np.nan]),
        sigma_ppm=np.append(readings.sigma_ppm, np.full(3, SIGMA)),
        leg=np.append(readings.leg, np.full(3, 99)),
    )
    got = estimate(spoiled)
    assert (got.x, got.y, got.rate_kg_h) == (found.x, found.y, found.rate_kg_h)


def test_the_order_of_readings_does_not_matter(found):
    readings = flight()
    order = np.random.default_rng(3).permutation(len(readings))
    names = ("time", "x", "y", "z_agl_m", "enhancement_ppm", "sigma_ppm", "leg")
    got = estimate(replace(readings, **{name: getattr(readings, name)[order] for name in names}))
    assert (got.x, got.y, got.rate_kg_h) == (found.x, found.y, found.rate_kg_h)


def test_everything_stays_within_its_prior():
    got = estimate(flight(noise=SIGMA), rate_prior_kg_h=(0.5, 4.0), source_height_m=(0.5, 1.5))
    west, south, east, north = AREA
    assert west < got.x < east
    assert south < got.y < north
    assert 0.5 <= got.height_m <= 1.5
    assert any("upper end of its prior" in each for each in got.warnings)


def test_a_flight_that_meets_nothing_gives_an_upper_limit():
    readings = flight(rate=0.0)
    got = estimate(readings, rate_prior_kg_h=(1e-3, 1e2))
    assert any("upper limit" in each for each in got.warnings)
    assert any("no line across the wind" in each for each in got.warnings)


def test_calm_is_refused_and_weak_wind_named():
    with pytest.raises(CoverageError, match="no direction"):
        estimate(flight(), constant_wind(0.1))
    got = estimate(flight(speed=0.8), constant_wind(0.8))
    assert any("meander" in each for each in got.warnings)


def test_unknown_wind_and_too_few_readings_are_refused():
    late = Wind(np.array([10**15, 10**15 + 10**9]), *(np.full(2, v) for v in (4.0, 0.0, 0.0, 0.0)))
    with pytest.raises(CoverageError, match="no wind"):
        estimate(flight(), late)
    few = replace(flight(), enhancement_ppm=np.full(len(flight()), np.nan))
    with pytest.raises(CoverageError, match="only 0 of"):
        estimate(few)


def test_a_source_outside_of_the_area_is_named():
    got = estimate(flight(), area=(25.0, -60.0, 120.0, 60.0))
    assert any("border of the search area" in each for each in got.warnings)


def test_lines_on_one_side_of_the_plume_are_named():
    readings = flight(source=(5.0, 0.0, 1.0))
    one_side = readings.y > 2.0
    names = ("time", "x", "y", "z_agl_m", "enhancement_ppm", "sigma_ppm", "leg")
    half = replace(readings, **{name: getattr(readings, name)[one_side] for name in names})
    assert any("ends of the lines" in each for each in estimate(half).warnings)


@pytest.mark.parametrize("wrong", [{"source_height_m": (2.0, 1.0)}, {"rate_prior_kg_h": (0.0, 1.0)}])
def test_impossible_priors_are_refused(wrong):
    with pytest.raises(ValueError, match="low <= high"):
        estimate(flight(), **wrong)


def test_fixed_sensors_find_a_source():
    rng = np.random.default_rng(5)
    stamps = np.arange(0.0, 3600.0, 60.0)
    toward = math.radians(25.0) * np.sin(stamps / 900.0)
    wind = Wind(
        np.rint(stamps * 1e9).astype(np.int64), 3.0 * np.cos(toward), 3.0 * np.sin(toward),
        np.zeros(stamps.size), np.zeros(stamps.size),
    )  # fmt: skip
    sensors = np.array([[40.0, y, 2.0] for y in (-30.0, -15.0, 0.0, 15.0, 30.0)])
    met = np.array([
        plume.point_coupling(
            np.array([[0.0, 4.0, 1.0]]), sensors, wind_east=3.0 * math.cos(a), wind_north=3.0 * math.sin(a),
            dispersion=plume.briggs("C"), density_kg_m3=DENSITY,
        )[0]
        for a in toward
    ])  # fmt: skip
    value = 5.0 * met * np.exp(0.2 * rng.standard_normal(met.shape)) + SIGMA * rng.standard_normal(met.shape)
    n = value.size
    place = np.tile(sensors, (stamps.size, 1))
    readings = GasReadings(
        np.repeat(wind.time, len(sensors)), *place.T.copy(), value.ravel(), np.full(n, SIGMA), CRS
    )
    got = estimate(readings, wind, area=(-40.0, -40.0, 35.0, 40.0), rate_prior_kg_h=(0.1, 100.0))
    assert got.parameters["passes"] == 0
    assert math.hypot(got.x, got.y - 4.0) < 8.0
    assert got.region_90.distance(shapely.Point(0.0, 4.0)) < 2.0
    assert 0.5 < got.rate_kg_h / 5.0 < 2.0


def chilbolton(shared_data):
    folder = shared_data / "gas" / "chilbolton_controlled_release"
    layout = json.loads((folder / "truth_and_layout.json").read_text())
    instruments = layout["instruments_m"]
    sensor = np.array(instruments["line_of_sight_sensor"])
    mirrors = np.array([instruments[f"reflector_{k}"] for k in range(1, 8)])
    return folder, layout["sources"], sensor, mirrors


@pytest.mark.once
def test_chilbolton_source_1(shared_data):
    folder, truth, sensor, mirrors = chilbolton(shared_data)
    value = np.loadtxt(folder / "CH4_measurements_source_1.csv", skiprows=1).reshape(7, -1)
    speed, toward, across, up = np.loadtxt(folder / "windfield_source_1.csv", skiprows=1, delimiter=",").T
    n = speed.size
    time, zero = np.arange(n) * 60_000_000_000, np.zeros(n)
    wind = Wind(time, speed * np.cos(np.radians(toward)), speed * np.sin(np.radians(toward)), zero, zero)
    # The background of a beam is the least that it met.
    enhancement = value - value.min(axis=1, keepdims=True)
    readings = GasReadings(
        np.tile(time, 7), *np.tile(sensor, (7 * n, 1)).T.copy(), enhancement.ravel(), np.full(7 * n, SIGMA),
        "EPSG:32630", end=np.repeat(mirrors, n, axis=0),
    )  # fmt: skip
    got = estimate(
        readings, wind, stability="auto", area=None, particles=400,
        turbulence_deg=tuple(np.degrees(np.arctan(np.tile(tangent, 7))) for tangent in (across, up)),
    )  # fmt: skip
    x, y, _ = truth["source_1_location"]
    rate = 3600.0 * truth["source_1_emission_rate"]
    assert math.hypot(got.x - x, got.y - y) <= 3.0
    assert 1.0 / 1.5 < got.rate_kg_h / rate < 1.5
    assert got.region_90.contains(shapely.Point(x, y))
    assert got.rate_90_kg_h[0] < rate < got.rate_90_kg_h[1]


@pytest.mark.slow
def test_chilbolton_from_the_raw_files(shared_data):
    # One hour of the release: less to go by than the whole, and more than 3 m of error.
    folder, truth, sensor, mirrors = chilbolton(shared_data)
    rows = []
    for k in range(7):
        text = (folder / f"20170510_POS{k + 1}_rel07_processed.txt").read_text().splitlines()
        stamp = next(line for line in text if line.strip().startswith("05/10/2017")).split()[1]
        hours, minutes, seconds = (float(part) for part in stamp.split(":"))
        table = np.loadtxt(text[14:])
        begun = 3600.0 * hours + 60.0 * minutes + seconds
        background = np.quantile(table[:, 8], 0.05)
        rows.append(
            np.column_stack([begun + table[:, 0], table[:, 4:7], table[:, 8] - background, table[:, 9],
                             np.full(len(table), k)])
        )  # fmt: skip
    table = np.concatenate(rows)
    # The authors' minutes 79 to 138 are these.
    table = table[(table[:, 0] >= 15 * 3600 + 14 * 60) & (table[:, 0] < 16 * 3600 + 14 * 60)]
    time = np.rint(table[:, 0] * 1e9).astype(np.int64)
    stamps, first = np.unique(time, return_index=True)
    zero = np.zeros(stamps.size)
    # The anemometer's x points north and its y west: that turns it into the authors' wind.
    wind = Wind(stamps, -table[first, 2], table[first, 1].copy(), zero, zero, up=table[first, 3].copy())
    readings = GasReadings(
        time, *np.tile(sensor, (time.size, 1)).T.copy(), table[:, 4].copy(), table[:, 5].copy(), "EPSG:32630",
        end=mirrors[table[:, 6].astype(int)],
    )  # fmt: skip
    got = estimate(readings, wind, stability="auto", area=None, particles=400)
    x, y, _ = truth["source_1_location"]
    rate = 3600.0 * truth["source_1_emission_rate"]
    assert math.hypot(got.x - x, got.y - y) < 5.0
    assert 1.0 / 1.5 < got.rate_kg_h / rate < 1.5
    assert got.region_90.distance(shapely.Point(x, y)) < 1.0
    assert got.rate_90_kg_h[0] < rate < got.rate_90_kg_h[1]


def shares(name, seeds):
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        import source_scenes
    finally:
        sys.path.pop(0)
    return np.mean([source_scenes.outcome(name, seed).held for seed in seeds], axis=0)


@pytest.mark.once
def test_regions_hold_the_truth_in_a_few_scenes():
    # Four of eight 90 % regions or more: a calibrated inversion fails in 1 of 2000 sets.
    held = shares("puffs", range(4))
    assert held[1] + held[3] >= 1.0


# Of the puffs the 50 % region of the place holds 44.5 %: outside of 5 points, said in docs/methods/source.md.
@pytest.mark.slow
@pytest.mark.parametrize(("name", "within"), [("story", 0.05), ("puffs", 0.06)])
def test_regions_hold_the_truth_at_their_nominal_rate(name, within):
    np.testing.assert_allclose(shares(name, range(200)), [0.5, 0.9, 0.5, 0.9], atol=within)
