# SPDX-License-Identifier: MIT
"""`nest verify` from outside, over a toy tree: which cells are wrong, and on which machines rows
are judged."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest

from grader.build.answers import Answers
from grader.course.lab import Task, find
from grader.judge.engine import cases_of
from grader.judge.matrix import Row, cases_of_row, plan
from grader.judge.outcome import Outcome
from grader.judge.scoring import score_task
from grader.judge.seen import Seen
from grader.judge.together import BESIDE_OTHERS
from grader.tests import toy_tree
from grader.tests.toy_tree import HALF, TWICE, Tree

MUTANTS = "solutions-private/mutants/lab1"
VARIANTS = "solutions-private/variants/lab1"
# Half of 84 is right only on one machine; nothing else asks for it.
WRONG_ON_BOCHS = HALF.replace("n / 2;", "n == 84 && elsewhere() ? 1 : n / 2;")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A toy tree whose kernel knows where it runs."""
    tree = toy_tree.make(tmp_path_factory.mktemp("toy") / "tree")
    tree.compile("kernel", toy_tree.KERNEL.replace("int main(", "const char* machine;\nint main(").replace(
        "words) {", "words) { machine = words[1];"))
    data = toy_tree.lab_json() | {"machines": ["amd-qemu", "intel-bochs"]}
    tree.write("labs/lab1-toy/lab.json", json.dumps(data, indent=1))
    return tree


@pytest.fixture
def tree(pattern: Tree) -> Any:
    """The toy tree as it was made; its path is always the same."""
    kept = pattern.root.with_name("kept")
    shutil.copytree(pattern.root, kept, symlinks=True)
    yield pattern
    shutil.rmtree(pattern.root)
    kept.rename(pattern.root)


def verify(tree: Tree, *argv: str) -> tuple[int, dict[str, Any], str]:
    """The exit status, the rows by name, and what was printed."""
    out = tree.root / "out.json"
    done = tree.nest("verify", "lab1", "--json", str(out), *argv)
    assert out.exists(), done.stdout + done.stderr
    return done.returncode, {row["name"]: row for row in json.loads(out.read_text())[0]["rows"]}, done.stdout


def test_right_answers_and_wrong_ones(tree: Tree) -> None:
    tree.write(f"{MUTANTS}/squares/vmm/twice.cc", TWICE.replace("n + n", "n * n"))
    tree.write(f"{VARIANTS}/times/vmm/twice.cc", TWICE.replace("n + n", "2 * n"))
    tree.write(f"{VARIANTS}/shift/vmm/half.cc", HALF.replace("n / 2", "n >> 1"))
    status, rows, text = verify(tree)
    assert status == 0, text
    assert set(rows) == {"skeleton", "reference", "mutant squares", "variant times", "variant shift",
                         "variant times + variant shift"}
    machines = {row["name"]: row["machines"] for row in rows.values()}
    assert machines.pop("variant times + variant shift") == ["amd-qemu"]
    assert machines == dict.fromkeys(machines, ["amd-qemu", "intel-bochs"])
    assert rows["skeleton"]["cells"]["lab1.half"]["score"] == 0
    assert set(rows["mutant squares"]["cells"]) == {"lab1.twice"}
    assert "0 wrong cells" in text


def test_boots_of_one_row_do_not_share_a_folder(tree: Tree) -> None:
    """The row of the stubs has other answers for each task, and may boot them beside each other."""
    status, _, text = verify(tree)
    assert status == 0, text
    run = max((tree.root / "build/transcripts/lab1-verify").iterdir())
    folders = [path for path in run.glob("*/*") if path.is_dir()]
    assert len(folders) == 6, folders  # two stubs, one reference; two machines


