"""The whole command on the synthetic flight: seconds and peak memory.

    python benchmarks/bench_run.py [--large]

``--large`` also runs it on a sparse 4 GB cube (some minutes); tests/test_memory.py asserts on that figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SAMPLES, BANDS, LINES = 640, 270, 12_000

CHILD = """
import json, sys, time
from dronesense.cli import prepare_environment, run_cli
sys.path.insert(0, sys.argv[3])
from machine import peak_mib
start = time.perf_counter()
prepare_environment()
code = run_cli(["run", sys.argv[1], "-o", sys.argv[2]])
print(json.dumps({"code": code, "peak": peak_mib() * 2**20, "seconds": time.perf_counter() - start}))
"""


def run(folder: Path, products: Path) -> dict[str, float]:
    """Run the command in a process of its own; return its exit code, peak memory in bytes, and seconds."""
    command = [sys.executable, "-c", CHILD, str(folder), str(products), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if result["code"] != 0:
        raise RuntimeError(done.stderr)
    return result


def write_large_flight(folder: Path) -> Path:
    """Write a synthetic flight whose camera is replaced by one that wrote a 4 GB cube; return the cube."""
    from dronesense import synthetic
    from dronesense.manifest import open_flight

    synthetic.write_flight(folder, seed=0)
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
    return folder / "raw/big.bil"


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


def main() -> None:
    """Print the table."""
    from machine import describe, table

    from dronesense import synthetic

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    print(describe())
    rows = []
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        flights = [("synthetic flight", synthetic.write_flight(top / "flight", seed=0))]
        if options.large:
            write_large_flight(top / "large")
            flights.append(("4 GB cube", top / "large"))
        for label, folder in flights:
            result = run(folder, top / f"{folder.name}-products")
            size = sum(path.stat().st_size for path in (folder / "raw").iterdir()) / 1e6
            rows.append([label, f"{size:.0f}", f"{result['seconds']:.1f}", f"{result['peak'] / 2**20:.0f}"])
    table(["dronesense run", "raw MB", "seconds", "peak MiB"], rows)


if __name__ == "__main__":
    main()
