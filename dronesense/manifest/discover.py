"""What is in a bare folder: every file is sniffed, and what is not used is said with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from dronesense import plugins
from dronesense.errors import DronesenseError, ReadError, UnreadableError
from dronesense.manifest.catalog import Catalog, shipped_folder
from dronesense.manifest.logs import choose_logs
from dronesense.manifest.schema import DEFAULT_FALSE_ALARM_RATE, DEFAULT_FALSE_ALARMS_PER_HOUR, SCHEMA_VERSION
from dronesense.model import GasInstrument, Instrument, LineCamera
from dronesense.readers import band_tiff, captures, content, lumo
from dronesense.readers import instrument as instrument_reader
from dronesense.readers.table import is_number, read_names

TRAJECTORY: Final = "dronesense.readers.trajectory"
CUBE: Final = "dronesense.readers.cube"
SIGNATURE: Final = "dronesense.readers.signature"
GAS: Final = "dronesense.readers.gas"
DETECTOR: Final = "dronesense.detectors"

SKIPPED_FOLDERS: Final = frozenset({"products", "calibration", "__pycache__", "System Volume Information"})
TARGET_SUFFIX: Final = ".csv"
"""Signatures in the project's own form become rules; a folder of field spectra does not become hundreds."""
DARK_WORDS: Final = ("dark",)
PANEL_WORDS: Final = ("panel", "white")
TABLE_SUFFIXES: Final = frozenset({".csv", ".txt", ".tsv", ".tab", ".dat", ".data", ".log", ".asc"})
"""LI-COR writes ``.data``; a text log of an autopilot is claimed before."""
_SECOND_TABLE: Final = "a further table with positions; to use it name it in [track], with its instrument"
_GASES: Final = {
    word: gas
    for gas in ("CH4", "CO2", "CO", "NH3", "H2S", "SO2", "NO2", "O3", "N2O", "C2H6", "VOC")
    for word in (gas.casefold(), f"{gas.casefold()}d")
} | {"methane": "CH4", "ammonia": "NH3", "ozone": "O3", "ethane": "C2H6", "tvoc": "VOC"}
"""First words of headings that may be a gas, in small letters."""
_OTHER_TRACKS: Final = {".kml": "KML", ".kmz": "KML"}
LEAST_COLUMNS: Final = 2
"""Of a text that counts as a table."""
TERRAIN_SUFFIXES: Final = frozenset({".tif", ".tiff"})


