# SPDX-License-Identifier: MIT
"""The gate lets right answers in, and names what it keeps out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from grader.course.lab import ROOT
from grader.gate import Refused, code, contract, objects, reader, source
from grader.tests.test_grade import pattern, tree  # noqa: F401
from grader.tests.toy_tree import HALF, TWICE, Tree


ARCH_HARMLESS = {
    "cpuid", "direct_map", "physical_address", "cpu_index", "cpu_count", "relax", "disable_interrupts", "restore_interrupts",
    "timestamp", "timestamp_rate", "nanoseconds", "start_on", "is_idle", "interrupt_and_wait", "kick", "wait_for_interrupt",
    "set_timer", "console_write", "die"}
"""Of kern/arch/arch.hh: what forges nothing. An answer whose header knows arch.hh may call it."""


def declared(header: str) -> set[str]:
    """The functions that a header declares outside of classes."""
    return set(re.findall(r"^(?:\[\[\w+\]\] )?[\w:*&<> ]+[ *&](\w+)\([^)]*\)[^{;]*;", (ROOT / header).read_text(), re.MULTILINE))


def test_what_no_answer_may_call_is_what_headers_declare() -> None:
    headers = "\n".join(path.read_text() for room in ("kern", "vmm") for path in sorted((ROOT / room).rglob("*.hh"))
                        if "tests" not in path.parts)
    for one in contract.DENIED:
        if one != "testing::":
            assert re.search(one.removesuffix("::"), headers), f"no header declares {one}"


def test_every_function_of_the_machine_is_denied_or_said_to_be_harmless() -> None:
    words = frozenset(re.findall(r"\w+", (ROOT / "kern/arch/arch.hh").read_text() + (ROOT / "kern/arch/host/fake.hh").read_text()))

    def may_have(name: str) -> bool:
        return contract.may_have("_Z", contract.Ground({"_Z": name}, frozenset()), words, "kernel")

    names = declared("kern/arch/arch.hh")
    assert names >= {"power_off", "read_msr", "die"}
    assert {name for name in names if may_have(f"kern::arch::{name}(unsigned int)")} == ARCH_HARMLESS
    fakes = declared("kern/arch/host/fake.hh")
    assert "enter_cpu" in fakes and not {name for name in fakes if may_have(f"kern::arch::fake::{name}(unsigned int)")}


@pytest.mark.parametrize("compiler", ["g++", "clang++-19"])
@pytest.mark.parametrize(("flavour", "word"), [("asan", "address,undefined"), ("tsan", "thread")])
def test_sanitizers_of_both_compilers_are_let_in(tmp_path: Path, compiler: str, flavour: str, word: str) -> None:
    """Each marks the variables of an object in its own way."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    (tmp_path / "a.cc").write_text("static int table[5]{1, 2, 3, 4, 5};\nint look(int i) { return table[i]++; }\n")
    (tmp_path / "keep").write_text("_Z4looki\n")
    for command in ([compiler, "-O1", "-fno-pie", f"-fsanitize={word}", "-fno-sanitize-recover=all", "-c", "a.cc", "-o", "a.o"],
                    ["ld", "-r", "--force-group-allocation", "-z", "noexecstack", "-o", "grouped.o", "a.o"],
                    ["objcopy", "--keep-global-symbols=keep", "grouped.o", "answer.o"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    none = contract.Ground({}, frozenset())
    found = objects.findings(objects.read(tmp_path / "answer.o"), flavour, False,
                             lambda name: contract.may_have(name, none, frozenset(), flavour), "mm")
    assert [one.text for one in found] == []


@pytest.mark.parametrize("name", ["__aarch64_cas8_acq_rel", "__aarch64_ldadd8_relax", "__aarch64_swp4_acq"])
def test_atomics_of_arm64_are_the_compilers(name: str) -> None:
    """g++ calls libgcc for what x86-64 does in one instruction."""
    assert contract.may_have(name, contract.Ground({}, frozenset()), frozenset(), "asan")
    assert not contract.may_have("__aarch64_other", contract.Ground({}, frozenset()), frozenset(), "asan")


def refusal(path: Path, root: Path) -> str:
    with pytest.raises(Refused) as caught:
        reader.read(path, root)
    return "\n".join(f"{one.line}: {one.text}" for one in caught.value.findings)


def test_text_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.cc").write_bytes(b"\xef\xbb\xbfint a;\r\nint \xc3\xa4;\r\n")
    assert reader.read(tmp_path / "a" / "b.cc", tmp_path) == b"int a;\nint \xc3\xa4;\n"
    assert reader.read(tmp_path / "a" / "b.cc", tmp_path / "elsewhere") == b"int a;\nint \xc3\xa4;\n"
    with pytest.raises(FileNotFoundError):
        reader.read(tmp_path / "a" / "c.cc", tmp_path)


def test_what_is_no_file_of_text_is_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.cc"
    good.write_text("int a;\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in.cc").write_text("int a;\n")
    (tmp_path / "way").symlink_to("folder")
    (tmp_path / "link.cc").symlink_to("good.cc")
    (tmp_path / "nowhere.cc").symlink_to("nothing")
    (tmp_path / "zero.cc").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.cc")
    (tmp_path / "big.cc").write_bytes(b" " * ((1 << 20) + 1))
    (tmp_path / "latin.cc").write_bytes(b"int a;\nint \xe4;\n")
    (tmp_path / "zeros.cc").write_bytes(b"int a;\n\0")
    (tmp_path / "return.cc").write_bytes(b"int a; // \\\r\r\nint b;\n")
    (tmp_path / "turned.cc").write_text("int a; // \u202e } \u2066\n")
    for name, words in (("link.cc", "link"), ("nowhere.cc", "link"), ("zero.cc", "link"), ("way/in.cc", "way is a link"),
                        ("pipe.cc", "not a regular file"), ("folder", "not a regular file"), ("big.cc", "1 MiB"),
                        ("latin.cc", "2: latin.cc is not UTF-8"), ("zeros.cc", "2: zeros.cc has a zero byte"),
                        ("return.cc", "1: return.cc has a carriage return"), ("turned.cc", "1: turned.cc has a character"),
                        ("folder/../good.cc", "leaves its folder")):
        assert words in refusal(tmp_path / name, tmp_path), name
    assert "not a regular file" in refusal(Path("/dev/zero"), tmp_path)


@pytest.mark.parametrize(("text", "words"), [
    ('asm("nop");', "1: asm: a task in C++ has no assembly"),
    ("int a;\n__asm__ volatile(\"\");", "2: __asm__"),
    ("as\\\nm(\"nop\");", "1: asm"),
    ('#line 3 "x.cc"', "1: #line"),
    ("  %: line 3", "1: #line"),
    ("int a;\n#  7 \"x.cc\"", "2: #line"),
    ("[[gnu::constructor]] void f() {}", "the attribute constructor"),
    ("[[using gnu: noinline, section(\"x\")]] void f() {}", "the attribute section"),
    ("__attribute__((__no_sanitize__(\"address\"))) void f();", "the attribute __no_sanitize__"),
    ("__attribute ( (optimize(0)) ) void f();", "the attribute optimize"),
    ("#pragma GCC optimize(\"O0\")", "#pragma GCC optimize"),
    ("#pragma GCC push_options", "#pragma GCC push_options"),
    ("_Pragma(\"GCC target(\\\"avx\\\")\")", "#pragma GCC target"),
    ("#ifdef __SANITIZE_THREAD__\n#endif", "1: __SANITIZE_THREAD__"),
    ("#if __has_feature(address_sanitizer)\n#endif", "__has_feature"),
    ("void* p = __builtin_frame_address(0);", "reaches into the caller's frame"),
    ("thread_local int a;", "thread's own"),
    ("#include \"/etc/passwd\"", "leaves the tree"),
    ("#include \"../a.hh\"", "leaves the tree"),
    ("#include <gtest/gtest.h>", "tests' own library"),
    ("#define private public\n#include \"vmm/vm.hh\"", "before an #include"),
    ("#define FILE \"/proc/self/environ\"\n#include FILE", "2: #include FILE: a macro may name any file"),
    ("#include \"kern/elf/elf_decode.cc\"", "is no header"),
    ("<:<: gnu::constructor :>:> void f();", "<: is another spelling"),
    ("int a;\nauto s = R\"(\n# 1 \"a.hh\"\n)\";", "2: a raw string"),
    ("auto s = R\"( )\\\n\" )\"; asm(\"\"); auto t = R\"( )\";", "a raw string"),
    ("void __asan_set_shadow_00(long, long);", "__asan_set_shadow_00: an answer is the same"),
])  # fmt: skip
def test_words_that_have_no_use_in_a_task(text: str, words: str) -> None:
    found = [f"{one.line}: {one.text}" for one in source.findings(text)]
    assert any(words in one for one in found), found


@pytest.mark.parametrize("text", [
    "// asm, __SANITIZE_ADDRESS__ and #line\n/* __builtin_frame_address */\n",
    "const char* const words = \"asm(\\\"nop\\\") #line\"; const char* raw = R\"x(#line 3)x\"; a<::b> c;",
    "int target = 0, section = 1, optimize = 2, constructor = 3, alias = 4; int b = a[target[c]];",
    "[[nodiscard, maybe_unused]] static int f(); __attribute__((noinline, packed)) int g();",
    "#pragma once\n#pragma GCC diagnostic push\n#pragma GCC diagnostic ignored \"-Wshadow\"\n#pragma GCC unroll 4\n",
    "#define SIZE 4\n#include <array>\n#define each(x) (x)\nint n = 1'000'000; auto u = u8\"a\"; auto s = \"x\"sv;\n",
    "auto f = [](auto&& x) { return x[[&] { return 0; }()]; };",
])  # fmt: skip
def test_ordinary_words_are_let_in(text: str) -> None:
    assert source.findings(text) == []


@pytest.mark.parametrize("piece", ["/* ", 'R"x(', "'\\", '"\\'])
def test_what_does_not_end_is_one_word(piece: str) -> None:
    """Or each piece would be read to the end of the text, and a file of a MiB would take a day."""
    assert len(source.tokens(piece * 100)) <= 1
    assert len(source.tokens(f"{piece * 100}\nint a;")) <= 5


def test_own_lines_must_be_the_same_in_all_flavours() -> None:
    kernel = '# 1 "a.hh" 1\nint header;\n# 2 "vmm/a.cc" 2\nint a = 1;\n\nint b;\n'
    same = '# 1 "a.hh" 1\nint other;\n# 2 "vmm/a.cc" 2\nint  a = 1;\n\nint b;\n'
    assert source.preprocessed_findings({"kernel": kernel, "asan": same}, "vmm/a.cc") == []
    found = source.preprocessed_findings({"kernel": kernel, "asan": same.replace("int b", "int c")}, "vmm/a.cc")
    assert [(one.line, "differs between kernel and asan" in one.text) for one in found] == [(4, True)]
    assert source.preprocessed_findings({"kernel": '# 3 "vmm/a.cc"\nasm("");\n'}, "vmm/a.cc")[0].line == 3
    assert source.is_plain("#include <array>\nint a = b;") and not source.is_plain("int a = SIZE;")
    assert not source.is_plain("#if 1\n#endif")
    two = '# 1 "vmm/a.cc"\nauto s = "\\"" "(";\nasm("");\n'
    assert [one.line for one in source.preprocessed_findings({"kernel": two}, "vmm/a.cc")] == [2]


LISTING = """
Disassembly of section .text:

0000000000000000 <f>:
   0:\t0f 05                \tsyscall
   2:\t0f 22 d8             \tmov    %rax,%cr3
   5:\tb8 0f 05 00 00       \tmov    $0x50f,%eax
   a:\t75 fa                \tjne    6 <f+0x6>
   c:\tf3 48 ab             \trep stos %rax,%es:(%rdi)
   f:\t48 cf                \tiretq
"""


def test_instructions() -> None:
    found = code.instructions(LISTING)
    assert [one.length for one in found] == [2, 3, 5, 2, 3, 2]
    refused = [one.text for one in code.findings(found, frozenset(), assembly=False)]
    assert ["syscall" in refused[0], "mov" in refused[1], "iretq" in refused[2], len(refused)] == [True, True, True, 3]
    assert len(list(code.findings(found, frozenset({"iret"}), assembly=True))) == 2
    assert "jumps to 0x6" in next(code.closed(found, {".text": 0x11})).text
    register = [code.Instruction(".text", 0, 2, text) for text in ("jmp    *%rax", "notrack call *(%rcx)", "ret")]
    assert ["where a register says" in one.text for one in code.closed(register[:2], {".text": 2})] == [True, True]
    assert not list(code.closed(register[2:], {".text": 2}))
    assert any("cut off" in one.text for one in code.closed(found, {".text": 0x12}))
    data = bytes.fromhex("0f05 0f22d8 b80f050000 75fa f348ab 48cf")
    assert code.hidden(found, ".text", data) == [".text+0x6: the bytes of SYSCALL inside an instruction"]


def test_assembly_takes_no_other_file_in() -> None:
    found = source.assembly_findings('    nop\n    .incbin "/etc/ld.so.conf"\n#include "vmm/vmx/asm_vmrun.h"\n  .include "a"\n')
    assert [(one.line, one.text.split()[0]) for one in found] == [(2, ".incbin"), (4, ".include")]


def test_names() -> None:
    for spelled, word in (("kern::Frame::~Frame()", "Frame"), ("kern::map<int (*)(int)>(unsigned long) const", "map"),
                          ("vmm::Gpa::operator+(unsigned long) const", "Gpa"), ("vmm_evidence", "vmm_evidence"),
                          ("vtable for vmm::Pager", "Pager"), ("int vmm::twice<int>(int)", "twice"),
                          ("vmm::A::operator()(int)", "A")):
        assert contract.last_word(spelled) == word, spelled
    ground = contract.Ground({"_Z1fv": "f()", "vmm_evidence": "vmm_evidence", "_Z9power_offv": "power_off()"}, frozenset())
    words = frozenset({"f", "vmm_evidence", "power_off"})
    assert contract.may_have("_Z1fv", ground, words, "kernel") and contract.may_have("memcpy", ground, words, "kernel")
    for name in ("vmm_evidence", "_Z9power_offv", "_Z1gv", "write", "_exit", "__asan_report_load8"):
        assert not contract.may_have(name, ground, words, "kernel"), name
    hooks = contract.Ground({"_Z1f": "kern::FrameAllocator::fail_from(unsigned long)", "_Z1g": "vmm::HeldDevice::hold()",
                             "_Z1h": "vmm::svm_probe", "_Z1i": "kern::FrameAllocator::free(unsigned long)"}, frozenset())
    every = frozenset({"fail_from", "hold", "svm_probe", "free"})
    assert [name for name in hooks.defined if contract.may_have(name, hooks, every, "asan")] == ["_Z1i"]
    assert contract.may_have("__asan_report_load8", ground, words, "asan")
    assert not contract.may_have("__asan_unpoison_memory_region", ground, words, "asan")


def test_refused_answer_costs_its_own_task_and_staff_may_let_it_pass(tree: Tree) -> None:  # noqa: F811
    tree.write("vmm/twice.cc", TWICE + "static int made() { return 1; }\nstruct A { A() { n = made(); } int n; } a;\n")
    tree.write("vmm/half.cc", HALF)
    result, done = tree.grade()
    kinds = {test["name"]: test["extra_data"]["outcome"] for test in result["tests"]}
    assert result["score"] == 20 and kinds["unit:Twice.OfThree"] == "refused", done.stdout
    assert "vmm/twice.cc" in done.stdout and "runs before main" in done.stdout
    result, done = tree.grade("--let-pass", "twice")
    assert result["score"] == 30 and "runs before main" in result["extra_data"]["let_passed"][0], done.stdout
    assert "let pass by --let-pass: vmm/twice.cc" in done.stdout
    again, done = tree.grade("--let-pass", "twice")
    assert again["extra_data"]["let_passed"] == result["extra_data"]["let_passed"]  # also when nothing is compiled anew


def test_answer_replaces_nothing_of_its_judge(tree: Tree) -> None:  # noqa: F811
    tree.write("vmm/half.cc", HALF)
    tree.write("vmm/twice.cc", '#include "vmm/toy.hh"\nint twice(int n) { return 7; }\n'
               'extern "C" long write(int, const void*, unsigned long n) { return static_cast<long>(n); }\n'
               'void todo(const char*, std::source_location) { for (;;) {} }\n'
               'extern "C" int memcmp(const void*, const void*, unsigned long) { return 0; }\n')
    result, done = tree.grade()
    assert result["score"] == 20, done.stdout
    kinds = {test["name"]: test["extra_data"]["outcome"] for test in result["tests"]}
    assert kinds["unit:Twice.OfThree"] == "failed", done.stdout
