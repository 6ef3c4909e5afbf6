# SPDX-License-Identifier: MIT
"""What students get of a grading that staff made: no word that a program printed, and of hidden
tests the name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from grader.judge import for_students, forms, outcome, results
from grader.judge.outcome import Outcome
from grader.tests.test_grade import pattern, tree  # noqa: F401
from grader.tests.test_results import graded
from grader.tests.toy_tree import TWICE, Tree

SECRET = "55 48 89 e5"
LINE = "labs/lab1-toy/unit/one_test.cc"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with the files of a lab's tests."""
    monkeypatch.setattr(for_students, "ROOT", tmp_path)
    for name, text in ((LINE, "one\nEXPECT_EQ(twice(3),\n          6) << why(\n    1);\nfour\n"),
                       ("labs/lab1-toy/boot/test_toy.py", "one\n    assert seen == wanted\nthree\n"),
                       ("labs/lab2-other/unit/a.cc", "of another lab\n"), ("vmm/one.cc", "an answer\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def seen(found: Outcome, **more: object) -> dict[str, object]:
    """The test in the students' form."""
    result = graded(found)
    task = result.tasks[0]
    tests = tuple(replace(one, test=replace(one.test, **more)) for one in task.tests)
    lab = replace(result.lab, folder=Path("labs/lab1-toy"),
                  tasks=(replace(task.task, tests=tuple(one.test for one in tests)),))
    whole = replace(result, lab=lab, tasks=(replace(task, tests=tests),), for_staff=(SECRET,), let_passed=(SECRET,),
                    notes=(SECRET,), together=results.Together(0, 1, (("boot:a", SECRET),)))
    data = forms.validated(for_students.as_dict(whole))
    assert SECRET not in json.dumps(data) and SECRET in forms.to_json(whole)
    return data["tests"][0]


@pytest.mark.parametrize("kind", [outcome.FAILED, outcome.CRASHED, outcome.TIMEOUT, outcome.FORGED])
@pytest.mark.usefixtures("root")
def test_expectation_is_quoted_from_the_labs_own_file(kind: str) -> None:
    found = seen(Outcome(kind, f"{SECRET}\n{LINE}:2: Failure\nExpected equality\n  {SECRET}\n"))
    assert found["extra_data"]["detail"] == (
        f"{kind}\n{LINE}:2:\nEXPECT_EQ(twice(3),\n          6) << why(\n    1);")
    assert "checks: a rule" in found["output"] and "alone: run" in found["output"]


@pytest.mark.usefixtures("root")
def test_expectation_of_a_booted_test_is_quoted() -> None:
    found = seen(Outcome(outcome.FAILED, f"seen {SECRET}\nat test_toy.py:2\nthe end of its serial line:\n{SECRET}"))
    assert found["extra_data"]["detail"] == (
        "failed\nlabs/lab1-toy/boot/test_toy.py:2:\n    assert seen == wanted")


@pytest.mark.parametrize("forged", [
    "labs/lab1-toy/../../vmm/one.cc", "labs/lab2-other/unit/a.cc", "vmm/one.cc", "labs/lab1-toy/unit/none.cc",
    "/etc/passwd", "labs/lab1-toy/unit",
])
@pytest.mark.usefixtures("root")
def test_words_that_point_elsewhere_show_nothing(forged: str) -> None:
    assert seen(Outcome(outcome.FAILED, f"{SECRET}\n{forged}:1: Failure"))["extra_data"]["detail"] == "failed"


def test_what_is_said_before_anything_runs_stays() -> None:
    result = graded(Outcome(outcome.NOT_BUILT, "vmm/one.cc does not compile:\nvmm/one.cc:3: error: ';'",
                            stub="does not compile"))
    detail = for_students.as_dict(result)["tests"][0]["extra_data"]["detail"]
    assert "vmm/one.cc:3: error: ';'" in detail


def test_no_verdict_says_nothing_of_the_graders_machine() -> None:
    found = seen(Outcome(outcome.NOT_JUDGED, f"{SECRET}\nmend: sudo something"))
    assert "sudo" not in json.dumps(found) and "not your fault" in found["output"]


@pytest.mark.usefixtures("root")
def test_of_a_hidden_test_there_is_the_name() -> None:
    words = dict.fromkeys(("checks", "hint", "read"), "a trap of staff's")
    found = seen(Outcome(outcome.FAILED, f"{SECRET}\n{LINE}:2: Failure"), hidden=True, **words)
    assert found["name"] == "unit:Suite.Case0" and found["visibility"] == "hidden"
    assert "trap" not in json.dumps(found) and "EXPECT" not in json.dumps(found) and found["output"] == ""


def test_command_writes_it(tree: Tree) -> None:  # noqa: F811
    tree.solve()
    tree.write("vmm/twice.cc", TWICE.replace("return n + n", f'say("{SECRET}\\n"); return n'))
    result, _ = tree.grade("--for-students")
    assert result["score"] == 21 and SECRET not in (tree.root / "out.json").read_text()
    booted = next(test for test in result["tests"] if test["name"] == "boot:test_toy.py::test_twice")
    assert "assert seen == [\"twice 42\"]" in booted["output"]
    done = tree.nest("grade", "lab1", "--for-students")
    assert done.returncode == 2 and "--json" in done.stderr
