# SPDX-License-Identifier: MIT
"""Points, texts and forms of a result; the matrix's rules; the cache and the schedule."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from grader.build.answers import Answers
from grader.build.cache import Cache, digest
from grader.build.schedule import Schedule
from grader.course.lab import ROOT, Lab, Task, Test
from grader.judge import forms, judging, outcome, report, results, scoring
from grader.judge.engine import Case
from grader.judge.matrix import Row
from grader.judge.outcome import Outcome, shortened, stub_reached
from grader.judge.booted import last_words
from grader.judge.scoring import score_task
from grader.judge.unit import case_text, sanitizer_report


def task(*points: float, negative: tuple[int, ...] = ()) -> Task:
    tests = tuple(Test(f"unit:Suite.Case{i}", "lab1.one", n, i in negative, "a rule", "", "#there")
                  for i, n in enumerate(points))
    return Task("lab1.one", "One", "vmm/one.cc", "vmm/one.hh", int(sum(points)), "#one", tests)


def scored(one: Task, *kinds: str) -> results.TaskResult:
    found = {test.name: Outcome(kind) for test, kind in zip(one.tests, kinds) if kind}
    result = score_task(one, found, elsewhere="reference", alone="run {}")
    assert result is not None
    return result


P, F, N = outcome.PASSED, outcome.FAILED, outcome.NOT_JUDGED
W = outcome.NOT_WRITTEN


@pytest.mark.parametrize(("points", "negative", "kinds", "score"), [
    ((5, 3, 2), (), (P, P, P), 10),
    ((5, 3, 2), (), (F, P, P), 5),
    ((5, 3, 2), (2,), (F, P, P), 3),     # the gate fails: the negative one does not count
    ((5, 3, 2), (0,), (P, F, P), 2),     # the first positive is the second test
    ((5, 3, 2), (0,), (P, P, F), 8),
    ((5, 3, 2), (2,), ("", P, P), 5),    # the gate was not selected: nothing to say against it
    ((5, 0, 2), (), (P, F, P), 2),       # without points of its own it takes those of the one before
    ((5, 0, 0, 2), (), (P, P, P, P), 7),
    ((5, 0, 0, 2), (), (P, P, F, P), 2),
    ((5, 3, 0), (1, 2), (F, P, P), 0),
    ((5, 3, 2), (2,), (outcome.TIMEOUT, outcome.CRASHED, P), 0),
    ((0.25, 0, 1.5, 0.125, 0.125), (), (P, P, F, P, P), 0.5),
])
def test_points(points: tuple[float, ...], negative: tuple[int, ...], kinds: tuple[str, ...], score: float) -> None:
    assert scored(task(*points, negative=negative), *kinds).score == score


@pytest.mark.parametrize(("points", "negative", "kinds", "score", "not_judged"), [
    ((5, 3, 2), (), (P, N, P), 7, 3),
    ((5, 3, 2), (), (N, N, F), 0, 8),
    ((5, 0, 2), (), (P, N, P), 2, 5),    # what belongs to a test is unknown: so are its points
    ((5, 0, 2), (), (F, N, P), 2, 0),    # but a failure is known
    ((5, 0, 0), (), (P, N, F), 0, 0),
    ((5, 3, 2), (2,), (N, P, P), 3, 7),  # the gate is unknown: so is what counts only with it
    ((5, 3, 2), (2,), (N, P, F), 3, 5),
])
def test_what_could_not_be_judged(points: tuple[int, ...], negative: tuple[int, ...], kinds: tuple[str, ...],
                                  score: int, not_judged: int) -> None:
    found = scored(task(*points, negative=negative), *kinds)
    assert (found.score, found.not_judged) == (score, not_judged)


def test_over_machines_a_failure_is_more_than_no_verdict() -> None:
    passed, failed, none = Outcome(P), Outcome(F), Outcome(N)
    assert scoring.over_machines([passed, none]).kind == N
    assert scoring.over_machines([passed, none, failed]).kind == F


def test_an_unstable_test_stays_failed() -> None:
    found = Outcome(F, "seen 1, wanted 2").replayed(Outcome(P))
    assert not found.passed and found.unstable
    assert not Outcome(F).replayed(Outcome(F)).unstable


def test_over_machines_one_failure_is_enough() -> None:
    passed, failed = Outcome(P, machine="amd-qemu"), Outcome(F, "seen 1", machine="intel-bochs")
    assert scoring.over_machines([passed]) is not failed and scoring.over_machines([passed]).passed
    both = scoring.over_machines([passed, failed])
    assert both.kind == F and both.machine == "intel-bochs" and both.detail == "seen 1"
    assert scoring.over_machines([passed, replace(failed, unstable=True)]).unstable


def test_command_that_runs_a_test_alone_names_its_machine() -> None:
    one = task(1, 1)
    found = {one.tests[0].name: Outcome(F, machine="amd-qemu"), one.tests[1].name: Outcome(F, machine="intel-bochs")}
    result = score_task(one, found, elsewhere="", alone="run {}", usual="amd-qemu")
    assert result is not None
    assert [test.alone for test in result.tests] == ["run Suite.Case0", "run Suite.Case1 --machine intel-bochs"]


def test_nothing_selected_is_no_result() -> None:
    assert score_task(task(1), {}, elsewhere="", alone="") is None


def test_stub_lines() -> None:
    line = "panic: TODO lab5.load_page: vmm/pager/load_page.cc:12 is not written yet"
    mine = stub_reached(f"a\n{line}\nb", "lab5.load_page")
    assert mine is not None and mine.kind == outcome.NOT_WRITTEN
    assert mine.detail == "lab5.load_page is not written yet: vmm/pager/load_page.cc:12"
    other = stub_reached(line, "lab5.load_phdr")
    assert other is not None and other.kind == outcome.BLOCKED and "blocked by lab5.load_page" in other.detail
    assert stub_reached("TODO write this", "lab5.load_page") is None


def test_long_and_wild_text_is_cut_sensibly() -> None:
    text = shortened("\n".join(f"line {i}" for i in range(1000)), lines=9)
    assert text.splitlines() == [*(f"line {i}" for i in range(6)), "[... 991 lines are left out ...]",
                                 *(f"line {i}" for i in range(997, 1000))]
    assert shortened("x" * 1000, columns=10) == "x" * 9 + "…"
    assert shortened("\x1b[2Jgone\0") == "\\x1b[2Jgone\\x00"


@pytest.mark.parametrize(("kind", "name", "kinds", "words"), [
    ("skeleton", "skeleton", (W, W), ""),
    ("skeleton", "skeleton", (W, F), ""),
    ("skeleton", "skeleton", (F, F), "a stub should be 'not written', not 'graded'"),
    ("skeleton", "skeleton", (outcome.REFUSED, outcome.REFUSED), "a stub should be 'not written'"),
    ("skeleton", "skeleton", (W, P), "a stub gets points"),
    ("reference", "reference", (P, P), ""),
    ("reference", "reference", (P, F), "a right answer loses"),
    ("variant", "variant a", (P, F), "a right answer loses"),
    ("mutant", "mutant a", (P, F), ""),
    ("mutant", "mutant a", (P, P), "no test notices"),
    ("mutant", "mutant a", (outcome.NOT_BUILT, outcome.NOT_BUILT), "proves nothing"),
    ("mutant", "mutant constant", (F, P), "always the same"),
    ("mutant", "mutant constant", (F, F), ""),
    ("mutant", "mutant a", (P, N), "could not judge"),
    ("skeleton", "skeleton", (F, N), "could not judge"),
])
def test_wrong_cells(kind: str, name: str, kinds: tuple[str, ...], words: str) -> None:
    one = task(6, 4)
    row = Row(name, kind, {}, {one.id: scored(one, *kinds)})
    assert words in row.wrong(one) if words else not row.wrong(one)


@pytest.mark.parametrize(("kind", "kinds", "words"), [
    ("skeleton", (W, F), ""),
    ("skeleton", (W, P), "a stub should be 'not written'"),
    ("skeleton", (P, P), "a stub passes all tests"),
    ("reference", (P, P), ""),
    ("reference", (P, F), "a right answer fails a test"),
    ("variant", (F, P), "a right answer fails a test"),
    ("mutant", (P, F), ""),
    ("mutant", (P, P), "no test notices"),
])
def test_wrong_cells_of_a_task_without_points(kind: str, kinds: tuple[str, ...], words: str) -> None:
    one = task(0, 0)
    row = Row(kind, kind, {}, {one.id: scored(one, *kinds)}, cases=[Case(test, Answers(()), kind) for test in one.tests])
    assert words in row.wrong(one) if words else not row.wrong(one)
    assert row.share(one) == ("passes" if kinds == (P, P) else "fails")


def test_cache_keeps_finds_and_trims(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    keys = [digest("thing", i) for i in range(4)]
    assert len(set(keys)) == 4 and cache.get(keys[0]) is None
    for age, key in zip((9000, 8000, 7000, 10), keys):
        with cache.workplace() as place:
            (place / "made").write_bytes(b"x" * 100)
            path = cache.put(key, place / "made")
        assert not place.exists()
        os.utime(path, (time.time() - age,) * 2)
    assert cache.get(keys[0]) is not None  # and with that it is the newest
    cache.trim(200, 3600)
    assert [cache.get(key) is not None for key in keys] == [True, False, False, True]
    cache.trim(0, 3600)  # both were used just now: another grading may want them
    assert cache.get(keys[0]) is not None


def test_schedule_runs_after_what_it_waits_for_and_by_rank() -> None:
    schedule = Schedule(1)
    order: list[str] = []
    gate = threading.Event()
    first = schedule.submit(lambda: gate.wait(10))
    low = schedule.submit(lambda: order.append("low"), rank=5)
    high = schedule.submit(lambda: order.append("high"), rank=1)
    after = schedule.submit(lambda a, b: order.append(f"after {a} {b}"), low, high, rank=-1)
    gate.set()
    after.result(10)
    assert first.result() and order == ["high", "low", "after None None"]

    def fail() -> None:
        raise ValueError("no")

    never = schedule.submit(lambda _: order.append("never"), schedule.submit(fail))
    with pytest.raises(ValueError, match="no"):
        never.result(10)
    schedule.close(lambda: None)
    assert schedule.submit(lambda: 1).cancelled() and "never" not in order


def graded(*found: Outcome, together: results.Together | None = None) -> results.Results:
    """The result of a task whose tests have one point each."""
    one = task(*[1] * len(found))
    lab = Lab("lab1", "toy", "A toy", len(found), (), ("intel-bochs",), "nestling", (one,), Path("labs/lab1-toy"))
    result = score_task(one, {test.name: end for test, end in zip(one.tests, found)}, elsewhere="own", alone="run {}")
    assert result is not None
    here = results.MachineResult("amd-qemu", (result,), ())
    return results.Results(lab, "own", 1, False, (result,), (here,), together, "there", 1.0, notes=("odd",))


def shown(*found: Outcome, together: results.Together | None = None) -> list[str]:
    """The lines that a person sees of it."""
    return list(report.plain(graded(*found, together=together)))


def test_fractions_of_points_are_shown_as_people_write_them() -> None:
    one = task(0.5, 0.25, 1.25)
    found = {test.name: Outcome(kind) for test, kind in zip(one.tests, (F, P, P))}
    cell = score_task(one, found, elsewhere="own", alone="run {}")
    assert cell is not None
    whole = graded(Outcome(P))
    here = results.MachineResult("amd-qemu", (cell,), ())
    whole = replace(whole, lab=replace(whole.lab, tasks=(one,)), tasks=(cell,), machines=(here,))
    lines = list(report.plain(whole))
    assert any(line.startswith("lab1.one") and "1.5/2" in line.split() for line in lines), lines
    assert any("0.5 points" in line for line in lines) and any("1.5 of 2 points for" in line for line in lines)
    assert forms.validated(forms.as_dict(whole))["score"] == 1.5


def test_a_lab_without_points_is_told_by_its_tests() -> None:
    one = task(0, 0)
    whole = graded(Outcome(P))
    for kinds, status in (((P, F), 1), ((P, P), 0)):
        cell = scored(one, *kinds)
        here = [results.MachineResult(name, (cell,), ()) for name in ("amd-qemu", "intel-bochs")]
        found = replace(whole, lab=replace(whole.lab, points=0, tasks=(one,)), tasks=(cell,), machines=tuple(here))
        lines = list(report.plain(found))
        passed = sum(kind == P for kind in kinds)
        assert found.status == status and any(f"{passed} of 2 tests pass for your own files" in line for line in lines)
        assert ["lab1.one", "One", "-", "-", "-", f"{passed}/2"] in [line.split() for line in lines], lines
        assert ["all", "-", "-", "-", f"{passed}/2"] in [line.split() for line in lines], lines
        assert not any(" 0 points" in line or "of 0" in line for line in lines), lines
        data = forms.validated(forms.as_dict(found))
        assert data["max_score"] == 0 and f"{passed} of 2 tests pass" in data["output"]
    stub = replace(scored(one, outcome.NOT_WRITTEN, outcome.NOT_WRITTEN), note="lab1.one is not written yet")
    lines = list(report.plain(replace(whole, lab=replace(whole.lab, points=0, tasks=(one,)), tasks=(stub,))))
    assert "TASK lab1.one is not written yet" in lines


def test_no_verdict_is_neither_right_nor_wrong_and_says_so_everywhere() -> None:
    none = Outcome(N, "no machine\nmend: get one")
    assert graded(Outcome(P)).status == 0 and graded(Outcome(F)).status == 1
    assert graded(Outcome(P), none).status == 3 and graded(Outcome(F), none).status == 3
    lines = shown(Outcome(P), none, none)
    assert "NOT JUDGED unit:Suite.Case1" in lines and "  likewise unit:Suite.Case2" in lines
    assert "           mend: get one" in lines and "note: odd" in lines
    assert any(line.startswith("all") and line.endswith("2 not judged") for line in lines)
    assert any("1 of 3 points for your own files, 1 of 3 points judged: what is missing is this system's fault" in line for line in lines)
    data = forms.validated(forms.as_dict(graded(Outcome(P), none, none)))
    assert (data["score"], data["max_score"], data["extra_data"]["not_judged"]) == (1, 3, 2)
    assert data["extra_data"]["notes"] == ["odd"] and "2 not judged" in data["output"]
    junit = forms.to_junit(forms.as_dict(graded(Outcome(P), none, Outcome(F))), "2026-11-27T10:00:00")
    assert 'failures="1" errors="0" skipped="1"' in junit and junit.count("<skipped ") == 1


def test_failures_that_look_alike_are_shown_once_and_named() -> None:
    lines = shown(Outcome(F, "at 0x10: bad"), Outcome(F, "seen 1"), Outcome(F, "at 0x20: bad"), Outcome(P))
    titles = [line for line in lines if line.startswith("FAILED")]
    assert titles == ["FAILED unit:Suite.Case0", "FAILED unit:Suite.Case1"]
    assert lines.count("  likewise unit:Suite.Case2") == 1 and not any("Case3" in line for line in lines)
    panic = "panic on CPU 1: no\nbacktrace:\n  "
    lines = shown(Outcome(F, f"no a\n{panic}a"), Outcome(F, f"no b\n{panic}b"), Outcome(F, "no b\npanic on CPU 1: yes"))
    assert "  likewise unit:Suite.Case1" in lines and "FAILED unit:Suite.Case2" in lines


def test_what_fails_only_together_is_said_once() -> None:
    both = results.Together(1, 3, (("boot:a", "no"), ("boot:b", "no")))
    lines = shown(Outcome(P), together=both)
    assert "  only together: boot:a and 1 more: no" in lines and "transcripts: there" in lines
    assert "amd-qemu is not one of lab1's machines (intel-bochs): what fails there may be its fault, not yours" in lines


def test_a_case_that_fails_in_a_loop_is_cut() -> None:
    text = "\n".join(["noise", "[ RUN      ] A.B", *("a.cc:1: Failure\nseen" for _ in range(9)), "[  FAILED  ] A.B"])
    assert case_text(text).splitlines() == ["a.cc:1: Failure", "seen"] * 3 + ["... and 6 more failures, see the log"]
    four = text.replace("a.cc:1: Failure\nseen\n" * 5, "")
    assert case_text(four).splitlines()[-1] == "... and 1 more failure, see the log"


def test_a_sanitizers_report_is_cut_to_what_a_student_can_use() -> None:
    frame = f"#{{}} 0x55d42c6dc420 in vmm::f(int) {ROOT}/vmm/f.cc:9 (e3b8+0x13)"
    text = sanitizer_report("\n".join([
        "=" * 40, "==2==ERROR: AddressSanitizer: use-after-poison on address 0x7f00 at pc 0x55 bp 0x7f sp 0x7e",
        "READ of size 1 at 0x7f00 thread T0", "    #0 0x55d4 in std::equal /usr/include/c++/12/bits/x.h:93",
        *(f"    {frame.format(i)}" for i in range(1, 40)), f"    #40 0x1 in main {ROOT}/labs/unit_main.cc:57", "",
        "Address 0x7f00 is a wild pointer inside of access range of size 0x1.", "SUMMARY: AddressSanitizer: x"]))
    assert text.splitlines() == [
        "ERROR: AddressSanitizer: use-after-poison (of a frame that is not in use) on address 0x7f00",
        "READ of size 1 at 0x7f00 thread T0", "in vmm::f(int) vmm/f.cc:9"]
    assert sanitizer_report("nothing") == ""


def test_files_of_the_kit_are_named_from_the_root() -> None:
    text = sanitizer_report("\n".join(["../../vmm/g.hh:3:5: runtime error: shift", "    #0 0x1 in f() ./vmm/f.cc:9"]))
    assert text.splitlines() == ["vmm/g.hh:3:5: runtime error: shift", "in f() vmm/f.cc:9"]


def test_last_words_of_a_panic_are_what_it_says_and_where() -> None:
    head, registers, trace = [f"line {i}" for i in range(30)], ["rip 1", "rax 2"], ["backtrace:", "  #0 f"]
    panic = "panic on CPU 0: no"
    assert last_words("\n".join([*head, panic, *registers, *trace])) == [panic, *trace]
    assert last_words("\n".join([*head, panic])) == [panic]
    assert last_words("\n".join(head)) == head[-12:] and last_words("") == []


def test_the_report_of_a_race_names_the_variable_at_once() -> None:
    frame = f"    #{{}} 0x55d42c6dc420 in vmm::f(int) {ROOT}/vmm/f{{}}.cc:9 (e3b8+0x13)\n"
    report = ("WARNING: ThreadSanitizer: data race (pid=1)\n  Write of size 8 at 0x7f00 by thread T2:\n"
              + "".join(frame.format(i, i) for i in range(30)) + "  Previous write of size 8 at 0x7f00 by thread T1:\n"
              + frame.format(0, 0) + "{}\nSUMMARY: x\n")
    others = report.format("  Location is stack of main thread.")
    text = sanitizer_report(others * 3 + report.format("  Location is global 'buffer' of size 4096 at 0x55d0") + others)
    assert text.splitlines()[1].startswith("Location is global 'buffer' of size 4096"), text
    assert "Previous write" in text and "vmm/f0.cc:9" in text and "vmm/f29.cc" not in text, text
    assert "ThreadSanitizer: data race" in sanitizer_report(others * 3)


def test_a_keyword_that_matches_nothing_is_told_what_is_like_it() -> None:
    names = [f"unit:Suite.Case{number}" for number in range(40)] + ["boot:test_x.py::test_reads_a_page"]
    assert judging.nearest("read_page", names)[0] == "boot:test_x.py::test_reads_a_page"
    assert len(judging.nearest("nonsense", names)) == judging.SHOWN_NAMES
