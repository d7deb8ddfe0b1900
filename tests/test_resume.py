"""Runs in any order with what happens between: failing runs, changed inputs, changed and added products."""

from __future__ import annotations

import errno
import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dronesense import evidence
from dronesense.cli.products import make_products
from dronesense.evidence import verify

NOTE = "field notes.txt"
"""What a person adds to the products; no run writes it, and none may take it away."""


def _cluster_tests() -> Any:
    spec = importlib.util.spec_from_file_location("test_cluster", Path(__file__).with_name("test_cluster.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Runs(RuleBasedStateMachine):
    """A flight folder and what is known of it: the input of the last finished run, what was done since."""

    @initialize()
    def begin(self) -> None:
        self.place = Path(tempfile.mkdtemp())
        self.flight: Path = _cluster_tests().write_gas_flight(self.place / "one")
        self.products = self.flight / "products"
        self.table = self.flight / "raw" / "gas.csv"
        self.contents = {
            False: self.table.read_text(),
            True: self.table.read_text().replace(",2.0", ",2.1", 1),
        }
        assert self.contents[False] != self.contents[True]
        self.changed = False
        self.finished: bool | None = None
        self.spoiled = False
        self.noted = b""

    def teardown(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    def _fresh(self) -> bool:
        return self.finished is self.changed and not self.spoiled

    @rule()
    def run(self) -> None:
        expected = self._fresh()
        outcome = make_products(self.flight, self.products)
        assert outcome.up_to_date is expected
        assert bool(outcome.renewed) is (not expected and self.finished is not None)
        self.finished, self.spoiled = self.changed, False

    @rule(error=st.sampled_from([OSError(errno.ENOSPC, "full"), KeyboardInterrupt()]), late=st.booleans())
    def run_that_fails(self, error: BaseException, late: bool) -> None:
        if self._fresh():
            return  # nothing would be done
        before = self._bytes()
        where = (evidence, "write") if late else (evidence, "run_manifest")
        with mock.patch.object(*where, side_effect=error), pytest.raises(type(error)):
            make_products(self.flight, self.products)
        assert self._bytes() == before

    @rule()
    def change_the_input(self) -> None:
        self.changed = not self.changed
        self.table.write_text(self.contents[self.changed])

    @precondition(lambda self: self.finished is not None)
    @rule(name=st.sampled_from(["hotspots.geojson", "gas/CH4.csv", "run.json"]), gone=st.booleans())
    def spoil_a_product(self, name: str, gone: bool) -> None:
        path = self.products / name
        if gone and name != "run.json":  # without it the folder is not known as one of ours
            path.unlink(missing_ok=True)
        elif path.exists():
            path.write_bytes(path.read_bytes() + b" ")
        self.spoiled = True

    @precondition(lambda self: self.finished is not None)
    @rule()
    def add_a_note(self) -> None:
        self.noted += b"valve leaks\n"
        (self.products / NOTE).write_bytes(self.noted)

    @invariant()
    def nothing_is_lost_and_nothing_is_torn(self) -> None:
        if not hasattr(self, "flight"):
            return
        assert self.products.exists() is (self.finished is not None)
        assert [each.name for each in self.flight.glob(".products.*") if each.is_dir()] == []
        if self.noted:
            assert (self.products / NOTE).read_bytes() == self.noted
        if self.finished is not None and not self.spoiled:
            found = verify.open_run(self.products)
            assert verify.integrity(found).passed

    def _bytes(self) -> dict[str, bytes]:
        files = (path for path in self.products.rglob("*") if path.is_file())
        return {path.relative_to(self.products).as_posix(): path.read_bytes() for path in files}


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.once
def test_a_few_orders_of_events() -> None:
    few = settings(
        max_examples=3, stateful_step_count=8, deadline=None, derandomize=True, suppress_health_check=CHECKS
    )
    run_state_machine_as_test(Runs, settings=few)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_orders_of_events() -> None:
    many = settings(max_examples=100, stateful_step_count=20, deadline=None, suppress_health_check=CHECKS)
    run_state_machine_as_test(Runs, settings=many)
