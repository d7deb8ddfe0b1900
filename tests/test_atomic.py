"""Complete or absent: files, folders, locks; also when the program dies in the middle."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dronesense.errors import EvidenceError
from dronesense.writers import atomic
from dronesense.writers.atomic import LockedError, lock, replacing, sha256_file, staging, write_bytes


def products(folder: Path, files: dict[str, bytes]) -> None:
    """Write files and the run.json that lists them, as a run does."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    rows = [{"path": name, "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()]
    manifest = {"schema": atomic.MANIFEST_SCHEMA, "outputs": rows}
    (folder / atomic.MANIFEST_NAME).write_text(json.dumps(manifest))


def run(folder: Path, files: dict[str, bytes]) -> None:
    with staging(folder) as fresh:
        products(fresh, files)


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def without_manifest(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if name != "run.json"}


# -- files --


def test_hash_of_the_published_test_vector(tmp_path: Path) -> None:
    """FIPS 180-4 example: SHA-256("abc")."""
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_hash_of_a_file_longer_than_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "HASH_CHUNK_BYTES", 7)
    data = bytes(range(256)) * 3
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_hashing_reads_a_mebibyte_at_once_and_tells_so(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2**20 + 1))
    told: list[int] = []
    sha256_file(tmp_path / "f", told=told.append)
    assert told == [2**20, 1]


