"""``dronesense calibrate panel``: where the panel is, what each band tells, how sure; truth is planted."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import dronesense as ds
from dronesense.cli import cli


def _flights() -> Any:
    path = Path(__file__).with_name("radiometry_flights.py")
    spec = importlib.util.spec_from_file_location("radiometry_flights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


flights = _flights()
ROWS, SAMPLES = (18, 42), (8, 16)
"""Of the panel in a capture that shows ground around it."""
REGION = ("--rows", "18", "42", "--samples", "8", "16")


def captured(folder: Path, *, seed: int = 0, noise: float = 3.0, level: float = 1.0) -> Any:
    """Write a capture of the gray panel on darker ground, its spectrum (1 %), and a dark."""
    scanner = flights.Scanner(folder, seed=seed, noise=noise)
    scanner.darks(10.0)
    rho = np.full((60, flights.BANDS, flights.SAMPLES), 0.08)
    rho[slice(*ROWS), :, slice(*SAMPLES)] = level * flights.gray(flights.NM)[None, :, None]
    scanner.write("panel", scanner.counts(rho, np.full(60, flights.START_S)))
    scanner.spectrum("gray", flights.gray(flights.NM), sigma=0.01)
    return scanner


def run(folder: Path, *options: str) -> tuple[int, str, str]:
    raw = folder / "raw"
    common = [str(raw / "panel.bil.hdr"), "--reflectance", str(raw / "gray.csv")]
    found = CliRunner().invoke(cli, ["calibrate", "panel", *common, *options])
    return found.exit_code, found.stdout, found.stderr or str(found.exception)


def checked(folder: Path, *options: str) -> dict[str, Any]:
    dark = ["--dark", str(folder / "raw/dark_10.bil.hdr")]
    code, said, error = run(folder, *dark, "--json", *options)
    assert code == 0, error
    told: dict[str, Any] = json.loads(said)
    return told


def test_the_panel_is_found_and_its_level_is_that_of_the_detector(tmp_path: Path) -> None:
    scanner = captured(tmp_path)
    told = checked(tmp_path)
    for found, planted in ((told["rows"], ROWS), (told["samples"], SAMPLES)):
        assert planted[0] <= found[0] < found[1] <= planted[1]  # within the panel, an inset left out
        assert found[1] - found[0] >= 0.5 * (planted[1] - planted[0])
    truth = 1.0 / (10.0 * scanner.response[:, slice(*told["samples"])].mean(axis=1))
    np.testing.assert_allclose(told["per_level"], truth, rtol=2e-3)
    np.testing.assert_allclose(told["sigma"], 0.01, rtol=0.05)  # that of the panel: noise is small
    assert told["reasons"] == [""] * flights.BANDS
    assert max(told["spread"]) < 0.01


@pytest.mark.once
def test_the_stated_sigma_covers_the_truth(tmp_path: Path) -> None:
    """60 panels whose reflectance is off by a draw of its stated 1 %, in noise that adds about as much."""
    rng = np.random.default_rng(1)
    z = []
    for seed in range(60):
        folder = tmp_path / str(seed)
        scanner = captured(folder, seed=seed, noise=300.0)
        scanner.spectrum("gray", flights.gray(flights.NM) * (1.0 + 0.01 * rng.normal()), sigma=0.01)
        told = checked(folder, *REGION)
        truth = 1.0 / (10.0 * scanner.response[:, 8:16].mean(axis=1))
        z.append((np.array(told["per_level"]) / truth - 1.0)[0] / told["sigma"][0])
    assert (
        0.55 <= np.mean(np.abs(z) <= 1.0) <= 0.9
    )  # the noise of single samples is stated, their mean is better
    assert np.mean(np.abs(z) <= 1.96) >= 0.9


def test_the_line_for_flight_toml_calibrates_a_run(tmp_path: Path) -> None:
    scanner = captured(tmp_path)
    scanner.spectrum("paint", flights.paint(flights.NM), sigma=0.01)
    scanner.write("line", scanner.counts(scanner.scene(), scanner.lines()), scanner.lines())
    line = checked(tmp_path)["flight_toml"].replace(tmp_path.as_posix() + "/", "")
    told = tomllib.loads(line)
    assert told["dark"] == "raw/dark_10.bil.hdr"
    assert set(told["panel"]) == {"path", "reflectance", "rows", "samples"}
    scanner.manifest(line)
    layer = ds.process(ds.open_flight(tmp_path))
    cube = layer.cubes[0].cube
    assert cube.quantity == "reflectance"
    values = cube.source.read(0, flights.LINES)[0].mean(axis=(0, 2))
    truth = scanner.scene().mean(axis=(0, 2))
    np.testing.assert_allclose(values, truth, rtol=0.2)  # one gain a band: the samples' own response stays in


def test_what_it_says_is_for_people(tmp_path: Path) -> None:
    captured(tmp_path)
    code, said, _ = run(tmp_path, "--lang", "en", "--dark", str(tmp_path / "raw/dark_10.bil.hdr"))
    assert code == 0
    assert re.search(r"Panel: panel found in rows \d+ to \d+, samples \d+ to \d+", said)
    assert "Bands that can be used: 12 of 12" in said
    assert len(re.findall(r"^ +\d+ +\d{3} ", said, re.MULTILINE)) == 12
    assert "Пригодные каналы: 12 из 12" in run(tmp_path, "--lang", "ru")[1]
    assert "Warning: no dark capture" in run(tmp_path, "--lang", "en")[1]


def test_a_saturated_or_unknown_band_is_named_and_left_out(tmp_path: Path) -> None:
    scanner = captured(tmp_path, level=1.0)
    counts = (
        np.fromfile(tmp_path / "raw/panel.bil", dtype="<u2")
        .reshape(60, flights.BANDS, flights.SAMPLES)
        .copy()
    )
    counts[:, 3] = flights.SATURATION
    scanner.write("panel", counts)
    nm = np.arange(600.0, 921.0, 5.0)
    rows = [
        f"{w:g},{v:.6f},0.005"
        for w, v in zip(nm, np.interp(nm, flights.NM, flights.gray(flights.NM)), strict=True)
    ]
    (tmp_path / "raw/gray.csv").write_text("\n".join(["wavelength_nm,reflectance,sigma", *rows, ""]), "utf-8")
    told = checked(
        tmp_path, "--instrument", "scanner", "--calibration", str(tmp_path / "calibration"), *REGION
    )
    known = np.asarray(flights.NM) > 605.0
    expected = ["" if each else "reflectance of the panel not known" for each in known]
    assert told["reasons"][4:] == expected[4:]
    assert told["reasons"][3] == "reflectance of the panel not known"
    assert told["per_level"][3] is None
    scanner.spectrum("gray", flights.gray(flights.NM), sigma=0.01)
    told = checked(
        tmp_path, "--instrument", "scanner", "--calibration", str(tmp_path / "calibration"), *REGION
    )
    assert told["reasons"] == ["saturated" if band == 3 else "" for band in range(flights.BANDS)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rows", "10", "90"], "rows 10 to 90 are not in its 60"),
        (["--samples", "6", "99"], "samples 6 to 99 are not in its 24"),
        (["--instrument", "scaner", "--calibration", "CAL"], 'did you mean "scanner"'),
        (["--whole", "--rows", "1", "5"], "not both"),
        (["--instrument", "licor-li7810"], "is no camera"),
        (["--instrument", "example-line-scanner"], "has 256 samples, the capture 24"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path: Path, options: list[str], words: str) -> None:
    captured(tmp_path)
    code, _, error = run(tmp_path, *[each.replace("CAL", str(tmp_path / "calibration")) for each in options])
    assert code != 0
    assert words in error


def test_a_capture_that_shows_no_edge_of_a_panel_is_doubted(tmp_path: Path) -> None:
    scanner = captured(tmp_path)
    ground = np.full((60, flights.BANDS, flights.SAMPLES), 0.08)
    scanner.write("panel", scanner.counts(ground, np.full(60, flights.START_S)))
    assert "no edge of a panel is in sight" in checked(tmp_path)["warnings"][0]
    assert checked(tmp_path, "--whole")["warnings"] == []


def test_dark_and_panel_swapped_are_told(tmp_path: Path) -> None:
    captured(tmp_path)
    raw = tmp_path / "raw"
    command = ["calibrate", "panel", str(raw / "dark_10.bil.hdr"), "--reflectance", str(raw / "gray.csv")]
    found = CliRunner().invoke(cli, [*command, "--dark", str(raw / "panel.bil.hdr"), "--whole"])
    assert "not brighter than the dark" in str(found.exception)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/howto/panel.md has in a block."""
    captured(tmp_path)
    raw = tmp_path / "raw"
    for name in ("bil", "bil.hdr"):
        shutil.copy(raw / f"dark_10.{name}", raw / f"dark.{name}")
    shutil.copy(raw / "gray.csv", raw / "panel.csv")
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[1].joinpath("docs/howto/panel.md").read_text("utf-8")
    (block,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    (command,) = block.splitlines()
    done = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert "Bands that can be used: 12 of 12" in done.output
