# SPDX-License-Identifier: MIT
"""Images that lab 6's kernel refuses for their code; and its decoder beside a disassembler,
Capstone."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

from grader.build import lab_kernel
from grader.build.answers import reference_answers
from grader.course.lab import load_all
from grader.evidence.soft import ENDED, REFUSED
from grader.testkit.boot import run_boot
from grader.testkit.images import PF_R, Segment, elf_image

ROOT = Path(__file__).resolve().parents[2]
BASE = 0x10_0000
SITES, CODE = 1, 2
PT_NOTE = 4
STACK = b"\xbc\0\0\x20\0"
"""mov $0x200000, %esp"""
END = b"\xfa\xf4"
"""cli; hlt: no interrupt will come, so the guest ends."""

pytestmark = pytest.mark.skipif(
    reference_answers(load_all()) is None, reason="a release has no reference answers"
)


def noted(code: bytes, *notes: tuple[int, tuple[int, int]]) -> bytes:
    """A kernel and its notes: of each the type, and one entry of two numbers."""
    text = b"".join(struct.pack("<III12sII", 9, 8, kind, b"Nestling", *entry) for kind, entry in notes)
    return elf_image([Segment(BASE, code), Segment(0, text, flags=PF_R, type=PT_NOTE)], entry=BASE, bits=32)


IMAGES = {
    "SGDT": (noted(b"\x90\x0f\x01\x05\0\0\x20\0" + END, (CODE, (BASE, BASE + 10))), REFUSED,
             "SGDT at 0x100001 would not trap in ring 3"),
    "a POPF that is no site": (noted(STACK + b"\x6a\x02\x9d" + END, (CODE, (BASE, BASE + 10))), REFUSED,
                               "POPF at 0x100007 would not trap in ring 3"),
    "a POPF that is one": (noted(STACK + b"\x6a\x02\x9d" + END, (CODE, (BASE, BASE + 10)), (SITES, (BASE + 7, 2))),
                           ENDED, "it is halted"),
    "bytes like POPF": (noted(STACK + b"\x6a\x9d" + END, (CODE, (BASE, BASE + 9))), ENDED, "it is halted"),
    "no instruction": (noted(b"\x90\xd6" + END, (CODE, (BASE, BASE + 4))), REFUSED,
                       "what stands at 0x100001 in its code is no instruction that this host knows"),
    "data behind the code": (noted(END + b"\x0f\x01\x05\0\0\x20\0", (CODE, (BASE, BASE + 2))), ENDED, "it is halted"),
    "code that is not there": (noted(END, (CODE, (BASE, BASE + 3))), REFUSED, "out of range"),
    "code that ends before it begins": (noted(END, (CODE, (BASE + 2, BASE))), REFUSED, "out of range"),
    "code below the text": (noted(END, (CODE, (BASE - 1, BASE + 2))), REFUSED, "out of range"),
    "code without a note": (elf_image([Segment(BASE, b"\x0f\xa2" + END)], entry=BASE, bits=32), ENDED, "it is halted"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_what_is_silent_in_ring_3_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    image, end, words = IMAGES[name]
    built = lab_kernel.build(print, next(lab for lab in load_all() if lab.id == "lab6"), reference=True)
    result = run_boot(built.kernel, {}, image, cpus=1, transcript_dir=tmp_path / "transcript", runs="soft", seconds=60)
    assert (result.ended, result.status) == ("powered off", 0), result.explain()
    assert [record.end for record in result.evidence.records] == [end] * 3, result.serial[-2000:]
    assert words in result.serial
    assert [record.frames_left for record in result.evidence.records[1:]] == [0, 0]


PROGRAM = r"""
#include <cstdio>
#include <string>
#include "vmm/soft/code.hh"
int main() {
    unsigned value = 0;
    for (;;) {
        std::byte code[15];
        for (std::byte& each : code) {
            if (std::scanf("%2x", &value) != 1) return 0;
            each = static_cast<std::byte>(value);
        }
        const auto found = vmm::soft::decode_code(code);
        const std::string name{found ? vmm::soft::silent_name(*found) : ""};
        std::printf("%d %s\n", found ? found->length : 0, name.c_str());
    }
}
"""
MNEMONICS = {
    "PUSHF": ("pushf", "pushfd"), "POPF": ("popf", "popfd"), "CPUID": ("cpuid",), "SGDT": ("sgdt",), "SIDT": ("sidt",),
    "SLDT": ("sldt",), "STR": ("str",), "SMSW": ("smsw",), "LAR": ("lar",), "LSL": ("lsl",), "VERR": ("verr",),
    "VERW": ("verw",), "far CALL": ("lcall",), "PUSH of a segment register": ("push",), "MOV from a segment register": ("mov",)}
PREFIXES = bytes([0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3])
LEFT_OUT = (0x62, 0xC4, 0xC5, 0xD6, 0xF1)
"""BOUND, LES, LDS (or VEX), SALC, INT1."""
LEFT_OUT_BEHIND_0F = (0x0E, 0x0F, 0x38, 0x3A, 0xA6, 0xA7, 0xB9, 0xFF)
"""3DNow, opcodes of three bytes, PadLock, UD1, UD0."""
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")


def test_the_decoder_says_what_a_disassembler_says(tmp_path: Path) -> None:
    capstone = pytest.importorskip("capstone", reason="python3-capstone is not installed")
    sources = ["vmm/soft/code.cc", "vmm/exits/instruction.cc", "solutions-private/vmm/exits/effective_address.cc"]
    program = tmp_path / "decode"
    subprocess.run([os.environ.get("CXX", "g++"), "-std=c++23", "-O1", f"-I{ROOT}", "-x", "c++", "-",
                    *(str(ROOT / source) for source in sources), "-o", str(program)], input=PROGRAM, text=True, check=True)
    chance = random.Random(6)
    tried = [chance.randbytes(15) for _ in range(60_000)]
    tried += [bytes([0x0F]) + chance.randbytes(14) for _ in range(20_000)]
    text = subprocess.run([program], input="\n".join(code.hex() for code in tried), text=True, capture_output=True,
                          check=True).stdout.splitlines()
    assert len(text) == len(tried)
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    wrong, known, silent = [], 0, set()
    for code, line in zip(tried, text):
        length, _, name = line.partition(" ")
        found = next(disassembler.disasm(code, 0), None)
        if found is None or length == "0":  # one of the two does not know it: such code is refused
            opcode = code.lstrip(PREFIXES)
            if found and opcode[0] not in LEFT_OUT and not (opcode[0] == 0x0F and opcode[1] in LEFT_OUT_BEHIND_0F):
                wrong.append(f"{code.hex()}: not known, and Capstone: {found.mnemonic} {found.op_str}")
            continue
        known += 1
        word = found.mnemonic.split()[-1]
        is_silent = word in ("pushf", "pushfd", "popf", "popfd", "cpuid", "sgdt", "sidt", "sldt", "str", "smsw", "lar", "lsl",
                             "verr", "verw", "lcall") or (word == "push" and found.op_str in SEGMENTS) or (
            word == "mov" and found.op_str.rpartition(", ")[2] in SEGMENTS)
        if found.size != int(length) or is_silent != bool(name) or (name and word not in MNEMONICS[name]):
            wrong.append(f"{code.hex()}: {length} {name or '-'}, and Capstone: {found.size} {found.mnemonic} {found.op_str}")
        silent.add(name)
    assert not wrong, f"{len(wrong)}: " + "\n".join(wrong[:20])
    assert known > 50_000 and len(silent) == len(MNEMONICS) + 1
