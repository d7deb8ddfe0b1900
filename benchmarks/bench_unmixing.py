"""Non-negative and fully constrained unmixing beside pysptools, which solves pixel by pixel.

python benchmarks/bench_unmixing.py      (the peer: pip install pysptools cvxopt)

Without pysptools SciPy's `nnls`, called for each pixel, stands in for its NNLS.
"""

from __future__ import annotations

import numpy as np
from machine import describe, seconds, table
from scipy.optimize import nnls

from dronesense.blocks import one_blas_thread
from dronesense.detect.unmixing import shares

BANDS, MATERIALS = 100, 10
PIXELS = 128_000


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
    with one_blas_thread():
        for name, sum_to_one, some in (("NNLS", False, 5000), ("FCLS", True, 500)):
            mine = min(seconds(lambda: shares(pixels, materials, sum_to_one=sum_to_one)) for _ in range(3))  # noqa: B023
            peer, who = float("nan"), "-"
            if amaps is not None:
                solve = amaps.FCLS if sum_to_one else amaps.NNLS
                peer, who = seconds(lambda: solve(pixels[:some], materials)), "pysptools"  # noqa: B023
            elif not sum_to_one:
                peer = seconds(lambda: [nnls(materials.T, one) for one in pixels[:some]])  # noqa: B023
                who = "SciPy nnls"
            per_pixel = (mine / len(pixels), peer / some)
            rows.append(
                [
                    name,
                    f"{len(pixels) / mine:.0f}",
                    who,
                    f"{1 / per_pixel[1]:.0f}",
                    f"{per_pixel[1] / per_pixel[0]:.0f}",
                ]
            )
    table(["what", "dronesense pixels/s", "peer", "pixels/s", "times"], rows)


if __name__ == "__main__":
    main()
