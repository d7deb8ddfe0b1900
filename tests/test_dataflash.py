"""DataFlash bytes to columns: hand-packed records, damage of every kind, and pymavlink as oracle."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.readers import dataflash_chain
from dronesense.readers.dataflash import DataFlash

_SPEC = importlib.util.spec_from_file_location(
    "dataflash_writer", Path(__file__).with_name("dataflash_writer.py")
)
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)

REAL = ("center_0003.bin", "pilot_0004.BIN", "pymavlink_test.BIN")


def small_log(rows: int = 60) -> writer.Log:
    log = writer.Log().define("POS", *writer.POS).define("ATT", *writer.ATT).define("MSG", *writer.MSG)
    log.add("MSG", 5, b"ArduCopter V4.2.3 (deadbeef)")
    for k in range(rows):
        log.add("POS", 40_000 * k, 51.5 + k * 1e-6, 71.4, 300.25 + k, 10.0, math.nan)
        log.add("ATT", 40_000 * k + 7, 0.0, 1.25, 0.0, -2.5, 0.0, 359.99, 0.1, 0.2, 3)
    return log


def save(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "log.bin"
    path.write_bytes(data)
    return path


def read(tmp_path: Path, data: bytes) -> DataFlash:
    return DataFlash(save(tmp_path, data))


def in_holes(log: DataFlash, offset: int) -> bool:
    return any(start <= offset < start + length for start, length in log.holes)


def test_every_format_letter_reads_what_struct_packed(tmp_path: Path) -> None:
    letters = "abBhHiIqQgfdnNZcCeELM"
    names = ",".join(f"X{k}" for k in range(len(letters) - 2)) + ",Lat,Mode"
    log = writer.Log()
    # 32 i16 and a 64-byte text do not fit into 255 bytes with all others: two types
    log.define("ONE", letters[:12], ",".join(names.split(",")[:12]))
    log.define("TWO", letters[12:], ",".join(names.split(",")[12:]))
    array = tuple(range(-16, 16))
    log.add("ONE", array, -128, 255, -32768, 65535, -(2**31), 2**32 - 1, -(2**63), 2**64 - 1, 0.5, 0.1, 0.1)
    log.add(
        "TWO",
        b"abcd",
        b"name\0junk",
        b"t\xc3\xa9xt",
        -327.68,
        655.35,
        -21474836.48,
        42949672.95,
        -179.1234567,
        7,
    )
    flash = read(tmp_path, log.data())
    one, two = flash["ONE"], flash["TWO"]
    assert one["X0"].tolist() == [list(array)]
    assert [one[f"X{k}"][0].item() for k in range(1, 9)] == [
        -128, 255, -32768, 65535, -(2**31), 2**32 - 1, -(2**63), 2**64 - 1,
    ]  # fmt: skip
    assert one["X9"].dtype == np.float16
    assert one["X9"][0] == 0.5
    assert one["X10"][0] == np.float32(0.1)
    assert one["X11"][0] == 0.1
    assert (two.text("X12"), two.text("X13"), two.text("X14")) == (["abcd"], ["name"], ["téxt"])
    assert [two[f"X{k}"][0] for k in range(15, 19)] == [-327.68, 655.35, -21474836.48, 42949672.95]
    assert two["Lat"][0] == -179.1234567
    assert two["Mode"][0] == 7
    assert flash.holes == ()


def test_columns_units_and_instances_come_from_the_log(tmp_path: Path) -> None:
    log = writer.Log().define("UNIT", "QbZ", "TimeUS,Id,Label").define("MULT", "Qbd", "TimeUS,Id,Mult")
    log.define("FMTU", "QBNN", "TimeUS,FmtType,UnitIds,MultIds").define("BARO", "QBfh", "TimeUS,I,Press,T")
    for letter, label in (("s", b"s"), ("P", b"Pa"), ("O", b"degC"), ("#", b"instance")):
        log.add("UNIT", 0, ord(letter), label)
    log.add("MULT", 0, ord("F"), 1e-6).add("MULT", 0, ord("B"), 1e-2)
    log.add("FMTU", 0, log.types["BARO"][0], b"s#PO", b"F-0B").add("BARO", 9, 1, 95000.5, 2150)
    baro = read(tmp_path, log.data())["BARO"]
    assert baro.format.instance == "I"
    assert [baro.unit(column) for column in baro] == ["s", "instance", "Pa", "degC"]
    assert baro.format.multipliers[0] == 1e-6
    assert baro.format.multipliers[3] == 1e-2
    with pytest.raises(KeyError, match='did you mean "Press"'):
        baro["Pres"]


def test_late_and_missing_own_formats_are_found(tmp_path: Path) -> None:
    log = writer.Log(own=False).define("POS", *writer.POS).add("POS", 1, 1.0, 2.0, 3.0, 0.0, 0.0)
    later = writer.Log(own=False).define("ATT", *writer.ATT, kind=99)
    first = later.pack("ATT", 2, 0, 1, 0, 2, 0, 3, 0, 0, 0)
    flash = read(tmp_path, log.data() + first + later.data() + first)
    assert (flash.count("POS"), flash.count("ATT"), flash.count("FMT")) == (1, 2, 2)
    assert flash.holes == ()


def test_a_header_inside_a_payload_does_not_split_a_record(tmp_path: Path) -> None:
    log = small_log(3)
    kind = log.types["ATT"][0]
    log.add("MSG", 1, b"x\xa3\x95" + bytes([kind]) + b"y" * 40).add("POS", 2, 1.0, 2.0, 3.0, 0.0, 0.0)
    flash = read(tmp_path, log.data())
    assert (flash.count("ATT"), flash.count("POS"), flash.count("MSG")) == (3, 4, 2)
    assert flash.holes == ()


def test_a_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    log = small_log(8)
    data = log.data()
    ends = np.cumsum([len(record) for record in log.records])
    for cut in range(len(data)):
        if cut < ends[0]:
            with pytest.raises(ReadError):
                read(tmp_path, data[:cut])
            continue
        flash = read(tmp_path, data[:cut])
        whole = int(np.searchsorted(ends, cut, side="right"))
        kept = int(ends[whole - 1])
        assert flash.records == whole, cut
        assert flash.holes == (() if kept == cut else ((kept, cut - kept),)), cut


@pytest.mark.parametrize("fill", [0x00, 0xFF])
def test_a_record_that_padding_completed_is_refused(tmp_path: Path, fill: int) -> None:
    data = small_log().data()
    flash = read(tmp_path, data[:-9] + bytes([fill]) * 600)
    last = len(data) - len(small_log().records[-1])
    assert (flash.count("ATT"), flash.ghosts) == (59, 1)
    assert flash.holes == ((last, len(data) - 9 + 600 - last),)


def test_padding_after_a_whole_log_is_one_hole(tmp_path: Path) -> None:
    log = small_log()
    log.add(
        "POS", 1, 1.0, 2.0, 3.0, 0.0, 1.0
    )  # ends in 0x3f: not completed by padding, yet not confirmed either
    flash = read(tmp_path, log.data() + b"\xff" * 65536)
    assert sum(length for _, length in flash.holes) in (65536, 65536 + len(log.records[-1]))
    assert flash.records + flash.ghosts == len(log.records)


def test_zeroed_removed_and_foreign_bytes_cost_only_what_they_touch(tmp_path: Path) -> None:
    log = small_log(200)
    data = log.data()
    starts = np.cumsum([0] + [len(record) for record in log.records])[:-1]
    begin, size = 2503, 700
    untouched = int(np.sum((starts + [len(r) for r in log.records] <= begin) | (starts >= begin + size)))
    zeroed = read(tmp_path, data[:begin] + bytes(size) + data[begin + size :])
    removed = read(tmp_path, data[:begin] + data[begin + size :])
    foreign = read(tmp_path, data[:begin] + b"VENDOR BLOCK" * 40 + data[begin:])
    for flash in (zeroed, removed, foreign):
        assert flash.holes
        doubtful = sum(int(np.count_nonzero(~flash[name].confirmed)) for name in flash)
        assert flash.records - doubtful >= untouched - 1  # the record before the damage may look unsound
        lat = flash["POS"]["Lat"][flash["POS"].confirmed]
        assert np.all((lat >= 51.5) & (lat < 51.501))
    assert in_holes(zeroed, begin + size // 2)
    assert in_holes(foreign, begin + 100)
    between = read(tmp_path, b"".join([*log.records[:50], b"\x01BLOCK" * 8, *log.records[50:]]))
    assert between.holes == ((int(starts[50]), 48),)
    assert between.records == len(log.records)


def test_a_flipped_type_byte_does_not_swallow_its_neighbors(tmp_path: Path) -> None:
    log = small_log()
    position = sum(len(record) for record in log.records[:31])
    data = bytearray(log.data())
    assert data[position + 2] == log.types["POS"][0]
    data[position + 2] = log.types["MSG"][0]  # 75 bytes instead of 31
    flash = read(tmp_path, bytes(data))
    assert flash.records == len(log.records) - 1
    assert flash.holes == ((position, len(log.records[31])),)


def test_bit_flips_never_raise_and_never_lose_sound_rows(tmp_path: Path) -> None:
    log = small_log(300)
    clean = log.data()
    lengths = np.array([len(record) for record in log.records])
    starts = np.cumsum(lengths) - lengths
    rng = np.random.default_rng(5)
    first = int(starts[5])
    for _ in range(40):
        data = bytearray(clean)
        where = rng.integers(first, len(data), 50)
        for place in where:
            data[place] ^= 1 << int(rng.integers(8))
        flash = read(tmp_path, bytes(data))
        hit = np.isin(np.arange(len(starts)), np.searchsorted(starts, where, side="right") - 1)
        sound = {int(start) for start in starts[~hit]}
        offsets = {int(offset) for name in flash for offset in flash[name].offsets}
        assert len(sound - offsets) <= flash.ghosts + 1
        broken = [s for s in starts[hit].tolist() if data[s : s + 3] != clean[s : s + 3]]
        assert all(start not in offsets or data[start : start + 2] == b"\xa3\x95" for start in broken)
        assert flash.holes or not broken


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda r: r, None),
        (lambda r: r[:4] + bytes([r[4] + 1]) + r[5:], "states 32 bytes but its columns need 31"),
        (lambda r: r[:9] + b"w" + r[10:], "unknown format letters"),
        (lambda r: r[:25] + b"TimeUS,Lat" + bytes(54), "format letters for the columns"),
        (lambda r: r[:5] + b"\xfe\xfe\xfe\xfe" + r[9:], "no name or no length"),
        (lambda r: r[:4] + b"\x02" + r[5:], "no name or no length"),
    ],
)
def test_a_damaged_format_is_named_and_the_rest_is_read(tmp_path: Path, change, warning) -> None:
    log = small_log()
    log.records[1] = change(log.records[1])
    flash = read(tmp_path, log.data())
    assert flash.count("ATT") == 60
    if warning is None:
        assert flash.warnings == ()
    else:
        assert warning in flash.warnings[0]
        assert "POS" not in flash


def test_a_second_definition_of_a_type_is_named(tmp_path: Path) -> None:
    log = small_log()
    log.define("ODD", *writer.ATT, kind=log.types["POS"][0])
    flash = read(tmp_path, log.data())
    assert flash.count("POS") == 60
    assert "is already POS" in flash.warnings[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa3",
        b"\xa3\x95",
        b"\xa3\x95\x80",
        b"\xa3\x95\x80" + bytes(17),
        b"not a log " * 50,
        b"\xa3\x95" * 400,
    ],
)
def test_what_is_no_log_is_a_read_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ReadError, match=r"log\.bin"):
        read(tmp_path, data)
    with pytest.raises(ReadError, match=r"missing\.bin"):
        DataFlash(tmp_path / "missing.bin")


def test_headers_across_scan_blocks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = small_log().data()
    whole = read(tmp_path, data)
    for size in (1, 2, 3, 7, 89, 1000):
        monkeypatch.setattr(dataflash_chain, "SCAN_BYTES", size)
        flash = read(tmp_path, data)
        assert (flash.records, flash.holes) == (whole.records, ())
        np.testing.assert_array_equal(flash["POS"].offsets, whole["POS"].offsets)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=90), st.sampled_from([b"\xa3\x95", b"\xa3\x95\x80", b"\xa3", b"\xff" * 300])
        ),
        max_size=20,
    )
)
def test_any_bytes_give_a_read_error_or_a_full_account(tmp_path: Path, parts: list[bytes]) -> None:
    for head in (b"", small_log(3).data()):
        data = head + b"".join(parts)
        try:
            flash = read(tmp_path, data)
        except ReadError:
            assert not head
            continue
        covered = np.zeros(len(data), dtype=int)
        for start, length in flash.holes:
            covered[start : start + length] += 1
        readable = 0
        for name in flash:
            messages = flash[name]
            readable += messages.count
            for offset in messages.offsets.tolist():
                covered[offset : offset + messages.format.length] += 1
            assert all(len(messages[column]) == messages.count for column in messages)
        assert covered.max(initial=0) <= 1
        if readable == flash.records:
            assert covered.min(initial=1) == 1  # every byte is in a record or in a hole


def oracle(path: Path) -> dict[str, list]:
    from pymavlink import DFReader

    rows: dict[str, list] = {}
    reader = DFReader.DFReader_binary(str(path))
    try:
        while (message := reader.recv_msg()) is not None:
            rows.setdefault(message.get_type(), []).append(message)
    finally:
        reader.data_map.close()
        reader.filehandle.close()
    return rows


@pytest.mark.parametrize("name", REAL)
def test_every_field_of_every_message_of_real_logs_equals_pymavlink(shared_data: Path, name: str) -> None:
    """Numbers, texts, arrays: all columns of all types. No exception: pymavlink's bytes are compared too."""
    path = shared_data / "logs" / "dataflash" / name
    theirs = oracle(path)
    ours = DataFlash(path)
    assert {kind: len(rows) for kind, rows in theirs.items()} == {kind: ours.count(kind) for kind in ours}
    assert ours.records == sum(map(len, theirs.values()))
    compared = 0
    for kind, rows in theirs.items():
        messages = ours[kind]
        assert list(messages) == rows[0].get_fieldnames()
        for column in messages:
            values = messages[column]
            expected = [getattr(row, column) for row in rows]
            if values.dtype.kind == "S" and isinstance(expected[0], bytes):  # FILE.Data: not text
                assert values.tolist() == [value.rstrip(b"\0") for value in expected], (kind, column)
            elif values.dtype.kind == "S":
                assert messages.text(column) == expected, (kind, column)
            else:
                equal = np.array_equal(values, np.array(expected), equal_nan=values.dtype.kind == "f")
                assert equal, (kind, column)
            compared += values.shape[0]
    assert compared == sum(len(row.get_fieldnames()) for rows in theirs.values() for row in rows)
    assert {"GPS", "ATT", "POS"} <= set(theirs)


