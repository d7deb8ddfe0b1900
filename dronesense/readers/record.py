"""Dated calibration records: ``calibration/records/<instrument>/<date>.toml``."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import ManifestError, ReadError, UnitsError
from dronesense.model import CameraCalibration, GasCalibration, Response, SpeciesCalibration
from dronesense.model.radiometry import DarkFrame, Radiometry
from dronesense.plugins import read_head
from dronesense.readers import envi, hyspex_block, icp, toml
from dronesense.readers.instrument import mount_of
from dronesense.readers.instrument_keys import MountKeys
from dronesense.readers.table import read_table
from dronesense.units import convert

UNIX_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
HASH_CHUNK_BYTES: Final = 1 << 20
RADIANCE_UNIT: Final = "W/(m2 sr nm)"
MIN_POINTS: Final = 2
"""A line needs two points."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An unknown key is an error."""


class _Species(_Strict, frozen=True):
    zero: float | None = None
    span: float | None = None
    sigma_zero: float | None = None
    sigma_span: float | None = None
    covariance: float | None = None
    points: list[tuple[float, float, float]] | None = None
    standards: list[tuple[float, float, float]] = []
    unit: str | None = None


class _Response(_Strict, frozen=True):
    tau_s: float = 0.0
    delay_s: float = 0.0
    sigma_tau_s: float = 0.0
    sigma_delay_s: float = 0.0
    tau_down_s: float | None = None
    sigma_tau_down_s: float = 0.0
    covariance_tau_delay: float = 0.0
    covariance_tau_down_delay: float = 0.0


class _File(_Strict, frozen=True):
    path: str
    sha256: str | None = None


class _Record(_Strict, frozen=True):
    schema: Literal[1]
    instrument: str
    valid_from: datetime
    note: str = ""
    species: dict[str, _Species] = {}
    response: _Response = _Response()
    after: str | None = None
    dark: str | _File | None = None
    gain: str | _File | None = None
    bad_pixels: str | _File | None = None
    smile: str | _File | None = None
    pack: str | _File | None = None
    gain_unit: str | None = None
    gain_sigma: float | None = None
    dark_between: Literal["nearest", "interpolate", "linear"] = "nearest"
    mount: MountKeys | None = None
    time_offset_s: float | None = None


def read(path: Path) -> GasCalibration | CameraCalibration:
    """Read a calibration record; one with ``dark``, ``gain``, ``pack``, ``mount`` ... is a camera's.

    Parameters
    ----------
    path : Path
        The TOML file; files that it names lie beside it.

    Returns
    -------
    GasCalibration or CameraCalibration

    Raises
    ------
    ManifestError
        If a key is unknown, missing, of the wrong type or out of its range, ``valid_from`` has no zone, or a
        file that it names is missing, has another sha256, or cannot be read as one line of a cube.
    """
    path = Path(path)
    entry = toml.load(path, _Record)
    if entry.valid_from.tzinfo is None:
        raise ManifestError(
            "has no zone", where=f"{path}, key valid_from", fix="write it as 2026-06-01T00:00:00Z"
        )
    valid_from = (entry.valid_from - UNIX_EPOCH) // timedelta(microseconds=1) * 1000
    files = {"dark": entry.dark, "gain": entry.gain, "bad_pixels": entry.bad_pixels, "smile": entry.smile}
    of_camera = (entry.pack, entry.mount, entry.time_offset_s, *files.values())
    if any(each is not None for each in of_camera):
        if entry.species or entry.response != _Response() or entry.after is not None:
            raise ManifestError(
                "holds both a camera's and an analyser's keys", where=path, fix="make two records"
            )
        arrays = {key: _array(path, key, file) for key, file in files.items() if file is not None}
        return _camera(path, entry, valid_from, arrays)
    lines, notes = {}, [entry.note] if entry.note else []
    for name, species in entry.species.items():
        lines[name], note = _line(f"{path}, key species.{name}", name, species)
        notes.extend(note)
    return GasCalibration(
        instrument=entry.instrument,
        valid_from=valid_from,
        species=lines,
        response=_response(path, entry.response),
        note="; ".join(notes),
        path=str(path),
        after=None if entry.after is None else _after(path, entry, valid_from),
    )