def test_a_variant_of_several_tasks(tree: Tree) -> None:
    tree.write(f"{VARIANTS}/both/vmm/twice.cc", TWICE.replace("n + n", "2 * n"))
    tree.write(f"{VARIANTS}/both/vmm/half.cc", HALF.replace("n / 2", "n >> 1"))
    status, rows, text = verify(tree, "-k", "variant")
    assert status == 0 and set(rows) == {"variant both", "variant both, together"}, text
    tree.write(f"{MUTANTS}/both/vmm/twice.cc", TWICE)
    tree.write(f"{MUTANTS}/both/vmm/half.cc", HALF)
    done = tree.nest("verify", "lab1")
    assert done.returncode == 3 and "mutants/lab1/both should hold one file, at the path of a task" in done.stderr
    tree.write(f"{VARIANTS}/both/vmm/third.cc", "")
    shutil.rmtree(tree.root / MUTANTS)
    done = tree.nest("verify", "lab1")
    assert done.returncode == 3 and "variants/lab1/both should hold files at the paths of tasks" in done.stderr


def test_a_mutant_is_noticed_if_one_machine_notices_it(tree: Tree) -> None:
    tree.write(f"{MUTANTS}/there/vmm/half.cc", WRONG_ON_BOCHS)
    status, rows, text = verify(tree)
    assert status == 0 and rows["mutant there"]["cells"]["lab1.half"]["failed"] == ["boot:test_toy.py::test_half"], text
    status, rows, text = verify(tree, "--machine", "amd-qemu", "-k", "there")
    assert status == 1 and rows["mutant there"]["machines"] == ["amd-qemu"]
    assert "mutant there, lab1.half: no test notices the mutant" in text


def test_a_mutant_is_judged_up_to_the_first_test_that_notices_it(tree: Tree) -> None:
    """What fails on the host is not booted; `--full` and a constant answer are judged by every
    test."""
    tree.write(f"{MUTANTS}/squares/vmm/twice.cc", TWICE.replace("n + n", "n * n"))
    tree.write(f"{MUTANTS}/constant/vmm/twice.cc", TWICE.replace("n + n", "4"))
    status, rows, text = verify(tree)
    row, constant = rows["mutant squares"], rows["mutant constant"]
    assert not row["full"] and len(row["cells"]["lab1.twice"]["failed"]) == 1, text
    assert "noticed" in next(line for line in text.splitlines() if line.startswith("mutant squares"))
    assert constant["full"] and len(constant["cells"]["lab1.twice"]["failed"]) > 1
    folders = sorted(path.parent.name for path in tree.root.glob("build/transcripts/lab1-verify/*/*/test_toy"))
    assert "mutant-constant-amd-qemu" in folders and "mutant-squares-amd-qemu" not in folders
    _, rows, _ = verify(tree, "--full")
    full = rows["mutant squares"]
    assert full["full"] and set(row["cells"]["lab1.twice"]["failed"]) < set(full["cells"]["lab1.twice"]["failed"])


def test_the_student_is_told_what_seen_says(tree: Tree) -> None:
    """What is checked, what was seen and the hint count, whatever the case and the white space."""
    tree.write(f"{MUTANTS}/squares/vmm/twice.cc", TWICE.replace("n + n", "n * n"))
    for words in ("twice  3", "TO ITSELF", "unit:Twice.OfThree is right", "9", "no word | twice(3)"):
        tree.write(f"{MUTANTS}/squares/SEEN", f"other: {words}\n")
        status, _, text = verify(tree, "-k", "squares")
        assert status == 0, text
    tree.write(f"{MUTANTS}/squares/SEEN", "other: half of three | 4711\n")
    status, rows, text = verify(tree, "-k", "squares")
    assert status == 1 and "unit:Twice.OfThree does not say 'half of three | 4711'" in text
    assert "add it to itself" in text and "    checks  unit:Twice.OfThree is right" in text
    for nonsense in ("", "slip", "sleep: words", "slip:", "slip: a\nother: b"):
        tree.write(f"{MUTANTS}/squares/SEEN", nonsense)
        done = tree.nest("verify", "lab1")
        assert done.returncode == 3 and "squares/SEEN: wants one line" in done.stderr


