"""``dronesense calibrate analyzer``: a made-up recording with planted truth, from the files to the record."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dronesense.cli import run_cli
from dronesense.cli.failures import EXIT_DONE, EXIT_NO_INPUT, EXIT_USAGE
from dronesense.model import GasCalibration, Response, SpeciesCalibration
from dronesense.readers import record as record_reader
from dronesense.timescale import to_iso
from dronesense.writers.record import to_toml

S = 1_000_000_000
START = 1_780_000_000
ZERO, SPAN, TAU_UP, TAU_DOWN, DELAY = 0.08, 0.97, 3.0, 7.0, 2.5
LEVELS = (0.0, 10.0, 0.0, 4.0)
HOLD_S = 240

INSTRUMENT = """schema = 1
id = "bench"
kind = "gas"
[time]
column = "t"
format = "unix"
zone = "UTC"
[columns]
"CH4 (ppb)" = { species = "CH4", unit = "ppb", basis = "dry" }
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A recording of zero air, 10 ppm, zero air, 4 ppm, each for 4 minutes, through a slow and late cell."""
    (tmp_path / "calibration" / "instruments").mkdir(parents=True)
    (tmp_path / "calibration" / "instruments" / "bench.toml").write_text(INSTRUMENT)
    fine = 0.01
    time = np.arange(0.0, HOLD_S * len(LEVELS), fine)
    air = np.array(LEVELS)[np.clip(((time - DELAY) // HOLD_S).astype(int), 0, None)]
    cell, state = [], 0.0
    rise, fall = 1.0 - math.exp(-fine / TAU_UP), 1.0 - math.exp(-fine / TAU_DOWN)
    for x in air.tolist():
        state += (rise if x > state else fall) * (x - state)
        cell.append(state)
    reading = ZERO + SPAN * np.array(cell)[::100]
    reading = reading + 0.01 * np.random.default_rng(0).standard_normal(reading.size)
    rows = [f"{START + k},{1000.0 * value:.3f}" for k, value in enumerate(reading.tolist())]
    (tmp_path / "bench.csv").write_text("\n".join(["t,CH4 (ppb)", *rows]) + "\n")
    return tmp_path


def stamp(second: float) -> str:
    return to_iso(round((START + second) * S))


def standards(folder: Path, *, response: bool = True, intervals: bool = False) -> Path:
    lines = ["schema = 1", 'note = "cylinders K-1 to K-3"', ""]
    for number, level in enumerate(LEVELS):
        first = number * HOLD_S
        within = f"start = {stamp(first + 80)}\nend = {stamp(first + HOLD_S - 2)}\n" if intervals else ""
        lines.append(
            f'[[standard]]\nspecies = "CH4"\nvalue = {level * 1e3}\nsigma = {level * 5.0}\n'
            f'unit = "ppb"\n{within}'
        )
    if response:
        times = ", ".join(stamp(HOLD_S * k) for k in (1, 2, 3))
        lines.append(f'[response]\nspecies = "CH4"\nswitched = [{times}]\nlevels = {list(LEVELS)}\n')
    path = folder / "standards.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("intervals", [False, True])
def test_planted_truth_comes_back(bench: Path, capsys: pytest.CaptureFixture[str], intervals: bool) -> None:
    path = standards(bench, intervals=intervals)
    target, picture = bench / "out" / "record.toml", bench / "fit.png"
    arguments = ["calibrate", "analyzer", str(bench / "bench.csv"), "--instrument", "bench"]
    arguments += ["--standards", str(path), "-o", str(target), "--picture", str(picture)]
    assert run_cli(arguments) == EXIT_DONE
    assert capsys.readouterr().out.strip() == str(target)
    record = record_reader.read(target)
    assert isinstance(record, GasCalibration)
    line, response = record.species["CH4"], record.response
    assert abs(line.zero - ZERO) < 3.0 * line.sigma_zero < 0.02
    assert abs(line.span - SPAN) < 3.0 * line.sigma_span < 0.02
    assert line.covariance < 0.0
    assert response.tau_s == pytest.approx(TAU_UP, rel=0.05)
    assert response.tau_down_s == pytest.approx(TAU_DOWN, rel=0.05)
    assert response.delay_s == pytest.approx(DELAY, rel=0.05)
    assert response.covariance_tau_delay < 0.0
    assert "K-1 to K-3" in record.note
    assert "bench.csv" in record.note
    assert "fitted together" in record.note
    assert record.valid_from > (START + 3 * HOLD_S) * S
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run_cli(arguments) == EXIT_USAGE, "a record is not replaced unasked"
    assert run_cli([*arguments, "--force"]) == EXIT_DONE


def test_record_goes_to_its_place(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)
    arguments = ["calibrate", "analyzer", "bench.csv", "--instrument", "bench", "--standards"]
    assert run_cli([*arguments, str(standards(bench, response=False))]) == EXIT_DONE
    day = stamp(HOLD_S * 4)[:10]
    record = record_reader.read(bench / "calibration" / "records" / "bench" / f"{day}.toml")
    assert isinstance(record, GasCalibration)
    assert record.response == Response()


def test_drift_is_refused_and_nothing_is_written(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (bench / "bench.csv").read_text().splitlines()
    drifting = [rows[0]]
    for number, row in enumerate(rows[1:]):
        time, value = row.split(",")
        drifting.append(f"{time},{float(value) + 0.5 * number}")
    (bench / "bench.csv").write_text("\n".join(drifting) + "\n")
    path = standards(bench, response=False, intervals=True)
    target = bench / "record.toml"
    code = run_cli(
        [
            "calibrate",
            "analyzer",
            str(bench / "bench.csv"),
            "--instrument",
            "bench",
            "--standards",
            str(path),
            "-o",
            str(target),
        ]
    )
    assert code == EXIT_NO_INPUT
    assert "drifts by" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('species = "CH4"', 'species = "CO2"', 'no "CO2"'),
        ("sigma = 50.0", "sigma = -50.0", "sigma and max_drift 0 or greater"),
        ('unit = "ppb"', 'unit = "pbb"', "unknown unit"),
        ("[[standard]]\n", "[[standard]]\nvalu = 3\n", 'unknown key "valu"'),
    ],
)
def test_bad_standards_are_named(
    bench: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    path = standards(bench, response=False)
    path.write_text(path.read_text().replace(old, new))
    code = run_cli(
        [
            "calibrate",
            "analyzer",
            str(bench / "bench.csv"),
            "--instrument",
            "bench",
            "--standards",
            str(path),
            "-o",
            str(bench / "r.toml"),
        ]
    )
    assert code == EXIT_USAGE
    assert message in capsys.readouterr().err


def test_times_of_switching_are_checked(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = standards(bench)
    path.write_text(path.read_text().replace(str(list(LEVELS)), "[0.0, 10.0]"))
    code = run_cli(
        [
            "calibrate",
            "analyzer",
            str(bench / "bench.csv"),
            "--instrument",
            "bench",
            "--standards",
            str(path),
            "-o",
            str(bench / "r.toml"),
        ]
    )
    assert code == EXIT_USAGE
    assert "2 levels for 3 switches" in capsys.readouterr().err


def test_record_is_written_to_the_last_bit(tmp_path: Path) -> None:
    record = GasCalibration(
        instrument='odd "name"\\',
        valid_from=1_780_000_000_123_456_000,
        species={"CH4": SpeciesCalibration(1.0 / 3.0, 1.0 + 1e-15, 1e-9, 2.0 / 3.0, -1e-10)},
        response=Response(1.1, 2.2, 0.3, 0.4, 5.5, 0.6, -0.07, -0.08),
        note="tab\tand ± and\nline",
    )
    path = tmp_path / "r.toml"
    path.write_text(to_toml(record, remarks=["one\ntwo"]), encoding="utf-8")
    back = record_reader.read(path)
    assert isinstance(back, GasCalibration)
    assert (back.species, back.response, back.note) == (record.species, record.response, record.note)
    assert (back.instrument, back.valid_from) == (record.instrument, record.valid_from)
    plain = GasCalibration("x", 0, response=Response(tau_s=2.0))
    path.write_text(to_toml(plain))
    again = record_reader.read(path)
    assert isinstance(again, GasCalibration)
    assert again.response == plain.response
