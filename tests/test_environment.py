"""What a run says of the program: one hash over every file and plug-in that shapes products."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dronesense import plugins
from dronesense.evidence import environment

ROOT = Path(__file__).parents[1]
DECLARED = [("group", "name", "module:function", "dronesense 1")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of package and calibration as in a checkout."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("dronesense", "calibration"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def hashed(tree: Path, declared: list[tuple[str, str, str, str]] = DECLARED) -> str:
    return environment._sha256_of({"": tree / "dronesense", "calibration": tree / "calibration"}, declared)


@pytest.mark.parametrize(
    "pattern",
    [
        "dronesense/pipeline/*.py",
        "dronesense/languages/*.po",
        "dronesense/writers/page/*.jinja",
        "dronesense/writers/page/*.css",
        "dronesense/writers/page/vendor/*.js",
        "dronesense/geodesy/*.xz",
        "dronesense/readers/*.txt",
        "calibration/instruments/*.toml",
    ],
)
def test_one_byte_of_any_kind_of_file_changes_it(tree: Path, pattern: str) -> None:
    before = hashed(tree)
    path = min(tree.glob(pattern))
    data = path.read_bytes()
    path.write_bytes(data + b"\n")
    changed = hashed(tree)
    path.write_bytes(data)
    assert changed != before
    assert hashed(tree) == before


def test_names_and_plug_ins_count_and_leftovers_do_not(tree: Path) -> None:
    before = hashed(tree)
    assert hashed(tree, [("group", "name", "other:function", "dronesense 1")]) != before
    assert hashed(tree, [("group", "name", "module:function", "other 2")]) != before
    (tree / "dronesense/__pycache__").mkdir()
    (tree / "dronesense/__pycache__/x.pyc").write_bytes(b"x")
    (tree / "dronesense/.x.swp").write_bytes(b"x")
    assert hashed(tree) == before
    (tree / "calibration/new.toml").touch()
    assert hashed(tree) != before
    (tree / "calibration/new.toml").unlink()


def test_wheel_and_checkout_have_the_same(tree: Path, tmp_path: Path) -> None:
    """In the wheel the calibrations lie inside of the package."""
    shutil.copytree(
        tree / "dronesense", tmp_path / "dronesense", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(tree / "calibration", tmp_path / "dronesense/calibration")
    inside = {"": tmp_path / "dronesense", "calibration": tmp_path / "dronesense/calibration"}
    assert environment._sha256_of(inside, DECLARED) == hashed(tree)


def test_this_installation(tree: Path) -> None:
    told = environment.code_sha256.__wrapped__()
    assert told == hashed(tree, plugins.declared())
    assert ("dronesense.readers.cube", "hdf", "dronesense.readers.hdf") in {
        each[:3] for each in plugins.declared()
    }
