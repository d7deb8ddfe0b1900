"""`dronesense convert` and `dronesense hotspots`: other formats and decisions, the evidence untouched."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from dronesense.cli import run_cli
from dronesense.cli.failures import EXIT_IO, EXIT_NO_INPUT, EXIT_USAGE
from dronesense.errors import ReadError
from dronesense.writers import reviews
from dronesense.writers.atomic import staging

sys.path.insert(0, str(Path(__file__).parent))
import layer_writer as maker

pytest.importorskip("pyogrio")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return maker.products(tmp_path / "products")


def statuses(layer: Path) -> dict[str, str]:
    features = json.loads(layer.read_bytes())["features"]
    return {feature["id"]: feature["properties"]["status"] for feature in features}


@pytest.mark.parametrize("kind", ["gpkg", "kmz", "fgb", "qml", "stac", "cot"])
def test_each_format_appears_beside_the_layer_and_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    before = set(folder.iterdir())
    assert run_cli(["convert", str(folder.parent), "-f", kind]) == 0
    (made,) = set(folder.iterdir()) - before
    assert capsys.readouterr().out.strip() == str(made)
    assert made.name.startswith("hotspots.")
    assert made.stat().st_size > 100
    assert maker.broken_seals(folder) == []


def test_output_goes_where_it_is_told(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "x.gpkg"
    assert run_cli(["convert", str(folder / "hotspots.geojson"), "-f", "gpkg", "-o", str(target)]) == 0
    with sqlite3.connect(target) as database:
        assert database.execute("SELECT count(*) FROM hotspot_points").fetchone() == (3,)
    database.close()


def test_where_the_run_has_one_of_that_name_the_reviewed_one_stands_beside_it(folder: Path) -> None:
    assert run_cli(["convert", str(folder), "-f", "geojson"]) == 0
    assert (folder / "hotspots.reviewed.geojson").is_file()
    assert maker.broken_seals(folder) == []


def test_a_raster_gets_its_style(folder: Path) -> None:
    raster = folder / "scores" / "line_1__blue-cover.tif"
    assert run_cli(["convert", str(raster), "-f", "qml"]) == 0
    assert "singlebandpseudocolor" in raster.with_suffix(".qml").read_text("utf-8")


@pytest.mark.parametrize("name", ["hotspots.geojson", "run.json", "gas/CH4.csv"])
def test_a_sealed_product_is_never_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = (folder / name).read_bytes()
    assert run_cli(["convert", str(folder), "-f", "geojson", "-o", str(folder / name)]) == EXIT_IO
    assert "seals" in capsys.readouterr().err
    assert (folder / name).read_bytes() == before


def test_wrong_words_are_a_usage_error_and_no_layer_is_no_input(tmp_path: Path) -> None:
    assert run_cli(["convert", str(tmp_path), "-f", "shp"]) == EXIT_USAGE
    assert run_cli(["convert", str(tmp_path / "none"), "-f", "kmz"]) == EXIT_USAGE
    assert run_cli(["convert", str(tmp_path), "-f", "kmz"]) == EXIT_NO_INPUT


def test_a_decision_reaches_every_format_and_no_sealed_byte(folder: Path, tmp_path: Path) -> None:
    layer = folder / "hotspots.geojson"
    options = ["--layer", str(folder), "--by", "A. Person"]
    assert run_cli(["hotspots", "confirm", "0123", *options, "--note", "sampled; ж"]) == 0
    assert run_cli(["hotspots", "reject", "ba9876543210", "--layer", str(layer)]) == 0
    assert maker.broken_seals(folder) == []
    assert set(statuses(layer).values()) == {"candidate"}
    out = tmp_path / "reviewed.geojson"
    assert run_cli(["convert", str(folder), "-f", "geojson", "-o", str(out)]) == 0
    assert statuses(out) == {
        "0123456789ab": "confirmed",
        "ba9876543210": "rejected",
        "cc0000000000": "candidate",
    }
    assert run_cli(["convert", str(folder), "-f", "gpkg"]) == 0
    with sqlite3.connect(folder / "hotspots.gpkg") as database:
        assert database.execute("SELECT status FROM hotspot_points ORDER BY fid").fetchall() == [
            ("confirmed",), ("rejected",), ("candidate",),
        ]  # fmt: skip
    database.close()
    first, second = reviews.read(layer)
    assert (first.note, first.by, first.hotspot) == ("sampled; ж", "A. Person", "0123456789ab")
    assert first.time.endswith("Z")
    assert second.layer_sha256 == next(
        row["sha256"]
        for row in json.loads((folder / "run.json").read_bytes())["outputs"]
        if row["path"] == "hotspots.geojson"
    )


def test_without_decisions_the_copy_is_the_layer(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.geojson"
    assert run_cli(["convert", str(folder), "-f", "geojson", "-o", str(out)]) == 0
    assert out.read_bytes() == (folder / "hotspots.geojson").read_bytes()


def test_the_last_decision_counts_and_the_first_stays_on_record(folder: Path) -> None:
    for verb in ("confirm", "reject"):
        assert run_cli(["hotspots", verb, "cc0000000000", "--layer", str(folder)]) == 0
    found = reviews.read(folder / "hotspots.geojson")
    assert [each.status for each in found] == ["confirmed", "rejected"]
    assert reviews.latest(found)["cc0000000000"].status == "rejected"


def test_decisions_survive_the_next_run(folder: Path) -> None:
    assert run_cli(["hotspots", "confirm", "cc", "--layer", str(folder)]) == 0
    with staging(folder) as fresh:
        maker.products(fresh)
    assert [each.status for each in reviews.read(folder / "hotspots.geojson")] == ["confirmed"]
    assert maker.broken_seals(folder) == []


@pytest.mark.parametrize("hotspot", ["", "zz", "0123456789ac", "c" * 40])
def test_an_unknown_hotspot_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], hotspot: str
) -> None:
    assert run_cli(["hotspots", "confirm", hotspot, "--layer", str(folder)]) == EXIT_USAGE
    assert "which hotspot" in capsys.readouterr().err
    assert not reviews.path_of(folder / "hotspots.geojson").exists()


def test_a_start_that_fits_several_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, three = maker.three()
    made = maker.layer(one, two, maker.hotspot(three.geometry, id="0123ffffffff"))
    folder = maker.products(tmp_path, made)
    assert run_cli(["hotspots", "reject", "0123", "--layer", str(folder)]) == EXIT_USAGE
    assert "several: 0123456789ab, 0123ffffffff" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"hotspot":"a"}',
        '{"hotspot":"a","status":"sure","note":"","by":"","time":"","layer_sha256":""}',
    ],
)
def test_a_damaged_record_of_decisions_is_named_with_its_line(folder: Path, line: str) -> None:
    layer = folder / "hotspots.geojson"
    reviews.append(layer, "cc0000000000", "confirmed", time="2026-06-15T00:00:00Z")
    with reviews.path_of(layer).open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(ReadError, match="line 2"):
        reviews.read(layer)


def test_an_impossible_status_is_a_programmers_mistake(folder: Path) -> None:
    with pytest.raises(ValueError, match="status"):
        reviews.append(folder / "hotspots.geojson", "a", "maybe", time="")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_writes_and_seals_the_package_that_a_conversion_makes(tmp_path: Path) -> None:
    assert run_cli(["demo", str(tmp_path / "flight")]) == 0
    products, out = tmp_path / "flight" / "products", tmp_path / "again.gpkg"
    sealed = {row["path"] for row in json.loads((products / "run.json").read_bytes())["outputs"]}
    rasters = {path for path in sealed if path.endswith(".tif")}
    assert {"hotspots.gpkg", "hotspots.qml", *(f"{path[:-4]}.qml" for path in rasters)} <= sealed
    assert run_cli(["convert", str(products), "-f", "gpkg", "-o", str(out)]) == 0
    assert out.read_bytes() == (products / "hotspots.gpkg").read_bytes()
    for kind in ("kmz", "fgb", "stac", "cot"):
        assert run_cli(["convert", str(products), "-f", kind]) == 0
    assert maker.broken_seals(products) == []
