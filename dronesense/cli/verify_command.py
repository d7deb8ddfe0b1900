"""``dronesense verify``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dronesense.cli.failures import EXIT_DONE, EXIT_NOT_VERIFIED
from dronesense.errors import DronesenseError

if TYPE_CHECKING:
    from dronesense.evidence.verify import Sealed, Verdict


@click.command("verify")
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.option("--inputs", "raw", is_flag=True, help="Check the raw files too.")
@click.option("--chain", "log", is_flag=True, help="Fail where there is no custody log.")
@click.option("--rerun", is_flag=True, help="Run the flight again and compare what comes out.")
@click.option(
    "--flight",
    type=click.Path(exists=True, path_type=Path),
    help="Flight folder or its TOML; default: the folder that RUN lies in.",
)
@click.option(
    "--trusted",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public keys of those whose signature counts; another one, or none, fails.",
)
@click.option("--head", "heads", multiple=True, help="Head code of the custody log, noted on paper.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    run: Path,
    raw: bool,
    log: bool,
    rerun: bool,
    flight: Path | None,
    trusted: Path | None,
    heads: tuple[str, ...],
    as_json: bool,
) -> int:
    """Hold the products in RUN against run.json; changes nothing. Exit code 7: something does not fit.

    Bytes, missing and added files, custody log, signature and time stamp are checked where they are there.
    """
    from dronesense.evidence import custody, signature, timestamp, verify

    sealed = verify.open_run(run)
    source = sealed.folder.resolve().parent if flight is None else flight
    folder = source if source.is_dir() else source.parent
    verdicts = [verify.integrity(sealed), verify.completeness(sealed)]
    if raw:
        verdicts.append(verify.inputs(sealed, folder, places=_calibrations()))
    verdicts.append(verify.chain(sealed, folder / custody.NAME, heads=heads, required=log))
    verdicts += [signature.signature(sealed, trusted=trusted), timestamp.timestamp(sealed)]
    if rerun:
        verdicts.append(_again(sealed, source))
    passed = all(each.passed is not False for each in verdicts)
    if as_json:
        told = {"schema": 1, "run_id": sealed.manifest.get("run_id"), "passed": passed}
        rows = [asdict(each) for each in verdicts]
        click.echo(json.dumps(told | {"verdicts": rows}, indent=2, ensure_ascii=True))
    else:
        click.echo(_words(verdicts))
    return EXIT_DONE if passed else EXIT_NOT_VERIFIED


def _again(sealed: Sealed, flight: Path) -> Verdict:
    """Run the flight once more, in a folder that is gone afterwards, and compare."""
    from tempfile import TemporaryDirectory

    from dronesense.cli.products import make_products
    from dronesense.cli.talk import Talk
    from dronesense.evidence import verify

    with TemporaryDirectory(prefix="dronesense-verify-") as place, Talk() as talk:
        again = Path(place) / "products"
        try:
            make_products(flight, again, progress=talk.progress)
            return verify.reproduced(sealed, again)
        except DronesenseError as error:
            return verify.Verdict("REPRODUCED", False, "could not be run again", (str(error),))


def _calibrations() -> tuple[Path, ...]:
    """Return the folder of records that comes with the program."""
    import dronesense

    return (Path(dronesense.__file__).parent,)


def _words(verdicts: list[Verdict]) -> str:
    states = {True: "ok", False: "FAILED", None: "-"}
    lines = []
    for each in verdicts:
        lines.append(f"{each.name:<13} {states[each.passed]:<7} {each.word}")
        lines += [f"    {problem}" for problem in each.problems]
        lines += [f"    note: {note}" for note in each.notes]
    return "\n".join(_printable(line) for line in lines)


def _printable(text: str) -> str:
    """Return *text* without control characters: names of files come from strangers."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
