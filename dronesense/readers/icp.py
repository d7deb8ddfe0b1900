"""Resonon imager calibration packs (``.icp``): a zip file of one gain frame and many dark frames.

``gain.bip`` holds microflicks per count at the exposure, gain and binning that its header states; each
``offset_<n>bands_<n>ceiling_<n>gain_<n>samples_<n>shutter.bip`` the dark counts at the gain (dB) and shutter
(ms) in its name. See ``docs/formats/resonon-icp.md``.
"""

from __future__ import annotations

import math
import re
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport
from dronesense.model.radiometry import CameraSettings, DarkFrame, Radiometry
from dronesense.readers import envi_camera, envi_header, envi_keys, zip_pack
from dronesense.readers.tally import Tally
from dronesense.units import convert

FORMAT: Final = "Resonon calibration pack"
MAGIC: Final = b"PK\x03\x04"
UNIT: Final = "uflick"
"""Radiance per count, when the header of the gain names no unit (the maker's description of the process)."""

_SETTING = re.compile(r"(\d+(?:\.\d+)?)(bands|ceiling|gain|samples|shutter)(?=_|\.|$)", re.IGNORECASE)
_AXES: Final = {"bil": (0, 1, 2), "bip": (0, 2, 1), "bsq": (1, 0, 2)}
"""Axes of the file in the order lines, bands, samples."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether *path* is a calibration pack: a zip file that is called so."""
    return path.suffix.lower() == ".icp" and head[:4] == MAGIC


def read(path: Path) -> tuple[Radiometry, IngestReport]:
    """Read a calibration pack; nothing is written to the disk.

    Returns
    -------
    Radiometry
        The gain in W/(m2 sr nm) per count at its own settings, and every dark frame that is whole.
    IngestReport
        Dark frames that were left out, by reason.

    Raises
    ------
    ReadError
        If it is no zip file or an unsafe one, has no gain frame, or its gain frame is damaged.
    """
    path = Path(path)
    members = zip_pack.names(path)
    tally = Tally()
    headers = {name: info for name, info in members.items() if name.lower().endswith(".hdr")}
    gains = [name for name in headers if _stem(name) == "gain"]
    if len(gains) != 1:
        raise ReadError(
            f"holds {len(gains)} gain frames, not one",
            where=path,
            fix="use the .icp file as the maker gave it",
        )
    header, numbers = _frame(path, gains[0], members)
    notes: list[str] = []
    settings = _settings(header, gains[0], notes)
    factor = _unit_factor(header, notes)
    gain = np.where(numbers > 0.0, numbers, math.nan) * factor
    darks = []
    for name in sorted(headers):
        if not _stem(name).startswith("offset"):
            if name != gains[0]:
                tally.dropped["no frame of gain or offset"] += 1
            continue
        dark = _dark(path, name, members, numbers.shape, tally)
        if dark is not None:
            darks.append(dark)
    lost = int(np.isnan(gain).sum())
    if lost:
        tally.warnings.append(f"{lost} elements of the gain are not greater than 0: not used")
    center = envi_keys.bands(header, envi_header.layout(header), assumptions=notes).center_nm
    tally.assumptions += notes
    calibration = Radiometry(
        gain=gain,
        settings=settings,
        darks=tuple(darks),
        center_nm=None if np.isnan(center).any() else center,
        bad_pixels=np.isnan(gain) if lost else None,
        name=path.name,
        notes=tuple(notes),
    )
    bands, samples = gain.shape
    return calibration, tally.report(
        FORMAT, 1 + len(darks), details={"bands": bands, "samples": samples, "darks": len(darks)}
    )


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name.lower().split(".")[0]


def _frame(
    path: Path, name: str, members: dict[str, zipfile.ZipInfo]
) -> tuple[envi_header.Header, NDArray[np.float64]]:
    """Return header and (bands, samples) numbers of one ENVI frame, the mean of its lines."""
    inside = Path(f"{path.name}:{name}")
    header = envi_header.decode(zip_pack.member(path, members[name]), inside)
    data = _data_name(name, members)
    if data is None:
        raise ReadError("has no data file beside it in the pack", where=f"{path}, member {name!r}")
    layout = envi_header.layout(header)
    raw = zip_pack.member(path, members[data])
    if len(raw) != layout.size:
        raise ReadError(
            f"has {len(raw)} bytes, but its header asks for {layout.size}",
            where=f"{path}, member {data!r}",
            fix="copy the pack again",
        )
    shape = (layout.lines, layout.bands, layout.samples)
    axes = _AXES[layout.interleave]
    flat = np.frombuffer(raw, dtype=layout.dtype, offset=layout.offset)
    cube = flat.reshape([shape[axis] for axis in axes]).transpose(np.argsort(axes))
    return header, np.asarray(cube.mean(axis=0, dtype=np.float64))


def _data_name(name: str, members: dict[str, zipfile.ZipInfo]) -> str | None:
    bare = name[: -len(".hdr")]
    places = {each.lower(): each for each in members}
    for suffix in ("", ".bip", ".bil", ".bsq", ".raw", ".dat"):
        if (bare + suffix).lower() in places:
            return places[(bare + suffix).lower()]
    return None


def _settings(header: envi_header.Header, name: str, notes: list[str]) -> CameraSettings:
    """Return the settings of a frame: those of its name go before those of its header."""
    settings = envi_camera.settings(header, assumptions=notes)
    named = _named(name)
    if "gain" in named:
        settings = replace(settings, gain_db=named["gain"])
    if named.get("shutter", 0.0) > 0.0:
        settings = replace(settings, integration_ms=named["shutter"])
    return settings


def _named(name: str) -> dict[str, float]:
    """Return the settings in the name of a frame: ``5gain`` -> gain 5."""
    return {key.lower(): float(value) for value, key in _SETTING.findall(_base(name))}


def _base(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _unit_factor(header: envi_header.Header, notes: list[str]) -> float:
    if envi_camera.states_radiance(header):
        return envi_camera.radiance_factor(header, notes)
    notes.append("the gain is taken to be in microflicks per count, as the maker describes it")
    return convert(1.0, UNIT, envi_camera.RADIANCE_UNIT)


def _dark(
    path: Path, name: str, members: dict[str, zipfile.ZipInfo], shape: tuple[int, ...], tally: Tally
) -> DarkFrame | None:
    """Return a dark frame, or None where it cannot be used, which is told to *tally*.

    A pack also holds a plain ``offset`` frame whose part in the maker's process is not documented: left out.
    """
    if not {"gain", "shutter"} <= _named(name).keys():
        tally.dropped["offset frame without gain and shutter in its name"] += 1
        return None
    try:
        header, level = _frame(path, name, members)
        settings = _settings(header, name, [])
    except ReadError as error:
        tally.dropped["damaged dark frame"] += 1
        tally.warnings.append(f"dark frame left out: {error}")
        return None
    if level.shape != shape:
        tally.dropped["dark frame of another size than the gain"] += 1
        return None
    return DarkFrame(level, settings, name=f"{path.name}:{_base(name)}")
