# SPDX-License-Identifier: MIT
"""`nest export`: forms for Gradescope, JUnit and Markdown; what was not judged; hostile words."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from defusedxml import ElementTree

from grader import CANNOT_RUN, DONE
from grader.batch.store import NOT_JUDGED
from grader.course import lab as labs_module
from grader.course.questions import NO_NUMBER, RIGHT, WRONG, QuestionResult
from grader.export import feedback, gradescope
from grader.export.submissions import file_name, file_names, number
from grader.judge import forms, outcome
from grader.judge.outcome import Outcome
from grader.tests.sample_class import (
    BEGUN, MISSING, NASTY, PENDING, hand_in, lab1, opened, results_of, small_class, some, students_form,
)
from grader.verbs.export import command


def export(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.return_value, done.output


# Gradescope


def test_gradescope_has_every_test_with_its_own_points() -> None:
    result = results_of(lab1(), some({"lab1.enter_user": outcome.FAILED}))
    made = gradescope.results_json(students_form(result))
    assert made["score"] == result.score < result.max_score
    assert sum(test["max_score"] for test in made["tests"]) == result.max_score == 20
    assert sum(test["score"] for test in made["tests"]) == result.score
    assert len(made["tests"]) == len(result.tests) and len({test["number"] for test in made["tests"]}) == len(made["tests"])
    assert "18 of 20" in made["output"] and "lab1.enter_user" in made["output"] and "9 of 9 tests failed" in made["output"]
    assert {made[name] for name in ("output_format", "test_output_format", "test_name_format")} == {"text"}


def follower() -> tuple[str, str]:
    """A test with points, and one without that belongs to it."""
    for task in lab1().tasks:
        for test in task.tests:
            if not test.points and task.bearer(test) is not test:
                return task.bearer(test).name, test.name
    raise AssertionError("lab1 has no such test any more")


def test_what_is_lost_through_another_test_is_never_passed() -> None:
    bearer, other = follower()
    result = results_of(lab1(), lambda test: Outcome(outcome.FAILED if test.name == other else outcome.PASSED))
    data = students_form(result)
    assert next(test for test in data["tests"] if test["name"] == bearer)["status"] == "passed"
    made = {test["name"]: test for test in gradescope.results_json(data)["tests"]}
    assert made[bearer]["status"] == "failed" and made[bearer]["score"] == 0
    assert f"lost through {other}" in made[bearer]["output"]
    assert f"lost through {other}" in feedback.markdown(data, "x").replace("\\", "")
    for test in made.values():
        assert test["status"] == "failed" or test["score"] == test["max_score"]


def test_gradescope_hides_hidden_tests_and_says_nothing_of_them() -> None:
    lab = labs_module.find("lab5")
    hidden = [test.name for test in lab.tests if test.hidden]
    if not hidden:
        pytest.skip("a release has no hidden tests")
    result = results_of(lab, lambda test: Outcome(outcome.FAILED if test.hidden else outcome.PASSED, "seen: the secret"))
    made = gradescope.results_json(students_form(result))
    for test in made["tests"]:
        assert (test["visibility"] == "hidden") == (test["name"] in hidden)
        assert test["name"] not in hidden or test["output"] == ""
    assert "the secret" not in json.dumps(made)


def test_gradescope_has_the_questions() -> None:
    lab = labs_module.find("lab2")
    data = students_form(results_of(lab, some({}), (PENDING, "entered", MISSING, PENDING)))
    made = {test["name"][:2]: test for test in gradescope.results_json(data)["tests"][-4:]}
    assert list(made) == ["q1", "q2", "q3", "q4"]
    assert "score" not in made["q1"] and "status" not in made["q1"] and "not read yet" in made["q1"]["output"]
    assert (made["q2"]["score"], made["q2"]["status"]) == (1, "passed")
    assert (made["q3"]["score"], made["q3"]["status"]) == (0, "failed")


def test_exports_have_what_a_number_got() -> None:
    lab = labs_module.find("lab2")
    result = replace(results_of(lab, some({})), questions=tuple(
        QuestionResult(one, state, one.points * (state == RIGHT), note) for one, state, note in zip(
            lab.questions.ask, (RIGHT, WRONG, NO_NUMBER, PENDING),
            ("read as 8", "read as 9", f"'{NASTY}' is no number", "read as 8; not here"))))
    data = students_form(result)
    made = {test["name"][:2]: test for test in gradescope.results_json(data)["tests"][-4:]}
    assert [(made[name].get("score"), made[name].get("status")) for name in ("q1", "q2", "q3", "q4")] == [
        (1, "passed"), (0, "failed"), (0, "failed"), (None, None)]
    assert made["q2"]["output"] == "0 of 1, wrong: read as 9" and made["q3"]["output"].startswith("0 of 1, no number: '")
    assert made["q4"]["output"] == "1 points, not read yet: read as 8; not here"
    page = feedback.markdown(data, "Ann")
    assert r"1 of 1\: read as 8" in page and r"0 of 1, wrong\: read as 9" in page and r"\<img" in page


def test_gradescope_says_apart_of_what_does_not_count() -> None:
    lab = labs_module.find("lab3")
    result = results_of(lab, some({}))
    made = gradescope.results_json(students_form(result))["tests"]
    assert sum(test.get("max_score", 0) for test in made) == result.max_score
    assert sum("reported apart" in test["name"] for test in made) == sum(len(task.tests) for task in result.apart) > 0


def test_what_is_not_judged_has_no_points_on_gradescope() -> None:
    result = results_of(lab1(), some({"boot:": outcome.NOT_JUDGED}))
    made = gradescope.results_json(students_form(result))
    booted = [test for test in made["tests"] if test["name"].startswith("boot:")]
    assert booted and all("score" not in test and "status" not in test for test in booted)
    assert f"{result.not_judged:g} points could not be judged" in made["output"]
    assert "score" not in gradescope.no_verdict("the machine is gone")
    assert gradescope.nothing_to_judge("there is no file", 20)["score"] == 0


# Markdown


def test_feedback_is_a_page_of_plain_words() -> None:
    result = results_of(lab1(), some({"unit:ElfDecode": Outcome(outcome.NOT_BUILT, f"``` {NASTY}", stub="does not compile")}))
    page = feedback.markdown(students_form(result), NASTY)
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", page, flags=re.MULTILINE | re.DOTALL)
    assert "15.25 of 20" in page and "does not compile" in page and "\u202e" not in page
    assert not re.search(r"(?<!\\)[<`]|(?<!\\)\]\(|^# heading", outside, re.MULTILINE)
    assert page.count("# ") >= 5


# JUnit


def test_junit_is_of_the_published_form() -> None:
    """The rules of Apache Ant's JUnit.xsd, which are stricter than those of Jenkins."""
    lab = lab1()
    one, two, three = (task.id for task in lab.tasks[:3])
    result = results_of(lab, some({one: outcome.CRASHED, two: Outcome(outcome.FAILED, NASTY),
                                   three: Outcome(outcome.NOT_JUDGED, "no\nmend: x")}))
    top = ElementTree.fromstring(forms.to_junit(forms.as_dict(result), BEGUN, ""))
    assert top.tag == "testsuites" and not top.attrib
    for index, suite in enumerate(top):
        assert set(suite.attrib) == {"name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors",
                                     "skipped", "time"}
        assert suite.get("id") == str(index) and suite.get("hostname") == "localhost"
        assert suite.get("timestamp") == "2026-11-27T17:00:00"  # in UTC, and without a zone
        cases = suite.findall("testcase")
        assert [child.tag for child in suite] == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        assert all(set(entry.attrib) == {"name", "value"} for entry in suite.find("properties"))
        for case in cases:
            assert set(case.attrib) == {"name", "classname", "time"} and len(case) <= 1
            assert not re.search(r"^\s|\s$|\s\s", case.get("name"))
            for child in case:
                assert child.tag == "skipped" or (child.tag in ("error", "failure") and child.get("type"))
    counts = {suite.get("name"): [int(suite.get(kind)) for kind in ("tests", "errors", "failures", "skipped")] for suite in top}
    for suite in top:
        found = [child.tag for case in suite.findall("testcase") for child in case]
        assert counts[suite.get("name")][1:] == [found.count(kind) for kind in ("error", "failure", "skipped")]
    assert counts[one][1] == counts[one][0] and counts[two][1:] == [0, counts[two][0], 0] and counts[three][3] == counts[three][0]
    listed = {entry.get("name"): entry.get("value") for entry in top[0].find("properties")}
    assert listed["lab"] == "lab1" and listed["seed"] == "7" and listed["points_not_judged"] == f"{result.not_judged:g}"


