"""Chi-square probabilities beside SciPy's."""

from __future__ import annotations

import pytest
from scipy import stats

from dronesense.detect import chi_square


@pytest.mark.parametrize("freedom", [1, 2, 7, 20, 80, 270, 2000])
def test_probabilities_and_quantiles_equal_scipy(freedom: int) -> None:
    for share in (1e-6, 1e-3, 0.2, 0.5, 0.8, 0.99, 1 - 1e-6):
        value = float(stats.chi2.ppf(share, freedom))
        assert chi_square.below(value, freedom) == pytest.approx(share, rel=1e-9)
        assert chi_square.exceeded(1.0 - share, freedom) == pytest.approx(value, rel=1e-7)


def test_nothing_lies_below_zero() -> None:
    assert chi_square.below(0.0, 3) == chi_square.below(-1.0, 3) == 0.0
