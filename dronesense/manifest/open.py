"""Open a flight: a folder, a ``flight.toml``, or a single file to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from dronesense.errors import ManifestError, ReadError, UnreadableError
from dronesense.manifest.discover import Discovery, discover
from dronesense.manifest.opener import Opener
from dronesense.manifest.schema import Manifest, with_origin
from dronesense.model import Flight
from dronesense.readers import toml as toml_reader

MANIFEST_NAME: Final = "flight.toml"
FLIGHT_PARTS: Final = (MANIFEST_NAME, "raw", "calibration")
"""What a flight folder holds and a card does not."""
SHOWN_REASONS: Final = 5
"""Ignored files that an error names."""
FOLDERS_UP: Final = 3
"""How far above a single file its flight folder, with its instruments, is looked for."""


def open_flight(path: str | Path) -> Flight:
    """Open a flight folder or a ``flight.toml``.

    Without a ``flight.toml`` the folder is searched and every file gets its role by its content.

    Parameters
    ----------
    path : str or Path
        A folder, or a TOML file whose paths are relative to it.

    Raises
    ------
    ManifestError
        If a key or value of the manifest is wrong; names file, key and what would be right.
    ReadError
        If nothing usable is there, or the flight log cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ReadError("there is no such file or folder", where=path)
    file = path / MANIFEST_NAME if path.is_dir() else path
    if file.is_file():
        manifest = toml_reader.load(file, Manifest)
        given = toml_reader.read(file)
        return Opener(file.parent, manifest, file).flight(with_origin(manifest, given, origin=MANIFEST_NAME))
    return _from_discovery(path, discover(path))


def is_card(path: Path) -> bool:
    """Tell whether *path* is a folder of recordings as devices leave them, and nobody's flight folder.

    A flight folder holds a ``flight.toml``, or ``raw/`` or ``calibration/`` as people make them.
    """
    return path.is_dir() and not any((path / name).exists() for name in FLIGHT_PARTS)


def open_file(path: Path, *, track: Mapping[str, str] | None = None) -> Flight:
    """Open one file of any kind as a flight that holds nothing else, to look at it.

    *track* answers what a flight log leaves open, by the keys of ``[track]``.

    Raises
    ------
    ReadError
        If no reader recognises the file, or it cannot be read.
    """
    headers = (path.with_name(f"{path.name}.hdr"), path.with_suffix(".hdr"))
    path = next((header for header in headers if header.is_file()), path).resolve()
    root = next((folder for folder in path.parents[:FOLDERS_UP] if _is_flight(folder)), path.parent)
    found = discover(root, only=path)
    if found.rejected:
        raise UnreadableError(found.rejected[0][1])
    if found.ignored:
        raise ReadError(found.ignored[0][1], where=path, fix="`dronesense plugins` lists what can be read")
    if track and "track" not in found.tables:
        raise ManifestError(f"is no flight log: {', '.join(track)} cannot be said of it", where=path)
    if track:
        found.tables["track"].update(track)
    manifest = _described(path, found)
    settings = with_origin(manifest, found.tables, origin="discovery")
    return Opener(root, manifest, None).flight(settings, whole=False)


def _is_flight(folder: Path) -> bool:
    return (folder / MANIFEST_NAME).is_file() or (folder / "calibration" / "instruments").is_dir()


def _described(where: Path, found: Discovery) -> Manifest:
    try:
        return msgspec.convert(found.tables, Manifest)
    except msgspec.ValidationError as error:  # a file name that makes no valid table: never the user's keys
        raise ManifestError(
            f"cannot be described: {error}", where=where, fix="write a flight.toml"
        ) from error


def _from_discovery(root: Path, found: Discovery) -> Flight:
    manifest = _described(root, found)
    if not (manifest.track or manifest.gas or manifest.cube):
        reasons = "; ".join(
            f"{path}: {why}" for path, why in (found.rejected + found.ignored)[:SHOWN_REASONS]
        )
        raise ReadError(
            "nothing usable: no flight log, gas series or cube was recognised "
            f"({reasons or 'the folder is empty'})",
            where=root,
            fix="copy the flight log, gas series and cubes into this folder",
        )
    settings = with_origin(manifest, found.tables, origin="discovery")
    flight = Opener(root, manifest, None).flight(settings)
    warnings = list(flight.warnings)
    if manifest.terrain is not None:
        warnings.append(
            f"{manifest.terrain.path}: its heights are taken as ellipsoidal; say so in a flight.toml"
        )
    return dataclasses.replace(
        flight,
        rejected=(*found.rejected, *flight.rejected),
        ignored=tuple(found.ignored),
        warnings=tuple(warnings),
    )
