"""Change the code in one place at a time, and see whether a test notices.

    python tests/mutants.py GROUP [--only ulog] [--sample 100] [--seed 0] [--jobs 2]

Comparisons, arithmetic, and/or, not, numbers, True and False are changed, and calls and raises left out, one
change in each mutant. A mutant whose tests fail, or do not end, is noticed. Those that nobody noticed are
listed: each is a test that is missing, or a change that makes no difference. Where it makes none, the change
and the reason stand in tests/mutants_alike.toml, and it is not tried.

The tests are collected once. Each mutant is a fork of that process in which the changed function has its new
code, and in which only those tests run that call it, the quick ones first, until one fails. What runs when a
module is imported (constants, defaults, classes) cannot be changed afterwards: there, a new process imports
the changed module and runs all tests.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import functools
import gc
import inspect
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[1]
GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "timescale": (
        sorted(f"timescale/{path.name}" for path in (ROOT / "dronesense/timescale").glob("*.py")),
        ["timescale", "conventions"],
    ),
    "evidence": (
        [
            f"evidence/{name}.py"
            for name in ("manifest", "verify", "custody", "signature", "bag", "timestamp", "fresh")
        ],
        ["evidence", "custody", "bag", "sign", "timestamp", "verify", "fresh"],
    ),
    "dataflash": (["readers/dataflash.py"], ["dataflash", "message_log"]),
    "ulog": (["readers/ulog.py"], ["ulog"]),
    "tlog": (
        [
            f"readers/{name}.py"
            for name in ("mavlink_frames", "tlog", "tlog_clock", "tlog_positions", "tlog_vehicle")
        ],
        ["mavlink", "tlog"],
    ),
    "sbet": (["readers/sbet_records.py"], ["sbet", "sbet_records"]),
    "envi": (["readers/envi_header.py", "readers/envi_keys.py"], ["envi", "envi_dialects", "envi_header"]),
    "atomic": (["writers/atomic.py"], ["atomic"]),
}
"""Modules of the package, and the tests that are to notice."""
MODULE, NUMBER = "MUTANT_MODULE", "MUTANT_NUMBER"
UNCHANGED = -1
TIMEOUT_S = 180.0
SLOWER = 10.0
"""A mutant may take that many times the time of its tests, and a few seconds."""
QUICK_S = 0.03
MEMORY_BYTES = 8 << 30
WINDOWS = ("sys.platform == 'win32'", "os.name == 'nt'")
"""What follows these never runs elsewhere."""
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
    """Yield the nodes whose change a test can notice.

    No annotations, texts, or what is for types only; no code of another system; not the ``strict=True`` of
    ``zip``, with which the code checks itself: it does not come to act unless another place is wrong.
    """
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in WINDOWS and os.name != "nt":
            waiting += [node.test, *node.orelse]
            continue
        if isinstance(node, ast.FunctionDef) and "overload" in map(ast.unparse, node.decorator_list):
            continue
        if isinstance(node, ast.keyword) and node.arg == "strict":
            continue
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.JoinedStr):
                continue
            parts = value if isinstance(value, list) else [value]
            waiting += [part for part in parts if isinstance(part, ast.AST)]


def changes(node: ast.AST) -> bool:
    """Change *node* in place (not what hangs on it), if there is a change for it."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        node.ops = [COMPARED[type(node.ops[0])](), *node.ops[1:]]
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


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    number: int
    line: int = 0
    text: str = ""
    change: str = ""

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.text} :: {self.change}"

    def tree(self) -> ast.Module:
        tree = ast.parse(source(self.module))
        if self.number == UNCHANGED:
            return tree
        node = [node for node in nodes(tree) if changes(copy.copy(node))][self.number]
        changes(node)
        return ast.fix_missing_locations(tree)

    def code(self) -> CodeType:
        return compiled(self.module, self.tree())


def compiled(module: str, tree: ast.Module) -> CodeType:
    return compile(tree, str(ROOT / "dronesense" / module), "exec", dont_inherit=True)


def source(module: str) -> str:
    return (ROOT / "dronesense" / module).read_text("utf-8")


def mutants(module: str) -> Iterator[Mutant]:
    text = source(module)
    number = 0
    for node in nodes(ast.parse(text)):
        changed = copy.copy(node)
        if changes(changed):
            before, after = (ast.unparse(each).splitlines()[0] for each in (node, changed))
            line = node.lineno  # type: ignore[attr-defined]
            yield Mutant(module, number, line, text.splitlines()[line - 1].strip(), f"{before} -> {after}")
            number += 1


class Finder:
    """Imports one module with its change; all others as they are."""

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        from importlib.machinery import PathFinder, SourceFileLoader

        module = os.environ[MODULE]
        if name != "dronesense." + module.removesuffix(".py").removesuffix("/__init__").replace("/", "."):
            return None
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)

        class Loader(SourceFileLoader):
            def get_code(self, fullname: str) -> object:  # type: ignore[override]
                return Mutant(module, int(os.environ[NUMBER])).code()

        spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


if MODULE in os.environ:  # loaded as a plugin of pytest
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]


