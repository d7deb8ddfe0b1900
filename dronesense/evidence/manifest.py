"""``run.json``: what went in, what came out, with which settings and versions; enough to do the run again.

The part under ``timing`` holds the wall clock; the rest is the same for same inputs, settings and versions.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final

import numpy as np

from dronesense import __version__
from dronesense.errors import EvidenceError, ReadError, UnreadableError
from dronesense.evidence import custody, environment
from dronesense.languages import SOURCE
from dronesense.model import Flight, HotspotLayer, IngestReport, InputFile
from dronesense.readers import content
from dronesense.timescale import to_iso
from dronesense.writers import fingerprint, ogr, raster
from dronesense.writers.atomic import MANIFEST_NAME, MANIFEST_SCHEMA, sha256_file, write_bytes

RUN_NAME: Final = MANIFEST_NAME
"""Name of the run manifest among the products."""
RUN_ID_LENGTH: Final = 16
"""Hexadecimal digits of the run id: 64 bits."""
LABEL_PARTS: Final = 3
"""Parts of an absolute path that products show."""
DISTRIBUTIONS: Final = (
    "dronesense",
    "matplotlib",
    "msgspec",
    "numpy",
    "pybaselines",
    "pyogrio",
    "pyproj",
    "rasterio",
    "scipy",
    "shapely",
    "spectral",
)
"""Packages that can change a number or a picture."""
LIMITS: Final = (
    "A hotspot is an indication with its limits, never proof.",
    "A compound is named only with independent evidence.",
    "A gas hotspot is where the air was, not where the source is.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class HashedInput:
    """An input file as it was when it was hashed.

    Parameters
    ----------
    path : str
        Relative to the flight folder, with ``/``.
    role : str
        As in :class:`~dronesense.model.InputFile`; companions (the data file of a header) have their
        header's.
    size, modified_ns : int
        Bytes, and time of the last change: both must still hold at the end of the run.
    sha256 : str
        Hexadecimal.
    report : IngestReport or None
        What the reader said.
    """

    path: str
    role: str
    size: int
    modified_ns: int
    sha256: str
    report: IngestReport | None = None


def hash_inputs(flight: Flight) -> tuple[HashedInput, ...]:
    """Hash every file that the flight was read from, sorted by path.

    Raises
    ------
    EvidenceError
        If a file is gone.
    UnreadableError
        If the disk or card does not give all of it.
    """
    return tuple(_hashed(each, flight) for each in sorted(flight.inputs, key=lambda each: each.path))


def hash_readable(
    flight: Flight, *, progress: Callable[[str, int, int], None] | None = None
) -> tuple[Flight, tuple[HashedInput, ...]]:
    """Hash every input; a gas series or cube that the card does not give is rejected, the rest goes on.

    *progress* is told of the stage ``"hash"``, bytes done and bytes in all.

    Returns
    -------
    flight : Flight
        Without what was rejected, which stands in `rejected` with its place in the file.
    inputs : tuple of HashedInput
        As :func:`hash_inputs`.

    Raises
    ------
    EvidenceError
        If a file is gone.
    UnreadableError
        If the file is one that all need, such as the flight log, or nothing is left.
    """
    rows: list[HashedInput] = []
    files = [_file(each, flight) for each in flight.inputs]
    total = sum(path.stat().st_size for path in files if path.is_file())
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress("hash", done, total)

    for each in sorted(flight.inputs, key=lambda each: each.path):
        try:
            rows.append(_hashed(each, flight, told))
        except UnreadableError as error:
            flight = _without(flight, each, error)
    kept = {_label(each.path) for each in flight.inputs}
    return flight, tuple(row for row in rows if row.path in kept)


def _hashed(each: InputFile, flight: Flight, told: Callable[[int], object] | None = None) -> HashedInput:
    path = _file(each, flight)
    try:
        state, digest = path.stat(), content.patiently(lambda: sha256_file(path, told=told), path)
    except FileNotFoundError as error:
        raise EvidenceError(
            "an input is gone", where=each.path, fix="keep the flight folder in place until the run ends"
        ) from error
    return HashedInput(_label(each.path), each.role, state.st_size, state.st_mtime_ns, digest, each.report)


def _without(flight: Flight, lost: InputFile, error: UnreadableError) -> Flight:
    """Return the flight without the gas series or cube that needs the file *lost*."""
    gone = {lost.path}
    # The header of a data file that is gone is of no use, and the other way around.
    for each in flight.inputs:
        companions = {Path(name).resolve() for name in (each.report.companions if each.report else ())}
        if each is lost or _file(lost, flight).resolve() in companions:
            gone |= {each.path}
            gone |= {one.path for one in flight.inputs if _file(one, flight).resolve() in companions}
    gas = tuple(each for each in flight.gas if each.series[0].source not in gone)
    cubes = tuple(each for each in flight.cubes if each.cube.path not in gone)
    used = {each.role for each in flight.inputs if each.path in gone and each.report is not None}
    alone = len(gas) + len(cubes) == len(flight.gas) + len(flight.cubes) - 1
    if not (gas or cubes) or not alone or not used <= {"gas series", "cube"}:
        raise error
    return dataclasses.replace(
        flight,
        gas=gas,
        cubes=cubes,
        inputs=tuple(each for each in flight.inputs if each.path not in gone),
        rejected=(*flight.rejected, (lost.path, str(error))),
    )


def run_id(flight: Flight, inputs: tuple[HashedInput, ...] | None = None) -> str:
    """Return the id of a run: first 16 hex digits of the SHA-256 of inputs, settings and version of the code.

    The same work has the same id wherever the folder lies.
    """
    inputs = hash_inputs(flight) if inputs is None else inputs
    return run_id_of([(each.role, each.sha256) for each in inputs], flight.settings, version=__version__)


def run_id_of(inputs: Iterable[tuple[str, str]], parameters: object, *, version: str) -> str:
    """Return the id of a run from (role, SHA-256) of its inputs, its settings and the version of the code."""
    work = {
        "inputs": sorted([role, digest] for role, digest in inputs),
        "parameters": _plain(parameters),
        "version": version,
    }
    return hashlib.sha256(_dump(work)).hexdigest()[:RUN_ID_LENGTH]


def run_manifest(
    flight: Flight,
    layer: HotspotLayer,
    directory: Path,
    *,
    started: dt.datetime | None = None,
    finished: dt.datetime | None = None,
    inputs: tuple[HashedInput, ...] | None = None,
    software: Mapping[str, str] | None = None,
    language: str = SOURCE,
    outputs: Sequence[Mapping[str, Any]] = (),
    taken_up: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the run manifest, JSON-ready; see ``docs/products.md``.

    Parameters
    ----------
    flight, layer : Flight, HotspotLayer
        What was opened and what came out.
    directory : Path
        The products, complete but for ``run.json`` itself.
    started, finished : datetime, optional
        With a time zone.
    inputs : tuple of HashedInput, optional
        From :func:`hash_inputs` before the run, so that an input that changed meanwhile is noticed.
    software : mapping of str to str, optional
        Further versions.
    language : str
        Of page and report.
    outputs : sequence of mapping
        Rows of an earlier manifest of the same folder: products that nobody wrote to since are not hashed
        again.
    taken_up : sequence of str
        What a run that did not end had worked out.

    Raises
    ------
    EvidenceError
        If an input is gone, or is not what it was.
    OSError
        If a file cannot be read.
    """
    inputs = hash_inputs(flight) if inputs is None else inputs
    refuse_changed(flight, inputs)
    hashed = {row["path"]: dict(row) for row in outputs}
    rows = [
        hashed.get(path.relative_to(directory).as_posix()) or _output_row(path, directory)
        for path in _files(directory)
    ]
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "run_id": run_id(flight, inputs),
        "flight": flight.id,
        "inputs": [_input_row(each) for each in inputs],
        "outputs": rows,
        "parameters": flight.settings,
        "calibration": _calibration(flight),
        "versions": versions() | dict(software or {}),
        "language": language,
        "environment": environment.describe(DISTRIBUTIONS),
        "custody": custody_state(flight.root),
        "hotspots": len(layer),
        "warnings": layer.warnings,
        "rejected": [{"path": path, "reason": reason} for path, reason in layer.rejected],
        "not_looked_at": [{"path": path, "reason": reason} for path, reason in flight.ignored],
        "statements": layer.statements,
        "limits": LIMITS,
        "timing": {"started": started, "finished": finished, "taken_up": list(taken_up)},
    }
    plain = _plain(manifest)
    assert isinstance(plain, dict)
    return plain


