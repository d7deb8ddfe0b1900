"""A run packed for a case file: a BagIt bag (RFC 8493) with RO-Crate metadata, in a zip without compression.

Anybody can check it: unpack it and say ``sha256sum -c manifest-sha256.txt``. The same run gives the same zip,
byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dronesense import __version__
from dronesense.errors import EvidenceError
from dronesense.evidence.verify import Sealed
from dronesense.writers.atomic import HASH_CHUNK_BYTES, MANIFEST_NAME, replacing

ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""First moment that a zip can hold: the bag has no clock of its own."""
FILE_MODE: Final = 0o100644 << 16
UNIX: Final = 3
"""System that made the zip (APPNOTE 4.4.2): the same on every machine."""
PRODUCTS: Final = "data/products/"
"""Where the run lies in the bag."""
CRATE_NAME: Final = "ro-crate-metadata.json"
CRATE_CONTEXT: Final = "https://w3id.org/ro/crate/1.1/context"
CRATE_PROFILE: Final = "https://w3id.org/ro/crate/1.1"
PROCESS_PROFILE: Final = "https://w3id.org/ro/wfrun/process/0.5"
UNTOLD_TIME: Final = "1980-01-01T00:00:00+00:00"
"""``datePublished`` of a run that says no time; RO-Crate wants one."""
AWKWARD: Final = re.compile(r"[%\r\n\\:]")
"""BagIt encodes some of these in its lists, sha256sum others: names in a bag hold none of them."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A file of the bag: path in it, name that it had, size in bytes, SHA-256."""

    path: str
    name: str
    size: int
    sha256: str


def pack(run: Sealed, target: Path, *, beside: Sequence[Path] = ()) -> tuple[Packed, ...]:
    """Write the bag of a run.

    Parameters
    ----------
    run : Sealed
        From :func:`~dronesense.evidence.verify.open_run`; verify it first.
    target : Path
        Zip to write, outside of the run.
    beside : sequence of Path
        Further files, such as the custody log; they go into ``data/``, beside the
        run, so that ``dronesense verify data`` works in the bag too.

    Returns
    -------
    tuple of Packed
        The payload.

    Raises
    ------
    EvidenceError
        If *target* lies in the run, or the run holds links or special files.
    OSError
        If a file cannot be read or written.
    """
    if run.folder.resolve() in target.resolve().parents:
        raise EvidenceError("lies in the run that is packed", where=target, fix="name another file with -o")
    sources = _sources(run, beside)
    root = f"{_plain(str(run.manifest.get('flight', 'run')))}-{run.manifest.get('run_id', 'run')}"
    root = re.sub(r"[^\w.-]+", "_", root).strip(".") or "run"
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED) as archive:
        packed = [_add_file(archive, root, name, path, run.folder) for name, path in sources]
        crate = _json(_crate(run, packed))
        packed.append(_add(archive, root, f"data/{CRATE_NAME}", crate))
        packed.sort(key=lambda each: each.path.encode())
        tags = [
            _add(archive, root, name, data)
            for name, data in (
                ("bag-info.txt", _info(run, packed)),
                ("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"),
                ("manifest-sha256.txt", _sums(packed)),
            )
        ]
        _add(archive, root, "tagmanifest-sha256.txt", _sums(tags))
    return tuple(packed)


