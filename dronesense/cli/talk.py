"""What a person sees: progress on stderr while it works, a summary on stdout at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dronesense.cli.products import Outcome
from dronesense.geodesy import places
from dronesense.languages import SOURCE, catalog, marked
from dronesense.writers import words

STAGES: Final = {
    "copy": marked("Copying"),
    "open": marked("Reading the flight"),
    "hash": marked("Hashing the files"),
    "gas": marked("Gas series"),
    "cube": marked("Spectral cubes"),
    "merge": marked("Merging"),
    "write": marked("Writing products"),
}
RATES: Final = {"copy": (1e6, "MB/s"), "hash": (1e6, "MB/s"), "cube": (1e3, marked("thousand pixels/s"))}
"""Stages that are long, what they count (bytes, pixels) in larger numbers, and what the rate is called."""
SHOWN: Final = 20
"""Hotspots listed on the terminal; all stand in the products."""
MAIN: Final = ("hotspots.geojson", "hotspots.gpkg", "report.html", "run.json", "view.html")
"""Products that everybody opens; the others are counted."""
BEST: Final = 3
"""Of them with a place in MGRS, for the radio."""


class Talk:
    """Progress bars on stderr; silent when stderr is not a terminal."""

    def __init__(self, *, language: str = SOURCE) -> None:
        self._say = catalog(language).gettext
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
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
            text = self._say(STAGES.get(stage, stage))
            self._tasks[stage] = self._bars.add_task(text, total=total, rate="")
        self._bars.update(self._tasks[stage], completed=done, total=total, rate=self._rate(stage))

    def _rate(self, stage: str) -> str:
        """Return how fast a long stage goes; empty where nobody knows yet."""
        speed = self._bars.tasks[self._tasks[stage]].speed
        if stage not in RATES or not speed:
            return ""
        unit, name = RATES[stage]
        return f"{speed / unit:,.0f} {self._say(name)}"


def _hotspot_line(rank: int, each: dict[str, Any]) -> str:
    return (
        f"{rank:>3}  {each['target'][:16]:<16} {each['kind']:<8} {each['lat']:>11.6f} {each['lon']:>12.6f}"
        f"  ±{words.number(each['ce90_m'], '.1f'):>7} m  {words.number(each['score'], '.3g'):>7}"
        f"  {words.number(each['q_value'], '.1e'):>8}  {each['n_passes']:>6}  {words.size(each)}"
    )


def cautions(outcome: Outcome, *, language: str = SOURCE) -> list[str]:
    """Return what a person must know before trusting the result, a line each."""
    title = catalog(language).gettext("Warning")
    return [f"{title}: {warning}" for warning in outcome.warnings]


def summary(outcome: Outcome, *, language: str = SOURCE) -> str:
    """Return the summary of a run, in plain words: what was found, how sure, what was left out, what next."""
    said = catalog(language)
    _ = said.gettext
    count = len(outcome.hotspots)
    title = said.ngettext(
        "Flight %(flight)s: %(count)d hotspot (indications, not proof)",
        "Flight %(flight)s: %(count)d hotspots (indications, not proof)",
        count,
    )
    lines = [title % {"flight": outcome.flight, "count": count}, ""]
    if outcome.up_to_date:
        lines += [_("Up to date: nothing has changed since this run; --again runs it anew."), ""]
    if outcome.renewed:
        lines += [f"{_('Run anew')}: {outcome.renewed}", ""]
    if outcome.taken_up:
        text = _("Taken up from a run that did not end: %(what)s")
        lines += [text % {"what": ", ".join(outcome.taken_up)}, ""]
    if count:
        lines += [*_listed(outcome, _), ""]
    told = words.in_short(outcome.statements, translate=_)
    lines += [f"{name}: {text}" for name, text in told]
    for path, reason in outcome.rejected:
        lines.append(f"{_('Not used')}: {path}: {reason.removeprefix(f'{path}: ')}")
    if outcome.ignored:
        text = _("Ignored: %(count)d files (reasons in run.json, or `dronesense inspect`)")
        lines.append(text % {"count": len(outcome.ignored)})
    lines.append(f"{_('What to do next')}: {_next_step(count, _)}")
    text = _("Products in %(directory)s (run %(run)s):")
    lines.append(text % {"directory": outcome.directory, "run": outcome.run_id})
    lines += [f"  {file}" for file in outcome.files if file in MAIN]
    if len(outcome.files) > len(MAIN):
        text = _("  and %(count)d more: rasters, tables, pictures (docs/products.md)")
        lines.append(text % {"count": sum(file not in MAIN for file in outcome.files)})
    return "\n".join(lines)


def _listed(outcome: Outcome, _: words.Translate) -> list[str]:
    """Return the table of the hotspots, and the places of the best as a radio carries them."""
    count = len(outcome.hotspots)
    heading = (
        f"  #  {_('target'):<16} {_('kind'):<8} {_('lat'):>11} {_('lon'):>12}  {_('error 90 %')}"
        f"  {_('score'):>7}  {_('q-value'):>8}  {_('passes')}  {_('size')}"
    )
    lines = [heading]
    lines += [_hotspot_line(rank, each) for rank, each in enumerate(outcome.hotspots[:SHOWN], 1)]
    if count > SHOWN:
        lines.append("     " + _("... and %(count)d more in hotspots.geojson") % {"count": count - SHOWN})
    named = [
        f"{rank}: {grid}"
        for rank, each in enumerate(outcome.hotspots[:BEST], 1)
        if (grid := places(each["lon"], each["lat"]).get("MGRS"))
    ]
    return [*lines, f"{_('The best in MGRS')}: {', '.join(named)}"] if named else lines


def _next_step(count: int, _: words.Translate) -> str:
    if count:
        return _(
            "look at view.html; check the best ones on the ground or by a sample; then "
            "`dronesense hotspots confirm` or `reject`. report.html is made for printing."
        )
    return _(
        "nothing found does not say that nothing is there: compare what was looked at and the limits above "
        "with what you seek."
    )
