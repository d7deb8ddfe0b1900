"""Make ``dronesense/geodesy/egm96.xz`` from NGA's grid: ``python benchmarks/make_geoid.py WW15MGH.GRD``.

``WW15MGH.GRD`` (public domain, in WW15MGH.zip from NGA's Office of Geomatics) is text: south, north, west,
east and two steps in degrees, then 721 rows from north to south of 1441 undulations in m, to the mm. Steps:

1. Fourier series along each parallel: the grid holds orders up to 360.
2. For each order, surface harmonics in geocentric latitude by least squares, weighted by area. Degree 364 is
   enough: the model ends at 360, and the few more carry what its evaluation on the ellipsoid adds.
3. Coefficients rounded to :data:`STEP_M`; the incompressible low bits are packed, the rest goes to LZMA.

The numbers it prints are those of docs/methods/heights.md.
"""

from __future__ import annotations

import argparse
import lzma
import struct
from pathlib import Path

import numpy as np

from dronesense.geodesy import geoid
from dronesense.geodesy.harmonics import legendre_degrees, parallels

DEGREE, ORDER = 364, 360
STEP_M = 2.5e-6
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 0, "pb": 0}]


def read_grid(path: Path) -> np.ndarray:
    """Return the (721, 1440) undulations from north to south, from 0° to the east."""
    numbers = np.array(path.read_text(encoding="ascii").split(), dtype=np.float64)
    if list(numbers[:6]) != [-90.0, 90.0, 0.0, 360.0, 0.25, 0.25]:
        raise SystemExit(f"{path} is not NGA's grid of 15'")
    return numbers[6:].reshape(721, 1441)[:, :1440]


def analyze(grid: np.ndarray) -> np.ndarray:
    """Return the harmonics of the grid, (2, DEGREE + 1, ORDER + 1)."""
    lat = np.linspace(90.0, -90.0, len(grid))
    sine, cosine = geoid.geocentric(lat)
    functions = np.zeros((ORDER + 1, DEGREE + 1, len(lat)))
    for n, function in enumerate(legendre_degrees(sine, np.abs(cosine), degree=DEGREE, order=ORDER)):
        functions[: len(function), n] = function
    waves = np.fft.rfft(grid, axis=1)[:, : ORDER + 1] / grid.shape[1]
    waves[:, 1:] *= 2.0
    weight = np.sqrt(
        np.maximum(np.cos(np.radians(lat)), 0.25 * np.radians(0.25))
    )  # the pole has a cap of its own
    found = np.zeros((2, DEGREE + 1, ORDER + 1))
    for m in range(ORDER + 1):
        target = np.stack([waves[:, m].real, -waves[:, m].imag], axis=1) * weight[:, None]
        found[:, m:, m] = np.linalg.lstsq((functions[m, m:] * weight).T, target, rcond=1e-11)[0].T
    return found


def encode(coefficients: np.ndarray) -> bytes:
    """Return the file, see :mod:`dronesense.geodesy.geoid`."""
    _, degree, order = (n - 1 for n in coefficients.shape)
    index = geoid.coefficient_order(degree, order)
    number = np.rint(coefficients[index] / STEP_M).astype(np.int64)
    width = np.zeros(degree + 1, dtype=np.uint8)
    for n in range(degree + 1):
        size = np.abs(number[index[1] == n]).astype(np.float64)
        spread = int(np.log2(max(np.sqrt(np.mean(size**2)), 1.0))) - 1
        width[n] = max(0, spread, int(np.ceil(np.log2(size.max() + 2.0))) - 7)
    each = width[index[1]]
    high = (number >> each).astype(np.int8)
    planes = [(number[each > plane] >> plane) & 1 for plane in range(int(width.max()))]
    low = np.packbits(np.concatenate(planes).astype(np.uint8))
    head = struct.pack(geoid.EGM96_HEADER, geoid.EGM96_MAGIC, degree, order, STEP_M)
    data = head + width.tobytes() + high.tobytes() + low.tobytes()
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, filters=FILTERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("grid", type=Path, help="WW15MGH.GRD")
    parser.add_argument("-o", "--output", type=Path, default=geoid.EGM96_FILE)
    given = parser.parse_args()
    grid = read_grid(given.grid)
    coefficients = analyze(grid)
    lat = np.linspace(90.0, -90.0, len(grid))
    best = parallels(coefficients, *geoid.geocentric(lat), columns=grid.shape[1]) - grid
    print(f"series before rounding: max {np.abs(best).max() * 1e3:.2f} mm, rms {best.std() * 1e3:.2f} mm")
    given.output.write_bytes(encode(coefficients))
    if given.output == geoid.EGM96_FILE:
        error = geoid.egm96_parallels(lat, columns=grid.shape[1]) - grid
        print(f"packaged series: max {np.abs(error).max() * 1e3:.2f} mm, rms {error.std() * 1e3:.2f} mm")
    print(f"{given.output}: {given.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
