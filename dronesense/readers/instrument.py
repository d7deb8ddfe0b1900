"""Instrument descriptions: ``calibration/instruments/<id>.toml``, one file an instrument, no code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, ReadError, did_you_mean
from dronesense.model import (
    Column,
    FrameCamera,
    GasInstrument,
    Instrument,
    LineCamera,
    Mount,
    TimeColumn,
)
from dronesense.readers import toml
from dronesense.readers.stamps import named_columns
from dronesense.readers.table import read_names, read_table

KINDS: Final = ("gas", "line_scan", "frame")

FIELDS: Final = (
    "pressure",
    "temperature",
    "humidity",
    "water",
    "status",
    "latitude",
    "longitude",
    "height",
    "roll",
    "pitch",
    "yaw",
    "velocity_north",
    "velocity_east",
    "velocity_down",
    "velocity_up",
)
"""What a column without a species may hold; docs/formats/instrument-toml.md says what each means."""

TIME_FORMATS: Final = ("iso", "unix", "unix_ms", "unix_s_ns")
"""Beside strptime patterns, which hold a percent sign."""

MAX_LOOK_DEG: Final = 90.0
"""A pixel that looks 90° or more away from the optical axis never meets a plane in front of it."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An unknown key is an error."""


class _Angles(_Strict, frozen=True):
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0


class _MountSigma(_Strict, frozen=True):
    boresight_deg: float = 0.0
    lever_arm_m: float = 0.0


class _Mount(_Strict, frozen=True):
    rotation: str = "nadir"
    boresight_deg: _Angles = _Angles()
    lever_arm_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sigma: _MountSigma = _MountSigma()


class _Time(_Strict, frozen=True):
    column: str | list[str]
    format: str = "iso"
    zone: str | None = None


class _Column(_Strict, frozen=True):
    species: str | None = None
    field: str | None = None
    unit: str = "1"
    basis: Literal["dry", "wet", "unknown"] = "unknown"
    sigma: float | None = None
    ok: list[float] = []


class _Radiometry(_Strict, frozen=True):
    saturation_dn: float = float("inf")


class _Gas(_Strict, frozen=True):
    schema: Literal[1]
    id: str
    kind: Literal["gas"]
    time: _Time
    columns: dict[str, _Column]
    valid_range: dict[str, tuple[float, float]] = {}
    missing: list[str] = []
    delimiter: str | None = None
    height_ref: Literal["ellipsoid", "egm96", "egm2008", "receiver-geoid", "takeoff", "unknown"] | None = None
    mount: _Mount = _Mount()


class _LineScan(_Strict, frozen=True):
    schema: Literal[1]
    id: str
    kind: Literal["line_scan"]
    samples: int
    fov_deg: float | None = None
    look_angles: str | None = None
    first_sample: Literal["port", "starboard"] | None = None
    mount: _Mount = _Mount()
    radiometry: _Radiometry = _Radiometry()


class _Frame(_Strict, frozen=True):
    schema: Literal[1]
    id: str
    kind: Literal["frame"]
    mount: _Mount = _Mount()
    radiometry: _Radiometry = _Radiometry()


def read(path: Path) -> Instrument:
    """Read an instrument description.

    Parameters
    ----------
    path : Path
        ``calibration/instruments/<id>.toml``; the keys are in docs/formats/instrument-toml.md.

    Returns
    -------
    Instrument

    Raises
    ------
    ManifestError
        If the file is not TOML, a key is unknown, missing, of the wrong type or out of its range, or `id`
        is not the name of the file. The file, the key and what would be right are named.
    """
    path = Path(path)
    kind = toml.read(path).get("kind")
    spec: GasInstrument | LineCamera | FrameCamera
    entry: _Gas | _LineScan | _Frame
    if kind == "gas":
        entry = toml.load(path, _Gas)
        spec = _gas(path, entry)
    elif kind == "line_scan":
        entry = toml.load(path, _LineScan)
        spec = _line_camera(path, entry)
    elif kind == "frame":
        entry = toml.load(path, _Frame)
        spec = FrameCamera(saturation_dn=_saturation(path, entry.radiometry))
    else:
        near = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
        what = "is missing" if kind is None else f"has no such value: {kind!r}{near}"
        raise ManifestError(f"kind {what}", where=f"{path}, key kind", fix=f"one of {', '.join(KINDS)}")
    if entry.id != path.stem:
        raise ManifestError(
            f'id is "{entry.id}" but the file is named "{path.stem}"',
            where=f"{path}, key id",
            fix="give both the same name: instruments and their records are found by it",
        )
    return Instrument(entry.id, entry.kind, spec, _mount(path, entry.mount), str(path))


