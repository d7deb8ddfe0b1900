"""Run synthetic flights of many seeds and compare what was found with what was planted.

    python benchmarks/seeds.py --seeds 20

Prints a line per flight and the figures of the acceptance list; tests/test_acceptance.py asserts on them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

MATCH_M = 1.0
"""A spectral hotspot within this distance of an object's rim belongs to it."""
SMALL_FILL = 0.30
LARGE_GSD = 3.0
GAS_SLACK_S = 10.0


@dataclass
class Flight:
    """What one seed gave."""

    seed: int
    seconds: float = 0.0
    large: list[bool] = field(default_factory=list)
    small: list[bool] = field(default_factory=list)
    errors_m: list[float] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    two_strips: list[bool] = field(default_factory=list)
    confusers: list[bool] = field(default_factory=list)
    n_spectral: int = 0
    n_false: int = 0
    implied: float = 0.0
    plume_found: bool = False
    plume_z: float = float("nan")
    false_gas: int = 0
    clock_error_s: float = float("nan")
    gsd_m: float = float("nan")
    rejected: list[str] = field(default_factory=list)


def evaluate(seed: int, folder: Path | None = None) -> Flight:
    """Write, run and judge the flight of *seed*; a folder that is given is kept."""
    import dronesense as ds
    from dronesense import synthetic

    made = Path(tempfile.mkdtemp(prefix=f"dronesense-{seed}-")) if folder is None else folder
    try:
        synthetic.write_flight(made, seed=seed)
        truth = json.loads((made / "truth.geojson").read_text("utf-8"))
        start = time.perf_counter()
        layer = ds.process(ds.open_flight(made))
        result = Flight(seed, time.perf_counter() - start, gsd_m=truth["flight"]["gsd_m"])
    finally:
        if folder is None:
            shutil.rmtree(made)
    result.rejected = [f"{path}: {reason}" for path, reason in layer.rejected]
    objects = [each["properties"] for each in truth["features"]]
    _judge_spectral(result, layer, objects)
    _judge_gas(result, layer, objects, truth["flight"])
    return result


def _offset(hotspot: Any, thing: dict[str, Any]) -> float:
    """Return the distance on a sphere of the local size, m: good to a millimeter over a few meters."""
    radius = 6_371_000.0
    north = np.radians(hotspot.lat - thing["lat"]) * radius
    east = np.radians(hotspot.lon - thing["lon"]) * radius * np.cos(np.radians(thing["lat"]))
    return float(np.hypot(north, east))


def _nearest(hotspots: list[Any], thing: dict[str, Any]) -> Any | None:
    reach = MATCH_M + thing["size_m"] / 2
    near = [(distance, k) for k, each in enumerate(hotspots) if (distance := _offset(each, thing)) <= reach]
    return hotspots[min(near)[1]] if near else None


def _judge_spectral(result: Flight, layer: Any, objects: list[dict[str, Any]]) -> None:
    hotspots = [each for each in layer if each.kind == "spectral"]
    result.n_spectral = len(hotspots)
    explained: set[str] = set()
    for thing in objects:
        if thing["kind"] not in ("target", "confuser") or not thing["strips"]:
            continue
        hit = _nearest(hotspots, thing)
        reach = MATCH_M + thing["size_m"] / 2
        explained.update(each.id for each in hotspots if _offset(each, thing) <= reach)
        if thing["kind"] == "confuser":
            result.confusers.append(hit is not None)
            continue
        if thing["size_gsd"] >= LARGE_GSD:
            result.large.append(hit is not None)
        elif thing["fill_fraction"] >= SMALL_FILL:
            result.small.append(hit is not None)
        if hit is not None:
            error = _offset(hit, thing)
            result.errors_m.append(error)
            result.inside.append(error <= hit.ce90_m)
            if thing["size_gsd"] >= LARGE_GSD and thing["n_strips"] > 1:
                result.two_strips.append(hit.n_passes == thing["n_strips"])
    result.n_false = sum(each.id not in explained for each in hotspots)
    result.implied = sum(
        score.false_alarm_rate * np.isfinite(score.score).sum()
        for view in layer.cubes
        for score in view.scores
    )


