"""Reading ArduPilot logs to columns, beside pymavlink in the same run.

    python benchmarks/bench_dataflash.py [log ...]

Without logs: those below $DRONESENSE_SHARED (or ../shared/data), and that of the synthetic flight.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from machine import describe, paired, table

NAVIGATION = ("GPS", "GPA", "ATT", "POS", "BARO")
"""What a trajectory is made of."""


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


def measure(path: Path) -> list[list[str]]:
    """Return a row of the table for all types and one for the navigation types."""
    lines = []
    for label, kinds in (("all", None), ("navigation", NAVIGATION)):
        mine, peer = ours(path, kinds), theirs(path, kinds)
        if mine != peer:
            raise SystemExit(f"{path.name}: rows differ: {mine} and {peer}")
        a, b = paired(lambda kinds=kinds: ours(path, kinds), lambda kinds=kinds: theirs(path, kinds))
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("log", nargs="*", type=Path)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        paths = options.log or logs(Path(folder))
        rows = [row for path in paths for row in measure(path)]
    table(["log", "MB", "types", "rows", "dronesense s", "pymavlink s", "times as fast"], rows)


if __name__ == "__main__":
    main()
