"""Where the stated errors of navigation come from is told: log, default, manifest, or two of them."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dronesense.manifest.track import with_sigma
from dronesense.model import Flight, Trajectory
from dronesense.pipeline.account import Account
from dronesense.readers.streams import FIX_SIGMA_M, sigma_origin, usual_sigma

_SPEC = importlib.util.spec_from_file_location("made_flights", Path(__file__).with_name("made_flights.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made)

NOTHING: dict[str, float | None] = dict.fromkeys(
    ("horizontal_m", "vertical_m", "roll_pitch_deg", "heading_deg", "clock_s")
)


@pytest.fixture
def track() -> Trajectory:
    return dataclasses.replace(made.trajectory(), sigma_from=("default", "log"))


def test_usual_errors_by_kind_of_fix_in_any_order() -> None:
    fix = np.array([5, 2, 4, 3, 6, 0, 1, 7], np.uint8)
    found = usual_sigma(fix)
    single = FIX_SIGMA_M[2]
    for kind, (north, east, down) in zip(fix.tolist(), found.tolist(), strict=True):
        assert (north, down) == FIX_SIGMA_M.get(kind, single)
        assert north == east
    assert usual_sigma(np.zeros(0, np.uint8)).shape == (0, 3)


@pytest.mark.parametrize(
    ("stated", "origin"),
    [([True, True], "log"), ([True, False], "log and default"), ([False, False], "default")],
)
def test_origin_by_what_the_log_states(stated: list[bool], origin: str) -> None:
    assert sigma_origin(np.array(stated)) == origin


def test_the_better_kinds_of_fix_have_the_smaller_errors() -> None:
    assert FIX_SIGMA_M[2] > FIX_SIGMA_M[3] > FIX_SIGMA_M[4] > FIX_SIGMA_M[6] > FIX_SIGMA_M[5]


def test_the_manifest_overrides_and_says_so(track: Trajectory) -> None:
    assert with_sigma(track, NOTHING).sigma_from == ("default", "log")
    some = with_sigma(track, {**NOTHING, "horizontal_m": 0.5})
    assert some.sigma_from == ("default and flight.toml", "log")
    every = {**NOTHING, "horizontal_m": 0.5, "vertical_m": 1.0, "roll_pitch_deg": 0.1, "heading_deg": 0.3}
    assert with_sigma(track, every).sigma_from == ("flight.toml", "flight.toml")


def test_the_run_tells_sizes_and_origin(track: Trajectory) -> None:
    flight = Flight(id="made up", root=Path("nowhere"), trajectory=track)
    told = Account(flight).statements("EPSG:32632", ())["navigation_errors"]
    assert isinstance(told, list)
    assert told[0] == {"of": "position", "north_east_down_m": [0.02, 0.02, 0.02], "from": "default"}
    assert told[1] == {"of": "attitude", "roll_pitch_yaw_deg": [0.1, 0.1, 0.1], "from": "log"}
