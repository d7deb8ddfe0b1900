"""The light between panels and by a sensor: by hand; tables of irradiance as they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dronesense.calibrate.light_course import light_at
from dronesense.calibrate.panel import PanelRegion, box, find
from dronesense.calibrate.radiance import nearest
from dronesense.errors import DronesenseError
from dronesense.model.radiometry import CameraSettings, LightSeries
from dronesense.readers import light_csv

NAN = float("nan")
MAY = 1_780_000_000


def table(folder: Path, text: str) -> LightSeries:
    path = folder / "light.csv"
    path.write_text(text, "utf-8")
    return light_csv.read(path, label="raw/light.csv")[0]


def test_light_is_linear_in_time_and_wavelength() -> None:
    series = LightSeries(
        np.array([0, 10, 30]), np.array([400.0, 600.0]), np.array([[1.0, 3.0], [2.0, 4.0], [6.0, 0.0]]), ""
    )
    found = light_at(series, np.array([5, 20, 99, -9]), np.array([300.0, 500.0, 600.0, 900.0]))
    by_hand = [[1.5, 2.5, 3.5, 3.5], [4.0, 3.0, 2.0, 2.0], [6.0, 3.0, 0.0, 0.0], [1.0, 2.0, 3.0, 3.0]]
    np.testing.assert_allclose(found, by_hand)


def test_one_reading_and_one_column_hold_for_all() -> None:
    series = LightSeries(np.array([7]), np.array([NAN]), np.array([[2.5]]), "")
    np.testing.assert_array_equal(
        light_at(series, np.array([0, 9]), np.array([400.0, 500.0])), np.full((2, 2), 2.5)
    )


def test_tables_are_sorted_by_time_and_wavelength(tmp_path: Path) -> None:
    series = table(
        tmp_path,
        "Time (UTC),800.5 nm,450\n2026-05-28T20:26:42Z,4,2\n"
        "2026-05-28T22:26:41+02:00,3,1\n2026-05-28T20:26:42,9,9\n",
    )
    np.testing.assert_array_equal(series.center_nm, [450.0, 800.5])
    np.testing.assert_array_equal(series.value, [[1.0, 3.0], [2.0, 4.0]])
    assert np.diff(series.time).tolist() == [1_000_000_000]


def test_seconds_since_1970_and_one_column(tmp_path: Path) -> None:
    series = table(tmp_path, f"time,irradiance (W/m2)\n{MAY}.25,1.5\n{MAY + 1},0\n{MAY + 2},1.7\n")
    assert series.time.tolist() == [MAY * 10**9 + 250_000_000, (MAY + 2) * 10**9]
    np.testing.assert_array_equal(series.value, [[1.5], [1.7]])
    assert np.isnan(series.center_nm).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,450\n1,2\n", "no column of times"),
        ("utc,volts\n2026-05-28T20:26:42Z,2\n", "no column of irradiance"),
        ("time,450\n12.5,2\n13.0,3\n", "start of its own"),
        (f"time,450\n{MAY},0\n{MAY + 1},-3\n", "no irradiance greater than 0"),
    ],
)
def test_tables_that_say_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DronesenseError, match=message):
        table(tmp_path, text)


@pytest.mark.parametrize(
    ("wanted", "best"),
    [((8.0, 0.0), 1), ((3.0, 0.0), 0), ((8.0, 6.0), 2), ((NAN, 5.9), 2), ((100.0, NAN), 2)],
)
def test_the_nearest_dark_is_that_of_the_gain_then_of_the_ratio_of_exposures(
    wanted: tuple[float, float], best: int
) -> None:
    darks = [CameraSettings(2.0, 0.0), CameraSettings(16.0, 0.0), CameraSettings(40.0, 6.0)]
    # 8 / 2 = 4 against 16 / 8 = 2
    assert nearest(darks, CameraSettings(*wanted)) == best


def test_a_long_panel_is_found_where_pixels_are_not_square() -> None:
    image = np.full((120, 40), 100.0) + np.random.default_rng(0).normal(size=(120, 40))
    image[20:100, 10:20] += 400.0
    with pytest.raises(DronesenseError, match="no reflectance panel"):
        find(image)
    # rows 20 to 99 and columns 10 to 19, less 0.15 of the ten columns along each edge
    assert box(find(image, aspect=0.05)) == ((22, 98), (12, 18))


def test_the_box_in_a_turned_square_lies_within() -> None:
    """A square on its corner, half diagonal 10: the box of its own shape reaches 5 to each side."""
    turned = PanelRegion(((20.0, 10.0), (30.0, 20.0), (20.0, 30.0), (10.0, 20.0)), 1.0, 0.0, 1.0)
    assert box(turned) == ((15, 26), (15, 26))