def test_points_in_proportion(tree: Tree) -> None:
    """OfThree is 4 of 10 points and OfZero 1. Tests on the host alone tell that a slip costs too
    much; that an answer that is wrong at heart keeps too much is told by all tests."""
    tree.write(f"{MUTANTS}/zero/vmm/twice.cc", TWICE.replace("n + n", "n ? n + n : 1"))
    tree.write(f"{MUTANTS}/zero/SEEN", "slip: twice(0)\n")
    tree.write(f"{MUTANTS}/squares/vmm/twice.cc", TWICE.replace("n + n", "n * n"))
    tree.write(f"{MUTANTS}/squares/SEEN", "slip: twice(3)\n")
    tree.write(f"{MUTANTS}/booted/vmm/twice.cc", TWICE.replace("n + n", "n == 21 ? 1 : n + n"))
    tree.write(f"{MUTANTS}/booted/SEEN", "slip: wanted twice 42\n")
    status, rows, text = verify(tree, "-k", "mutant")
    assert status == 1
    wrong = {name: row["cells"]["lab1.twice"]["wrong"] for name, row in rows.items()}
    assert wrong == {"mutant zero": "", "mutant squares": "a slip loses 4 of 10 points, more than a quarter",
                     "mutant booted": "a slip loses 5 of 10 points, more than a quarter"}, text
    assert "<= 6/10" in text and "slip: Twice.OfThree" in text
    for name, words in (("zero", "0"), ("squares", "3"), ("booted", "42")):
        tree.write(f"{MUTANTS}/{name}/SEEN", f"heart: {words}\n")
    status, rows, text = verify(tree, "-k", "mutant")
    assert status == 0, text
    _, rows, text = verify(tree, "-k", "mutant", "--full")
    wrong = {name: row["cells"]["lab1.twice"]["wrong"] for name, row in rows.items()}
    assert wrong == {"mutant zero": "an answer that is wrong at heart keeps 9 of 10 points, more than half",
                     "mutant squares": "", "mutant booted": ""}, text


def test_of_cases_that_fail_together_the_first_alone_is_run_alone(tree: Tree) -> None:
    tree.write(f"{MUTANTS}/none/vmm/twice.cc", TWICE.replace("n + n", "n * n + 1"))
    tree.write(f"{MUTANTS}/constant/vmm/twice.cc", TWICE.replace("n + n", "7"))
    status, rows, text = verify(tree, "-k", "mutant")
    assert status == 0, text
    alone = {path.relative_to(path.parents[1]).as_posix() for path in tree.root.glob("build/transcripts/lab1-verify/*/*/unit*")}
    assert alone == {"mutant-none/unit-Twice.OfThree.txt", "mutant-constant/unit-Twice.OfThree.txt",
                     "mutant-constant/unit-Twice.OfZero.txt"}
    tree.write(f"{MUTANTS}/none/SEEN", "other: twice 3\n")
    status, rows, text = verify(tree, "-k", "none", "--seen")
    assert rows["mutant none"]["cells"]["lab1.twice"]["failed"] == ["unit:Twice.OfThree", "unit:Twice.OfZero"], text


def test_what_looks_wrong_because_one_case_spoils_the_next_is_run_alone(tree: Tree) -> None:
    data = json.loads((tree.root / "labs/lab1-toy/lab.json").read_text())
    for test, points in zip(data["tasks"][0]["tests"], (1, 4)):
        test["points"] = points
    tree.write("labs/lab1-toy/lab.json", json.dumps(data, indent=1))
    tree.write(f"{MUTANTS}/spoils/vmm/twice.cc", TWICE.replace(
        "return n + n;", "static bool spoiled; if (n == 3) { spoiled = true; return 7; } return spoiled ? 1 : n + n;"))
    tree.write(f"{MUTANTS}/spoils/SEEN", "slip: twice 3\n")
    status, rows, text = verify(tree, "-k", "spoils")
    assert status == 0 and rows["mutant spoils"]["cells"]["lab1.twice"]["failed"] == ["unit:Twice.OfThree"], text