def _judge_gas(result: Flight, layer: Any, objects: list[dict[str, Any]], flight: dict[str, Any]) -> None:
    from dronesense.timescale import parse_times

    hotspots = [each for each in layer if each.kind == "gas"]
    slack = int(GAS_SLACK_S * 1e9)
    for plume in (thing for thing in objects if thing["kind"] == "plume"):
        times = parse_times([each["time"] for each in plume["crossings"]], format="iso", zone="UTC")
        peaks = np.array([each["peak_ppm"] for each in plume["crossings"]])
        best = int(times[np.argmax(peaks)])
        hits = [each for each in hotspots if each.start - slack <= best <= each.end + slack]
        result.plume_found = bool(hits)
        for hit in hits[:1]:
            result.plume_z = (hit.value - float(peaks.max())) / hit.value_sigma
        for each in hotspots:
            seen = (times >= each.start - slack) & (times <= each.end + slack)
            result.false_gas += not bool(seen.any())
    for statement in layer.statements.get("gas_clock", []):
        result.clock_error_s = statement["offset_s"] - flight["gas_clock_offset_s"]


def summarize(flights: list[Flight]) -> dict[str, float]:
    """Return the figures of the acceptance list."""

    def share(name: str) -> float:
        values = [value for flight in flights for value in getattr(flight, name)]
        return float(np.mean(values)) if values else float("nan")

    errors = np.array([error for flight in flights for error in flight.errors_m])
    shown = sum(flight.n_spectral for flight in flights)
    z = np.array([flight.plume_z for flight in flights])
    return {
        "flights": len(flights),
        "large_found": share("large"),
        "small_found": share("small"),
        "merged_over_strips": share("two_strips"),
        "false_per_flight": float(np.mean([flight.n_false for flight in flights])),
        "implied_per_flight": float(np.mean([flight.implied for flight in flights])),
        "confusers_shown_of_planted": share("confusers"),
        "confusers_of_hotspots": sum(sum(flight.confusers) for flight in flights) / max(shown, 1),
        "median_error_m": float(np.median(errors)) if errors.size else float("nan"),
        "gsd_m": float(np.median([flight.gsd_m for flight in flights])),
        "inside_ce90": share("inside"),
        "plume_found": float(np.mean([flight.plume_found for flight in flights])),
        "plume_within_3_sigma": float(np.mean(np.abs(z) <= 3.0)),
        "false_gas_per_flight": float(np.mean([flight.false_gas for flight in flights])),
        "worst_clock_error_s": float(np.max(np.abs([flight.clock_error_s for flight in flights]))),
        "median_seconds": float(np.median([flight.seconds for flight in flights])),
    }


def run(seeds: list[int], *, jobs: int = 2) -> list[Flight]:
    """Evaluate *seeds* in *jobs* processes."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(evaluate, seeds))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    flights = run(list(range(options.first, options.first + options.seeds)), jobs=options.jobs)
    for flight in flights:
        print(
            f"seed {flight.seed:>3}: {sum(flight.large)}/{len(flight.large)} large, "
            f"{sum(flight.small)}/{len(flight.small)} small, "
            f"{sum(flight.confusers)}/{len(flight.confusers)} confusers, "
            f"{flight.n_false} false, inside {sum(flight.inside)}/{len(flight.inside)}, "
            f"median {np.median(flight.errors_m or [np.nan]):.3f} m, plume z {flight.plume_z:+.2f}, "
            f"clock {flight.clock_error_s:+.3f} s, {flight.seconds:.1f} s {'; '.join(flight.rejected)}"
        )
    for name, value in summarize(flights).items():
        print(f"{name:<28} {value:.4g}")


if __name__ == "__main__":
    main()
