# SPDX-License-Identifier: MIT
"""Runs programs that are made of student code, or that read it, where they can do no harm.

In a sandbox a program sees the system's programs and libraries, what it was given, and nothing
else: no home, no other process, no network, no file to write but those named. There are two:
bubblewrap, and, where that cannot work and staff choose it, own-user. Without one limits on time,
memory, processes and output still hold; :func:`status` says which it is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import CannotRun, UsageError
from grader.confine import bubblewrap, own_user
from grader.confine.processes import Child, Limits, dying_with_parent, limited

FILE_BYTES = 1 << 30
OUTPUT_BYTES = 1 << 20
DISCARDED_BYTES = 64 << 20
"""A program that prints more than this, most of it thrown away, is ended."""

CHOICE = "NEST_SANDBOX"
"""The variable that names the sandbox; all that this process starts has the same."""
NAMES = (bubblewrap.NAME, own_user.NAME)

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp"}


@dataclass(frozen=True)
class Completed:
    """How a program ended."""

    returncode: int
    """its exit status; negative: the signal that ended it"""
    stdout: str
    stderr: str
    killed: str = ""
    """why it was ended: ``time``, ``memory``, ``processes``, ``output``, ``interrupted``; else
    empty"""
    truncated: bool = False
    """output beyond the limit was thrown away"""
    seconds: float = 0.0

    @property
    def timed_out(self) -> bool:
        return self.killed == "time"

    @property
    def ok(self) -> bool:
        """It ended by itself, with 0."""
        return not self.killed and self.returncode == 0

    def ended(self) -> str:
        """How it ended, in words."""
        words = {
            "time": f"was ended after {self.seconds:.1f} s",
            "memory": "was ended: it took too much memory",
            "processes": "was ended: it started too many processes",
            "output": "was ended: it printed too much",
            "interrupted": "was interrupted",
        }
        if self.killed:
            return words.get(self.killed, f"was ended: {self.killed}")
        if self.returncode < 0:
            return f"died of {signal_name(-self.returncode)}"
        return f"ended with {self.returncode}"


@dataclass(frozen=True)
class Status:
    """What protects this machine from student code."""

    isolated: bool
    detail: str
    mend: str = ""
    kind: str = ""
    """the name of the sandbox that works"""


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    cwd: Path | None = None,
    writable: Sequence[Path] = (),
    readable: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    pass_fds: Sequence[int] = (),
    memory_mib: int | None = 2048,
    processes: int | None = 64,
    output_bytes: int = OUTPUT_BYTES,
) -> Completed:
    """Runs ``argv`` to its end, or to the end of a limit.

    ``readable`` and ``writable`` name files and folders beyond the system's that it sees, at the
    same paths. ``cwd`` must be inside one of them; without it the program starts in an empty
    ``/tmp``. ``env`` is added to a small environment of our own. Descriptors in ``pass_fds`` keep
    their numbers. ``memory_mib`` bounds resident memory of all its processes together.

    Raises CannotRun if the sandbox itself does not start: that is never the program's fault.
    """
    out = _Bounded(output_bytes)
    err = _Bounded(output_bytes)
    with contextlib.ExitStack() as stack:
        stdin_fd = None
        if stdin is not None:
            stdin_fd = os.memfd_create("stdin")
            stack.callback(os.close, stdin_fd)
            os.write(stdin_fd, stdin)
            os.lseek(stdin_fd, 0, os.SEEK_SET)
        report_end, report_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, report_end)
        with contextlib.ExitStack() as ours:
            ours.callback(os.close, report_fd)
            command = wrap(argv, cwd=cwd, writable=writable, readable=readable, report_fd=report_fd)
            try:
                child = stack.enter_context(
                    Child(
                        command,
                        cwd=cwd if cwd and not is_isolated() else None,
                        env=ENVIRONMENT | dict(env or {}),
                        stdin=stdin_fd,
                        pass_fds=[*pass_fds, *([report_fd] if is_isolated() else [])],
                        on_stdout=out.add,
                        on_stderr=err.add,
                        ends_itself=ends_itself(),
                    )
                )
            except OSError as problem:
                raise CannotRun(f"{command[0]} does not start: {problem.strerror}\n  mend: {_AGAIN}") from problem
        limits = Limits(timeout, memory_mib, processes, 2 * output_bytes + DISCARDED_BYTES)
        ended = child.wait(limits)
        assert ended is not None
        if is_isolated() and not child.killed:
            _blame_sandbox(report_end, err.text())
    if ends_itself() and ended < 0:  # the starter was killed
        own_user.end_leftovers()
    return Completed(
        returncode=_own_status(ended, bool(child.killed)),
        stdout=out.text(),
        stderr=err.text(),
        killed=child.killed,
        truncated=out.truncated or err.truncated,
        seconds=child.seconds,
    )


def _blame_sandbox(report_end: int, stderr: str) -> None:
    """Raises CannotRun if the sandbox ended before it came to the program: its report lacks the
    program's end."""
    try:
        report = os.read(report_end, 4096).decode("utf-8", "replace")
    except BlockingIOError:
        report = ""
    if '"exit-code"' in report:
        return
    words = [line for line in stderr.splitlines() if line.startswith("bwrap: ")]
    if "own-user: " in report:
        words = ["own-user: " + report.partition("own-user: ")[2]]
    if words:
        raise CannotRun(f"the sandbox does not start: {words[-1]}\n  mend: {_AGAIN}")


