"""What evidence costs: the share of a run that goes into hashes, the run manifest and its check.

    python benchmarks/bench_evidence.py [--rounds 3]

Timed where the run calls them: hashing of inputs, run id, the look for a finished run, the manifest (with the
hashes of the products and of the software), its writing. Not counted: complete-or-absent writing of products.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import describe, table

from dronesense import evidence, synthetic
from dronesense.cli import prepare_environment
from dronesense.cli.products import make_products
from dronesense.evidence import fresh

PARTS = [(evidence, name) for name in ("hash_readable", "run_id", "run_manifest", "write")] + [
    (fresh, "sealed")
]


def timed(spent: dict[str, float], name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return *work*, whose seconds are added up in *spent*."""

    def called(*arguments: Any, **keys: Any) -> Any:
        start = time.perf_counter()
        try:
            return work(*arguments, **keys)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

    return called


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    prepare_environment()
    print(describe())
    found: list[tuple[float, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flight = synthetic.write_flight(folder / "flight", seed=0)
        make_products(flight, folder / "out", again=True)  # imports are not counted
        for _ in range(rounds):
            spent: dict[str, float] = {}
            originals = [(module, part, getattr(module, part)) for module, part in PARTS]
            for module, part, work in originals:
                setattr(module, part, timed(spent, part, work))
            start = time.perf_counter()
            make_products(flight, folder / "out", again=True)
            found.append((time.perf_counter() - start, spent))
            for module, part, work in originals:
                setattr(module, part, work)
    whole = statistics.median(total for total, _ in found)
    names = sorted({part for _, spent in found for part in spent})
    rows = []
    for part in [*names, "all"]:
        each = [sum(s.values()) if part == "all" else s[part] for _, s in found]
        share = [value / total for value, (total, _) in zip(each, found, strict=True)]
        rows.append([part, f"{statistics.median(each):.3f}", f"{100.0 * statistics.median(share):.1f} %"])
    print(f"a run of the synthetic flight: {whole:.1f} s\n")
    table(["part", "s", "of the run"], rows)


if __name__ == "__main__":
    main()
