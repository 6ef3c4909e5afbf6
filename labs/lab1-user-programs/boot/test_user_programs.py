# SPDX-License-Identifier: MIT
"""lab1: the booted cases of all five tasks, in one boot.

Everything is judged from outside: by the evidence block, by a walk of the programs' page tables in
the machine's memory, and by that memory, compared with the programs' files, some of which are made
for this run. What a program itself says counts only as a number that needs this run's key. Each
test's name begins with its task: headers (lab1.elf_decode), mapping (lab1.insert_mapping), segment
(lab1.map_segment), first (lab1.make_iret_frame), enter (lab1.enter_user).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from grader.testkit.boot import BootResult
from grader.testkit.digest import digest, key_of, scramble
from grader.testkit.images import PF_R, PF_W, PF_X, GuestImage, Segment, elf_image, pattern
from grader.testkit.plans import Ground, RunPlan
from grader.testkit.records import ProgramEnd, ProgramRecord, page_table
from grader.testkit.user_programs import (
    FAULTS, INVALID_OPCODE, PAGE_FAULT, PRESENT, STACK_PAGE, STACK_TOP, USER, WRITE, bytes_of, filled,
    finish_status, last_said, pages_of, pages_seen, program_image,
    programs, read, record_of,
)  # fmt: skip

CPUS = 4
PAGE = 4096
MASK = (1 << 64) - 1
USER_PAGE, TABLE, ENVIRONMENT = "user page", "page table", "environment"

# Programs made by hand, in machine code.
CODE = 0x40_0000
UD2 = b"\x0f\x0b"
FLAGS_TO_STATUS = b"\x9c\x5f\x31\xc0\x0f\x05"  # pushfq; pop rdi; xor eax, eax; syscall


def _exit(status: int) -> bytes:
    """mov rdi, status; xor eax, eax; syscall"""
    return b"\x48\xbf" + struct.pack("<Q", status) + b"\x31\xc0\x0f\x05"


# A program whose segments have no bound on a page boundary; two of them share a page.
#   0x500000     0x501000     0x502000              0x503000     0x504000     0x505000
#   | . first... | .......... | .. zeros . second.. | ......zero | zeros .... | zeros ..
FIRST, FIRST_FILE, FIRST_SIZE = 0x50_0123, 0x1F40, 0x2000
SECOND, SECOND_FILE, SECOND_SIZE = 0x50_2345, 0x1A01, 0x3000
SHARED = 0x50_2000
# Far apart: each needs a table of its own in the last level, the one above, and the one above that.
FAR = (0x60_0000, 0x4000_0000, 0x40_0000_0000, 0x7000_0000_0000, 0x7FFF_FFFF_E000)
ENTRY_AT = 0x6C  # where in its segment a program made by hand is entered

EXACT_STATUS = 77

# Programs that store all registers, for who reads their memory afterwards. RSP is no part of it.
NUMBERS = {
    "RAX": 0, "RCX": 1, "RDX": 2, "RBX": 3, "RBP": 5, "RSI": 6, "RDI": 7, "R8": 8, "R9": 9, "R10": 10,
    "R11": 11, "R12": 12, "R13": 13, "R14": 14, "R15": 15,
}  # fmt: skip
"""The general registers, as instructions spell them."""
STORE = 0x50_0000
"""Where a register is stored, 8 bytes each, by its number; RFLAGS and others in free places."""
FLAGS_AT, IDENTIFIER_AT, COUNT_AT = STORE + 8 * 16, STORE + 8 * 17, STORE + 8 * 18
TURNS_OF_LOOP = 8_000_000
"""Longer than a slice of the scheduler, however fast the machine."""
TURNS_BESIDE_A_THREAD = 3 * TURNS_OF_LOOP
"""On QEMU, whose timer is a thread that a busy host lets wait."""
DIRECTION = 1 << 10
TO_CALLEES = ("RBX", "RBP", "R12", "R13", "R14", "R15")
TO_CALLERS = ("RAX", "RCX", "R8", "R9", "R10", "R11")
ARGUMENTS = ("RDI", "RSI", "RDX")


def _code(code: bytes) -> Segment:
    return Segment(CODE, UD2 * (ENTRY_AT // 2) + code, flags=PF_R | PF_X)


def _made(code: bytes, *segments: Segment) -> bytes:
    return program_image([_code(code), *segments], entry=CODE + ENTRY_AT)


def _store(number: int, address: int) -> bytes:
    """mov [address], register"""
    return bytes([0x48 | number >> 3 << 2, 0x89, (number & 7) << 3 | 4, 0x25]) + struct.pack("<I", address)


def _store_all() -> bytes:
    """All registers to their places, RFLAGS by the stack (pushfq; pop [address]; cld), and UD2."""
    stores = b"".join(_store(number, STORE + 8 * number) for number in NUMBERS.values())
    return stores + b"\x9c\x8f\x04\x25" + struct.pack("<I", FLAGS_AT) + b"\xfc" + UD2


def _value(name: str) -> int:
    """What a register holds before the program is interrupted, but for the program's identifier,
    which is added."""
    return 0x0123_4567_89AB_0000 + 0x1111_1111_0000_1000 * NUMBERS[name] & MASK


def _load_all() -> bytes:
    """mov register, value; add register, the program's identifier. RDX, which holds that, comes
    last."""
    code = _store(NUMBERS["RDX"], IDENTIFIER_AT)
    for name in [*(name for name in NUMBERS if name != "RDX"), "RDX"]:
        number = NUMBERS[name]
        code += bytes([0x48 | number >> 3, 0xB8 | number & 7]) + struct.pack("<Q", _value(name))
        code += bytes([0x48 | number >> 3 << 2, 0x03, (number & 7) << 3 | 4, 0x25])
        code += struct.pack("<I", IDENTIFIER_AT)
    return code


def _registers_program(code: bytes, turns: int = 0) -> bytes:
    """A program that does `code`, a loop of so many turns in it, and stores its registers then."""
    return _made(code + _store_all(), Segment(STORE, bytes(COUNT_AT - STORE) + struct.pack("<Q", turns),
                                              memsz=PAGE, flags=PF_R | PF_W))


YIELD = b"\xb8\x01\0\0\0\x0f\x05"  # mov eax, 1; syscall
LOOP = b"\xfd" + b"\x48\xff\x0c\x25" + struct.pack("<I", COUNT_AT) + b"\x75\xf6"  # std; 1: dec [count]; jnz 1b
ENDLESS = b"\xeb\xfe"  # jmp to itself


def _moved_table(program: bytes) -> bytes:
    """The same program, with its program headers at the end of the file and nothing at the old
    place."""
    begin, size = 64, 56 * int.from_bytes(program[56:58], "little")
    table, rest = program[begin : begin + size], program[begin + size :]
    moved = program[:begin] + bytes(size) + rest + bytes(-len(program) % 8)
    return moved[:32] + struct.pack("<Q", len(moved)) + moved[40:] + table


def _exact(nonce: str) -> bytes:
    return _made(
        _exit(EXACT_STATUS),
        Segment(FIRST, pattern(nonce, "first", FIRST_FILE), memsz=FIRST_SIZE, flags=PF_R | PF_W),
        Segment(SECOND, pattern(nonce, "second", SECOND_FILE), memsz=SECOND_SIZE, flags=PF_R | PF_X),
    )


def _far(nonce: str) -> bytes:
    return _made(
        _exit(EXACT_STATUS),
        *(Segment(at, pattern(nonce, hex(at), 64), flags=PF_R) for at in FAR),
    )


def _original(nonce: str) -> bytes:
    """As the exercise wants it: whole pages, file and memory size equal."""
    return _made(
        _exit(EXACT_STATUS),
        Segment(0x50_0000, pattern(nonce, "text", 2 * PAGE), flags=PF_R | PF_X),
        Segment(0x51_0000, pattern(nonce, "data", 3 * PAGE), flags=PF_R | PF_W),
        Segment(0x52_0000, pattern(nonce, "constants", PAGE), flags=PF_R),
    )


# Each what it must be refused for.
REFUSED_SEGMENTS = {
    "page-zero": (Segment(0x800, bytes(64)), "OutOfRange", "a segment reaches into page zero"),
    "kernel-half": (
        Segment(0xFFFF_8000_0000_0000, bytes(64)), "OutOfRange", "a segment lies in the kernel's half",
    ),
    "wraps": (
        Segment(0x60_0000, bytes(64), memsz=MASK - 0x1000), "OutOfRange", "p_vaddr + p_memsz wraps",
    ),
    "filesz": (
        Segment(0x60_0000, bytes(64), memsz=32), "BadFormat", "p_filesz is greater than p_memsz",
    ),
    "modulo": (
        Segment(0x60_0010, bytes(64), offset=0x3018), "BadFormat",
        "p_vaddr and p_offset disagree modulo the page",
    ),
    "beyond": (
        Segment(0x60_0000, bytes(64), memsz=1 << 20, filesz=1 << 20), "Truncated",
        "the segment's bytes reach beyond the file's end",
    ),
}  # fmt: skip


def _refused_headers() -> dict[str, tuple[bytes, str, str]]:
    good = _made(_exit(0))

    def changed(at: int, value: bytes) -> bytes:
        return good[:at] + value + good[at + len(value) :]

    return {
        "magic": (changed(1, b"L"), "BadFormat", "the file does not begin with 7f 'E' 'L' 'F'"),
        "class": (changed(4, b"\x03"), "BadFormat", "the class is neither ELF32 nor ELF64"),
        "big-endian": (changed(5, b"\x02"), "Unsupported", "the file is big-endian"),
        "shared": (changed(16, b"\x03"), "Unsupported", "e_type is ET_DYN"),
        "machine": (changed(18, b"\xb7"), "Unsupported", "e_machine is AArch64"),
        "no-table": (changed(56, b"\0\0"), "BadFormat", "there are no program headers"),
        "table": (changed(32, struct.pack("<Q", len(good))), "Truncated", "the table is beyond the end"),
        "short": (good[:40], "Truncated", "the file ends in its header"),
    }


KEPT = ("hello", "bss", "rodata_write", "files")
MANY, TURNS, PENDING = 64, 12, 8


def _files(nonce: str, guests: Mapping[str, bytes], turns: int = TURNS_OF_LOOP) -> dict[str, bytes]:
    """The files of the boot."""
    files = dict(programs(guests))
    files["hello.elf"] = filled(files["hello.elf"], nonce)
    files["secret"] = pattern(nonce, "secret", 9000)
    files["original.elf"] = _moved_table(_original(nonce))
    files["exact.elf"] = _exact(nonce)
    files["far.elf"] = _far(nonce)
    files["flags.elf"] = _made(FLAGS_TO_STATUS)
    files["start.elf"] = _registers_program(b"")
    files["call.elf"] = _registers_program(_load_all() + YIELD)
    files["loop.elf"] = _registers_program(_load_all() + LOOP, turns)
    files["exits.elf"] = _made(_exit(0))
    files["endless.elf"] = _made(ENDLESS)
    files["stop.elf"] = _made(UD2)
    files["elf32.elf"] = elf_image([_code(_exit(0))], entry=CODE + ENTRY_AT, bits=32)
    for name, (data, _, _) in _refused_headers().items():
        files[f"{name}.elf"] = data
    for name, (segment, _, _) in REFUSED_SEGMENTS.items():
        files[f"{name}.elf"] = _made(_exit(0), segment)
    return files


def plan(nonce: str, guests: Mapping[str, bytes], machine: Ground) -> tuple[dict[str, bytes], list[RunPlan]]:
    """All programs of the boot. What could stop the machine comes last, and so do programs in C++:
    a register that is lost may let them run until their limit."""
    key = f"key={key_of(nonce):#x}"
    steps = [
        # First, so that an answer that enables interrupts too early always meets the same one.
        RunPlan("pending", "exits.elf", count=PENDING, pending=True),
        RunPlan("original", "original.elf", keep=True),
        RunPlan("stop", "stop.elf"),
        RunPlan("flags", "flags.elf"),
        RunPlan("start", "start.elf", keep=True),
        RunPlan("call", "call.elf", keep=True),
        RunPlan("loop", "loop.elf", keep=True, count=3, cpus=1),
        *(RunPlan(f"header-{name}", f"{name}.elf") for name in _refused_headers()),
        *(RunPlan(f"segment-{name}", f"{name}.elf") for name in REFUSED_SEGMENTS),
        RunPlan("header-elf32", "elf32.elf"),
        *(RunPlan(name, f"{name}.elf", keep=True, args=key) for name in KEPT),
        RunPlan("exact", "exact.elf", keep=True),
        RunPlan("far", "far.elf", keep=True),
        RunPlan("pages", "pages.elf", keep=True, args=key),
        RunPlan("pages-write", "pages.elf", args=f"{key} write=1"),
        RunPlan("pages-gone", "pages.elf", args=f"{key} gone=1"),
        *(RunPlan(name, f"{name}.elf") for name in FAULTS if name not in KEPT),
        RunPlan("endless", "endless.elf", count=CPUS + 1, limit_ms=150),
        RunPlan("ping", "ping.elf", args=f"{key} rounds=20"),
        RunPlan("syscall_abuse", "syscall_abuse.elf", args=key),
        RunPlan("many", "many.elf", count=MANY, args=f"{key} rounds=2"),
        RunPlan("registers", "registers.elf", count=3, cpus=1, args=f"{key} turns=1000000"),
        RunPlan("turns", "spin.elf", cpus=1, args=f"{key} rounds={TURNS}"),
    ]
    return _files(nonce, guests, TURNS_OF_LOOP if machine.name.endswith("bochs") else TURNS_BESIDE_A_THREAD), steps


def _exited(booted: BootResult, name: str, status: int) -> ProgramRecord:
    """The record of a program that must have ended by itself."""
    record = record_of(booted, name)
    assert record.end is ProgramEnd.EXITED, (
        f"the program `{name}` {record.describe()}; wanted: exited with {status:#x}{last_said(booted, name)}"
    )
    assert record.status == status, (
        f"the program `{name}` {record.describe()}; wanted: {status:#x}{last_said(booted, name)}"
    )
    return record


def _faulted(booted: BootResult, name: str, vector: int, error_code: int) -> ProgramRecord:
    """The record of a program that must have been ended by a fault of its own."""
    record = record_of(booted, name)
    assert record.end is ProgramEnd.FAULTED and record.vector == vector, (
        f"the program `{name}` {record.describe()}; wanted: a fault, vector {vector}"
    )
    assert record.error_code == error_code, (
        f"the fault of `{name}` has the error code {record.error_code:#x}; wanted: {error_code:#x}"
    )
    return record


def _refused(booted: BootResult, name: str, error: str, rule: str) -> None:
    """Whether a program was refused, with nothing lost."""
    record = record_of(booted, name)
    assert record.end is ProgramEnd.REFUSED and record.error == error, (
        f"{rule}, and the program {record.describe()}; wanted: refused ({error})"
    )
    for account in (USER_PAGE, TABLE, ENVIRONMENT):
        lost = record.after[account] - record.before[account]
        assert lost == 0, f"{rule}: {lost} frames of account {account!r} are lost; wanted: none"


def _same_rights(booted: BootResult, record: ProgramRecord, program: bytes) -> None:
    """Page by page: present, with the file's rights, and nothing else."""
    seen, wanted = pages_seen(booted, record), pages_of(program)
    for address, rights in wanted.items():
        assert address in seen, f"`{record.name}`: the page at {address:#x} is not present"
        assert seen[address].rights == rights, (
            f"`{record.name}`: the page at {address:#x} is {seen[address].rights}; wanted: {rights}"
        )
    for address in seen.keys() - wanted.keys():
        raise AssertionError(f"`{record.name}`: the page at {address:#x} is present, and no segment has it")
    frames = [page.hpa for page in seen.values()]
    assert len(set(frames)) == len(frames), f"`{record.name}`: two pages show the same frame"


