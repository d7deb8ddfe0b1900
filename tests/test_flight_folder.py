"""The flight folder as a contract: discovery, init, cut files, missing parts, outputs complete or absent."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dronesense.cli import run_cli
from dronesense.manifest import discover, draft, open_flight


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic flight; tests copy it before they change it."""
    from dronesense import synthetic

    return synthetic.write_flight(tmp_path_factory.mktemp("demo") / "flight", seed=3)


@pytest.fixture
def flight_folder(demo_folder: Path, tmp_path: Path) -> Path:
    """A copy with one strip only: quick to run, free to break."""
    folder = tmp_path / "flight"
    shutil.copytree(demo_folder, folder, ignore=shutil.ignore_patterns("line_2*", "line_3*"))
    return folder


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_run_leaves_the_input_untouched_and_the_products_complete(
    flight_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _tree(flight_folder)
    assert run_cli(["run", str(flight_folder), "-o", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert _tree(flight_folder) == before
    for name in (
        "hotspots.geojson",
        "track.geojson",
        "run.json",
        "gas/CH4.csv",
        "gas/CH4_map.tif",
        "quicklooks/CH4.png",
        "quicklooks/line_1.png",
    ):
        assert (tmp_path / "out" / name).stat().st_size > 0
    manifest = json.loads((tmp_path / "out/run.json").read_text("utf-8"))
    roles = {each["path"]: each["role"] for each in manifest["inputs"]}
    for path in (
        "flight.toml",
        "raw/00000021.BIN",
        "raw/analyser.csv",
        "raw/line_1.bil",
        "raw/line_1.bil.hdr",
        "raw/line_1.lines.csv",
        "raw/dark.bil",
        "raw/panel.bil",
        "raw/panel.csv",
        "raw/target.csv",
        "raw/target.toml",
        "raw/dem.tif",
        "calibration/instruments/example-analyser.toml",
        "calibration/records/example-analyser/2026-06-01.toml",
    ):
        assert path in roles
    assert manifest["parameters"]["track.source"] == {"value": "auto", "origin": "flight.toml"}
    assert {each["path"] for each in manifest["outputs"]} == set(result["files"]) - {"run.json"}


def test_two_runs_give_the_same_layer(
    flight_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        assert run_cli(["run", str(flight_folder), "-o", str(tmp_path / name)]) == 0
    capsys.readouterr()
    files = [each for each in _tree(tmp_path / "a") if each != "run.json"]
    assert files
    for each in files:
        assert (tmp_path / "a" / each).read_bytes() == (tmp_path / "b" / each).read_bytes(), each


def test_a_bare_folder_is_found_out(
    flight_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = open_flight(flight_folder)
    (flight_folder / "flight.toml").unlink()
    (flight_folder / "raw" / "notes.docx").write_bytes(b"PK\x03\x04 not ours")
    found = discover(flight_folder)
    assert found.tables["track"]["path"] == "raw/00000021.BIN"
    assert found.tables["terrain"]["path"] == "raw/dem.tif"
    assert [each["path"] for each in found.tables["cube"]] == ["raw/line_1.bil.hdr"]
    cube = found.tables["cube"][0]
    assert cube["instrument"] == "example-line-scanner"
    assert cube["dark"] == "raw/dark.bil.hdr"
    assert cube["panel"] == {"path": "raw/panel.bil.hdr", "reflectance": "raw/panel.csv"}
    assert {each["target"] for each in found.tables["detect"]} == {"CH4", "target"}
    reasons = dict(found.ignored)
    assert "raw/notes.docx" in reasons
    assert set(reasons) <= {"raw/notes.docx", "truth.geojson"}
    assert run_cli(["run", str(flight_folder), "-o", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {each["kind"] for each in result["hotspots"]} == {"gas", "spectral"}
    assert len(open_flight(flight_folder).cubes) == len(stated.cubes)


def test_init_writes_a_manifest_that_opens(flight_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["init", str(flight_folder)]) == 2  # flight.toml exists
    assert "--force" in capsys.readouterr().err
    (flight_folder / "flight.toml").unlink()
    assert run_cli(["init", str(flight_folder)]) == 0
    written = (flight_folder / "flight.toml").read_text("utf-8")
    assert tomllib.loads(written)["track"]["path"] == "raw/00000021.BIN"
    flight = open_flight(flight_folder)
    assert len(flight.rules) == 2
    assert flight.settings["track.path"] == {"value": "raw/00000021.BIN", "origin": "flight.toml"}


def test_draft_survives_awkward_file_names(tmp_path: Path) -> None:
    name = 'a "quoted" \\ name.csv'
    (tmp_path / name).write_text("wavelength_nm,reflectance\n500,0.1\n600,0.2\n", encoding="utf-8")
    tables = tomllib.loads(draft(discover(tmp_path)))
    assert tables["detect"][0]["signature"] == name


def test_inspect_says_what_would_be_used(flight_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _tree(flight_folder)
    assert run_cli(["inspect", str(flight_folder), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["gas"][0]["calibration"] == "2026-06-01.toml"
    assert plan["cubes"][0]["panel"] == "raw/panel.bil.hdr"
    assert plan["track"]["attitude"] is True
    assert run_cli(["inspect", str(flight_folder)]) == 0
    assert "raw/00000021.BIN" in capsys.readouterr().out
    assert _tree(flight_folder) == before


@pytest.mark.parametrize(
    "name",
    ["00000021.BIN", "analyser.csv", "line_1.bil", "line_1.lines.csv", "dem.tif", "dark.bil", "panel.csv"],
)
@pytest.mark.parametrize("where", ["end", "middle"])
def test_a_cut_input_is_noticed_and_named(
    flight_folder: Path, capsys: pytest.CaptureFixture[str], name: str, where: str
) -> None:
    """A 0.1 s piece of the 450 s flight is gone: the card was pulled too early, or lost a block."""
    path = flight_folder / "raw" / name
    data = path.read_bytes()
    length = max(7, len(data) // 4500)
    start = len(data) - length if where == "end" else len(data) // 2
    path.write_bytes(data[:start] + data[start + length :])
    run_cli(["inspect", str(flight_folder), "--json"])
    captured = capsys.readouterr()
    said = captured.out + captured.err
    plan: dict[str, Any] = json.loads(captured.out) if captured.out else {}
    words = [
        *plan.get("warnings", []),
        *(f"{each['path']} {each['reason']}" for each in plan.get("rejected", [])),
        captured.err,
    ]
    stem = name.split(".", 1)[0]
    assert any(stem in each for each in words), said


def test_a_missing_panel_rejects_the_cube_and_keeps_the_gas(
    flight_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = (flight_folder / "flight.toml").read_text("utf-8")
    lines = [line for line in manifest.splitlines() if not line.startswith("panel")]
    (flight_folder / "flight.toml").write_text("\n".join(lines), encoding="utf-8")
    assert run_cli(["run", str(flight_folder), "--json"]) == 4
    result = json.loads(capsys.readouterr().out)
    assert [path for path, _ in result["rejected"]] == ["raw/line_1.bil.hdr"]
    assert "panel" in result["rejected"][0][1]
    assert {each["kind"] for each in result["hotspots"]} == {"gas"}


def test_a_failing_run_leaves_the_old_products(
    flight_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", str(flight_folder)]) == 0
    before = _tree(flight_folder / "products")
    (flight_folder / "raw/analyser.csv").unlink()
    assert run_cli(["run", str(flight_folder)]) == 2
    assert "analyser.csv" in capsys.readouterr().err
    assert _tree(flight_folder / "products") == before


def test_products_never_replace_a_folder_that_is_not_ours(
    flight_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "photos"
    mine.mkdir()
    (mine / "cat.jpg").write_bytes(b"meow")
    assert run_cli(["run", str(flight_folder), "-o", str(mine)]) == 5
    assert "photos" in capsys.readouterr().err
    assert (mine / "cat.jpg").read_bytes() == b"meow"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raw/00000021.BIN", ["Track:", "POS"]),
        ("raw/analyser.csv", ["example-analyser", "CH4 (ppm"]),
        ("raw/line_1.bil.hdr", ["bands", "72"]),
        ("raw/dark.bil", ["dark.bil.hdr"]),
        ("raw/dem.tif", ["Terrain:", "EPSG:"]),
        ("raw/target.csv", ["signature", "blue-cover"]),
    ],
)
def test_inspect_looks_at_a_single_file(
    demo_folder: Path, capsys: pytest.CaptureFixture[str], name: str, words: list[str]
) -> None:
    assert run_cli(["inspect", str(demo_folder / name)]) == 0
    said = capsys.readouterr().out
    for word in words:
        assert word in said


def test_inspect_of_a_useless_folder_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a flight")
    assert run_cli(["inspect", str(tmp_path)]) == 3
    assert "holiday.jpg: no reader recognises it" in capsys.readouterr().err


def _run_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = run_cli(["run", str(folder), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else {"error": captured.err}


def test_terrain_with_another_zero_is_doubted(
    flight_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import rasterio

    with rasterio.open(flight_folder / "raw/dem.tif", "r+") as file:
        file.write(file.read(1) + np.float32(30.0), 1)
    _, result = _run_json(flight_folder, capsys)
    assert any(re.search(r"starts (29|30)\.\d m below", each) for each in result["warnings"]), result[
        "warnings"
    ]


def test_a_log_that_ends_early_is_told_by_the_gas_it_leaves_without_place(
    flight_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flight_folder / "raw/00000021.BIN"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, result = _run_json(flight_folder, capsys)
    said = " ".join(result["warnings"])
    assert "lie outside the track" in said
    assert "00000021.BIN" in said


def test_a_missing_dark_is_told(flight_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = (flight_folder / "flight.toml").read_text("utf-8")
    lines = [line for line in manifest.splitlines() if not line.startswith("dark")]
    (flight_folder / "flight.toml").write_text("\n".join(lines), encoding="utf-8")
    _, result = _run_json(flight_folder, capsys)
    assert any("no dark capture" in each for each in result["warnings"])


def test_a_gas_file_of_nan_is_rejected_and_the_cube_is_kept(
    flight_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flight_folder / "raw/analyser.csv"
    head, *rows = path.read_text("utf-8").splitlines()
    column = head.split(",").index("CH4 (ppm)")
    cells = [row.split(",") for row in rows]
    text = "\n".join([head, *(",".join([*row[:column], "NaN", *row[column + 1 :]]) for row in cells)])
    path.write_text(text + "\n", encoding="utf-8")
    code, result = _run_json(flight_folder, capsys)
    assert code == 4
    assert [each[0] for each in result["rejected"]] == ["raw/analyser.csv"]
    assert {each["kind"] for each in result["hotspots"]} == {"spectral"}


def test_lines_of_another_hour_are_refused_with_both_spans(
    flight_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flight_folder / "raw/line_1.lines.csv"
    path.write_text(re.sub(r"T\d\d:", "T03:", path.read_text("utf-8")), encoding="utf-8")
    code, result = _run_json(flight_folder, capsys)
    assert code == 4
    assert "outside the track" in result["rejected"][0][1]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('method = "ace"', 'method = "acee"', ["acee", 'did you mean "ace"']),
        ('crs = "auto"', 'crs = "EPSG:4326"', ["EPSG:4326", "meters"]),
        ('path = "calibration"', 'path = "calibratoin"', ["calibratoin", "no folder"]),
    ],
)
def test_inspect_refuses_what_run_refuses(
    flight_folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: list[str]
) -> None:
    path = flight_folder / "flight.toml"
    path.write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")
    for verb in ("inspect", "run"):
        assert run_cli([verb, str(flight_folder)]) == 2
        message = capsys.readouterr().err
        for word in ["flight.toml", *words]:
            assert word in message


def test_records_have_short_representations(flight_folder: Path) -> None:
    flight = open_flight(flight_folder)
    assert flight.trajectory is not None
    for each in (flight, flight.trajectory, flight.gas[0].series[0], flight.cubes[0].cube):
        assert len(repr(each)) < 200