def wrap(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    writable: Sequence[Path] = (),
    readable: Sequence[Path] = (),
    file_bytes: int | None = FILE_BYTES,
    report_fd: int | None = None,
) -> list[str]:
    """The command that runs ``argv`` in the sandbox, for callers that run it themselves: this
    process alone.

    ``report_fd``: where the sandbox, if one works here, says how the program ended. It keeps it
    from the program.
    """
    words = [str(word) for word in argv]
    if not is_isolated():
        return dying_with_parent(words, limited(file_bytes))
    if status().kind == own_user.NAME:
        return dying_with_parent(own_user.words(words, cwd=cwd, writable=writable, readable=readable,
                                                file_bytes=file_bytes, report_fd=report_fd))
    return dying_with_parent(bubblewrap.words(words, cwd=cwd, writable=writable, readable=readable,
                                              report_fd=report_fd), limited(file_bytes))


def choose(name: str) -> None:
    """From here on this process, and what it starts, uses the sandbox of this name."""
    os.environ[CHOICE] = name


def is_isolated() -> bool:
    """Whether there is a sandbox here."""
    return status().isolated


def ends_itself() -> bool:
    """Whether the command of `wrap` wants to be told to end, and then ends its program: for
    Child."""
    return status().kind == own_user.NAME


def status() -> Status:
    """What there is; each is tried once."""
    name = os.environ.get(CHOICE) or bubblewrap.NAME
    if name not in NAMES:
        raise UsageError(f"there is no sandbox '{name}'; there are: {', '.join(NAMES)}")
    return _tried(name)


def required(*secrets: Path) -> Status:
    """The sandbox, for programs of people that nobody here knows. ``secrets``: files and folders,
    beside references and what is built, that they must not read.

    Raises CannotRun if there is none, or if it does not keep a secret.
    """
    found = status()
    if not found.isolated:
        raise CannotRun(f"programs of others cannot be kept from harm here: {found.detail}\n  mend: {found.mend}")
    if found.kind == own_user.NAME and (seen := own_user.visible(secrets)):
        names = " ".join(map(str, seen))
        raise CannotRun(f"own-user: other users can read {names}\n  mend: chmod -R o-rwx {names}")
    return found


@functools.lru_cache(maxsize=len(NAMES))
def _tried(name: str) -> Status:
    if name == own_user.NAME:
        why, mend = own_user.what_is_wrong()
        return Status(not why, why or own_user.detail(), mend, name if not why else "")
    why, mend = bubblewrap.what_is_wrong()
    if why:
        other = "; as root there is another sandbox: --sandbox own-user" if os.geteuid() == 0 else ""
        return Status(False, why, mend + other + _UNTIL_THEN)
    return Status(True, "bubblewrap: own files, processes and network", "", name)


_AGAIN = "run it again when this machine is less busy; `nest doctor` tries the sandbox on its own"
_UNTIL_THEN = "; until then your own answers are graded with limits, but see this user's files"


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Bounded:
    """Keeps the first bytes of an output."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self.truncated = False

    def add(self, data: bytes) -> None:
        room = self._limit - len(self._data)
        self._data += data[:room]
        self.truncated |= len(data) > room

    def text(self) -> str:
        return self._data.decode("utf-8", "replace")


def _own_status(status: int, killed: bool) -> int:
    # A sandbox, like a shell, says 128 + n for a program that signal n has ended.
    if is_isolated() and not killed and 128 < status < 128 + signal.NSIG:
        return 128 - status
    return status
