# SPDX-License-Identifier: MIT
"""Grades the references again and again on a host that has no time for it. It takes longer, and no
verdict differs.

As a command, for `nest test --only load`: ``python3 -m grader.bench.load [GRADINGS]``. All of it
runs on CPU 0. The gradings take turns: beside 15 busy processes; while one of their processes after
the other is stopped for a moment; and, where a control group can be made, with a tenth of the
processor's time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from grader import DONE, POINTS_MISSING
from grader.confine.processes import descendants, dying_with_parent
from grader.course.lab import ROOT, Lab, load_all

GRADINGS = 200
BUSY = 15
LONGEST_STOP, MOST_BETWEEN = 0.25, 0.05
"""In seconds. A kernel that boots has 55 ms to measure its clock: many stops are longer."""
GROUPS = Path("/sys/fs/cgroup/cpu")
PERIOD_US, SHARE_US = 100_000, 10_000
_SPINS = "while True: pass"


@contextlib.contextmanager
def tenth() -> Iterator[Callable[[], None]]:
    """What a child calls before it begins: from then on it has a tenth of a processor, with all
    below it. Raises OSError where that cannot be had."""
    group = GROUPS / f"nest-load-{os.getpid()}"
    group.mkdir()

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(SHARE_US))
        yield join
    finally:
        group.rmdir()


@contextlib.contextmanager
def crowd() -> Iterator[Callable[[], None]]:
    """The same, beside busy processes."""
    with contextlib.ExitStack() as stack:
        for _ in range(BUSY):
            one = stack.enter_context(subprocess.Popen(
                dying_with_parent([sys.executable, "-c", _SPINS]), preexec_fn=on_cpu_0))
            stack.callback(one.kill)
        yield lambda: None


@contextlib.contextmanager
def stops() -> Iterator[Callable[[], None]]:
    """The same, on a host that again and again stops one of the grading's processes for a moment,
    in the middle of what it does."""
    ended = threading.Event()

    def hold_up() -> None:
        chance = random.Random()
        while not ended.wait(chance.uniform(0, MOST_BETWEEN)):
            below = descendants(os.getpid())
            if not below:
                continue
            one = chance.choice(below)
            with contextlib.suppress(OSError):  # it has ended
                os.kill(one, signal.SIGSTOP)
                ended.wait(chance.uniform(0, LONGEST_STOP))
                os.kill(one, signal.SIGCONT)

    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        yield lambda: None
    finally:
        ended.set()
        thread.join()


def on_cpu_0() -> None:
    """For a child."""
    os.sched_setaffinity(0, {0})


def graded(lab: Lab, seed: int, load: Callable[[], contextlib.AbstractContextManager[Callable[[], None]]]) -> list[str]:
    """What differs from full points, of one grading of the lab's references."""
    with tempfile.TemporaryDirectory() as folder, load() as begin:
        out = Path(folder) / "result.json"

        def first() -> None:
            on_cpu_0()
            begin()

        done = subprocess.run([ROOT / "nest", "grade", lab.id, "--reference", "--seed", str(seed), "--json", out],
                              preexec_fn=first, capture_output=True, text=True, check=False)
        if not out.is_file():
            return [f"{lab.id}, seed {seed}: ended with {done.returncode}: {done.stderr[-500:]}"]
        tests = json.loads(out.read_text())["tests"]
        wrong = [f"{lab.id}, seed {seed}: {test['name']}: {test['extra_data']['outcome']}: {test.get('output', '')[-500:]}"
                 for test in tests if test["extra_data"]["outcome"] != "passed"]
        return wrong or ([] if done.returncode == DONE else [f"{lab.id}, seed {seed}: ended with {done.returncode}"])


def main(argv: list[str]) -> int:
    """Grades; 1 if a verdict differed."""
    wanted = int(argv[0]) if argv else GRADINGS
    loads: list[Callable[[], contextlib.AbstractContextManager[Callable[[], None]]]] = [crowd, stops]
    with contextlib.suppress(OSError), tenth():
        loads.append(tenth)
    different, started = 0, time.monotonic()
    for number, (lab, load) in enumerate(itertools.islice(itertools.cycle(itertools.product(load_all(), loads)), wanted), 1):
        found = graded(lab, number, load)
        different += bool(found)
        print(f"[{number}/{wanted}] {lab.id}, {load.__name__}, {time.monotonic() - started:.0f} s", *found, sep="\n", flush=True)
    print(f"{wanted} gradings of the references under load, {different} that differ: {wanted - different} passed")
    return POINTS_MISSING if different else DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
