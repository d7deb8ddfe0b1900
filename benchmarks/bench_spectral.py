"""Reflectance and a search with SAM, MF and ACE, beside SPy on the same cube, each in a process of its own.

    python benchmarks/bench_spectral.py [--lines 2000]

dronesense does the whole step: read, dark and panel, background, scores, thresholds, regions, look-alikes.
SPy does ``load``, ``calc_stats``, ``matched_filter``, ``ace`` and ``spectral_angles`` on the counts. Both run
with one OpenBLAS thread, as the ``dronesense`` command does, unless ``OPENBLAS_NUM_THREADS`` is set.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from machine import describe, peak_mib, table

SAMPLES, BANDS = 640, 270
PANEL_LINES = 50
MATERIALS = 6
NM = np.linspace(400.0, 1000.0, BANDS)
FULL_SCALE = 3000.0
DARK = 120.0


def _bump(center: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((NM - center) / width) ** 2)


def _save(path: Path, blocks: list[np.ndarray]) -> None:
    with path.open("wb") as stream:
        lines = 0
        for block in blocks:
            stream.write(np.clip(block, 0, 4095).astype("<u2").tobytes())
            lines += len(block)
    centers = ", ".join(f"{nm:.3f}" for nm in NM)
    Path(f"{path}.hdr").write_text(
        f"ENVI\nsamples = {SAMPLES}\nlines = {lines}\nbands = {BANDS}\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 12\ninterleave = bil\nbyte order = 0\n"
        f"wavelength units = nm\nwavelength = {{{centers}}}\n",
        encoding="ascii",
    )


def target() -> np.ndarray:
    """Return the reflectance that is sought."""
    return 0.12 + 0.30 * _bump(465.0, 38.0) + 0.25 / (1 + np.exp(-(NM - 820.0) / 25.0))


def write(folder: Path, lines: int) -> None:
    """Write cube, dark and panel: mixtures of a few materials, light that varies, noise, planted targets."""
    rng = np.random.default_rng(0)
    light = FULL_SCALE * (0.3 + 0.7 * _bump(650.0, 180.0))
    spectra = np.stack(
        [0.05 + 0.3 * rng.random() * _bump(c, 120.0) for c in np.linspace(420, 950, MATERIALS)]
    )
    blocks = []
    for start in range(0, lines, 50):
        n = min(50, lines - start)
        share = rng.dirichlet(np.full(MATERIALS, 0.7), size=(n, SAMPLES)) * rng.uniform(
            0.8, 1.2, (n, SAMPLES, 1)
        )
        ground = np.einsum("lsm,mb->lbs", share, spectra)
        ground[n // 2, :, 40::200] = target()[:, None]
        counts = ground * light[:, None] + DARK + rng.normal(0.0, 4.0, ground.shape)
        blocks.append(np.round(np.clip(counts, 0, 4095)).astype("<u2"))
    _save(folder / "cube.bil", blocks)
    shape = (PANEL_LINES, BANDS, SAMPLES)
    _save(folder / "dark.bil", [DARK + rng.normal(0.0, 4.0, shape)])
    _save(folder / "panel.bil", [DARK + 0.9 * light[:, None] + rng.normal(0.0, 4.0, shape)])
    np.save(folder / "target_counts.npy", target() * light + DARK)


def ours(folder: Path) -> dict[str, float]:
    """Search with dronesense."""
    from dronesense.calibrate import reflectance
    from dronesense.detect import spectral
    from dronesense.model import DetectRule, Panel, Signature
    from dronesense.readers import envi

    start = time.perf_counter()
    cube, dark, panel = (
        envi.read(folder / f"{name}.bil.hdr", label=name, name=name)[0] for name in ("cube", "dark", "panel")
    )
    unknown = np.full(BANDS, np.nan)
    white = Signature("panel", NM, np.full(BANDS, 0.9), unknown, "reflectance")
    sought = Signature("target", NM, target(), unknown, "reflectance")
    lit = reflectance.calibrate(cube, dark=dark, panel=Panel(panel, white))
    rules = [DetectRule("target", signature=sought, method=name) for name in ("sam", "mf", "ace")]
    found = spectral.search(lit, rules)
    return {"seconds": time.perf_counter() - start, "found": len(found[2][1]), "peak_mib": peak_mib()}


def theirs(folder: Path) -> dict[str, float]:
    """Score with SPy."""
    warnings.simplefilter("ignore")
    import spectral as spy

    sought = np.load(folder / "target_counts.npy")
    start = time.perf_counter()
    image = spy.open_image(str(folder / "cube.bil.hdr")).load()
    background = spy.calc_stats(image)
    spy.matched_filter(image, sought, background)
    score = spy.ace(image, sought, background)
    spy.spectral_angles(image, sought[None])
    spent = time.perf_counter() - start
    return {"seconds": spent, "found": int(np.sum(score > 0.5)), "peak_mib": peak_mib()}


def child(who: str, folder: Path) -> dict[str, float]:
    """Run this file in a new process and return what it prints."""
    command = [sys.executable, __file__, "--child", who, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        who, folder = options.child
        print(json.dumps({"ours": ours, "theirs": theirs}[who](Path(folder))))
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), options.lines)
        children = {who: child(who, Path(name)) for who in ("ours", "theirs")}
    size = SAMPLES * BANDS * options.lines * 2 / 1e6
    print(f"cube {options.lines} x {BANDS} x {SAMPLES}, uint16 BIL, {size:.0f} MB")
    mine, peer = children["ours"], children["theirs"]
    table(
        ["what", "dronesense", "SPy", "SPy / dronesense"],
        [
            [label, f"{mine[key]:.1f}", f"{peer[key]:.1f}", f"{peer[key] / mine[key]:.1f}"]
            for label, key in (("seconds", "seconds"), ("peak MiB", "peak_mib"))
        ]
        + [["MB/s of the file", f"{size / mine['seconds']:.0f}", f"{size / peer['seconds']:.0f}", ""]],
    )
    print(f"{mine['found']:.0f} detections; SPy: {peer['found']:.0f} pixels with ACE above 0.5")


if __name__ == "__main__":
    main()
