"""What block loops share: read-ahead, and the resampling of a spectrum to a sensor's bands."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

POLL_S: Final = 0.05
"""How often a waiting reader thread looks whether its consumer has gone away, s."""
FWHM_PER_SIGMA: Final = 2.3548200450309493
"""Full width at half maximum of a Gaussian of unit standard deviation, ``2 sqrt(2 ln 2)``."""
RESPONSE_HALF_WIDTH: Final = 3.0
"""Where the Gaussian band response is cut off, in standard deviations (0.3 % of its area lies beyond)."""
RESPONSE_NODES: Final = 61
"""Nodes of the quadrature over one band response: a tenth of a standard deviation apart."""


class _Failure:
    """An exception on its way from the reader thread to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    """The iterable is exhausted."""


def prefetch(iterable: Iterable[T], depth: int = 1) -> Iterator[T]:
    """Yield the items of *iterable*, the next *depth* of them fetched by a thread while the caller works.

    An exception of *iterable* is raised in the caller, at the place in the sequence where it happened. The
    thread ends when the sequence does, when it fails, and when the caller stops early (``break``, an
    exception, garbage collection).

    Parameters
    ----------
    iterable : iterable
        Usually :meth:`SpectralCube.blocks`; it is consumed in the thread.
    depth : int
        Items held in advance, at least 1: at most ``depth + 2`` are alive at a time.

    Raises
    ------
    ValueError
        If *depth* is less than 1.

    Examples
    --------
    >>> list(prefetch(range(4)))
    [0, 1, 2, 3]
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    return _consume(iterable, depth)


def _consume(iterable: Iterable[T], depth: int) -> Iterator[T]:
    ready: queue.Queue[T | _Failure | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(iterable, ready, stop), name="dronesense-prefetch", daemon=True
    )
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item
            del item
    finally:
        stop.set()
        thread.join()


def _fill(iterable: Iterable[T], ready: queue.Queue[T | _Failure | _End], stop: threading.Event) -> None:
    def put(item: T | _Failure | _End) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return True
        return False

    try:
        for item in iterable:
            if not put(item):
                return
    except BaseException as error:  # noqa: BLE001  (handed to the consumer, which raises it)
        put(_Failure(error))
    else:
        put(_End())


def resample_spectrum(
    wavelength_nm: NDArray[np.float64],
    value: NDArray[np.float64],
    *,
    center_nm: NDArray[np.float64],
    fwhm_nm: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a spectrum as a sensor's bands see it, and which bands it covers.

    Each band has a Gaussian response of its own full width at half maximum; where the width is not known
    (NaN) the spectrum is interpolated linearly at the center. Between its points the spectrum is taken as
    linear. A band is covered when its whole full width lies within the spectrum's range; nothing is
    extrapolated.

    Parameters
    ----------
    wavelength_nm, value : (k,) float64
        The spectrum, wavelengths strictly increasing.
    center_nm, fwhm_nm : (b,) float64
        The bands; NaN where not known.

    Returns
    -------
    value : (b,) float64
        NaN where not covered.
    covered : (b,) bool

    Examples
    --------
    >>> line = np.array([400.0, 900.0]), np.array([0.4, 0.9])
    >>> resample_spectrum(*line, center_nm=np.array([500.0, 899.0]), fwhm_nm=np.array([10.0, 10.0]))
    (array([0.5, nan]), array([ True, False]))
    """
    width = np.where(np.isfinite(fwhm_nm), fwhm_nm, 0.0)
    with np.errstate(invalid="ignore"):
        covered = (center_nm - width / 2 >= wavelength_nm[0]) & (center_nm + width / 2 <= wavelength_nm[-1])
    offset = np.linspace(-RESPONSE_HALF_WIDTH, RESPONSE_HALF_WIDTH, RESPONSE_NODES)
    node = center_nm[covered, None] + offset * (width[covered, None] / FWHM_PER_SIGMA)
    inside = (node >= wavelength_nm[0]) & (node <= wavelength_nm[-1])
    weight = np.exp(-0.5 * offset**2) * inside
    result = np.full(len(center_nm), np.nan)
    result[covered] = np.sum(weight * np.interp(node, wavelength_nm, value), axis=1) / np.sum(weight, axis=1)
    return result, covered
