# SPDX-License-Identifier: MIT
"""Runs programs that are made of student code, or that read it, where they can do no harm.

With bubblewrap a program sees the system's programs and libraries, what it was given, and nothing
else: no home, no other process, no network, no file to write but those named. Where bubblewrap cannot
work (in some containers and chroots) limits on time, memory, processes and output still hold;
:func:`status` says which it is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import CannotRun
from grader.confine.processes import Child, Limits, dying_with_parent

# What of the system a program may read. Nothing of /etc that names people or holds a secret.
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
TMP_BYTES = 256 << 20
FILE_BYTES = 1 << 30
OUTPUT_BYTES = 1 << 20
DISCARDED_BYTES = 64 << 20
"""A program that prints more than this, most of it thrown away, is ended."""

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp"}


@dataclass(frozen=True)
class Completed:
    """How a program ended."""

    returncode: int
    """its exit status; negative: the signal that ended it"""
    stdout: str
    stderr: str
    killed: str = ""
    """why it was ended: ``time``, ``memory``, ``processes``, ``output``, ``interrupted``; else empty"""
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

    ``readable`` and ``writable`` name files and folders beyond the system's that it sees, at the same
    paths. ``cwd`` must be inside one of them; without it the program starts in an empty ``/tmp``.
    ``env`` is added to a small environment of our own. Descriptors in ``pass_fds`` keep their
    numbers. ``memory_mib`` bounds resident memory of all its processes together.

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
                    )
                )
            except OSError as problem:
                raise CannotRun(f"{command[0]} does not start: {problem.strerror}\n  mend: {_AGAIN}") from problem
        limits = Limits(timeout, memory_mib, processes, 2 * output_bytes + DISCARDED_BYTES)
        status = child.wait(limits)
        if is_isolated() and not child.killed:
            _blame_sandbox(report_end, err.text())
    assert status is not None
    return Completed(
        returncode=_own_status(status, bool(child.killed)),
        stdout=out.text(),
        stderr=err.text(),
        killed=child.killed,
        truncated=out.truncated or err.truncated,
        seconds=child.seconds,
    )


def _blame_sandbox(report_end: int, stderr: str) -> None:
    """Raises CannotRun if bubblewrap ended before it came to the program: its report lacks the program's end."""
    try:
        report = os.read(report_end, 4096)
    except BlockingIOError:
        report = b""
    words = [line for line in stderr.splitlines() if line.startswith("bwrap: ")]
    if b'"exit-code"' not in report and words:
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
    """The command that runs ``argv`` in the sandbox, for callers that run it themselves: this process alone.

    ``report_fd``: where bubblewrap, if it works here, says how the program ended. It keeps it from the program.
    """
    limited = _limited(argv, file_bytes)
    if not is_isolated():
        return dying_with_parent(limited)
    report = [] if report_fd is None else ["--json-status-fd", str(report_fd)]
    command = ["bwrap", *report, *_base(), "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]
    # Outer folders first: a bind hides what was bound below it before.
    binds = [("--ro-bind", path) for path in readable] + [("--bind", path) for path in writable]
    for option, path in sorted(binds, key=lambda bind: len(Path(bind[1]).absolute().parts)):
        command += [option, str(Path(path).absolute()), str(Path(path).absolute())]
    command += ["--chdir", str(Path(cwd).absolute()) if cwd else "/tmp", "--", *limited]
    return dying_with_parent(command)


def is_isolated() -> bool:
    """Whether bubblewrap works here."""
    return status().isolated


@functools.lru_cache(maxsize=1)
def status() -> Status:
    """Tries the sandbox once."""
    if shutil.which("bwrap") is None:
        return Status(False, "bubblewrap is not installed", "apt-get install bubblewrap")
    try:
        tried = subprocess.run(
            ["bwrap", *_base(), "--", "/bin/true"],
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Status(False, f"bubblewrap does not start: {problem}", _MEND)
    if tried.returncode != 0:
        why = tried.stderr.strip().splitlines()[-1:] or [f"it ended with {tried.returncode}"]
        return Status(False, f"bubblewrap does not work here: {why[0]}",
                      _APPARMOR_MEND if _apparmor_forbids() else _MEND)
    return Status(True, "bubblewrap: own files, processes and network")


_AGAIN = "again, with less at work on this machine; `nest doctor` tries the sandbox on its own"
_MEND = (
    "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1), or run outside of "
    "a container; until then student code runs with limits, but sees this user's files"
)
APPARMOR_SWITCH = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_APPARMOR_MEND = (
    "AppArmor forbids user namespaces to programs without a profile, as in Ubuntu 24.04. Give bubblewrap "
    "its profile: sudo apt-get install apparmor-profiles && "
    "sudo install -m 644 /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && "
    "sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict; or, for every program and until the next start, "
    "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0. Until then grading works, student code runs with "
    "limits, but sees this user's files"
)


def _apparmor_forbids() -> bool:
    try:
        return APPARMOR_SWITCH.read_text().strip() == "1" and os.geteuid() != 0
    except OSError:
        return False


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


@functools.lru_cache(maxsize=1)
def _base() -> tuple[str, ...]:
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for folder in SYSTEM_FOLDERS:
        path = Path(folder)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), folder]
        elif path.exists():
            options += ["--ro-bind", folder, folder]
    for file in SYSTEM_FILES:
        options += ["--ro-bind-try", file, file]
    return (*options, "--proc", "/proc", "--dev", "/dev")


def _limited(argv: Sequence[str | Path], file_bytes: int | None) -> list[str]:
    prlimit = shutil.which("prlimit")
    words = [str(word) for word in argv]
    if prlimit is None:
        return words
    size = "unlimited" if file_bytes is None else str(file_bytes)
    return [prlimit, "--core=0", f"--fsize={size}", "--", *words]


def _own_status(status: int, killed: bool) -> int:
    # bwrap, like a shell, says 128 + n for a program that signal n has ended.
    if is_isolated() and not killed and 128 < status < 128 + signal.NSIG:
        return 128 - status
    return status
