"""Notebooks run offline, and are committed without outputs and without traces of a machine."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SLOW = {"02_tune_a_signature"}
LIMIT_S = 120
OFFLINE = """
import socket, warnings
def _refuse(self, address):
    if self.family != socket.AF_UNIX and address[0] != "127.0.0.1":
        raise OSError("a notebook must not use the network")
    return _connect(self, address)
_connect = socket.socket.connect
socket.socket.connect = _refuse
"""
ABSOLUTE = re.compile(r"(?<![\w.:/<])/(?:home|tmp|work|usr|Users|mnt)/|[A-Z]:\\\\|https?://")


def test_there_are_notebooks() -> None:
    assert "01_first_flight.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_is_stored(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not ABSOLUTE.search(cell.source), cell.source
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.once
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jupyter_client and pyzmq, not ours
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow if p.stem in SLOW else (), id=p.stem) for p in NOTEBOOKS],
)
def test_a_notebook_runs_and_leaves_pictures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(OFFLINE))
    NotebookClient(notebook, timeout=LIMIT_S, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    assert any("image/png" in out.get("data", {}) for out in shown)
    assert [out for out in shown if out.output_type == "error" or out.get("name") == "stderr"] == []
