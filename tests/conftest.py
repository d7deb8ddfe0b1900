"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# The same examples on every run: a green commit stays green. HYPOTHESIS_PROFILE=explore draws new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


collect_ignore_glob = ["fuzz/*", "*_writer.py"]
"""Fuzz targets and makers of files hold no tests; doctest would import them without their path."""


def _find_shared() -> Path | None:
    named = os.environ.get("DRONESENSE_SHARED")
    candidates = [Path(named)] if named else [Path(__file__).parents[2] / "shared" / "data"]
    return next((path for path in candidates if path.is_dir()), None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real logs, gas series and cubes; skips where it is not there."""
    path = _find_shared()
    if path is None:
        pytest.skip(
            "real data not here: set DRONESENSE_SHARED to the folder that holds logs/, gas/, spectral/"
        )
    return path
