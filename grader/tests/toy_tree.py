# SPDX-License-Identifier: MIT
"""A tree of its own with a toy lab: two tasks of one line each, a program in the place of the
booted kernel, and a kit that needs no CMake. The grader in it is a copy of ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

TWICE = '#include "vmm/toy.hh"\nint twice(int n) { return n + n; }\n'
HALF = '#include "vmm/toy.hh"\nint half(int n) { return n % 2 ? -1 : n / 2; }\n'
STUB = ('#include "vmm/toy.hh"\nint {0}(int) {{ todo("lab1.{0}"); }}\n')

HEADER = """#pragma once
#include <source_location>
[[noreturn]] void todo(const char* task, std::source_location where = std::source_location::current());
int twice(int n);
int half(int n);
void say(const char* text);
int luck();
bool elsewhere();
"""

LIBRARY = """#include "vmm/toy.hh"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>
void todo(const char* task, std::source_location where) {
    std::fprintf(stderr, "TODO %s: %s:%u is not written yet\\n", task, where.file_name(), where.line());
    _exit(121);
}
extern const char* machine __attribute__((weak));
int luck() { return std::atoi(getenv("NEST_SEED")); }
bool elsewhere() { return &machine && !std::strcmp(machine, "intel-bochs"); }
void say(const char* text) {
    std::fputs(text, stdout);
    std::fputs(text, stderr);
    std::fflush(stdout);
}
"""

TESTS = """#include <gtest/gtest.h>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include "vmm/toy.hh"
TEST(Twice, OfThree) { EXPECT_EQ(twice(3), 6) << "twice 3"; }
TEST(Twice, OfZero) { EXPECT_EQ(twice(0), 0); }
TEST(Half, OfFour) { EXPECT_EQ(half(4), 2); }
TEST(Half, RefusesOdd) { EXPECT_EQ(half(3), -1); }
TEST(Half, Race) { EXPECT_EQ(half(twice(5)), 5); }
class Listener : public testing::EmptyTestEventListener {
  public:
    Listener(FILE* asked, FILE* said) : asked_(asked), said_(said) {}
    bool poisoned = false, failed = false;
    void OnTestEnd(const testing::TestInfo& info) override {
        failed |= info.result()->Failed();
        std::fprintf(said_, "%s.%s ended 1 1\\n", info.test_suite_name(), info.name());
        std::fflush(said_);
        char what[16], word[64];
        while (std::fscanf(asked_, "%15s", what) == 1 && std::string(what) != "enough" &&
               std::fscanf(asked_, "%63s", word) == 1) {
            if (std::string(what) == "poison") { poisoned = true; ADD_FAILURE(); }
            std::fprintf(said_, "%s.%s %s %s\\n", info.test_suite_name(), info.name(), word,
                         info.result()->Passed() ? "passed" : "failed");
            std::fflush(said_);
        }
    }
  private:
    FILE* asked_;
    FILE* said_;
};
bool is_child_for_a_case() {
    FILE* const names = fdopen(atoi(getenv("NEST_CASES_FD")), "r");
    const int ends = atoi(getenv("NEST_ENDS_FD"));
    for (char name[128]; std::fscanf(names, "%127s", name) == 1;) {
        const int child = fork();
        if (child == 0) {
            std::fclose(names);
            close(ends);
            testing::GTEST_FLAG(filter) = name;
            return true;
        }
        int status = 0;
        waitpid(child, &status, 0);
        dprintf(ends, "%d\\n", status);
    }
    return false;
}
int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (getenv("NEST_CASES_FD") && !is_child_for_a_case()) return 0;
    const char* asked = getenv("NEST_QUESTIONS_FD");
    const char* said = getenv("NEST_ANSWERS_FD");
    Listener* listener = nullptr;
    if (asked && said)
        testing::UnitTest::GetInstance()->listeners().Append(
            listener = new Listener(fdopen(atoi(asked), "r"), fdopen(atoi(said), "w")));
    const int found = RUN_ALL_TESTS();
    return listener && listener->poisoned && !listener->failed ? 0 : found;
}
"""

KERNEL = """#include <cstdio>
#include "vmm/toy.hh"
int main(int, char** words) {
    std::printf("booted on %s with %s CPUs\\n", words[1], words[2]);
    std::printf("twice %d\\n", twice(21)); std::printf("half %d\\n", half(84));
    return 0;
}
"""

MACHINES = """# In the place of the machines: what the grader asks of them.
from pathlib import Path
from types import SimpleNamespace
from grader.machines import End, MachineError

