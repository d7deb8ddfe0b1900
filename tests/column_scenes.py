"""Radiance scenes with planted gas, for tests of columns from cubes. Shares no formula with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from dronesense.model import Bands, LineScan, SpectralCube

NOISE_A, NOISE_B = 0.00279, 0.097
"""Of AVIRIS-NG near 2300 nm: noise = a sqrt(b + L), uW / (cm2 sr nm)."""


class ArraySource:
    """A cube in memory."""

    def __init__(self, values: np.ndarray, valid: np.ndarray | None = None) -> None:
        self.values = values.astype(np.float32)
        self.valid = np.ones((len(values), values.shape[2]), bool) if valid is None else valid
        self.rows_read = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        self.rows_read += stop - start
        return self.values[start:stop].copy(), self.valid[start:stop].copy()


def cube_of(values, center, fwhm, *, quantity="radiance", valid=None, geometry="lines") -> SpectralCube:
    bands = Bands(center, fwhm, np.ones(len(center), bool))
    where = LineScan(np.arange(len(values), dtype=np.int64)) if geometry == "lines" else geometry
    return SpectralCube("plume", ArraySource(values, valid), bands, quantity, where, "", "raw/plume.bil")


def lines_table(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return wavelengths, columns and radiance (m, k) of a made-up gas: 60 narrow lines around 2300 nm."""
    rng = np.random.default_rng(seed)
    nm = np.arange(2080.0, 2540.0, 0.05)
    place = np.sort(rng.normal(2310.0, 45.0, 60))
    depth = rng.lognormal(-10.3, 0.8, 60)
    cross = np.sum(depth / (1.0 + ((nm[:, None] - place) / 0.18) ** 2), axis=1)
    water = 0.35 * np.exp(-0.5 * ((nm - 2520.0) / 40.0) ** 2)
    light = 2.2 * np.exp(-(nm - 2080.0) / 300.0) * np.exp(-water)
    column = np.array([0.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0])
    return nm, column, light * np.exp(-np.outer(column, cross))


def made_up_materials(center: np.ndarray, count: int = 24, seed: int = 5) -> np.ndarray:
    """Return reflectances (count, bands): slopes, curvature, and clay or carbonate dips."""
    rng = np.random.default_rng(seed)
    x = (center - 2300.0) / 200.0
    base = rng.uniform(0.05, 0.5, (count, 1))
    shape = 1.0 + rng.normal(0, 0.15, (count, 1)) * x + rng.normal(0, 0.06, (count, 1)) * x**2
    for nm, width in ((2205.0, 22.0), (2340.0, 28.0), (2260.0, 40.0)):
        depth = np.where(rng.random((count, 1)) < 0.5, rng.uniform(0.0, 0.2, (count, 1)), 0.0)
        shape *= 1.0 - depth * np.exp(-0.5 * ((center - nm) / width) ** 2)
    return base * shape


def library_materials(folder: Path, center: np.ndarray, count: int = 40, seed: int = 5) -> np.ndarray:
    """Return reflectances of spectra of the earthlib library that are measured at these wavelengths."""
    import lzma

    text = (folder / "spectra.sli.hdr").read_text()
    wave = np.array([float(v) for v in text.split("wavelength = {")[1].split("}")[0].split(",")]) * 1e3
    packed = (folder / "spectra.sli.xz").read_bytes()
    rows = np.frombuffer(lzma.decompress(packed), "<f4").reshape(-1, len(wave))
    rows = rows.astype(np.float64) / (100.0 if np.nanmax(rows) > 2.0 else 1.0)
    near = (wave > center.min() - 30.0) & (wave < center.max() + 30.0)
    sound = np.isfinite(rows).all(axis=1) & (rows[:, near].min(axis=1) > 0.02)
    sound &= np.abs(np.diff(rows[:, near], 2, axis=1)).max(axis=1) < 0.02
    chosen = np.random.default_rng(seed).choice(np.flatnonzero(sound), count, replace=False)
    return PchipInterpolator(wave, rows[chosen], axis=1)(center)


@dataclass
class Scene:
    cube: SpectralCube
    truth: np.ndarray
    center: np.ndarray
    fwhm: np.ndarray
    radiance: np.ndarray


def plumes(shape, share, peak, rng) -> np.ndarray:
    """Return columns, ppm m: plumes that widen downwind, over *share* of the pixels, 500 to *peak*."""
    rows, cols = shape
    truth = np.zeros(shape)
    y, x = np.mgrid[:rows, :cols]
    while np.mean(truth >= 500.0) < share:
        r0, c0, angle = rng.uniform(0, rows), rng.uniform(0, cols), rng.uniform(0, 2 * np.pi)
        along = (y - r0) * np.cos(angle) + (x - c0) * np.sin(angle)
        across = -(y - r0) * np.sin(angle) + (x - c0) * np.cos(angle)
        width = 1.5 + 0.08 * np.maximum(along, 0.0)
        one = peak * np.exp(-0.5 * (across / width) ** 2) * 1.5 / width * (along > 0)
        truth = np.maximum(truth, np.where(one >= 500.0, one, 0.0))
    return np.minimum(truth, peak)


def scene(
    table, *, shape=(400, 120), share=0.02, peak=5000.0, seed=0, materials=None, noise=1.0, gain=0.02
) -> Scene:
    """Return a push-broom scene: mixtures of materials, lit through the table's air, with gas and noise.

    Parameters
    ----------
    table : (nm, column, radiance)
    materials : callable, optional
        Centers -> reflectances.
    """
    nm, column, light = table
    rng = np.random.default_rng(seed)
    center = np.arange(2124.0, 2488.0, 5.0) + 0.3
    fwhm = np.full(len(center), 5.8)
    weight = np.exp(-0.5 * ((nm - center[:, None]) / (fwhm[:, None] / 2.3548200450309493)) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    seen = light @ weight.T
    through = PchipInterpolator(column, np.log(seen / seen[0]), axis=0)
    spectra = (made_up_materials if materials is None else materials)(center)
    rows, cols = shape
    fields = np.stack([gaussian_filter(rng.normal(size=shape), 4.0, mode="wrap") for _ in spectra])
    fields /= fields.std(axis=(1, 2), keepdims=True)
    fields += 0.3 * rng.normal(size=fields.shape)
    part = np.exp(1.5 * fields)
    part /= part.sum(axis=0)
    shade = np.exp(0.15 * gaussian_filter(rng.normal(size=shape), 3.0, mode="wrap") * 10.0)
    ground = np.einsum("mrc,mb->rbc", part, spectra) * shade[:, None, :]
    truth = plumes(shape, share, peak, rng) if share > 0.0 else np.zeros(shape)
    radiance = ground * (seen[0] / np.pi * 2.0)[:, None]
    radiance *= np.exp(through(truth.ravel())).reshape(rows, cols, -1).transpose(0, 2, 1)
    sigma = noise * NOISE_A * np.sqrt(NOISE_B + radiance)
    noisy = radiance + sigma * rng.normal(size=radiance.shape)
    noisy *= 1.0 + gain * rng.normal(size=(len(center), cols))
    return Scene(cube_of(noisy, center, fwhm), truth, center, fwhm, radiance)
