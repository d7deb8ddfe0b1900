"""The machine that figures were measured on, and how they are printed.

python benchmarks/machine.py
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np


def describe() -> str:
    """Return cores, processor, Python and NumPy in one line."""
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    model = models[0].split(":", 1)[1].strip() if models else platform.processor() or platform.machine()
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "as many as cores")
    return (
        f"{os.cpu_count()} cores, {model}, {platform.system()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, OpenBLAS threads: {threads}"
    )


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that *work* takes once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int = 3
) -> tuple[float, float]:
    """Return the median seconds of both, run in turns so that a busy machine slows both."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def peak_mib() -> float:
    """Return the largest resident memory of this program so far, MiB.

    ``ru_maxrss`` of a child starts at what its parent held; the kernel's high-water mark (Linux) does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        mark = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(mark.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


if __name__ == "__main__":
    print(describe())
