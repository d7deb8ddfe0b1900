"""Feed a reader with damaged files, guided by the branches that they reach (libFuzzer through atheris).

``python tests/fuzz/run.py ulog --runs 1000000``: anything but a ``ReadError``, more than the stated memory or
a hang stops the run and leaves the input in ``build/fuzz/<format>/``. Without a format it lists them.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "fuzz"
MAX_BYTES = 1 << 12
BATCH = 25_000
"""Inputs for each process: instrumented numpy gives some memory back only at its end."""
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
    elif given.runs > BATCH:
        for number, first in enumerate(range(0, given.runs, BATCH)):
            runs, seed = min(BATCH, given.runs - first), given.seed + number
            again = [sys.executable, __file__, given.format, "--runs", str(runs), "--seed", str(seed)]
            done = subprocess.run(again, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            print(f"{given.format}: {first + runs} inputs, nothing but ReadError", flush=True)
    else:
        fuzz(given.format, given.runs, given.seed)


def fuzz(name: str, runs: int, seed: int) -> None:
    """Run one target in this process."""
    import atheris

    with atheris.instrument_imports(include=["dronesense.readers", "dronesense.timescale"]):
        target = load(name)
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(target.SEEDS):
        (folder / f"seed_{number}").write_bytes(example)
    limits = [f"-max_len={MAX_BYTES}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SECONDS_EACH}"]
    run = [
        f"-runs={runs}",
        f"-seed={seed}",
        f"-artifact_prefix={folder}/found_",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *run, *limits, str(folder)], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
