"""Places as people write them: beside NGA's own code, by hand, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.geodesy import places, to_grid, utm_crs

# Longitude, latitude -> MGRS as the package mgrs 1.5.4 (NGA's GEOTRANS) gives it.
GEOTRANS = [
    (2.2945, 48.8582, "31UDQ4825111932"),
    (5.3, 60.4, "32VKN9619101684"),  # the wide zone of Norway
    (15.0, 78.0, "33XWG0000058369"),  # Svalbard
    (-77.0352, 38.8895, "18SUJ2348606483"),
    (76.9, 43.25, "43TFH5423890330"),
    (-70.0, -33.0, "19HDD0658248269"),
    (179.999, -16.5, "60KZG2018173374"),
]


@pytest.mark.parametrize(("lon", "lat", "expected"), GEOTRANS)
def test_mgrs_is_that_of_nga(lon: float, lat: float, expected: str) -> None:
    assert places(lon, lat)["MGRS"] == expected


def test_seconds_never_reach_sixty() -> None:
    assert places(-0.0, 59.999999)["DMS"] == "60°00'00.0\"N 0°00'00.0\"W"
    assert places(-77.5, -12.2575)["DMS"] == "12°15'27.0\"S 77°30'00.0\"W"


def test_poles_have_no_zone() -> None:
    assert set(places(0.0, 84.0)) == set(places(10.0, -80.1)) == {"WGS84", "DMS"}


@given(lon=st.floats(-180.0, 180.0), lat=st.floats(-80.0, 83.999))
def test_utm_and_mgrs_say_the_same(lon: float, lat: float) -> None:
    found = places(lon, lat)
    zone, east, north = found["UTM"].split()
    assert found["MGRS"].startswith(zone)
    x, y = to_grid([lon], [lat], utm_crs(lon, lat))
    np.testing.assert_allclose([float(east), float(north)], [x[0], y[0]], atol=0.5)
    digits = found["MGRS"].removeprefix(zone)[2:]
    assert int(digits[:5]) == int(x[0] % 100_000)
    assert int(digits[5:]) == int(y[0] % 100_000)
