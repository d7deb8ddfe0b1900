"""Non-negative and fully constrained unmixing beside pysptools, which solves pixel by pixel.

python benchmarks/bench_unmixing.py      (the peer: pip install pysptools cvxopt)

Without pysptools SciPy's `nnls`, called for each pixel, stands in for its NNLS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from machine import describe, seconds, table
from scipy.optimize import nnls

from dronesense.blocks import one_blas_thread
from dronesense.detect.unmixing import shares

BANDS, MATERIALS = 100, 10
PIXELS = 256_000
ROUNDS = 5


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Return noisy mixtures (pixels, bands) and materials."""
    rng = np.random.default_rng(0)
    nm = np.linspace(400.0, 1000.0, BANDS)
    centers = np.linspace(420.0, 980.0, MATERIALS)
    materials = 0.1 + 0.4 * np.exp(
        -0.5 * ((nm - centers[:, None]) / rng.uniform(30, 90, (MATERIALS, 1))) ** 2
    )
    mixed = rng.dirichlet(np.full(MATERIALS, 0.3), size=PIXELS) @ materials
    return mixed + 0.005 * rng.normal(size=mixed.shape), materials


def main() -> None:
    """Print the table."""
    print(describe())
    pixels, materials = scene()
    rows = []
    try:
        from pysptools.abundance_maps import amaps
    except ImportError:
        amaps = None
    for name, sum_to_one, some in (("NNLS", False, 20_000), ("FCLS", True, 500)):
        one, two = (partial(shares, pixels, materials, sum_to_one=sum_to_one, workers=n) for n in (1, 2))
        alone, mine = _best(one), _best(two)
        peer, who = (float("nan"), float("nan")), "-"
        with one_blas_thread():
            if amaps is not None:
                solve, who = (amaps.FCLS if sum_to_one else amaps.NNLS), "pysptools"
                peer = _best(partial(solve, pixels[:some], materials))
            elif not sum_to_one:
                who = "SciPy nnls"
                peer = _best(lambda: [nnls(materials.T, one) for one in pixels[:some]])  # noqa: B023
        speed = [len(pixels) / alone[1], some / peer[1], len(pixels) / mine[0], some / peer[0]]
        times = [f"{speed[0] / speed[1]:.0f}", f"{speed[2] / speed[3]:.0f}"]
        rows.append([name, who, *(f"{each:.0f}" for each in speed), *times])
    head = [
        "pixels per CPU second",
        "peer's",
        "pixels/s, 2 threads",
        "peer's",
        "times per CPU",
        "times, 2 threads",
    ]
    table(["what", "peer", *head], rows)


def _best(call: Callable[[], object]) -> tuple[float, float]:
    """Return the least seconds of some runs: by the clock, and of the processor."""
    clock, processor = [], []
    for _ in range(ROUNDS):
        start = time.process_time()
        clock.append(seconds(call))
        processor.append(time.process_time() - start)
    return min(clock), min(processor)


if __name__ == "__main__":
    main()
