"""ENVI cubes: a text header beside a file of numbers, BIL, BIP or BSQ.

The header is read tolerantly (:mod:`~dronesense.readers.envi_header`), the size of the data file strictly: a
file that is one byte too short or too long is refused. Blocks are read with seek and read, never mapped into
memory, so that the resident memory stays that of one block whatever the size of the cube.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import (
    FrameCamera,
    IngestReport,
    Instrument,
    LineCamera,
    LineScan,
    MapGrid,
    SpectralCube,
    TrackOptions,
)
from dronesense.model.cube import Folded
from dronesense.model.radiometry import CameraSettings
from dronesense.plugins import read_head
from dronesense.readers import content, envi_camera, envi_header, envi_keys, envi_scale
from dronesense.readers import line_times as line_time_files
from dronesense.readers.envi_header import Header, Layout
from dronesense.readers.line_times import LineTimes
from dronesense.readers.tally import Tally

MAGIC: Final = b"ENVI"
ONE_SAMPLE: Final = re.compile(rb"^\s*samples\s*=\s*1\s*$", re.IGNORECASE | re.MULTILINE)
"""A file of one sample holds spectra, not a picture: Spectronon saves mean spectra so (``.spec``)."""
DATA_SUFFIXES: Final = tuple(
    f".{each}" for each in ("dat", "raw", "img", "bil", "bip", "bsq", "lut", "bin", "cube", "spec", "hyspex")
)
"""Suffixes of data files that are tried in place of ``.hdr``."""

COMPRESSED: Final = {
    "gzip": b"\x1f\x8b\x08",
    "zip": b"PK\x03\x04",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "zstd": b"\x28\xb5\x2f\xfd",
}
"""First bytes of packed files (RFC 1952, APPNOTE.TXT 4.3.7, bzip2, xz 2.1.1.1, RFC 8878)."""

PACKED: Final = (".gz", ".zip", ".bz2", ".xz", ".zst")

REPORTED_KEYS: Final = (
    "description",
    "sensor type",
    "acquisition date",
    "reflectance scale factor",
    "data ignore value",
    "default bands",
    "data units",
    "data gain values",
    "data offset values",
)


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether *path* is the header of an ENVI cube; its data file is not claimed a second time."""
    first, _, rest = head.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n").partition(b"\n")
    library = b"spectral library" in rest.lower() or ONE_SAMPLE.search(rest) is not None
    return first.strip().upper() == MAGIC and b"=" in rest and not library


