"""Stamps of a stream brought into order: what is left out, what is counted, where pieces begin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.readers.streams import ordered
from dronesense.readers.tally import Tally

S = 10**9
FIVE_HZ = S // 5


def order(time: np.ndarray) -> tuple[list[bool], list[int], Tally]:
    tally = Tally()
    keep, piece = ordered(np.asarray(time, dtype=np.int64), tally, "GPS")
    assert keep.shape == np.shape(time)
    assert piece.shape == (keep.sum(),)
    return keep.tolist(), piece.tolist(), tally


def test_ordered_stamps_stay_as_they_are() -> None:
    keep, piece, tally = order(np.r_[0:50, 500:550] * FIVE_HZ)  # a gap of 90 s is no jump
    assert (all(keep), set(piece), tally.dropped, tally.warnings) == (True, {0}, {}, [])


def test_repeated_stamps_keep_the_first_row() -> None:
    keep, _, tally = order(np.array([0, 1, 1, 1, 2, 3, 3]) * S)
    assert keep == [True, True, False, False, True, True, False]
    assert tally.dropped == {"GPS: same time stamp as the row before": 3}


def test_a_late_row_is_left_out() -> None:
    keep, piece, tally = order(np.array([0, 1, 2, 4, 3, 5, 6, 7, 8, 9]) * FIVE_HZ)
    assert keep == [True] * 4 + [False] + [True] * 5
    assert set(piece) == {0}
    assert tally.dropped == {"GPS: time stamp not after the one before": 1}


@pytest.mark.parametrize("row", [0, 1, 37, 98, 99])
@pytest.mark.parametrize("flip", [2**33, 2**40, 2**52, -(2**35)])
def test_a_damaged_stamp_costs_one_row(row: int, flip: int) -> None:
    """2^33 ns is 8.6 s: at the ends it cannot be told from a gap if the order stays right."""
    time = 1_700_000_000 * S + np.arange(100) * FIVE_HZ
    time[row] += flip
    keep, piece, tally = order(time)
    harmless = np.all(np.diff(time) > 0) and abs(flip) < 86_400 * S
    assert keep == [i != row or harmless for i in range(100)]
    assert set(piece) == {0}
    assert tally.dropped.total() == (0 if harmless else 1)


def test_a_spike_ahead_and_one_behind_do_not_empty_the_log() -> None:
    time = np.arange(1000) * FIVE_HZ
    time[100] += 80_000 * S
    time[900] -= 170 * S
    keep, _, tally = order(time)
    assert sum(keep) == 998
    assert tally.dropped == {"GPS: damaged time stamp": 2}


def test_a_clock_that_jumps_back_starts_a_piece() -> None:
    """By hand: rows 0..99 at 0..19.8 s, then from 10 s on; 50 rows of the later part stand twice."""
    first = np.arange(100) * FIVE_HZ
    keep, piece, tally = order(np.r_[first, 10 * S + np.arange(200) * FIVE_HZ])
    assert keep == [True] * 100 + [False] * 50 + [True] * 150
    assert piece == [0] * 100 + [1] * 150
    assert tally.dropped == {"GPS: time stamps twice after a clock jump": 50}
    assert len(tally.warnings) == 1
    assert "by 9.800 s at row 101" in tally.warnings[0]


def test_a_short_start_ahead_of_the_clock_goes() -> None:
    """A receiver that applies the leap seconds only after 4 s: the start is 18 s ahead."""
    wrong = 18 * S + np.arange(20) * FIVE_HZ
    keep, piece, tally = order(np.r_[wrong, 4 * S + np.arange(500) * FIVE_HZ])
    assert keep == [False] * 20 + [True] * 500
    assert set(piece) == {1}
    assert "18.000" not in tally.warnings[0]  # 17.8 s: the row itself lasts 0.2 s
    assert "by 17.800 s at row 21" in tally.warnings[0]


def test_a_clock_that_was_not_set_goes() -> None:
    true = 1_700_000_000 * S + np.arange(50) * S
    keep, _, tally = order(np.r_[np.arange(10) * S, true])
    assert keep == [False] * 10 + [True] * 50
    assert tally.dropped == {"GPS: clock not set": 10}


@given(
    st.lists(st.one_of(st.integers(-(2**40), 2**40), st.integers(0, 30).map(lambda k: k * S)), max_size=80)
)
def test_whatever_comes_what_is_kept_increases_and_all_is_counted(stamps: list[int]) -> None:
    keep, piece, tally = order(np.array(stamps, dtype=np.int64))
    kept = np.array(stamps, dtype=np.int64)[np.array(keep, dtype=bool)]
    assert np.all(np.diff(kept) > 0)
    assert np.all(np.diff(piece) >= 0)
    assert tally.dropped.total() == len(stamps) - len(kept)
    assert bool(stamps) == bool(kept.size)
