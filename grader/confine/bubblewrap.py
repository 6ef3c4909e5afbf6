# SPDX-License-Identifier: MIT
"""The sandbox for machines where user namespaces work: a program has its own files, processes and
network."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

NAME = "bubblewrap"
TMP_BYTES = 256 << 20

# What of the system a program may read. Nothing of /etc that names people or holds a secret.
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")


def words(argv: Sequence[str], *, cwd: Path | None, writable: Sequence[Path], readable: Sequence[Path],
          report_fd: int | None) -> list[str]:
    """The command that runs ``argv``; see sandbox.wrap."""
    report = [] if report_fd is None else ["--json-status-fd", str(report_fd)]
    command = ["bwrap", *report, *_base(), "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]
    # Outer folders first: a bind hides what was bound below it before.
    binds = [("--ro-bind", path) for path in readable] + [("--bind", path) for path in writable]
    for option, path in sorted(binds, key=lambda bind: len(Path(bind[1]).absolute().parts)):
        command += [option, str(Path(path).absolute()), str(Path(path).absolute())]
    return [*command, "--chdir", str(Path(cwd).absolute()) if cwd else "/tmp", "--", *argv]


def what_is_wrong() -> tuple[str, str]:
    """Tries it: why it does not work here, and the mend; both empty if it does."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed", "apt-get install bubblewrap"
    try:
        tried = subprocess.run(["bwrap", *_base(), "--", "/bin/true"], capture_output=True, text=True, timeout=10,
                               stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"bubblewrap does not start: {problem}", _MEND
    if tried.returncode != 0:
        why = tried.stderr.strip().splitlines()[-1:] or [f"it ended with {tried.returncode}"]
        return f"bubblewrap does not work here: {why[0]}", _APPARMOR_MEND if _apparmor_forbids() else _MEND
    return "", ""


_MEND = "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1), or run outside of a container"
APPARMOR_SWITCH = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_APPARMOR_MEND = (
    "AppArmor forbids user namespaces to programs without a profile, as in Ubuntu 24.04. Give bubblewrap "
    "its profile: sudo apt-get install apparmor-profiles && "
    "sudo install -m 644 /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && "
    "sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict; or, for every program and until the next start, "
    "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
)


def _apparmor_forbids() -> bool:
    try:
        return APPARMOR_SWITCH.read_text().strip() == "1" and os.geteuid() != 0
    except OSError:
        return False


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
