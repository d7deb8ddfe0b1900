"""Mounts found again: planted ties, ground control, coverage, what cannot be told, pictures, the command."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from dronesense import geodesy
from dronesense.cli import cli
from dronesense.errors import CalibrationError, ReadError
from dronesense.geotag import boresight
from dronesense.geotag.inverse import pixels_at
from dronesense.geotag.locate import trace
from dronesense.geotag.tie_points import Picture, find_tie_points
from dronesense.model.tie_points import GroundControl
from dronesense.readers import tie_table


def _flights() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "boresight_flights", Path(__file__).with_name("boresight_flights.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


flights = _flights()


def solve(flight: object, **given: object) -> boresight.Boresight:
    shared = {"instrument": flight.instrument, "terrain": flight.terrain, "crs": flights.CRS}  # type: ignore[attr-defined]
    return boresight.solve(flight.strips, **shared, **given)  # type: ignore[attr-defined, arg-type]


def truth(flight: object) -> np.ndarray:
    return np.array([*flight.boresight_deg, flight.time_s])  # type: ignore[attr-defined]


def test_places_lead_back_to_their_pixels() -> None:
    flight = flights.make(3)
    pixels = np.random.default_rng(0).uniform([0, 0], [599, 239], size=(200, 2))
    hits = trace(pixels, **flight.truth[1]).hits
    found = pixels_at(hits.x, hits.y, **flight.truth[1])
    np.testing.assert_allclose(found, pixels, atol=2e-3)
    assert np.isnan(pixels_at([hits.x[0] + 500.0], [hits.y[0]], **flight.truth[1])).all()


@pytest.mark.parametrize("relief_m", [0.0, 6.0])
def test_a_mount_is_found_from_exact_ties(relief_m: float) -> None:
    flight = flights.make(1, errors=False, relief_m=relief_m)
    ties = flights.ties(flight, np.random.default_rng(1), sigma_px=1e-3)
    found = solve(flight, ties=ties)
    np.testing.assert_allclose(found.value[:3], flight.boresight_deg, atol=5e-3)
    assert found.of("time")[0] == pytest.approx(flight.time_s, abs=5e-5)
    assert np.nanmedian(found.before_m) > 1.0
    assert np.nanmax(found.after_m) < 0.02
    assert found.mount.boresight_deg == pytest.approx(flight.boresight_deg, abs=5e-3)


def test_mistakes_among_the_ties_are_left_out() -> None:
    flight = flights.make(2, errors=False)
    ties = flights.ties(flight, np.random.default_rng(2), gross=0.1)
    found = solve(flight, ties=ties)
    assert 0.85 <= found.used.mean() <= 0.95
    assert np.all(np.abs(found.value - truth(flight)) <= 4.0 * found.sigma)
    assert np.all(np.abs(found.value[:3] - flight.boresight_deg) <= 0.02)
    assert found.scale == pytest.approx(1.0, abs=0.25)


def test_held_out_points_are_as_far_off_as_those_used() -> None:
    flight = flights.make(4)
    found = solve(flight, ties=flights.ties(flight, np.random.default_rng(4)))
    used = found.used
    assert np.median(found.held_out_m[used]) < 0.2 < 1.0 < np.median(found.before_m[used])
    # Every point is held out once: no better than with all of them.
    assert np.median(found.held_out_m[used]) >= 0.95 * np.median(found.after_m[used])


@pytest.mark.slow
def test_stated_uncertainties_hold() -> None:
    inside = []
    for seed in range(200):
        flight = flights.make(seed, boresight_deg=(0.3, -0.2, 0.5), time_s=0.01)
        ties = flights.ties(flight, np.random.default_rng(1000 + seed), per_pair=15)
        found = solve(flight, ties=ties)
        inside.append(np.abs(found.value - truth(flight)) / found.sigma)
    share = np.mean(np.array(inside) <= 1.0, axis=0), np.mean(np.array(inside) <= 2.0, axis=0)
    assert (share[0] >= 0.58).all()  # 68 % less three standard deviations of a share of 200
    assert (share[0] <= 0.90).all()  # offsets that last the whole strip are allowed for: rather too large
    assert (share[1] >= 0.90).all()


def test_some_uncertainties_hold() -> None:
    inside = []
    for seed in range(12):
        flight = flights.make(seed, boresight_deg=(0.3, -0.2, 0.5), time_s=0.01)
        ties = flights.ties(flight, np.random.default_rng(1000 + seed), per_pair=15)
        found = solve(flight, ties=ties)
        inside.append(np.abs(found.value - truth(flight)) / found.sigma)
    assert np.mean(np.array(inside) <= 2.0) >= 0.85  # 48 numbers: 95 % less three deviations
    assert np.mean(np.array(inside) <= 0.1) <= 0.25  # and they are not simply large


def test_ground_control_finds_the_height_bias_too() -> None:
    flight = flights.make(5, errors=False, heights=(50.0, 60.0, 70.0, 60.0))
    rng = np.random.default_rng(5)
    number, pixels, places = [], [], []
    for i, one in enumerate(flight.truth):
        some = rng.uniform([20, 5], [580, 234], size=(25, 2))
        hits = trace(some, **one).hits
        number += [i] * 25
        pixels.append(some)
        places.append(np.column_stack(geodesy.to_lonlat(hits.x, hits.y, flights.CRS)))
    line, sample = np.concatenate(pixels).T
    lon, lat = np.concatenate(places).T
    n = len(line)
    names = tuple(each.name for each in flight.strips)
    control = GroundControl(
        names, np.array(number), line, sample, lon, lat, np.full(n, 0.01), np.full(n, 0.05)
    )
    low = [
        replace(each, trajectory=replace(each.trajectory, height_m=each.trajectory.height_m - 0.4))
        for each in flight.strips
    ]
    lowered = replace(flight, strips=low)
    found = solve(lowered, control=control, parameters=[*boresight.GROUPS["boresight"], "time", "height"])
    assert found.of("height")[0] == pytest.approx(0.4, abs=0.02)
    np.testing.assert_allclose(found.value[:3], flight.boresight_deg, atol=0.01)


def test_one_heading_at_one_speed_cannot_tell_pitch_from_time() -> None:
    flight = flights.make(6, headings=(0.0,), errors=False, relief_m=0.0)
    track = flight.strips[0].trajectory
    north = np.outer(5.0 * (np.arange(1400) / 100.0 - 7.0), [1.0, 0.0, 0.0])
    lon, lat, up = geodesy.displace(
        np.full(1400, flights.LON), np.full(1400, flights.LAT), np.full(1400, 60.0), north
    )
    calm = replace(
        track,
        lon=lon,
        lat=lat,
        height_m=up,
        height_source_m=up,
        attitude=np.tile([1.0, 0.0, 0.0, 0.0], (1400, 1)),
    )
    strips = [replace(flight.strips[0], trajectory=calm)]
    true = flight.truth[0] | {"trajectory": calm}
    some = np.random.default_rng(6).uniform([20, 5], [580, 234], size=(30, 2))
    hits = trace(some, **true).hits
    lon, lat = geodesy.to_lonlat(hits.x, hits.y, flights.CRS)
    control = GroundControl(
        ("strip_0",), np.zeros(30, dtype=int), *some.T, lon, lat, np.full(30, 0.02), np.full(30, 0.1)
    )
    with pytest.raises(
        CalibrationError, match="cannot tell boresight pitch and the time offset apart"
    ) as why:
        solve(replace(flight, strips=strips), control=control)
    assert "two speeds" in str(why.value)
    found = solve(replace(flight, strips=strips), control=control, parameters=boresight.GROUPS["boresight"])
    assert found.of("roll")[0] == pytest.approx(flight.boresight_deg[0], abs=0.05)


def test_too_few_points_are_refused() -> None:
    flight = flights.make(7)
    ties = flights.ties(flight, np.random.default_rng(7), per_pair=1)
    few = type(ties)(
        ties.strips, *(getattr(ties, name)[:3] for name in ties.__dataclass_fields__ if name != "strips")
    )
    with pytest.raises(CalibrationError, match="too few"):
        solve(flight, ties=few)


def by_themselves(flight: object, seed: int, rounds: int) -> boresight.Boresight:
    """What the command does: find ties, solve, and find them again with what was found."""
    pictures = [
        Picture(strip, values)
        for strip, values in zip(
            flight.strips,
            flights.pictures(flight, np.random.default_rng(seed)),
            strict=True,  # type: ignore[attr-defined]
        )
    ]
    instrument = flight.instrument  # type: ignore[attr-defined]
    for _ in range(rounds):
        ties = find_tie_points(
            pictures,
            instrument=instrument,
            terrain=flight.terrain,
            crs=flights.CRS,  # type: ignore[attr-defined]
        )
        found = solve(flight, ties=ties)
        instrument = replace(instrument, mount=found.mount)
        late = round(1e9 * found.of("time")[0])
        pictures = [
            replace(each, strip=replace(strip, line_time=strip.line_time + late))
            for each, strip in zip(pictures, flight.strips, strict=True)  # type: ignore[attr-defined]
        ]
    return found


def test_a_mount_is_found_from_pictures_alone() -> None:
    flight = flights.make(8, errors=False)
    found = by_themselves(flight, 8, 2)
    assert np.all(np.abs(found.value[:2] - flight.boresight_deg[:2]) <= 0.02)
    assert abs(found.value[2] - flight.boresight_deg[2]) <= 0.05
    assert abs(found.of("time")[0] - flight.time_s) <= 0.005
    assert np.median(found.after_m[found.used]) < 0.05 < 1.0 < np.median(found.before_m[found.used])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("relief_m", [0.0, 6.0])
def test_boresight_to_two_hundredths_of_a_degree(seed: int, relief_m: float) -> None:
    flight = flights.make(seed, errors=False, relief_m=relief_m)
    found = by_themselves(flight, seed + 100, 3)
    assert np.all(np.abs(found.value[:3] - flight.boresight_deg) <= 0.02)
    assert abs(found.of("time")[0] - flight.time_s) <= 0.005


def test_ground_without_texture_gives_no_ties() -> None:
    flight = flights.make(9, errors=False)
    rng = np.random.default_rng(9)
    flat = [
        Picture(each, (10.0 + rng.normal(size=(600, flights.SAMPLES))).astype(np.float32))
        for each in flight.strips
    ]
    ties = find_tie_points(flat, instrument=flight.instrument, terrain=flight.terrain, crs=flights.CRS)
    assert len(ties) <= 5


def test_tables_of_points_are_read_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "ties.csv"
    path.write_text("strip_a,line_a,sample_a,strip_b,line_b,sample_b\na,1,2.5,b,3,4\n", encoding="utf-8")
    ties = tie_table.read_ties(path, strips=["a", "b"])
    assert (ties.line_a[0], ties.sample_a[0], ties.strip_b[0], ties.sigma_px[0]) == (1.0, 2.5, 1, 0.5)
    for text, what in (
        ("strip_a,line_a,sample_a,strip_b,line_b,sample_b\na,1,2,c,3,4\n", 'no cube "c"'),
        ("strip_a,line_a,sample_a,strip_b,line_b,sample_b\na,1,2,a,3,4\n", "two different strips"),
        ("strip_a,line_a,sample_a,strip_b,line_b,sample_b\na,1,,b,3,4\n", "sample_a is missing"),
        ("strip_a,line_a,sample_a,strip_b,line_b\na,1,2,b,3\n", 'no column "sample_b"'),
        ("strip_a,line_a,sample_a,strip_b,line_b,sample_b\n", "no point"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ReadError, match=what):
            tie_table.read_ties(path, strips=["a", "b"])
    path.write_text("strip,line,sample,longitude,latitude,sigma_m\na,1,2,9.1,95,0.1\n", encoding="utf-8")
    with pytest.raises(ReadError, match="no place"):
        tie_table.read_control(path, strips=["a"])


@pytest.mark.slow
def test_the_command_on_the_synthetic_flight(tmp_path: Path) -> None:
    """Its strips all have one heading or its opposite: what is found agrees with what is assumed."""
    from dronesense.synthetic import write_flight

    folder = write_flight(tmp_path / "flight", seed=0)
    done = CliRunner().invoke(cli, ["calibrate", "boresight", str(folder), "--solve", "boresight", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    for each in told["parameters"].values():
        assert abs(each["change"]) <= 4.0 * max(each["sigma"], 0.05)
