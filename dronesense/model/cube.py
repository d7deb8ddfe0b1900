"""A spectral cube that is never forced into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dronesense.model import showing
from dronesense.model.checks import freeze
from dronesense.model.radiometry import CameraSettings
from dronesense.model.region import Region

if TYPE_CHECKING:
    import xarray as xr

CubeQuantity = Literal["counts", "radiance", "reflectance"]
CUBE_QUANTITIES: Final = ("counts", "radiance", "reflectance")
DEFAULT_BLOCK_BYTES: Final = 32 * 1024 * 1024
"""Size of one float32 block when nobody says otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Spectral bands.

    Parameters
    ----------
    center_nm, fwhm_nm : (b,) float64
        Center and full width at half maximum, nm; NaN when the file does not tell.
    good : (b,) bool
        False for bands that the file or the user excludes.
    """

    center_nm: NDArray[np.float64]
    fwhm_nm: NDArray[np.float64]
    good: NDArray[np.bool_]

    def __post_init__(self) -> None:
        b = len(self.center_nm)
        freeze(self, np.float64, (None,), "center_nm")
        freeze(self, np.float64, (b,), "fwhm_nm")
        freeze(self, np.bool_, (b,), "good")

    def __len__(self) -> int:
        return len(self.center_nm)


class CubeSource(Protocol):
    """Rows of a cube on demand: a file, or a calibration wrapped around another source."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, bands, columns."""
        ...

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return rows ``start:stop`` as (rows, bands, cols) float32, and (rows, cols) validity."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A source as the numbers of its file and what makes values of them: ``stored * gain + offset``.

    A source may offer it as ``folded()``; see :func:`fold`. It spares the reader of a large cube the values
    that nobody keeps: gain and offset go into the matrices that the pixels are multiplied with.

    Parameters
    ----------
    read : callable
        ``read(start, stop)``: rows as (rows, bands, cols) of the file's type, and (rows, cols) validity.
    gain, offset : (bands, cols) float32, or None
        None: 1 and 0. NaN in bands that are not good.
    repair : (band, col, below, above) int64 arrays
        Elements (band, col) whose value is then interpolated between bands *below* and *above*...
    share : float32
        ... at this share of the way.
    """

    read: Callable[[int, int], tuple[NDArray[np.generic], NDArray[np.bool_]]]
    gain: NDArray[np.float32] | None = None
    offset: NDArray[np.float32] | None = None
    repair: tuple[NDArray[np.int64], ...] = ()
    share: NDArray[np.float32] | None = None


def fold(source: CubeSource) -> Folded:
    """Return *source* in its folded form: what its ``folded()`` offers, or its values as they are."""
    offered = getattr(source, "folded", None)
    return Folded(source.read) if offered is None else offered()


@dataclass(frozen=True, slots=True, eq=False)
class LineScan:
    """A push-broom line after line; `time` (rows,) int64 UTC ns is the middle of each exposure."""

    time: NDArray[np.int64]

    def __post_init__(self) -> None:
        freeze(self, np.int64, (None,), "time")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One exposure; `time` int64 UTC ns."""

    time: int


