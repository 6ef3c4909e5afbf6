# SPDX-License-Identifier: MIT
"""The grade verb from outside, over a toy tree: scores, blame, bad answers, bad trees,
interruption."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from grader.confine import sandbox
from grader.tests import toy_tree
from grader.tests.toy_tree import HALF, TWICE, Tree

needs_isolation = pytest.mark.skipif(
    not sandbox.is_isolated(), reason="bubblewrap has no namespaces here: limits hold, isolation does not")

SCHEMA = json.loads((toy_tree.ROOT / "grader/judge/schemas/results.json").read_text())


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A toy tree that tests copy."""
    return toy_tree.make(tmp_path_factory.mktemp("toy") / "tree")


@pytest.fixture
def tree(pattern: Tree) -> Any:
    """The toy tree as it was made; its answers are stubs. Its path is always the same."""
    kept = pattern.root.with_name("kept")
    shutil.copytree(pattern.root, kept, symlinks=True)
    yield pattern
    subprocess.run(["chmod", "-R", "u+w", str(pattern.root)], check=True)
    cache = pattern.root / "build" / "cache"
    if cache.exists() and not (kept / "build" / "cache").exists():
        shutil.move(cache, kept / "build" / "cache")
    shutil.rmtree(pattern.root)
    kept.rename(pattern.root)


def kinds(result: dict[str, Any], task: str) -> dict[str, str]:
    return {test["name"]: test["extra_data"]["outcome"] for test in result["tests"]
            if test["extra_data"]["task"] == task}


def scores(result: dict[str, Any]) -> dict[str, float]:
    return {task["id"]: task["score"] for task in result["extra_data"]["tasks"]}


def test_reference_gets_all(tree: Tree) -> None:
    result, done = tree.grade("--reference")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (result["score"], result["max_score"]) == (30, 30)
    assert result["extra_data"]["together"] is None
    Draft202012Validator(SCHEMA).validate(result)
    boots = list((tree.root / result["extra_data"]["transcripts"]).glob("boots-*"))
    assert len(boots) == 1  # one module, one set of answers: one boot


@pytest.mark.parametrize(("flavour", "score"), [("kernel", 20), ("asan", 14)])
def test_each_flavour_has_its_own_compiler(flavour: str, score: int, tree: Tree) -> None:
    tree.solve()
    kit = json.loads((tree.root / "build/cmake/kit.json").read_text())
    kit["flavours"][flavour]["compiler"] = "/bin/false"
    tree.write("build/cmake/kit.json", json.dumps(kit))
    result, done = tree.grade()
    assert result["score"] == score and "the compiler ended with 1" in done.stdout


def test_stubs_get_nothing_and_are_named_once(tree: Tree) -> None:
    result, done = tree.grade()
    assert done.returncode == 1
    assert result["score"] == 0
    for name in ("twice", "half"):
        line = f"lab1.{name} is not written yet: vmm/{name}.cc:2"
        assert done.stdout.count(line) == 1
        assert set(kinds(result, f"lab1.{name}").values()) == {"not written"}
    assert result["extra_data"]["together"] is None


def test_a_wrong_answer_costs_its_task_alone_and_is_explained(tree: Tree) -> None:
    tree.solve()
    tree.write("vmm/twice.cc", TWICE.replace("n + n", "n * n"))
    result, done = tree.grade("--seed", "5")
    assert done.returncode == 1
    assert scores(result) == {"lab1.twice": 1, "lab1.half": 20}
    failed = next(test for test in result["tests"] if test["name"] == "unit:Twice.OfThree")
    assert failed["status"] == "failed" and failed["score"] == 0
    for words in ("lab1.twice", "is right", "Which is: 9", "twice 3", "add it to itself",
                  "labs/lab1-toy/handout.md#there", "./nest grade lab1 -k 'Twice.OfThree' --seed 5", "seed",
                  "build/transcripts/lab1/"):
        assert words in failed["output"], words
    assert (tree.root / failed["extra_data"]["transcript"]).is_file()
    booted = next(test for test in result["tests"] if test["name"] == "boot:test_toy.py::test_twice")
    assert "seen ['twice 441'], wanted twice 42" in booted["output"]
    assert result["extra_data"]["together"] is None  # it would fail for the same reason, and cost a boot
    boots = list((tree.root / result["extra_data"]["transcripts"]).glob("boots-*"))
    assert len(boots) == 3  # one for each task, and the replay of the one that failed


