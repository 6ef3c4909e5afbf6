# SPDX-License-Identifier: MIT
"""Workers on this machine: a few processes, each with an open kit, that are handed one item after
the other."""

from __future__ import annotations

import contextlib
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from grader.batch.work import Item, inbox_file
from grader.build.schedule import cores
from grader.confine.processes import dying_with_parent
from grader.course.lab import ROOT

ITEM_SECONDS = 1800.0
"""Judging has limits of its own; a worker that says nothing for so long is ended."""
ITEMS_PER_WORKER = 40
"""Then it is replaced by a new one: what Python keeps of each grading does not add up."""
LAST_WORDS = 2000


class Pool:
    """So many workers."""

    def __init__(self, results: Path, jobs: int | None = None, cpus: int | None = None) -> None:
        """``cpus``: so many processors for all of them together."""
        self._results = results
        self._cpus = cpus or cores()
        self._jobs = jobs or self._cpus

    def judged(self, items: Sequence[Item]) -> Iterator[tuple[Item, str]]:
        """Each item once it is judged, in the order in which they end, and why there is no result;
        empty if there is one in the inbox."""
        round_ = _Round(self._results, items, max(1, self._cpus // self._jobs))
        threads = [threading.Thread(target=round_.feed, daemon=True) for _ in range(min(self._jobs, len(items)))]
        for thread in threads:
            thread.start()
        try:
            for _ in items:
                yield round_.ended.get()
        finally:
            round_.stopping.set()
            for thread in threads:
                thread.join()


class _Round:
    """Some items, and the workers that share them."""

    def __init__(self, results: Path, items: Sequence[Item], threads: int) -> None:
        self._results = results
        self._threads = threads
        self._waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
        for one in items:
            self._waiting.put(one)
        self.ended: queue.SimpleQueue[tuple[Item, str]] = queue.SimpleQueue()
        self.stopping = threading.Event()

    def feed(self) -> None:
        """Hands one worker after the other its items, until there are no more."""
        while not self.stopping.is_set() and not self._waiting.empty():
            with self._worker() as worker:
                for _ in range(ITEMS_PER_WORKER):
                    try:
                        item = self._waiting.get_nowait()
                    except queue.Empty:
                        return
                    try:
                        why = self._hand_over(worker, item)
                    except OSError as error:
                        why = f"cannot talk to the worker: {error}"
                    if self.stopping.is_set():
                        return
                    self.ended.put((item, why))
                    if why:
                        break

    def _hand_over(self, worker: subprocess.Popen[bytes], item: Item) -> str:
        """Has one item judged; why there is no result, if there is none."""
        assert worker.stdin and worker.stderr
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.write(f"{item.line()}\n".encode())
            worker.stdin.flush()
        line = self._answer(worker)
        if inbox_file(self._results, item).exists():
            return ""
        worker.kill()
        if line is None:
            return f"the worker was ended after {ITEM_SECONDS:.0f} s in which it said nothing"
        words = worker.stderr.read()[-LAST_WORDS:].decode("utf-8", "replace").strip()
        return f"the worker ended with {worker.wait()}: {words or 'it said nothing'}"

    def _answer(self, worker: subprocess.Popen[bytes]) -> bytes | None:
        """A worker's next line, empty if it ended; None if it took too long or this round is being
        ended."""
        assert worker.stdout
        until = time.monotonic() + ITEM_SECONDS
        while time.monotonic() < until and not self.stopping.is_set():
            if select.select([worker.stdout], [], [], 0.5)[0]:
                return worker.stdout.readline()
        return None

    @contextlib.contextmanager
    def _worker(self) -> Iterator[subprocess.Popen[bytes]]:
        worker = subprocess.Popen(
            dying_with_parent(command(self._results, self._threads)), cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        assert worker.stdin and worker.stdout and worker.stderr
        try:
            yield worker
        finally:
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
            if self.stopping.is_set():
                worker.terminate()
            try:
                worker.wait(timeout=60)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            worker.stdout.close()
            worker.stderr.close()


def command(results: Path, threads: int) -> list[str]:
    """The command of a worker."""
    return [sys.executable, "-X", "utf8", "-I", str(ROOT / "grader/verbs/bootstrap.py"), "work", str(results), str(threads)]
