# SPDX-License-Identifier: MIT
"""What a failed booted test says: its own words, and how the machine ended where that matters."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.evidence.memory import EvidenceError
from grader.judge import outcome
from grader.judge.engine import Boot, Case
from grader.judge.outcome import Outcome, shortened, stub_reached


JUDGING_SECONDS = 120.0
"""of this process's own work: what one test may take to look at what a boot left"""


@contextlib.contextmanager
def judging_limit() -> Iterator[None]:
    """Ends a test that looks at evidence without end, with a finding. It counts work and not time,
    so that a busy system changes nothing."""

    def enough(number: int, frame: object) -> None:
        raise EvidenceError(f"to look at what the boot left has taken over {JUDGING_SECONDS:g} s of work: it is made so "
                            "that nobody gets to its end")

    before = signal.signal(signal.SIGVTALRM, enough)
    signal.setitimer(signal.ITIMER_VIRTUAL, JUDGING_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def stub_in(boot: Boot, case: Case) -> Outcome | None:
    """A stub that the booted kernel reached: it panics with the stub's line."""
    result = boot.result
    if result is None or result.status == 0:
        return None
    return stub_reached(result.serial, case.test.task)


def failure(call: pytest.CallInfo[None], boot: Boot, case: Case) -> Outcome:
    """A failed assertion or an error in a booted test, with how the machine ended where that
    matters."""
    assert call.excinfo is not None
    if boot.result is not None:  # a stub in a user program ends that program, and not the kernel
        stub = stub_reached(boot.result.serial, case.test.task)
        if stub is not None:
            return stub
    error = call.excinfo.value
    text = str(error).strip() or type(error).__name__
    if not isinstance(error, (AssertionError, EvidenceError)):  # both say it in words
        text = f"{type(error).__name__}: {text}"
    entry = call.excinfo.traceback[-1]
    if call.excinfo.errisinstance(AssertionError) and not text.startswith("assert "):
        text = text.partition("\nassert ")[0]  # the test says in words what pytest says in values
    parts = [shortened(text, 16)]
    for one in call.excinfo.traceback:
        if Path(str(one.path)).name.startswith("test_"):
            entry = one
    parts.append(f"at {Path(str(entry.path)).name}:{entry.lineno + 1}")
    kind = outcome.FAILED
    result = boot.result
    if result is not None and (result.ended != "powered off" or result.status != 0):
        parts[0] = parts[0].partition("; its last words: ")[0]  # they follow
        parts += [boot.lost] * bool(boot.lost) + [f"the machine: {result.end_in_words()}"]
        parts += [f"the emulator: {shortened(line)}" for line in result.last_complaints()]
        parts.append("the end of its serial line:")
        parts.append(shortened("\n".join(last_words(result.serial)), 12))
        if result.registers:
            parts.append(shortened(result.registers, 12))
        kind = outcome.TIMEOUT if result.ended == "timeout" else outcome.CRASHED
    return Outcome(kind, "\n".join(parts))


def last_words(serial: str) -> list[str]:
    """The end of what a machine printed; of a panic what it says and its backtrace, without the
    registers."""
    lines = serial.strip().splitlines()
    panic = next((i for i, line in enumerate(lines) if line.startswith("panic")), None)
    if panic is None:
        return lines[-12:]
    trace = next((i for i in range(panic, len(lines)) if lines[i].startswith("backtrace")), panic + 1)
    return [lines[panic], *lines[trace:]]
