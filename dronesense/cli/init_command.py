"""``dronesense init``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace an existing flight.toml.")
def command(folder: Path, force: bool) -> None:
    """Write FOLDER/flight.toml: what was found there, with comments, ready to edit."""
    from dronesense.manifest import discover, draft
    from dronesense.writers.atomic import write_bytes

    target = folder / "flight.toml"
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; use --force to replace it")
    found = discover(folder)
    write_bytes(target, draft(found).encode("utf-8"))
    if found.ignored:
        click.echo(f"{len(found.ignored)} files were not used; the end of the file says why", err=True)
    click.echo(str(target))
