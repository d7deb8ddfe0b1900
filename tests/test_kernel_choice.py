"""The kernel of a map is the one that predicts unseen flight lines: against maps made anew without each."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.hotspots.kernel_choice import choose_kernel
from dronesense.hotspots.kernel_map import Grid, Kernel, extrapolate

CRS = "EPSG:32632"


@pytest.mark.parametrize("kernel", [Kernel(2.0), Kernel(2.0, 0.5)])
def test_leaving_a_line_out_equals_mapping_without_it_with_wind(kernel: Kernel) -> None:
    rng = np.random.default_rng(11)
    leg = np.repeat(np.arange(3), 4)
    x, y = rng.integers(0, 8, size=(2, 12)).astype(float)
    value = rng.normal(size=12)
    wind = (rng.normal(2.0, 1.0, 12), rng.normal(size=12))
    total = 0.0
    for line in range(3):
        seen = leg != line
        mean, variance, _, _ = extrapolate(
            x[seen], y[seen], value[seen], grid=Grid(0.0, 7.0, 1.0, (8, 8), CRS), kernel=kernel,
            wind=(wind[0][seen], wind[1][seen]),
        )  # fmt: skip
        for i in np.flatnonzero(~seen):
            row, column = int(7 - y[i]), int(x[i])
            spread, error = variance[row, column], value[i] - mean[row, column]
            total += 0.5 * np.log(2.0 * np.pi * spread) + 0.5 * error**2 / spread
    order = rng.permutation(12)  # legs need not lie together
    _, (score,) = choose_kernel(
        x[order], y[order], value[order], leg[order], candidates=[kernel],
        wind=(wind[0][order], wind[1][order]),
    )  # fmt: skip
    assert score == pytest.approx(total / 12, rel=1e-5)  # the map cuts its kernels at 4.5 sigma


def test_lines_that_are_far_apart_tell_each_other_nothing() -> None:
    """100 m away of a kernel 2 m wide: the mean and the scatter of the other line, by hand."""
    x, y = np.array([0.0, 1.0, 100.0, 101.0]), np.zeros(4)
    value = np.array([1.0, 3.0, 5.0, 9.0])
    _, (score,) = choose_kernel(x, y, value, np.array([0, 0, 1, 1]), candidates=[Kernel(2.0)])
    # Line 0 (1, 3) from line 1: mean 7. The map at 5 and 9 is nearly them, alpha = 1 - exp(-1 - exp(-1/8)).
    near = np.exp(-0.125)
    alpha = 1.0 - np.exp(-1.0 - near)

    def told(other: np.ndarray, own: np.ndarray) -> float:
        overall = other.mean()
        seen = alpha * (other + near * other[::-1]) / (1.0 + near) + (1.0 - alpha) * overall
        spread = np.mean((other - seen) ** 2)
        return float(np.sum(0.5 * np.log(2.0 * np.pi * spread) + 0.5 * (own - overall) ** 2 / spread))

    by_hand = (told(value[2:], value[:2]) + told(value[:2], value[2:])) / 4.0
    assert score == pytest.approx(by_hand, rel=1e-9)


def plumes(rng: np.random.Generator, wind: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Twenty lines of 60 m, 3 m apart, over trails of gas that are four times as long as wide."""
    along, line = np.meshgrid(np.arange(0.0, 60.0, 1.5), np.arange(20))
    x, y = along.ravel(), 3.0 * line.ravel()
    speed = np.hypot(*wind)
    value = 0.02 * rng.normal(size=x.size)
    for cx, cy in rng.uniform(5.0, 55.0, size=(12, 2)):
        ahead = ((x - cx) * wind[0] + (y - cy) * wind[1]) / speed
        aside = ((y - cy) * wind[0] - (x - cx) * wind[1]) / speed
        value += np.exp(-0.5 * ((ahead / 10.0) ** 2 + (aside / 2.5) ** 2))
    return x, y, value, line.ravel()


def test_the_wind_helps_where_gas_follows_it_and_not_across() -> None:
    seen = plumes(np.random.default_rng(5), (2.0, 4.0))
    tried = [Kernel(3.0), Kernel(3.0, 0.5), Kernel(3.0, 1.0)]
    ones = np.ones(seen[0].size)
    best, along = choose_kernel(*seen, candidates=tried, wind=(2.0 * ones, 4.0 * ones))
    _, across = choose_kernel(*seen, candidates=tried, wind=(4.0 * ones, -2.0 * ones))
    assert best.stretch_s > 0.0
    assert min(along) < along[0] - 0.1  # tenths of a nat for each sample
    assert across[1] > along[0]
    assert across[0] == along[0]


def test_samples_nearer_than_looks_do_not_make_the_map_surer() -> None:
    """The same readings ten times, stamped as ten times as dense, score as one of each."""
    rng = np.random.default_rng(6)
    x = np.tile(np.arange(0.0, 30.0, 2.0), 4)
    leg = np.repeat(np.arange(4), 15)
    y, value = 3.0 * leg, rng.normal(size=60)
    once = choose_kernel(x, y, value, leg, candidates=[Kernel(4.0)], spacing_m=2.0)[1][0]
    many = [np.repeat(each, 10) for each in (x, y, value, leg)]
    dense = choose_kernel(*many, candidates=[Kernel(4.0)], spacing_m=0.2)[1][0]
    assert dense == pytest.approx(once, rel=1e-9)


def test_what_cannot_be_asked_is_refused() -> None:
    x = np.arange(4.0)
    with pytest.raises(ValueError, match="at least two"):
        choose_kernel(x, x, x, np.zeros(4, dtype=np.int64), candidates=[Kernel(1.0)])
    with pytest.raises(ValueError, match="needs the wind"):
        choose_kernel(x, x, x, np.array([0, 0, 1, 1]), candidates=[Kernel(1.0, 0.5)])
