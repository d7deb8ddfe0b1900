"""Mounts found again: planted ties, ground control, coverage, what cannot be told, pictures, the command."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.spatial.transform import Rotation

import dronesense as ds
from dronesense import geodesy
from dronesense.cli import boresight_command, cli
from dronesense.errors import CalibrationError, ReadError
from dronesense.geotag import boresight
from dronesense.geotag.inverse import pixels_at
from dronesense.geotag.locate import trace
from dronesense.geotag.tie_points import Picture, find_tie_points
from dronesense.model.tie_points import GroundControl
from dronesense.readers import tie_table
from dronesense.timescale import to_iso

pytestmark = pytest.mark.once


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
    for seed in range(6):
        flight = flights.make(seed, boresight_deg=(0.3, -0.2, 0.5), time_s=0.01)
        ties = flights.ties(flight, np.random.default_rng(1000 + seed), per_pair=15)
        found = solve(flight, ties=ties)
        inside.append(np.abs(found.value - truth(flight)) / found.sigma)
    assert np.mean(np.array(inside) <= 2.0) >= 0.8  # 24 numbers: 95 % less three deviations
    assert np.mean(np.array(inside) <= 0.1) <= 0.3  # and they are not simply large


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
    flight = flights.make(8, errors=False, headings=(0.0, 180.0, 90.0))
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


def write_folder(folder: Path, flight: object, pictures: list[np.ndarray]) -> None:
    """A flight folder with a table of positions, four cubes and their line times."""
    (folder / "calibration" / "instruments").mkdir(parents=True)
    rows = ["utc,lat,lon,height,roll,pitch,yaw"]
    for strip in flight.strips:  # type: ignore[attr-defined]
        track = strip.trajectory
        yaw, pitch, roll = Rotation.from_quat(track.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True).T
        rows += [
            f"{to_iso(int(t), 3)},{a:.10f},{b:.10f},{h:.4f},{r:.5f},{p:.5f},{y % 360.0:.5f}"
            for t, a, b, h, r, p, y in zip(
                track.time, track.lat, track.lon, track.height_m, roll, pitch, yaw, strict=True
            )
        ]
    (folder / "track.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    units = {"lat": "deg", "lon": "deg", "height": "m", "roll": "deg", "pitch": "deg", "yaw": "deg"}
    fields = {"lat": "latitude", "lon": "longitude"}
    columns = [
        f'{name} = {{ field = "{fields.get(name, name)}", unit = "{unit}" }}\n'
        for name, unit in units.items()
    ]
    nav = 'schema = 1\nid = "nav"\nkind = "gas"\nheight_ref = "ellipsoid"\n'
    nav += '[time]\ncolumn = "utc"\nformat = "iso"\n[columns]\n'
    instruments = folder / "calibration" / "instruments"
    (instruments / "nav.toml").write_text(nav + "".join(columns), encoding="utf-8")
    scanner = f'schema = 1\nid = "scanner"\nkind = "line_scan"\nsamples = {flights.SAMPLES}\n'
    scanner += 'look_angles = "look.csv"\nfirst_sample = "port"\n'
    scanner += '[mount]\nrotation = "nadir"\nlever_arm_m = [0.1, -0.05, 0.15]\n'
    (instruments / "scanner.toml").write_text(scanner, encoding="utf-8")
    angles = np.linspace(-16.0, 16.0, flights.SAMPLES)
    look = ["sample,across_deg,along_deg", *(f"{i},{each:.6f},0" for i, each in enumerate(angles))]
    (instruments / "look.csv").write_text("\n".join(look) + "\n", encoding="utf-8")
    text = 'schema = 1\n[flight]\nid = "four-strips"\n[track]\npath = "track.csv"\ninstrument = "nav"\n'
    text += "sigma = { horizontal_m = 0.02, vertical_m = 0.02, roll_pitch_deg = 0.02, "
    text += "heading_deg = 0.05 }\n[terrain]\nheight_m = 0.0\n"
    for strip, picture in zip(flight.strips, pictures, strict=True):  # type: ignore[attr-defined]
        counts = np.clip(1000.0 * picture, 1, 65000).astype("<u2")
        lines, samples = counts.shape
        np.stack([counts, counts + 7, counts + 3], axis=1).tofile(folder / f"{strip.name}.bil")
        (folder / f"{strip.name}.bil.hdr").write_text(
            f"ENVI\nsamples = {samples}\nlines = {lines}\nbands = 3\nheader offset = 0\ndata type = 12\n"
            "interleave = bil\nbyte order = 0\nwavelength units = nm\nwavelength = {500, 600, 700}\n",
            encoding="ascii",
        )
        stamps = [f"{i},{to_iso(int(t), 6)}" for i, t in enumerate(strip.line_time)]
        (folder / f"{strip.name}.lines.csv").write_text("\n".join(["line,utc", *stamps]) + "\n")
        text += f'[[cube]]\npath = "{strip.name}.bil.hdr"\ninstrument = "scanner"\n'
    (folder / "flight.toml").write_text(text, encoding="utf-8")


@pytest.mark.once
def test_the_command_prints_the_mount_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boresight_command, "ROUNDS", 2)
    flight = flights.make(10, errors=False, relief_m=0.0)
    folder = tmp_path / "flight"
    write_folder(folder, flight, flights.pictures(flight, np.random.default_rng(10)))
    page = (Path(__file__).parents[1] / "docs/howto/mount.md").read_text("utf-8")
    (documented,) = re.findall(r"^dronesense (calibrate .*)$", page, re.MULTILINE)
    documented = documented.replace("CAMERA", "scanner").replace("FLIGHT", folder.as_posix())
    command = ["calibrate", "boresight", str(folder)]
    record = Path(documented.partition("--record ")[2])
    done = CliRunner().invoke(
        cli, [*command, "-o", str(tmp_path / "found.json"), "--record", str(tmp_path / "mount.toml")]
    )
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert told["mount"]["boresight_deg"] == pytest.approx(flight.boresight_deg.tolist(), abs=0.06)
    assert told["parameters"]["time"]["change"] == pytest.approx(flight.time_s, abs=0.005)
    assert told["distance_m"]["after"]["median"] < 0.1 < 1.0 < told["distance_m"]["before"]["median"]
    mount = tomllib.loads(done.stdout)["mount"]
    assert list(mount["boresight_deg"].values()) == pytest.approx(told["mount"]["boresight_deg"], abs=1e-4)
    monkeypatch.setattr(boresight_command, "ROUNDS", 1)
    # The record, put where runs look, leaves nothing to be found.
    record.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "mount.toml", record)
    refused = CliRunner().invoke(cli, shlex.split(documented))
    assert refused.exit_code == 2
    assert "--force" in refused.output
    opened = ds.open_flight(folder)
    assert [each.path for each in opened.inputs if each.role == "calibration record"] == [
        str(record.relative_to(folder))
    ]
    late = told["parameters"]["time"]["change"]
    first = opened.cubes[0].cube.geometry.time[0] - flight.strips[0].line_time[0]
    assert first == pytest.approx(1e9 * late, abs=2e3)
    assert (
        opened.cubes[0].cube.history[-1]
        == f"mount: of the record {record.name}, which adds {round(late, 6):+g} s to the times"
    )
    _nothing_is_left(command)
    again = CliRunner().invoke(cli, [*shlex.split(documented), "--force"])
    assert again.exit_code == 0, again.output
    kept = tomllib.loads(record.read_text("utf-8"))
    assert kept["time_offset_s"] == pytest.approx(flight.time_s, abs=0.005)  # all of it, not the last change
    # So do the printed lines in the files of camera and flight.
    record.unlink()
    camera = folder / "calibration" / "instruments" / "scanner.toml"
    head = camera.read_text("utf-8").split("[mount]")[0]
    camera.write_text(head + done.stdout, encoding="utf-8")
    manifest = folder / "flight.toml"
    manifest.write_text(
        manifest.read_text("utf-8").replace("[terrain]", f"clock_offset_s = {-late:.4f}\n[terrain]"), "utf-8"
    )
    _nothing_is_left(command)


def _nothing_is_left(command: list[str]) -> None:
    again = CliRunner().invoke(cli, [*command, "--json"])
    assert again.exit_code == 0, again.output
    left = json.loads(again.stdout)
    assert left["distance_m"]["before"]["median"] < 0.04
    assert max(abs(left["parameters"][name]["change"]) for name in ("roll", "pitch", "yaw")) < 0.06


def test_the_command_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    flight = flights.make(11, errors=False, relief_m=0.0)
    rng = np.random.default_rng(11)
    bare = [10.0 + rng.normal(size=(600, flights.SAMPLES)) for _ in flight.strips]
    folder = tmp_path / "flight"
    write_folder(folder, flight, bare)
    done = CliRunner().invoke(cli, ["calibrate", "boresight", str(folder), "--solve", "pitch"])
    assert done.exit_code == 2
    assert 'not "pitch"' in done.output
    result = CliRunner().invoke(cli, ["calibrate", "boresight", str(folder)])
    assert isinstance(result.exception, CalibrationError)
    assert "may agree by chance" in str(result.exception)
    ties = flights.ties(flight, rng, sigma_px=0.1)
    rows = ["strip_a,line_a,sample_a,strip_b,line_b,sample_b,sigma_px"]
    rows += [
        f"strip_{a},{b},{c},strip_{d},{e},{f},0.1"
        for a, b, c, d, e, f in zip(
            ties.strip_a, ties.line_a, ties.sample_a, ties.strip_b, ties.line_b, ties.sample_b, strict=True
        )
    ]
    (tmp_path / "ties.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    command = ["calibrate", "boresight", str(folder), "--ties", str(tmp_path / "ties.csv"), "--json"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["mount"]["boresight_deg"] == pytest.approx(
        flight.boresight_deg.tolist(), abs=0.06
    )


def test_ties_are_good_to_a_fifth_of_a_pixel_and_say_so() -> None:
    flight = flights.make(12, errors=False, boresight_deg=(0.1, -0.1, 0.1), time_s=0.002)
    pictures = flights.pictures(flight, np.random.default_rng(12))
    strips = [Picture(strip, values) for strip, values in zip(flight.strips, pictures, strict=True)]
    ties = find_tie_points(strips, instrument=flight.instrument, terrain=flight.terrain, crs=flights.CRS)
    error = np.full(len(ties), np.nan)
    for a, b in {(int(a), int(b)) for a, b in zip(ties.strip_a, ties.strip_b, strict=True)}:
        mine = (ties.strip_a == a) & (ties.strip_b == b)
        hits = trace(np.column_stack([ties.line_a, ties.sample_a])[mine], **flight.truth[a]).hits
        true = pixels_at(hits.x, hits.y, **flight.truth[b])
        error[mine] = np.linalg.norm(np.column_stack([ties.line_b, ties.sample_b])[mine] - true, axis=1)
    assert len(ties) > 200
    assert np.isfinite(error).mean() >= 0.98  # others lie at an edge, which is not seen with the true mount
    assert np.nanmedian(error) <= 0.2
    assert np.mean(error > 1.0) <= 0.05
    reduced = np.nanmedian((error / ties.sigma_px) ** 2) / (2.0 * np.log(2.0))
    assert 0.25 <= reduced <= 2.0
