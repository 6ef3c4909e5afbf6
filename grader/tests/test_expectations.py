# SPDX-License-Identifier: MIT
"""A case that passes has evaluated what it evaluates under every right answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from grader import LabError
from grader.course import expectations
from grader.course.expectations import Expectations
from grader.course.lab import ROOT
from grader.judge import outcome
from grader.judge.recording import common
from grader.judge.unit import run_case
from grader.tests.test_grade import kinds, pattern, tree  # noqa: F401
from grader.tests.toy_tree import Tree

CASES = """
#include <gtest/gtest.h>
#include <csetjmp>
static std::jmp_buf before;
static bool leaves() { std::longjmp(before, 1); }
TEST(Counts, EachTime) {
    for (int i = 0; i < 3; ++i) EXPECT_LT(i, 3) << i;
    EXPECT_EQ(1, 1);
}
TEST(Counts, BothKinds) {
    ASSERT_TRUE(true) << "never";
    if (sizeof(int) == 4) {
        EXPECT_FALSE(false);
    } else {
        EXPECT_TRUE(false);
    }
}
TEST(Counts, WhatWasLeftNot) {
    EXPECT_NE(1, 2);
    if (setjmp(before) == 0) { EXPECT_TRUE(leaves()); }
}
TEST(Counts, NoneAtAll) {}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labs' own main, with cases of this file's."""
    folder = tmp_path_factory.mktemp("expectations")
    (folder / "cases.cc").write_text(CASES)
    subprocess.run(["g++", "-std=c++23", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Werror", f"-I{ROOT}",
                    "-include", str(ROOT / "labs/unit_expectations.hh"), "-o", str(folder / "cases"),
                    str(folder / "cases.cc"), str(ROOT / "labs/unit_main.cc"), "-lgtest", "-lpthread"], check=True)
    return folder / "cases"


@pytest.mark.parametrize(("case", "evaluated"), [
    ("EachTime", (2, 4)), ("BothKinds", (2, 2)), ("WhatWasLeftNot", (1, 1)), ("NoneAtAll", (0, 0))])
def test_what_was_evaluated_is_counted(program: Path, case: str, evaluated: tuple[int, int], tmp_path: Path) -> None:
    def judged(wanted: Expectations | None) -> outcome.Outcome:
        return run_case(program, f"Counts.{case}", task="lab1.one", seed=1, transcript=tmp_path / "t.txt", wanted=wanted)

    places, times = evaluated
    assert judged(None).passed and judged(None).evaluated == evaluated
    assert judged(Expectations(places, times)).passed and judged(Expectations(places, None)).passed
    for other in (Expectations(places + 1, None), Expectations(places, times + 1), Expectations(places + 1, times)):
        assert judged(other).kind == outcome.FORGED


def test_case_that_leaves_expectations_out_is_forged(tree: Tree) -> None:  # noqa: F811
    """Each of the toy's cases says that it evaluates one."""
    folder = tree.root / "labs/lab1-toy"
    cases = "TEST(Twice, OfThree) {}\nTEST(Half, OfFour) {}\nTEST_F(Half, RefusesOdd) {}\n"
    tree.write("labs/lab1-toy/unit/toy_test.cc", cases)
    one = Expectations(1, 1)
    known = {"unit:Twice.OfThree": one, "unit:Half.OfFour": one, "unit:Half.RefusesOdd": one}
    expectations.write(folder, known)
    result, done = tree.grade("--reference")
    assert (done.returncode, result["score"]) == (0, 30), done.stdout
    expectations.write(folder, {**known, "unit:Twice.OfThree": Expectations(2, None)})
    result, done = tree.grade("--reference")
    assert (done.returncode, result["score"]) == (1, 26) and kinds(result, "lab1.twice")["unit:Twice.OfThree"] == "forged"
    assert "they were evaluated at 1 places, and under every right answer it is 2" in done.stdout
    tree.write("labs/lab1-toy/unit/another_test.cc", "TEST(Other, Case) {}\n")
    assert tree.grade("--reference")[0]["score"] == 26
    tree.write("labs/lab1-toy/unit/toy_test.cc", cases + "// of changed tests nothing is known\n")
    assert tree.grade("--reference")[0]["score"] == 30


def test_what_depends_on_the_answer_is_recorded_as_the_least() -> None:
    assert common({(2, 7)}) == Expectations(2, 7)
    assert common({(2, 9), (2, 7)}) == Expectations(2, None)
    assert common({(2, 7), (1, 9)}) == Expectations(1, None)
    assert not Expectations(2, None).missing((2, 5)) and not Expectations(2, None).missing((3, 3))
    assert "at 1 places, and under every right answer it is 2 or more" in Expectations(2, None).missing((1, 9))
    assert "3 were evaluated" in Expectations(2, 7).missing((2, 3)) and Expectations(2, 7).missing((3, 7))
    assert Expectations(1, 1).missing(None)


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    known = {"unit:A.B": Expectations(2, 7), "unit:C/Npt.D": Expectations(2, None)}
    assert expectations.read(tmp_path) == {}
    (tmp_path / "unit").mkdir()
    for name, text in (("a_test.cc", "TEST_F(A,\n       B) {}\n"), ("c_test.cc", "TYPED_TEST(C, D) {}\n")):
        (tmp_path / "unit" / name).write_text(text)
    expectations.write(tmp_path, known)
    assert expectations.read(tmp_path) == known
    of = json.dumps(json.loads((tmp_path / expectations.FILE).read_text())["of"])
    for damaged in ("[", "[]", "{}", f'{{"of": {of}, "cases": {{"unit:A.B": 3}}}}', f'{{"of": {of}, "cases": []}}'):
        (tmp_path / expectations.FILE).write_text(damaged)
        with pytest.raises(LabError, match="--expectations"):
            expectations.read(tmp_path)
    expectations.write(tmp_path, known)
    (tmp_path / "unit/a_test.cc").write_text("TEST_F(A, B) {}\n")
    assert list(expectations.read(tmp_path)) == ["unit:C/Npt.D"]
    (tmp_path / "unit/tables.hh").write_text("// of all of them\n")
    assert expectations.read(tmp_path) == {}