def test_write_makes_folders_and_leaves_only_the_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "c.txt", b"one")
    write_bytes(tmp_path / "a" / "b" / "c.txt", b"two")
    assert content(tmp_path) == {"a/b/c.txt": b"two"}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What happens to the disk, in order: the inode of each thing that is flushed, and ``rename``."""
    seen: list[object] = []
    real = Path.replace

    def rename(self: Path, target: Path) -> Path:
        seen.append("rename")
        return real(self, target)

    monkeypatch.setattr(atomic.os, "fsync", lambda descriptor: seen.append(os.fstat(descriptor).st_ino))
    monkeypatch.setattr(Path, "replace", rename)
    return seen


@pytest.mark.skipif(os.name == "nt", reason="folders are not flushed there")
def test_files_are_flushed_before_they_are_renamed_and_their_folder_after(
    tmp_path: Path, disk: list[object]
) -> None:
    unused = os.dup(0)
    os.close(unused)
    write_bytes(tmp_path / "a", b"x")
    assert disk == [(tmp_path / "a").stat().st_ino, "rename", tmp_path.stat().st_ino]
    free = os.dup(0)
    os.close(free)
    assert free == unused  # nothing is left open


@pytest.mark.skipif(os.name == "nt", reason="folders are not flushed there")
def test_folders_are_flushed_before_they_are_swapped_and_their_folder_after(
    tmp_path: Path, disk: list[object]
) -> None:
    run(tmp_path / "p", {"a": b"1"})
    (tmp_path / "p" / "note").write_bytes(b"wet grass")
    disk.clear()
    run(tmp_path / "p", {"a": b"2"})
    inodes = [path.stat().st_ino for path in (tmp_path / "p" / "note", tmp_path / "p", tmp_path)]
    assert disk == [*inodes[:2], "rename", "rename", inodes[2]]


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    write_bytes(tmp_path / "b.txt", b"old")
    with pytest.raises(OSError, match="No space"), replacing(tmp_path / "b.txt") as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert content(tmp_path) == {"b.txt": b"old"}


def test_temporary_name_has_the_suffix_and_the_folder_of_the_target(tmp_path: Path) -> None:
    with replacing(tmp_path / "score.tif") as temporary:
        assert temporary.suffix == ".tif"
        assert temporary.parent == tmp_path
        assert not (tmp_path / "score.tif").exists()
        temporary.touch()


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_written_files_have_the_rights_that_open_would_give(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_sharing_violation_on_windows_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = Path.replace
    failures = iter([True, True, False])

    def sometimes(self: Path, target: Path) -> Path:
        if next(failures):
            raise PermissionError(13, "used by another process")
        return real(self, target)

    (tmp_path / "a").write_bytes(b"x")
    monkeypatch.setattr(Path, "replace", sometimes)
    monkeypatch.setattr(atomic.time, "sleep", waits.append)
    monkeypatch.setattr(atomic, "_SHARING", True)
    atomic._rename(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x"
    assert len(waits) == 2


def test_waits_on_windows_double_to_a_second_and_a_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(atomic.time, "sleep", waits.append)
    monkeypatch.setattr(atomic, "_SHARING", True)
    refuse(monkeypatch)
    with pytest.raises(PermissionError):
        atomic._rename(tmp_path / "a", tmp_path / "b")
    assert waits == [0.05 * 2**k for k in range(5)]


@pytest.mark.skipif(os.name == "nt", reason="waits there")
def test_elsewhere_a_refused_rename_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.time, "sleep", lambda _: pytest.fail("waits"))
    refuse(monkeypatch)
    with pytest.raises(PermissionError):
        atomic._rename(tmp_path / "a", tmp_path / "b")


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(self: Path, target: Path) -> Path:
        raise PermissionError(13, "used by another process")

    monkeypatch.setattr(Path, "replace", replace)


# -- folders --


def test_new_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "products"
    with staging(target) as fresh:
        products(fresh, {"gas/CH4.csv": b"1"})
        assert not target.exists()
    assert without_manifest(target) == {"gas/CH4.csv": b"1"}
    assert [p.name for p in target.parent.iterdir()] == ["products"]


def test_empty_folder_of_the_user_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run(tmp_path / "out", {"a": b"1"})
    assert without_manifest(tmp_path / "out") == {"a": b"1"}


def test_products_that_no_run_makes_any_more_go(tmp_path: Path) -> None:
    run(tmp_path / "p", {"a": b"1", "scores/old.tif": b"2"})
    run(tmp_path / "p", {"a": b"3"})
    assert without_manifest(tmp_path / "p") == {"a": b"3"}


def test_exception_in_the_middle_leaves_the_old_products_complete(tmp_path: Path) -> None:
    run(tmp_path / "p", {"a": b"1", "b/c": b"2"})
    before = content(tmp_path)
    with pytest.raises(KeyboardInterrupt), staging(tmp_path / "p") as fresh:  # noqa: PT012
        (fresh / "a").write_bytes(b"half")
        raise KeyboardInterrupt
    assert content(tmp_path) == before


def test_notes_and_edited_products_of_people_survive(tmp_path: Path) -> None:
    target = tmp_path / "p"
    run(target, {"hotspots.geojson": b"candidate", "same.csv": b"s"})
    (target / "hotspots.geojson").write_bytes(b"confirmed by a person")
    (target / "notes" / "june").mkdir(parents=True)
    (target / "notes" / "june" / "today.txt").write_bytes(b"wet grass")
    run(target, {"hotspots.geojson": b"candidate", "same.csv": b"s2"})
    edited = hashlib.sha256(b"confirmed by a person").hexdigest()[:8]
    expected = {
        "hotspots.geojson": b"candidate",
        f"hotspots.kept-{edited}.geojson": b"confirmed by a person",
        "same.csv": b"s2",
        "notes/june/today.txt": b"wet grass",
    }
    assert without_manifest(target) == expected
    run(target, {"hotspots.geojson": b"candidate", "same.csv": b"s2"})  # and again, and no copy of a copy
    assert without_manifest(target) == expected


def test_what_vouches_for_the_old_manifest_stays_with_it(tmp_path: Path) -> None:
    target = tmp_path / "p"
    run(target, {"a": b"1"})
    old = (target / "run.json").read_bytes()
    for kind in ("sig", "tsr", "pub.pem"):
        (target / f"run.json.{kind}").write_bytes(kind.encode())
    seals = {f"run.json.{kind}": kind.encode() for kind in ("sig", "tsr", "pub.pem")}
    run(target, {"a": b"1"})  # the same run.json to the byte
    assert without_manifest(target) == {"a": b"1", **seals}
    kept = f"run.kept-{hashlib.sha256(old).hexdigest()[:8]}.json"
    aside = {kept: old} | {name.replace("run.json", kept): data for name, data in seals.items()}
    for again in (b"2", b"3"):  # the second leaves no copy of a run.json that nobody vouched for
        run(target, {"a": again})
        assert without_manifest(target) == {"a": again, **aside}


@pytest.mark.parametrize("manifest", [None, b"{", b"[]", b'{"schema": "other"}', b"\xff\xfe"])
def test_folder_that_is_not_ours_is_refused_untouched(tmp_path: Path, manifest: bytes | None) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "flight.bin").write_bytes(b"only copy")
    if manifest is not None:
        (tmp_path / "raw" / "run.json").write_bytes(manifest)
    before = content(tmp_path)
    with pytest.raises(EvidenceError, match="choose an empty folder"), staging(tmp_path / "raw"):
        pytest.fail("the block must not run")
    assert content(tmp_path) == before


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"x")
    with pytest.raises(EvidenceError, match="is a file"), staging(tmp_path / "p"):
        pytest.fail("the block must not run")


def test_hostile_manifest_deletes_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"x")
    run(tmp_path / "p", {"a": b"1"})
    manifest = {
        "schema": atomic.MANIFEST_SCHEMA,
        "outputs": [{"path": "../precious", "sha256": hashlib.sha256(b"x").hexdigest()}, 7, {}],
    }
    (tmp_path / "p" / "run.json").write_text(json.dumps(manifest))
    run(tmp_path / "p", {"b": b"2"})
    assert (tmp_path / "precious").read_bytes() == b"x"
    assert without_manifest(tmp_path / "p") == {"a": b"1", "b": b"2"}  # "a" was not listed: kept


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_linked_folder_is_swapped_behind_the_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "p").symlink_to(tmp_path / "disk", target_is_directory=True)
    run(tmp_path / "p", {"a": b"1"})
    assert (tmp_path / "p").is_symlink()
    assert without_manifest(tmp_path / "disk") == {"a": b"1"}


def test_swap_that_was_killed_halfway_is_put_right(tmp_path: Path) -> None:
    run(tmp_path / "p", {"a": b"1"})
    (tmp_path / "p").rename(tmp_path / ".p.old")  # killed between the two renames
    (tmp_path / ".p.new").mkdir()
    (tmp_path / ".p.new" / "half").write_bytes(b"")
    with pytest.raises(RuntimeError), staging(tmp_path / "p"):  # noqa: PT012
        assert without_manifest(tmp_path / "p") == {"a": b"1"}
        raise RuntimeError
    assert without_manifest(tmp_path / "p") == {"a": b"1"}
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_old_folder_that_a_killed_run_left_beside_the_new_one_goes(tmp_path: Path) -> None:
    run(tmp_path / "p", {"a": b"2"})
    (tmp_path / ".p.old").mkdir()  # killed after both renames
    (tmp_path / ".p.old" / "a").write_bytes(b"1")
    run(tmp_path / "p", {"a": b"3"})
    assert without_manifest(tmp_path / "p") == {"a": b"3"}
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_second_rename_that_fails_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "p", {"a": b"1"})
    real = atomic._rename

    def refuse(source: Path, target: Path) -> None:
        if source.name == ".p.new":
            raise PermissionError(13, "open in another program")
        real(source, target)

    monkeypatch.setattr(atomic, "_rename", refuse)
    with pytest.raises(PermissionError), staging(tmp_path / "p") as fresh:
        products(fresh, {"a": b"2"})
    assert without_manifest(tmp_path / "p") == {"a": b"1"}


WRITER = """
import sys, json, hashlib
from pathlib import Path
from dronesense.writers.atomic import staging, write_bytes, MANIFEST_SCHEMA
print("ready", flush=True)
k = 0
while True:
    k += 1
    with staging(Path(sys.argv[1])) as fresh:
        data = str(k).encode()
        for name in ("a", "b", "c"):
            write_bytes(fresh / name, data)
        rows = [{"path": n, "sha256": hashlib.sha256(data).hexdigest()} for n in ("a", "b", "c")]
        write_bytes(fresh / "run.json", json.dumps({"schema": MANIFEST_SCHEMA, "outputs": rows}).encode())
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_killed_at_any_moment_the_folder_is_complete_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "p"
    for delay_ms in range(3, 51, 6):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            threading.Event().wait(delay_ms / 1000.0)
            child.send_signal(signal.SIGKILL)
        if target.exists():
            files = without_manifest(target)
            assert set(files) == {"a", "b", "c"}
            assert len(set(files.values())) == 1
    run(target, {"a": b"end"})
    assert without_manifest(target)["a"] == b"end"
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


