"""Read-ahead and the resampling of spectra."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.blocks import prefetch, resample_spectrum


def reader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "dronesense-prefetch"]


@given(st.lists(st.integers() | st.none()), st.integers(1, 4))
def test_prefetch_changes_neither_items_nor_order(items: list[int | None], depth: int) -> None:
    assert list(prefetch(items, depth)) == items
    assert not reader_threads()


def test_an_exception_arrives_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("disk gone")

    stream = prefetch(broken())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(OSError, match="disk gone"):
        next(stream)
    assert not reader_threads()


def test_the_thread_ends_when_the_consumer_stops_early() -> None:
    stream = prefetch(iter(range(10**9)))
    assert next(stream) == 0
    assert reader_threads()
    stream.close()  # type: ignore[attr-defined]
    assert not reader_threads()


def test_no_more_than_depth_plus_two_items_are_alive() -> None:
    made = []

    def source() -> Iterator[int]:
        for i in range(50):
            made.append(i)
            yield i

    stream = prefetch(source(), depth=2)
    next(stream)
    time.sleep(0.2)
    assert len(made) <= 4
    stream.close()  # type: ignore[attr-defined]


def test_reading_and_working_overlap() -> None:
    pause = 0.05

    def slow() -> Iterator[int]:
        for i in range(6):
            time.sleep(pause)
            yield i

    start = time.perf_counter()
    for _ in prefetch(slow()):
        time.sleep(pause)
    assert time.perf_counter() - start < 6 * 2 * pause  # one after the other would take at least this


def test_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="depth"):
        prefetch([1], depth=0)


def test_a_narrow_line_is_spread_by_the_band() -> None:
    # A Gaussian line seen by a Gaussian band: the variances add, the height is s / sqrt(s^2 + b^2).
    wavelength = np.arange(400.0, 700.0, 0.1)
    line, band_fwhm = 3.0, 10.0
    band = band_fwhm / (2 * np.sqrt(2 * np.log(2)))
    value = np.exp(-0.5 * ((wavelength - 550.0) / line) ** 2)
    seen, covered = resample_spectrum(
        wavelength, value, center_nm=np.array([550.0, 553.0]), fwhm_nm=np.array([band_fwhm] * 2)
    )
    total = line**2 + band**2
    expected = line / np.sqrt(total) * np.exp(-0.5 * np.array([0.0, 3.0]) ** 2 / total)
    assert covered.all()
    np.testing.assert_allclose(seen, expected, rtol=5e-3)  # the response is cut at 3 sigma


def test_without_width_it_is_linear_interpolation_and_never_extrapolation() -> None:
    seen, covered = resample_spectrum(
        np.array([500.0, 600.0]),
        np.array([0.0, 1.0]),
        center_nm=np.array([499.9, 525.0, 600.0, np.nan]),
        fwhm_nm=np.full(4, np.nan),
    )
    assert covered.tolist() == [False, True, True, False]
    np.testing.assert_allclose(seen[1:3], [0.25, 1.0])
    assert np.isnan(seen[[0, 3]]).all()
