"""A made-up flight with known truth, in vendor formats: for the demo, the notebooks and the tests.

This is the *forward* model: from what is true to what the instruments would have written. It shares no
formula with the rooms that go the other way (``geodesy``, ``timescale``, ``geotag``, ``calibrate``,
``detect``): a wrong sign there cannot cancel here. The equations are in ``docs/synthetic-flight.md``.
"""

from __future__ import annotations

from pathlib import Path

from dronesense.errors import EvidenceError

__all__ = ["write_flight"]


def write_flight(folder: Path, *, seed: int = 0) -> Path:
    """Write a synthetic flight folder in vendor formats, with its truth.

    Three overlapping push-broom strips over hills with blue covers (full-size and sub-pixel) and
    look-alikes, then five legs through a methane plume; an ArduPilot log, an analyser's table, a terrain
    model; ``flight.toml``, instruments and a calibration record. Every error is a draw from the standard
    uncertainty that the folder states.

    Parameters
    ----------
    folder : Path
        Created when absent; must be empty.
    seed : int
        The same seed gives the same bytes, on the same NumPy and SciPy.

    Returns
    -------
    Path
        *folder*.

    Raises
    ------
    EvidenceError
        If *folder* holds something already, or cannot be written.
    """
    from dronesense.synthetic.writer import write

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise EvidenceError(
                "is not empty", where=folder, fix="name a new folder for the synthetic flight"
            )
        write(folder, seed)
    except OSError as error:
        raise EvidenceError(
            f"cannot be written ({error.strerror})", where=folder, fix="choose a folder you may write to"
        ) from error
    return folder