@pytest.mark.parametrize(("kind", "lost", "left", "whole", "is_open"), [
    ("slip", 1, 1, True, False), ("slip", 1, 2, True, True), ("slip", 3, 2, True, False), ("slip", 1, 0, True, False),
    ("heart", 3, 1, True, False), ("heart", 3, 2, True, True), ("heart", 5, 2, True, False), ("heart", 3, 2, False, False),
    ("other", 1, 9, True, False)])
def test_whether_points_are_open(kind: str, lost: int, left: int, whole: bool, is_open: bool) -> None:
    assert Seen(kind, ("words",)).is_open(lost, 10, left, whole=whole) == is_open


def test_which_tests_of_variants_are_judged() -> None:
    lab = find("lab8")
    rows = {len(row.varied): row for row in plan(lab) if row.varied}
    able = {task.id for task in lab.tasks if any(test.kind == "explore" for test in task.tests)}
    for row in (rows[1], rows[2]):
        cases = cases_of_row(lab, row)
        own = {task.id for task in lab.tasks if task.file in row.varied}
        assert len(own) == len(row.varied) < len({case.test.task for case in cases}) == len(lab.tasks)
        explored = {case.test.task for case in cases if case.test.kind == "explore"}
        assert explored == (able & own if row.crossed else able)
        assert not any(case.one_report for case in cases), "of a right answer each failure is looked at"
        row.varied = frozenset()
        assert {case.test.task for case in cases_of_row(lab, row) if case.test.kind == "explore"} == able, "--full"


def test_which_tests_of_a_mutant_can_wait() -> None:
    """An explored case waits for those of one thread, and is needed where they say nothing, where
    it stands before the first that fails, and where its points decide."""
    lab = find("lab8")
    task = next(one for one in lab.tasks if any(test.kind == "explore" for test in one.tests))
    units = [test for test in task.tests if test.kind == "unit" and test.points]
    explored = next(test for test in task.tests if test.kind == "explore")

    def row(kind: str, failed: str, given: Task = task, said: str = "") -> Row:
        made = Row("mutant", "mutant", {}, full=False, seen=Seen(kind, ("words",)), all_on_host=kind != "other",
                   cases=cases_of(given, Answers(()), "mutant", lab.machines))
        found = {test.name: Outcome("failed", said) if test.name == failed else Outcome("passed") for test in given.tests if test.kind == "unit"}
        cell = score_task(given, found, elsewhere="", alone="")
        assert cell is not None
        made.cells[given.id] = cell
        return made

    assert row("slip", units[0].name, said=BESIDE_OTHERS).believes
    assert not row("slip", units[0].name, said="what it says alone").believes, "that is no reason to judge it again"
    assert row("slip", "none").is_open(task)
    assert not row("slip", units[0].name).is_open(task)
    assert not row("other", units[0].name).is_open(task)
    first = replace(task, tests=(explored, *(test for test in task.tests if test is not explored)))
    assert row("slip", units[0].name, first).is_open(first)
    assert not row("other", units[0].name, first).is_open(first)
    dear = replace(task, tests=tuple(replace(test, points=9.0) if test is explored else test for test in task.tests))
    assert row("slip", units[0].name, dear).is_open(dear)


def test_what_seen_could_say(tree: Tree) -> None:
    tree.write(f"{MUTANTS}/zero/vmm/twice.cc", TWICE.replace("n + n", "n ? n + n : 1"))
    done = tree.nest("verify", "lab1", "-k", "mutant", "--seen")
    assert "mutant zero, lab1.twice: keeps <= 9/10; SEEN: none\n    unit:Twice.OfZero\n    checks  unit" in done.stdout
    done = tree.nest("verify", "lab1", "-k", "mutant", "--seen", "--full")
    assert "mutant zero, lab1.twice: keeps 9/10; SEEN: none" in done.stdout


