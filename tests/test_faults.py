"""Whole or absent: runs that are killed, disks that are full, cards that cannot be read, and Ctrl-C."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="forks and signals as POSIX has them"),
    pytest.mark.once,
]
HERE = Path(__file__).parent


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def flight(tmp_path: Path) -> Path:
    made: Path = _load("test_cluster").write_gas_flight(tmp_path / "one")
    return made


def loop(what: str, flight: Path, count: int) -> dict[str, Any]:
    command = [
        sys.executable,
        str(HERE / "fault_loop.py"),
        what,
        str(flight),
        str(flight.parent / "out"),
        str(count),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check_kills(found: dict[str, Any], count: int) -> None:
    assert set(found) <= {"absent", "whole", "then whole", "litter"}, found
    assert found.get("absent", 0) + found.get("whole", 0) == found["then whole"] == count
    assert found["litter"] == 0


def check_faults(found: dict[str, Any], *, every: bool) -> None:
    tried = found["tried"]
    assert tried == found["total"] if every else tried > 3
    assert found["strange"] == []
    assert found["litter"] == 0
    ends = {key: number for key, number in found.items() if ", " in key}
    assert sum(ends.values()) == tried
    assert all(key.endswith(", whole") for key in ends), ends
    assert not any(key.startswith("silent") for key in ends), ends


def test_a_run_that_is_killed_leaves_all_or_nothing(flight: Path) -> None:
    check_kills(loop("kills", flight, 4), 4)


def test_a_full_disk_is_told_and_the_old_products_stay(flight: Path) -> None:
    found = loop("writes", flight, 6)
    check_faults(found, every=False)
    assert found["refused, whole"] == found["tried"]


def test_a_card_that_cannot_be_read_is_told(flight: Path) -> None:
    check_faults(loop("reads", flight, 100), every=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_kills(flight: Path) -> None:
    check_kills(loop("kills", flight, 1000), 1000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what", ["writes", "reads"])
def test_every_write_and_every_read_fails_once(flight: Path, what: str) -> None:
    check_faults(loop(what, flight, 100_000), every=True)


def test_ctrl_c_leaves_nothing_half_made(flight: Path) -> None:
    out = flight.parent / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", "from dronesense.cli import main; main()", "run", str(flight), "-o", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lock = out.with_name(".out.lock")
    until = time.monotonic() + 60.0
    while not lock.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["one"]