def test_arrays_equal_pymavlink(tmp_path: Path) -> None:
    """The letter ``a`` (ISBD) is in none of the real logs."""
    log = writer.Log().define("ISBD", "QHHaaa", "TimeUS,N,seqno,x,y,z")
    rng = np.random.default_rng(3)
    for k in range(20):
        log.add("ISBD", k, k, 32 * k, *(rng.integers(-32768, 32768, 32).tolist() for _ in range(3)))
    path = save(tmp_path, log.data())
    theirs, ours = oracle(path)["ISBD"], DataFlash(path)["ISBD"]
    for column in ("x", "y", "z"):
        assert ours[column].tolist() == [list(getattr(row, column)) for row in theirs]


def places(path: Path) -> set[int]:
    """Where pymavlink finds records; its exceptions on damage end its reading."""
    from pymavlink import DFReader

    found = set()
    try:
        reader = DFReader.DFReader_binary(str(path))
    except Exception:  # noqa: BLE001 - what a peer does with damage is not ours to judge
        return found
    try:
        while (message := reader.recv_msg()) is not None:
            found.add(reader.offset - message.fmt.len)
    except Exception:  # noqa: BLE001
        pass
    finally:
        reader.data_map.close()
        reader.filehandle.close()
    return found


def mapped(
    pieces: list[tuple[int, int] | bytes], records: list[tuple[int, int]]
) -> tuple[list[int], set[int]]:
    """Return where the pieces start in the damaged file and where the records that lie whole in one do."""
    at, starts, whole = 0, [], set()
    for piece in pieces:
        starts.append(at)
        if isinstance(piece, bytes):
            at += len(piece)
        else:
            begin, end = piece
            whole |= {
                at + start - begin for start, length in records if begin <= start and start + length <= end
            }
            at += end - begin
    return starts, whole


