"""run.json: complete, true to the bytes, the same for the same work, and nothing of this machine in it."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dronesense
from dronesense import evidence
from dronesense.errors import EvidenceError
from dronesense.evidence import manifest as manifest_module
from dronesense.model import (
    Ambient,
    Bands,
    CameraCalibration,
    CubeInput,
    Flight,
    GasCalibration,
    GasInput,
    GasInstrument,
    GasSeries,
    HotspotLayer,
    IngestReport,
    InputFile,
    Instrument,
    Mount,
    SpeciesCalibration,
    SpectralCube,
    TimeColumn,
)

MAY = 1_777_593_600_000_000_000  # 2026-05-01T00:00:00Z


class OnePixel:
    shape = (1, 1, 1)

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((1, 1, 1), np.float32), np.ones((1, 1), bool)


def opened(root: Path, **changes: Any) -> Flight:
    """A flight with a log, a cube of two files and a calibration record from outside the folder."""
    files = {"raw/log.bin": b"log", "raw/l1.hdr": b"ENVI", "raw/l1.bil": b"\x00" * 10}
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    record = root.parent / "calibration" / "records" / "a" / "may.toml"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_bytes(b"schema = 1")
    report = IngestReport(
        "ArduPilot DataFlash", 7, {"before fix": 2}, ((3, 4),), ("UTC",), ("gap",), ("/somewhere/else",),
        {"rate": np.nan},
    )  # fmt: skip
    series = GasSeries(
        np.array([1]), "CH4", "mole_fraction", np.ones(1), np.ones(1), "wet", np.zeros(1), "raw", Ambient(),
        "a", "raw/gas.csv", np.array([2]),
    )  # fmt: skip
    cube = SpectralCube(
        "l1", OnePixel(), Bands(np.ones(1), np.ones(1), np.ones(1, bool)), "counts", None, "cam", "raw/l1.hdr"
    )
    instrument = Instrument("a", "gas", GasInstrument(TimeColumn(("t",)), {}), Mount(), "calibration/a.toml")
    calibration = GasCalibration("a", MAY, {"CH4": SpeciesCalibration(0.05, 1.03)}, path=str(record))
    camera = CameraCalibration("cam", MAY, path="calibration/cam.toml")
    given: dict[str, Any] = {
        "id": "2026-06-14-steppe",
        "root": root,
        "trajectory": None,
        "gas": (GasInput((series,), instrument, calibration, "auto"),),
        "cubes": (CubeInput(cube, None, camera, darks=(cube,)), CubeInput(cube, None)),
        "inputs": (
            InputFile("raw/log.bin", "flight log", report),
            InputFile("raw/l1.hdr", "cube"),
            InputFile("raw/l1.bil", "cube"),
            InputFile(str(record), "calibration record", None, record),
        ),
        "rejected": (("raw/bad.csv", "no header"),),
        "ignored": (("raw/notes.txt", "no reader claims it"),),
        "settings": {"detect": [{"threshold": {"value": np.float32(0.5), "origin": "flight.toml"}}]},
    }
    return Flight(**{**given, **changes})


def products(folder: Path) -> Path:
    (folder / "gas").mkdir(parents=True)
    (folder / "hotspots.geojson").write_bytes(b"{}")
    (folder / "gas" / "CH4.csv").write_bytes(b"time")
    return folder


LAYER = HotspotLayer(
    "2026-06-14-steppe", (), statements={"coverage": {"area_m2": math.inf}}, warnings=("careful",),
    rejected=(("raw/bad.csv", "no header"), ("raw/l9.hdr", "cut")),
)  # fmt: skip


@pytest.fixture
def flight(tmp_path: Path) -> Flight:
    return opened(tmp_path / "flight")


@pytest.fixture
def manifest(flight: Flight, tmp_path: Path) -> dict[str, Any]:
    return evidence.run_manifest(flight, LAYER, products(tmp_path / "products"))


def test_inputs_by_hand(manifest: dict[str, Any]) -> None:
    rows = {row["path"]: row for row in manifest["inputs"]}
    assert list(rows) == sorted(rows)
    assert rows["raw/l1.bil"] == {
        "path": "raw/l1.bil", "bytes": 10, "role": "cube", "report": None,
        "sha256": hashlib.sha256(b"\x00" * 10).hexdigest(),
    }  # fmt: skip
    assert rows["raw/log.bin"]["report"] == {
        "format": "ArduPilot DataFlash", "records": 7, "dropped": {"before fix": 2}, "holes": [[3, 4]],
        "assumptions": ["UTC"], "warnings": ["gap"], "answered": [], "details": {"rate": None},
    }  # fmt: skip
    assert ".../records/a/may.toml" in rows


def test_outputs_are_all_files_but_the_manifest_itself(flight: Flight, tmp_path: Path) -> None:
    folder = products(tmp_path / "p")
    (folder / "run.json").write_bytes(b"old")
    rows = evidence.run_manifest(flight, LAYER, folder)["outputs"]
    assert rows == [
        {"path": "gas/CH4.csv", "bytes": 4, "sha256": hashlib.sha256(b"time").hexdigest()},
        {"path": "hotspots.geojson", "bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()},
    ]


def test_what_was_not_looked_at_is_said(manifest: dict[str, Any]) -> None:
    assert manifest["not_looked_at"] == [{"path": "raw/notes.txt", "reason": "no reader claims it"}]
    assert [row["path"] for row in manifest["rejected"]] == ["raw/bad.csv", "raw/l9.hdr"]
    assert manifest["warnings"] == ["careful"]
    assert any("never proof" in limit for limit in manifest["limits"])
    assert manifest["statements"] == {"coverage": {"area_m2": None}}
    assert manifest["parameters"]["detect"][0]["threshold"] == {"value": 0.5, "origin": "flight.toml"}


def test_calibration_used_by_each_input(manifest: dict[str, Any]) -> None:
    gas, cube, bare = manifest["calibration"]
    assert gas["record"] == ".../records/a/may.toml"
    assert gas["valid_from"] == "2026-05-01T00:00:00.000Z"
    assert gas["species"] == ["CH4"]
    assert (cube["record"], cube["dark"]) == ("calibration/cam.toml", "raw/l1.hdr")
    assert (bare["record"], bare["dark"], bare["panel"]) == (None, None, None)


def test_record_opened_by_a_path_from_elsewhere_has_the_name_of_the_input(
    flight: Flight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = GasCalibration("a", MAY, {}, path="calibration/records/a/may.toml")
    inputs = (InputFile("records/may.toml", "calibration record", None, tmp_path / record.path),)
    other = replace(flight, gas=(replace(flight.gas[0], calibration=record),), cubes=(), inputs=inputs)
    manifest = evidence.run_manifest(other, LAYER, products(tmp_path / "p"))
    assert manifest["calibration"][0]["record"] == "records/may.toml"


def test_versions_name_everything_that_can_change_a_number(manifest: dict[str, Any]) -> None:
    assert manifest["versions"]["dronesense"] == dronesense.__version__
    assert manifest["versions"]["numpy"] == np.__version__
    assert {"python", "scipy", "rasterio", "gdal", "pyproj", "shapely"} <= set(manifest["versions"])


def test_nothing_of_this_machine_is_in_it(manifest: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(manifest)
    assert str(tmp_path) not in text
    assert "/somewhere/else" not in text
    assert os.uname().nodename not in text if hasattr(os, "uname") else True


def test_same_work_elsewhere_has_the_same_id_and_reads_the_same(tmp_path: Path) -> None:
    a, b = opened(tmp_path / "a" / "f"), opened(tmp_path / "b" / "f")
    one = evidence.run_manifest(
        a, LAYER, products(tmp_path / "pa"), started=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    )
    two = evidence.run_manifest(
        b, LAYER, products(tmp_path / "pb"), started=dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    )
    assert one["timing"] != two["timing"]
    del one["timing"], two["timing"]
    assert one == two
    assert len(one["run_id"]) == 16
    assert int(one["run_id"], 16) >= 0


def test_id_changes_with_one_byte_one_setting_or_the_code(
    flight: Flight, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [evidence.run_id(flight)]
    ids.append(evidence.run_id(replace(flight, settings={"detect": []})))
    (flight.root / "raw" / "l1.bil").write_bytes(b"\x00" * 9 + b"\x01")
    ids.append(evidence.run_id(flight))
    monkeypatch.setattr(manifest_module, "__version__", "9.9.9")
    ids.append(evidence.run_id(flight))
    assert len(set(ids)) == 4


def test_order_in_which_inputs_were_found_does_not_matter(flight: Flight) -> None:
    assert evidence.hash_inputs(flight) == evidence.hash_inputs(replace(flight, inputs=flight.inputs[::-1]))


@pytest.mark.parametrize("change", ["grown", "touched", "gone"])
def test_input_that_changed_during_the_run_is_noticed(flight: Flight, tmp_path: Path, change: str) -> None:
    before = evidence.hash_inputs(flight)
    path = flight.root / "raw" / "l1.bil"
    if change == "grown":
        path.write_bytes(b"\x00" * 11)
    elif change == "touched":
        state = path.stat()
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000_000))
    else:
        path.unlink()
    with pytest.raises(EvidenceError, match="changed during the run") as caught:
        evidence.run_manifest(flight, LAYER, products(tmp_path / "p"), inputs=before)
    assert caught.value.where == "raw/l1.bil"


def test_input_that_is_gone_is_an_error_of_the_user(flight: Flight) -> None:
    (flight.root / "raw" / "log.bin").unlink()
    with pytest.raises(EvidenceError, match="gone"):
        evidence.hash_inputs(flight)


def test_written_manifest_is_sorted_strict_json_and_a_folder_of_ours(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "products" / evidence.RUN_NAME
    evidence.write(manifest, path)
    again = json.loads(path.read_bytes(), parse_constant=pytest.fail)
    assert again == manifest
    assert list(again) == sorted(again)
    from dronesense.writers.atomic import staging

    with staging(tmp_path / "products") as fresh:  # would refuse a folder that is not ours
        assert not list(fresh.iterdir())
    assert not list((tmp_path / "products").rglob("*.csv"))


class Color(enum.Enum):
    RED = "red"


@dataclass
class Pair:
    a: int
    b: object


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (float("-inf"), None),
        (Path("a") / "b", "a/b"),
        ({"k": (1, {2})}, {"k": [1, [2]]}),
        ({3, 1, 2}, [1, 2, 3]),
        (Color.RED, "red"),
        (Pair(1, Pair(2, math.nan)), {"a": 1, "b": {"a": 2, "b": None}}),
        (dt.datetime(2026, 6, 14, 10, tzinfo=dt.UTC), "2026-06-14T10:00:00+00:00"),
        (dt.date(2026, 6, 14), "2026-06-14"),
        ({1: 2}, {"1": 2}),
        (None, None),
    ],
)
def test_everything_becomes_plain(value: object, expected: object) -> None:
    plain = manifest_module._plain(value)
    assert plain == expected
    json.dumps(plain, allow_nan=False)


def test_what_has_no_plain_form_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(TypeError, match="object has no plain form"):
        manifest_module._plain({"x": object()})


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("raw/a.csv", "raw/a.csv"),
        ("/home/me/flights/x/raw/a.csv", ".../x/raw/a.csv"),
        ("C:\\Users\\me\\lab\\may.toml", ".../me/lab/may.toml"),
        ("/a.csv", ".../a.csv"),
        ("", ""),
    ],
)
def test_absolute_paths_lose_the_folders_of_this_machine(path: str, label: str) -> None:
    assert manifest_module._label(path) == label


PRODUCTS = Path(__file__).parents[1] / "docs" / "products.md"


@pytest.mark.skipif(not PRODUCTS.is_file(), reason="the documentation is not here")
def test_every_key_is_documented_and_nothing_else(manifest: dict[str, Any]) -> None:
    text = PRODUCTS.read_text("utf-8").split("## `run.json`")[1]
    documented = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert documented == set(manifest)


def test_products_that_were_hashed_are_not_hashed_again(
    flight: Flight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = products(tmp_path / "products")
    first = evidence.run_manifest(flight, LAYER, folder)
    (folder / "report.html").write_bytes(b"<p>new</p>")
    calls: list[str] = []
    whole = manifest_module.sha256_file
    monkeypatch.setattr(
        manifest_module, "sha256_file", lambda path, **_: calls.append(path.name) or whole(path)
    )
    second = evidence.run_manifest(
        flight, LAYER, folder, inputs=evidence.hash_inputs(flight), outputs=first["outputs"]
    )
    assert [name for name in calls if (folder / name).is_file()] == ["report.html"]
    monkeypatch.undo()
    assert second["outputs"] == evidence.run_manifest(flight, LAYER, folder)["outputs"]
