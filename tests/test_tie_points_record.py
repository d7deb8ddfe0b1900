"""Tie points and control points refuse what cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.model.tie_points import GroundControl, TiePoints

ONE = np.array([1.0])


@pytest.mark.parametrize(("a", "b", "sigma"), [(0, 0, 1.0), (0, 2, 1.0), (-1, 1, 1.0), (0, 1, 0.0)])
def test_tie_point_that_cannot_be(a: int, b: int, sigma: float) -> None:
    with pytest.raises(ValueError, match=r"strip|sigma_px"):
        TiePoints(("s", "t"), np.array([a]), np.array([b]), ONE, ONE, ONE, ONE, sigma * ONE)


def test_tie_points_count_and_are_frozen() -> None:
    ties = TiePoints(("s", "t"), np.array([0]), np.array([1]), ONE, ONE, ONE, ONE, ONE)
    assert len(ties) == 1
    with pytest.raises(ValueError, match="read-only"):
        ties.line_a[0] = 2.0


@pytest.mark.parametrize(("strip", "sigma_px", "sigma_m"), [(1, 1.0, 0.0), (0, 0.0, 0.0), (0, 1.0, -1.0)])
def test_control_point_that_cannot_be(strip: int, sigma_px: float, sigma_m: float) -> None:
    with pytest.raises(ValueError, match=r"strip|sigma"):
        GroundControl(("s",), np.array([strip]), ONE, ONE, ONE, ONE, sigma_m * ONE, sigma_px * ONE)
