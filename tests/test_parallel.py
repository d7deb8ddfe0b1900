"""Flights at a time: every task answered, a process that dies costs its own task, no mixed-up products."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dronesense.cli import cli, run_cli
from dronesense.cli.parallel import each_in_a_process
from dronesense.errors import DronesenseError
from dronesense.synthetic import write_flight

DIES = "__import__('os').kill(__import__('os').getpid(), 9)"


def test_every_task_is_answered_and_errors_come_back() -> None:
    tasks = [("1 + 1",), ("1 / 0",), ("'a' * 3",)]
    found = {number: (result, error) for number, result, error in each_in_a_process(eval, tasks, jobs=2)}
    assert (found[0], found[2]) == ((2, None), ("aaa", None))
    assert isinstance(found[1][1], ZeroDivisionError)


def test_a_process_that_dies_takes_no_other_task_with_it() -> None:
    tasks = [(f"{n} * 10",) for n in range(4)]
    tasks.insert(2, (DIES,))
    found = {number: (result, error) for number, result, error in each_in_a_process(eval, tasks, jobs=2)}
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert [found[n][0] for n in (0, 1, 3, 4)] == [0, 10, 20, 30]
    assert isinstance(found[2][1], DronesenseError)
    assert "has died" in found[2][1].what


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flight(tmp_path_factory.mktemp("made") / "one", seed=1)


def test_flights_of_one_name_do_not_replace_each_other(tmp_path: Path, flight: Path) -> None:
    for day in ("monday", "tuesday"):
        shutil.copytree(flight, tmp_path / day / "one")
    given = [str(tmp_path / day / "one") for day in ("monday", "tuesday")]
    done = CliRunner().invoke(cli, ["run", *given, "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "would both be written" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.once
def test_what_failed_is_in_the_list(tmp_path: Path, flight: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "flight.toml").write_text('schema = 1\n[track]\npath = "missing.BIN"\n', encoding="utf-8")
    good = tmp_path / "good"
    shutil.copytree(flight, good)
    done = CliRunner().invoke(
        cli, ["run", str(bad), str(good), "--jobs", "2", "--json", "-o", str(tmp_path / "out")]
    )
    told = json.loads(done.stdout)
    assert [each["flight"] for each in told["failed"]] == [str(bad)]
    assert told["failed"][0]["what"]
    assert len(told["flights"]) == 1
    assert (tmp_path / "out" / "good" / "run.json").is_file()


def test_a_list_of_one_has_its_folder_below(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "flight.toml").write_text('schema = 1\n[track]\npath = "missing.BIN"\n', encoding="utf-8")
    given = tmp_path / "again.txt"
    given.write_text(f"{bad}\n\n", encoding="utf-8")
    assert run_cli(["run", "--list", str(given), "-o", str(tmp_path / "out")]) == 2
    assert "1 of 1 flights, 1 failed" in capsys.readouterr().err
    listed = json.loads((tmp_path / "out" / "failures.json").read_text("utf-8"))
    assert [row["flight"] for row in listed["failed"]] == [str(bad)]
    assert run_cli(["run"]) == 2
    assert "no flights are given" in capsys.readouterr().err