def test_files_that_pass_alone_are_booted_together(tree: Tree) -> None:
    tree.write("vmm/twice.cc", TWICE.replace("return n + n;", "return n + n + (half(6) != 3);"))
    tree.write("vmm/half.cc", HALF.replace("return n", "return n == 6 ? 4 : n"))
    result, done = tree.grade()
    assert done.returncode == 0 and result["score"] == 30, done.stdout + done.stderr
    together = result["extra_data"]["together"]
    assert together["total"] == 2 and [one["name"] for one in together["failed"]] == ["boot:test_toy.py::test_twice"]
    assert "only together: boot:test_toy.py::test_twice: seen ['twice 43'], wanted twice 42" in done.stdout


def test_negative_cases_need_the_first_positive(tree: Tree) -> None:
    tree.solve()
    tree.write("vmm/half.cc", '#include "vmm/toy.hh"\nint half(int) { return -1; }\n')
    result, _ = tree.grade()
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 0}
    assert kinds(result, "lab1.half")["unit:Half.RefusesOdd"] == "does not count"


def test_compile_error_costs_its_task_alone(tree: Tree) -> None:
    tree.solve()
    tree.write("vmm/half.cc", HALF + "int oops(\n")
    result, done = tree.grade()
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 0}
    task = result["extra_data"]["tasks"][1]
    assert task["state"] == "does not compile" and "vmm/half.cc:" in task["note"] and "error:" in task["note"]
    assert done.stdout.count("error:") == 1
    assert str(tree.root) not in task["note"]


@pytest.mark.parametrize("content", [None, "", '#include "vmm/toy.hh"\n'])
def test_missing_or_empty_file_never_takes_the_reference(tree: Tree, content: str | None) -> None:
    tree.solve()
    if content is None:
        (tree.root / "vmm/half.cc").unlink()
    else:
        tree.write("vmm/half.cc", content)
    result, done = tree.grade()
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 0}
    assert result["extra_data"]["tasks"][1]["state"] == (
        "does not compile" if content is None else "does not link")
    assert ("mend: git checkout -- vmm/half.cc" if content is None else
            "is the function in vmm/half.cc, with the namespace, the name and the arguments of its declaration in vmm/"
            ) in done.stdout


@needs_isolation
def test_an_answer_cannot_include_the_reference(tree: Tree) -> None:
    tree.solve()
    tree.write("vmm/half.cc", f'#include "{tree.root}/solutions-private/vmm/half.cc"\n')
    result, _ = tree.grade()
    assert scores(result)["lab1.half"] == 0


@pytest.mark.parametrize(("body", "outcome"), [
    ("__builtin_trap();", "crashed"),
    ("*(volatile int*)8 = n; return 0;", "crashed"),
    ("_exit(0);", "crashed"),
    ("exit(0);", "crashed"),
    pytest.param("kill(getppid(), 9); return 0;", "failed", marks=needs_isolation),
])
def test_bad_endings_cost_their_task_alone(tree: Tree, body: str, outcome: str) -> None:
    tree.solve()
    tree.write("vmm/half.cc", '#include <unistd.h>\n#include <signal.h>\n#include <stdlib.h>\n'
               f'#include "vmm/toy.hh"\nint half([[maybe_unused]] int n) {{ {body} }}\n')
    if "(" in body.partition("=")[0].replace("*(", "").replace("__builtin_trap(", ""):
        result, done = tree.grade()
        assert kinds(result, "lab1.half")["unit:Half.OfFour"] == "refused"
    result, done = tree.grade("--let-pass", "half")
    assert done.returncode == 1
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 0}
    assert kinds(result, "lab1.half")["unit:Half.OfFour"] == outcome


@pytest.mark.parametrize("end, hint", [("__builtin_trap()", "if the lines above do not explain it: halve it"),
                                       ("return 41", "halve it")])
def test_the_last_words_of_a_crashed_kernel_come_before_the_hint(end: str, hint: str, tree: Tree) -> None:
    tree.solve()
    tree.write("vmm/half.cc", f'#include "vmm/toy.hh"\nint half(int n) {{ if (n == 84) {end}; return n % 2 ? -1 : n / 2; }}\n')
    _, done = tree.grade()
    assert re.findall("^  hint +(.*)", done.stdout, re.MULTILINE) == [hint]


def test_exit_in_a_static_constructor_earns_nothing(tree: Tree) -> None:
    tree.solve()
    tree.write("vmm/half.cc", HALF + "#include <unistd.h>\n__attribute__((constructor)) void f() { _exit(0); }\n")
    result, _ = tree.grade()
    assert kinds(result, "lab1.half")["unit:Half.OfFour"] == "refused"
    result, _ = tree.grade("--let-pass", "half")
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 0}


