"""``dronesense inspect``."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import click

from dronesense.cli import spoken
from dronesense.cli.failures import EXIT_DONE, EXIT_SOME_REJECTED
from dronesense.languages import LANGUAGES, SOURCE, catalog, from_environment, marked

SHOWN_GAPS = 5
LISTED = ("gaps", "sources", "history", "assumptions")
"""Entries with a line for each of their parts."""
BLOCKS = (
    (marked("Gas series"), "gas"),
    (marked("Cube"), "cubes"),
    (marked("Rule"), "rules"),
    (marked("Input"), "inputs"),
)
"""Heading and key of the lists."""
TOLD_BELOW = ("warnings",)
"""Entries of an input that stand at the end of the text, with those of the whole flight."""


@click.command("inspect")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--date", type=click.DateTime(["%Y-%m-%d"]), help="UTC day (YYYY-MM-DD) of a single log that has none."
)
@click.option("--tz", help='Zone of a single log in local time: "UTC", "+05:00", "Asia/Almaty".')
@click.option("--source", help='Position source of a single log: "POS", "GPS[1]", ...')
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    is_eager=True,
    callback=spoken.heard,
    help="Language of headings; default: by LANG.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    path: Path,
    date: dt.datetime | None,
    tz: str | None,
    source: str | None,
    lang: str | None,
    as_json: bool,
) -> int:
    """Say what is at PATH: spans, gaps, pairing, the calibration that would be used. Changes nothing."""
    from dronesense.errors import ReadError
    from dronesense.manifest import discover, open_file, open_flight

    alone = path.is_file() and path.suffix.lower() != ".toml"
    given = {"date": date and date.date().isoformat(), "tz": tz, "source": source}
    language = lang or from_environment(os.environ)
    answers = {key: value for key, value in given.items() if value}
    if answers and not alone:
        raise click.UsageError("--date, --tz and --source are for a single log; a flight has its flight.toml")
    try:
        flight = open_file(path, track=answers) if alone else open_flight(path)
    except ReadError:
        if path.is_dir() and not (path / "flight.toml").exists():
            for name, reason in discover(path).ignored:
                click.echo(f"{catalog(language).gettext('Ignored')}: {name}: {reason}", err=True)
        raise
    plan = describe(flight)
    click.echo(json.dumps(plan, indent=2, allow_nan=False) if as_json else as_text(plan, language=language))
    return EXIT_SOME_REJECTED if flight.rejected else EXIT_DONE


def describe(flight: Any) -> dict[str, Any]:
    """Return the plan for a flight as plain values."""
    return {
        "schema": 1,
        "flight": flight.id,
        "track": _track(flight),
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


def _track(flight: Any) -> dict[str, Any] | None:
    """Return spans, rates, fixes, gaps, clock, heights, and what the log's sources say of each other."""
    trajectory = flight.trajectory
    if trajectory is None:
        return None
    import numpy as np

    from dronesense.geotag.course import check_course
    from dronesense.timescale import to_iso
    from dronesense.writers.track import fix_shares

    step = np.diff(trajectory.time) * 1e-9
    height = trajectory.height_m[np.isfinite(trajectory.height_m)]
    details: dict[str, Any] = {}
    for each in flight.inputs:
        if each.report is not None and each.role == "flight log":
            details = {**each.report.details, **details}
    clock = trajectory.clock
    return {
        "source": trajectory.source,
        "start": to_iso(int(trajectory.time[0])),
        "end": to_iso(int(trajectory.time[-1])),
        "samples": len(trajectory),
        "rate_hz": round(float(1.0 / np.median(step)), 2) if step.size else None,
        "position_rate_hz": _finite(details.get("source_rate_hz", np.nan)),
        "fix": fix_shares(trajectory.fix),
        "largest_gap_s": round(float(step.max()), 3) if step.size else None,
        "segments": int(trajectory.segment[-1] - trajectory.segment[0]) + 1,
        "gaps": _gaps(trajectory),
        "clock": f"{clock.kind}, sigma {clock.sigma_s:.3g} s" + (f" ({clock.note})" if clock.note else ""),
        "height_ref": trajectory.height_ref,
        "height_m": [round(float(height.min()), 2), round(float(height.max()), 2)] if height.size else None,
        "attitude": bool(np.isfinite(trajectory.attitude).any()),
        "course": check_course(trajectory).text,
        "sigma_horizontal_m": _finite(np.median(trajectory.std_ned_m[:, 0])),
        "sigma_vertical_m": _finite(np.median(trajectory.std_ned_m[:, 2])),
        "pictures": 0 if trajectory.triggers is None else len(trajectory.triggers),
        "sources": details.get("sources"),
        "history": list(trajectory.history),
    }