@dataclass
class Discovery:
    """What a folder holds.

    Attributes
    ----------
    tables : dict
        The same structure as a ``flight.toml``.
    ignored : list of (path, reason)
        Files without a role.
    rejected : list of (path, reason)
        Files that the disk or card does not give.
    notes : dict of str to str
        Path -> why it got its role, for people.
    """

    tables: dict[str, Any]
    ignored: list[tuple[str, str]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass
class _Finds:
    logs: list[tuple[Path, str]] = field(default_factory=list)
    gas: list[tuple[Path, Instrument]] = field(default_factory=list)
    tracks: list[tuple[Path, Instrument]] = field(default_factory=list)
    cubes: list[Path] = field(default_factory=list)
    darks: list[Path] = field(default_factory=list)
    panels: list[Path] = field(default_factory=list)
    signatures: list[Path] = field(default_factory=list)
    terrains: list[Path] = field(default_factory=list)
    companions: set[Path] = field(default_factory=set)


def discover(folder: Path, *, only: Path | None = None) -> Discovery:
    """Find a role for every file below *folder*; nothing is written, nothing is asked.

    Parameters
    ----------
    folder : Path
        A flight folder.
    only : Path, optional
        Look at this file alone; a dark or panel capture then counts as a cube.

    Raises
    ------
    ReadError
        If a file cannot be opened.
    """
    catalog = Catalog(folder / "calibration")
    analyzers = Catalog(folder / "calibration", shipped_folder()).instruments(kind="gas")
    result = Discovery({"schema": SCHEMA_VERSION, "flight": {"id": folder.resolve().name}})
    finds = _Finds()
    for path in _files(folder) if only is None else [only]:
        label = path.relative_to(folder).as_posix()
        try:
            reason = content.patiently(partial(_classify, path, finds, analyzers), path)
        except UnreadableError as error:
            reason = None
            result.rejected.append((label, str(error)))
        except DronesenseError as error:
            reason = str(error.what)
        if reason is not None:
            result.ignored.append((label, reason))
    if only is not None:
        finds.cubes += finds.darks + finds.panels
        finds.darks, finds.panels = [], []
    _settle(result, finds, folder, catalog.instruments(kind="line_scan"))
    result.ignored = [(label, why) for label, why in result.ignored if folder / label not in finds.companions]
    return result


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir() and path.name not in SKIPPED_FOLDERS and not (path / "run.json").exists():
            found.extend(_files(path))
        elif path.is_file() and path.name != "flight.toml":
            found.append(path)
    return found


def _classify(path: Path, finds: _Finds, analyzers: Sequence[Instrument]) -> str | None:
    """Put *path* where it belongs; return why it is ignored, or None."""
    if path.stat().st_size == 0:
        return "empty file"
    claimed = plugins.claims(TRAJECTORY, path)
    if claimed:
        finds.logs.append((path, claimed[0]))
        return None
    if path.suffix.lower() in TERRAIN_SUFFIXES and captures.leader(path) not in (None, path):
        return None  # a band of a capture: its first band stands for all
    if path.suffix.lower() in TERRAIN_SUFFIXES and not plugins.claims(CUBE, path):
        if (camera := captures.stranger(path)) is not None:
            how = "bring its bands into one GeoTIFF with the maker's software"
            return f"a picture of {camera}, a camera that is not known ({band_tiff.KNOWN} are): {how}"
        finds.terrains.append(path)
        return None
    if plugins.claims(CUBE, path):
        stem = path.name.lower()
        if path.parent.name == lumo.CAPTURE and path.name.startswith(tuple(lumo.PREFIXES)):
            finds.companions.update(other for other in _beside(path) if other != path)
            return "a white reference; to use it set panel in [[cube]]" if path.name[:1] == "W" else None
        if any(word in stem for word in DARK_WORDS):
            finds.darks.append(path)
        elif any(word in stem for word in PANEL_WORDS):
            finds.panels.append(path)
        else:
            finds.cubes.append(path)
        return None
    if plugins.claims(SIGNATURE, path):
        finds.signatures.append(path)
        return None
    if path.suffix.lower() in TABLE_SUFFIXES:
        matching = [each for each in analyzers if instrument_reader.header_matches(each, path)]
        if matching:
            finds.gas.append((path, instrument_reader.best_of(matching)))
            return None
        tracks = [each for each in analyzers if instrument_reader.header_has_track(each, path)]
        if tracks:
            finds.tracks.append((path, instrument_reader.best_of(tracks)))
            return None
        return _unmatched(path)
    if path.suffix.lower() in _OTHER_TRACKS:
        return (
            f"{_OTHER_TRACKS[path.suffix.lower()]}: a track in it is not read; save it as GPX with its times"
        )
    return "no reader recognises it"


def _unmatched(path: Path) -> str:
    """Return what to do with a text file that is neither a log nor a table of a known instrument."""
    try:
        headings = read_names(path)
    except ReadError as error:
        return str(error.what)
    if len(headings) < LEAST_COLUMNS:
        return "text, no table of several columns"
    if all(map(is_number, headings)):
        return "a table of numbers without headings; if it is a spectrum: dronesense signatures import"
    for heading in headings:
        gas = _GASES.get(re.split(r"[^A-Za-z0-9]", heading.strip())[0].casefold())
        if gas is not None:
            return (
                f'a table whose columns match no instrument, but "{heading}" may be {gas}: say its unit and '
                f"the column of the clock in calibration/instruments/<id>.toml, with "
                f'"{heading}" = {{ species = "{gas}", unit = "ppm" }} (or ppb, or ppm m) under [columns]'
            )
    return (
        "a table whose columns match no instrument; describe it in calibration/instruments/<id>.toml, or if "
        "it is a spectrum: dronesense signatures import"
    )


def _settle(result: Discovery, finds: _Finds, folder: Path, cameras: Sequence[Instrument]) -> None:
    """Turn the finds into the tables of a ``flight.toml``."""

    def name(path: Path) -> str:
        return path.relative_to(folder).as_posix()

    tables = result.tables
    _settle_track(result, finds, name)
    if finds.terrains:
        tables["terrain"] = {"path": name(finds.terrains[0])}
        for other in finds.terrains[1:]:
            why = "a further raster of one band; if it is the height model to use, name it in [terrain]"
            result.ignored.append((name(other), why))
    tables["gas"] = [{"path": name(path), "instrument": instrument.id} for path, instrument in finds.gas]
    panel = _settle_panel(result, finds, name)
    captures = {path: _pixels(path) for path in (*finds.darks, *finds.panels)}
    used: set[Path] = set()
    for cube in finds.cubes:
        table: dict[str, Any] = {"path": name(cube)}
        pixels = _pixels(cube)
        camera = _camera_of(pixels, cameras)
        if camera is not None:
            table["instrument"] = camera.id
        strip = lumo.of_cube(cube)
        dark = _fitting(cube, pixels, finds.darks, captures)
        if strip is not None and strip.dark is not None:
            table["dark"] = name(strip.dark.path)
        elif dark is not None:
            table["dark"] = name(dark)
            used.add(dark)
        if strip is not None:
            finds.companions.update(strip.companions)
        if panel is not None and _fitting(cube, pixels, finds.panels[:1], captures) is not None:
            table["panel"] = panel
        tables.setdefault("cube", []).append(table)
        finds.companions.update(_beside(cube))
    left = {
        path: "a dark capture that no cube of its size needs; to use it set dark in [[cube]]"
        for path in finds.darks
        if path not in used
    }
    left |= dict.fromkeys(finds.panels[1:], "a further panel capture; to use it set panel in [[cube]]")
    left |= {
        path: f"a dark or panel capture that cannot be read: {why}"
        for path, why in captures.items()
        if isinstance(why, str)
    }
    result.ignored += [(name(path), reason) for path, reason in left.items()]
    for capture in captures:
        finds.companions.update(each for each in _beside(capture) if each not in left)
    tables["detect"] = [
        {"target": species, "species": species, "false_alarms_per_hour": DEFAULT_FALSE_ALARMS_PER_HOUR}
        for species in dict.fromkeys(_species(finds.gas))
    ]
    tables["detect"] += [
        {
            "target": path.stem,
            "signature": name(path),
            "method": "ace",
            "false_alarm_rate": DEFAULT_FALSE_ALARM_RATE,
        }
        for path in finds.signatures
        if path.suffix.lower() == TARGET_SUFFIX and (panel is None or panel["reflectance"] != name(path))
    ]
    result.ignored += [
        (name(path), "a measured spectrum; name it in [[detect]], or keep it: dronesense signatures import")
        for path in finds.signatures
        if path.suffix.lower() != TARGET_SUFFIX and (panel is None or panel["reflectance"] != name(path))
    ]
    finds.companions.update(path.with_suffix(".toml") for path in finds.signatures)


def _settle_track(result: Discovery, finds: _Finds, name: Any) -> None:
    if not finds.logs:
        tables = [
            *finds.tracks,
            *(each for each in finds.gas if instrument_reader.header_has_track(*each[::-1])),
        ]
        for path, instrument in tables[:1]:
            result.tables["track"] = {"path": name(path), "reader": "csv", "instrument": instrument.id}
            if not finds.tracks:
                result.notes[name(path)] = "no flight log; the analyser's own positions are used"
        result.ignored += [(name(path), _SECOND_TABLE) for path, _ in finds.tracks[1:]]
        return
    result.ignored += [(name(path), _SECOND_TABLE) for path, _ in finds.tracks]
    chosen = choose_logs(finds.logs)
    result.tables["track"] = {
        "path": name(chosen.logs[0]) if len(chosen.logs) == 1 else [name(path) for path in chosen.logs],
        "reader": chosen.reader,
    }
    if chosen.attitude is not None:
        result.tables["track"]["attitude"] = name(chosen.attitude)
    result.ignored += [(name(path), reason) for path, reason in chosen.ignored]


def _settle_panel(result: Discovery, finds: _Finds, name: Any) -> dict[str, Any] | None:
    """Pair the panel capture with the reflectance file whose name resembles it."""
    for word in PANEL_WORDS:
        for path in finds.signatures:
            if word in path.stem.lower() and finds.panels:
                return {"path": name(finds.panels[0]), "reflectance": name(path)}
    if finds.panels:
        result.ignored.append(
            (name(finds.panels[0]), "a panel capture without a reflectance file; set panel in [[cube]]")
        )
    return None


def _beside(cube: Path) -> list[Path]:
    """Return the files that belong to a cube: same name up to the first dot."""
    stem = cube.name.split(".")[0]
    return [path for path in cube.parent.iterdir() if path.name.split(".")[0] == stem]


def _pixels(cube: Path) -> tuple[int, int] | str:
    """Return bands and samples of a cube or capture; why not, if it cannot be read."""
    reader = plugins.find(CUBE, plugins.sniff(CUBE, cube))
    try:
        found, _ = reader.read(cube, label=cube.name, name=cube.stem)
    except DronesenseError as error:
        return str(error.what)
    _, bands, samples = found.shape
    return bands, samples


def _fitting(
    cube: Path,
    pixels: tuple[int, int] | str,
    captures: Sequence[Path],
    known: Mapping[Path, tuple[int, int] | str],
) -> Path | None:
    """Return the capture with the bands and samples of *cube*, best one beside it; None if there is none."""
    same = [each for each in captures if known[each] == pixels and not isinstance(pixels, str)]
    return min(same, key=lambda each: each.parent != cube.parent, default=None)


def _camera_of(pixels: tuple[int, int] | str, cameras: Sequence[Instrument]) -> Instrument | None:
    """Return the only camera of the flight's own calibration folder with the cube's number of samples."""
    if isinstance(pixels, str):
        return None
    fitting = [
        each for each in cameras if isinstance(each.spec, LineCamera) and each.spec.samples == pixels[1]
    ]
    return fitting[0] if len(fitting) == 1 else None


def _species(tables: Sequence[tuple[Path, Instrument]]) -> Iterator[str]:
    """Yield the gases of all tables, some more than once."""
    for path, instrument in tables:
        assert isinstance(instrument.spec, GasInstrument)
        yield from instrument_reader.species_in(instrument.spec, path)