def test_a_loop_without_end_is_ended(tree: Tree) -> None:
    tree.solve()
    path = tree.root / "grader/judge/unit.py"
    limits = path.read_text().replace("CASE_SECONDS = 5.0", "CASE_SECONDS = 1.0").replace("RACE_SECONDS = 12.0", "RACE_SECONDS = 1.5")
    path.write_text(limits)
    tree.write("vmm/half.cc", '#include "vmm/toy.hh"\nint half(int n) { while (*(volatile int*)&n > -9) {} return 0; }\n')
    result, done = tree.grade(timeout=60)
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 0}
    assert list(kinds(result, "lab1.half").values()) == ["timeout", "timeout", "not run", "not run"]
    assert "not run, as if it had hung: Half.OfFour and Half.Race hung before it" in done.stdout
    assert not toy_tree.processes_in(tree.root)


def test_without_references_a_stub_blocks_and_is_named(tree: Tree) -> None:
    tree.without_references()
    tree.write("vmm/half.cc", HALF)
    result, done = tree.grade()
    assert result["extra_data"]["tasks"][1]["elsewhere"] == "own"
    found = kinds(result, "lab1.half")
    assert found["race:Half.Race"] == "blocked" and found["unit:Half.OfFour"] == "passed"
    assert "blocked by lab1.twice" in done.stdout
    done = tree.nest("grade", "lab1", "--reference")
    assert done.returncode == 3 and "no reference answer to lab1.twice" in done.stderr


@pytest.mark.parametrize(("broken", "how"), [("no C++", "does not compile"),
                                             (TWICE + "\n#pragma GCC optimize 3\n", "is refused")])
def test_in_a_release_what_cannot_be_linked_costs_its_own_task_alone(broken: str, how: str, tree: Tree) -> None:
    tree.without_references()
    tree.write("vmm/half.cc", HALF)
    tree.write("vmm/twice.cc", broken)
    result, done = tree.grade()
    assert set(kinds(result, "lab1.half").values()) <= {"does not build", "refused"}, "as long as no stub is at hand"
    tree.write("references/stubs/vmm/twice.cc", toy_tree.STUB.format("twice"))
    result, done = tree.grade()
    found = kinds(result, "lab1.half")
    assert found["race:Half.Race"] == "blocked" and found["unit:Half.OfFour"] == "passed"
    assert set(kinds(result, "lab1.twice").values()) <= {"does not build", "refused"} and scores(result)["lab1.twice"] == 0
    assert f"vmm/twice.cc {how}: its empty stub stands beside the other tasks" in " ".join(done.stdout.split())


def test_unstable_is_failed_and_marked(tree: Tree) -> None:
    tree.solve()
    # The boot's transcripts tell the first boot of a kernel from its replay.
    path = tree.root / "grader/testkit/boot.py"
    path.write_text(path.read_text().replace(
        "return BootResult(done.stdout",
        "return BootResult(done.stdout if 'replayed' in str(transcript_dir) else '',\n    ended, 0, '', 0.0, "
        "transcript_dir)\n    return (done.stdout"))
    result, done = tree.grade("--reference")
    assert done.returncode == 1 and result["score"] == 20
    test = next(test for test in result["tests"] if test["name"] == "boot:test_toy.py::test_half")
    assert test["status"] == "failed" and test["extra_data"]["unstable"] and "unstable" in test["tags"]


def test_the_command_that_is_printed_runs_that_test_alone(tree: Tree) -> None:
    tree.solve()
    tree.write("vmm/twice.cc", TWICE.replace("n + n", "n * n"))
    for test in tree.grade("--task", "twice")[0]["tests"]:
        _, _, lab, *argv = shlex.split(test["extra_data"]["alone"])
        assert lab == "lab1" and [one["name"] for one in tree.grade(*argv)[0]["tests"]] == [test["name"]]
        assert [one["name"] for one in tree.grade("-k", test["name"])[0]["tests"]] == [test["name"]]


def test_selection(tree: Tree) -> None:
    tree.solve()
    result, done = tree.grade("-k", "Twice.OfThree")
    assert done.returncode == 0 and result["max_score"] == 4 and result["extra_data"]["partial"]
    result, done = tree.grade("--task", "half")
    assert done.returncode == 0 and result["max_score"] == 20
    done = tree.nest("grade", "lab1", "-k", "nothing_like_it")
    assert done.returncode == 2 and "unit:Twice.OfThree" in done.stderr