@dataclass(frozen=True, slots=True, eq=False)
class MapGrid:
    """A cube on a map grid.

    Parameters
    ----------
    transform : (a, b, c, d, e, f)
        ``x = a*col + b*row + c``, ``y = d*col + e*row + f`` with the *corner* of the first pixel at (0, 0).
    crs : str
        Anything pyproj understands; never empty.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str

    def __post_init__(self) -> None:
        a, b, _, d, e, _ = self.transform
        if not self.crs:
            raise ValueError("a map grid needs a CRS")
        if a * e - b * d == 0.0:
            raise ValueError("the transform of a map grid must be invertible")


Geometry = LineScan | Frame | MapGrid


@dataclass(frozen=True, slots=True, eq=False)
class CubeBlock:
    """Some rows of a cube.

    Parameters
    ----------
    start : int
        First row.
    values : (rows, bands, cols) float32
        In file order.
    valid : (rows, cols) bool
        False for saturated, missing or ignored pixels.
    """

    start: int
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SpectralCube:
    """A cube of counts, radiance or reflectance.

    Parameters
    ----------
    name : str
        Short name, used in product names.
    source : CubeSource
        Where rows come from; see :meth:`blocks`.
    bands : Bands
        One entry per band of `source`.
    quantity : {"counts", "radiance", "reflectance"}
        Guards the order of steps.
    geometry : LineScan, Frame, MapGrid or None
        How pixels relate to the ground. None: not known (dark and panel captures, or times missing).
    instrument : str
        Instrument id, may be empty.
    path : str
        File, relative to the flight folder.
    integration_ms : float
        Exposure, ms; NaN when unknown.
    history : tuple of str
        One line per step.
    settings : CameraSettings or None
        How it was taken, as far as its file tells; None: only the exposure may be known.
    relative_sigma : (bands,) float64 or None
        Standard uncertainty of the calibration as a share of the value, shared by all pixels; NaN for bands
        of which nothing is known, None before any calibration.
    """

    name: str
    source: CubeSource
    bands: Bands
    quantity: CubeQuantity
    geometry: Geometry | None
    instrument: str
    path: str
    integration_ms: float = float("nan")
    history: tuple[str, ...] = ()
    settings: CameraSettings | None = None
    relative_sigma: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        rows, bands, cols = self.source.shape
        freeze(self, np.float64, (bands,), "relative_sigma")
        if min(rows, bands, cols) < 1:
            raise ValueError(f"a cube needs at least one row, band and column, not {self.source.shape}")
        if bands != len(self.bands):
            raise ValueError(f"the source has {bands} bands, the band list {len(self.bands)}")
        if self.quantity not in CUBE_QUANTITIES:
            raise ValueError(f"quantity must be one of {CUBE_QUANTITIES}, not {self.quantity!r}")
        if isinstance(self.geometry, LineScan) and len(self.geometry.time) != rows:
            raise ValueError(f"{len(self.geometry.time)} line times for {rows} rows")

    def __repr__(self) -> str:
        rows, bands, cols = self.shape
        return f"<SpectralCube {self.name}: {rows} rows, {bands} bands, {cols} columns, {self.quantity}>"

    def _repr_html_(self) -> str:
        rows, bands, cols = self.shape
        center = self.bands.center_nm[np.isfinite(self.bands.center_nm)]
        facts = {
            "file": self.path,
            "instrument": self.instrument,
            "size": f"{rows} rows, {bands} bands ({int(self.bands.good.sum())} good), {cols} columns",
            "wavelengths": showing.span(center.min(), center.max(), "nm") if center.size else "not known",
            "quantity": self.quantity,
            "steps": "; ".join(self.history),
        }
        from dronesense.model import thumbnail

        return showing.card(f"Cube {self.name}", facts, below=thumbnail.of_cube(self))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, bands, columns."""
        return self.source.shape

    def blocks(self, budget_bytes: int = DEFAULT_BLOCK_BYTES) -> Iterator[CubeBlock]:
        """Yield consecutive blocks whose float32 values take at most *budget_bytes* (at least one row)."""
        rows, bands, cols = self.shape
        step = max(1, budget_bytes // (bands * cols * 4))
        for start in range(0, rows, step):
            values, valid = self.source.read(start, min(start + step, rows))
            yield CubeBlock(start, values, valid)

    def spectrum(self, row: int, col: int) -> NDArray[np.float32]:
        """Return the (bands,) spectrum of one pixel."""
        return self.source.read(row, row + 1)[0][0, :, col]

    def rgb(self, *, max_side: int = 800) -> NDArray[np.float64]:
        """Return a picture, (rows, cols, 3): every n-th pixel, stretched to 0..1; NaN where not valid.

        True color where the bands allow it, otherwise last, middle and first good band.
        """
        from dronesense.model import colors

        if max_side < 1:
            raise ValueError(f"max_side must be at least 1, not {max_side}")
        step = -(-max(self.shape[0], self.shape[2]) // max_side)
        bands, _ = colors.rgb_bands(self.bands)
        return colors.stretched(*colors.decimated(self, bands, rows=range(0, self.shape[0], step), step=step))

    def region(self, rows: tuple[int, int], samples: tuple[int, int]) -> Region:
        """Return the pixels of *rows* and *samples*, both half-open (first, stop)."""
        return Region(self, rows, samples)

    def to_xarray(self) -> xr.Dataset:
        """Return the cube as a dataset whose rows are read from the file when they are looked at.

        Variables: the values, named for `quantity`, (line, band, sample), NaN where a pixel is not valid;
        `valid`; `relative_sigma` where it is known. Coordinates: `wavelength` and `fwhm`, nm; `good`; `time`
        of a line, UTC. On a map grid the dimensions are y, band, x, with the CRS as `spatial_ref`. With dask
        the arrays are dask's; without it every use reads them, so take a part before computing.

        Raises
        ------
        PluginError
            If xarray is not installed.
        """
        from dronesense.model.exchange import arrays

        return arrays.cube(self)
