"""Reading MAVLink telemetry logs to columns, beside pymavlink in the same run.

    python benchmarks/bench_tlog.py [log ...]

Without logs: those below $DRONESENSE_SHARED (or ../shared/data) of more than a kilobyte.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from machine import describe, paired, peak_mib, table

NAVIGATION = ("GLOBAL_POSITION_INT", "GPS_RAW_INT", "ATTITUDE", "SYSTEM_TIME", "SCALED_PRESSURE")
"""What a trajectory is made of."""

SMALL_BYTES = 1000


def ours(path: Path, kinds: Sequence[str] | None) -> dict[str, int]:
    """Read every field of *kinds* (None: all) into arrays; return the number of messages of each."""
    from dronesense.readers.mavlink_frames import load

    log = load(path)
    rows = {}
    for kind in log if kinds is None else [kind for kind in kinds if kind in log]:
        messages = log[kind]
        columns = [messages[name] for name in messages]
        rows[kind] = len(columns[0])
    return rows


def theirs(path: Path, kinds: Sequence[str] | None) -> dict[str, int]:
    """Read every value of *kinds* (None: all) into lists; return the number of messages of each."""
    from pymavlink import mavutil

    columns: dict[str, dict[str, list[object]]] = {}
    rows: dict[str, int] = {}
    reader = mavutil.mavlink_connection(str(path), dialect="ardupilotmega")
    wanted = None if kinds is None else list(kinds)
    try:
        while (message := reader.recv_match(type=wanted)) is not None:
            kind = message.get_type()
            into = columns.setdefault(kind, {name: [] for name in message.get_fieldnames()})
            for name, values in into.items():
                values.append(getattr(message, name))
            rows[kind] = rows.get(kind, 0) + 1
    finally:
        reader.close()
    return rows


def logs() -> list[Path]:
    """Return the real logs."""
    shared = Path(os.environ.get("DRONESENSE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    found = sorted((shared / "logs/tlog").glob("*.tlog"))
    return [path for path in found if path.stat().st_size > SMALL_BYTES]


def measure(path: Path) -> list[list[str]]:
    """Return a row of the table for all messages and one for those of navigation."""
    lines = []
    for label, kinds in (("all", None), ("navigation", NAVIGATION)):
        mine, peer = ours(path, kinds), theirs(path, kinds)
        if mine != peer:
            raise SystemExit(f"{path.name}: messages differ: {mine} and {peer}")
        a, b = paired(
            lambda kinds=kinds: ours(path, kinds), lambda kinds=kinds: theirs(path, kinds), rounds=7
        )
        size = f"{path.stat().st_size / 1e6:.2f}"
        count = f"{sum(mine.values()):,}"
        lines.append([path.name, size, label, count, f"{a:.4f}", f"{b:.3f}", f"{b / a:.0f}"])
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("log", nargs="*", type=Path)
    options = parser.parse_args()
    print(describe())
    os.environ["MAVLINK20"] = "1"  # pymavlink: definitions with extension fields, for frames of both versions
    rows = [row for path in options.log or logs() for row in measure(path)]
    table(["log", "MB", "messages", "count", "dronesense s", "pymavlink s", "times as fast"], rows)
    print(f"largest memory of the run: {peak_mib():.0f} MiB")


if __name__ == "__main__":
    main()