@pytest.mark.parametrize(("argv", "words"), [
    (["grade", "lab9"], "lab1-toy"),
    (["grade", "lab1", "--task", "third"], "lab1.twice, lab1.half"),
    (["grade", "lab1", "--seed", "x"], "--seed"),
    (["grade", "lab1", "--reference", "-k", "a b("], "this is none: 'a b('"),
    (["grade"], "which lab? The labs are: lab1-toy"),
    (["graed", "lab1"], "grade"),
])
def test_wrong_usage_says_what_is_right(tree: Tree, argv: list[str], words: str) -> None:
    done = tree.nest(*argv)
    assert done.returncode == 2 and words in done.stderr


def test_seed_fixes_the_nonce(tree: Tree) -> None:
    def nonces(*argv: str) -> set[str]:
        return {test["extra_data"]["nonce"] for test in tree.grade("--reference", "-k", "test_toy", *argv)[0]["tests"]}

    assert nonces("--seed", "7") == nonces("--seed", "7")
    assert nonces("--seed", "8") != nonces("--seed", "7")
    assert nonces() != nonces()


def test_outputs(tree: Tree) -> None:
    done = tree.nest("grade", "lab1", "--reference", "--json", "-")
    assert done.returncode == 0
    Draft202012Validator(SCHEMA).validate(json.loads(done.stdout))
    assert "30/30" in done.stderr
    tree.grade("--junit", str(tree.root / "out.xml"))
    from defusedxml import ElementTree

    top = ElementTree.parse(tree.root / "out.xml").getroot()
    assert [sum(int(suite.get(name)) for suite in top) for name in ("tests", "failures", "errors", "skipped")] == [7, 7, 0, 0]
    done = tree.nest("grade", "lab1", "--reference", "--json", "/nowhere/out.json")
    assert done.returncode == 2 and "/nowhere/out.json" in done.stderr


def test_malformed_lab_names_file_line_and_key(tree: Tree) -> None:
    path = tree.root / "labs/lab1-toy/lab.json"
    path.write_text(path.read_text().replace('"points": 30', '"pionts": 30'))
    done = tree.nest("grade", "lab1")
    assert done.returncode == 3
    assert "lab.json:5: pionts: unknown key" in done.stderr


def test_a_boot_module_that_does_not_load_is_the_labs_fault(tree: Tree) -> None:
    tree.write("labs/lab1-toy/boot/test_toy.py", "import nothing_like_it\n")
    done = tree.nest("grade", "lab1", "--reference")
    assert done.returncode == 3 and "nothing_like_it" in done.stderr and "test_toy.py" in done.stderr


def test_a_kit_that_does_not_build_is_shown(tree: Tree) -> None:
    tree.write("build/cmake/build.ninja", "rule no\n command = echo broken here; false\nbuild kit: no\n")
    done = tree.nest("grade", "lab1", "--reference")
    assert done.returncode == 3 and "broken here" in done.stderr


