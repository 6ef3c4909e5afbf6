# SPDX-License-Identifier: MIT
"""Takes over a newer release into a student's tree: a merge of three trees by git.

The trees are the release that the student's tree came from, the newer release, and the student's
tree as it is on the disk. The student's own repository is not asked, since a platform may have made
it without our history, or there is none: the merge happens in a repository of ours in ``build/``,
and only files change.

Files of tasks are the student's: they stay byte for byte. Where both have changed another file in
the same place, the release's comes into its place and the student's stays beside it as FILE.mine.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from grader import CannotRun, UsageError
from grader.course import release
from grader.course.release import Release

MINE = ".mine"


@dataclass
class Update:
    """What an update did."""

    before: Release
    after: Release
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)
    """files that both have changed, and where the student's version stands; empty if they had
    removed it"""
    stubs: dict[str, str] = field(default_factory=dict)
    """task files whose stub is another one now, with the difference"""


def update(source: str, root: Path) -> Update:
    """Takes over the release of ``source``: a folder or an address that git knows. Raises
    CannotRun, UsageError."""
    before = release.read(root)
    if before is None:
        raise UsageError("this is staff's tree, and no release of it\n  mend: update in a student's tree")
    with _repository(root) as git:
        try:
            git("fetch", "--quiet", "--no-tags", source, "+refs/heads/main:refs/new", "+refs/tags/*:refs/releases/*")
        except CannotRun as error:
            raise CannotRun(f"cannot read a release from {source}: {str(error).splitlines()[-1]}\n"
                            "  mend: name the folder or the address where staff keep the releases") from None
        try:
            after = release.parse(git("show", f"refs/new:{release.FILE}"))
        except CannotRun:
            raise CannotRun(f"{source} is no release: it has no {release.FILE}\n"
                            "  mend: name the folder or the address where staff keep the releases") from None
        base = f"refs/releases/{before.tag}"
        if after.course != before.course or not git("for-each-ref", base):
            raise CannotRun(f"{source} does not know release {before.number} of '{before.course}', from which this tree "
                            "came\n  mend: ask staff for the address of this course's releases")
        done = Update(before, after)
        if after.number == before.number:
            return done
        _merge(git, base, root, done)
    return done


def _merge(git: Git, base: str, root: Path, done: Update) -> None:
    git("add", "--all", "--", ".")
    mine = git("commit-tree", "-p", base, "-m", "mine", git("write-tree").strip()).strip()
    merged, clashing = git.merge_tree(mine, "refs/new")
    own = task_files(git, base) | task_files(git, "refs/new")
    for name in sorted({*git.changes(mine, merged), *clashing}):
        path = root / name
        if name in own and git.has(mine, name):
            continue
        if name in clashing:
            if git.has(mine, name):
                kept = _free_name(path)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(git.bytes(mine, name))
                done.conflicts[name] = str(kept.relative_to(root))
            else:
                done.conflicts[name] = ""
        source = "refs/new" if name in clashing else merged
        if git.has(source, name):
            path.parent.mkdir(parents=True, exist_ok=True)
            _put(path, git.bytes(source, name), git.is_executable(source, name))
            done.changed.append(name)
        else:
            path.unlink(missing_ok=True)
            done.removed.append(name)
    for name in sorted(own):
        if git.has(base, name) and git.has("refs/new", name):
            difference = git("diff", base, "refs/new", "--", name)
            if difference:
                done.stubs[name] = difference


def _free_name(path: Path) -> Path:
    """Where the student's version goes: FILE.mine, or FILE.mine-2 and so on where an earlier update
    left one."""
    names = (path.with_name(path.name + MINE + (f"-{number}" if number > 1 else "")) for number in itertools.count(1))
    return next(name for name in names if not name.exists() and not name.is_symlink())


def _put(path: Path, data: bytes, executable: bool) -> None:
    """Writes a file, whole or not at all."""
    making = path.with_name(f".{path.name}.update")
    making.write_bytes(data)
    making.chmod(0o755 if executable else 0o644)
    making.replace(path)


def task_files(git: Git, tree: str) -> set[str]:
    """The files that are the student's in a release: those of its tasks, of later ones too, and of
    questions."""
    import json

    names = set(release.parse(git("show", f"{tree}:{release.FILE}")).later)
    for name in git("ls-tree", "-r", "--name-only", tree, "labs/").splitlines():
        if name.endswith("/lab.json"):
            lab = json.loads(git("show", f"{tree}:{name}"))
            names |= {task["file"] for task in lab["tasks"]}
            if "questions" in lab:
                names.add(f"{os.path.dirname(name)}/{lab['questions']['file']}")
    return names


class Git:
    """A repository of ours whose work tree is the student's, with none of their settings."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root
        self._run(["init", "--quiet"])

    def __call__(self, *words: str) -> str:
        """Runs git; its output. Raises CannotRun."""
        return self._run(list(words)).decode("utf-8", "replace")

    def bytes(self, tree: str, name: str) -> bytes:
        """One file of a tree."""
        return self._run(["cat-file", "blob", f"{tree}:{name}"])

    def has(self, tree: str, name: str) -> bool:
        """Whether a tree has a file of this name."""
        return bool(self("ls-tree", tree, "--", name))

    def is_executable(self, tree: str, name: str) -> bool:
        """Whether the file may be executed."""
        return self("ls-tree", tree, "--", name).startswith("100755")

    def changes(self, before: str, after: str) -> list[str]:
        """The files in which two trees differ."""
        names = self("diff-tree", "-r", "-z", "--no-renames", "--name-only", before, after)
        return [name for name in names.split("\0") if name]

    def merge_tree(self, mine: str, theirs: str) -> tuple[str, set[str]]:
        """The merged tree, and the files in which both have changed the same place."""
        done = self._start(["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z",
                            "--allow-unrelated-histories", mine, theirs])
        if done.returncode not in (0, 1):
            raise CannotRun(f"git merge-tree failed: {done.stderr.decode(errors='replace').strip()}")
        tree, *names = done.stdout.decode("utf-8", "replace").rstrip("\0").split("\0")
        return tree, {name for name in names if name}

    def _run(self, words: list[str]) -> bytes:
        done = self._start(words)
        if done.returncode != 0:
            raise CannotRun(f"git {words[0]} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def _start(self, words: list[str]) -> subprocess.CompletedProcess[bytes]:
        name = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                for what, value in (("NAME", "nest"), ("EMAIL", "nest@localhost.invalid"))}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        return subprocess.run(
            ["git", "-c", "core.autocrlf=false", "-c", "core.fsmonitor=false", *words], cwd=self._root,
            capture_output=True, check=False,
            env={**environment, **name, "GIT_DIR": str(self._folder), "GIT_WORK_TREE": str(self._root),
                 "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_TERMINAL_PROMPT": "0"})


@contextmanager
def _repository(root: Path) -> Iterator[Git]:
    if not shutil.which("git"):
        raise CannotRun("git is not installed\n  mend: apt-get install git")
    (root / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".update-", dir=root / "build") as folder:
        yield Git(Path(folder) / "git", root)
