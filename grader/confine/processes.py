# SPDX-License-Identifier: MIT
"""Child processes with limits: time, memory, processes and output, for whatever student code runs
in.

A child has a session of its own and dies with this process. :func:`stop_all` ends every child that
is alive, which is what Ctrl-C does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import select
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

POLL_SECONDS = 0.05
"""How often time, memory and process counts are looked at."""
TICK = 1 / os.sysconf("SC_CLK_TCK")
"""The unit in which the kernel counts processor time, in seconds."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
PIPE_BYTES = 65536
AT_MOST = 60
"""How many times its limit a child may live, whatever it waits for."""
GONE_SECONDS = 5.0
"""How long a killed process may take to be gone; more only if the kernel holds it."""
LAST_READS = 32
"""How many pipes' worth of output is taken after the end."""

_live: set[Child] = set()
_live_lock = threading.Lock()


@dataclass(frozen=True)
class Limits:
    """What a child may use before it is ended; None: no limit."""

    seconds: float | None = None
    """of its own time: see ``Child.spent``"""
    memory_mib: int | None = None
    """resident memory of all its processes together"""
    processes: int | None = None
    output_bytes: int | None = None
    """on standard output and standard error together"""


def stop_all() -> None:
    """Ends every child of this process that is alive; their waits return ``interrupted``."""
    with _live_lock:
        children = list(_live)
    for child in children:
        child.interrupt()


_WITH_PARENT = 'test "$PPID" = "$0" && {limits}exec "$@"'
"""The kernel tells only of a parent that dies from now on: one that has died before is no parent
any more."""
_BLOCK = 512
"""The unit of ``ulimit -f`` in a POSIX shell, in bytes."""


