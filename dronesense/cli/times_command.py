"""``dronesense calibrate times``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dronesense.cli import spoken
from dronesense.cli.failures import EXIT_DONE, EXIT_SOME_REJECTED

if TYPE_CHECKING:
    from dronesense.calibrate.sync import ClockOffset

NS_PER_S = 1e9


@click.command("times")
@click.argument("flight", metavar="FLIGHT", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--rate",
    "rate_hz",
    required=True,
    type=click.FloatRange(min=0.0, min_open=True),
    help="Lines a second, as the camera was set.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for <name>.lines.csv; put them beside the cubes.",
)
@click.option(
    "--axis",
    type=click.Choice(["roll", "pitch"]),
    default="roll",
    show_default=True,
    help="Body axis about which turns move the ground across the line.",
)
@spoken.option
def times(flight: Path, rate_hz: float, output: Path, axis: str) -> int:
    """Find when the lines of FLIGHT's push-broom cubes without stamps were taken.

    The ground moves across a line when the aircraft rolls: the shifts from line to line are laid over the
    log's angular rates. Refused, in words, where that does not decide.
    """
    from dronesense.manifest import open_flight
    from dronesense.timescale import to_iso
    from dronesense.writers.atomic import write_bytes

    opened = open_flight(flight)
    without = [each.cube for each in opened.cubes if each.cube.geometry is None]
    if not without:
        raise click.UsageError("every cube of the flight has times of its lines, or lies on a map grid")
    refused, _ = 0, spoken.messages().gettext
    for cube in without:
        found, first = _offset(cube, opened.trajectory, rate_hz, axis)
        if not found.accepted:
            refused += 1
            click.echo(f"{_('Not found')}: {cube.path}: {found.reason}", err=True)
            continue
        lines = cube.shape[0]
        stamps = [f"{i},{to_iso(first + round(i * NS_PER_S / rate_hz), 6)}" for i in range(lines)]
        path = output / f"{cube.name}.lines.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, ("\n".join(["line,utc", *stamps]) + "\n").encode("utf-8"))
        at = {"time": to_iso(first, 3), "sigma": f"{found.sigma_s:.2g}"}
        text = _("first line at %(time)s ± %(sigma)s s") % at
        click.echo(f"{cube.path}: {text}: {found.reason}", err=True)
        click.echo(path)
    return EXIT_SOME_REJECTED if refused else EXIT_DONE


def _offset(cube: Any, trajectory: Any, rate_hz: float, axis: Any) -> tuple[ClockOffset, int]:
    """Return how sure it is, and the time of the first line, UTC ns."""
    import numpy as np

    from dronesense.calibrate.clock import estimate_image_offset
    from dronesense.calibrate.image_shift import line_shifts
    from dronesense.errors import CoverageError
    from dronesense.pipeline.strips import picture_of

    if trajectory is None or not len(trajectory.time):
        raise CoverageError("there is no track to compare with", fix="name the flight log in [track]")
    lines = cube.shape[0]
    start = int(trajectory.time[0])
    guess = start + np.rint(np.arange(lines) * NS_PER_S / rate_hz).astype(np.int64)
    span = (int(trajectory.time[-1]) - start) / NS_PER_S
    found = estimate_image_offset(
        guess, line_shifts(picture_of(cube)), trajectory, axis=axis, max_offset_s=max(span, 1.0)
    )
    return found, start + round(found.offset_s * NS_PER_S)
