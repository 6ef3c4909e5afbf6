# SPDX-License-Identifier: MIT
"""Runs a lab's tests under sets of answers: builds, starts processes and boots early and in
parallel, and hands out what came of them.

The engine knows nothing of points. It is asked in `Case`s: a test and the answers it is to be
judged with. Equal work is done once: two tasks whose answers are the same files share programs and
boots.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
import time
from collections import defaultdict
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from grader import CannotRun
from grader.build.answers import Answers
from grader.build.compiling import REFUSED
from grader.build.failures import BuildFailure
from grader.build.kit import Kit
from grader.course.lab import Lab, Task, Test
from grader.judge import outcome
from grader.judge.control import Controls
from grader.judge.outcome import Outcome
from grader.judge.together import run_together
from grader.judge.unit import SECONDS, run_case
from grader.testkit.plans import Ground

if TYPE_CHECKING:
    from grader.testkit.boot import BootResult

FLAVOURS = {"unit": "asan", "explore": "explore", "race": "tsan"}
HUNG_ENOUGH = 2
"""Once so many tests of one task have hung, or boots of it, those behind them are not run."""
BOOT_SECONDS = 10.0
"""of its own time (grader/confine/processes.py): what an emulator may use for a boot, unless the
module says more"""
LOST = ("killed", "died")
"""Ends of an emulator that are no end of the kernel in it."""
NOTHING_TO_JUDGE = (BuildFailure, CannotRun, OSError)
"""What may come in the place of something built or started."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


@dataclass(frozen=True)
class Case:
    """One test, judged with these answers."""

    test: Test
    answers: Answers
    label: str
    """tells the sets of answers of one session apart, in names and folders"""
    machine: str = ""
    """where a boot test is booted; empty for the others, which run on no machine"""
    late: bool = False
    """not scored, and run only once every case that is scored has passed"""
    first_only: bool = False
    """enough is known of these answers once a test has failed: others that have not begun are
    skipped, and nothing is booted before all of the label's cases on the host have passed"""
    one_report: bool = False
    """of the unit cases that do not pass together, the report of the first is enough, which runs
    alone; the others are believed to fail"""

    @property
    def key(self) -> tuple[str, str, str]:
        """Tells it from all other cases of its session: label, machine, test."""
        return self.label, self.machine, self.test.name

    @property
    def place(self) -> str:
        """The label, and the machine if there is one."""
        return f"{self.label}@{self.machine}" if self.machine else self.label


@dataclass
class Boot:
    """What a boot left, or why there was none."""

    result: BootResult | None
    problem: Outcome | None
    """what holds for every test, whatever was left"""
    lost: str = ""
    """that the emulator ended under this answer, twice. Tests look at what it left, as after any
    other end"""


@dataclass
class Settings:
    """How a session runs."""

    seed: int
    transcripts: Path
    replay: bool = True


