"""``dronesense calibrate boresight``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dronesense.cli import spoken

if TYPE_CHECKING:
    from dronesense.geotag.boresight import Boresight
    from dronesense.model.tie_points import GroundControl, TiePoints
    from dronesense.pipeline.strips import Strips

ROUNDS = 3
"""Tie points are looked for again with the mount that the last ones gave: chips then lie on each other."""
LEAST_TIES = 30
"""Places found by themselves, not mistakes, that are believed: fewer may agree by chance."""
TOLD_CORRELATION = 0.8
NO_BETTER = 0.9
"""What was assumed fits as well as what was found, if distances shrink to no less than this share."""
GROUPS = ("boresight", "lever", "time", "height")


@click.command("boresight")
@click.argument("flight", metavar="FLIGHT", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--ties", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CSV of tie points."
)
@click.option(
    "--control", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CSV of ground control."
)
@click.option(
    "--solve",
    "asked",
    default="boresight,time",
    show_default=True,
    help=f"What is sought, of {', '.join(GROUPS)}, with commas.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON of all that was found.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a dated record, which runs use from this flight on: "
    "calibration/records/INSTRUMENT/DATE.toml in the flight folder or beside it.",
)
@click.option("--force", is_flag=True, help="Replace an existing record.")
@spoken.option
@click.option("--json", "as_json", is_flag=True, help="The same on stdout.")
def boresight(
    flight: Path,
    ties: Path | None,
    control: Path | None,
    asked: str,
    output: Path | None,
    record: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Find how the push-broom camera of FLIGHT sits in the aircraft.

    From tie points between its strips, which are found by themselves where no --ties and no --control are
    given. Prints the [mount] lines for the camera's instrument file; changes nothing, but for the record that
    --record asks for.
    """
    from dronesense.geotag import boresight as solver
    from dronesense.manifest import open_flight
    from dronesense.pipeline.strips import strips_of
    from dronesense.readers import tie_table
    from dronesense.writers.atomic import write_bytes

    groups = [each.strip() for each in asked.split(",") if each.strip()]
    if unknown := [each for each in groups if each not in GROUPS]:
        raise click.UsageError(f'--solve knows {", ".join(GROUPS)}, not "{unknown[0]}"')
    parameters = [name for group in groups for name in solver.GROUPS[group]]
    if record is not None and record.exists() and not force:
        raise click.UsageError(f"{record} exists; use --force to replace it, or name another file")
    given = strips_of(open_flight(flight))
    for warning in given.warnings:
        click.echo(f"{spoken.messages().gettext('Warning')}: {warning}", err=True)
    names = [each.name for each in given.strips]
    measured = None if ties is None else tie_table.read_ties(ties, strips=names)
    surveyed = None if control is None else tie_table.read_control(control, strips=names)
    if measured is None and surveyed is None:
        measured, found = _by_themselves(given, parameters)
    else:
        found = _solved(given, parameters, measured, surveyed)
    told = _as_json(found, given, measured, surveyed)
    text = json.dumps(told, indent=2, allow_nan=False)
    if output is not None:
        write_bytes(output, (text + "\n").encode("utf-8"))
    if record is not None:
        write_bytes(record, _record(found, given).encode("utf-8"))
    for line in _in_words(found, given):
        click.echo(line, err=True)
    click.echo(text if as_json else "\n".join(_mount_lines(found)))


def _solved(
    given: Strips, parameters: list[str], ties: TiePoints | None, control: GroundControl | None
) -> Boresight:
    from dronesense.geotag import boresight as solver

    return solver.solve(
        given.strips,
        instrument=given.instrument,
        terrain=given.terrain,
        crs=given.crs,
        ties=ties,
        control=control,
        parameters=parameters,
    )


def _by_themselves(given: Strips, parameters: list[str]) -> tuple[TiePoints, Boresight]:
    """Find tie points, and again with the mount that they give."""
    from dronesense.geotag.tie_points import find_tie_points

    pictures, instrument = given.pictures(), given.instrument
    for number in range(ROUNDS):
        ties = find_tie_points(pictures, instrument=instrument, terrain=given.terrain, crs=given.crs)
        _refuse_few(len(ties))
        found = _solved(given, parameters, ties, None)
        _refuse_few(int(found.used.sum()))
        if number == ROUNDS - 1:
            break
        instrument = replace(given.instrument, mount=found.mount)
        late = round(1e9 * found.of("time")[0])
        pictures = [
            replace(each, strip=replace(strip, line_time=strip.line_time + late))
            for each, strip in zip(pictures, given.strips, strict=True)
        ]
    return ties, found


def _refuse_few(places: int) -> None:
    from dronesense.errors import CalibrationError

    if places < LEAST_TIES:
        raise CalibrationError(
            f"{places} places are recognized in two strips; fewer than {LEAST_TIES} may agree by chance",
            fix="fly strips that overlap widely over ground with texture, or give --ties or --control",
        )


