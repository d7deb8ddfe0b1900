"""Place and rate from readings: planted sources, symmetry, refusals, and how often regions hold the truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import shapely

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
    settings = {"stability": "C", "area": AREA, "particles": 200} | settings
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