def _after(path: Path, entry: _Record, valid_from: int) -> GasCalibration:
    """Return the record that was made after the flight: of the same analyser and gases, and later."""
    where = f"{path}, key after"
    target = path.parent / str(entry.after)
    if target.resolve() == path.resolve():
        raise ManifestError("is the record itself", where=where, fix="name the later record")
    other = read(target)
    if not isinstance(other, GasCalibration) or other.instrument != entry.instrument:
        raise ManifestError(f"{target.name} is no record of {entry.instrument}", where=where)
    if not other.valid_from > valid_from:
        raise ManifestError(
            f"{target.name} is not later than this record", where=where, fix="name the later one"
        )
    missing = sorted(set(entry.species) - set(other.species))
    if missing:
        raise ManifestError(f"{target.name} has no line for {', '.join(missing)}", where=where)
    return replace(other, after=None)


def _response(path: Path, entry: _Response) -> Response:
    where = f"{path}, key response"
    falling = entry.tau_s if entry.tau_down_s is None else entry.tau_down_s
    sigmas = (entry.sigma_tau_s, entry.sigma_delay_s, entry.sigma_tau_down_s)
    shared = (entry.covariance_tau_delay, entry.covariance_tau_down_delay)
    if (
        not np.isfinite([entry.tau_s, entry.delay_s, falling, *sigmas, *shared]).all()
        or min(entry.tau_s, *sigmas) < 0.0
    ):
        raise ManifestError("times must be finite, and all but delay_s not negative", where=where)
    if entry.tau_down_s is not None and not min(entry.tau_s, falling) > 0.0:
        raise ManifestError("tau_s and tau_down_s must be greater than 0", where=where)
    sigma_falling = entry.sigma_tau_s if entry.tau_down_s is None else entry.sigma_tau_down_s
    for covariance, sigma_tau in zip(shared, (entry.sigma_tau_s, sigma_falling), strict=True):
        if abs(covariance) > sigma_tau * entry.sigma_delay_s * (1.0 + 1e-9):
            raise ManifestError("a covariance exceeds the product of its sigmas", where=where)
    return Response(
        tau_s=entry.tau_s,
        delay_s=entry.delay_s,
        sigma_tau_s=entry.sigma_tau_s,
        sigma_delay_s=entry.sigma_delay_s,
        tau_down_s=entry.tau_down_s,
        sigma_tau_down_s=entry.sigma_tau_down_s,
        covariance_tau_delay=entry.covariance_tau_delay,
        covariance_tau_down_delay=entry.covariance_tau_down_delay,
    )


def _line(where: str, name: str, entry: _Species) -> tuple[SpeciesCalibration, list[str]]:
    """Return the line of a species and what is to be said of its fit."""
    stated = (entry.zero, entry.span, entry.sigma_zero, entry.sigma_span, entry.covariance)
    notes: list[str] = []
    if entry.points is not None:
        if entry.standards or any(value is not None for value in stated):
            raise ManifestError("holds both points and a line", where=where, fix="keep one of the two")
        if len(entry.points) < MIN_POINTS:
            raise ManifestError(f"a line needs at least {MIN_POINTS} points", where=f"{where}.points")
        try:
            line, chi2 = fit_line(*np.array(entry.points, dtype=np.float64).T)
        except ValueError as error:
            raise ManifestError(str(error), where=f"{where}.points") from error
        line = replace(line, standards=tuple(entry.points))
        notes.append(
            f"{name}: {len(entry.points)} points, chi2/nu = {chi2:.3g}/{len(entry.points) - MIN_POINTS}"
        )
    else:
        zero, span, sigma_zero, sigma_span, covariance = (0.0 if value is None else value for value in stated)
        if entry.zero is None and entry.span is None:
            raise ManifestError("needs zero and span, or points", where=where)
        line = _stated_line(
            where, zero, 1.0 if entry.span is None else span, sigma_zero, sigma_span, covariance
        )
        if not all(np.isfinite(each).all() and each[2] >= 0.0 for each in entry.standards):
            raise ManifestError("true, reading and sigma must be finite", where=f"{where}.standards")
        line = replace(line, standards=tuple(entry.standards))
    return _in_ppm(where, line, entry.unit), notes


def _stated_line(
    where: str, zero: float, span: float, sigma_zero: float, sigma_span: float, covariance: float
) -> SpeciesCalibration:
    if not np.isfinite([zero, span, sigma_zero, sigma_span, covariance]).all() or span <= 0.0:
        raise ManifestError("zero, span and sigmas must be finite, span greater than 0", where=where)
    if min(sigma_zero, sigma_span) < 0.0 or abs(covariance) > sigma_zero * sigma_span * (1.0 + 1e-9):
        raise ManifestError(
            "sigmas must be 0 or greater, and the covariance within sigma_zero * sigma_span", where=where
        )
    return SpeciesCalibration(zero, span, sigma_zero, sigma_span, covariance)


