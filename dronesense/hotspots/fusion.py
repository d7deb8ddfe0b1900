"""Two kinds of evidence for one place: a spectral hotspot on the ground that a gas hotspot points at.

Gas is met downwind of its source. Where a search sector, the ground upwind of a gas hotspot that holds its
source with a stated probability, also holds a spectral hotspot, the two together are one more hotspot of the
kind "fused". Its members stay: each is evidence of its own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense.geodesy import to_grid
from dronesense.hotspots.merge import ID_LENGTH, fisher
from dronesense.model import GroundRaster, Hotspot, SearchSector

CHANCE_CELLS: Final = 10_000
"""Cells of a raster that are asked whether they lie in a sector, about."""

MAX_CHANCE: Final = 0.5
"""Where sectors hold more of the ground than this, to lie in one tells nothing."""

Floats = NDArray[np.float64]


def fuse(
    hotspots: Sequence[Hotspot], sectors: Sequence[SearchSector], *, chance: float = math.nan
) -> tuple[Hotspot, ...]:
    """Return a fused hotspot for every spectral one that lies upwind of gas.

    A spectral hotspot lies in a sector when its place does, or is nearer to it than its CE90. Place, outline,
    score and value are the spectral one's: the gas says only from which side it came. The p-value is that of
    all members being background, by Fisher's method (their noise has nothing in common; Fisher 1932,
    Statistical Methods for Research Workers, 4th ed., section 21.1). A fused hotspot is wrong when either
    kind of evidence is: its q-value is the sum of that of the spectral member and the best of the gas
    members (Boole's inequality). Neither says that the two belong together: see :func:`chance_share`.

    Parameters
    ----------
    hotspots : sequence of Hotspot
        Of one flight, ranked.
    sectors : sequence of SearchSector
        Upwind of the gas hotspots among them, in one CRS.
    chance : float
        Share of the ground that lies in a sector; above :data:`MAX_CHANCE` nothing is fused.

    Returns
    -------
    tuple of Hotspot
        In the order of their spectral members.
    """
    if not sectors or chance > MAX_CHANCE:
        return ()
    gas = {each.id: each for each in hotspots if each.kind == "gas"}
    spectral = [each for each in hotspots if each.kind == "spectral"]
    shapes = np.array([sector.geometry for sector in sectors], dtype=object)
    found = []
    for seen in spectral:
        x, y = to_grid(seen.lon, seen.lat, sectors[0].crs)
        apart = shapely.distance(shapes, shapely.Point(float(x), float(y)))
        near = np.flatnonzero(apart <= (seen.ce90_m if math.isfinite(seen.ce90_m) else 0.0))
        members = [gas[sectors[i].hotspot] for i in near.tolist() if sectors[i].hotspot in gas]
        if members:
            found.append(_fused(seen, members))
    return tuple(found)


def chance_share(sectors: Sequence[SearchSector], rasters: Sequence[GroundRaster]) -> float:
    """Return the share of the ground with a score that lies in a sector.

    That is how probably a spectral hotspot that has nothing to do with the gas lies in one all the same; NaN
    where nothing was looked at, or no raster is in the CRS of the sectors.
    """
    if not sectors:
        return math.nan
    area = shapely.union_all([sector.geometry for sector in sectors])
    shapely.prepare(area)
    inside = asked = 0.0
    for raster in rasters:
        if raster.crs != sectors[0].crs:
            continue
        step = max(1, math.isqrt(raster.values.size // CHANCE_CELLS))
        row, col = np.nonzero(np.isfinite(raster.values[::step, ::step]))
        i, j = col * step + 0.5, row * step + 0.5
        a, b, c, d, e, f = raster.transform
        cell = abs(a * e - b * d) * step * step
        asked += cell * len(row)
        inside += cell * float(shapely.contains_xy(area, a * i + b * j + c, d * i + e * j + f).sum())
    return inside / asked if asked else math.nan


def _fused(seen: Hotspot, members: Sequence[Hotspot]) -> Hotspot:
    gases = sorted({each.target for each in members})
    p = [each.p_value for each in (seen, *members)]
    q = seen.q_value + min(each.q_value for each in members)
    target = " + ".join([seen.target, *gases])
    methods = dict.fromkeys([seen.method, *(each.method for each in members)])
    identity = "|".join([seen.id, *sorted(each.id for each in members)])
    return replace(
        seen,
        id=hashlib.sha256(identity.encode()).hexdigest()[:ID_LENGTH],
        target=target,
        kind="fused",
        method=" + ".join(methods),
        p_value=fisher(p) if np.isfinite(p).all() else math.nan,
        q_value=min(1.0, q) if math.isfinite(q) else math.nan,
        start=min(each.start for each in (seen, *members)),
        end=max(each.end for each in (seen, *members)),
        n_passes=sum(each.n_passes for each in (seen, *members)),
        sources=tuple(dict.fromkeys(source for each in (seen, *members) for source in each.sources)),
        flags=tuple(dict.fromkeys(flag for each in (seen, *members) for flag in each.flags)),
        members=(seen.id, *(each.id for each in members)),
    )