class Engine:
    """One lab's tests over one kit."""

    def __init__(self, lab: Lab, kit: Kit, settings: Settings) -> None:
        self.lab = lab
        self.kit = kit
        self.settings = settings
        self._schedule = kit.schedule
        self._units: dict[tuple[str, Answers, bool, bool], Future[Outcome]] = {}
        self._together: dict[tuple[str, str, Answers, bool], Future[dict[str, Outcome]]] = {}
        """by kind of test, task, answers and one_report: what came of all such cases together, by
        case"""
        self._noticed: set[Answers] = set()
        """answers of which a `first_only` case has failed"""
        self._boots: dict[tuple[str, Answers, str, int], Future[Boot]] = {}
        self._folders: dict[Path, Answers] = {}
        """whose boot a folder of transcripts belongs to"""
        self._modules: dict[str, ModuleType] = {}
        self._hung: dict[tuple[str, Answers], dict[str, int]] = defaultdict(dict)
        """by task and answers: which tests and boots have hung, and where they stand in the task"""
        self._lock = threading.Lock()
        self.notes: list[str] = []
        """what happened on the way that changed no verdict"""
        self.for_staff: list[str] = []
        """what a person should look at"""
        self._controls = Controls(kit)

    def build(self, cases: list[Case]) -> None:
        """Starts compiling and linking what the cases need. Costs nothing to call again."""
        for rank, case in enumerate(cases):
            if case.test.kind == "boot" and not case.first_only:
                # Boots take longest, so their kernels come before programs of the same answers.
                self._images(case, rank - len(cases))
        for rank, case in enumerate(cases):
            if case.test.kind != "boot" and not (case.test.kind == "race" and case.first_only):
                self.kit.program(self.lab, case.answers, FLAVOURS[case.test.kind], rank=rank)

    def start(self, case: Case, rank: int, module: ModuleType | None = None, after: Sequence[Case] = ()) -> None:
        """Starts what the case needs as soon as there is room; `module` is a boot test's. `after`:
        cases on the host that must all pass before anything is built for it."""
        if case.test.kind == "boot":
            if module is not None:
                self._modules[case.test.module] = module
                self._boot(case, 0, rank, after)
        else:
            self._unit(case, rank, after)

    def unit(self, case: Case) -> Outcome:
        """The outcome of a case on the host. Waits for it."""
        try:
            first = self._unit(case, 0).result()
            if first.kind not in (outcome.SKIPPED, outcome.NOT_JUDGED) and (hung := self._hung_before(case)):
                return hung
            if not self.settings.replay or first.kind not in outcome.REPLAYED:
                return first
            program = self.kit.program(self.lab, case.answers, FLAVOURS[case.test.kind])
            again = self._schedule.submit(lambda path: self._run_unit(path, case, "-replayed"), program,
                                          rank=-1 << 30)
            return first.replayed(again.result())
        except NOTHING_TO_JUDGE as problem:
            return not_begun(problem)

    def boot(self, case: Case, attempt: int = 0) -> Boot:
        """What the boot of the case's module left. Waits for it. Attempt 1 is the replay."""
        try:
            found = self._boot(case, attempt, -1 << 30).result()
            hung = self._hung_before(case)
            return Boot(None, hung) if hung and found.result else found
        except NOTHING_TO_JUDGE as problem:
            return Boot(None, not_begun(problem))

    def forget(self, case: Case) -> None:
        """Gives back what a boot left behind; no case will ask for it any more."""
        for attempt in (0, 1):
            self._boots.pop((case.test.module, case.answers, case.machine, attempt), None)

    def nonce(self, module: str) -> str:
        """The nonce of a boot module: 16 hexadecimal digits that follow from the seed."""
        text = f"{self.settings.seed}/{self.lab.id}/{module}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def guests(self, case: Case) -> Mapping[str, bytes]:
        """The kit's files by name, read when asked for, with the user programs of the case's
        answers."""
        _, programs = self._images(case, -1 << 30)
        return Guests(self.kit.files | {name: built.result() for name, built in programs.items()})

    def ground(self, case: Case) -> Ground:
        """The machine of the case's boot."""
        from grader.machines import machine

        module = self._modules[case.test.module]
        chosen = machine(case.machine)
        return Ground(case.machine, chosen.vendor, min(getattr(module, "CPUS", 4), chosen.max_cpus),
                      getattr(module, "MEMORY_MIB", chosen.default_memory_mib),
                      getattr(module, "SECONDS", BOOT_SECONDS) * chosen.seconds_factor)

    def transcript(self, case: Case, suffix: str = "") -> Path:
        """Where this case's transcript goes."""
        return self._folder(case) / f"{_slug(case.test.name)}{suffix}.txt"

    def _folder(self, case: Case) -> Path:
        return self.settings.transcripts / _slug(case.place)

    def _boot_folder(self, case: Case) -> Path:
        """Where a boot's transcript goes. Cases of one label may have other answers for each task:
        then each task has a folder, since they may run beside each other."""
        folder = self._folder(case) / Path(case.test.module).stem
        with self._lock:
            if self._folders.setdefault(folder, case.answers) == case.answers:
                return folder
        return folder.with_name(f"{folder.name}-{_slug(case.test.task)}")

    def _images(self, case: Case, rank: int) -> tuple[Future[Path], dict[str, Future[Path]]]:
        """What a boot of the case needs built: the kernel, and the user programs by name."""
        name = self.lab.kernel
        return self.kit.kernel(name, case.answers, rank=rank), {
            program: self.kit.user_program(program, case.answers, rank=rank) for program in self.kit.programs(name)}

    def _unit(self, case: Case, rank: int, after: Sequence[Case] = ()) -> Future[Outcome]:
        key = (case.test.name, case.answers, case.first_only, case.one_report)
        if key not in self._units:
            def begin() -> Future[Outcome]:
                program = self.kit.program(self.lab, case.answers, FLAVOURS[case.test.kind], rank=rank)
                told = [] if case.test.kind == "race" else [self._told_together(case, case.test.kind, rank)]
                return self._schedule.submit(
                    lambda path, *told: (told and told[0].get(case.test.local)) or self._run_unit(path, case, ""),
                    program, *told, rank=rank)

            self._units[key] = self._once_passed(after, begin, Outcome(outcome.SKIPPED), rank)
        return self._units[key]

    def _told_together(self, case: Case, kind: str, rank: int) -> Future[dict[str, Outcome]]:
        """Of the case's task those outcomes of this kind for which none of the tests has to run
        alone."""
        key = (kind, case.test.task, case.answers, case.one_report)
        if key not in self._together:
            tests = [test for test in self.lab.task(case.test.task).tests if test.kind == kind]

            def run(path: Path, *_: object) -> dict[str, Outcome]:
                if not tests or self._controls.sanitizer(FLAVOURS[kind]) or (
                        case.first_only and case.answers in self._noticed):
                    return {}
                found = run_together(path, {test.local: test.expectations for test in tests}, kind=kind,
                                     seed=self.settings.seed, may_leak=self._may_leak(replace(case, test=tests[0])),
                                     transcript=self._folder(case) / f"{_slug(case.test.task)}-{kind}.txt")
                told = {name: one for name, one in found.items() if one.passed}
                if not case.one_report or kind != "unit":
                    return told
                for test in tests:
                    if test.local not in told:
                        told[test.local] = alone = self._run_unit(path, replace(case, test=test), "")
                        if not alone.passed:
                            break
                return found | told

            program = self.kit.program(self.lab, case.answers, FLAVOURS[kind], rank=rank)
            # Where one report is enough, explored cases wait, so that what fails first is the same
            # each time.
            before = [self._told_together(case, "unit", rank)] if case.one_report and kind != "unit" else []
            self._together[key] = self._schedule.submit(run, program, *before, rank=rank)
        return self._together[key]

    def _once_passed(self, after: Sequence[Case], begin: Callable[[], Future[Any]], otherwise: Any,
                     rank: int) -> Future[Any]:
        """What `begin` begins once these cases on the host have passed; `otherwise` as soon as all
        have ended, if they did not."""
        def go(*found: Outcome) -> Future[Any]:
            if all(one.passed for one in found):
                return begin()
            enough: Future[Any] = Future()
            enough.set_result(otherwise)
            return enough

        on_host = [self._unit(one, rank) for one in after]
        return self._schedule.follow(go, *on_host) if on_host else begin()

    def _run_unit(self, program: Path, case: Case, suffix: str) -> Outcome:
        if case.first_only and case.answers in self._noticed:
            return Outcome(outcome.SKIPPED)
        flavour = FLAVOURS[case.test.kind]
        if trouble := self._controls.sanitizer(flavour):
            return Outcome(outcome.NOT_JUDGED, trouble)
        if hung := self._hung_before(case):
            return hung

        def run() -> Outcome:
            return run_case(program, case.test.local, task=case.test.task, seed=self.settings.seed,
                            transcript=self.transcript(case, suffix), wanted=case.test.expectations,
                            seconds=SECONDS[case.test.kind], may_leak=self._may_leak(case))

        found = run()
        if found.lost:
            self.notes.append(f"{case.test.name}: {found.detail}; it was run once more")
            found = run()
            if found.lost:
                found = replace(self._lost_twice(case, "process", found.detail, self._controls.sanitizer(
                    flavour, now=True)), transcript=found.transcript, seconds=found.seconds)
        if case.first_only and not found.passed:
            self._noticed.add(case.answers)
        if found.kind == outcome.TIMEOUT and not suffix:
            self._has_hung(case)
        return found

    def _may_leak(self, case: Case) -> bool:
        """Whether LeakSanitizer has something to look for: the answer that is judged takes memory
        from the heap. Those beside it may, too, but they are right ones."""
        file = self.lab.task(case.test.task).file
        return case.test.kind == "unit" and self.kit.allocates(file, case.answers[file])

    def _place(self, case: Case) -> int:
        """Where a test stands among those of its task; a boot stands where the first of its tests
        does."""
        tests = enumerate(self.lab.task(case.test.task).tests)
        return next(at for at, test in tests if (test.kind, test.module) == (case.test.kind, case.test.module))

    def _has_hung(self, case: Case) -> None:
        with self._lock:
            self._hung[case.test.task, case.answers][case.test.module] = self._place(case)

    def _hung_before(self, case: Case) -> Outcome | None:
        """Why a case is not run. Only what stands before it counts, whatever ran first, so that a
        run repeats its verdicts."""
        with self._lock:
            hung = self._hung[case.test.task, case.answers]
            first = sorted((at, name) for name, at in hung.items() if at < self._place(case))[:HUNG_ENOUGH]
        if len(first) < HUNG_ENOUGH:
            return None
        return Outcome(outcome.NOT_RUN, "not run, as if it had hung: " + " and ".join(name for _, name in first)
                       + " hung before it")

    def _boot(self, case: Case, attempt: int, rank: int, after: Sequence[Case] = ()) -> Future[Boot]:
        key = (case.test.module, case.answers, case.machine, attempt)
        if key not in self._boots:
            def begin() -> Future[Boot]:
                kernel, programs = self._images(case, rank)
                return self._schedule.submit(
                    lambda path, *_: self._run_boot(path, case, attempt), kernel, *programs.values(), rank=rank)

            self._boots[key] = self._once_passed(after, begin, Boot(None, Outcome(outcome.SKIPPED)), rank)
        return self._boots[key]

    def _run_boot(self, kernel: Path, case: Case, attempt: int) -> Boot:
        from grader.testkit.boot import run_boot
        from grader.machines import MachineError

        if trouble := self._controls.machine(case.machine):
            return Boot(None, Outcome(outcome.NOT_JUDGED, trouble))
        if hung := self._hung_before(case):
            return Boot(None, hung)
        module = self._modules[case.test.module]
        nonce = self.nonce(case.test.module)
        ground = self.ground(case)
        wanted = module.plan.__code__.co_varnames[:module.plan.__code__.co_argcount]
        known: dict[str, Callable[[], Any]] = {
            "nonce": lambda: nonce, "guests": lambda: self.guests(case), "machine": lambda: ground}
        files, plan = module.plan(**{name: known[name]() for name in wanted if name in known})
        folder = self._boot_folder(case)
        if attempt:
            folder = folder.with_name(f"{folder.name}-replayed")

        def boot() -> BootResult:
            folder.mkdir(parents=True, exist_ok=True)
            return run_boot(kernel, files, plan, cpus=ground.cpus, memory_mib=ground.memory_mib,
                            seconds=ground.seconds, transcript_dir=folder, machine=ground.name,
                            runs=self.kit.runs(self.lab.kernel))

        def attempted() -> tuple[BootResult | None, str]:
            """What a boot left, and how it was lost: by no end of the kernel's, but of what carries
            it."""
            try:
                result = boot()
            except MachineError as problem:
                return None, str(problem)
            except OSError as error:
                return None, no_room(error).detail
            return result, result.end_in_words() if result.ended in LOST else ""

        result, lost = attempted()
        if lost:
            first = lost.partition("\n")[0]
            self.notes.append(f"{ground.name}, {case.test.module}: {first}; it was booted once more")
            result, lost = attempted()
        if result is None:
            return Boot(None, Outcome(outcome.NOT_JUDGED, lost))
        if lost:
            ended = self._lost_twice(case, "emulator", lost, self._controls.boot(ground))
            if not ended.judged or result.departure:
                return Boot(result, ended)
            return Boot(result, None, ended.detail.partition(":")[0])
        if result.ended == "interrupted":
            raise KeyboardInterrupt
        if result.ended == "timeout" and not attempt:
            self._has_hung(case)
        if result.departure:
            return Boot(result, Outcome(outcome.FAILED, f"the plan did not take place as it stands: {result.departure}"))
        return Boot(result, None)

    def _lost_twice(self, case: Case, what: str, how: str, trouble: str) -> Outcome:
        """The outcome of a case whose emulator or process was lost twice. `trouble`: why a control
        is lost as well; the answer is to blame only if it is not."""
        if trouble:
            return Outcome(outcome.NOT_JUDGED, f"the {what} ended, twice: {how}; and so does one without an answer: {trouble}")
        words = f"the {what} ended under this answer, twice"
        what = f"{case.test.module} on {case.machine}" if case.machine else case.test.name
        self.for_staff.append(f"{what}, answers of '{case.label}': {words}: {how}")
        return Outcome(outcome.CRASHED, f"{words}, and one without an answer does not: {how}")


