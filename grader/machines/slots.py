# SPDX-License-Identifier: MIT
"""At most one emulator per core, over all the processes of this user.

A slot is a lock on a file; the kernel gives it back when its holder ends, however it ends. More
emulators than cores make every boot several times slower, and time limits begin to matter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.01


def slot_count() -> int:
    """One for each core that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


@contextlib.contextmanager
def emulator_slot(folder: Path | None = None, count: int | None = None) -> Iterator[int]:
    """Waits for a free slot and holds it; gives its number."""
    folder = folder or _lock_folder()
    count = count or slot_count()
    with contextlib.ExitStack() as stack:
        # Waiters queue at the gate, so that only the first of them looks for a free slot.
        gate = _open(folder / "gate", stack)
        fcntl.flock(gate, fcntl.LOCK_EX)
        slots = [_open(folder / f"slot-{number}", stack) for number in range(count)]
        while (number := _take(slots)) is None:
            time.sleep(POLL_SECONDS)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield number


def _take(slots: list[int]) -> int | None:
    for number, fd in enumerate(slots):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number
    return None


def _open(path: Path, stack: contextlib.ExitStack) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    stack.callback(os.close, fd)
    return fd


def _lock_folder() -> Path:
    """A folder of this user's alone, the same one for all of its processes."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for base in (runtime, "/dev/shm", tempfile.gettempdir()):
        if not base:
            continue
        folder = Path(base) / f"nestling-emulators-{os.getuid()}"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
                return folder
    # Nobody else can be kept out, or nothing can be written: a folder of this process alone.
    return Path(tempfile.mkdtemp(prefix="nestling-emulators-"))
