"""Clock: planted offsets come back from pressure and from heights; ambiguous or empty records are refused."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import math
from pathlib import Path

import numpy as np
import pytest

from dronesense.calibrate.clock import (
    body_rates,
    estimate_image_offset,
    estimate_offset,
    estimate_track_offset,
    shift,
    shift_track,
)
from dronesense.calibrate.sync import ClockOffset
from dronesense.errors import CoverageError
from dronesense.model import Ambient, Clock, GasSeries, Trajectory, Triggers

S = 1_000_000_000
T0 = 1_781_000_000 * S


def series(seconds: np.ndarray, pressure: np.ndarray | None) -> GasSeries:
    m = len(seconds)
    return GasSeries(
        time=T0 + np.round(seconds * S).astype(np.int64),
        species="CH4",
        quantity="mole_fraction",
        value=np.full(m, 2.0),
        sigma=np.full(m, 0.01),
        basis="dry",
        flags=np.zeros(m, np.uint16),
        level="raw",
        ambient=Ambient(pressure_hpa=pressure),
        instrument="",
        source="",
        row=np.arange(m) + 2,
    )


def track(
    seconds: np.ndarray, height: np.ndarray, pressure: np.ndarray | None, *, source: bool = False
) -> Trajectory:
    n = len(seconds)
    unknown = np.full((n, 3), np.nan)
    return Trajectory(
        time=T0 + np.round(seconds * S).astype(np.int64),
        lon=np.full(n, 70.0),
        lat=np.full(n, 50.0),
        height_m=np.full(n, np.nan) if source else height,
        height_source_m=height,
        height_ref="unknown" if source else "ellipsoid",
        velocity_ned=unknown,
        attitude=np.full((n, 4), np.nan),
        std_ned_m=unknown,
        std_rpy_deg=unknown,
        fix=np.full(n, 2, np.uint8),
        segment=np.zeros(n, np.int32),
        clock=Clock("exact", 0.01),
        reference_point="antenna",
        source="",
        pressure_hpa=pressure,
    )


def profile(
    rng: np.random.Generator, duration: float, steps: tuple[float, float] = (5.0, 40.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Knots of a flight: levels held for a time, climbed at 2.5 m/s; on the ground before and after."""
    t, h = [0.0, 30.0], [0.0, 0.0]
    while t[-1] < duration - 120.0:
        level = max(0.0, h[-1] + rng.choice([-1.0, 1.0]) * rng.uniform(*steps))
        t.append(t[-1] + max(abs(level - h[-1]) / 2.5, 0.1))
        h.append(level)
        t.append(t[-1] + rng.uniform(15.0, 60.0))
        h.append(level)
    t += [t[-1] + max(h[-1] / 2.5, 0.1), t[-1] + 100.0]
    h += [0.0, 0.0]
    return np.array(t), np.array(h)


def barometer(height: np.ndarray) -> np.ndarray:
    """Isothermal, 8.0 km scale height: not the formula of the tested code."""
    return 960.0 * np.exp(-height / 8000.0)


def planted(
    seed: int,
    offset: float,
    *,
    duration: float = 900.0,
    noise: float = 0.05,
    gas_rate: float = 1.0,
    log_rate: float = 5.0,
    barometric: bool = True,
    crop: tuple[float, float] = (0.0, 1.0),
) -> ClockOffset:
    rng = np.random.default_rng(seed)
    knots, levels = profile(rng, duration)
    log = np.arange(0.0, knots[-1], 1.0 / log_rate)
    height = np.interp(log, knots, levels)
    pressure = barometer(height) + 0.03 * rng.standard_normal(log.size) if barometric else None
    truth = np.arange(crop[0] * knots[-1], crop[1] * knots[-1], 1.0 / gas_rate) + rng.uniform(
        0.0, 1.0 / gas_rate
    )
    felt = 1.002 * barometer(np.interp(truth, knots, levels)) + 0.8 + 0.0002 * truth
    felt = np.round(felt + noise * rng.standard_normal(truth.size), 2)
    return estimate_offset(
        series(truth - offset, felt), track(log, height + 0.1 * rng.standard_normal(log.size), pressure)
    )


