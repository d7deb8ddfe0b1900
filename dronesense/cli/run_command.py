"""``dronesense run``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import click

from dronesense.cli import spoken
from dronesense.cli.failures import EXIT_DONE, EXIT_SOME_REJECTED, explain
from dronesense.languages import LANGUAGES, SOURCE, catalog, from_environment

if TYPE_CHECKING:
    from dronesense.cli.executors import Executor

FAILURES_NAME: Final = "failures.json"
"""Beside the products of several flights, if any failed."""


def _address(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    """Check the address of a scheduler; opens nothing."""
    if given is not None:
        from dronesense.cli.cluster import check_address

        try:
            check_address(given)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return given


@click.command("run")
@click.argument("flights", nargs=-1, metavar="FLIGHT...", type=click.Path(path_type=Path))
@click.option(
    "--list",
    "listed",
    type=click.File(encoding="utf-8"),
    help="File with more flights, one a line; - is stdin.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the products; default: products/ in the flight folder, of a card a new one here.",
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Flights worked on at once; of a single flight, cubes searched at once.",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    callback=_address,
    help="Work on the Dask scheduler at tcp://HOST:PORT or tls://HOST:PORT (docs/scale.md).",
)
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    is_eager=True,
    callback=spoken.heard,
    help="Language of messages, page and report; default: messages by LANG, page and report in English.",
)
@click.option("--again", is_flag=True, help="Also where the products of a finished run are up to date.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    flights: tuple[Path, ...],
    listed: TextIO | None,
    output: Path | None,
    jobs: int,
    cluster: str | None,
    lang: str | None,
    again: bool,
    as_json: bool,
) -> int:
    """Process each FLIGHT: a folder, with or without flight.toml, or a TOML file.

    Products are complete or absent. Hotspots are indications with their limits, never proof.
    """
    if cluster is not None and jobs > 1:
        raise click.UsageError("--jobs is for this computer; on a cluster the number of workers counts")
    given = [*flights, *_lines(listed)]
    if not given:
        raise click.UsageError("no flights are given")
    return run_flights(
        given,
        output=output,
        jobs=jobs,
        as_json=as_json,
        language=lang,
        cluster=cluster,
        again=again,
        several=len(given) > 1 or listed is not None,
    )


def _lines(listed: TextIO | None) -> list[Path]:
    lines = [] if listed is None else [line.rstrip("\r\n") for line in listed]
    return [Path(line) for line in lines if line.strip()]


def run_flights(
    flights: list[Path],
    *,
    output: Path | None,
    jobs: int,
    as_json: bool,
    language: str | None = None,
    cluster: str | None = None,
    again: bool = False,
    several: bool | None = None,
) -> int:
    """Run all flights, print what came out, and return the exit code.

    *several*: a folder for each below *output*, and a list of what failed; default: if there are several.

    Without a *language*, messages follow the environment; products never do: same flight, same bytes.
    """
    from dronesense.cli.executors import Finished, Task
    from dronesense.cli.talk import cautions, summary

    tongue = language or (from_environment(os.environ) if spoken.language() == SOURCE else spoken.language())
    _ = catalog(tongue).gettext
    several = len(flights) > 1 if several is None else several
    alone = not several and cluster is None
    targets = [_target(flight, output, several, alone=alone) for flight in flights]
    _refuse_shared(flights, targets)
    tasks = [
        Task(flight, target, language or SOURCE, again)
        for flight, target in zip(flights, targets, strict=True)
    ]
    ended: dict[int, Finished] = {}
    failed: list[dict[str, str | None]] = []
    codes: list[int] = []
    card = _is_card(flights[0], output)
    for each in _executor(jobs, cluster, several, tongue, below=card).each(tasks):
        ended[each.number] = each
        flight = flights[each.number]
        if each.outcome is None:
            assert each.error is not None
            if not several:
                raise each.error
            codes.append(_failed(each.error))
            failed.append(_told(flight, each.error))
        else:
            codes.append(EXIT_SOME_REJECTED if each.outcome.rejected else EXIT_DONE)
            for line in cautions(each.outcome, language=tongue):
                click.echo(f"{each.outcome.flight}: {line}" if several else line, err=True)
            if not as_json:
                click.echo(summary(each.outcome, language=tongue))
        if several:
            counts = {"done": len(ended), "count": len(flights), "failed": len(failed)}
            click.echo(
                f"{_('%(done)d of %(count)d flights, %(failed)d failed') % counts}: {flight}", err=True
            )
    if several:
        order = {str(flight): number for number, flight in enumerate(flights)}
        failed.sort(key=lambda row: order[str(row["flight"])])
        _list_failed(failed, output)
    if as_json:
        told = [each.outcome.to_json() for _, each in sorted(ended.items()) if each.outcome]
        whole = {"flights": told, "failed": failed} if several else told[0]
        click.echo(json.dumps(whole, indent=2, allow_nan=False))
    return max(codes, default=EXIT_DONE)


def _executor(jobs: int, cluster: str | None, several: bool, language: str, *, below: bool) -> Executor:
    from dronesense.cli.executors import InProcess, Processes

    if cluster is not None:
        from dronesense.cli.cluster import Dask

        return Dask(cluster)
    return Processes(jobs) if jobs > 1 and several else InProcess(language, jobs, below)


def _told(flight: Path, error: Exception) -> dict[str, str | None]:
    return {
        "flight": str(flight),
        "what": getattr(error, "what", str(error)),
        "where": getattr(error, "where", None),
        "fix": getattr(error, "fix", None),
    }


def _list_failed(failed: list[dict[str, str | None]], output: Path | None) -> None:
    """Tell which flights failed; below *output* the list stays in a file, as long as there are any."""
    from dronesense.writers.atomic import write_bytes

    if failed:
        click.echo(
            f"{spoken.messages().gettext('Failed')}: {', '.join(str(row['flight']) for row in failed)}",
            err=True,
        )
    if output is None:
        return
    if failed:
        text = json.dumps({"schema": 1, "failed": failed}, indent=2, ensure_ascii=False)
        write_bytes(output / FAILURES_NAME, f"{text}\n".encode())
    else:
        (output / FAILURES_NAME).unlink(missing_ok=True)


def _failed(error: Exception) -> int:
    from dronesense.cli.failures import EXIT_BUG, report_bug

    code = explain(error)
    if code == EXIT_BUG:
        report_bug(error)
    return code


def _refuse_shared(flights: list[Path], targets: list[Path]) -> None:
    """Refuse flights whose products would replace each other's."""
    taken: dict[Path, Path] = {}
    for flight, target in zip(flights, targets, strict=True):
        other = taken.setdefault(target.resolve(), flight)
        if other is not flight:
            raise click.UsageError(
                f"{other} and {flight} would both be written to {target}; run one at a time"
            )


def _is_card(flight: Path, output: Path | None) -> bool:
    """Tell whether *flight* is a card, which is never written to, and nobody says where else to."""
    from dronesense.manifest import is_card

    return output is None and is_card(flight)


def _target(flight: Path, output: Path | None, several: bool, *, alone: bool) -> Path:
    """Return the folder of the products; that of a card's is made in the current folder."""
    if _is_card(flight, output):
        here = Path.cwd().resolve()
        if not alone or flight.resolve() in (here, *here.parents):
            raise click.UsageError(
                f"{flight} has neither flight.toml nor raw/: it is taken for a card, which is never written "
                "to; name a folder for the products with -o"
            )
        return here
    if output is None:
        return (flight if flight.is_dir() else flight.parent) / "products"
    name = flight.resolve().name if flight.is_dir() else flight.resolve().parent.name
    return output / name if several else output
