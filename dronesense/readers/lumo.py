"""Capture folders of Specim cameras (Lumo Recorder, Specim IQ): the cube and its references, paired.

A capture ``NAME`` is a folder with ``capture/NAME.hdr`` and ``.raw``, ``capture/DARKREF_NAME.hdr``,
``capture/WHITEREF_NAME.hdr``, sometimes ``WHITEDARKREF_NAME.hdr`` (the dark at the exposure of the white),
and ``manifest.xml`` and ``metadata/NAME.xml`` beside. See ``docs/formats/lumo.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model.radiometry import CameraSettings
from dronesense.readers import envi_camera, envi_header

CAPTURE: Final = "capture"
MANIFEST: Final = "manifest.xml"
PREFIXES: Final = {"DARKREF_": "dark", "WHITEDARKREF_": "white_dark", "WHITEREF_": "white"}
TYPES: Final = {"raw": "cube", "darkref": "dark", "whiteref": "white", "whitedarkref": "white_dark"}
"""``type`` of a file in the manifest -> what it is."""
MAX_XML_BYTES: Final = 1 << 20
SAME: Final = 0.01
"""Exposures that differ by less than this share are taken as equal."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A dark or white reference of a capture: its header, how it was taken, and its shape."""

    path: Path
    settings: CameraSettings
    lines: int
    bands: int
    samples: int


@dataclass(frozen=True, slots=True)
class LumoCapture:
    """A capture and its references.

    Parameters
    ----------
    name : str
        Name of the capture.
    cube : Path
        Header of the cube.
    settings : CameraSettings
        How the cube was taken.
    dark, white, white_dark : Reference or None
        Dark at the cube's exposure; white reference; dark at the exposure of the white.
    folder : Path
        The folder of the capture.
    companions : tuple of Path
        Manifest, metadata and logs.
    assumptions, warnings : tuple of str
        For the report.
    """

    name: str
    cube: Path
    settings: CameraSettings
    dark: Reference | None
    white: Reference | None
    white_dark: Reference | None
    folder: Path
    companions: tuple[Path, ...] = ()
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    """Headers of a ``capture`` folder by what they are."""

    cubes: dict[str, Path] = field(default_factory=dict)
    references: dict[str, dict[str, Path]] = field(
        default_factory=lambda: {kind: {} for kind in PREFIXES.values()}
    )


def captures(folder: Path) -> tuple[LumoCapture, ...]:
    """Return the captures of *folder*, sorted by name; empty if it is no folder of Specim captures.

    Parameters
    ----------
    folder : Path
        A capture, its ``capture`` folder, or a folder of captures.

    Raises
    ------
    ReadError
        If a capture is damaged: a reference of another size than the cube, a header that cannot be read, a
        manifest that names files that are not there.
    """
    folder = Path(folder)
    inner = [folder] if folder.name.lower() == CAPTURE else _named(folder, CAPTURE)
    if not inner and folder.is_dir():
        inner = sorted(each for sub in folder.iterdir() if sub.is_dir() for each in _named(sub, CAPTURE))
    found = [capture for each in inner for capture in _captures(each)]
    return tuple(sorted(found, key=lambda capture: (capture.name, str(capture.cube))))


def of_cube(header: Path) -> LumoCapture | None:
    """Return the capture whose cube has the header *header* (or data file); None if it is not of Specim's.

    Raises
    ------
    ReadError
        As :func:`captures`.
    """
    header = Path(header)
    if header.parent.name.lower() != CAPTURE:
        return None
    stem = header.name.lower().split(".")[0]
    return next((each for each in _captures(header.parent) if each.name.lower() == stem), None)


def _named(folder: Path, name: str) -> list[Path]:
    """Return the folder *name* of *folder*, in any case."""
    if not folder.is_dir():
        return []
    return [each for each in folder.iterdir() if each.name.lower() == name and each.is_dir()]


def _captures(inner: Path) -> list[LumoCapture]:
    found = _Found()
    for header in sorted(
        each for each in inner.iterdir() if each.suffix.lower() == ".hdr" and each.is_file()
    ):
        upper = header.stem.upper()
        prefix = next((each for each in PREFIXES if upper.startswith(each)), None)
        if prefix is None:
            found.cubes[header.stem.lower()] = header
        else:
            found.references[PREFIXES[prefix]][upper[len(prefix) :].lower()] = header
    listed, manifest = _listed(inner.parent)
    return [_capture(inner, cube, found, listed, manifest) for cube in found.cubes.values()]


