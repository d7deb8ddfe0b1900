"""``dronesense hotspots confirm`` and ``reject``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Literal

import click

from dronesense.errors import did_you_mean


@click.group("hotspots")
def command() -> None:
    """Say what a person found at a hotspot; the evidence stays as it is.

    Decisions go into hotspots.reviews.jsonl beside the layer; `dronesense convert` shows them.
    """


def _decision(function: Any) -> Any:
    for option in (
        click.argument("hotspot", metavar="ID"),
        click.option(
            "--layer",
            default=Path(),
            type=click.Path(exists=True, path_type=Path),
            help="hotspots.geojson, products folder or flight folder; default: this folder.",
        ),
        click.option("--note", default="", help="Why."),
        click.option("--by", default="", help="Who says so."),
    ):
        function = option(function)
    return function


@command.command("confirm")
@_decision
def confirm(hotspot: str, layer: Path, note: str, by: str) -> int:
    """Set hotspot ID (or the start of its id) to confirmed."""
    return _decide(hotspot, layer, "confirmed", note=note, by=by)


@command.command("reject")
@_decision
def reject(hotspot: str, layer: Path, note: str, by: str) -> int:
    """Set hotspot ID (or the start of its id) to rejected."""
    return _decide(hotspot, layer, "rejected", note=note, by=by)


def _decide(
    hotspot: str, layer: Path, status: Literal["confirmed", "rejected"], *, note: str, by: str
) -> int:
    from dronesense.writers import layers, reviews

    path = layers.find(layer)
    known = [str(feature["id"]) for feature in layers.read_collection(path)["features"]]
    chosen = [each for each in known if each == hotspot] or [
        each for each in known if each.startswith(hotspot)
    ]
    if len(chosen) != 1 or not hotspot:
        which = f"several: {', '.join(chosen)}" if chosen else f"none in {path}{did_you_mean(hotspot, known)}"
        raise click.UsageError(f"which hotspot is {hotspot!r}? There are {which}.")
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    reviews.append(path, chosen[0], status, note=note, by=by, time=now)
    click.echo(f"{chosen[0]} {status}, in {reviews.path_of(path)}")
    return 0
