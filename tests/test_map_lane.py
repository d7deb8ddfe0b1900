"""Maps of a flight: by three methods on one grid, chosen by lines left out, empty where nobody flew."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dronesense import geodesy
from dronesense.calibrate import wind as winds
from dronesense.hotspots.kernel_choice import choose_kernel
from dronesense.hotspots.kernel_map import Kernel
from dronesense.model import Ambient, Flag, Flight, GasMap, GasSeries, GasTrace, GroundPoints
from dronesense.pipeline.account import Account
from dronesense.pipeline.map_lane import WIDTHS_M, gas_maps
from dronesense.pipeline.site import on_grid, wind_on_grid

START = 1_780_000_000_000_000_000
SECOND = 1_000_000_000
CRS = "EPSG:32633"
EAST, NORTH = 610_000.0, 6_653_000.0  # 60 N, 1.97 degrees east of the central meridian


def trace(*, lines: int = 12, seed: int = 0, sigma: float = 0.02, flags: int = 0) -> GasTrace:
    """Lines of 60 m flown there and back at 3 m/s and 5 Hz, 4 m apart, over a plume 6 m wide at (30, 22)."""
    along = np.arange(0.0, 60.0, 0.6)
    x = np.concatenate([along if line % 2 == 0 else along[::-1] for line in range(lines)])
    y = np.repeat(4.0 * np.arange(lines), along.size)
    value = np.exp(-0.5 * ((x - 30.0) ** 2 + (y - 22.0) ** 2) / 6.0**2)
    value += sigma * np.random.default_rng(seed).normal(size=x.size)
    m = x.size
    series = GasSeries(
        START + np.arange(m) * SECOND // 5, "CH4", "mole_fraction", 2.0 + value, np.full(m, sigma), "wet",
        np.full(m, flags, dtype=np.uint16), "calibrated", Ambient(), "sniffer", "raw/a.csv", np.arange(m) + 2,
    )  # fmt: skip
    points = GroundPoints(
        EAST + x, NORTH + y, np.full(m, 300.0), np.zeros((m, 2, 2)), np.zeros(m, dtype=np.uint8), CRS,
        series.time,
    )  # fmt: skip
    return GasTrace(series, points, background=np.full(m, 2.0))


def maps_of(*traces: GasTrace, wind: object = None) -> tuple[tuple[GasMap, ...], Account]:
    account = Account(Flight("f", Path(), None))
    return gas_maps(traces, account, wind=wind), account  # type: ignore[arg-type]


WIND = winds.stated(3.0, 270.0, sigma_speed_m_s=0.5, sigma_from_deg=10.0)


def peak(made: GasMap) -> tuple[float, float]:
    row, column = np.unravel_index(np.nanargmax(made.mean), made.mean.shape)
    a, _, west, _, _, north = made.transform
    return west + a * (column + 0.5) - EAST, north - a * (row + 0.5) - NORTH


def test_three_maps_on_one_grid_find_the_plume_and_color_nothing_else() -> None:
    made, account = maps_of(trace(), wind=WIND)
    assert [each.method for each in made] == ["kernel-dmv", "kernel-dmvw", "kriging"]
    plain = made[0]
    for each in made:
        assert each.transform == plain.transform
        assert np.hypot(*np.subtract(peak(each), (30.0, 22.0))) < 4.0
        assert not np.isfinite(each.mean[np.isnan(plain.mean)]).any()
        assert np.array_equal(np.isnan(each.mean), np.isnan(each.sigma))
        assert float(np.nanmax(each.mean)) < 1.3  # of the enhancement, not of the reading
    a, _, west, _, _, north = plain.transform
    rows, columns = np.nonzero(np.isfinite(plain.mean))
    reach = 3.0 * float(plain.parameters["sigma_m"])  # type: ignore[arg-type]
    east, north = west + a * (columns + 0.5) - EAST, north - a * (rows + 0.5) - NORTH
    assert max(0.0 - east.min(), east.max() - 60.0, 0.0 - north.min(), north.max() - 44.0) < reach
    notes = account.statements(CRS, [])["gas_maps"]
    assert isinstance(notes, list)
    assert [each["method"] for each in notes] == ["kernel-dmv", "kernel-dmvw", "kriging"]


def test_without_wind_there_are_two() -> None:
    made, _ = maps_of(trace())
    assert [each.method for each in made] == ["kernel-dmv", "kriging"]
    calm = winds.stated(0.0, 270.0, sigma_speed_m_s=0.5, sigma_from_deg=10.0)
    assert [each.method for each in maps_of(trace(), wind=calm)[0]] == ["kernel-dmv", "kriging"]


def test_the_width_of_the_product_is_the_one_that_predicts_unseen_lines() -> None:
    """Computed here anew from the readings, 0.75 m averages by hand: one sample in 0.6 m, so the samples."""
    given = trace(sigma=0.3)
    made, _ = maps_of(given)
    line = np.repeat(np.arange(12), 100)
    x, y = given.points.x - EAST, given.points.y - NORTH
    value = given.series.value - 2.0
    scores = choose_kernel(x, y, value, line, candidates=[Kernel(w) for w in WIDTHS_M], spacing_m=0.6)[1]
    order = np.argsort(scores)
    assert made[0].parameters["sigma_m"] in {WIDTHS_M[order[0]], WIDTHS_M[order[1]]}
    assert made[0].parameters["chosen_by"] == "flight lines left out"
    quiet = maps_of(trace(sigma=0.01))[0][0].parameters["sigma_m"]
    assert quiet < made[0].parameters["sigma_m"]  # type: ignore[operator]


def test_one_line_takes_the_default_width() -> None:
    made, _ = maps_of(trace(lines=1), wind=WIND)
    assert made[0].parameters["sigma_m"] == 4.0
    assert made[0].parameters["chosen_by"] == made[1].parameters["chosen_by"]


def test_flagged_samples_make_no_map() -> None:
    made, account = maps_of(trace(flags=int(Flag.SATURATED)))
    assert made == ()
    assert account.warnings == ["raw/a.csv: too few CH4 samples with a place for a map"]


def test_one_reading_all_over_is_no_field_to_krige() -> None:
    given = trace()
    level = dataclasses.replace(given.series, value=np.full(len(given.series), 2.0))
    made, _ = maps_of(dataclasses.replace(given, series=level))
    assert [each.method for each in made] == ["kernel-dmv"]
    assert float(np.nanmax(np.abs(made[0].mean))) == pytest.approx(0.0, abs=1e-7)


def test_winds_are_turned_onto_the_grid() -> None:
    """A wind to true north, followed on the ground: its direction on the grid is the place's move there."""
    x, y = np.array([EAST]), np.array([NORTH])
    lon, lat = geodesy.to_lonlat(x, y, CRS)
    ahead = geodesy.to_grid(lon, lat + 1e-4, CRS)
    move = np.array([ahead[0][0] - EAST, ahead[1][0] - NORTH])
    east, north = on_grid(np.array([0.0]), np.array([2.0]), x, y, CRS)
    np.testing.assert_allclose([east[0], north[0]], 2.0 * move / np.hypot(*move), atol=1e-5)
    assert east[0] < -0.05  # grid north lies east of true north there


def test_the_uncertainty_of_a_wind_turns_with_it() -> None:
    """A wind that is sure of its speed and not of its direction stays so on the grid, in its own axes."""
    given = winds.stated(4.0, 300.0, sigma_speed_m_s=0.1, sigma_from_deg=20.0)
    turned = wind_on_grid(given, np.array([EAST]), np.array([NORTH]), CRS)
    assert turned.speed_m_s[0] == pytest.approx(4.0)
    assert given.from_deg[0] - turned.from_deg[0] == pytest.approx(1.708, abs=0.01)  # 1.97 sin 60 degrees
    before, after = winds.mean(given), winds.mean(turned)
    assert after.sigma_speed_m_s == pytest.approx(before.sigma_speed_m_s)
    assert after.sigma_from_deg == pytest.approx(before.sigma_from_deg)
    assert before.sigma_speed_m_s == pytest.approx(0.1)