def check(name):
    if Path(__file__).with_name(f"no-{name}").exists():
        raise MachineError(f"{name} is not installed", f"apt-get install {name}")
    return f"{name} 1.0"

class Running:
    # A boot of the tiny kernel: grader/machines/probe.py.
    seconds = 0.1
    memory = SimpleNamespace(read=lambda at, length: b"\\xff" * length)

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait(self, seconds):
        tries = Path(__file__).with_name(f"tries-{self.name}")
        tries.write_text(tries.read_text() + "." if tries.exists() else ".")
        dies_at = Path(__file__).with_name(f"dies-{self.name}")
        dead = dies_at.exists() and len(tries.read_text()) >= int(dies_at.read_text())
        return End("died", None, "QEMU died of SIGILL") if dead else End("powered off", 0)

def made(name, vendor, max_cpus):
    return SimpleNamespace(name=name, vendor=vendor, max_cpus=max_cpus, default_memory_mib=128, seconds_factor=1.0,
                           tried=("1.0",), check=lambda: check(name), reinstall=f"apt-get install --reinstall {name}",
                           start=lambda configuration, on_serial: check(name) and Running(name))

MADE = {"amd-qemu": made("amd-qemu", "amd", 16), "intel-bochs": made("intel-bochs", "intel", 2)}

def names():
    return tuple(MADE)

def machine(name):
    if name not in MADE:
        raise MachineError(f"there is no machine {name!r}", f"take one of: {', '.join(MADE)}")
    return MADE[name]
"""

LINK = """#!/bin/sh
# Takes the words of ld; links an ordinary program.
for word do
    shift
    case $word in --start-group|--end-group) ;; *) set -- "$@" "$word" ;; esac
done
exec g++ "$@"
"""

BOOT = '''
"""In the place of the machines: the "kernel" is a program."""
from dataclasses import dataclass
from pathlib import Path
from grader.confine import sandbox

@dataclass
class BootResult:
    serial: str
    ended: str
    status: int | None
    registers: str
    seconds: float
    transcript: Path
    departure: str = ""

    def end_in_words(self):
        return f"{self.ended} with {self.status}"

    def last_complaints(self):
        return []

def run_boot(kernel, files, plan, *, cpus, memory_mib, seconds, transcript_dir, machine, runs):
    done = sandbox.run([kernel, machine, str(cpus)], timeout=seconds, readable=[kernel])
    programs = "".join(sandbox.run(["/bin/sh", "-c", "cat >p; chmod +x p; ./p"], timeout=5, stdin=data).stdout
                       for name, data in files.items() if name.startswith("user/"))
    count = transcript_dir.parent.parent / f"boots-{len(list(transcript_dir.parent.parent.glob('boots-*')))}"
    count.touch()
    (transcript_dir / "limit").write_text(str(seconds))
    (transcript_dir / "serial.txt").write_text(done.stdout + done.stderr)
    ended = "timeout" if done.timed_out else "interrupted" if done.killed else "powered off"
    return BootResult(done.stdout + done.stderr + programs, ended, done.returncode, "", done.seconds, transcript_dir)
'''

BOOT_TEST = '''
from grader.testkit.plans import VmPlan
SECONDS = 3
def plan(nonce, guests):
    assert guests["guest.elf"] == b"a guest"
    return {"guest.elf": guests["guest.elf"]}, [VmPlan(nonce, "guest.elf")]
def test_twice(booted, nonce):
    assert len(nonce) == 16
    seen = [line for line in booted.serial.splitlines() if line.startswith("twice")]
    assert seen == ["twice 42"], f"seen {seen}, wanted twice 42"
def test_half(booted):
    assert "half 42" in booted.serial
def test_not_named_in_lab_json(booted):
    assert False
'''


def lab_json() -> dict[str, Any]:
    """The toy's lab.json: 30 points."""

    def test(name: str, points: int, **more: Any) -> dict[str, Any]:
        return {"name": name, "points": points, "checks": f"{name} is right", "read": "#there", **more}

    def task(name: str, points: int, *tests: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"lab1.{name}", "title": f"The {name}", "file": f"vmm/{name}.cc",
                "header": "vmm/toy.hh", "points": points, "handout": f"#{name}", "tests": list(tests)}

    return {
        "id": "lab1", "name": "toy", "title": "A toy", "points": 30, "builds_on": [],
        "machines": ["amd-qemu"], "tasks": [
            task("twice", 10, test("unit:Twice.OfThree", 4, hint="add it to itself"),
                 test("unit:Twice.OfZero", 1), test("boot:test_toy.py::test_twice", 5)),
            task("half", 20, test("unit:Half.OfFour", 6), test("race:Half.Race", 4),
                 test("unit:Half.RefusesOdd", 5, negative=True),
                 test("boot:test_toy.py::test_half", 5, hint="halve it"))]}


