"""Makes Resonon calibration packs from their description, with nothing of the code under test."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

HEADER = """ENVI
samples = {samples}
lines = {lines}
bands = {bands}
header offset = 0
file type = ENVI Standard
data type = {code}
interleave = bip
byte order = 0
sample binning = 1
spectral binning = 1
{more}
"""


def frame(values: np.ndarray, *, code: int, more: str = "") -> tuple[bytes, bytes]:
    """Return header and data of (lines, bands, samples) *values*, pixel by pixel."""
    lines, bands, samples = values.shape
    text = HEADER.format(lines=lines, bands=bands, samples=samples, code=code, more=more)
    data = values.transpose(0, 2, 1).astype({5: "<f8", 12: "<u2"}[code])
    return text.encode(), data.tobytes()


def members(
    gain: np.ndarray, darks: dict[tuple[int, int], np.ndarray], *, shutter: float = 20.0, gain_db: float = 0.0
) -> dict[str, bytes]:
    """Return the members of a pack: *gain* (bands, samples), and darks by gain (dB) and shutter (ms)."""
    bands, samples = gain.shape
    nm = ", ".join(f"{390 + 2 * band}" for band in range(bands))
    more = f"gain = {gain_db}\nshutter = {shutter}\nwavelength = {{{nm}}}"
    found = dict(zip(("gain.bip.hdr", "gain.bip"), frame(gain[None], code=5, more=more), strict=True))
    plain = frame(np.full((1, bands, samples), 0.04), code=5)
    found |= dict(zip(("offset.bip.hdr", "offset.bip"), plain, strict=True))
    for (decibel, ms), level in darks.items():
        name = f"offset_{bands}bands_4095ceiling_{decibel}gain_{samples}samples_{ms}shutter.bip"
        header, data = frame(level[None], code=12)
        found |= {f"{name}.hdr": header, name: data}
    return found


def pack(path: Path, content: dict[str, bytes]) -> Path:
    """Write *content* as a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(name, data)
    path.write_bytes(buffer.getvalue())
    return path