def write(manifest: Mapping[str, Any], path: Path) -> None:
    """Write a manifest as sorted, indented UTF-8 JSON without NaN.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    write_bytes(path, encode(manifest))


def encode(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as the bytes of its file."""
    return _dump(manifest, indent=1) + b"\n"


def versions() -> dict[str, str]:
    """Return the versions of what can change a result."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found | {"dronesense": __version__} | raster.gdal_versions() | ogr.gdal_versions()


def _file(each: InputFile, flight: Flight) -> Path:
    return flight.root / each.path if each.file is None else each.file


def _named(path: str, flight: Flight) -> str:
    """Return how the inputs name the file *path*, wherever it was opened from."""
    opened = Path(path).resolve()
    names = (each.path for each in flight.inputs if _file(each, flight).resolve() == opened)
    return _label(next(names, path))


def _label(path: str) -> str:
    """Return the name of an input for products: of an absolute path the end, not the folders of this machine.

    >>> _label("raw/gas.csv"), _label("/home/me/lab/records/2026.toml")
    ('raw/gas.csv', '.../lab/records/2026.toml')
    """
    for kind in (PurePosixPath, PureWindowsPath):
        whole = kind(path)
        if whole.is_absolute():
            return "/".join(("...", *whole.parts[1:][-LABEL_PARTS:]))
    return path


def _files(directory: Path) -> list[Path]:
    """Return the products, sorted; the manifest cannot list itself, and halves of files are none."""
    names = (path for path in directory.rglob("*") if path.is_file() and path != directory / RUN_NAME)
    return sorted(names, key=lambda path: path.relative_to(directory).as_posix())


def refuse_changed(flight: Flight, inputs: tuple[HashedInput, ...]) -> None:
    """Refuse inputs that are not as large or as old as when they were hashed.

    Raises
    ------
    EvidenceError
        If one is not, or is gone.
    """
    known = {each.path: (each.size, each.modified_ns) for each in inputs}
    for each in flight.inputs:
        path = _file(each, flight)
        state = path.stat() if path.is_file() else None
        if state is None or known.get(_label(each.path)) != (state.st_size, state.st_mtime_ns):
            raise EvidenceError(
                "changed during the run",
                where=each.path,
                fix="wait until it is copied in full, and run again",
            )


def _input_row(each: HashedInput) -> dict[str, object]:
    return {
        "path": each.path,
        "bytes": each.size,
        "sha256": each.sha256,
        "role": each.role,
        "report": None if each.report is None else _report(each.report),
    }


def _report(report: IngestReport) -> dict[str, object]:
    row = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    del row["companions"]  # they are inputs of their own
    return row


def _output_row(path: Path, directory: Path) -> dict[str, object]:
    row: dict[str, object] = {
        "path": path.relative_to(directory).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
    }
    try:
        content = fingerprint.content_sha256(path)
    except ReadError:  # named like a layer, but of another make: its bytes are all there is to compare
        content = None
    return row if content is None else row | {"content_sha256": content}


def custody_state(root: Path) -> dict[str, object] | None:
    """Return where the custody log of the flight stood when the run ended; None: there is none."""
    path = root / custody.NAME
    if not path.is_file():
        return None
    chain = custody.read(path)
    return {"path": custody.NAME, "lines": len(chain.entries), "head": chain.head, "problems": chain.problems}


def _calibration(flight: Flight) -> list[dict[str, object]]:
    """Return which record, dark and panel each input was calibrated with; None: without."""
    rows: list[dict[str, object]] = []
    for gas in flight.gas:
        record = gas.calibration
        rows.append(
            {
                "input": gas.series[0].source if gas.series else None,
                "instrument": gas.instrument.id,
                "record": None if record is None else _named(record.path, flight),
                "valid_from": None if record is None else to_iso(record.valid_from),
                "species": sorted(record.species) if record is not None else [],
                "response": None if record is None else record.response,
            }
        )
    for cube in flight.cubes:
        camera = cube.calibration
        rows.append(
            {
                "input": cube.cube.path,
                "instrument": None if cube.instrument is None else cube.instrument.id,
                "record": None if camera is None else _named(camera.path, flight),
                "valid_from": None if camera is None else to_iso(camera.valid_from),
                "dark": ", ".join(each.path for each in cube.darks) or None,
                "panel": ", ".join(each.cube.path for each in cube.panels) or None,
                "empirical_line": ", ".join(each.reflectance.name for each in cube.targets) or None,
                "irradiance": None if cube.light is None else cube.light.source,
            }
        )
    return rows


def _dump(value: object, indent: int | None = None) -> bytes:
    text = json.dumps(_plain(value), allow_nan=False, ensure_ascii=False, sort_keys=True, indent=indent)
    return text.encode("utf-8", errors="replace")


def _plain(value: object) -> object:
    """Return *value* in JSON's own types.

    NaN and infinity become null, paths have ``/``, times are ISO 8601, sets are sorted.

    Raises
    ------
    TypeError
        If there is no plain form of it.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(each) for each in value), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _plain_record(value)


def _plain_record(value: object) -> object:
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no plain form for JSON")