def why_not(task: Task, test: Test, machine: str) -> str:
    """Why a test cannot run on a machine; empty if it can."""
    from grader import machines

    if test.kind != "boot":
        return ""
    there = machines.machine(machine)
    if task.vendor not in (None, there.vendor):
        return f"for {task.vendor}'s CPUs"
    if test.cpus > there.max_cpus:
        return f"needs {test.cpus} CPUs"
    return ""


def cases_of(task: Task, answers: Answers, label: str, on: Sequence[str], *, late: bool = False,
             first_only: bool = False, all_on_host: bool = False, one_report: bool = False) -> list[Case]:
    """The cases that judge a task: those of the host once, the booted ones on each machine that
    can. With `all_on_host`, only booted ones are `first_only`."""
    cases = []
    for test in task.tests:
        where = [machine for machine in on if not why_not(task, test, machine)] if test.kind == "boot" else [""]
        cases += [Case(test, answers, label, machine, late, first_only and not (all_on_host and not machine), one_report)
                  for machine in where]
    return cases


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)


class Guests(Mapping[str, bytes]):
    """Files by name, each read once, when it is first asked for."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._read: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._paths:
            known = ", ".join(sorted(self._paths)) or "none"
            raise KeyError(f"the kit has no file '{name}'; it has: {known}")
        if name not in self._read:
            self._read[name] = self._paths[name].read_bytes()
        return self._read[name]

    def __iter__(self) -> Any:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def not_begun(problem: BuildFailure | CannotRun | OSError) -> Outcome:
    """The outcome of a test for which nothing could be built or started: by the answer's fault, or
    by this system's."""
    if isinstance(problem, BuildFailure):
        return not_built(problem)
    return no_room(problem) if isinstance(problem, OSError) else Outcome(outcome.NOT_JUDGED, str(problem))


