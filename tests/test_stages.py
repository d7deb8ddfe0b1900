"""A run that did not end is taken up where it was; cubes searched at a time give the same bytes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from dronesense import evidence
from dronesense.cli import ahead, cli
from dronesense.cli.products import make_products
from dronesense.detect import spectral
from dronesense.errors import EvidenceError
from dronesense.evidence import stages
from dronesense.evidence.stages import Stages
from dronesense.manifest import open_flight
from dronesense.model import Detection, ScoreMap, TailModel
from dronesense.model.absorption import ColumnMap
from dronesense.pipeline.cube_lane import Searched

STRIPS = 3
RUN = "import dronesense.evidence.stages as s; s.WORTH_S = 0.0; from dronesense.cli import main; main()"


def _flights() -> Any:
    path = Path(__file__).with_name("radiometry_flights.py")
    spec = importlib.util.spec_from_file_location("radiometry_flights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flight of three strips, and what a run made of it that nothing interrupted."""
    flights = _flights()
    folder: Path = tmp_path_factory.mktemp("stages") / "flight"
    scanner = flights.Scanner(folder)
    scanner.spectrum("paint", flights.paint(flights.NM), sigma=0.01)
    scanner.darks(10.0)
    scanner.panel("panel", flights.START_S)
    scene, times = scanner.scene(), scanner.lines()
    for k in range(STRIPS):
        part = slice(k * len(times) // STRIPS, (k + 1) * len(times) // STRIPS)
        scanner.write(f"line_{k}", scanner.counts(scene[part], times[part]), times[part])
    keys = 'dark = "raw/dark_10.bil.hdr"\n'
    keys += 'panel = { path = "raw/panel.bil.hdr", reflectance = "raw/panel_reflectance.csv" }'
    scanner.spectrum("panel_reflectance", flights.gray(flights.NM), sigma=0.01)
    scanner.manifest(keys, cube="line_*.bil.hdr")
    make_products(folder, folder.parent / "whole")
    return folder


@pytest.fixture
def flight(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "flight"))


