# SPDX-License-Identifier: MIT
"""Starts the programs of host tests where their sanitizers can work.

AddressSanitizer and ThreadSanitizer want certain addresses for themselves. A kernel that places
memory with 32 bits of randomness (``vm.mmap_rnd_bits``) puts a program's own parts there now and
then. So test programs are started without randomization, by ``personality``. Some containers forbid
that. There a program is started again until its sanitizer has found its place. It looks for it
before ``main``, so no test runs twice. Programs are linked ``-no-pie`` (cmake/flavours.cmake),
which is all that AddressSanitizer needs; of ThreadSanitizer about one start in eight works.

As a command, for ctest: ``python3 -m grader.confine.host_program PROGRAM ARGUMENT...``.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

from grader import CANNOT_RUN
from grader.confine import sandbox
from grader.confine.processes import dying_with_parent

STARTS = 150
"""A program of ThreadSanitizer that was started so often has failed by bad luck once in 10^8
times."""
MEND = ("sudo sysctl vm.mmap_rnd_bits=28; in a container, on its host, or start it with "
        "`--security-opt seccomp=unconfined`")
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:exitcode=99:allocator_may_return_null=1:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "exitcode=99:halt_on_error=1:report_signal_unsafe=0",
    "LSAN_OPTIONS": "exitcode=99",
}
"""How a sanitizer behaves in our programs."""
# Of gcc 12 and later, clang 14 and later.
_NO_PLACE = re.compile(r"FATAL: ThreadSanitizer: (unexpected memory mapping|memory layout is incompatible)|"
                       r"ThreadSanitizer: mmap at bad address|ThreadSanitizer: CHECK failed: .*personality|"
                       r"Shadow memory range interleaves")
_SILENT_DEATHS = (-7, -11)
"""SIGBUS and SIGSEGV, where a sanitizer lies over something that its own start needs."""


def sanitizers(may_leak: bool) -> dict[str, str]:
    """SANITIZERS, without LeakSanitizer where nothing can leak: its look at all memory, at the end,
    is most of what a short test costs."""
    options = SANITIZERS["ASAN_OPTIONS"]
    return {**SANITIZERS, "ASAN_OPTIONS": options if may_leak else options.replace("detect_leaks=1", "detect_leaks=0")}


@functools.lru_cache(maxsize=1)
def without_randomization() -> tuple[str, ...]:
    """The words before a command that starts it without address randomization; none where that is
    forbidden."""
    setarch = shutil.which("setarch")
    if setarch is None:
        return ()
    tried = subprocess.run([setarch, "-R", "true"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return (setarch, "-R") if tried.returncode == 0 else ()


def has_no_place(done: sandbox.Completed) -> bool:
    """Whether the program ended since its sanitizer did not find its addresses free."""
    if done.ok or done.killed or done.stdout:  # it looks before main, and main prints
        return False
    silent = not done.stderr and done.returncode in _SILENT_DEATHS
    return silent or bool(_NO_PLACE.search(done.stderr))


def started(start: Callable[[], sandbox.Completed]) -> sandbox.Completed:
    """What came of a program that ``start`` runs, tried again as long as its sanitizer has no
    place."""
    for _ in range(1 if without_randomization() else STARTS):
        done = start()
        if not has_no_place(done):
            break
    return done


def main(argv: list[str]) -> int:
    """Runs a program of ours; its status, or 3 if its sanitizer cannot work here."""

    def start() -> sandbox.Completed:
        done = subprocess.run(dying_with_parent(argv), capture_output=True, text=True, errors="replace", check=False)
        return sandbox.Completed(done.returncode, done.stdout, done.stderr)

    if without_randomization():
        os.execv(without_randomization()[0], [*without_randomization(), *argv])
    done = started(start)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    if has_no_place(done):
        print(f"the sanitizer of {argv[0]} could not be placed in memory in {STARTS} starts\n  mend: {MEND}", file=sys.stderr)
        return CANNOT_RUN
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
