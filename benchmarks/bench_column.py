"""Columns of gas from cubes: the sparse filter beside mag1c's published algorithm, and a whole retrieval.

python benchmarks/bench_column.py

The peer is a float64 NumPy transcription of the equations of Foote et al. 2020 (doi
10.1109/TGRS.2020.2976888): every round sums mean and covariance of all pixels without their gas anew.
"""

from __future__ import annotations

import numpy as np
from machine import describe, paired, seconds, table

from dronesense.blocks import one_blas_thread
from dronesense.detect.column_filter import retrieve
from dronesense.detect.sparse_column import sparse_filter
from dronesense.model import Bands, LineScan, SpectralCube
from dronesense.model.absorption import AbsorptionTable

LINES, COLUMNS, BANDS, ROUNDS = 1000, 40, 60, 30
"""40,000 pixels x 60 bands x 30 rounds."""


def published(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the columns (groups, n): all groups in one batch, as the program does."""
    n = x.shape[1]
    mu = x.mean(axis=1, keepdims=True)
    r = (x @ mu.transpose(0, 2, 1)) / (mu @ mu.transpose(0, 2, 1))
    t = k * mu
    alpha = np.zeros_like(r)
    for i in range(ROUNDS + 1):
        clean = x - r * alpha * t if i else x
        weight = 1.0 / (r * (alpha + 1e-4)) if i else 0.0
        mu = clean.mean(axis=1, keepdims=True)
        t = k * mu
        centered = clean - mu
        covariance = centered.transpose(0, 2, 1) @ centered / n
        p = np.linalg.solve(covariance, t.transpose(0, 2, 1))
        alpha = np.maximum(((x - mu) @ p - weight) / (r * (t @ p)), 0.0)
    return alpha[:, :, 0]


def scene(rows: int, cols: int, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Return radiance (cols, rows, bands) with gas over 2 % of the pixels, and the unit absorption."""
    rng = np.random.default_rng(0)
    k = -1.5e-5 * rng.random(bands) * (rng.random(bands) < 0.6)
    materials = 1.0 + 0.2 * np.cumsum(rng.normal(size=(6, bands)), axis=1) / np.sqrt(bands)
    share = rng.dirichlet(np.ones(6), size=(cols, rows))
    light = rng.lognormal(0.0, 0.3, (cols, rows, 1)) * (share @ np.abs(materials))
    gas = np.where(rng.random((cols, rows, 1)) < 0.02, rng.uniform(500.0, 5000.0, (cols, rows, 1)), 0.0)
    return light * np.exp(gas * k) + 0.003 * rng.normal(size=light.shape), k


class Source:
    """A cube in memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape = values.shape

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows."""
        part = self.values[start:stop]
        return part, np.ones((len(part), part.shape[2]), dtype=bool)


def whole(rows: int, cols: int, bands: int) -> tuple[float, list[int]]:
    """Return the seconds of a retrieval by detector column, and the pixels left out in each round."""
    light, k = scene(rows, cols, bands)
    values = np.ascontiguousarray(light.transpose(1, 2, 0), dtype=np.float32)
    del light
    center = 2124.0 + 5.0 * np.arange(bands)
    nm = np.arange(2090.0, center[-1] + 40.0, 0.25)
    column = np.array([0.0, 1000.0, 16000.0])
    radiance = np.exp(-np.outer(column, np.interp(nm, center, -k)))
    gas = AbsorptionTable("CH4", nm, column, radiance, "bench", window_nm=(2120.0, 2600.0))
    geometry = LineScan(np.arange(rows, dtype=np.int64))
    known = Bands(center, np.full(bands, 5.8), np.ones(bands, dtype=bool))
    cube = SpectralCube("bench", Source(values), known, "radiance", geometry, "", "bench")
    found = []
    took = seconds(lambda: found.append(retrieve(cube, gas, false_alarm_rate=1e-4)))
    return took, found[0].parameters["excluded_pixels"]


def main() -> None:
    """Print the tables."""
    print(describe())
    x, k = scene(LINES, COLUMNS, BANDS)
    with one_blas_thread():
        mine, theirs = sparse_filter(x, k, rounds=ROUNDS).value, published(x, k)
        ours, peers = paired(lambda: sparse_filter(x, k, rounds=ROUNDS), lambda: published(x, k))
    apart = float(np.max(np.abs(mine - theirs)) / theirs.max())
    head = ["sparse filter, 40,000 px x 60 bands x 30 rounds", "s", "published, s", "ratio", "apart"]
    table(head, [["", f"{ours:.3f}", f"{peers:.3f}", f"{peers / ours:.1f}", f"{apart:.1e}"]])
    print()
    took, excluded = whole(2000, 320, 73)
    head = ["retrieval, 2000 lines x 320 columns x 73 bands", "s", "excluded by round"]
    table(head, [["", f"{took:.2f}", ", ".join(map(str, excluded))]])


if __name__ == "__main__":
    main()
