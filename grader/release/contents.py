# SPDX-License-Identifier: MIT
"""Which files of staff's tree a release has.

A release leaves out whole folders. So a file that should stay here is kept by where it is put, and
nobody has to remember a list of files. Of the grader it has the rooms and the verbs that are named
here, and no others.
"""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

from grader import CannotRun
from grader.course.lab import Lab

PRIVATE = "solutions-private"
STAFFS = (PRIVATE, ".ci", "docs", "guest/tests", "kern/bench", "kern/tests", "vmm/bench", "vmm/tests")
"""Folders: answers, and the project's own tests and measurements."""
SUPPORT = ("kern/tests/support", "vmm/tests/support")
"""What the labs' own tests are made with, inside those."""
STAFFS_FILES = ("README.md", "grader/judge/matrix.py", "grader/judge/flaky.py", "grader/judge/recording.py", "cmake/checks.cmake", "cmake/arm64.cmake")
"""Single files; README.md is another one in a release."""
ROOMS = ("build", "confine", "course", "evidence", "gate", "gdb", "intake", "judge", "machines", "student", "testkit", "verbs")
"""Of grader/, what students have. A new room is staff's until it is named here."""
VERBS = ("debug", "doctor", "grade", "handouts", "labs", "pack", "run", "setup", "update", "whoami")
"""The students' verbs. A new one is staff's until it is named here."""
BESIDE_VERBS = ("__init__", "bootstrap", "cli", "debug_bochs", "narrow", "options", "output")
"""The other files of grader/verbs that they need."""


def tracked(root: Path) -> list[PurePosixPath]:
    """The files of the tree's last commit. Raises CannotRun if that is not what stands on the
    disk."""
    if not (root / ".git").exists():
        raise CannotRun(f"{root} is no git repository, so nobody could say later what a release was made from\n"
                        "  mend: release from a clone")
    changed = _git(root, "status", "--porcelain", "--untracked-files=all")
    if changed:
        shown = "\n".join(f"    {line}" for line in changed.splitlines()[:10])
        raise CannotRun(f"the tree has changes that are not committed:\n{shown}\n"
                        "  mend: commit them, or remove them; a release names the commit that it was made from")
    return [PurePosixPath(name) for name in _git(root, "ls-files", "-z").split("\0") if name]


def commit(root: Path) -> str:
    """The tree's last commit."""
    return _git(root, "rev-parse", "HEAD").strip()


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout


def is_released(path: PurePosixPath, labs: list[Lab]) -> bool:
    """Whether a release with these labs has the file."""
    name = path.as_posix()
    if any(name.startswith(f"{folder}/") for folder in SUPPORT):
        return True
    if name in STAFFS_FILES or any(name.startswith(f"{folder}/") for folder in STAFFS):
        return False
    if path.parts[0] == "grader" and len(path.parts) > 2:
        if path.parts[1] == "verbs":
            return path.stem in VERBS + BESIDE_VERBS
        return path.parts[1] in ROOMS
    if path.parts[0] == "labs" and len(path.parts) > 2:
        return path.parts[1] in {lab.folder.name for lab in labs}
    return True


def later_files(all_labs: list[Lab], labs: list[Lab]) -> tuple[str, ...]:
    """The task files of the labs that a release with ``labs`` does not have yet."""
    here = {lab.id for lab in labs}
    return tuple(sorted(task.file for lab in all_labs if lab.id not in here for task in lab.tasks))


def later_anchors(all_labs: list[Lab], labs: list[Lab]) -> tuple[str, ...]:
    """The anchors of the pages of labs that a release with ``labs`` does not have yet."""
    from grader.course.handouts import anchors  # wants jinja2, which who only looks at a release may lack

    here = {lab.id for lab in labs}
    return tuple(sorted({anchor for lab in all_labs if lab.id not in here for page in lab.folder.glob("*.md")
                         for anchor in anchors(page.read_text(encoding="utf-8"))}))
