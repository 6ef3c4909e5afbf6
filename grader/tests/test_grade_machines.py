# SPDX-License-Identifier: MIT
"""Grading over several machines, tasks for one vendor, questions, and user programs that hold
tasks; from outside, over a toy tree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from grader.tests import toy_tree
from grader.tests.toy_tree import Tree

SCHEMA = json.loads((toy_tree.ROOT / "grader/judge/schemas/results.json").read_text())

TOY = """
def test_vendor(booted, machine):
    assert machine.vendor in machine.name and f"booted on {machine.name} with" in booted.serial
def test_cpus(booted, machine):
    assert machine.cpus == 4 and "with 4 CPUs" in booted.serial
def test_bochs_only(booted, machine):
    assert machine.name != "intel-bochs", "wanted another machine"
"""


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A toy tree with all answers written."""
    tree = toy_tree.make(tmp_path_factory.mktemp("toy") / "tree")
    tree.solve()
    tree.write("labs/lab1-toy/boot/test_toy.py", toy_tree.BOOT_TEST + TOY)
    return tree


@pytest.fixture
def tree(pattern: Tree) -> Any:
    """The toy tree as it was made; its path, and what it has built, are always the same."""
    kept = pattern.root.with_name("kept")
    shutil.copytree(pattern.root, kept, symlinks=True)
    yield pattern
    shutil.rmtree(pattern.root)
    kept.rename(pattern.root)


def lab(tree: Tree, *more: dict[str, Any], twice: int = 10, **changes: Any) -> None:
    """Writes a lab.json with more tests in its first task, and more besides."""
    data = toy_tree.lab_json() | {"machines": ["amd-qemu", "intel-bochs"], "points": 20 + twice} | changes
    data["tasks"][0]["tests"] += more
    data["tasks"][0]["points"] = twice
    tree.write("labs/lab1-toy/lab.json", json.dumps(data, indent=1))


def boot(name: str, points: int, **more: Any) -> dict[str, Any]:
    return {"name": f"boot:test_toy.py::{name}", "points": points, "checks": "it is right", "read": "#there", **more}


