# SPDX-License-Identifier: MIT
"""Whether this system can judge at all: the same tools, tried on something that is no answer.

Before anything counts, each machine boots a kernel that only powers off, and each sanitizer runs a
program that does nothing. The same is tried once more, on the spot, when an emulator or a test's
process was lost twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from grader import CannotRun
from grader.build.failures import BuildFailure
from grader.build.kit import Kit
from grader.confine import host_program, sandbox
from grader.testkit.plans import Ground

SECONDS = 20.0


class Controls:
    """What was tried in this session. Each answer is in words, with the mend; empty if it works."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def machine(self, name: str) -> str:
        """Why nothing can be booted on a machine."""
        from grader.machines import machine
        from grader.machines.probe import vouch_for

        return self._once(name, lambda: vouch_for(machine(name)))

    def boot(self, ground: Ground) -> str:
        """The control boot: why no kernel runs, at this moment, on a machine of this size."""
        from grader.machines import machine
        from grader.machines.probe import try_machine

        return _tried(lambda: try_machine(machine(ground.name), ground.cpus, ground.memory_mib))

    def sanitizer(self, flavour: str, *, now: bool = False) -> str:
        """Why no program of a flavour can run; `now`: tried again, whatever is known."""
        if flavour not in ("asan", "tsan"):
            return ""
        return (_tried if now else lambda work: self._once(flavour, work))(lambda: self._run(flavour))

    def _once(self, what: str, work: Callable[[], object]) -> str:
        with self._lock:
            if what not in self._known:
                self._known[what] = _tried(work)
            return self._known[what]

    def _run(self, flavour: str) -> None:
        try:
            program = self._kit.control(flavour)
        except BuildFailure:
            return  # then no answer is built either, and the compiler says why
        done = host_program.started(lambda: sandbox.run(
            [*host_program.without_randomization(), program], timeout=SECONDS, readable=[program],
            env=host_program.SANITIZERS))
        if not done.ok:
            raise CannotRun(
                f"the sanitizer of these tests ({flavour}) cannot work here: a program that does nothing "
                f"{done.ended()}: {' '.join(done.stderr.split())[:300] or 'it said nothing'}\nmend: {host_program.MEND}"
                "; `nest doctor` tries each sanitizer on its own")


def _tried(work: Callable[[], object]) -> str:
    try:
        work()
    except CannotRun as problem:
        return str(problem)
    return ""
