"""Peak memory of the whole command on a cube that is larger than it may use."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

LIMIT_BYTES = 1024**3


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read with the resource module")
def test_run_on_a_4_gb_cube_stays_below_1_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    bench_run = importlib.import_module("bench_run")
    cube = bench_run.write_large_flight(tmp_path / "flight")
    assert cube.stat().st_size == bench_run.SAMPLES * bench_run.BANDS * bench_run.LINES * 2 > 4 * 10**9
    peak = bench_run.run(tmp_path / "flight", tmp_path / "out")["peak"]
    assert peak <= LIMIT_BYTES, f"{peak / 2**20:.0f} MiB"
