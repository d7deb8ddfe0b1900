"""Hold a folder of products against its ``run.json``: one verdict for each question, none for the whole.

Each verdict answers one thing: are the bytes those of the run (INTEGRITY), is anything missing or added
(COMPLETENESS), are the raw files those that went in (INPUTS), does the custody log hang together (CHAIN),
and does a second run come out the same (REPRODUCED). Who vouches for it is in :mod:`.signature`,
who saw it when in :mod:`.timestamp`.
"""

from __future__ import annotations

import fnmatch
import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dronesense.errors import ReadError
from dronesense.evidence import custody, manifest
from dronesense.writers import fingerprint
from dronesense.writers.atomic import MANIFEST_NAME, MANIFEST_SCHEMA, sha256_file

MAX_MANIFEST_BYTES: Final = 256 * 1024 * 1024
"""A longer ``run.json`` is not read, B."""
SEALS: Final = {
    "run.json.sig": "signature",
    "run.json.pub.pem": "key of the signer",
    "run.json.tsq": "request for a time stamp",
    "run.json.tsr": "time stamp",
    "run.json.p7s": "signature of another kind",
}
"""Files that vouch for ``run.json`` and so cannot be listed in it."""
NOTED: Final = {
    "*.aux.xml": "written by a GIS; it may shift or recolor the raster there",
    "hotspots.reviews.jsonl": "decisions of people",
    "*.reviewed.*": "made later, with decisions of people",
    "hotspots.kmz": "made later by `dronesense convert`",
    "hotspots.fgb": "made later by `dronesense convert`",
    "hotspots.stac.json": "made later by `dronesense convert`",
    "hotspots.cot.zip": "made later by `dronesense convert`",
    "run.kept-*.json*": "an earlier run.json, or what vouches for it",
    "custody.jsonl": "custody log",
    "custody.jsonl.head": "head code of the custody log",
}
"""Files that come to a run folder in honest work; they are told, and are no part of what the run sealed."""
SCORE_TOLERANCE: Final = 1e-4
"""Scores of one hotspot in two runs with other versions differ by no more (reproducibility contract)."""
PLACE_TOLERANCE_DEG: Final = 0.01 / 111_320.0
"""0.01 m in degrees of latitude; a degree is about 111,320 m."""
ALIKE_SHARE: Final = 0.999
"""Share of the pixels of a raster that agree within the score's tolerance (reproducibility contract)."""
CHAIN_LIMITS: Final = (
    "A whole chain shows that no line changed since a later head code was noted. It does not stop the owner "
    "of the log from writing all of it anew, and nothing proves the machine's clock."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question.

    Parameters
    ----------
    name : str
        ``INTEGRITY``, ``COMPLETENESS``, ``INPUTS``, ``CHAIN``, ``SIGNATURE``, ``TIMESTAMP`` or
        ``REPRODUCED``.
    passed : bool or None
        None: not asked, or nothing to judge.
    word : str
        The answer in words.
    problems, notes : tuple of str
        Why it failed; what else to know.
    """

    name: str
    passed: bool | None
    word: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A run folder and what its ``run.json`` says.

    Parameters
    ----------
    folder : Path
        Products.
    data : bytes
        Of ``run.json``; signatures are over these.
    manifest : mapping
        Its content.
    """

    folder: Path
    data: bytes
    manifest: Mapping[str, Any]

    def rows(self, key: str) -> list[dict[str, Any]]:
        """Return the rows of ``inputs`` or ``outputs`` that are objects."""
        found = self.manifest.get(key)
        return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def open_run(path: Path) -> Sealed:
    """Open a products folder, the flight folder around one, or a ``run.json``.

    Raises
    ------
    ReadError
        If there is no run manifest, or it cannot be read as one.
    OSError
        If the disk says no.
    """
    choices = (path, path / MANIFEST_NAME, path / "products" / MANIFEST_NAME)
    file = next((each for each in choices if each.is_file()), None)
    if file is None or file.name != MANIFEST_NAME:
        raise ReadError("holds no run.json", where=path, fix="name the folder of products of a run")
    if file.stat().st_size > MAX_MANIFEST_BYTES:
        raise ReadError("is too long for a run manifest", where=file)
    data = file.read_bytes()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"is not JSON: it was damaged ({error})", where=file) from error
    if not isinstance(content, dict) or content.get("schema") != MANIFEST_SCHEMA:
        raise ReadError(f'is not a run manifest of the schema "{MANIFEST_SCHEMA}"', where=file)
    return Sealed(file.parent, data, content)


