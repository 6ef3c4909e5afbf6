# SPDX-License-Identifier: MIT
"""The kernel of lab 6 with guests that mean no good: whatever they do, it ends them, goes on with
the next run, and has all frames back."""

from __future__ import annotations

import itertools
import random
import struct
from pathlib import Path

import pytest

from grader.build import lab_kernel
from grader.build.answers import reference_answers
from grader.course.lab import load_all
from grader.evidence.soft import ENDED, EXITED, REFUSED, STOPPED, SoftRecord
from grader.testkit.boot import run_boot
from grader.testkit.images import Segment, elf_image

pytestmark = pytest.mark.skipif(
    reference_answers(load_all()) is None, reason="a release has no reference answers"
)

BASE = 0x10_0000
WILD = 1000
"""random bytes, at each of which a program is begun"""
PATIENCE = 200_000
"""nanoseconds for each of these programs"""


def _image(code: bytes, *more: Segment) -> bytes:
    return elf_image([Segment(BASE, code), *more], entry=BASE, bits=32)


IDT, GDT, POINTERS, PLACE, KERNEL = 0x20_0000, 0x20_1000, 0x20_2000, 0x20_3000, 0x20_4000
DIRECTORY, TABLE, TSS, STACK = 0x20_5000, 0x20_6000, 0x20_7000, 0x28_0000
APIC, APIC_TABLE = 0xFEE0_0000, 0x20_8000
TEXT, USER_STACK = 0x30_0000, 0x38_0000
EXIT = b"\x31\xc0\xba" + struct.pack("<I", 0x7473654E) + b"\x0f\x01\xd9"
"""With EBX."""


def _number(value: int) -> bytes:
    return struct.pack("<I", value)


def _to_apic(register: int, value: int) -> bytes:
    return b"\xc7\x05" + _number(APIC + register) + _number(value)


def _paged(kernel: bytes, text: bytes, *, begin: int = KERNEL, gates: int = KERNEL, esp0: int = STACK,
           directory: dict[int, int] | None = None, more: Segment | None = None) -> bytes:
    """A kernel with segments, a TSS, and paging: the first 4 MiB at the same addresses, and what
    ``directory`` says beside. It goes on at ``begin``; each exception leads to ``gates``. ``text``
    and what follows is for programs."""
    start = b"".join((
        b"\x0f\x01\x15" + _number(POINTERS),  # lgdt
        b"\x0f\x01\x1d" + _number(POINTERS + 8),  # lidt
        b"\xb8" + _number(DIRECTORY) + b"\x0f\x22\xd8",  # mov $DIRECTORY, %eax; mov %eax, %cr3
        b"\xb8" + _number(0x8001_0011) + b"\x0f\x22\xc0",  # mov $, %eax; mov %eax, %cr0
        b"\xb8\x10\0\0\0\x8e\xd0",  # mov $0x10, %eax; mov %eax, %ss
        b"\xb8\x28\0\0\0\x0f\x00\xd8",  # mov $0x28, %eax; ltr %ax
        b"\xbc" + _number(STACK),  # mov $STACK, %esp
        b"\xea" + struct.pack("<IH", begin, 8),  # ljmp
    ))
    entries = {0: TABLE | 7, **(directory or {})}
    return _image(
        start,
        Segment(IDT, struct.pack("<HHHH", gates & 0xFFFF, 8, 0x8E00, gates >> 16) * 256),
        Segment(GDT, struct.pack(
            "<9Q", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0, 0, 0x67 | TSS << 16 | 0x89 << 40, 0,
            0x00CFFA000000FFFF, 0x00CFF2000000FFFF)),
        Segment(TSS, struct.pack("<III", 0, esp0, 0x10), memsz=0x68),
        Segment(POINTERS, struct.pack("<HI2xHI", 9 * 8 - 1, GDT, 2047, IDT)),
        Segment(PLACE, _number(TEXT - 1)),
        Segment(KERNEL, kernel),
        Segment(DIRECTORY, struct.pack("<1024I", *(entries.get(i, 0) for i in range(1024)))),
        Segment(TABLE, struct.pack("<1024I", *(page << 12 | (7 if page << 12 >= TEXT else 3) for page in range(1024)))),
        Segment(TEXT, text),
        *([more] if more else []),
    )


