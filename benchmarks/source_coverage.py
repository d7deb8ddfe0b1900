"""How often the regions of an inverted source hold the truth, over many planted ones.

Run: ``python benchmarks/source_coverage.py puffs 0 200 --processes 2`` (scenes: tests/source_scenes.py).
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np  # noqa: E402
import source_scenes  # noqa: E402
from source_scenes import Outcome  # noqa: E402

SPEEDS = ((1.0, 3.0), (3.0, 5.5), (5.5, 8.0))


def _line(label: str, chosen: list[Outcome]) -> str:
    held = 100.0 * np.mean([each.held for each in chosen], axis=0)
    error = np.median([each.error_m for each in chosen])
    area = np.median([each.area_90_m2 for each in chosen])
    spread = np.exp(np.std(np.log([each.rate_ratio for each in chosen])))
    bias = np.exp(np.median(np.log([each.rate_ratio for each in chosen])))
    seconds = np.mean([each.seconds for each in chosen])
    shares = " | ".join(f"{value:.1f}" for value in held)
    return (
        f"| {label} | {len(chosen)} | {shares} | {error:.1f} | {area:.0f} | {bias:.2f} | {spread:.2f} "
        f"| {seconds:.1f} |"
    )


def main() -> None:
    """Print a table by stability and wind speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", choices=sorted(source_scenes.SCENES))
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.processes) as pool:
        outcomes = []
        for each in pool.map(partial(source_scenes.outcome, asked.scene), range(asked.first, asked.last)):
            outcomes.append(each)
            sys.stderr.write(f"{each}\n")
            sys.stderr.flush()
    write = sys.stdout.write
    write(
        f"seeds {asked.first} to {asked.last - 1} of {asked.scene}\n\n"
        "| | n | place 50 % | place 90 % | rate 50 % | rate 90 % | median error, m | median 90 % area, m² "
        "| median rate/truth | spread of it | CPU, s |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    write(_line("all", outcomes) + "\n")
    for stability in "ABCDEF":
        chosen = [each for each in outcomes if each.stability == stability]
        if chosen:
            write(_line(stability, chosen) + "\n")
    for low, high in SPEEDS:
        chosen = [each for each in outcomes if low <= each.speed_m_s < high]
        if chosen:
            write(_line(f"{low:g} to {high:g} m/s", chosen) + "\n")


if __name__ == "__main__":
    main()