def test_two_at_once_wait_for_each_other_and_both_are_right(tree: Tree) -> None:
    tree.write("build/cmake/build.ninja", "rule slow\n command = sleep 1; touch kit\nbuild kit: slow\n")
    both = [subprocess.Popen([str(tree.root / "nest"), "grade", "lab1", "--reference"], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    ends = [(one.communicate(timeout=120), one.returncode) for one in both]
    assert [status for _, status in ends] == [0, 0], ends
    assert sum("waiting for another nest" in err for (_, err), _ in ends) >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing_running(tree: Tree, number: int) -> None:
    tree.solve()
    tree.write("vmm/half.cc", '#include "vmm/toy.hh"\nint half(int n) { while (*(volatile int*)&n > -9) {} return 0; }\n')
    nest = subprocess.Popen([str(tree.root / "nest"), "grade", "lab1"], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, start_new_session=True, preexec_fn=toy_tree.hear_interrupts)
    try:
        deadline = time.monotonic() + 60
        while not any("--gtest_filter=Half" in words for words in toy_tree.processes_in(tree.root)):
            assert time.monotonic() < deadline and nest.poll() is None
            time.sleep(0.02)
        os.kill(nest.pid, number)
        _, err = nest.communicate(timeout=20)
    finally:
        nest.kill()
    assert nest.returncode == 130 and "interrupted" in err
    assert not toy_tree.processes_in(tree.root)


def hangs_at(*numbers: int) -> str:
    """Right answers to `half`, but of these numbers."""
    wrong = " || ".join(f"n == {number}" for number in numbers)
    return HALF.replace("n / 2", f"{wrong} ? ({{ for (volatile int i = 0;;) i = i; 0; }}) : n / 2")


def test_a_boot_that_hung_is_not_booted_again(tree: Tree) -> None:
    tree.solve()
    tree.write("vmm/half.cc", hangs_at(84))
    result, done = tree.grade()
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 15}, done.stdout
    assert kinds(result, "lab1.half")["boot:test_toy.py::test_half"] == "timeout"
    folder = tree.root / result["extra_data"]["transcripts"] / "half-amd-qemu"
    assert [path.name for path in folder.glob("test_toy*")] == ["test_toy"]


def test_what_hangs_later_takes_nothing_from_tests_before_it(tree: Tree) -> None:
    """The boot begins first and hangs; but it stands last."""
    tree.solve()
    tree.write("vmm/half.cc", hangs_at(4, 84))
    result, done = tree.grade()
    assert list(kinds(result, "lab1.half").values()) == ["timeout", "passed", "does not count", "timeout"], done.stdout


@needs_isolation
def test_sandbox_that_does_not_start_is_not_charged_to_the_answer(tree: Tree) -> None:
    tree.solve()
    grader = (tree.root / "grader/confine/bubblewrap.py").read_text()
    tree.write("grader/confine/bubblewrap.py", grader.replace('"--tmpfs", "/tmp"]', '"--tmpfs", "/tmp", "--bind", "/gone", "/gone"]'))
    done = tree.nest("grade", "lab1")
    assert done.returncode == 3 and "the sandbox does not start: bwrap: Can't find source path /gone" in done.stdout
    assert "mend:" in done.stdout and "0 of 30 points judged" in done.stdout and "Traceback" not in done.stderr


def test_a_disk_that_cannot_be_written_is_named(tree: Tree) -> None:
    shutil.rmtree(tree.root / "build")
    (tree.root / "build").write_text("in the way")
    done = tree.nest("grade", "lab1", "--reference")
    assert done.returncode == 3 and "build" in done.stderr and "mend:" in done.stderr
    assert "Traceback" not in done.stderr
    (tree.root / "build").unlink()
    (tree.root / "build").mkdir()


def test_task_in_assembly_is_seen_by_the_kernel_alone(tree: Tree) -> None:
    data = toy_tree.lab_json()
    data["points"] += 3
    data["tasks"].append({
        "id": "lab1.third", "title": "The third", "file": "vmm/third.S", "header": "vmm/toy.hh", "points": 3,
        "handout": "#third", "tests": [{"name": "boot:test_toy.py::test_third", "points": 3,
                                        "checks": "third is right", "read": "#there"}]})
    tree.write("labs/lab1-toy/lab.json", json.dumps(data, indent=1))
    tree.write("labs/lab1-toy/boot/test_toy.py",
               toy_tree.BOOT_TEST + "def test_third(booted):\n    assert 'third 3' in booted.serial\n")
    tree.compile("kernel", toy_tree.KERNEL.replace("int main(int, char** words) {", """extern "C" int third();
        int main(int, char** words) { std::printf("third %d\\n", third());"""))
    text = '#include "vmm/number.h"\n.globl third\nthird: mov $NUMBER, %eax; ret\n'
    tree.write("vmm/number.h", "#define NUMBER 3\n")
    tree.write("solutions-private/vmm/third.S", text)
    tree.write("vmm/third.S", text.replace("NUMBER,", "NUMBER + 1,"))
    tree.solve()
    result, done = tree.grade()
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 20, "lab1.third": 0}, done.stdout + done.stderr
    tree.write("vmm/third.S", text.replace("mov", "move it"))
    result, _ = tree.grade()
    assert scores(result) == {"lab1.twice": 10, "lab1.half": 20, "lab1.third": 0}
    assert kinds(result, "lab1.third") == {"boot:test_toy.py::test_third": "does not build"}
    result, done = tree.grade("--reference")
    assert result["score"] == 33, done.stdout + done.stderr


def test_kernel_that_is_not_in_the_kit(tree: Tree) -> None:
    tree.write("labs/lab1-toy/lab.json", json.dumps(toy_tree.lab_json() | {"kernel": "other"}, indent=1))
    done = tree.nest("grade", "lab1", "--reference")
    assert done.returncode == 3 and "no kernel 'other'; it builds: nestling" in done.stderr, done.stderr
