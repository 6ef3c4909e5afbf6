# SPDX-License-Identifier: MIT
"""Slurm: items are judged by the tasks of a job array, some tens each, on whatever nodes have room.

Tree and results stand on a disk that all nodes share. A task reads its items from files, one each,
and leaves results in the inbox as any worker does (grader/batch/work.py); the writer removes an
item's file when its result is there. So a task that Slurm puts into the queue again does what is
left, and whatever was judged twice is counted once. Limits stand in the script, so Slurm's own
variables (SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT, ...) go before them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from grader import CannotRun
from grader.batch.work import INBOX, Item, inbox_file
from grader.course.lab import ROOT

SHARDS = "shards"
SHARD = 25
"""Items a task, at most: a scheduler starts about one task a second, and a lost task costs no more
than this."""
FEWEST = 5
"""Items a task, at least: it opens the kit before it judges."""
TASKS = 8
"""So many at least, unless that leaves a task too few items: a small class, too, is judged on
several processors."""
SECONDS_PER_ITEM = 240
MEMORY = "4G"
"""What a linker under limits may take, and some."""
POLL_SECONDS = 1.0
ASK_EVERY = 5
"""So many looks into the inbox for one question to Slurm's controller."""
_NO_WORD = "it left no word: this tree and the results must stand on a disk that all nodes share"


class Slurm:
    """Items judged by one job array after the other."""

    def __init__(self, results: Path, jobs: int | None = None, tasks: int | None = None) -> None:
        """``jobs``: at most so many tasks at once; ``tasks``: into so many the items go."""
        if shutil.which("sbatch") is None:
            raise CannotRun("there is no sbatch here\n  mend: grade on a node from which jobs are submitted")
        self._results, self._jobs, self._tasks = results, jobs, tasks

    def judged(self, items: Sequence[Item]) -> Iterator[tuple[Item, str]]:
        """Each item as it ends, and why it left no result; empty if there is one in the inbox."""
        self._end_earlier()
        top = self._results / SHARDS
        top.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="nest-", dir=top))
        tasks = self._tasks or tasks_for(len(items))
        waiting = {item: folder / str(number % tasks) / f"{item.name}.json" for number, item in enumerate(items)}
        for item, path in waiting.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(item.line(), encoding="utf-8")
        job = self._submitted(folder, tasks, -(-len(items) // tasks))
        try:
            looks = 0
            while waiting:
                looks += 1
                ended = _ended(job) if looks % ASK_EVERY == 0 else ""
                # Looked at after Slurm was asked: what was left before the end is there.
                there = self._inbox()
                for item in [one for one in waiting if inbox_file(self._results, one).name in there]:
                    waiting.pop(item).unlink(missing_ok=True)
                    yield item, ""
                if ended:
                    break
                time.sleep(POLL_SECONDS if waiting else 0)
            for item, path in waiting.items():
                yield item, f"{ended}: {_last_words(path.parent)}"
        finally:
            _cancel(folder.name)
            shutil.rmtree(folder, ignore_errors=True)

    def _inbox(self) -> set[str]:
        """The names in the inbox. A network file system asks its server for a listing, and for a
        single name that it has missed before it may not."""
        try:
            return set(os.listdir(self._results / INBOX))
        except FileNotFoundError:
            return set()

    def _submitted(self, folder: Path, tasks: int, items: int) -> str:
        """Hands the array in, of so many tasks with at most so many items each; its number."""
        script = folder / "task.sh"
        script.write_text(_script(self._results, folder, items))
        most = f"%{self._jobs}" if self._jobs else ""
        done = subprocess.run(
            ["sbatch", "--parsable", f"--job-name={folder.name}", f"--array=0-{tasks - 1}{most}", f"--chdir={ROOT}",
             f"--output={folder}/%a.log", str(script)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotRun(f"Slurm does not take the job: {done.stderr.strip()}\n  mend: `sinfo` says what there is; SBATCH_PARTITION, "
                            "SBATCH_ACCOUNT and SBATCH_TIMELIMIT choose")
        return done.stdout.strip().partition(";")[0]

    def _end_earlier(self) -> None:
        """Ends the tasks of a run that was killed: what they do is begun anew."""
        for folder in (self._results / SHARDS).glob("nest-*"):
            _cancel(folder.name)
            shutil.rmtree(folder, ignore_errors=True)


def tasks_for(items: int) -> int:
    """Into how many tasks so many items go, as evenly as they can."""
    return max(-(-items // SHARD), min(TASKS, -(-items // FEWEST)))


def read_items(folder: Path) -> list[Item]:
    """What a task has to judge, without what has come in before."""
    return [Item.of(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _script(results: Path, folder: Path, items: int) -> str:
    nest = [sys.executable, "-X", "utf8", "-I", str(ROOT / "grader/verbs/bootstrap.py"), "work", str(results)]
    return (f"#!/bin/sh\n#SBATCH --requeue\n#SBATCH --cpus-per-task=1\n#SBATCH --mem={MEMORY}\n"
            f"#SBATCH --time={15 + items * SECONDS_PER_ITEM // 60}\n"
            f"exec {shlex.join(nest)} --items {shlex.quote(str(folder))}/\"$SLURM_ARRAY_TASK_ID\""
            ' --cpus "${SLURM_CPUS_PER_TASK:-1}"\n')


def _ended(job: str) -> str:
    """How the array ended; empty while some of it waits or runs, also while the controller is
    away."""
    done = subprocess.run(["squeue", "--noheader", "--jobs", job, "--format=%r"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return "Slurm does not know the job any more" if "Invalid job id" in done.stderr else ""
    reasons = done.stdout.split("\n")[:-1]
    if not reasons:
        return "its task ended without a result"
    if all("held" in one.lower() for one in reasons):
        return f"Slurm holds the job: {reasons[0]}"
    return ""


def _last_words(shard: Path) -> str:
    try:
        lines = shard.with_suffix(".log").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return _NO_WORD
    return next((line.strip() for line in reversed(lines) if line.strip()), _NO_WORD)


def _cancel(name: str) -> None:
    subprocess.run(["scancel", f"--name={name}", f"--user={os.getuid()}"], capture_output=True, check=False)
