"""Reading ArduPilot logs to columns, beside pymavlink in the same run.

    python benchmarks/bench_dataflash.py [log ...]
    python benchmarks/bench_dataflash.py --large [log]

Without logs: those below $DRONESENSE_SHARED (or ../shared/data), and that of the synthetic flight.
Short readings are repeated within a measurement, as their own length is below that of other programs' turns.
``--large`` repeats the records of a log (its clocks run on) to 1 GB, makes the track of it in a process of
its own and tells time and memory; the file is deleted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from machine import describe, paired, seconds, table

NAVIGATION = ("GPS", "ATT", "POS", "BARO", "IMU")
"""What a trajectory is made of, and the inertial sensors."""

LARGE_BYTES = 1_000_000_000
SHORTEST_S = 0.1
"""A measurement takes at least this."""

TRACK = """
import resource, sys, time
from pathlib import Path
from dronesense.readers import ardupilot
start = time.perf_counter()
track, report = ardupilot.read(Path(sys.argv[1]), label="large")
wall = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(f"{wall:.1f} {time.process_time():.1f} {peak} {report.records} {len(track)}")
"""
"""Run on its own: what a parent process held must not count."""


def ours(path: Path, kinds: Sequence[str] | None) -> dict[str, int]:
    """Read every column of *kinds* (None: all) into arrays; return the number of rows of each."""
    from dronesense.readers.dataflash import DataFlash

    log = DataFlash(path)
    rows = {}
    for kind in log if kinds is None else [kind for kind in kinds if kind in log]:
        messages = log[kind]
        columns = [messages[name] for name in messages]
        rows[kind] = len(columns[0])
    return rows


def theirs(path: Path, kinds: Sequence[str] | None) -> dict[str, int]:
    """Read every value of *kinds* (None: all) into lists; return the number of rows of each."""
    from pymavlink import DFReader

    columns: dict[str, dict[str, list[object]]] = {}
    rows: dict[str, int] = {}
    reader = DFReader.DFReader_binary(str(path))
    wanted = None if kinds is None else list(kinds)
    try:
        while (message := reader.recv_match(type=wanted)) is not None:
            kind = message.get_type()
            into = columns.setdefault(kind, {name: [] for name in message.get_fieldnames()})
            for name, values in into.items():
                values.append(getattr(message, name))
            rows[kind] = rows.get(kind, 0) + 1
    finally:
        reader.data_map.close()
        reader.filehandle.close()
    return rows


def logs(folder: Path) -> list[Path]:
    """Return real logs where there are some, and the one of the synthetic flight, written to *folder*."""
    from dronesense import synthetic

    shared = Path(os.environ.get("DRONESENSE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    real = [path for path in sorted((shared / "logs/dataflash").glob("*")) if path.suffix.lower() == ".bin"]
    made = synthetic.write_flight(folder / "flight", seed=0)
    return [*real, *sorted((made / "raw").glob("*.BIN"))]


def repeat(times: int, work: Callable[[], object]) -> None:
    """Do *work* several times."""
    for _ in range(times):
        work()


def measure(path: Path) -> list[list[str]]:
    """Return a row of the table for all types and one for the navigation types."""
    lines = []
    for label, kinds in (("all", None), ("navigation", NAVIGATION)):
        mine, peer = ours(path, kinds), theirs(path, kinds)
        if mine != peer:
            raise SystemExit(f"{path.name}: rows differ: {mine} and {peer}")
        times = 1 + int(SHORTEST_S / max(seconds(partial(ours, path, kinds)), 1e-6))
        a, b = paired(
            lambda n=times, k=kinds: [ours(path, k) for _ in range(n)], partial(theirs, path, kinds)
        )
        a /= times
        size = path.stat().st_size / 1e6
        lines.append(
            [
                path.name,
                f"{size:.2f}",
                label,
                f"{sum(mine.values()):,}",
                f"{a:.4f}",
                f"{b:.3f}",
                f"{b / a:.0f}",
            ]
        )
    return lines


def enlarge(source: Path, target: Path, size: int) -> None:
    """Write the records of *source* again and again, with the boot clock and the GPS time running on."""
    from dronesense.readers.dataflash import DataFlash
    from dronesense.readers.dataflash_formats import layout

    data = np.fromfile(source, dtype=np.uint8)
    log = DataFlash(data)
    data = data[: log.holes[-1][0] if log.holes else data.size]
    stamped = [log[name] for name in log if next(iter(log[name])) == "TimeUS"]
    boot = np.concatenate([messages.offsets for messages in stamped]) + 3
    times = np.concatenate([messages["TimeUS"] for messages in stamped])
    span_ms = int(np.ptp(times)) // 1000 + 100
    gps = log["GPS"]
    tow = gps.offsets + layout(gps.format.letters, gps.format.columns)[0].fields["GMS"][1]
    with target.open("wb") as stream:
        for turn in range(-(-size // data.size)):
            copy = data.copy()
            np.ndarray((copy.size - 7,), "<u8", copy, 0, (1,))[boot] += np.uint64(turn * span_ms * 1000)
            np.ndarray((copy.size - 3,), "<u4", copy, 0, (1,))[tow] += np.uint32(turn * span_ms)
            stream.write(copy.tobytes())


def large(source: Path, folder: Path) -> None:
    """Print what the track of a log of 1 GB takes."""
    path = folder / "large.BIN"
    enlarge(source, path, LARGE_BYTES)
    done = subprocess.run(
        [sys.executable, "-c", TRACK, str(path)], capture_output=True, text=True, check=True
    )
    wall, cpu, peak, records, rows = done.stdout.split()
    size = path.stat().st_size
    path.unlink()
    share = float(peak) / size
    head = ["log", "GB", "records", "rows of the track", "s", "CPU s", "peak memory / size"]
    row = [source.name, f"{size / 1e9:.2f}", f"{int(records):,}", f"{int(rows):,}", wall, cpu, f"{share:.2f}"]
    table(head, [row])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("log", nargs="*", type=Path)
    parser.add_argument("--large", action="store_true", help="the track of 1 GB instead")
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        paths = options.log or logs(Path(folder))
        if options.large:
            large(next((path for path in paths if path.name.startswith("pilot")), paths[0]), Path(folder))
            return
        rows = [row for path in paths for row in measure(path)]
    table(["log", "MB", "types", "rows", "dronesense s", "pymavlink s", "times as fast"], rows)


if __name__ == "__main__":
    main()
