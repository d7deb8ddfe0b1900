"""``dronesense demo``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("dronesense-demo"))
@click.option("--seed", default=0, show_default=True, help="Another seed is another flight.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(folder: Path, seed: int, as_json: bool) -> int:
    """Write a synthetic flight into FOLDER (log, analyser, cubes, terrain, truth.geojson) and run it."""
    from dronesense import synthetic
    from dronesense.cli.run_command import run_flights

    if folder.exists() and any(folder.iterdir()) and not (folder / synthetic.TRUTH_NAME).exists():
        raise click.UsageError(f"{folder} is not empty and holds no synthetic flight; name a new folder")
    click.echo(f"Writing a synthetic flight (seed {seed}) to {folder} ...", err=True)
    synthetic.write_flight(folder, seed=seed)
    code = run_flights([folder], output=None, jobs=1, as_json=as_json)
    if not as_json:
        click.echo(f"What was planted: {folder / synthetic.TRUTH_NAME}")
    return code
