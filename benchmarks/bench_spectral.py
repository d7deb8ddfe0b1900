"""From disk to hotspots with dark, panel and robust statistics, beside SPy, each in a process of its own.

    python benchmarks/bench_spectral.py [--lines 2000] [--targets 10] [--rounds 3] [--only ours] [--sparse 20]

Both read the same cube of counts, calibrate it with dark and panel, estimate a background and score every
target with the matched filter and ACE (SPy: `calc_stats`, `matched_filter`, `ace`, `spectral_angles`), then
outline what is above a threshold. dronesense learns the threshold from the tail and tests for look-alikes.

Also: the scores alone, beside SPy's `matched_filter` and `ace` on a calibrated cube in memory and beside the
limit of sgemm; and a sparse file of many GB (``--sparse``), for time and memory that grow with the cube only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe, peak_mib, seconds, table

SAMPLES, BANDS = 640, 270
PANEL_LINES = 50
MATERIALS = 6
NM = np.linspace(400.0, 1000.0, BANDS)
FULL_SCALE = 3000.0
DARK = 120.0
MAX_TARGETS = 10
BLOCK = 50
SPY_ACE = 0.3
"""SPy states no threshold: pixels with this ACE or more are called found."""


def _bump(center: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((NM - center) / width) ** 2)


def _save(path: Path, blocks: object) -> None:
    with path.open("wb") as stream:
        lines = 0
        for block in blocks:  # type: ignore[attr-defined]
            stream.write(np.clip(block, 0, 4095).astype("<u2").tobytes())
            lines += len(block)
    _header(path, lines)


def _header(path: Path, lines: int) -> None:
    centers = ", ".join(f"{nm:.3f}" for nm in NM)
    Path(f"{path}.hdr").write_text(
        f"ENVI\nsamples = {SAMPLES}\nlines = {lines}\nbands = {BANDS}\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 12\ninterleave = bil\nbyte order = 0\n"
        f"wavelength units = nm\nwavelength = {{{centers}}}\n",
        encoding="ascii",
    )


def targets() -> np.ndarray:
    """Return the reflectances (10, bands) that are sought."""
    rng = np.random.default_rng(7)
    return np.stack(
        [
            0.10
            + 0.30 * _bump(rng.uniform(430, 950), rng.uniform(18, 40))
            + 0.25 * _bump(rng.uniform(430, 950), rng.uniform(18, 40))
            for _ in range(MAX_TARGETS)
        ]
    )


def light() -> np.ndarray:
    """Return the counts that a white surface gives."""
    return FULL_SCALE * (0.3 + 0.7 * _bump(650.0, 180.0))


def write(folder: Path, lines: int) -> None:
    """Write cube, dark and panel: mixtures of a few materials, light that varies, noise, planted targets."""
    rng = np.random.default_rng(0)
    spectra = np.stack(
        [0.05 + 0.3 * rng.random() * _bump(c, 120.0) for c in np.linspace(420, 950, MATERIALS)]
    )
    sought = targets()
    column = rng.uniform(0.95, 1.05, size=(BANDS, SAMPLES))

    def scene() -> object:
        for number, start in enumerate(range(0, lines, BLOCK)):
            n = min(BLOCK, lines - start)
            share = rng.dirichlet(np.full(MATERIALS, 0.7), size=n * SAMPLES).reshape(n, SAMPLES, MATERIALS)
            share *= rng.uniform(0.8, 1.2, (n, SAMPLES, 1))
            ground = np.einsum("lsm,mb->lbs", share, spectra).astype(np.float32)
            for k in range(4):
                col = 20 + 150 * k + (37 * number) % 100
                one = sought[(number + 3 * k) % MAX_TARGETS]
                ground[n // 2 : n // 2 + 2, :, col : col + 2] = one[:, None]
            counts = ground * light()[:, None].astype(np.float32) * column.astype(np.float32)
            counts += rng.standard_normal(ground.shape, dtype=np.float32) * np.float32(4.0) + np.float32(DARK)
            yield np.round(counts)

    _save(folder / "cube.bil", scene())
    shape = (PANEL_LINES, BANDS, SAMPLES)
    _save(folder / "dark.bil", [DARK + rng.normal(0.0, 4.0, shape)])
    _save(folder / "panel.bil", [DARK + 0.9 * light()[:, None] * column + rng.normal(0.0, 4.0, shape)])


def write_sparse(folder: Path, gigabytes: float) -> None:
    """Write a cube of this size of which only every 50th group of lines is stored; the rest are holes."""
    row = SAMPLES * BANDS * 2
    lines = int(gigabytes * 1e9) // row
    with (folder / "cube.bil").open("rb") as stream:
        group = stream.read(4 * row)
    with (folder / "sparse.bil").open("wb") as stream:
        for start in range(0, lines - 4, 200):
            stream.seek(start * row)
            stream.write(group)
        stream.truncate(lines * row)
    _header(folder / "sparse.bil", lines)


def _problem(folder: Path, count: int, name: str) -> tuple[Any, list[Any]]:
    from dronesense.calibrate import reflectance
    from dronesense.model import DetectRule, Panel, Signature
    from dronesense.readers import envi

    cube, dark, panel = (
        envi.read(folder / f"{each}.bil.hdr", label=each, name=each)[0] for each in (name, "dark", "panel")
    )
    unknown = np.full(BANDS, np.nan)
    white = Signature("panel", NM, np.full(BANDS, 0.9), unknown, "reflectance")
    lit = reflectance.calibrate(cube, dark=dark, panel=Panel(panel, white))
    rules = [
        DetectRule(f"t{k}", signature=Signature(f"t{k}", NM, value, unknown, "reflectance"), method="ace")
        for k, value in enumerate(targets()[:count])
    ]
    return lit, rules


def _search(folder: Path, count: int, name: str) -> dict[str, float]:
    from dronesense.detect import spectral

    found = spectral.search(*_problem(folder, count, name))
    return {
        "found": sum(len(detections) for _, detections in found),
        "pixels": sum(int((score.score >= score.threshold).sum()) for score, _ in found),
        "maps_mib": sum(score.score.nbytes for score, _ in found) / 2**20,
    }


def ours(folder: Path, count: int) -> dict[str, float]:
    """Search with dronesense."""
    return _search(folder, count, "cube")


def sparse(folder: Path, count: int) -> dict[str, float]:
    """Search the sparse cube with dronesense."""
    return _search(folder, count, "sparse")


def _spy_cube(folder: Path) -> np.ndarray:
    """Load and calibrate with NumPy, as a user of SPy would."""
    import spectral as spy

    dark = np.asarray(spy.open_image(str(folder / "dark.bil.hdr")).load()).mean(axis=0)
    panel = np.asarray(spy.open_image(str(folder / "panel.bil.hdr")).load()).mean(axis=0)
    image = np.asarray(spy.open_image(str(folder / "cube.bil.hdr")).load())
    return (image - dark) * (np.float32(0.9) / (panel - dark))


def theirs(folder: Path, count: int) -> dict[str, float]:
    """Do the same with SPy."""
    warnings.simplefilter("ignore")
    import spectral as spy
    from scipy import ndimage

    image = _spy_cube(folder)
    background = spy.calc_stats(image)
    sought = targets()[:count]
    spy.spectral_angles(image, sought)
    found = pixels = 0
    for each in sought:
        fraction = spy.matched_filter(image, each, background)
        high = (spy.ace(image, each, background) >= SPY_ACE) & (fraction > 0.0)
        found += ndimage.label(high, np.ones((3, 3)))[1]
        pixels += int(high.sum())
    return {"found": found, "pixels": pixels, "maps_mib": 0.0}


def alone(folder: Path, count: int) -> dict[str, float]:
    """Scores alone, one thread each: ours from the file, SPy's from memory, and the limit of sgemm."""
    warnings.simplefilter("ignore")
    import spectral as spy

    from dronesense.blocks import one_blas_thread
    from dronesense.detect import background as backgrounds
    from dronesense.detect import scoring
    from dronesense.detect import spectral as search

    lit, rules = _problem(folder, count, "cube")
    matched = [search.match_bands(lit, rule) for rule in rules]
    with one_blas_thread():
        tasks = search._prepare(lit, backgrounds.estimate(lit, ridge=search.DEFAULT_RIDGE), rules, matched)
        mine = min(
            seconds(lambda: scoring.score_cube(lit, tasks, budget_bytes=1 << 25, workers=1)) for _ in range(5)
        )
        square, pixels = (np.ones(shape, dtype=np.float32) for shape in ((BANDS, BANDS), (BANDS, SAMPLES)))
        limit = min(seconds(lambda: square @ pixels) for _ in range(200))
        image = _spy_cube(folder)
        known = spy.calc_stats(image)
        each = targets()[0]
        peer = seconds(lambda: spy.matched_filter(image, each, known))
        peer += seconds(lambda: spy.ace(image, each, known))
    pixels_scored = lit.shape[0] * lit.shape[2]
    # what an exact score must multiply: half of a square for the whitening, and a row for each target
    needed = 2.0 * pixels_scored * BANDS * (BANDS / 2 + count)
    return {
        "ours_s": mine,
        "spy_s": count * peer,
        "times": count * peer / mine,
        "sgemm_gflops": 2.0 * BANDS * BANDS * SAMPLES / limit / 1e9,
        "share_of_sgemm_triangular": needed / mine / (2.0 * BANDS * BANDS * SAMPLES / limit),
        "share_of_sgemm_square": 2.0
        * pixels_scored
        * BANDS
        * (BANDS + count)
        / mine
        * limit
        / (2.0 * BANDS * BANDS * SAMPLES),
    }


