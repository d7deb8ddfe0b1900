"""A flight with a laser that looks down: plumes at their footprints, heights that do not look like gas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import dronesense as ds
from dronesense import geodesy
from dronesense.cli import run_cli

CRS = "EPSG:32633"
EAST, NORTH = 500_000.0, 5_700_000.0
PLUME = (60.0, 12.0)
GROUND_M, CLEAN_PPM = 200.0, 1.94
START = np.datetime64("2026-06-14T06:00:00.000")

INSTRUMENT = """schema = 1
id = "laser"
kind = "gas"
height_ref = "ellipsoid"
[time]
column = "time"
format = "iso"
[columns]
"CH4 (ppm m)" = {{ species = "CH4", unit = "ppm m" }}
lat = {{ field = "latitude", unit = "deg" }}
lon = {{ field = "longitude", unit = "deg" }}
height = {{ field = "height", unit = "m" }}
roll = {{ field = "roll", unit = "deg" }}
pitch = {{ field = "pitch", unit = "deg" }}
yaw = {{ field = "yaw", unit = "deg" }}
{more}
"""
MANIFEST = """schema = 1
[flight]
crs = "EPSG:32633"
[track]
path = "raw/laser.csv"
instrument = "laser"
sigma = { horizontal_m = 0.3, vertical_m = 0.5, roll_pitch_deg = 0.5, heading_deg = 1.0 }
[terrain]
height_m = 200.0
sigma_m = 0.3
[[gas]]
path = "raw/laser.csv"
instrument = "laser"
[[detect]]
target = "CH4"
species = "CH4"
false_alarms_per_hour = 0.1
"""


def fly(folder: Path, *, pitch_deg: float = 12.0, ranges: bool = False, upward: bool = False) -> Path:
    """Eight lines of 120 m, 6 m apart, at 4 m/s and 5 Hz; heights wander from 25 to 45 m; nose held down.

    Flown east and west in turn, the beam of a nose held up lies ahead of the aircraft, now east, now west.
    """
    along = np.arange(0.0, 120.0, 0.8)
    lines = [along if line % 2 == 0 else along[::-1] for line in range(8)]
    x, y = np.concatenate(lines), np.repeat(6.0 * np.arange(8), along.size)
    yaw = np.repeat(np.where(np.arange(8) % 2 == 0, 90.0, 270.0), along.size)
    m = x.size
    height = 35.0 + 10.0 * np.sin(np.arange(m) / 60.0)
    ahead = height * np.tan(np.radians(pitch_deg)) * np.where(yaw == 90.0, 1.0, -1.0)
    slant = height / np.cos(np.radians(pitch_deg))
    vertical = 400.0 * np.exp(-0.5 * (((x + ahead - PLUME[0]) / 3.0) ** 2 + ((y - PLUME[1]) / 5.0) ** 2))
    value = CLEAN_PPM * slant + vertical / np.cos(np.radians(pitch_deg))
    value += 1.0 * np.random.default_rng(0).normal(size=m)
    lon, lat = geodesy.to_lonlat(EAST + x, NORTH + y, CRS)
    stamp = START + (np.arange(m) * 200).astype("timedelta64[ms]")
    (folder / "raw").mkdir(parents=True)
    (folder / "calibration/instruments").mkdir(parents=True)
    more = '"range" = { field = "range", unit = "m" }' if ranges else ""
    if upward:
        more = '"up" = { field = "beam_pitch", unit = "deg" }'
    (folder / "calibration/instruments/laser.toml").write_text(INSTRUMENT.format(more=more), "utf-8")
    manifest = MANIFEST.replace("height_m = 200.0", "height_m = 190.0") if ranges else MANIFEST
    (folder / "flight.toml").write_text(manifest, "utf-8")
    rows = [
        f"{t}Z,{ppm_m:.2f},{b:.8f},{a:.8f},{GROUND_M + h:.3f},0.0,{pitch_deg},{heading},{length:.3f},30.0"
        for t, ppm_m, b, a, h, heading, length in zip(stamp, value, lat, lon, height, yaw, slant, strict=True)
    ]
    head = "time,CH4 (ppm m),lat,lon,height,roll,pitch,yaw,range,up"
    (folder / "raw/laser.csv").write_text("\n".join([head, *rows, ""]), "utf-8")
    return folder


def seen(folder: Path) -> tuple[ds.model.HotspotLayer, np.ndarray]:
    layer = ds.process(ds.open_flight(folder))
    places = [geodesy.to_grid(each.lon, each.lat, CRS) for each in layer]
    return layer, np.array([[float(x) - EAST, float(y) - NORTH] for x, y in places])


@pytest.mark.parametrize("ranges", [False, True])
def test_the_plume_lies_at_its_footprint_and_heights_do_not_look_like_gas(
    tmp_path: Path, ranges: bool
) -> None:
    """Nose 12 degrees up at 25 to 45 m: the beam meets the ground 5 to 10 m ahead of the aircraft.

    With ranges the stated terrain is 10 m off, and plays no part.
    """
    layer, places = seen(fly(tmp_path / "flight", ranges=ranges))
    assert np.hypot(*(places[0] - PLUME)) < 0.5
    assert (
        np.max(np.abs(places[:, 0] - PLUME[0])) < 0.5
    )  # flown east and west: at the aircraft 10 to 20 m apart
    assert np.max(np.abs(places[:, 1] - PLUME[1])) < 13.0  # what is left of 400 ppm m is met on five lines
    assert layer.hotspots[0].unit == "ppm m"
    assert layer.hotspots[0].value == pytest.approx(400.0, rel=0.02)  # vertical, above clean air
    (trace,) = layer.gas
    assert any("clean air of 1.9" in line for line in trace.series.history)
    assert any("clean air adds along the path, 1.9" in each for each in layer.warnings)
    np.testing.assert_allclose(trace.points.height_m, GROUND_M, atol=0.1)
    peak = np.unravel_index(np.nanargmax(layer.maps[0].mean), layer.maps[0].mean.shape)
    a, _, west, _, _, north = layer.maps[0].transform
    assert abs(west + a * (peak[1] + 0.5) - EAST - PLUME[0]) < 3.0
    assert abs(north - a * (peak[0] + 0.5) - NORTH - PLUME[1]) < 4.0


def test_a_run_writes_the_vertical_column_at_the_footprint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fly(tmp_path / "flight")
    assert run_cli(["run", str(folder), "-o", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    head, first, *_ = (tmp_path / "out/gas/CH4.csv").read_text("utf-8").splitlines()
    cells = dict(zip(head.split(","), first.split(","), strict=True))
    assert float(cells["height_m"]) == pytest.approx(GROUND_M, abs=0.1)
    assert abs(float(cells["CH4_ppm_m"])) < 6.0  # 35 m of clean air are 69 ppm m
    layer = json.loads((tmp_path / "out/hotspots.geojson").read_text("utf-8"))
    assert {each["properties"]["unit"] for each in layer["features"]} == {"ppm m"}


def test_a_beam_that_looks_up_is_rejected_with_what_to_check(tmp_path: Path) -> None:
    with pytest.raises(ds.errors.CoverageError, match="meets the ground"):
        ds.process(ds.open_flight(fly(tmp_path / "flight", upward=True)))
