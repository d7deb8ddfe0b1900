"""`dronesense verify`: every tampering is noticed, and nothing honest is."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio

from dronesense.cli import run_cli
from dronesense.errors import ReadError
from dronesense.evidence import custody, signature, verify
from dronesense.writers import fingerprint


def sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUNS = sibling("evidence_runs")
OFFSETS = 240
"""Places over all files at which one byte is changed."""
CLEAN = 50
"""Clean verifies without a false alarm."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flight with products, custody log and signature; tests copy it."""
    flight = tmp_path_factory.mktemp("made") / "flight"
    log = flight / custody.NAME
    for number in range(3):
        custody.append(log, "note", utc=f"2026-06-14T10:0{number}:00Z", actor="Anna", tool="test")
    folder = RUNS.run(flight)
    key = flight.parent / "anna"
    signature.make_key(key)
    signature.sign(verify.open_run(folder), key)
    return flight


@pytest.fixture
def flight(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "flight"))


def trusted(made: Path) -> Path:
    return made.parent / "anna.pub"


def code(flight: Path, made: Path, *more: str) -> int:
    return run_cli(["verify", str(flight), "--inputs", "--chain", "--trusted", str(trusted(made)), *more])


def rows(flight: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    run_cli(["verify", str(flight), "--json", *more])
    told = json.loads(capsys.readouterr().out)
    return {row["name"]: row for row in told["verdicts"]}


def test_clean_run_passes_again_and_again(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [code(made, made) for _ in range(CLEAN)] == [0] * CLEAN
    told = rows(made, capsys, "--inputs")
    assert {name: row["passed"] for name, row in told.items()} == {
        "INTEGRITY": True, "COMPLETENESS": True, "INPUTS": True, "CHAIN": True, "SIGNATURE": True,
        "TIMESTAMP": None,
    }  # fmt: skip
    assert "does not stop the owner" in told["CHAIN"]["notes"][0]


def test_verify_writes_nothing(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(made.rglob("*"))}
    code(made, made)
    assert {path: path.stat().st_mtime_ns for path in sorted(made.rglob("*"))} == before


def test_one_changed_byte_anywhere_is_noticed(flight: Path, made: Path) -> None:
    """Over products, manifest, signature, key, raw files and log: one byte, another value, any place."""
    random = np.random.default_rng(20260614)
    files = [path for path in sorted(flight.rglob("*")) if path.is_file()]
    assert len(files) >= 12
    missed = []
    for number in range(OFFSETS):
        path = files[number % len(files)]
        data = path.read_bytes()
        place = int(random.integers(len(data)))
        changed = bytearray(data)
        changed[place] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        if code(flight, made) not in (3, 7):
            missed.append((path.name, place))
        path.write_bytes(data)
    assert missed == []
    assert code(flight, made) == 0


def swap(folder: Path) -> None:
    one, other = folder / "gas" / "CH4.csv", folder / "track.geojson"
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)


def edit(folder: Path) -> None:
    """Put a changed layer and its new hash in, as somebody without the key would."""
    layer = folder / "hotspots.geojson"
    layer.write_bytes(layer.read_bytes().replace(b"0.81", b"0.11"))
    again = json.loads((folder / "run.json").read_bytes())
    for row in again["outputs"]:
        row["sha256"] = verify.sha256_file(folder / row["path"])
        row["bytes"] = (folder / row["path"]).stat().st_size
    verify.manifest.write(again, folder / "run.json")


def sign_anew(folder: Path) -> None:
    edit(folder)
    key = folder.parent.parent / "mallory"
    signature.make_key(key)
    signature.sign(verify.open_run(folder), key)


def link(folder: Path) -> None:
    target = folder / "gas" / "CH4.csv"
    away = folder.parent.parent / "away.csv"
    target.rename(away)
    target.symlink_to(away)


def grow(folder: Path) -> None:
    path = folder / "hotspots.geojson"
    path.write_bytes(path.read_bytes() + b"\n")


def become_folder(folder: Path) -> None:
    (folder / "track.geojson").unlink()
    (folder / "track.geojson").mkdir()


def log_lines(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    log = folder.parent / custody.NAME
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))