_TO_PROGRAM = b"\x6a\x43\x68" + _number(USER_STACK) + b"\x68\x02\x02\0\0\x6a\x3b\x50\xcf"
"""Push SS, ESP, EFLAGS, CS, EAX; IRET."""


def wild(seed: int) -> bytes:
    """A program of random bytes, which is begun at each of them in turn: its kernel goes on with
    the next byte at each exception, and by its timer where there is none. It exits with the number
    of bytes at which it has begun."""
    next_byte = b"".join((
        b"\xbc" + _number(STACK),  # mov $STACK, %esp
        _to_apic(0xB0, 0),  # the end of an interrupt, if this is one
        _to_apic(0x380, PATIENCE),
        b"\xa1" + _number(PLACE),  # mov PLACE, %eax
        b"\x40\xa3" + _number(PLACE),  # inc %eax; mov %eax, PLACE
        b"\x3d" + _number(TEXT + WILD),  # cmp $end, %eax
        b"\x73" + bytes([len(_TO_PROGRAM)]),  # jae 1f
        _TO_PROGRAM,
        b"\x8d\x98" + _number(-TEXT & 0xFFFF_FFFF) + EXIT,  # 1: lea -TEXT(%eax), %ebx
    ))
    # Enable the timer; divide by 1; once, vector 0x50.
    begin = _to_apic(0xF0, 0x1FF) + _to_apic(0x3E0, 0xB) + _to_apic(0x320, 0x50)
    begin += b"\xe9" + _number(-(0x100 + len(begin) + 5) & 0xFFFF_FFFF)  # jmp KERNEL
    return _paged(next_byte.ljust(0x100, b"\x90") + begin, random.Random(seed).randbytes(WILD + 15), begin=KERNEL + 0x100,
                  directory={APIC >> 22: APIC_TABLE | 3}, more=Segment(
                      APIC_TABLE, struct.pack("<1024I", *(APIC | 3 if page == APIC >> 12 & 1023 else 0 for page in range(1024)))))


def _self_mapping() -> bytes:
    """The directory is its own last table. By that, each entry but the first becomes the directory
    with some rights, again and again, and then the page that the entry leads to is written."""
    code = b"".join((
        b"\xbd" + _number(5000),  # mov $5000, %ebp
        b"\x69\xf6" + _number(0x41C6_4E6D) + b"\x81\xc6" + _number(12345),  # 1: imul $, %esi; add $, %esi
        bytes.fromhex("89f7 c1ef08 81e7fc0f0000 74e7"),  # mov %esi, %edi; shr $8, %edi; and $0xffc, %edi; jz 1b
        bytes.fromhex("89f0 c1e814 83e007"),  # mov %esi, %eax; shr $20, %eax; and $7, %eax
        b"\x0d" + _number(DIRECTORY),  # or $DIRECTORY, %eax
        b"\x89\x87" + _number(0xFFFF_F000),  # mov %eax, 0xfffff000(%edi)
        bytes.fromhex("89fb c1e314"),  # mov %edi, %ebx; shl $20, %ebx
        bytes.fromhex("8b0c3b 89043b"),  # mov (%ebx, %edi), %ecx; mov %eax, (%ebx, %edi)
        bytes.fromhex("0f20d8 0f22d8"),  # mov %cr3, %eax; mov %eax, %cr3
        bytes.fromhex("90 4d 75bf"),  # 2: nop; dec %ebp; jnz 1b
        b"\x31\xdb" + EXIT,
    ))
    go_on = b"\x83\xc4\x04\xc7\x04\x24" + _number(KERNEL + 0x42) + b"\xcf"  # add $4, %esp; movl $2b, (%esp); iret
    return _paged(code.ljust(0x100, b"\x90") + go_on, b"", gates=KERNEL + 0x100, directory={1023: DIRECTORY | 7})


