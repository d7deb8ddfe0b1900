"""What the program is made of: packages of a lock and files of others, as CycloneDX 1.6 (ECMA-424).

The same lock and the same installed packages give the same bytes: no clock, no random number, all is sorted.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from dronesense import __version__
from dronesense.errors import EvidenceError, ReadError

ROOT: Final = "dronesense"
PIN: Final = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ \\]+)(?: ; (?P<marker>[^\\]+?))?(?: \\)?"
)
HASH: Final = re.compile(r"    --hash=sha256:(?P<digest>[0-9a-f]{64})(?: \\)?")
PARENT: Final = re.compile(
    r"    #(?: via|  ) +(?P<name>[a-z0-9][a-z0-9.-]*)(?: \([^:)]+(?::(?P<group>[a-z-]+))?\))?"
)
"""A line of ``# via``: who asks for the package above it."""
VENDORED: Final = ("page", "vendor")
"""Folder with files of others, in ``dronesense.writers``."""
LISTING: Final = "VENDORED.toml"
NO_LICENSE: Final = ("", "unknown", "see license")
LICENSE_CLASSIFIER: Final = "License :: "


@dataclass(frozen=True, slots=True)
class Pin:
    """A package of a lock.

    Parameters
    ----------
    name, version : str
    marker : str
        For which Python and system; empty for all.
    sha256 : tuple of str
        Of the files that may be installed: a wheel for each system.
    parents : tuple of (str, str)
        Package that asks for it, and in which group (empty: to run).
    """

    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]
    parents: tuple[tuple[str, str], ...]

    @property
    def purl(self) -> str:
        """Package URL."""
        return f"pkg:pypi/{self.name}@{quote(self.version, safe='.')}"


def read_lock(path: Path) -> tuple[Pin, ...]:
    """Return the packages of a lock with hashes, as ``uv pip compile --generate-hashes`` writes it.

    Raises
    ------
    ReadError
        If a line of it is no pin, hash or comment, or a pin has no hash.
    OSError
        If it cannot be read.
    """
    found: list[tuple[re.Match[str], list[str], list[tuple[str, str]]]] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if match := PIN.fullmatch(line):
            found.append((match, [], []))
        elif found and (match := HASH.fullmatch(line)):
            found[-1][1].append(match["digest"])
        elif found and (match := PARENT.fullmatch(line)):
            found[-1][2].append((match["name"], match["group"] or ""))
        elif line.strip() and not line.lstrip().startswith("#"):
            raise ReadError(f"line {number} is no pin with a version, and no hash", where=path)
    pins = tuple(
        Pin(pin["name"], pin["version"], pin["marker"] or "", tuple(sorted(hashes)), tuple(sorted(parents)))
        for pin, hashes, parents in found
    )
    bare = [pin.name for pin in pins if not pin.sha256]
    if bare or not pins:
        raise ReadError(f"{bare[0]} has no hash" if bare else "holds no pin", where=path, fix="make lock")
    return pins


def vendored() -> dict[str, dict[str, Any]]:
    """Return version, license and SHA-256 of the files of others that come with the page.

    Raises
    ------
    EvidenceError
        If a file is not the one that is listed.
    """
    folder = resources.files("dronesense.writers").joinpath(*VENDORED)
    listed = tomllib.loads(folder.joinpath(LISTING).read_text("utf-8"))
    for library in listed.values():
        for name, digest in library["sha256"].items():
            if hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() != digest:
                raise EvidenceError(f"{name} is not the file that {LISTING} lists", fix="install anew")
    return listed


def license_of(name: str, version: str) -> dict[str, Any] | None:
    """Return the license that the installed package states; None where another version is installed, or none.

    An SPDX expression as such, else the words of the package.
    """
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    if found.version != version:
        return None
    said = found.metadata
    if "License-Expression" in said:
        return {"expression": said["License-Expression"]}
    words = said["License"].strip() if "License" in said else ""
    if words.lower() in NO_LICENSE or "\n" in words:
        listed = [each for each in said.get_all("Classifier") or () if each.startswith(LICENSE_CLASSIFIER)]
        words = "; ".join(each.rpartition(" :: ")[2] for each in listed)
    return {"license": {"name": words}} if words else None


def bill(
    pins: Sequence[Pin],
    others: Mapping[str, Mapping[str, Any]],
    *,
    license_of: Callable[[str, str], dict[str, Any] | None] = license_of,
) -> dict[str, Any]:
    """Return the bill of materials, JSON-ready.

    Parameters
    ----------
    pins : sequence of Pin
        From :func:`read_lock`.
    others : mapping
        From :func:`vendored`.
    license_of : callable
        Gives the license of a package and version, None if it is not known.
    """
    own: dict[str, Any] = {"type": "application", "bom-ref": ROOT, "name": ROOT, "version": __version__}
    own |= {"purl": f"pkg:pypi/{ROOT}@{__version__}", "licenses": [{"expression": "Apache-2.0"}]}
    needed = _needed(pins)
    packages = [_package(pin, license_of(pin.name, pin.version), pin.name in needed) for pin in pins]
    files = [_library(name, about) for name, about in others.items()]
    children: dict[str, set[str]] = {ROOT: {each["bom-ref"] for each in files}}
    for pin in pins:
        children.setdefault(pin.purl, set())
        for parent, _ in pin.parents:
            for ref in _asking(parent, pin, pins):
                children.setdefault(ref, set()).add(pin.purl)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": sorted([*packages, *files], key=lambda each: each["bom-ref"]),
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(children[ref])} for ref in sorted(children.keys() | {ROOT})
        ]
        + [{"ref": each["bom-ref"]} for each in files],
    }


def encode(made: Mapping[str, Any]) -> bytes:
    """Return a bill of materials as it is written."""
    return json.dumps(made, indent=2, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _needed(pins: Sequence[Pin]) -> set[str]:
    """Return the names of the packages that are needed to run, not to build."""
    found = {pin.name for pin in pins if (ROOT, "") in pin.parents}
    while more := {
        pin.name for pin in pins if pin.name not in found and any(name in found for name, _ in pin.parents)
    }:
        found |= more
    return found


def _asking(parent: str, pin: Pin, pins: Sequence[Pin]) -> list[str]:
    """Return the references of the versions of *parent* that may be installed together with *pin*."""
    if parent == ROOT:
        return [ROOT]
    named = [each for each in pins if each.name == parent]
    return [each.purl for each in named if not each.marker or not pin.marker or each.marker == pin.marker]


def _package(pin: Pin, license_: dict[str, Any] | None, needed: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "library", "bom-ref": pin.purl, "name": pin.name, "version": pin.version}
    told |= {"scope": "required" if needed else "excluded"}
    told["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in pin.sha256]
    if license_ is not None:
        told["licenses"] = [license_]
    told["purl"] = pin.purl
    if pin.marker:
        told["properties"] = [{"name": "dronesense:marker", "value": pin.marker}]
    return told


def _library(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    purl = f"pkg:npm/{name}@{about['version']}"
    files = [
        {"type": "file", "name": file, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for file, digest in sorted(about["sha256"].items())
    ]
    told = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": about["version"],
        "scope": "required",
    }
    return told | {"licenses": [{"expression": about["license"]}], "purl": purl, "components": files}