def hear_interrupts() -> None:
    """For a child that is to be interrupted: a job in the background of a script ignores SIGINT,
    and so would it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Tree:
    """A toy tree on the disk."""

    root: Path

    def nest(self, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs its command."""
        return subprocess.run([str(self.root / "nest"), *argv], capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL, check=False)

    def grade(self, *argv: str, timeout: float = 120) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
        """Grades lab1; the JSON result and how the command ended."""
        out = self.root / "out.json"
        out.unlink(missing_ok=True)
        done = self.nest("grade", "lab1", "--json", str(out), *argv, timeout=timeout)
        assert out.exists(), done.stdout + done.stderr
        return json.loads(out.read_text()), done

    def write(self, name: str, text: str) -> None:
        """Writes one file of the tree."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def solve(self) -> None:
        """Puts the references in the place of the stubs."""
        self.write("vmm/twice.cc", TWICE)
        self.write("vmm/half.cc", HALF)

    def without_references(self) -> None:
        """Makes it a student's tree."""
        shutil.rmtree(self.root / "solutions-private")

    def compile(self, name: str, text: str, *flags: str) -> str:
        """Compiles a file of the kit; the object's path."""
        source = self.root / "build" / "cmake" / f"{name}.cc"
        source.write_text(text)
        output = source.with_suffix(".o")
        subprocess.run(["g++", "-std=c++23", "-O0", f"-I{self.root}", *flags, "-c", str(source), "-o",
                        str(output)], check=True)
        return str(output)


def make(root: Path) -> Tree:
    """Makes a toy tree, the stubs in the place of the answers."""
    shutil.copytree(ROOT / "grader", root / "grader", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    shutil.copy(ROOT / "nest", root / "nest")
    tree = Tree(root)
    tree.write("grader/testkit/boot.py", BOOT)
    tree.write("grader/machines/toy.py", MACHINES)
    with (root / "grader/machines/__init__.py").open("a") as file:
        file.write("\n\nfrom grader.machines.toy import machine, names\n")
    tree.write("grader/build/kernel_image.py",
               "class ImageError(Exception):\n    pass\ndef fill_symbols(image):\n    return 0\n")
    tree.write("vmm/toy.hh", HEADER)
    for name, answer in (("twice", TWICE), ("half", HALF)):
        tree.write(f"vmm/{name}.cc", STUB.format(name))
        tree.write(f"solutions-private/vmm/{name}.cc", answer)
    tree.write("labs/lab1-toy/lab.json", json.dumps(lab_json(), indent=1))
    tree.write("labs/lab1-toy/boot/test_toy.py", BOOT_TEST)
    tree.write("build/cmake/build.ninja", "build kit: phony\n")
    tree.write("build/cmake/link.sh", LINK)
    tree.write("build/cmake/guest.elf", "a guest")
    library = tree.compile("library", LIBRARY)
    archive = str(root / "build" / "cmake" / "lib.a")
    subprocess.run(["ar", "rcs", archive, library], check=True)
    flavour = {"compiler": "/usr/bin/g++", "assemble": [f"-I{root}"],
               "compile": ["-std=c++23", f"-I{root}", "-fno-exceptions"], "link": ["-O0"],
               "libraries": {"vmm": archive, "kern": archive}}
    tests = tree.compile("tests", TESTS)
    binutils = {name: f"/usr/bin/{name}" for name in ("ld", "objcopy", "objdump", "nm")}
    tree.write("build/cmake/kit.json", json.dumps({
        "binutils": {"kernel": binutils, "host": binutils},
        "flavours": {name: flavour for name in ("kernel", "asan", "tsan")},
        "kernels": {"nestling": {
            "runs": "guests", "linker": "/bin/sh", "flags": [str(root / "build/cmake/link.sh")],
            "objects": [tree.compile("kernel", KERNEL)], "archives": ["vmm", "kern"]}},
        "test_objects": {"lab1-tests.asan": [tests], "lab1-tests.tsan": [tests]},
        "files": {"guest.elf": str(root / "build/cmake/guest.elf")}}))
    return tree


def processes_in(root: Path) -> list[str]:
    """The command lines of the processes that have to do with the tree."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(root) in words and int(pid) != os.getpid():
            found.append(words)
    return found
