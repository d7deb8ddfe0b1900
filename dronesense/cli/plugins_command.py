"""``dronesense plugins``."""

from __future__ import annotations

import json

import click

from dronesense import plugins


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(as_json: bool) -> None:
    """List the readers, detectors and writers, and the package that each comes from."""
    table = {
        group: {name: plugins.origin(group, name) for name in plugins.names(group)}
        for group in plugins.GROUPS
    }
    if as_json:
        click.echo(json.dumps(table, indent=2))
        return
    for group, entries in table.items():
        click.echo(group)
        for name, origin in entries.items():
            click.echo(f"  {name:<12} {origin}")