def not_built(failure: BuildFailure) -> Outcome:
    """The outcome of every test whose answers cannot be built."""
    where = f"{failure.file} {failure.stage}" if failure.file else failure.stage
    return Outcome(outcome.REFUSED if failure.stage == REFUSED else outcome.NOT_BUILT, f"{where}:\n{outcome.shortened(str(failure), 30)}",
                   stub=failure.stage)


def no_room(error: OSError) -> Outcome:
    """The outcome where the disk has no room. Raises any other error again."""
    if error.errno not in DISK_ERRORS:
        raise error
    where = f"{error.filename}: " if error.filename else ""
    return Outcome(outcome.NOT_JUDGED, f"{where}{error.strerror}\nmend: make room on the disk, and grade again")


def new_transcripts(root: Path, lab: str, keep: int = 8) -> Path:
    """A new folder for one run's transcripts; older runs beyond `keep` are removed."""
    import shutil

    folder = root / "build" / "transcripts" / lab
    folder.mkdir(parents=True, exist_ok=True)
    old = sorted((path for path in folder.iterdir() if path.is_dir()), reverse=True)
    for path in old[keep - 1:]:
        if time.time() - path.stat().st_mtime > 3600:
            shutil.rmtree(path, ignore_errors=True)
    name = time.strftime("%Y%m%d-%H%M%S")
    for attempt in range(1000):
        path = folder / (f"{name}-{os.getpid()}" + (f"-{attempt}" if attempt else ""))
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise FileExistsError(str(path))
