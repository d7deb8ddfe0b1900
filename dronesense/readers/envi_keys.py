"""What the optional keys of an ENVI header mean: bands, quantity, exposure, map grid.

Each function appends to *assumptions* what the header did not say and had to be guessed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from dronesense.model import Bands, MapGrid
from dronesense.model.cube import CUBE_QUANTITIES, CubeQuantity
from dronesense.readers import envi_camera
from dronesense.readers.envi_header import Header, Layout, finite_number

NM_FROM: Final = 100.0
"""Wavelengths without a unit: a smallest value above 100 means nm, else um (the rule of the EnMAP-Box)."""

NM_PER_UNIT: Final = {
    "nm": 1.0,
    "nanometers": 1.0,
    "nanometer": 1.0,
    "nanometres": 1.0,
    "nanometre": 1.0,
    "um": 1e3,
    "\u00b5m": 1e3,
    "\u03bcm": 1e3,
    "micrometers": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "micrometres": 1e3,
    "microns": 1e3,
    "micron": 1e3,
    "angstroms": 0.1,
    "angstrom": 0.1,
    "millimeters": 1e6,
    "mm": 1e6,
    "centimeters": 1e7,
    "cm": 1e7,
    "meters": 1e9,
    "m": 1e9,
}
"""``wavelength units`` -> nm per unit."""

UNKNOWN_UNITS: Final = ("", "unknown", "none", "undefined", "n/a")
POSSIBLE_NM: Final = (100.0, 100_000.0)
"""Wavelengths of cameras lie within: far ultraviolet to far infrared."""
NO_NUMBER: Final = ("", "none", "null", "n/a", "nan")
"""What writers put where no value stands for "no data"."""
NO_WAVELENGTHS: Final = ("index",)
NAMES_OF_REFLECTANCE: Final = frozenset({"reflectance", "refl", "rfl", "rf"})
NAMES_OF_PANELS: Final = frozenset({"white", "panel", "target", "whiteref", "radiance"})
GAIN_KEYS: Final = (
    "data gain values",
    "data offset values",
    "data reflectance gain values",
    "data reflectance offset values",
)
WAVENUMBER_UNITS: Final = ("wavenumber", "wavenumbers", "cm-1", "1/cm")
NM_CM: Final = 1e7
"""Wavelength in nm times wavenumber in 1/cm (exact)."""
WAVELENGTH_KEY: Final = "wavelength"
MISSPELT_KEY: Final = "wavelengths"
"""As some writers have it."""

_WAVELENGTH_IN_NAME = re.compile(
    r"(\d+(?:\.\d*)?)\s*(nanomet(?:er|re)s?|nm|micromet(?:er|re)s?|microns?|[u\u00b5\u03bc]m)\b",
    re.IGNORECASE,
)

NORTH_BANDS: Final = "NPQRTUVWX"
SOUTH_BANDS: Final = "CDEFGHJKLM"
"""MGRS latitude bands north and south of the equator; S is left out: it may also mean South."""

_WGS84: Final = ("WGS84", "WGS1984")
_NAD83: Final = ("NAD83", "NORTHAMERICA1983", "NORTHAMERICAN1983")
_METERS: Final = ("meters", "meter", "metres", "metre", "m")
_DEGREES: Final = ("degrees", "degree", "deg")
_OPTION = re.compile(r"(units|rotation)\s*[=\s]\s*(.*)", re.IGNORECASE)
LAST_ZONE: Final = 60
WGS84_UTM_NORTH: Final = 32600
WGS84_UTM_SOUTH: Final = 32700
NAD83_UTM: Final = 26900
NAD83_LAST_ZONE: Final = 23
"""EPSG codes are base + zone; those of NAD83 run from zone 1 to 23 (EPSG geodetic parameter data set)."""


def bands(header: Header, layout: Layout, *, assumptions: list[str]) -> Bands:
    """Return center, width and goodness of each band.

    Raises
    ------
    ReadError
        If a list has not one item per band, or the unit of the wavelengths is not known.
    """
    key = WAVELENGTH_KEY if header.text(WAVELENGTH_KEY) else MISSPELT_KEY
    center = _per_band(header, key, layout.bands)
    width = _per_band(header, "fwhm", layout.bands)
    if center is None:
        center = _from_names(header, layout.bands, assumptions)
    else:
        center, width = _in_nm(header, center, width, assumptions)
        if key == MISSPELT_KEY:
            assumptions.append(f'the key "{key}" was read as "{WAVELENGTH_KEY}"')
    good = _per_band(header, "bbl", layout.bands)
    unknown = np.full(layout.bands, np.nan)
    if center is not None and layout.bands > 1 and np.ptp(center) == 0.0:
        assumptions.append("all wavelengths of the header are the same: left out")
        center = None
    return Bands(
        center_nm=unknown if center is None else center,
        fwhm_nm=unknown if width is None else width,
        good=np.ones(layout.bands, dtype=bool) if good is None else good != 0.0,
    )


def _per_band(header: Header, key: str, count: int) -> NDArray[np.float64] | None:
    if not header.text(key):
        return None
    numbers = header.numbers(key)
    if len(numbers) != count:
        raise header.refuse(
            key, f"{len(numbers)} values for {count} bands", "copy the header again: it may be cut"
        )
    return numbers


def _in_nm(
    header: Header, center: NDArray[np.float64], width: NDArray[np.float64] | None, assumptions: list[str]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return center and width in nm, both None where the header's numbers are no wavelengths."""
    unit = header.text("wavelength units").strip(" \"'").lower()
    if unit in NO_WAVELENGTHS:
        assumptions.append(f'wavelength units = "{unit}": wavelengths not known')
        return None, None
    if not (np.isfinite(center) & (center > 0.0)).all():
        assumptions.append("wavelengths of the header are not all numbers greater than 0: left out")
        return None, None
    if unit in WAVENUMBER_UNITS:
        return NM_CM / center, None if width is None else width * NM_CM / center**2
    if unit in UNKNOWN_UNITS:
        if np.array_equal(center, np.arange(1, len(center) + 1)):
            assumptions.append("wavelengths of the header are the numbers of the bands: left out")
            return None, None
        unit = "nm" if center.min() > NM_FROM else "um"
        assumptions.append(f"the header has no wavelength units: {unit} guessed from the values")
    if unit not in NM_PER_UNIT:
        raise header.refuse("wavelength units", "unknown unit of wavelengths", "nm or um")
    factor = NM_PER_UNIT[unit]
    low, high = float(center.min()), float(center.max())
    if not POSSIBLE_NM[0] <= low * factor <= high * factor <= POSSIBLE_NM[1]:
        what = f"wavelengths from {low:g} to {high:g} cannot be in {unit}"
        raise header.refuse("wavelength units", what, "correct the unit or the wavelengths of the header")
    return center * factor, None if width is None else width * factor


