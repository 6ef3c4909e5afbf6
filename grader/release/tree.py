# SPDX-License-Identifier: MIT
"""Writes a release's tree, and its history: one commit a lab, the release's tag on the last."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from grader import CannotRun, UsageError
from grader.build.answers import STUBS
from grader.course import lab as labs_module
from grader.course import release
from grader.course.lab import Lab
from grader.course.release import Release
from grader.release import contents, objects
from grader.release.course import Course

TEMPLATES = Path(__file__).with_name("templates")
RENDERED = {"README.md.j2": "README.md", "grade.yml.j2": ".github/workflows/grade.yml",
            "gitlab-ci.yml.j2": ".gitlab-ci.yml"}
AUTHOR = {"GIT_AUTHOR_NAME": "Course staff", "GIT_AUTHOR_EMAIL": "staff@course.invalid",
          "GIT_COMMITTER_NAME": "Course staff", "GIT_COMMITTER_EMAIL": "staff@course.invalid"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What is to be made."""

    root: Path
    """staff's tree"""
    out: Path
    """the release's repository: a new folder, or an earlier release of this course"""
    labs: tuple[Lab, ...]
    """all that it has, in order"""
    course: Course
    today: datetime.date

    @property
    def all_labs(self) -> list[Lab]:
        """The labs of staff's tree."""
        return labs_module.load_all(self.root)


def write(wanted: Wanted, say: Say) -> Release:
    """Writes the release into ``out``, on top of an earlier one if that is there. Raises CannotRun,
    UsageError."""
    files = contents.tracked(wanted.root)
    before = earlier(wanted.out)
    number = before.number + 1 if before else 1
    first = 0
    if before is None:
        wanted.out.mkdir(parents=True, exist_ok=True)
        git(wanted.out, "init", "--template=", "--quiet", "--initial-branch=main")
    else:
        ids = [lab.id for lab in wanted.labs]
        if before.until not in ids:
            raise UsageError(f"{wanted.out} has a release until {before.until}, and this one ends before it\n"
                             f"  mend: name a later lab with --until, or another folder")
        first = ids.index(before.until)
    tools: list[objects.Toolchain] = []
    made = before
    with tempfile.TemporaryDirectory(prefix="nestling-references-") as kept:
        for count in range(first + 1, len(wanted.labs) + 1):
            labs = list(wanted.labs[:count])
            say(f"writing {labs[-1].id}")
            made = Release(wanted.course.name, number, wanted.today.isoformat(), contents.commit(wanted.root), labs[-1].id,
                           contents.later_files(wanted.all_labs, labs), contents.later_anchors(wanted.all_labs, labs))
            _fill(wanted, labs, made, [path for path in files if contents.is_released(path, labs)])
            if not tools:
                tools = objects.toolchains(wanted.out, say)
            # A kernel that runs guests needs the world switch of a later lab, and has it in no
            # other form.
            needed = [lab for lab in wanted.all_labs if lab.id not in [one.id for one in labs]
                      and any(lab.id in one.builds_on for one in labs)]
            objects.write(wanted.root, wanted.out, [*wanted.course.with_references(labs, wanted.today), *needed], tools,
                          Path(kept))
            for name in [task.file for lab in labs for task in lab.tasks] + list(made.later):
                stub = wanted.out / STUBS / name
                stub.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(wanted.root / name, stub)
            git(wanted.out, "add", "--all", "--force", ".")
            git(wanted.out, "commit", "--quiet", "--allow-empty", "-m",
                f"{labs[-1].id}: {labs[-1].title}" if count > first + (before is not None)
                else f"Release {number}: mends up to {labs[-1].id}")
    assert made is not None
    git(wanted.out, "tag", "--force", made.tag)
    return made


def earlier(out: Path) -> Release | None:
    """The release that stands in a folder; None if it is empty or not there. Raises UsageError for
    other folders."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    made = release.read(out) if (out / release.FILE).is_file() and (out / ".git").is_dir() else None
    if made is None:
        raise UsageError(f"{out} is there and is no release\n  mend: name a new folder, or that of an earlier release")
    if git(out, "status", "--porcelain").strip():
        raise UsageError(f"{out} has changes that are not committed\n  mend: look at them with git -C {out} diff, and "
                         "undo them: staff's tree is the place to change something")
    return made


def _fill(wanted: Wanted, labs: Sequence[Lab], made: Release, files: Sequence[os.PathLike[str]]) -> None:
    """Puts the files of a release with these labs into ``out``, and nothing else."""
    for old in wanted.out.iterdir():
        if old.name != ".git":
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for path in files:
        target = wanted.out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(wanted.root / path, target, follow_symlinks=False)
    (wanted.out / release.FILE).write_text(made.to_json(), encoding="utf-8")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
                                     trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    for template, name in RENDERED.items():
        target = wanted.out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with_references = wanted.course.with_references(list(labs), wanted.today)
        target.write_text(environment.get_template(template).render(
            course=wanted.course.name, labs=labs, last=labs[-1], release=made, with_references=with_references),
            encoding="utf-8")


def git(folder: Path, *words: str) -> str:
    """Runs git in a release's repository, with none of the user's settings. Raises CannotRun."""
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False,
                          env={**os.environ, **AUTHOR, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull})
    if done.returncode != 0:
        raise CannotRun(f"git {words[0]} failed in {folder}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
