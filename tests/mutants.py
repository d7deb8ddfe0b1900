"""Change the code in one place at a time, and see whether a test notices.

    python tests/mutants.py GROUP [--sample 60] [--seed 0] [--jobs 2]

Comparisons, arithmetic, and/or, not, numbers, True and False are changed, and calls and raises left out, one
change in each mutant. A mutant whose tests fail, or do not end, is noticed. Those that nobody noticed are
listed: each is a test that is missing, or a change that makes no difference.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "timescale": (
        sorted(f"timescale/{path.name}" for path in (ROOT / "dronesense/timescale").glob("*.py")),
        ["test_timescale.py", "test_conventions.py"],
    ),
    "evidence": (
        [
            f"evidence/{name}.py"
            for name in ("manifest", "verify", "custody", "signature", "bag", "timestamp", "fresh")
        ],
        [
            f"test_{name}.py"
            for name in ("evidence", "custody", "bag", "sign", "timestamp", "verify", "fresh")
        ],
    ),
    "readers": (
        [f"readers/{name}.py" for name in ("dataflash", "ulog", "mavlink_frames", "sbet_records")],
        [f"test_{name}.py" for name in ("dataflash", "ulog", "mavlink", "tlog", "sbet")],
    ),
}
"""Modules of the package, and the tests that are to notice."""
MODULE, NUMBER = "MUTANT_MODULE", "MUTANT_NUMBER"
UNCHANGED = -1
TIMEOUT_S = 180.0
COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitXor: ast.BitOr,
}  # fmt: skip


def nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes whose change a test can notice: no annotations, texts, or what is for types only."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.JoinedStr):
                continue
            parts = value if isinstance(value, list) else [value]
            waiting += [part for part in parts if isinstance(part, ast.AST)]


def changes(node: ast.AST) -> bool:
    """Change *node* in place, if there is a change for it."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        node.ops[0] = COMPARED[type(node.ops[0])]()
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in COMPUTED:
        node.op = COMPUTED[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        node.value = not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        node.value = node.value + 1
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        node.value = ast.Constant(None)
    elif isinstance(node, ast.Raise) and node.exc is not None:
        node.exc, node.cause = ast.Call(ast.Name("SystemError", ast.Load()), [], []), None
    else:
        return False
    return True


def count(source: str) -> int:
    return sum(changes(copy.deepcopy(node)) for node in nodes(ast.parse(source)))


def mutated(source: str, number: int) -> tuple[ast.Module, str]:
    """Return the tree of *source* with change *number*, and what it is in words."""
    tree = ast.parse(source)
    seen = -1
    for node in nodes(tree):
        before = ast.unparse(node)
        if changes(copy.deepcopy(node)):
            seen += 1
            if seen == number:
                changes(node)
                after = ast.unparse(ast.fix_missing_locations(node))
                line = getattr(node, "lineno", 0)
                return ast.fix_missing_locations(
                    tree
                ), f"{line}: {before.splitlines()[0]} -> {after.splitlines()[0]}"
    raise IndexError(number)


class Finder:
    """Imports one module with its change; all others as they are."""

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        from importlib.machinery import PathFinder, SourceFileLoader

        if name != os.environ[MODULE]:
            return None
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)

        class Loader(SourceFileLoader):
            def get_code(self, fullname: str) -> object:  # type: ignore[override]
                source = Path(self.path).read_text("utf-8")
                number = int(os.environ[NUMBER])
                return compile(
                    source if number == UNCHANGED else mutated(source, number)[0], self.path, "exec"
                )

        spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


if MODULE in os.environ:  # loaded as a plugin of pytest
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]


def noticed(module: str, number: int, tests: list[str]) -> bool:
    name = "dronesense." + module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "mutants", "-p", "no:cacheprovider"]
    words += [str(ROOT / "tests" / test) for test in tests] + [str(ROOT / "dronesense" / module)]
    environment = {**os.environ, MODULE: name, NUMBER: str(number), "PYTHONPATH": str(Path(__file__).parent)}
    try:
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    modules, tests = GROUPS[asked.group]
    sources = {module: (ROOT / "dronesense" / module).read_text("utf-8") for module in modules}
    every = [(module, number) for module, source in sources.items() for number in range(count(source))]
    chosen = sorted(random.Random(asked.seed).sample(every, min(asked.sample, len(every))))
    assert not noticed(modules[0], UNCHANGED, tests), "the tests fail as it is"
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = list(pool.map(lambda each: noticed(*each, tests), chosen))
    for (module, number), seen in zip(chosen, found, strict=True):
        if not seen:
            print(f"not noticed: {module}:{mutated(sources[module], number)[1]}")
    print(f"{asked.group}: {sum(found)} of {len(chosen)} changes noticed ({len(every)} in all)")


if __name__ == "__main__":
    main()
