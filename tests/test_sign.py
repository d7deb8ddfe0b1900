"""Signatures of runs: checked by OpenSSL and OpenSSH too, and theirs by us."""

from __future__ import annotations

import importlib.util
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from dronesense.errors import EvidenceError, ReadError
from dronesense.evidence import signature, verify


def sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(sibling("evidence_runs").run(tmp_path_factory.mktemp("made") / "flight"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> verify.Sealed:
    return verify.open_run(Path(shutil.copytree(made, tmp_path / "products")))


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_valid_for_who_is_trusted_and_unknown_otherwise(run: verify.Sealed, tmp_path: Path) -> None:
    assert signature.signature(run).word == "none"
    name = signature.make_key(tmp_path / "anna")
    assert signature.sign(run, tmp_path / "anna") == name
    assert signature.signature(run).word == "valid, unknown signer"
    assert signature.signature(run).passed is True
    verdict = signature.signature(run, trusted=tmp_path / "anna.pub")
    assert (verdict.passed, name in verdict.word) == (True, True)
    signature.make_key(tmp_path / "other")
    assert signature.signature(run, trusted=tmp_path / "other.pub").passed is False


def test_no_signature_fails_only_where_one_is_asked_for(run: verify.Sealed, tmp_path: Path) -> None:
    signature.make_key(tmp_path / "anna")
    assert signature.signature(run).passed is None
    assert signature.signature(run, trusted=tmp_path / "anna.pub").passed is False


def test_same_key_and_bytes_give_the_same_signature(run: verify.Sealed, tmp_path: Path) -> None:
    """Ed25519 draws nothing (RFC 8032)."""
    signature.make_key(tmp_path / "anna")
    seals = []
    for _ in range(2):
        signature.sign(run, tmp_path / "anna")
        seals.append((run.folder / "run.json.sig").read_bytes())
    assert seals[0] == seals[1]
    assert len(seals[0]) == 64


def test_hexadecimal_signature_is_read_too(run: verify.Sealed, tmp_path: Path) -> None:
    signature.make_key(tmp_path / "anna")
    signature.sign(run, tmp_path / "anna")
    path = run.folder / "run.json.sig"
    path.write_text(path.read_bytes().hex() + "\n")
    assert signature.signature(run).passed is True


@pytest.mark.skipif(not hasattr(Path, "owner"), reason="permissions of Unix")
def test_private_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    signature.make_key(tmp_path / "anna")
    assert stat.S_IMODE((tmp_path / "anna").stat().st_mode) == 0o600
    with pytest.raises(EvidenceError, match="already"):
        signature.make_key(tmp_path / "anna")


def test_passphrase_is_needed_once_it_was_set(run: verify.Sealed, tmp_path: Path) -> None:
    signature.make_key(tmp_path / "anna", passphrase=b"steppe")
    with pytest.raises(ReadError, match="passphrase"):
        signature.sign(run, tmp_path / "anna")
    with pytest.raises(ReadError, match="passphrase"):
        signature.sign(run, tmp_path / "anna", passphrase=b"forest")
    assert signature.sign(run, tmp_path / "anna", passphrase=b"steppe").startswith("SHA256:")


def test_keys_of_other_kinds_and_other_files_are_refused(run: verify.Sealed, tmp_path: Path) -> None:
    key = generate_private_key(SECP256R1())
    path = tmp_path / "curve"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(ReadError, match="another kind"):
        signature.sign(run, path)
    path.write_bytes(b"nothing")
    with pytest.raises(ReadError, match="no private key"):
        signature.sign(run, path)
    with pytest.raises(ReadError, match="no Ed25519 public key"):
        signature.read_public_keys(path)


@pytest.mark.parametrize(
    "data", [b"", b"x" * 63, b"zz" * 64, b"-----BEGIN SSH SIGNATURE-----\nAAAA\n", b"\xff" * 128]
)
def test_what_is_no_signature_is_invalid(run: verify.Sealed, tmp_path: Path, data: bytes) -> None:
    signature.make_key(tmp_path / "anna")
    signature.sign(run, tmp_path / "anna")
    (run.folder / "run.json.sig").write_bytes(data)
    assert signature.signature(run).word == "INVALID"


def test_openssl_agrees(run: verify.Sealed, tmp_path: Path) -> None:
    signature.make_key(tmp_path / "anna")
    signature.sign(run, tmp_path / "anna")
    command = [
        program("openssl"), "pkeyutl", "-verify", "-pubin", "-inkey", "run.json.pub.pem", "-rawin",
        "-in", "run.json", "-sigfile", "run.json.sig",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=run.folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (run.folder / "run.json").write_bytes(run.data + b" ")
    assert subprocess.run(command, cwd=run.folder, capture_output=True, check=False).returncode != 0


def test_signature_of_ssh_keygen_is_read(run: verify.Sealed, tmp_path: Path) -> None:
    tool, key = program("ssh-keygen"), tmp_path / "id"
    subprocess.run([tool, "-q", "-t", "ed25519", "-N", "", "-C", "anna", "-f", key], check=True)
    subprocess.run([tool, "-q", "-Y", "sign", "-f", key, "-n", "file", run.folder / "run.json"],
                   check=True, capture_output=True)  # fmt: skip
    verdict = signature.signature(run, trusted=tmp_path / "id.pub")
    shown = subprocess.run([tool, "-lf", key], check=True, capture_output=True, text=True).stdout.split()[1]
    assert verdict.word == f"valid, by the trusted key {shown}"
    changed = verify.Sealed(run.folder, run.data + b" ", run.manifest)
    assert signature.signature(changed).word == "INVALID"
    assert signature.sign(run, key) == shown  # a key of OpenSSH signs for us too


def test_signature_of_ssh_keygen_for_another_purpose_does_not_count(
    run: verify.Sealed, tmp_path: Path
) -> None:
    tool, key = program("ssh-keygen"), tmp_path / "id"
    subprocess.run([tool, "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    subprocess.run([tool, "-q", "-Y", "sign", "-f", key, "-n", "git", run.folder / "run.json"],
                   check=True, capture_output=True)  # fmt: skip
    assert signature.signature(run).word == "INVALID"


def test_without_its_package_it_says_what_to_install(
    run: verify.Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature.make_key(tmp_path / "anna")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for ask in (
        lambda: signature.make_key(tmp_path / "other"),
        lambda: signature.sign(run, tmp_path / "anna"),
    ):
        with pytest.raises(EvidenceError, match="need the package cryptography") as error:
            ask()
        assert error.value.fix == "install dronesense[sign]"
    assert not (tmp_path / "other").exists()
