# SPDX-License-Identifier: MIT
"""lab2: the booted cases of all five tasks, in one boot.

The user-level VMM runs with the answers under judgement, in the kernel with the answers under
judgement. What came of it is judged from outside: by the evidence block, by a walk of the guests'
second-level tables in the machine's memory, and by that memory, compared with the guests' files,
which are made for this run. Each test's name begins with its task: lookup (lab2.ept_lookup_gpa),
page (lab2.ept_map_hva2gpa), syscall (lab2.sys_ept_map), kernel (lab2.copy_guest_kern_gpa), region
(lab2.map_in_guest).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace

from grader.testkit.boot import BootResult
from grader.testkit.digest import digest, key_of
from grader.testkit.hand_made import exit_code
from grader.testkit.images import PF_R, PF_W, PF_X, GuestImage, Segment, elf_image, pattern
from grader.testkit.plans import RunPlan
from grader.testkit.records import GuestEnd, GuestRecord, ProgramEnd
from grader.testkit.user_guests import (
    BOOT_SECTOR, HAND_OVER, KERNEL, SECTOR, VMM, arguments, bytes_of, check_digests, common_files,
    kernel_segments, leaves_of, pages_of, read, record_of, results_of, rights_of,
)  # fmt: skip
from grader.testkit.user_programs import finish_status, pages_seen
from grader.testkit.user_programs import record_of as program_of

CPUS = 2
MEMORY_MIB = 128
LIMIT_MS = 4000
"""Of a step. A guest in wrong memory runs for ever, in one step after the other."""
PAGE = 4096
KIB = 1024
KERNEL_KIB, MADE_KIB = 6144, 4096
USER_PAGE, TABLE = "user page", "second-level table"
UTEMP = 0x3FF000
REFUSED = 100
FAILURES = {"bad address": 3, "not found": 4, "out of memory": 5, "bad format": 7}
EXIT = 77

# A guest made by hand: its code, and two segments with no bound on a page boundary; the second ends
# inside a page that has no byte of the file. Its table of program headers stands at the file's end,
# with entries that are larger than we know, among them one that is not loaded and one that has no
# pages.
CODE = 0x20_0000
FIRST, FIRST_FILE, FIRST_SIZE = 0x21_0123, 0x1F40, 0x2000
SECOND, SECOND_FILE, SECOND_SIZE = 0x22_0FF8, 0x1A01, 0x3100
NOTE = 4
ENTRY_SIZE = 72


def _made(nonce: str) -> bytes:
    segments = [
        Segment(0xFFFF_F000, b"", memsz=1 << 40, type=NOTE),
        Segment(CODE, exit_code(EXIT), flags=PF_R | PF_X),
        Segment(CODE, b"", memsz=0, flags=PF_R | PF_W | PF_X),
        Segment(FIRST, pattern(nonce, "first", FIRST_FILE), memsz=FIRST_SIZE, flags=PF_R | PF_W),
        Segment(SECOND, pattern(nonce, "second", SECOND_FILE), memsz=SECOND_SIZE, flags=PF_R),
    ]
    file = bytearray(elf_image(segments, entry=CODE))
    begin, size, count = 64, 56, len(segments)
    table = bytes(file[begin : begin + size * count])
    file[begin : begin + size * count] = pattern(nonce, "no table", size * count)
    file += bytes(-len(file) % 8)
    file[32:40] = struct.pack("<Q", len(file))
    file[54:56] = struct.pack("<H", ENTRY_SIZE)
    for at in range(0, len(table), size):
        file += table[at : at + size] + b"\xff" * (ENTRY_SIZE - size)
    return bytes(file)


def _refused_files() -> dict[str, tuple[bytes, str]]:
    """Kernels that must be refused, and why. The good segment comes first."""
    code = Segment(CODE, exit_code(EXIT))
    good = elf_image([code], entry=CODE)

    def changed(at: int, value: bytes) -> bytes:
        return good[:at] + value + good[at + len(value) :]

    def with_segment(segment: Segment) -> bytes:
        return elf_image([code, segment], entry=CODE)

    mask = (1 << 64) - 1
    return {
        "magic": (changed(0, b"\x7eELF"), "the file does not begin with 7f 'E' 'L' 'F'"),
        "class": (changed(4, b"\x01"), "the file is an ELF32"),
        "order": (changed(5, b"\x02"), "the file is big-endian"),
        "type": (changed(16, b"\x03"), "e_type is ET_DYN"),
        "machine": (changed(18, b"\xb7"), "e_machine is AArch64"),
        "no-table": (changed(56, b"\0\0"), "there are no program headers"),
        "many": (changed(56, b"\x11\0"), "there are 17 program headers"),
        "entry-size": (changed(54, b"\x37\0"), "e_phentsize is 55"),
        "table": (changed(32, struct.pack("<Q", len(good) - 55)), "the table ends behind the file"),
        "wraps": (changed(32, struct.pack("<Q", mask - 7)), "e_phoff + e_phentsize wraps"),
        "short": (good[:63], "the file ends in its header"),
        "filesz": (
            with_segment(Segment(FIRST, bytes(64), memsz=32)), "p_filesz is greater than p_memsz",
        ),
        "memory-wraps": (
            with_segment(Segment(FIRST, bytes(64), memsz=mask - 0x1000)), "p_paddr + p_memsz wraps",
        ),
        "offset-wraps": (
            with_segment(Segment(FIRST, b"", filesz=64, memsz=64, offset=mask - 8)),
            "p_offset + p_filesz wraps",
        ),
    }  # fmt: skip


def _ended_files() -> dict[str, bytes]:
    """Kernels whose headers are good, and which still cannot be loaded."""
    code = Segment(CODE, exit_code(EXIT))
    return {
        "truncated": elf_image(
            [code, Segment(FIRST, bytes(64), filesz=0x2800, memsz=0x2800)], entry=CODE
        ),
        "beyond": elf_image([code, Segment(MADE_KIB * KIB - PAGE, b"end", memsz=2 * PAGE)], entry=CODE),
    }


def plan(nonce: str, guests: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[RunPlan]]:
    """All steps of the boot; each makes one guest."""
    files = common_files(nonce, guests)
    files["made.elf"] = _made(nonce)
    files["half.bin"] = files[SECTOR][:300]
    files["ept_errors.elf"] = guests["user/ept_errors.elf"]
    told = [f"nonce={nonce}", "touch=text,rodata,data,bss,ram:0x400:4:16:w"]
    kernel = arguments({"kernel": KERNEL, "memory": KERNEL_KIB, "hypercalls": 1}, told)
    made = {"kernel": "made.elf", "memory": MADE_KIB, "hypercalls": 1}
    steps = [
        RunPlan("kernel", VMM, keep=True, args=kernel),
        RunPlan("made", VMM, keep=True, args=arguments(made)),
        RunPlan("gone", VMM, args=arguments(made)),
        RunPlan("errors", "ept_errors.elf", keep=True, args=f"key={key_of(nonce):#x}"),
        RunPlan("missing", VMM, args=arguments(made | {"kernel": "nobody.elf"})),
        RunPlan("half", VMM, keep=True, args=arguments(made | {"boot": "half.bin"})),
        RunPlan("exhausted", VMM, args=arguments(made), memory=400),
    ]
    for name, (data, _) in _refused_files().items():
        files[f"{name}.elf"] = data
        steps.append(RunPlan(name, VMM, args=arguments(made | {"kernel": f"{name}.elf"})))
    for name, data in _ended_files().items():
        files[f"{name}.elf"] = data
        args = arguments(made | {"kernel": f"{name}.elf"})
        steps.append(RunPlan(name, VMM, keep=name == "truncated", args=args))
    steps.append(RunPlan("last", VMM, args=arguments(made)))
    return files, [replace(step, limit_ms=LIMIT_MS) for step in steps]


def _image(nonce: str, guests: Mapping[str, bytes], name: str) -> GuestImage:
    return GuestImage(common_files(nonce, guests)[KERNEL] if name == "kernel" else _made(nonce))


def _ran(booted: BootResult, name: str, status: int) -> GuestRecord:
    """The record of a guest that must have ended by itself."""
    record = record_of(booted, name)
    assert record.end is GuestEnd.EXITED and record.status == status, (
        f"the guest of `{name}` did not run to its end: {record.describe()}; the VMM "
        f"{program_of(booted, name).describe()}{_said(booted, name)}; wanted: exited with {status}"
    )
    return record


def _said(booted: BootResult, name: str) -> str:
    """What a step said on the console, and what the host said of its guest: the first lines."""
    lines: list[str] = []
    for line in booted.serial.splitlines():
        if line.startswith(f"{name}: "):
            break
        lines = [] if ": exited with " in line else [*lines, line]
    words = [line for line in lines if line.startswith(("vmm: ", "VM ", "panic"))]
    return f" (on the console: {'; '.join(words[:3])})" if words else ""


def _vmm_ended(booted: BootResult, name: str, failure: str, rule: str) -> None:
    """How the VMM itself must have ended; vmm/user/program/main.cc."""
    program = program_of(booted, name)
    status = REFUSED + FAILURES[failure] if failure else 0
    names = {REFUSED + number: f" ({name})" for name, number in FAILURES.items()}
    assert program.end is ProgramEnd.EXITED and program.status == status, (
        f"{rule}: the VMM `{name}` {program.describe()}{names.get(program.status, '')}; wanted: "
        f"exited with {status:#x}{names.get(status, '')}{_said(booted, name)}"
    )


def _all_back(booted: BootResult, name: str, rule: str) -> None:
    """Of a step that was not kept, no frame is left."""
    program = program_of(booted, name)
    for account in (USER_PAGE, TABLE, "page table", "environment", "virtual CPU", "heap"):
        lost = program.after.get(account, 0) - program.before.get(account, 0)
        assert lost <= 0 or account == "heap", (
            f"{rule}: {lost} frames of the account `{account}` did not come back; wanted: all"
        )


# lab2.ept_lookup_gpa


def test_lookup_finds_what_the_cpu_finds(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.ept_lookup_gpa: the guest's kernel, entered by the boot sector, finds all its memory."""
    record = _ran(booted, "kernel", 0)
    image = _image(nonce, guests, "kernel")
    check_digests(results_of(booted, record, image), image, nonce)