MODIFIED = 300


def _self_modifying() -> bytes:
    """The page with the running text is a page table as well. It writes the next instruction's
    operand, and adds to a number in the same page, by an instruction that shadow_trace does not
    know. It exits with the sum of the operands."""
    window, entry = 0x7C_0000, 0xF00
    look = b"\x8b\x0d" + _number(window)  # mov window, %ecx
    code = b"".join((
        b"\x31\xdb\xbd" + _number(MODIFIED),  # xor %ebx, %ebx; mov $MODIFIED, %ebp
        look,
        b"\x89\x2d" + _number(TEXT + 0x14),  # 1: mov %ebp, 2f + 1
        b"\xb8\0\0\0\0\x01\xc3",  # 2: mov $0, %eax; add %eax, %ebx
        b"\x83\x05" + _number(TEXT + 0xFF0) + b"\x01",  # addl $1, number
        look,
        bytes.fromhex("0f20d8 0f22d8"),  # mov %cr3, %eax; mov %eax, %cr3
        b"\x4d\x75\xdd",  # dec %ebp; jnz 1b
        EXIT,
    ))
    text = code.ljust(entry, b"\0") + _number(USER_STACK | 7)
    return _paged(b"\x0f\x0b", text.ljust(0x1000, b"\0"), begin=TEXT, directory={1: TEXT | 7})


def _to_virtual_8086_mode() -> bytes:
    """IRET with EFLAGS.VM: QEMU goes where no CPU in long mode does. CS ends in 0 there, as if it
    were ring 0."""
    code = b"\x6a\0" * 4 + b"\x6a\x10\x68\0\x80\0\0"  # push 0: GS, FS, DS, ES; push SS; push ESP
    code += b"\x68\x02\x02\x02\0\x68\0\x10\0\0\x6a\0\xcf"  # push EFLAGS, CS, EIP; iret
    return _image(b"\xbc\0\0\x28\0" + code)  # mov $0x280000, %esp


def _storm() -> bytes:
    """A timer with a period of 1 ns, whose handler says EOI and returns."""
    handler = _to_apic(0xB0, 0) + b"\xcf"
    code = b"".join((
        b"\x0f\x01\x1d" + _number(POINTERS + 8),  # lidt
        b"\x0f\x01\x15" + _number(POINTERS),  # lgdt
        b"\xea" + struct.pack("<IH", BASE + 21, 8),  # ljmp 1f: IRET wants the GDT's selector
        # 1: enable it; divide by 1; periodic, vector 0x50; count 1
        *itertools.starmap(_to_apic, ((0xF0, 0x1FF), (0x3E0, 0xB), (0x320, 0x2_0050), (0x380, 1))),
        b"\xbc" + _number(STACK) + b"\xfb",  # mov $STACK, %esp; sti
        b"\xb9" + _number(100_000) + b"\x49\x75\xfd",  # mov $100000, %ecx; 1: dec %ecx; jnz 1b
        b"\x31\xdb" + EXIT,
    ))
    return _image(
        code,
        Segment(IDT, struct.pack("<HHHH", KERNEL & 0xFFFF, 8, 0x8E00, KERNEL >> 16) * 256),
        Segment(GDT, struct.pack("<3Q", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF)),
        Segment(POINTERS, struct.pack("<HI2xHI", 3 * 8 - 1, GDT, 2047, IDT)),
        Segment(KERNEL, handler),
    )


