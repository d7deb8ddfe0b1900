"""The house rules that a linter does not know."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dronesense"
MODULES = sorted(PACKAGE.rglob("*.py"))

MAX_FILE_BYTES = 200_000
MAX_FUNCTION_LINES = 80
MAX_MODULE_LINES = 500
FORBIDDEN_NAMES = {
    "utils",
    "util",
    "helper",
    "helpers",
    "common",
    "core",
    "misc",
    "manager",
    "handler",
    "processor",
    "engine",
    "item",
    "data",
}

# Written in pieces, so that this file does not name them itself.
OF_ONE_MACHINE = [
    "py" + r"pi\.(org|io|python)",
    "python" + "hosted",
    "--(extra-)?index" + "-url[ =]+[^ ]*:",
    "npm" + r"js\.org",
    r"(?<![\w.*/])/(home(?!/me/)|root|Users|work|opt)/" + r"\w",
    r"\bissues" + r" (show|list|close|comment)\b",
    r"\." + "library/",
]


def committed() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = (
        subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
        .stdout.decode()
        .split("\0")
    )
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_no_committed_file_is_of_one_machine() -> None:
    """No registry host, no path of somebody's disk, no tool of one workplace."""
    pattern = re.compile("|".join(OF_ONE_MACHINE))
    found = []
    for path in committed():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "https://" + "pypi" + ".org/simple",
        "--index" + "-url https://mirror.example/simple",
        '"/' + 'root/flight.toml"',
        "see /" + "home/anna/log.BIN",
    ],
)
def test_the_pattern_finds_what_it_is_for(text: str) -> None:
    assert re.search("|".join(OF_ONE_MACHINE), text)


def test_no_committed_file_is_large() -> None:
    locks = ROOT / "requirements"  # written by `make lock`, as long as the hashes of their files make them
    sizes = {
        path.relative_to(ROOT).as_posix(): path.stat().st_size for path in committed() if path.parent != locks
    }
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_BYTES} == {}


def test_committed_notebooks_have_no_outputs() -> None:
    for path in committed():
        if path.suffix == ".ipynb":
            cells = json.loads(path.read_text("utf-8"))["cells"]
            assert [
                cell.get("outputs") or cell.get("execution_count")
                for cell in cells
                if cell["cell_type"] == "code"
            ].count(None) == len([cell for cell in cells if cell["cell_type"] == "code"]), path


def test_floors_in_the_docs_are_those_that_are_checked() -> None:
    """docs/architecture.md draws the stair; import-linter checks it; they are one."""
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    drawn = re.findall(r"^\d  (.+)$", text, re.MULTILINE)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    stair = next(contract for contract in contracts if contract["type"] == "layers")
    assert [line.strip() for line in drawn] == stair["layers"]
    assert stair["exhaustive"] is True


def test_borders_cover_every_room_but_the_allowed() -> None:
    """A room that is new on the stair is also new in each border contract, or named in its exception."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    stair = next(contract for contract in contracts if contract["type"] == "layers")
    rooms = {f"dronesense.{room.strip()}" for layer in stair["layers"] for room in layer.split("|")}
    free = {
        "spectral": {"readers"},
        "rasterio": {"readers", "writers", "geotag", "synthetic"},
        "pyproj": {"geodesy", "synthetic"},
        "click": {"cli"},
        "rich": {"cli"},
        "matplotlib": {"plot"},
        "pyogrio": {"writers"},
    }
    bound = {
        module: set(c["source_modules"])
        for c in contracts
        if c["type"] == "forbidden"
        for module in c["forbidden_modules"]
    }
    assert bound == {
        module: rooms - {f"dronesense.{room}" for room in allowed} for module, allowed in free.items()
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= MAX_MODULE_LINES
    functions = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def test_no_module_is_named_for_everything() -> None:
    assert {path.stem for path in MODULES} & FORBIDDEN_NAMES == set()
