# SPDX-License-Identifier: MIT
"""`nest run` and `nest debug`, with a kernel of a few instructions in place of a lab's."""

import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from grader.build import lab_kernel
from grader.build.answers import Answers
from grader.course.lab import load_all
from grader.course.release import Release
from grader.tests import tiny_kernel, toy_tree
from grader.tests.tiny_kernel import power_off, say
from grader.verbs.debug import place_of
from grader.verbs.run import choose

ROOT = Path(__file__).resolve().parents[2]

# The command itself, but for what it builds.
DRIVER = """
import platform
import sys
from pathlib import Path
platform.machine = lambda machine=sys.argv.pop(1) or platform.machine(): machine
from grader.build import lab_kernel
from grader.course import lab
from grader.verbs import cli
kernel = Path(sys.argv.pop(1))
lab_kernel.build = lambda *_, **__: lab_kernel.LabKernel(kernel, {"gkernel.elf": kernel})
name = lab.load_all()[0].id
sys.argv = [name if word == "LAB" else word for word in sys.argv]
sys.exit(cli.main())
"""


def nest(kernel: Path, *words: str, processor: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, processor, str(kernel), *words],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        start_new_session=True, preexec_fn=toy_tree.hear_interrupts,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def running_with(path: Path) -> list[str]:
    """Processes that have this path among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(path).encode() in words:
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_serial_line_and_status(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, say("hello\n") + power_off(0))
    status, out, err = finish(nest(kernel, "run", "LAB", "--direct"))
    assert (status, out) == (0, "hello\npower off: 0\n"), err
    assert "powered off with 0" in err


def test_without_a_grub_the_kernel_is_entered_by_pvh(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, say("hello\n") + power_off(0))
    status, out, err = finish(nest(kernel, "run", "LAB", processor="aarch64"))
    assert (status, out) == (0, "hello\npower off: 0\n"), err
    status, _, err = finish(nest(kernel, "run", "LAB", "--grub", processor="aarch64"))
    assert status == 3 and "mend: leave out --grub" in err


@pytest.mark.parametrize(
    ("code", "words"),
    [(power_off(120), "powered off with 120"), ("lidt 0\nud2\n", "triple fault of the host kernel")],
)
def test_bad_end_is_told(tmp_path: Path, code: str, words: str) -> None:
    status, _, err = finish(nest(tiny_kernel.build(tmp_path, code), "run", "LAB", "--direct"))
    assert status == 3 and words in err


def test_a_lab_says_how_its_guest_runs(tmp_path: Path) -> None:
    """Keys of the plan, and the command line unless another one is given."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"guest")
    built = lab_kernel.LabKernel(kernel, {"gkernel.elf": kernel})
    of = replace(load_all()[0], guest_plan=(("apic", "xapic"),), guest_args="timer=1")
    for args, wanted in (("", "timer=1"), ("cpus=2", "cpus=2")):
        load = choose(built, of, program=None, vcpus=2, cpus=4, ram_mib=None, args=args)
        assert f"keep=1 apic=xapic args={wanted}\n".encode() in load.module


def test_time_limit_shows_where_it_was(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, "spin: jmp spin\n")
    status, _, err = finish(nest(kernel, "run", "LAB", "--direct", "--seconds", "2"))
    assert status == 0 and "spin+0x0" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    kernel = tiny_kernel.build(tmp_path, say("up\n") + "spin: jmp spin\n")
    process = nest(kernel, "run", "LAB", "--direct")
    assert process.stdout and process.stdout.readline() == "up\n"
    assert running_with(kernel)
    process.send_signal(number)
    status, _, err = finish(process)
    assert status == 130, err
    assert running_with(kernel) == []


def test_killed_nest_leaves_nothing(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, say("up\n") + "spin: jmp spin\n")
    process = nest(kernel, "run", "LAB", "--direct")
    assert process.stdout and process.stdout.readline() == "up\n"
    emulators = [int(entry) for entry in os.listdir("/proc") if _is_emulator(entry, kernel)]
    waits = [os.pidfd_open(pid) for pid in emulators]
    process.kill()
    process.communicate(timeout=60)
    for fd in waits:
        assert select.select([fd], [], [], 60)[0], "an emulator is still there"
        os.close(fd)
    assert emulators and running_with(kernel) == []


