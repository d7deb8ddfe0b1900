"""Search sectors: where to walk upwind of each gas hotspot, made only when a wind is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.calibrate import wind as winds
from dronesense.errors import DronesenseError
from dronesense.hotspots.sector import CALM_M_S, search_sector
from dronesense.model import Flight, Hotspot, SearchSector
from dronesense.pipeline.account import Account
from dronesense.pipeline.site import Site

NS_PER_S: Final = 1_000_000_000

Floats = NDArray[np.float64]


def search_sectors(
    flight: Flight, hotspots: Sequence[Hotspot], *, site: Site, account: Account
) -> tuple[SearchSector, ...]:
    """Return the ground upwind of every gas hotspot; where the wind says nothing there is a warning."""
    found = []
    reasons: Counter[str] = Counter()
    for hotspot in hotspots if flight.wind is not None else ():
        if hotspot.kind == "spectral":
            continue
        try:
            found.append(_sector(flight, hotspot, site))
        except DronesenseError as error:
            reasons[str(error)] += 1
    account.warnings += [
        f"{count} gas hotspot{'s have' if count > 1 else ' has'} no search sector: {reason}"
        for reason, count in reasons.items()
    ]
    account.sectors(found)
    return tuple(found)


def _sector(flight: Flight, hotspot: Hotspot, site: Site) -> SearchSector:
    assert flight.wind is not None
    x, y = geodesy.to_grid(hotspot.lon, hotspot.lat, site.crs)
    convergence, _, _ = geodesy.grid_factors(hotspot.lon, hotspot.lat, site.crs)
    turn = math.degrees(float(convergence))
    reach = flight.search_reach_m
    speed = winds.mean(flight.wind).speed_m_s
    # The gas that was met set out while the wind carried it here: that wind counts too.
    ahead = int(reach / max(speed, CALM_M_S) * NS_PER_S)
    wind = winds.mean(flight.wind, hotspot.start - ahead, hotspot.end)
    return search_sector(
        hotspot.id,
        hotspot.target,
        float(x),
        float(y),
        _covariance(hotspot, turn),
        crs=site.crs,
        wind_from_deg=wind.from_deg,
        wind_speed_m_s=wind.speed_m_s,
        sigma_from_deg=wind.sigma_from_deg,
        sway_deg=wind.sway_deg,
        convergence_deg=turn,
        reach_m=reach,
    )


def _covariance(hotspot: Hotspot, convergence_deg: float) -> Floats:
    """Return the (2, 2) covariance on the grid of a hotspot's one-sigma ellipse; unknown counts as 0."""
    azimuth = math.radians(np.nan_to_num(hotspot.ellipse_azimuth_deg) - convergence_deg)
    axes = np.array([[math.sin(azimuth), math.cos(azimuth)], [math.cos(azimuth), -math.sin(azimuth)]])
    half = np.nan_to_num([hotspot.ellipse_major_m, hotspot.ellipse_minor_m])
    return np.asarray(axes.T @ (half[:, None] ** 2 * axes))