GUESTS: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "no ELF file": (b"This is no kernel.", (REFUSED,)),
    "an endless loop": (_image(b"\xeb\xfe"), (STOPPED,)),
    "no IDT": (_image(b"\x0f\x0b"), (ENDED,)),
    "no memory": (_image(b"\xa1\0\0\0\x7f"), (ENDED,)),
    "virtual-8086 mode": (_to_virtual_8086_mode(), (ENDED,)),
    "halted for ever": (_image(b"\xfa\xf4"), (ENDED,)),
    "an IDT where no memory is": (
        _image(b"\x0f\x01\x1d" + _number(BASE + 0x800) + b"\x0f\x0b",
               Segment(BASE + 0x800, struct.pack("<HI", 2047, 0x7F00_0000))), (ENDED,)),
    "a stack that is not there": (
        _paged(b"\xb8" + _number(TEXT) + _TO_PROGRAM, b"\xcd\x80", esp0=0x7F00_0000), (ENDED,)),
    "a byte of the APIC": (_image(b"\xa0" + _number(APIC + 0x20)), (ENDED,)),
    "interrupts without a pause": (_storm(), (EXITED,)),
    "tables that map themselves": (_self_mapping(), (EXITED, ENDED, STOPPED)),
    "text that changes itself": (_self_modifying(), (EXITED,)),
    "a fault for ever": (
        # IDTR leads to a gate whose handler faults at its first instruction, with a trap gate and a
        # stack that comes around.
        _image(b"\x0f\x01\x1d" + struct.pack("<I", BASE + 0x800) + b"\x0f\x0b",
               Segment(BASE + 0x800, struct.pack("<HI", 2047, 0x20_0000)),
               Segment(0x20_0000, struct.pack("<HHHH", 0x7, 8, 0x8F00, BASE >> 16) * 256)), (ENDED, STOPPED)),
}


SAME_WITH_BOTH_OPTIONS = ("tables that map themselves", "text that changes itself")
"""They write CR3 behind each change."""


def booted(image: bytes, folder: Path) -> tuple[list[SoftRecord], str]:
    """What lab 6's kernel tells of three runs of a guest, at whose end it is alive and has all
    frames back; and what it prints."""
    built = lab_kernel.build(print, next(lab for lab in load_all() if lab.id == "lab6"), reference=True)
    result = run_boot(built.kernel, {}, image, cpus=1, transcript_dir=folder, runs="soft", seconds=120)
    assert (result.ended, result.status) == ("powered off", 0), result.explain()
    assert result.evidence.finished and len(result.evidence.records) == 3, result.serial[-2000:]
    assert result.memory.size == 0  # many boots may wait to be judged
    assert [record.frames_left for record in result.evidence.records[1:]] == [0, 0], result.serial[-2000:]
    return list(result.evidence.records), result.serial


def beginnings(folder: Path) -> int:
    """Boots a guest of random bytes: at how many it has begun, in those of three runs that come to
    their end. The others are cut short: QEMU follows an IRET into virtual-8086 mode, which a CPU in
    long mode does not have; or a busy host was too slow for the guest's three seconds."""
    seed = random.randrange(1 << 32)
    records, serial = booted(wild(seed), folder)
    ended = sum(record.end == ENDED for record in records)
    assert serial.count("this machine went to virtual-8086 mode") == ended, f"seed {seed}: {serial[-2000:]}"
    rest = [record for record in records if record.end == EXITED]
    assert all(record.status == WILD for record in rest), f"seed {seed}: {serial[-2000:]}"
    assert all(record.end in (EXITED, ENDED, STOPPED) for record in records), f"seed {seed}: {serial[-2000:]}"
    # A program that ends does so by a fault, an instruction that is emulated, or the timer.
    assert all(record.faults + record.emulated + record.interrupts > WILD for record in rest), f"seed {seed}: {rest}"
    return WILD * len(rest)


@pytest.mark.parametrize("name", GUESTS)
def test_a_hostile_guest_ends_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    image, ends = GUESTS[name]
    records, _ = booted(image, tmp_path / "transcript")
    for record in records:
        assert record.end in ends, records
        if name == "text that changes itself":
            assert record.status == MODIFIED * (MODIFIED + 1) // 2, records
    if name in SAME_WITH_BOTH_OPTIONS:
        on_demand, traced, _ = ((each.end, each.emulated, each.faults) for each in records)
        assert on_demand == traced, records


def test_random_instructions_do_no_harm(tmp_path: Path) -> None:
    """`nest test --only wild` begins at a hundred thousand bytes."""
    assert any(beginnings(tmp_path / f"boot-{boot}") for boot in range(3))
