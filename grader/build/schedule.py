# SPDX-License-Identifier: MIT
"""Work in the right order on as many threads as there are cores.

Each piece of work starts one process at a time (a compiler, a test, an emulator), so the number of
threads bounds the number of processes too. Work may wait for other work; of what is ready, the
smallest `rank` goes first, then the oldest.
"""

from __future__ import annotations

import heapq
import os
import threading
from concurrent.futures import Future
from typing import Any, Callable


class Schedule:
    """A pool of threads over a graph of futures."""

    def __init__(self, workers: int | None = None) -> None:
        self._ready: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._count = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, daemon=True, name=f"worker {i}")
                         for i in range(workers or cores())]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[..., Any], *after: Future[Any], rank: int = 0) -> Future[Any]:
        """Calls `work` with the results of `after` once they are all there.

        If one of them failed, the future fails with the same exception and `work` is not called.
        """
        future: Future[Any] = Future()
        pending = len(after)
        lock = threading.Lock()

        def go() -> None:
            for one in after:
                if one.cancelled():
                    future.cancel()
                    return
                error = one.exception()
                if error is not None:
                    future.set_exception(error)
                    return
            self._push(rank, future, lambda: work(*(one.result() for one in after)))

        def done(_: Future[Any]) -> None:
            nonlocal pending
            with lock:
                pending -= 1
                last = pending == 0
            if last:
                go()

        if not after:
            go()
        for one in after:
            one.add_done_callback(done)
        return future

    def follow(self, make: Callable[..., Future[Any]], *after: Future[Any]) -> Future[Any]:
        """Once all of `after` are there, calls `make` with their results, in whose thread does not
        matter; this future ends as the one that `make` returns. If one of `after` failed, so does
        this."""
        future: Future[Any] = Future()

        def made(begun: Future[Future[Any]]) -> None:
            if begun.cancelled():
                future.cancel()
            elif error := begun.exception():
                future.set_exception(error)
            else:
                begun.result().add_done_callback(passed_on)

        def passed_on(ended: Future[Any]) -> None:
            if ended.cancelled():
                future.cancel()
            elif error := ended.exception():
                future.set_exception(error)
            else:
                future.set_result(ended.result())

        self.submit(make, *after).add_done_callback(made)
        return future

    def close(self, end_processes: Callable[[], None]) -> None:
        """Cancels what has not begun, and waits for what has, whose processes are ended
        meanwhile."""
        with self._changed:
            self._stopping = True
            waiting, self._ready = self._ready, []
            self._changed.notify_all()
        for _, _, future, _ in waiting:
            future.cancel()
        for thread in self._threads:
            while thread.is_alive():
                end_processes()
                thread.join(0.05)

    def _push(self, rank: int, future: Future[Any], call: Callable[[], Any]) -> None:
        with self._changed:
            if not self._stopping:
                self._count += 1
                heapq.heappush(self._ready, (rank, self._count, future, call))
                self._changed.notify()
                return
        future.cancel()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._ready and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                _, _, future, call = heapq.heappop(self._ready)
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # handed to whoever asks for the result
                future.set_exception(error)
            else:
                future.set_result(result)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
