"""Where all readers of reference spectra end: units, order, deleted channels, overlaps -> signatures."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.model.signature import SignatureQuantity
from dronesense.readers import content
from dronesense.readers.tally import Tally

Floats = NDArray[np.float64]

NM_RANGE: Final = (100.0, 100_000.0)
"""Wavelengths that can be nm: far ultraviolet to far infrared."""
UM_RANGE: Final = (0.1, 1000.0)
"""Wavelengths that can be um, if the shortest is below :data:`NM_RANGE`: numbers alone tell the two apart."""
NM_PER_UNIT: Final = {"nm": 1.0, "um": 1e3}
PERCENT_ABOVE: Final = 2.0
"""Reflectance whose highest value is larger is in percent where the file does not say; glint stays below."""
FRACTIONS_FROM: Final = 1e-3
"""Reflectance whose highest value is below this fraction is none: black velvet has 0.004."""
DELETED_BELOW: Final = -1e30
"""USGS libraries write -1.23e34 for a deleted channel; nothing measured is as low."""
MAX_DETECTORS: Final = 4
"""Field spectrometers have up to three detectors; more steps back are a file out of order."""
NOTABLE_JUMP: Final = 0.03
"""Relative step where two detectors meet that a user is warned of."""

DELETED: Final = "deleted channels"
REPEATED: Final = "repeated wavelengths, averaged"
TOO_LONG: Final = "channels beyond 100 um"
OVERLAP: Final = "channels of overlapping detectors"


@dataclass(frozen=True, slots=True)
class Origin:
    """What is the same for every spectrum of a file: its name, SHA-256, and what may be done with it."""

    file: str
    sha256: str
    source: str = ""
    license: str = ""
    citation: str = ""


def load(path: Path) -> tuple[bytes, Origin]:
    """Return the bytes of *path* and where they come from.

    Raises
    ------
    ReadError
        If it cannot be read or is empty.
    """
    data = content.load(path, path).tobytes()
    return data, Origin(path.name, hashlib.sha256(data).hexdigest())


def single(library: tuple[tuple[Signature, ...], IngestReport], path: Path) -> tuple[Signature, IngestReport]:
    """Return the one signature of a library that was read.

    Raises
    ------
    ReadError
        If there are several.
    """
    signatures, report = library
    if len(signatures) > 1:
        names = ", ".join(each.name for each in signatures[:3])
        raise ReadError(
            f"holds {len(signatures)} spectra ({names}, ...)",
            where=path,
            fix="take out those that belong to one target: dronesense signatures import FILE --entry NAME",
        )
    return signatures[0], report


def build(
    wavelength: Floats,
    value: Floats,
    *,
    name: str,
    quantity: SignatureQuantity,
    origin: Origin,
    tally: Tally,
    where: str | Path,
    unit: str | None = None,
    percent: bool = False,
    sigma: Floats | None = None,
    entry: str = "",
) -> Signature:
    """Return a signature of what a file holds: nm, fractions, increasing, without deleted channels.

    Parameters
    ----------
    wavelength, value : (k,) float64
        As in the file: any order; deleted channels are NaN, infinite or below -1e30.
    name, quantity, origin, entry
        Of the signature.
    tally : Tally
        Gets what was dropped, assumed and what a user should know.
    where : str or Path
        File (and entry), for messages.
    unit : {"nm", "um"} or None
        Of the wavelengths; None: the file does not say, their range decides.
    percent : bool
        Whether 100 is white; see :func:`is_percent`.
    sigma : (k,) float64, optional
        Standard uncertainty, in the unit of *value*.

    Raises
    ------
    ReadError
        If fewer than two channels are left, or the wavelengths are in no known unit.
    """
    order = _order(wavelength, tally)
    x, y = wavelength[order], value[order]
    s = np.full(len(x), np.nan) if sigma is None else sigma[order]
    placed = np.isfinite(x) & (x > 0.0)
    x, y, s = x[placed], y[placed], s[placed]
    good = np.isfinite(y) & (y > DELETED_BELOW)
    lost = len(wavelength) - int(good.sum())
    if lost:
        tally.dropped[DELETED] += lost
    if int(good.sum()) < 2:
        raise ReadError(f"has {int(good.sum())} channels with a value: a signature needs two", where=where)
    factor = _nm_per_unit(x[good], unit, tally, where)
    good &= tally.keep(x * factor <= NM_RANGE[1], TOO_LONG)
    kept = np.flatnonzero(good)
    holes = np.flatnonzero(np.diff(kept) > 1)
    gaps = [(x[kept[at]] * factor, x[kept[at + 1]] * factor) for at in holes]
    x, y, s = _unique(x[good] * factor, y[good], s[good], tally)
    if len(x) < 2:
        raise ReadError("has one wavelength: a signature needs two", where=where)
    if quantity == "reflectance":
        scale = 100.0 if percent else 1.0
        y, s = y / scale, s / scale
        _remark_reflectance(y, name, tally)
    return Signature(
        name=name,
        wavelength_nm=x,
        value=y,
        sigma=s,
        quantity=quantity,
        source=origin.source,
        license=origin.license,
        citation=origin.citation,
        file=origin.file,
        sha256=origin.sha256,
        entry=entry,
        gaps_nm=tuple((float(low), float(high)) for low, high in gaps if low < high),
    )


def _order(wavelength: Floats, tally: Tally) -> NDArray[np.intp]:
    """Return the order in which the wavelengths grow."""
    order = np.argsort(wavelength, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        falls = bool(np.all(np.diff(wavelength) <= 0.0))
        tally.assumptions.append(
            "wavelengths fall: the order was turned" if falls else "wavelengths are not in order: sorted"
        )
    return order


def _nm_per_unit(wavelength: Floats, unit: str | None, tally: Tally, where: str | Path) -> float:
    """Return nm per unit of *wavelength*; the declared unit must be possible."""
    low, high = float(wavelength.min()), float(wavelength.max())
    possible = [
        name
        for name, (first, last) in (("nm", NM_RANGE), ("um", UM_RANGE))
        if first <= low and high <= last and (name == "nm" or low < NM_RANGE[0])
    ]
    if unit is None and possible:
        unit = possible[0]
        tally.assumptions.append(f"no unit of the wavelengths: {unit} assumed from {low:g} to {high:g}")
    if unit is None or unit not in possible:
        raise ReadError(
            f"wavelengths from {low:g} to {high:g} cannot be {unit or 'nm nor um'}",
            where=where,
            fix="check which column holds the wavelengths, and their unit",
        )
    return NM_PER_UNIT[unit]


def _unique(x: Floats, y: Floats, s: Floats, tally: Tally) -> tuple[Floats, Floats, Floats]:
    """Average what was measured at one and the same wavelength."""
    places, index, count = np.unique(x, return_inverse=True, return_counts=True)
    if len(places) == len(x):
        return x, y, s
    tally.dropped[REPEATED] += len(x) - len(places)
    return places, np.bincount(index, y) / count, np.bincount(index, s) / count


def is_percent(value: Floats, tally: Tally, where: str | Path) -> bool:
    """Return whether reflectance is in percent, from the highest of all its values.

    Raises
    ------
    ReadError
        If it is too high for percent, or too low for a fraction.
    """
    high = float(np.max(value[np.isfinite(value)], initial=0.0))
    if not (high == 0.0 or FRACTIONS_FROM <= high <= PERCENT_ABOVE * 100.0):
        raise ReadError(
            f"its highest value is {high:.4g}: no reflectance, neither as a fraction nor in percent",
            where=where,
            fix="scale it so that white is 1 or 100 (ENVI: state the reflectance scale factor)",
        )
    percent = high > PERCENT_ABOVE
    unit = "percent" if percent else "a fraction"
    tally.assumptions.append(f"reflectance is {unit}: the highest value is {high:.4g}")
    return percent


def _remark_reflectance(value: Floats, name: str, tally: Tally) -> None:
    high, negative = float(value.max()), int(np.count_nonzero(value < 0.0))
    if high > PERCENT_ABOVE:
        tally.warnings.append(f"{name}: reflectance of up to {high:.3g}: noise, or not in the stated unit")
    if negative:
        tally.warnings.append(f"{name}: {negative} channels with negative reflectance (kept)")


def cut_overlaps(wavelength: Floats, value: Floats, *, tally: Tally, where: str | Path) -> NDArray[np.bool_]:
    """Return which channels to keep where the ranges of detectors overlap: each up to the middle.

    Where wavelengths step back, the next detector begins. The overlap, from its first channel to the last
    channel of the one before, is cut in its middle; the step of the values there is told.

    Parameters
    ----------
    wavelength : (k,) float64
        Detector by detector.
    value : (k,) float64
        For the step only.

    Raises
    ------
    ReadError
        If the wavelengths step back more often than a spectrometer has detectors, or one detector does not
        begin beyond the start of the one before.
    """
    keep = np.ones(len(wavelength), dtype=np.bool_)
    back = np.flatnonzero(np.diff(wavelength) <= 0.0) + 1
    if len(back) >= MAX_DETECTORS:
        if np.all(np.diff(wavelength) < 0.0):
            return keep  # falling throughout
        raise ReadError(
            f"wavelengths step back {len(back)} times: not the detectors of a spectrometer", where=where
        )
    parts = np.split(np.arange(len(wavelength)), back)
    for before, after in itertools.pairwise(parts):
        low, high = wavelength[after[0]], wavelength[before[-1]]
        if wavelength[before[0]] >= low or wavelength[after[-1]] <= high:
            raise ReadError(
                f"wavelengths step back from {high:g} to {low:g}: one detector lies within another",
                where=where,
            )
        cut = 0.5 * (low + high)
        keep[before] &= wavelength[before] < cut
        keep[after] &= wavelength[after] >= cut
        left, right = (float(np.interp(cut, wavelength[part], value[part])) for part in (before, after))
        step = abs(right - left) / max(abs(left), abs(right), np.finfo(np.float64).tiny)
        text = f"detectors overlap from {low:g} to {high:g}: cut at {cut:g}, where they differ by {step:.1%}"
        (tally.warnings if step > NOTABLE_JUMP else tally.assumptions).append(text)
    if not keep.all():
        tally.dropped[OVERLAP] += int(np.count_nonzero(~keep))
    return keep


def ratio(target: Floats, reference: Floats) -> Floats:
    """Return *target* / *reference*, NaN where the reference is not over 0 or the ratio is no number."""
    good = reference > 0.0
    result = np.full(len(target), np.nan)
    with np.errstate(over="ignore"):
        np.divide(target, reference, out=result, where=good)
    result[~np.isfinite(result)] = np.nan
    return result


def distinct(names: Sequence[str]) -> list[str]:
    """Return *names* with a number behind those that repeat.

    Examples
    --------
    >>> distinct(["soil", "leaf", "soil"])
    ['soil', 'leaf', 'soil (2)']
    """
    taken: set[str] = set()
    result = []
    for name in names:
        number, unique = 1, name
        while unique in taken:
            number += 1
            unique = f"{name} ({number})"
        taken.add(unique)
        result.append(unique)
    return result
