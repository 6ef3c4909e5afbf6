# SPDX-License-Identifier: MIT
"""Runs GoogleTest cases beside each other: one program in one sandbox, and a child of it for each
case.

Most of what a process costs is its start: a sandbox, a dynamic linker, a sanitizer's shadow memory.
A child has all that from a process in which no answer has run (labs/unit_main.cc), so nothing of
one case meets the next. A case passes by the same three things as in a process that was started for
it (grader/judge/unit.py): what the harness in it says when it is asked, its status, which its
parent tells, and how many expectations were evaluated. What does not pass here has not failed yet:
it runs alone, and then there is a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grader.confine import host_program, sandbox
from grader.confine.words import kept
from grader.course.expectations import Expectations
from grader.judge import outcome
from grader.judge.outcome import Outcome
from grader.judge.questions import PASSED, QuestionsOfEach

SECONDS = {"unit": (1, 5.0), "explore": (5, 15.0)}
"""By kind of test: processor time for one of them, and their own time (grader/confine/processes.py)
for all. Those that are left then run alone."""
BESIDE_OTHERS = "fails in one sandbox with the task's other cases"
"""What is said of a case that does not pass."""


def run_together(program: Path, wanted: Mapping[str, Expectations | None], *, kind: str, seed: int, transcript: Path,
                 may_leak: bool = True) -> dict[str, Outcome]:
    """Runs these cases of the program, `Suite.Case`, each with what must have been evaluated if it
    passes, until one or all have taken their SECONDS. By case that came to its end: whether it has
    passed. `may_leak`: as in grader/judge/unit.py."""
    for_one, for_all = SECONDS[kind]
    asked = QuestionsOfEach([])

    def start() -> sandbox.Completed:
        nonlocal asked
        with QuestionsOfEach(list(wanted)) as asked:
            return sandbox.run(
                [*host_program.without_randomization(), program, "--gtest_color=no"], timeout=for_all, readable=[program],
                pass_fds=asked.descriptors, env={
                    **_without_words(may_leak), **asked.environment, "NEST_CASE_SECONDS": str(for_one), "NEST_SEED": str(seed)})

    done = host_program.started(start)
    if done.killed == "interrupted":
        raise KeyboardInterrupt
    transcript.parent.mkdir(parents=True, exist_ok=True)
    transcript.write_text(kept(f"{done.stdout}\n--- standard error ---\n{done.stderr}\n--- {done.ended()} ---\n"),
                          encoding="utf-8")
    found = {}
    for case, told in asked.told.items():
        expected = wanted[case]
        if told.found == PASSED and told.status == 0 and not (expected and expected.missing(told.evaluated)):
            found[case] = Outcome(outcome.PASSED, transcript=transcript, evaluated=told.evaluated)
        elif not told.hung:
            found[case] = Outcome(outcome.FAILED, BESIDE_OTHERS)
    return found


def _without_words(may_leak: bool) -> dict[str, str]:
    """As sanitizers behave where nobody reads what they say: no names of functions, and nothing of
    who took memory: LeakSanitizer alone cannot do without that."""
    options = host_program.sanitizers(may_leak)
    return {**options, "ASAN_OPTIONS": options["ASAN_OPTIONS"] + ":symbolize=0" + ":malloc_context_size=0" * (not may_leak),
            "UBSAN_OPTIONS": options["UBSAN_OPTIONS"].replace("print_stacktrace=1", "print_stacktrace=0")}
