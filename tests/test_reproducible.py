"""Same lock, system and kind of processor: the same bytes, whatever else is different.

Across Pythons, with other NumPy, SciPy and GDAL, the check is ``dronesense verify --rerun``; by it
``.ci/run`` holds a run of the oldest Python against the others (same hotspots, scores to 1e-4, 0.01 m).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dronesense import synthetic

pytestmark = pytest.mark.once
POSIX = os.name != "nt"
CHANGES: dict[str, dict[str, Any]] = {
    "again": {},
    "two at a time": {"jobs": 2},
    "four at a time": {"jobs": 4},
    "another folder": {"cwd": True},
    "time zone": {"env": {"TZ": "Asia/Almaty"}},
    "language": {"env": {"LANG": "kk_KZ.UTF-8", "LC_ALL": "C"}},
    "hash seed": {"env": {"PYTHONHASHSEED": "4242"}},
    "umask": {"umask": 0o077},
    "order of files": {"shuffled": True},
    "variables of other programs": {
        "env": {"PROJ_LIB": "/nowhere", "GDAL_DATA": "/nowhere", "GDAL_PAM_ENABLED": "YES"}
    },
}
"""What is different in a second run, by what it is called."""
ALL: dict[str, Any] = {
    "jobs": 2,
    "cwd": True,
    "umask": 0o077,
    "shuffled": True,
    "env": {name: text for change in CHANGES.values() for name, text in change.get("env", {}).items()},
}


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproducible") / "flight"
    synthetic.write_flight(folder, seed=5)
    (folder / "flight.toml").unlink()  # found by looking: the order of files must not matter
    products(folder, folder.parent / "first", {})
    return folder


def products(flight: Path, out: Path, change: dict[str, Any]) -> None:
    """Run *flight* in a process of its own, with *change*."""
    environment = {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C.UTF-8"} | change.get("env", {})
    for name in ("LC_ALL", "LC_MESSAGES"):
        environment.setdefault(name, "")
    mask = {"umask": change.get("umask", 0o022)} if POSIX else {}
    elsewhere = out.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    start = "import sys; from dronesense.cli import main; sys.argv[0] = 'dronesense'; main()"
    command = [sys.executable, "-P", "-c", start, "run", str(flight), "-o", str(out)]
    done = subprocess.run(
        [*command, "--jobs", str(change.get("jobs", 1))],
        env=os.environ | environment,
        cwd=elsewhere if change.get("cwd") else flight,
        capture_output=True,
        text=True,
        check=False,
        **mask,
    )
    assert done.returncode in {0, 4}, done.stderr


def shuffled(flight: Path, to: Path) -> Path:
    """Return a copy whose folders hold their files in another order, and with other times."""
    for path in sorted(flight.rglob("*"), key=lambda path: path.name[::-1], reverse=True):
        if path.is_file():
            target = to / path.relative_to(flight)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return to


def check(flight: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    out = tmp_path / "second"
    again = shuffled(flight, tmp_path / "flight") if change.get("shuffled") else flight
    products(again, out, change)
    first = flight.parent / "first"
    names = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    assert {path.relative_to(out) for path in out.rglob("*") if path.is_file()} == names
    assert len(names) > 10
    for name in sorted(names):
        if name.name != "run.json":
            assert (out / name).read_bytes() == (first / name).read_bytes(), name
    runs = [json.loads((folder / "run.json").read_text("utf-8")) for folder in (first, out)]
    for run in runs:
        del run["timing"]
    assert runs[0] == runs[1]


def test_all_that_must_not_matter_at_once(flight: Path, tmp_path: Path) -> None:
    check(flight, tmp_path, ALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_each_thing_that_must_not_matter(flight: Path, tmp_path: Path, name: str) -> None:
    check(flight, tmp_path, CHANGES[name])
