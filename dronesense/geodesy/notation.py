"""A place as people write it and radio it: degrees, degrees-minutes-seconds, UTM and MGRS."""

from __future__ import annotations

import math
from typing import Final

from dronesense.geodesy.crs import to_grid, utm_crs

LATITUDE_BANDS: Final = "CDEFGHJKLMNPQRSTUVWX"
"""Of 8° from 80° south; the last has 12° (NGA.STND.0037, chapter 3)."""
COLUMN_LETTERS: Final = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
"""Of squares of 100 km, by zone modulo 3."""
ROW_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUV"
"""Likewise; zones of even number begin five letters later."""
ROW_SHIFT: Final = 5
SQUARE_M: Final = 100_000
BAND_DEG: Final = 8.0
SOUTH_LIMIT_DEG, NORTH_LIMIT_DEG = -80.0, 84.0
DEGREE_DECIMALS: Final = 6
"""11 cm."""
SECOND_DECIMALS: Final = 1
"""3 m: what a radio carries."""


def places(lon: float, lat: float) -> dict[str, str]:
    r"""Return a place in every notation by its name; MGRS is left out beyond 84° north and 80° south.

    Parameters
    ----------
    lon, lat : float
        WGS84, degrees.

    Examples
    --------
    >>> places(2.2945, 48.8582)["DMS"]
    '48°51\'29.5"N 2°17\'40.2"E'
    >>> places(2.2945, 48.8582)["UTM"], places(2.2945, 48.8582)["MGRS"]
    ('31U 448252 5411933', '31UDQ4825111932')
    """
    found = {
        "WGS84": f"{lat:.{DEGREE_DECIMALS}f}, {lon:.{DEGREE_DECIMALS}f}",
        "DMS": f"{_sexagesimal(lat, 'NS')} {_sexagesimal(lon, 'EW')}",
    }
    if not SOUTH_LIMIT_DEG <= lat < NORTH_LIMIT_DEG:
        return found
    crs = utm_crs(lon, lat)
    zone = int(crs.removeprefix("EPSG:")) % 100
    band = LATITUDE_BANDS[min(int((lat - SOUTH_LIMIT_DEG) // BAND_DEG), len(LATITUDE_BANDS) - 1)]
    x, y = to_grid([lon], [lat], crs)
    east, north = float(x[0]), float(y[0])
    found["UTM"] = f"{zone}{band} {east:.0f} {north:.0f}"
    digits = f"{int(east % SQUARE_M):05d}{int(north % SQUARE_M):05d}"
    found["MGRS"] = f"{zone}{band}{_square(zone, east, north)}{digits}"
    return found


def _square(zone: int, east: float, north: float) -> str:
    """Return the two letters of the square of 100 km."""
    column = COLUMN_LETTERS[zone % len(COLUMN_LETTERS)][int(east // SQUARE_M) - 1]
    shift = ROW_SHIFT if zone % 2 == 0 else 0
    return column + ROW_LETTERS[(int(north // SQUARE_M) + shift) % len(ROW_LETTERS)]


def _sexagesimal(degrees: float, letters: str) -> str:
    """Return degrees, minutes and seconds with the letter of the side."""
    unit = 10**SECOND_DECIMALS
    total = round(abs(degrees) * 3600 * unit)
    minutes, rest = divmod(total, 60 * unit)
    seconds = f"{rest / unit:.{SECOND_DECIMALS}f}"
    return f"{minutes // 60}°{minutes % 60:02d}'{seconds:0>4}\"{letters[math.copysign(1.0, degrees) < 0]}"
