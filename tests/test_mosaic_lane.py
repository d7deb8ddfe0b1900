"""Strips of one camera put together in a run: which is shown, and what their overlap tells."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dronesense.model import Flight, GroundRaster
from dronesense.pipeline.account import Account
from dronesense.pipeline.mosaic_lane import StripView, mosaics

CRS, GSD = "EPSG:32632", 0.5
ROWS, COLS = 120, 160


def ground(seed: int = 0) -> np.ndarray:
    """Return texture, 0 to 255, of more ground than a strip sees."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(ROWS, 3 * COLS)), 2.0)
    return np.clip(128.0 + 40.0 * field / field.std(), 1.0, 255.0)


def strip(
    name: str, left: int, *, shown: int | None = None, ce90: float = 0.3, camera: str = "cam", seed: int = 0
) -> StripView:
    """Return a strip from column *left* on; it shows what lies at column *shown*."""
    begin = left if shown is None else shown
    shown_here = ground(seed)[:, begin : begin + COLS].astype(np.float32)
    transform = (GSD, 0.0, left * GSD, 0.0, -GSD, 60.0)
    planes = (np.full((ROWS, COLS), value, np.float32) for value in (ce90, 5.0))
    return StripView(name, camera, GroundRaster(name, shown_here, transform, CRS, "1", "made up"), *planes)


def score(view: StripView, value: float, target: str = "tarp") -> GroundRaster:
    values = np.full((ROWS, COLS), value, np.float32)
    return GroundRaster(f"{view.name}__{target}", values, view.bright.transform, CRS, "1", "score")


def offset(told: dict[str, object]) -> tuple[float, ...]:
    """Return distance, east and north as the run says them."""
    return tuple(float(each) for each in re.findall(r"[+-]?\d+\.\d+", str(told["offset"])))


@pytest.fixture
def account() -> Account:
    return Account(Flight(id="made up", root=Path("nowhere"), trajectory=None))


def test_the_better_known_strip_is_shown_and_named(account: Account) -> None:
    one, other = strip("a", 10), strip("b", 70, ce90=0.2)
    ((value, number, ce90),) = mosaics([one, other], [score(one, 1.0), score(other, 2.0)], account)
    assert value.values.shape == (ROWS, COLS + 60)
    assert value.transform[2] == 10 * GSD
    np.testing.assert_array_equal(value.values[0], np.repeat([1.0, 2.0], [60, COLS]))
    np.testing.assert_array_equal(number.values[0], np.repeat([1.0, 2.0], [60, COLS]))
    np.testing.assert_allclose(ce90.values[0], np.repeat([0.3, 0.2], [60, COLS]))
    assert number.description == "number of the strip that is shown: 1 a, 2 b"
    assert account.all_warnings() == []
    (told,) = account.overlaps
    assert told["strips"] == "a and b"
    assert told["cells"] == ROWS * (COLS - 60)
    assert "0.00 m off" in str(told["offset"])


def test_an_offset_that_the_stated_errors_do_not_explain_is_doubted(account: Account) -> None:
    one, other = strip("a", 10), strip("b", 70, shown=66)  # what b shows lies 4 cells farther east
    mosaics([one, other], [], account)
    (told,) = account.overlaps
    assert offset(told) == pytest.approx((2.0, 2.0, 0.0), abs=0.05)
    (warning,) = account.all_warnings()
    assert "a and b show the same ground 2 m apart" in warning
    assert "boresight" in warning


def test_an_offset_within_the_stated_errors_is_told_and_not_doubted(account: Account) -> None:
    mosaics([strip("a", 10, ce90=1.5), strip("b", 70, shown=66, ce90=1.5)], [], account)
    assert offset(account.overlaps[0])[0] == pytest.approx(2.0, abs=0.05)
    assert account.all_warnings() == []


@pytest.mark.parametrize("seed", range(20))
def test_pictures_that_show_different_things_tell_no_offset(account: Account, seed: int) -> None:
    mosaics([strip("a", 10, seed=seed), strip("b", 70, seed=seed + 100)], [], account)
    assert account.overlaps[0]["offset"] == "what they show tells no offset"
    assert account.all_warnings() == []


def test_other_cameras_other_cells_and_strips_apart_stay_apart(account: Account) -> None:
    one, other = strip("a", 0), strip("b", 50, camera="other")
    assert mosaics([one, other], [score(one, 1.0), score(other, 2.0)], account) == ()
    far = strip("c", 2 * COLS)
    found = mosaics([one, far], [score(one, 1.0), score(far, 2.0)], account)
    assert found[0][0].values.shape == (ROWS, 3 * COLS)
    assert np.isnan(found[0][0].values[:, COLS : 2 * COLS]).all()
    assert account.overlaps == []


def test_a_target_that_one_strip_was_searched_for_gets_no_mosaic(account: Account) -> None:
    one, other = strip("a", 0), strip("b", 50)
    rasters = [score(one, 1.0), score(other, 2.0), score(one, 3.0, "paint")]
    assert [bands[0].name for bands in mosaics([one, other], rasters, account)] == ["mosaic__tarp"]
