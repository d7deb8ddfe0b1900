"""Which of several flight logs to use: post-processed before RTK, before the filter, before plain GNSS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from dronesense import plugins
from dronesense.errors import DronesenseError
from dronesense.model import Trajectory
from dronesense.readers.assembly import Rank

TRAJECTORY: Final = "dronesense.readers.trajectory"
PER_LINE: Final = "ONE_FILE_PER_LINE"
"""A reader whose module has this as True reads the logs of cameras that start a file with every line."""


@dataclass(frozen=True, slots=True)
class LogChoice:
    """The logs to use.

    Parameters
    ----------
    logs : list of Path
        One, or the files of a camera that logs every line apart.
    reader : str
        Their reader.
    attitude : Path or None
        Another log that has the attitude that `logs` lack.
    ignored : list of (Path, reason)
        The rest.
    """

    logs: list[Path]
    reader: str
    attitude: Path | None = None
    ignored: list[tuple[Path, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Log:
    path: Path
    reader: str
    track: Trajectory | None
    rank: int
    problem: str = ""

    @property
    def has_attitude(self) -> bool:
        return self.track is not None and bool(np.isfinite(self.track.attitude).all(axis=1).any())

    def overlaps(self, other: _Log) -> bool:
        if self.track is None or other.track is None:
            return False
        return bool(self.track.time[0] <= other.track.time[-1] and other.track.time[0] <= self.track.time[-1])


def choose_logs(found: Sequence[tuple[Path, str]]) -> LogChoice:
    """Return which of the logs *found* (path, reader) to use; several are read to see what they hold.

    The best kind of position wins (:class:`~dronesense.readers.assembly.Rank`), then the log with the
    longest time. Where the winner has no attitude, another log of the same time that has one gives it.
    """
    if len(found) == 1:
        return LogChoice([found[0][0]], found[0][1])
    logs = sorted((_look(path, reader) for path, reader in found), key=_merit, reverse=True)
    best = logs[0]
    if best.track is None:  # none can be read as it is: the largest is tried, and says why
        best = max(logs, key=lambda log: log.path.stat().st_size)
    used = [best]
    if getattr(plugins.find(TRAJECTORY, best.reader), PER_LINE, False):
        for log in logs[1:]:
            if log.reader == best.reader and log.track and not any(log.overlaps(each) for each in used):
                used.append(log)
    used.sort(key=lambda log: log.path)
    attitude = None
    if best.track is not None and not best.has_attitude:
        attitude = next((log for log in logs if log.has_attitude and log.overlaps(best)), None)
    left = [log for log in logs if log not in used and log is not attitude]
    return LogChoice(
        [log.path for log in used],
        best.reader,
        None if attitude is None else attitude.path,
        [(log.path, _why_not(log, best)) for log in left],
    )


def _look(path: Path, reader: str) -> _Log:
    try:
        track, report = plugins.find(TRAJECTORY, reader).read(path, label=path.name)
    except DronesenseError as error:
        return _Log(path, reader, None, 0, str(error.what))
    sources = report.details.get("sources")
    kinds = [each["kind"] for each in sources if each["used"]] if isinstance(sources, list) else []
    return _Log(path, reader, track, Rank[kinds[0].upper()] if kinds else Rank.TABLE)


def _merit(log: _Log) -> tuple[int, int, str]:
    span = 0 if log.track is None else int(log.track.time[-1] - log.track.time[0])
    return log.rank, span, log.path.name


def _why_not(log: _Log, best: _Log) -> str:
    if log.problem:
        return f"a flight log that cannot be used as it is: {log.problem}"
    if not log.overlaps(best):
        return f"a flight log of another time than {best.path.name}; name the one to use in [track]"
    if log.rank < best.rank:
        return (
            f"a second flight log, of a lesser kind ({Rank(log.rank).name.lower()}) than {best.path.name} "
            f"({Rank(best.rank).name.lower()}); name the one to use in [track]"
        )
    return f"a second, shorter flight log beside {best.path.name}; name the one to use in [track]"
