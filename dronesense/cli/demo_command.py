"""``dronesense demo``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from dronesense.cli import spoken
from dronesense.languages import LANGUAGES

TRUTH_NAME: Final = "truth.geojson"


@click.command("demo")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("dronesense-demo"))
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Another seed, another flight."
)
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    is_eager=True,
    callback=spoken.heard,
    help="Language of messages, page and report; default: messages by LANG, page and report in English.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(folder: Path, seed: int, lang: str | None, as_json: bool) -> int:
    """Write a synthetic flight into FOLDER (log, analyser, cubes, terrain, truth.geojson) and run it.

    A folder that already holds the flight of this seed is run again.
    """
    from dronesense import synthetic
    from dronesense.cli.run_command import run_flights

    _ = spoken.messages().gettext
    if not _holds(folder, seed):
        if folder.exists() and any(folder.iterdir()):
            raise click.UsageError(f"{folder} is not empty and holds another flight; name a new folder")
        text = _("Writing a synthetic flight (seed %(seed)d) to %(folder)s ...")
        click.echo(text % {"seed": seed, "folder": folder}, err=True)
        synthetic.write_flight(folder, seed=seed)
    code = run_flights([folder], output=None, jobs=1, as_json=as_json, language=lang)
    if not as_json:
        click.echo(f"{_('What was planted')}: {folder / TRUTH_NAME}")
    return code


def _holds(folder: Path, seed: int) -> bool:
    """Tell whether *folder* holds the complete synthetic flight of *seed*: its truth is written last."""
    try:
        truth = json.loads((folder / TRUTH_NAME).read_text("utf-8"))
        return bool(truth["flight"]["seed"] == seed)
    except (OSError, ValueError, KeyError, TypeError):
        return False
