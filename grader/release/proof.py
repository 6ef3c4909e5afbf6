# SPDX-License-Identifier: MIT
"""Proves a release before it is handed over: in clones of it, as a student has it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grader import NestError
from grader.course.lab import Lab
from grader.release.contents import PRIVATE
from grader.release.leaks import Private, scan

Say = Callable[[str], None]
BUILD_BYTES = 400_000_000
"""The most that a student's build folder may take."""


class Unfit(NestError):
    """A release that must not be handed over; the text says why, one fault a line."""


def no_leaks(out: Path, private: Private) -> None:
    """Raises Unfit if something private is in the release."""
    leaks = scan(out, private)
    if leaks:
        shown = "\n".join(f"  {leak}" for leak in leaks[:20])
        more = f"\n  and {len(leaks) - 20} more" if len(leaks) > 20 else ""
        raise Unfit(f"the release has what only staff should have:\n{shown}{more}\n"
                    f"  mend: remove it from staff's tree, commit, remove {out}, and release again")


def works(root: Path, out: Path, labs: Sequence[Lab], references: Collection[Lab], say: Say) -> None:
    """Grades the release's skeleton and, in another clone, the right answers; of the last lab also
    beside answers to the others that do not even compile, if their `references` went along. Raises
    Unfit."""
    faults = []
    with _clone(out) as tree:
        for lab in labs:
            say(f"{lab.id} as a student gets it")
            result = _grade(tree, lab)
            if not isinstance(result, dict):
                faults.append(f"{lab.id}: grade cannot run: {result}")
                continue
            faults += unreached(result)
            faults += answered(result, f"labs/{lab.folder.name}")
        for words in (["labs"], ["--version"], ["doctor", "--help"], ["handouts"]):
            say(f"nest {' '.join(words)}")
            done = _nest(tree, words)
            if done.returncode != 0:
                faults.append(f"nest {' '.join(words)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")
    with _clone(out) as tree:
        for lab in labs:
            for task in lab.tasks:
                shutil.copyfile(root / PRIVATE / task.file, tree / task.file)
        for lab in labs:
            say(f"{lab.id} with right answers")
            faults += [f"{lab.id}: right answers{fault}" for fault in _failures(tree, lab)]
        *others, last = labs
        say(f"{last.id} runs")
        done = _nest(tree, ["run", last.id, "--seconds", "60"])
        if done.returncode != 0:
            faults.append(f"nest run {last.id} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")
        if others and set(others) <= set(references):
            say(f"{last.id} with right answers, beside wrong ones to all other labs")
            for task in (task for lab in others for task in lab.tasks):
                (tree / task.file).write_text("this does not compile\n", encoding="utf-8")
            faults += [f"{last.id}: right answers beside wrong ones to other labs{fault}" for fault in _failures(tree, last)]
        faults += too_large(tree / "build")
    if faults:
        raise Unfit("the release does not work as it should:\n" + "\n".join(f"  {fault}" for fault in faults))


def too_large(build: Path) -> list[str]:
    """What is wrong with a build folder's size, once every lab was graded there."""
    size = sum(path.lstat().st_size for path in build.rglob("*"))
    return [f"the build folder has {size / 1e6:.0f} MB, and {BUILD_BYTES / 1e6:.0f} are allowed"] if size > BUILD_BYTES else []


def unreached(result: dict[str, Any]) -> list[str]:
    """The tasks whose stub is not what their tests end in, nor that of a task which runs before it,
    as in a world switch of several sections."""
    def is_told(task: dict[str, Any]) -> bool:
        ends = {test["extra_data"]["outcome"] for test in result["tests"] if test["extra_data"]["task"] == task["id"]}
        return task["score"] == 0 and (task["state"] == "not written" or ends == {"blocked"})

    return [f"{task['id']}: the stub is not reached: {task['state']}, {task['score']} points"
            for task in result["extra_data"]["tasks"] if not is_told(task)]


def answered(result: dict[str, Any], folder: str) -> list[str]:
    """The questions to which the release has an answer: a number, say, is too short for the search
    for leaks."""
    return [f"{folder} has an answer to {one['id']}: {one['title']}"
            for one in result["extra_data"]["questions"] if one["state"] != "no answer"]


@contextmanager
def _clone(out: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nestling-release-") as folder:
        tree = Path(folder) / "course"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(out), str(tree)], check=True, capture_output=True)
        yield tree


def _failures(tree: Path, lab: Lab) -> list[str]:
    """What of a lab's tests does not pass, in the middle of a sentence."""
    result = _grade(tree, lab)
    if not isinstance(result, dict):
        return [f": {result}"]
    return [f" fail {test['name']}: {' / '.join(test.get('output', test['status']).splitlines()[:4])}"
            for test in result["tests"] if test["status"] != "passed"]


def _grade(tree: Path, lab: Lab) -> dict[str, Any] | str:
    """The result, or why there is none."""
    file = tree / "build" / f"{lab.id}.json"
    file.parent.mkdir(exist_ok=True)
    done = _nest(tree, ["grade", lab.id, "--json", str(file)])
    if done.returncode not in (0, 1):
        return f"status {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}"
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


def _nest(tree: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tree / "nest"), *words], cwd=tree, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