@pytest.mark.parametrize("offset", [0.0, -3.7, 47.31, -613.2, 3599.5, -5432.1])
@pytest.mark.parametrize("gas_rate", [1.0, 10.0])
def test_a_planted_offset_comes_back(offset: float, gas_rate: float) -> None:
    found = planted(1, offset, gas_rate=gas_rate)
    assert found.accepted, found.reason
    assert found.offset_s == pytest.approx(offset, abs=0.15)
    assert found.method == "pressure"


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_error_and_stated_sigma_over_seeds(noise: float) -> None:
    """Flights of 5 to 20 min: all within 0.3 s, most within 0.1 s, and within 3 stated sigma."""
    found = [planted(seed, 210.0, duration=300.0 + 60.0 * (seed % 16), noise=noise) for seed in range(24)]
    accepted = [one for one in found if one.accepted]
    assert len(accepted) >= 22
    error = np.array([one.offset_s - 210.0 for one in accepted])
    sigma = np.array([one.sigma_s for one in accepted])
    assert np.abs(error).max() < 0.3
    assert np.quantile(np.abs(error), 0.75) < 0.1
    assert np.mean(np.abs(error) < 3.0 * sigma) >= 0.95


def test_heights_stand_in_for_a_barometer() -> None:
    found = planted(2, -95.4, barometric=False)
    assert found.accepted, found.reason
    assert found.method == "height"
    assert found.offset_s == pytest.approx(-95.4, abs=0.3)


def test_a_series_that_covers_half_of_the_flight() -> None:
    found = planted(3, 33.3, duration=1200.0, crop=(0.3, 0.8))
    assert found.accepted, found.reason
    assert found.offset_s == pytest.approx(33.3, abs=0.2)


def test_source_heights_stand_in_for_ellipsoidal_ones() -> None:
    knots, levels = profile(np.random.default_rng(5), 700.0)
    t = np.arange(0.0, knots[-1], 0.5)
    height = np.interp(t, knots, levels)
    found = estimate_offset(series(t - 12.0, barometer(height)), track(t, height, None, source=True))
    assert found.accepted
    assert found.offset_s == pytest.approx(12.0, abs=0.05)


def refused(gas: GasSeries, log: Trajectory, why: str) -> None:
    found = estimate_offset(gas, log)
    assert not found.accepted
    assert found.offset_s == 0.0
    assert math.isinf(found.sigma_s)
    assert why in found.reason
    assert "clock_offset_s" in found.reason


def test_no_pressure_is_refused() -> None:
    t = np.arange(0.0, 600.0)
    refused(series(t, None), track(t, np.zeros(600), None), "no pressure")
    refused(series(t, np.full(600, np.nan)), track(t, np.zeros(600), None), "no pressure")
    bare = track(t, np.full(600, np.nan), None)
    refused(series(t, np.full(600, 960.0)), bare, "neither pressure nor heights")


def test_a_flight_at_one_height_is_refused() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(0.0, 900.0)
    gas = series(t, 960.0 + 0.05 * rng.standard_normal(900))
    found = estimate_offset(gas, track(t, np.zeros(900), 960.0 + 0.05 * rng.standard_normal(900)))
    assert not found.accepted
    refused(series(t, np.full(900, 960.0)), track(t, np.zeros(900), np.full(900, 960.0)), "share less than")


def test_another_flight_is_refused() -> None:
    """Twenty pairs of unrelated flights: not one is accepted."""
    accepted = 0
    for seed in range(20):
        one, other = (profile(np.random.default_rng(seed + shift), 900.0) for shift in (0, 1000))
        t = np.arange(0.0, min(one[0][-1], other[0][-1]))
        gas = series(t, barometer(np.interp(t, *one)))
        height = np.interp(t, *other)
        accepted += estimate_offset(gas, track(t, height, barometer(height))).accepted
    assert accepted == 0


