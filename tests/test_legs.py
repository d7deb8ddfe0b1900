"""Flight lines of made-up tracks."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.hotspots.legs import flight_lines


def lawnmower(lines: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines of 80 m, 10 m apart, with the turns between them; a place each half meter."""
    x, y, truth = [], [], []
    along = np.arange(0.0, 80.0, 0.5)
    for line in range(lines):
        x.append(along if line % 2 == 0 else along[::-1])
        y.append(np.full(along.size, 10.0 * line))
        truth.append(np.full(along.size, line))
        if line < lines - 1:
            side = np.arange(0.5, 10.0, 0.5)
            x.append(np.full(side.size, x[-1][-1]))
            y.append(10.0 * line + side)
            truth.append(np.full(side.size, -1))
    rng = np.random.default_rng(1)
    place = np.stack([np.concatenate(x), np.concatenate(y)]) + noise * rng.normal(size=(2, sum(map(len, x))))
    return place[0], place[1], np.concatenate(truth)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_each_line_of_a_lawnmower_has_its_number(noise: float) -> None:
    x, y, truth = lawnmower(6, noise)
    found = flight_lines(x, y)
    middles = [found[(truth == line) & (x > 15.0) & (x < 65.0)] for line in range(6)]
    assert all(np.unique(each).size == 1 for each in middles)
    assert np.unique([each[0] for each in middles]).size == 6


def test_standing_still_and_a_lone_place_are_one_line() -> None:
    assert flight_lines(np.zeros(50), np.zeros(50)).tolist() == [0] * 50
    assert flight_lines(np.zeros(1), np.zeros(1)).tolist() == [0]
