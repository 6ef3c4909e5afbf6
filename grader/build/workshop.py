# SPDX-License-Identifier: MIT
"""Opens what every verb that builds or judges needs: the labs, the kit, the schedule; and closes it
so that nothing is left running, however the verb ends.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Iterator

from grader.build.cache import Cache
from grader.build.kit import Kit
from grader.build.opening import open_kit, read_description
from grader.build.schedule import Schedule
from grader.confine.processes import stop_all
from grader.course import release
from grader.course.lab import ROOT


STAFFS_CACHE = (1 << 30, 3600.0)
STUDENTS_CACHE = (160 << 20, 300.0)
"""Bytes that what was built from answers may take, and for how many seconds another nest may still
want an entry. A student's whole build folder stays below 400 MB once no nest works in it."""
EVERY_SECONDS = 10.0
"""In a pipe a line says so often where the work is."""


class Progress:
    """One line on standard error that is overwritten, where that is a terminal; else each kind of
    work once, and every ten seconds where it is."""

    def __init__(self, every: float = EVERY_SECONDS) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = False
        self._said: set[str] = set()
        self._every = every
        self._now = ""
        self._done = threading.Event()
        self._clock: threading.Thread | None = None

    def __call__(self, text: str) -> None:
        """Shows where the work is. In a pipe each kind of message is said once, by its first
        words."""
        if self._terminal:
            width = shutil.get_terminal_size((80, 24)).columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
            self._shown = True
            return
        self._now = text
        if self._clock is None:
            self._done.clear()
            self._clock = threading.Thread(target=self._tell, daemon=True)
            self._clock.start()
        kind = text.partition("[")[0].strip()
        if kind and kind not in self._said and not text.startswith("judging"):
            self._said.add(kind)
            print(f"nest: {kind}", file=sys.stderr, flush=True)

    def _tell(self) -> None:
        while not self._done.wait(self._every):
            print(f"nest: {self._now}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the line, and says nothing more until the next call."""
        if self._clock is not None:
            self._done.set()
            self._clock.join()
            self._clock = None
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


@contextmanager
def workshop(progress: Progress, settings: tuple[str, ...] = (), *, fresh: bool = False,
             threads: int | None = None, other: Path | None = None) -> Iterator[Kit]:
    """A kit that is up to date and a schedule to work with it, of so many threads, else one a core;
    see open_kit. At the end nothing runs any more. `other`: the kit of another build folder, as it
    stands, in the place of the tree's."""
    schedule = Schedule(threads)
    try:
        with (open_kit(schedule, progress, ROOT, settings, fresh=fresh) if other is None
              else nullcontext(Kit(read_description(ROOT, other), ROOT, Cache(other / "cache"), schedule))) as kit:
            yield kit
            limit, in_use = STUDENTS_CACHE if release.read() else STAFFS_CACHE
            kit.cache.trim(limit, 0.0 if release.read() and kit.is_alone() else in_use)
    finally:
        progress.clear()
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
        try:
            schedule.close(stop_all)
        finally:
            if main:
                signal.signal(signal.SIGINT, before)