def _in_ppm(where: str, line: SpeciesCalibration, unit: str | None) -> SpeciesCalibration:
    """Return *line* in ppm; span has no unit, and a column or relative reading needs none here."""
    if unit is None:
        return line
    try:
        factor = convert(1.0, unit, "ppm")
    except UnitsError as error:
        raise ManifestError(
            error.what, where=f"{where}.unit", fix="ppm, ppb or percent; else leave it out"
        ) from error
    return SpeciesCalibration(
        line.zero * factor,
        line.span,
        line.sigma_zero * factor,
        line.sigma_span,
        line.covariance * factor,
        tuple((true * factor, reading * factor, sigma * factor) for true, reading, sigma in line.standards),
    )


def fit_line(true: ArrayLike, reading: ArrayLike, sigma: ArrayLike) -> tuple[SpeciesCalibration, float]:
    """Fit ``reading = zero + span * true`` by weighted least squares.

    Parameters
    ----------
    true : (n,) array
        Values of the standards.
    reading : (n,) array
        What the instrument read.
    sigma : (n,) array
        Standard uncertainty of each reading, > 0.

    Returns
    -------
    line : SpeciesCalibration
        With standard uncertainties and covariance of zero and span, from `sigma` alone (not rescaled).
    chi2 : float
        Weighted sum of squared residuals; near ``n - 2`` if sigmas and straight line are right.

    Raises
    ------
    ValueError
        If there are fewer than two different standards, a sigma is not > 0, or the slope is not > 0.

    References
    ----------
    ISO 6143:2001, Gas analysis - Comparison methods for determining and checking the composition of
    calibration gas mixtures, annex A; JCGM 100:2008 (GUM), H.3.

    Examples
    --------
    >>> line, chi2 = fit_line([0.0, 10.0], [0.5, 20.5], [0.1, 0.1])
    >>> line.zero, line.span, chi2
    (0.5, 2.0, 0.0)
    """
    x, y, u = (np.asarray(values, dtype=np.float64) for values in (true, reading, sigma))
    if not (np.isfinite([x, y, u]).all() and bool(np.all(u > 0.0))):
        raise ValueError("every point needs finite numbers and a sigma greater than 0")
    weight = u**-2.0
    total = weight.sum()
    mean_x, mean_y = (weight @ x) / total, (weight @ y) / total
    spread = weight @ (x - mean_x) ** 2
    if not spread > 0.0:
        raise ValueError("a line needs at least two different standards")
    span = (weight @ ((x - mean_x) * (y - mean_y))) / spread
    zero = mean_y - span * mean_x
    if not span > 0.0:
        raise ValueError(f"the readings fall where the standards rise (span {span:.3g})")
    line = SpeciesCalibration(
        zero=float(zero),
        span=float(span),
        sigma_zero=float(np.sqrt(1.0 / total + mean_x**2 / spread)),
        sigma_span=float(np.sqrt(1.0 / spread)),
        covariance=float(-mean_x / spread),
    )
    return line, float(weight @ (y - zero - span * x) ** 2)


