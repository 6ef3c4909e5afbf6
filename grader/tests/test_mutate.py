# SPDX-License-Identifier: MIT
"""Mutants made from references: which edits there are, and what `nest verify --mutate` and
`--coverage` say of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from grader import CannotRun
from grader.mutate import assembly, campaign, cxx, survivors
from grader.tests import toy_tree
from grader.tests.toy_tree import HALF, Tree

pytest.importorskip("clang.cindex", reason="python3-clang-19 is not installed")

FUNCTION = """// SPDX-License-Identifier: MIT
#include <cstdint>
enum class Error { A, B, C };
struct Two { std::uint64_t one; std::uint64_t other; };
constexpr std::uint64_t right_read = 1, right_write = 2;
struct Frame { void release(); };
Frame* allocate(std::uint64_t rights);
bool is_good(std::uint64_t first, std::uint64_t second);
Error check(const Two& two, std::uint64_t limit) {
    if (two.one < limit || two.other == 3) return Error::A;
    if (!is_good(two.one, limit)) return Error::B;
    auto frame = allocate(right_read | right_write);
    for (std::uint64_t i = 0; i < limit; ++i) {
        if (i == 2) continue;
        frame->release();
    }
    return limit != 0 ? Error::C : Error::A;
}
"""
EDITS = (
    ("a condition dropped", "if (two.other == 3) return Error::A;"),
    ("< is <=", "if (two.one <= limit || two.other == 3) return Error::A;"),
    ("== is >=", "if (two.one < limit || two.other >= 3) return Error::A;"),
    ("|| is &&", "if (two.one < limit && two.other == 3) return Error::A;"),
    ("a condition negated", "if (!(two.one < limit || two.other == 3)) return Error::A;"),
    ("another field", "if (two.other < limit || two.other == 3) return Error::A;"),
    ("a constant one less", "if (two.one < limit || two.other == (3 - 1)) return Error::A;"),
    ("another constant", "if (two.one < limit || two.other == 3) return Error::B;"),
    ("32 bits wide", "if (static_cast<std::uint32_t>(two.one) < limit || two.other == 3) return Error::A;"),
    ("the order of two checks exchanged", "if (!is_good(two.one, limit)) return Error::B; if (two.one < limit || two.other == 3) "
     "return Error::A;"),
    ("a ! dropped", "if (is_good(two.one, limit)) return Error::B;"),
    ("arguments swapped", "if (!is_good(limit, two.one)) return Error::B;"),
    ("a local is static", "static auto frame = allocate(right_read | right_write);"),
    ("a flag or right dropped", "auto frame = allocate(right_read);"),
    ("a loop begins one late", "for (std::uint64_t i = (0) + 1; i < limit; ++i) {"),
    ("a loop ends one early", "for (std::uint64_t i = 0; i + 1 < limit; ++i) {"),
    ("a check dropped", "{};"),
    ("a statement dropped", "if (i == 2) (void)0;"),
    ("a choice not made", "return (Error::C);"),
    ("an undo dropped on one path", "{ (void)frame->release(); return limit != 0 ? Error::C : Error::A; };"),
)  # fmt: skip
SECTION = """#include "vmm/there.h"
    there_section 10, there_in          // no instruction
    movq REG_A(%rdi), %rax
1:  cmpl $0, (%rcx)
    jne 1b
    add $16, %rsp                       // a word about it
    iretq
