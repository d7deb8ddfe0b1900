"""As an analyst does it: standards on the bench before and after, a record and its picture, a flight with it.

The simulated analyser counts molecules in moist air: on the bench at 975 hPa and in the air at 890 hPa only
the corrected readings belong to one line.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dronesense.cli import run_cli
from dronesense.model import GasCalibration
from dronesense.readers import record as record_reader
from dronesense.timescale import parse_times, to_iso

Floats = NDArray[np.float64]

S = 1_000_000_000
DAY = 1_781_395_200  # 2026-06-14T00:00:00Z
TAU_UP, TAU_DOWN, DELAY = 4.0, 9.0, 3.0
LEVELS = np.array([0.0, 2.0, 10.0, 0.0, 5.0])
HOLD_S = 200
FINE_S = 0.02
SAMPLES = 900

INSTRUMENT = """schema = 1
id = "bench-ch4"
kind = "gas"
height_ref = "ellipsoid"
[time]
column = "t"
format = "unix"
zone = "UTC"
[columns]
"CH4 (ppb)" = { species = "CH4", unit = "ppb", basis = "wet" }
"P (hPa)" = { field = "pressure", unit = "hPa" }
"T (degC)" = { field = "temperature", unit = "degC" }
"H2O (ppm)" = { field = "water", unit = "ppm" }
lat = { field = "latitude", unit = "deg", optional = true }
lon = { field = "longitude", unit = "deg", optional = true }
alt = { field = "height", unit = "m", optional = true }
[correct.CH4]
ndir = true
dry = "dilution"
"""

MANIFEST = """schema = 1
[track]
path = "flight.csv"
instrument = "bench-ch4"
[terrain]
height_m = 100.0
[[gas]]
path = "flight.csv"
instrument = "bench-ch4"
clock_offset_s = 0.0
[[detect]]
target = "CH4"
species = "CH4"
false_alarms_per_hour = 1.0
"""


def in_cell(air: Callable[[Floats], Floats], seconds: int) -> Floats:
    """What a slow cell behind an inlet holds each second."""
    rise, fall = (1.0 - math.exp(-FINE_S / tau) for tau in (TAU_UP, TAU_DOWN))
    inlet = air(np.arange(0.0, seconds, FINE_S) - DELAY)
    state, cell = float(inlet[0]), []
    for now in inlet.tolist():
        state += (rise if now > state else fall) * (now - state)
        cell.append(state)
    return np.array(cell)[:: round(1.0 / FINE_S)]


def write(path: Path, start: int, read: Floats, columns: dict[str, Floats], seed: int) -> None:
    """Write what the analyser makes of a dry mole fraction *read*: number density in moist air, ppb."""
    pressure, celsius, water = columns["P (hPa)"], columns["T (degC)"], columns["H2O (ppm)"]
    raw = read * (1.0 - water * 1e-6) * (pressure / 1013.25) * (298.15 / (celsius + 273.15))
    raw = 1e3 * (raw + 0.006 * np.random.default_rng(seed).standard_normal(raw.size))
    table = {"t": start + np.arange(raw.size), "CH4 (ppb)": raw, **columns}
    rows = [",".join(f"{x:.11g}" for x in row) for row in zip(*table.values(), strict=True)]
    path.write_text("\n".join([",".join(table), *rows]) + "\n")


def bench(folder: Path, name: str, start: int, *, zero: float, span: float) -> list[str]:
    """Write a recording of standards; return the command that fits it."""
    seconds = HOLD_S * LEVELS.size

    def air(time: Floats) -> Floats:
        return np.asarray(LEVELS[np.clip((time // HOLD_S).astype(int), 0, LEVELS.size - 1)])

    one = np.ones(seconds)
    room = {"P (hPa)": 975.0 * one, "T (degC)": 22.0 * one, "H2O (ppm)": 400.0 * one}
    write(folder / f"{name}.csv", start, zero + span * in_cell(air, seconds), room, seed=start % 97)
    lines = ["schema = 1"]
    lines += [f'[[standard]]\nspecies = "CH4"\nvalue = {v}\nsigma = {0.002 * v}' for v in LEVELS.tolist()]
    times = ", ".join(to_iso((start + HOLD_S * k) * S) for k in range(1, LEVELS.size))
    lines.append(f'[response]\nspecies = "CH4"\nswitched = [{times}]\nlevels = {LEVELS.tolist()}')
    (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")
    command = ["calibrate", "analyzer", str(folder / f"{name}.csv"), "--instrument", "bench-ch4"]
    return [
        *command,
        "--standards",
        str(folder / f"{name}.toml"),
        "--calibration",
        str(folder / "calibration"),
    ]


def plumes(time: Floats) -> Floats:
    at = np.array([300.0, 500.0, 700.0])
    return np.asarray(2.0 + 3.0 * np.exp(-0.5 * ((time[:, None] - at) / 10.0) ** 2).sum(axis=1))


def off_truth(folder: Path, out: Path) -> Floats:
    """Run the flight; return what its CH4 is off the planted, without the ends."""
    assert run_cli(["run", str(folder), "-o", str(out)]) == 0
    with (out / "gas/CH4.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    time = parse_times([row["time_utc"] for row in rows], format="iso", zone=None)
    seconds = (time - (DAY + 7 * 3600 + 720) * S) / S
    value = np.array([float(row["CH4_ppm"]) for row in rows])
    inside = (seconds > 30.0) & (seconds < SAMPLES - 30.0)
    return np.asarray((value - plumes(seconds))[inside])


def test_from_the_bench_to_the_flight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "flight"
    (folder / "calibration/instruments").mkdir(parents=True)
    (folder / "calibration/instruments/bench-ch4.toml").write_text(INSTRUMENT)
    before = bench(folder, "before", DAY + 5 * 3600, zero=0.05, span=0.97)
    assert run_cli([*before, "--picture", str(folder / "before.png")]) == 0
    path = folder / "calibration/records/bench-ch4/2026-06-14.toml"
    assert capsys.readouterr().out.strip() == str(path)
    assert (folder / "before.png").read_bytes().startswith(b"\x89PNG")
    record = record_reader.read(path)
    assert isinstance(record, GasCalibration)
    line, found = record.species["CH4"], record.response
    assert line.zero == pytest.approx(0.05, abs=4.0 * line.sigma_zero)
    assert line.span == pytest.approx(0.97, abs=4.0 * line.sigma_span)
    assert line.sigma_span < 0.003
    assert len(line.standards) == LEVELS.size
    for stated, planted in ((found.tau_s, 4.0), (found.tau_down_s, 9.0), (found.delay_s, 3.0)):
        assert stated == pytest.approx(planted, rel=0.05)
    assert "CH4: readings corrected before (number density, dry: dilution)" in record.note

    time = np.arange(float(SAMPLES))
    height = 100.0 + 60.0 * np.clip((time - 50.0) / 200.0, 0.0, 1.0)
    air = {"P (hPa)": 900.0 * np.exp(-height / 8300.0), "T (degC)": 18.0 - 0.006 * height}
    air |= {"H2O (ppm)": 9000.0 + 1000.0 * np.sin(time / 100.0)}
    air |= {"lat": 60.0 + 1e-5 * np.abs((time % 240.0) - 120.0), "lon": 17.0 + 1e-6 * time, "alt": height}
    drifted = 0.07 + 0.96 * in_cell(plumes, SAMPLES)  # half way from (0.05, 0.97) to (0.09, 0.95)
    write(folder / "flight.csv", DAY + 7 * 3600 + 720, drifted, air, seed=3)
    (folder / "flight.toml").write_text(MANIFEST)
    by_one = off_truth(folder, tmp_path / "one")
    assert abs(by_one.mean()) < 0.006, (
        "20 ppb of zero and 1 % of span of drift, which cancel in part at 2 ppm"
    )
    assert np.abs(by_one).max() < 0.08

    after = bench(folder, "after", DAY + 9 * 3600, zero=0.09, span=0.95)
    assert run_cli(after) == 2, "a record of the same day is not replaced unasked"
    second = path.with_name("2026-06-14-after.toml")
    assert run_cli([*after, "-o", str(second)]) == 0
    path.write_text(path.read_text().replace("instrument =", 'after = "2026-06-14-after.toml"\ninstrument ='))
    by_both = off_truth(folder, tmp_path / "both")
    assert abs(by_both.mean()) < 0.001
    run = json.loads((tmp_path / "both/run.json").read_text("utf-8"))
    used = [each["path"] for each in run["inputs"] if each["role"] == "calibration record"]
    assert set(used) == {f"calibration/records/bench-ch4/{each.name}" for each in (path, second)}
    (told,) = run["statements"]["noise_and_limits"]
    assert "ISO 11843-2, 5 points" in told


def test_a_recording_that_gives_no_record_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five standards were stated, four were given: the picture shows which."""
    (tmp_path / "calibration/instruments").mkdir(parents=True)
    (tmp_path / "calibration/instruments/bench-ch4.toml").write_text(INSTRUMENT)
    command = bench(tmp_path, "before", DAY, zero=0.05, span=0.97)
    standards = tmp_path / "before.toml"
    standards.write_text(standards.read_text() + '[[standard]]\nspecies = "CH4"\nvalue = 7.0\n')
    assert run_cli([*command, "--picture", str(tmp_path / "fit.png")]) != 0
    told = capsys.readouterr().err
    assert "6 standards of CH4, but 5 plateaus" in told
    assert "The recording is drawn in" in told
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "calibration/records").exists()