def _same_bytes(
    booted: BootResult, record: ProgramRecord, program: bytes, begin: int, end: int, what: str
) -> None:
    seen, wanted = read(booted, record, begin, end - begin), bytes_of(program, begin, end - begin)
    for offset, (have, want) in enumerate(zip(seen, wanted, strict=True)):
        assert have == want, (
            f"{what}: the byte at {begin + offset:#x} is {have:#04x}; wanted: {want:#04x}"
        )


def _symbol(guests: Mapping[str, bytes], name: str, symbol: str) -> int:
    return GuestImage(programs(guests)[f"{name}.elf"]).symbol(symbol).vaddr


# lab1.elf_decode


def test_headers_of_a_program_that_runs(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab1.elf_decode: hello is entered, finds its constants and its data, and says so with this
    run's key."""
    image = GuestImage(_files(nonce, guests)["hello.elf"])
    constants, data = (
        bytes_of(image.data, image.symbol(name).vaddr, image.symbol(name).size)
        for name in ("pattern_rodata", "pattern_data")
    )
    words = struct.unpack(f"<{len(data) // 8}Q", data)
    written = struct.pack(f"<{len(words)}Q", *(word + i & MASK for i, word in enumerate(words)))
    _exited(booted, "hello", digest(constants + data + written, key_of(nonce)))
    assert "Hello world!" in booted.serial, "hello did not print `Hello world!`"
    # Its program headers stand at the end of the file.
    _exited(booted, "original", EXACT_STATUS)


def test_headers_that_are_refused(booted: BootResult) -> None:
    """lab1.elf_decode: a file that is no executable for this machine is refused, and the next one
    runs."""
    for name, (_, error, rule) in _refused_headers().items():
        _refused(booted, f"header-{name}", error, rule)
    _refused(booted, "header-elf32", "Unsupported", "the program has 32 bits")


# lab1.insert_mapping


def test_mapping_has_exact_rights(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab1.insert_mapping: page by page the tables say present, user, writable and no-execute as
    asked."""
    files = _files(nonce, guests)
    for name in ("original", "hello", "files"):
        _same_rights(booted, record_of(booted, name), files[f"{name}.elf"])


def test_mapping_far_apart(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab1.insert_mapping: pages that share no table are each where they belong."""
    program = _files(nonce, guests)["far.elf"]
    record = _exited(booted, "far", EXACT_STATUS)
    for address in FAR:
        _same_bytes(booted, record, program, address, address + PAGE, "a page far from the others")


def test_mapping_is_replaced_and_removed(booted: BootResult, nonce: str) -> None:
    """lab1.insert_mapping: a page gets another frame, fewer rights, or goes away, while the program
    runs."""
    key = key_of(nonce)
    word = scramble(key)
    wanted = digest(struct.pack("<4Q", word, key, word, word), key)
    record = _exited(booted, "pages", wanted)
    seen = pages_seen(booted, record)
    assert seen[0x3F_F000].hpa == seen[0x7000_0000_0000].hpa, "two addresses do not show one frame"
    assert seen[0x3F_F000].rights == "r--", f"the page is {seen[0x3F_F000].rights}; wanted: r--"
    record = _faulted(booted, "pages-write", PAGE_FAULT, USER | WRITE | PRESENT)
    assert record.cr2 == 0x3F_F000, f"the fault is at {record.cr2:#x}; wanted: 0x3ff000"
    record = _faulted(booted, "pages-gone", PAGE_FAULT, USER | WRITE)
    assert record.cr2 == 0x7000_0000_0000, (
        f"the fault is at {record.cr2:#x}; wanted: 0x700000000000, the page that was unmapped"
    )


def test_mapping_takes_the_tables_it_needs(booted: BootResult) -> None:
    """lab1.insert_mapping: tables are shared by neighbours, all are reachable, and all go back at
    the end."""
    for name in ("original", "hello", "far"):
        record = record_of(booted, name)
        tables = page_table.table_count(booted.memory, record.table_root)
        taken = record.after[TABLE] - record.before[TABLE]
        assert taken == tables, (
            f"`{name}` has taken {taken} frames for tables, and {tables} can be reached from its root"
        )
    for name in ("stop", "pages-gone", "many", "ping"):
        record = record_of(booted, name)
        for account in (TABLE, USER_PAGE, ENVIRONMENT):
            lost = record.after[account] - record.before[account]
            assert lost == 0, f"after `{name}`, {lost} frames of account {account!r} are lost"


def test_mapping_leaves_the_kernel_alone(booted: BootResult, guests: Mapping[str, bytes]) -> None:
    """lab1.insert_mapping: ring 3 can reach nothing of the kernel's half, and page zero stays
    empty."""
    for name in ("original", "hello", "far"):
        record = record_of(booted, name)
        reachable = page_table.user_pages_of_kernel(booted.memory, record.table_root)
        assert not reachable, f"`{name}` can reach the kernel's half by root entries {reachable}"
        assert 0 not in pages_seen(booted, record), f"`{name}` has a page zero"
    record = _faulted(booted, "read_kernel", *FAULTS["read_kernel"])
    assert record.cr2 == 0xFFFF_FFFF_8010_0000
    record = _faulted(booted, "null", *FAULTS["null"])
    assert record.cr2 == 0, f"the fault of `null` is at {record.cr2:#x}; wanted: 0"


# lab1.map_segment


def test_segment_bytes_come_from_the_file(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab1.map_segment: every page of a segment holds the file's bytes (the exercise's own
    rules)."""
    program = _files(nonce, guests)["original.elf"]
    record = _exited(booted, "original", EXACT_STATUS)
    for segment in GuestImage(program).segments:
        _same_bytes(
            booted, record, program, segment.virtual, segment.virtual + segment.size, "a segment"
        )


def test_segment_rights_are_enforced(booted: BootResult, guests: Mapping[str, bytes]) -> None:
    """lab1.map_segment: constants and code cannot be written, data and stack cannot be executed."""
    for name, symbol in (
        ("rodata_write", "constant"), ("text_write", "main"), ("exec_data", "code_in_data"),
    ):  # fmt: skip
        record = _faulted(booted, name, *FAULTS[name])
        where = _symbol(guests, name, symbol)
        assert record.cr2 == where, f"the fault of `{name}` is at {record.cr2:#x}; wanted: {where:#x}"
    record = _faulted(booted, "exec_stack", *FAULTS["exec_stack"])
    assert STACK_PAGE <= record.cr2 < STACK_TOP and record.rip == record.cr2


def test_segment_ends_in_zeros(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab1.map_segment: (ours) from p_filesz to p_memsz there are zeros, also in pages without a
    file byte."""
    key = key_of(nonce)
    wanted = struct.pack("<5000Q", *(scramble(key + i & MASK) for i in range(5000)))
    record = _exited(booted, "bss", digest(wanted, key))
    seen = pages_seen(booted, record)
    for address in pages_of(programs(guests)["bss.elf"]):
        assert address in seen, f"`bss`: the page at {address:#x} is not present"


def test_segment_shares_a_page(
    booted: BootResult, nonce: str, guests: Mapping[str, bytes]
) -> None:
    """lab1.map_segment: (ours) segments begin and end anywhere; a shared page has the bytes and
    rights of both."""
    program = _files(nonce, guests)["exact.elf"]
    record = _exited(booted, "exact", EXACT_STATUS)
    assert pages_of(program)[SHARED] == "rwx", "the test's own program is wrong"
    _same_rights(booted, record, program)
    _same_bytes(booted, record, program, 0x50_0000, 0x50_6000, "unaligned segments")


def test_segment_that_is_refused(booted: BootResult) -> None:
    """lab1.map_segment: a segment that lies is refused with the right error, and no frame is
    lost."""
    for name, (_, error, rule) in REFUSED_SEGMENTS.items():
        _refused(booted, f"segment-{name}", error, rule)


# lab1.make_iret_frame


def test_first_instruction_and_stack(booted: BootResult) -> None:
    """lab1.make_iret_frame: the program begins at its entry, with the stack pointer at 0x2000."""
    record = _faulted(booted, "stop", INVALID_OPCODE, 0)
    assert record.rip == CODE + ENTRY_AT, (
        f"the program began at {record.rip:#x}; wanted: its entry, {CODE + ENTRY_AT:#x}"
    )
    assert record.rsp == STACK_TOP, f"RSP was {record.rsp:#x} at the start; wanted: {STACK_TOP:#x}"


def test_first_flags(booted: BootResult) -> None:
    """lab1.make_iret_frame: interrupts are enabled, and no other flag is set."""
    record = record_of(booted, "flags")
    assert record.end is ProgramEnd.EXITED, f"`flags` {record.describe()}"
    flags = record.status & ~2  # bit 1 is always set
    assert flags == 0x200, f"RFLAGS was {record.status:#x} at the start; wanted: 0x200 or 0x202"


def test_first_ring(booted: BootResult) -> None:
    """lab1.make_iret_frame: the program runs in ring 3, where CLI is refused."""
    _faulted(booted, "privileged", *FAULTS["privileged"])


def test_first_can_be_preempted(booted: BootResult) -> None:
    """lab1.make_iret_frame: a program that never stops by itself is taken off its CPU."""
    record = record_of(booted, "endless")
    assert record.killed == CPUS + 1, (
        f"of {CPUS + 1} endless programs {record.killed} were interrupted and ended; wanted: all"
    )


# lab1.enter_user


def _at_ud2(booted: BootResult, name: str) -> ProgramRecord:
    """A program of this file came to its end, where it executes UD2."""
    record = _faulted(booted, name, INVALID_OPCODE, 0)
    begin = CODE + ENTRY_AT
    assert record.rip >= begin, f"`{name}` was ended at {record.rip:#x}; wanted: its UD2, behind {begin:#x}"
    return record


def _stored(booted: BootResult, name: str, address: int) -> int:
    (word,) = struct.unpack("<Q", read(booted, record_of(booted, name), address, 8))
    return word


def _registers_are(booted: BootResult, names: tuple[str, ...]) -> None:
    """In the programs that store their registers these hold what they must."""
    at_start = {"RDI": STACK_PAGE}
    for name in names:
        place = STORE + 8 * NUMBERS[name]
        seen = _stored(booted, "start", place)
        if name == "RDX":
            assert seen > 0, "RDX is 0 when a program begins; wanted: its identifier"
        else:
            wanted = at_start.get(name, 0)
            assert seen == wanted, f"{name} is {seen:#x} when a program begins; wanted: {wanted:#x}, as in the frame"
    for step, what in (("call", "a system call"), ("loop", "interrupts")):
        _at_ud2(booted, step)
        identifier = _stored(booted, step, IDENTIFIER_AT)
        for name in names:
            if step == "call" and name in ("RAX", "RCX", "R11"):  # the answer; SYSCALL itself
                continue
            seen = _stored(booted, step, STORE + 8 * NUMBERS[name])
            wanted = _value(name) + identifier & MASK
            assert seen == wanted, f"{name} was {wanted:#x} before {what}, and {seen:#x} after; wanted: the same"
    record = record_of(booted, "loop")
    assert record.preemptions > 0, "nothing was interrupted, so nothing was tested"


def test_enter_begins_where_the_frame_says(booted: BootResult) -> None:
    """lab1.enter_user: a program begins at the frame's rip, with its rsp."""
    record = _faulted(booted, "stop", INVALID_OPCODE, 0)
    assert (record.rip, record.rsp) == (CODE + ENTRY_AT, STACK_TOP), (
        f"the program began at {record.rip:#x} with RSP {record.rsp:#x}; wanted, as in the frame: "
        f"{CODE + ENTRY_AT:#x} and {STACK_TOP:#x}"
    )


def test_enter_with_an_interrupt_pending(booted: BootResult) -> None:
    """lab1.enter_user: an interrupt that is pending at each entry arrives in ring 3, and nowhere
    before."""
    record = record_of(booted, "pending")
    assert record.exited == PENDING and record.status_sum == 0, (
        f"an interrupt was pending each time a program was entered; {record.exited} of {PENDING} programs "
        f"exited, {record.faulted} faulted; the first one {record.describe()}"
    )


def test_enter_comes_back_after_system_calls(booted: BootResult) -> None:
    """lab1.enter_user: a program goes on behind its system call."""
    _at_ud2(booted, "call")
    record = record_of(booted, "call")
    assert record.system_calls == 1, f"the program made {record.system_calls} system calls; wanted: 1"


def test_enter_again_after_interrupts(booted: BootResult) -> None:
    """lab1.enter_user: programs that never stop by themselves are interrupted, take turns, and can
    be ended."""
    record = record_of(booted, "endless")
    assert record.killed == CPUS + 1, (
        f"of {CPUS + 1} endless programs {record.killed} were interrupted and ended; wanted: all. The first one "
        f"{record.describe()}"
    )


def test_enter_with_the_arguments(booted: BootResult) -> None:
    """lab1.enter_user: RDI, RSI and RDX hold what the frame says, at the start and after each
    trap."""
    _registers_are(booted, ARGUMENTS)


def test_enter_with_what_a_callee_keeps(booted: BootResult) -> None:
    """lab1.enter_user: RBX, RBP and R12 to R15 hold what the frame says."""
    _registers_are(booted, TO_CALLEES)


def test_enter_with_what_a_caller_keeps(booted: BootResult) -> None:
    """lab1.enter_user: RAX, RCX and R8 to R11 hold what the frame says; so do the flags."""
    _registers_are(booted, TO_CALLERS)
    answer = _stored(booted, "call", STORE)
    assert answer == 0, f"RAX is {answer:#x} after the system call `yield`; wanted: 0, its answer"
    flags = _stored(booted, "loop", FLAGS_AT)
    assert flags & DIRECTION, f"RFLAGS is {flags:#x} after interrupts; wanted: bit 10, as it was before them"


def test_enter_programs(booted: BootResult, nonce: str) -> None:
    """lab1.enter_user: programs with messages, pages, files and interrupts run to their ends; many
    at once."""
    key = key_of(nonce)
    record = record_of(booted, "many")
    assert record.exited == MANY, (
        f"of {MANY} programs at once {record.exited} exited and {record.faulted} faulted; the first one "
        f"{record.describe()}"
    )
    wanted = MANY * finish_status(nonce, 1024) & MASK
    assert record.status_sum == wanted, (
        f"{MANY} programs at once exited, and the sum of their exit statuses is {record.status_sum:#x}; wanted: "
        f"{wanted:#x}{last_said(booted, 'many')}"
    )
    words: list[int] = []
    for number in range(20):
        sent = scramble(key + number & MASK)
        words += [scramble(sent), (sent ^ number) + 1 & MASK]
    _exited(booted, "ping", digest(struct.pack(f"<{len(words)}Q", *words), key))
    secret = pattern(nonce, "secret", 9000)
    _exited(booted, "files", digest(secret, key))
    _exited(booted, "syscall_abuse", digest(secret[:64], key))
    record = _exited(booted, "registers", finish_status(nonce, 4))
    assert record.exited == 3 and record.status_sum == 3 * finish_status(nonce, 4) & MASK, (
        f"of 3 programs that look at their registers {record.exited} exited and {record.faulted} faulted, with exit "
        f"statuses that are not all right{last_said(booted, 'registers')}"
    )
    record = _exited(booted, "turns", finish_status(nonce, TURNS))
    assert record.preemptions >= TURNS // 2 - 1, (
        f"{TURNS} turns of two programs on one CPU, and {record.preemptions} preemptions of the first"
    )
    assert booted.ended == "powered off" and booted.status == 0, booted.explain()


def test_enter_then_fault(booted: BootResult, guests: Mapping[str, bytes]) -> None:
    """lab1.enter_user: a program's fault ends that program with a report, and never the kernel."""
    for name, (vector, error_code) in FAULTS.items():
        record = _faulted(booted, name, vector, error_code)
        image = GuestImage(programs(guests)[f"{name}.elf"])
        if name in ("exec_data", "exec_stack"):
            continue
        text = next(one for one in image.segments if one.flags & PF_X)
        assert text.virtual <= record.rip < text.virtual + text.size, (
            f"the report of `{name}` says rip {record.rip:#x}, which is not in its code"
        )
    begin = _symbol(guests, "return_from_main", "_start")
    image = GuestImage(programs(guests)["return_from_main.elf"])
    where = begin + bytes_of(image.data, begin, 64).index(UD2)
    rip = record_of(booted, "return_from_main").rip
    assert rip == where, f"`return_from_main` ended at {rip:#x}; wanted: UD2 at {where:#x}"
    where = record_of(booted, "pagefault").cr2
    assert where == 0x234, f"the fault of `pagefault` is at {where:#x}; wanted: 0x234"
    where = record_of(booted, "recurse").cr2
    assert where < PAGE, f"the fault of `recurse` is at {where:#x}; wanted: below its stack, in page zero"
