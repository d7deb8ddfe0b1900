"""``dronesense geometry``."""

from __future__ import annotations

from pathlib import Path

import click

from dronesense.cli.failures import EXIT_DONE, EXIT_SOME_REJECTED


@click.command("geometry")
@click.argument("flight", metavar="FLIGHT", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the products.",
)
@click.option(
    "--gsd",
    "gsd_m",
    type=click.FloatRange(min=0.0, min_open=True),
    help="Cell of the map grids, m; default: as large as the median pixel.",
)
@click.option("--cubes", is_flag=True, help="Also write the cubes on their map grids.")
@click.option(
    "--method",
    type=click.Choice(["nearest", "bilinear"]),
    default="nearest",
    show_default=True,
    help="How cubes are resampled: nearest leaves spectra as they were measured.",
)
def command(flight: Path, output: Path, gsd_m: float | None, cubes: bool, method: str) -> int:
    """Write where the pixels of FLIGHT's push-broom cubes lie and how they were looked at.

    For each cube: <name>__igm (x, y, height), __glt (lookup table), __obs (path length, angles to sensor and
    sun, slope, time) as ENVI files, __rgb.tif as a picture; with --cubes also __ortho, the cube on the
    ground.
    """
    from dronesense.cli.geometry_products import make_geometry

    made = make_geometry(
        flight, output, gsd_m=gsd_m, cubes=cubes, method="bilinear" if method == "bilinear" else "nearest"
    )
    for warning in made.warnings:
        click.echo(f"Warning: {warning}", err=True)
    for cube, reason in made.skipped:
        click.echo(f"Not used: {cube}: {reason}", err=True)
    for path in made.files:
        click.echo(path)
    return EXIT_SOME_REJECTED if made.skipped else EXIT_DONE
