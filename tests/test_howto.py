"""The commands of the how-to pages run, in their order, on small flights."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dronesense.cli import cli

FOLDER = Path(__file__).parents[1] / "docs" / "howto"
ELSEWHERE = {"panel.md": "test_panel_command.py", "mount.md": "test_boresight.py"}
"""Pages whose command needs a flight of its own, and the test that reads and runs it."""


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(page: str) -> list[str]:
    lines = (FOLDER / page).read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith("dronesense ")]


def test_no_page_is_forgotten() -> None:
    assert {page.name for page in FOLDER.glob("*.md")} == {*PAGES, *ELSEWHERE, *WITHOUT}
    assert [command for page in WITHOUT for command in commands(page)] == []
    for page, test in ELSEWHERE.items():
        assert f"docs/howto/{page}" in Path(__file__).with_name(test).read_text("utf-8")


PAGES = (
    "card.md",
    "clocks.md",
    "threshold.md",
    "analyser.md",
    "maps.md",
    "dates.md",
    "hand-over.md",
    "scripts.md",
)
WITHOUT = ("terrain.md", "scene-signature.md")
"""Pages of blocks that tests/test_docs.py runs."""


@pytest.mark.parametrize("page", PAGES)
def test_a_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = _load("test_cluster").write_gas_flight
    write(tmp_path / "FLIGHT")
    write(tmp_path / "OTHER", day=1)
    monkeypatch.chdir(tmp_path)
    if page == "card.md":  # the card as it came, with a table that says what its columns are
        (tmp_path / "FLIGHT" / "raw").rename(tmp_path / "CARD")
        table = tmp_path / "CARD" / "gas.csv"
        plain, told = "time,CH4 (ppm),lat,lon,height", "timestamp,CH4 (ppm),latitude,longitude,height_m"
        table.write_text(table.read_text("utf-8").replace(plain, told), "utf-8")
        (tmp_path / "FLIGHT" / "flight.toml").unlink()
    if page == "hand-over.md":
        pytest.importorskip("cryptography")
    if page in ("hand-over.md", "maps.md"):
        assert CliRunner().invoke(cli, ["run", "FLIGHT"]).exit_code == 0
    given = commands(page)
    assert given
    for command in given:
        done = CliRunner().invoke(cli, shlex.split(command)[1:])
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"
        if "--json" in command:
            assert isinstance(json.loads(done.stdout), dict)
    if page == "card.md":
        assert (tmp_path / "FLIGHT" / "raw" / "gas.csv").is_file()
        assert json.loads((tmp_path / "FLIGHT/products/hotspots.geojson").read_text("utf-8"))["features"]
    if page == "maps.md":
        made = {"hotspots.kmz", "hotspots.fgb", "hotspots.stac.json", "hotspots.cot.zip"}
        assert made <= {path.name for path in (tmp_path / "FLIGHT" / "products").iterdir()}
    if page == "dates.md":
        assert (tmp_path / "CAMPAIGN" / "campaign.geojson").is_file()
    if page == "hand-over.md":
        assert (tmp_path / "case.zip").stat().st_size > 0