# -- locks --

HOLDER = """
import sys
from pathlib import Path
from dronesense.errors import EvidenceError
from dronesense.writers.atomic import lock
try:
    with lock(Path(sys.argv[1])):
        print("got", flush=True)
        sys.stdin.read()
except EvidenceError as error:
    print("locked" if error.locked else "other", flush=True)
"""


def holder(target: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_second_run_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path / "p") as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"got"
        with pytest.raises(LockedError, match=f"process {child.pid}") as caught, lock(tmp_path / "p"):
            pytest.fail("the block must not run")
        assert isinstance(caught.value, EvidenceError)
        child.communicate(b"")
    with lock(tmp_path / "p"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    with holder(tmp_path / "p") as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()
    with lock(tmp_path / "p"):
        pass


def test_of_many_runs_at_once_exactly_one_wins(tmp_path: Path) -> None:
    children = [holder(tmp_path / "p") for _ in range(6)]
    said = [child.stdout.readline().strip() for child in children if child.stdout]
    for child in children:
        child.communicate(b"")
    assert sorted(said) == [b"got"] + [b"locked"] * 5


def test_lock_also_holds_within_one_process_and_by_another_name(tmp_path: Path) -> None:
    with (
        lock(tmp_path / "p"),
        pytest.raises(LockedError) as caught,
        lock(tmp_path / "x" / ".." / "p"),
    ):
        pytest.fail("the block must not run")
    assert caught.value.locked


def test_lock_says_who_holds_it_whatever_stood_there(tmp_path: Path) -> None:
    (tmp_path / ".p.lock").write_bytes(b"123456789123456789")
    with lock(tmp_path / "p"):
        assert (tmp_path / ".p.lock").read_text() == str(os.getpid())


def test_lock_of_a_folder_whose_parents_do_not_exist(tmp_path: Path) -> None:
    with lock(tmp_path / "a" / "b" / "p"):
        assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == [".p.lock"]


def test_lock_puts_right_what_a_killed_run_left(tmp_path: Path) -> None:
    (tmp_path / ".p.old").mkdir()
    (tmp_path / ".p.old" / "a").write_bytes(b"1")
    (tmp_path / ".p.new").mkdir()
    with lock(tmp_path / "p"):
        assert content(tmp_path / "p") == {"a": b"1"}
        assert not (tmp_path / ".p.new").exists()


@pytest.mark.skipif(os.name == "nt", reason="files that are open cannot be removed there")
def test_lock_file_is_removed_once_before_the_lock_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards it may be that of the next run."""
    removed: list[bool] = []
    real = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        with self.open("a+b") as other:
            removed.append(atomic._try_lock(other))
        real(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    with lock(tmp_path / "p"):
        pass
    assert removed == [False]


@pytest.mark.skipif(os.name == "nt", reason="files that are open cannot be removed there")
def test_lock_file_that_somebody_removed_is_no_error(tmp_path: Path) -> None:
    with lock(tmp_path / "p"):
        (tmp_path / ".p.lock").unlink()


def test_two_folders_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with lock(tmp_path / "p"), lock(tmp_path / "q"):
        pass


def test_lock_survives_that_its_file_is_replaced_between_open_and_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last owner removes the file after we opened it: what we locked is no longer what others open."""
    real = atomic._try_lock
    calls = []

    def slow(stream) -> bool:
        calls.append(1)
        if len(calls) == 1:
            (tmp_path / ".p.lock").unlink()
        return real(stream)

    monkeypatch.setattr(atomic, "_try_lock", slow)
    with lock(tmp_path / "p"):
        assert (tmp_path / ".p.lock").exists()
        with pytest.raises(LockedError), lock(tmp_path / "p"):
            pytest.fail("the block must not run")
    assert len(calls) == 3