def integrity(run: Sealed) -> Verdict:
    """Compare every product that is there with its size and SHA-256; missing ones are COMPLETENESS'."""
    problems, checked = _of_manifest(run), 0
    seen: set[str] = set()
    for row in run.rows("outputs"):
        name = str(row.get("path"))
        path = _inside(run.folder, name)
        if path is None or name in seen:
            why = "no path of a product" if path is None else "listed twice"
            problems.append(f"run.json lists {name!r}, which is {why}")
            continue
        seen.add(name)
        kind = _kind(path)
        if kind == "missing":
            continue
        checked += 1
        if kind != "file":
            problems.append(f"{name}: is a {kind}, not the file that the run wrote")
        elif path.stat().st_size != row.get("bytes") or sha256_file(path) != row.get("sha256"):
            problems.append(f"{name}: differs from what the run wrote{_content(path, row)}")
    word = f"{checked} products as the run wrote them" if not problems else f"{len(problems)} do not fit"
    return Verdict("INTEGRITY", not problems, word, tuple(problems))


def completeness(run: Sealed) -> Verdict:
    """Look for products that are missing and for files that the run did not write."""
    listed = {str(row.get("path")) for row in run.rows("outputs")}
    problems: list[str] = []
    notes: list[str] = []
    for name in sorted(listed):
        path = _inside(run.folder, name)
        if path is not None and _kind(path) == "missing":
            problems.append(f"{name}: missing")
    for path in sorted(run.folder.rglob("*")):
        name = path.relative_to(run.folder).as_posix()
        kind = _kind(path)
        if kind == "folder" or name in listed or name == MANIFEST_NAME:
            continue
        about = SEALS.get(name) or _note(name)
        if about is not None and kind == "file":
            notes.append(f"{name}: not sealed by the run ({about})")
        else:
            problems.append(f"{name}: the run did not write it" + ("" if kind == "file" else f"; a {kind}"))
    word = "nothing missing, nothing added" if not problems else f"{len(problems)} missing or added"
    return Verdict("COMPLETENESS", not problems, word, tuple(problems), tuple(notes))


def inputs(run: Sealed, flight: Path, *, places: Iterable[Path] = ()) -> Verdict:
    """Compare the raw files with their hashes.

    Parameters
    ----------
    run : Sealed
        From :func:`open_run`.
    flight : Path
        Flight folder, which paths are relative to.
    places : iterable of Path
        Folders to look in for records from outside of it, which run.json names by the end of their path.
    """
    problems: list[str] = []
    notes: list[str] = []
    checked = 0
    for row in run.rows("inputs"):
        name, digest = str(row.get("path")), row.get("sha256")
        outside = name.startswith(".../")
        known = [_inside(flight, name)] if not outside else _from_outside(name, (flight, *places))
        files = [path for path in known if path is not None and path.is_file()]
        if any(sha256_file(path) == digest for path in files):
            checked += 1
        elif files and not outside:
            problems.append(f"{name}: differs from what the run read")
        elif outside:
            notes.append(
                f"{name}: not found as it was, so not checked (it lies outside of the flight folder)"
            )
        else:
            problems.append(f"{name}: missing in {flight.name}")
    word = f"{checked} as the run read them" if not problems else f"{len(problems)} missing or changed"
    return Verdict("INPUTS", not problems, word, tuple(problems), tuple(notes))


def chain(run: Sealed, log: Path, *, heads: Sequence[str] = (), required: bool = False) -> Verdict:
    """Check the custody log, and that it still holds the line that the run and *heads* noted.

    Parameters
    ----------
    run : Sealed
        From :func:`open_run`.
    log : Path
        ``custody.jsonl``.
    heads : sequence of str
        Head codes from elsewhere, such as the paper protocol; their first digits will do.
    required : bool
        Whether a log must be there.

    Raises
    ------
    OSError
        If the log cannot be read.
    """
    noted = run.manifest.get("custody")
    if not log.is_file():
        if required or heads:
            return Verdict("CHAIN", False, "no custody log", (f"{log.name}: not found beside the raw files",))
        word = "no custody log found" + (", though the run noted one" if noted else "")
        return Verdict("CHAIN", None, word)
    known = (str(noted.get("head")),) if isinstance(noted, dict) and noted.get("lines") else ()
    found = custody.read(log, heads=(*known, *heads))
    if found.problems:
        return Verdict("CHAIN", False, "broken", found.problems, (CHAIN_LIMITS,))
    word = f"{len(found.entries)} lines hang together; head code {found.head}"
    return Verdict("CHAIN", True, word, (), (CHAIN_LIMITS,))


