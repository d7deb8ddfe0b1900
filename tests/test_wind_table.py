"""The wind of a flight as the manifest has it."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.errors import ManifestError
from dronesense.manifest import wind
from dronesense.manifest.schema import WindTable

S = 1_000_000_000


def test_what_is_stated_without_sigma_gets_one_and_says_so() -> None:
    made, remarks = wind.stated(WindTable(speed_m_s=5.0, from_deg=270.0), time=7, where="flight.toml")
    assert (float(made.east[0]), float(made.north[0])) == pytest.approx((5.0, 0.0), abs=1e-12)
    assert float(made.sigma_east[0]) == pytest.approx(1.0)  # a fifth of the speed
    assert float(made.sigma_north[0]) == pytest.approx(5.0 * np.radians(15.0))
    assert len(remarks) == 2
    table = WindTable(speed_m_s=5.0, from_deg=270.0, sigma_speed_m_s=0.3, sigma_from_deg=5.0)
    assert wind.stated(table, time=7, where="flight.toml")[1] == []


def test_a_wind_without_direction_is_refused() -> None:
    with pytest.raises(ManifestError, match="needs a path, or speed_m_s and from_deg"):
        wind.stated(WindTable(speed_m_s=5.0), time=0, where="flight.toml")


def test_a_mast_gives_speed_and_direction() -> None:
    columns = {
        "time": np.arange(3) * S,
        "wind_speed": np.full(3, 2.0),
        "wind_from": np.array([0.0, 90.0, 180.0]),
    }
    made = wind.from_columns(columns, None, label="mast.csv")
    np.testing.assert_allclose(made.east, [0.0, -2.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(made.north, [-2.0, 0.0, 2.0], atol=1e-12)


def test_an_anemometer_that_flies_along_needs_the_aircrafts_motion() -> None:
    columns = {
        "time": np.arange(2) * S,
        "wind_right": np.array([1.0, 1.0]),
        "wind_forward": np.array([-8.0, -8.0]),
    }
    with pytest.raises(ManifestError, match="nothing tells the aircraft's own motion"):
        wind.from_columns(columns, None, label="raw/sonic.csv")
    # Flying east at 10 m/s, nose east: air comes from ahead at 8 and drifts to the right (south) at 1.
    own = {"velocity_north": np.zeros(2), "velocity_east": np.full(2, 10.0), "yaw": np.full(2, 90.0)}
    made = wind.from_columns({**columns, **own}, None, label="raw/sonic.csv")
    np.testing.assert_allclose(made.east, 2.0, atol=1e-12)
    np.testing.assert_allclose(made.north, -1.0, atol=1e-12)