def _camera(
    path: Path, entry: _Record, valid_from: int, arrays: dict[str, NDArray[np.float64]]
) -> CameraCalibration:
    shapes = {key: array.shape for key, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        text = ", ".join(f"{key} {bands} x {samples}" for key, (bands, samples) in shapes.items())
        raise ManifestError(f"the files differ in bands x samples: {text}", where=path, fix="use one binning")
    for key, array in arrays.items():
        if not np.isfinite(array).all() or (key == "gain" and not (array > 0.0).all()):
            what = "must be finite" + (" and greater than 0" if key == "gain" else "")
            raise ManifestError(what, where=f"{path}, key {key}")
    bad = arrays.get("bad_pixels")
    camera = CameraCalibration(
        instrument=entry.instrument,
        valid_from=valid_from,
        dark=arrays.get("dark"),
        gain=_gain_in_watts(path, entry, arrays.get("gain")),
        bad_pixels=None if bad is None else bad != 0.0,
        note=entry.note,
        path=str(path),
        smile_nm=arrays.get("smile"),
        dark_between=entry.dark_between,
        mount=None if entry.mount is None else mount_of(path, entry.mount),
        time_offset_s=_time_offset_s(path, entry),
    )
    return replace(camera, radiometry=_radiometry(path, entry, camera))


def _time_offset_s(path: Path, entry: _Record) -> float:
    given = entry.time_offset_s
    if given is None:
        return 0.0
    where = f"{path}, key time_offset_s"
    if entry.mount is None:
        raise ManifestError("belongs to a mount", where=where, fix="add [mount], found together with it")
    if not math.isfinite(given):
        raise ManifestError(f"must be finite, not {given}", where=where)
    return given


def _gain_in_watts(
    path: Path, entry: _Record, gain: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """Return the gain in W/(m2 sr nm) per DN per ms, if its unit is stated."""
    if entry.gain_unit is None:
        return gain
    if gain is None:
        raise ManifestError("there is no gain", where=f"{path}, key gain_unit", fix="leave it out")
    try:
        return gain * convert(1.0, entry.gain_unit, RADIANCE_UNIT)
    except UnitsError as error:
        raise ManifestError(
            error.what, where=f"{path}, key gain_unit", fix="e.g. uflick, mW/(cm2 sr um) or W/(m2 sr nm)"
        ) from error


def _radiometry(path: Path, entry: _Record, camera: CameraCalibration) -> Radiometry | None:
    """Return what turns counts into radiance: of a pack, or of gain and dark."""
    sigma = entry.gain_sigma
    if sigma is not None and not 0.0 <= sigma < math.inf:
        raise ManifestError("must be 0 or greater", where=f"{path}, key gain_sigma", fix="0.05 means 5 %")
    if entry.pack is not None:
        if camera.gain is not None:
            raise ManifestError("holds both pack and gain", where=path, fix="keep one of the two")
        found = _pack(path, _File(entry.pack) if isinstance(entry.pack, str) else entry.pack)
    elif camera.gain is not None:
        notes = () if entry.gain_unit else (f"the gain is taken to be in {RADIANCE_UNIT} per count per ms",)
        found = Radiometry(camera.gain, per_ms=True, name=path.name, notes=notes)
    else:
        return None
    if camera.dark is not None:
        found = found.with_darks((DarkFrame(camera.dark, name=f"{path.name}, key dark"),))
    if sigma is not None:
        found = replace(found, relative_sigma=np.full(len(found.gain), sigma))
    return found if camera.bad_pixels is None else replace(found, bad_pixels=camera.bad_pixels)


def _pack(path: Path, file: _File) -> Radiometry:
    """Return the calibration of a Resonon pack, or of the block in front of a HySpex cube."""
    target, where = path.parent / file.path, f"{path}, key pack"
    try:
        if file.sha256 is not None:
            _check_hash(target, file.sha256, where)
        if hyspex_block.sniff(read_head(target)):
            return hyspex_block.read(target)[0]
        return icp.read(target)[0]
    except OSError as error:
        raise ManifestError(str(error), where=where) from error


def _array(path: Path, key: str, entry: str | _File) -> NDArray[np.float64]:
    """Return the (bands, samples) numbers of the file that *key* names: ENVI of one line, or CSV."""
    file = _File(entry) if isinstance(entry, str) else entry
    where = f"{path}, key {key}"
    target = path.parent / file.path
    try:
        if file.sha256 is not None:
            _check_hash(target, file.sha256, where)
        return _from_csv(target) if target.suffix.lower() == ".csv" else _from_envi(target, where)
    except OSError as error:
        raise ManifestError(str(error), where=where) from error


def _check_hash(target: Path, expected: str, where: str) -> None:
    """Compare the sha256 of the numbers: of the data file where *target* is an ENVI header."""
    data = target if target.suffix.lower() != ".hdr" else envi.pair(target)[1]
    digest = hashlib.sha256()
    with data.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != expected.lower():
        raise ManifestError(
            f"{data.name} has the sha256 {digest.hexdigest()}",
            where=where,
            fix="restore the file, or correct sha256",
        )


def _from_envi(target: Path, where: str) -> NDArray[np.float64]:
    cube, _ = envi.read(target, label=target.name, name=target.stem, line_times="none")
    if cube.shape[0] != 1:
        what = f"{target.name} has {cube.shape[0]} lines, not 1"
        raise ManifestError(what, where=where, fix="average its lines into one")
    values, _ = cube.source.read(0, 1)
    return np.asarray(values[0], dtype=np.float64)


def _from_csv(target: Path) -> NDArray[np.float64]:
    """Return a table with one row a band and one column a sample, headed ``band,0,1,2,...``."""
    table = read_table(target)
    if table.warnings:
        raise ReadError("; ".join(table.warnings), where=target, fix="copy it again, and end its last line")
    samples = [name for name in table.names if name != "band"]
    if not np.array_equal(table.numbers("band"), np.arange(len(table))) or not len(table):
        raise ReadError("the bands are not counted from 0", where=target)
    if samples != [str(index) for index in range(len(samples))] or not samples:
        raise ReadError("the columns are not band, 0, 1, 2, ...", where=target)
    return np.stack([table.numbers(name) for name in samples], axis=1)
