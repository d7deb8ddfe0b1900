"""``dronesense run``."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import click

from dronesense.cli.failures import EXIT_DONE, EXIT_SOME_REJECTED, explain
from dronesense.languages import LANGUAGES, SOURCE, from_environment


@click.command("run")
@click.argument("flights", nargs=-1, required=True, metavar="FLIGHT...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the products; default: products/ in the flight folder.",
)
@click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(1), help="Flights worked on at once."
)
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    help="Language of messages, page and report; default: messages by LANG, page and report in English.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    flights: tuple[Path, ...], output: Path | None, jobs: int, lang: str | None, as_json: bool
) -> int:
    """Process each FLIGHT: a folder, with or without flight.toml, or a TOML file.

    Products are complete or absent. Hotspots are indications with their limits, never proof.
    """
    return run_flights(list(flights), output=output, jobs=jobs, as_json=as_json, language=lang)


def run_flights(
    flights: list[Path], *, output: Path | None, jobs: int, as_json: bool, language: str | None = None
) -> int:
    """Run all flights, print what came out, and return the exit code.

    Without a *language*, messages follow the environment; products never do: same flight, same bytes.
    """
    from dronesense.cli import products
    from dronesense.cli.products import Outcome
    from dronesense.cli.talk import Talk, cautions, summary

    make_products = partial(products.make_products, language=language or SOURCE)
    spoken = language or from_environment(os.environ)
    several = len(flights) > 1
    targets = [_target(flight, output, several) for flight in flights]
    _refuse_shared(flights, targets)
    outcomes: list[Outcome] = []
    codes: list[int] = []

    def finished(outcome: Outcome) -> None:
        outcomes.append(outcome)
        codes.append(EXIT_SOME_REJECTED if outcome.rejected else EXIT_DONE)
        for line in cautions(outcome, language=spoken):
            click.echo(f"{outcome.flight}: {line}" if several else line, err=True)
        if not as_json:
            click.echo(summary(outcome, language=spoken))

    failed: list[dict[str, str | None]] = []

    def lost(flight: Path, error: Exception) -> None:
        codes.append(_failed(error))
        failed.append(
            {
                "flight": str(flight),
                "what": getattr(error, "what", str(error)),
                "where": getattr(error, "where", None),
                "fix": getattr(error, "fix", None),
            }
        )

    if jobs > 1 and several:
        from dronesense.cli.parallel import each_in_a_process

        tasks = list(zip(flights, targets, strict=True))
        for number, result, error in each_in_a_process(make_products, tasks, jobs=jobs):
            if error is None:
                finished(result)
            else:
                lost(flights[number], error)
    else:
        for flight, target in zip(flights, targets, strict=True):
            try:
                with Talk(language=spoken) as talk:
                    outcome = make_products(flight, target, progress=talk.progress)
                finished(outcome)
            except Exception as error:
                if not several:
                    raise
                lost(flight, error)
    if as_json:
        place = {str(target): number for number, target in enumerate(targets)}
        outcomes.sort(key=lambda each: place.get(str(each.directory), len(targets)))
        told = [outcome.to_json() for outcome in outcomes]
        whole = {"flights": told, "failed": failed} if several or not told else told[0]
        click.echo(json.dumps(whole, indent=2, allow_nan=False))
    return max(codes, default=EXIT_DONE)


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


def _target(flight: Path, output: Path | None, several: bool) -> Path:
    if output is None:
        return (flight if flight.is_dir() else flight.parent) / "products"
    name = flight.resolve().name if flight.is_dir() else flight.resolve().parent.name
    return output / name if several else output
