"""What a run ran on: processor, linear algebra, threads, and the files of every installed package."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

THREAD_SETTINGS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that decide how many threads add up numbers, and with that their last bits."""
CPU_INFO: Final = Path("/proc/cpuinfo")


def describe(distributions: tuple[str, ...]) -> dict[str, Any]:
    """Return the environment of this process, JSON-ready; nothing in it names the machine or its folders.

    Parameters
    ----------
    distributions : tuple of str
        Packages whose lists of installed files (RECORD) are hashed; None for those that have none.
    """
    return {
        "cpu": _cpu(),
        "machine": platform.machine(),
        "blas": _blas(),
        "threads": {name: os.environ.get(name) for name in THREAD_SETTINGS},
        "records_sha256": {name: _record_sha256(name) for name in distributions},
        "code_sha256": _code_sha256(),
    }


@cache
def _cpu() -> str:
    """Return the processor's name as the system gives it."""
    try:
        lines = CPU_INFO.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or "unknown")


@cache
def _blas() -> str:
    """Return name and version of the linear algebra that NumPy was built with."""
    import numpy as np

    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {}) if isinstance(built, dict) else {}
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


@cache
def _record_sha256(name: str) -> str | None:
    try:
        text = distribution(name).read_text("RECORD")
    except PackageNotFoundError:
        return None
    return None if text is None else hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


@cache
def _code_sha256() -> str:
    """Return one hash over the names and bytes of our own modules: an editable install has no true RECORD."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        name = path.relative_to(root).as_posix().encode()
        digest.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
