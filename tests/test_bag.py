"""Bags: valid for bagit and sha256sum, the same bytes twice, and nothing awkward in their lists."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from dronesense.cli import run_cli
from dronesense.errors import EvidenceError
from dronesense.evidence import bag, custody, timestamp, verify


def sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path: Path) -> verify.Sealed:
    flight = tmp_path / "flight"
    custody.append(flight / custody.NAME, "note", utc="2026-06-14T10:00:00Z", actor="Anna", tool="test")
    return verify.open_run(sibling("evidence_runs").run(flight))


def peer() -> ModuleType:
    """Return bagit, which needs setuptools and is not everywhere."""
    found = pytest.importorskip("bagit", exc_type=ImportError)
    assert isinstance(found, ModuleType)
    return found


def unpacked(archive: Path) -> Path:
    place = archive.with_suffix("")
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        opened.extractall(place)
    (root,) = place.iterdir()
    return root


def test_bagit_and_sha256sum_agree_and_notice_one_byte_more(run: verify.Sealed, tmp_path: Path) -> None:
    assert run_cli(["evidence", "pack", str(run.folder), "-o", str(tmp_path / "case.zip")]) == 0
    root = unpacked(tmp_path / "case.zip")
    tool = shutil.which("sha256sum")
    if tool is not None:
        for name in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
            subprocess.run([tool, "--strict", "-c", name], cwd=root, check=True, capture_output=True)
    assert (root / "data/custody.jsonl").read_bytes() == (run.folder.parent / custody.NAME).read_bytes()
    assert run_cli(["verify", str(root / "data"), "--chain"]) == 0
    bagit = peer()
    assert bagit.Bag(str(root)).validate() is True
    with (root / "data/products/track.geojson").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(root)).validate()


def test_same_run_same_bytes(run: verify.Sealed, tmp_path: Path) -> None:
    for name in ("a.zip", "other name.zip"):
        bag.pack(run, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "other name.zip").read_bytes()


def test_nothing_is_compressed_and_no_clock_is_in_it(run: verify.Sealed, tmp_path: Path) -> None:
    bag.pack(run, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        for entry in archive.infolist():
            assert (entry.compress_type, entry.date_time) == (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))
            assert (entry.create_system, entry.external_attr >> 16) == (3, 0o100644)
        info = archive.read(f"2026-06-14-steppe-{run.manifest['run_id']}/bag-info.txt").decode()
    assert "Bagging-Date: 2026-06-14\n" in info


def test_awkward_names_are_replaced_and_told(run: verify.Sealed, tmp_path: Path) -> None:
    names = ["100%.txt", "100_.txt", "a%0Ab.txt", "цель %41.txt"]
    for number, name in enumerate(names):
        (run.folder / name).write_bytes(bytes([number]))
    packed = bag.pack(run, tmp_path / "a.zip")
    root = unpacked(tmp_path / "a.zip")
    told = {each.name: each for each in packed}
    assert len({each.path for each in packed}) == len(packed)
    for number, name in enumerate(names):
        assert "%" not in told[name].path
        assert (root / told[name].path).read_bytes() == bytes([number])
    graph = json.loads((root / "data/ro-crate-metadata.json").read_bytes())["@graph"]
    assert {"100%.txt", "a%0Ab.txt"} <= {each.get("alternateName") for each in graph}
    assert peer().Bag(str(root)).validate() is True


def test_crate_links_inputs_program_and_products(run: verify.Sealed, tmp_path: Path) -> None:
    from urllib.parse import unquote

    bag.pack(run, tmp_path / "a.zip")
    root = unpacked(tmp_path / "a.zip")
    graph = json.loads((root / "data/ro-crate-metadata.json").read_bytes())["@graph"]
    by_id = {each["@id"]: each for each in graph}
    assert len(by_id) == len(graph)
    assert by_id["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    action = by_id["#run"]
    assert by_id[action["instrument"]["@id"]]["softwareVersion"] == run.manifest["versions"]["dronesense"]
    told = {by_id[each["@id"]]["sha256"] for each in action["object"]}
    assert told == {row["sha256"] for row in run.manifest["inputs"]}
    assert {unquote(each["@id"]) for each in action["result"]} == {
        *(f"products/{row['path']}" for row in run.manifest["outputs"]), "products/run.json",
    }  # fmt: skip
    for each in by_id["./"]["hasPart"]:
        data = (root / "data" / unquote(each["@id"])).read_bytes()
        assert hashlib.sha256(data).hexdigest() == by_id[each["@id"]]["sha256"]


def test_run_that_does_not_verify_is_not_packed(run: verify.Sealed, tmp_path: Path) -> None:
    (run.folder / "added.csv").write_bytes(b"")
    assert run_cli(["evidence", "pack", str(run.folder), "-o", str(tmp_path / "case.zip")]) == 5
    assert not (tmp_path / "case.zip").exists()


def test_bag_does_not_lie_in_what_it_packs(run: verify.Sealed) -> None:
    with pytest.raises(EvidenceError, match="lies in the run"):
        bag.pack(run, run.folder / "case.zip")


def test_links_are_not_followed_into_a_bag(run: verify.Sealed, tmp_path: Path) -> None:
    (run.folder / "x").symlink_to(tmp_path)
    with pytest.raises(EvidenceError, match="no file with bytes"):
        bag.pack(run, tmp_path / "case.zip")


def test_time_stamp_request_is_what_openssl_makes(run: verify.Sealed, tmp_path: Path) -> None:
    assert run_cli(["evidence", "timestamp", "request", str(run.folder)]) == 0
    data = (run.folder / "run.json.tsq").read_bytes()
    assert len(data) == 69
    assert hashlib.sha256(run.data).digest() in data
    assert run_cli(["verify", str(run.folder)]) == 0
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("openssl is not installed")
    shown = subprocess.run(
        [tool, "ts", "-query", "-in", run.folder / "run.json.tsq", "-text"], check=True, capture_output=True
    ).stdout.decode()
    assert "Hash Algorithm: sha256" in shown
    assert "Certificate required: yes" in shown
    made = subprocess.run(
        [tool, "ts", "-query", "-data", run.folder / "run.json", "-sha256", "-cert", "-no_nonce"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    assert data[2:56] == made[2:56]  # version and imprint, then our nonce


@pytest.mark.parametrize("nonce", [bytes(8), b"\xff" * 8])
def test_nonce_is_a_positive_number_of_eight_bytes(nonce: bytes) -> None:
    data = timestamp.request(b"", nonce=nonce)
    assert data[-13:-11] == b"\x02\x08"
    assert 0x40 <= data[-11] < 0x80
    with pytest.raises(ValueError, match="8 bytes"):
        timestamp.request(b"", nonce=b"")


def test_metadata_have_one_form(run: verify.Sealed, tmp_path: Path) -> None:
    """ASCII, keys in order, a blank for every level, a line end: the bytes do not depend on the machine."""
    (run.folder / "отчёт.txt").write_bytes(b"x")
    bag.pack(run, tmp_path / "case.zip")
    data = (unpacked(tmp_path / "case.zip") / "data" / bag.CRATE_NAME).read_bytes()
    assert data.isascii()
    assert data.endswith(b"\n}\n")
    assert data.splitlines()[1].startswith(b' "@context"')

    def in_order(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
        return dict(pairs)

    json.loads(data, object_pairs_hook=in_order)


def test_request_by_hand() -> None:
    """RFC 3161, 2.4.1: version 1, SHA-256 of the data, the number, and the wish for a certificate."""
    digest = hashlib.sha256(b"run").hexdigest()
    expected = (
        f"3043 020101 3031 300d06096086480165030402010500 0420{digest} 0208 4102030405060708 0101ff"
    ).replace(" ", "")
    assert timestamp.request(b"run", nonce=bytes([0x81, 2, 3, 4, 5, 6, 7, 8])).hex() == expected
