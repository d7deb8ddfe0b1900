"""Made-up reflectance spectra with the shapes that the real materials have.

The shapes follow what is known of the classes (Kokaly et al., USGS splib07, doi 10.3133/ds1035): iron
features of soil, chlorophyll and red edge of vegetation, narrow pigment bands of a blue plastic. They
are drawn, not copied. The confusers share the cover's blue hump and near-infrared rise, at 5 to 7
degrees spectral angle, and differ in their narrow bands, as another pigment does.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dronesense.synthetic.frames import Array

FIRST_NM: Final = 400.0
LAST_NM: Final = 1000.0
BANDS: Final = 72
FWHM_NM: Final = 8.6
SMOOTH_MODES: Final = 8
"""Number of smooth shapes by which every spot of ground differs from its class."""
MATERIALS: Final = ("soil", "dry grass", "vegetation", "asphalt", "red roof", "slate roof")
CONFUSERS: Final = ("cobalt-blue paint", "ultramarine cover", "blue sheet metal")


def centers_nm() -> Array:
    """Return the band centers, nm."""
    return np.round(np.linspace(FIRST_NM, LAST_NM, BANDS), 2)


def _hump(nm: Array, center: float, width: float) -> Array:
    return np.asarray(np.exp(-0.5 * ((nm - center) / width) ** 2))


def _step(nm: Array, center: float, width: float) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-(nm - center) / width)))


def materials(nm: Array) -> Array:
    """Return (6, bands) reflectance of :data:`MATERIALS`."""
    x = (nm - FIRST_NM) / (LAST_NM - FIRST_NM)
    soil = 0.07 + 0.26 * x**0.75 + 0.03 * _step(nm, 560.0, 25.0) - 0.02 * _hump(nm, 880.0, 45.0)
    grass = 0.06 + 0.32 * x**0.9 - 0.025 * _hump(nm, 675.0, 14.0) + 0.04 * _step(nm, 710.0, 18.0)
    leaf = 0.035 + 0.06 * _hump(nm, 552.0, 28.0) - 0.012 * _hump(nm, 672.0, 14.0)
    leaf = leaf + 0.44 * _step(nm, 716.0, 12.0) - 0.025 * _hump(nm, 970.0, 28.0)
    asphalt = 0.085 + 0.05 * x
    red_roof = 0.07 + 0.24 * _step(nm, 588.0, 17.0) - 0.04 * _hump(nm, 860.0, 60.0)
    slate = 0.13 + 0.035 * _hump(nm, 470.0, 55.0) - 0.02 * x
    return np.stack([soil, grass, leaf, asphalt, red_roof, slate])


def modes(nm: Array) -> Array:
    """Return (3 + SMOOTH_MODES, bands) shapes of variability: sky light, red edge, iron, cosines."""
    x = (nm - FIRST_NM) / (LAST_NM - FIRST_NM)
    sky = 0.2 * (nm / 500.0) ** -4
    edge = _step(nm, 711.0, 12.0) - _step(nm, 721.0, 12.0)
    iron = _hump(nm, 880.0, 50.0) + 0.6 * _hump(nm, 520.0, 40.0)
    smooth = [np.cos(np.pi * k * x) / np.sqrt(k) for k in range(1, SMOOTH_MODES + 1)]
    return np.stack([sky, edge, iron, *smooth])


def _blue(nm: Array) -> Array:
    return 0.11 + 0.13 * _hump(nm, 470.0, 60.0) + 0.22 * _step(nm, 765.0, 40.0)


def target(nm: Array) -> Array:
    """Return (bands,) reflectance of the blue plastic cover that is looked for."""
    pigment = 0.055 * _hump(nm, 612.0, 10.0) + 0.06 * _hump(nm, 694.0, 10.0) - 0.02 * _hump(nm, 520.0, 10.0)
    return _blue(nm) - pigment - 0.05 * _hump(nm, 931.0, 11.0)


def confusers(nm: Array) -> Array:
    """Return (3, bands) reflectance of :data:`CONFUSERS`: the same blue to the eye, other pigments."""
    cobalt = 0.05 * _hump(nm, 546.0, 9.0) + 0.06 * _hump(nm, 586.0, 9.0) + 0.06 * _hump(nm, 648.0, 10.0)
    cobalt = cobalt - 0.03 * _hump(nm, 700.0, 10.0)
    ultramarine = 0.06 * _hump(nm, 574.0, 9.0) + 0.06 * _hump(nm, 645.0, 9.0) + 0.05 * _hump(nm, 830.0, 12.0)
    metal = 0.06 * _hump(nm, 850.0, 14.0) + 0.06 * _hump(nm, 655.0, 11.0) + 0.04 * _hump(nm, 555.0, 11.0)
    metal = metal - 0.02 * _hump(nm, 940.0, 15.0)
    return np.stack([_blue(nm) - cobalt, _blue(nm) - ultramarine, _blue(nm) - metal])


def panel(nm: Array) -> Array:
    """Return the certified reflectance of the gray panel: about one half, falling a little to the red."""
    return 0.52 - 0.04 * (nm - FIRST_NM) / (LAST_NM - FIRST_NM)


def illumination(nm: Array) -> Array:
    """Return the relative signal of a white surface, peak 1: sunlight through air onto silicon."""
    sun = (
        _hump(nm, 560.0, 260.0) * (1.0 - 0.35 * _hump(nm, 761.0, 5.0)) * (1.0 - 0.25 * _hump(nm, 938.0, 22.0))
    )
    silicon = 0.45 + 0.55 * _hump(nm, 640.0, 170.0)
    signal = sun * silicon
    return np.asarray(signal / signal.max())


def angle_deg(a: Array, b: Array) -> float:
    """Return the spectral angle between two spectra, degrees."""
    return float(np.degrees(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0))))
