# SPDX-License-Identifier: MIT
"""Runs one GoogleTest case in a process of its own and judges how it ended.

A verdict is three things that agree: what the harness in the program says when it is asked
(grader/judge/questions.py), an exit status of 0, and as many expectations evaluated as under a
right answer, where that number is known (grader/course/expectations.py). An answer that ends the
process has the first two not, and one that ends the case's body early has the third not.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

from grader.confine import host_program, sandbox
from grader.confine.words import kept
from grader.course.expectations import Expectations
from grader.course.lab import ROOT
from grader.judge import outcome
from grader.judge.outcome import Outcome, shortened, stub_reached
from grader.judge.questions import FAILED, FORGED, PASSED, Questions
from grader.machines import killed_from_outside

CASE_SECONDS = 5.0
"""of its own time (grader/confine/processes.py), eight times what a reference takes in the longest
case"""
EXPLORE_SECONDS = 15.0
"""Likewise, for explored cases: the longest, a million steps, was seen to take 5 s on a slow
virtual machine."""
RACE_SECONDS = 12.0
"""Likewise, for ThreadSanitizer's cases: a test may hold a CPU for 8 s, and then says what it
waited for."""
SECONDS = {"unit": CASE_SECONDS, "explore": EXPLORE_SECONDS, "race": RACE_SECONDS}
"""By kind of test."""
TODO_STATUS = 121

FAILURES = 3
"""More failures than this of one case, as of a loop, are counted."""
FRAMES = 6
"""More frames of one stack are left out, but for the case's own."""
ADDRESSES = re.compile(r" (at pc|\(pc) 0x.*")
FROM_ROOT = re.compile(rf"(?:^| )(?:{re.escape(str(ROOT))}/|\./|\.\./\.\./)")
"""How the tree's files may be named: in full, or, in what the kit holds, from its build folder,
said to be the root."""
FRAME = re.compile(r"#\d+ 0x[0-9a-f]+ in |#\d+ ")
OFFSET = re.compile(r" \(\w+\+0x[0-9a-f]+\)$")


def run_case(program: Path, case: str, *, task: str, seed: int, transcript: Path,
             seconds: float = CASE_SECONDS, wanted: Expectations | None = None, may_leak: bool = True) -> Outcome:
    """Runs `Suite.Case` of the program for a test of `task`. `wanted`: what must have been
    evaluated if it passes; `may_leak`: the answer takes memory from the heap (Kit.allocates), so
    LeakSanitizer has something to look for."""
    command = [*host_program.without_randomization(), str(program), f"--gtest_filter={case}"]
    # One schedule alone of an explored case (kern/arch/explore).
    schedule = {name: os.environ[name] for name in ("NEST_SCHEDULE",) if name in os.environ}
    asked = Questions(case)

    def start() -> sandbox.Completed:
        nonlocal asked
        with Questions(case) as asked:
            return sandbox.run(
                [*command, "--gtest_color=no"], timeout=seconds, readable=[program], pass_fds=asked.descriptors,
                env={**host_program.sanitizers(may_leak), **asked.environment, "NEST_SEED": str(seed), **schedule})

    done = host_program.started(start)
    if done.killed == "interrupted":
        raise KeyboardInterrupt
    transcript.parent.mkdir(parents=True, exist_ok=True)
    transcript.write_text(kept(f"$ NEST_SEED={seed} {shlex.join(command)}\n{done.stdout}\n"
                          f"--- standard error ---\n{done.stderr}\n--- {done.ended()} ---\n"), encoding="utf-8")
    verdict = _judge(done, asked.found, task, seconds)
    if verdict.passed and wanted and (missing := wanted.missing(asked.evaluated)):
        verdict = Outcome(outcome.FORGED, missing)
    return replace(verdict, seconds=done.seconds, transcript=transcript, evaluated=asked.evaluated)


