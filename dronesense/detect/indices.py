"""Indices: formulas of a few bands, as a table, as detectors that need no signature.

Each index of :data:`TABLE` is two detectors: ``ndvi`` looks for high values, ``-ndvi`` for low ones (its
score is the index with its sign turned). An index says how green or wet a pixel looks, never what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.detectors import Detector, Problem, Products, Scorer
from dronesense.errors import CoverageError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Operand:
    """A part of the spectrum: the mean of the bands within a window, or the band nearest to it.

    Parameters
    ----------
    name : str
    low_nm, high_nm : float
        Window of band centers.
    tolerance_nm : float
        How far outside the one band may lie that is taken where none lies within.
    """

    name: str
    low_nm: float
    high_nm: float
    tolerance_nm: float

    def weights(self, center_nm: Doubles) -> Doubles:
        """Return what each band (k,) counts; the weights sum to 1.

        Raises
        ------
        CoverageError
            If no band is near enough.

        Examples
        --------
        >>> RED.weights(np.array([560.0, 640.0, 680.0, 840.0]))
        array([0. , 0.5, 0.5, 0. ])
        """
        away = np.maximum(self.low_nm - center_nm, center_nm - self.high_nm)
        away = np.where(np.isfinite(away), np.maximum(away, 0.0), np.inf)
        if not (away.size and away.min() <= self.tolerance_nm):
            least, most = self.low_nm - self.tolerance_nm, self.high_nm + self.tolerance_nm
            raise CoverageError(
                f"no good band of the cube lies at {least:g} to {most:g} nm ({self.name})",
                fix="use an index of the bands that the camera has",
            )
        taken = away <= 0.0
        if not taken.any():
            taken[np.argmin(away)] = True
        return np.asarray(taken / taken.sum())


@dataclass(frozen=True, slots=True)
class Index:
    """A formula of reflectances.

    Parameters
    ----------
    name : str
        Of the detector.
    operands : tuple of Operand
    formula : callable
        From the operands' reflectances, none of them negative, to the index; NaN where there is none.
    equation : str
        The same in words, with the operands' names.
    reference : str
    """

    name: str
    operands: tuple[Operand, ...]
    formula: Callable[..., Floats]
    equation: str
    reference: str


def _over(numerator: Floats, denominator: Floats) -> Floats:
    """Return the ratio, NaN where the denominator is not positive."""
    usable = denominator > 0.0
    return np.where(usable, numerator / np.where(usable, denominator, np.float32(1.0)), np.float32(np.nan))


def _contrast(first: Floats, second: Floats) -> Floats:
    return _over(first - second, first + second)


def _evi2(nir: Floats, red: Floats) -> Floats:
    return _over(np.float32(2.5) * (nir - red), nir + np.float32(2.4) * red + np.float32(1.0))


def _mcari2(nir: Floats, red: Floats, green: Floats) -> Floats:
    numerator = np.float32(1.5) * (np.float32(2.5) * (nir - red) - np.float32(1.3) * (nir - green))
    under = np.square(2 * nir + 1) - (6 * nir - 5 * np.sqrt(red)) - np.float32(0.5)
    return _over(numerator, np.sqrt(np.maximum(under, np.float32(0.0))))


# Windows and tolerances are this program's: they take the bands that multispectral cameras have (red 650 to
# 668 nm, red edge 705 to 735 nm, near infrared 790 to 860 nm), and nothing beyond the feature.
GREEN: Final = Operand("green", 540.0, 570.0, 10.0)
RED: Final = Operand("red", 630.0, 690.0, 5.0)
RED_EDGE: Final = Operand("red edge", 705.0, 735.0, 5.0)
NIR: Final = Operand("near infrared", 780.0, 890.0, 10.0)

TABLE: Final = (
    Index(
        "ndvi",
        (NIR, RED),
        _contrast,
        "(N - R) / (N + R)",
        "Tucker 1979, doi 10.1016/0034-4257(79)90013-0",
    ),
    Index(
        "gndvi",
        (NIR, GREEN),
        _contrast,
        "(N - G) / (N + G)",
        "Gitelson et al. 1996, doi 10.1016/S0034-4257(96)00072-7",
    ),
    Index(
        "ndre",
        (NIR, RED_EDGE),
        _contrast,
        "(N - E) / (N + E)",
        "contrast of near infrared and red edge; no first publication is claimed",
    ),
    Index(
        "ndwi",
        (GREEN, NIR),
        _contrast,
        "(G - N) / (G + N)",
        "open water: McFeeters 1996, doi 10.1080/01431169608948714",
    ),
    Index(
        "ndwi-gao",
        (Operand("860 nm", 850.0, 870.0, 10.0), Operand("1240 nm", 1230.0, 1250.0, 10.0)),
        _contrast,
        "(R860 - R1240) / (R860 + R1240)",
        "water in leaves: Gao 1996, doi 10.1016/S0034-4257(96)00067-3",
    ),
    Index(
        "pri",
        (Operand("531 nm", 529.0, 533.0, 4.0), Operand("570 nm", 568.0, 572.0, 4.0)),
        _contrast,
        "(R531 - R570) / (R531 + R570)",
        "Gamon et al. 1992, doi 10.1016/0034-4257(92)90059-S; the sign in use today",
    ),
    Index(
        "evi2",
        (NIR, RED),
        _evi2,
        "2.5 (N - R) / (N + 2.4 R + 1)",
        "Jiang et al. 2008, doi 10.1016/j.rse.2008.06.006",
    ),
    Index(
        "mcari2",
        (Operand("800 nm", 790.0, 810.0, 60.0), Operand("670 nm", 660.0, 680.0, 10.0), GREEN),
        _mcari2,
        "1.5 (2.5 (N - R) - 1.3 (N - G)) / sqrt((2 N + 1)^2 - (6 N - 5 sqrt(R)) - 0.5)",
        "Haboudane et al. 2004, doi 10.1016/j.rse.2003.12.013",
    ),
)
"""Every index. Red and red edge hold bands of some 30 nm, 531 and 570 nm only narrow ones."""


def value(index: Index, operands: NDArray[np.floating]) -> Floats:
    """Return *index* (n,) of the reflectances *operands* (operands, n).

    Reflectances below zero are noise and count as zero, so that no index leaves its range; where nothing is
    left to divide by there is no index (NaN).

    Examples
    --------
    >>> value(TABLE[0], np.array([[0.75, 0.1, 0.0], [0.25, -0.01, 0.0]])).tolist()
    [0.5, 1.0, nan]
    """
    return index.formula(*np.maximum(np.asarray(operands, dtype=np.float32), np.float32(0.0)))


def _prepare(index: Index, sign: float, problem: Problem) -> Scorer:
    rows = np.array([operand.weights(problem.center_nm) for operand in index.operands])

    def score(products: Products) -> Floats:
        return np.float32(sign) * value(index, products.rows)

    return Scorer(score, rows=rows)


_BY_NAME: Final = {index.name: index for index in TABLE}


def _detector(name: str, *, low: bool = False) -> Detector:
    index, minus = _BY_NAME[name], "-" if low else ""
    return Detector(
        f"{minus}{name}",
        "1",
        partial(_prepare, index, -1.0 if low else 1.0),
        f"{minus}[{index.equation}], {index.reference}" if low else f"{index.equation}, {index.reference}",
        needs_signature=False,
        quantity="reflectance",
    )


ndvi: Final = _detector("ndvi")
gndvi: Final = _detector("gndvi")
ndre: Final = _detector("ndre")
ndwi: Final = _detector("ndwi")
ndwi_gao: Final = _detector("ndwi-gao")
pri: Final = _detector("pri")
evi2: Final = _detector("evi2")
mcari2: Final = _detector("mcari2")
low_ndvi: Final = _detector("ndvi", low=True)
low_gndvi: Final = _detector("gndvi", low=True)
low_ndre: Final = _detector("ndre", low=True)
low_ndwi: Final = _detector("ndwi", low=True)
low_ndwi_gao: Final = _detector("ndwi-gao", low=True)
low_pri: Final = _detector("pri", low=True)
low_evi2: Final = _detector("evi2", low=True)
low_mcari2: Final = _detector("mcari2", low=True)
