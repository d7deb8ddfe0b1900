"""``dronesense view``."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dronesense.cli.sealed import unsealed
from dronesense.errors import ReadError

if TYPE_CHECKING:
    from dronesense.writers.view import About


@click.command("view")
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; default: view.reviewed.html beside the layer.",
)
@click.option(
    "--lang",
    default="en",
    show_default=True,
    type=click.Choice(["en", "ru", "kk"]),
    help="Language of the page.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def command(run: Path, output: Path | None, lang: str, show: bool) -> int:
    """Write the map page of RUN anew, with what people decided about its hotspots.

    RUN is a products folder or a flight folder. The page that the run sealed in run.json stays as it is.
    """
    from dronesense.writers import layers, view

    source = layers.find(run)
    target = unsealed(output, source.with_name(view.NAME), end=".html")
    view.write(layers.from_path(source), target, about=_about(source), language=lang)
    click.echo(target)
    if show:
        click.launch(str(target))
    return 0


def _about(source: Path) -> About:
    """Return what run.json and spectra.json beside a layer say; what they do not say is left out."""
    from dronesense.writers import spectra, words
    from dronesense.writers.atomic import MANIFEST_NAME
    from dronesense.writers.view import About

    folder = source.parent
    path = folder / MANIFEST_NAME
    found: Any = {}
    if path.is_file():
        try:
            found = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise ReadError(f"is not JSON ({error})", where=path) from error
    if not isinstance(found, dict):
        raise ReadError("is not a run manifest", where=path)
    statements = found.get("statements")
    told = statements if isinstance(statements, dict) else {}
    searches = told.get("searches")
    return About(
        run=str(found.get("run_id", "")),
        layer_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        statements=words.statements(told),
        warnings=[str(each) for each in _rows(found.get("warnings"))],
        rejected=_pairs(found.get("rejected")),
        ignored=_pairs(found.get("not_looked_at")),
        thresholds={
            str(each["species"]): float(each["threshold"])
            for each in _rows(searches)
            if isinstance(each, dict) and "species" in each and _is_finite(each.get("threshold"))
        },
        spectra=spectra.read(folder / spectra.NAME),
    )


def _rows(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _pairs(value: object) -> list[tuple[str, str]]:
    return [
        (str(each.get("path")), str(each.get("reason"))) for each in _rows(value) if isinstance(each, dict)
    ]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
