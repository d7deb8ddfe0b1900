"""How far each line of a push-broom picture moved against the one before: what its camera felt of rolls."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_SHIFT_SHARE: Final = 0.25
"""Of the width of a line: a shift is looked for up to here."""
SMOOTH_SHARE: Final = 0.125
"""Of the width: what is broader is light and lens, not ground."""
MIN_CORRELATION: Final = 0.3
"""Of two lines once they are shifted; below, they do not show the same ground."""
LINES_AT_ONCE: Final = 1024

Floats = NDArray[np.float64]


def line_shifts(picture: NDArray[np.floating]) -> Floats:
    """Return by how many samples the ground moved from each line to the next.

    Parameters
    ----------
    picture : (lines, samples)
        One value for each pixel; NaN where not valid.

    Returns
    -------
    (lines,) float64
        Against the line before, toward higher samples; NaN for the first, and where two are not alike.

    Notes
    -----
    The peak of the cross-correlation, between samples by a parabola through it and its neighbors; flattened
    spectra were two to three times worse on planted shifts. What all lines have in common, as stripes of the
    detector, is taken off before.
    """
    lines, samples = picture.shape
    shift = np.full(lines, np.nan)
    even = picture - np.nanmedian(picture, axis=0, keepdims=True)
    for start in range(0, max(lines - 1, 0), LINES_AT_ONCE):
        part = _ground(even[start : start + LINES_AT_ONCE + 1], samples)
        shift[start + 1 : start + len(part)] = _between(part[:-1], part[1:])
    return shift


def _ground(lines: NDArray[np.floating], samples: int) -> Floats:
    """Return lines without what is broad, faded out at both ends."""
    from scipy.ndimage import uniform_filter1d

    filled = np.nan_to_num(np.asarray(lines, dtype=np.float64))
    broad = uniform_filter1d(filled, max(3, round(SMOOTH_SHARE * samples)), axis=1, mode="nearest")
    return np.asarray((filled - broad) * np.hanning(samples))


def _between(first: Floats, second: Floats) -> Floats:
    """Return the shift of each line of *second* against that of *first*, NaN where they are not alike."""
    n, samples = first.shape
    size = 2 * samples
    spectrum = np.conj(np.fft.rfft(first, size, axis=1)) * np.fft.rfft(second, size, axis=1)
    surface = np.fft.irfft(spectrum, size, axis=1)
    reach = max(1, int(MAX_SHIFT_SHARE * samples))
    near = np.roll(surface, reach + 1, axis=1)[:, : 2 * reach + 3]
    best = 1 + near[:, 1:-1].argmax(axis=1)
    rows = np.arange(n)
    left, top, right = (near[rows, best + step] for step in (-1, 0, 1))
    bend = left - 2.0 * top + right
    with np.errstate(divide="ignore", invalid="ignore"):
        fine = np.where(bend < 0.0, 0.5 * (left - right) / bend, 0.0)
    whole = best - (reach + 1)
    source = np.arange(samples) - whole[:, None]
    inside = (source >= 0) & (source < samples)
    moved = np.where(inside, np.take_along_axis(first, np.clip(source, 0, samples - 1), axis=1), 0.0)
    norm = np.sqrt(np.einsum("ns,ns->n", moved, moved) * np.einsum("ns,ns->n", second, second))
    alike = np.einsum("ns,ns->n", moved, second) / np.maximum(norm, 1e-300)
    return np.where(alike >= MIN_CORRELATION, whole + np.clip(fine, -0.5, 0.5), np.nan)
