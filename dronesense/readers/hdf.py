"""Cubes in HDF5 and NetCDF-4 files, read by blocks; needs the extra ``dronesense[hdf]``.

The three-dimensional dataset is found by itself where there is one (or one much larger than others); the axes
are told by dimension names, else by the number of wavelengths. See ``docs/formats/hdf.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, UnitsError, did_you_mean
from dronesense.model import (
    Bands,
    FrameCamera,
    IngestReport,
    Instrument,
    LineCamera,
    LineScan,
    SpectralCube,
    TrackOptions,
)
from dronesense.model.cube import CUBE_QUANTITIES, CubeQuantity
from dronesense.readers import envi_scale, hdf_source
from dronesense.readers import line_times as line_time_files
from dronesense.readers.decoder import MAX_BLOCK_BYTES, Held
from dronesense.readers.envi_keys import NM_FROM, NM_PER_UNIT
from dronesense.readers.hdf_source import HdfSource
from dronesense.readers.tally import Tally
from dronesense.units import convert

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
USER_BLOCKS: Final = (0, 512, 1024, 2048, 4096)
"""Offsets at which an HDF5 file may begin (HDF5 file format 3.0, II.A), within what is sniffed."""
RADIANCE_UNIT: Final = "W/(m2 sr nm)"
BAND_WORDS: Final = ("band", "wavelength", "lambda", "spectral", "channel", "wl")
ROW_WORDS: Final = ("line", "row", "along", "downtrack", "frame", "northing", "lat", "y", "time", "scan")
COLUMN_WORDS: Final = ("sample", "col", "crosstrack", "across", "easting", "lon", "x", "pixel")
WAVELENGTH_WORDS: Final = ("wavelength", "wl", "lambda", "band_center", "center_wavelength")
FWHM_WORDS: Final = ("fwhm", "bandwidth", "band_width")
FILL_KEYS: Final = ("_FillValue", "missing_value", "data_ignore_value", "Data_Ignore_Value")
MULTIPLIERS: Final = ("scale_factor",)
"""Attributes that numbers are multiplied by (CF conventions, section 8.1)."""
DIVISORS: Final = ("Scale_Factor", "reflectance_scale_factor", "Reflectance_Scale_Factor")
"""Attributes that numbers of reflectance are divided by, as NEON writes them."""
SCALE_KEYS: Final = (*MULTIPLIERS, *DIVISORS)
GOOD_WORDS: Final = ("good_wavelength", "good_band", "bbl")
ONE_IS_MUCH_LARGER: Final = 4.0
"""A dataset this many times larger than every other of three dimensions is the cube."""
MOST_PER_STORED_BYTE: Final = 2000
"""Decoded bytes for each stored one beyond which a file is refused: deflate packs 1032 into one at most."""
AXES: Final = "lbs"
"""Letters of the option `order`: line, band, sample."""


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether *head* is that of an HDF5 (and so of a NetCDF-4) file."""
    return any(head[at : at + len(SIGNATURE)] == SIGNATURE for at in USER_BLOCKS)


