# SPDX-License-Identifier: MIT
"""Asks the harness inside a test's process what became of its case, once the case's body has ended.

labs/unit_main.cc answers. Each question has a word that was not there before, and comes over a pipe, so nothing
that the answer under test could find beforehand makes a verdict. Some questions ask for a report; one poisons the
case first, after which it must have failed. When it comes is drawn for each case. Who swallows failures, or invents
successes, is wrong at least once. With the end of the body comes how many expectations were evaluated.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import threading
from typing import Any

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
    """The two pipes of one process, and what came of asking. A context: around the process's life."""

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

    def __enter__(self) -> Questions:
        asked, ask = os.pipe()
        hear, say = os.pipe()
        stopped, self._end = os.pipe()
        os.set_blocking(ask, False)
        self._ours, self._theirs = [ask, hear, stopped], [asked, say]
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        # The process has ended; what it left behind may hold the other ends, so nobody waits for those.
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
        _, hear, stopped = self._ours
        line = b""
        while len(line) < _LINE_BYTES:
            ready, _, _ = select.select([hear, stopped], [], [])
            if hear not in ready:
                return ""
            letter = os.read(hear, 1)
            if letter in (b"", b"\n"):
                break
            line += letter
        return line.decode("utf-8", "replace")
