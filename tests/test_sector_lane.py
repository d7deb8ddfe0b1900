"""Search sectors of a whole flight: made when a wind is given, upwind of what was found."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely

import dronesense as ds
from dronesense import geodesy, synthetic
from dronesense.calibrate import wind as winds
from dronesense.cli import run_cli
from dronesense.model import Flight, Hotspot, Wind
from dronesense.pipeline.account import Account
from dronesense.pipeline.sector_lane import search_sectors
from dronesense.pipeline.site import Site

START = 1_780_000_000_000_000_000
SECOND = 1_000_000_000
CRS = "EPSG:32633"
LON, LAT = 17.0, 60.0  # two degrees east of the central meridian: grid north is 1.73 degrees east of true


def spot(**changed: object) -> Hotspot:
    hotspot = Hotspot(
        id="h1", target="CH4", kind="gas", method="z", geometry=shapely.Point(LON, LAT), lon=LON, lat=LAT,
        height_m=300.0, score=9.0, p_value=1e-6, q_value=1e-6, value=2.0, value_sigma=0.1, unit="ppm",
        ce90_m=2.0, ellipse_major_m=2.0, ellipse_minor_m=1.0, ellipse_azimuth_deg=30.0, start=START,
        end=START + 5 * SECOND, n_obs=5, n_passes=1, area_m2=math.nan, sources=("a.csv#row 1-5",),
    )  # fmt: skip
    return dataclasses.replace(hotspot, **changed)  # type: ignore[arg-type]


def sectors_of(wind: Wind | None, *hotspots: Hotspot) -> tuple[tuple[ds.model.SearchSector, ...], Account]:
    flight = Flight("f", Path(), None, wind=wind, crs=CRS, search_reach_m=100.0)
    account = Account(flight)
    return search_sectors(flight, hotspots, site=Site(flight, account), account=account), account


def stated(speed: float = 4.0, from_deg: float = 270.0, sigma_from: float = 5.0) -> Wind:
    return winds.stated(speed, from_deg, sigma_speed_m_s=0.5, sigma_from_deg=sigma_from)


def test_a_sector_runs_upwind_on_the_ground_whatever_the_grid() -> None:
    (found,), _ = sectors_of(stated(from_deg=0.0), spot())
    middle = found.geometry.centroid
    lon, lat = geodesy.to_lonlat(middle.x, middle.y, CRS)
    assert float(lat) > LAT
    assert float(lon) == pytest.approx(LON, abs=0.5 / 55_800.0)  # half a meter of 100 m; the grid is 1.7 off
    assert (found.hotspot, found.wind_from_deg, found.reach_m) == ("h1", pytest.approx(0.0), 100.0)


def test_without_a_wind_and_for_spectral_hotspots_there_is_none() -> None:
    assert sectors_of(None, spot())[0] == ()
    assert sectors_of(stated(), spot(kind="spectral"))[0] == ()


def test_a_calm_is_told_once() -> None:
    found, account = sectors_of(stated(speed=0.2), spot(), spot(id="h2"))
    assert found == ()
    (warning,) = account.warnings
    assert warning.startswith("2 gas hotspots have no search sector: a wind of 0.2 m/s has no upwind side")


def test_the_wind_counts_from_when_the_gas_set_out() -> None:
    """From the west all the while but from the south in the last minutes, long after the gas was met."""
    time = START + np.arange(-300, 600, 5) * SECOND
    late = time > START + 100 * SECOND
    speed = np.full(time.size, 4.0)
    wind = Wind(
        time, np.where(late, 0.0, speed), np.where(late, speed, 0.0), 0.1 * speed, 0.1 * speed, source="mast"
    )
    (found,), _ = sectors_of(wind, spot())
    assert found.wind_from_deg == pytest.approx(270.0)
    assert found.wind_speed_m_s == pytest.approx(4.0)


def test_the_error_ellipse_is_laid_on_the_grid() -> None:
    """A hotspot known to 20 m along true north, 1 m across: behind it the sector ends 2.146 x 20 m away."""
    (found,), _ = sectors_of(
        stated(from_deg=0.0), spot(ellipse_major_m=20.0, ellipse_minor_m=1.0, ellipse_azimuth_deg=0.0)
    )
    rings = np.asarray(found.geometry.exterior.coords)
    lon, lat = geodesy.to_lonlat(rings[:, 0], rings[:, 1], CRS)
    last = np.argmin(lat)
    assert (LAT - lat[last]) * 111_412.0 == pytest.approx(math.sqrt(-2.0 * math.log(0.1)) * 20.0, rel=0.01)
    assert abs(lon[last] - LON) * 55_800.0 < 1.0


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic flight without cubes, with a stated wind."""
    folder = synthetic.write_flight(tmp_path_factory.mktemp("wind") / "flight", seed=3)
    for path in (folder / "raw").glob("line_*"):
        path.unlink()
    manifest = folder / "flight.toml"
    text = manifest.read_text("utf-8")
    kept = text.split("[[cube]]")[0] + '[[detect]]\ntarget = "CH4"\nspecies = "CH4"\n'
    manifest.write_text(kept + "[hotspots]\nsearch_reach_m = 80.0\n", "utf-8")
    return folder


def test_a_run_writes_sectors_when_the_manifest_states_a_wind(
    flown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "flight"
    shutil.copytree(flown, folder)
    assert run_cli(["run", str(folder), "-o", str(tmp_path / "calm")]) == 0
    assert not (tmp_path / "calm" / "sources.geojson").exists()
    manifest = folder / "flight.toml"
    manifest.write_text(manifest.read_text("utf-8") + "[wind]\nspeed_m_s = 3.0\nfrom_deg = 225.0\n", "utf-8")
    assert run_cli(["run", str(folder), "-o", str(tmp_path / "windy")]) == 0
    assert "never proof" in capsys.readouterr().out
    collection = json.loads((tmp_path / "windy" / "sources.geojson").read_text("utf-8"))
    hotspots = json.loads((tmp_path / "windy" / "hotspots.geojson").read_text("utf-8"))["features"]
    places = {each["properties"]["id"]: each["properties"] for each in hotspots}
    assert collection["features"]
    for feature in collection["features"]:
        about = feature["properties"]
        assert (about["kind"], about["probability"], about["reach_m"]) == ("search-sector", 0.9, 80.0)
        spot_of = places[about["hotspot"]]
        middle = shapely.geometry.shape(feature["geometry"]).centroid
        assert middle.x < spot_of["lon"]
        assert middle.y < spot_of["lat"]


def test_a_reach_that_is_none_is_refused(flown: Path) -> None:
    manifest = flown / "flight.toml"
    text = manifest.read_text("utf-8")
    try:
        manifest.write_text(text.replace("= 80.0", "= 0.0"), "utf-8")
        with pytest.raises(ds.errors.ManifestError, match="search_reach_m must be > 0"):
            ds.open_flight(flown)
    finally:
        manifest.write_text(text, "utf-8")


def test_an_unknown_error_ellipse_counts_as_none() -> None:
    (found,), _ = sectors_of(stated(), spot(ellipse_major_m=math.nan, ellipse_azimuth_deg=math.nan))
    assert found.geometry.is_valid
