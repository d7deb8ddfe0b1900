"""An hour of gas at 10 Hz from the file to the maps: seconds and memory; the maps beside PyKrige and GSTools.

    python benchmarks/bench_gas.py [--rounds 3]

One species, 36,000 samples on 86 lines of 200 m, 10 m apart, flown at 5 m/s with seven plumes; wind and
ground are stated. The whole lane runs in a process of its own: read, calibrate, place, background, detection,
hotspots, search sectors, and three maps at 1 m. The peers krige the same averaged samples to the same cells
with the same variogram: PyKrige with its moving window of as many neighbors (one for every cell) and with all
samples, GSTools with all samples, as it has no window (those two once: they take a minute).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe, paired, peak_mib, table

SAMPLES, RATE_HZ, SPEED_M_S = 36_000, 10.0, 5.0
LINE_M, STEP_M = 200.0, 10.0
START = np.datetime64("2026-06-14T06:00:00.000")
PEER_CELLS = 4000
"""Cells that the peers krige; the whole map would take GSTools minutes."""

INSTRUMENT = """schema = 1
id = "hour"
kind = "gas"
height_ref = "ellipsoid"
[time]
column = "time"
format = "iso"
[columns]
"CH4 (ppm)" = { species = "CH4", unit = "ppm", sigma = 0.003 }
"P (hPa)" = { field = "pressure", unit = "hPa" }
"T (degC)" = { field = "temperature", unit = "degC" }
lat = { field = "latitude", unit = "deg" }
lon = { field = "longitude", unit = "deg" }
height = { field = "height", unit = "m" }
"""
MANIFEST = """schema = 1
[track]
path = "raw/hour.csv"
instrument = "hour"
[terrain]
height_m = 280.0
[[gas]]
path = "raw/hour.csv"
instrument = "hour"
[wind]
speed_m_s = 4.0
from_deg = 240.0
sigma_speed_m_s = 0.5
sigma_from_deg = 10.0
[[detect]]
target = "CH4"
species = "CH4"
false_alarms_per_hour = 1.0
"""


def course() -> tuple[np.ndarray, np.ndarray]:
    """Return east and north of each sample, m: there and back on parallel lines."""
    flown = np.arange(SAMPLES) / RATE_HZ * SPEED_M_S
    turn = LINE_M + STEP_M
    line, along = np.floor(flown / turn), flown % turn
    ahead = np.minimum(along, LINE_M)
    east = np.where(line % 2 == 0, ahead, LINE_M - ahead)
    return east, line * STEP_M + np.maximum(along - LINE_M, 0.0)


def readings(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Return ppm: seven plumes, a background that wanders, noise whose neighbors hang together."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(0)
    value = 2.0 + 0.02 * np.sin(np.arange(SAMPLES) / SAMPLES * 12.0)
    noise = lfilter([0.003 * np.sqrt(1.0 - 0.36)], [1.0, -0.6], rng.normal(size=SAMPLES))
    for x, y, height, width in zip(
        rng.uniform(20.0, 180.0, 7), rng.uniform(30.0, 820.0, 7), rng.uniform(0.1, 2.0, 7),
        rng.uniform(4.0, 15.0, 7), strict=True,
    ):  # fmt: skip
        patchy = rng.lognormal(0.0, 0.4, SAMPLES // 20).repeat(20)
        value += height * patchy * np.exp(-0.5 * ((east - x) ** 2 + (north - y) ** 2) / width**2)
    return np.asarray(value + noise)


def write(folder: Path) -> None:
    """Write the flight folder."""
    from dronesense import geodesy

    (folder / "raw").mkdir(parents=True)
    (folder / "calibration/instruments").mkdir(parents=True)
    (folder / "calibration/instruments/hour.toml").write_text(INSTRUMENT, encoding="utf-8")
    (folder / "flight.toml").write_text(MANIFEST, encoding="utf-8")
    east, north = course()
    lon, lat = geodesy.to_lonlat(500_000.0 + east, 5_700_000.0 + north, "EPSG:32633")
    stamp = START + (np.arange(SAMPLES) * (1000.0 / RATE_HZ)).astype("timedelta64[ms]")
    rows = [
        f"{t}Z,{ppm:.4f},978.2,17.4,{y:.8f},{x:.8f},300.00"
        for t, ppm, y, x in zip(stamp, readings(east, north), lat, lon, strict=True)
    ]
    head = "time,CH4 (ppm),P (hPa),T (degC),lat,lon,height"
    (folder / "raw/hour.csv").write_text("\n".join([head, *rows, ""]), encoding="utf-8")


def follow(folder: Path) -> dict[str, Any]:
    """Run the lane step by step; return the seconds of each by clock and processor, and the peak memory."""
    from dronesense.cli import prepare_environment

    prepare_environment()
    import dronesense.pipeline  # what every run loads first
    from dronesense.manifest import open_flight
    from dronesense.pipeline.account import Account
    from dronesense.pipeline.gas_lane import follow_gas
    from dronesense.pipeline.map_lane import gas_maps
    from dronesense.pipeline.site import Site

    seconds: dict[str, tuple[float, float]] = {}
    clock = time.perf_counter(), time.process_time()

    def done(step: str) -> None:
        nonlocal clock
        now = time.perf_counter(), time.process_time()
        seconds[step], clock = (now[0] - clock[0], now[1] - clock[1]), now

    flight = open_flight(folder)
    done("read")
    account = Account(flight)
    site = Site(flight, account)
    finds = follow_gas(flight.gas[0], flight=flight, site=site, account=account)
    done("calibrate, place, background, detect")
    maps = gas_maps(finds.traces, account, wind=flight.wind)
    done("three maps")
    peak = peak_mib()
    dronesense.pipeline.process(flight)
    done("all but reading, in one call")
    sizes = [list(each.mean.shape) for each in maps]
    return {"seconds": seconds, "peak": [peak, peak_mib()], "maps": sizes, "events": len(finds.sightings)}


def samples() -> dict[str, Any]:
    """Return what the kriging map of the lane was made from, for the peers."""
    from dronesense.hotspots import kriging

    rng = np.random.default_rng(1)
    east, north = course()
    value = readings(east, north)
    every = 20  # samples in a stretch of 10 m
    x, y, z = (each.reshape(-1, every).mean(axis=1) for each in (east, north, value - np.median(value)))
    variogram = kriging.fit_variogram(x, y, z, rng=rng)
    side = int(np.sqrt(PEER_CELLS))
    to_x, to_y = np.meshgrid(60.0 + np.arange(side), 300.0 + np.arange(side))
    return {"x": x, "y": y, "z": z, "variogram": variogram, "to_x": to_x, "to_y": to_y}


def peers(given: dict[str, Any], rounds: int) -> list[list[str]]:
    """Return a row for each peer that is installed."""
    import importlib.util

    from dronesense.hotspots import kriging

    x, y, z, to_x, to_y = (given[name] for name in ("x", "y", "z", "to_x", "to_y"))
    variogram = given["variogram"]
    found: list[tuple[np.ndarray, np.ndarray]] = []

    def ours() -> None:
        found[:] = [kriging.krige(x, y, z, to_x, to_y, variogram=variogram)]

    theirs: dict[str, Any] = {}
    rows = []
    if importlib.util.find_spec("pykrige"):
        from pykrige.ok import OrdinaryKriging

        about = {"sill": variogram.sill, "range": variogram.range_m, "nugget": variogram.nugget}

        def pykrige() -> None:
            made = OrdinaryKriging(x, y, z, "exponential", variogram_parameters=about)
            theirs["map"], _ = made.execute(
                "grid", to_x[0], to_y[:, 0], backend="C", n_closest_points=kriging.NEIGHBORS
            )

        def pykrige_all() -> None:
            made = OrdinaryKriging(x, y, z, "exponential", variogram_parameters=about)
            theirs["map"], _ = made.execute("grid", to_x[0], to_y[:, 0], backend="vectorized")

        for name, work in ((f"PyKrige, {kriging.NEIGHBORS} nearest", pykrige), ("PyKrige, all", pykrige_all)):
            rows.append(_row(name, ours, work, found, theirs, 1 if work is pykrige_all else rounds))
    if importlib.util.find_spec("gstools"):
        import gstools

        model = gstools.Exponential(
            dim=2, var=variogram.sill - variogram.nugget, len_scale=variogram.range_m / 3.0,
            nugget=variogram.nugget,
        )  # fmt: skip

        def gstools_all() -> None:
            made = gstools.krige.Ordinary(model, (x, y), z, exact=True, pseudo_inv=False)
            field, _ = made.structured((to_x[0], to_y[:, 0]))
            theirs["map"] = field.T

        rows.append(_row("GSTools, all", ours, gstools_all, found, theirs, 1))
    return rows


def _row(name: str, ours: Any, work: Any, found: Any, theirs: dict[str, Any], rounds: int) -> list[str]:
    mine, other = paired(ours, work, rounds=rounds)
    apart = float(np.sqrt(np.mean((np.asarray(theirs["map"]) - found[0][0]) ** 2)) / np.std(found[0][0]))
    return [name, f"{mine:.2f}", f"{other:.2f}", f"{other / mine:.1f}", f"{apart:.1e}"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(follow(options.child)))
        return
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "hour"
        write(folder)
        command = [sys.executable, __file__, "--child", str(folder)]
        runs = []
        for _ in range(options.rounds):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    steps = list(runs[0]["seconds"])
    rows = [
        [step, *(f"{wall:.2f} ({cpu:.2f})" for wall, cpu in (run["seconds"][step] for run in runs))]
        for step in steps
    ]
    rows.append(["peak MiB", *(f"{max(run['peak']):.0f}" for run in runs)])
    table(["an hour at 10 Hz, s (of the processor)", *(f"run {i + 1}" for i in range(len(runs)))], rows)
    print(f"\nmaps {runs[0]['maps']}, {runs[0]['events']} events\n")
    given = samples()
    print(f"{given['x'].size} averages to {given['to_x'].size} cells of 1 m")
    table(["kriging", "dronesense s", "peer s", "times as fast", "rms difference / std of the map"],
          peers(given, options.rounds))  # fmt: skip


if __name__ == "__main__":
    main()