def paths(modules: Iterable[str], tests: Iterable[str]) -> list[str]:
    return [str(ROOT / "tests" / f"test_{test}.py") for test in tests] + [
        str(ROOT / "dronesense" / module) for module in modules
    ]


def noticed_from_import(mutant: Mutant, tests: list[str]) -> bool:
    """Whether the tests notice *mutant* in a process of its own."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "mutants", "-p", "no:cacheprovider"]
    environment = {
        **os.environ,
        MODULE: mutant.module,
        NUMBER: str(mutant.number),
        "PYTHONPATH": str(Path(__file__).parent),
    }
    try:
        done = subprocess.run(
            words + paths([mutant.module], tests),
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


Place = tuple[str, int]
"""File and first line of a function."""
Function = tuple[str, int, str]
"""The same, and its name."""


def place(code: CodeType) -> Place:
    return code.co_filename, code.co_firstlineno


def inside(code: CodeType) -> Iterator[CodeType]:
    """Yield *code* and the code of all functions and classes in it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from inside(value)


def at_import(code: CodeType) -> list[object]:
    """Return what runs when a module or class is made: its code without that of its functions."""
    parts: list[object] = [code.co_code]
    for value in code.co_consts:
        if not isinstance(value, CodeType):
            parts.append((type(value), value))
        elif not value.co_flags & inspect.CO_OPTIMIZED:
            parts += at_import(value)
    return parts


class Forks:
    """A plugin of pytest that collects, then runs the tests of each mutant in a fork of the process."""

    def __init__(self, chosen: list[Mutant], jobs: int) -> None:
        self.chosen, self.jobs = chosen, jobs
        self.noticed: dict[Mutant, bool] = {}
        self.files = {str(ROOT / "dronesense" / mutant.module) for mutant in chosen}
        self.failure = ""
        self.caches: list[functools._lru_cache_wrapper[object]] = []
        self.places: set[Place] = set()
        self.of_fixture: dict[str, set[Place]] = defaultdict(set)

    def fails(self, item: pytest.Item, after: pytest.Item | None) -> str:
        """Run a test, and return how it fails; an empty string when it does not."""
        self.failure = ""
        item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
        return self.failure

    def forget(self) -> None:
        for cached in self.caches:
            cached.cache_clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failure += f"{report.nodeid} {report.longreprtext}"

    # -- which tests call what, found once --

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Iterator[None]:
        before, self.places = self.places, set()
        try:
            return (yield)
        finally:
            self.of_fixture[fixturedef.argname] |= self.places
            self.places = before

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename in self.files:
            self.places.add(place(frame.f_code))

    def explore(self, items: list[pytest.Item], result: Path) -> bool:
        """Run all tests as the code is, and write where each went and how long it took."""
        of_test: dict[str, set[Place]] = {}
        seconds: dict[str, float] = {}
        for item, after in zip(items, [*items[1:], None], strict=True):
            self.forget()
            self.places, start = set(), time.perf_counter()
            sys.setprofile(self.note)
            failure = self.fails(item, after)
            sys.setprofile(None)
            if failure:
                result.write_text(failure, "utf-8")
                return False
            of_test[item.nodeid], seconds[item.nodeid] = self.places, time.perf_counter() - start
        for item in items:
            for name in getattr(item, "fixturenames", ()):
                of_test[item.nodeid] |= self.of_fixture[name]
        result.write_text(json.dumps([{name: sorted(at) for name, at in of_test.items()}, seconds]))
        return True

    # -- the mutants --

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = session.items
        self.caches = caches()
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "explored.json"
            if not Fork(functools.partial(self.explore, items, result), 10 * TIMEOUT_S).wait():
                pytest.exit(f"a test fails as it is: {result.read_text('utf-8')}", 2)
            places, seconds = json.loads(result.read_text())
        calls = {name: {(file, line) for file, line in at} for name, at in places.items()}
        live = functions_of(self.files)
        ordered = sorted(items, key=lambda item: seconds[item.nodeid] >= QUICK_S)
        if not Fork(functools.partial(self.passes, ordered, {}, live), 10 * TIMEOUT_S).wait():
            pytest.exit("the tests fail in another order", 2)
        gc.freeze()
        running: dict[Mutant, Fork] = {}
        for mutant in self.chosen:
            new = in_functions(mutant)
            concerned = {name for name, at in calls.items() if any(key[:2] in at for key in new)}
            if not concerned or not any(key in live for key in new):
                continue
            asked = [item for item in ordered if item.nodeid in concerned]
            limit_s = 10.0 + SLOWER * sum(seconds[item.nodeid] for item in asked)
            while len(running) >= self.jobs:
                self.collect(running)
            running[mutant] = Fork(functools.partial(self.passes, asked, new, live), limit_s)
        while running:
            self.collect(running)
        return True

    def passes(
        self,
        items: list[pytest.Item],
        new: dict[Function, CodeType],
        live: dict[Function, list[FunctionType]],
    ) -> bool:
        """Whether all of *items* pass with the *new* code."""
        for key, code in new.items():
            for function in live.get(key, ()):
                function.__code__ = code
        self.forget()
        gc.disable()  # it would touch, and so copy, all that was there before the fork
        return not any(self.fails(item, after) for item, after in zip(items, [*items[1:], None], strict=True))

    def collect(self, running: dict[Mutant, Fork]) -> None:
        """Wait a little, and take what has ended from *running*."""
        time.sleep(0.005)
        for mutant, fork in list(running.items()):
            if fork.ended():
                self.noticed[mutant] = not fork.passed
                tell(mutant, self.noticed[mutant])
                del running[mutant]


