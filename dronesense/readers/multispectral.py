"""Captures of multispectral cameras as cubes: MicaSense, Parrot Sequoia, DJI P4 and Mavic 3 Multispectral.

The first band file of a capture stands for it; the others are found beside it. Bands are brought onto one
grid when rows are asked for, by interpolation between four pixels; nothing is held but the rows that are
read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import (
    Bands,
    Frame,
    FrameCamera,
    IngestReport,
    Instrument,
    SpectralCube,
    TrackOptions,
)
from dronesense.model.capture import BandFrame, Capture, Convert, Flags, PixelFlag
from dronesense.readers import (
    band_registration,
    band_tiff,
    captures,
    exif,
    raster,
    tiff_directory,
)
from dronesense.readers.band_registration import BandMap
from dronesense.readers.tally import Tally
from dronesense.timescale import to_iso

MAX_CHECK_PX: Final = 2.0
"""Whole bands further apart than this after the rig's geometry: it does not hold, so it is measured
instead."""
MAX_RESIDUAL_PX: Final = 1.0
"""Residual of a measured registration from which it is warned of: edges of things become mixtures."""
MS_PER_SECOND: Final = 1e3
FLAWED: Final = PixelFlag.SATURATED | PixelFlag.OUTSIDE
"""A pixel with one of these in any band is not valid."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether *path* is the first band file of a capture of a known camera."""
    if head[:4] not in tiff_directory.MAGICS:
        return False
    try:
        kind = band_tiff.family(exif.read(path))
    except ReadError:
        return False
    return kind is not None and captures.is_leader(path, kind)