@dataclass(frozen=True, slots=True)
class EnviSource:
    """Rows of an ENVI data file, see :class:`~dronesense.model.CubeSource`.

    Parameters
    ----------
    path : Path
        Data file.
    layout : Layout
        Shape, interleave, type, offset.
    good : (bands,) bool
        Bands that decide whether a pixel is valid.
    ignore : float or None
        Value that stands for "no data".
    saturation : float
        Value from which a pixel is saturated; inf for none.
    divisor : float
        Numbers are divided by this.
    """

    path: Path
    layout: Layout
    good: NDArray[np.bool_]
    ignore: float | None = None
    saturation: float = float("inf")
    divisor: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, bands, columns."""
        return self.layout.lines, self.layout.bands, self.layout.samples

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return rows ``start:stop`` as (rows, bands, cols) float32, and (rows, cols) validity.

        A pixel is invalid if in any good band it is NaN, infinite, the ignore value, or saturated.

        Raises
        ------
        ValueError
            If the rows lie outside the cube.
        ReadError
            If the file has changed since it was opened and ends too early.
        """
        raw = self._raw(start, stop)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.ascontiguousarray(raw, dtype=np.float32)
        valid = self._valid(raw)
        if self.divisor != 1.0:
            values /= np.float32(self.divisor)
        return values, valid

    def folded(self) -> Folded:
        """Return the numbers of the file as they are, and the gain that makes values of them."""
        if self.divisor == 1.0:
            return Folded(self._read_stored)
        _, bands, samples = self.shape
        gain = np.full((bands, samples), 1.0 / self.divisor, dtype=np.float32)
        return Folded(self._read_stored, gain)

    def _read_stored(self, start: int, stop: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        raw = self._raw(start, stop)
        return raw, self._valid(raw)

    def _raw(self, start: int, stop: int) -> NDArray[np.generic]:
        """Return a view of the numbers of the file as (rows, bands, cols)."""
        if not 0 <= start < stop <= self.layout.lines:
            raise ValueError(f"rows {start}:{stop} are not within 0:{self.layout.lines}")
        plan = self.layout
        line = plan.samples * (1 if plan.interleave == "bsq" else plan.bands)
        begin = plan.offset + start * line * plan.dtype.itemsize
        return content.patiently(lambda: self._rows(start, stop), self.path, begin=begin)

    def _rows(self, start: int, stop: int) -> NDArray[np.generic]:
        plan, rows = self.layout, stop - start
        try:
            with self.path.open("rb") as stream:
                if plan.interleave != "bsq":
                    line = plan.bands * plan.samples
                    flat = np.empty(rows * line, dtype=plan.dtype)
                    self._fill(stream, flat, start * line)
                    if plan.interleave == "bil":
                        return flat.reshape(rows, plan.bands, plan.samples)
                    return flat.reshape(rows, plan.samples, plan.bands).transpose(0, 2, 1)
                planes = np.empty((plan.bands, rows, plan.samples), dtype=plan.dtype)
                for band in range(plan.bands):
                    self._fill(stream, planes[band], (band * plan.lines + start) * plan.samples)
                return planes.transpose(1, 0, 2)
        except ReadError:
            raise
        except OSError as error:
            raise ReadError(f"cannot be read ({error.strerror})", where=self.path) from error

    def _fill(self, stream: BinaryIO, out: NDArray[np.generic], first: int) -> None:
        stream.seek(self.layout.offset + first * self.layout.dtype.itemsize)
        if stream.readinto(out.reshape(-1).view(np.uint8).data) != out.nbytes:  # type: ignore[attr-defined]
            raise ReadError(
                "ends before its last line: the file has changed while it was read", where=self.path
            )

    def _valid(self, raw: NDArray[np.generic]) -> NDArray[np.bool_]:
        rows, _, samples = raw.shape
        bad = np.zeros((rows, samples), dtype=bool)
        if not self.good.any():
            return ~bad
        used = raw if self.good.all() else raw[:, self.good]
        if self.layout.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                bad |= ~np.isfinite(used.astype(np.float32, copy=False)).all(axis=1)
        if (ignored := self._as_stored(self.ignore)) is not None:
            bad |= (used == ignored).any(axis=1)
        if np.isfinite(self.saturation):
            bad |= np.greater_equal(used, self.saturation).any(axis=1)
        return ~bad

    def _as_stored(self, value: float | None) -> float | int | None:
        """Return *value* as the file would hold it; None where it cannot."""
        if value is None or self.layout.dtype.kind == "f":
            return (
                value  # a Python float is compared at the precision of the array: -0.9999 is found in float32
            )
        return int(value) if value.is_integer() else None


def pair(path: Path) -> tuple[Path, Path]:
    """Return header and data file of a cube, whichever of the two *path* is.

    Pairs are ``x.hdr`` with ``x``, ``x.dat``, ``x.raw``, ``x.img``, ..., and ``x.bil.hdr`` with ``x.bil``;
    without one of these ``x.hdr`` with the one ``x.ANYTHING`` that has the size that the header asks for.

    Raises
    ------
    ReadError
        If the other file is not there, or several would fit.
    """
    path = Path(path)
    if path.suffix.lower() != ".hdr":
        names = (f"{path.name}.hdr", f"{path.stem}.hdr")
        header = beside(path, names)
        if header is None:
            raise ReadError(
                f"has no ENVI header: {' or '.join(names)} is not there",
                where=path,
                fix="copy the .hdr file beside it",
            )
        return header, path
    exact = beside(path, (path.stem,))
    if exact is not None:
        return path, exact
    found = [each for suffix in DATA_SUFFIXES if (each := beside(path, (path.stem + suffix,))) is not None]
    named = envi_header.read(path).text("data file").strip()
    if not found and named and Path(named).name == named and "\\" not in named:
        found = [each for each in (beside(path, (named,)),) if each is not None]
    if len(found) != 1 and (near := found or same_name(path)):
        size = envi_header.layout(envi_header.read(path)).size
        found = [each for each in near if each.stat().st_size == size] or found
    if not found:
        packed = beside(
            path, tuple(path.stem + end + pack for pack in PACKED for end in ("", *DATA_SUFFIXES))
        )
        raise ReadError(
            f"has no data file: {path.stem} is not there, nor with {', '.join(DATA_SUFFIXES)}",
            where=path,
            fix="copy the data file beside it" if packed is None else f"unpack {packed.name}",
        )
    if len(found) > 1:
        raise ReadError(
            f"several data files fit: {', '.join(each.name for each in found)}",
            where=path,
            fix="name the data file",
        )
    return path, found[0]


def same_name(path: Path) -> list[Path]:
    """Return the files beside the header *path* that have its name and any other suffix."""
    stem = path.stem.lower() + "."
    others = (each for each in path.parent.iterdir() if each.name.lower().startswith(stem) and each != path)
    return sorted(each for each in others if each.is_file() and each.suffix.lower() not in (".hdr", *PACKED))


def beside(path: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of *names* that is a file beside *path*, in this spelling or another case."""
    for name in names:
        if (exact := path.with_name(name)).is_file() and exact != path:
            return exact
    wanted = [name.lower() for name in names]
    near = [
        each
        for each in path.parent.iterdir()
        if each.name.lower() in wanted and each.is_file() and each != path
    ]
    return min(near, key=lambda each: (wanted.index(each.name.lower()), each.name), default=None)


def read(
    path: Path,
    *,
    label: str,
    name: str,
    instrument: Instrument | None = None,
    line_times: str | Path = "auto",
    track: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[SpectralCube, IngestReport]:
    """Open an ENVI cube; its header is read, and of reflectance a few rows.

    Parameters
    ----------
    path : Path
        Header or data file.
    label : str
        What the file is called in products, e.g. its path relative to the flight folder.
    name : str
        Short name of the cube.
    instrument : Instrument, optional
        Camera: its id, and the counts from which a pixel is saturated.
    line_times : str or Path
        ``"auto"``: the files of line times that cameras write beside a cube, else keys of its header (see
        :mod:`~dronesense.readers.line_times`); ``"none"``; or a file.
    track : TrackOptions
        What the user says of the flight log: files of line times may lack the same (a day, a time scale).

    Returns
    -------
    cube : SpectralCube
        `geometry` is a MapGrid if the header has map info, else a LineScan if there are line times, or None.
    report : IngestReport
        All that the header did not say is in `assumptions`.

    Raises
    ------
    ReadError
        If the header cannot be read, the data file is missing or has another size than the header says, the
        camera has another number of samples, reflectance is no fraction, or the line times do not fit.
    """
    header_path, data_path = pair(Path(path))
    header = envi_header.read(header_path)
    layout = envi_header.layout(header)
    _check_size(data_path, header_path, layout)
    assumptions, warnings = list(layout.assumptions), list(header.warnings)
    bands = envi_keys.bands(header, layout, assumptions=assumptions)
    radiometry = envi_keys.radiometry(header, layout, assumptions=assumptions)
    saturation = _saturation(instrument, layout, header_path)
    source = EnviSource(
        path=data_path,
        layout=layout,
        good=bands.good,
        ignore=envi_keys.ignore_value(header),
        saturation=saturation if radiometry.quantity == "counts" else float("inf"),
    )
    if source.ignore == 0.0:
        assumptions.append('"data ignore value" is 0: pixels with a 0 in any good band are not valid')
    divisor = radiometry.divisor
    if radiometry.quantity == "reflectance":
        whole = layout.dtype.kind in "iu"
        typical = envi_scale.typical_of(source)
        divisor = envi_scale.divisor(typical, header, divisor, whole, assumptions=assumptions)
    source = replace(source, divisor=divisor)
    tally = Tally(warnings=warnings, assumptions=assumptions)
    geometry, times = _geometry(header, layout, line_times, track, tally)
    companions = [header_path, data_path, *(() if times is None else times.files)]
    kind = f"{layout.interleave.upper()} {layout.dtype.name}"
    cube = SpectralCube(
        name=name,
        source=source,
        bands=bands,
        quantity=radiometry.quantity,
        geometry=geometry,
        instrument="" if instrument is None else instrument.id,
        path=label,
        integration_ms=radiometry.integration_ms,
        history=(f"read {label} as ENVI {kind}, {radiometry.quantity}",),
        settings=_settings(header, assumptions),
    )
    return cube, IngestReport(
        format=f"ENVI {kind}",
        records=layout.lines,
        assumptions=tuple(assumptions),
        warnings=tuple(warnings),
        companions=tuple(str(each.resolve()) for each in companions if each != Path(path)),
        details=_details(header, layout, data_path, times),
    )


def _check_size(data: Path, header: Path, layout: Layout) -> None:
    try:
        size = data.stat().st_size
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=data) from error
    if size == layout.size:
        return
    packed = _compression(data)
    if packed:
        raise ReadError(
            f"is compressed ({packed}): rows cannot be read from it one by one",
            where=data,
            fix="unpack it, and give the unpacked file the name of this one",
        )
    shape = f"{layout.lines} lines x {layout.bands} bands x {layout.samples} samples"
    asked = f"{shape} x {layout.dtype.itemsize} bytes"
    raise ReadError(
        f"has {size} bytes, but {header.name} asks for {layout.size} ({asked} after {layout.offset})",
        where=data,
        fix="the copy is cut: copy it again from the card"
        if size < layout.size
        else "check lines, bands, data type and header offset of the header",
    )


def _compression(data: Path) -> str:
    """Return how a data file is compressed, by its first bytes; empty: it is not."""
    head = read_head(data)
    return next((name for name, magic in COMPRESSED.items() if head.startswith(magic)), "")


def _settings(header: Header, assumptions: list[str]) -> CameraSettings | None:
    """Return exposure, gain and binning; None where what the header says of them cannot be."""
    told: list[str] = []
    try:
        found = envi_camera.settings(header, assumptions=told)
    except ReadError as error:
        assumptions.append(f"gain and binning are taken as not known: {error.what}")
        return None
    assumptions += [each for each in told if each not in assumptions]
    return found


def _saturation(instrument: Instrument | None, layout: Layout, path: Path) -> float:
    if instrument is None or not isinstance(instrument.spec, LineCamera | FrameCamera):
        return float("inf")
    spec = instrument.spec
    if isinstance(spec, LineCamera) and spec.samples != layout.samples:
        raise ReadError(
            f'has {layout.samples} samples, but the camera "{instrument.id}" has {spec.samples}',
            where=path,
            fix="name the instrument that took this cube, or state its binning as an instrument of its own",
        )
    return spec.saturation_dn


def _geometry(
    header: Header, layout: Layout, line_times: str | Path, track: TrackOptions, tally: Tally
) -> tuple[LineScan | MapGrid | None, LineTimes | None]:
    """Return how the pixels relate to the ground, and the line times where it is they that tell."""
    grid = envi_keys.map_grid(header, warnings=tally.warnings)
    if grid is not None:
        return grid, None
    times = line_time_files.resolve(
        header.path, line_times, layout.lines, header=header.clear, tally=tally, options=track
    )
    return (None if times is None else LineScan(times.time)), times


def _details(header: Header, layout: Layout, data: Path, times: LineTimes | None) -> Mapping[str, object]:
    return {
        "line_times": None if times is None else times.source,
        "data_file": data.name,
        "lines": layout.lines,
        "bands": layout.bands,
        "samples": layout.samples,
        "header": {key: header.values[key] for key in REPORTED_KEYS if key in header},
        "comments": list(header.comments),
    }
