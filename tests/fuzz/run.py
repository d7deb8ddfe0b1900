"""Feed a reader with damaged files, guided by the branches that they reach (libFuzzer through atheris).

``python tests/fuzz/run.py ulog --runs 1000000``: anything but a ``ReadError``, more than the stated memory or
a hang stops the run and leaves the input in ``build/fuzz/<format>/``. Without a format it lists them.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "fuzz"
MAX_BYTES = 1 << 16
MEMORY_MB = 2048
SECONDS_EACH = 20
PREFIX = "fuzz_"


def formats() -> list[str]:
    """Return the names of the targets beside this file."""
    return sorted(path.stem.removeprefix(PREFIX) for path in HERE.glob(f"{PREFIX}*.py"))


def load(name: str) -> ModuleType:
    """Import ``fuzz_<name>.py``, which has ``one(data)`` and ``SEEDS``."""
    sys.path[:0] = [str(HERE.parent)]  # the writers of made-up files
    spec = importlib.util.spec_from_file_location(PREFIX + name, HERE / f"{PREFIX}{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Run one target for a number of inputs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("format", nargs="?", choices=formats())
    parser.add_argument("--runs", type=int, default=100_000, help="inputs to try")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations")
    given = parser.parse_args()
    if given.format is None:
        print("\n".join(formats()))
        return
    import atheris

    with atheris.instrument_imports(include=["dronesense.readers", "dronesense.timescale"]):
        target = load(given.format)
    folder = BUILD / given.format
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.SEEDS):
        (folder / f"seed_{number}").write_bytes(seed)
    limits = [f"-max_len={MAX_BYTES}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SECONDS_EACH}"]
    run = [
        f"-runs={given.runs}",
        f"-seed={given.seed}",
        f"-artifact_prefix={folder}/found_",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *run, *limits, str(folder)], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
