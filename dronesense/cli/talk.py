"""What a person sees: progress on stderr while it works, a summary on stdout at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dronesense.cli.products import Outcome
from dronesense.writers import words

STAGES: Final = {
    "open": "Reading the flight",
    "gas": "Gas series",
    "cube": "Spectral cubes",
    "merge": "Merging",
    "write": "Writing products",
}
SHOWN: Final = 20
"""Hotspots listed on the terminal; all stand in the products."""


class Talk:
    """Progress bars on stderr; silent when stderr is not a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Show that *done* of *total* steps of *stage* are finished."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(STAGES.get(stage, stage), total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


def _number(value: Any, pattern: str) -> str:
    return "-" if value is None else format(value, pattern)


def _hotspot_line(rank: int, each: dict[str, Any]) -> str:
    size = "-" if each["value"] is None else f"{each['value']:.3g} {each['unit']}"
    if each["value"] is not None and each["value_sigma"] is not None:
        size = f"{each['value']:.3g} ± {each['value_sigma']:.2g} {each['unit']}"
    return (
        f"{rank:>3}  {each['target'][:16]:<16} {each['kind']:<8} {each['lat']:>11.6f} {each['lon']:>12.6f}"
        f"  ±{_number(each['ce90_m'], '.1f'):>7} m  {_number(each['score'], '.3g'):>7}"
        f"  {_number(each['q_value'], '.1e'):>8}  {each['n_passes']:>6}  {size}"
    )


def cautions(outcome: Outcome) -> list[str]:
    """Return what a person must know before trusting the result, a line each."""
    return [f"Warning: {warning}" for warning in outcome.warnings]


def summary(outcome: Outcome) -> str:
    """Return the summary of a run, in plain words."""
    count = len(outcome.hotspots)
    lines = [
        f"Flight {outcome.flight}: {count} hotspot{'' if count == 1 else 's'} (indications, not proof)",
        "",
    ]
    if count:
        lines.append(
            f"  #  {'target':<16} {'kind':<8} {'lat':>11} {'lon':>12}  error 90 %"
            f"  {'score':>7}  {'q-value':>8}  passes  size"
        )
        lines += [_hotspot_line(rank, each) for rank, each in enumerate(outcome.hotspots[:SHOWN], 1)]
        if count > SHOWN:
            lines.append(f"     ... and {count - SHOWN} more in hotspots.geojson")
        lines.append("")
    lines += [f"{title}: {text}" for title, text in words.statements(outcome.statements)]
    for path, reason in outcome.rejected:
        lines.append(f"Not used: {path}: {reason.removeprefix(f'{path}: ')}")
    if outcome.ignored:
        lines.append(f"Ignored: {len(outcome.ignored)} files (reasons in run.json, or `dronesense inspect`)")
    lines.append(f"Products in {outcome.directory} (run {outcome.run_id}):")
    lines += [f"  {file}" for file in outcome.files]
    return "\n".join(lines)