def damage_cases(size: int, rng: np.random.Generator, borders: list[int]) -> dict[str, list]:
    """Kept parts of the file (begin, end) and strange bytes between them."""
    cases: dict[str, list] = {"20 bytes": [(0, 20)]}
    near = sorted(
        {border + step for border in rng.choice(borders, 12).tolist() for step in (-2, -1, 0, 1, 2, 3)}
    )
    for cut in [*near, *rng.integers(2000, size, 20).tolist()]:
        cases[f"cut at {cut}"] = [(0, int(cut))]
    for at in rng.integers(4000, size - 5000, 6).tolist():
        cases[f"4 KiB zeroed at {at}"] = [(0, at), bytes(4096), (at + 4096, size)]
        cases[f"4 KiB removed at {at}"] = [(0, at), (at + 4096, size)]
        cases[f"foreign block at {at}"] = [(0, at), b"\x5aVENDOR\x01" * 512, (at, size)]
    cases["64 KiB of 0xFF at the end"] = [(0, size), b"\xff" * 65536]
    cases["cut, then 64 KiB of 0xFF"] = [(0, size - 9), b"\xff" * 65536]
    cases["cut, then zeros"] = [(0, size - 5), bytes(5000)]
    blocks: list = [(0, 2000)]
    for begin in range(2000, size, 4096):
        blocks += [b"HEAD" * 8, (begin, min(begin + 4096, size))]
    cases["a block of 32 bytes every 4096"] = blocks
    return cases


