"""From a map of columns to detections and the mass of gas in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import units
from dronesense.detect import regions
from dronesense.detect import tail as tails
from dronesense.model import Detection
from dronesense.model.absorption import ColumnMap
from dronesense.model.detection import false_discovery_rates

KG_PER_MG: Final = 1e-6
STRANGE: Final = "may-be-another-material"
"""Flag of a region most of whose pixels stray in other directions than the gas."""


def detect(columns: ColumnMap, *, source: str, min_pixels: int = 1) -> tuple[Detection, ...]:
    """Return the regions of *columns* that reach the threshold, by falling score.

    `value` is the column at the pixel of the highest score, `sigma` its standard uncertainty.
    """
    score_map, detections = columns.score, []
    found = regions.outline(score_map, min_pixels=min_pixels)
    if not found:
        return ()
    score = score_map.score
    peak = np.array([score[tuple(region.index[0])] for region in found], dtype=np.float64)
    p = np.full(len(found), np.nan)
    q = p
    if score_map.tail is not None:
        p = np.asarray(tails.p_value(score_map.tail, peak), dtype=np.float64)
        q = false_discovery_rates(p, tested=int(np.isfinite(score).sum()))
    for i, region in enumerate(found):
        row, col = region.index.T
        column = columns.value[row, col].astype(np.float64)
        seeds = region.index[: region.seeds].T
        strange = 2 * int(columns.other[seeds[0], seeds[1]].sum()) >= region.seeds
        detections.append(
            Detection(
                target=score_map.target,
                kind="spectral",
                method=score_map.method,
                origin=score_map.cube,
                source=source,
                index=region.index,
                weight=np.maximum(column, np.finfo(np.float64).tiny),
                peak=0,
                score=float(peak[i]),
                p_value=float(p[i]),
                q_value=float(q[i]),
                value=float(column[0]),
                sigma=float(columns.sigma[row[0], col[0]]),
                unit=columns.unit,
                flags=regions.edge_flags(region, score) + ((STRANGE,) if strange else ()),
            )
        )
    return tuple(detections)


@dataclass(frozen=True, slots=True)
class MassEnhancement:
    """Mass of a gas above the background over some pixels.

    Parameters
    ----------
    mass_kg, sigma_kg : float
        Sum, and its standard uncertainty: by the scatter of pixels, taken as independent. What they share
        (table, geometry, air density) is not in it.
    area_m2 : float
        Of the pixels.
    """

    mass_kg: float
    sigma_kg: float
    area_m2: float


def mass_enhancement(
    columns: ColumnMap,
    index: NDArray[np.int64],
    *,
    pixel_area_m2: float | NDArray[np.float64],
    molar_mass_g_mol: float,
    temperature_k: float,
    pressure_hpa: float,
) -> MassEnhancement:
    """Return the integrated mass enhancement of the pixels *index* (k, 2).

    ``sum(c A M P / (R T))``: a column of 1 ppm m is a layer of 1 um of pure gas at the pressure and
    temperature of the air that the table's layer has.

    Parameters
    ----------
    pixel_area_m2 : float or (k,)
        On the ground.
    molar_mass_g_mol : float
        Of the gas.
    temperature_k, pressure_hpa : float
        Of the layer with the gas.
    """
    row, col = index.T
    per_ppm_m = float(
        units.mass_from_mole_fraction(
            1.0,
            "mg/m3",
            molar_mass_g_mol=molar_mass_g_mol,
            temperature_k=temperature_k,
            pressure_hpa=pressure_hpa,
        )
    )
    area = np.broadcast_to(np.asarray(pixel_area_m2, dtype=np.float64), row.shape)
    weight = area * per_ppm_m * KG_PER_MG
    value, sigma = columns.value[row, col].astype(np.float64), columns.sigma[row, col].astype(np.float64)
    mass, error = np.nansum(value * weight), np.sqrt(np.nansum((sigma * weight) ** 2))
    return MassEnhancement(float(mass), float(error), float(area.sum()))
