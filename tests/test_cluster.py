"""Flights on a Dask cluster: the bytes of a local run; what dies costs itself, and is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import numpy as np
import pytest

from dronesense import __version__
from dronesense.cli import apart, run_cli
from dronesense.cli import cluster as cluster_module
from dronesense.cli.cluster import Dask, check_address
from dronesense.cli.executors import Task
from dronesense.errors import CoverageError, DronesenseError, ReadError, UnitsError
from dronesense.writers.atomic import LockedError

pytest.importorskip("distributed")

INSTRUMENT = """schema = 1
id = "sniffer"
kind = "gas"
height_ref = "ellipsoid"
[time]
column = "time"
format = "iso"
[columns]
"CH4 (ppm)" = { species = "CH4", unit = "ppm", sigma = 0.01 }
lat = { field = "latitude", unit = "deg" }
lon = { field = "longitude", unit = "deg" }
height = { field = "height", unit = "m" }
"""
MANIFEST = """schema = 1
[track]
path = "raw/gas.csv"
instrument = "sniffer"
[terrain]
height_m = 200.0
[[gas]]
path = "raw/gas.csv"
instrument = "sniffer"
[[detect]]
target = "CH4"
species = "CH4"
"""
START_S = 60.0


class Cluster:
    """A scheduler and workers, each a process of its own on the loopback address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        place = folder / "scheduler.json"
        self.start("distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(place))
        until = time.monotonic() + START_S
        while not place.exists() or not place.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        self.address: str = json.loads(place.read_text())["address"]

    def start(self, module: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"]
        log = (self.folder / f"log-{len(self.processes)}.txt").open("wb")
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--no-dashboard", *arguments],
            stdout=log,
            stderr=log,
            env=os.environ | environment,
        )
        log.close()
        self.processes.append(process)
        return process

    def worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A worker without a nanny: killed is dead."""
        given = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder), *arguments)
        return self.start("distributed.cli.dask_worker", self.address, *given, MALLOC_TRIM_THRESHOLD_="65536")

    def ready(self, workers: int) -> None:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=START_S)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
        for process in self.processes:
            process.wait()


@contextlib.contextmanager
def cluster(folder: Path, *, workers: int) -> Iterator[Cluster]:
    made = Cluster(folder)
    try:
        for _ in range(workers):
            made.worker()
        if workers:
            made.ready(workers)
        yield made
    finally:
        made.stop()


def write_gas_flight(folder: Path, *, day: int = 0) -> Path:
    """Four crosswind legs behind a plume, as an analyser with its own positions writes them."""
    y = np.concatenate([np.arange(-20.0, 20.0, 0.4) * sign for sign in (1, -1, 1, -1)])
    ppm = 2.0 + 3.0 * np.exp(-0.5 * (y / 3.0) ** 2) + 0.01 * np.random.default_rng(day).normal(size=y.size)
    start = np.datetime64("2026-06-01T06:00:00.000") + np.timedelta64(day, "D")
    rows = [
        f"{start + np.timedelta64(100 * i, 'ms')}Z,{ppm[i]:.4f},{51.45 + y[i] / 111_000:.8f},"
        f"{15.0 + 1e-4 * (i // 100):.8f},203.00"
        for i in range(y.size)
    ]
    (folder / "raw").mkdir(parents=True)
    (folder / "calibration/instruments").mkdir(parents=True)
    (folder / "calibration/instruments/sniffer.toml").write_text(INSTRUMENT, "utf-8")
    (folder / "flight.toml").write_text(MANIFEST, "utf-8")
    (folder / "raw/gas.csv").write_text("\n".join(["time,CH4 (ppm),lat,lon,height", *rows, ""]), "utf-8")
    return folder


def bytes_of(products: Path) -> dict[str, bytes | object]:
    """Every product; of run.json all but the wall clock."""
    found: dict[str, bytes | object] = {
        path.relative_to(products).as_posix(): path.read_bytes()
        for path in sorted(products.rglob("*"))
        if path.is_file()
    }
    manifest = json.loads((products / "run.json").read_bytes())
    assert set(manifest.pop("timing")) == {"started", "finished", "taken_up"}
    return found | {"run.json": manifest}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), workers=2) as made:
        yield made


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run_cli(["run", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.once
def test_the_bytes_of_a_local_run_and_a_list_of_what_failed(
    tmp_path: Path, two: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    flights = [write_gas_flight(tmp_path / name) for name in ("a", "b")]
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "flight.toml").write_text('schema = 1\n[track]\npath = "missing.BIN"\n', "utf-8")
    order = [flights[0], bad, flights[1]]
    far, far_said, far_talk = run(capsys, *order, "--cluster", two.address, "-o", tmp_path / "far")
    near, near_said, _ = run(capsys, *order, "-o", tmp_path / "near")
    assert (far, near) == (2, 2), far_talk
    for name in ("a", "b"):
        assert bytes_of(tmp_path / "far" / name) == bytes_of(tmp_path / "near" / name)
        assert json.loads((tmp_path / "far" / name / "hotspots.geojson").read_bytes())["features"]
    said = sorted(near_said.replace(str(tmp_path / "near"), "OUT").splitlines())
    assert sorted(far_said.replace(str(tmp_path / "far"), "OUT").splitlines()) == said
    lists = [(tmp_path / where / "failures.json").read_bytes() for where in ("far", "near")]
    assert lists[0] == lists[1]
    assert [row["flight"] for row in json.loads(lists[0])["failed"]] == [str(bad)]
    assert "3 of 3 flights, 1 failed" in far_talk
    assert f"Failed: {bad}" in far_talk


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:8786",
        "http://127.0.0.1:8786",
        "inproc://1",
        "tcp://127.0.0.1",
        "tcp://:8786",
        "tcp://127.0.0.1:x",
        "tcp://127.0.0.1:99999",
        "tcp://me@127.0.0.1:8786",
        "tcp://127.0.0.1:8786/path",
    ],
)
def test_other_addresses_are_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = run(capsys, "flight", "--cluster", address)
    assert code == 2
    assert "must be tcp://HOST:PORT or tls://HOST:PORT" in said


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tls://cluster.example:8786", "tcp://[::1]:1"])
def test_these_addresses_are_taken(address: str) -> None:
    check_address(address)


def test_jobs_are_not_for_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "flight", "--cluster", "tcp://127.0.0.1:1", "--jobs", 2)[0] == 2


def test_a_scheduler_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dronesense.cli.cluster.CONNECT_S", 0.3)
    code, _, said = run(capsys, tmp_path, "-o", tmp_path / "out", "--cluster", "tcp://127.0.0.1:1")
    assert code == 3
    assert "tcp://127.0.0.1:1: no Dask scheduler answers" in said


def test_a_scheduler_without_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with cluster(tmp_path, workers=0) as made:
        code, _, said = run(capsys, tmp_path, "-o", tmp_path / "out", "--cluster", made.address)
    assert code == 3
    assert "the scheduler has no workers" in said


def test_workers_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = {"tcp://a": __version__, "tcp://b": "0.0.9", "tcp://c": None}
    told = {name: {"packages": {"dronesense": version}} for name, version in workers.items()}
    client = SimpleNamespace(get_versions=lambda packages: {"workers": told})
    with pytest.raises(DronesenseError, match="2 of 3 workers") as caught:
        cluster_module._refuse_other_versions(client, "tcp://s")
    assert "tcp://b: 0.0.9, tcp://c: none" in caught.value.what


def task(folder: Path) -> Task:
    return Task(folder / "flight", folder / "out" / "flight")


def test_a_worker_says_that_it_does_not_see_the_folders(tmp_path: Path) -> None:
    found = apart.answer_of(apart.job_of(task(tmp_path)))["failure"]
    assert found["where"] == str(tmp_path / "flight")
    assert "same path" in found["fix"]
    (tmp_path / "flight").mkdir()
    found = apart.answer_of(apart.job_of(task(tmp_path)))["failure"]
    assert found["where"] == str(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_worker_of_another_version_does_nothing(tmp_path: Path) -> None:
    found = apart.answer_of(apart.job_of(task(tmp_path)) | {"version": "0.0.9"})["failure"]
    assert f"has dronesense {__version__}, the client 0.0.9" in found["what"]


@pytest.mark.parametrize(
    "error",
    [
        UnitsError("no unit", where="a.csv", fix="ppm"),
        ReadError("cut", where="log.BIN"),
        CoverageError("no terrain"),
        LockedError("is in use", where="out"),
    ],
)
def test_errors_travel_as_they_are(error: DronesenseError) -> None:
    back = apart.error_of(json.loads(json.dumps(apart._failure(error))))
    assert (type(back), str(back)) == (type(error), str(error))


def test_other_errors_travel_with_what_is_needed() -> None:
    full = apart.error_of(json.loads(json.dumps(apart._failure(OSError(28, "No space left", "x.tif")))))
    assert isinstance(full, OSError)
    assert (full.errno, full.strerror, full.filename) == (28, "No space left", "x.tif")
    bug = apart.error_of(json.loads(json.dumps(apart._failure(KeyError("k")))))
    assert "KeyError" in "".join(traceback.format_exception(bug))


def test_a_process_has_the_settings_of_the_client_not_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    job = apart.job_of(Task(Path("a"), Path("b")))
    for name, text in {
        "OPENBLAS_NUM_THREADS": "8",
        "OMP_NUM_THREADS": "8",
        "PROJ_DATA": "x",
        "K": "k",
    }.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    found = apart._environment(job)
    assert (found["OPENBLAS_NUM_THREADS"], found["K"]) == ("1", "k")
    assert not {"OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_", "PROJ_DATA"} & set(found)


def test_a_flight_that_needs_too_much_memory_is_ended(tmp_path: Path) -> None:
    (tmp_path / "flight").mkdir()
    found = apart.run_apart(apart.job_of(task(tmp_path)), limit_bytes=1_000_000)
    assert "needed more than the 1 MB" in found["failure"]["what"]


def test_memory_of_a_process_is_with_that_of_those_it_started() -> None:
    big = "x = bytearray(60_000_000); print(1, flush=True); input()"
    start = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {big!r}]).returncode)"
    with subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        found = apart._memory_bytes(process.pid)
        process.communicate(b"\n")
    assert 60e6 < found < 120e6
    assert apart._memory_bytes(process.pid) == 0


def test_a_process_ends_with_its_worker(tmp_path: Path) -> None:
    """The pipe closes when the worker dies, whatever it dies of; until then the process waits for nothing."""
    job = json.dumps(apart.job_of(task(tmp_path))).encode() + b"\n"
    start = (
        "import time; from dronesense.cli import apart as a; a.answer_of = lambda _: time.sleep(60); a.main()"
    )
    with subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(job)
        process.stdin.close()
        assert process.wait(timeout=30) == apart.EXIT_ORPHAN


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_process_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dies = tmp_path / "python"
    dies.write_text("#!/bin/sh\nread job\nkill -9 $$\n")
    dies.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dies))
    with pytest.raises(apart.ProcessDiedError, match="signal 9"):
        apart.run_apart(apart.job_of(task(tmp_path)))


def test_a_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{"failure": {"locked": True}}] * 3 + [{"outcome": {}}]
    monkeypatch.setattr(apart, "_once", lambda job, limit: answers.pop(0))
    monkeypatch.setattr(apart, "LOCK_WAIT_S", 0.0)
    assert apart.run_apart({}) == {"outcome": {}}


def future(error: BaseException | None = None, **answer: object) -> SimpleNamespace:
    status = "error" if error else "finished" if answer else "cancelled"
    return SimpleNamespace(status=status, exception=lambda: error, result=lambda: answer)


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (future(apart.ProcessDiedError("on node (signal 11)")), "has died, twice, last on node (signal 11)"),
        (future(ModuleNotFoundError("No module named 'dronesense'")), "cannot load dronesense"),
        (future(), "the scheduler has dropped it"),
        (
            future(failure={"ours": True, "type": "UnitsError", "what": "no", "where": None, "fix": None}),
            "no",
        ),
        (future(outcome={}), "the products, but they are not here"),
    ],
)
def test_every_end_is_an_answer(
    ended: SimpleNamespace, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "LOOKS", 1)
    found = cluster_module._finished(3, task(tmp_path), ended)
    assert (found.number, found.outcome) == (3, None)
    assert isinstance(found.error, DronesenseError)
    assert said in found.error.what


def test_without_workers_the_rest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "POLL_S", 0.01)
    seen = iter([{"a": 1}, {}, {"a": 1}])
    client = SimpleNamespace(nthreads=lambda: next(seen, {}))
    start = time.monotonic()
    left = Dask("tcp://s:1", patience_s=0.2)._numbers(client, {0: None}, SimpleQueue())
    assert list(left) == []
    assert time.monotonic() - start >= 0.2


@pytest.mark.slow
def test_twenty_flights_while_a_worker_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flights = [write_gas_flight(tmp_path / "flights" / f"f{day:02d}", day=day) for day in range(20)]
    out, over = tmp_path / "out", threading.Event()
    with cluster(tmp_path, workers=2) as made:
        victim = made.processes[-1]

        def strike() -> None:
            while len(list(out.glob("*/run.json"))) < 6:
                if over.wait(0.05):
                    return
            victim.send_signal(signal.SIGKILL)

        killer = threading.Thread(target=strike)
        killer.start()
        code, _, said = run(capsys, *flights, "--cluster", made.address, "-o", out)
        over.set()
        killer.join()
    assert victim.wait() == -signal.SIGKILL
    assert code == 0, said
    assert "20 of 20 flights, 0 failed" in said
    assert not (out / "failures.json").exists()
    assert run(capsys, flights[0], "-o", tmp_path / "near")[0] == 0
    assert bytes_of(out / flights[0].name) == bytes_of(tmp_path / "near")
    assert (
        run_cli(["merge", *(str(out / flight.name) for flight in flights), "-o", str(tmp_path / "all")]) == 0
    )


def test_a_worker_that_logs_into_a_pipe(tmp_path: Path) -> None:
    """As a service does: the answer goes to a file, what is printed to a pipe."""
    flight = write_gas_flight(tmp_path / "one")
    job = apart.job_of(Task(flight, tmp_path / "products"))
    with (tmp_path / "answer.json").open("wb") as answer:
        process = subprocess.Popen(
            [sys.executable, "-m", "dronesense.cli.apart"],
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()  # and left open: its end would end the process
        said = process.stderr.read()
        assert process.wait(60) == 0, said
        process.stdin.close()
        process.stderr.close()
    assert "outcome" in json.loads((tmp_path / "answer.json").read_text("utf-8"))
