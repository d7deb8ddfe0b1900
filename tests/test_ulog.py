"""ULog bytes to columns: hand-packed messages, damage of every kind, and pyulog as oracle."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import struct
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.readers import ulog
from dronesense.readers.ulog import ULog
from dronesense.readers.ulog_topics import Topic


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, Path(__file__).parent / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


writer = _load("ulog_writer.py")
fuzz = _load("fuzz/fuzz_ulog.py")

REAL = (
    "sample.ulg",
    "sample_appended_multiple.ulg",
    "sample_log_small.ulg",
    "sample_logging_tagged_and_default_params.ulg",
    "sample_px4_events.ulg",
)
POINT = "uint64_t timestamp;float x;uint16_t n;uint8_t[2] _padding0;"


def opened(data: bytes) -> ULog:
    return ULog(np.frombuffer(data, dtype=np.uint8), where="log.ulg")


def points(rows: int = 40, *, sync: bool = False) -> Any:
    log = writer.Log(1000).flags().format("point", POINT).format("attitude", writer.ATTITUDE)
    log.subscribe("point").subscribe("attitude")
    for k in range(rows):
        log.add("point", 1000 + k, k / 2, k)
        log.add("attitude", 1000 + k, [1.0, 0.25, -0.5, k], 7)
        if sync and k % 8 == 0:
            log.sync()
    return log


def rows_of(log: ULog) -> int:
    return sum(log[key].count for key in log)


def flat(topic: Topic) -> dict[str, np.ndarray]:
    """Return the columns under the names that pyulog gives them: one per number."""
    found: dict[str, np.ndarray] = {}

    def add(values: np.ndarray, prefix: str) -> None:
        for name in values.dtype.names or ():
            part = values[name]
            if part.dtype.kind == "S":
                part = np.ascontiguousarray(part).view("i1").reshape(len(part), -1)
            if part.ndim == 2:
                for k in range(part.shape[1]):
                    put(part[:, k], f"{prefix}{name}[{k}]")
            else:
                put(part, prefix + name)

    def put(values: np.ndarray, name: str) -> None:
        if values.dtype.names:
            add(values, name + ".")
        else:
            found[name] = values

    add(topic._records, "")
    return found


def peer(data: bytes) -> Any:
    from pyulog import ULog as Peer
    from pyulog.exceptions import ULogException

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return Peer(io.BytesIO(data))
        except (ULogException, TypeError):
            return None


def peer_rows(other: Any) -> int:
    return sum(len(next(iter(each.data.values()))) for each in other.data_list)


def assert_equal(log: ULog, other: Any) -> int:
    """Compare everything in two readings; return how many columns there were."""
    theirs = {each.name + (f"[{each.multi_id}]" if each.multi_id else ""): each for each in other.data_list}
    assert set(log) == set(theirs)
    columns = 0
    for key, each in theirs.items():
        mine = flat(log[key])
        assert list(mine) == list(each.data), key
        for name, values in each.data.items():
            other_values = values.astype(mine[name].dtype) if mine[name].dtype.kind == "u" else values
            assert mine[name].dtype.itemsize == values.dtype.itemsize
            np.testing.assert_array_equal(mine[name], other_values, err_msg=f"{key}.{name}")
            columns += 1
    assert log.info == other.msg_info_dict
    assert log.info_lists == other.msg_info_multiple_dict
    assert log.parameters == other.initial_parameters
    assert list(log.changed_parameters) == other.changed_parameters
    for bit in (0, 1):
        assert log.default_parameters.get(bit, {}) == other.get_default_parameters(bit)
    assert [(each.timestamp_us, each.duration_ms) for each in log.dropouts] == [
        (each.timestamp, each.duration) for each in other.dropouts
    ]
    plain = [(each.timestamp_us, each.level, each.text) for each in log.logged if each.tag is None]
    assert plain == [(each.timestamp, each.log_level, each.message) for each in other.logged_messages]
    for tag, messages in other.logged_messages_tagged.items():
        mine_tagged = [(each.timestamp_us, each.level, each.text) for each in log.logged if each.tag == tag]
        assert mine_tagged == [(each.timestamp, each.log_level, each.message) for each in messages]
    return columns


@pytest.mark.parametrize("name", REAL)
def test_every_field_of_every_real_log_equals_pyulog(shared_data: Path, name: str) -> None:
    path = shared_data / "logs" / "ulog" / name
    log = ulog.read(path)
    assert assert_equal(log, peer(path.read_bytes())) >= 300
    assert log.holes == ()
    assert log.ghosts == 0
    assert log.unknown == {}


def test_a_log_with_every_kind_of_message_equals_pyulog() -> None:
    log = writer.Log(500).flags(compat=1)
    log.format("corner", "double lat;float[2] size;bool on;").format(
        "all",
        "uint64_t timestamp;int8_t a;uint8_t b;int16_t c;uint16_t d;int32_t e;uint32_t f;int64_t g;"
        "uint64_t h;float i;double j;bool k;char[5] l;corner m;corner[2] n;int16_t[3] o;"
        "uint8_t[3] _padding0;",
    )
    log.keyed("char[4] sys_name", b"PX4!").keyed("uint32_t ver_sw_release", struct.pack("<I", 0x010F00FF))
    log.message("M", b"\0\x0cchar[2] perfab").message("M", b"\1\x0cchar[2] perfcd")
    log.keyed("int32_t SYS_A", struct.pack("<i", -4), "P").keyed("float SYS_B", struct.pack("<f", 0.5), "P")
    log.message("Q", b"\3" + b"\x0dint32_t SYS_A" + struct.pack("<i", 9))
    log.subscribe("all").subscribe("all", 2)
    row = (-1, 255, -2, 65535, -3, 2**32 - 1, -4, 2**64 - 1, 0.5, 0.1, True, *(b"%c" % c for c in b"hello"))
    nested = (47.5, 1.0, 2.0, True, 1.5, 3.0, 4.0, False, 2.5, 5.0, 6.0, True, -7, -8, -9)
    log.add("all", 600, *row, *nested).add("all", 700, *row, *nested, multi_id=2)
    log.dropout(25).text(3, 650, "émergency").text(6, 660, "tagged", tag=9).sync()
    log.keyed("int32_t SYS_A", struct.pack("<i", 5), "P").topic("late", "uint64_t timestamp;float v;")
    log.add("late", 800, 1.25).message("R", struct.pack("<H", 0))
    found = opened(log.data())
    assert assert_equal(found, peer(log.data())) == 2 * 31 + 2
    assert found["all"]["l"].tolist() == [b"hello"]
    assert found["all"]["o"].tolist() == [[-7, -8, -9]]
    assert found["all"]["m.lat"].tolist() == [47.5]
    assert found["all"]["n.lat"].tolist() == [[1.5, 2.5]]
    assert found["all"]["n.size"].tolist() == [[[3.0, 4.0], [5.0, 6.0]]]
    assert found["all[2]"]["timestamp"].tolist() == [700]
    assert found["all[0]"].count == found["all"].count == found.count("all") == 1
    assert found.info == {"sys_name": "PX4!", "ver_sw_release": 0x010F00FF}
    assert found.parameters == {"SYS_A": -4, "SYS_B": 0.5}
    assert found.changed_parameters == ((700, "SYS_A", 5),)
    assert found.default_parameters == {0: {"SYS_A": 9}, 1: {"SYS_A": 9}}
    assert [(each.timestamp_us, each.duration_ms) for each in found.dropouts] == [(700, 25)]
    assert [(each.level, each.tag, each.text) for each in found.logged] == [
        (ord("3"), None, "émergency"),
        (ord("6"), 9, "tagged"),
    ]
    assert found.holes == ()


def test_columns_hold_what_was_written() -> None:
    log = opened(points().data())
    assert list(log) == ["attitude", "point"]
    assert log["point"]["x"].tolist() == [k / 2 for k in range(40)]
    assert log["attitude"]["q"][:, 3].tolist() == list(range(40))
    assert list(log["attitude"]) == ["timestamp", "q", "quat_reset_counter"]
    with pytest.raises(KeyError, match='did you mean "timestamp"'):
        log["point"]["timestmp"]
    assert "nothing" not in log
    assert log.count("nothing") == 0


def test_padding_at_the_end_may_be_there_or_not() -> None:
    log = writer.Log().flags().topic("point", POINT)
    for k in range(6):
        log.add("point", k, 0.5, k, padded=k % 2 == 0)
    found = opened(log.data())
    assert found["point"]["n"].tolist() == list(range(6))
    assert found.holes == ()


def test_an_id_that_is_given_away_belongs_to_each_topic_in_turn() -> None:
    log = writer.Log().flags().format("a", "uint64_t timestamp;float x;")
    log.format("b", "uint64_t timestamp;double y;").subscribe("a", ident=5)
    log.add("a", 1, 1.5).add("a", 2, 2.5).message("R", struct.pack("<H", 5)).subscribe("b", ident=5)
    log.add("b", 3, 3.5)
    found = opened(log.data())
    assert found["a"]["x"].tolist() == [1.5, 2.5]
    assert found["b"]["y"].tolist() == [3.5]


def test_two_ids_of_one_topic_are_read_in_the_order_of_the_file() -> None:
    log = writer.Log().flags().format("a", "uint64_t timestamp;float x;")
    log.subscribe("a", ident=1).add("a", 1, 1.0).subscribe("a", ident=9).add("a", 2, 2.0)
    log.ids["a", 0] = 1
    log.add("a", 3, 3.0)
    assert opened(log.data())["a"]["x"].tolist() == [1.0, 2.0, 3.0]


def test_appended_data_start_where_the_flags_say_although_the_message_before_is_cut() -> None:
    head = points(10)
    cut = head.row("point", 5000, 9.0, 9)[:-5]
    offset = len(head.data()) + len(cut)
    tail = head.row("point", 6000, 1.0, 77) + head.row("point", 6001, 1.0, 78)
    body = head.data() + cut + tail
    at = 16 + 3
    data = bytearray(body)
    data[at + 8] = 1
    data[at + 16 : at + 24] = struct.pack("<Q", offset)
    log = opened(bytes(data))
    assert log["point"]["n"].tolist() == [*range(10), 77, 78]
    assert log.holes == ((len(head.data()), len(cut)),)
    assert peer_rows(peer(bytes(data))) == 20  # pyulog forgets the subscriptions where appended data start


@pytest.mark.parametrize("bit", [1, 7, 8, 63])
def test_unknown_incompatible_flags_are_refused(bit: int) -> None:
    data = writer.Log().flags(incompat=1 << bit).topic("point", POINT).add("point", 1, 1.0, 1).data()
    with pytest.raises(
        ReadError, match=r"flags \(0x[0-9a-f]+\) name features of the format that are not known"
    ):
        opened(data)


def test_unknown_compatible_flags_are_fine() -> None:
    data = writer.Log().flags(compat=0xFFFF).topic("point", POINT).add("point", 1, 1.0, 1).data()
    assert opened(data)["point"].count == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"ULog\x01\x12\x35\x01\0\0", "cut in its header, after 10 bytes"),
        (b"ULoG\x01\x12\x35\x01" + bytes(12), "is no PX4 ULog"),
        (bytes(4096), "is no PX4 ULog"),
    ],
)
def test_what_is_no_log_is_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(ReadError, match=message):
        opened(data)


def test_a_missing_file_is_a_read_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be read"):
        ulog.read(tmp_path / "none.ulg")


def test_twenty_bytes_are_a_log_without_rows() -> None:
    log = opened(points().data()[:20])
    assert list(log) == []
    assert log.holes == ((16, 4),)


def test_cut_at_any_byte_every_whole_row_is_read_and_the_rest_is_a_hole() -> None:
    data = points(6).data()
    whole = opened(data)
    ends = sorted(
        int(offset) + 3 + int(whole._view[offset] | whole._view[offset + 1] << 8)
        for key in whole
        for offset in whole[key].offsets
    )
    for cut in range(16, len(data) + 1):
        log = opened(data[:cut])
        assert rows_of(log) == sum(end <= cut for end in ends), cut
        assert sum(length for _, length in log.holes) <= cut - 16
        other = peer(data[:cut])
        assert rows_of(log) >= peer_rows(other)
        if log.holes:
            assert log.holes[-1][0] + log.holes[-1][1] == cut


@pytest.mark.parametrize("fill", [0x00, 0xFF])
def test_padding_after_a_cut_row_makes_no_row(fill: int) -> None:
    data = points(6).data()
    for missing in range(1, 20):
        log = opened(data[:-missing] + bytes([fill]) * 5000)
        assert log.count("attitude") == 5, missing
        assert log.holes[-1][0] + log.holes[-1][1] == len(data) - missing + 5000


@pytest.mark.parametrize("fill", [0x00, 0xFF])
def test_padding_after_a_whole_row_takes_no_row(fill: int) -> None:
    data = points(6).data()
    log = opened(data + bytes([fill]) * 70_000)
    assert rows_of(log) == 12
    assert log.holes == ((len(data), 70_000),)
    assert log.ghosts == 0


def damaged(data: bytes, rng: np.random.Generator) -> dict[str, bytes]:
    """Return *data* with the damage that logs come with."""
    at = int(rng.integers(200, max(201, len(data) - 4200)))
    flipped = bytearray(data)
    for place in rng.integers(100, len(data), 50).tolist():
        flipped[place] ^= 1 << int(rng.integers(8))
    return {
        "cut": data[:at],
        "4 KiB zeroed": data[:at] + bytes(4096) + data[at + 4096 :],
        "4 KiB of 0xFF": data[:at] + b"\xff" * 4096 + data[at + 4096 :],
        "4 KiB of noise": data[:at] + rng.bytes(4096) + data[at + 4096 :],
        "4 KiB removed": data[:at] + data[at + 4096 :],
        "foreign block": data[:at] + rng.bytes(700) + data[at:],
        "64 KiB of 0xFF behind": data + b"\xff" * 65_536,
        "50 bits flipped": bytes(flipped),
    }


@pytest.mark.parametrize("name", REAL)
def test_damaged_real_logs_give_at_least_the_rows_of_pyulog_and_say_so(shared_data: Path, name: str) -> None:
    data = (shared_data / "logs" / "ulog" / name).read_bytes()
    rng = np.random.default_rng(7)
    whole = rows_of(opened(data))
    for kind, broken in damaged(data, rng).items():
        log, other = opened(broken), peer(broken)
        assert rows_of(log) >= peer_rows(other), kind
        if rows_of(log) < whole:  # else the damage lies within a payload and leaves no trace
            assert log.holes, kind
        if kind == "64 KiB of 0xFF behind":
            assert log.holes == ((len(data), 65_536),)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_damage_table(shared_data: Path, name: str) -> None:
    data = (shared_data / "logs" / "ulog" / name).read_bytes()
    for seed in range(40):
        for kind, broken in damaged(data, np.random.default_rng(seed)).items():
            other = peer(broken)
            if other is not None:
                assert rows_of(opened(broken)) >= peer_rows(other), (seed, kind)


@pytest.mark.parametrize("sync", [False, True])
def test_damaged_made_up_logs_give_at_least_the_rows_of_pyulog(sync: bool) -> None:
    data = points(400, sync=sync).data()
    for seed in range(12):
        for kind, broken in damaged(data, np.random.default_rng(seed)).items():
            other = peer(broken)
            if other is not None:
                assert rows_of(opened(broken)) >= peer_rows(other), (seed, kind)
    assert peer_rows(peer(data)) == rows_of(opened(data)) == 800


def test_a_row_cut_by_a_hole_is_not_confirmed() -> None:
    log = points(12)
    data = log.data()
    at = int(opened(data)["point"].offsets[5]) + 10
    broken = opened(data[:at] + b"\xee" * 300 + data[at + 300 :])
    topic = broken["point"]
    assert topic.count == topic.confirmed.size
    assert Counter(topic.confirmed.tolist())[False] == 1
    assert not topic.confirmed[5]
    assert broken.holes


def test_a_flipped_size_swallows_no_rows() -> None:
    log = points(4)
    log.keyed("int32_t SYS_A", struct.pack("<i", 1), "P")
    before = len(log.data())
    for k in range(20):
        log.add("point", 9000 + k, 1.0, k)
    data = bytearray(log.data())
    size_at = before - 3 - 1 - 13 - 4
    assert data[size_at + 2 : size_at + 3] == b"P"
    for wrong in (40, 75, 200, 65_535):
        data[size_at : size_at + 2] = struct.pack("<H", wrong)
        assert opened(bytes(data))["point"].count == 24


def test_formats_behind_a_hole_in_the_definitions_are_found() -> None:
    start = writer.Log().flags().format("lost", "uint64_t timestamp;")
    at = len(start.data())
    rest = start.format("point", POINT).subscribe("point").add("point", 1, 1.0, 1).add("point", 2, 1.0, 2)
    data = rest.data()
    log = opened(data[: at - 5] + b"\x99" * 77 + data[at:])
    assert log["point"]["n"].tolist() == [1, 2]


def test_a_damaged_bracket_or_name_does_not_lose_a_topic() -> None:
    log = writer.Log().flags().topic("point", "uint64_t timestamp;float[3] x_y;uint8_t n;")
    data = log.add("point", 1, [1.0, 2.0, 3.0], 4).data()
    for old, new in ((b"[3] x_y", b"[3M x_y"), (b"x_y", b"x[y"), (b"x_y", b"x.y"), (b"x_y", b"x\xdfy")):
        topic = opened(data.replace(old, new))["point"]
        assert topic["n"].tolist() == [4]
        assert topic[list(topic)[1]].tolist() == [[1.0, 2.0, 3.0]]


def test_data_without_a_subscription_are_stepped_over_and_counted() -> None:
    log = writer.Log().flags().topic("point", POINT).format("gone", "uint64_t timestamp;float x;")
    log.ids["gone", 0] = 77
    for k in range(5):
        log.add("point", k, 1.0, k).add("gone", k, 1.0)
    found = opened(log.add("point", 9, 1.0, 9).data())
    assert found.unknown == {77: 5}
    assert found["point"].count == 6
    assert found.holes == ()


def test_a_message_of_a_new_type_is_stepped_over() -> None:
    log = points(3).message("Z", b"from the future")
    log.add("point", 5000, 1.0, 5)
    found = opened(log.data())
    assert found["point"]["n"].tolist() == [0, 1, 2, 5]
    assert found.holes == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("uint64_t timestamp;nowhere x;", "format nowhere is not defined"),
        ("uint64_t timestamp;bad x;", "format bad nests itself"),
        ("uint64_t timestamp;uint8_t[65535] x;", "larger than a message"),
        ("uint64_t timestamp;float x;float x;", "two fields of one name"),
        ("uint64_t timestamp;float[0] x;", "damaged"),
        ("uint64_t timestamp;fl at;x", "damaged"),
        ("uint8_t[4] _padding0;", "nothing but padding"),
    ],
)
def test_formats_that_cannot_be_are_named(fields: str, message: str) -> None:
    log = writer.Log().flags().topic("point", POINT)
    log.message("F", b"bad:" + fields.encode()).message("A", struct.pack("<BH", 0, 9) + b"bad")
    found = opened(log.add("point", 1, 1.0, 1).data())
    assert list(found) == ["point"]
    assert any(message in warning for warning in found.warnings), found.warnings


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(fuzz.SEEDS), st.data())
def test_nothing_but_a_read_error_comes_out_of_damaged_logs(seed: bytes, data: st.DataObject) -> None:
    broken = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "zero", "insert", "remove"])):
            case "flip":
                broken[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del broken[at + 1 :]
            case "zero":
                broken[at : at + 64] = bytes(len(broken[at : at + 64]))
            case "insert":
                broken[at:at] = data.draw(st.binary(max_size=40))
            case "remove":
                del broken[at : at + 30]
        if not broken:
            broken += b"U"
    fuzz.one(bytes(broken))


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_no_bytes_behind_a_header_break_the_reader(tail: bytes) -> None:
    fuzz.one(fuzz.SEEDS[0][:16] + tail)
    fuzz.one(points(2).data() + tail)


# -- small things, one at a time --


def test_messages_are_rows_others_and_those_without_a_subscription() -> None:
    log = writer.Log(1000).topic("point", POINT)  # a format and a subscription
    log.add("point", 1001, 0.5, 1).add("point", 1002, 0.5, 2)
    log.ids["point", 0] = 77  # nobody subscribed to it
    for k in range(3):
        log.add("point", 1003 + k, 0.5, k)
    log.text(6, 1010, "hello")
    found = opened(log.data())
    assert dict(found.unknown) == {77: 3}
    assert (found.rows, found.messages) == (2, 2 + 3 + 3)


def test_ids_have_two_bytes() -> None:
    log = writer.Log(1000).format("point", POINT)
    for multi, ident in ((0, 0x0102), (1, 0x0202), (2, 0x0103), (3, 0xFFFF)):
        log.subscribe("point", multi, ident)
        log.add("point", 1000 + ident, 0.5, ident, multi_id=multi)
    found = opened(log.data())
    for key, ident in (("point", 0x0102), ("point[1]", 0x0202), ("point[2]", 0x0103), ("point[3]", 0xFFFF)):
        assert found[key]["n"].tolist() == [ident]


@pytest.mark.parametrize(("incompat", "told"), [(0, 0), (1, 1)])
def test_appended_data_are_looked_for_only_where_the_flags_say_so(incompat: int, told: int) -> None:
    log = writer.Log(1000).flags(incompat=incompat, appended=(10**9, 0, 0)).topic("point", POINT)
    found = opened(log.add("point", 1001, 0.5, 1).data())
    assert len(found.warnings) == told
    assert found.count("point") == 1


def test_a_format_behind_data_of_an_id_that_nobody_subscribed_is_found() -> None:
    log = writer.Log(1000).topic("point", POINT)
    log.ids["point", 0] = 9
    log.add("point", 1001, 0.5, 1)
    log.topic("late", POINT).add("late", 1002, 0.5, 2)
    assert opened(log.data())["late"]["n"].tolist() == [2]


def test_messages_name_the_file_or_what_it_is_called(tmp_path: Path) -> None:
    for where, named in ((None, "absent.ulg"), ("card/flight", "card/flight")):
        with pytest.raises(ReadError) as error:
            ulog.read(tmp_path / "absent.ulg", where=where)
        assert named in str(error.value)
