# SPDX-License-Identifier: MIT
"""Asks the harness inside a test's process what became of its case, once the case's body has ended.

labs/unit_main.cc answers. Each question has a word that was not there before, and comes over a
pipe, so nothing that the answer under test could find beforehand makes a verdict. Some questions
ask for a report; one poisons the case first, after which it must have failed. When it comes is
drawn for each case. Who swallows failures, or invents successes, is wrong at least once. With the
end of the body comes how many expectations were evaluated.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

PASSED = "passed"
FAILED = "failed"
FORGED = "forged"
NOTHING = ""
MOST_BEFORE = 3
MOST_AFTER = 3
_LINE_BYTES = 1024

Evaluated = tuple[int, int]
"""Of the expectations of a case: at how many places one was evaluated, and how often in all"""


class Questions:
    """The two pipes of one process, and what came of asking. A context: around the process's
    life."""

    def __init__(self, case: str) -> None:
        self.found = NOTHING
        """PASSED, FAILED, FORGED, or nothing was said"""
        self.evaluated: Evaluated | None = None
        """how many expectations the process says were evaluated"""
        self._case = case
        self._ours: list[int] = []
        self._theirs: list[int] = []
        self._end = -1
        self._thread = threading.Thread(target=self._talk, daemon=True)

    def __enter__(self) -> Self:
        asked, ask = os.pipe()
        hear, say = os.pipe()
        stopped, self._end = os.pipe()
        os.set_blocking(ask, False)
        self._ours += [ask, hear, stopped]
        self._theirs += [asked, say]
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        # The process has ended; what it left behind may hold the other ends, so nobody waits for
        # those.
        for one in self._theirs:
            os.close(one)
        os.close(self._end)
        self._thread.join()
        for one in self._ours:
            os.close(one)

    @property
    def descriptors(self) -> list[int]:
        """What the process needs."""
        return self._theirs

    @property
    def environment(self) -> dict[str, str]:
        """What the process is told."""
        return {"NEST_QUESTIONS_FD": str(self._theirs[0]), "NEST_ANSWERS_FD": str(self._theirs[1])}

    def _talk(self) -> None:
        with contextlib.suppress(OSError):
            self.found = self._asked()

    def _asked(self) -> str:
        ended = re.fullmatch(rf"{re.escape(self._case)} ended (\d+) (\d+)", self._heard())
        if ended is None:
            return NOTHING
        self.evaluated = int(ended[1]), int(ended[2])
        before, after = (1 + secrets.randbelow(most) for most in (MOST_BEFORE, MOST_AFTER))
        for i in range(before + after):
            word = secrets.token_hex(8)
            self._ask(f"{'poison' if i == before else 'report'} {word}")
            answer = self._heard()
            wanted = PASSED if i < before else FAILED
            if answer == f"{self._case} {word} {FAILED}" and i == 0:
                self._ask("enough")
                return FAILED
            if not answer:
                return NOTHING
            if answer != f"{self._case} {word} {wanted}":
                return FORGED
        self._ask("enough")
        return FORGED if self._heard() else PASSED

    def _ask(self, line: str) -> None:
        os.write(self._ours[0], f"{line}\n".encode())

    def _heard(self) -> str:
        """The next line; empty at the end."""
        _, hear, *others = self._ours
        return self._line(hear, others)

    @staticmethod
    def _line(hear: int, others: list[int]) -> str:
        """The next line of `hear`; empty at its end, or once there is something in one of the
        others first."""
        line = b""
        while len(line) < _LINE_BYTES:
            ready, _, _ = select.select([hear, *others], [], [])
            if hear not in ready:
                return ""
            letter = os.read(hear, 1)
            if letter in (b"", b"\n"):
                break
            line += letter
        return line.decode("utf-8", "replace")


@dataclass(frozen=True)
class Told:
    """What came of a case of several."""

    found: str
    """as `Questions.found`"""
    evaluated: Evaluated | None
    status: int
    """how its process ended, as waitpid(2) says it"""

    @property
    def hung(self) -> bool:
        """Whether it took all the processor time that it had."""
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGXCPU


class QuestionsOfEach(Questions):
    """Asks about several cases, one after the other. The process is told which is next, gives it to
    a child, and says with what status that ended, over two pipes that the child does not have."""

    def __init__(self, cases: Sequence[str]) -> None:
        super().__init__("")
        self.told: dict[str, Told] = {}
        """by case that came to an end"""
        self._cases = cases
        self._name = self._ended = -1

    def __enter__(self) -> Self:
        named, self._name = os.pipe()
        self._ended, ended = os.pipe()
        os.set_blocking(self._name, False)
        self._theirs = [named, ended]
        return super().__enter__()

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)
        os.close(self._ended)

    @property
    def environment(self) -> dict[str, str]:
        """What the process is told."""
        named, ended, asked, say = map(str, self._theirs)
        return {"NEST_QUESTIONS_FD": asked, "NEST_ANSWERS_FD": say, "NEST_CASES_FD": named, "NEST_ENDS_FD": ended}

    def _talk(self) -> None:
        try:
            for case in self._cases:
                os.write(self._name, f"{case}\n".encode())
                self._case, self.evaluated = case, None
                found = self._asked()
                status = self._line(self._ended, self._ours[2:])
                if not status.isdecimal():
                    break
                self.told[case] = Told(found, self.evaluated, int(status))
                if self.told[case].hung:
                    break  # the next may do so, too
                self._forget_what_was_left()
        except OSError:
            pass  # the process is gone, or does not listen
        finally:
            os.close(self._name)

    def _heard(self) -> str:
        """The next line; empty at the end of the case."""
        _, hear, *stopped = self._ours
        return self._line(hear, [self._ended, *stopped])

    def _forget_what_was_left(self) -> None:
        """Of a child that ended in the middle of a question: the next one is asked its own."""
        left = [self._ours[1], self._theirs[2]]
        while ready := select.select(left, [], [], 0)[0]:
            for one in ready:
                os.read(one, _LINE_BYTES)
