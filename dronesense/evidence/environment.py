"""What a run ran on: processor, linear algebra, threads, and the files of every installed package."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dronesense import plugins
from dronesense.manifest.catalog import shipped_folder

THREAD_SETTINGS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that decide how many threads add up numbers, and with that their last bits."""
PACKAGE: Final = Path(__file__).parents[1]
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
        "code_sha256": code_sha256(),
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
def code_sha256() -> str:
    """Return one hash over our own files and the installed plug-ins; the same from wheel and checkout.

    An editable install has no true RECORD. Besides the modules count the calibrations, tables, languages,
    page parts and grids that come with the package: all of them shape products.
    """
    return _sha256_of({"": PACKAGE, "calibration": shipped_folder()}, plugins.declared())


def _sha256_of(folders: Mapping[str, Path], declared: Sequence[Sequence[str]]) -> str:
    """Return a hash over names and bytes of all files in *folders*, and over what is *declared*."""
    found: dict[str, Path] = {}
    for top, folder in folders.items():
        for path in folder.rglob("*"):
            name = PurePosixPath(top, path.relative_to(folder).as_posix())
            if (
                not any(part == "__pycache__" or part.startswith(".") for part in name.parts)
                and path.is_file()
            ):
                found[name.as_posix()] = path
    digest = hashlib.sha256()
    for written, path in sorted(found.items()):
        digest.update(written.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    digest.update(json.dumps(declared).encode())
    return digest.hexdigest()
