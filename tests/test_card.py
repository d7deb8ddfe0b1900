"""``dronesense run CARD``: a card is never written to, whatever is found on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dronesense.cli import cli
from dronesense.cli.products import own_name
from dronesense.manifest import is_card, open_flight


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A folder as devices leave it: one table with places and gas, and a note."""
    folder = tmp_path / "E" / "LOG"
    folder.mkdir(parents=True)
    rows = [
        f"2026-06-14T07:{s // 60:02d}:{s % 60:02d}Z,{45 + s * 1e-5:.7f},9.0,{100 + s % 3},{2 + s % 7 / 100}"
        for s in range(400)
    ]
    text = "\n".join(["timestamp,latitude,longitude,height_m,CH4 (ppm)", *rows, ""])
    (folder / "gas.csv").write_text(text, "utf-8")
    (folder / "readme.txt").write_text("bought in May\n", "utf-8")
    return folder


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *sorted(folder.rglob("*")))
    }


def run(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(cli, ["run", *arguments])
    return found.exit_code, found.stdout, found.stderr


def test_products_of_a_card_go_to_a_folder_here(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "desk"
    here.mkdir()
    monkeypatch.chdir(here)
    before = state(card.parent)
    code, said, error = run(str(card), "--json")
    assert code == 0, error
    told = json.loads(said)
    (made,) = here.iterdir()
    assert made.name == f"flight_2026-06-14_0700Z_{told['run_id'][:8]}"
    assert Path(told["directory"]) == made
    assert "CH4 in gas.csv: 1 per hour stated" in told["statements"]["false_alarms"][0]  # it was searched
    assert (made / "hotspots.geojson").is_file()
    assert state(card.parent) == before
    assert json.loads(run(str(card), "--json")[1])["up_to_date"] is True
    other = tmp_path / "other"
    assert run(str(card), "-o", str(other))[0] == 0
    assert state(card.parent) == before


def test_from_on_the_card_a_folder_has_to_be_named(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(card.parent)
    for place, path in ((card, "."), (card, str(card)), (card / ".", "../LOG")):
        monkeypatch.chdir(place)
        code, _, error = run(path)
        assert code == 2
        assert "taken for a card" in error
        assert "-o" in error
    assert state(card.parent) == before


def test_several_cards_need_a_named_folder(card: Path, tmp_path: Path) -> None:
    second = Path(shutil.copytree(card, tmp_path / "second"))
    code, _, error = run(str(card), str(second))
    assert (code, "with -o" in error) == (2, True)
    assert run(str(card), str(second), "-o", str(tmp_path / "out"))[0] == 0
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["LOG", "second"]


@pytest.mark.parametrize("part", ["raw", "calibration", "flight.toml"])
def test_what_people_make_is_no_card(card: Path, part: str) -> None:
    assert is_card(card)
    assert not is_card(card / "gas.csv")
    (card / part).mkdir()
    assert not is_card(card)


def test_a_run_that_sought_nothing_says_so(card: Path, tmp_path: Path) -> None:
    (card / "flight.toml").write_text(
        'schema = 1\n[track]\npath = "gas.csv"\nreader = "csv"\ninstrument = "generic-csv"\n'
        '[[gas]]\npath = "gas.csv"\n',
        "utf-8",
    )
    code, _, error = run(str(card), "-o", str(tmp_path / "out"))
    assert code == 0, error
    assert "nothing was sought" in error


def test_a_flight_of_which_no_time_is_known_is_named_by_its_run(card: Path) -> None:
    import dataclasses

    flight = open_flight(card)
    bare = dataclasses.replace(flight, trajectory=None, gas=())
    assert own_name(bare, "0123456789abcdef") == "flight_01234567"