@dataclass(slots=True)
class _Plan:
    """What is known of the dataset before the cube is made."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    attributes: dict[str, dict[str, Any]]
    """For each its first value as ``text``, its ``numbers`` (None where it holds none) and their ``rank``."""
    dimensions: list[str]
    vectors: dict[str, tuple[NDArray[np.float64], str]]


def read(
    path: Path,
    *,
    label: str,
    name: str,
    instrument: Instrument | None = None,
    line_times: str | Path = "auto",
    track: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
    dataset: str | None = None,
    order: str | None = None,
) -> tuple[SpectralCube, IngestReport]:
    """Open a dataset of an HDF5 or NetCDF-4 file as a cube; only of reflectance a few rows are read.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What the file is called in products.
    name : str
        Short name of the cube.
    instrument : Instrument, optional
        Camera: its id, and the counts from which a pixel is saturated.
    line_times : str or Path
        ``"auto"`` (``<name>.lines.csv`` beside it), ``"none"``, or a file.
    track : TrackOptions
        Not used: line times beside such a file are on UTC.
    dataset : str, optional
        Name of the dataset; found by itself where only one can be meant.
    order : str, optional
        Its axes: a permutation of ``"lbs"`` (line, band, sample); told by names or sizes if left out.

    Returns
    -------
    cube : SpectralCube
    report : IngestReport
        All that the file did not say is in `assumptions`.

    Raises
    ------
    ReadError
        If h5py is missing, the file is damaged, no dataset or several can be meant (their names are given),
        or the axes cannot be told.
    """
    del track
    path = Path(path)
    tally = Tally()
    with hdf_source.opened(path) as held:
        plan = _plan(held, dataset)
    axes = _axes(plan, order, path, tally)
    shape = cast("tuple[int, int, int]", tuple(plan.shape[axis] for axis in axes))
    bands = _bands(plan, shape[1], tally)
    quantity, factor = _quantity(plan, path, tally)
    geometry, times = _geometry(path, line_times, shape[0], tally)
    source = HdfSource(
        path,
        plan.name,
        axes,
        shape,
        bands.good,
        fill=_fills(plan),
        saturation=_saturation(instrument, shape[2], path) if quantity == "counts" else math.inf,
        chunks=plan.chunks,
    )
    scale, offset = _scale(plan, quantity, source, tally)
    cube = SpectralCube(
        name=name,
        source=replace(source, scale=scale * factor, offset=offset * factor),
        bands=bands,
        quantity=quantity,
        geometry=geometry,
        instrument="" if instrument is None else instrument.id,
        path=label,
        history=(f"read {label}:{plan.name} as HDF5 {plan.dtype.name}, {quantity}",),
    )
    named = [plan.dimensions[axis] or f"axis {axis}" for axis in axes]
    details = {"dataset": plan.name, "dtype": plan.dtype.name, "axes": named}
    return cube, tally.report(f"HDF5 {plan.dtype.name}", shape[0], companions=times, details=details)


def _geometry(
    path: Path, line_times: str | Path, lines: int, tally: Tally
) -> tuple[LineScan | None, tuple[str, ...]]:
    """Return the line times, and the file that tells them."""
    times = line_time_files.choose(path, line_times)
    if times is not None:
        found = LineScan(line_time_files.read(times, lines, warnings=tally.warnings))
        return found, (str(times.resolve()),)
    if line_times != "none":
        tally.warnings.append("no line times: map coordinates of HDF5 files are not read")
    return None, ()


def _plan(held: Held, wanted: str | None) -> _Plan:
    """Choose the dataset and gather what describes it, and all vectors that may be wavelengths."""
    inside, _ = held.ask({"do": "list"})
    name = _choose({each: tuple(shape) for each, shape in inside["cubes"].items()}, held.path, wanted)
    about, _ = held.ask({"do": "tell", "dataset": name})
    if about["elsewhere"]:
        raise ReadError(
            f"the numbers of {name} lie in other files", where=held.path, fix="copy them into one file"
        )
    plan = _Plan(
        name,
        tuple(about["shape"]),
        np.dtype(about["dtype"]),
        tuple(about["chunks"] or ()),
        about["attributes"],
        about["dimensions"],
        {},
    )
    _check_size(plan, about["stored"], held.path)
    spectral = (*WAVELENGTH_WORDS, *FWHM_WORDS, *GOOD_WORDS)
    for each, vector in inside["vectors"].items():
        if _is_word(each, spectral):
            numbers = hdf_source.part(held, each, [(0, vector["size"])])
            plan.vectors[each] = (numbers.astype(np.float64), vector["unit"])
    for key, value in plan.attributes.items():
        if value["numbers"] is not None and value["rank"] == 1 and _is_word(key, spectral):
            unit = _text(plan.attributes, "wavelength_units")
            plan.vectors.setdefault(key, (np.array(value["numbers"], dtype=np.float64), unit))
    return plan


def _check_size(plan: _Plan, stored: int, path: Path) -> None:
    """Refuse a dataset that says it is far larger than what is stored of it, and chunks that take all memory.

    Raises
    ------
    ReadError
        If so.
    """
    item = plan.dtype.itemsize
    if (chunk := math.prod(plan.chunks) * item) > MAX_BLOCK_BYTES and plan.chunks:
        raise ReadError(
            f"has chunks of {chunk} bytes in {plan.name} (at most {MAX_BLOCK_BYTES})",
            where=path,
            fix="write it again with smaller chunks: h5repack -l CHUNK=64x64x64",
        )
    if (claimed := math.prod(plan.shape) * item) > MOST_PER_STORED_BYTE * stored:
        raise ReadError(
            f"says that {plan.name} has {claimed} bytes, but holds {stored} for it",
            where=path,
            fix="copy it again from the card; if it stays, it was never filled",
        )


def _choose(cubes: dict[str, tuple[int, ...]], path: Path, wanted: str | None) -> str:
    if wanted is not None:
        wanted = wanted.strip("/")
        if wanted not in cubes:
            listed = ", ".join(sorted(cubes)) or "none"
            near = did_you_mean(wanted, cubes)
            raise ReadError(
                f'has no dataset "{wanted}" of three dimensions{near}; it has: {listed}',
                where=path,
                fix="name one of them",
            )
        return wanted
    if not cubes:
        raise ReadError("holds no dataset of numbers with three dimensions: no cube", where=path)
    by_size = sorted(cubes, key=lambda each: (-math.prod(cubes[each]), each))
    if len(by_size) > 1 and (
        math.prod(cubes[by_size[0]]) < ONE_IS_MUCH_LARGER * math.prod(cubes[by_size[1]])
    ):
        listed = ", ".join(f"{each} {cubes[each]}" for each in by_size)
        raise ReadError(
            f"holds several datasets that may be the cube: {listed}",
            where=path,
            fix=f'name one: dataset = "{by_size[0]}"',
        )
    return by_size[0]


def _text(attributes: dict[str, dict[str, Any]], *keys: str) -> str:
    """Return the first of the attributes that is there, as text."""
    return next((str(attributes[key]["text"]) for key in keys if key in attributes), "")


def _is_word(name: str, words: tuple[str, ...]) -> bool:
    bare = name.rpartition("/")[2].lower().replace(" ", "_")
    forms = (bare, bare.removesuffix("s"))
    return any(
        form == word or form.endswith(f"_{word}") or form.startswith(f"{word}_")
        for form in forms
        for word in words
    )


def _first(attributes: dict[str, dict[str, Any]], keys: tuple[str, ...], default: float) -> float:
    for key in keys:
        numbers = attributes[key]["numbers"] if key in attributes else None
        if numbers is not None and len(numbers) == 1:
            return float(numbers[0])
    return default


def _axes(plan: _Plan, order: str | None, path: Path, tally: Tally) -> tuple[int, int, int]:
    """Return which axis holds lines, bands, samples.

    Raises
    ------
    ReadError
        If neither `order`, nor names, nor the number of wavelengths tells.
    """
    if order is not None:
        if sorted(order) != sorted(AXES):
            raise ReadError(f'order = "{order}" is no permutation of "{AXES}"', where=path)
        return order.index("l"), order.index("b"), order.index("s")
    bands = [axis for axis in range(3) if _is_word(plan.dimensions[axis], BAND_WORDS)]
    if len(bands) != 1:
        counts = {len(each) for name, (each, _) in plan.vectors.items() if _is_word(name, WAVELENGTH_WORDS)}
        bands = [axis for axis in range(3) if plan.shape[axis] in counts]
        if len(bands) == 1:
            tally.assumptions.append(f"axis {bands[0]} holds the bands: it is as long as the wavelengths")
    if len(bands) != 1:
        raise ReadError(
            f"which axis of {plan.name} {plan.shape} holds the bands is not told",
            where=path,
            fix='state it: order = "lbs" (line, band, sample in the order of the file)',
        )
    rest = [axis for axis in range(3) if axis != bands[0]]
    words = [(plan.dimensions[axis], axis) for axis in rest]
    lines = [axis for text, axis in words if _is_word(text, ROW_WORDS)]
    samples = [axis for text, axis in words if _is_word(text, COLUMN_WORDS)]
    if len(lines) == 1 and samples != lines:
        rest.remove(lines[0])
        return lines[0], bands[0], rest[0]
    if len(samples) == 1:
        rest.remove(samples[0])
        return rest[0], bands[0], samples[0]
    tally.assumptions.append(f"axis {rest[0]} is taken to be the lines, axis {rest[1]} the samples")
    return rest[0], bands[0], rest[1]


def _bands(plan: _Plan, count: int, tally: Tally) -> Bands:
    unknown = np.full(count, np.nan)
    center, width, factor = unknown, unknown, 1.0
    good = np.ones(count, dtype=bool)
    for name, (numbers, unit) in plan.vectors.items():
        if len(numbers) != count or not _is_word(name, (*WAVELENGTH_WORDS, *GOOD_WORDS)):
            continue
        if _is_word(name, GOOD_WORDS) and np.isin(numbers, (0.0, 1.0)).all():
            good = numbers != 0.0
            continue
        if _is_word(name, FWHM_WORDS) or np.isfinite(center).any():
            continue
        if not (np.isfinite(numbers) & (numbers > 0.0)).all():
            tally.assumptions.append(f"{name} holds numbers that are no wavelengths: left out")
            continue
        if unit.lower() not in NM_PER_UNIT:
            unit = "nm" if numbers.min() > NM_FROM else "um"
            tally.assumptions.append(f"{name} has no unit that is known: {unit} guessed from the values")
        factor = NM_PER_UNIT[unit.lower()]
        center = numbers * factor
    if not np.isfinite(center).any():
        tally.assumptions.append("wavelengths not found: not known")
    for name, (numbers, unit) in plan.vectors.items():
        if len(numbers) == count and _is_word(name, FWHM_WORDS):
            width = numbers * NM_PER_UNIT.get(unit.lower(), factor)
            break
    return Bands(center, width, good)


def _quantity(plan: _Plan, path: Path, tally: Tally) -> tuple[CubeQuantity, float]:
    """Return the quantity, and the factor that brings radiance to W/(m2 sr nm)."""
    stated = _text(plan.attributes, "quantity").lower()
    if stated and stated not in CUBE_QUANTITIES:
        raise ReadError(
            f'unknown quantity "{stated}"', where=path, fix=f"one of {', '.join(CUBE_QUANTITIES)}"
        )
    unit = _text(plan.attributes, "units", "Units")
    factor = _radiance_factor(unit)
    quantity = cast("CubeQuantity", stated)
    if not stated:
        words = f"{plan.name} {_text(plan.attributes, 'long_name')} {_text(plan.attributes, 'standard_name')}"
        whole = plan.dtype.kind in "iu" and _first(plan.attributes, SCALE_KEYS, 1.0) == 1.0
        quantity = "counts" if whole else "radiance"
        if factor is not None or "radiance" in words.lower():
            quantity = "radiance"
        elif "reflectance" in words.lower():
            quantity = "reflectance"
        tally.assumptions.append(
            f'{quantity} assumed from type, name and unit; the attribute "quantity" overrides'
        )
    if quantity != "radiance":
        return quantity, 1.0
    if factor is None:
        tally.assumptions.append("the unit of radiance is not stated: numbers as they are")
        return quantity, 1.0
    if factor != 1.0:
        tally.assumptions.append(f'radiance in "{unit}" was converted to {RADIANCE_UNIT}')
    return quantity, factor


def _scale(plan: _Plan, quantity: CubeQuantity, source: HdfSource, tally: Tally) -> tuple[float, float]:
    """Return the scale and offset that make values of the numbers.

    ``scale_factor`` multiplies and ``Scale_Factor`` divides; of reflectance a few rows are looked at, as some
    writers have it the other way round.

    Raises
    ------
    ReadError
        If a factor may be either, or reflectance is no fraction with any of them.
    """
    offset = _first(plan.attributes, ("add_offset",), 0.0)
    factor = _first(plan.attributes, SCALE_KEYS, 1.0)
    divides = factor != 1.0 and not any(key in plan.attributes for key in MULTIPLIERS)
    where = f"{source.path}, dataset {plan.name}"
    if quantity != "reflectance" or offset != 0.0:
        if divides:
            raise ReadError(
                f"whether numbers are to be divided or multiplied by {factor:g} is not known",
                where=where,
                fix="name the attribute scale_factor, by which numbers are multiplied",
            )
        scale = factor
    else:
        typical = envi_scale.typical_of(source)
        ways = [1.0 / factor, factor] if divides else [factor, 1.0 / factor]
        least = 0.0 if factor == 1.0 else envi_scale.DARKEST
        fitting = [way for way in ways if least <= typical * way <= envi_scale.BRIGHTEST]
        if not fitting and typical > 0.0:
            raise ReadError(
                f"numbers are no reflectance as a fraction: typically {typical:.3g}, scale {factor:g}",
                where=where,
                fix="correct its scale_factor, or set its attribute quantity to radiance or counts",
            )
        scale = (fitting or ways)[0]
    if (scale, offset) != (1.0, 0.0):
        tally.assumptions.append(f"scale {scale:g} and offset {offset:g} of the file were applied")
    return scale, offset


def _radiance_factor(unit: str) -> float | None:
    try:
        return convert(1.0, unit, RADIANCE_UNIT)
    except UnitsError:
        return None


def _fills(plan: _Plan) -> tuple[float, ...]:
    """Return the numbers that stand for "no data" and that the dataset's type can hold."""
    found = []
    for key in FILL_KEYS:
        value = _first(plan.attributes, (key,), math.nan)
        if math.isnan(value) or value in found:
            continue
        limits = None if plan.dtype.kind == "f" else np.iinfo(plan.dtype)
        if limits is None or (value.is_integer() and limits.min <= value <= limits.max):
            found.append(value)
    return tuple(found)


def _saturation(instrument: Instrument | None, samples: int, path: Path) -> float:
    if instrument is None or not isinstance(instrument.spec, LineCamera | FrameCamera):
        return math.inf
    spec = instrument.spec
    if isinstance(spec, LineCamera) and spec.samples != samples:
        raise ReadError(
            f'has {samples} samples, but the camera "{instrument.id}" has {spec.samples}',
            where=path,
            fix="name the instrument that took this cube, or state the order of its axes",
        )
    return spec.saturation_dn