def test_damage_table_beside_pymavlink(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """For each damage: every record that survived whole, no fewer than pymavlink, no ghost, and the holes."""
    log = small_log(700)
    clean = log.data()
    lengths = [len(record) for record in log.records]
    starts = (np.cumsum(lengths) - lengths).tolist()
    records = list(zip(starts, lengths, strict=True))
    for name, pieces in damage_cases(len(clean), np.random.default_rng(8), starts[4:]).items():
        data = b"".join(p if isinstance(p, bytes) else clean[p[0] : p[1]] for p in pieces)
        piece_starts, whole = mapped(pieces, records)
        path = save(tmp_path, data)
        if not whole:
            with pytest.raises(ReadError):
                DataFlash(path)
            continue
        flash = DataFlash(path)
        sure = {int(o) for kind in flash for o in flash[kind].offsets[flash[kind].confirmed]}
        found = {int(o) for kind in flash for o in flash[kind].offsets}
        theirs = places(path)
        borders = len(piece_starts)
        # where bytes vanish without a trace, the head of one record and the tail of another can make a third
        seams = {o for o in sure - whole if any(o < at < o + 255 for at in piece_starts)}
        assert sure - whole == seams, name
        assert len(seams) <= ("removed" in name), name
        assert len(whole - found) <= flash.ghosts, name
        assert len(whole & found) + flash.ghosts >= len(whole & theirs), name
        assert len(whole - sure) <= borders, name
        if len(data) != sum(length for start, length in records if start in whole):
            assert flash.holes or flash.doubtful, name
        covered = sum(length for _, length in flash.holes)
        covered += sum(flash[kind].count * flash[kind].format.length for kind in flash)
        assert covered == len(data), name
    capfd.readouterr()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_fifty_flipped_bits_beside_pymavlink(tmp_path: Path, data: st.DataObject) -> None:
    """Bodies flip without a trace; no flip may cost a record that pymavlink still finds where one was."""
    log = small_log(150)
    broken = bytearray(log.data())
    lengths = [len(record) for record in log.records]
    true = set((np.cumsum(lengths) - lengths).tolist())
    for place in data.draw(st.lists(st.integers(450, len(broken) - 1), min_size=50, max_size=50)):
        broken[place] ^= 1 << (place % 8)
    path = save(tmp_path, bytes(broken))
    flash = DataFlash(path)
    found = {int(o) for kind in flash for o in flash[kind].offsets}
    theirs = places(path)
    hit = [k for k in true if broken[k : k + 3] != log.data()[k : k + 3]]
    assert flash.holes or not hit
    assert len(found & true) + flash.ghosts >= len(theirs & true) - len(hit)
    assert len(true - found) <= len(hit) + flash.ghosts + 1


def fuzz_target() -> ModuleType:
    folder = Path(__file__).parent
    spec = importlib.util.spec_from_file_location("fuzz_dataflash", folder / "fuzz" / "fuzz_dataflash.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


TARGET = fuzz_target()


@settings(max_examples=150)
@given(st.data())
def test_mutated_seeds_give_a_track_or_a_read_error(data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(TARGET.SEEDS))
    for _ in range(data.draw(st.integers(0, 5))):
        place = data.draw(st.integers(0, len(seed)))
        gone = data.draw(st.sampled_from([0, 0, 1, 2, 30, 300]))
        piece = data.draw(
            st.one_of(st.binary(max_size=20), st.sampled_from([b"\xa3\x95\x80", b"\xff" * 20, bytes(40)]))
        )
        seed = seed[:place] + piece + seed[place + gone :]
    TARGET.one(seed)


DAMAGE = {
    "cut": lambda d: d[: int(len(d) * 0.6) + 1],
    "4 KiB zeroed": lambda d: d[:300_000] + bytes(4096) + d[304_096:],
    "4 KiB removed": lambda d: d[:300_001] + d[304_097:],
    "erased tail": lambda d: d + b"\xff" * 65536,
    # after the definitions: pymavlink raises an exception when a block splits an FMT record
    "vendor blocks": lambda d: (
        d[:65536] + b"".join(b"HDR\x01" * 8 + d[k : k + 4096] for k in range(65536, len(d), 4096))
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_real_log_gives_no_fewer_rows_than_pymavlink(
    shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    data = DAMAGE[damage]((shared_data / "logs" / "dataflash" / "center_0003.bin").read_bytes())
    path = save(tmp_path, data)
    ours = DataFlash(path)
    theirs = oracle(path)
    capfd.readouterr()
    assert ours.holes
    assert ours.records + ours.ghosts >= sum(map(len, theirs.values()))
    for kind in ("GPS", "POS", "ATT"):
        assert ours.count(kind) + ours.ghosts >= len(theirs[kind])


def test_flipped_bits_in_a_real_log(
    shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((shared_data / "logs" / "dataflash" / "pilot_0004.BIN").read_bytes())
    rng = np.random.default_rng(11)
    for place in rng.integers(100_000, len(data), 50):
        data[place] ^= 1 << int(rng.integers(8))
    path = save(tmp_path, bytes(data))
    ours = DataFlash(path)
    count = sum(map(len, oracle(path).values()))
    capfd.readouterr()
    assert len(ours.holes) > 1
    assert ours.records + ours.ghosts >= count


@pytest.mark.slow
def test_memory_stays_below_one_and_a_half_files(tmp_path: Path) -> None:
    import resource
    import subprocess

    data = small_log(20_000).data()
    path = tmp_path / "large.bin"
    with path.open("wb") as stream:
        for _ in range(256):
            stream.write(data)
    size = path.stat().st_size
    assert resource.RUSAGE_CHILDREN is not None
    code = (
        "import resource, sys; from pathlib import Path; from dronesense.readers.dataflash import DataFlash\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "log = DataFlash(Path(sys.argv[1]))\n"
        "print(log.records, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    records, used = map(int, done.stdout.split())
    assert records == 256 * len(small_log(20_000).records)
    assert used < 1.5 * size, (used, size)