def _judge(done: sandbox.Completed, found: str, task: str, seconds: float) -> Outcome:
    passed, failed = found == PASSED, found == FAILED
    if passed and done.ok:
        return Outcome(outcome.PASSED)
    if done.timed_out:
        return Outcome(outcome.TIMEOUT, f"did not end within {seconds:g} s of its own time: an endless loop, or a wait "
                       "for something that never happens\n" + shortened(done.stdout + done.stderr, 8))
    if host_program.has_no_place(done):
        return Outcome(outcome.NOT_JUDGED, "the sanitizer of this test cannot work here: the system puts other things "
                       f"at the addresses that it wants\nmend: {host_program.MEND}")
    if done.returncode == TODO_STATUS:
        stub = stub_reached(done.stderr, task)
        if stub:
            return stub
    if found == FORGED:
        return Outcome(outcome.FORGED, "this verdict cannot be trusted: asked after the case had ended, the process "
                       "gave a false answer")
    report = sanitizer_report(done.stderr)
    if report:
        return Outcome(outcome.CRASHED, report)
    if not done.killed and killed_from_outside(done.returncode):
        return Outcome(outcome.CRASHED, f"the test's process {done.ended()}, sent from outside", lost=True)
    if done.killed or done.returncode < 0:
        return Outcome(outcome.CRASHED, f"the test's process {done.ended()}\n"
                       + shortened(case_text(done.stdout) + done.stderr, 12))
    if failed:
        return Outcome(outcome.FAILED, shortened(case_text(done.stdout)) or "failed without a message")
    if passed:
        return Outcome(outcome.FAILED, f"the case passed, but its process {done.ended()}\n"
                       + shortened(done.stderr, 12))
    return Outcome(outcome.CRASHED, f"the test's process {done.ended()} before the case was done\n"
                   + shortened(case_text(done.stdout) + done.stderr, 12))


def case_text(stdout: str) -> str:
    """What GoogleTest printed between the case's start and its end."""
    lines = stdout.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("[ RUN      ]")), -1)
    end = next((i for i, line in enumerate(lines) if line.startswith("[  FAILED  ]")), len(lines))
    mine = lines[start + 1:end]
    failures = [i for i, line in enumerate(mine) if line.endswith(": Failure")]
    if len(failures) > FAILURES:
        more = len(failures) - FAILURES
        mine[failures[FAILURES]:] = [f"... and {more} more failure{'s' * (more > 1)}, see the log"]
    return "\n".join(mine) + "\n"


def _variable_first(stderr: str) -> str:
    """A report of a race whose second line names the variable, if one of the reports names it."""
    for report in stderr.split("WARNING: ThreadSanitizer")[1:]:
        where = next((line for line in report.splitlines() if "Location is global" in line), None)
        if where is not None:
            return "WARNING: ThreadSanitizer" + report.replace(where, "").replace("\n", f"\n{where}\n", 1)
    return stderr


def sanitizer_report(stderr: str) -> str:
    """The part of a sanitizer's report that a reader wants: what, and where in the tree."""
    lines = _variable_first(stderr).splitlines()
    marks = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
             "WARNING: ThreadSanitizer", "ERROR: UndefinedBehaviorSanitizer", "FATAL: ThreadSanitizer")
    start = next((i for i, line in enumerate(lines) if any(mark in line for mark in marks)), None)
    if start is None:
        return ""
    picked = [FROM_ROOT.sub(" ", ADDRESSES.sub("", lines[start].split("==")[-1])).strip()
              .replace("use-after-poison", "use-after-poison (of a frame that is not in use)")]
    frames = 0
    for line in lines[start + 1:]:
        text = line.strip()
        frame = text.startswith("#")
        frames = frames + 1 if frame else 0
        if frame and not any(room in text for room in (" kern/", " vmm/", " labs/", "/kern/", "/vmm/", "/labs/")):
            continue  # frames of the sanitizer, of GoogleTest and of the C++ library
        if frame and frames > FRAMES and "TestBody" not in text:
            continue  # how it came there is told by those before
        if frame:
            text = OFFSET.sub("", FRAME.sub("in ", FROM_ROOT.sub(" ", text)))
        if text == picked[-1] or "is a wild pointer" in text or "labs/unit_main.cc" in text:
            continue  # a recursion; what says nothing
        if text and not text.startswith(("=", "SUMMARY", "Shadow", "0x", "=>0x", "Addressable")):
            picked.append(text)
        if len(picked) > 14 or text.startswith("SUMMARY"):
            break
    return shortened("\n".join(picked), 16)
