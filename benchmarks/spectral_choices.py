"""What the choices of the spectral search are worth: backgrounds, detectors, and columns of a gas.

    python benchmarks/spectral_choices.py [--parts anomalies iterated detectors columns] [--first 2000]

`anomalies`: ``rx`` in front of each background; `iterated`: that background beside the scene's; `detectors`:
AUC with the signature from the largest object; `columns`: planted plumes of a made-up gas and, where the
shared data are, of methane. Rates are realized over stated ones. Made-up scenes: tests/spectral_scenes.py and
tests/column_scenes.py; real ones as in spectral_truth.py.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import spectral_truth as truth  # which also makes the scenes of the tests importable
from column_scenes import library_materials, lines_table
from column_scenes import scene as plume_scene
from machine import describe
from scipy import ndimage
from spectral_scenes import cube_of, rule_for, scene

from dronesense.detect import column_filter, spectral
from dronesense.detect import tail as tails
from dronesense.model import DetectRule
from dronesense.model.absorption import AbsorptionTable
from dronesense.readers import absorption_table

BACKGROUNDS: Final = ("scene", "columns", "local", "clusters")
RATES: Final = np.array([1e-2, 1e-3])
COLUMN_RATES: Final = np.array([1e-2, 1e-3, 1e-4])
SHARES: Final = (0.0, 0.01, 0.05)
"""Of the pixels that plumes cover."""
SCENES: Final = 12
DETECTORS: Final = ("mf", "ace", "mtmf", "nnls", "fcls")
SPECTRAL: Final = truth.SHARED.parent
HALF_WIDTH: Final = 1.645
"""Of a 90 % interval, standard deviations."""


def masked_scenes() -> list[tuple[truth.Real, Any, np.ndarray, list[np.ndarray]]]:
    """Return the real scenes with objects: cube, pixels well away from them, objects that can train."""
    found = []
    for each in list(truth.real_scenes())[:3]:
        labels, count = ndimage.label(each.mask, np.ones((3, 3)))
        objects = [labels == i for i in range(1, count + 1) if (labels == i).sum() >= 3]
        cube = cube_of(each.values, np.full(each.values.shape[1], np.nan), "counts")
        away = ~ndimage.binary_dilation(each.mask, np.ones((3, 3)), iterations=2)
        found.append((each, cube, away, objects))
    return found


def held_out(score: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Return realized over stated rates, learned from bands of ten lines and counted on the others."""
    away = away & np.isfinite(score)
    turn = (np.arange(len(score)) // truth.BAND_LINES) % 2 == 0
    count = np.zeros(len(RATES))
    for learned, counted in ((turn, ~turn), (~turn, turn)):
        tail = tails.fit(score[learned], exclude=np.zeros_like(score[learned], dtype=bool))
        count += [np.sum(score[counted][away[counted]] >= tails.score_at(tail, rate)) for rate in RATES]
    return np.asarray(count / away.sum() / RATES)


def pair(values: Sequence[float]) -> str:
    return " / ".join(f"{each:.2f}" for each in values)


def anomalies(first: int) -> None:
    """Print AUC on all pixels and rates of ``rx`` in front of each background."""
    real = masked_scenes()
    head = " | ".join(f"{each.name}: AUC, held out, from all lines" for each, *_ in real)
    print(f"| background | made-up, held out at 1e-2 / 1e-3 | {head} |\n|{'---|' * (2 + len(real))}")
    for background in BACKGROUNDS:
        rule = DetectRule("x", method="rx", background=background, threshold=truth.NEVER)
        made = [scene(seed) for seed in range(first, first + SCENES)]
        rates = [held_out(spectral.search(one.cube, [rule])[0][0].score, one.away) for one in made]
        cells = [pair(np.mean(rates, axis=0))]
        for each, cube, away, _ in real:
            ((found, _),) = spectral.search(cube, [rule])
            inside = [np.mean(found.score[away] >= tails.score_at(found.tail, rate)) / rate for rate in RATES]
            area = truth.auc(found.score, each.mask)
            cells.append(f"{area:.3f}, {pair(held_out(found.score, away))}, {pair(inside)}")
        print(f"| {background} | {' | '.join(cells)} |", flush=True)


def iterated() -> None:
    """Print mean AUC and rates over training objects, with and without targets in the background."""
    print("| scene (objects that train) | method | background | AUC | rates at 1e-2 / 1e-3 |")
    print("|---|---|---|---|---|")
    for each, cube, away, objects in masked_scenes():
        pixels = each.values.transpose(0, 2, 1)
        for method in ("mf", "ace"):
            for background in ("scene", "iterated"):
                areas, rates = [], []
                for one in objects:
                    mean = pixels[one].mean(axis=0, dtype=float)
                    rule = rule_for(
                        mean, "counts", method=method, threshold=truth.NEVER, background=background
                    )
                    ((found, _),) = spectral.search(cube, [rule])
                    areas.append(truth.auc(found.score[~one], each.mask[~one]))
                    levels = [tails.score_at(found.tail, rate) for rate in RATES]
                    rates.append([np.mean(found.score[away] >= level) for level in levels] / RATES)
                told = f"{np.mean(areas):.4f} | {pair(np.mean(rates, axis=0))}"
                print(f"| {each.name} ({len(objects)}) | {method} | {background} | {told} |", flush=True)


def detectors() -> None:
    """Print the AUC of detectors, the signature from the largest object, on all other pixels."""
    print(f"| scene | {' | '.join(DETECTORS)} |\n|{'---|' * (1 + len(DETECTORS))}")
    for each, cube, _, objects in masked_scenes():
        largest = max(objects, key=np.sum)
        mean = each.values.transpose(0, 2, 1)[largest].mean(axis=0, dtype=float)
        rules = [rule_for(mean, "counts", method=name, threshold=truth.NEVER) for name in DETECTORS]
        found = spectral.search(cube, rules)
        areas = [truth.auc(score.score[~largest], each.mask[~largest]) for score, _ in found]
        print(f"| {each.name} | {' | '.join(f'{area:.3f}' for area in areas)} |", flush=True)


def gases() -> dict[str, tuple[Any, AbsorptionTable, Callable[..., np.ndarray] | None]]:
    """Return tables and materials: a made-up gas, and methane over library spectra where they are."""
    nm, column, light = lines_table()
    found: dict[str, Any] = {
        "made-up gas": ((nm, column, light), AbsorptionTable("CH4", nm, column, light, "made up"), None)
    }
    path = SPECTRAL / "gas" / "mag1c_ch4.hdr"
    if path.is_file():
        table, _ = absorption_table.read(path, species="CH4")
        triple = (table.wavelength_nm, table.concentration_ppm_m, table.radiance)
        folder = next(SPECTRAL.glob("signatures/**/spectra.sli.xz")).parent
        found["methane, library spectra"] = (triple, table, partial(library_materials, folder))
    return found


def columns(first: int) -> None:
    """Print slope, coverage and rates of columns over planted plumes; without plumes, rates alone."""
    print("| scenes | runs | slope (sd) | least, most | slope, plumes kept in | 90 % interval holds "
          "| rates at 1e-2 / 1e-3 / 1e-4: mean | worst run |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for name, (table, absorption, materials) in gases().items():
        slopes, kept, covered, rates = [], [], [], []
        runs = [(share, seed) for share in SHARES for seed in range(first, first + SCENES // 3)]
        for share, seed in runs:
            made = plume_scene(table, share=share, seed=seed, materials=materials)
            found = column_filter.retrieve(made.cube, absorption, false_alarm_rate=1e-3)
            free, plume = made.truth == 0.0, made.truth > 0.0
            score, tail = found.score.score, found.score.tail
            rates.append(
                [np.mean(score[free] >= tails.score_at(tail, r)) for r in COLUMN_RATES] / COLUMN_RATES
            )
            if not plume.any():
                continue
            gas = made.truth[plume]
            slopes.append(float(np.sum(found.value[plume] * gas) / np.sum(gas**2)))
            error = np.abs(found.value[plume] - gas)
            covered.append(float(np.mean(error <= HALF_WIDTH * found.sigma[plume])))
            inside = column_filter.retrieve(made.cube, absorption, max_rounds=0, threshold=4.0)
            kept.append(float(np.sum(inside.value[plume] * gas) / np.sum(gas**2)))
        spread = f"{np.mean(slopes):.3f} ({np.std(slopes):.3f}) | {min(slopes):.3f}, {max(slopes):.3f}"
        told = f"{min(kept):.2f} to {max(kept):.2f} | {np.mean(covered):.1%}"
        print(f"| {name} | {len(runs)} | {spread} | {told} | {pair(np.mean(rates, axis=0))} "
              f"| {pair(np.max(rates, axis=0))} |", flush=True)  # fmt: skip


def main() -> None:
    """Print the tables that are asked for."""
    parts: dict[str, Callable[[], None]] = {"iterated": iterated, "detectors": detectors}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--first", type=int, default=2000, help="first seed; nothing was chosen on those from 2000"
    )
    parser.add_argument("--parts", nargs="+", default=["anomalies", *parts, "columns"],
                        choices=["anomalies", *parts, "columns"])  # fmt: skip
    options = parser.parse_args()
    parts |= {"anomalies": partial(anomalies, options.first), "columns": partial(columns, options.first)}
    print(describe())
    for part in options.parts:
        begin = time.perf_counter()
        parts[part]()
        print(f"<!-- {part}: {time.perf_counter() - begin:.0f} s -->", flush=True)


if __name__ == "__main__":
    main()
