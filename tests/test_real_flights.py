"""The main job on real data, and on small files of the same formats that the test makes itself."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dronesense.cli import run_cli

NMT_MANIFEST = """
schema = 1
[flight]
id = "nmt-2023-04-19"
[track]
path = "{path}"
instrument = "nmt-uav-aeris"
height_ref = "ellipsoid"
[[gas]]
path = "{path}"
instrument = "nmt-uav-aeris"
[[detect]]
target = "CH4"
species = "CH4"
false_alarms_per_hour = 1.0
[[detect]]
target = "C2H6"
species = "C2H6"
false_alarms_per_hour = 1.0
"""


def _run(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run_cli(["run", str(folder), "--json"]) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


def test_nmt_flight_runs_with_an_instrument_and_a_manifest(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared_data / "gas/uav_aeris_nmt/level0.csv"
    (tmp_path / "flight.toml").write_text(NMT_MANIFEST.format(path=source.as_posix()), encoding="utf-8")
    result = _run(tmp_path, capsys)
    assert {each["target"] for each in result["hotspots"]} >= {"CH4"}
    with (tmp_path / "products/gas/CH4.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with source.open(encoding="utf-8", newline="") as stream:
        assert len(rows) == sum(bool(row["CH4"]) for row in csv.DictReader(stream))
    assert (tmp_path / "products/gas/C2H6.csv").exists()
    methane = [each for each in result["hotspots"] if each["target"] == "CH4"]
    highest = max(methane, key=lambda each: each["value"])
    # the reference's polynomial background gives 0.40489 ppm at t = 549.39 s after 14:10:05.67
    assert highest["start"] <= "2023-04-19T14:19:15.060Z" <= highest["end"]
    assert highest["value"] == pytest.approx(0.405, abs=0.06)


def _made_merged_file(path: Path) -> None:
    """A merged file of the same layout: 5 Hz, gas on each fifth row, one plume of 0.5 ppm at t = 300 s."""
    rng = np.random.default_rng(1)
    heading = "Timestamp_UTC,Lat,Lon,Alt,Yaw,Roll,Pitch,Vx,Vy,Vz,P,T,H,Sts,CH4,C2H6,H2O"
    lines = [heading]
    start = np.datetime64("2026-05-01T08:00:00.000", "ms")
    for k in range(3000):
        t = 0.2 * k
        stamp = f"{start + np.timedelta64(200 * k, 'ms')}+00:00".replace("T", " ")
        gas = ",,"
        if k % 5 == 0:
            value = 2.0 + 0.5 * np.exp(-0.5 * ((t - 300.0) / 6.0) ** 2) + rng.normal(0.0, 0.0025)
            gas = f"{value:.5f},{5.0 + rng.normal(0.0, 0.5):.3f},12000"
        lines.append(f"{stamp},{51.0 + 4.5e-5 * t:.8f},71.0,350.0,0,0,0,0,5,0,950.0,15.0,50.0,1,{gas}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_made_merged_file_gives_the_planted_plume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _made_merged_file(tmp_path / "level0.csv")
    (tmp_path / "flight.toml").write_text(NMT_MANIFEST.format(path="level0.csv"), encoding="utf-8")
    result = _run(tmp_path, capsys)
    first = result["hotspots"][0]
    assert first["target"] == "CH4"
    assert first["start"] < "2026-05-01T08:05:00.000Z" < first["end"]
    assert abs(first["value"] - 0.5) < 4 * first["value_sigma"]
    assert first["sources"].startswith("level0.csv#row")
    assert not any("height_ref" in each for each in result["warnings"])  # the manifest states it


def write_map_cube(folder: Path, data: NDArray[Any], train: NDArray[np.bool_]) -> None:
    """Write *data* (rows, cols, bands) as ENVI BIL on a UTM grid, and a signature from the pixels *train*."""
    rows, cols, bands = data.shape
    cube = np.ascontiguousarray(data.transpose(0, 2, 1)).astype("<u2")
    (folder / "scene.bil").write_bytes(cube.tobytes())
    (folder / "scene.bil.hdr").write_text(
        f"ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 12\ninterleave = bil\nbyte order = 0\n"
        "map info = {UTM, 1, 1, 484000.0, 3620000.0, 3.5, 3.5, 11, North, WGS-84, units=Meters}\n",
        encoding="utf-8",
    )
    mean = data[train].mean(axis=0)
    table = "\n".join(f"{band},{value:.4f}" for band, value in enumerate(mean))
    (folder / "target.csv").write_text(f"band,counts\n{table}\n", encoding="utf-8")
    (folder / "flight.toml").write_text(
        'schema = 1\n[flight]\nid = "scene"\n[[cube]]\npath = "scene.bil.hdr"\n'
        + "".join(
            f'[[detect]]\ntarget = "plane-{method}"\nsignature = "target.csv"\nmethod = "{method}"\n'
            "false_alarm_rate = 1e-3\n"
            for method in ("sam", "mf", "ace")
        ),
        encoding="utf-8",
    )


def auc(score: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a target pixel scores above a background pixel (Mann-Whitney)."""
    from scipy.stats import rankdata

    ranks = rankdata(score.ravel())
    n = int(truth.sum())
    return float((ranks[truth.ravel()].sum() - n * (n + 1) / 2) / (n * (truth.size - n)))


