"""Band files that belong to one release, found by name and confirmed by what the files say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dronesense.errors import ReadError
from dronesense.model.capture import CameraFamily, Capture
from dronesense.readers import band_tiff, exif, xmp
from dronesense.readers.band_tiff import BandFile
from dronesense.readers.tally import Tally

NAMES: Final[dict[CameraFamily, re.Pattern[str]]] = {
    "micasense": re.compile(r"(?P<stem>.+)_(?P<band>\d{1,2})\.tiff?", re.IGNORECASE),
    "sequoia": re.compile(r"(?P<stem>.+)_(?P<band>GRE|RED|REG|NIR)\.tiff?", re.IGNORECASE),
    "dji-m3m": re.compile(r"(?P<stem>.+)_MS_(?P<band>G|R|RE|NIR)\.tiff?", re.IGNORECASE),
    "dji-p4m": re.compile(r"(?P<stem>.*\d{3})(?P<band>[1-5])\.tiff?", re.IGNORECASE),
}
"""How each family names the band files of one release: the same stem, and a number or a name of the band."""

WRITES: Final[dict[CameraFamily, tuple[str, ...]]] = {
    "sequoia": ("GRE", "NIR", "RED", "REG"),
    "dji-m3m": ("G", "NIR", "R", "RE"),
    "dji-p4m": ("1", "2", "3", "4", "5"),
}
"""Bands that a family writes; MicaSense writes 5, 6 or 10."""

MAX_SPREAD_NS: Final = 1_000_000_000
"""Release times of one capture that differ by more are of different captures."""
GREEN_NM: Final = 560.0
"""The bands are brought to the one nearest to this: green shares its edges with all others."""


@dataclass(frozen=True, slots=True)
class Group:
    """The files of one release: `files` sorted by band, `keys` what tells the bands apart in their names."""

    files: tuple[Path, ...]
    keys: tuple[str, ...]


def of_file(path: Path, family: CameraFamily) -> Group:
    """Return the files beside *path* that are named as of the same release.

    A file of another name is grouped with files of other names that say the same capture id.
    """
    pattern = NAMES[family]
    match = pattern.fullmatch(path.name)
    if match is None:
        return _by_id(path, family)
    found = []
    for each in path.parent.iterdir():
        other = pattern.fullmatch(each.name)
        if other is not None and other["stem"] == match["stem"] and each.is_file():
            found.append((_order(other["band"]), other["band"].upper(), each))
    found.sort(key=lambda item: (item[0], item[2].name))
    return Group(tuple(each for _, _, each in found), tuple(key for _, key, _ in found))


def is_leader(path: Path, family: CameraFamily) -> bool:
    """Return whether *path* stands for its capture: it is the first of its files.

    Asks for the files that would come before it, not for all of the folder: a folder may have thousands.
    """
    match = NAMES[family].fullmatch(path.name)
    if match is None:
        return _by_id(path, family).files[:1] == (path,)
    own = match["band"]
    if own.isdecimal():
        before = [str(number) for number in range(1, int(own))]
    else:
        before = [each for each in WRITES[family] if each < own.upper()]
        before = [each.lower() for each in before] if own.islower() else before
    begin, end = path.name[: match.start("band")], path.name[match.end("band") :]
    return not any(path.with_name(f"{begin}{each}{end}").is_file() for each in before)


def leader(path: Path) -> Path | None:
    """Return the file that stands for the capture that *path* is a band of; None if it is no band file."""
    try:
        family = band_tiff.family(exif.read(path))
    except ReadError:
        return None
    return None if family is None else of_file(path, family).files[0]


def stranger(path: Path) -> str | None:
    """Return make and model of the camera whose picture *path* is, if its bands are not read.

    None for files of the cameras that are read, for maps (with a pixel size or a tie point), and for files
    that name no camera.
    """
    try:
        tags = exif.read(path)
    except ReadError:
        return None
    camera = f"{tags.text(exif.MAKE)} {tags.text(exif.MODEL)}".strip()
    if not camera or any(tag in tags.main for tag in exif.MAP_TAGS) or band_tiff.family(tags) is not None:
        return None
    return camera


def folder_keys(path: Path, family: CameraFamily) -> set[str]:
    """Return which bands the folder of *path* has files of, whatever the release."""
    matches = (NAMES[family].fullmatch(each.name) for each in path.parent.iterdir())
    return {match["band"].upper() for match in matches if match is not None}


def _order(key: str) -> tuple[int, str]:
    return (int(key), "") if key.isdecimal() else (0, key.upper())


def _by_id(path: Path, family: CameraFamily) -> Group:
    own = _capture_id(path)
    found = [path]
    others = sorted(path.parent.glob("*.[tT][iI][fF]*")) if own else []
    found += [
        each
        for each in others
        if each != path and NAMES[family].fullmatch(each.name) is None and _capture_id(each) == own
    ]
    found.sort(key=lambda each: each.name)
    return Group(tuple(found), tuple(each.stem.upper() for each in found))


def _capture_id(path: Path) -> str:
    try:
        return xmp.parse(exif.read(path).xmp, path).text("CaptureId", "CaptureUUID")
    except ReadError:
        return ""


def read(path: Path, tally: Tally) -> tuple[Capture, tuple[BandFile, ...]]:
    """Return the capture that the band file *path* belongs to, and its files sorted by wavelength.

    Thermal and panchromatic bands are left out, and it is said.

    Raises
    ------
    ReadError
        If a file cannot be read, is of another capture, has another size, or is not there though other
        captures of the folder have it.
    """
    kind = band_tiff.read(path).family
    group = of_file(path, kind)
    _check_complete(path, kind, group, tally)
    files = tuple(band_tiff.read(each) for each in group.files)
    _check_one_capture(path, files)
    bands = [each for each in files if each.role == "band"]
    for each in files:
        if each.role != "band":
            tally.warnings.append(f"{each.role} band {Path(each.frame.path).name} is not part of the cube")
        tally.assumptions.extend(each.assumptions)
        tally.warnings.extend(each.warnings)
    if not bands:
        raise ReadError("has no spectral band, only thermal or panchromatic ones", where=path)
    _check_shapes(path, bands)
    bands.sort(key=lambda each: (not each.frame.center_nm > 0.0, each.frame.center_nm, each.frame.index))
    first = min(bands, key=lambda each: each.frame.index)
    times = [each.time for each in bands if each.time is not None]
    capture = Capture(
        camera=first.camera,
        family=kind,
        id=first.capture_id,
        frames=tuple(each.frame for each in bands),
        time=min(times) if len(times) == len(bands) else None,
        position=first.position,
        attitude_deg=first.attitude_deg,
        serial=first.serial,
    )
    return capture, tuple(bands)


def reference(capture: Capture) -> int:
    """Return the band that the others are brought to: no rotation in the rig, else nearest to green."""
    for place, frame in enumerate(capture.frames):
        if frame.rig_deg == (0.0, 0.0, 0.0):
            return place
    distance = [abs(frame.center_nm - GREEN_NM) for frame in capture.frames]
    return min(range(len(distance)), key=lambda each: (not distance[each] >= 0.0, distance[each]))


def _check_complete(path: Path, kind: CameraFamily, group: Group, tally: Tally) -> None:
    if NAMES[kind].fullmatch(path.name) is None:
        tally.assumptions.append("files grouped by capture id alone: their names are not the camera's")
        return
    missing = sorted(folder_keys(path, kind) - set(group.keys), key=_order)
    if missing:
        here = ", ".join(each.name for each in group.files)
        raise ReadError(
            f"its capture lacks the band {', '.join(missing)}, which other captures of the folder have "
            f"(here: {here})",
            where=path,
            fix="copy the missing file from the card, or move the files of this capture away",
        )
    unseen = [key for key in WRITES.get(kind, ()) if key not in group.keys]
    if kind == "micasense":
        numbers = {int(key) for key in group.keys if key.isdecimal()}
        unseen = [str(key) for key in range(1, max(5, *numbers) + 1) if key not in numbers]
    if unseen:
        tally.warnings.append(f"band {', '.join(unseen)} of this camera is not in the folder")


def _check_one_capture(path: Path, files: Sequence[BandFile]) -> None:
    first = files[0]
    for each in files[1:]:
        name, other = Path(first.frame.path).name, Path(each.frame.path).name
        why = ""
        if (each.family, each.camera) != (first.family, first.camera):
            why = f"{name} is of a {first.camera}, {other} of a {each.camera}"
        elif each.capture_id != first.capture_id:
            why = f'{name} is of capture "{first.capture_id}", {other} of "{each.capture_id}"'
        elif first.time is not None and each.time is not None:
            apart = abs(each.time - first.time)
            if apart > MAX_SPREAD_NS:
                why = f"{name} and {other} were taken {apart / MAX_SPREAD_NS:.1f} s apart"
        if why:
            raise ReadError(
                f"its band files are of different captures: {why}",
                where=path,
                fix="keep each flight in a folder of its own: cameras count files from zero again",
            )
    bands = [each.frame.band.lower() for each in files if each.role == "band"]
    twice = sorted({band for band in bands if bands.count(band) > 1})
    if twice:
        raise ReadError(f"its capture has the band {', '.join(twice)} more than once", where=path)


def _check_shapes(path: Path, bands: Sequence[BandFile]) -> None:
    shapes = {each.frame.shape for each in bands}
    if len(shapes) > 1:
        sizes = ", ".join(
            f"{Path(each.frame.path).name} {each.frame.shape[0]} x {each.frame.shape[1]}" for each in bands
        )
        raise ReadError(
            f"its bands have different sizes (rows x columns): {sizes}",
            where=path,
            fix="use the files as the camera wrote them",
        )
