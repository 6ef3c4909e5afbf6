# SPDX-License-Identifier: MIT
"""`nest test`: parts beside each other, and what it says of each."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from grader.course.lab import ROOT
from grader.verbs import test as verb
from grader.verbs.test import Part


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `nest test` with other parts; its status and its lines."""
    monkeypatch.setattr(verb, "workshop", lambda *_: contextlib.nullcontext())

    def go(*parts: Part, **options: object) -> tuple[int, list[str]]:
        monkeypatch.setattr(verb, "PARTS", parts)
        assert verb.command.callback is not None
        status = verb.command.callback(**{"fast": False, "with_long": False, "only": (), **options})
        return status, capsys.readouterr().out.splitlines()

    return go


def part(name: str, script: str, **rest: int) -> Part:
    return Part(name, name, lambda: [["sh", "-c", script]], **rest)


def test_what_is_beside_begins_first_with_low_priority_and_is_told_last(run, tmp_path: Path) -> None:
    line = tmp_path / "line"
    os.mkfifo(line)
    # Each waits for the other one: one after the other they would never end.
    status, lines = run(part("lint", f"echo hello >{line}; nice", beside=19), part("boots", f"cat {line}"))
    assert status == 0
    assert lines[:3] == ["boots: hello", "lint: 19", "nest test: 2 of 2 parts passed"]
    assert [re.sub(r"^ *\d+ s  ", "", row) for row in lines[3:]] == ["kit", "boots", "lint, beside the others"]


def test_part_alone_is_beside_nothing(run) -> None:
    status, lines = run(part("lint", "nice", beside=19), part("boots", "false"), only=("lint",))
    assert status == 0 and lines[0] == f"lint: {os.nice(0)}"


def test_part_that_fails_shows_what_it_said(run) -> None:
    status, lines = run(part("a", "echo why; exit 3"), part("b", "echo 2 tests passed"))
    assert status == 1
    assert lines[:4] == ["why", "a: FAILED: sh ended with 3", "b: 2 tests passed",
                         "nest test: 1 of 2 parts passed; failed: a"]


def test_commands_of_one_part_may_run_side_by_side(run, tmp_path: Path) -> None:
    line = tmp_path / "line"
    os.mkfifo(line)
    # Each waits for the other one, and both are told of, also where one fails.
    scripts = [f"echo hello >{line}; exit 2", f"cat {line}"]
    status, lines = run(Part("two", "two", lambda: [["sh", "-c", script] for script in scripts], at_once=True))
    assert status == 1 and lines[:2] == ["two: FAILED: sh ended with 2", "two: hello"]


def test_each_file_of_tests_is_in_one_process() -> None:
    dealt = [[word for word in argv if word.endswith(".py")] for argv in verb._pytest(False, 2)]
    assert sorted(dealt[0] + dealt[1]) == sorted(name for name in verb._pytest(False)[0] if name.endswith(".py"))
    assert abs(len(dealt[0]) - len(dealt[1])) < 2 and not set(dealt[0]) & set(dealt[1])


def test_ci_closes_with_the_times_of_its_steps_and_their_parts(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    nest = tmp_path / "nest"
    nest.write_text("#!/bin/sh\ntest $1 != test || echo '     3 s  kit'\ntest $1 != verify\n")
    nest.chmod(0o755)
    done = subprocess.run([tmp_path / ".ci" / "run"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    closing = done.stdout[done.stdout.index("== times"):]
    assert re.sub(r"\d+ s", "N s", closing).splitlines() == [
        "== times", "     N s  ./nest test", "           N s  kit", "     N s  ./nest verify",
        "     N s  ./nest handouts", "     N s  all", "ci: failed: ./nest verify"]


def test_what_wants_the_tree_built_waits_for_it(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built = tmp_path / "built"
    monkeypatch.setattr(verb, "BUILD", part("build", f"touch {built}; echo made"))
    both = part("boots", f"cat {built}; echo 1", beside=0, built=True), part("ctest", f"cat {built}; echo 2", built=True)
    status, lines = run(*both, only=("ctest",))
    assert status == 0 and lines[:3] == ["build: made", "ctest: 2", "nest test: 2 of 2 parts passed"]
    monkeypatch.setattr(verb, "BUILD", part("build", "echo error; false"))
    status, lines = run(verb.BUILD, *both, part("format", "echo good"))
    assert status == 1 and lines[:4] == ["error", "build: FAILED: sh ended with 1", "format: good",
                                         "nest test: 1 of 2 parts passed; failed: build"]
