"""``dronesense ingest``."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

import click

from dronesense.cli import spoken
from dronesense.cli.failures import EXIT_DONE, EXIT_NO_INPUT, EXIT_SOME_REJECTED


@click.command("ingest")
@click.argument("card", metavar="CARD", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Flight folder; the copies go into raw/ in it.",
)
@click.option("--actor", default="", help="Who copies; stands in the custody log.")
@click.option(
    "--verify-copy/--no-verify-copy",
    "read_back",
    default=True,
    show_default=True,
    help="Read every copy again from the disk.",
)
def command(card: Path, output: Path, actor: str, read_back: bool) -> int:
    """Copy CARD with hashes and a line in the custody log; the card is never written.

    A copy that was interrupted goes on where it stopped.
    """
    from dronesense import __version__
    from dronesense.cli.talk import Talk
    from dronesense.evidence import custody, ingest
    from dronesense.writers.atomic import sha256_file

    with Talk(language=spoken.language()) as talk:
        result = ingest.ingest(card, output, read_back=read_back, progress=partial(talk.progress, "copy"))
    for name, reason in result.refused:
        click.echo(f"Not copied: {ascii(name)[1:-1]}: {reason}", err=True)
    log = output / custody.NAME
    if result.fresh or not log.exists():
        note = f"{result.fresh} files copied, {len(result.refused)} refused"
        chain = custody.append(
            log,
            "ingest",
            utc=dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            actor=actor,
            tool=f"dronesense {__version__}",
            subject_sha256=(sha256_file(output / ingest.NAME), sha256_file(output / ingest.SUMS_NAME)),
            note=note + (", read back" if read_back else ""),
        )
        click.echo(f"Head code of the custody log: {chain.head}")
    click.echo(f"{len(result.files)} files in {output / ingest.RAW}, {result.fresh} of them copied now")
    if not result.files:
        return EXIT_NO_INPUT
    return EXIT_SOME_REJECTED if result.refused else EXIT_DONE