def dying_with_parent(argv: Sequence[str], limits: str = "") -> list[str]:
    """``argv``, to be started by this process, and killed by the kernel if the thread that started
    it ends first. ``limits``: of :func:`limited`."""
    setpriv = _setpriv()
    if setpriv is None:
        return ["sh", "-c", f'{limits}exec "$0" "$@"', *argv] if limits else list(argv)
    return [setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", _WITH_PARENT.format(limits=limits), str(os.getpid()), *argv]


def limited(file_bytes: int | None) -> str:
    """The limits that the kernel holds for each process, as words of a shell: no core dump, and no
    file of more than so many bytes, rounded up to 512, or than this process itself may write. They
    hold for all that the command starts."""
    if file_bytes is None:
        return "ulimit -c 0 && "
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    if most != resource.RLIM_INFINITY:
        file_bytes = min(file_bytes, most // _BLOCK * _BLOCK)
    return f"ulimit -c 0 && ulimit -f {-(-file_bytes // _BLOCK)} && "


@functools.lru_cache(maxsize=1)
def _setpriv() -> str | None:
    return shutil.which("setpriv")


class Child:
    """A running child process; use it as a context manager, which ends it at the latest."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        pass_fds: Sequence[int] = (),
        on_stdout: Callable[[bytes], None] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
        readers: Mapping[int, Callable[[bytes], None]] | None = None,
        ends_itself: bool = False,
    ) -> None:
        """``readers``: further descriptors to read from while it runs, for example a pipe's other
        end; the caller closes them. ``ends_itself``: at SIGTERM it ends what is below it, and then
        itself."""
        self.started = time.monotonic()
        self._ends_itself = ends_itself
        self.spent = 0.0
        """seconds of its own time, as of the last look: the processor time of all its processes,
        and, as long as none of them wanted to run, the time that passed. What other programs of the
        system took does not count"""
        self._used = 0.0
        self._asleep = 0.0
        self._looked = self.started
        self.killed = ""
        """why it was ended: ``time``, ``memory``, ``processes``, ``output``, ``interrupted``"""
        self._interrupted = threading.Event()
        self._process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            bufsize=0,
        )
        self._readers: dict[int, Callable[[bytes], None]] = {}
        for stream, reader in (
            (self._process.stdout, on_stdout),
            (self._process.stderr, on_stderr),
        ):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._readers[stream.fileno()] = reader or (lambda _: None)
        self._output_fds = frozenset(self._readers)
        for fd, reader in (readers or {}).items():
            os.set_blocking(fd, False)
            self._readers[fd] = reader
        self._output = 0
        with _live_lock:
            _live.add(self)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.started

    def interrupt(self) -> None:
        """Ends the child from another thread."""
        self._interrupted.set()
        self._end_family()

    def kill(self) -> None:
        """Ends the child with everything below it, and reaps it. May be called twice."""
        self._end_family()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        self._readers.clear()
        with _live_lock:
            _live.discard(self)

    def wait(self, limits: Limits, *, kill_on_timeout: bool = True) -> int | None:
        """Waits for the end, handing output to its readers on the way.

        Returns the exit status (negative: the signal), or None if the time was up and
        ``kill_on_timeout`` is false: then the child is still alive.
        """
        watched = limits != Limits(output_bytes=limits.output_bytes)
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
            for fd in self._readers:
                selector.register(fd, selectors.EVENT_READ)
            exit_fd = _pidfd(self.pid)
            if exit_fd is not None:
                stack.callback(os.close, exit_fd)
                selector.register(exit_fd, selectors.EVENT_READ)
            while True:
                pause = POLL_SECONDS if watched or exit_fd is None else None
                for key, _ in selector.select(pause):
                    if key.fd != exit_fd and not self._read(key.fd):
                        selector.unregister(key.fd)
                if self._has_ended():
                    break
                self.killed = self._broken_limit(limits)
                if self.killed == "time" and not kill_on_timeout:
                    return None
                if self.killed:
                    break
        if self._interrupted.is_set():
            self.killed = "interrupted"
        self._end_family()
        self._process.wait()
        for fd in list(self._readers):
            # Bounded: a process that escaped its session may still write.
            for _ in range(LAST_READS):
                if not self._read(fd, once=False):
                    break
        status = self._process.returncode
        self.kill()
        return status

    def read(self, fd: int) -> None:
        """Hands on what there is in one of the descriptors now, ahead of its turn in wait()."""
        while self._read(fd, once=False):
            pass

    def _broken_limit(self, limits: Limits) -> str:
        if self._interrupted.is_set():
            return "interrupted"
        if limits.output_bytes is not None and self._output > limits.output_bytes:
            return "output"
        since = time.monotonic() - self._looked
        if since < POLL_SECONDS:
            return ""
        self._looked += since
        family = [self.pid, *descendants(self.pid)]
        if limits.processes is not None and len(family) > limits.processes:
            return "processes"
        seen = [one for pid in family if (one := _look(f"/proc/{pid}/stat")) is not None]
        if limits.memory_mib is not None:
            if sum(one.resident_bytes for one in seen) > limits.memory_mib << 20:
                return "memory"
        if limits.seconds is not None:
            self._used = max(self._used, sum(one.processor_seconds for one in seen))
            if not any(one.wants_to_run for one in seen):
                self._asleep += min(since, POLL_SECONDS)
            self.spent = self._used + self._asleep
            if self.spent >= limits.seconds or self.seconds >= AT_MOST * limits.seconds:
                return "time"
        return ""

    def _read(self, fd: int, *, once: bool = True) -> bool:
        """Hands on what there is; false at the end, or (unless ``once``) when there is nothing."""
        try:
            data = os.read(fd, PIPE_BYTES)
        except BlockingIOError:
            return once
        except OSError:
            return False
        if not data:
            return False
        if fd in self._output_fds:
            self._output += len(data)
        self._readers[fd](data)
        return True

    def _has_ended(self) -> bool:
        # Without reaping it: until then nobody else can get its number, or its group's.
        if self._process.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, flags) is not None
        except ChildProcessError:  # another thread has reaped it just now
            return True

    def _end_family(self) -> None:
        """Ends the child and all below it, and waits until those are gone: the sandbox's own are in
        another session, and end a moment after it."""
        if self._process.returncode is not None:
            return
        if self._ends_itself:
            self._tell_to_end()
        self._stop()
        family = [fd for pid in descendants(self.pid) if (fd := _pidfd(pid)) is not None]
        self._signal_group()
        for fd in family:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        for fd in family:
            gone = select.poll()
            gone.register(fd, select.POLLIN)
            gone.poll(GONE_SECONDS * 1000)
            os.close(fd)

    def _tell_to_end(self) -> None:
        fd = _pidfd(self.pid)
        if fd is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGTERM)
                gone = select.poll()
                gone.register(fd, select.POLLIN)
                gone.poll(GONE_SECONDS * 1000)
            os.close(fd)

    def _stop(self) -> None:
        """Stops the child, so that it starts nothing more that would be missing in a list of those
        below it."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _signal_group(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def descendants(pid: int, limit: int = 4096) -> list[int]:
    """The processes below ``pid``, as far as /proc tells."""
    found: list[int] = []
    pending = [pid]
    while pending and len(found) < limit:
        parent = pending.pop()
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with contextlib.suppress(OSError):
                    children = [int(word) for word in _read_whole(f"/proc/{parent}/task/{thread}/children").split()]
                    found += children
                    pending += children
    return found[:limit]


@dataclass(frozen=True)
class _Look:
    """What /proc/PID/stat says of a process at one moment."""

    pid: int
    state: bytes
    """of its first thread"""
    processor_seconds: float
    """what it has used, and those below it that have ended"""
    threads: int
    resident_bytes: int

    @property
    def wants_to_run(self) -> bool:
        """Whether one of its threads runs, waits for a processor, or for the disk."""
        if self.state in _BUSY or self.threads == 1:
            return self.state in _BUSY
        with contextlib.suppress(OSError):
            others = (_look(f"/proc/{self.pid}/task/{thread}/stat") for thread in os.listdir(f"/proc/{self.pid}/task"))
            return any(one is not None and one.state in _BUSY for one in others)
        return False


_BUSY = (b"R", b"D")


def _look(stat: str) -> _Look | None:
    """What this file says of a process or thread; None if it is gone."""
    try:
        head, _, tail = _read_whole(stat).rpartition(b") ")
        words = tail.split()  # from the third field of proc(5) on
        return _Look(int(head.split(None, 1)[0]), words[0], sum(map(int, words[11:15])) * TICK, int(words[17]),
                     int(words[21]) * _PAGE)
    except (OSError, IndexError, ValueError):
        return None


def _read_whole(path: str) -> bytes:
    """A file of /proc. It is read many times a second, so without the layers of open()."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