def _from_names(header: Header, count: int, assumptions: list[str]) -> NDArray[np.float64] | None:
    """Return the wavelengths of band names such as ``Band 1 (376.86 Nanometers)``, if all names have one."""
    found = [wavelength_in_name(name) for name in header.items("band names")]
    values = [value for value in found if value is not None]
    if len(found) != count or len(values) != count:
        return None
    assumptions.append("wavelengths were taken from the band names")
    return np.array(values)


def wavelength_in_name(name: str) -> float | None:
    """Return the wavelength, nm, in a band name such as ``1 (376.86 Nanometers)``; None if it has none.

    >>> wavelength_in_name("376.86 Nanometers"), wavelength_in_name("Red (0.66 um)")
    (376.86, 660.0)
    """
    match = _WAVELENGTH_IN_NAME.search(name)
    return None if match is None else float(match[1]) * NM_PER_UNIT[match[2].lower()]


@dataclass(frozen=True, slots=True)
class Radiometry:
    """What the numbers are: quantity, divisor (of reflectance as the header says), exposure."""

    quantity: CubeQuantity
    divisor: float
    integration_ms: float


def radiometry(header: Header, layout: Layout, *, assumptions: list[str]) -> Radiometry:
    """Return what the numbers are.

    The key ``quantity`` (counts, radiance, reflectance) decides; without it, whole numbers are counts, and
    decimals are reflectance where the header or the name of the file speaks of it, else radiance; both are
    radiance where the header states a unit of radiance, unless whole numbers have gains of their own that
    lead to it.
    Numbers with a ``reflectance scale factor`` are reflectance; whether they are to be divided by it, the
    numbers tell (:mod:`~dronesense.readers.envi_scale`). Radiance in a unit that is known is divided into
    W/(m2 sr nm).

    Raises
    ------
    ReadError
        If `quantity` has another value, the scale factor is not greater than 0, or data gains are not one
        per band.
    """
    scale = finite_number(header, "reflectance scale factor")
    if scale is not None and scale <= 0.0:
        raise header.refuse("reflectance scale factor", "must be greater than 0")
    integer = layout.dtype.kind in "iu"
    stated = header.text("quantity").strip().lower()
    spoken = "reflectance" in f"{header.text('description')} {header.text('data units')}".lower()
    known = stated or spoken or scale is not None or envi_camera.states_radiance(header)
    named = not known and _named_reflectance(header.path.name)
    quantity: CubeQuantity
    if stated:
        if stated not in CUBE_QUANTITIES:
            raise header.refuse("quantity", "unknown quantity", f"one of {', '.join(CUBE_QUANTITIES)}")
        quantity = cast("CubeQuantity", stated)
    else:
        decimal = (spoken or named) and not integer
        quantity = "reflectance" if scale is not None or decimal else "counts"
        in_watts = envi_camera.states_radiance(header) and not (integer and _has_gains(header))
        if quantity == "counts" and (in_watts or not integer):
            quantity = "radiance"
        basis = "whole" if integer else "decimal"
        factor = " and a reflectance scale factor" if scale is not None else ""
        factor += " and the name of the file" if named and quantity == "reflectance" else ""
        factor += " and a unit of radiance" if in_watts and quantity == "radiance" else ""
        assumptions.append(
            f'{quantity} assumed from {basis} numbers{factor}; header key "quantity" overrides'
        )
        if quantity == "counts" and (spoken or named):
            what = "the header" if spoken else "the name of the file"
            assumptions.append(f'{what} speaks of reflectance, but has no "reflectance scale factor"')
    divisor = scale or 1.0 if quantity == "reflectance" else 1.0
    if quantity == "radiance":
        divisor = 1.0 / envi_camera.radiance_factor(header, assumptions)
    for key in GAIN_KEYS:
        if header.text(key):
            _per_band(header, key, layout.bands)
            assumptions.append(f'"{key}" of the header were not applied: numbers as they are in the file')
    return Radiometry(quantity, divisor, envi_camera.integration_ms(header, assumptions))


