"""``dronesense inspect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dronesense.cli.failures import EXIT_DONE, EXIT_SOME_REJECTED


@click.command("inspect")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(path: Path, as_json: bool) -> int:
    """Say what is at PATH: spans, gaps, pairing, the calibration that would be used. Changes nothing."""
    from dronesense.errors import ReadError
    from dronesense.manifest import discover, open_file, open_flight

    alone = path.is_file() and path.suffix.lower() != ".toml"
    try:
        flight = open_file(path) if alone else open_flight(path)
    except ReadError:
        if path.is_dir() and not (path / "flight.toml").exists():
            for name, reason in discover(path).ignored:
                click.echo(f"Ignored: {name}: {reason}", err=True)
        raise
    plan = describe(flight)
    click.echo(json.dumps(plan, indent=2, allow_nan=False) if as_json else as_text(plan))
    return EXIT_SOME_REJECTED if flight.rejected else EXIT_DONE


def describe(flight: Any) -> dict[str, Any]:
    """Return the plan for a flight as plain values."""
    return {
        "schema": 1,
        "flight": flight.id,
        "track": _track(flight.trajectory),
        "terrain": _terrain(flight.terrain),
        "gas": [_gas(each) for each in flight.gas],
        "cubes": [_cube(each) for each in flight.cubes],
        "rules": [_rule(each) for each in flight.rules],
        "inputs": [{"path": each.path, "role": each.role, **_report(each.report)} for each in flight.inputs],
        "warnings": list(flight.warnings),
        "rejected": [{"path": path, "reason": reason} for path, reason in flight.rejected],
        "ignored": [{"path": path, "reason": reason} for path, reason in flight.ignored],
    }


def _report(report: Any) -> dict[str, Any]:
    if report is None:
        return {}
    return {
        "format": report.format,
        "records": report.records,
        "dropped": dict(report.dropped),
        "holes": [list(hole) for hole in report.holes],
        "assumptions": list(report.assumptions),
        "warnings": list(report.warnings),
    }


def _track(trajectory: Any) -> dict[str, Any] | None:
    if trajectory is None:
        return None
    import numpy as np

    from dronesense.timescale import to_iso

    step = np.diff(trajectory.time) * 1e-9
    height = trajectory.height_m[np.isfinite(trajectory.height_m)]
    return {
        "source": trajectory.source,
        "start": to_iso(int(trajectory.time[0])),
        "end": to_iso(int(trajectory.time[-1])),
        "samples": len(trajectory),
        "rate_hz": round(float(1.0 / np.median(step)), 2) if step.size else None,
        "largest_gap_s": round(float(step.max()), 3) if step.size else None,
        "segments": int(trajectory.segment[-1] - trajectory.segment[0]) + 1,
        "clock": f"{trajectory.clock.kind}, sigma {trajectory.clock.sigma_s:.3g} s",
        "height_ref": trajectory.height_ref,
        "height_m": [round(float(height.min()), 2), round(float(height.max()), 2)] if height.size else None,
        "attitude": bool(np.isfinite(trajectory.attitude).any()),
        "sigma_horizontal_m": _finite(np.median(trajectory.std_ned_m[:, 0])),
    }


def _finite(value: Any) -> float | None:
    import math

    return round(float(value), 4) if math.isfinite(float(value)) else None


def _terrain(terrain: Any) -> dict[str, Any] | None:
    if terrain is None:
        return None
    return {"source": terrain.source, "flat": terrain.is_flat, "crs": terrain.crs, "sigma_m": terrain.sigma_m}


def _gas(gas: Any) -> dict[str, Any]:
    from dronesense.timescale import to_iso

    first = gas.series[0]
    return {
        "source": first.source,
        "instrument": gas.instrument.id,
        "calibration": None if gas.calibration is None else Path(gas.calibration.path).name,
        "species": [f"{each.species} ({each.unit}, {len(each)} samples)" for each in gas.series],
        "start": to_iso(int(first.time[0])),
        "end": to_iso(int(first.time[-1])),
        "clock_offset_s": gas.clock_offset_s,
    }


def _cube(each: Any) -> dict[str, Any]:
    rows, bands, cols = each.cube.shape
    return {
        "source": each.cube.path,
        "lines": rows,
        "bands": bands,
        "samples": cols,
        "quantity": each.cube.quantity,
        "geometry": "none: no line times and no map"
        if each.cube.geometry is None
        else type(each.cube.geometry).__name__,
        "instrument": None if each.instrument is None else each.instrument.id,
        "dark": None if each.dark is None else each.dark.path,
        "panel": None if each.panel is None else each.panel.cube.path,
    }


def _rule(rule: Any) -> dict[str, Any]:
    if rule.species is not None:
        return {
            "target": rule.target,
            "species": rule.species,
            "false_alarms_per_hour": rule.false_alarms_per_hour,
            "threshold_sigma": rule.threshold_sigma,
        }
    return {
        "target": rule.target,
        "signature": rule.signature.name,
        "method": rule.method,
        "false_alarm_rate": rule.false_alarm_rate,
        "threshold": rule.threshold,
    }


def as_text(plan: dict[str, Any]) -> str:
    """Return the plan for a person."""
    lines = [f"Flight {plan['flight']}"]

    def block(title: str, entry: dict[str, Any] | None) -> None:
        if not entry:
            lines.append(f"{title}: none")
            return
        lines.append(f"{title}:")
        for key, value in entry.items():
            if value not in (None, [], {}):
                text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                lines.append(f"    {key.replace('_', ' '):<22} {text}")

    block("Track", plan["track"])
    block("Terrain", plan["terrain"])
    for title, key in (("Gas series", "gas"), ("Cube", "cubes"), ("Rule", "rules"), ("Input", "inputs")):
        for entry in plan[key]:
            block(title, entry)
    lines += [f"Warning: {warning}" for warning in plan["warnings"]]
    lines += [f"Rejected: {each['path']}: {each['reason']}" for each in plan["rejected"]]
    lines += [f"Ignored: {each['path']}: {each['reason']}" for each in plan["ignored"]]
    return "\n".join(lines)