CATALOG: dict[str, Callable[[Path], Any]] = {
    "two files swapped": swap,
    "renamed": lambda folder: (folder / "track.geojson").rename(folder / "track2.geojson"),
    "deleted": lambda folder: (folder / "gas" / "CH4.csv").unlink(),
    "added": lambda folder: (folder / "gas" / "CO2.csv").write_bytes(b"time"),
    "added hidden": lambda folder: (folder / ".x").write_bytes(b""),
    "journal that changes a GeoPackage": lambda folder: (folder / "hotspots.gpkg-wal").write_bytes(b"x"),
    "cut off": lambda folder: os.truncate(folder / "hotspots.gpkg", 100),
    "grown": grow,
    "replaced by a link": link,
    "replaced by a folder": become_folder,
    "manifest edited after signing": edit,
    "manifest edited and signed by another": sign_anew,
    "signature taken away": lambda folder: (folder / "run.json.sig").unlink(),
    "key taken away": lambda folder: (folder / "run.json.pub.pem").unlink(),
    "raw file changed": lambda folder: (folder.parent / "raw" / "l1.bil").write_bytes(bytes(256)),
    "raw file deleted": lambda folder: (folder.parent / "raw" / "log.bin").unlink(),
    "line of the log deleted": lambda folder: log_lines(folder, lambda lines: [lines[0], lines[2]]),
    "lines of the log reordered": lambda folder: log_lines(
        folder, lambda lines: [lines[1], lines[0], lines[2]]
    ),
    "line of the log edited": lambda folder: log_lines(
        folder, lambda lines: [lines[0], lines[1].replace(b"Anna", b"Eve."), lines[2]]
    ),
    "last line of the log edited": lambda folder: log_lines(
        folder, lambda lines: [*lines[:2], lines[2].replace(b"Anna", b"Eve.")]
    ),
    "last line of the log taken out": lambda folder: log_lines(folder, lambda lines: lines[:2]),
    "log cut in a line": lambda folder: log_lines(folder, lambda lines: [*lines[:2], lines[2][:-5]]),
    "log emptied": lambda folder: log_lines(folder, lambda _: []),
    "log deleted": lambda folder: (folder.parent / custody.NAME).unlink(),
}  # fmt: skip


@pytest.mark.parametrize("tamper", CATALOG.values(), ids=CATALOG.keys())
def test_tampering_is_noticed(flight: Path, made: Path, tamper: Callable[[Path], Any]) -> None:
    assert code(flight, made) == 0
    tamper(flight / "products")
    assert code(flight, made) == 7


def test_log_written_anew_is_caught_by_the_signed_manifest(flight: Path, made: Path) -> None:
    """Chain and head file of the new log are whole; the head code in run.json is what gives it away."""
    log = flight / custody.NAME
    log.unlink()
    log.with_name("custody.jsonl.head").unlink()
    custody.append(log, "note", utc="2026-06-14T10:00:00Z", actor="Eve", tool="test")
    assert custody.read(log).problems == ()
    assert code(flight, made) == 7


def test_head_code_on_paper_catches_lines_that_were_taken_out(flight: Path, made: Path) -> None:
    log = flight / custody.NAME
    before = log.read_bytes(), log.with_name("custody.jsonl.head").read_bytes()
    paper = custody.append(log, "handed over", utc="2026-06-15T10:00:00Z", actor="Anna", tool="test").head[
        :12
    ]
    assert code(flight, made, "--head", paper) == 0
    log.write_bytes(before[0])
    log.with_name("custody.jsonl.head").write_bytes(before[1])
    assert code(flight, made) == 0  # what the paper is for
    assert code(flight, made, "--head", paper) == 7