def _named_reflectance(name: str) -> bool:
    """Return whether a file is called a cube of reflectance, as Specim, Headwall and ISOFIT call theirs.

    >>> [_named_reflectance(each) for each in ("REFLECTANCE_01.hdr", "raw_0_rd_rf.hdr", "white_refl.hdr")]
    [True, True, False]
    """
    words = set(re.split(r"[^a-z]+", name.lower()))
    return bool(words & NAMES_OF_REFLECTANCE) and not words & NAMES_OF_PANELS


def _has_gains(header: Header) -> bool:
    """Return whether the header states gains or offsets that would change a number."""
    gains, offsets = (header.numbers(key) for key in GAIN_KEYS[:2])
    return bool(np.any(gains != 1.0) or np.any(offsets != 0.0))


def ignore_value(header: Header) -> float | None:
    """Return ``data ignore value``; None if there is none, or it is NaN, which never counts as data.

    Raises
    ------
    ReadError
        If it is not a number.
    """
    if header.text("data ignore value").strip().lower() in NO_NUMBER:
        return None
    value = header.numbers("data ignore value")
    if len(value) > 1:
        raise header.refuse("data ignore value", "must be one number")
    return float(value[0]) if len(value) and not math.isnan(value[0]) else None


def map_grid(header: Header, *, warnings: list[str]) -> MapGrid | None:
    """Return the map grid of ``map info``, or None where there is none or its CRS is not understood.

    UTM on WGS84 or NAD83 and geographic coordinates are read from ``map info`` itself; for others the
    ``coordinate system string`` (WKT) gives the CRS. The reference pixel is counted from 1, and 1.0 is the
    upper-left corner of the first pixel. `rotation` turns the image counterclockwise, in degrees.

    Raises
    ------
    ReadError
        If ``map info`` is there but its numbers cannot be read.
    """
    key = "map info"
    items = header.items(key)
    if not items or items[0].strip().lower() == "arbitrary":
        return None
    options = _options(items)
    try:
        ref_col, ref_row, x, y, dx, dy = (float(item) for item in items[1:7])
        rotation_deg = float(options.get("rotation", "0"))
    except ValueError as error:
        raise header.refuse(
            key, "holds fewer than six numbers after the projection, or other text"
        ) from error
    if not (
        dx > 0.0 and dy > 0.0 and all(map(math.isfinite, (ref_col, ref_row, x, y, dx, dy, rotation_deg)))
    ):
        raise header.refuse(key, "pixel sizes must be greater than 0 and all numbers finite")
    crs = _crs(header, items, options) or header.text("coordinate system string").strip()
    if not crs:
        warnings.append(
            f"the CRS of map info is not understood: {', '.join(items)[:80]}; a coordinate system string "
            "(WKT) in the header would say it"
        )
        return None
    cos, sin = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    a, b, d, e = cos * dx, sin * dy, sin * dx, -cos * dy
    col, row = ref_col - 1.0, ref_row - 1.0
    return MapGrid((a, b, x - a * col - b * row, d, e, y - d * col - e * row), crs)