def header_matches(instrument: Instrument, path: Path) -> bool:
    """Return whether the heading line of *path* has the time columns and all species columns of *instrument*.

    Only the head of the file is read. False for cameras and for files that are not text.
    """
    if not isinstance(instrument.spec, GasInstrument):
        return False
    spec = instrument.spec
    try:
        names = set(read_names(path, delimiter=spec.delimiter, headings=named_columns(spec)))
    except ReadError:
        return False
    needed = {name for name, column in spec.columns.items() if column.species is not None}
    return bool(needed) and needed.union(spec.time.columns) <= names


def _mount(path: Path, mount: _Mount) -> Mount:
    angles = mount.boresight_deg
    numbers = [angles.roll, angles.pitch, angles.yaw, *mount.lever_arm_m]
    sigmas = [mount.sigma.boresight_deg, mount.sigma.lever_arm_m]
    if not np.isfinite(numbers).all():
        raise ManifestError("boresight_deg and lever_arm_m must be finite", where=f"{path}, key mount")
    if not (np.isfinite(sigmas).all() and min(sigmas) >= 0.0):
        raise ManifestError("sigmas must be 0 or greater", where=f"{path}, key mount.sigma")
    return Mount(
        rotation=mount.rotation,
        boresight_deg=(angles.roll, angles.pitch, angles.yaw),
        lever_arm_m=mount.lever_arm_m,
        sigma_boresight_deg=mount.sigma.boresight_deg,
        sigma_lever_arm_m=mount.sigma.lever_arm_m,
    )


def _gas(path: Path, entry: _Gas) -> GasInstrument:
    columns = tuple([entry.time.column] if isinstance(entry.time.column, str) else entry.time.column)
    if not columns or not all(columns):
        raise ManifestError("no column is named", where=f"{path}, key time.column")
    if entry.time.format not in TIME_FORMATS and "%" not in entry.time.format:
        raise ManifestError(
            f'unknown time format "{entry.time.format}"{did_you_mean(entry.time.format, TIME_FORMATS)}',
            where=f"{path}, key time.format",
            fix=f"one of {', '.join(TIME_FORMATS)}, or a strptime pattern such as %Y-%m-%d %H:%M:%S.%f",
        )
    for name, column in entry.columns.items():
        _check_column(f'{path}, key columns."{name}"', column)
    species = [column.species for column in entry.columns.values() if column.species is not None]
    for gas, (low, high) in entry.valid_range.items():
        where = f"{path}, key valid_range.{gas}"
        if gas not in species:
            what = f'no column has the species "{gas}"{did_you_mean(gas, species)}'
            raise ManifestError(what, where=where)
        if not low < high:
            raise ManifestError(f"the range [{low}, {high}] is empty", where=where, fix="write [low, high]")
    if entry.delimiter is not None and len(entry.delimiter) != 1:
        fix = 'such as ";" or "\\t"; " " stands for any run of blanks'
        raise ManifestError("must be one character", where=f"{path}, key delimiter", fix=fix)
    return GasInstrument(
        time=TimeColumn(columns, entry.time.format, entry.time.zone or _zone_in(columns)),
        columns={name.strip(): _column(column) for name, column in entry.columns.items()},
        valid_range=dict(entry.valid_range),
        missing=tuple(entry.missing),
        delimiter=entry.delimiter,
        height_ref=entry.height_ref,
    )


def _check_column(where: str, column: _Column) -> None:
    if (column.species is None) == (column.field is None):
        raise ManifestError(
            "a column holds either a species or a field", where=where, fix="state one of them"
        )
    if column.field is not None and column.field not in FIELDS:
        raise ManifestError(
            f'unknown field "{column.field}"{did_you_mean(column.field, FIELDS)}',
            where=where,
            fix=f"one of {', '.join(FIELDS)}",
        )
    if column.sigma is not None and not (np.isfinite(column.sigma) and column.sigma >= 0.0):
        raise ManifestError(f"sigma must be 0 or greater, not {column.sigma}", where=where)


