"""``dronesense merge``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from dronesense.cli.failures import EXIT_DONE, EXIT_NOT_VERIFIED, explain


@click.command("merge")
@click.argument(
    "runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for campaign.geojson and campaign.json.",
)
@click.option("--unverified", is_flag=True, help="Also take products that were changed after their run.")
@click.option("--json", "as_json", is_flag=True, help="campaign.json on stdout.")
def command(runs: tuple[Path, ...], output: Path, unverified: bool, as_json: bool) -> int:
    """Merge the hotspots of several RUNs: what was seen again, and what was not.

    A RUN is a folder of products. Hotspots of one target are one place where their stated position errors
    allow it.
    """
    from dronesense.errors import EvidenceError
    from dronesense.evidence.verify import open_run
    from dronesense.pipeline.campaign import merged, read_run
    from dronesense.writers import geojson
    from dronesense.writers.atomic import MANIFEST_NAME, write_bytes

    if (output / MANIFEST_NAME).exists():
        raise click.UsageError(f"{output} holds the products of a run; give another folder")
    sealed = [open_run(run) for run in runs]
    try:
        read = [read_run(each.folder, each.manifest, unverified=unverified) for each in sealed]
    except EvidenceError as error:
        explain(error)
        return EXIT_NOT_VERIFIED
    collection, told = merged(read)
    layer = geojson.to_bytes(collection)
    told["outputs"] = [{"path": "campaign.geojson", "sha256": hashlib.sha256(layer).hexdigest()}]
    output.mkdir(parents=True, exist_ok=True)
    write_bytes(output / "campaign.geojson", layer)
    text = json.dumps(told, indent=2, allow_nan=False)
    write_bytes(output / "campaign.json", (text + "\n").encode("utf-8"))
    for note in told["notes"]:
        click.echo(f"Warning: {note}", err=True)
    if told["without_place"]:
        click.echo(f"Warning: {told['without_place']} hotspots have no place and are left out", err=True)
    since: dict[str, int] = {}
    for each in collection["features"]:
        since[each["properties"]["since"]] = since.get(each["properties"]["since"], 0) + 1
    parts = ", ".join(f"{count} {word}" for word, count in sorted(since.items()))
    click.echo(
        f"{told['places']} places of {len(told['runs'])} runs, {told['repeated']} found by several: {parts}",
        err=True,
    )
    click.echo(text if as_json else output / "campaign.geojson")
    return EXIT_DONE
