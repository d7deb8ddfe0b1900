"""What is installed is what the project says: wheel, locks, reasons for dependencies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import dronesense

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = ("run", "dev")
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ \\]+)(?: ; (?P<marker>[^\\]+))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
PYTHONS = ("3.11.0", "3.12.0", "3.13.0")
PLATFORMS = (
    {"sys_platform": "linux", "platform_system": "Linux"},
    {"sys_platform": "win32", "platform_system": "Windows"},
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without network by the backend that the lock brings."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


SOURCES = ("dronesense", "calibration", "tests", "docs")
LOOSE = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore")


@pytest.mark.once
def test_wheel_and_sdist_built_elsewhere_and_later_are_the_same_bytes(tmp_path: Path) -> None:
    """Another folder, other permissions and times of files, umask, time zone, language and order of sets."""
    first, second = tmp_path / "a", tmp_path / "another place/b"
    names = [f"{top}/{name}" for top in SOURCES for name in files_below(ROOT / top)]
    texts = {name: (ROOT / name).read_bytes() for name in (*LOOSE, *names)}
    for folder, mode, stamp, order in ((first, 0o644, 1.7e9, 1), (second, 0o600, 1.1e9, -1)):
        for name in list(texts)[::order]:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(texts[name])
            path.chmod(mode)
            os.utime(path, (stamp, stamp))
    plain = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    built = []
    for folder, mask, more in (
        (first, 0o022, {"TZ": "UTC", "PYTHONHASHSEED": "1"}),
        (second, 0o077, {"TZ": "Asia/Almaty", "LC_ALL": "C", "PYTHONHASHSEED": "2"}),
    ):
        build = [sys.executable, "-P", "-m", "hatchling", "build", "-d", str(folder / "dist")]
        limits = {} if os.name == "nt" else {"umask": mask}
        done = subprocess.run(
            build, cwd=folder, env=plain | more, capture_output=True, text=True, check=False, **limits
        )
        assert done.returncode == 0, done.stderr
        built.append({path.name: path.read_bytes() for path in (folder / "dist").iterdir()})
    kinds = {name.rpartition(".")[2] for name in built[0]}
    assert kinds == {"whl", "gz"}
    assert built[0] == built[1]


def files_below(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]


def test_wheel_has_calibration_types_and_every_module(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    wanted = {f"dronesense/calibration/{name}" for name in files_below(ROOT / "calibration")}
    wanted |= {f"dronesense/{name}" for name in files_below(ROOT / "dronesense")}
    assert "dronesense/py.typed" in wanted
    assert any(name.startswith("dronesense/calibration/") for name in wanted)
    assert wanted - names == set()


def test_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No tests, no flights, no machine's leftovers."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"dronesense", f"dronesense-{dronesense.__version__}.dist-info"}
    assert [name for name in wheel.namelist() if name.endswith((".pyc", ".BIN", ".geojson"))] == []


def test_wheel_says_license_python_and_version(wheel: zipfile.ZipFile) -> None:
    folder = f"dronesense-{dronesense.__version__}.dist-info"
    said = message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert (said["Version"], said["License-Expression"], said["Requires-Python"]) == (
        dronesense.__version__,
        "Apache-2.0",
        ">=3.11",
    )
    license_text = wheel.read(f"{folder}/licenses/LICENSE").decode()
    assert "Apache License" in license_text
    assert "END OF TERMS AND CONDITIONS" in license_text


@pytest.mark.parametrize(
    ("group", "name", "target"),
    [
        (group, name, target)
        for group, entries in PROJECT["project"]["entry-points"].items()
        for name, target in entries.items()
    ],
)
def test_every_declared_plugin_loads(group: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    loaded = import_module(module)
    if attribute:
        loaded = getattr(loaded, attribute)
    if ".readers." in group:
        assert callable(loaded.sniff)
        assert callable(loaded.read)


def pins(lock: str) -> list[tuple[str, Version, str | None]]:
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8").splitlines()
    found = [PIN.match(line) for line in lines]
    return [(match["name"], Version(match["version"]), match["marker"]) for match in found if match]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_pins_with_hashes_and_comments(lock: str) -> None:
    """No index, no host, no path, no pin without a hash."""
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8").splitlines()
    assert [
        line
        for line in lines
        if line.strip() and not re.match(r" *#", line) and not PIN.match(line) and not HASH.match(line)
    ] == []
    assert [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if PIN.match(line) and not HASH.match(after)
    ] == []
    assert "://" not in "\n".join(lines)


def test_locks_do_not_overlap() -> None:
    """dev.txt adds to run.txt: one version of a package has one place."""
    assert {name for name, _, _ in pins("run")} & {name for name, _, _ in pins("dev")} == set()


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform["sys_platform"])
@pytest.mark.parametrize("python", PYTHONS)
def test_every_declared_requirement_is_locked_once_for_each_system(
    python: str, platform: dict[str, str]
) -> None:
    from packaging.markers import Marker

    here = {
        **platform,
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "platform_python_implementation": "CPython",
    }
    locked: dict[str, list[Version]] = {}
    for lock in LOCKS:
        for name, version, marker in pins(lock):
            if marker is None or Marker(marker).evaluate(here):
                locked.setdefault(name, []).append(version)
    assert {name: versions for name, versions in locked.items() if len(versions) != 1} == {}
    groups = PROJECT["dependency-groups"]
    for text in [*PROJECT["project"]["dependencies"], *groups["build"], *groups["dev"]]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(here):
            (version,) = locked[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), text


def test_build_backend_is_in_the_run_time_lock() -> None:
    """An install with hashes and without build isolation needs it there."""
    wanted = {Requirement(text).name for text in PROJECT["build-system"]["requires"]}
    assert wanted <= {name for name, _, _ in pins("run")}


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md: a row for each direct dependency, and for no other."""
    text = (ROOT / "docs/dependencies.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+?) \|", text, re.MULTILINE)
    groups = PROJECT["dependency-groups"]
    declared = [*PROJECT["project"]["dependencies"], *groups["build"], *groups["dev"]]
    assert sorted(name for name, _ in rows) == sorted(Requirement(line).name for line in declared)
    assert all(len(reason) > 4 for _, reason in rows)