def _is_emulator(entry: str, kernel: Path) -> bool:
    try:
        words = Path(f"/proc/{entry}/cmdline").read_bytes() if entry.isdigit() else b""
    except OSError:
        return False
    return words.startswith(b"qemu-system") and str(kernel).encode() in words


TABLES = """
.data
.balign 4096
root:  .quad middle + 7
.balign 4096
middle: .quad low + 7
.balign 4096
low: .quad leaf + 7
.balign 4096
leaf: .quad 0, 0x9005
.balign 4096
.text
"""


def debug(kernel: Path, *commands: str, places: tuple[str, ...] = ()) -> tuple[int, str]:
    words = ["debug", "LAB", "--batch"]
    for place in places:
        words += ["--break", place]
    for one in commands:
        words += ["--ex", one]
    status, out, err = finish(nest(kernel, *words))
    return status, out + err


def test_debugger_stops_at_a_place_and_walks(tmp_path: Path) -> None:
    code = say("up\n") + ".globl here\nhere: nop\n" + power_off(0) + TABLES
    kernel = tiny_kernel.build(tmp_path, code)
    status, text = debug(
        kernel, "continue", "nest walk 0 (long)&root sparc", "info registers rip",
        "nest walk 0x1234 (long)&root page", "nest walk 0x2000 (long)&root", places=("here",),
    )  # fmt: skip
    assert status == 0, text
    assert "up\n" in text and "<here>" in text
    assert "page table, root at Hpa" in text and ": address 0x1234\n" in text
    assert "r-x, page of 4 KiB at Hpa 0x9000; the byte is Hpa 0x9234" in text
    assert "not present: nobody has loaded this page" in text
    assert "a table is npt, ept or page, not sparc" in text
    assert running_with(kernel) == []


def test_walk_without_a_machine_is_refused(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, power_off(0))
    _, text = debug(kernel, "continue", "nest walk 0")
    assert "the machine has gone" in text


def test_walk_without_evidence_is_refused(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, "here: nop\n" + power_off(0))
    _, text = debug(kernel, "continue", "nest walk 0", places=("here",))
    assert "stop in the pager, or give ROOT" in text


def test_bochs_debugger_stops_at_a_place(tmp_path: Path) -> None:
    code = say("up\n") + ".globl here\nhere: mov $0x1234, %ecx\n" + power_off(0)
    kernel = tiny_kernel.build(tmp_path, code)
    words = ["debug", "LAB", "--machine", "intel-bochs", "--batch", "--break", "here"]
    status, out, err = finish(nest(kernel, *words, "--ex", "c", "--ex", "s", "--ex", "r"))
    assert status == 0, err
    assert "up" in out and "Breakpoint 1" in out and "(here+0)" in out, out
    assert "movl $0x00001234, %ecx" in out and "rcx: 00000000_00001234" in out, out
    assert running_with(kernel) == []


def test_bochs_debugger_needs_a_place_that_is_there(tmp_path: Path) -> None:
    kernel = tiny_kernel.build(tmp_path, power_off(0))
    words = ["debug", "LAB", "--machine", "intel-bochs", "--batch", "--break", "nowhere"]
    status, _, err = finish(nest(kernel, *words))
    assert status == 2 and "0 functions called 'nowhere'" in err


def test_place_of_a_task_in_assembly_is_its_first_label() -> None:
    tasks = [task for lab in load_all() for task in lab.tasks if task.file.endswith(".S")]
    assert tasks
    for task in tasks:
        assert f" {place_of(task)}" in (ROOT / task.file).read_text(), task.id


def test_what_a_release_does_not_have_yet_is_the_references() -> None:
    own = Answers.of({"kern/mine.cc": Path("/own/mine.cc"), "vmm/later.cc": Path("/own/later.cc")})
    references = Answers.of({"kern/mine.cc": Path("/made/mine"), "vmm/later.cc": Path("/made/later")})
    made = Release("course", 1, "2027-01-01", "0", "lab4", ("vmm/later.cc", "vmm/without.cc"))
    assert dict(lab_kernel.with_later(own, references, made).files) == {
        "kern/mine.cc": Path("/own/mine.cc"), "vmm/later.cc": Path("/made/later")}
    assert lab_kernel.with_later(own, references, None) == own
