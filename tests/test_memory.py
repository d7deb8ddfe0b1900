"""Peak memory of the whole command on a cube that is larger than it may use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SAMPLES, BANDS, LINES = 640, 270, 12_000
LIMIT_BYTES = 1024**3

CHILD = """
import json, resource, sys
from dronesense.cli import prepare_environment, run_cli
prepare_environment()
code = run_cli(["run", sys.argv[1], "-o", sys.argv[2]])
print(json.dumps({"code": code, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def _write_large_cube(folder: Path, start_ns: int, end_ns: int) -> None:
    """Write a sparse 4 GB BIL cube: every 50th line holds numbers, the rest are holes that read as zero."""
    rng = np.random.default_rng(0)
    line = np.empty((BANDS, SAMPLES))
    shape = 400.0 + 300.0 * np.sin(np.linspace(0.0, 5.0, BANDS))
    row_bytes = SAMPLES * BANDS * 2
    with (folder / "big.bil").open("wb") as stream:
        for start in range(0, LINES, 50):
            level = rng.uniform(0.5, 1.5, SAMPLES)
            line[:] = shape[:, None] * level + rng.normal(0.0, 5.0, (BANDS, SAMPLES))
            stream.seek(start * row_bytes)
            stream.write(line.astype("<u2").tobytes())
        stream.truncate(LINES * row_bytes)
    (folder / "big.bil.hdr").write_text(
        f"ENVI\nsamples = {SAMPLES}\nlines = {LINES}\nbands = {BANDS}\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 12\ninterleave = bil\nbyte order = 0\n",
        encoding="ascii",
    )
    stamps = np.linspace(start_ns, end_ns, LINES).astype("datetime64[ns]").astype("datetime64[us]")
    rows = "\n".join(f"{number},{stamp}Z" for number, stamp in enumerate(stamps))
    (folder / "big.lines.csv").write_text(f"line,utc\n{rows}\n", encoding="ascii")
    target = shape + 200.0 * np.exp(-0.5 * ((np.arange(BANDS) - 90.0) / 8.0) ** 2)
    table = "\n".join(f"{band},{value:.3f}" for band, value in enumerate(target))
    (folder / "sought.csv").write_text(f"band,counts\n{table}\n", encoding="ascii")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read with the resource module")
def test_run_on_a_4_gb_cube_stays_below_1_gib(tmp_path: Path) -> None:
    from dronesense import synthetic
    from dronesense.manifest import open_flight

    folder = synthetic.write_flight(tmp_path / "flight", seed=0)
    trajectory = open_flight(folder).trajectory
    assert trajectory is not None
    middle, half = int(trajectory.time[len(trajectory) // 2]), 30 * 10**9
    _write_large_cube(folder / "raw", middle - half, middle + half)
    (folder / "calibration/instruments/wide-scanner.toml").write_text(
        'schema = 1\nid = "wide-scanner"\nkind = "line_scan"\nsamples = 640\nfov_deg = 32.0\n'
        'first_sample = "port"\n[mount]\nrotation = "nadir"\n',
        encoding="utf-8",
    )
    (folder / "flight.toml").write_text(
        'schema = 1\n[track]\npath = "raw/00000021.BIN"\n[terrain]\npath = "raw/dem.tif"\n'
        '[[cube]]\npath = "raw/big.bil.hdr"\ninstrument = "wide-scanner"\n'
        '[[detect]]\ntarget = "sought"\nsignature = "raw/sought.csv"\nfalse_alarm_rate = 1e-6\n',
        encoding="utf-8",
    )
    assert (folder / "raw/big.bil").stat().st_size == SAMPLES * BANDS * LINES * 2 > 4 * 10**9
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["code"] == 0, done.stderr
    assert result["peak"] <= LIMIT_BYTES, f"{result['peak'] / 2**20:.0f} MiB"
