# SPDX-License-Identifier: MIT
"""The checks of the tree find what they are there to find, and nothing in a good tree."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grader.checks import ROOT, arrows, labs, prose, run_all


def write(root: Path, name: str, text: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def texts(root: Path) -> list[str]:
    return [str(finding) for finding in run_all(root)]


def test_this_tree_is_clean() -> None:
    assert texts(ROOT) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("kern/mm/a.cc", '#include "vmm/vm.hh"\n', "a.cc:1: includes vmm/vm.hh: kern may know kern"),
        ("kern/mm/a.hh", "\n# include <vmm/vm.hh>\n", "a.hh:2: includes vmm/vm.hh"),
        ("kern/arch/x86_64/a.S", '#include "guest/a.h"\n', "includes guest/a.h"),
        ("vmm/a.cc", '#include "guest/a.hh"\n', "vmm may know vmm and kern"),
        ("guest/a.cc", '#include "vmm/a.hh"\n', "guest may know guest and kern"),
        ("kern/a.cc", '#include "../vmm/a.hh"\n', "path from the root"),
        ("vmm/a.cc", '#include "solutions-private/vmm/b.cc"\n', "not a solution's"),
        ("labs/lab1-x/unit/a_test.cc", '#include "solutions-private/vmm/b.cc"\n', "not a solution's"),
        ("solutions-private/kern/a.cc", '#include "vmm/a.hh"\n', "kern may know kern"),
        ("solutions-private/mutants/lab1/x/kern/a.cc", '#include "vmm/a.hh"\n', "kern may know kern"),
        ("kern/proc/a.cc", '#include "kern/arch/x86_64/traps.hh"\n', "only kern/arch/x86_64, kern/tests/boot"),
        ("vmm/a.cc", '#include "kern/arch/x86_64/registers.hh"\n', "know it; use the headers of kern/arch"),
        ("guest/a.cc", '#include "kern/arch/x86_64/registers.hh"\n', "know it; use the headers of kern/arch"),
        ("vmm/a.cc", "namespace cr0 {\n", "a.cc:1: defines bits of a register: they are in kern/arch/x86.hh"),
        ("guest/probes/a.S", "\n#define CR0_PG 0x80000000\n", "a.S:2: defines bits of a register"),
        ("kern/user/a.cc", '#include "kern/proc/env.hh"\n', "a program in kern/user may know kern/user,"),
        ("vmm/user/program/a.cc", '#include "vmm/vm.hh"\n', "a program in vmm/user/program may know"),
        ("vmm/vm.cc", '#include "vmm/svm/vmcb.hh"\n', "only vmm/svm knows"),
        ("vmm/svm/a.cc", '#include "vmm/vmx/vmcs.hh"\n', "only vmm/vmx knows"),
        ("kern/mm/a.cc", 'void f() { asm volatile("hlt"); }\n', "a.cc:1: inline assembly"),
        ("kern/mm/a.hh", 'int x;\nvoid f() { __asm__("hlt"); }\n', "a.hh:2: inline assembly"),
        ("vmm/svm/a.cc", 'void f() { asm("vmrun"); }\n', "inline assembly"),
        ("solutions-private/vmm/a.cc", 'void f() { asm("hlt"); }\n', "inline assembly"),
        ("labs/lab1-x/unit/a_test.cc", 'void f() { asm("hlt"); }\n', "inline assembly"),
        ("kern/mm/a.S", "hlt\n", "assembly stands only in"),
        ("grader/judge/a.py", "x = 'lab5'\n", "a.py:1: knows 'lab5'"),
        ("grader/judge/a.py", "def grade_lab5(): pass\n", "knows 'lab5'"),
        ("grader/a.py", "", "a.py:1: stands outside the rooms of grader/"),
        ("grader/attic/a.py", "", "attic is no room"),
        ("grader/judge/a.py", "\nfrom grader.verbs.grade import x\n", "a.py:2: imports grader.verbs.grade"),
        ("grader/bench/a.py", "def f():\n    from grader.verbs import grade\n", "a.py:2: imports grader.verbs"),
        ("grader/evidence/a.py", "import grader.machines\n", "a.py:1: imports grader.machines"),
        ("grader/machines/a.py", "from grader import testkit\n", "a.py:1: imports grader.testkit"),
        ("labs/lab1-a/boot/test_a.py", "from grader.evidence.vms import x\n", "a lab may know testkit only"),
        ("grader/machines/a.py", "def (:\n", "is not Python"),
    ],
)
def test_wrong_arrow_is_found(tmp_path: Path, name: str, text: str, words: str) -> None:
    write(tmp_path, name, text)
    found = [str(finding) for finding in arrows.check(tmp_path)]
    assert len(found) == 1 and words in found[0], found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vmm/a.cc", '#include "kern/a.hh"\n#include <array>\n'),
        ("guest/a.cc", '#include "kern/a.hh"\n'),
        ("vmm/svm/a.cc", '#include "vmm/svm/vmcb.hh"\n#include "kern/arch/x86_64/a.hh"\n'),
        ("kern/tests/boot/a.cc", '#include "kern/arch/x86_64/a.hh"\n'),
        ("kern/user/a.cc", '#include "kern/proc/syscall_numbers.hh"\n#include <array>\n'),
        ("vmm/tests/svm_test.cc", '#include "vmm/svm/vmcb.hh"\n#include "gtest/gtest.h"\n'),
        ("kern/arch/x86_64/a.cc", 'void f() { asm("hlt"); }\n'),
        ("kern/arch/x86.hh", "namespace cr0 {\n"),
        ("vmm/x86.hh", "namespace cr0 = kern::arch::x86::cr0;\n"),
        ("kern/arch/x86_64/a.h", "#define CR0_KERNEL (CR0_PG | CR0_PE)\n"),
        ("kern/a.cc", '// asm\n/* asm */ const char* text = "asm"; auto raw = R"x(asm)x";\n'),
        ("vmm/svm/a.S", "hlt\n"),
        ("guest/probes/a.S", "hlt\n"),
        ("grader/judge/a.py", '"""Such as lab5."""\n# lab5\nlabel5 = "labour"\n'),
        ("grader/judge/a.py", "from grader import CannotRun\nfrom grader.build.kit import Kit\n"),
        ("grader/__init__.py", ""),
        ("labs/lab1-a/boot/test_a.py", "from grader.testkit.boot import run_boot\n"),
        ("grader/tests/a.py", "x = 'lab5'\n"),
    ],
)
def test_right_arrow_is_let_through(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, name, text)
    assert list(arrows.check(tmp_path)) == []


def good_lab() -> dict[str, Any]:
    def test(name: str, points: int) -> dict[str, Any]:
        return {"name": name, "points": points, "checks": "a rule", "read": "#rule"}

    return {
        "id": "lab1", "name": "x", "title": "X", "points": 6, "builds_on": [],
        "machines": ["amd-qemu"],
        "tasks": [
            {
                "id": "lab1.one", "title": "One", "file": "kern/one.cc", "header": "kern/one.hh",
                "points": 6, "handout": "#one",
                "tests": [
                    test("unit:One.Works", 1), test("race:OneRace.Works", 2),
                    test("boot:test_one.py::test_works", 3),
                ],
            }
        ],
    }  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one lab in which all is well."""
    folder = "labs/lab1-x"
    write(tmp_path, f"{folder}/lab.json", json.dumps(good_lab(), indent=1))
    write(tmp_path, f"{folder}/handout.md", "# X {#x}\n## One {#one}\n### Rule {#rule}\n")
    write(tmp_path, f"{folder}/unit/one_test.cc", "TEST_F(One, Works) {}\nTEST(x\n")
    write(tmp_path, f"{folder}/unit/one_race_test.cc", "TEST(OneRace,\n     Works) {}\n")
    write(tmp_path, f"{folder}/boot/test_one.py", "def plan(nonce): ...\ndef test_works(booted): ...\n")
    for name in ("kern/one.cc", "kern/one.hh", "solutions-private/kern/one.cc"):
        write(tmp_path, name)
    for name in ("mutants/lab1/a.cc", "variants/lab1/b.cc", "hidden/c.cc"):
        write(tmp_path, f"solutions-private/{name}")
    return tmp_path


