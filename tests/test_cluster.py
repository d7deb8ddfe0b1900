"""Flights on a Dask cluster: the bytes of a local run; what dies costs itself, and is told."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dronesense.cli import run_cli

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
        made.ready(workers)
        yield made
    finally:
        made.stop()


def write_gas_flight(folder: Path) -> Path:
    """Four crosswind legs behind a plume, as an analyser with its own positions writes them."""
    y = np.concatenate([np.arange(-20.0, 20.0, 0.4) * sign for sign in (1, -1, 1, -1)])
    ppm = 2.0 + 3.0 * np.exp(-0.5 * (y / 3.0) ** 2) + 0.01 * np.random.default_rng(0).normal(size=y.size)
    start = np.datetime64("2026-06-14T06:00:00.000")
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
    assert set(manifest.pop("timing")) == {"started", "finished"}
    return found | {"run.json": manifest}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), workers=2) as made:
        yield made


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run_cli(["run", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


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