CHILDREN = {"ours": ours, "theirs": theirs, "sparse": sparse, "alone": alone}


def child(who: str, folder: Path, count: int) -> dict[str, float]:
    """Run this file in a new process; its seconds are those of the whole process."""
    start = time.perf_counter()
    # as installed, with compiled modules
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, __file__, "--child", who, "--targets", str(count), "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    result = json.loads(done.stdout.splitlines()[-1])
    return result | {"seconds": time.perf_counter() - start}


def _median(results: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(each[key] for each in results) for key in results[0]}


def _report(folder: Path, options: argparse.Namespace) -> None:
    size = SAMPLES * BANDS * options.lines * 2 / 1e6
    print(f"cube {options.lines} x {BANDS} x {SAMPLES}, uint16 BIL, {size:.0f} MB; whole processes")
    rows = []
    for count in options.counts:
        mine = _median([child("ours", folder, count) for _ in range(options.rounds)])
        peer = child("theirs", folder, count) if not options.only else dict.fromkeys(mine, float("nan"))
        rows.append(
            [
                f"{count}",
                f"{mine['seconds']:.2f}",
                f"{peer['seconds']:.1f}",
                f"{peer['seconds'] / mine['seconds']:.1f}",
                f"{size / mine['seconds']:.0f}",
                f"{mine['peak_mib']:.0f} ({mine['maps_mib']:.0f})",
                f"{peer['peak_mib']:.0f}",
                f"{mine['found']:.0f}, {mine['pixels']:.0f} px",
                f"{peer['found']:.0f}, {peer['pixels']:.0f} px",
            ]
        )
        print(rows[-1], file=sys.stderr, flush=True)
    head = ["targets", "dronesense s", "SPy s", "SPy / dronesense", "MB/s", "peak MiB (of which maps)"]
    table([*head, "SPy peak MiB", "found", "SPy found"], rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--targets", type=int, nargs="+", default=[1, 10], dest="counts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["ours"], help="without the peer")
    parser.add_argument("--sparse", type=float, default=0.0, help="GB")
    parser.add_argument("--folder", type=Path, help="where the cube is kept (written when it is not there)")
    parser.add_argument("--child", choices=sorted(CHILDREN), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        result = CHILDREN[options.child](options.folder, options.counts[0])
        print(json.dumps(result | {"peak_mib": peak_mib()}))
        return
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        if not (folder / "cube.bil.hdr").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write(folder, options.lines)
        _report(folder, options)
        if not options.only:
            print(f"scores alone, one thread: {json.dumps(child('alone', folder, MAX_TARGETS))}")
        if options.sparse:
            write_sparse(folder, options.sparse)
            result = child("sparse", folder, 1)
            print(f"sparse {options.sparse:g} GB, one target: {json.dumps(result)}")


if __name__ == "__main__":
    main()