def test_good_lab_has_no_finding(tree: Path) -> None:
    assert [str(finding) for finding in labs.check(tree)] == []


def test_a_question_for_a_number_has_its_right_one(tree: Path) -> None:
    asked = {"file": "questions.md", "ask": [{"id": "q1", "title": "?", "points": 1, "kind": "number"}]}
    data = good_lab()
    write(tree, "labs/lab1-x/lab.json", json.dumps(data | {"points": data["points"] + 1, "questions": asked}, indent=1))
    model = "solutions-private/labs/lab1-x/questions.md"
    assert any(f"its right numbers are not in {model}" in str(one) for one in labs.check(tree))
    write(tree, model, "## q1\n\nabout 8\n")
    assert any(f"{model} has no number for q1: 'about 8'" in str(one) for one in labs.check(tree))
    write(tree, model, "## q1\n\n8\n")
    assert [str(one) for one in labs.check(tree)] == []


def test_release_without_solutions_has_no_finding(tree: Path) -> None:
    subprocess.run(["rm", "-r", tree / "solutions-private"], check=True)
    assert [str(finding) for finding in labs.check(tree)] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kern/one.cc", "lab1.one: there is no file kern/one.cc"),
        ("kern/one.hh", "there is no file kern/one.hh"),
        ("solutions-private/kern/one.cc", "there is no file solutions-private/kern/one.cc"),
        ("labs/lab1-x/unit/one_test.cc", "there is no test unit:One.Works"),
        ("labs/lab1-x/unit/one_race_test.cc", "there is no test race:OneRace.Works"),
        ("labs/lab1-x/boot/test_one.py", "there is no test boot:test_one.py::test_works"),
    ],
)
def test_missing_file_is_found(tree: Path, name: str, words: str) -> None:
    (tree / name).unlink()
    found = texts(tree)
    assert len(found) == 1 and words in found[0] and "lab.json:" in found[0], found


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("unit/two_test.cc", "\nTEST(Two, Works) {}\n", "two_test.cc:2: unit:Two.Works belongs to no"),
        ("unit/two_test.cc", "TEST_P(One, All) {}\n", "TEST_P makes cases that a lab.json cannot name"),
        ("unit/two_test.cc", "TYPED_TEST(Two, Works) {}\n", "unit:Two.Works belongs to no"),
        ("unit/two_test.cc", "TEST(One, Works) {}\n", "appears twice"),
        ("unit/one_test.cc", "// TEST\n", "there is no test unit:One.Works"),
        ("boot/test_two.py", "def test_x(booted): ...\n", "boot:test_two.py::test_x belongs to no"),
        ("boot/test_two.py", "def (:\n", "is not Python"),
        ("handout.md", "# One {#one}\n", "has no anchor #rule"),
        ("handout.md", "# Rule {#rule}\n", "has no anchor #one"),
    ],
)
def test_disagreement_is_found(tree: Path, name: str, text: str, words: str) -> None:
    write(tree, f"labs/lab1-x/{name}", text)
    assert any(words in finding for finding in texts(tree)), texts(tree)


