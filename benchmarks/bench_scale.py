"""Flights at a time: two-worker efficiency in local processes and on Dask; the worker's allocator setting.

    python benchmarks/bench_scale.py [--flights 6] [--rounds 1]

Efficiency is the time of one worker over twice that of two. Other work on the machine lowers it: the load is
printed, and so is what two programs reach that share nothing but the machine. Everything stays on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from machine import describe, seconds, table

from dronesense import synthetic
from dronesense.cli import prepare_environment
from dronesense.cli.apart import job_of, run_apart
from dronesense.cli.cluster import Dask
from dronesense.cli.executors import Executor, Processes, Task

TRIM = "MALLOC_TRIM_THRESHOLD_"
MACHINE = "two programs that share nothing"
DASK_DEFAULT = "65536"
"""What a nanny sets for its workers (distributed.yaml, nanny.pre-spawn-environ)."""
ALONE = "total = 0\nfor i in range(40_000_000): total += i * i"
"""Work without memory, disk or anything shared: seconds of one core."""
SCRIPT = "import sys; from distributed.cli.dask_{0} import main; sys.argv[0] = 'dask-{0}'; sys.exit(main())"


@contextlib.contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """Give the address of a scheduler with *workers* workers (with nannies, as users start them)."""
    from distributed import Client

    place = folder / f"scheduler-{workers}.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    there = ["--host", "127.0.0.1", "--no-dashboard"]

    def start(what: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", SCRIPT.format(what), *there, *arguments], **quiet)

    started = [start("scheduler", "--port", "0", "--scheduler-file", str(place))]
    try:
        while not place.exists() or not place.read_text():
            time.sleep(0.05)
        address = str(json.loads(place.read_text())["address"])
        given = ("--nthreads", "1", "--memory-limit", "2GB", "--local-directory", str(folder))
        started += [start("worker", address, *given) for _ in range(workers)]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()


def run(executor: Executor, flights: list[Path], out: Path) -> float:
    """Process all flights; return the seconds."""
    tasks = [Task(flight, out / flight.name) for flight in flights]

    def work() -> None:
        for ended in executor.each(tasks):
            if ended.error is not None:
                raise ended.error

    took = seconds(work)
    shutil.rmtree(out)
    return took


def _alone(count: int) -> None:
    """Run *count* programs that do the same, at a time."""
    running = [subprocess.Popen([sys.executable, "-c", ALONE]) for _ in range(count)]
    for process in running:
        process.wait()


def scaling(flights: list[Path], folder: Path, rounds: int) -> None:
    """Print what two workers gain over one; rounds in turns, so that other work slows all alike."""
    took: dict[tuple[str, int], list[float]] = {}
    with cluster(folder, 1) as one, cluster(folder, 2) as two:
        cases: list[tuple[str, int, Executor]] = [
            ("local processes", 1, Processes(1)),
            ("local processes", 2, Processes(2)),
            ("Dask", 1, Dask(one)),
            ("Dask", 2, Dask(two)),
        ]
        for _ in range(rounds):
            for name, workers, executor in cases:
                took.setdefault((name, workers), []).append(run(executor, flights, folder / "out"))
    for _ in range(rounds):
        for workers in (1, 2):
            took.setdefault((MACHINE, workers), []).append(seconds(lambda count=workers: _alone(count)))
    took[MACHINE, 1] = [
        2.0 * each for each in took[MACHINE, 1]
    ]  # the same work as two do, one after the other
    rows = []
    for name in (MACHINE, "local processes", "Dask"):
        single, double = (statistics.median(took[name, workers]) for workers in (1, 2))
        rows.append([name, f"{single:.1f}", f"{double:.1f}", f"{single / (2.0 * double):.2f}"])
    table(["executor", "one worker, s", "two workers, s", "efficiency"], rows)


def allocator(flight: Path, folder: Path, rounds: int) -> None:
    """Print processor seconds of one flight with the worker's setting of the allocator and without."""
    spent: dict[str | None, list[float]] = {DASK_DEFAULT: [], None: []}
    for _ in range(rounds):
        for setting, found in spent.items():
            job = job_of(Task(flight, folder / "out" / "one"))
            (folder / "out").mkdir(exist_ok=True)
            job["settings"][TRIM] = setting
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            answer = run_apart(job)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if "failure" in answer:
                raise RuntimeError(answer["failure"])
            found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            shutil.rmtree(folder / "out")
    rows = [
        ["as a Dask nanny sets it (65536)", f"{statistics.median(spent[DASK_DEFAULT]):.2f}"],
        ["taken off, as dronesense does", f"{statistics.median(spent[None]):.2f}"],
    ]
    table([TRIM, "processor, s a flight"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flights", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    prepare_environment()
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = synthetic.write_flight(folder / "flights/f00", seed=0)
        flights = [first]
        for number in range(1, asked.flights):
            flights.append(folder / f"flights/f{number:02d}")
            shutil.copytree(first, flights[-1])
        os.sync()  # what was copied must not be written to the disk while it is measured
        print(f"load before: {os.getloadavg()[0]:.1f}\n")
        scaling(flights, folder, asked.rounds)
        print()
        allocator(first, folder, max(3, asked.rounds))
        print(f"\nload after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
