# SPDX-License-Identifier: MIT
"""Each case has a process of its own, though one program runs them all: what one does is not seen
by the next, and what does not pass in every way does not pass."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader.course.expectations import Expectations
from grader.course.lab import ROOT
from grader.judge import outcome
from grader.judge.together import run_together
from grader.judge.unit import run_case

CASES = """
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>
#include <string>

int spoilt = 0;
int* volatile kept = nullptr;

TEST(S, Passes) { EXPECT_EQ(spoilt, 0); }
TEST(S, Spoils) { EXPECT_EQ(++spoilt, 1); }
TEST(S, SpoilsAgain) { EXPECT_EQ(++spoilt, 1); }
TEST(S, Fails) { EXPECT_EQ(spoilt, 1); }
TEST(S, EndsEarly) { _exit(0); }
TEST(S, Crashes) { *reinterpret_cast<volatile int*>(8) = 1; }
TEST(S, IsKilled) { raise(SIGKILL); }
TEST(S, Overruns) { int* p = new int[4]; kept = p + 4; *kept = 1; delete[] p; }
TEST(S, Leaks) { kept = new int; kept = nullptr; }
TEST(S, SpeaksForTheParent) { for (int fd = 3; fd < 64; ++fd) (void)!write(fd, "0\\n", 2); _exit(0); }
TEST(S, SaysThatItHasEnded) {
    for (int fd = 3; fd < 64; ++fd) (void)!write(fd, "S.SaysThatItHasEnded ended 0 0\\n", 31);
    usleep(50'000);
    _exit(0);  // with a question that nobody has read
}
TEST(S, LooksIntoItsParent) {
    const std::string memory = "/proc/" + std::to_string(getppid()) + "/mem";
    EXPECT_LT(open(memory.c_str(), O_RDONLY), 0);
    EXPECT_LT(ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr), 0);
}
TEST(S, IsAsBefore) { EXPECT_EQ(spoilt, 0); EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1); }
TEST(S, Loops) { while (!kept) {} }
TEST(S, StandsBehindTheLoop) { EXPECT_EQ(spoilt, 0); }
"""
GOOD = {"S.Passes", "S.Spoils", "S.SpoilsAgain", "S.LooksIntoItsParent", "S.IsAsBefore"}
BAD = {"S.Fails", "S.EndsEarly", "S.Crashes", "S.IsKilled", "S.Overruns", "S.Leaks", "S.SaysThatItHasEnded",
       "S.SpeaksForTheParent"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labs' own main under AddressSanitizer, with this file's cases."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "cases.cc").write_text(CASES)
    subprocess.run(["g++", "-std=c++23", "-O1", "-fsanitize=address", "-fno-pie", "-no-pie", f"-I{ROOT}",
                    "-include", str(ROOT / "labs/unit_expectations.hh"), "-o", str(folder / "cases"),
                    str(folder / "cases.cc"), str(ROOT / "labs/unit_main.cc"), "-lgtest", "-lpthread"], check=True)
    return folder / "cases"


def run(program: Path, cases: list[str], **more: object) -> dict[str, outcome.Outcome]:
    """By case what came of it. No number of expectations is known, unless the case says one."""
    wanted = {case: more.pop(case, None) for case in cases}
    return run_together(program, wanted, kind="unit", seed=1, transcript=program.parent / "t" / "a.txt", **more)  # type: ignore[arg-type]


def test_each_case_has_a_process_of_its_own(program: Path) -> None:
    for bad in sorted(BAD):
        found = run(program, [bad, *sorted(GOOD)])
        assert {case: one.kind for case, one in found.items()} == {bad: outcome.FAILED, **dict.fromkeys(GOOD, outcome.PASSED)}


def test_it_is_what_comes_of_each_alone(program: Path, tmp_path: Path) -> None:
    for case in GOOD | BAD:
        alone = run_case(program, case, task="lab1.one", seed=1, transcript=tmp_path / "t" / "a.txt")
        if case != "S.LooksIntoItsParent":  # its parent is another one then
            assert alone.passed == (case in GOOD), alone


def test_leaks_are_looked_for_where_there_may_be_some(program: Path) -> None:
    assert run(program, ["S.Leaks"], may_leak=False)["S.Leaks"].passed
    assert not run(program, ["S.Leaks"])["S.Leaks"].passed


def test_behind_a_case_that_does_not_end_nothing_is_known(program: Path) -> None:
    found = run(program, ["S.Passes", "S.Fails", "S.Loops", "S.StandsBehindTheLoop"])
    assert found["S.Passes"].passed and found["S.Fails"].kind == outcome.FAILED
    assert set(found) == {"S.Passes", "S.Fails"}, "the others are given more time, alone"
    assert "--- ended with 0 ---" in (program.parent / "t" / "a.txt").read_text(), "within its own limit, and not that of all"


def test_expectations_are_counted_for_each_case(program: Path) -> None:
    found = run(program, ["S.Passes", "S.IsAsBefore"], **{
        "S.Passes": Expectations(1, 1), "S.IsAsBefore": Expectations(1, 1)})
    assert found["S.Passes"].passed and found["S.Passes"].evaluated == (1, 1)
    assert not found["S.IsAsBefore"].passed, "it evaluates two"


def test_program_that_does_not_start_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "p").chmod(0o755)
    assert run(tmp_path / "p", ["S.Passes"]) == {}
