"""The command line: exit codes, where words and results go, what a wrong folder is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dronesense.cli import COMMANDS, run_cli
from dronesense.cli.failures import EXIT_IO, EXIT_NO_INPUT, EXIT_USAGE, exit_code
from dronesense.errors import EvidenceError, ManifestError, ReadError


def test_every_command_of_the_table_loads_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name, line in COMMANDS.items():
        assert run_cli([name, "--help"]) == 0
        assert line.split(":")[0].split()[0].lower()[:4] in capsys.readouterr().out.lower()


def test_help_imports_neither_numpy_nor_rasterio() -> None:
    code = (
        "import sys; from dronesense.cli import run_cli; run_cli(['--help']); "
        "print({'numpy', 'rasterio'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("set()")
    assert "inspect" in out


def test_unknown_option_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["run", "--treshold", "x"]) == EXIT_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "treshold" in captured.err


def test_plugins_lists_the_built_ins(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["plugins", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert set(table["dronesense.detectors"]) >= {"sam", "mf", "ace"}
    assert "ardupilot" in table["dronesense.readers.trajectory"]
    assert table["dronesense.writers"]["geojson"].startswith("dronesense ")


def test_a_folder_with_nothing_usable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a flight")
    assert run_cli(["run", str(tmp_path)]) == EXIT_NO_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nothing usable" in captured.err
    assert not (tmp_path / "products").exists()


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["run", str(tmp_path / "nowhere")]) == EXIT_NO_INPUT
    assert "no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = 1\n[track]\npath = 'x.BIN'\nsauce = 'POS'\n", ["sauce", 'did you mean "source"']),
        ("schema = 2\n", ["schema = 2"]),
        ("schema = 1\n[[detect]]\ntarget = 'CH4'\n", ["species", "signature"]),
        (
            "schema = 1\n[[detect]]\ntarget='x'\nspecies='CH4'\nfalse_alarm_rate=1e-5\n",
            ["false_alarm_rate", "gas rule"],
        ),
        ("schema = 1\n[track\n", ["flight.toml"]),
        ("schema = 1\n[track]\npath = 'absent.BIN'\n", ["absent.BIN", "names no file"]),
        ("schema = 1\n[track]\npath = 'x.BIN'\nsigma = { clock_s = -1.0 }\n", ["clock_s", ">= 0"]),
    ],
)
def test_a_wrong_manifest_names_file_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    (tmp_path / "flight.toml").write_text(text, encoding="utf-8")
    assert run_cli(["run", str(tmp_path)]) == EXIT_USAGE
    message = capsys.readouterr().err
    assert "flight.toml" in message
    for word in words:
        assert word in message


def test_exit_codes_by_kind_of_error() -> None:
    locked = EvidenceError("locked by another run")
    locked.locked = True  # type: ignore[attr-defined]
    assert exit_code(ManifestError("x")) == EXIT_USAGE
    assert exit_code(ReadError("x")) == EXIT_NO_INPUT
    assert exit_code(PermissionError(13, "denied", "f")) == EXIT_IO
    assert exit_code(EvidenceError("x")) == EXIT_IO
    assert exit_code(locked) == 6
    assert exit_code(KeyError("x")) == 1


def test_a_legacy_console_does_not_stop_the_summary() -> None:
    code = (
        "from dronesense.cli import prepare_environment as p; p(); import click; click.echo('±5 Қазақстан')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={"PYTHONIOENCODING": "cp866"}, check=False
    )
    assert done.returncode == 0, done.stderr


SUBTITLES = """1
00:00:00,000 --> 00:00:01,000
HOME(9.0000,48.0000) 2026.06.14 10:00:00
GPS(9.0001,48.0001,12) BAROMETER:10.0

2
00:00:01,000 --> 00:00:02,000
HOME(9.0000,48.0000) 2026.06.14 10:00:01
GPS(9.0002,48.0002,12) BAROMETER:10.5
"""


def test_a_single_log_is_asked_for_what_it_does_not_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "DJI_0001.SRT"
    path.write_text(SUBTITLES, "utf-8")
    assert run_cli(["inspect", str(path)]) == EXIT_NO_INPUT
    assert "set tz" in capsys.readouterr().err
    assert run_cli(["inspect", str(path), "--tz", "+05:00", "--json"]) == 0
    track = json.loads(capsys.readouterr().out)["track"]
    assert track["start"].startswith("2026-06-14T05:00:00")
    assert [source["kind"] for source in track["sources"]] == ["subtitle"]
    assert run_cli(["inspect", str(tmp_path), "--tz", "UTC"]) == EXIT_USAGE
    assert run_cli(["inspect", str(path), "--date", "14.06.2026"]) == EXIT_USAGE
