"""Readers, detectors and writers by entry point; the built-ins come through the same door.

A reader plug-in is a module (or object) with ``sniff(path, head) -> bool`` and ``read(path, ...)``.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from dronesense.errors import PluginError, ReadError, UnknownFormatError, did_you_mean

GROUPS: Final = (
    "dronesense.readers.trajectory",
    "dronesense.readers.gas",
    "dronesense.readers.cube",
    "dronesense.readers.signature",
    "dronesense.detectors",
    "dronesense.writers",
)
"""The entry-point groups that dronesense asks."""

HEAD_BYTES: Final = 8192
"""Bytes from the start of a file that every ``sniff`` is shown."""


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in sorted(entry_points(group=group), key=lambda e: e.name)}


@cache
def _loaded(entry: EntryPoint) -> Any:
    return entry.load()


def names(group: str) -> list[str]:
    """Return the sorted names of the plug-ins of *group*."""
    return list(_entries(group))


def origin(group: str, name: str) -> str:
    """Return ``distribution version`` of the package that brings plug-in *name*."""
    dist = _entries(group)[name].dist
    return "unknown" if dist is None else f"{dist.name} {dist.version}"


def declared() -> list[tuple[str, str, str, str]]:
    """Return group, name, target and origin of every plug-in that is installed, sorted."""
    return sorted(
        (group, name, entry.value, origin(group, name))
        for group in GROUPS
        for name, entry in _entries(group).items()
    )


def find(group: str, name: str) -> Any:
    """Load the plug-in *name* of *group*.

    Raises
    ------
    PluginError
        If there is none of that name, or it does not import.
    """
    entry = _entries(group).get(name)
    if entry is None:
        known = names(group)
        raise PluginError(
            f'no "{name}" in {group}{did_you_mean(name, known)}',
            fix=f"use one of: {', '.join(known) or 'none installed'}",
        )
    try:
        return _loaded(entry)
    except (ImportError, AttributeError) as error:
        raise PluginError(f'"{name}" of {group} does not load: {error}') from error


def read_head(path: Path) -> bytes:
    """Return the first :data:`HEAD_BYTES` of *path*.

    Raises
    ------
    ReadError
        If the file cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error


def claims(group: str, path: Path) -> list[str]:
    """Return the names of the readers of *group* that recognise *path* by its content."""
    head = read_head(path)
    return [name for name in names(group) if find(group, name).sniff(path, head)]


def sniff(group: str, path: Path) -> str:
    """Return the one reader of *group* that recognises *path*.

    Raises
    ------
    UnknownFormatError
        If none does, or more than one does.
    """
    if path.stat().st_size == 0:
        raise ReadError("is empty", where=path, fix="copy it again from the card")
    claimed = claims(group, path)
    if len(claimed) == 1:
        return claimed[0]
    if not claimed:
        raise UnknownFormatError(
            f"not recognised by any reader ({', '.join(names(group))})",
            where=path,
            fix="check the file, or name its reader with reader =",
        )
    raise UnknownFormatError(
        f"claimed by more than one reader: {', '.join(claimed)}",
        where=path,
        fix=f'set reader = "{claimed[0]}" or another of them',
    )
