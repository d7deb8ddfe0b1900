"""False alarms per hour: stated against realized, on simulated noise and on real records without plumes.

python benchmarks/false_alarms.py --hours 1000 --methods peak template cusum ewma

Every record is searched as the pipeline does it. Simulated records last an hour at 1 Hz. The real ones are
stretches of analyser files below the folder of shared test data in which no plume is possible or none came:
soil chambers that stay closed, ethane where there is none, a drone on the ground (smooth drift and noise).
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from machine import describe
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import chi2

from dronesense.detect import gas_statistics
from dronesense.detect.gas import WINDOW_S, search
from dronesense.model import Ambient, DetectRule, GasSeries

Floats = NDArray[np.float64]

SHARED: Final = Path(os.environ.get("DRONESENSE_SHARED", "../shared/data")) / "gas"
STATED: Final = (0.1, 1.0, 10.0)
NOISE: Final = 0.01
SECONDS: Final = 3600
BURN_IN: Final = 2000
GAP_S: Final = 30.0


def autoregression(phi: float, step: Floats) -> Floats:
    """Return AR(1) noise of unit variance from innovations of unit variance."""
    made: Floats = lfilter([math.sqrt(1.0 - phi**2)], [1.0, -phi], step)
    return made[BURN_IN:]


def white(rng: np.random.Generator) -> Floats:
    """White noise."""
    return rng.standard_normal(SECONDS)


def ar_half(rng: np.random.Generator) -> Floats:
    """AR(1), correlation 0.5 between neighbors."""
    return autoregression(0.5, rng.standard_normal(SECONDS + BURN_IN))


def ar_nine(rng: np.random.Generator) -> Floats:
    """AR(1), correlation 0.9."""
    return autoregression(0.9, rng.standard_normal(SECONDS + BURN_IN))


def student(rng: np.random.Generator) -> Floats:
    """AR(1), correlation 0.5, Student t innovations with 5 degrees of freedom."""
    return autoregression(0.5, rng.standard_t(5, SECONDS + BURN_IN) * math.sqrt(0.6))


def analyzer(rng: np.random.Generator) -> Floats:
    """White noise on a drift three times as large (memory 20 min), shown in steps of a standard deviation."""
    drift = 3.0 * autoregression(math.exp(-1.0 / 1200.0), rng.standard_normal(SECONDS + BURN_IN))
    return np.asarray(np.round(rng.standard_normal(SECONDS) + drift))


KINDS: Final[dict[str, Callable[[np.random.Generator], Floats]]] = {
    "white": white,
    "AR(1) 0.5": ar_half,
    "AR(1) 0.9": ar_nine,
    "AR(1) 0.5, Student t 5": student,
    "drift, rounded to 1 sigma": analyzer,
}


@dataclass(frozen=True)
class Piece:
    """Rows first:last of a column of a file below the shared gas data."""

    path: str
    column: str
    first: int
    last: int
    header: int = 0
    delimiter: str | None = ","


UGGA, N2OM1 = "analyser_formats/goFlux_UGGA.txt", "analyser_formats/goFlux_N2OM1.txt"
MIRA, PICO = "analyser_formats/goFlux_uCH4.txt", "uav_aeris_nmt/Pico100048_240626_"
CLOSED: Final = ((20, 215), (410, 540), (640, 830), (970, 1145), (1230, 1420), (1520, 1710))
REAL: Final = (
    *(Piece(UGGA, "[CH4]d_ppm", first, last, 1) for first, last in CLOSED),
    Piece(N2OM1, "[N2O]d_ppm", 0, 800, 1),
    Piece(N2OM1, "[CH4]d_ppm", 80, 770, 1),
    Piece(MIRA, "C2H6 (ppb)", 0, 450),
    Piece(MIRA, "CH4 (ppm)", 0, 380),
    Piece(PICO + "134234.txt", "C2H6 (ppb)", 0, 99),
    Piece(PICO + "134540.txt", "C2H6 (ppb)", 0, 225),
    Piece(PICO + "134540.txt", "C2H6 (ppb)", 265, 425),
    Piece(PICO + "135645.txt", "C2H6 (ppb)", 0, 391),
    Piece(PICO + "135645.txt", "CH4 (ppm)", 5, 391),
    Piece("analyser_formats/goFlux_LI7810.data", "CO2", 65, 245, 5, "\t"),
    Piece("analyser_formats/goFlux_LI7810.data", "CH4", 65, 245, 5, "\t"),
    Piece("analyser_formats/goFlux_LI7820.data", "N2O", 35, 265, 5, "\t"),
    Piece("analyser_formats/goFlux_G4301.dat", "CH4", 0, 712, 0, None),
)  # fmt: skip


def column_of(piece: Piece) -> Floats:
    """Return the rows of a piece; rows without a number in that column do not count."""
    lines = (SHARED / piece.path).read_text(encoding="utf-8", errors="replace").splitlines()[piece.header :]
    names = [name.strip() for name in lines[0].split(piece.delimiter)]
    at = names.index(piece.column)
    value = []
    for line in lines[1:]:
        fields = line.split(piece.delimiter)
        try:
            value.append(float(fields[at]))
        except (IndexError, ValueError):
            continue
    return np.array(value)[piece.first : piece.last]


def on_the_ground() -> Iterator[Floats]:
    """Yield what the NMT drone read on the ground before and after its flight."""
    with (SHARED / "uav_aeris_nmt/level0.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for species in ("CH4", "C2H6"):
        keys = ("Seconds", species, "Sts")
        table = np.array([[float(row[key] or "nan") for key in keys] for row in rows if row[species]])
        seconds, value = table[table[:, 2] == 0.0, :2].T
        yield from np.split(value, np.flatnonzero(np.diff(seconds) > GAP_S) + 1)


def series(value: Floats) -> GasSeries:
    """Return a calibrated series, one sample a second."""
    m = value.size
    return GasSeries(
        time=np.arange(m, dtype=np.int64) * 1_000_000_000,
        species="CH4",
        quantity="mole_fraction",
        value=value,
        sigma=np.full(m, float(np.std(np.diff(value))) or 1e-9),
        basis="dry",
        flags=np.zeros(m, np.uint16),
        level="calibrated",
        ambient=Ambient(),
        instrument="noise",
        source="noise",
        row=np.arange(m),
    )


def found_in(record: GasSeries, stated: float, method: str) -> int:
    """Return the number of events."""
    rule = DetectRule("noise", "CH4", method=method, false_alarms_per_hour=stated)
    return len(search(record, rule).detections)


def realized(count: int, hours: float) -> str:
    """Return the rate and its 90 % interval (Garwood 1936, Poisson)."""
    low = 0.5 * float(chi2.ppf(0.05, 2 * count)) if count else 0.0
    high = 0.5 * float(chi2.ppf(0.95, 2 * count + 2))
    return f"{count / hours:.3g} ({low / hours:.2g}-{high / hours:.2g})"


def main() -> None:
    """Print one table of simulated hours and one of real records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=1000, help="simulated hours of each kind of noise, or 0")
    parser.add_argument(
        "--methods", nargs="+", default=list(gas_statistics.METHODS), choices=gas_statistics.METHODS
    )
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    print(describe())
    head = "| record | method | " + " | ".join(f"stated {rate:g}" for rate in STATED) + " |"
    print(f"\n{head}\n|---|---|---|---|---|")
    for kind in options.kinds if options.hours else []:
        for method in options.methods:
            count = [0] * len(STATED)
            begin = time.perf_counter()
            for seed in range(options.hours):
                noise = KINDS[kind](np.random.default_rng((20_241, seed)))
                record = series(2.0 + NOISE * noise)
                for n, rate in enumerate(STATED):
                    count[n] += found_in(record, rate, method)
            rates = " | ".join(realized(each, options.hours) for each in count)
            took = time.perf_counter() - begin
            print(f"| {kind}, {options.hours} h | {method} | {rates} |  <!-- {took:.0f} s -->", flush=True)
    if not SHARED.is_dir():
        print(f"\nno real records: {SHARED} does not exist")
        return
    pieces = [column_of(piece) for piece in REAL] + list(on_the_ground())
    print(f"\nreal records without plumes\n\n{head}\n|---|---|---|---|---|")
    for title, chosen in (
        ("a window or longer", [value for value in pieces if value.size >= WINDOW_S]),
        ("shorter", [value for value in pieces if value.size < WINDOW_S]),
    ):
        hours = sum(value.size for value in chosen) / 3600.0
        for method in options.methods:
            each = [[found_in(series(value), rate, method) for rate in STATED] for value in chosen]
            rates = " | ".join(realized(count, hours) for count in np.sum(each, axis=0))
            print(f"| {title}: {len(chosen)}, {hours:.2f} h | {method} | {rates} |", flush=True)


if __name__ == "__main__":
    main()
