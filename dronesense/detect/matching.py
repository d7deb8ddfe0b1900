"""A signature in the bands of a cube."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import DetectRule, Signature, SpectralCube

MIN_COVERED: Final = 0.5
"""Share of the good bands that a signature must cover."""

Doubles = NDArray[np.float64]


def signature_in_bands(
    signature: Signature, cube: SpectralCube
) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Return value and uncertainty of *signature* in the bands of *cube*, and which bands it covers.

    Raises
    ------
    CalibrationError
        If the quantities differ, or a signature by band has another number of bands.
    """
    if signature.quantity != cube.quantity:
        fix = f"use a signature in {cube.quantity}"
        if cube.quantity == "counts" and signature.quantity == "reflectance":
            fix = "give the cube a panel (and a dark capture), so that it can be turned into reflectance"
        raise CalibrationError(
            f"the signature {signature.name!r} is in {signature.quantity}, the cube in {cube.quantity}",
            where=cube.path,
            fix=fix,
        )
    if not signature.by_band:
        return signature.in_bands(center_nm=cube.bands.center_nm, fwhm_nm=cube.bands.fwhm_nm)
    if len(signature.value) != len(cube.bands):
        raise CalibrationError(
            f"the signature {signature.name!r} has {len(signature.value)} bands, the cube {len(cube.bands)}",
            where=cube.path,
            fix="take the signature from a cube of the same camera and binning",
        )
    return signature.value, signature.sigma, np.ones(len(cube.bands), dtype=np.bool_)


def match_bands(cube: SpectralCube, rule: DetectRule) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Return :func:`signature_in_bands` of *rule*, and refuse a signature that covers too few bands.

    Raises
    ------
    CalibrationError
        If it is not of the cube's quantity.
    CoverageError
        If it covers less than half of the good bands, or the cube has no wavelengths.
    ValueError
        If the rule has no signature.
    """
    if rule.signature is None:
        raise ValueError(f"rule {rule.target!r} has no signature")
    value, sigma, covered = signature_in_bands(rule.signature, cube)
    good = cube.bands.good
    if not rule.signature.by_band and not np.isfinite(cube.bands.center_nm).any():
        raise CoverageError(
            "the cube has no wavelengths",
            where=cube.path,
            fix="put them into the header, or use a signature taken from the cube's own bands",
        )
    share = float((covered & good).sum()) / max(1, int(good.sum()))
    if share < MIN_COVERED:
        low, high = rule.signature.wavelength_nm[[0, -1]]
        raise CoverageError(
            f"the signature {rule.signature.name!r} ({low:g} to {high:g} nm) covers {share:.0%} of the bands",
            where=cube.path,
            fix=f"use a signature that covers at least {MIN_COVERED:.0%} of the good bands",
        )
    return value, sigma, covered
