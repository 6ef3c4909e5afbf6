# SPDX-License-Identifier: MIT
"""Runs one program as a user of its own, and stays until nothing of that user's is left.

A program of its own, run as root by grader/confine/own_user.py: one thread, the standard library,
no packages. It ends as the program does: with its status, or with 128 and the signal. If it is told
to end, or its parent does, it ends the program with all that it has started.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import signal
import stat
import sys
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from grader.confine import landlock, seccomp, users

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_WATCHED = {signal.SIGCHLD, signal.SIGTERM}
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/ptmx", "/dev/pts")
"""The last two: Bochs's display makes a terminal of its own; those of others are closed to the
user."""
PROCESSES, FILES = 128, 1024
"""The most of one program's threads, and of its open files."""


def main(words: list[str]) -> int:
    """Runs the program that the words say; its status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int)
    parser.add_argument("--report", type=int)
    parser.add_argument("--cwd")
    parser.add_argument("--file-bytes", type=int, default=resource.RLIM_INFINITY)
    parser.add_argument("--system", action="append", default=[])
    parser.add_argument("--readable", action="append", type=Path, default=[])
    parser.add_argument("--writable", action="append", type=Path, default=[])
    parser.add_argument("--without-landlock", action="store_true")
    parser.add_argument("--leftovers", action="store_true")
    parser.add_argument("argv", nargs="*")
    asked = parser.parse_args(words)
    if asked.leftovers:
        users.end_leftovers()
        return 0
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if asked.parent is not None and os.getppid() != asked.parent:
        return 128 + signal.SIGKILL
    if asked.report is not None:
        os.set_inheritable(asked.report, False)
    try:
        user = users.borrow()
        try:
            user.give(asked.readable, asked.writable)
            status = _run(user, asked)
        finally:
            user.end()
            _reap_all()
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        _tell(asked, f"the sandbox does not start: own-user: {where}{problem.strerror or problem}")
        return 1
    _tell(asked, json.dumps({"exit-code": status}))
    return status


def _run(user: users.Loan, asked: argparse.Namespace) -> int:
    _hand_over(user)
    trouble, theirs = os.pipe()
    program = os.fork()
    if program == 0:
        _become(user, asked, theirs)
    _close_all_but(trouble, asked.report, user.fd)
    told = os.read(trouble, 4096)
    if told:
        raise OSError(told.decode())
    while True:
        if signal.sigwait(_WATCHED) == signal.SIGTERM:
            return 128 + signal.SIGKILL
        ended = _reaped(program)
        if ended is not None:
            code = os.waitstatus_to_exitcode(ended)
            return code if code >= 0 else 128 - code


def _close_all_but(*mine: int | None) -> None:
    """What the program was given is its own: who reads the other end waits for the program
    alone."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in mine:
            with contextlib.suppress(OSError):
                os.close(fd)


def _reaped(program: int) -> int | None:
    """Takes the ends of all that have ended; the program's status if it has."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            if child == program:
                found = status
    return found


def _hand_over(user: users.Loan) -> None:
    """Pipes, and files without a name, that the program was given are its own: it may open them
    again by /proc/self/fd, as QEMU does."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            found = os.fstat(fd)
            if os.get_inheritable(fd) and (stat.S_ISFIFO(found.st_mode) or found.st_nlink == 0):
                os.fchown(fd, user.number, user.number)


def _reap_all() -> None:
    """Waits for all that has been killed: who is dead and not waited for still counts among a
    user's processes."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _become(user: users.Loan, asked: argparse.Namespace, trouble: int) -> NoReturn:
    """This process gives up what root may, and becomes the program."""
    try:
        for which, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, asked.file_bytes),
                            (resource.RLIMIT_NOFILE, FILES), (resource.RLIMIT_NPROC, PROCESSES),
                            (resource.RLIMIT_MSGQUEUE, 0)):
            resource.setrlimit(which, (most, most))
        os.umask(0o022)
        if landlock.version() and not asked.without_landlock:
            own = [str(user.scratch), *map(str, asked.writable), *_DEVICES]
            landlock.obey([*asked.system, "/proc", *map(str, asked.readable)], own)
        os.setgroups([])
        os.setresgid(user.number, user.number, user.number)
        os.setresuid(user.number, user.number, user.number)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # changing the user has taken it away
        os.chdir(asked.cwd or user.scratch)
        seccomp.obey(seccomp.confined())
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        environment = {**os.environ, "HOME": str(user.scratch), "TMPDIR": str(user.scratch)}
        os.execvpe(asked.argv[0], asked.argv, environment)
    except OSError as problem:
        where = problem.filename or asked.argv[0]
        os.write(trouble, f"{where}: {problem.strerror}".encode())
    finally:
        os._exit(1)


def _tell(asked: argparse.Namespace, words: str) -> None:
    if asked.report is not None:
        with contextlib.suppress(OSError):
            os.write(asked.report, words.encode())
    elif words.startswith("the sandbox"):
        print(words, file=sys.stderr)


def _prctl(*words: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(*words, *([0] * (5 - len(words)))) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
