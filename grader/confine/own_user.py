# SPDX-License-Identifier: MIT
"""The sandbox for containers without user namespaces, such as Gradescope's, where the grader runs
as root.

Each program runs as a user that nobody else is, without groups and rights, under rules for system
calls (no network, no look into other processes, no mounts), and with Landlock, where the kernel has
it, sees what it was given and the system's programs. Without Landlock the permissions of files
alone say what it may read: so what this tree builds is closed to other users, and each program is
let in to single files. At the end every process of its user is killed. Other processes' command
lines it sees.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from grader.confine import landlock
from grader.confine.bubblewrap import SYSTEM_FILES, SYSTEM_FOLDERS

NAME = "own-user"
ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20.0
START = [sys.executable, "-I", "-S", str(Path(__file__).with_name("own_user_start.py"))]


def words(argv: Sequence[str], *, cwd: Path | None, writable: Sequence[Path], readable: Sequence[Path],
          file_bytes: int | None, report_fd: int | None) -> list[str]:
    """The command that runs ``argv``; see sandbox.wrap."""
    command = [*START, f"--parent={os.getpid()}", *(f"--system={path}" for path in (*SYSTEM_FOLDERS, *SYSTEM_FILES))]
    command += [f"--readable={Path(path).absolute()}" for path in dict.fromkeys(readable)]
    command += [f"--writable={Path(path).absolute()}" for path in writable]
    command += [f"--cwd={Path(cwd).absolute()}"] if cwd else []
    command += [] if file_bytes is None else [f"--file-bytes={file_bytes}"]
    command += [] if report_fd is None else [f"--report={report_fd}"]
    return [*command, "--", *argv]


def end_leftovers() -> None:
    """Ends what is left of programs whose starter has been killed."""
    subprocess.run([*START, "--leftovers"], stdin=subprocess.DEVNULL, check=False)


def detail() -> str:
    """What it does here, in words."""
    how = f"Landlock {landlock.version()}" if landlock.version() else "file permissions alone, as the kernel has no Landlock"
    return f"own-user: each program is a user of its own, no network; files by {how}"


def what_is_wrong() -> tuple[str, str]:
    """Closes what this tree has built to other users, and tries: why it does not work here, and the
    mend."""
    if os.geteuid() != 0:
        return "own-user: only root can start programs as other users", "run as root, in a container"
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    close(build)
    os.umask(0o077)
    private = ROOT / "solutions-private"
    if open_to_others([private]):
        return f"own-user: other users can read {private}", f"chmod -R o-rwx {private}"
    with tempfile.TemporaryDirectory(prefix=".own-user-", dir=build) as folder:
        given, kept, place = (Path(folder, name) for name in ("given", "kept", "place"))
        given.touch()
        kept.touch()
        place.mkdir()
        script = (f'grep -q "CapEff:[[:space:]]*0*$" /proc/self/status || {{ echo "it keeps rights of root"; exit 1; }}\n'
                  f'test -r {shlex.quote(str(given))} || {{ echo "it cannot read what it was given"; exit 1; }}\n'
                  f'touch made || {{ echo "it cannot write where it may"; exit 1; }}\n'
                  f'! test -r {shlex.quote(str(kept))} || {{ echo "it can read what is closed to it"; exit 1; }}\n')
        try:
            tried = subprocess.run(
                words(["/bin/sh", "-c", script], cwd=place, writable=[place], readable=[given], file_bytes=None,
                      report_fd=None),
                capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False)
        except (OSError, subprocess.TimeoutExpired) as problem:
            return f"own-user does not start: {problem}", _MEND
    if tried.returncode != 0:
        why = (tried.stdout + tried.stderr).strip().splitlines()[-1:] or [f"it ended with {tried.returncode}"]
        return f"own-user does not work here: {why[0]}", _MEND
    return "", ""


def visible(paths: Iterable[Path]) -> list[Path]:
    """Those that programs can read although nobody gave them: none where Landlock keeps them to
    what they were given."""
    return [] if landlock.version() else open_to_others(paths)


def open_to_others(paths: Iterable[Path]) -> list[Path]:
    """Those that other users may read or enter."""
    return [path for path in paths if path.exists() and path.stat().st_mode & stat.S_IRWXO]


def close(top: Path) -> None:
    """Takes a folder and all below it from other users."""
    for place, folders, files in os.walk(top):
        for path in (place, *(os.path.join(place, name) for name in files)):
            mode = os.lstat(path).st_mode
            if mode & stat.S_IRWXO and not stat.S_ISLNK(mode):
                os.chmod(path, stat.S_IMODE(mode) & ~stat.S_IRWXO)


_MEND = ("run as root, where /run can be written and the disk of this tree has access control lists (ext4, xfs, tmpfs, "
         "overlayfs on those; not NFS)")
