# SPDX-License-Identifier: MIT
"""The guest's results are read as the guest writes them, and hand-made guests do what they are
told."""

import subprocess
from pathlib import Path

import pytest

from grader.evidence import guest_results
from grader.testkit.hand_made import MULTIBOOT2_HEADER, touching_code

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
#include <cstdio>
#include "guest/gkernel/results.hh"
int main() {
    guest::GuestResults r{.magic = {'N','E','S','T','L','I','N','G','-','G','K','E','R','N','1'}};
    r.key = 7; r.cpus = 2; r.memory_kib = 4096; r.finished = 1; r.area_count = 2;
    r.x2apic = 1; r.device_interrupts = 6;
    r.problems = guest::problem::not_zero | guest::problem::missing_cpus;
    r.areas[1] = {.address = 1, .pages = 2, .digest = 3, .not_zero = 4, .wrong_words = 5};
    r.cpu[1] = {.up = 1, .race_digest = 8, .each_digest = 9, .timer_interrupts = 3};
    std::fwrite(&r, sizeof r, 1, stdout);
}
"""


def test_layout_is_the_guests(tmp_path: Path) -> None:
    program = tmp_path / "results"
    command = ["g++", "-std=c++23", f"-I{ROOT}", "-x", "c++", "-", "-o", str(program)]
    subprocess.run(command, input=PROGRAM, text=True, check=True)
    block = subprocess.run([program], check=True, capture_output=True).stdout
    assert len(block) == guest_results.SIZE
    found = guest_results.parse(block)
    assert (found.key, found.cpus, found.memory_kib, found.finished) == (7, 2, 4096, True)
    assert (found.x2apic, found.device_interrupts) == (True, 6)
    assert found.areas[1] == guest_results.AreaResult(1, 2, 3, 4, 5)
    assert found.cpu == (
        guest_results.CpuResult(0, 0, 0, 0),
        guest_results.CpuResult(1, 8, 9, 3),
    )
    assert "not all vCPUs" in found.problem_words and "bss was not zero" in found.problem_words


def test_other_bytes_are_no_results() -> None:
    with pytest.raises(ValueError, match="begins with"):
        guest_results.parse(bytes(guest_results.SIZE))
    others = b"NESTLING-GUEST1".ljust(guest_results.SIZE, b"\0")
    with pytest.raises(ValueError, match="this is the block of vmm/user/guest_evidence.hh"):
        guest_results.parse(others)


def test_touching_code_is_what_a_disassembler_says(tmp_path: Path) -> None:
    file = tmp_path / "code"
    file.write_bytes(touching_code([0x123000], 77))
    command = ["objdump", "-D", "-b", "binary", "-m", "i386", str(file)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in ("mov    0x123000,%al", "mov    $0x4d,%ebx", "xor    %eax,%eax", "vmmcall", "vmcall", "hlt"):
        assert line in text
    assert sum(int.from_bytes(MULTIBOOT2_HEADER[i : i + 4], "little") for i in (0, 4, 8, 12)) % (
        1 << 32
    ) == 0