def by_machine(result: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {one["name"]: (one["score"], one["max_score"]) for one in result["extra_data"]["machines"]}


def test_each_machine_has_a_table_and_the_host_cases_run_once(tree: Tree) -> None:
    lab(tree, boot("test_vendor", 2), boot("test_cpus", 3, cpus=4), twice=15)
    result, done = tree.grade("--machine", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    Draft202012Validator(SCHEMA).validate(result)
    assert (result["score"], result["max_score"]) == (35, 35)
    assert by_machine(result) == {"amd-qemu": (35, 35), "intel-bochs": (32, 32)}
    left_out = result["extra_data"]["machines"][1]["left_out"]
    assert left_out == [{"test": "boot:test_toy.py::test_cpus", "points": 3, "why": "needs 4 CPUs"}]
    assert "left out on intel-bochs: 1 test, 3 points, needs 4 CPUs\n" in done.stdout
    head = next(line for line in done.stdout.splitlines() if line.startswith("task"))
    assert head.split() == ["task", "points", "amd-qemu", "intel-bochs", "tests"]
    transcripts = tree.root / result["extra_data"]["transcripts"]
    assert "".join(path.read_text() for path in transcripts.rglob("*.txt")).count("[ RUN      ] Twice.OfThree\n") == 1
    assert not result["extra_data"]["partial"]


def test_one_machine_is_the_labs_first_unless_asked(tree: Tree) -> None:
    lab(tree, boot("test_vendor", 2), boot("test_cpus", 3, cpus=4), twice=15)
    result, _ = tree.grade()
    assert by_machine(result) == {"amd-qemu": (35, 35)}
    result, done = tree.grade("--machine", "intel-bochs")
    assert by_machine(result) == {"intel-bochs": (32, 32)} and result["max_score"] == 32 and done.returncode == 0
    assert "needs 4 CPUs; ./nest grade lab1 --machine amd-qemu runs them" in done.stdout


def test_test_without_points_that_is_selected_alone_decides_the_exit_status(tree: Tree) -> None:
    lab(tree, boot("test_bochs_only", 0))
    result, done = tree.grade("-k", "test_bochs_only")
    assert done.returncode == 0 and result["max_score"] == 0
    result, done = tree.grade("-k", "test_bochs_only", "--machine", "intel-bochs")
    assert done.returncode == 1 and result["max_score"] == 0 and result["extra_data"]["partial"]


def test_failure_on_one_machine_costs_the_points_and_names_it(tree: Tree) -> None:
    lab(tree, boot("test_bochs_only", 2), twice=12)
    result, done = tree.grade("--machine", "all")
    assert done.returncode == 1 and result["score"] == 30
    assert by_machine(result) == {"amd-qemu": (32, 32), "intel-bochs": (30, 32)}
    failed = next(test for test in result["tests"] if test["status"] == "failed")
    assert failed["extra_data"]["machines"] == {"amd-qemu": "passed", "intel-bochs": "failed"}
    assert "machine  intel-bochs; it passes on amd-qemu" in failed["output"]
    assert failed["extra_data"]["alone"].endswith(" --machine intel-bochs")


def test_machine_that_is_missing_or_not_the_labs(tree: Tree) -> None:
    lab(tree)
    Path(tree.root, "grader/machines/no-intel-bochs").touch()
    result, done = tree.grade("--reference", "--machine", "all")
    assert done.returncode == 3 and (result["score"], result["extra_data"]["not_judged"]) == (20, 10)
    assert "intel-bochs is not installed" in done.stdout and "20 of 30 points judged" in done.stdout
    assert "mend: apt-get install intel-bochs" in done.stdout and "Traceback" not in done.stderr
    on_qemu, on_bochs = result["extra_data"]["machines"]
    assert (on_qemu["score"], on_bochs["score"]) == (30, 20)
    done = tree.nest("grade", "lab1", "--machine", "intel-bochs", "-k", "unit")
    assert done.returncode == 0, done.stderr  # nothing is booted
    done = tree.nest("grade", "lab1", "--machine", "pdp-11")
    assert done.returncode == 2 and "the machines are: amd-qemu, intel-bochs, or all" in done.stderr
    (tree.root / "grader/machines/no-intel-bochs").unlink()


def vendors(tree: Tree) -> None:
    """The tree's lab, with two tasks that are for one vendor each."""
    data = toy_tree.lab_json()
    twice, half = data["tasks"]
    data |= {"machines": ["amd-qemu", "intel-bochs"], "counts": "intel", "points": 10}
    twice["vendor"], half["vendor"] = "intel", "amd"
    tree.write("labs/lab1-toy/lab.json", json.dumps(data, indent=1))


def test_tasks_of_the_other_vendor_are_reported_apart(tree: Tree) -> None:
    vendors(tree)
    result, done = tree.grade("--machine", "all")
    assert done.returncode == 0 and (result["score"], result["max_score"]) == (10, 10), done.stdout
    assert by_machine(result) == {"intel-bochs": (10, 10), "amd-qemu": (5, 5)}
    assert [task["counts"] for task in result["extra_data"]["tasks"]] == [True, False]
    assert "apart, for amd: 20 of 20 points; intel counts" in done.stdout
    for test in result["tests"]:
        if test["name"].startswith("boot:"):
            vendor = {"lab1.twice": "intel-bochs", "lab1.half": "amd-qemu"}[test["extra_data"]["task"]]
            assert test["extra_data"]["machines"] == {vendor: "passed"}
    tree.write("vmm/half.cc", toy_tree.HALF.replace("n / 2", "n / 3"))
    result, done = tree.grade("--machine", "all")
    assert done.returncode == 1 and (result["score"], result["max_score"]) == (10, 10)


def test_vendor_that_was_not_asked_for_is_left_out_visibly(tree: Tree) -> None:
    vendors(tree)
    result, done = tree.grade()
    assert by_machine(result) == {"intel-bochs": (10, 10)} and done.returncode == 0
    assert "left out on intel-bochs: 1 test, 5 points, for amd's CPUs; ./nest grade lab1 --machine amd-qemu" in done.stdout
    assert not result["extra_data"]["partial"]


def test_a_challenge_changes_neither_score_nor_status(tree: Tree) -> None:
    data = toy_tree.lab_json() | {"points": 10}
    data["tasks"][1]["points"] = 0
    for test in data["tasks"][1]["tests"]:
        test["points"] = 0
    tree.write("labs/lab1-toy/lab.json", json.dumps(data, indent=1))
    result, done = tree.grade()
    assert (done.returncode, result["score"], result["max_score"]) == (0, 10, 10)
    tree.write("vmm/half.cc", toy_tree.STUB.format("half"))
    result, done = tree.grade()
    assert (done.returncode, result["score"]) == (0, 10) and "TASK" not in done.stdout, done.stdout
    assert "not written" in next(line for line in done.stdout.splitlines() if line.startswith("lab1.half"))
    assert result["extra_data"]["together"] == {"passed": 1, "total": 1, "failed": []}
    result, done = tree.grade("--task", "half")
    assert done.returncode == 1 and "TASK lab1.half" in done.stdout
    tree.write("vmm/half.cc", toy_tree.HALF.replace("n / 2", "n / 3"))
    result, done = tree.grade()
    assert (done.returncode, result["score"]) == (0, 10) and "FAILED unit:Half.OfFour" in done.stdout
    tree.write("vmm/twice.cc", toy_tree.TWICE.replace("n + n", "n"))
    assert tree.grade()[1].returncode == 1


QUESTIONS = {"file": "questions.md", "ask": [
    {"id": "q1", "title": "Why?", "points": 1}, {"id": "q2", "title": "How?", "points": 3}]}
ANSWERS = "# Questions\n\n## q1: Why?\n\n> Say why.\n\nBecause.\n\n## q2: How?\n\n> Say how.\n\n<!-- here -->\n"


def test_questions_are_pending_until_a_person_enters_points(tree: Tree) -> None:
    lab(tree, points=34, questions=QUESTIONS)
    tree.write("labs/lab1-toy/questions.md", ANSWERS)
    result, done = tree.grade()
    assert done.returncode == 0 and (result["score"], result["max_score"]) == (30, 34)
    Draft202012Validator(SCHEMA).validate(result)
    assert result["extra_data"]["pending"] == 1
    assert [one["state"] for one in result["extra_data"]["questions"]] == ["pending", "no answer"]
    assert "no answer to q2 in labs/lab1-toy/questions.md" in done.stdout
    assert "30 of 34 points for your own files, 1 pending" in done.stdout

    awards = str(tree.root / "awards.json")
    done = tree.nest("award", "lab1", awards)
    assert done.returncode == 0 and "Because." in done.stdout and not Path(awards).exists()
    done = tree.nest("award", "lab1", awards, "q1=0.5", "q2=0", "--comment", "and why that?")
    assert done.returncode == 0 and "0.5/1  entered (and why that?)" in done.stdout, done.stderr
    result, done = tree.grade("--awards", awards)
    assert done.returncode == 0 and result["score"] == 30.5 and result["extra_data"]["pending"] == 0
    assert "30.5 of 34 points" in done.stdout

    tree.write("labs/lab1-toy/questions.md", ANSWERS.replace("Because.", "Because of that."))
    result, _ = tree.grade("--awards", awards)
    assert result["score"] == 30 and result["extra_data"]["pending"] == 1
    assert "changed after points were entered" in result["extra_data"]["questions"][0]["note"]


NUMBERS = {"file": "questions.md", "ask": [
    {"id": "q1", "title": "How many?", "points": 3, "kind": "number"}, {"id": "q2", "title": "Why?", "points": 1}]}
NUMBER = "## q1: How many?\n\n> Count.\n\n{}\n\n## q2: Why?\n\nBecause.\n"
MODEL = "solutions-private/labs/lab1-toy/questions.md"


@pytest.mark.parametrize(("answer", "status", "score", "state", "said"), [
    ("12", 0, 33, "right", "right: read as 12"),
    ("13", 1, 30, "wrong", "wrong: read as 13"),
    ("TODO", 1, 30, "no answer", "no answer to q1 in labs/lab1-toy/questions.md"),
    ("12 accesses", 1, 30, "no number", "no number for q1: '12 accesses' is no whole number in decimal digits alone"),
])
def test_a_number_is_graded_where_the_right_one_is(tree: Tree, answer: str, status: int, score: int, state: str,
                                                   said: str) -> None:
    lab(tree, points=34, questions=NUMBERS)
    tree.write("labs/lab1-toy/questions.md", NUMBER.format(answer))
    tree.write(MODEL, NUMBER.format("12"))
    result, done = tree.grade("--for-students")
    Draft202012Validator(SCHEMA).validate(result)
    assert (done.returncode, result["score"], result["extra_data"]["pending"]) == (status, score, 1)
    assert result["extra_data"]["questions"][0]["state"] == state and said in done.stdout
    result, done = tree.grade("--reference")
    assert (done.returncode, result["score"]) == (0, 33)


def test_what_is_handed_in_is_compared_with_this_trees_number_and_no_other(tree: Tree, tmp_path: Path) -> None:
    lab(tree, points=34, questions=NUMBERS)
    tree.write("labs/lab1-toy/questions.md", NUMBER.format("12"))
    tree.write(MODEL, NUMBER.format("12"))
    for name, text in (("vmm/twice.cc", toy_tree.TWICE), ("vmm/half.cc", toy_tree.HALF),
                       ("labs/lab1-toy/questions.md", NUMBER.format("13")), (MODEL, NUMBER.format("13"))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    result, done = tree.grade("--from", str(tmp_path))
    assert result["extra_data"]["questions"][0]["state"] == "wrong" and (done.returncode, result["score"]) == (1, 30)


def test_a_students_tree_says_how_it_read_the_number(tree: Tree) -> None:
    lab(tree, points=34, questions=NUMBERS)
    tree.write("labs/lab1-toy/questions.md", NUMBER.format("13"))
    tree.without_references()
    result, done = tree.grade()
    assert (done.returncode, result["score"], result["extra_data"]["pending"]) == (0, 30, 4)
    assert "read as 13; the right number is where the course is graded" in done.stdout
    tree.write("labs/lab1-toy/questions.md", NUMBER.format("1,000"))
    result, done = tree.grade()
    assert (done.returncode, result["extra_data"]["questions"][0]["state"]) == (1, "no number")


def test_a_right_number_that_is_missing_stops_the_grading(tree: Tree) -> None:
    lab(tree, points=34, questions=NUMBERS)
    tree.write(MODEL, NUMBER.format("twelve"))
    done = tree.nest("grade", "lab1")
    assert done.returncode == 3 and f"{MODEL} has no number for q1: 'twelve'" in done.stderr
    assert "mend: write it below the heading q1" in done.stderr


@pytest.mark.parametrize(("words", "status", "why"), [
    (["q1=2"], 2, "q1 has 1 point: give 0 to 1, not 2"),
    (["q1=-1"], 2, "give 0 to 1"),
    (["q3=1"], 2, "no question 'q3'; its questions are: q1, q2"),
    (["q1=good"], 2, "points are a number"),
    (["q1=nan"], 2, "give 0 to 1"),
    (["q1"], 2, "'q1' is not QUESTION=POINTS"),
])
def test_points_that_cannot_be_entered(tree: Tree, words: list[str], status: int, why: str) -> None:
    lab(tree, points=34, questions=QUESTIONS)
    done = tree.nest("award", "lab1", str(tree.root / "awards.json"), *words)
    assert done.returncode == status and why in done.stderr and "Traceback" not in done.stderr
    assert not (tree.root / "awards.json").exists()


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"lab": "lab1"}', '{"lab": "lab2", "awards": {}}', '{"lab": "lab1", "awards": {"q1": 1}}',
    '{"lab": "lab1", "awards": {"q1": {"points": 99, "answer": ""}}}',
    '{"lab": "lab1", "awards": {"q1": {"points": 1, "answer": "", "comment": 7}}}',
    '{"lab": "lab1", "awards": {"q9": {"points": 1, "answer": ""}}}',
    '{"lab": "lab1", "awards": {"q1": {"points": true, "answer": ""}}}',
])
def test_files_of_points_that_are_none(tree: Tree, text: str) -> None:
    lab(tree, points=34, questions=QUESTIONS)
    tree.write("awards.json", text)
    done = tree.nest("grade", "lab1", "--awards", str(tree.root / "awards.json"), "-k", "unit")
    assert done.returncode in (2, 3) and "awards.json" in done.stderr and "Traceback" not in done.stderr