def reproduced(run: Sealed, again: Path) -> Verdict:
    """Compare the products of the run with those of a second run of the same work in the folder *again*.

    Raises
    ------
    ReadError
        If the second run left no run manifest, or a layer of it cannot be read.
    """
    new = {str(row.get("path")): row for row in open_run(again).rows("outputs")}
    old = {str(row.get("path")): row for row in run.rows("outputs")}
    odd = sorted(new.keys() ^ old.keys())
    problems = [f"{name}: only one of the two runs wrote it" for name in odd]
    differing = [
        name for name in sorted(new.keys() & old.keys()) if new[name].get("sha256") != old[name].get("sha256")
    ]
    if not differing and not problems:
        return Verdict("REPRODUCED", True, "bytes equal")
    notes = []
    for name in differing:
        alike = _alike(run.folder / name, again / name, old[name], new[name])
        if alike is None:
            notes.append(f"{name}: bytes differ; made from the layers, not judged by itself")
        elif alike:
            notes.append(f"{name}: within tolerance")
        else:
            problems.append(f"{name}: differs beyond the tolerance")
    word = "within tolerance" if not problems else "differs"
    return Verdict("REPRODUCED", not problems, word, tuple(problems), tuple(notes))


def _alike(old: Path, new: Path, old_row: Mapping[str, Any], new_row: Mapping[str, Any]) -> bool | None:
    """Tell whether two products say the same within the tolerance; None where that is not for us to say."""
    content = old_row.get("content_sha256")
    if content is not None and content == new_row.get("content_sha256"):
        return True
    try:
        if old.suffix == ".tif":
            return fingerprint.share_alike(old, new, tolerance=SCORE_TOLERANCE) >= ALIKE_SHARE
        if old.name == "hotspots.geojson":
            return _same_hotspots(_hotspots(old), _hotspots(new))
    except (ReadError, OSError):
        return False
    return None


def _hotspots(path: Path) -> dict[str, tuple[float | None, ...]]:
    """Return id -> longitude, latitude and score of the hotspots of a layer."""
    try:
        features = json.loads(path.read_bytes())["features"]
        rows = [(str(each["id"]), each["properties"]) for each in features]
        return {key: tuple(told[name] for name in ("lon", "lat", "score")) for key, told in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ReadError(f"is not a layer of hotspots ({error})", where=path) from error


def _same_hotspots(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    limits = (PLACE_TOLERANCE_DEG, PLACE_TOLERANCE_DEG, SCORE_TOLERANCE)
    return old.keys() == new.keys() and all(
        a == b or (a is not None and b is not None and abs(a - b) <= limit)
        for key in old
        for a, b, limit in zip(old[key], new[key], limits, strict=True)
    )


def _of_manifest(run: Sealed) -> list[str]:
    """Return what in ``run.json`` does not fit itself."""
    problems = []
    if manifest.encode(run.manifest) != run.data:
        problems.append("run.json: not as dronesense writes it, so another program wrote to it")
    versions = run.manifest.get("versions")
    told = versions.get("dronesense") if isinstance(versions, dict) else None
    if {"inputs", "parameters", "versions"} <= run.manifest.keys():
        rows = [(str(row.get("role")), str(row.get("sha256"))) for row in run.rows("inputs")]
        expected = manifest.run_id_of(rows, run.manifest["parameters"], version=str(told))
        if expected != run.manifest.get("run_id"):
            problems.append("run.json: the run id does not fit inputs, settings and version: it was edited")
    if not run.rows("outputs"):
        problems.append("run.json: lists no products")
    return problems


def _content(path: Path, row: Mapping[str, Any]) -> str:
    """Return what the content hash says of a product whose bytes differ."""
    expected = row.get("content_sha256")
    if expected is None:
        return ""
    try:
        same = fingerprint.content_sha256(path) == expected
    except (ReadError, OSError):
        return "; it can no longer be decoded"
    return "; its features or pixels are the same" if same else "; its features or pixels differ too"


def _inside(root: Path, name: str) -> Path | None:
    """Return the file *name* in *root*; None if the name leads out of it or is not written plainly."""
    parts = PurePosixPath(name)
    plain = bool(name) and parts.as_posix() == name and not parts.is_absolute() and "\0" not in name
    if not plain or ".." in parts.parts or "\\" in name or ":" in parts.parts[0]:
        return None
    return root.joinpath(*parts.parts)


def _from_outside(name: str, places: Iterable[Path]) -> list[Path | None]:
    """Return where a file that is named by the end of its path may lie: in the places and what is around."""
    tail = name.removeprefix(".../").split("/")
    roots = [root for place in places for root in (place, *place.resolve().parents)]
    return [_inside(root, "/".join(tail[start:])) for root in roots for start in range(len(tail))]


def _kind(path: Path) -> str:
    """Return what stands at *path*, links not followed."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "special file"


def _note(name: str) -> str | None:
    last = PurePosixPath(name).name
    return next((about for pattern, about in NOTED.items() if fnmatch.fnmatchcase(last, pattern)), None)
