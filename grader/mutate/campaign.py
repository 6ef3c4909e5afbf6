# SPDX-License-Identifier: MIT
"""Judges the mutants of a lab's references: which of them some test notices.

A mutant is compiled for the tests on the host and judged by them up to the first that fails;
ThreadSanitizer's come next. What survives is compiled as it boots: one whose code is the
reference's, byte for byte, is no mistake and does not count. The rest is booted. A verdict is kept
as long as nothing has changed that it rests on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grader import CannotRun
from grader.build import unjudged
from grader.build.answers import Answers, reference_answers
from grader.build.cache import digest
from grader.build.compiling import ASSEMBLY
from grader.build.failures import BuildFailure
from grader.build.kit import Kit
from grader.build.workshop import Progress
from grader.course import lab as labs_module
from grader.course.lab import Lab, Task, Test
from grader.judge import outcome
from grader.judge.engine import FLAVOURS, Engine, Settings, cases_of, new_transcripts
from grader.judge.judging import judge, outcomes
from grader.judge.unit import SECONDS, run_case
from grader.mutate import assembly, cxx
from grader.mutate.at_once import suspects
from grader.mutate.edits import Edit
from grader.mutate.survivors import Listed

KILLED, SURVIVED, EQUIVALENT, STILLBORN = "killed", "survived", "equivalent", "does not build"
IMPLIED = "implied"
"""A grosser edit of a place whose milder one was noticed: not tried."""
TOGETHER_SECONDS = 30.0
RESTS_ON = ("kern", "vmm", "guest", "cmake", "solutions-private/kern", "solutions-private/vmm", "grader/testkit",
            "grader/machines", "grader/evidence")


@dataclass(eq=False)
class Mutant:
    """One edit of one reference."""

    task: Task
    edit: Edit
    text: str
    """of the reference"""
    path: Path
    """where the mutant stands"""
    verdict: str = ""
    by: str = ""
    """the test that notices it"""

    @property
    def key(self) -> tuple[str, str, str]:
        """As the list of survivors has it."""
        return self.task.file, *self.edit.lines(self.text)


class Campaign:
    """The mutants of one lab."""

    def __init__(self, lab: Lab, kit: Kit, seed: int, progress: Progress, keyword: str = "") -> None:
        self.lab, self.kit, self.seed, self.progress = lab, kit, seed, progress
        references = reference_answers(labs_module.load_all(kit.root), kit.root)
        if references is None:
            raise CannotRun("there are no reference answers in this tree, so there is nothing to mutate")
        self.references: Answers = references
        self.transcripts = new_transcripts(kit.root, f"{lab.id}-mutate")
        self._tests = _content(lab.folder)  # now: as the kit was built, whoever edits them meanwhile
        self._lock = threading.Lock()
        self._precompiled: set[tuple[str, str]] = set()
        self._code: dict[str, list[bytes]] = {}
        """by task file: the reference's"""
        self.mutants = [mutant for task in lab.tasks if keyword in task.id
                        for mutant in self._of(task)]

    def sample(self, count: int, listed: Listed) -> None:
        """Keeps so many of the mutants that are not listed as survivors; which ones follows from
        their contents."""
        chosen = sorted((one for one in self.mutants if one.key not in listed),
                        key=lambda one: hashlib.sha256(repr(one.key).encode()).digest())[:count]
        self.mutants = [one for one in self.mutants if one in chosen]

    def run(self, listed: Listed) -> list[Mutant]:
        """Judges them all; those that were judged, in order. The listed ones, which somebody has
        explained, are not booted."""
        waiting = [one for one in self.mutants if not self._remembered(one)]
        while waiting:
            # A grosser edit of the same place waits until the milder one has survived.
            now = [one for one in waiting if self._milder(one) in (None, SURVIVED, EQUIVALENT, STILLBORN)]
            for one in waiting:
                if self._milder(one) in (KILLED, IMPLIED):
                    one.verdict = IMPLIED
            waiting = [one for one in waiting if not one.verdict and one not in now]
            self._on_host(now)
            left = [one for one in now if not one.verdict and one.key not in listed]
            self._compare(left)
            self._boot([one for one in left if not one.verdict])
            for one in now:
                one.verdict = one.verdict or SURVIVED
                self._remember(one)
        return [one for one in self.mutants if one.verdict != IMPLIED]

    # -- making them -----------------------------------------------------------------------------

    def _of(self, task: Task) -> Iterator[Mutant]:
        source = self.references[task.file]
        text = source.read_text(encoding="utf-8")
        if task.file.endswith(ASSEMBLY):
            found = assembly.edits(text)
        else:
            flags = [flag for flag in self.kit.flags(task.file, "asan") if not flag.startswith("-fsanitize")]
            found = cxx.edits(source, text, [*flags, f"-iquote{(self.kit.root / task.file).parent}"])
        for edit in found:
            mutant = edit.apply(text)
            place = self.kit.root / "build" / "mutate" / digest(task.file, mutant)[:16] / source.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.write_text(mutant, encoding="utf-8")
            yield Mutant(task, edit, text, place)

    def _milder(self, one: Mutant) -> str | None:
        """The verdict of the milder edit of the same place; None if there is none."""
        if one.edit.milder is None:
            return None
        return next((other.verdict for other in self.mutants if other.edit is one.edit.milder), SURVIVED)

    def _answers(self, one: Mutant) -> Answers:
        return self.references.replaced(one.task.file, one.path)

    # -- judging them ----------------------------------------------------------------------------

    def _on_host(self, mutants: list[Mutant]) -> None:
        """The unit cases of all, then the race cases of those that are left."""
        for kind, flavour in FLAVOURS.items():
            jobs: list[tuple[Mutant, Future[str]]] = []
            for rank, one in enumerate(mutants):
                tests = [test for test in one.task.tests if test.kind == kind]
                if tests and not one.verdict:
                    self._precompile(one, flavour)
                    program = self.kit.program(self.lab, self._answers(one), flavour, rank, ["-Wl,--strip-debug"])
                    jobs.append((one, self.kit.schedule.submit(
                        lambda path, one=one, tests=tests: self._cases(path, one, tests), program, rank=rank)))
            for done, (one, job) in enumerate(jobs):
                self.progress(f"mutants of {self.lab.id} by {kind} tests [{done}/{len(jobs)}]")
                try:
                    one.by = job.result()
                    one.verdict = KILLED if one.by else ""
                except BuildFailure:
                    one.verdict = STILLBORN
                if one.verdict:
                    self._remember(one)  # at once, since a long run may be interrupted

    def _precompile(self, one: Mutant, flavour: str) -> None:
        includes = "".join(line for line in one.text.splitlines(keepends=True) if line.startswith("#include"))
        if (one.task.file, flavour) not in self._precompiled:
            self._precompiled.add((one.task.file, flavour))
            unjudged.precompile(self.kit, one.task.file, flavour, includes, self.kit.root / "build" / "mutate" / "first")

    def _cases(self, program: Path, one: Mutant, tests: list[Test]) -> str:
        """The first test that fails; the one that failed last time goes first.

        All in one process tell which test to look at: that saves a process for each. What fails
        there alone, as a variable that outlives its test may, fails for nobody."""
        before = self._last.get(str(one.path), "")
        try:
            waiting = {test.local: test for test in sorted(tests, key=lambda test: test.name != before)}
            first = next(iter(waiting.values()))
            if first.name == before and self._fails(program, one, waiting.pop(first.local)):
                return first.name
            while waiting and (failed := suspects(program, list(waiting), self.seed, TOGETHER_SECONDS,
                                                  may_leak=self._may_leak(one, first))):
                test = waiting.pop(failed[0])
                if self._fails(program, one, test):
                    return test.name
            return ""
        finally:
            program.unlink(missing_ok=True)  # the verdict is kept, and there are thousands of them

    def _fails(self, program: Path, one: Mutant, test: Test) -> bool:
        found = run_case(program, test.local, task=one.task.id, seed=self.seed, seconds=SECONDS[test.kind],
                         may_leak=self._may_leak(one, test),
                         transcript=self.transcripts / "host" / f"{one.path.parent.name}.txt")
        if found.kind == outcome.NOT_JUDGED:
            raise CannotRun(found.detail)
        return not found.passed

    def _may_leak(self, one: Mutant, test: Test) -> bool:
        return test.kind == "unit" and self.kit.allocates(one.task.file, one.path)

    def _compare(self, mutants: list[Mutant]) -> None:
        """Those whose machine code is that of the reference are equivalent."""
        jobs = [(one, self.kit.schedule.submit(lambda one=one: self._is_same(one))) for one in mutants]
        for one, job in jobs:
            if job.result():
                one.verdict = EQUIVALENT

    def _is_same(self, one: Mutant) -> bool:
        file = one.task.file
        with self._lock:
            if file not in self._code:
                self._code[file] = unjudged.code(self.kit, file, self.references[file])
        try:
            return unjudged.code(self.kit, file, one.path) == self._code[file]
        except BuildFailure:
            return False

    def _boot(self, mutants: list[Mutant]) -> None:
        for machine in self.lab.mutants_on:
            engine = Engine(self.lab, self.kit, Settings(self.seed, self.transcripts, replay=False))
            left = [one for one in mutants if not one.verdict]
            cases = [case for one in left for case in cases_of(
                one.task, self._answers(one), one.path.parent.name, [machine], first_only=True) if case.machine]
            if not cases:
                continue
            self.progress(f"mutants of {self.lab.id} booted on {machine} [{len(left)}]")
            found = judge(engine, cases, "", self.progress)
            for one in left:
                mine = outcomes(found, one.path.parent.name, [machine])
                if any(not each.judged for each in mine.values()):
                    raise CannotRun(next(each.detail for each in mine.values() if not each.judged))
                if any(each.kind == outcome.NOT_BUILT for each in mine.values()):
                    one.verdict = STILLBORN
                    continue
                one.by = next((name for name, each in mine.items() if not each.passed), "")
                if one.by:
                    one.verdict = KILLED
                    self._remember(one)

    # -- remembering verdicts --------------------------------------------------------------------

    @cached_property
    def _last(self) -> dict[str, str]:
        """By mutant: the test that noticed it last time, whatever has changed since."""
        return self._read_last()

    def _read_last(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._memory.read_text()))
        except (OSError, ValueError):
            return {}

    @property
    def _memory(self) -> Path:
        return self.kit.root / "build" / "mutate" / f"{self.lab.id}.json"

    @cached_property
    def _ground(self) -> str:
        """What every verdict rests on beside the tests."""
        return digest([_content(self.kit.root / room) for room in RESTS_ON], self.kit.ground)

    def _proof(self, test: str) -> str:
        """The contents of the files that hold the test and what it shares with others, without the
        others: as long as they are as they were, it notices what it noticed."""
        kind, _, local = test.partition(":")
        if kind == "boot":
            return digest(*(one for one in self._tests if one[0].startswith("boot/")))
        return digest(*((name, _alone(text, local.partition(".")[2]))
                        for name, text in self._tests if name.startswith("unit/")))

    def _proves(self, verdict: str, by: str) -> str:
        """What of the tests a verdict rests on."""
        return self._proof(by) if by else digest(self._tests) if verdict == SURVIVED else ""

    def _key(self, one: Mutant) -> str:
        return digest("mutant", one.path.parent.name, one.task.id, self._ground, self.lab.mutants_on)

    def _remembered(self, one: Mutant) -> bool:
        kept = self.kit.cache.get(self._key(one))
        if kept is None:
            return False
        verdict, by, proof = json.loads(kept.read_text())
        if proof != self._proves(verdict, by):
            return False
        one.verdict, one.by = verdict, by
        return True

    def _remember(self, one: Mutant) -> None:
        proof = self._proves(one.verdict, one.by)
        with self.kit.cache.workplace() as place:
            (place / "verdict").write_text(json.dumps([one.verdict, one.by, proof]))
            self.kit.cache.put(self._key(one), place / "verdict")
        if one.by:
            self._last[str(one.path)] = one.by
            new = self._memory.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(self._read_last() | self._last))  # others may work on other tasks
            new.replace(self._memory)


def _alone(text: bytes, case: str) -> bytes:
    """A file of GoogleTest cases without those of other names."""
    mine = re.compile(rb",\s*%s\)" % re.escape(case.encode()))
    return re.sub(rb"^(?:TYPED_)?TEST(?:_[FP])?\([^)]*\) \{\n.*?^\}\n+",
                  lambda one: one[0] if mine.search(one[0].split(b"{", 1)[0]) else b"", text, flags=re.MULTILINE | re.DOTALL)


def _content(folder: Path) -> list[tuple[str, bytes]]:
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts]