PROGRAM_BOOT = """
from grader.testkit.plans import VmPlan
def plan(nonce, guests):
    return {"user/toy.elf": guests["user/toy.elf"]}, [VmPlan(nonce, "guest.elf")]
def test_third(booted, guests):
    assert "third 3" in booted.serial, f"seen {booted.serial.splitlines()[-1]}"
    assert guests["user/toy.elf"].startswith(b"\\x7fELF")
"""


def with_program(tree: Tree) -> None:
    """A third task, which is a part of a user program and of no kernel."""
    data = toy_tree.lab_json()
    data["points"] += 3
    data["tasks"].append({
        "id": "lab1.third", "title": "The third", "file": "vmm/program/third.cc", "header": "vmm/toy.hh", "points": 3,
        "handout": "#third", "tests": [{"name": "boot:test_program.py::test_third", "points": 3,
                                        "checks": "third is right", "read": "#there"}]})
    tree.write("labs/lab1-toy/lab.json", json.dumps(data, indent=1))
    tree.write("labs/lab1-toy/boot/test_program.py", PROGRAM_BOOT)
    right = '#include "vmm/toy.hh"\n#ifndef FOR_PROGRAM\n#error not for this\n#endif\nint third() { return 3; }\n'
    for folder in ("", "solutions-private/"):
        tree.write(f"{folder}vmm/program/third.cc", right)
    text = """#include <cstdio>
#include "vmm/toy.hh"
int third();
int main() { std::printf("third %d\\n", third()); return 0; }
"""
    kit = json.loads((tree.root / "build/cmake/kit.json").read_text())
    kit["programs"] = {"user/toy.elf": {
        "compiler": "/usr/bin/g++",
        "kernels": ["nestling"], "tasks": ["vmm/program/third.cc"], "linker": "/bin/sh",
        "compile": ["-std=c++23", f"-I{tree.root}", "-DFOR_PROGRAM"],
        "flags": [str(tree.root / "build/cmake/link.sh")], "objects": [tree.compile("program", text)],
        "archives": [kit["flavours"]["kernel"]["libraries"]["vmm"]]}}
    # The unit tests of this lab do not need the task; those of a lab whose task it is are compiled
    # for the host.
    for flavour in ("asan", "tsan"):
        kit["flavours"][flavour] = kit["flavours"][flavour] | {
            "compile": [*kit["flavours"][flavour]["compile"], "-DFOR_PROGRAM"]}
    tree.write("build/cmake/kit.json", json.dumps(kit))


def test_task_in_a_user_program(tree: Tree) -> None:
    with_program(tree)
    result, done = tree.grade("--reference")
    assert done.returncode == 0 and result["score"] == 33, done.stdout + done.stderr
    tree.write("vmm/program/third.cc", "int third() { return 4; }\n")
    result, done = tree.grade()
    assert result["score"] == 30 and "seen third 4" in done.stdout
    tree.write("vmm/program/third.cc", "int third( { return 4; }\n")
    result, done = tree.grade()
    assert result["score"] == 30 and done.returncode == 1
    assert result["extra_data"]["tasks"][2]["state"] == "does not compile"


def test_stub_in_a_user_program_is_named(tree: Tree) -> None:
    with_program(tree)
    tree.write("vmm/program/third.cc", '#include "vmm/toy.hh"\nint third() { todo("lab1.third"); }\n')
    tree.write("grader/testkit/boot.py", toy_tree.BOOT.replace("stdin=data).stdout", "stdin=data).stderr"))
    result, done = tree.grade()
    assert result["score"] == 30
    assert result["extra_data"]["tasks"][2]["state"] == "not written"
    assert "TASK lab1.third is not written yet: vmm/program/third.cc:2" in done.stdout
