"""``[[emission]] method = "plume"``: a flight over a planted plume, from its folder to sources.geojson."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

import dronesense as ds
from dronesense import geodesy
from dronesense.cli import run_cli

pytestmark = pytest.mark.once

CRS = "EPSG:32633"
EAST, NORTH = 500_000.0, 5_700_000.0
SOURCE, RATE_KG_H, HEIGHT_M = (0.0, 0.0), 2.0, 1.0
SPEED_M_S, FROM_DEG = 4.0, 270.0
START = np.datetime64("2026-06-14T06:00:00.000")

INSTRUMENT = """schema = 1
id = "sniffer"
kind = "gas"
height_ref = "ellipsoid"
[time]
column = "time"
format = "iso"
[columns]
"CH4 (ppm)" = { species = "CH4", unit = "ppm", sigma = 0.01 }
"P (hPa)" = { field = "pressure", unit = "hPa" }
"T (degC)" = { field = "temperature", unit = "degC" }
lat = { field = "latitude", unit = "deg" }
lon = { field = "longitude", unit = "deg" }
height = { field = "height", unit = "m" }
"""
MANIFEST = """schema = 1
[flight]
crs = "EPSG:32633"
[track]
path = "raw/gas.csv"
instrument = "sniffer"
[terrain]
height_m = 200.0
[[gas]]
path = "raw/gas.csv"
instrument = "sniffer"
[[detect]]
target = "CH4"
species = "CH4"
[wind]
speed_m_s = 4.0
from_deg = 270.0
sigma_speed_m_s = 0.2
sigma_from_deg = 3.0
"""
EMISSION = """[[emission]]
species = "CH4"
method = "plume"
stability = "D"
source_height_m = 1.0
"""


def fly(folder: Path, emission: str = EMISSION) -> Path:
    """Fourteen crosswind lines of 80 m, 30 to 95 m downwind, 3 m up; ppm by the formula, class D."""
    across = np.arange(-40.0, 40.0, 0.4)
    lines = [across if line % 2 == 0 else across[::-1] for line in range(14)]
    y = np.concatenate(lines)
    x = np.repeat(30.0 + 5.0 * np.arange(14), across.size)
    # Briggs 1973, open country, class D; ideal gas at 1000 hPa and 290 K.
    sigma_y, sigma_z = 0.08 * x / np.sqrt(1.0 + 1e-4 * x), 0.06 * x / np.sqrt(1.0 + 1.5e-3 * x)
    z = 3.0
    mirrored = np.exp(-0.5 * ((z - HEIGHT_M) / sigma_z) ** 2) + np.exp(-0.5 * ((z + HEIGHT_M) / sigma_z) ** 2)
    kg_m3 = RATE_KG_H / 3600.0 / (2.0 * np.pi * SPEED_M_S * sigma_y * sigma_z)
    kg_m3 = kg_m3 * np.exp(-0.5 * (y / sigma_y) ** 2) * mirrored
    ppm = kg_m3 / 0.0160425 * 8.314462618 * 290.0 / 100_000.0 * 1e6
    ppm += 2.0 + 0.01 * np.random.default_rng(0).normal(size=x.size)
    lon, lat = geodesy.to_lonlat(EAST + x, NORTH + y, CRS)
    stamp = START + (np.arange(x.size) * 100).astype("timedelta64[ms]")
    rows = [
        f"{t}Z,{c:.4f},1000.0,16.85,{b:.8f},{a:.8f},203.00"
        for t, c, b, a in zip(stamp, ppm, lat, lon, strict=True)
    ]
    (folder / "raw").mkdir(parents=True)
    (folder / "calibration/instruments").mkdir(parents=True)
    (folder / "calibration/instruments/sniffer.toml").write_text(INSTRUMENT, "utf-8")
    (folder / "flight.toml").write_text(MANIFEST + emission, "utf-8")
    head = "time,CH4 (ppm),P (hPa),T (degC),lat,lon,height"
    (folder / "raw/gas.csv").write_text("\n".join([head, *rows, ""]), "utf-8")
    return folder


def test_a_planted_source_is_found_from_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", str(fly(tmp_path / "flight")), "-o", str(tmp_path / "out")]) == 0
    assert "an indication, never proof" in capsys.readouterr().out
    features = json.loads((tmp_path / "out/sources.geojson").read_text("utf-8"))["features"]
    regions = {
        each["properties"]["probability"]: each
        for each in features
        if each["properties"]["kind"] == "source-region"
    }
    lon, lat = geodesy.to_lonlat(np.array([EAST]), np.array([NORTH]), CRS)
    truth = shapely.Point(float(lon[0]), float(lat[0]))
    wide = regions[0.9]
    assert shapely.geometry.shape(wide["geometry"]).contains(truth)
    assert wide["properties"]["rate_low_90_kg_h"] < RATE_KG_H < wide["properties"]["rate_high_90_kg_h"]
    assert wide["properties"]["rate_kg_h"] == pytest.approx(RATE_KG_H, rel=0.5)
    x, y = geodesy.to_grid(wide["properties"]["lon"], wide["properties"]["lat"], CRS)
    assert np.hypot(float(x) - EAST, float(y) - NORTH) < 15.0
    assert wide["properties"]["height_m"] == 1.0
    sectors = [each for each in features if each["properties"]["kind"] == "search-sector"]
    strongest = shapely.union_all([shapely.geometry.shape(each["geometry"]) for each in sectors])
    assert strongest.contains(truth)


def test_two_runs_give_the_same_source(tmp_path: Path) -> None:
    flight = ds.open_flight(fly(tmp_path / "flight"))
    first, second = (ds.process(flight).sources[0] for _ in range(2))
    assert (first.x, first.y, first.rate_kg_h) == (second.x, second.y, second.rate_kg_h)


@pytest.mark.parametrize(
    ("emission", "what"),
    [
        (EMISSION.replace("1.0", "-1.0"), "source_height_m must not be negative"),
        (EMISSION.replace('"plume"', '"mass-balance"'), 'belongs to method = "plume"'),
        (EMISSION.replace('"D"', '"G"'), "stability"),
    ],
)
def test_keys_that_make_no_sense_are_refused(tmp_path: Path, emission: str, what: str) -> None:
    with pytest.raises(ds.errors.ManifestError, match=what):
        ds.open_flight(fly(tmp_path / "flight", emission))
