"""A column of a laser: followed to its footprint, the clean air of its path taken off, made vertical."""

from __future__ import annotations

from typing import Final

import numpy as np

from dronesense.calibrate import column
from dronesense.errors import CoverageError
from dronesense.geotag import beam
from dronesense.geotag.terrain import NO_TRAJECTORY
from dronesense.model import Flag, GasSeries, GroundPoints, Mount
from dronesense.pipeline.account import Account
from dronesense.pipeline.site import Site

CLEAN_FLAGS: Final = int(~Flag.EDGE)
"""Samples with any flag but this take no part in the background by length."""
SIGNIFICANT: Final = 3.0
"""Standard uncertainties by which a background that shrinks with length is one."""


def place_column(
    series: GasSeries, mount: Mount, clock_sigma_s: float, site: Site, account: Account
) -> tuple[GasSeries, GroundPoints]:
    """Return the vertical columns above clean air, and where their beams met the ground.

    Raises
    ------
    CoverageError
        If no beam within the track meets the ground.
    """
    paths = beam.locate_beams(
        series,
        trajectory=site.trajectory,
        mount=mount,
        terrain=site.terrain,
        crs=site.crs,
        clock_sigma_s=clock_sigma_s,
    )
    status = paths.points.status
    tracked, hit = status != NO_TRAJECTORY, status == 0
    if tracked.any() and not hit.any():
        raise CoverageError(
            f"no beam of its {np.count_nonzero(tracked)} samples within the track meets the ground",
            fix="check beam_pitch (-90 looks straight down), the mount, and [terrain]",
        )
    if np.count_nonzero(tracked & ~hit):
        account.warnings.append(
            f"{series.source}: {np.count_nonzero(tracked & ~hit)} beams meet no ground and have no place"
        )
    if paths.leveled:
        account.warnings.append(
            f"{series.source}: the track has no attitude: the laser is taken to look straight down, "
            f"± {beam.SIGMA_LEVEL_DEG:g} degrees"
        )
    usable = hit & ((series.flags & CLEAN_FLAGS) == 0)
    fit = column.path_background(series.value, paths.length_m, usable=usable)
    if fit is not None:
        series = column.without_path(
            series, fit, length_m=paths.length_m, sigma_length_m=paths.sigma_length_m
        )
        _tell(series, fit, paths, account)
    series = column.to_vertical(series, cos_vertical=paths.cos_vertical, sigma_cos=paths.sigma_cos)
    return series, paths.points


def _tell(series: GasSeries, fit: column.PathBackground, paths: beam.BeamPaths, account: Account) -> None:
    """Say what was taken off, and doubt a background that shrinks with the length of the path."""
    share = float(np.mean(paths.measured))
    by = "measured" if share == 1.0 else "by the terrain" if share == 0.0 else f"{share:.0%} measured"
    account.warnings.append(
        f"{series.source}: {series.species} is a column: what clean air adds along the path, "
        f"{fit.slope_ppm:.3g} ± {fit.sigma_slope_ppm:.1g} ppm over {fit.shortest_m:.0f} to "
        f"{fit.longest_m:.0f} m ({by}), is taken off; what is left is the vertical column above it"
    )
    if fit.slope_ppm < -SIGNIFICANT * fit.sigma_slope_ppm:
        account.warnings.append(
            f"{series.source}: the {series.species} column shrinks as the path grows, which clean air does "
            "not: check the heights of track and terrain, the range, and the unit of the column"
        )