# Files, and what is left out


@pytest.mark.parametrize("text", ["", ".", "..", "../../etc/passwd", "/etc/passwd", "a/b", "-rf", "a\0b", "a\nb", "CON", "nul.txt",
                                  "x" * 300, NASTY, "\udcff", "é", "a.", "=1+1"])
def test_a_files_name_is_harmless(text: str) -> None:
    name = file_name(text)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) and len(name) < 100 and name != text
    assert not name.endswith(".") and file_name(text) == name


def test_files_names_differ() -> None:
    texts = ["a/b", "a_b", "a.b", "A_B", "Ä", "Ö", "abc"]
    names = file_names(texts)
    assert len({name.lower() for name in names.values()}) == len(texts) and names["abc"] == "abc"


def test_a_number_stays_a_number() -> None:
    assert [number(one) for one in (0, 20.0, 12.125, 1000.125, 0.375)] == ["0", "20", "12.125", "1000.125", "0.375"]


@pytest.mark.parametrize(("form", "files"), [
    ("gradescope", ["1001/results.json", "1002/results.json", "1003/results.json", "1004/results.json", "g1/results.json"]),
    ("junit", ["1001.xml", "1002.xml", "1003.xml", "1004.xml", "g1.xml"]),
    ("markdown", ["1001.md", "1002.md", "1003.md", "1004.md", "2001.md", "2002.md"]),
])
def test_a_class_is_exported_and_nothing_is_invented(tmp_path: Path, form: str, files: list[str]) -> None:
    small_class(tmp_path / "results")
    status, said = export(form, "--results", tmp_path / "results", "--out", tmp_path / "out")
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert made == files and status == CANNOT_RUN
    for word in ("1004: 4.5 of 20 points could not be judged", "1005: the grader failed, which is not the student's fault: the disk is full", "1006: the run ended",
                 "1007: nothing was handed in"):
        assert word in said, said
    text = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert "\x1b" not in text + said
    if form != "junit":
        assert "onerror" not in text.replace("\\", "") or form == "markdown"


def test_one_student_alone_and_all_judged(tmp_path: Path) -> None:
    small_class(tmp_path / "results")
    status, _ = export("gradescope", "--results", tmp_path / "results", "--out", tmp_path / "out", "--student", "1001")
    assert status == DONE
    made = json.loads((tmp_path / "out/1001/results.json").read_text())
    assert made["score"] == 20 and [path.name for path in (tmp_path / "out").iterdir()] == ["1001"]


def test_ids_that_are_paths_stay_inside(tmp_path: Path) -> None:
    with opened(tmp_path / "results") as store:
        for name in ("../up", "..", "a/b", "A/B", "=x"):
            hand_in(store, name, results_of(lab1(), some({})))
        hand_in(store, "half", results_of(lab1(), some({"boot:": outcome.NOT_JUDGED})), state=NOT_JUDGED)
    export("markdown", "--results", tmp_path / "results", "--out", tmp_path / "a/out")
    assert len(list((tmp_path / "a/out").iterdir())) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "results"]