def _sources(run: Sealed, beside: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return name in the bag and path of every file, sorted, no two names alike."""
    found = []
    for path in run.folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise EvidenceError("is no file with bytes", where=path, fix="take it out of the run")
        if path.is_file():
            found.append((f"{PRODUCTS}{path.relative_to(run.folder).as_posix()}", path))
    found += [(f"data/{path.name}", path) for path in beside]
    named: dict[str, Path] = {}
    for name, path in sorted(found):
        safe = _plain(name)
        if safe in named or safe == f"data/{CRATE_NAME}":
            mark = hashlib.sha256(name.encode("utf-8", errors="surrogateescape")).hexdigest()[:8]
            safe = f"{safe}~{mark}"
        named[safe] = path
    return sorted(named.items(), key=lambda each: each[0].encode())


def _plain(name: str) -> str:
    return AWKWARD.sub("_", name).encode("utf-8", errors="replace").decode()


def _entry(root: str, name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{root}/{name}", ZIP_TIME)
    entry.create_system, entry.external_attr = UNIX, FILE_MODE
    return entry


def _add_file(archive: zipfile.ZipFile, root: str, name: str, path: Path, folder: Path) -> Packed:
    """Add a file; what is hashed are the bytes that went into the zip."""
    entry = _entry(root, name)
    entry.file_size = path.stat().st_size
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(entry, "w") as sink:
        while chunk := source.read(HASH_CHUNK_BYTES):
            sink.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    own = path.relative_to(folder).as_posix() if folder in path.parents else path.name
    return Packed(name, own, size, digest.hexdigest())


def _add(archive: zipfile.ZipFile, root: str, name: str, data: bytes) -> Packed:
    archive.writestr(_entry(root, name), data)
    return Packed(name, name.rsplit("/", 1)[-1], len(data), hashlib.sha256(data).hexdigest())


def _sums(files: Sequence[Packed]) -> bytes:
    return "".join(f"{each.sha256}  {each.path}\n" for each in files).encode()


def _info(run: Sealed, packed: Sequence[Packed]) -> bytes:
    lines = {
        "Bag-Software-Agent": f"dronesense {__version__}",
        "External-Identifier": run.manifest.get("run_id", ""),
        "External-Description": f"Flight {run.manifest.get('flight', '')}; indications, never proof",
        "Payload-Oxum": f"{sum(each.size for each in packed)}.{len(packed)}",
    }
    day = _timing(run, "finished")[:10]
    lines |= {"Bagging-Date": day} if day else {}
    return "".join(
        f"{key}: {' '.join(str(value).split())}\n" for key, value in sorted(lines.items())
    ).encode()


def _timing(run: Sealed, key: str) -> str:
    timing = run.manifest.get("timing")
    return str(timing.get(key) or "") if isinstance(timing, dict) else ""


def _crate(run: Sealed, packed: Sequence[Packed]) -> dict[str, Any]:
    """Return the metadata: what the program made of which inputs, and when (Process Run Crate)."""
    versions = run.manifest.get("versions")
    version = str(versions.get("dronesense", "")) if isinstance(versions, dict) else ""
    parts = [_crate_file(each) for each in packed]
    inputs = [
        {"@id": f"#input-{number}", "@type": "CreativeWork", "name": str(row.get("path")),
         "sha256": row.get("sha256"), "description": str(row.get("role"))}
        for number, row in enumerate(run.rows("inputs"), 1)
    ]  # fmt: skip
    listed = {str(row.get("path")) for row in run.rows("outputs")}
    made = [{"@id": part["@id"]} for part, each in zip(parts, packed, strict=True)
            if each.path.removeprefix(PRODUCTS) in listed | {MANIFEST_NAME}]  # fmt: skip
    flight, number = str(run.manifest.get("flight", "")), str(run.manifest.get("run_id", ""))
    times = {"startTime": _timing(run, "started"), "endTime": _timing(run, "finished")}
    about = {
        "@id": CRATE_NAME,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": CRATE_PROFILE},
    }
    whole = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Flight {flight}, run {number}",
        "description": "Products of dronesense. A hotspot is an indication with its limits, never proof.",
        "datePublished": times["endTime"] or UNTOLD_TIME,
        "license": "Not stated; ask the owner of the flight",
        "conformsTo": {"@id": PROCESS_PROFILE},
        "hasPart": [{"@id": part["@id"]} for part in parts],
        "mentions": {"@id": "#run"},
    }
    profile = {"@id": PROCESS_PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    program = {
        "@id": "#dronesense",
        "@type": "SoftwareApplication",
        "name": "dronesense",
        "softwareVersion": version,
    }
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run {number}",
        "instrument": {"@id": "#dronesense"},
        "object": [{"@id": each["@id"]} for each in inputs],
        "result": made,
    } | {name: value for name, value in times.items() if value}
    graph: list[dict[str, Any]] = [about, whole, profile, program, action, *inputs, *parts]
    return {"@context": CRATE_CONTEXT, "@graph": graph}


def _crate_file(each: Packed) -> dict[str, Any]:
    from urllib.parse import quote

    name = each.path.removeprefix("data/")
    told = {
        "@id": quote(name),
        "@type": "File",
        "name": each.name,
        "contentSize": str(each.size),
        "sha256": each.sha256,
        "encodingFormat": mimetypes.MimeTypes().guess_type(name)[0] or "application/octet-stream",
    }
    return told if each.path.endswith(f"/{each.name}") else told | {"alternateName": each.name}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False).encode() + b"\n"
