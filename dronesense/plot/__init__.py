"""Quicklooks: one picture per cube and per gas series. Same data and versions, same bytes; no window."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import CubeView, Detection, GasSeries, GasTrace, ScoreMap, colors
from dronesense.model.signature import SignatureSet
from dronesense.writers.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dronesense.calibrate.plateaus import StandardsFit
    from dronesense.calibrate.response_fit import ResponseFit

MAX_SIDE_PIXELS: Final = 1600
"""Longest side of a decimated picture."""
NO_DATA_GRAY: Final = 0.5
MAX_SCORE_PANELS: Final = 3
MAX_PANEL_INCHES: Final = (9.0, 6.0)
"""Height, width."""
MIN_PANEL_INCHES: Final = 2.6
COLOR_BAR_INCHES: Final = 0.9
MARGIN_INCHES: Final = 1.0
SERIES_INCHES: Final = (11.0, 6.5)
DPI: Final = 100
TITLE_SIZE: Final = 8.0
MARK_POINTS: Final = 13.0
"""Diameter of the circle around a detection."""
MAX_NUMBERED: Final = 40
"""Best detections that get a number beside their circle; more would hide the picture."""
MIN_EVENT_FRACTION: Final = 0.002
"""Narrowest shading of an event, as a part of the series: a single sample stays visible."""
VALUE_COLOR: Final = "#1b3a5c"
BACKGROUND_COLOR: Final = "#d9822b"
EVENT_COLOR: Final = "#c0392b"
FLAG_COLOR: Final = "#8a8a8a"
STYLE: Final[dict[str, Any]] = {
    "agg.path.chunksize": 20_000,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.parse_math": False,  # a name with a dollar sign is no formula
}
AXIS_NAME: Final = {
    "mole_fraction": "mole fraction",
    "column": "path-integrated",
    "relative": "relative signal",
}

Floats = NDArray[np.float64]


def cube_quicklook(view: CubeView, path: Path) -> None:
    """Write a PNG of a cube: its colors with the detections circled, and its score maps beside it.

    Bands nearest to 640, 550 and 460 nm, or the first, middle and last good one where the cube has no such
    colors; each stretched from its 2nd to its 98th percentile. At most 1600 pixels a side: single rows are
    read, never the whole cube; score maps keep the highest score of each step, so that a single pixel stays
    visible.

    Raises
    ------
    OSError
        If the cube cannot be read, or the picture cannot be written.
    """
    rows, _, cols = view.cube.shape
    step = -(-max(rows, cols) // MAX_SIDE_PIXELS)
    bands, name = colors.rgb_bands(view.cube.bands)
    picture = colors.stretched(*colors.decimated(view.cube, bands, rows=range(0, rows, step), step=step))
    picture = np.nan_to_num(picture, nan=NO_DATA_GRAY)
    scores = view.scores[:MAX_SCORE_PANELS]
    with style():
        figure, axes = _panels(picture.shape[0] / picture.shape[1], len(scores))
        axes[0].imshow(picture, interpolation="nearest", extent=(-0.5, cols - 0.5, rows - 0.5, -0.5))
        quantity = view.cube.quantity
        axes[0].set_title(f"{view.cube.name}\n{name}, {quantity}", fontsize=TITLE_SIZE)
        for ax, score in zip(axes[1:], scores, strict=True):
            _draw_score(figure, ax, score, step)
            _mark(ax, [each for each in view.detections if each.target == score.target])
        _mark(axes[0], view.detections)
        for ax in axes:
            ax.set_xlabel("sample")
            ax.set_ylabel("line")
        _save(figure, path)


def series_quicklook(trace: GasTrace, path: Path, *, title: str = "") -> None:
    """Write a PNG of a gas series: reading, background, and what was found; below it z and its threshold.

    Samples that are not to be trusted are gray; events are shaded and numbered, the highest score first.

    Raises
    ------
    OSError
        If the picture cannot be written.
    """
    from matplotlib.figure import Figure

    series = trace.series
    searched = trace.z is not None
    with style():
        figure = Figure(figsize=SERIES_INCHES, dpi=DPI, layout="constrained")
        ratios = [2.0, 1.0] if searched else [1.0]
        axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
        time = series.time.astype("datetime64[ns]")
        _draw_values(axes[0], trace, time)
        if trace.z is not None:
            axes[1].plot(time, np.where(series.valid, trace.z, np.nan), color=VALUE_COLOR, lw=0.8)
            if np.isfinite(trace.threshold):
                label = f"threshold z = {trace.threshold:.2f}"
                axes[1].axhline(trace.threshold, color=EVENT_COLOR, lw=1.0, ls="--", label=label)
                axes[1].legend(loc="upper right")
            axes[1].set_ylabel("z (noise sigmas\nabove background)")
        for ax in axes:
            _shade_events(ax, trace)
            ax.grid(alpha=0.25)
        _number_events(axes[0], trace, time)
        axes[0].set_title(title or f"{series.species} from {series.source}", loc="left")
        _time_axis(axes[-1], series.time)
        _save(figure, path)


def calibration_quicklook(
    series: GasSeries, standards: StandardsFit | None, response: ResponseFit | None, path: Path
) -> None:
    """Write a PNG of a calibration: the recording with what was averaged, the residuals, the response.

    Raises
    ------
    OSError
        If the picture cannot be written.
    """
    from matplotlib.figure import Figure

    parts = 1 + (standards is not None) + (response is not None)
    with style():
        figure = Figure(
            figsize=(SERIES_INCHES[0], 0.5 * SERIES_INCHES[1] * parts), dpi=DPI, layout="constrained"
        )
        axes = iter(figure.subplots(parts, 1, squeeze=False)[:, 0])
        ax = next(axes)
        time = series.time.astype("datetime64[ns]")
        ax.plot(time, series.value, color=VALUE_COLOR, lw=0.8, label=f"{series.species}, {series.level}")
        for each in () if standards is None else standards.plateaus:
            stretch = np.array([each.start, each.end]).astype("datetime64[ns]")
            ax.plot(stretch, [each.mean, each.mean], color=EVENT_COLOR, lw=2.0)
        ax.set_ylabel(f"reading [{series.unit}]")
        ax.set_title(f"{series.species} from {series.source}", loc="left")
        _time_axis(ax, series.time)
        if standards is not None:
            _draw_residuals(next(axes), series, standards)
        if response is not None:
            ax = next(axes)
            ax.plot(response.seconds, response.reading, ".", color=FLAG_COLOR, ms=3.0, label="reading")
            ax.plot(response.seconds, response.fitted, color=EVENT_COLOR, lw=1.0, label="fit")
            ax.set_title(response.note, loc="left", fontsize=TITLE_SIZE)
            ax.set_xlabel("seconds since the first sample")
            ax.legend(loc="upper right")
        _save(figure, path)


def _draw_residuals(ax: Axes, series: GasSeries, standards: StandardsFit) -> None:
    """Draw reading minus line against the standards, with both uncertainties."""
    line = standards.fitted.line
    true = np.array([each.value for each in standards.standards])
    mean = np.array([each.mean for each in standards.plateaus])
    sigma = np.array([each.sigma for each in standards.plateaus])
    sigma_true = np.array([each.sigma for each in standards.standards])
    both = np.hypot(sigma, line.span * sigma_true)
    ax.errorbar(true, mean - line.zero - line.span * true, yerr=both, fmt="o", color=VALUE_COLOR, capsize=3.0)
    grid = np.linspace(true.min(), true.max(), 101)
    variance = line.sigma_zero**2 + (grid * line.sigma_span) ** 2 + 2.0 * grid * line.covariance
    band = np.sqrt(np.maximum(variance, 0.0))
    ax.fill_between(grid, -band, band, color=VALUE_COLOR, alpha=0.15, lw=0.0)
    ax.axhline(0.0, color=FLAG_COLOR, lw=0.8)
    ax.set_xlabel(f"standard [{series.unit}]")
    ax.set_ylabel(f"reading - line [{series.unit}]")
    ax.set_title(
        f"reading = {line.zero:.4g} + {line.span:.5g} true, "
        f"sigma {line.sigma_zero:.2g} and {line.sigma_span:.2g}",
        loc="left",
        fontsize=TITLE_SIZE,
    )


def signature_quicklook(target: SignatureSet, path: Path) -> None:
    """Write a PNG of the variants of a target; gaps are left open, known uncertainty is shaded.

    Raises
    ------
    OSError
        If the picture cannot be written.
    """
    from matplotlib.figure import Figure

    first = target.members[0]
    with style():
        figure = Figure(figsize=(SERIES_INCHES[0], 0.7 * SERIES_INCHES[1]), dpi=DPI, layout="constrained")
        ax = figure.subplots()
        for member in target.members:
            # A point without value within each gap, so that no line is drawn across it.
            gaps = np.array([0.5 * (low + high) for low, high in member.gaps_nm])
            at = np.searchsorted(member.wavelength_nm, gaps)
            place = np.insert(member.wavelength_nm, at, gaps)
            value, sigma = (np.insert(each, at, np.nan) for each in (member.value, member.sigma))
            (line,) = ax.plot(place, value, lw=1.0, label=member.name)
            ax.fill_between(place, value - sigma, value + sigma, color=line.get_color(), alpha=0.2, lw=0.0)
        ax.set_xlabel("band" if first.by_band else "wavelength [nm]")
        ax.set_ylabel(first.quantity)
        ax.set_title(target.name, loc="left")
        ax.grid(alpha=0.25)
        if 1 < len(target) <= MAX_NUMBERED:
            ax.legend(loc="upper right", fontsize=TITLE_SIZE)
        _save(figure, path)


# -- cube --


def _highest(score: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Return the highest score of each *step* x *step* pixels, NaN where there is none."""
    rows, cols = score.shape
    padded = np.full((-(-rows // step) * step, -(-cols // step) * step), -np.inf, dtype=np.float32)
    padded[:rows, :cols] = np.where(np.isfinite(score), score, -np.inf)
    tiles = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    highest = tiles.max(axis=(1, 3))
    return np.where(np.isfinite(highest), highest, np.float32(np.nan))


def _panels(aspect: float, n_scores: int) -> tuple[Figure, list[Axes]]:
    """Return a figure: a panel for the colors, one per score map, shaped like the cube (rows / cols)."""
    from matplotlib.figure import Figure

    height = min(MAX_PANEL_INCHES[0], MAX_PANEL_INCHES[1] * aspect)
    width = height / aspect
    n = 1 + n_scores
    size = (
        n * max(width + MARGIN_INCHES, MIN_PANEL_INCHES) + n_scores * COLOR_BAR_INCHES,
        max(height, MIN_PANEL_INCHES) + MARGIN_INCHES,
    )
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    return figure, list(figure.subplots(1, n, squeeze=False)[0])


def _draw_score(figure: Figure, ax: Axes, score: ScoreMap, step: int) -> None:
    values = _highest(score.score, step)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    rows, cols = score.score.shape
    image = ax.imshow(
        values,
        cmap="viridis",
        vmin=low,
        vmax=high if high > low else low + 1.0,
        interpolation="nearest",
        extent=(-0.5, cols - 0.5, rows - 0.5, -0.5),
    )
    ax.set_facecolor(str(NO_DATA_GRAY))
    ax.set_title(f"{score.target}\n{score.method}", fontsize=TITLE_SIZE)
    bar = figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_label(f"score [{score.unit}]")
    if np.isfinite(score.threshold) and low <= score.threshold <= high:
        bar.ax.axhline(score.threshold, color=EVENT_COLOR, lw=2.0)
        bar.ax.set_title("red: threshold", fontsize=7)


def _mark(ax: Axes, detections: Sequence[Detection]) -> None:
    """Circle the detections at their peaks and number the best ones."""
    if not detections:
        return
    ranked = sorted(detections, key=lambda each: -each.score if np.isfinite(each.score) else np.inf)
    row, col = np.array([each.index[each.peak] for each in ranked]).T
    for width, color in ((3.0, "black"), (1.4, "white")):
        ax.scatter(
            col, row, s=MARK_POINTS**2, facecolors="none", edgecolors=color, linewidths=width, zorder=3
        )
    for number in range(min(len(ranked), MAX_NUMBERED)):
        ax.annotate(
            str(number + 1),
            (col[number], row[number]),
            xytext=(MARK_POINTS / 2.0, MARK_POINTS / 2.0),
            textcoords="offset points",
            color="white",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "black", "alpha": 0.6, "linewidth": 0.0},
        )


# -- series --


def _draw_values(ax: Axes, trace: GasTrace, time: NDArray[np.datetime64]) -> None:
    series = trace.series
    doubtful = ~series.valid & np.isfinite(series.value)
    value = np.where(series.valid, series.value, np.nan)
    ax.fill_between(
        time,
        value - series.sigma,
        value + series.sigma,
        color=VALUE_COLOR,
        alpha=0.2,
        lw=0.0,
        label="± sigma",
    )
    ax.plot(time, value, color=VALUE_COLOR, lw=0.8, label=f"{series.species}, {series.level}")
    if doubtful.any():
        ax.plot(time[doubtful], series.value[doubtful], ".", color=FLAG_COLOR, ms=3.0, label="flagged")
    if trace.background is not None:
        ax.plot(time, trace.background, color=BACKGROUND_COLOR, lw=1.4, label="background")
    unit = "" if series.unit == "1" else f" [{series.unit}]"
    basis = f", {series.basis}" if series.basis != "unknown" else ""
    ax.set_ylabel(f"{series.species} {AXIS_NAME[series.quantity]}{basis}{unit}")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, borderaxespad=0.2)


def _spans(trace: GasTrace) -> list[tuple[Any, Any]]:
    """Return start and length of each event in days, as matplotlib counts time."""
    import matplotlib.dates

    dates: Any = matplotlib.dates  # has no annotations
    time = dates.date2num(trace.series.time.astype("datetime64[ns]"))
    least = MIN_EVENT_FRACTION * float(time[-1] - time[0])
    spans = []
    for each in trace.detections:
        first, last = float(time[each.index.min()]), float(time[each.index.max()])
        grow = max(0.0, least - (last - first)) / 2.0
        spans.append((first - grow, last - first + 2.0 * grow))
    return spans


def _shade_events(ax: Axes, trace: GasTrace) -> None:
    if trace.detections:
        across = ax.get_xaxis_transform()
        ax.broken_barh(_spans(trace), (0.0, 1.0), transform=across, color=EVENT_COLOR, alpha=0.18, lw=0.0)


def _number_events(ax: Axes, trace: GasTrace, time: NDArray[np.datetime64]) -> None:
    """Write beside each peak its number and enhancement."""
    ranked = sorted(trace.detections, key=lambda each: -each.score if np.isfinite(each.score) else np.inf)
    for number, each in enumerate(ranked[:MAX_NUMBERED], 1):
        peak = int(each.index[each.peak])
        if np.isfinite(trace.series.value[peak]):
            size = f": +{each.value:.3g} {each.unit}" if np.isfinite(each.value) else ""
            ax.annotate(
                f"{number}{size}",
                (time[peak], trace.series.value[peak]),
                xytext=(4, 4),
                textcoords="offset points",
                color=EVENT_COLOR,
                fontsize=8,
            )


def _time_axis(ax: Axes, time: NDArray[np.int64]) -> None:
    import matplotlib.dates

    dates: Any = matplotlib.dates  # has no annotations
    locator = dates.AutoDateLocator(tz="UTC")
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz="UTC", show_offset=False))
    day = np.datetime_as_string(time[:1].astype("datetime64[ns]"), unit="D")[0] if time.size else ""
    ax.set_xlabel(f"UTC {day}")


# -- paper and ink --


@contextmanager
def style() -> Iterator[None]:
    """Draw with matplotlib's own defaults, whatever this machine's matplotlibrc says."""
    import matplotlib as mpl

    settings: Any = {key: value for key, value in mpl.rcParamsDefault.items() if "backend" not in key}
    settings.update(STYLE)
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script the font lacks
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def _save(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    write_bytes(path, picture.getvalue())