def test_a_flight_that_repeats_itself_is_refused() -> None:
    """Up and down every 60 s, the log longer than the series: many offsets fit."""
    t = np.arange(0.0, 1800.0)
    height = 20.0 + 10.0 * np.sin(2.0 * np.pi * t / 60.0)
    refused(
        series(t[300:900], barometer(height[300:900])), track(t, height, barometer(height)), "another offset"
    )


def test_halves_that_disagree_are_refused() -> None:
    """The second half of the series is 4 s late, as after a hiccup of the logger."""
    knots, levels = profile(np.random.default_rng(7), 900.0)
    t = np.arange(0.0, knots[-1])
    late = np.where(t > t.mean(), 4.0, 0.0)
    gas = series(t, barometer(np.interp(t - late, knots, levels)))
    height = np.interp(t, knots, levels)
    found = estimate_offset(gas, track(t, height, barometer(height)))
    assert not found.accepted


def test_holes_are_not_bridged() -> None:
    """Half of each record is lost in long holes, at other times: the offset still comes back."""
    rng = np.random.default_rng(8)
    knots, levels = profile(rng, 1200.0)
    t = np.arange(0.0, knots[-1], 0.5)
    height = np.interp(t, knots, levels)
    log = (t // 100.0) % 3.0 != 1.0
    felt = barometer(height)
    felt[(t // 70.0) % 3.0 == 0.0] = np.nan
    found = estimate_offset(series(t - 61.0, felt), track(t[log], height[log], barometer(height)[log]))
    assert found.accepted, found.reason
    assert found.offset_s == pytest.approx(61.0, abs=0.1)


def test_the_search_is_bounded() -> None:
    with pytest.raises(ValueError, match="max_offset_s"):
        estimate_offset(
            series(np.arange(9.0), None), track(np.arange(9.0), np.zeros(9), None), max_offset_s=0.0
        )


def test_shift_adds_the_offset() -> None:
    raw = series(np.arange(3.0), None)
    out = shift(raw, 2.5, 0.1)
    np.testing.assert_array_equal(out.time - raw.time, 2_500_000_000)
    assert "+2.500 s" in out.history[-1]
    assert "0.100 s" in out.history[-1]
    with pytest.raises(CoverageError, match="not a number"):
        shift(raw, math.nan)


def test_shift_track_moves_stamps_triggers_and_clock() -> None:
    t = np.arange(5.0)
    log = track(t, np.zeros(5), None)
    log = dataclasses.replace(log, triggers=Triggers(log.time[1:3], np.array([1, 2]), "CAM"))
    assert log.triggers is not None
    out = shift_track(log, -0.125, 0.02)
    assert out.triggers is not None
    np.testing.assert_array_equal(log.time - out.time, 125_000_000)
    np.testing.assert_array_equal(log.triggers.time - out.triggers.time, 125_000_000)
    assert (out.clock.kind, out.clock.sigma_s, out.clock.offset_s) == ("fitted", 0.02, -0.125)
    assert "-0.125 s" in out.history[-1]
    kept = shift_track(log, 1.0)
    assert (kept.clock.kind, kept.clock.sigma_s) == (log.clock.kind, log.clock.sigma_s)
    relative = shift_track(dataclasses.replace(log, clock=Clock("relative", 0.5, note="since power-on")), 1e9)
    assert (relative.clock.kind, relative.clock.sigma_s) == ("fitted", 0.5)
    assert relative.clock.note == "since power-on; +1000000000.000 s added to the log's time"
    with pytest.raises(CoverageError, match="not a number"):
        shift_track(log, math.inf)


def flown(seconds: np.ndarray, places: np.ndarray, lon: float = 179.999) -> Trajectory:
    """A track of (east, north), m, across the 180th meridian."""
    east = lon + places[:, 0] / (111_195.0 * np.cos(np.radians(50.0)))
    log = track(seconds, np.zeros(seconds.size), None)
    return dataclasses.replace(log, lon=(east + 180.0) % 360.0 - 180.0, lat=50.0 + places[:, 1] / 111_195.0)


def test_two_tracks_of_one_flight() -> None:
    """Lines of 200 m, 20 m apart, across 180 degrees; the logger sits 3 m aside and is 41.3 s behind."""
    corners = np.array([[(0.0, 20.0 * k), (200.0, 20.0 * k)][:: 1 - 2 * (k % 2)] for k in range(10)]).reshape(
        -1, 2
    )
    at = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))] / 5.0
    t, slow = np.arange(0.0, at[-1], 0.2), np.arange(20.3, at[-1] - 30.0, 1.0)
    log, logger = (np.column_stack([np.interp(each, at, c) for c in corners.T]) for each in (t, slow))
    found = estimate_track_offset(flown(slow - 41.3, logger + 3.0), flown(t, log))
    assert found.accepted, found.reason
    assert found.method == "positions"
    assert found.offset_s == pytest.approx(41.3, abs=0.02)


