"""Instrument descriptions: ``calibration/instruments/<id>.toml``, one file an instrument, no code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError, ReadError, did_you_mean
from dronesense.model import FrameCamera, GasInstrument, Instrument, LineCamera, Mount
from dronesense.model.lens import Lens
from dronesense.readers import gas_headings, toml
from dronesense.readers.camera_keys import FrameLens, LineLens, frame_lens, look_from_lens
from dronesense.readers.gas_instrument import FIELDS, DateOrder, GasFile, to_gas
from dronesense.readers.instrument_keys import MountKeys, Strict
from dronesense.readers.table import read_head, read_table

__all__ = ["FIELDS", "KINDS", "MAX_LOOK_DEG", "header_matches", "read", "thin_lens", "with_clock"]

KINDS: Final = ("gas", "line_scan", "frame")

MAX_LOOK_DEG: Final = 90.0
"""A pixel that looks 90° or more away from the optical axis never meets a plane in front of it."""


class _Radiometry(Strict, frozen=True):
    saturation_dn: float = float("inf")


class _LineScan(Strict, frozen=True):
    schema: Literal[1]
    id: str
    kind: Literal["line_scan"]
    samples: int
    fov_deg: float | None = None
    look_angles: str | None = None
    line_lens: LineLens | None = None
    first_sample: Literal["port", "starboard"] | None = None
    mount: MountKeys = MountKeys()
    radiometry: _Radiometry = _Radiometry()


class _Frame(Strict, frozen=True):
    schema: Literal[1]
    id: str
    kind: Literal["frame"]
    shape: tuple[int, int] | None = None
    lens: FrameLens | None = None
    row_time_s: float = 0.0
    row_reference: float = 0.0
    mount: MountKeys = MountKeys()
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
    entry: GasFile | _LineScan | _Frame
    if kind == "gas":
        entry = toml.load(path, GasFile)
        spec = to_gas(path, entry)
    elif kind == "line_scan":
        entry = toml.load(path, _LineScan)
        spec = _line_camera(path, entry)
    elif kind == "frame":
        entry = toml.load(path, _Frame)
        spec = _frame_camera(path, entry)
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
    return Instrument(entry.id, entry.kind, spec, mount_of(path, entry.mount), str(path))


def header_matches(instrument: Instrument, path: Path) -> bool:
    """Return whether the head of *path* is that of a file of *instrument*.

    The heading line has the time columns, at least one gas and all that are not optional, and agrees with
    `[match]`. Only the head of the file is read. False for cameras and for files that are not text.
    """
    if not isinstance(instrument.spec, GasInstrument):
        return False
    spec = instrument.spec
    try:
        names, preamble = read_head(path, delimiter=spec.delimiter, headings=gas_headings.named_columns(spec))
    except ReadError:
        return False
    above = spec.match.text
    return (not above or any(above in line for line in preamble)) and gas_headings.matches(names, spec)


def header_has_track(instrument: Instrument, path: Path) -> bool:
    """Return whether *path* is a table with the clock and the positions of *instrument*, by its head."""
    if not isinstance(instrument.spec, GasInstrument):
        return False
    spec = instrument.spec
    try:
        names, preamble = read_head(path, delimiter=spec.delimiter, headings=gas_headings.named_columns(spec))
    except ReadError:
        return False
    above = spec.match.text
    return (not above or any(above in line for line in preamble)) and gas_headings.has_positions(names, spec)


def best_of(fitting: Sequence[Instrument]) -> Instrument:
    """Return the first of the analysers *fitting* a file, those that are for any file last."""
    return min(fitting, key=lambda each: isinstance(each.spec, GasInstrument) and each.spec.match.last)


def species_in(spec: GasInstrument, path: Path) -> list[str]:
    """Return the gases that the table *path* of an analyser holds, by its headings.

    Raises
    ------
    ReadError
        If its head cannot be read.
    UnitsError
        If a heading of a gas has a unit that is none.
    """
    names, _ = read_head(path, delimiter=spec.delimiter, headings=gas_headings.named_columns(spec))
    columns = gas_headings.resolve(names, spec, where=path).columns.values()
    species = [each.species for each in columns if each.species is not None and each.of is None]
    return species + [name for name, each in spec.correct.items() if each.cell is not None]


def thin_lens(
    columns: int, *, rows: int | None = None, fov_deg: float | None = None, focal_px: float | None = None
) -> Instrument:
    """Return a camera without distortion that looks straight down, of which no more is known.

    Parameters
    ----------
    columns, rows : int
        Pixels across and along track; without rows: a line-scan camera.
    fov_deg, focal_px : float
        Field of view over the columns, outer edge to outer edge; or focal length over pixel pitch.

    Examples
    --------
    >>> thin_lens(2, focal_px=1.0).spec.look_deg[:, 0].round(3)
    array([-26.565,  26.565])
    """
    if (fov_deg is None) == (focal_px is None):
        raise ValueError("state either fov_deg or focal_px")
    if focal_px is None:
        assert fov_deg is not None
        focal_px = 0.5 * columns / float(np.tan(np.radians(fov_deg) / 2.0))
    name = "thin lens"
    if rows is None:
        fov = 2.0 * float(np.degrees(np.arctan(0.5 * columns / focal_px)))
        line = LineCamera(columns, _look_from_fov(columns, fov, first_sample="port"))
        return Instrument(name, "line_scan", line, Mount(), name)
    center = ((columns - 1) / 2.0, (rows - 1) / 2.0)
    frame = FrameCamera(shape=(rows, columns), lens=Lens("perspective", (focal_px, focal_px), center, ()))
    return Instrument(name, "frame", frame, Mount(), name)


def with_clock(
    instrument: Instrument, *, zone: str | None = None, date_order: DateOrder | None = None
) -> Instrument:
    """Return *instrument* with the zone and the order of dates of one file; None leaves them as they are.

    For the keys that a shipped description cannot know, as the same analyser runs on local time everywhere.

    Raises
    ------
    ManifestError
        If *instrument* is a camera.
    """
    spec = instrument.spec
    if not isinstance(spec, GasInstrument):
        raise ManifestError(f'"{instrument.id}" is a camera: it has no zone', where=instrument.path)
    time = replace(spec.time, zone=zone or spec.time.zone, date_order=date_order or spec.time.date_order)
    return replace(instrument, spec=replace(spec, time=time))


def mount_of(path: Path, mount: MountKeys) -> Mount:
    """Return the mount that a ``[mount]`` table of *path* describes.

    Raises
    ------
    ManifestError
        If a number is not finite, or an uncertainty negative.
    """
    angles = mount.boresight_deg
    numbers = [angles.roll, angles.pitch, angles.yaw, mount.tilt_deg, *mount.lever_arm_m]
    sigmas = [mount.sigma.boresight_deg, mount.sigma.lever_arm_m]
    if not np.isfinite(numbers).all():
        raise ManifestError(
            "boresight_deg, tilt_deg and lever_arm_m must be finite", where=f"{path}, key mount"
        )
    if not (np.isfinite(sigmas).all() and min(sigmas) >= 0.0):
        raise ManifestError("sigmas must be 0 or greater", where=f"{path}, key mount.sigma")
    return Mount(
        rotation=mount.rotation,
        boresight_deg=(angles.roll, angles.pitch, angles.yaw),
        lever_arm_m=mount.lever_arm_m,
        sigma_boresight_deg=mount.sigma.boresight_deg,
        sigma_lever_arm_m=mount.sigma.lever_arm_m,
        tilt_deg=mount.tilt_deg,
    )


def _saturation(path: Path, radiometry: _Radiometry) -> float:
    if not radiometry.saturation_dn > 0.0:
        where = f"{path}, key radiometry.saturation_dn"
        raise ManifestError(f"must be > 0, not {radiometry.saturation_dn}", where=where)
    return radiometry.saturation_dn


def _line_camera(path: Path, entry: _LineScan) -> LineCamera:
    if entry.samples < 1:
        raise ManifestError(f"must be at least 1, not {entry.samples}", where=f"{path}, key samples")
    if sum(each is not None for each in (entry.fov_deg, entry.look_angles, entry.line_lens)) != 1:
        fix = "state one of the three"
        raise ManifestError("needs either fov_deg or look_angles, or [line_lens]", where=path, fix=fix)
    if entry.fov_deg is not None:
        if not 0.0 < entry.fov_deg < 2.0 * MAX_LOOK_DEG:
            raise ManifestError(
                f"must lie between 0 and 180, not {entry.fov_deg}", where=f"{path}, key fov_deg"
            )
        look = _look_from_fov(entry.samples, entry.fov_deg, first_sample=_first_sample(path, entry))
    elif entry.line_lens is not None:
        first = _first_sample(path, entry)
        look = look_from_lens(path, entry.line_lens, entry.samples, first_sample=first)
    else:
        look = _look_from_file(path, entry)
    return LineCamera(entry.samples, look, _saturation(path, entry.radiometry))


def _first_sample(path: Path, entry: _LineScan) -> str:
    if entry.first_sample is None:
        fix = 'write "port" if the first sample looks to port, else "starboard": a wrong side mirrors all'
        raise ManifestError('the key "first_sample" is missing', where=path, fix=fix)
    return entry.first_sample


def _frame_camera(path: Path, entry: _Frame) -> FrameCamera:
    if not np.isfinite([entry.row_time_s, entry.row_reference]).all():
        raise ManifestError("row_time_s and row_reference must be finite", where=path)
    return FrameCamera(
        saturation_dn=_saturation(path, entry.radiometry),
        shape=entry.shape,
        lens=None if entry.lens is None else frame_lens(path, entry.lens, entry.shape),
        row_time_s=entry.row_time_s,
        row_reference=entry.row_reference,
    )


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
