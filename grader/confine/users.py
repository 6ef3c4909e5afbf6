# SPDX-License-Identifier: MIT
"""Numbers of users that nobody is, each lent to one confined program at a time.

A loan is a lock on a file, which the kernel gives back when its holder ends, however it ends. The
file says what was given to the user, so that the next holder can take it back where the last one
could not.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from grader.confine import grants

FIRST, COUNT = 60800, 32
"""A range that neither Debian nor systemd gives to anybody [systemd, docs/UIDS-GIDS.md]."""
FOLDER = Path("/run/nestling")


class Loan:
    """A user of one's own, until `end`."""

    def __init__(self, number: int, fd: int) -> None:
        self.number = number
        self.fd = fd
        self.scratch = FOLDER / f"{number}.scratch"
        """a folder of this user's alone"""
        self.end()
        self.scratch.mkdir(mode=0o700)
        os.chown(self.scratch, number, number)

    def give(self, readable: Sequence[Path], writable: Sequence[Path]) -> None:
        """Lets the user read and write below these paths. Raises OSError, with the path, if one is
        not there."""
        for path in {real for path in (*readable, *writable) for real in (path, Path(os.path.realpath(path)))}:
            folders_only = path in writable
            for one, rights in grants.needed(path):
                if not (folders_only and one.is_relative_to(path)):
                    self._note("readable", one)
                    with _alone():
                        grants.give(one, self.number, rights)
        for path in writable:
            self._note("writable", path)
            _change_owner(path, os.getuid(), self.number)

    def end(self) -> None:
        """Ends all processes of the user, and takes back what was given."""
        end_processes(self.number)
        os.lseek(self.fd, 0, os.SEEK_SET)
        given = [json.loads(line) for line in os.read(self.fd, os.fstat(self.fd).st_size).decode().splitlines() if line.endswith("]")]
        for kind, name in given:
            if kind == "writable":
                _change_owner(Path(name), self.number, os.getuid())
        with _alone():
            for kind, name in given:
                if kind == "readable":
                    grants.take_back(Path(name), self.number)
        os.ftruncate(self.fd, 0)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _note(self, kind: str, path: Path) -> None:
        os.write(self.fd, json.dumps([kind, str(path)]).encode() + b"\n")


def borrow() -> Loan:
    """A user that nobody is just now. Raises OSError if there is none."""
    FOLDER.mkdir(exist_ok=True)
    FOLDER.chmod(0o711)
    for number in range(FIRST, FIRST + COUNT):
        if loan := _lend(number):
            return loan
    raise OSError(f"all {COUNT} users for confined programs are at work, or have names")


def end_leftovers() -> None:
    """Ends what is left of users whose holders have been killed."""
    for number in range(FIRST, FIRST + COUNT):
        if (FOLDER / str(number)).exists() and (loan := _lend(number)):
            loan.end()
            os.close(loan.fd)


def end_processes(user: int) -> None:
    """Kills every process of the user, at once, so that none can start another meanwhile."""
    killer = os.fork()
    if killer == 0:
        # By its real number a killer of its own: the user's processes may not kill it first. [man 2
        # kill]
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(user + COUNT, user + COUNT, user + COUNT)
            os.setresuid(user + COUNT, user, user + COUNT)
            if user >= FIRST and not _has_rights():  # with root's rights it would be everybody's end
                os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(killer, 0)


def _has_rights() -> bool:
    """Whether this process may do what only root may."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapEff:")[2].split()[0], 16) != 0


def _lend(number: int) -> Loan | None:
    with contextlib.suppress(KeyError):
        pwd.getpwuid(number)
        return None
    fd = os.open(FOLDER / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_APPEND, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return Loan(number, fd)


def _change_owner(top: Path, old: int, new: int) -> None:
    """Of a folder and of what is below it, as far as it belongs to `old`. No link is followed."""
    places = [(str(top), "")]
    places += [(place, name) for place, folders, files in os.walk(top) for name in (*folders, *files)]
    for place, name in places:
        with contextlib.suppress(FileNotFoundError):
            path = os.path.join(place, name) if name else place
            if os.lstat(path).st_uid == old:
                os.chown(path, new, new, follow_symlinks=False)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Lists are read, changed and written by one process at a time."""
    fd = os.open(FOLDER / "lists", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
