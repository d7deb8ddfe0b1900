"""Spectral hotspots upwind of gas: by hand, from planted sources, and how often by chance."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from scipy.stats import combine_pvalues

from dronesense import synthetic
from dronesense.cli import run_cli
from dronesense.geodesy import to_lonlat
from dronesense.hotspots import fusion, merge
from dronesense.hotspots.sector import search_sector
from dronesense.model import GroundRaster, Hotspot, SearchSector

CRS = "EPSG:32643"
E0, N0 = 600_000.0, 4_790_000.0


def hotspot(identity: str, x: float, y: float, *, kind: str = "spectral", **changes: object) -> Hotspot:
    lon, lat = to_lonlat([E0 + x], [N0 + y], CRS)
    gas = kind == "gas"
    made = Hotspot(
        id=identity, target="CH4" if gas else "cover", kind=kind, method="peak" if gas else "ace",
        geometry=shapely.Point(float(lon[0]), float(lat[0])), lon=float(lon[0]), lat=float(lat[0]),
        height_m=300.0, score=9.0 if gas else 0.9, p_value=0.01, q_value=0.02, value=0.4, value_sigma=0.1,
        unit="ppm" if gas else "fraction", ce90_m=2.0 if gas else 0.5, ellipse_major_m=1.0,
        ellipse_minor_m=1.0, ellipse_azimuth_deg=0.0, start=100 if gas else 500,
        end=200 if gas else 600, n_obs=4, n_passes=1, area_m2=1.0, sources=(f"{identity}.bin#row 1",),
        flags=(kind,),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def upwind(gas: Hotspot, x: float, y: float, *, sway: float = 10.0, reach: float = 150.0) -> SearchSector:
    """The wind comes from the west."""
    return search_sector(
        gas.id, gas.target, E0 + x, N0 + y, np.eye(2), crs=CRS, wind_from_deg=270.0, wind_speed_m_s=3.0,
        sigma_from_deg=5.0, sway_deg=sway, reach_m=reach,
    )  # fmt: skip


def test_what_lies_upwind_is_fused_and_the_rest_is_not() -> None:
    gas = hotspot("g", 0.0, 0.0, kind="gas", p_value=0.001, q_value=0.003)
    near, far, downwind = (hotspot(n, x, y) for n, x, y in (("a", -60, 3), ("b", -60, 90), ("c", 60, 0)))
    (found,) = fusion.fuse([gas, near, far, downwind], [upwind(gas, 0.0, 0.0)])
    assert found.kind == "fused"
    assert found.target == "cover + CH4"
    assert found.method == "ace + peak"
    assert found.members == ("a", "g")
    assert found.p_value == pytest.approx(combine_pvalues([0.01, 0.001], method="fisher").pvalue)
    assert found.q_value == pytest.approx(0.02 + 0.003)
    assert (found.lon, found.lat, found.ce90_m, found.value) == (near.lon, near.lat, 0.5, 0.4)
    assert (found.start, found.end, found.n_passes) == (100, 600, 2)
    assert found.sources == ("a.bin#row 1", "g.bin#row 1")
    assert found.flags == ("spectral", "gas")
    assert found.id not in {"a", "g"}


def test_several_crossings_of_one_plume_make_one_fused_hotspot() -> None:
    crossings = [hotspot(f"g{i}", 20.0 * i, 0.0, kind="gas", q_value=0.1 / (i + 1)) for i in range(3)]
    sectors = [upwind(gas, 20.0 * i, 0.0) for i, gas in enumerate(crossings)]
    (found,) = fusion.fuse([*crossings, hotspot("a", -40.0, 0.0)], sectors)
    assert found.members == ("a", "g0", "g1", "g2")
    assert found.q_value == pytest.approx(0.02 + 0.1 / 3)  # the best crossing is enough
    assert found.p_value == pytest.approx(combine_pvalues([0.01] * 4, method="fisher").pvalue)


def test_a_place_within_its_error_of_the_sector_counts() -> None:
    gas = hotspot("g", 0.0, 0.0, kind="gas")
    sector = upwind(gas, 0.0, 0.0)
    edge = sector.geometry.bounds[0] - E0  # its western end
    assert fusion.fuse([gas, hotspot("a", edge - 0.4, 0.0)], [sector])
    assert not fusion.fuse([gas, hotspot("a", edge - 0.6, 0.0)], [sector])
    assert not fusion.fuse([gas, hotspot("a", edge - 0.4, 0.0, ce90_m=math.nan)], [sector])


def test_unknown_probabilities_stay_unknown() -> None:
    gas = hotspot("g", 0.0, 0.0, kind="gas", p_value=math.nan, q_value=math.nan)
    (found,) = fusion.fuse([gas, hotspot("a", -20.0, 0.0)], [upwind(gas, 0.0, 0.0)])
    assert math.isnan(found.p_value)
    assert math.isnan(found.q_value)


def test_nothing_without_wind_or_gas() -> None:
    assert fusion.fuse([hotspot("a", 0.0, 0.0)], []) == ()
    gas = hotspot("g", 0.0, 0.0, kind="gas")
    assert fusion.fuse([gas], [upwind(gas, 0.0, 0.0)]) == ()


def test_sectors_that_hold_most_of_the_ground_say_nothing() -> None:
    gas = hotspot("g", 0.0, 0.0, kind="gas")
    both = [gas, hotspot("a", -20.0, 0.0)]
    sectors = [upwind(gas, 0.0, 0.0)]
    assert fusion.fuse(both, sectors, chance=0.5)
    assert not fusion.fuse(both, sectors, chance=0.51)


def test_ids_do_not_hang_on_the_order_and_ranking_takes_them_in() -> None:
    gas = [hotspot(f"g{i}", 20.0 * i, 0.0, kind="gas") for i in range(2)]
    sectors = [upwind(each, 20.0 * i, 0.0) for i, each in enumerate(gas)]
    spot = hotspot("a", -20.0, 0.0)
    (one,) = fusion.fuse([*gas, spot], sectors)
    (two,) = fusion.fuse([spot, *gas[::-1]], sectors[::-1])
    assert one.id == two.id
    assert {each.id for each in merge.ranked((*gas, spot, one))} == {"g0", "g1", "a", one.id}


def test_the_share_by_chance_is_that_of_unrelated_places() -> None:
    gas = hotspot("g", 0.0, 0.0, kind="gas")
    sector = upwind(gas, 0.0, 0.0)
    values = np.ones((300, 400), dtype=np.float32)
    values[:, 200:] = np.nan  # nobody looked there
    raster = GroundRaster("a__t", values, (1.0, 0.0, E0 - 250, 0.0, -1.0, N0 + 150), CRS, "1", "")
    rng = np.random.default_rng(1)
    places = rng.uniform([-250, -150], [-50, 150], (4000, 2))
    lucky = [hotspot(f"{i}", x, y, ce90_m=0.0) for i, (x, y) in enumerate(places.tolist())]
    share = fusion.chance_share([sector], [raster])
    assert len(fusion.fuse([gas, *lucky], [sector])) / len(lucky) == pytest.approx(share, abs=0.02)
    assert 0.05 < share < 0.5
    assert math.isnan(fusion.chance_share([], [raster]))
    assert math.isnan(fusion.chance_share([sector], []))


@pytest.mark.once
def test_a_run_fuses_what_lies_upwind_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A synthetic flight: with winds from two sides, sectors meet some and all of the strips."""
    folder = synthetic.write_flight(tmp_path / "flight", seed=0)
    manifest = folder / "flight.toml"
    text = manifest.read_text("utf-8").replace("[hotspots]\n", "[hotspots]\nsearch_reach_m = 400.0\n")
    counts = []
    for side in (345.0, 318.0):
        wind = f"[wind]\nspeed_m_s = 4.0\nfrom_deg = {side}\nsigma_speed_m_s = 0.5\nsigma_from_deg = 3.0\n"
        manifest.write_text(text + wind, "utf-8")
        assert run_cli(["run", str(folder), "-o", str(tmp_path / str(side))]) == 0
        features = json.loads((tmp_path / str(side) / "hotspots.geojson").read_bytes())["features"]
        rows = {each["id"]: each["properties"] for each in features}
        found = [row for row in rows.values() if row["kind"] == "fused"]
        told = capsys.readouterr()
        counts.append(len(found))
        assert bool(found) == ("lie upwind of gas" in told.out)
        assert ("none is fused with gas" in told.err) == (side == 318.0)
        for row in found:
            kinds = [rows[member]["kind"] for member in row["members"].split("; ")]
            assert kinds[0] == "spectral"
            assert set(kinds[1:]) == {"gas"}
    assert counts[0] > 0
    assert counts[1] == 0