def _capture(
    inner: Path, cube: Path, found: _Found, listed: Mapping[str, Path], manifest: Path | None
) -> LumoCapture:
    """Return a capture: each reference by the manifest, else by its name, else the only one there is."""
    assumptions: list[str] = []
    warnings: list[str] = []
    header = envi_header.read(cube)
    settings = envi_camera.settings(header, assumptions=assumptions)
    size = (header.integer("bands"), header.integer("samples"))
    mine = listed if listed.get("cube") == cube else {}
    parts: dict[str, Reference | None] = {}
    for kind, named in found.references.items():
        path = mine.get(kind) or named.get(cube.stem.lower())
        if path is None and len(named) == 1 and len(found.cubes) == 1:
            path = next(iter(named.values()))
            assumptions.append(f"{path.name} is taken as the {kind} reference: the only one there")
        if path is None and len(named) > 1 and kind == "dark":
            path = _nearest(named.values(), settings, size)
            if path is not None:
                assumptions.append(f"{path.name} is the dark reference nearest in exposure")
        parts[kind] = None if path is None else _reference(path, size, cube)
    warnings += _doubts(settings, parts)
    extra = [inner.parent / "metadata" / f"{cube.stem}.xml", cube.with_suffix(".log")]
    companions = [each for each in extra if each.is_file()]
    if manifest is not None and mine:
        companions.insert(0, manifest)
    return LumoCapture(
        name=cube.stem,
        cube=cube,
        settings=settings,
        dark=parts["dark"],
        white=parts["white"],
        white_dark=parts["white_dark"],
        folder=inner.parent,
        companions=tuple(companions),
        assumptions=tuple(dict.fromkeys(assumptions)),
        warnings=tuple(warnings),
    )


def _reference(path: Path, size: tuple[int, int], cube: Path) -> Reference:
    header = envi_header.read(path)
    layout = envi_header.layout(header)
    if (layout.bands, layout.samples) != size:
        raise ReadError(
            f"has {layout.bands} bands x {layout.samples} samples, but {cube.name} has {size[0]} x {size[1]}",
            where=path,
            fix="use the reference that was taken with this binning",
        )
    return Reference(
        path, envi_camera.settings(header, assumptions=[]), layout.lines, layout.bands, layout.samples
    )


def _nearest(paths: Iterable[Path], settings: CameraSettings, size: tuple[int, int]) -> Path | None:
    """Return the header whose exposure is nearest to that of *settings*, of those of the cube's size."""
    best: tuple[float, Path] | None = None
    for path in paths:
        header = envi_header.read(path)
        if (header.integer("bands"), header.integer("samples")) != size:
            continue
        exposure = envi_camera.settings(header, assumptions=[]).integration_ms
        far = abs(float(np.log(exposure / settings.integration_ms)))
        if np.isfinite(far) and (best is None or far < best[0]):
            best = far, path
    return None if best is None else best[1]


def _doubts(settings: CameraSettings, parts: Mapping[str, Reference | None]) -> list[str]:
    """Return what does not fit between the exposures of cube, dark, white and its dark."""
    found = []
    dark, white, white_dark = (parts[kind] for kind in ("dark", "white", "white_dark"))
    if dark is None:
        found.append("no dark reference in the capture folder")
    elif _differs(dark.settings, settings):
        found.append(
            f"{dark.path.name} was exposed {dark.settings.integration_ms:g} ms, the cube "
            f"{settings.integration_ms:g} ms"
        )
    if white is not None and _differs(white.settings, settings):
        own = white_dark is not None and not _differs(white_dark.settings, white.settings)
        text = f"{white.path.name} was exposed {white.settings.integration_ms:g} ms"
        found.append(f"{text}: use {white_dark.path.name} as its dark" if own and white_dark else text)
    return found


def _differs(first: CameraSettings, second: CameraSettings) -> bool:
    return abs(first.integration_ms - second.integration_ms) > SAME * second.integration_ms


def _listed(folder: Path) -> tuple[Mapping[str, Path], Path | None]:
    """Return what the manifest of *folder* lists, headers by what they are, and the manifest itself.

    Raises
    ------
    ReadError
        If it cannot be read, or names a header that lies outside or is not there.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}, None
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    raw = manifest.read_bytes()
    if len(raw) > MAX_XML_BYTES:
        raise ReadError("is longer than 1 MiB: no manifest", where=manifest)
    try:
        root = fromstring(raw)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ReadError(
            f"is no whole XML ({error})", where=manifest, fix="copy it again, or delete it"
        ) from error
    found: dict[str, Path] = {}
    for element in root.iter():
        kind = TYPES.get(element.get("type", "").strip().lower())
        text = (element.text or "").strip().replace("\\", "/")
        if _local(element.tag) != "file" or kind is None or not text.lower().endswith(".hdr"):
            continue
        name = PurePosixPath(text)
        if name.is_absolute() or ".." in name.parts or ":" in text:
            raise ReadError(f'"{text[:80]}" leads outside the capture', where=manifest)
        path = folder.joinpath(*name.parts)
        if not path.is_file():
            raise ReadError(
                f'lists "{text[:80]}", which is not there', where=manifest, fix="copy it from the card"
            )
        found[kind] = path
    return found, manifest


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2].lower()
