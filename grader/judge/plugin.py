# SPDX-License-Identifier: MIT
"""The pytest plugin: a lab.json is a collection of test items, each worth points.

`unit:`, `explore:` and `race:` tests are GoogleTest cases, each run in a process of its own.
`boot:` tests are functions in the lab's boot/ folder, over the evidence of one boot that all tests
of a module share.

A boot module defines

    def plan(nonce: str) -> tuple[dict[str, bytes], list[VmPlan]] # or plan(nonce, guests, machine)

and optionally CPUS (4), MEMORY_MIB (the machine's usual size) and SECONDS (10, of its own time:
grader/confine/processes.py; slow machines get more); a machine that has fewer CPUs gives what it
has, and `machine` says how many. The list holds what has a method `line()`, a line of the file
`plan`: VmPlan for a kernel that runs guests, RunPlan for one that runs programs; or it is bytes, a
boot module as it is. Its tests take these fixtures:

    booted the BootResult of the module's boot under the answers that are being judged nonce 16
    hexadecimal digits: what the guest is told, and what plan() was told guests the kit's files by
    name, such as guests["gkernel.elf"]; user programs that hold tasks, such
             as guests["user/vmm.elf"], are those of the answers that are being judged
    machine  where it was booted: name, vendor, cpus, memory_mib

An assertion's message should say what was seen and what was wanted; pytest's own explanation
follows. Each item is judged once for its task and, in a grading of a student's files, once more
with all of the student's files together: the same function under other `answers`.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping

import pytest

from grader import UsageError
from grader.build.answers import Answers
from grader.judge import outcome
from grader.course.lab import hidden_folder
from grader.judge.booted import failure, judging_limit, stub_in
from grader.judge.engine import NOTHING_TO_JUDGE, Case, Engine, not_begun
from grader.judge.outcome import Outcome
from grader.judge.pytest_private import run_item
from grader.testkit.plans import Ground


@dataclass
class Session:
    """What is asked of pytest in one run, and what came of it."""

    engine: Engine
    cases: list[Case]
    on_result: Callable[[Case, Outcome], None] = lambda case, found: None
    keyword: str = ""
    results: dict[tuple[str, str, str], Outcome] = field(default_factory=dict)
    """by label, machine and test name; late cases that were not wanted are not in it"""
    problem: BaseException | None = None
    """what made it impossible to go on"""
    selected: int = 0

    def run(self) -> None:
        """Runs the cases under pytest, in this process. Raises what made it impossible to go on."""
        import os

        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        off = ("cacheprovider", "terminal", "junitxml", "doctest", "unittest", "nose", "pastebin",
               "stepwise", "faulthandler", "logging", "debugging", "legacypath", "warnings",
               "recwarn", "monkeypatch", "setuponly", "setupplan", "unraisableexception",
               "threadexception", "freeze_support", "python_path", "tmpdir", "capture")
        argv = [word for name in off for word in ("-p", f"no:{name}")]
        argv += ["-c", os.devnull, "--rootdir", ".", "--import-mode=importlib"]
        if self.keyword:
            argv += ["-k", self.keyword]
        # From the root: pytest takes brackets, colons and dollars of a whole path for words of its
        # own.
        root = self.engine.kit.root
        argv.append(str((self.engine.lab.folder / "lab.json").relative_to(root)))
        with contextlib.chdir(root):
            status = pytest.main(argv, plugins=[LabPlugin(self)])
        if self.problem is not None:
            raise self.problem
        if status == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        if status == pytest.ExitCode.USAGE_ERROR and self.keyword:
            raise UsageError(f"-k takes parts of names, joined by and, or, not; this is none: '{self.keyword}'")
        if status in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
            raise RuntimeError(f"pytest ended with {status!r}")


class _NoReporter:
    """In the place of the terminal reporter: pytest 8 asks it for colours to put a comparison into
    words, and an assertion has no words at all where there is none."""

    def __init__(self) -> None:
        from _pytest._io import TerminalWriter

        self._tw = TerminalWriter(io.StringIO())
        self._tw.hasmarkup = False  # whatever FORCE_COLOR says


class LabPlugin:
    """Hooks and fixtures of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.engine = session.engine
        self.uses: Counter[tuple[str, Answers, str]] = Counter()
        """how many items still want a boot"""
        self.late: list[pytest.Item] = []
        """the late items that were not started yet"""

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        # Of the terminal reporter, which is not there: how much an assertion's explanation says.
        parser.addoption("--verbose", type=int, default=1, dest="verbose")

    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.register(_NoReporter(), "terminalreporter")

    # -- collection ------------------------------------------------------------------------------

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> Any:
        if file_path == self.engine.lab.folder / "lab.json":
            return LabFile.from_parent(parent, path=file_path, session_asked=self.session)
        return None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        name = f"boot:{Path(metafunc.module.__file__ or '').name}::{metafunc.function.__name__}"
        cases = [case for case in self.session.cases if case.test.name == name]
        metafunc.fixturenames.insert(0, "answers")
        metafunc.parametrize("answers", cases, ids=[case.place for case in cases], indirect=True)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Lets -k find a test by its whole name, as lab.json and a verdict spell it."""
        item.extra_keyword_matches.add(case_of(item).test.name)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place = {case.key: i for i, case in enumerate(self.session.cases)}
        items.sort(key=lambda item: (case_of(item).late, place[case_of(item).key]))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        items = session.items
        self.session.selected = len(items)
        boots = [item for item in items if case_of(item).test.kind == "boot"]
        self.late = [item for item in items if case_of(item).late]
        self.uses = Counter(_boot_of(case_of(item)) for item in boots)
        # Boots take longest: of one set of answers they are started before the small cases.
        last = {case_of(item).label: rank for rank, item in enumerate(items)}
        first: dict[str, int] = {}
        for rank, item in enumerate(items):
            first.setdefault(case_of(item).label, rank)
        units: dict[str, list[Case]] = {}
        on_host: dict[str, list[Case]] = {}
        for one in map(case_of, items):
            if one.test.kind != "boot":
                on_host.setdefault(one.label, []).append(one)
                if one.first_only and one.test.kind != "race":
                    units.setdefault(one.label, []).append(one)
        for one in map(case_of, items):
            if one.first_only and one.test.kind == "race":
                # Where the others on the host find something, the sanitizer for threads is not
                # asked.
                self.engine.start(one, last[one.label], after=units.get(one.label, []))
        for item in boots:
            case = case_of(item)
            if item not in self.late:
                before = on_host.get(case.label, []) if case.first_only else []
                rank = last[case.label] if before else first[case.label]
                self.engine.start(case, rank, item.module, before)  # type: ignore[attr-defined]
        for rank, item in enumerate(items):
            if item not in self.late:
                self.engine.start(case_of(item), min(rank, last[case_of(item).label]))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.session.problem is None:
            from grader import LabError

            self.session.problem = LabError(f"{report.nodeid}: cannot be collected:\n"
                                            f"{report.longreprtext}")

    # -- fixtures --------------------------------------------------------------------------------

    @pytest.fixture
    def answers(self, request: pytest.FixtureRequest) -> Case:
        """The case that is being judged."""
        return request.param

    @pytest.fixture
    def booted(self, answers: Case, request: pytest.FixtureRequest) -> Any:
        """The BootResult of the module's boot."""
        boot = self.engine.boot(answers, getattr(request.node, "attempt", 0))
        problem = boot.problem or stub_in(boot, answers)
        if problem is not None:
            raise NoVerdict(problem)
        return boot.result

    @pytest.fixture
    def nonce(self, answers: Case) -> str:
        """The nonce of the module's boot."""
        return self.engine.nonce(answers.test.module)

    @pytest.fixture
    def guests(self, answers: Case) -> Mapping[str, bytes]:
        """The kit's files by name."""
        try:
            return self.engine.guests(answers)
        except NOTHING_TO_JUDGE as problem:
            raise NoVerdict(not_begun(problem)) from problem

    @pytest.fixture
    def machine(self, answers: Case) -> Ground:
        """Where the module was booted."""
        return self.engine.ground(answers)

    # -- running ---------------------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True)
    def pytest_pyfunc_call(self) -> Iterator[None]:
        with judging_limit():
            yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Runs the item, and for a booted one its replay, and keeps one outcome."""
        case = case_of(item)
        if case.late and not self._late_is_wanted():
            return True
        if isinstance(item, GoogleTestCase):
            found = self._guarded(lambda: self.engine.unit(case), item)
        else:
            found = self._guarded(lambda: self._booted_outcome(item, nextitem), item)
        if case.test.kind == "boot":
            self.uses[_boot_of(case)] -= 1
            if not self.uses[_boot_of(case)]:
                self.engine.forget(case)
        if found is None or found.kind == outcome.SKIPPED:
            return True
        found = replace(found, machine=case.machine)
        before = self.session.results.get(case.key)
        if before is None or before.passed:  # of a parametrized function the first failure counts
            self.session.results[case.key] = found
        self.session.on_result(case, found)
        return True

    def _late_is_wanted(self) -> bool:
        """Whether all that is scored has passed, challenges aside; then the late items are
        started."""
        lab = self.engine.lab
        aside = {case.key for case in self.session.cases if case.late or lab.is_challenge(lab.task(case.test.task))}
        if not all(found.passed for key, found in self.session.results.items() if key not in aside):
            return False
        for item in self.late:
            self.engine.start(case_of(item), 0, getattr(item, "module", None))
        self.late = []
        return True

    def _guarded(self, work: Callable[[], Outcome], item: pytest.Item) -> Outcome | None:
        try:
            return work()
        except KeyboardInterrupt:
            raise
        except BaseException as problem:
            self.session.problem = problem
            item.session.shouldstop = str(problem) or type(problem).__name__
            return None

    def _booted_outcome(self, item: Any, following: Any) -> Outcome:
        first = self._attempt(item, following, 0)
        # Once more is for what a test saw; not for a boot of which all that is needed is known.
        boot = self.engine.boot(case_of(item))
        is_known = boot.problem is not None or boot.lost
        if first.kind in outcome.REPLAYED and self.engine.settings.replay and not is_known:
            return first.replayed(self._attempt(item, following, 1))
        return first

    def _attempt(self, item: Any, following: Any, attempt: int) -> Outcome:
        case = case_of(item)
        item.attempt = attempt
        item.failure = None
        run_item(item, following, again=attempt > 0)
        found: Outcome = item.failure or Outcome(outcome.PASSED)
        item.failure = None
        if found.kind in (outcome.NOT_BUILT, outcome.REFUSED):
            return found
        boot = self.engine.boot(case, attempt)
        if boot.result is None:
            return found
        return replace(found, seconds=boot.result.seconds, nonce=self.engine.nonce(case.test.module),
                       transcript=boot.result.transcript)

    def pytest_runtest_makereport(self, item: Any, call: pytest.CallInfo[None]) -> Any:
        if call.excinfo is None or getattr(item, "failure", None) is not None:
            return None
        error = call.excinfo.value
        if isinstance(error, NoVerdict):
            item.failure = error.outcome
        elif isinstance(error, (KeyboardInterrupt, pytest.exit.Exception)):
            return None
        else:
            from grader.machines import CannotRun as MachineCannotRun
            from grader import NestError

            if isinstance(error, (MachineCannotRun, NestError, OSError)):
                raise error
            item.failure = failure(call, self.engine.boot(case_of(item), item.attempt), case_of(item))
        return None


class NoVerdict(Exception):
    """There is no boot to look at: the outcome is already known."""

    def __init__(self, found: Outcome) -> None:
        super().__init__(found.detail)
        self.outcome = found


class LabFile(pytest.File):
    """A lab.json: its GoogleTest cases, and the modules of its booted ones."""

    def __init__(self, session_asked: Session, **rest: Any) -> None:
        super().__init__(**rest)
        self.asked = session_asked

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        places = [self.path.parent / "boot", hidden_folder(self.path.parent.name.partition("-")[0]) / "boot"]
        sys.path += [str(place) for place in places if place.is_dir() and str(place) not in sys.path]
        modules = []
        for case in self.asked.cases:
            if case.test.kind != "boot":
                yield GoogleTestCase.from_parent(self, name=f"{case.test.local}[{case.label}]", case=case)
            elif case.test.module not in modules:
                modules.append(case.test.module)
        for module in modules:
            path = next((place / module for place in places if (place / module).is_file()), places[0] / module)
            yield BootModule.from_parent(self, path=path, asked=self.asked)


class BootModule(pytest.Module):
    """A boot module, of which only the functions that lab.json names are tests."""

    def __init__(self, asked: Session, **rest: Any) -> None:
        super().__init__(**rest)
        self.asked = asked

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        wanted = {case.test.name for case in self.asked.cases}
        return [item for item in super().collect()
                if f"boot:{self.path.name}::{getattr(item, 'originalname', item.name)}" in wanted]


class GoogleTestCase(pytest.Item):
    """One GoogleTest case; the engine runs it."""

    def __init__(self, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case

    def runtest(self) -> None:
        """Not called: the plugin asks the engine."""


def case_of(item: Any) -> Case:
    """The case that a collected item stands for."""
    if isinstance(item, GoogleTestCase):
        return item.case
    return item.callspec.params["answers"]


def _boot_of(case: Case) -> tuple[str, Answers, str]:
    return case.test.module, case.answers, case.machine
