# SPDX-License-Identifier: MIT
"""`nest update` over small releases: whatever the student did, their answers stay and nothing is
lost."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from grader import CannotRun, UsageError
from grader.course.release import Release
from grader.student.updating import update

pytestmark = pytest.mark.skipif(not os.path.exists("/usr/bin/git"), reason="without git nothing can be updated")

STUB = "int twice(int n) { todo(); }\n"
ANSWER = "int twice(int n) { return n + n; }\n"
LONG = "".join(f"line {number}\n" for number in range(1, 40))


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{one}_{what}": "x" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True,
                          env={**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}).stdout


def files(number: int, **more: str) -> dict[str, str]:
    """A release of a course with one task."""
    lab = {"tasks": [{"file": "kern/twice.cc"}], "questions": {"file": "questions.md"}}
    return {"release.json": Release("Toy", number, "2026-01-01", "0" * 40, "lab1", ("kern/later.cc",)).to_json(),
            "labs/lab1-toy/lab.json": json.dumps(lab), "labs/lab1-toy/questions.md": "Your answer:\n",
            "kern/twice.cc": STUB, "kern/later.cc": "int later() { todo(); }\n", "kern/given.cc": LONG,
            ".gitignore": "/build/\n", **{name.replace("__", "/").replace("_dot_", "."): text for name, text in more.items()}}


def put(folder: Path, contents: Mapping[str, str]) -> None:
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def publish(folder: Path, number: int, contents: Mapping[str, str]) -> None:
    """One more release in staff's repository of releases."""
    if not (folder / ".git").exists():
        folder.mkdir()
        git(folder, "init", "-q", "--initial-branch=main")
    for name in git(folder, "ls-files").splitlines():
        (folder / name).unlink()
    put(folder, contents)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", f"release {number}")
    git(folder, "tag", f"release-{number}")


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Two releases: the second changes given code, adds a file, removes one, and has another
    stub."""
    folder = tmp_path / "releases"
    publish(folder, 1, files(1, kern__old_dot_cc="old\n"))
    publish(folder, 2, files(2, kern__new_dot_cc="new\n", kern__twice_dot_cc="int twice(long n) { todo(); }\n",
                             kern__given_dot_cc=LONG.replace("line 3\n", "line three\n")))
    return folder


def student(tmp_path: Path, how: str) -> Path:
    """A tree of release 1 as a platform hands it out."""
    tree = tmp_path / "student"
    tree.mkdir()
    put(tree, files(1, kern__old_dot_cc="old\n"))
    if how != "no repository":
        git(tree, "init", "-q")
        git(tree, "add", "-A")
        git(tree, "commit", "-qm", "template, without its history")
    return tree


@pytest.mark.parametrize("how", ["committed", "not committed", "no repository"])
def test_takes_over_what_changed_and_leaves_the_answers(tmp_path: Path, releases: Path, how: str) -> None:
    tree = student(tmp_path, how)
    put(tree, {"kern/twice.cc": ANSWER, "kern/later.cc": "mine too\n", "labs/lab1-toy/questions.md": "42\n",
               "notes.txt": "mine\n"})
    if how == "committed":
        git(tree, "add", "-A")
        git(tree, "commit", "-qm", "my answers")
    head = git(tree, "rev-parse", "HEAD") if how != "no repository" else ""
    done = update(str(releases), tree)
    assert (tree / "kern/twice.cc").read_text() == ANSWER
    assert (tree / "kern/later.cc").read_text() == "mine too\n"
    assert (tree / "labs/lab1-toy/questions.md").read_text() == "42\n"
    assert (tree / "notes.txt").read_text() == "mine\n"
    assert "line three\n" in (tree / "kern/given.cc").read_text()
    assert (tree / "kern/new.cc").read_text() == "new\n"
    assert not (tree / "kern/old.cc").exists()
    assert json.loads((tree / "release.json").read_text())["release"] == 2
    assert done.conflicts == {}
    assert "+int twice(long n)" in done.stubs["kern/twice.cc"]
    if head:
        assert git(tree, "rev-parse", "HEAD") == head, "nothing is committed in the student's name"


def test_an_unwritten_stub_stays_too(tmp_path: Path, releases: Path) -> None:
    tree = student(tmp_path, "committed")
    update(str(releases), tree)
    assert (tree / "kern/twice.cc").read_text() == STUB


def test_merges_given_code_that_both_changed(tmp_path: Path, releases: Path) -> None:
    tree = student(tmp_path, "committed")
    put(tree, {"kern/given.cc": LONG.replace("line 30\n", "line thirty, mine\n")})
    done = update(str(releases), tree)
    text = (tree / "kern/given.cc").read_text()
    assert "line three\n" in text and "line thirty, mine\n" in text
    assert done.conflicts == {}


def test_a_conflict_keeps_both(tmp_path: Path, releases: Path) -> None:
    tree = student(tmp_path, "not committed")
    put(tree, {"kern/given.cc": LONG.replace("line 3\n", "line 3, mine\n")})
    done = update(str(releases), tree)
    assert done.conflicts == {"kern/given.cc": "kern/given.cc.mine"}
    assert "line three\n" in (tree / "kern/given.cc").read_text()
    assert "<<<<" not in (tree / "kern/given.cc").read_text()
    assert "line 3, mine\n" in (tree / "kern/given.cc.mine").read_text()


def test_a_second_conflict_does_not_take_the_place_of_the_first(tmp_path: Path, releases: Path) -> None:
    tree = student(tmp_path, "not committed")
    put(tree, {"kern/given.cc": LONG.replace("line 3\n", "line 3, mine\n"), "kern/given.cc.mine": "kept from before\n"})
    done = update(str(releases), tree)
    assert done.conflicts == {"kern/given.cc": "kern/given.cc.mine-2"}
    assert (tree / "kern/given.cc.mine").read_text() == "kept from before\n"
    assert "line 3, mine\n" in (tree / "kern/given.cc.mine-2").read_text()


def test_a_file_that_the_student_removed_or_release_removed_and_student_changed(tmp_path: Path, releases: Path) -> None:
    tree = student(tmp_path, "committed")
    (tree / "kern/given.cc").unlink()
    put(tree, {"kern/old.cc": "old, mine\n"})
    done = update(str(releases), tree)
    assert (tree / "kern/given.cc").exists()
    assert (tree / "kern/old.cc.mine").read_text() == "old, mine\n"
    assert done.conflicts == {"kern/given.cc": "", "kern/old.cc": "kern/old.cc.mine"}


def test_twice_is_nothing(tmp_path: Path, releases: Path) -> None:
    tree = student(tmp_path, "committed")
    update(str(releases), tree)
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts}
    done = update(str(releases), tree)
    assert done.changed == done.removed == [] and done.conflicts == {}
    assert before == {path: path.read_bytes() for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts}


def test_refuses_what_is_no_release_of_this_course(tmp_path: Path, releases: Path) -> None:
    tree = student(tmp_path, "committed")
    with pytest.raises(CannotRun, match="cannot read a release"):
        update(str(tmp_path / "nothing"), tree)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "--initial-branch=main")
    put(other, {"a": "b"})
    git(other, "add", "-A")
    git(other, "commit", "-qm", "x")
    with pytest.raises(CannotRun, match="is no release"):
        update(str(other), tree)
    (tree / "release.json").write_text(Release("Other", 1, "2026-01-01", "0", "lab1", ()).to_json())
    with pytest.raises(CannotRun, match="does not know release 1 of 'Other'"):
        update(str(releases), tree)
    (tree / "release.json").unlink()
    with pytest.raises(UsageError, match="staff's tree"):
        update(str(releases), tree)


def test_the_students_git_settings_do_not_run(tmp_path: Path, releases: Path) -> None:
    tree = student(tmp_path, "committed")
    marker = tmp_path / "ran"
    git(tree, "config", "core.fsmonitor", f"touch {marker}")
    git(tree, "config", "filter.x.clean", f"touch {marker}")
    put(tree, {".gitattributes": "*.cc filter=x\n"})
    hooks = tree / ".git/hooks/post-checkout"
    hooks.parent.mkdir(exist_ok=True)
    hooks.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hooks.chmod(0o755)
    update(str(releases), tree)
    assert not marker.exists()
