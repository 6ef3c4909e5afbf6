# SPDX-License-Identifier: MIT
"""What becomes of a verdict that a test's process says when it is asked, and what such a process
may do."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.course.lab import ROOT
from grader.judge import outcome
from grader.judge.questions import FAILED, FORGED, NOTHING, PASSED, Questions


def asked(answer: Callable[[str, str], str | None], hello: str = "A.B ended 2 3") -> str:
    """What comes of a process that answers so: `answer` takes report or poison, and the word."""
    with Questions("A.B") as questions:
        hear, say = (os.fdopen(os.dup(one), mode) for one, mode in zip(questions.descriptors, "rw"))

        def process() -> None:
            say.write(hello + "\n")
            say.flush()
            for line in hear:
                what, _, word = line.strip().partition(" ")
                text = answer(what, word)
                if not word or text is None:
                    break
                say.write(text + "\n")
                say.flush()
            say.close()

        run = threading.Thread(target=process)
        run.start()
        if hello == "A.B ended 2 3":
            while run.is_alive() and questions._thread.is_alive():
                run.join(0.01)
    hear.close()
    run.join(10)
    return questions.found


def honest(passed: bool) -> Callable[[str, str], str]:
    state = {"passed": passed}

    def answer(what: str, word: str) -> str:
        state["passed"] &= what != "poison"
        return f"A.B {word} {'passed' if state['passed'] else 'failed'}"

    return answer


def test_honest_process_is_believed() -> None:
    assert {asked(honest(True)) for _ in range(8)} == {PASSED}
    assert asked(honest(False)) == FAILED


def test_process_that_says_passed_whatever_happens_is_found() -> None:
    assert {asked(lambda what, word: f"A.B {word} passed") for _ in range(8)} == {FORGED}


def test_process_that_guesses_is_found() -> None:
    assert asked(lambda what, word: "A.B 0123456789abcdef passed") == FORGED
    assert asked(lambda what, word: f"A.C {word} passed") == FORGED
    assert asked(lambda what, word: None) == NOTHING
    assert asked(honest(True), hello="A.B passed") == NOTHING


PROGRAM = """
#include "labs/unit_confine.hh"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
int main() {
    char page[1];
    lab::confine();
    void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::printf("memory %d\\n", memory != MAP_FAILED);
    std::printf("read %zd\\n", read(open("/proc/self/maps", O_RDONLY), page, 1));
    std::printf("write %d\\n", open("/tmp/nest-confined", O_WRONLY | O_CREAT, 0600));
    std::printf("socket %d\\n", socket(AF_INET, SOCK_STREAM, 0));
    std::printf("vfork %d\\n", static_cast<int>(syscall(__NR_vfork)));
    std::printf("fork %d\\n", fork());
    std::fflush(stdout);
    execl("/bin/true", "true", nullptr);
    std::printf("program %d\\n", errno);
}
"""


def test_process_may_work_with_memory_and_read_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.cc").write_text(PROGRAM)
    subprocess.run(["g++", "-std=c++23", f"-I{ROOT}", "-o", str(tmp_path / "a"), str(tmp_path / "a.cc")], check=True)
    done = subprocess.run([str(tmp_path / "a")], capture_output=True, text=True, check=True)
    assert dict(line.split() for line in done.stdout.splitlines()) == {
        "memory": "1", "read": "1", "write": "-1", "socket": "-1", "vfork": "-1", "fork": "-1",
        "program": "1"}, done.stderr


def test_stub_is_believed_only_where_it_stands(tmp_path: Path) -> None:
    stub = tmp_path / "elf_decode.cc"
    stub.write_text('int f() { todo("lab1.elf_decode"); todo("lab5.load_page"); }\n')
    line = f"TODO lab1.elf_decode: {stub}:1 is not written yet"
    found = outcome.stub_reached(line, "lab1.elf_decode")
    assert found is not None and found.kind == outcome.NOT_WRITTEN
    endless = tmp_path / "endless" / "elf_decode.cc"
    endless.mkdir(parents=True)
    os.mkfifo(endless / "pipe")
    for forged in (line.replace("lab1.elf_decode", "lab1.map_segment"), line.replace("elf_decode.cc", "b.cc"),
                   line.replace("elf_decode.cc", "elf_decode\x1b[31m.cc"), line.replace("lab1.elf_decode", "lab5.load_page"),
                   line.replace(str(stub), str(endless))):
        assert outcome.stub_reached(forged, "lab1.elf_decode") is None
    assert outcome.stub_reached("TODO lab9.z: x.cc:1 is not written yet\n" + line, "lab1.elf_decode") == found