def _column(column: _Column) -> Column:
    return Column(
        unit=column.unit,
        species=column.species,
        field=column.field,
        basis=column.basis,
        sigma=float("nan") if column.sigma is None else column.sigma,
        ok=tuple(column.ok),
    )


def _saturation(path: Path, radiometry: _Radiometry) -> float:
    if not radiometry.saturation_dn > 0.0:
        where = f"{path}, key radiometry.saturation_dn"
        raise ManifestError(f"must be > 0, not {radiometry.saturation_dn}", where=where)
    return radiometry.saturation_dn


def _line_camera(path: Path, entry: _LineScan) -> LineCamera:
    if entry.samples < 1:
        raise ManifestError(f"must be at least 1, not {entry.samples}", where=f"{path}, key samples")
    if (entry.fov_deg is None) == (entry.look_angles is None):
        raise ManifestError("needs either fov_deg or look_angles", where=path, fix="state one of the two")
    if entry.fov_deg is not None:
        if not 0.0 < entry.fov_deg < 2.0 * MAX_LOOK_DEG:
            raise ManifestError(
                f"must lie between 0 and 180, not {entry.fov_deg}", where=f"{path}, key fov_deg"
            )
        if entry.first_sample is None:
            fix = 'write "port" if the first sample looks to port, else "starboard": a wrong side mirrors all'
            raise ManifestError('the key "first_sample" is missing', where=path, fix=fix)
        look = _look_from_fov(entry.samples, entry.fov_deg, first_sample=entry.first_sample)
    else:
        look = _look_from_file(path, entry)
    return LineCamera(entry.samples, look, _saturation(path, entry.radiometry))


def _look_from_fov(samples: int, fov_deg: float, *, first_sample: str) -> NDArray[np.float64]:
    """Return (samples, 2) angles; docs/conventions.md: ``tan a = (2 (j + 1/2) / n - 1) tan(fov / 2)``."""
    across = np.arctan((2.0 * (np.arange(samples) + 0.5) / samples - 1.0) * np.tan(np.radians(fov_deg) / 2.0))
    if first_sample == "starboard":
        across = across[::-1]
    return np.stack([np.degrees(across), np.zeros(samples)], axis=1)


def _look_from_file(path: Path, entry: _LineScan) -> NDArray[np.float64]:
    """Read the columns sample, across_deg, along_deg of the look-angle table beside *path*."""
    table_path = path.parent / cast("str", entry.look_angles)
    where = f"{path}, key look_angles"
    try:
        table = read_table(table_path)
        sample, across = table.numbers("sample"), table.numbers("across_deg")
        along = table.numbers("along_deg") if "along_deg" in table.names else np.zeros(len(table))
    except ReadError as error:
        raise ManifestError(str(error), where=where) from error
    if not np.array_equal(sample, np.arange(entry.samples)):
        raise ManifestError(
            f"{table_path.name} has {len(table)} rows, the camera {entry.samples} samples (or not in order)",
            where=where,
            fix=f"one row a sample, counted 0 to {entry.samples - 1}",
        )
    look = np.stack([across, along], axis=1)
    if not (np.abs(look) < MAX_LOOK_DEG).all():
        raise ManifestError(
            f"{table_path.name} holds angles that are missing or not within ±90°", where=where
        )
    grows = "port" if across[-1] > across[0] else "starboard"
    if entry.first_sample is not None and entry.samples > 1 and entry.first_sample != grows:
        raise ManifestError(
            f'first_sample is "{entry.first_sample}" but the angles of {table_path.name} say "{grows}"',
            where=where,
            fix="across_deg is positive to starboard; correct the table or leave first_sample out",
        )
    return look


def _zone_in(headings: tuple[str, ...]) -> str | None:
    """Return ``"UTC"`` when the heading itself says so, as in ``Time (UTC)``."""
    return "UTC" if any(re.search(r"\bUTC\b", heading) for heading in headings) else None
