"""Copies of cards and the log of who did what."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.cli import run_cli
from dronesense.errors import EvidenceError
from dronesense.evidence import custody, ingest
from dronesense.writers.atomic import LockedError, lock

UTC = "2026-06-14T10:00:00Z"


def add(log: Path, note: str = "") -> custody.Chain:
    return custody.append(log, "note", utc=UTC, actor="Anna", tool="test", note=note)


def test_chain_by_hand(tmp_path: Path) -> None:
    log = tmp_path / "custody.jsonl"
    add(log, "first")
    head = add(log, "second, цель").head
    first, second = log.read_bytes().splitlines(keepends=True)
    assert json.loads(first)["prev"] == "0" * 64
    assert json.loads(second)["prev"] == hashlib.sha256(first).hexdigest()
    assert [json.loads(line)["seq"] for line in (first, second)] == [1, 2]
    assert head == hashlib.sha256(second).hexdigest()
    assert custody.read(log).problems == ()


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=30))
def test_any_text_is_kept_on_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    log = tmp_path_factory.mktemp("log") / "custody.jsonl"
    for _ in range(2):
        add(log, text)
    chain = custody.read(log)
    assert chain.problems == ()
    assert chain.entries[0].note == text
    assert log.read_bytes().count(b"\n") == 2


def test_every_changed_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    log = tmp_path / "custody.jsonl"
    for number in range(3):
        add(log, str(number))
    data = log.read_bytes()
    for place in range(len(data)):
        log.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert custody.read(log).problems, place
        log.write_bytes(data[:place])
        assert custody.read(log).problems, place
    log.write_bytes(data)
    assert custody.read(log).problems == ()


def test_nothing_is_added_to_a_damaged_log(tmp_path: Path) -> None:
    log = tmp_path / "custody.jsonl"
    add(log)
    log.write_bytes(log.read_bytes()[:-3])
    before = log.read_bytes()
    with pytest.raises(EvidenceError, match="cut off"):
        add(log)
    assert log.read_bytes() == before
    log.unlink()
    with pytest.raises(EvidenceError, match="gone"):
        add(log)


def test_log_is_whole_when_the_program_dies_between_log_and_head(tmp_path: Path) -> None:
    log = tmp_path / "custody.jsonl"
    add(log)
    head = (tmp_path / "custody.jsonl.head").read_bytes()
    add(log)
    (tmp_path / "custody.jsonl.head").write_bytes(head)
    assert custody.read(log).problems == ()
    assert len(add(log).entries) == 3


def test_two_at_a_time_do_not_write(tmp_path: Path) -> None:
    log = tmp_path / "custody.jsonl"
    with lock(log), pytest.raises(LockedError):
        add(log)


def test_log_command_hashes_its_subject(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(b"x")
    assert run_cli(["evidence", "log", "handed to the laboratory", "--flight", str(tmp_path), "--actor",
                    "Anna", "--subject", str(tmp_path / "x")]) == 0  # fmt: skip
    chain = custody.read(tmp_path / "custody.jsonl")
    assert chain.entries[0].subject_sha256 == (hashlib.sha256(b"x").hexdigest(),)
    assert chain.head in capsys.readouterr().out


ODD = ["10:32?.csv", "CON.txt", "a\nb.bin", "end. ", "100%.bil", "é" * 120, "Line.bil", "line.bil"]


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with folders, odd names, a link, a pipe and a name that is no UTF-8."""
    root = tmp_path / "card"
    (root / "DCIM" / "100").mkdir(parents=True)
    for number, name in enumerate(["DCIM/100/a.jpg", "log.bin", *ODD]):
        (root / name).write_bytes(os.urandom(1000 + number))
    (root / os.fsdecode(b"\xff.bin")).write_bytes(b"?")
    (root / "empty").write_bytes(b"")
    (root / "link").symlink_to("/etc/hostname")
    os.mkfifo(root / "pipe")
    return root


def state(folder: Path) -> dict[str, Any]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode, path.lstat().st_size)
        for path in [folder, *folder.rglob("*")]
    }


def test_card_is_copied_byte_for_byte_and_not_touched(card: Path, tmp_path: Path) -> None:
    before, flight = state(card), tmp_path / "flight"
    result = ingest.ingest(card, flight)
    assert state(card) == before
    assert len(result.files) == result.fresh == 4 + len(ODD)
    for row in result.files:
        data = (card / row.original).read_bytes()
        copy = flight / row.path
        assert copy.read_bytes() == data
        assert row.sha256 == hashlib.sha256(data).hexdigest()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o444
        assert copy.stat().st_mtime_ns == (card / row.original).stat().st_mtime_ns
    assert dict(result.refused).keys() == {"link", "pipe"}
    told = json.loads((flight / "ingest.json").read_bytes())
    assert {row["original"] for row in told["files"]} >= set(ODD)
    assert not (flight / ".ingest.partial.jsonl").exists()


