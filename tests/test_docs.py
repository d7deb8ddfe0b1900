"""The documentation is executed: every command, every TOML and Python block, every link."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dronesense.manifest.schema import Manifest
from dronesense.readers import csv_signature, gas_tables, standards
from dronesense.readers import instrument as instrument_reader
from dronesense.readers import record as record_reader
from dronesense.readers import toml as toml_reader

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *(ROOT / room / "README.md" for room in ("calibration", "flights", "notebooks")),
    ]
)
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")
LANGUAGES = {"", "text", "csv", "console", "powershell", "toml", "python"}
LAUNCHER = ".venv/bin/dronesense"
README_FLIGHT = Path("flights/2026-06-14-steppe")
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Block:
    """A fenced block: page relative to the root, line of its fence, language, text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str | None = None) -> list[Block]:
    found = [
        Block(
            page.relative_to(ROOT).as_posix(),
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            match["text"],
        )
        for page in PAGES
        for text in [page.read_text("utf-8")]
        for match in FENCE.finditer(text)
    ]
    return found if language is None else [block for block in found if block.language == language]


def console_lines() -> list[tuple[Block, str]]:
    return [
        (block, line.removeprefix("$ "))
        for block in blocks("console")
        for line in block.text.splitlines()
        if line.strip()
    ]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def run_dronesense(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as a shell would."""
    start = "import sys; from dronesense.cli import main; sys.argv[0] = 'dronesense'; main()"
    return subprocess.run(
        [sys.executable, "-c", start, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README has it: the demo, and a bare flight with raw/ and calibration/ only."""
    folder = tmp_path_factory.mktemp("work place")  # the space is on purpose
    done = run_dronesense("demo", "flights/demo", cwd=folder)
    assert done.returncode == 0, done.stderr
    for part in ("raw", "calibration"):
        shutil.copytree(folder / "flights/demo" / part, folder / README_FLIGHT / part)
    return folder


def test_pages_have_blocks_and_no_other_languages() -> None:
    """A block in a language that nobody runs would rot unseen."""
    assert {block.page for block in blocks("console")} >= {"README.md", "CONTRIBUTING.md"}
    assert {str(block): block.language for block in blocks() if block.language not in LANGUAGES} == {}


@pytest.mark.parametrize(
    ("block", "line"), [pytest.param(b, line, id=f"{b}:{line}") for b, line in console_lines()]
)
def test_every_console_line_is_a_command_that_exists(block: Block, line: str) -> None:
    """make: the target exists; dronesense: run below. Anything else has no test, so it must not be there."""
    program, *arguments = shlex.split(line)
    if program == "make":
        assert {word for word in arguments if "=" not in word} <= targets()
    else:
        assert program == LAUNCHER, f"{block}: nothing tests `{line}`"
        assert block.page == "README.md", f"{block}: only the README's commands are run; make it a link"


def test_readme_opens_with_demo_and_test() -> None:
    first = blocks("console")
    readme = [block for block in first if block.page == "README.md"]
    assert readme[0].text.splitlines() == ["$ make demo", "$ make test"]


@pytest.mark.xdist_group("workplace")  # one process makes the demo once
@pytest.mark.once
def test_readme_commands_in_their_order(workplace: Path) -> None:
    """inspect, init, run on a folder of raw files: each ends well and leaves what the README says."""
    raw_before = {
        path: path.read_bytes()
        for path in sorted((workplace / README_FLIGHT / "raw").rglob("*"))
        if path.is_file()
    }
    lines = [
        line for block, line in console_lines() if block.page == "README.md" and line.startswith(LAUNCHER)
    ]
    assert [shlex.split(line)[1] for line in lines] == ["inspect", "init", "run"]
    for line in lines:
        done = run_dronesense(*shlex.split(line)[1:], cwd=workplace)
        assert done.returncode == 0, f"`{line}` ended with {done.returncode}: {done.stderr}"
        assert done.stdout.strip(), f"`{line}` said nothing on stdout"
        if "inspect" in line:
            assert sorted(path.name for path in (workplace / README_FLIGHT).iterdir()) == [
                "calibration",
                "raw",
            ]
    products = workplace / README_FLIGHT / "products"
    assert (workplace / README_FLIGHT / "flight.toml").is_file()
    assert (products / "hotspots.geojson").is_file()
    assert (products / "run.json").is_file()
    assert {path: path.read_bytes() for path in raw_before} == raw_before


@pytest.mark.xdist_group("workplace")
@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_blocks_run(block: Block, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    exec(compile(block.text, str(block), "exec"), {"__name__": "documentation"})


def load_part(content: dict[str, Any], text: str, folder: Path) -> None:
    """Load what has no schema of its own: a part of a pyproject.toml, or the side file of a signature."""
    if "project" in content:
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        assert set(content["project"]["entry-points"]) <= set(declared["project"]["entry-points"])
        return
    (folder / "target.csv").write_text("wavelength_nm,reflectance\n400,0.08\n500,0.21\n", "utf-8")
    (folder / "target.toml").write_text(text, "utf-8")
    signature, report = csv_signature.read(folder / "target.csv")
    assert (signature.source, signature.license) == (content["source"], content["license"])
    assert report.warnings == ()


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_blocks_load(block: Block, tmp_path: Path) -> None:
    """Each goes through the loader of what it is."""
    content = tomllib.loads(block.text)
    if "schema" not in content:
        load_part(content, block.text, tmp_path)
    elif "valid_from" in content:
        path = tmp_path / "records" / content["instrument"] / "2026-06-01.toml"
        assert record_reader.read(written(path, block.text)).instrument == content["instrument"]
    elif "standard" in content:
        assert len(standards.read(written(tmp_path / "standards.toml", block.text)).standards) == len(
            content["standard"]
        )
    elif "cells" in content:
        cells = gas_tables.read_cells(written(tmp_path / "cells.toml", block.text))
        assert set(cells) == set(content["cells"])
    elif "sensors" in content:
        sensors = gas_tables.read_mox(written(tmp_path / "mox.toml", block.text))
        assert set(sensors) == set(content["sensors"])
    elif "kind" in content:
        path = tmp_path / "instruments" / f"{content['id']}.toml"
        read = instrument_reader.read(written(path, block.text))
        assert (read.id, read.kind) == (content["id"], content["kind"])
    else:
        manifest = toml_reader.load(written(tmp_path / "flight.toml", block.text), Manifest)
        assert manifest.flight.id == content["flight"]["id"]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_powershell_blocks_name_files_and_options_of_this_project() -> None:
    """They cannot be run here: every file that they read exists, and the launcher is the installed one."""
    lines = [line for block in blocks("powershell") for line in block.text.splitlines()]
    assert lines
    for line in lines:
        program, *arguments = line.split()
        assert program in {"py", r".venv\Scripts\python", r".venv\Scripts\dronesense"}, line
        files = [value for option, value in pairwise(arguments) if option == "-r"]
        for file in files:
            assert (ROOT / file.replace("\\", "/")).is_file(), line
        if "-r" in arguments:
            assert "--require-hashes" in arguments, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text("utf-8"))
    local = [match["target"].split("#")[0] for match in LINK.finditer(text) if "://" not in match["target"]]
    assert [target for target in local if target and not (page.parent / target).exists()] == []


def test_index_leads_to_every_page() -> None:
    index = ROOT / "docs/index.md"
    linked = {(index.parent / match["target"]).resolve() for match in LINK.finditer(index.read_text("utf-8"))}
    assert {page.relative_to(ROOT).as_posix() for page in PAGES if page not in linked and page != index} <= {
        "notebooks/README.md"
    }
