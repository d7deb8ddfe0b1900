"""``dronesense sign``."""

from __future__ import annotations

from pathlib import Path

import click


def ask_passphrase(ask: bool, *, twice: bool = False) -> bytes | None:
    """Return the passphrase that a person types, or None."""
    if not ask:
        return None
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice)).encode()


@click.command("sign")
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ed25519 private key: of `dronesense evidence keygen` or of ssh-keygen.",
)
@click.option("--ask-passphrase", "ask", is_flag=True, help="Ask for the passphrase of the key.")
def command(run: Path, key: Path, ask: bool) -> int:
    """Sign run.json of RUN, and with it every product that it lists.

    The signature says that the holder of the key signed these bytes; it does not say that they are true.
    """
    from dronesense.evidence import signature, verify
    from dronesense.writers.atomic import lock

    sealed = verify.open_run(run)
    with lock(sealed.folder):
        name = signature.sign(sealed, key, passphrase=ask_passphrase(ask))
    click.echo(f"{sealed.folder / signature.SIGNATURE_NAME}: signed by {name}")
    return 0