def test_a_recording_without_the_pressure_leaves_the_species_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "calibration/instruments").mkdir(parents=True)
    bare = INSTRUMENT.replace('"P (hPa)" = { field = "pressure", unit = "hPa" }\n', "")
    (tmp_path / "calibration/instruments/bench-ch4.toml").write_text(bare)
    assert run_cli(bench(tmp_path, "before", DAY, zero=0.05, span=0.97)) != 0
    assert 'name a column with field = "pressure"' in capsys.readouterr().err


CELL = """schema = 1
id = "toxic"
kind = "gas"
[time]
column = "t"
format = "unix"
zone = "UTC"
[columns]
we = { field = "we", of = "A", unit = "mV" }
ae = { field = "ae", of = "A", unit = "mV" }
T = { field = "temperature", unit = "degC" }
CO = { species = "CO", unit = "ppm", basis = "wet" }
[correct.NO2]
cell = "202000001"
electrodes = "A"
algorithm = 1
"""

SHEET = """schema = 1
[cells.202000001]
type = "NO2-B4"
we_electronic_zero_mv = 295.0
ae_electronic_zero_mv = 290.0
we_sensor_zero_mv = 12.0
ae_sensor_zero_mv = 8.0
sensitivity_mv_ppb = 0.3
"""


def test_a_cell_is_calibrated_in_ppm_beside_another_gas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 20 degC n is 0.6: WE = 295 + 0.3 ppb + 0.6 (AE - 290). Planted: zero 10 ppb, span 0.9."""
    calibration = tmp_path / "calibration"
    for name, text in (("instruments/toxic.toml", CELL), ("electrochemical/cells/board.toml", SHEET)):
        (calibration / name).parent.mkdir(parents=True)
        (calibration / name).write_text(text)
    rng = np.random.default_rng(1)
    level = np.repeat([0.0, 0.5, 1.0], HOLD_S)
    auxiliary = 296.0 + np.linspace(0.0, 2.0, level.size)
    working = 295.0 + 0.3 * 1e3 * (0.01 + 0.9 * level) + 0.6 * (auxiliary - 290.0)
    working = working + 0.05 * rng.standard_normal(level.size)
    co = 20.0 * level + 0.02 * rng.standard_normal(level.size) + 1.0
    table = {
        "t": DAY + np.arange(level.size),
        "we": working,
        "ae": auxiliary,
        "T": 20.0 + 0.0 * level,
        "CO": co,
    }
    rows = [",".join(f"{x:.11g}" for x in row) for row in zip(*table.values(), strict=True)]
    (tmp_path / "bench.csv").write_text("\n".join([",".join(table), *rows]) + "\n")
    standards = ["schema = 1"]
    for species, scale in (("NO2", 1.0), ("CO", 20.0)):
        standards += [f'[[standard]]\nspecies = "{species}"\nvalue = {scale * v}' for v in (0.0, 0.5, 1.0)]
    (tmp_path / "standards.toml").write_text("\n".join(standards) + "\n")
    command = ["calibrate", "analyzer", str(tmp_path / "bench.csv"), "--instrument", "toxic", "--standards"]
    command += [str(tmp_path / "standards.toml"), "-o", str(tmp_path / "record.toml")]
    assert run_cli([*command, "--picture", str(tmp_path / "fit.png")]) == 0
    record = record_reader.read(tmp_path / "record.toml")
    assert isinstance(record, GasCalibration)
    assert record.species["NO2"].zero == pytest.approx(0.01, abs=1e-4)
    assert record.species["NO2"].span == pytest.approx(0.9, abs=1e-3)
    assert record.species["CO"].zero == pytest.approx(1.0, abs=0.01)
    assert "NO2: readings corrected before (cell 202000001, aan803-04)" in record.note
    assert {each.name for each in tmp_path.glob("*.png")} == {"fit.png", "fit-CO.png"}
