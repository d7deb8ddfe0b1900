"""A run that would only repeat a finished one does nothing and says so; any difference makes it run."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dronesense import evidence
from dronesense.cli import cli, run_cli
from dronesense.cli.products import make_products
from dronesense.errors import EvidenceError
from dronesense.evidence import custody, fresh
from dronesense.manifest import open_flight

_SPEC = importlib.util.spec_from_file_location("test_cluster", Path(__file__).with_name("test_cluster.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
_CLUSTER = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_CLUSTER)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flight: Path = _CLUSTER.write_gas_flight(tmp_path_factory.mktemp("made") / "one")
    make_products(flight, flight / "products")
    return flight


@pytest.fixture
def flight(done: Path, tmp_path: Path) -> Path:
    """A flight with its products, to be spoiled; elsewhere than where it was run."""
    return Path(shutil.copytree(done, tmp_path / "one"))


def why(flight: Path, *, language: str = "en") -> str | None:
    """Return why the flight would be run again; None: it would not."""
    opened = open_flight(flight)
    told, reason = fresh.sealed(opened, flight / "products", evidence.hash_inputs(opened), language=language)
    return None if told is not None else reason


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_an_unchanged_flight_is_up_to_date_and_nothing_is_touched(flight: Path) -> None:
    before = state(flight)
    assert why(flight) is None
    found = CliRunner().invoke(cli, ["run", str(flight), "--json"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["up_to_date"] is True
    assert state(flight) == before
    said = CliRunner().invoke(cli, ["run", str(flight)])
    assert "Up to date: nothing has changed since this run" in said.stdout


def test_what_it_tells_is_what_the_run_told(flight: Path) -> None:
    again = make_products(flight, flight / "products", again=True)
    told = make_products(flight, flight / "products")
    assert (again.up_to_date, told.up_to_date) == (False, True)
    one, other = (json.loads(json.dumps(each.to_json())) for each in (again, told))
    for each in (one, other):
        del each["up_to_date"], each["renewed"]
    assert one == other


def test_again_runs_anew(flight: Path) -> None:
    before = (flight / "products" / "run.json").stat().st_mtime_ns
    found = CliRunner().invoke(cli, ["run", str(flight), "--again", "--json"])
    assert json.loads(found.stdout)["up_to_date"] is False
    assert (flight / "products" / "run.json").stat().st_mtime_ns > before


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def other_versions(flight: Path) -> None:
    path = flight / "products" / "run.json"
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    told["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(told), encoding="utf-8")


def other_code(flight: Path) -> None:
    path = flight / "products" / "run.json"
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    told["environment"]["code_sha256"] = "0" * 64
    path.write_text(json.dumps(told), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: edit(f / "raw/gas.csv", "\n", "\n\n"), "gas.csv has changed"),
        (lambda f: edit(f / "flight.toml", "height_m = 200.0", "height_m = 201.0"), "has changed"),
        (other_versions, "another version of numpy"),
        (other_code, "files of dronesense or its plug-ins have changed"),
        (lambda f: (f / "products/hotspots.geojson").unlink(), "not as it wrote them"),
        (lambda f: edit(f / "products/hotspots.geojson", "{", " {"), "not as it wrote them"),
        (lambda f: shutil.rmtree(f / "products"), ""),
    ],
)
def test_any_difference_makes_it_run(flight: Path, spoil: Any, reason: str) -> None:
    spoil(flight)
    found = why(flight)
    assert found is not None
    assert reason in found
    made = make_products(flight, flight / "products")
    assert (made.up_to_date, made.renewed) == (False, found)
    assert why(flight) is None


@pytest.mark.parametrize(("text", "reason"), [("{", "not JSON"), ('{"schema": "2"}', "schema"), (None, "")])
def test_a_folder_without_a_sound_manifest_is_not_up_to_date(
    flight: Path, text: str | None, reason: str
) -> None:
    path = flight / "products" / "run.json"
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    found = why(flight)
    assert found is not None
    assert reason in found


def test_another_language_makes_it_run(flight: Path) -> None:
    assert why(flight, language="ru") == "page and report are wanted in another language"
    make_products(flight, flight / "products", language="ru")
    assert why(flight, language="ru") is None


def test_a_disk_without_room_is_refused_before_any_work(
    flight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    with pytest.raises(
        EvidenceError, match=r"0\.01 GB are free on the disk; the products may take up to 0\.05"
    ):
        make_products(flight, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
    assert make_products(flight, flight / "products").up_to_date  # which needs no room


def test_decisions_and_touched_files_do_not(flight: Path) -> None:
    os.utime(flight / "raw" / "gas.csv", (1.0, 1.0))  # the same bytes, copied with another date
    (flight / "products" / "hotspots.reviews.jsonl").write_text("", encoding="utf-8")
    assert why(flight) is None


def noted(flight: Path, action: str) -> None:
    custody.append(flight / custody.NAME, action, utc="2026-05-01T10:00:00Z", actor="Anna", tool="test")


def test_lines_about_a_finished_run_do_not_make_it_stale_but_a_changed_log_does(flight: Path) -> None:
    noted(flight, "handed on")  # the run knew no log
    assert why(flight) is None
    make_products(flight, flight / "products", again=True)
    log, head = flight / custody.NAME, flight / f"{custody.NAME}.head"
    before = log.read_bytes(), head.read_bytes()
    noted(flight, "stamped")
    noted(flight, "handed to the laboratory")
    assert why(flight) is None
    for spoil in (lambda: log.write_bytes(log.read_bytes().replace(b"Anna", b"Olga")), log.unlink):
        spoil()
        assert "the custody log" in str(why(flight))
    head.unlink()
    noted(flight, "another beginning")
    assert "does not go on from where it stood" in str(why(flight))
    log.write_bytes(before[0])
    head.write_bytes(before[1])
    assert why(flight) is None


def test_a_signature_stays_with_the_run_that_it_is_for(flight: Path) -> None:
    products = flight / "products"
    key = flight.parent / "anna.key"
    assert run_cli(["evidence", "keygen", str(key)]) == 0
    assert run_cli(["sign", str(flight), "--key", str(key)]) == 0
    assert why(flight) is None
    signed = (products / "run.json").read_bytes()
    make_products(flight, products, again=True)
    assert run_cli(["verify", str(flight)]) == 0  # it was INVALID: of another run.json
    assert not (products / "run.json.sig").exists()
    kept = f"run.kept-{hashlib.sha256(signed).hexdigest()[:8]}.json"
    assert (products / kept).read_bytes() == signed
    for name in ("run.json.sig", "run.json.pub.pem"):
        assert (products / name.replace("run.json", kept)).is_file()
    assert why(flight) is None


def test_a_package_that_only_one_of_the_runs_had_is_another_version() -> None:
    before = dict(evidence.manifest.versions())
    assert fresh._other_versions({"versions": before}) == ""
    assert "version of gone" in fresh._other_versions({"versions": {**before, "gone": "1.0"}})
    lost = before.pop("numpy")
    assert lost
    assert "version of numpy" in fresh._other_versions({"versions": before})
