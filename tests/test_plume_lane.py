"""Gas sought in cubes through a whole run: from flight.toml and raw files to ppm m on the ground."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from dronesense import open_flight
from dronesense.cli import run_cli
from dronesense.errors import ManifestError

spec = importlib.util.spec_from_file_location("column_scenes", Path(__file__).with_name("column_scenes.py"))
assert spec is not None
assert spec.loader is not None
scenes = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = scenes
spec.loader.exec_module(scenes)

X0, Y0, PIXEL_M = 600_000.0, 4_790_000.0, 2.0
MANIFEST = """schema = 1
[flight]
id = "plume"
[[cube]]
path = "raw/scene.hdr"
[[detect]]
target = "CH4 over the ground"
species = "CH4"
absorption = "raw/ch4.hdr"
false_alarm_rate = 1e-4
min_pixels = 3
"""


def write_table(folder: Path) -> None:
    """The made-up gas as a look-up table of radiance, ENVI with a sample for each column."""
    nm, column, light = scenes.lines_table()
    np.ascontiguousarray(light.T[:, None, :], dtype="<f8").tofile(folder / "ch4.lut")
    (folder / "ch4.hdr").write_text(
        "ENVI\nsamples = {}\nlines = 1\nbands = {}\nheader offset = 0\ndata type = 5\ninterleave = bsq\n"
        "byte order = 0\nwavelength units = Nanometers\nwavelength = {{{}}}\n".format(
            len(column), len(nm), ", ".join(f"{each:.4f}" for each in nm)
        )
    )
    (folder / "ch4.toml").write_text(
        f'species = "CH4"\nversion = "1"\nsource = "made up"\nconcentration_ppm_m = {column.tolist()}\n'
    )


def write_cube(folder: Path, made: object, *, header: str = "data units = uW/cm2/nm/sr\n") -> None:
    values = np.stack([made.cube.source.values[row] for row in range(made.cube.shape[0])])  # type: ignore[attr-defined]
    rows, bands, cols = values.shape
    values.astype("<f4").tofile(folder / "scene.img")
    listed = [", ".join(f"{each:.3f}" for each in part) for part in (made.center, made.fwhm)]  # type: ignore[attr-defined]
    (folder / "scene.hdr").write_text(
        f"ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = 0\ndata type = 4\n"
        f"interleave = bil\nbyte order = 0\nwavelength units = Nanometers\nwavelength = {{{listed[0]}}}\n"
        f"fwhm = {{{listed[1]}}}\n{header}"
        f"map info = {{UTM, 1, 1, {X0}, {Y0}, {PIXEL_M}, {PIXEL_M}, 43, North, WGS-84, units=Meters}}\n"
    )


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("plume")
    (folder / "raw").mkdir()
    made = scenes.scene(scenes.lines_table(), shape=(200, 80), share=0.03, seed=2)
    write_table(folder / "raw")
    write_cube(folder / "raw", made)
    (folder / "flight.toml").write_text(MANIFEST, "utf-8")
    return folder, made.truth


def test_a_run_finds_the_plume_and_maps_it_in_ppm_m(
    flight: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, truth = flight
    assert run_cli(["run", str(folder), "-o", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    features = json.loads((tmp_path / "hotspots.geojson").read_bytes())["features"]
    rows = [each["properties"] for each in features]
    assert rows
    assert {row["target"] for row in rows} == {"CH4 over the ground"}
    assert {row["unit"] for row in rows} == {"ppm m"}
    assert {row["method"] for row in rows} == {"column"}
    best = rows[0]
    x, y = rasterio.warp.transform("EPSG:4326", "EPSG:32643", [best["lon"]], [best["lat"]])
    row, col = int((Y0 - y[0]) / PIXEL_M), int((x[0] - X0) / PIXEL_M)
    near = truth[max(0, row - 3) : row + 4, max(0, col - 3) : col + 4]
    assert near.max() > 500.0
    with rasterio.open(tmp_path / "scores" / "scene__CH4_over_the_ground.tif") as source:
        value, unit = source.read(1), source.units[0]
    with rasterio.open(tmp_path / "scores" / "scene__CH4_over_the_ground_sigma.tif") as source:
        sigma = source.read(1)
    assert unit == "ppm m"
    plume = truth > 0.0
    assert np.polyfit(truth[plume], value[plume], 1)[0] == pytest.approx(1.0, abs=0.12)
    within = np.abs(value - truth)[plume] <= 1.645 * sigma[plume]
    assert 0.8 <= within.mean() <= 0.97
    assert "CH4 over the ground in scene: 0.0001 per pixel" in told
    manifest = json.loads((tmp_path / "run.json").read_bytes())
    assert any(each["role"] == "absorption" and each["path"] == "raw/ch4.hdr" for each in manifest["inputs"])


def test_counts_without_gain_or_panel_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "flight"
    (folder / "raw").mkdir(parents=True)
    made = scenes.scene(scenes.lines_table(), shape=(90, 40), share=0.0, seed=1)
    write_table(folder / "raw")
    write_cube(folder / "raw", made, header="")
    header, data = folder / "raw" / "scene.hdr", folder / "raw" / "scene.img"
    counts = np.round(np.fromfile(data, "<f4") * 5000.0).clip(0, 65535).astype("<u2")
    counts.tofile(data)
    header.write_text(header.read_text().replace("data type = 4", "data type = 12"))
    (folder / "flight.toml").write_text(MANIFEST, "utf-8")
    code = run_cli(["run", str(folder), "-o", str(tmp_path / "out")])
    told = capsys.readouterr()
    assert code == 4
    assert "columns of gas" in told.out
    assert "radiance needs a calibration record with a gain" in told.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("false_alarms_per_hour = 1.0", "does not belong to a column rule"),
        ('method = "peak"', 'method = "column"'),
        ('background = "local"', "does not belong to a column rule"),
    ],
)
def test_keys_of_other_rules_are_refused(
    flight: tuple[Path, np.ndarray], tmp_path: Path, line: str, message: str
) -> None:
    folder, _ = flight
    other = folder / "other.toml"
    other.write_text(MANIFEST + line + "\n", "utf-8")
    with pytest.raises(ManifestError, match=message):
        open_flight(other)
    other.write_text(MANIFEST.replace('species = "CH4"\n', ""), "utf-8")
    with pytest.raises(ManifestError, match="species"):
        open_flight(other)