@dataclass(frozen=True, slots=True, eq=False)
class CaptureSource:
    """Rows of a capture on the grid that its bands share, see :class:`~dronesense.model.capture.CaptureCube`.

    Parameters
    ----------
    capture : Capture
        What the files say.
    maps : tuple of BandMap
        Where the grid falls in each band.
    convert : Convert or None
        What turns counts into values; None: counts as they are.
    good : (bands,) bool or None
        Bands that decide whether a pixel is valid; None: all.
    runs : tuple of Run or None
        Where the pixels of each file lie, if they are plain numbers; otherwise they are decoded.
    """

    capture: Capture
    maps: tuple[BandMap, ...]
    convert: Convert | None = None
    good: NDArray[np.bool_] | None = None
    runs: tuple[tiff_directory.Run | None, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, bands, columns."""
        rows, cols = self.capture.frames[0].shape
        return rows, len(self.capture.frames), cols

    def counts(self, band: int, start: int = 0, stop: int | None = None) -> NDArray[np.uint16]:
        """Return rows of one band as stored, on its own pixel grid.

        Raises
        ------
        ReadError
            If the file has another size by now, or cannot be decoded.
        """
        frame = self.capture.frames[band]
        stop = frame.shape[0] if stop is None else stop
        plain = self.runs[band] if self.runs else None
        if plain is not None and plain.shape == frame.shape:
            return plain.read(Path(frame.path), start, stop).astype(np.uint16, copy=False)
        with raster.opened(Path(frame.path)) as dataset:
            if (dataset.height, dataset.width) != frame.shape:
                raise ReadError("has changed since it was opened", where=frame.path)
            raster.check(Path(frame.path), dataset)
            return np.asarray(dataset.read(1, window=((start, stop), (0, frame.shape[1]))), dtype=np.uint16)

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return rows ``start:stop`` as (rows, bands, cols) float32, and (rows, cols) validity.

        A pixel is not valid if in any good band it is saturated or not seen. Values are never clipped.

        Raises
        ------
        ValueError
            If the rows lie outside the cube.
        ReadError
            If a file cannot be read.
        """
        values, flags = self._both(start, stop)
        good = slice(None) if self.good is None else self.good
        sound = ((flags[:, good] & int(FLAWED)) == 0) & np.isfinite(values[:, good])
        return values, sound.all(axis=1)

    def flags(self, start: int, stop: int) -> Flags:
        """Return the :class:`~dronesense.model.capture.PixelFlag` of rows as (rows, bands, cols) uint8."""
        return self._both(start, stop)[1]

    def converted(self, convert: Convert, good: NDArray[np.bool_] | None = None) -> CaptureSource:
        """Return the same capture with *convert* between the counts and the shared grid."""
        return replace(self, convert=convert, good=self.good if good is None else good)

    def _both(self, start: int, stop: int) -> tuple[NDArray[np.float32], Flags]:
        rows, bands, cols = self.shape
        if not 0 <= start < stop <= rows:
            raise ValueError(f"rows {start}:{stop} are not within 0:{rows}")
        values = np.empty((stop - start, bands, cols), dtype=np.float32)
        flags = np.empty(values.shape, dtype=np.uint8)
        for band in range(bands):
            values[:, band], flags[:, band] = self._band(band, start, stop)
        return values, flags

    def _band(self, band: int, start: int, stop: int) -> tuple[NDArray[np.float32], Flags]:
        """Return rows of the shared grid in one band."""
        rows, _, cols = self.shape
        where = self.maps[band]
        if where.method in ("reference", "none"):
            return self._values(band, start, stop)
        v, u = where.place(start, stop, cols)
        inside = (v >= 0.0) & (v <= rows - 1.0) & (u >= 0.0) & (u <= cols - 1.0)
        if not inside.any():
            nothing = np.full(v.shape, np.nan, dtype=np.float32)
            return nothing, np.full(v.shape, PixelFlag.OUTSIDE, dtype=np.uint8)
        first = int(np.floor(v[inside].min()))
        last = min(rows, int(np.ceil(v[inside].max())) + 1)
        values, flags = self._values(band, first, last)
        return _interpolate(values, flags, v - first, u, inside)

    def _values(self, band: int, start: int, stop: int) -> tuple[NDArray[np.float32], Flags]:
        """Return rows of the band's own grid, converted and flagged."""
        frame = self.capture.frames[band]
        counts = self.counts(band, start, stop)
        if self.convert is None:
            return counts.astype(np.float32), flag_counts(counts, frame)
        return self.convert(band, counts, start)


def flag_counts(counts: NDArray[np.uint16], frame: BandFrame) -> Flags:
    """Return the flags that counts carry by themselves: saturated, and below the level of black."""
    flags = np.where(counts >= frame.saturation_dn, PixelFlag.SATURATED, 0).astype(np.uint8)
    return flags | np.where(counts < frame.black_level, PixelFlag.BELOW_DARK, 0).astype(np.uint8)


def _interpolate(
    values: NDArray[np.float32],
    flags: Flags,
    v: NDArray[np.float64],
    u: NDArray[np.float64],
    inside: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], Flags]:
    """Return values between four pixels, and the flags of all of those four that count."""
    v, u = np.where(inside, v, 0.0), np.where(inside, u, 0.0)
    row, col = v.astype(np.intp), u.astype(np.intp)
    down, across = (v - row).astype(np.float32), (u - col).astype(np.float32)
    # flat places of the four; a neighbor of no weight is the pixel itself, so that its flags do not count
    here = row * values.shape[1] + col
    right = (across > 0.0).astype(np.intp)
    below = here + (down > 0.0) * values.shape[1]
    places = (here, here + right, below, below + right)
    upper, upper_next, lower, lower_next = (values.ravel()[place] for place in places)
    upper += (upper_next - upper) * across
    lower += (lower_next - lower) * across
    upper += (lower - upper) * down
    upper[~inside] = np.nan
    marks = np.zeros(v.shape, dtype=np.uint8)
    if flags.any():
        for place in places:
            marks |= flags.ravel()[place]
    marks[~inside] = PixelFlag.OUTSIDE
    return upper, marks


