"""The bill of materials: all of the lock and nothing else, by rules of CycloneDX 1.6."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from dronesense.cli import run_cli
from dronesense.errors import EvidenceError, ReadError
from dronesense.evidence import sbom

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements/run.txt"
A, B = "a" * 64, "b" * 64
SMALL = f"""# This file was made
affine==3.0.1 ; python_full_version < '3.12' \\
    --hash=sha256:{B} \\
    --hash=sha256:{A}
    # via
    #   dronesense (pyproject.toml)
    #   maker
maker==1!2.0+x \\
    --hash=sha256:{A}
    # via dronesense (pyproject.toml:build)
inner==1 \\
    --hash=sha256:{A}
    # via maker
"""


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    assert run_cli(["evidence", "sbom", str(LOCK), "-o", str(tmp_path / "new/sbom.json")]) == 0
    found = json.loads((tmp_path / "new/sbom.json").read_bytes())
    assert isinstance(found, dict)
    return found


def test_every_package_and_hash_of_the_lock_is_in_it(made: dict[str, Any]) -> None:
    text = LOCK.read_text("utf-8")  # read another way than the program reads it
    wanted: dict[str, set[str]] = {}
    for line in text.splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            name, version = line.split(" ")[0].split("==")
            digests = wanted.setdefault(f"pkg:pypi/{name}@{version}", set())
        if "sha256:" in line:
            digests.add(line.partition("sha256:")[2][:64])
    told = {
        each["purl"]: {one["content"] for one in each["hashes"]}
        for each in made["components"]
        if each["purl"].startswith("pkg:pypi/")
    }
    assert told == wanted


def test_files_of_others_are_in_it(made: dict[str, Any]) -> None:
    import hashlib

    page = ROOT / "dronesense/writers/page/vendor"
    found = {
        (each["name"], file["name"]): file["hashes"]
        for each in made["components"]
        for file in each.get("components", ())
    }
    assert {name for name, _ in found} == {"leaflet", "uplot"}
    for (_, name), hashes in found.items():
        digest = hashlib.sha256((page / name).read_bytes()).hexdigest()
        assert hashes == [{"alg": "SHA-256", "content": digest}]
    assert len(found) == len(list(page.iterdir())) - 1  # but the list itself


def test_rules_of_the_format(made: dict[str, Any]) -> None:
    """What the schema of CycloneDX 1.6 asks of the parts that are used here."""
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    assert set(made) <= {
        "$schema",
        "bomFormat",
        "specVersion",
        "version",
        "metadata",
        "components",
        "dependencies",
    }
    allowed = {
        "type",
        "bom-ref",
        "name",
        "version",
        "scope",
        "hashes",
        "licenses",
        "purl",
        "properties",
        "components",
    }
    everything = [made["metadata"]["component"], *made["components"]]
    everything += [file for each in made["components"] for file in each.get("components", ())]
    for each in everything:
        assert set(each) <= allowed
        assert each["type"] in {"application", "library", "file"}
        assert each["name"]
        assert each.get("scope", "required") in {"required", "excluded"}
        for digest in each.get("hashes", ()):
            assert digest["alg"] == "SHA-256"
            assert re.fullmatch("[0-9a-f]{64}", digest["content"])
        licenses = each.get("licenses", [{"expression": "MIT"}])
        assert len(licenses) == 1
        assert set(licenses[0]) in ({"expression"}, {"license"})
    refs = [each["bom-ref"] for each in [made["metadata"]["component"], *made["components"]]]
    assert len(set(refs)) == len(refs)
    told = {each["ref"]: each.get("dependsOn", []) for each in made["dependencies"]}
    assert sorted(told) == sorted(refs)
    assert len(made["dependencies"]) == len(refs)
    assert all(set(each) <= set(refs) and len(set(each)) == len(each) for each in told.values())


def test_a_small_lock_worked_out_by_hand(tmp_path: Path) -> None:
    (tmp_path / "run.txt").write_text(SMALL)
    pins = sbom.read_lock(tmp_path / "run.txt")
    made = sbom.bill(pins, {}, license_of=lambda name, version: {"license": {"name": f"L {name} {version}"}})
    affine, inner, maker = made["components"]
    assert affine == {
        "type": "library",
        "bom-ref": "pkg:pypi/affine@3.0.1",
        "name": "affine",
        "version": "3.0.1",
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": A}, {"alg": "SHA-256", "content": B}],
        "licenses": [{"license": {"name": "L affine 3.0.1"}}],
        "purl": "pkg:pypi/affine@3.0.1",
        "properties": [{"name": "dronesense:marker", "value": "python_full_version < '3.12'"}],
    }
    assert (inner["scope"], maker["scope"]) == ("excluded", "excluded")  # to build, not to run
    assert maker["purl"] == "pkg:pypi/maker@1%212.0%2Bx"
    assert {each["ref"]: each["dependsOn"] for each in made["dependencies"]} == {
        "dronesense": ["pkg:pypi/affine@3.0.1", maker["purl"]],
        "pkg:pypi/affine@3.0.1": [],
        "pkg:pypi/inner@1": [],
        maker["purl"]: ["pkg:pypi/affine@3.0.1", "pkg:pypi/inner@1"],
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no pin"),
        ("affine==3.0.1 \\\n    # via x\n", "affine has no hash"),
        ("affine>=3.0.1\n", "line 1 is no pin"),
        ("--no-binary x\n", "line 1 is no pin"),
        (SMALL + "    --hash=md5:00\n", "line 14 is no pin"),
    ],
)
def test_what_is_no_lock_with_hashes_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "run.txt").write_text(text)
    with pytest.raises(ReadError, match=why):
        sbom.read_lock(tmp_path / "run.txt")


def test_licenses_are_those_of_the_installed_version_alone() -> None:
    version = metadata.version("shapely")
    assert sbom.license_of("shapely", version) == {"expression": "BSD-3-Clause"}
    assert sbom.license_of("shapely", "0.0.1") is None
    assert sbom.license_of("no-such-package", "1") is None


def test_a_changed_file_of_others_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    shutil.copytree(ROOT / "dronesense/writers/page", tmp_path / "page")
    monkeypatch.setattr(sbom.resources, "files", lambda package: tmp_path)
    assert set(sbom.vendored()) == {"leaflet", "uplot"}
    with (tmp_path / "page/vendor/leaflet.js").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(EvidenceError, match=r"leaflet\.js is not the file"):
        sbom.vendored()


def test_the_same_bytes_twice() -> None:
    pins = sbom.read_lock(LOCK)
    first = sbom.encode(sbom.bill(pins, sbom.vendored()))
    assert first == sbom.encode(sbom.bill(tuple(reversed(pins)), sbom.vendored()))
