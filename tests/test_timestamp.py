"""Time stamps: answers of OpenSSL as an authority are read; what is cut or for another run is not."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.cli import run_cli
from dronesense.errors import EvidenceError, ReadError
from dronesense.evidence import custody, der, timestamp, verify

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
POLICY = "1.3.6.1.4.1.32473.7"
"""Under the number that is set aside for examples (RFC 5612)."""
CONFIG = f"""
[tsa]
default_tsa = own
[own]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
certs = ca.pem
default_policy = {POLICY}
digests = sha256, sha512
signer_digest = sha256
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
tsa_name = yes
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = keyCertSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = CA:FALSE
extendedKeyUsage = critical,timeStamping
"""


def sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(folder: Path, *arguments: object) -> str:
    assert OPENSSL is not None
    made = subprocess.run(
        [OPENSSL, *map(str, arguments)], cwd=folder, check=True, capture_output=True, timeout=60
    )
    return (made.stdout + made.stderr).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority and a time stamp authority under it, for this test alone."""
    folder = tmp_path_factory.mktemp("authority")
    (folder / "tsa.cnf").write_text(CONFIG)
    (folder / "serial").write_text("0A\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "tsa.cnf")
    tool(
        folder,
        "req",
        "-x509",
        *key,
        "-subj",
        "/CN=ca",
        "-extensions",
        "ca",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    )
    tool(folder, "req", "-new", *key, "-subj", "/CN=tsa", "-keyout", "tsa.key", "-out", "tsa.csr")
    sign = ("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    tool(folder, *sign, "-extfile", "tsa.cnf", "-extensions", "signer", "-out", "tsa.pem")
    return folder


def answer(authority: Path, query: Path, to: Path) -> Path:
    tool(authority, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", query, "-out", to)
    return to


@pytest.fixture
def run(tmp_path: Path) -> verify.Sealed:
    return verify.open_run(sibling("evidence_runs").run(tmp_path / "flight"))


def ask(run: verify.Sealed) -> Path:
    assert run_cli(["evidence", "timestamp", "request", str(run.folder)]) == 0
    return run.folder / "run.json.tsq"


@pytest.fixture
def stamped(run: verify.Sealed, authority: Path, tmp_path: Path) -> Path:
    return answer(authority, ask(run), tmp_path / "answer.tsr")


def rows(run: verify.Sealed, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    run_cli(["verify", str(run.folder), "--json"])
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["verdicts"]}


@needs_openssl
def test_an_answer_is_kept_logged_and_told(
    run: verify.Sealed, stamped: Path, authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows(run, capsys)["TIMESTAMP"]["word"] == "asked for, no answer attached"
    before = dt.datetime.now(dt.UTC)
    assert run_cli(["evidence", "timestamp", "attach", str(run.folder), str(stamped), "--actor", "Anna"]) == 0
    said = capsys.readouterr().out
    assert "not checked by dronesense: openssl ts -verify" in said
    kept = run.folder / "run.json.tsr"
    assert kept.read_bytes() == stamped.read_bytes()
    text = tool(authority, "ts", "-reply", "-in", kept, "-text")  # what OpenSSL reads in it
    stamp = timestamp.read(kept)
    assert f"Policy OID: {POLICY}" in text
    assert stamp.policy == POLICY
    assert f"Serial number: 0x{stamp.serial:02X}" in text
    assert f"Nonce: 0x{stamp.nonce:X}" in text
    assert f"Time stamp: {stamp.time:%b} {stamp.time.day:2} {stamp.time:%H:%M:%S}" in text
    assert abs(stamp.time - before) < dt.timedelta(minutes=5)
    told = rows(run, capsys)["TIMESTAMP"]
    assert told["passed"] is True
    assert stamp.time.isoformat().replace("+00:00", "Z") in str(told["word"])
    assert "certificate are not checked" in str(told["notes"])
    (line,) = custody.read(run.folder.parent / custody.NAME).entries
    assert (line.actor, line.action) == ("Anna", "timestamp")
    assert len(line.subject_sha256) == 2
    assert run_cli(["verify", str(run.folder), "--chain"]) == 0
    assert run_cli(["evidence", "pack", str(run.folder), "-o", str(run.folder.parent / "case.zip")]) == 0
    command = timestamp.CHECK.split()  # the command that we give works
    command[0] = str(OPENSSL)
    command[command.index("ca.pem")] = str(authority / "ca.pem")
    checked = subprocess.run(command, cwd=run.folder, capture_output=True, check=False)
    assert b"Verification: OK" in checked.stdout + checked.stderr


@needs_openssl
def test_a_stamp_of_another_run_or_request_is_refused(
    run: verify.Sealed, stamped: Path, authority: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").write_bytes(run.data + b" ")
    tool(tmp_path, "ts", "-query", "-data", "other", "-sha256", "-out", "other.tsq")
    other = answer(authority, tmp_path / "other.tsq", tmp_path / "other.tsr")
    with pytest.raises(EvidenceError, match="stamps other bytes"):
        timestamp.attach(run, other)
    tool(tmp_path, "ts", "-query", "-data", run.folder / "run.json", "-sha512", "-out", "long.tsq")
    with pytest.raises(EvidenceError, match="another kind"):
        timestamp.attach(run, answer(authority, tmp_path / "long.tsq", tmp_path / "long.tsr"))
    ask(run)  # another nonce
    assert run_cli(["evidence", "timestamp", "attach", str(run.folder), str(stamped)]) == 5
    assert "answers another request" in capsys.readouterr().err
    assert not (run.folder / "run.json.tsr").exists()
    assert not (run.folder.parent / custody.NAME).exists()
    (run.folder / "run.json.tsq").unlink()  # without the request its number cannot be compared
    timestamp.attach(run, stamped)
    with pytest.raises(EvidenceError, match="there already"):
        timestamp.attach(run, answer(authority, ask(run), tmp_path / "again.tsr"))
    shutil.copy(other, run.folder / "run.json.tsr")
    assert run_cli(["verify", str(run.folder)]) == 7
    assert run_cli(["evidence", "pack", str(run.folder), "-o", str(tmp_path / "case.zip")]) == 5


@needs_openssl
def test_a_request_without_a_number_and_an_answer_without_certificates(
    run: verify.Sealed, authority: Path, tmp_path: Path
) -> None:
    query = ("ts", "-query", "-data", run.folder / "run.json", "-sha256", "-no_nonce")
    tool(tmp_path, *query, "-out", run.folder / "run.json.tsq")
    stamp = timestamp.attach(run, answer(authority, run.folder / "run.json.tsq", tmp_path / "a.tsr"))
    assert stamp.nonce is None
    assert timestamp.timestamp(run).passed is True


@needs_openssl
def test_a_refusal_is_told(authority: Path, run: verify.Sealed, tmp_path: Path) -> None:
    query = ("ts", "-query", "-data", run.folder / "run.json", "-sha1", "-out", "q")
    tool(tmp_path, *query)
    refused = answer(authority, tmp_path / "q", tmp_path / "refused.tsr")
    with pytest.raises(ReadError, match=r"is a refusal: status 2: .*not supported"):
        timestamp.attach(run, refused)


@needs_openssl
def test_every_cut_is_refused_and_no_changed_byte_changes_what_is_said(stamped: Path, tmp_path: Path) -> None:
    whole, data = timestamp.read(stamped), stamped.read_bytes()
    path = tmp_path / "x.tsr"
    for changed in (*(data[:end] for end in range(len(data))), data + b"\0", b"", data + data):
        path.write_bytes(changed)
        with pytest.raises(ReadError):
            timestamp.read(path)
    accepted = 0
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        try:
            assert timestamp.read(path) == whole
        except ReadError:
            continue
        accepted += 1
    # what is left: signature, certificates and the like, which `openssl ts -verify` is for
    assert 0 < accepted < len(data)
    path.write_bytes(bytes(timestamp.MAX_FILE_BYTES + 1))
    with pytest.raises(ReadError, match="too long"):
        timestamp.read(path)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cut", "3005020105"),
        ("length not shortest", "30810402020005"),
        ("indefinite", "3080020105 0000"),
        ("length with a zero", "3082000302010500"),
        ("tag of several bytes", "1f0100"),
        ("length of five bytes", "30850000000001 00"),
    ],
)
def test_what_der_does_not_allow(name: str, code: str) -> None:
    with pytest.raises(ValueError, match=r"cut|shortest|indefinite|several"):
        der.elements(bytes.fromhex(code))


def test_values_as_der_writes_them() -> None:
    """Numbers worked out by hand (X.690, 8.3 and 8.19; the second identifier is its own example)."""
    assert [der.integer(bytes.fromhex(each)) for each in ("00", "7f", "0080", "80", "ff")] == [
        0,
        127,
        128,
        -128,
        -1,
    ]
    for wrong in ("", "0001", "ff80"):
        with pytest.raises(ValueError, match="shortest"):
            der.integer(bytes.fromhex(wrong))
    assert der.oid(bytes.fromhex("2a864886f70d010702")) == "1.2.840.113549.1.7.2"
    assert der.oid(bytes.fromhex("883703")) == "2.999.3"
    for wrong in ("", "2a86", "2a8001"):
        with pytest.raises(ValueError, match="identifier"):
            der.oid(bytes.fromhex(wrong))
    assert der.time(b"20260614050001.25Z") == dt.datetime(2026, 6, 14, 5, 0, 1, 250_000, dt.UTC)
    for wrong in (
        b"20260614050001.50Z",
        b"20260614050001.Z",
        b"202606140500Z",
        b"20260614050001",
        b"20261314050001Z",
    ):
        with pytest.raises(ValueError, match="time"):
            der.time(wrong)


@given(st.binary(max_size=60))
def test_any_bytes_are_elements_that_write_back_or_refused(data: bytes) -> None:
    try:
        found = der.elements(data)
    except ValueError:
        return
    short = [bytes([tag, len(inside)]) + inside for tag, inside in found]
    assert b"".join(short) == data