def _gaps(trajectory: Any) -> list[str]:
    """Return from when to when nothing is known, the longest first."""
    import numpy as np

    from dronesense.timescale import to_iso

    borders = np.flatnonzero(np.diff(trajectory.segment))
    length = trajectory.time[borders + 1] - trajectory.time[borders]
    return [
        f"{to_iso(int(trajectory.time[row]))} to {to_iso(int(trajectory.time[row + 1]))}"
        for row in borders[np.argsort(-length, kind="stable")][:SHOWN_GAPS].tolist()
    ]


def _finite(value: Any) -> float | None:
    import math

    return round(float(value), 4) if math.isfinite(float(value)) else None


def _terrain(terrain: Any) -> dict[str, Any] | None:
    if terrain is None:
        return None
    return {"source": terrain.source, "flat": terrain.is_flat, "crs": terrain.crs, "sigma_m": terrain.sigma_m}


def _source(source: dict[str, Any]) -> str:
    """Return one position source of a log for a person."""
    text = f"{source['name']} ({source['kind']}, {source['rows']} rows)"
    if source["used"]:
        return f"{text}: used"
    apart = source["minus_used_m"]
    if apart is None:
        return f"{text}: shares no time with the one used"
    return f"{text}: " + ", ".join(f"{key.replace('_', ' ')} {value:.2f} m" for key, value in apart.items())


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
        "dark": ", ".join(dark.path for dark in each.darks) or None,
        "panel": ", ".join(panel.cube.path for panel in each.panels) or None,
    }


def _rule(rule: Any) -> dict[str, Any]:
    if rule.lane == "column":
        return {
            "target": rule.target,
            "species": rule.species,
            "absorption": rule.absorption.name,
            "false_alarm_rate": rule.false_alarm_rate,
            "threshold": rule.threshold,
        }
    if rule.lane == "gas":
        return {
            "target": rule.target,
            "species": rule.species,
            "false_alarms_per_hour": rule.false_alarms_per_hour,
            "threshold_sigma": rule.threshold_sigma,
        }
    return {
        "target": rule.target,
        "signature": ", ".join(each.name for each in rule.signatures) or None,
        "method": rule.method,
        "false_alarm_rate": rule.false_alarm_rate,
        "threshold": rule.threshold,
    }


def as_text(plan: dict[str, Any], *, language: str = SOURCE) -> str:
    """Return the plan for a person; headings in *language*, the rest as ``--json`` has it."""
    _ = catalog(language).gettext
    lines = [f"{_('Flight')} {plan['flight']}"]

    def block(title: str, entry: dict[str, Any] | None) -> None:
        if not entry:
            lines.append(f"{title}: {_('none')}")
            return
        lines.append(f"{title}:")
        for key, value in entry.items():
            if value not in (None, [], {}) and key not in TOLD_BELOW:
                many = key in LISTED
                texts = (
                    [_source(each) if isinstance(each, dict) else str(each) for each in value] if many else []
                )
                plain = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                for number, text in enumerate(texts if many else [plain]):
                    lines.append(f"    {'' if number else key.replace('_', ' '):<22} {text}")

    block(_("Track"), plan["track"])
    block(_("Terrain"), plan["terrain"])
    for title, key in BLOCKS:
        for entry in plan[key]:
            block(_(title), entry)
    lines += [f"{_('Warning')}: {warning}" for warning in plan["warnings"]]
    for title, key in ((_("Rejected"), "rejected"), (_("Ignored"), "ignored")):
        lines += [f"{title}: {each['path']}: {each['reason']}" for each in plan[key]]
    return "\n".join(lines)