def test_san_diego_runs_to_a_layer_and_scores_beside_spy(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import rasterio
    import spectral as spy
    from scipy.io import loadmat

    mat = loadmat(shared_data / "spectral/detect/sandiego_b/sandiego_plane.mat")
    data, truth = np.asarray(mat["data"]), np.asarray(mat["map"], dtype=bool)
    write_map_cube(tmp_path, data, truth)
    result = _run(tmp_path, capsys)
    assert result["hotspots"]
    target = data[truth].mean(axis=0)
    stats = spy.calc_stats(data.astype(np.float64))
    theirs = {
        "sam": -spy.spectral_angles(data.astype(np.float64), target[None])[..., 0],
        "mf": spy.matched_filter(data.astype(np.float64), target, stats),
        "ace": spy.ace(data.astype(np.float64), target, background=stats),
    }
    for method, reference in theirs.items():
        with rasterio.open(tmp_path / f"products/scores/scene__plane-{method}.tif") as file:
            ours = file.read(1)
        assert auc(ours, truth) >= auc(reference, truth) - 0.005, method


def test_a_made_scene_on_a_map_grid_gives_the_planted_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    bands = np.linspace(0.0, 1.0, 40)
    materials = np.stack([600 + 800 * bands, 1500 - 500 * bands, 900 + 300 * np.sin(6 * bands)])
    fraction = rng.dirichlet([2.0, 2.0, 2.0], size=(80, 80))
    data = fraction @ materials + rng.normal(0.0, 8.0, (80, 80, 40))
    truth = np.zeros((80, 80), dtype=bool)
    truth[40:42, 20:22] = True
    data[truth] = 400 + 1200 * np.exp(-0.5 * ((bands - 0.3) / 0.08) ** 2) + rng.normal(0.0, 8.0, (4, 40))
    write_map_cube(tmp_path, np.clip(data, 0, 65535), truth)
    result = _run(tmp_path, capsys)
    found = [each for each in result["hotspots"] if each["target"] == "plane-ace"]  # best first
    layer = json.loads((tmp_path / "products/hotspots.geojson").read_text("utf-8"))
    feature = next(each for each in layer["features"] if each["id"] == found[0]["id"])
    from dronesense.geodesy import to_grid

    x, y = to_grid(
        np.array([feature["properties"]["lon"]]), np.array([feature["properties"]["lat"]]), "EPSG:32611"
    )
    # the middle of the 2 x 2 pixels is the corner that rows 40, 41 and columns 20, 21 share
    assert x[0] == pytest.approx(484000.0 + 21 * 3.5, abs=1.8)
    assert y[0] == pytest.approx(3620000.0 - 41 * 3.5, abs=1.8)


CURTAIN = """
schema = 1
[flight]
id = "curtain"
[track]
path = "{table}"
instrument = "gasflux-merged"
height_ref = "ellipsoid"
tz = "UTC"
[[gas]]
path = "{table}"
instrument = "gasflux-merged"
zone = "UTC"
[wind]
path = "{table}"
instrument = "gasflux-merged"
zone = "UTC"
[[detect]]
target = "CH4"
species = "CH4"
[[emission]]
species = "CH4"
method = "mass-balance"
"""


def test_a_curtain_with_a_known_background_gives_the_rates_of_three_gases(
    shared_data: Path, tmp_path: Path
) -> None:
    """The trapezoid rule over the known background (checks.json); C2H6 plumes follow each other gapless."""
    table = (shared_data / "gas/gasflux_testdata/testdata.csv").as_posix()
    checks = json.loads((shared_data / "gas/checks.json").read_text("utf-8"))["gasflux_0.2.2_testdata"]
    text = CURTAIN.format(table=table).split("[[detect]]")[0]
    for species, known in checks["background_ppm"].items():
        text += f'[[emission]]\nspecies = "{species.upper()}"\nmethod = "mass-balance"\n'
        text += f"background_ppm = {known}\nsigma_background_ppm = 0.0\n"
    (tmp_path / "flight.toml").write_text(text, "utf-8")
    assert run_cli(["run", str(tmp_path)]) == 0
    collection = json.loads((tmp_path / "products/sources.geojson").read_text("utf-8"))
    rates = {each["properties"]["species"].lower(): each["properties"] for each in collection["features"]}
    for species, rate in checks["kg_h_trapezoid_known_background_true_geometry"].items():
        assert rates[species]["rate_kg_h"] == pytest.approx(rate, rel=0.01)
        assert abs(rates[species]["rate_kg_h"] - rate) < rates[species]["rate_sigma_kg_h"]


def test_a_background_within_gapless_plumes_is_doubted_in_the_budget(
    shared_data: Path, tmp_path: Path
) -> None:
    """C2H6 of that curtain, background estimated: far too low, and the budget says how far it may be."""
    table = (shared_data / "gas/gasflux_testdata/testdata.csv").as_posix()
    (tmp_path / "flight.toml").write_text(CURTAIN.format(table=table).replace("CH4", "C2H6"), "utf-8")
    assert run_cli(["run", str(tmp_path)]) == 0
    collection = json.loads((tmp_path / "products/sources.geojson").read_text("utf-8"))
    (found,) = (each["properties"] for each in collection["features"] if each["properties"]["kind"] == "flux")
    assert abs(found["rate_kg_h"] - 697.7) < 1.645 * found["rate_sigma_kg_h"]


def test_a_table_of_a_curtain_becomes_an_emission_rate_that_covers_the_truth(
    shared_data: Path, tmp_path: Path
) -> None:
    """2037.6 kg/h by the trapezoid rule with the known background; here the background is estimated."""
    table = (shared_data / "gas/gasflux_testdata/testdata.csv").as_posix()
    (tmp_path / "flight.toml").write_text(CURTAIN.format(table=table), "utf-8")
    assert run_cli(["run", str(tmp_path)]) == 0
    collection = json.loads((tmp_path / "products/sources.geojson").read_text("utf-8"))
    (found,) = (each["properties"] for each in collection["features"] if each["properties"]["kind"] == "flux")
    assert found["rate_kg_h"] == pytest.approx(2037.6, rel=0.05)
    assert abs(found["rate_kg_h"] - 2037.6) < 1.645 * found["rate_sigma_kg_h"]
    parts = [value for name, value in found.items() if name.startswith("sigma_")]
    assert sum(part**2 for part in parts) ** 0.5 == pytest.approx(found["rate_sigma_kg_h"], rel=1e-3)