"""


def test_edits_of_cxx(tmp_path: Path) -> None:
    path = tmp_path / "check.cc"
    path.write_text(FUNCTION)
    found = cxx.edits(path, FUNCTION, ["-std=c++23"])
    seen = {(edit.what, edit.lines(FUNCTION)[1].replace("; ;", ";")) for edit in found}
    assert [wanted for wanted in EDITS if wanted not in seen] == []
    assert all(edit.apply(FUNCTION).count("\n") == FUNCTION.count("\n") for edit in found)
    assert len({edit.apply(FUNCTION) for edit in found}) == len(found)
    narrow = next(edit for edit in found if edit.what == "16 bits wide")
    assert narrow.milder is not None and narrow.milder.what == "32 bits wide"
    with pytest.raises(CannotRun, match="(?s)clang cannot read .*unknown type name 'nonsense'"):
        cxx.edits(path, "nonsense here;\n", [])


def test_edits_of_assembly() -> None:
    seen = {(edit.what, edit.lines(SECTION)[1]) for edit in assembly.edits(SECTION)}
    for wanted in (
        ("an operand of width l", "movl REG_A(%rdi), %eax"), ("an operand of width b", "1: cmpb $0, (%rcx)"),
        ("another register", "movq REG_A(%rbp), %rax"), ("the field behind", "movq REG_A+8(%rdi), %rax"),
        ("jne is je", "je 1b"), ("interrupts let in early", "sti; iretq"), ("an instruction dropped", "1:"),
        ("another constant", "add $8, %rsp // a word about it"), ("operands exchanged", "movq %rax, REG_A(%rdi)"),
        ("two instructions exchanged", "iretq add $16, %rsp"), ("cmpl is testl", "1: testl $0, (%rcx)"),
    ):  # fmt: skip
        assert wanted in seen, sorted(seen)
    assert not any("there_section" in was for was in (edit.lines(SECTION)[0] for edit in assembly.edits(SECTION)))


def test_the_list_of_survivors(tmp_path: Path) -> None:
    path = tmp_path / survivors.FOLDER / "lab1.toml"
    assert survivors.read(tmp_path, "lab1").survivors == {}
    path.parent.mkdir(parents=True)
    path.write_text("[[survivor]]\nfile = 'a.cc'\nwas = 'x  <\ty'\nis = 'x <= y'\nwhy = 'never equal'\n")
    assert survivors.read(tmp_path, "lab1").survivors == {("a.cc", "x < y", "x <= y"): "never equal"}
    path.write_text("[[survivor]]\nfile = 'a.cc'\nwas = 'x'\nis = ['y', ' z']\nwhy = 'both'\n")
    assert survivors.read(tmp_path, "lab1").survivors == {("a.cc", "x", "y"): "both", ("a.cc", "x", "z"): "both"}
    path.write_text("[[survivor]]\nfile = 'a.S'\nwas = 'nop'\nis = ''\nwhy = 'it does nothing'\n")
    assert ("a.S", "nop", "") in survivors.read(tmp_path, "lab1")
    for text in ("[[survivor]]\nfile = 'a.cc'\n", "[[survivor]]\nfile = 'a.cc'\nwas = 'x'\nis = []\nwhy = 'none'\n",
                 "[[other]]\n", "=", "[[unreached]]\nfile = 'a'\nline = 'b'\nwhy = ''\n"):
        path.write_text(text)
        with pytest.raises(CannotRun, match="lab1.toml"):
            survivors.read(tmp_path, "lab1")


def test_a_verdict_rests_on_its_own_test() -> None:
    """Another test in the same file may come, go or change; what they share may not."""
    text = b"int shared = 1;\nTEST_F(Suite, One) {\n    if (1) {\n    }\n}\n\nTYPED_TEST(Suite,\n           Two) {\n    2;\n}\n\n// the end\n"
    one = campaign._alone(text, "One")
    assert b"if (1)" in one and b"2;" not in one and b"shared" in one and b"the end" in one
    assert b"2;" in campaign._alone(text, "Two") and b"TEST" not in campaign._alone(text, "Tw")
    assert campaign._alone(text.replace(b"2;", b"3;"), "One") == one
    assert campaign._alone(b"int shared = 2;" + text[15:], "One") != one


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return toy_tree.make(tmp_path_factory.mktemp("toy") / "tree")


@pytest.fixture
def tree(pattern: Tree) -> Any:
    """The toy tree as it was made; its path is always the same."""
    kept = pattern.root.with_name("kept")
    shutil.copytree(pattern.root, kept, symlinks=True)
    yield pattern
    shutil.rmtree(pattern.root)
    kept.rename(pattern.root)


def test_mutants_of_a_toy(tree: Tree) -> None:
    """Nothing asks for half of a negative number; `n % 2` may as well be `!= 0`."""
    tree.write("solutions-private/vmm/half.cc", HALF.replace("return n", "if (n < -3) return 0;\n    return n"))
    done = tree.nest("verify", "lab1", "--mutate")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "solutions-private/vmm/half.cc:2: no test notices this: a check dropped" in done.stdout
    assert "lab1.twice                      1/1    noticed" in done.stdout, done.stdout
    left = [block.splitlines()[1:3] for block in done.stdout.split("wrong: ")[1:] if "no test notices" in block]
    assert left
    entries = "".join(f"[[survivor]]\nfile = 'vmm/half.cc'\nwas = '{was[6:]}'\nis = '{new[6:]}'\nwhy = 'a toy'\n"
                      for was, new in left)
    tree.write("solutions-private/survivors/lab1.toml", entries)
    done = tree.nest("verify", "lab1", "--mutate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(left)} survived, 0 of them not listed" in done.stdout
    tree.write("solutions-private/survivors/lab1.toml",
               entries + "[[survivor]]\nfile = 'vmm/half.cc'\nwas = 'x'\nis = 'y'\nwhy = 'gone'\n")
    done = tree.nest("verify", "lab1", "--mutate")
    assert done.returncode == 1 and "does not survive, or is no mutant: vmm/half.cc / x / y" in done.stdout
    done = tree.nest("verify", "lab1", "--mutate", "--sample", "2")
    assert done.returncode == 0 and "2 mutants," in done.stdout, done.stdout


def test_what_no_test_of_a_toy_reaches(tree: Tree) -> None:
    done = tree.nest("verify", "lab1", "--coverage")
    assert done.returncode == 0 and "lab1: 0 lines" in done.stdout, done.stdout + done.stderr
    tree.write("solutions-private/vmm/half.cc", HALF.replace("return n", "if (n < -3)\n    return 0;\n    return n"))
    done = tree.nest("verify", "lab1", "--coverage")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wrong: solutions-private/vmm/half.cc:3: no test reaches this line\n    return 0;" in done.stdout
    assert "wrong: solutions-private/vmm/half.cc:2: no test takes 1 of the 2 branches of this line" in done.stdout
    tree.write("solutions-private/survivors/lab1.toml", "".join(
        f"[[unreached]]\nfile = 'vmm/half.cc'\nline = '{line}'\nwhy = 'a toy'\n"
        for line in ("return 0;", "int half(int n) { if (n < -3)")))
    done = tree.nest("verify", "lab1", "--coverage")
    assert done.returncode == 0 and "2 lines that are not wholly reached, 0 wrong" in done.stdout, done.stdout
