"""How a mutant is tried: in a process of its own that runs the tests which reach the changed lines, quick ones first.

Inside functions the change is made to the function as it lives in a process that has collected all tests already:
its code is exchanged. All else, and what the collection of tests itself has run, is tried with fresh imports.
"""

import ast
import gc
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import hypothesis
import pytest
from _pytest.runner import runtestprotocol
from coverage import Coverage

from mutation.mutants import Mutant, Source

SOURCES = Path(__file__).parents[2] / "src"
TESTS = (
    "tests/unit/core",
    *(f"tests/simulation/{name}.py" for name in ("test_world", "test_capital_promises", "test_counts", "test_laws")),
)
QUIET = ("-q", "--no-header", "--no-summary", "-W", "ignore::pytest.PytestAssertRewriteWarning")
OPTIONS = (*QUIET, "-p", "no:randomly", "-p", "no:cacheprovider", "-o", "timeout=0")
COLLECTED = "collected"  #: The name under which lines are noted that run before any test.
GIGABYTE = 2**30


@dataclass
class Watch:
    """Which tests reach which lines, and how long each takes."""

    package: Path
    items: list[pytest.Item] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    functions: dict[str, list[FunctionType]] = field(default_factory=dict)
    noticed: Counter[str] = field(default_factory=Counter)
    is_well: bool = True

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Return the tests, those first that noticed most mutants a second so far; then the quickest."""
        return sorted(names, key=lambda name: (-self.noticed[name] / self.seconds[name], self.seconds[name]))

    def tests_of(self, path: Path, lines: range) -> list[str]:
        """Return the tests that reach any of ``lines``, in order."""
        by_line = self.reached.get(str(path), {})
        return self.in_order({name for line in lines for name in by_line.get(line, ())} - {COLLECTED, ""})

    def remember_functions(self) -> None:
        """Look up all functions by their file, once; leave all that lives alone from here on."""
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType):
                self.functions.setdefault(thing.__code__.co_filename, []).append(thing)
        gc.freeze()
        gc.disable()

    def is_collected(self, path: Path, lines: range) -> bool:
        """Whether any of ``lines`` runs before the tests do."""
        by_line = self.reached.get(str(path), {})
        return any(COLLECTED in by_line.get(line, ()) for line in lines)


class Session:
    """A plugin of pytest that runs every test once, noting what it reaches, and then tries the mutants."""

    def __init__(self, watch: Watch, then: Callable[[Watch], None]) -> None:
        self.watch, self.then = watch, then
        self.coverage = Coverage(data_file=None, config_file=False, include=[str(watch.package / "*")])

    def pytest_sessionstart(self) -> None:
        be_steady()
        self.coverage.start()
        self.coverage.switch_context(COLLECTED)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.watch.items = session.items
        for item, following in with_next(session.items):
            self.coverage.switch_context(item.nodeid)
            began = time.process_time()
            reports = runtestprotocol(item, log=True, nextitem=following)
            self.watch.is_well &= not any(report.failed for report in reports)
            self.watch.seconds[item.nodeid] = time.process_time() - began
        self.coverage.stop()
        data = self.coverage.get_data()
        self.watch.reached = {file: data.contexts_by_lineno(file) for file in data.measured_files()}
        if self.watch.is_well:
            self.watch.remember_functions()
            self.then(self.watch)
        return True


def be_steady() -> None:
    """Let generated examples be the same in each run, and do not look for smaller ones."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", deadline=None, derandomize=True, phases=phases, suppress_health_check=list(hypothesis.HealthCheck)
    )
    hypothesis.settings.load_profile("mutants")


def watched(package: Path, then: Callable[[Watch], None]) -> Watch:
    """Collect and run the tests, and hand what they reach to ``then``, which runs among the collected tests."""
    watch = Watch(package)
    pytest.main([*OPTIONS, *TESTS], plugins=[Session(watch, then)])
    return watch


def with_next(items: Sequence[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    yield from zip(items, [*items[1:], None], strict=True)


def try_living(source: Source, mutant: Mutant, watch: Watch) -> str | None:
    """Exchange the code of the function that ``mutant`` changes and run the tests that reach it.

    Return the test that notices it; None: it survives.
    """
    chosen = watch.tests_of(source.path, mutant.lines)
    by_name = {item.nodeid: item for item in watch.items}
    mutant.apply()
    fresh = {key_of(code): code for code in codes_of(compiled(source))}
    for function in watch.functions[str(source.path)]:
        function.__code__ = fresh[key_of(function.__code__)]
    for item, following in with_next([by_name[name] for name in chosen]):
        limit_cpu(watch.seconds[item.nodeid])
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
            return item.nodeid
    return None


def compiled(source: Source) -> CodeType:
    return compile(ast.fix_missing_locations(source.tree), str(source.path), "exec")


def codes_of(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from codes_of(each)


def key_of(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def try_afresh(source: Source, mutant: Mutant, order: Sequence[str], seconds: float) -> str | None:
    """Import everything anew with the mutant in it and run all tests, in that order."""
    limit_cpu(seconds)
    mutant.apply()
    sys.meta_path.insert(0, MutantFinder(source))
    code = pytest.main([*OPTIONS, "-x", *TESTS], plugins=[InOrder(order)])
    return None if code == pytest.ExitCode.OK else "a test"


class InOrder:
    """A plugin of pytest: quick tests first."""

    def __init__(self, order: Sequence[str]) -> None:
        self.place = {name: place for place, name in enumerate(order)}

    def pytest_sessionstart(self) -> None:
        be_steady()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.place.get(item.nodeid, -1))


class MutantFinder:
    """Finds the mutated module instead of the real one."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = ".".join(source.path.with_suffix("").relative_to(SOURCES).parts)

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return spec_from_loader(name, MutantLoader(name, self.source))


class MutantLoader(SourceFileLoader):
    """Loads a module from its mutated tree."""

    def __init__(self, name: str, source: Source) -> None:
        super().__init__(name, str(source.path))
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return compiled(self.source)


def limit_cpu(seconds: float) -> None:
    """End this process when it takes far longer than the test does on the code as it is; a loop may have no end."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, 2.0 + 8.0 * seconds)
    resource.setrlimit(resource.RLIMIT_AS, (8 * GIGABYTE, 8 * GIGABYTE))


def in_parallel(trials: Sequence[Callable[[], str | None]], at_once: int) -> Iterator[tuple[int, str | None]]:
    """Run each trial in a process of its own; yield its number and what noticed the mutant, None when it survives."""
    waiting = list(enumerate(trials))[::-1]
    running: dict[int, tuple[int, int]] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            number, trial = waiting.pop()
            pid, answer = _forked(trial)
            running[pid] = number, answer
        pid, status = os.wait()
        number, answer = running.pop(pid)
        with os.fdopen(answer) as pipe:
            noticed_by = pipe.read()
        yield number, None if status == 0 and not noticed_by else noticed_by or "an end by force"


def _forked(trial: Callable[[], str | None]) -> tuple[int, int]:
    """Start a process and return its id and where its answer can be read; whatever it raises, the mutant is noticed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    answer: str | None = "an error"
    try:
        answer = trial()
    finally:
        os.write(writing, (answer or "").encode())
        os._exit(0)
