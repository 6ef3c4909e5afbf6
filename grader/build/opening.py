# SPDX-License-Identifier: MIT
"""Opens the kit: CMake and Ninja bring it up to date, and it stays as it is for as long as it is
used."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Callable, Iterator

from grader import CannotRun
from grader.build.cache import Cache
from grader.build.disk import disk_trouble, disk_words
from grader.build.kit import Kit
from grader.build.schedule import Schedule, cores
from grader.confine.processes import Child, Limits
from grader.course.lab import ROOT

Say = Callable[[str], None]
"""Shows one line of progress; what it showed before may be overwritten."""


@contextmanager
def open_kit(schedule: Schedule, say: Say, root: Path = ROOT, settings: tuple[str, ...] = (), *,
             fresh: bool = False) -> Iterator[Kit]:
    """Brings the kit up to date and keeps it as it is while it is used. ``settings``: of CMake's
    cache, as NAME:TYPE=VALUE, what the build folder must have been configured with; it keeps them.
    ``fresh``: nothing that was made from answers before is used.

    Raises CannotRun if the tree's own code does not build.
    """
    build = root / "build"
    try:
        build.mkdir(parents=True, exist_ok=True)
        lock = open(build / ".nest-lock", "w")
    except OSError as error:
        raise disk_trouble(error, build) from error
    with lock, contextlib.ExitStack() as stack:
        try:
            _up_to_date(root, build / "cmake", lock, say, settings)
            cache = build / "cache"
            if fresh:
                cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".fresh-", dir=build)))
            kit = Kit(read_description(root), root, Cache(cache), schedule)
            kit.is_alone = lambda: _is_alone(lock)
        except OSError as error:
            raise disk_trouble(error, build) from error
        yield kit


def read_description(root: Path, folder: Path | None = None) -> dict[str, Any]:
    """What kit.json says, of the build folder or of another. CMake writes paths into it as they
    are, so a root with a quote in its name needs help."""
    text = ((folder or root / "build" / "cmake") / "kit.json").read_text()
    description: dict[str, Any] = json.loads(text.replace(str(root), json.dumps(str(root), ensure_ascii=False)[1:-1]))
    return description


def _up_to_date(root: Path, folder: Path, lock: IO[str], say: Say, settings: tuple[str, ...]) -> None:
    """Leaves with a shared lock: any number may use a kit, and one may build it while none does."""
    _take(lock, fcntl.LOCK_SH, say)
    if _is_configured(folder, settings) and "no work to do" in _tool(
            ["ninja", "-n", "-C", str(folder), "kit"], root, lambda line: None):
        return
    fcntl.flock(lock, fcntl.LOCK_UN)
    _take(lock, fcntl.LOCK_EX, say)
    _make(root, folder, say, settings)
    fcntl.flock(lock, fcntl.LOCK_SH)


def _is_configured(folder: Path, settings: tuple[str, ...]) -> bool:
    """Whether the build folder has been configured, with these settings."""
    if not (folder / "build.ninja").exists():
        return False
    return not settings or set(settings) <= set((folder / "CMakeCache.txt").read_text().splitlines())


def _take(lock: IO[str], kind: int, say: Say) -> None:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another nest, which is at work in this tree")
        fcntl.flock(lock, kind)


def _is_alone(lock: IO[str]) -> bool:
    """Whether nobody else has the lock, which may be lost by asking."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make(root: Path, folder: Path, say: Say, settings: tuple[str, ...]) -> None:
    if not _is_configured(folder, settings):
        say("configuring the build")
        _tool(["cmake", "--preset", "default", *(f"-D{setting}" for setting in settings)], root, lambda line: None)

    def progress(line: str) -> None:
        if line.startswith("["):
            say(f"building the kit {line.partition(']')[0]}]")

    _tool(["ninja", "-C", str(folder), "-j", str(cores()), "kit"], root, progress)


def _tool(argv: list[str], cwd: Path, line_seen: Say) -> str:
    """Runs a build tool of ours; the output, which is shown only where it fails."""
    output = bytearray()
    pending = bytearray()

    def add(data: bytes) -> None:
        output.extend(data)
        pending.extend(data)
        *lines, rest = bytes(pending).split(b"\n")
        pending[:] = rest
        for line in lines:
            line_seen(line.decode("utf-8", "replace"))

    try:
        with Child(argv, cwd=cwd, env=dict(os.environ), stdin=None, pass_fds=(),
                   on_stdout=add, on_stderr=add) as child:
            status = child.wait(Limits(3600, None, None, 1 << 30))
    except FileNotFoundError:
        raise CannotRun(f"{argv[0]} is not installed\n  mend: ./nest setup") from None
    if status != 0:
        if child.killed == "interrupted":
            raise KeyboardInterrupt
        if trouble := disk_words(output.decode("utf-8", "replace"), cwd / "build"):
            raise CannotRun(trouble)
        text = output.decode("utf-8", "replace").strip().splitlines()
        shown = [line for line in text if not line.startswith("[")] or text
        raise CannotRun("\n".join([*shown[-60:], f"{' '.join(argv)} ended with {status}: the tree's own "
                                   "code does not build\n  mend: undo what was changed beside the "
                                   "tasks' files, or remove build/ and try again"]))
    return output.decode("utf-8", "replace")
