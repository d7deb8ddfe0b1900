"""Every command that the documentation writes is one that the program has; those in blocks are run."""

from __future__ import annotations

import glob
import importlib.util
import json
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from dronesense.cli import cli
from dronesense.model import GasCalibration
from dronesense.readers import record as record_reader

ROOT = Path(__file__).parents[1]
ROOMS = ("calibration", "flights", "notebooks")
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(ROOT / room / "README.md" for room in ROOMS)]
)
CODE = re.compile(r"^(?P<fence> *```).*?^(?P=fence)$|(?<=\n\n)(?: {4}.+\n)+", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(?P<command>dronesense [^`]+)`")
RUN = {
    "docs/evidence.md": "test_an_evidence_chain",
    "docs/methods/gas-calibration.md": "test_a_bench",
    "docs/methods/planning.md": "test_plans",
    "docs/scale.md": "test_many_flights",
}
"""Pages whose blocks are run here, with their tests; tutorials and how-tos have modules of their own."""


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: str) -> list[str]:
    """Return the commands in blocks of a page, in their order."""
    text = (ROOT / page).read_text("utf-8")
    lines = [line.strip() for match in CODE.finditer(text) for line in match[0].splitlines()]
    return [line for line in lines if line.startswith("dronesense ")]


def written() -> list[tuple[str, str]]:
    """Return (page, command) of all commands of all pages, in blocks and in the text."""
    found = []
    for path in PAGES:
        page = path.relative_to(ROOT).as_posix()
        found += [(page, line) for line in blocks(page)]
        found += [
            (page, match["command"]) for match in INLINE.finditer(CODE.sub("", path.read_text("utf-8")))
        ]
    return found


def wrong(command: str) -> str:
    """Return what the program does not know of *command*; nothing where it knows all of it."""
    given = shlex.split(command.replace("\\", "/").replace("[", "").replace("]", ""), comments=True)[1:]
    at: click.Command = cli
    while given and isinstance(at, click.Group):
        ways = given.pop(0).split("|")
        if ways == ["..."] or ways[0].startswith("-"):
            break
        known = [at.get_command(click.Context(at), way) for way in ways]
        if None in known:
            return f"no command {'|'.join(ways)}"
        (at, *_) = [each for each in known if each is not None]
    options = {name: each for each in at.params for name in each.opts + each.secondary_opts}
    options |= dict.fromkeys(("-h", "--help", "--version"), click.Option(["--help"], is_flag=True))
    for word, after in pairwise([*given, ""]):
        if word.startswith("-") and len(word) > 1:
            if word not in options:
                return f"no option {word}"
            kind = options[word].type
            if isinstance(kind, click.Choice) and not after.isupper() and after not in kind.choices:
                return f"no {word} {after}"
    return ""


def test_what_is_wrong_is_seen() -> None:
    assert wrong("dronesense run FLIGHT -o OUT --jobs 4  # here") == ""
    assert wrong("dronesense hotspots confirm|reject") == ""
    assert wrong("dronesense fly FLIGHT") == "no command fly"
    assert wrong("dronesense hotspots forget ID") == "no command forget"
    assert wrong("dronesense run FLIGHT --fast") == "no option --fast"
    assert wrong("dronesense convert LAYER -f FORMAT [-o OUT]") == ""
    assert wrong("dronesense convert LAYER -f shp") == "no -f shp"


def test_every_command_exists_with_its_options() -> None:
    found = written()
    assert len(found) > 60
    assert [(page, command, what) for page, command in found if (what := wrong(command))] == []


def test_blocks_of_every_page_are_run() -> None:
    with_blocks = {page for page, _ in written() if blocks(page)}
    others = {page for page in with_blocks if page.startswith(("docs/tutorials/", "docs/howto/"))}
    assert with_blocks - others == set(RUN)
    assert len(others) > 5
    assert set(RUN.values()) <= set(globals())


def filled(word: str) -> list[str]:
    """Return the paths that a shell puts in for *word*."""
    return sorted(glob.glob(word)) if "*" in word else [word]  # noqa: PTH207 - absolute and relative alike


def run_all(commands: list[str], places: dict[str, str]) -> list[str]:
    """Run *commands* with other places, the stars of paths filled in."""
    said = []
    for command in commands:
        for there, here in places.items():
            command = command.replace(there, here)
        words = shlex.split(command, comments=True)[1:]
        done = CliRunner().invoke(cli, [path for word in words for path in filled(word)])
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"
        said.append(done.stdout)
    return said


@pytest.mark.once
def test_an_evidence_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    made, commands = _load("test_cluster").write_gas_flight(tmp_path / "made"), blocks("docs/evidence.md")
    monkeypatch.chdir(tmp_path)
    assert [command.split()[1] for command in commands] == [
        "ingest", "run", "evidence", "sign", "evidence", "verify", "evidence",
    ]  # fmt: skip
    run_all(commands[:1], {"/media/card": "made/raw"})
    shutil.copytree(
        made / "calibration", "flight/calibration"
    )  # a bare table does not say what its columns are
    shutil.copy(made / "flight.toml", "flight")
    said = run_all(commands[1:], {})
    assert said[4].count(" ok ") >= 6
    assert Path("case.zip").stat().st_size > 0


def test_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = [(71.4, 51.1), (71.403, 51.1), (71.403, 51.101), (71.4, 51.101), (71.4, 51.1)]
    monkeypatch.chdir(tmp_path)
    Path("site.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), "utf-8")
    places = " ".join(f"{lon},{lat},0" for lon, lat in ring)
    Path("site.kml").write_text(
        '<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><Polygon><outerBoundaryIs><LinearRing>'
        f"<coordinates>{places}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></kml>",
        "utf-8",
    )
    Path("camera.toml").write_text(
        'schema = 1\nid = "camera"\nkind = "line_scan"\nsamples = 256\nfov_deg = 32.0\n'
        'first_sample = "port"\n',
        "utf-8",
    )
    said = run_all(blocks("docs/methods/planning.md"), {})
    assert len(said) == 2
    assert all("Swath" in each for each in said)
    assert len(list(Path("plan").iterdir())) == 4


def test_a_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero air, the cylinder of the page's own standards, zero air; an exact analyser that is 3 s late."""
    page, noise = "docs/methods/gas-calibration.md", np.random.default_rng(0)
    (standards,) = re.findall(
        r"^```toml\n(schema = 1\nnote.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    monkeypatch.chdir(tmp_path)
    Path("standards.toml").write_text(standards, "utf-8")
    Path("calibration/instruments").mkdir(parents=True)
    Path("calibration/instruments/my-analyser.toml").write_text(
        'schema = 1\nid = "my-analyser"\nkind = "gas"\n[time]\ncolumn = "time"\nformat = "iso"\n'
        '[columns]\n"CH4 (ppm)" = { species = "CH4", unit = "ppm" }\n',
        "utf-8",
    )
    start, rows, reading = np.datetime64("2026-06-01T09:56:00"), ["time,CH4 (ppm)"], 0.0
    for second in range(960):
        reading += 0.2 * ((10.02 if 243 <= second < 603 else 0.0) - reading)
        rows.append(f"{start + np.timedelta64(second, 's')}Z,{reading + 0.005 * noise.normal():.4f}")
    Path("bench.csv").write_text("\n".join(rows) + "\n", "utf-8")
    (said,) = run_all(blocks(page), {})
    record = record_reader.read(Path(said.strip()))
    assert isinstance(record, GasCalibration)
    assert record.species["CH4"].span == pytest.approx(1.0, abs=0.01)
    assert Path("fit.png").stat().st_size > 0


@pytest.mark.slow
def test_many_flights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, commands = _load("test_cluster"), blocks("docs/scale.md")
    share = tmp_path / "share"
    monkeypatch.chdir(tmp_path)
    for day, name in enumerate(("one", "two")):
        module.write_gas_flight(share / "flights" / name, day=day)
        module.write_gas_flight(tmp_path / "flights" / name, day=day)
    Path("again.txt").write_text(f"{share / 'flights' / 'one'}\n", "utf-8")
    with module.cluster(tmp_path, workers=1) as made:
        said = run_all(commands, {"/share": str(share), "tcp://10.0.0.5:8786": made.address})
    assert [command.split()[1] for command in commands] == ["run", "run", "merge", "run"]
    assert {path.name for path in Path("products").iterdir()} == {"one", "two"}
    assert said[2].strip() == str(share / "campaign" / "campaign.geojson")
