"""``dronesense report``."""

from __future__ import annotations

from pathlib import Path

import click

from dronesense.cli import said
from dronesense.cli.sealed import unsealed
from dronesense.languages import LANGUAGES


@click.command("report")
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; default: report.reviewed.html beside the layer.",
)
@click.option(
    "--lang", default="en", show_default=True, type=click.Choice(LANGUAGES), help="Language of the report."
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser.")
def command(run: Path, output: Path | None, lang: str, show: bool) -> int:
    """Write the report of RUN anew, with what people decided about its hotspots; any browser prints it.

    RUN is a products folder or a flight folder. The report that the run sealed in run.json stays as it is.
    """
    from dronesense.writers import layers, report

    source = layers.find(run)
    target = unsealed(output, source.with_name(report.NAME), end=".html")
    manifest = said.manifest_beside(source)
    report.write(
        layers.from_path(source),
        target,
        about=said.about(source, manifest, language=lang),
        manifest=manifest,
        quicklooks=sorted((source.parent / "quicklooks").glob("*.png")),
        language=lang,
    )
    click.echo(target)
    if show:
        click.launch(str(target))
    return 0
