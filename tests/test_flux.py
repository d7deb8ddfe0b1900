"""Mass balance: a published file, plumes with a known rate, and coverage."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dronesense.errors import CoverageError
from dronesense.hotspots import flux
from dronesense.hotspots.flux import Crossing, WindMean

CRS = "EPSG:32632"
M_CH4, T, P = 16.0425, 288.15, 1013.25
RHO = M_CH4 * 1e-3 * P * 100.0 / (8.314462618 * T)  # kg/m3 of pure gas


def plume_ppm(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, *, rate_kg_h: float, speed: float, spread: float
) -> np.ndarray:
    """Gaussian plume with reflection from a source at the origin on the ground; the wind blows to +y."""
    sigma = spread * np.maximum(y, 1e-9) + 1.0
    across = np.exp(-0.5 * (x / sigma) ** 2)
    up = 2.0 * np.exp(-0.5 * (z / (0.5 * sigma)) ** 2)
    density = rate_kg_h / 3600.0 / (2.0 * math.pi * speed * sigma * 0.5 * sigma) * across * up
    return np.where(y > 0.0, density / RHO * 1e6, 0.0)


def curtain(distance: float = 100.0, legs: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Legs of 160 m across the wind from 1 m above the ground on, 2.5 m apart, a sample each 2 m."""
    along = np.arange(-80.0, 80.1, 2.0)
    x = np.concatenate([along if leg % 2 == 0 else along[::-1] for leg in range(legs)])
    z = np.repeat(1.0 + 2.5 * np.arange(legs), along.size)
    return x, np.full(x.size, distance), z


def balance(x: np.ndarray, y: np.ndarray, z: np.ndarray, ppm: np.ndarray, **more: Any) -> Any:
    wind = more.pop("wind", WindMean(0.0, 4.0, 0.2, 4.0))
    keys = {"species": "CH4", "molar_mass_g_mol": M_CH4, "temperature_k": T, "pressure_hpa": P, "crs": CRS}
    return flux.mass_balance(Crossing(x, y, z, ppm, **{**keys, **more}), wind)


def test_a_curtain_returns_the_rate_of_the_plume() -> None:
    x, y, z = curtain()
    found = balance(x, y, z, plume_ppm(x, y, z, rate_kg_h=2.0, speed=4.0, spread=0.15), ground_m=0.0)
    assert found.surface == "curtain"
    # Half of what may pass below the lowest leg is counted; here the plume lies on the ground with all of it.
    assert found.bounds_kg_h["constant_below"] == pytest.approx(2.0, rel=0.03)
    assert abs(found.rate_kg_h - 2.0) < 2.0 * math.hypot(found.budget_kg_h["unsampled"], 0.02)
    assert found.budget_kg_h["wind"] == pytest.approx(found.rate_kg_h * 0.2 / 4.0, rel=1e-6)
    assert found.bounds_kg_h["zero_below"] < found.bounds_kg_h["linear_below"]
    assert found.bounds_kg_h["linear_below"] < found.bounds_kg_h["constant_below"]
    assert found.outline.length == pytest.approx(160.0)


def test_an_oblique_wind_carries_its_cosine_through_and_its_direction_counts() -> None:
    x, y, z = curtain()
    ppm = plume_ppm(x, y, z, rate_kg_h=2.0, speed=4.0, spread=0.15)
    oblique = WindMean(4.0 * math.sin(math.radians(40.0)), 4.0 * math.cos(math.radians(40.0)), 0.2, 5.0)
    straight, found = balance(x, y, z, ppm), balance(x, y, z, ppm, wind=oblique)
    assert found.rate_kg_h == pytest.approx(straight.rate_kg_h * math.cos(math.radians(40.0)), rel=1e-3)
    expected = found.rate_kg_h * math.tan(math.radians(40.0)) * math.radians(5.0)
    assert found.budget_kg_h["direction"] == pytest.approx(expected)