def rolling(seconds: np.ndarray, roll_deg: np.ndarray) -> Trajectory:
    half = np.radians(roll_deg) / 2.0
    nothing = np.zeros(seconds.size)
    log = track(seconds, nothing, None)
    return dataclasses.replace(log, attitude=np.column_stack([np.cos(half), np.sin(half), nothing, nothing]))


def test_body_rates_of_a_roll() -> None:
    t = np.arange(0.0, 10.0, 0.1)
    log = rolling(t, 3.0 * t)
    segment = (t > 4.95).astype(np.int32)
    rate = body_rates(dataclasses.replace(log, segment=segment))
    same = np.diff(segment) == 0
    np.testing.assert_allclose(rate.value[same], np.tile([3.0, 0.0, 0.0], (same.sum(), 1)), atol=1e-6)
    assert np.isnan(rate.value[~same]).all()
    np.testing.assert_array_equal(rate.time, (log.time[1:] + log.time[:-1]) // 2)


def test_image_shift_finds_the_clock_of_a_camera() -> None:
    """Lines at 50 Hz move by 20 px per degree of roll, one registration in fifty has failed."""
    rng = np.random.default_rng(2)
    t = np.arange(0.0, 90.0, 0.02)
    angle = np.cumsum(np.convolve(rng.standard_normal(t.size), np.hanning(41), "same")) * 0.02
    frames = np.arange(10.0, 80.0, 0.02)
    shift_px = np.r_[0.0, -20.0 * np.diff(np.interp(frames, t, angle))] + 0.05
    shift_px[rng.integers(0, frames.size, 70)] = 300.0
    time = T0 + np.round((frames - 3.21) * S).astype(np.int64)
    found = estimate_image_offset(time, shift_px, rolling(t, angle))
    assert found.accepted, found.reason
    assert found.method == "rates"
    assert found.offset_s == pytest.approx(3.21, abs=0.01)
    still = estimate_image_offset(time, shift_px, track(t, np.zeros(t.size), None))
    assert not still.accepted  # no attitude in the log


def test_real_flight_against_its_own_height(shared_data: Path) -> None:
    """NMT flight: barometer of the anemometer against the heights of the aircraft, shifted by 137.25 s."""
    with (shared_data / "gas" / "uav_aeris_nmt" / "level0.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    start = dt.datetime.fromisoformat(rows[0]["Timestamp_UTC"])
    t = np.array([(dt.datetime.fromisoformat(row["Timestamp_UTC"]) - start).total_seconds() for row in rows])
    pressure, height = (np.array([float(row[name] or "nan") for row in rows]) for name in ("P", "Alt"))
    good = np.r_[True, np.diff(t) > 0.0]
    log = track(t[good], height[good], None)
    at_zero = estimate_offset(series(t[good], pressure[good]), log)
    moved = estimate_offset(series(t[good] - 137.25, pressure[good]), log)
    assert moved.accepted, moved.reason
    assert moved.offset_s - at_zero.offset_s == pytest.approx(137.25, abs=0.02)
    assert abs(at_zero.offset_s) < 1.0
