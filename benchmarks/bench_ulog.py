"""Reading PX4 logs to columns, beside pyulog in the same run; the track of a large log, with its memory.

    python benchmarks/bench_ulog.py [log ...]
    python benchmarks/bench_ulog.py --large 500

Without logs: those below $DRONESENSE_SHARED (or ../shared/data), as they are and repeated to the size of a
flight of ten minutes, with their stamps moved on. ``--large``: the track of one of that many MB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from machine import describe, paired, peak_mib, seconds, table

NAVIGATION = (
    "vehicle_gps_position",
    "sensor_gps",
    "vehicle_global_position",
    "vehicle_local_position",
    "vehicle_attitude",
    "vehicle_air_data",
)
"""What a trajectory is made of."""
ROUNDS = 7
FLIGHT_MB = 16
PAUSE_US = 10_000
"""Between repeats, so that no clock runs back, µs."""
LARGE_OF = "sample_log_small.ulg"
"""A log of hardware, with GPS and attitude at 200 Hz."""


def ours(path: Path, topics: Sequence[str] | None, *, texts: bool = False) -> dict[str, int]:
    """Read all columns of *topics* (None: of all), and *texts* and parameters; return the rows of each."""
    from dronesense.readers import ulog

    log = ulog.read(path)
    rows = {}
    for key in log:
        if topics is None or key.partition("[")[0] in topics:
            topic = log[key]
            columns = [topic[name] for name in topic]
            rows[key] = len(columns[0])
    if texts:
        _ = (log.info, log.info_lists, log.parameters, log.changed_parameters, log.default_parameters)
        _ = (log.logged, log.dropouts)
    return rows


def theirs(path: Path, topics: Sequence[str] | None) -> dict[str, int]:
    """Read the same with pyulog, with its filter."""
    from pyulog import ULog

    log = ULog(str(path), None if topics is None else list(topics))
    return {
        each.name + (f"[{each.multi_id}]" if each.multi_id else ""): len(each.data["timestamp"])
        for each in log.data_list
    }


def logs() -> list[Path]:
    """Return the real logs."""
    shared = Path(os.environ.get("DRONESENSE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    return sorted((shared / "logs" / "ulog").glob("*.ulg"))


def measure(path: Path) -> list[list[str]]:
    """Return a row of the table for all topics and one for the navigation topics."""
    lines = []
    for label, topics, texts in (
        ("all, texts, parameters", None, True),
        ("all", None, False),
        ("navigation", NAVIGATION, False),
    ):
        mine, peer = ours(path, topics), theirs(path, topics)
        if mine != peer:
            raise SystemExit(f"{path.name}: rows differ: {mine} and {peer}")
        a, b = paired(
            lambda topics=topics, texts=texts: ours(path, topics, texts=texts),
            lambda topics=topics: theirs(path, topics),
            rounds=ROUNDS,
        )
        size = path.stat().st_size / 1e6
        row = [path.name, f"{size:.2f}", label, f"{sum(mine.values()):,}", f"{a * 1e3:.1f}", f"{b * 1e3:.1f}"]
        lines.append([*row, f"{b / a:.1f}"])
    return lines


def grow(path: Path, target: Path, megabytes: int) -> None:
    """Write *path* to *target* again and again, with the stamps and the UTC of each repeat moved on."""
    from dronesense.readers import ulog

    log = ulog.read(path)
    data = np.fromfile(path, dtype=np.uint8)
    begin = min(int(log[key].offsets[0]) for key in log)
    body = data[begin:].copy()
    at = np.concatenate(
        [
            log[key].offsets + 5 + (log[key].layout.dtype.fields or {})[name][1] - begin
            for key in log
            for name in ("timestamp", "time_utc_usec")
            if name in log[key]
        ]
    )
    keep = np.ones(body.size, dtype=bool)  # not the late subscriptions: pyulog forgets the rows before one
    for each in log.subscriptions:
        if each.offset >= begin:
            keep[each.offset - begin : each.offset - begin + 6 + len(each.layout.name)] = False
    if data[18] == ord("B"):
        data[27] = 0  # no appended data: their offsets do not hold any more
    stamps = np.ndarray((body.size - 7,), "<u8", body, 0, (1,))
    times = np.concatenate([log[key]["timestamp"] for key in log])
    times = times[times > 0]  # a topic may never have been stamped
    span = int(times.max()) - int(times.min()) + PAUSE_US
    with target.open("wb") as out:
        data.tofile(out)
        while out.tell() < megabytes * 1_000_000:
            stamps[at] += np.where(stamps[at] > 0, np.uint64(span), np.uint64(0))
            body[keep].tofile(out)


def large(path: Path) -> None:
    """Open a log and make its track; print time and peak memory."""
    from dronesense.readers import px4

    px4.read(logs()[[each.name for each in logs()].index(LARGE_OF)], label="once, for the imports")
    before = peak_mib()
    result = []
    elapsed = seconds(lambda: result.append(px4.read(path, label=path.name)))
    track, report = result[0]
    size = path.stat().st_size / 2**20
    used = peak_mib() - before
    print(
        f"{size:.0f} MiB, {report.records:,} messages -> {len(track):,} rows in {elapsed:.2f} s; "
        f"memory above the imports {used:.0f} MiB = {used / size:.2f} x the file"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("log", nargs="*", type=Path)
    parser.add_argument("--large", type=int, metavar="MB", help="size of a large log to make a track of")
    parser.add_argument("--track-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.track_of:
        large(options.track_of)
        return
    print(describe())
    if options.large:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "large.ulg"
            grow(next(each for each in logs() if each.name == LARGE_OF), path, options.large)
            subprocess.run([sys.executable, __file__, "--track-of", str(path)], check=True)
        return
    rows = [row for path in options.log or logs() for row in measure(path)]
    if not options.log:
        with tempfile.TemporaryDirectory() as folder:
            for path in logs():
                target = Path(folder) / f"{path.stem}, repeated"
                grow(path, target, FLIGHT_MB)
                rows += measure(target)
    table(["log", "MB", "topics", "rows", "dronesense ms", "pyulog ms", "times as fast"], rows)


if __name__ == "__main__":
    main()