def test_a_circle_sees_only_what_is_emitted_within_it() -> None:
    turn = np.linspace(0.0, 14.0 * math.pi, 1400)
    x, y, z = 60.0 * np.sin(turn), 60.0 * np.cos(turn), 1.0 + 1.5 * turn / (2.0 * math.pi) * 2.0
    inside = plume_ppm(x, y, z, rate_kg_h=1.5, speed=4.0, spread=0.15)
    outside = plume_ppm(x, y + 110.0, z, rate_kg_h=1.5, speed=4.0, spread=0.15)
    of_inside, of_outside = balance(x, y, z, inside, ground_m=0.0), balance(x, y, z, outside, ground_m=0.0)
    assert of_inside.surface == "circle"
    assert of_inside.rate_kg_h == pytest.approx(1.5, rel=0.12)
    assert abs(of_outside.rate_kg_h) < 0.25  # what comes in goes out again
    assert of_inside.budget_kg_h["background"] == 0.0


def test_a_wrong_background_is_covered_by_its_part_of_the_budget() -> None:
    x, y, z = curtain()
    ppm = plume_ppm(x, y, z, rate_kg_h=2.0, speed=4.0, spread=0.15)
    right, wrong = balance(x, y, z, ppm), balance(x, y, z, ppm + 0.01, sigma_background_ppm=0.01)
    assert wrong.rate_kg_h - right.rate_kg_h == pytest.approx(wrong.budget_kg_h["background"], rel=1e-3)


@pytest.mark.once
def test_the_stated_uncertainty_covers_the_truth() -> None:
    rng = np.random.default_rng(6)
    x, y, z = curtain()
    inside, tries = 0, 40
    for _ in range(tries):
        speed, angle = 4.0 + 0.4 * rng.normal(), math.radians(4.0 * rng.normal())
        ppm = plume_ppm(x - 10.0 * rng.normal(), y, z, rate_kg_h=2.0, speed=4.0, spread=0.15)
        ppm = ppm + 0.05 * rng.normal(size=x.size) + 0.01 * rng.normal()
        wind = WindMean(speed * math.sin(angle), speed * math.cos(angle), 0.4, 4.0)
        found = balance(
            x, y, z, ppm, wind=wind, ground_m=0.0, sigma_background_ppm=0.01, sigma_noise_ppm=0.05
        )
        inside += abs(found.rate_kg_h - 2.0) <= 1.645 * found.sigma_kg_h
    assert 0.78 <= inside / tries <= 1.0  # 90 % nominal


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wind": WindMean(4.0, 0.1, 0.2, 4.0)}, "hardly anything passes"),
        ({"wind": WindMean(0.0, 0.0, 0.2, 4.0)}, "without wind"),
    ],
)
def test_a_wind_that_passes_nothing_is_refused(change: dict[str, Any], message: str) -> None:
    x, y, z = curtain()
    with pytest.raises(CoverageError, match=message):
        balance(x, y, z, np.ones(x.size), **change)


def test_too_few_samples_and_a_single_height_are_refused() -> None:
    x, y, z = curtain()
    with pytest.raises(CoverageError, match="too few"):
        balance(x[:20], y[:20], z[:20], np.ones(20))
    with pytest.raises(CoverageError, match="one height"):
        balance(x[:60], y[:60], np.ones(60), np.ones(60))


@pytest.mark.parametrize(
    ("species", "molar_mass", "background", "published"),
    [("ch4", 16.0425, 1.95, 2037.6), ("co2", 44.0095, 380.0, 37160.0), ("c2h6", 30.069, 0.0, 697.7)],
)
def test_the_curtain_of_a_peer_against_its_trapezoid_rule(
    shared_data: Path, species: str, molar_mass: float, background: float, published: float
) -> None:
    from pyproj import Transformer

    with (shared_data / "gas/gasflux_testdata/testdata.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))

    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    x, y = Transformer.from_crs(4326, 32633, always_xy=True).transform(
        column("longitude"), column("latitude")
    )
    speed, angle = column("windspeed"), np.radians(column("winddir"))
    east, north = -speed * np.sin(angle), -speed * np.cos(angle)
    crossing = Crossing(
        x,
        y,
        column("height_ato"),
        column(species) - background,
        species=species,
        molar_mass_g_mol=molar_mass,
        temperature_k=283.15,
        pressure_hpa=1000.0,
        wind_samples=(east, north),
        crs="EPSG:32633",
    )
    found = flux.mass_balance(crossing, WindMean(float(east.mean()), float(north.mean()), 0.3, 3.0))
    assert found.rate_kg_h == pytest.approx(published, rel=0.05)
    assert abs(found.rate_kg_h - published) <= 2.0 * found.sigma_kg_h