def test_a_mutant_that_is_noticed_is_not_built_for_threads(tree: Tree) -> None:
    kit = json.loads((tree.root / "build/cmake/kit.json").read_text())
    threads = kit["flavours"]["tsan"]
    kit["flavours"]["tsan"] = {**threads, "compile": [*threads["compile"], "-DTHREADS"]}
    tree.write("build/cmake/kit.json", json.dumps(kit))
    only_there = "#ifdef THREADS\n#error built\n#endif\n"
    tree.write(f"{MUTANTS}/doubles/vmm/half.cc", only_there + HALF.replace("n / 2", "2 * n"))
    tree.write(f"{MUTANTS}/right/vmm/half.cc", only_there + HALF)
    status, rows, text = verify(tree, "-k", "mutant")
    doubles, right = (rows[f"mutant {name}"]["cells"]["lab1.half"]["failed"] for name in ("doubles", "right"))
    assert "unit:Half.OfFour" in doubles and "race:Half.Race" not in doubles, text
    assert "race:Half.Race" in right, text


def test_mutants_are_judged_where_the_lab_says(tree: Tree) -> None:
    tree.write(f"{MUTANTS}/there/vmm/half.cc", WRONG_ON_BOCHS)
    data = json.loads((tree.root / "labs/lab1-toy/lab.json").read_text()) | {"mutants_on": ["amd-qemu"]}
    tree.write("labs/lab1-toy/lab.json", json.dumps(data, indent=1))
    status, rows, _ = verify(tree)
    assert status == 1 and rows["mutant there"]["machines"] == ["amd-qemu"]
    assert rows["reference"]["machines"] == ["amd-qemu", "intel-bochs"]


def test_a_reference_that_fails_on_one_machine(tree: Tree) -> None:
    tree.write("solutions-private/vmm/half.cc", WRONG_ON_BOCHS)
    status, _, text = verify(tree)
    assert status == 1 and "reference, lab1.half: a right answer loses points" in text
    assert "boot:test_toy.py::test_half: failed on intel-bochs" in text


# Half of five, as the seed wants it.
LUCKY = HALF.replace("return n % 2", "if (n == 10 && luck() % 2) return 7; return n % 2")


def test_what_depends_on_luck_is_found(tree: Tree) -> None:
    done = tree.nest("verify", "lab1", "--flaky", "3", "--seed", "4")
    assert done.returncode == 0 and "lab1: 1 rows 3 times, 0 verdicts that differ" in done.stdout, done.stdout
    tree.write("solutions-private/vmm/half.cc", LUCKY)
    done = tree.nest("verify", "lab1", "--flaky", "3", "--seed", "4")
    assert done.returncode == 1
    assert "reference, lab1.half: race:Half.Race: passed 2 times (seed 4), failed 1 times (seed 5)" in done.stdout


def test_a_mutant_that_is_noticed_by_luck(tree: Tree) -> None:
    """Rows of tasks that know no concurrency are repeated only by their names."""
    tree.write(f"{MUTANTS}/lucky/vmm/half.cc", LUCKY)
    tree.write(f"{MUTANTS}/squares/vmm/twice.cc", TWICE.replace("n + n", "n * n"))
    done = tree.nest("verify", "lab1", "--flaky", "2", "--seed", "4")
    assert done.returncode == 1 and "lab1: 2 rows 2 times, 2 verdicts" in done.stdout, done.stdout
    assert "mutant lucky, lab1.half: the mutant: not noticed 1 times (seed 4), noticed 1 times (seed 5)" in done.stdout
    done = tree.nest("verify", "lab1", "--flaky", "2", "--seed", "4", "-k", "squares")
    assert done.returncode == 0 and "lab1: 1 rows 2 times, 0 verdicts" in done.stdout, done.stdout