def test_names_of_copies_differ_on_systems_that_do_not_tell_cases_apart(card: Path, tmp_path: Path) -> None:
    names = [row.path for row in ingest.ingest(card, tmp_path / "flight").files]
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert not set(name) & set('<>:"\\|?*%\n')
        assert not name.endswith((".", " "))
        assert len(name.rsplit("/", 1)[-1].encode()) <= 210
        name.encode()


def test_sha256sum_checks_the_copies(card: Path, tmp_path: Path) -> None:
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("sha256sum is not installed")
    ingest.ingest(card, tmp_path / "flight")
    subprocess.run([tool, "--strict", "--quiet", "-c", "raw.sha256"], cwd=tmp_path / "flight", check=True)


@pytest.mark.parametrize("stop", range(1, 13, 3))
def test_interrupted_copy_goes_on_without_reading_the_card_again(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    flight, real, calls = tmp_path / "flight", ingest._copy, []

    def dying(source: Path, target: Path, size: int, told: Any) -> str:
        calls.append(source.name)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return real(source, target, size, told)

    monkeypatch.setattr(ingest, "_copy", dying)
    with pytest.raises(KeyboardInterrupt):
        ingest.ingest(card, flight)
    assert not list((flight / "raw").rglob("*.part*"))
    result = ingest.ingest(card, flight)
    assert len(calls) == 1 + len(result.files)  # the one that was interrupted was begun twice
    assert result.fresh == len(result.files) - (stop - 1)
    assert [row.sha256 for row in result.files] == [
        hashlib.sha256((card / row.original).read_bytes()).hexdigest() for row in result.files
    ]
    assert ingest.ingest(card, flight).fresh == 0


def test_copy_that_was_changed_since_or_is_of_another_card_is_never_overwritten(
    card: Path, tmp_path: Path
) -> None:
    flight = tmp_path / "flight"
    ingest.ingest(card, flight)
    copy = flight / "raw" / "log.bin"
    copy.chmod(0o644)
    copy.write_bytes(b"edited")
    with pytest.raises(EvidenceError, match="no longer"):
        ingest.ingest(card, flight)
    other = tmp_path / "card2"
    other.mkdir()
    (other / "log.bin").write_bytes(b"another flight")
    with pytest.raises(EvidenceError, match="another file"):
        ingest.ingest(other, flight)
    assert copy.read_bytes() == b"edited"


def test_copy_that_does_not_read_back_is_an_error_and_gone(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_copy", lambda source, target, *_: target.write_bytes(b"bad") and "0" * 64)
    with pytest.raises(EvidenceError, match="does not read back"):
        ingest.ingest(card, tmp_path / "flight")
    assert not [path for path in (tmp_path / "flight" / "raw").rglob("*") if path.is_file()]


def test_file_that_grows_while_it_is_copied_is_an_error(card: Path, tmp_path: Path) -> None:
    source = card / "log.bin"
    with pytest.raises(EvidenceError, match="changed while"):
        ingest._copy(source, tmp_path / "copy", source.stat().st_size - 1, lambda _: None)
    assert not (tmp_path / "copy").exists()


@pytest.mark.skipif(os.name == "nt", reason="permissions of Unix")
def test_file_that_cannot_be_read_is_listed_and_the_rest_is_copied(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def broken(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if str(path).endswith("log.bin"):
            raise OSError(5, "Input/output error")
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", broken)
    result = ingest.ingest(card, tmp_path / "flight")
    assert ("log.bin", "cannot be read (Input/output error)") in result.refused
    assert len(result.files) == 3 + len(ODD)


@pytest.mark.parametrize("inner", ["card/raw", "."])
def test_folders_in_one_another_are_refused(card: Path, tmp_path: Path, inner: str) -> None:
    with pytest.raises(EvidenceError, match="lies in the card"):
        ingest.ingest(card, tmp_path / inner)


def test_command_writes_a_line_for_what_was_copied(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flight = tmp_path / "flight"
    assert run_cli(["ingest", str(card), "-o", str(flight), "--actor", "Anna"]) == 4  # the link and the pipe
    (entry,) = custody.read(flight / "custody.jsonl").entries
    assert (entry.action, entry.actor) == ("ingest", "Anna")
    assert hashlib.sha256((flight / "ingest.json").read_bytes()).hexdigest() in entry.subject_sha256
    assert run_cli(["ingest", str(card), "-o", str(flight)]) == 4
    assert len(custody.read(flight / "custody.jsonl").entries) == 1
    assert "link" in capsys.readouterr().err


def test_line_by_hand(tmp_path: Path) -> None:
    add(tmp_path / "custody.jsonl", "цель")
    told = custody.read(tmp_path / "custody.jsonl").entries[0]
    host = json.dumps(told.host)
    assert (tmp_path / "custody.jsonl").read_text("utf-8") == (
        f'{{"action":"note","actor":"Anna","host":{host},"note":"цель","prev":"{"0" * 64}","seq":1,'
        '"subject_sha256":[],"tool":"test","utc":"2026-06-14T10:00:00Z"}\n'
    )