def _options(items: list[str]) -> dict[str, str]:
    """Return ``units=Meters, rotation=0`` and the like; Resonon writes ``units  meters`` without the sign."""
    found = {}
    for item in items[7:]:
        match = _OPTION.fullmatch(item.strip())
        if match:
            found[match[1].lower()] = match[2].strip()
    return found


def _crs(header: Header, items: list[str], options: dict[str, str]) -> str:
    """Return ``EPSG:...`` of *items* (after the pixel sizes: zone, hemisphere, datum), or an empty text."""
    projection = items[0].strip().lower()
    unit = options.get("units", "").lower()
    places = [item.strip() for item in items[7:] if not _OPTION.fullmatch(item.strip()) and "=" not in item]
    stated = places[0 if projection.startswith("geographic") else 2 :]
    if not stated and header.text("coordinate system string"):
        return ""  # writers leave the datum out that they have no name for: ETRS89, GDA2020
    if projection.startswith("geographic"):
        return "EPSG:4326" if _datum(stated) in _WGS84 and unit in ("", *_DEGREES) else ""
    if projection != "utm" or unit not in ("", *_METERS) or len(places) < 2:
        return ""
    if not re.fullmatch("[0-9]{1,2}", places[0]) or not 1 <= int(places[0]) <= LAST_ZONE:
        raise header.refuse("map info", f'the UTM zone "{places[0]}" is not a number from 1 to {LAST_ZONE}')
    zone, north, datum = int(places[0]), _is_north(header, places[1]), _datum(stated)
    if datum in _WGS84:
        return f"EPSG:{(WGS84_UTM_NORTH if north else WGS84_UTM_SOUTH) + zone}"
    if datum in _NAD83 and north and zone <= NAD83_LAST_ZONE:
        return f"EPSG:{NAD83_UTM + zone}"
    return ""


def _datum(names: list[str]) -> str:
    """Return the datum without signs (``WGS-84`` is WGS84); WGS84 when it is left out."""
    return re.sub(r"[^A-Z0-9]", "", names[0].upper()) if names else "WGS84"


def _is_north(header: Header, text: str) -> bool:
    """Return whether *text* (North, South, or the letter of an MGRS band) is north of the equator."""
    word = text.lower()
    if word == "north" or (len(text) == 1 and text.upper() in NORTH_BANDS):
        return True
    if word == "south" or (len(text) == 1 and text.upper() in SOUTH_BANDS):
        return False
    raise header.refuse(
        "map info",
        f'"{text}" does not say which hemisphere the UTM zone is in',
        "write North or South in its place",
    )
