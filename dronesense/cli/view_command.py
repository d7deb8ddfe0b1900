"""``dronesense view``."""

from __future__ import annotations

from pathlib import Path

import click

from dronesense.cli import said
from dronesense.cli.sealed import unsealed
from dronesense.languages import LANGUAGES


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
    type=click.Choice(LANGUAGES),
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
    told = said.about(source, said.manifest_beside(source))
    view.write(layers.from_path(source), target, about=told, language=lang)
    click.echo(target)
    if show:
        click.launch(str(target))
    return 0