class Fork:
    """A fork of this process that answers yes or no; no when it does not end in time."""

    def __init__(self, answer: Callable[[], bool], limit_s: float) -> None:
        self.folder = tempfile.mkdtemp()
        self.until = time.monotonic() + limit_s
        self.passed = False
        sys.stdout.flush()
        self.process = os.fork()
        if self.process == 0:
            code = 2
            try:
                self.settle()
                code = 0 if answer() else 1
            finally:
                os._exit(code)

    def settle(self) -> None:
        """Be a process group with its own temporary files, that says nothing and cannot fill the memory."""
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = tempfile.tempdir = self.folder

    def ended(self) -> bool:
        process, status = os.waitpid(self.process, os.WNOHANG)
        late = time.monotonic() > self.until
        if process == 0 and not late:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)  # also what it has started
        if process == 0:
            os.waitpid(self.process, 0)
        self.passed = process != 0 and status == 0
        shutil.rmtree(self.folder, ignore_errors=True)
        return True

    def wait(self) -> bool:
        while not self.ended():
            time.sleep(0.005)
        return self.passed


def caches() -> list[functools._lru_cache_wrapper[object]]:
    """Return the caches of the package's functions: what is not called again is not tested again."""
    found = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)]
    return [each for each in found if each.__module__.startswith("dronesense")]


def functions_of(files: set[str]) -> dict[Function, list[FunctionType]]:
    """Return the functions of *files* that are there."""
    found: dict[Function, list[FunctionType]] = defaultdict(list)
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename in files:
            found[*place(each.__code__), each.__code__.co_qualname].append(each)
    return found


def in_functions(mutant: Mutant) -> dict[Function, CodeType]:
    """Return the new code of the functions that *mutant* changes; none where it changes what imports run."""
    before = compiled(mutant.module, ast.parse(source(mutant.module)))
    after = mutant.code()
    if at_import(before) != at_import(after):
        return {}
    pairs = zip(inside(before), inside(after), strict=True)
    return {
        (*place(new), new.co_qualname): new
        for old, new in pairs
        if old != new and new.co_flags & inspect.CO_OPTIMIZED
    }


def alike(known: list[Mutant]) -> set[Mutant]:
    """Return the mutants that tests/mutants_alike.toml says to make no difference."""
    rows = tomllib.loads((ROOT / "tests/mutants_alike.toml").read_text("utf-8"))["alike"]
    found = set()
    for row in rows:
        if row["module"] not in {mutant.module for mutant in known}:
            continue
        same = {
            mutant
            for mutant in known
            if (mutant.module, mutant.text, mutant.change) == (row["module"], row["line"], row["change"])
        }
        if not same:
            sys.exit(f"tests/mutants_alike.toml: no such change: {row}")
        found |= same
    return found


def tell(mutant: Mutant, noticed: bool) -> None:
    if not noticed:
        print(f"not noticed: {mutant}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--sample", type=int, help="try that many of the changes (default: all)")
    parser.add_argument("--only", default="", help="only modules whose path holds this text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    modules, tests = GROUPS[asked.group]
    modules = [module for module in modules if asked.only in module]
    every = [mutant for module in modules for mutant in mutants(module)]
    same = alike(every)
    every = [mutant for mutant in every if mutant not in same]
    chosen = every
    if asked.sample is not None:
        chosen = sorted(
            random.Random(asked.seed).sample(every, min(asked.sample, len(every))), key=every.index
        )
    settings.register_profile(
        "mutants", derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate]
    )
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"  # a failure is enough: none is made smaller
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    forks = Forks(chosen, asked.jobs)
    words = ["-q", "-s", "-p", "no:cacheprovider", "--no-header"]
    words += ["-W", "ignore::pytest.PytestAssertRewriteWarning", *paths(modules, tests)]
    if pytest.main(words, plugins=[forks]) not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        sys.exit(2)
    os.environ["HYPOTHESIS_PROFILE"] = "repeatable"
    rest = [mutant for mutant in chosen if mutant not in forks.noticed]
    if rest and noticed_from_import(Mutant(rest[0].module, UNCHANGED), tests):
        sys.exit("the tests fail in a process of their own")
    with ThreadPoolExecutor(asked.jobs) as pool:
        for mutant, seen in zip(
            rest, pool.map(lambda each: noticed_from_import(each, tests), rest), strict=True
        ):
            forks.noticed[mutant] = seen
            tell(mutant, seen)
    noticed = sum(forks.noticed.values())
    print(
        f"{asked.group}: {noticed} of {len(chosen)} changes noticed"
        f" ({len(every)} in all, {len(rest)} of those tried in processes of their own;"
        f" {len(same)} more make no difference)"
    )


if __name__ == "__main__":
    main()
