"""SBET records at the borders of what they can hold, made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dronesense.errors import ReadError
from dronesense.readers.sbet_records import Sbet, looks_like_records

BYTES = 136
TIME, LAT, LON, HEIGHT, VX, VY, VZ, ROLL, PITCH, HEADING, WANDER = range(11)
RANGES = {
    TIME: (0.0, 1_209_599.0),
    LAT: (-math.pi / 2, math.pi / 2),
    LON: (-math.pi - 1e-6, math.pi + 1e-6),
    HEIGHT: (-1000.0, 20_000.0),
    VX: (-500.0, 500.0),
    VY: (-500.0, 500.0),
    VZ: (-200.0, 200.0),
    ROLL: (-math.pi - 1e-6, math.pi + 1e-6),
    PITCH: (-math.pi / 2 - 1e-6, math.pi / 2 + 1e-6),
    HEADING: (-2 * math.pi - 1e-6, 2 * math.pi + 1e-6),
    WANDER: (-2 * math.pi - 1e-6, 2 * math.pi + 1e-6),
}


def records(times: list[float] | np.ndarray) -> np.ndarray:
    """Return (n, 17) sound records at *times*."""
    rows = np.zeros((len(times), 17))
    rows[:, TIME], rows[:, LAT], rows[:, LON] = times, 0.8, 0.2
    return rows


def raw(rows: np.ndarray) -> np.ndarray:
    return np.frombuffer(rows.astype("<f8").tobytes(), dtype=np.uint8)


def sniffed(rows: np.ndarray, more: int = 0) -> bool:
    """Whether the head of a file that is *more* bytes longer is taken for records."""
    return looks_like_records(raw(rows), raw(rows).size + more)


@pytest.mark.parametrize("field", RANGES)
def test_what_each_field_can_hold(field: int) -> None:
    low, high = RANGES[field]
    for value, possible in (
        (low, True),
        (high, True),
        (np.nextafter(low, -np.inf), False),
        (np.nextafter(high, np.inf), False),
        (math.nan, False),
    ):
        row = records([5.0])
        row[0, field] = value
        assert sniffed(row) is possible, value


@pytest.mark.parametrize(
    ("lat", "lon", "possible"),
    [(1e-6, 1e-6, False), (-1.1e-6, 0.0, True), (0.0, 1.1e-6, True), (0.0, 0.0, False)],
)
def test_records_lie_somewhere(lat: float, lon: float, possible: bool) -> None:
    row = records([5.0])
    row[0, [LAT, LON]] = lat, lon
    assert sniffed(row) is possible


@pytest.mark.parametrize(
    ("step_s", "sound"), [(9.9e-5, False), (1e-4, True), (60.0, True), (60.1, False), (-1.0, False)]
)
def test_neighbors_are_a_likely_step_apart(step_s: float, sound: bool) -> None:
    data = raw(records([max(0.0, -step_s), max(0.0, step_s)]))
    if sound:
        assert Sbet(data, where="x").rows[:, TIME].tolist() == [0.0, step_s]
    else:
        with pytest.raises(ReadError, match="no sound SBET record"):
            Sbet(data, where="x")


def test_one_likely_neighbor_is_enough_and_a_new_week_is_one() -> None:
    found = Sbet(raw(records([604_799.0, 0.0, 1.0, 500.0])), where="x")
    assert found.rows[:, TIME].tolist() == [604_799.0, 0.0, 1.0]
    assert (found.records, found.holes) == (4, ())


# -- a head --


@pytest.mark.parametrize(
    ("low", "high", "text"), [(0x09, 0x3F, 1), (0x08, 0x3F, 0), (0x7E, 0x3F, 1), (0x7F, 0x3F, 0)]
)
def test_text_is_no_log_even_where_it_makes_numbers(low: int, high: int, text: bool) -> None:
    """Eight question marks are 4.8e-4 as a float64: a time, a latitude, a speed."""
    head = np.frombuffer((bytes([low]) * 7 + bytes([high])) * 17, dtype=np.uint8)
    assert looks_like_records(head, BYTES) is not bool(text)


def test_a_head_of_less_than_a_record() -> None:
    assert not looks_like_records(raw(records([1.0]))[:-1], BYTES)
    assert sniffed(records([1.0]))


@pytest.mark.parametrize(("n", "more", "taken"), [(2, 0, 1), (2, 1, 0), (3, 1, 1)])
def test_a_size_of_broken_records_needs_three_of_them(n: int, more: int, taken: int) -> None:
    assert sniffed(records(np.arange(n)), more) is bool(taken)


@pytest.mark.parametrize(("bad", "taken"), [(1, 1), (2, 0)])
def test_three_of_four_records_must_be_sound(bad: int, taken: int) -> None:
    rows = records(np.arange(4))
    rows[:bad, HEIGHT] = 1e9
    assert sniffed(rows) is bool(taken)


@pytest.mark.parametrize(
    ("steps", "taken"),
    [
        ([10.0, 10.0, 10.0], 1),
        ([10.5, 10.5, 10.5], 0),
        ([1.0, 1.05, 1.0, 0.95], 1),
        ([1.0, 1.0, 1.0, 1.5], 1),
        ([1.0, 1.0, 1.5], 0),
        ([1.0, 1.0, 1.2, 0.8], 0),
    ],
)
def test_steps_of_a_log_are_alike(steps: list[float], taken: int) -> None:
    assert sniffed(records(np.cumsum([5.0, *steps]))) is bool(taken)


# -- shifted bytes --


def test_shifted_bytes_are_found_again_wherever_they_are() -> None:
    """Every 3 to 5 records some bytes are inserted: all records are found, and the bytes are the holes."""
    rng = np.random.default_rng(0)
    parts, holes, at, time = [], [], 0, 0.0
    for _ in range(30):
        n, gap = int(rng.integers(3, 6)), int(rng.integers(1, 300))
        parts += [raw(records(time + np.arange(n) * 0.5)), np.full(gap, 0xFF, dtype=np.uint8)]
        at += n * BYTES
        holes.append((at, gap))
        at, time = at + gap, time + n * 0.5
    parts.append(raw(records(time + np.arange(3) * 0.5)))
    found = Sbet(np.concatenate(parts), where="x")
    np.testing.assert_array_equal(found.rows[:, TIME], np.arange(len(found.rows)) * 0.5)
    assert found.records == len(found.rows) == round(time / 0.5) + 3
    assert found.holes == tuple(holes)


def test_up_to_two_impossible_records_are_no_shift() -> None:
    rows = records(np.arange(8))
    rows[3:5, HEIGHT] = 1e9
    found = Sbet(raw(rows), where="x")
    assert (found.records, len(found.rows), found.holes) == (8, 6, ())
    rows = records(np.arange(10))
    rows[3:6, HEIGHT] = 1e9
    found = Sbet(raw(rows), where="x")
    assert (found.records, len(found.rows), found.holes) == (7, 7, ((3 * BYTES, 3 * BYTES),))


def test_two_records_after_a_shift_are_too_few() -> None:
    gap = np.full(3 * BYTES + 1, 0xFF, dtype=np.uint8)
    data = np.concatenate([raw(records([0.0, 1.0, 2.0])), gap, raw(records([3.0, 4.0]))])
    found = Sbet(data, where="x")
    assert len(found.rows) == 3
    assert found.holes == ((3 * BYTES, 5 * BYTES + 1),)
    found = Sbet(np.concatenate([data, raw(records([5.0]))]), where="x")
    assert len(found.rows) == 6
    assert found.holes == ((3 * BYTES, gap.size),)


@pytest.mark.parametrize("gap", [65_535, 65_536, 65_537, 65_536 + 3 * BYTES, 200_000])
def test_records_behind_a_long_gap(gap: int) -> None:
    """The search goes on by 64 KiB; nothing is lost where one search ends."""
    times = np.arange(3.0)
    data = np.concatenate([raw(records(times)), np.full(gap, 0xFF, dtype=np.uint8), raw(records(times + 3))])
    found = Sbet(data, where="x")
    assert found.rows[:, TIME].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert found.holes == ((3 * BYTES, gap),)


def test_after_a_thousand_breaks_the_rest_is_given_up() -> None:
    piece = np.concatenate([raw(records([1.0, 2.0, 3.0])), np.full(500, 0xFF, dtype=np.uint8)])
    assert len(Sbet(np.tile(piece, 1000), where="x").rows) == 3000
    found = Sbet(np.tile(piece, 1002), where="x")
    assert len(found.rows) == 3000
    assert sum(length for _, length in found.holes) == 1000 * 500 + 2 * piece.size


@pytest.mark.parametrize("n", [1, 2, 4096, 4097, 8193])
def test_no_record_is_lost_at_the_end_of_a_block(n: int) -> None:
    found = Sbet(raw(records(np.arange(n) * 0.01)), where="x")
    assert (found.records, len(found.rows), found.holes) == (n, n, ())


def test_bytes_before_the_first_record_are_a_hole() -> None:
    data = np.concatenate([np.full(500, 0xFF, dtype=np.uint8), raw(records([1.0, 2.0, 3.0]))])
    found = Sbet(data, where="x")
    assert (len(found.rows), found.holes) == (3, ((0, 500),))