def typed_lab(*names: str) -> dict[str, Any]:
    """The good lab, with these typed cases besides."""
    lab = good_lab()
    tests = lab["tasks"][0]["tests"]
    tests += [tests[0] | {"name": f"unit:Typed/{name}", "points": 0} for name in names]
    return lab


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["A.One", "A.Two", "B.One", "B.Two"], ""),
        (["A.One", "A.Two", "B.One"], "unit:Typed/B.Two belongs to no task"),
        (["A.One", "A.Two", "A.Three"], "there is no test unit:Typed/A.Three"),
    ],
)
def test_typed_case_is_named_for_each_type(tree: Path, names: list[str], words: str) -> None:
    write(tree, "labs/lab1-x/lab.json", json.dumps(typed_lab(*names), indent=1))
    write(tree, "labs/lab1-x/unit/typed_test.cc", "TYPED_TEST(Typed, One) {}\nTYPED_TEST(Typed, Two) {}\n")
    found = texts(tree)
    assert len(found) == (1 if words else 0) and words in "".join(found), found


def test_race_test_in_the_wrong_program_is_pointed_out(tree: Path) -> None:
    folder = tree / "labs/lab1-x/unit"
    (folder / "one_race_test.cc").rename(folder / "two_test.cc")
    assert any("there is unit:OneRace.Works" in finding for finding in texts(tree))


@pytest.mark.parametrize("name", ["kern/two.cc", "README.md", "kern/mutants/a.cc", "kern/.hidden"])
def test_stranger_among_the_solutions_is_found(tree: Path, name: str) -> None:
    write(tree, f"solutions-private/{name}")
    assert any(f"solutions-private/{name}:1: is no task's file" in one for one in texts(tree))


def test_points_that_do_not_add_up_are_found(tree: Path) -> None:
    lab = good_lab()
    lab["tasks"][0]["tests"][0]["points"] = 2
    write(tree, "labs/lab1-x/lab.json", json.dumps(lab, indent=1))
    assert any("add up to 7" in finding for finding in texts(tree))