@pytest.mark.parametrize(
    "name", ["scores/line.tif.aux.xml", "hotspots.reviews.jsonl", "view.reviewed.html", "hotspots.kmz"]
)
def test_honest_work_in_the_folder_is_noted_and_no_failure(
    flight: Path, made: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (flight / "products" / name).write_bytes(b"x")
    assert code(flight, made) == 0
    assert any(name in note for note in rows(flight, capsys)["COMPLETENESS"]["notes"])


def test_verdicts_are_separate(flight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (flight / "products" / "gas" / "CH4.csv").unlink()
    told = rows(flight, capsys, "--inputs")
    assert {name for name, row in told.items() if row["passed"] is False} == {"COMPLETENESS"}


def test_same_pixels_in_other_bytes_are_told_apart_from_other_pixels(
    flight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((flight / "products" / "scores").glob("*.tif"))
    with rasterio.open(path) as source:
        profile, values = source.profile, source.read()
        described, units = source.descriptions, source.units
    path.unlink()
    with rasterio.open(path, "w", **(profile | {"compress": "LZW", "predictor": 1})) as sink:
        sink.write(values)
        sink.descriptions, sink.units = described, units
    (problem,) = rows(flight, capsys)["INTEGRITY"]["problems"]
    assert "its features or pixels are the same" in problem
    with rasterio.open(path, "r+") as sink:
        sink.write(values + np.float32(1e-6))
    (problem,) = rows(flight, capsys)["INTEGRITY"]["problems"]
    assert "differ too" in problem


def test_text_in_a_raster_that_is_no_utf8_is_a_verdict_and_no_crash(
    flight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((flight / "products" / "scores").glob("*.tif"))
    data = path.read_bytes()
    assert data.count(b"ACE score") == 1
    path.write_bytes(data.replace(b"ACE score", b"ACE sc\xffre"))
    (problem,) = rows(flight, capsys)["INTEGRITY"]["problems"]
    assert "can no longer be decoded" in problem


def test_content_of_a_geojson_does_not_depend_on_order_or_spaces(tmp_path: Path) -> None:
    features = [{"type": "Feature", "id": n, "geometry": None, "properties": {"a": n}} for n in "abc"]
    one, other, third = (tmp_path / f"{n}.geojson" for n in range(3))
    one.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    other.write_text(json.dumps({"features": features[::-1], "type": "FeatureCollection"}, indent=3))
    third.write_text(json.dumps({"type": "FeatureCollection", "features": features[:2]}))
    hashes = [fingerprint.content_sha256(path) for path in (one, other, third)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_content_of_a_geopackage_is_that_of_its_rows(made: Path, tmp_path: Path) -> None:
    import contextlib
    import sqlite3

    path = tmp_path / "a.gpkg"
    shutil.copy(made / "products" / "hotspots.gpkg", path)
    before = fingerprint.content_sha256(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 7")
        database.commit()
    assert path.read_bytes() != (made / "products" / "hotspots.gpkg").read_bytes()
    assert fingerprint.content_sha256(path) == before
    with contextlib.closing(sqlite3.connect(path)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')  # they need functions that only GDAL has
        database.execute("UPDATE hotspots SET score = 0.11 WHERE score > 0.8")
        database.commit()
    assert fingerprint.content_sha256(path) != before


@pytest.mark.parametrize(
    "name", ["../raw/log.bin", "/etc/hostname", "gas\\CH4.csv", "C:/x", "gas/../track.geojson", ""]
)
def test_manifest_cannot_lead_out_of_its_folder(flight: Path, name: str) -> None:
    sealed = verify.open_run(flight)
    row = dict(sealed.rows("outputs")[0], path=name)
    changed = {**sealed.manifest, "outputs": [*sealed.rows("outputs"), row]}
    verdict = verify.integrity(verify.Sealed(sealed.folder, verify.manifest.encode(changed), changed))
    assert verdict.passed is False
    assert "no path of a product" in verdict.problems[0]


def test_edited_setting_no_longer_fits_the_run_id(flight: Path) -> None:
    sealed = verify.open_run(flight)
    changed = {**sealed.manifest, "parameters": {"detect": []}}
    verdict = verify.integrity(verify.Sealed(sealed.folder, verify.manifest.encode(changed), changed))
    assert [problem for problem in verdict.problems if "run id" in problem]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"schema": "other"}', b"\xff"])
def test_what_is_no_manifest_is_unreadable_and_not_a_verdict(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "run.json").write_bytes(text)
    assert run_cli(["verify", str(tmp_path)]) == 3


def test_folder_without_a_manifest_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="holds no run"):
        verify.open_run(tmp_path)


def again(flight: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a second run whose layer of hotspots was changed."""
    other = Path(shutil.copytree(flight / "products", flight.parent / "again"))
    layer = other / "hotspots.geojson"
    collection = json.loads(layer.read_bytes())
    change(collection["features"][0])
    layer.write_text(json.dumps(collection), "utf-8")
    manifest = json.loads((other / "run.json").read_bytes())
    for row in manifest["outputs"]:
        row["sha256"] = verify.sha256_file(other / row["path"])
        row["content_sha256"] = fingerprint.content_sha256(other / row["path"])
    verify.manifest.write(manifest, other / "run.json")
    return other


@pytest.mark.parametrize(
    ("name", "shift", "word"),
    [
        ("score", 0.0, "within tolerance"),
        ("score", 0.9e-4, "within tolerance"),
        ("score", 1.1e-4, "differs"),
        ("lat", 0.9 * 0.01 / 111_320, "within tolerance"),
        ("lat", 1.1 * 0.01 / 111_320, "differs"),
    ],
)
def test_second_run_is_judged_by_ids_places_and_scores(
    flight: Path, name: str, shift: float, word: str
) -> None:
    def change(feature: dict[str, Any]) -> None:
        feature["properties"][name] += shift

    verdict = verify.reproduced(verify.open_run(flight), again(flight, change))
    assert (verdict.word, verdict.passed) == (word, word != "differs")


def test_a_second_run_that_wrote_less_or_more_differs(flight: Path) -> None:
    """And what only one of them wrote is named, not compared."""
    other = Path(shutil.copytree(flight / "products", flight.parent / "less"))
    manifest = json.loads((other / "run.json").read_bytes())
    lost = manifest["outputs"].pop(0)
    manifest["outputs"].append({"path": "new.txt", "bytes": 0, "sha256": "0" * 64})
    verify.manifest.write(manifest, other / "run.json")
    verdict = verify.reproduced(verify.open_run(flight), other)
    assert verdict.passed is False
    assert sorted(verdict.problems) == sorted(
        f"{name}: only one of the two runs wrote it" for name in (lost["path"], "new.txt")
    )


def test_verdicts_count_what_they_looked_at(flight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((flight / "products" / "run.json").read_bytes())
    told = rows(flight, capsys, "--inputs")
    assert told["INTEGRITY"]["word"].startswith(f"{len(content['outputs'])} products ")
    assert told["INPUTS"]["word"].startswith(f"{len(content['inputs'])} as ")


def test_no_custody_log_is_no_failure_unless_one_is_asked_for(flight: Path) -> None:
    run = verify.open_run(flight)
    (flight / custody.NAME).unlink()
    assert verify.chain(run, flight / custody.NAME).passed is None
    assert "though the run noted one" in verify.chain(run, flight / custody.NAME).word
    for more in ({"required": True}, {"heads": ("ab12",)}):
        assert verify.chain(run, flight / custody.NAME, **more).passed is False


def test_a_manifest_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MAX_MANIFEST_BYTES", 99)
    (tmp_path / "run.json").write_bytes(b" " * 100)
    with pytest.raises(ReadError, match="too long for a run manifest"):
        verify.open_run(tmp_path)
    (tmp_path / "run.json").write_bytes(b" " * 99)
    with pytest.raises(ReadError, match="is not JSON"):
        verify.open_run(tmp_path)


def test_second_run_with_the_same_bytes(flight: Path) -> None:
    other = Path(shutil.copytree(flight / "products", flight.parent / "same"))
    assert verify.reproduced(verify.open_run(flight), other).word == "bytes equal"


def test_rerun_of_a_flight_that_cannot_be_run_fails_in_words(
    flight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(flight / "raw")
    verdict = rows(flight, capsys, "--rerun")["REPRODUCED"]
    assert verdict["passed"] is False
    assert verdict["word"] == "could not be run again"


def test_names_of_files_cannot_steer_the_terminal(flight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (flight / "products" / "x\x1b[2J\n.csv").write_bytes(b"")
    assert run_cli(["verify", str(flight)]) == 7
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\\x1b[2J\\n.csv" in told


def test_a_product_that_only_its_layers_can_judge_is_noted(flight: Path) -> None:
    other = Path(shutil.copytree(flight / "products", flight.parent / "again"))
    manifest = json.loads((other / "run.json").read_bytes())
    row = next(row for row in manifest["outputs"] if row["path"] == "track.geojson")
    row["sha256"] = row["content_sha256"] = "0" * 64
    verify.manifest.write(manifest, other / "run.json")
    verdict = verify.reproduced(verify.open_run(flight), other)
    assert (verdict.passed, verdict.word, verdict.problems) == (True, "within tolerance", ())
    assert verdict.notes == ("track.geojson: bytes differ; made from the layers, not judged by itself",)
