"""The whole product on one page: an opened flight in, a hotspot layer out. No file is opened here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

from dronesense.errors import CoverageError
from dronesense.geotag import uncertainty
from dronesense.hotspots import fusion, merge
from dronesense.model import Flight, HotspotLayer
from dronesense.model.cube import DEFAULT_BLOCK_BYTES
from dronesense.pipeline.account import NOTHING_SOUGHT, Account
from dronesense.pipeline.cube_lane import CubeFinds, follow_cube
from dronesense.pipeline.emission_lane import follow_emissions
from dronesense.pipeline.gas_lane import GasFinds, follow_gas
from dronesense.pipeline.keeping import Keep, at_once
from dronesense.pipeline.map_lane import gas_maps
from dronesense.pipeline.mosaic_lane import mosaics
from dronesense.pipeline.sector_lane import search_sectors
from dronesense.pipeline.site import Site
from dronesense.pipeline.spectra import hotspot_spectra

__all__ = ["Progress", "process"]

Progress = Callable[[str, int, int], None]
"""Stage, steps done, steps in all."""


def process(
    flight: Flight,
    *,
    progress: Progress | None = None,
    budget_bytes: int = DEFAULT_BLOCK_BYTES,
    keep: Keep = at_once,
) -> HotspotLayer:
    """Calibrate, match, geotag and cluster everything that a flight holds.

    Parameters
    ----------
    flight : Flight
        From :func:`dronesense.open_flight`.
    progress : callable, optional
        Called with stage, steps done, steps in all; of cubes with pixels, from several threads.
    budget_bytes : int
        Size of one block of a cube in memory; the peak is a small multiple of it, whatever the cube's size.
    keep : Keep
        Keeps long work, such as :class:`dronesense.evidence.stages.Stages`; default: nobody.

    Returns
    -------
    HotspotLayer
        Empty when nothing was found; inputs that could not be used stand in ``rejected`` with the reason.

    Raises
    ------
    CoverageError
        If no input could be used at all.
    """
    tell, account = progress or _silent, Account(flight)
    site = Site(flight, account)
    gas = _each_series(flight, tell, site=site, account=account)
    cubes = _each_cube(flight, tell, site=site, account=account, budget_bytes=budget_bytes, keep=keep)
    _refuse_nothing(gas, cubes, flight, account)
    hotspots = merge.merge(
        chain(*(each.sightings for each in gas), *(each.sightings for each in cubes)),
        flight=flight.id,
        radius_m=flight.merge_radius_m,
        ce90=uncertainty.ce90,
        ellipse=uncertainty.ellipse,
        gas=flight.gas_hotspots,
    )
    tell("merge", 1, 1)
    traces = tuple(trace for each in gas for trace in each.traces)
    emitted = follow_emissions(flight, traces, site=site, account=account)
    maps = gas_maps(traces, account, wind=flight.wind)
    sectors = search_sectors(flight, hotspots, site=site, account=account)
    views = tuple(each.view for each in cubes)
    rasters = tuple(raster for each in cubes for raster in each.rasters)
    joined = mosaics([each.strip for each in cubes if each.strip is not None], rasters, account)
    chance = fusion.chance_share(sectors, rasters)
    fused = fusion.fuse(hotspots, sectors, chance=chance)
    account.fused(fused, sectors, chance=chance)
    return HotspotLayer(
        flight=flight.id,
        hotspots=merge.ranked((*hotspots, *fused)),
        trajectory=flight.trajectory,
        gas=traces,
        maps=maps,
        sectors=sectors,
        sources=tuple(emitted.sources),
        fluxes=tuple(emitted.fluxes),
        cubes=views,
        spectra=hotspot_spectra(hotspots, views, flight.rules),
        rasters=rasters,
        mosaics=joined,
        pictures=tuple(picture for each in cubes for picture in each.pictures),
        statements=account.statements(site.crs, views, rasters),
        warnings=(*flight.warnings, *(() if flight.rules else (NOTHING_SOUGHT,)), *account.all_warnings()),
        rejected=(*flight.rejected, *account.rejected),
    )


def _each_series(flight: Flight, tell: Progress, *, site: Site, account: Account) -> list[GasFinds]:
    found: list[GasFinds] = []
    for number, series in enumerate(flight.gas, 1):
        with account.rejecting(series.series[0].source):
            found.append(follow_gas(series, flight=flight, site=site, account=account))
        tell("gas", number, len(flight.gas))
    return found


def _each_cube(
    flight: Flight, tell: Progress, *, account: Account, site: Site, budget_bytes: int, keep: Keep
) -> list[CubeFinds]:
    """Follow the cubes, and tell of pixels: of those done, and the lines searched of the one at hand."""
    found: list[CubeFinds] = []
    total = sum(each.cube.shape[0] * each.cube.shape[2] for each in flight.cubes)
    before = 0
    for given in flight.cubes:
        rows, _, cols = given.cube.shape
        with account.rejecting(given.cube.path):
            followed = follow_cube(
                given,
                flight=flight,
                site=site,
                account=account,
                budget_bytes=budget_bytes,
                keep=keep,
                told=partial(_searched, tell, before, cols, total),
            )
            found.append(followed)
        before += rows * cols
        tell("cube", before, total)
    return found


def _searched(tell: Progress, before: int, cols: int, total: int, lines: int) -> None:
    tell("cube", before + lines * cols, total)


def _refuse_nothing(
    gas: Sequence[GasFinds], cubes: Sequence[CubeFinds], flight: Flight, account: Account
) -> None:
    if not any(each.traces for each in gas) and not cubes:
        reasons = "; ".join(f"{path}: {why}" for path, why in account.rejected)
        raise CoverageError(f"no input could be used ({reasons})", where=flight.root)


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