def test_lookup_makes_no_table_too_many(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.ept_lookup_gpa: a table for each 2 MiB that have a page, one for each level above, no
    more."""
    record = _ran(booted, "made", EXIT)
    pages = pages_of(_image(nonce, guests, "made"), MADE_KIB * KIB)
    wanted = sum(len({page >> shift for page in pages}) for shift in (21, 30, 39, 48))
    seen = record.ended[TABLE] - record.before[TABLE]
    assert seen == wanted, f"{seen} frames were taken for tables; wanted: {wanted}"


# lab2.ept_map_hva2gpa


def test_page_holds_what_the_vmm_gave(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.ept_map_hva2gpa: each guest-physical page is the page that was given, and no other
    frame."""
    record = _ran(booted, "made", EXIT)
    image, sector = _image(nonce, guests, "made"), guests[SECTOR]
    leaves = leaves_of(booted, record)
    assert len({leaf.hpa for leaf in leaves.values()}) == len(leaves), (
        "two guest pages lie in one frame; wanted: a frame for each"
    )
    for gpa in (*range(CODE, CODE + PAGE, PAGE), *range(SECOND // PAGE * PAGE, SECOND, PAGE)):
        assert gpa in leaves, f"the page at GPA {gpa:#x} is not there"
        seen = booted.memory.read(leaves[gpa].hpa, PAGE)
        _same_bytes(seen, bytes_of(image, sector, gpa), gpa, "the guest's page")


def test_page_has_the_rights_that_were_asked_for(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.ept_map_hva2gpa: the entry allows what the permission says, and nothing else."""
    for name, kib, status in (("kernel", KERNEL_KIB, 0), ("made", MADE_KIB, EXIT)):
        leaves = leaves_of(booted, _ran(booted, name, status))
        for gpa, page in pages_of(_image(nonce, guests, name), kib * KIB).items():
            if gpa not in leaves:
                continue  # another test's affair
            seen = rights_of(leaves[gpa])
            assert seen == page.rights, (
                f"the page at GPA {gpa:#x} ({page.what}) has {seen}; wanted: {page.rights}"
            )


# lab2.sys_ept_map


def test_syscall_refuses_what_it_must(booted: BootResult, nonce: str) -> None:
    """lab2.sys_ept_map: a program that asks for what it may not gets each time the right error."""
    program = program_of(booted, "errors")
    assert program.end is ProgramEnd.EXITED and program.status == finish_status(nonce, 1), (
        f"ept_errors.elf {program.describe()}. {_wrong_answers(booted)}"
    )


def _wrong_answers(booted: BootResult) -> str:
    """What ept_errors.elf has said of the answers that it got."""
    lines = [line.removeprefix("wrong: ") for line in booted.serial.splitlines()
             if line.startswith("wrong: ")]  # fmt: skip
    return "Of wrong answers it says: " + ("; ".join(lines[:4]) or "nothing")


def test_syscall_shares_the_frame(booted: BootResult, nonce: str) -> None:
    """lab2.sys_ept_map: the guest gets the program's very frame, with the rights asked for, and
    keeps it."""
    record = record_of(booted, "errors")
    leaves = leaves_of(booted, record)
    wanted = {0x3000: (1, "rwx"), 0x4000: (2, "r-x"), 0x5000: (3, "rw-"), 0x3_F000: (1, "r--")}
    assert leaves.keys() >= wanted.keys(), (  # pages that should have been refused are not its affair
        f"the guest has pages at {[hex(gpa) for gpa in sorted(leaves)]}; wanted: "
        f"{[hex(gpa) for gpa in sorted(wanted)]}. {_wrong_answers(booted)}"
    )
    for gpa, (number, rights) in wanted.items():
        seen = int.from_bytes(booted.memory.read(leaves[gpa].hpa, 8), "little")
        word = digest(number.to_bytes(8, "little"), key_of(nonce))
        assert seen == word, (
            f"the page at GPA {gpa:#x} begins with {seen:#x}; wanted: {word:#x}, which the program "
            "has written to its page"
        )
        assert rights_of(leaves[gpa]) == rights, (
            f"the page at GPA {gpa:#x} has {rights_of(leaves[gpa])}; wanted: {rights}"
        )


def test_syscall_loses_no_frame(booted: BootResult) -> None:
    """lab2.sys_ept_map: a guest's pages go back with it: also when memory ran out half-way."""
    _vmm_ended(booted, "gone", "", "a guest that was not kept")
    _all_back(booted, "gone", "a guest that has run and was destroyed")
    _vmm_ended(booted, "exhausted", "out of memory", "memory ran out")
    _all_back(booted, "exhausted", "memory ran out while the guest was loaded")
    _ran(booted, "last", EXIT)


# lab2.copy_guest_kern_gpa


def test_kernel_segments_lie_where_the_file_says(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.copy_guest_kern_gpa: each segment is at its physical address, with its rights, wherever
    the table of program headers stands; what is not PT_LOAD is not loaded."""
    record = _ran(booted, "made", EXIT)
    leaves, image = leaves_of(booted, record), _image(nonce, guests, "made")
    for segment in kernel_segments(image):
        for gpa in range(segment.paddr // PAGE * PAGE, segment.paddr + segment.size, PAGE):
            assert gpa in leaves, f"the page at GPA {gpa:#x} of the kernel is not there"
            wanted = pages_of(image, MADE_KIB * KIB)[gpa].rights
            seen = rights_of(leaves[gpa])
            assert seen == wanted, f"the page at GPA {gpa:#x} has {seen}; wanted: {wanted}"
        seen = read(booted, record, segment.paddr, len(segment.data))
        _same_bytes(seen, segment.data, segment.paddr, "a segment's file bytes")


def test_kernel_of_the_course_is_loaded(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.copy_guest_kern_gpa: text and constants of gkernel are in the guest, byte for byte."""
    record = _ran(booted, "kernel", 0)
    for segment in kernel_segments(_image(nonce, guests, "kernel")):
        if segment.flags & PF_W:
            continue  # it runs, and writes
        seen = read(booted, record, segment.paddr, len(segment.data))
        _same_bytes(seen, segment.data, segment.paddr, "the guest kernel")


def test_kernel_that_is_none_is_refused(booted: BootResult) -> None:
    """lab2.copy_guest_kern_gpa: bad headers are refused before anything of the kernel is mapped."""
    for name, (_, rule) in _refused_files().items():
        _vmm_ended(booted, name, "bad format", rule)
        pages = record_of(booted, name).pages
        assert pages == 1, (
            f"{rule}: the guest has {pages} pages; wanted: the boot sector's alone, since no segment "
            "is mapped before all headers are known to be good"
        )
        _all_back(booted, name, rule)
    _vmm_ended(booted, "missing", "not found", "there is no such file")


# lab2.map_in_guest


def test_region_is_the_boot_sector(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.map_in_guest: 512 bytes at 0x7c00, in the middle of a page of zeros."""
    record = _ran(booted, "made", EXIT)
    gpa = BOOT_SECTOR // PAGE * PAGE
    seen = read(booted, record, gpa, PAGE)
    _same_bytes(seen, bytes_of(_image(nonce, guests, "made"), guests[SECTOR], gpa), gpa, "the page")


def test_region_has_all_its_bytes(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.map_in_guest: the file's bytes, then zeros up to the end of the last page: all of
    memory, page by page."""
    record = _ran(booted, "made", EXIT)
    image, leaves = _image(nonce, guests, "made"), leaves_of(booted, record)
    for gpa in pages_of(image, MADE_KIB * KIB):
        if gpa != HAND_OVER:
            assert gpa in leaves, f"the page at GPA {gpa:#x} is not there"
            seen = booted.memory.read(leaves[gpa].hpa, PAGE)
            _same_bytes(seen, bytes_of(image, guests[SECTOR], gpa), gpa, "the guest's memory")


def test_region_has_no_page_too_many(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab2.map_in_guest: exactly the pages that hold a byte are mapped, and nothing stays at
    UTEMP."""
    for name, kib, status in (("made", MADE_KIB, EXIT), ("kernel", KERNEL_KIB, 0)):
        leaves = leaves_of(booted, _ran(booted, name, status))
        wanted = pages_of(_image(nonce, guests, name), kib * KIB)
        for gpa in sorted(wanted.keys() - leaves.keys()):
            raise AssertionError(
                f"the page at GPA {gpa:#x} ({wanted[gpa].what}) is not there: `{name}`"
            )
        for gpa in sorted(leaves.keys() - wanted.keys()):
            raise AssertionError(f"the page at GPA {gpa:#x} is there; wanted: none: `{name}`")
    for name in ("half", "truncated"):
        program = program_of(booted, name)
        assert program.end is ProgramEnd.EXITED, (
            f"the VMM `{name}` did not end by itself: {program.describe()}"
        )
        assert UTEMP not in pages_seen(booted, program), (
            f"the VMM `{name}` has ended with a page mapped at UTEMP; wanted: none"
        )


def test_region_that_cannot_be_is_refused(booted: BootResult) -> None:
    """lab2.map_in_guest: a file that ends too early is bad_format, and the kernel's refusal comes
    back."""
    for name, failure, rule in (
        ("half", "bad format", "the boot sector's file has 300 bytes"),
        ("truncated", "bad format", "the file ends inside a segment"),
        ("beyond", "bad address", "a segment is beyond the guest's memory"),
    ):
        _vmm_ended(booted, name, failure, rule)


def _same_bytes(seen: bytes, wanted: bytes, gpa: int, what: str) -> None:
    if seen == wanted:
        return
    for offset, (have, want) in enumerate(zip(seen, wanted, strict=True)):
        assert have == want, (
            f"{what}: the byte at GPA {gpa + offset:#x} is {have:#04x}; wanted: {want:#04x}"
        )
