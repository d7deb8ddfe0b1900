"""The wind: by hand, against a real flight with its reference output, and by coverage."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from dronesense.calibrate import wind
from dronesense.errors import CoverageError
from dronesense.model import Wind
from dronesense.readers.streams import quaternions_of

S = 1_000_000_000


def felt(yaw: float, *, roll: float = 0.0, pitch: float = 0.0, flying: tuple[float, float, float]) -> Wind:
    """Wind found by an aircraft that flies (north, east, down) in air that moves 3 east, 4 north."""
    from scipy.spatial.transform import Rotation

    q = quaternions_of(np.array([roll]), np.array([pitch]), np.array([yaw]))[0]
    relative_ned = np.array([4.0, 3.0, 0.0]) - np.array(flying)
    forward, right, down = Rotation.from_quat(q[[1, 2, 3, 0]]).inv().apply(relative_ned)
    return wind.from_anemometer(
        np.array([0]),
        [right],
        [forward],
        up=[-down],
        velocity_ned=np.array([flying]),
        yaw_deg=[yaw],
        roll_deg=[roll],
        pitch_deg=[pitch],
    )


@pytest.mark.parametrize("attitude", [(0.0, 0.0, 0.0), (137.0, 12.0, -8.0), (291.0, -20.0, 15.0)])
@pytest.mark.parametrize("flying", [(0.0, 0.0, 0.0), (5.0, -7.0, 1.5)])
def test_the_same_wind_is_found_however_the_aircraft_turns_and_flies(
    attitude: tuple[float, float, float], flying: tuple[float, float, float]
) -> None:
    yaw, roll, pitch = attitude
    found = felt(yaw, roll=roll, pitch=pitch, flying=flying)
    assert found.up is not None
    assert (found.east[0], found.north[0], found.up[0]) == pytest.approx((3.0, 4.0, 0.0), abs=1e-12)
    assert found.speed_m_s[0] == pytest.approx(5.0)
    assert found.from_deg[0] == pytest.approx(math.degrees(math.atan2(-3.0, -4.0)) % 360.0)


def test_a_real_flight_row_by_row(shared_data: Path) -> None:
    folder = shared_data / "gas/uav_aeris_nmt"
    with (folder / "level0.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with (folder / "expected_wind_from_nmt_reference.csv").open(encoding="utf-8") as stream:
        wanted = list(csv.DictReader(stream))
    assert len(rows) == len(wanted)

    def column(name: str, table: list[dict[str, str]] = rows) -> np.ndarray:
        return np.array([float(row[name] or "nan") for row in table])

    found = wind.from_anemometer(
        np.arange(len(rows)),
        column("Um"),
        column("Vm"),
        velocity_ned=np.column_stack([column("Vy"), column("Vx"), -column("Vz")]),
        yaw_deg=column("Yaw"),
    )
    np.testing.assert_allclose(found.east, column("U", wanted), atol=1e-6)
    np.testing.assert_allclose(found.north, column("V", wanted), atol=1e-6)
    np.testing.assert_allclose(found.speed_m_s, column("Sc", wanted), atol=1e-6)
    turn = (found.from_deg - column("WD", wanted) + 180.0) % 360.0 - 180.0
    assert np.nanmax(np.abs(turn)) < 1e-4  # the reference writes 9 digits
    assert (np.nanmean(found.east), np.nanmean(found.north)) == pytest.approx((0.441803, 5.416380), abs=1e-6)


def test_yaw_and_velocity_errors_are_propagated() -> None:
    found = wind.from_anemometer(
        np.array([0]),
        [0.0],
        [10.0],
        velocity_ned=np.zeros((1, 3)),
        yaw_deg=[0.0],
        sigma_air_m_s=0.3,
        sigma_velocity_m_s=0.4,
        sigma_yaw_deg=math.degrees(0.1),
    )
    assert found.sigma_north[0] == pytest.approx(0.5)  # turning moves the tip sideways only
    assert found.sigma_east[0] == pytest.approx(math.hypot(0.5, 1.0))


def test_a_stated_wind_keeps_its_numbers() -> None:
    found = wind.mean(wind.stated(4.0, 200.0, sigma_speed_m_s=0.5, sigma_from_deg=10.0))
    assert (found.speed_m_s, found.from_deg) == pytest.approx((4.0, 200.0))
    assert found.sigma_speed_m_s == pytest.approx(0.5)
    assert found.sigma_from_deg == pytest.approx(10.0, rel=0.02)
    with pytest.raises(ValueError, match="not negative"):
        wind.stated(-1.0, 0.0, sigma_speed_m_s=0.1, sigma_from_deg=1.0)


def test_the_mean_of_a_gusty_wind_covers_the_truth() -> None:
    """Gusts that last 20 s make 10 minutes worth some 15 independent looks, not 600."""
    rng = np.random.default_rng(5)
    inside, tries, n = 0, 300, 600
    for _ in range(tries):
        gust = np.empty(n)
        gust[0] = rng.normal()
        for k in range(1, n):
            gust[k] = math.exp(-1 / 20) * gust[k - 1] + math.sqrt(1 - math.exp(-2 / 20)) * rng.normal()
        zero = np.zeros(n)
        found = wind.mean(Wind(np.arange(n) * S, 5.0 + gust, np.full(n, 1.0), zero, zero))
        inside += abs(found.east - 5.0) <= found.sigma_east
    assert 0.55 <= inside / tries <= 0.78  # 68 % nominal; a short record knows its correlation poorly


def test_a_stretch_without_wind_is_said() -> None:
    record = Wind(np.arange(5) * S, np.ones(5), np.ones(5), np.zeros(5), np.zeros(5), source="raw/wind.csv")
    with pytest.raises(CoverageError, match="no wind for that time"):
        wind.mean(record, 10 * S, 20 * S)
    east, north = wind.at(record, np.array([-S, 2 * S + 5]))
    assert east.tolist() == north.tolist() == [1.0, 1.0]
