# SPDX-License-Identifier: MIT
"""The kernel of lab 6 with guests that mean no good: whatever they do, it ends them, goes on with the next run, and has
all frames back."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from grader.build import lab_kernel
from grader.build.answers import reference_answers
from grader.course.lab import load_all
from grader.evidence.soft import ENDED, EXITED, REFUSED, STOPPED
from grader.testkit.boot import run_boot
from grader.testkit.images import Segment, elf_image

pytestmark = pytest.mark.skipif(
    reference_answers(load_all()) is None, reason="a release has no reference answers"
)

BASE = 0x10_0000
CHUNKS = 4096
CHUNK = 32


def _image(code: bytes, *more: Segment) -> bytes:
    return elf_image([Segment(BASE, code), *more], entry=BASE, bits=32)


def _wild(seed: int) -> bytes:
    """A program of random bytes, piece after piece: its kernel goes on with the next one at each exception, until all
    were tried."""
    idt, gdt, pointers, place, handler = 0x20_0000, 0x20_1000, 0x20_2000, 0x20_3000, 0x20_4000
    directory, table, tss, stack = 0x20_5000, 0x20_6000, 0x20_7000, 0x28_0000
    text, user_stack = 0x30_0000, 0x38_0000
    gate = struct.pack("<HHHH", handler & 0xFFFF, 8, 0x8E00, handler >> 16)
    start = b"".join((
        b"\x0f\x01\x15" + struct.pack("<I", pointers),  # lgdt
        b"\x0f\x01\x1d" + struct.pack("<I", pointers + 8),  # lidt
        b"\xb8" + struct.pack("<I", directory) + b"\x0f\x22\xd8",  # mov $directory, %eax; mov %eax, %cr3
        b"\xb8" + struct.pack("<I", 0x8001_0011) + b"\x0f\x22\xc0",  # mov $, %eax; mov %eax, %cr0
        b"\xb8\x10\0\0\0\x8e\xd0",  # mov $0x10, %eax; mov %eax, %ss
        b"\xb8\x28\0\0\0\x0f\x00\xd8",  # mov $0x28, %eax; ltr %ax
        b"\xea" + struct.pack("<IH", handler, 8),  # ljmp
    ))
    next_piece = b"".join((
        b"\xbc" + struct.pack("<I", stack),  # mov $stack, %esp
        b"\xa1" + struct.pack("<I", place),  # mov place, %eax
        b"\x83\xc0" + bytes([CHUNK]) + b"\xa3" + struct.pack("<I", place),  # add $CHUNK, %eax; mov %eax, place
        b"\x3d" + struct.pack("<I", text + CHUNKS * CHUNK),  # cmp $end, %eax
        b"\x73\x10",  # jae 1f
        # push SS, ESP, EFLAGS, CS, EIP; iret
        b"\x6a\x43\x68" + struct.pack("<I", user_stack) + b"\x68\x02\x02\0\0\x6a\x3b\x50\xcf",
        b"\x31\xc0\x31\xdb\xba" + struct.pack("<I", 0x7473654E) + b"\x0f\x01\xd9",  # 1: exit with 0
    ))
    chunks = bytearray(random.Random(seed).randbytes(CHUNKS * CHUNK))
    for i in range(0, len(chunks), CHUNK):
        chunks[i + CHUNK - 2 : i + CHUNK] = b"\x0f\x0b"  # UD2: no piece runs into the next
    return _image(
        start,
        Segment(idt, gate * 256),
        Segment(gdt, struct.pack(
            "<9Q", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0, 0, 0x67 | tss << 16 | 0x89 << 40, 0,
            0x00CFFA000000FFFF, 0x00CFF2000000FFFF)),
        Segment(tss, struct.pack("<III", 0, stack, 0x10), memsz=0x68),
        Segment(pointers, struct.pack("<HI2xHI", 9 * 8 - 1, gdt, 2047, idt)),
        Segment(place, struct.pack("<I", text - CHUNK)),
        Segment(handler, next_piece),
        Segment(directory, struct.pack("<I", table | 7)),
        Segment(table, struct.pack("<1024I", *(page << 12 | (7 if page << 12 >= text else 3) for page in range(1024)))),
        Segment(text, bytes(chunks)),
    )


def _to_virtual_8086_mode() -> bytes:
    """IRET with EFLAGS.VM: QEMU goes where no CPU in long mode does. CS ends in 0 there, as if it were ring 0."""
    code = b"\x6a\0" * 4 + b"\x6a\x10\x68\0\x80\0\0"  # push 0: GS, FS, DS, ES; push SS; push ESP
    code += b"\x68\x02\x02\x02\0\x68\0\x10\0\0\x6a\0\xcf"  # push EFLAGS, CS, EIP; iret
    return _image(b"\xbc\0\0\x28\0" + code)  # mov $0x280000, %esp


GUESTS: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "no ELF file": (b"This is no kernel.", (REFUSED,)),
    "an endless loop": (_image(b"\xeb\xfe"), (STOPPED,)),
    "no IDT": (_image(b"\x0f\x0b"), (ENDED,)),
    "no memory": (_image(b"\xa1\0\0\0\x7f"), (ENDED,)),
    "virtual-8086 mode": (_to_virtual_8086_mode(), (ENDED,)),
    "halted for ever": (_image(b"\xfa\xf4"), (ENDED,)),
    "a fault for ever": (
        # IDTR leads to a gate whose handler faults at its first instruction, with a trap gate and a stack that
        # comes around.
        _image(b"\x0f\x01\x1d" + struct.pack("<I", BASE + 0x800) + b"\x0f\x0b",
               Segment(BASE + 0x800, struct.pack("<HI", 2047, 0x20_0000)),
               Segment(0x20_0000, struct.pack("<HHHH", 0x7, 8, 0x8F00, BASE >> 16) * 256)), (ENDED, STOPPED)),
}


@pytest.mark.parametrize("name", [*GUESTS, "random pieces"])
def test_a_hostile_guest_ends_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    image, ends = GUESTS.get(name) or (_wild(random.randrange(1 << 32)), (EXITED, ENDED, STOPPED))
    built = lab_kernel.build(print, next(lab for lab in load_all() if lab.id == "lab6"), reference=True)
    result = run_boot(built.kernel, {}, image, cpus=1, transcript_dir=tmp_path / "transcript", runs="soft", seconds=120)
    assert (result.ended, result.status) == ("powered off", 0), result.explain()
    assert result.evidence.finished and len(result.evidence.records) == 3, result.serial[-2000:]
    for record in result.evidence.records:
        assert record.end in ends, result.serial[-2000:]
    assert [record.frames_left for record in result.evidence.records[1:]] == [0, 0], result.serial[-2000:]
