"""Kill runs at random moments, or let a write, or all reads of a file from one on, fail; count what is left.

python fault_loop.py kills|writes|reads FLIGHT PRODUCTS COUNT
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dronesense.cli.products import make_products
from dronesense.errors import DronesenseError
from dronesense.evidence import verify
from dronesense.readers import content


def state(products: Path) -> str:
    """Return ``absent``, ``whole`` or what is wrong with the products."""
    if not products.exists():
        return "absent"
    try:
        run = verify.open_run(products)
        verdicts = [verify.integrity(run), verify.completeness(run)]
    except (DronesenseError, OSError) as error:
        return f"torn: {error}"
    bad = [each for each in verdicts if each.passed is not True]
    return f"torn: {bad[0].word}" if bad else "whole"


def fingerprint(products: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(products.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(products).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def litter(products: Path) -> list[str]:
    """Return what lies beside the products."""
    return sorted(
        path.name for path in products.parent.iterdir() if path.name.startswith(f".{products.name}.")
    )


def kills(flight: Path, products: Path, count: int) -> dict[str, Any]:
    """Kill *count* runs with -9, every second one where nothing was before."""
    start = time.monotonic()
    make_products(flight, products, again=True)
    make_products(flight, products, again=True)
    longest = (time.monotonic() - start) / 2.0
    rng, found = random.Random(0), Counter[str]()
    for number in range(count):
        if number % 2:
            make_products(flight, products, again=True)
        else:
            for path in [*sorted(products.rglob("*"), reverse=True), products]:
                path.rmdir() if path.is_dir() else path.unlink()
        child = os.fork()
        if child == 0:
            try:
                make_products(flight, products, again=True)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.0, 1.1 * longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found[state(products)] += 1
        made = make_products(flight, products)
        found["then whole" if state(products) == "whole" and made.files else "then torn"] += 1
        found["litter"] += len(litter(products))
    return dict(found)


@contextmanager
def failing(
    nth: int, code: int, patched: list[tuple[Any, str]], counts: Callable[..., bool]
) -> Iterator[list[int]]:
    """Let the *nth* call of some functions fail, as the disk does; a file that cannot be read stays so."""
    seen = [0]
    lost: set[str] = set()
    kept = [(owner, name, getattr(owner, name)) for owner, name in patched]

    def broken(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if counts(*given, **named):
                seen[0] += 1
                if seen[0] == nth and code == errno.EIO:
                    lost.add(str(given[0]))
                if seen[0] == nth or str(given[0]) in lost:
                    raise OSError(code, os.strerror(code), str(given[0]))
            return function(*given, **named)

        return call

    for owner, name, function in kept:
        setattr(owner, name, broken(function))
    try:
        yield seen
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def faults(flight: Path, products: Path, count: int, what: str) -> dict[str, Any]:
    """Let each of the writes or reads fail, or *count* of them evenly spread."""
    raw = str(flight)

    def reads(path: Any, mode: str = "r", *_: Any, **named: Any) -> bool:
        return str(path).startswith(raw) and "products" not in str(path) and "r" in named.get("mode", mode)

    patched: list[tuple[Any, str]] = (
        [(os, "fsync"), (Path, "replace")] if what == "writes" else [(builtins, "open"), (Path, "open")]
    )
    counts = (lambda *_, **__: True) if what == "writes" else reads
    code = errno.ENOSPC if what == "writes" else errno.EIO
    make_products(flight, products, again=True)
    with failing(0, code, patched, counts) as seen:
        make_products(flight, products, again=True)
    total = seen[0]
    chosen = sorted({1 + round(k * (total - 1) / max(1, count - 1)) for k in range(count)})
    found, strange = Counter[str](), []
    for nth in chosen:
        before = fingerprint(products)
        try:
            with failing(nth, code, patched, counts):
                made = make_products(flight, products, again=True)
        except (OSError, DronesenseError) as error:
            ended = "refused"
            if not str(error).strip():
                strange.append(f"{nth}: an error without words")
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            ended = "foreign"
            strange.append(f"{nth}: {type(error).__name__}: {error}")
        else:
            ended = "told" if made.rejected or made.warnings or made.ignored else "silent"
        now = state(products)
        found[f"{ended}, {now}"] += 1
        if ended == "refused" and fingerprint(products) == before:
            found["old products untouched"] += 1
    make_products(flight, products)
    found["litter"] = len(litter(products))
    return {"total": total, "tried": len(chosen), "strange": strange, **found}


def main() -> None:
    """Print what was found as JSON."""
    content.PAUSES_S[:] = [0.0, 0.0, 0.0]
    what, flight, products, count = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    found = kills(flight, products, count) if what == "kills" else faults(flight, products, count, what)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