def test_a_mutant_without_seen(tree: Path) -> None:
    write(tree, "solutions-private/mutants/lab1/one/vmm/a.cc", "")
    write(tree, "solutions-private/mutants/lab1/two/vmm/a.cc", "")
    write(tree, "solutions-private/mutants/lab1/two/SEEN", "other: words\n")
    assert [one for one in texts(tree) if "SEEN" in one] == [
        "solutions-private/mutants/lab1/one:1: has no file SEEN: what is a student with this mistake told?"]


def test_malformed_lab_has_file_and_line(tree: Path) -> None:
    write(tree, "labs/lab1-x/lab.json", '{\n "id": "lab1",\n oops\n}\n')
    assert any(finding.startswith("labs/lab1-x/lab.json:3: not JSON") for finding in texts(tree))


def test_command_ends_with_one_where_something_is_found(tree: Path) -> None:
    command = [sys.executable, "-m", "grader.checks", str(tree)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    write(tree, "kern/two.cc", '#include "vmm/vm.hh"\n')
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == "kern/two.cc:1: includes vmm/vm.hh: kern may know kern only\n"


@pytest.mark.parametrize(("text", "line"), [
    ("inline int count;\n", 1), ("\n\ninline Bytes kept{4};\n", 3), ("struct A {\n    static inline int made = 0;\n};\n", 2),
    ("inline int next() {\n    static int last = 0;\n    return ++last;\n}\n", 2),
    ("inline std::atomic<const int*> seen{nullptr};\n", 1)])
def test_variable_that_an_answer_would_double_is_found(tmp_path: Path, text: str, line: int) -> None:
    write(tmp_path, "kern/mm/a.hh", text)
    assert texts(tmp_path) == [f"kern/mm/a.hh:{line}: a header's variable that can change: an answer would get one of its own. "
                               "Define it in a .cc file"]


@pytest.mark.parametrize("text", [
    "inline constexpr int most = 4;\n", "inline const char* const name = nullptr;\n", "inline int f(int a) { return a; }\n",
    "namespace a {\ninline namespace b {}\n}\n", "extern int shared;\n", "// inline int count;\n",
    "inline int f() {\n    static constexpr int table[]{1, 2};\n    return table[0];\n}\n"])
def test_what_an_answer_may_have_twice_is_left_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path, "vmm/a.hh", text)
    assert texts(tmp_path) == []


LONG = "word " * 20 + "end"


@pytest.mark.parametrize(("name", "text", "line"), [
    ("README.md", f"{LONG}\n", 1), ("docs/a.md", f"| a table |\n\n{LONG}\n", 3), ("handouts/a.md", f"```\nx\n```\n{LONG}\n", 4),
    ("labs/lab1-x/handout.md", f"\\dot \"x\"\n{LONG}\n\\enddot\n{LONG}\n", 4), ("labs/lab1-x/questions.md", f"# 1\n\n> {LONG}\n", 3),
    ("grader/a.py", f'"""Words.\n{LONG}\n"""\n', 2), ("kern/a.py", f'x = 1\n{"#" + LONG[1:]}\n', 2),
    ("vmm/a.S", f"nop\n{'//' + LONG[2:]}\n", 2), ("cmake/a.cmake", f"{'#' + LONG[1:]}\n", 1),
])
def test_a_long_line_of_prose_is_found(tmp_path: Path, name: str, text: str, line: int) -> None:
    write(tmp_path, name, text)
    assert [str(one) for one in prose.check(tmp_path)] == [
        f"{name}:{line}: a line of prose has {len(LONG) + 2 * ('>' in text)} columns; wanted: at most 100"]


@pytest.mark.parametrize(("name", "text"), [
    ("docs/a.md", f"{LONG[:100]}\n"), ("docs/a.md", f"| {LONG} |\n"), ("docs/a.md", f"- a list\n\n  ```sh\n  {LONG}\n  ```\n"),
    ("labs/lab1-x/handout.md", f"\\dot\n{LONG}\n\\enddot\n"), ("labs/lab1-x/questions.md", f"# 1\n\n> Why?\n\n{LONG}\n"),
    ("elsewhere/a.md", f"{LONG}\n"), ("grader/a.py", f'x = """\n{LONG}\n"""\n'), ("vmm/a.py", f"x = 1  # {LONG}\n"),
    ("vmm/a.S", f"nop  // {LONG}\n"),
])
def test_what_may_be_long_is_let_through(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, name, text)
    assert list(prose.check(tmp_path)) == []
