"""The commands of the tutorials run, in their order, on a small flight."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dronesense.cli import cli

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
CARD, FLIGHT, HOTSPOT = "E:\\", "D:\\flights\\2026-06-14-steppe", "3fa1c2d4e5b6"
INLINE = re.compile(r"`(dronesense [^`]+)`")


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(page: str) -> list[str]:
    """Return the commands of a page, those in blocks and those with arguments in the text, in their order."""
    text = (FOLDER / page).read_text("utf-8")
    lines = [line.strip() for line in text.splitlines()]
    found = []
    for line in lines:
        inside = [line] if line.startswith("dronesense ") else INLINE.findall(line)
        found += [each for each in inside if len(each.split()) > 2]
    return found


def run(command: str, places: dict[str, str]) -> str:
    for word, place in places.items():
        command = command.replace(word, shlex.quote(place))
    done = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert done.exit_code == 0, f"{command}\n{done.output}"
    return done.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flight: Path = _load("test_cluster").write_gas_flight(tmp_path_factory.mktemp("made") / "one")
    return flight


def test_the_day_of_a_field_team(made: Path, tmp_path: Path) -> None:
    given, flight = commands("field.md"), tmp_path / "2026-06-14-steppe"
    assert [each.split()[1] for each in given] == ["ingest", "inspect", "run", "hotspots"]
    places = {CARD + " ": f"{made / 'raw'} ", FLIGHT: str(flight)}
    said = run(given[0].replace(CARD + " ", f"{made / 'raw'} "), {FLIGHT: str(flight)})
    assert (flight / "raw" / "gas.csv").exists(), said
    for name in ("flight.toml", "calibration"):  # a bare table does not say what its columns are
        source = made / name
        shutil.copytree(source, flight / name) if source.is_dir() else shutil.copy(source, flight / name)
    del places[CARD + " "]
    assert "CH4" in run(given[1], places)
    assert "CH4" in run(given[2], places)
    layer = json.loads((flight / "products" / "hotspots.geojson").read_text("utf-8"))
    run(given[3], {**places, HOTSPOT: layer["features"][0]["id"]})
    assert "valve leaks" in (flight / "products" / "hotspots.reviews.jsonl").read_text("utf-8")


def test_the_formats_of_a_gis_user(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = tmp_path / "one"
    shutil.copytree(made, flight)
    run(f"dronesense run {shlex.quote(str(flight))}", {})
    monkeypatch.chdir(flight)
    given = commands("gis.md")
    assert len(given) == 4
    before = set(flight.rglob("*"))
    for command in given:
        run(command, {})
    assert len(set(flight.rglob("*")) - before) >= len(given)