def _in_words(found: Boresight, given: Strips) -> list[str]:
    """Return what was found, for a person."""
    import numpy as np

    from dronesense.geotag.boresight import PARAMETERS, UNITS

    units = dict(zip(PARAMETERS, UNITS, strict=True))
    used, _ = found.used, spoken.messages().gettext
    lines = [f"{_('Not used')}: {path}: {reason}" for path, reason in given.skipped]
    before, after, left = (
        np.median(each[used]) for each in (found.before_m, found.after_m, found.held_out_m)
    )
    text = _(
        "%(used)d of %(count)d points used; median distance %(before)s m before, %(after)s m after, "
        "%(left)s m where a point was held out"
    )
    counts = {"used": int(used.sum()), "count": len(used)}
    lines.append(text % {**counts, "before": f"{before:.3g}", "after": f"{after:.3g}", "left": f"{left:.3g}"})
    if not after < NO_BETTER * before:
        lines.append(_("what was assumed fits the points as well: there is nothing to change"))
    text = _("%(name)s: %(value)s ± %(sigma)s %(unit)s to what was assumed")
    lines += [
        text % {"name": name, "value": f"{value:+.4g}", "sigma": f"{sigma:.2g}", "unit": units[name]}
        for name, value, sigma in zip(found.names, found.value, found.sigma, strict=True)
    ]
    correlation = found.correlation
    pairs = [(i, j) for i in range(len(found.names)) for j in range(i)]
    text = _(
        "%(one)s and %(other)s go together (correlation %(value)s): their sum or difference is known better "
        "than each"
    )
    lines += [
        text % {"one": found.names[j], "other": found.names[i], "value": f"{correlation[i, j]:+.2f}"}
        for i, j in pairs
        if abs(correlation[i, j]) >= TOLD_CORRELATION
    ]
    if found.scale > 1.0:
        text = _("points differ %(times)s times as much as stated: uncertainties are widened by it")
        lines.append(text % {"times": f"{found.scale:.2g}"})
    lines += [f"{_('Note')}: {each}" for each in found.notes]
    return lines


def _mount_lines(found: Boresight) -> list[str]:
    """Return what to put into the instrument file, and into flight.toml."""
    from dronesense.writers.record import mount_lines

    lines = mount_lines(found.mount)
    late, sigma = found.of("time")
    if "time" in found.names:
        lines += [
            f"# Lines were taken {late:+.4f} ± {sigma:.4f} s after their stamps: time_offset_s of a dated",
            "# record (--record), or, for the whole track and all that goes by it, in flight.toml:",
            f"# [track] clock_offset_s = {-late:.4f}",
        ]
    if "height" in found.names:
        up, sigma = found.of("height")
        lines.append(f"# Heights of the track need {up:+.3f} ± {sigma:.3f} m to agree with the terrain.")
    return lines


def _record(found: Boresight, given: Strips) -> str:
    """Return a dated record of the mount, valid from the start of the track."""
    import numpy as np

    from dronesense.model import CameraCalibration
    from dronesense.writers.record import mount_record

    left = float(np.nanmedian(found.held_out_m[found.used]))
    names = ", ".join(each.name for each in given.strips)
    late, sigma = found.of("time")
    note = f"boresight from {names}: {int(found.used.sum())} points, held-out distance {left:.3g} m (median)"
    if "time" in found.names:
        note += f", time offset ± {sigma:.4f} s"
    first = min(int(each.trajectory.time[0]) for each in given.strips)  # runs compare it with that
    made = CameraCalibration(
        given.instrument.id,
        first,
        note=note,
        mount=found.mount,
        time_offset_s=round(given.time_offset_s + (late if "time" in found.names else 0.0), 6),
    )
    return mount_record(
        made, remarks=[f"dronesense calibrate boresight, residuals {found.scale:.2g} times as stated"]
    )


def _as_json(
    found: Boresight, given: Strips, ties: TiePoints | None, control: GroundControl | None
) -> dict[str, Any]:
    import numpy as np

    used = found.used

    def spread(values: Any) -> dict[str, float]:
        known = values[used & np.isfinite(values)]
        return {"median": float(np.median(known)), "quantile_90": float(np.quantile(known, 0.9))}

    return {
        "schema": 1,
        "instrument": given.instrument.id,
        "strips": [each.name for each in given.strips],
        "tie_points": 0 if ties is None else len(ties),
        "control_points": 0 if control is None else len(control),
        "used": int(used.sum()),
        "parameters": {
            name: {"change": float(value), "sigma": float(sigma)}
            for name, value, sigma in zip(found.names, found.value, found.sigma, strict=True)
        },
        "correlation": found.correlation.tolist(),
        "mount": {
            "rotation": found.mount.rotation,
            "boresight_deg": list(found.mount.boresight_deg),
            "lever_arm_m": list(found.mount.lever_arm_m),
            "sigma_boresight_deg": found.mount.sigma_boresight_deg,
            "sigma_lever_arm_m": found.mount.sigma_lever_arm_m,
        },
        "distance_m": {
            "before": spread(found.before_m),
            "after": spread(found.after_m),
            "held_out": spread(found.held_out_m),
        },
        "residuals_over_stated": found.scale,
        "notes": list(found.notes),
    }
