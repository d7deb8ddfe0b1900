"""``dronesense merge``."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from dronesense.cli import spoken
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
@spoken.option
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
    for line in _in_words(told, collection):
        click.echo(line, err=True)
    click.echo(text if as_json else output / "campaign.geojson")
    return EXIT_DONE


def _in_words(told: dict[str, Any], collection: dict[str, Any]) -> list[str]:
    """Return what came of a merge, a line each; notes stand as in campaign.json."""
    said = spoken.messages()
    _ = said.gettext
    lines = [f"{_('Warning')}: {note}" for note in told["notes"]]
    if without := told["without_place"]:
        text = said.ngettext(
            "%(count)d hotspot has no place and is left out",
            "%(count)d hotspots have no place and are left out",
            without,
        )
        lines.append(f"{_('Warning')}: {text % {'count': without}}")
    since = Counter(each["properties"]["since"] for each in collection["features"])
    parts = ", ".join(f"{count} {_(word)}" for word, count in sorted(since.items()))
    text = _("%(places)d places of %(runs)d runs, %(repeated)d found by several: %(parts)s")
    counts = {"places": told["places"], "runs": len(told["runs"]), "repeated": told["repeated"]}
    return [*lines, text % {**counts, "parts": parts}]