def read(
    path: Path,
    *,
    label: str,
    name: str,
    instrument: Instrument | None = None,
    line_times: str | Path = "auto",
    track: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[SpectralCube, IngestReport]:
    """Open the capture that a band file belongs to.

    Parameters
    ----------
    path : Path
        Any band file of the capture; the others are found beside it.
    label : str
        What the file is called in products, e.g. its path relative to the flight folder.
    name : str
        Short name of the cube.
    instrument : Instrument, optional
        Camera: its id, and the counts from which a pixel is saturated.
    line_times : str or Path
        Not used: all pixels of a capture have the time of its release.
    track : TrackOptions
        Not used: see `line_times`.

    Returns
    -------
    cube : SpectralCube
        Counts, bands by wavelength. `geometry` is a Frame, None if the files tell no UTC.
    report : IngestReport
        How the bands were brought together, with the residual where it was measured, is in `details`.

    Raises
    ------
    ReadError
        If a band file is cut, lacks XMP, is of another capture or size, or is not there.
    """
    del line_times, track
    path = Path(path)
    tally = Tally()
    capture, files = captures.read(path, tally)
    capture = _with_saturation(capture, instrument)
    reference = captures.reference(capture)
    frames = capture.frames
    runs = tuple(tiff_directory.run(Path(frame.path)) for frame in frames)
    maps = (each.settled(frames[0].shape) for each in _register(capture, reference, tally))
    source = CaptureSource(capture, tuple(maps), runs=runs)
    exposures = {frame.exposure_s for frame in frames}
    if capture.time is None:
        tally.warnings.append("its release has no UTC: its pixels have no place on a track")
    cube = SpectralCube(
        name=name,
        source=source,
        bands=Bands(
            np.array([frame.center_nm for frame in frames]),
            np.array([frame.fwhm_nm for frame in frames]),
            np.ones(len(frames), dtype=bool),
        ),
        quantity="counts",
        geometry=None if capture.time is None else Frame(capture.time),
        instrument="" if instrument is None else instrument.id,
        path=label,
        integration_ms=MS_PER_SECOND * exposures.pop() if len(exposures) == 1 else float("nan"),
        history=(f"read {label} and {len(frames) - 1} band files beside it as {capture.camera}, counts",),
    )
    others = [Path(frame.path).resolve() for frame in frames if Path(frame.path) != path]
    report = tally.report(
        f"{capture.camera} band TIFF",
        source.shape[0],
        companions=tuple(str(each) for each in others),
        details=_details(capture, files[0].orientation, source.maps, reference),
    )
    return cube, report


def _with_saturation(capture: Capture, instrument: Instrument | None) -> Capture:
    if instrument is None or not isinstance(instrument.spec, FrameCamera):
        return capture
    limit = instrument.spec.saturation_dn
    if not np.isfinite(limit):
        return capture
    return replace(capture, frames=tuple(replace(frame, saturation_dn=limit) for frame in capture.frames))


def _register(capture: Capture, reference: int, tally: Tally) -> tuple[BandMap, ...]:
    """Return where the grid falls in each band: as the files tell if that holds, else measured."""
    if len(capture.frames) == 1:
        return (BandMap("reference", np.eye(3)),)
    told = band_registration.from_metadata(capture.frames, reference)
    if told is not None:
        source = CaptureSource(capture, told)
        base, _ = source._band(reference, 0, source.shape[0])
        apart = [
            0.0
            if band == reference
            else band_registration.offset(base, source._band(band, 0, source.shape[0])[0])
            for band in range(len(told))
        ]
        worst = float(np.nanmax(apart))
        if not worst > MAX_CHECK_PX:
            return told
        tally.warnings.append(
            f"the rig's geometry leaves bands {worst:.1f} px apart (a scene close to the camera, or a bent "
            "rig): registration was measured instead"
        )
    plain = CaptureSource(capture, (BandMap("none", np.eye(3)),) * len(capture.frames))
    base_counts = plain.counts(reference)
    maps = []
    for band, frame in enumerate(capture.frames):
        if band == reference:
            maps.append(BandMap("reference", np.eye(3)))
            continue
        grid_lens = capture.frames[reference].lens
        maps.append(
            band_registration.measure(base_counts, plain.counts(band), grid_lens=grid_lens, lens=frame.lens)
        )
        if maps[-1].method == "none":
            tally.warnings.append(
                f"band {frame.band} has no structure in common with the reference: not moved"
            )
        elif not maps[-1].residual_px <= MAX_RESIDUAL_PX:
            residual = maps[-1].residual_px
            known = f"{residual:.1f} px" if np.isfinite(residual) else "an unknown number of px"
            tally.warnings.append(
                f"band {frame.band} fits the reference to {known} only: a scene of depth close to the "
                "camera, or little structure"
            )
    return tuple(maps)


def _details(
    capture: Capture, orientation: int, maps: tuple[BandMap, ...], reference: int
) -> dict[str, object]:
    return {
        "camera": capture.camera,
        "serial": capture.serial,
        "capture_id": capture.id,
        "time_utc": None if capture.time is None else to_iso(capture.time),
        "position": None if capture.position is None else [_json(each) for each in capture.position],
        "attitude_deg": capture.attitude_deg,
        "orientation": orientation,
        "reference_band": capture.frames[reference].band,
        "bands": [
            {
                "file": Path(frame.path).name,
                "band": frame.band,
                "exposure_s": frame.exposure_s,
                "gain": frame.gain,
                "registration": where.method,
                "residual_px": _json(where.residual_px),
                "tiles": where.tiles,
            }
            for frame, where in zip(capture.frames, maps, strict=True)
        ],
    }


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