def told(products: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return run.json without its times, and these."""
    found = json.loads((products / "run.json").read_text("utf-8"))
    return found, found.pop("timing")


def searches(monkeypatch: pytest.MonkeyPatch, *, until: int | None = None) -> list[str]:
    """Return the list that will name the cubes as they are searched; Ctrl-C comes before number *until*."""
    searched: list[str] = []
    real: Callable[..., Searched] = spectral.search

    def search(cube: Any, *args: Any, **options: Any) -> Searched:
        if len(searched) == until:
            raise KeyboardInterrupt
        searched.append(cube.name)
        return real(cube, *args, **options)

    monkeypatch.setattr(spectral, "search", search)
    return searched


def interrupted(flight: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stages, "WORTH_S", 0.0)
        searches(patch, until=after)
        with pytest.raises(KeyboardInterrupt):
            make_products(flight, out)
    assert not out.exists()


def kept(out: Path) -> list[Path]:
    """Return the files that are whole; those that are being written have names that begin with a dot."""
    found = out.with_name(f".{out.name}.stages").glob("*/*")
    return sorted(each for each in found if not each.name.startswith("."))


def test_an_interrupted_run_is_taken_up_and_says_so(
    flight: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = flight.parent / "out"
    interrupted(flight, out, monkeypatch, after=2)
    assert len(kept(out)) == 2
    left = searches(monkeypatch)
    found = CliRunner().invoke(cli, ["run", str(flight), "-o", str(out), "--lang", "en"])
    assert found.exit_code == 0, found.output
    assert left == ["line_2"]
    first_two = [f"raw/line_{k}.bil.hdr reflectance" for k in range(2)]
    assert f"Taken up from a run that did not end: {', '.join(first_two)}" in found.output
    again, timing = told(out)
    assert again == told(made.parent / "whole")[0]  # every product with its hash, too
    assert timing["taken_up"] == first_two
    assert sorted(each.name for each in out.parent.iterdir()) == ["flight", "out"]


@pytest.mark.parametrize("what", ["input", "settings", "--again"])
def test_other_work_takes_nothing_up(flight: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    out = flight.parent / "out"
    interrupted(flight, out, monkeypatch, after=2)
    if what == "input":
        path = flight / "raw/track.csv"
        path.write_text(path.read_text("utf-8").replace("t,lat", "t,lat") + "\n", "utf-8")
    elif what == "settings":
        path = flight / "flight.toml"
        path.write_text(path.read_text("utf-8").replace("threshold = 0.9", "threshold = 0.8"), "utf-8")
    done = searches(monkeypatch)
    assert make_products(flight, out, again=what == "--again").taken_up == []
    assert len(done) == STRIPS
    assert kept(out) == []


@pytest.mark.parametrize(
    "change", [lambda raw: raw[:-1], lambda raw: raw[:70] + b"x" + raw[71:], lambda _: b""]
)
def test_what_was_damaged_is_worked_out_again(
    flight: Path, made: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]
) -> None:
    out = flight.parent / "out"
    interrupted(flight, out, monkeypatch, after=2)
    for path in kept(out):
        path.write_bytes(change(path.read_bytes()))
    done = searches(monkeypatch)
    assert make_products(flight, out).taken_up == []
    assert len(done) == STRIPS
    assert told(out)[0] == told(made.parent / "whole")[0]


def test_short_work_is_not_kept(flight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches(monkeypatch, until=2)
    with pytest.raises(KeyboardInterrupt):
        make_products(flight, flight.parent / "out")
    assert [each.name for each in flight.parent.iterdir()] == ["flight"]


def test_cubes_searched_at_a_time_give_the_same_bytes(
    flight: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search of this process is not called: what the others kept is taken."""
    searched = searches(monkeypatch)
    out = flight.parent / "out"
    assert make_products(flight, out, jobs=2).taken_up == []
    assert searched == []
    assert told(out)[0] == told(made.parent / "whole")[0]
    assert sorted(each.name for each in out.parent.iterdir()) == ["flight", "out"]


def test_what_another_process_could_not_do_is_done_here(
    flight: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_search", _die)
    searched = searches(monkeypatch)
    out = flight.parent / "out"
    make_products(flight, out, jobs=2)
    assert len(searched) == STRIPS
    assert told(out)[0] == told(made.parent / "whole")[0]


def _die(*_: object) -> None:
    os._exit(3)


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX has them")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_killed_run_is_taken_up(flight: Path, made: Path, jobs: str) -> None:
    out = flight.parent / "out"
    command = [sys.executable, "-c", RUN, "run", str(flight), "-o", str(out), "--jobs", jobs]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60.0
    while not kept(out) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert kept(out)
    assert not out.exists()
    assert len(make_products(flight, out).taken_up) >= 1
    assert told(out)[0] == told(made.parent / "whole")[0]


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_ctrl_c_ends_the_other_processes_too_and_quietly(flight: Path) -> None:
    out = flight.parent / "out"
    command = [sys.executable, "-c", RUN, "run", str(flight), "-o", str(out), "--jobs", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        until = time.monotonic() + 60.0
        while not kept(out) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert _gone(process.pid)
    assert not out.exists()
    assert kept(out)


def _gone(group: int) -> bool:
    """Tell whether all processes of a group end soon; those that clean up after others take a moment."""
    until = time.monotonic() + 20.0
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


# --- one result -----------------------------------------------------------------------------------------


def score() -> ScoreMap:
    tail = TailModel(np.arange(3.0), np.array([0.5, 0.1, 0.0]), np.inf, 0.0, np.nan, 1.0, 7, "few")
    values = np.array([[1.0, np.nan], [-2.5, 3.0]], dtype=np.float32)
    return ScoreMap("c", "t", "ace", values, "1", 0.5, np.nan, tail, {"a": {"b": [1, "x"]}, "n": 2})


def detection() -> Detection:
    index, weight = np.array([[0, 1], [1, 1]]), np.array([0.5, 3.0])
    return Detection(
        "t", "spectral", "ace", "c", "f.hdr", index, weight, 1, 3.0, 0.1, 0.2, 1.0, 0.1, "1", ("a",)
    )


def same(one: Any, other: Any) -> None:
    """Compare field by field, bit by bit."""
    for name in one.__slots__:
        left, right = getattr(one, name), getattr(other, name)
        if hasattr(left, "__slots__"):
            same(left, right)
        elif isinstance(left, np.ndarray):
            assert (left.dtype, left.shape) == (right.dtype, right.shape)
            assert left.tobytes() == right.tobytes()
            assert not right.flags.writeable
        else:
            assert repr(left) == repr(right)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    keep = Stages(tmp_path / "s", lambda: None, least_s=0.0)
    keep(("cube", "counts"), Searched, lambda: ((score(), (detection(),)),))
    ((first, (second,)),) = keep(("cube", "counts"), Searched, _never)
    same(score(), first)
    same(detection(), second)
    flat = np.ones((2, 2), dtype=np.float32)
    column = ColumnMap("CH4", flat, flat, flat, flat > 0, flat < 0, score(), {"k": 1.5})
    keep(("cube", "columns", "CH4"), ColumnMap, lambda: column)
    same(column, keep(("cube", "columns", "CH4"), ColumnMap, _never))


def _never() -> Any:
    raise AssertionError("it was kept")


def test_nothing_is_kept_of_inputs_that_changed(flight: Path, tmp_path: Path) -> None:
    opened = open_flight(flight)
    inputs = evidence.hash_inputs(opened)
    with stages.keeping(tmp_path / "out", opened, inputs) as keep:
        os.utime(flight / "raw/line_1.bil", ns=(1, 1))
        with pytest.raises(EvidenceError, match="changed during the run"):
            Stages(keep.folder, keep.check, least_s=0.0)(("a", "b"), float, lambda: 1.0)
        assert kept(tmp_path / "out") == []
    assert kept(tmp_path / "out") == []


def test_a_full_disk_costs_only_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stages, "_write", full)
    assert Stages(tmp_path / "s", lambda: None, least_s=0.0)(("a",), float, lambda: 2.5) == 2.5


def test_somebody_ahead_is_waited_for_and_may_fail(tmp_path: Path) -> None:
    failed: Future[None] = Future()
    failed.set_exception(RuntimeError("died"))
    keep = Stages(tmp_path / "s", lambda: None, ahead={"cube": failed})
    assert keep(("cube", "counts"), float, lambda: 4.0) == 4.0
