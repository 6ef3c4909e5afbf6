# SPDX-License-Identifier: MIT
"""lab4: devices in memory, in one boot (lab4.handle_mmio and the tasks that it calls).

guest/probes/mmio.S accesses a console by every form of instruction, with numbers of this run; what
it got is read from its memory and compared with what the numbers say. It executes code that lies on
two pages, by tables of two, three and four levels, and does what must end it. gkernel runs on its
xAPIC, wakes its CPUs, and takes interrupts of its timer and, through the IO-APIC, of the
console."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from grader.testkit.boot import BootResult
from grader.testkit.images import GuestImage, fill_patterns, fill_symbols, pattern
from grader.testkit.plans import Ground, VmPlan
from grader.testkit.records import VmRecord, VmState, guest_results

GUEST, KERNEL = "mmio.elf", "gkernel.elf"
EXIT = 77
RAM_KIB = 32768
LIMIT_MS = 3000
"""A wrong answer may let a guest execute one instruction for ever."""
TIMER, LETTERS = 3, 26
# The cases of guest/probes/mmio.S, by the name of their VM.
CASES = {"forms": 0, "two-levels": 1, "three-levels": 2, "four-levels": 3, "unknown": 4, "tables": 5,
         "event": 6, "fetch": 7, "refused": 8}  # fmt: skip
LEVELS = ("two-levels", "three-levels", "four-levels")
MASK = (1 << 64) - 1
CARRY, PARITY, AUXILIARY, ZERO, SIGN, OVERFLOW = 0x1, 0x4, 0x10, 0x40, 0x80, 0x800


def _numbers(nonce: str) -> tuple[int, ...]:
    return struct.unpack("<16Q", pattern(nonce, "mmio", 128))


def _text(nonce: str) -> str:
    """15 letters of this run."""
    return "".join(chr(ord("a") + byte % 26) for byte in pattern(nonce, "text", 15))


def _guest(nonce: str, guests: Mapping[str, bytes], case: int) -> bytes:
    return fill_symbols(guests[GUEST], {
        "mmio_case": struct.pack("<Q", case), "mmio_numbers": struct.pack("<16Q", *_numbers(nonce)),
        "mmio_text": _text(nonce).encode() + b"\0",
    })  # fmt: skip


def plan(nonce: str, guests: Mapping[str, bytes], machine: Ground) -> tuple[dict[str, bytes], list[VmPlan]]:
    """All virtual machines of the boot."""
    files = {f"{name}.elf": _guest(nonce, guests, case) for name, case in CASES.items()}
    files[KERNEL] = fill_patterns(guests[KERNEL], nonce)
    told = f"nonce={nonce} cpus={machine.cpus} touch=rodata timer={TIMER} console={LETTERS}"
    vms = [VmPlan(name, f"{name}.elf", ram_kib=RAM_KIB, limit_ms=LIMIT_MS) for name in CASES]
    vms.append(VmPlan("xapic", KERNEL, vcpus=machine.cpus, ram_kib=RAM_KIB, more={"apic": "xapic"}, args=told))
    vms.append(VmPlan("x2apic", KERNEL, vcpus=machine.cpus, ram_kib=RAM_KIB, args=told))
    return files, vms


def _end(record: VmRecord) -> str:
    why = f", {record.reason}" if record.reason else ""
    error = f" ({record.error})" if record.error else ""
    return f"{record.state.name.lower()}{why}{error}, status {record.status:#x}"


def _exited(booted: BootResult, name: str, status: int = EXIT) -> VmRecord:
    record = booted.vm(name)
    assert record.state is VmState.EXITED and record.status == status, (
        f"the guest `{name}` has not come to its end: {_end(record)}; wanted: exited with {status}"
    )
    return record


def _failed(booted: BootResult, name: str, error: str | None, why: str) -> VmRecord:
    record = booted.vm(name)
    assert record.state is VmState.FAILED and record.error == error, (
        f"{why}: the guest `{name}` {_end(record)}; wanted: ended by the host, with the error {error or 'none'}"
    )
    return record


def _results(booted: BootResult, record: VmRecord, image: bytes, count: int) -> tuple[int, ...]:
    where = GuestImage(image).symbol("mmio_results").paddr
    return struct.unpack(f"<{count}Q", booted.guest_read(record, where, 8 * count))


class _Console:
    """What mmio.S finds, worked out from the numbers of the run: the value and the flags of each
    `note`."""

    def __init__(self) -> None:
        self.bytes = bytearray(8)
        self.flags: int | None = None
        self.noted: list[tuple[str, int, int | None]] = []

    def get(self, at: int = 0, size: int = 8) -> int:
        return int.from_bytes(self.bytes[at : at + size], "little")

    def put(self, value: int, at: int = 0, size: int = 8) -> None:
        self.bytes[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def signed(self, at: int, size: int) -> int:
        return int.from_bytes(self.bytes[at : at + size], "little", signed=True)

    def note(self, what: str, value: int | None = None, flags: int | None = None) -> None:
        """`flags`: the six that are looked at here, without AF if it does not matter; none: not
        looked at."""
        self.noted.append((what, (self.get() if value is None else value) & MASK, flags))


def _sign_zero_parity(result: int, size: int) -> int:
    return (
        (SIGN if result >> (8 * size - 1) else 0)
        | (0 if result else ZERO)
        | (0 if (result & 0xFF).bit_count() % 2 else PARITY)
    )


def _compare(first: int, second: int, size: int) -> int:
    bits = 8 * size
    first, second = first & ((1 << bits) - 1), second & ((1 << bits) - 1)

    def signed(value: int) -> int:
        return value - (1 << bits if value >> (bits - 1) else 0)

    flags = _sign_zero_parity((first - second) & ((1 << bits) - 1), size)
    flags |= CARRY if first < second else 0
    flags |= AUXILIARY if first & 0xF < second & 0xF else 0
    fits = -(1 << (bits - 1)) <= signed(first) - signed(second) < 1 << (bits - 1)
    return flags | (0 if fits else OVERFLOW)


def _forms(nonce: str) -> list[tuple[str, int, int | None]]:
    """The notes of mmio.S, one after the other."""
    n = _numbers(nonce)
    at = _Console()
    at.put(n[0])
    at.note("MOV memory, RAX")
    at.note("MOV CL, memory", n[1] & ~0xFF | at.get(0, 1))
    at.note("MOV CH, memory", n[1] & ~0xFF00 | at.get(1, 1) << 8)
    at.note("MOV CX, memory", n[1] & ~0xFFFF | at.get(2, 2))
    at.note("MOV ECX, memory", at.get(4, 4))
    at.note("MOV R9, memory by RIP", at.get())
    at.note("MOV EAX, an offset", at.get(0, 4))
    at.note("MOVZX ECX, 1 byte", at.get(3, 1))
    at.note("MOVZX ECX, 2 bytes", at.get(6, 2))
    at.note("MOVSX RCX, 1 byte", at.signed(5, 1))
    at.note("MOVSX ECX, 2 bytes", at.signed(2, 2) & 0xFFFF_FFFF)
    at.note("MOVSXD RCX, 4 bytes", at.signed(4, 4))
    for what, value, where, size in (
        ("MOV memory, BPL", n[2], 0, 1), ("MOV memory, DH", n[2] >> 8, 7, 1), ("MOV memory, BP", n[2], 2, 2),
        ("MOV memory, EBP", n[2], 4, 4), ("MOV memory, 0x5a", 0x5A, 1, 1), ("MOV memory, 0x1234", 0x1234, 4, 2),
        ("MOV memory of 8 bytes, a negative number", -0x12345678, 0, 8),
    ):  # fmt: skip
        at.put(value, where, size)
        at.note(what)
    at.put(at.get() ^ n[3])
    at.note("XOR memory, RCX", None, _sign_zero_parity(at.get(), 8))
    result = at.get(0, 4) & n[4] & 0xFFFF_FFFF
    at.put(result, 0, 4)
    at.note("AND memory, EDX: RDX", n[4], _sign_zero_parity(result, 4))
    at.note("AND memory, EDX")
    at.put(at.get(6, 2) | 0x8001, 6, 2)
    at.note("OR memory, 0x8001", None, _sign_zero_parity(at.get(6, 2), 2))
    at.note("AND RDX, memory", n[5] & at.get(), _sign_zero_parity(n[5] & at.get(), 8))
    low = (n[6] ^ at.get(4, 1)) & 0xFF
    at.note("XOR DL, memory", n[6] & ~0xFF | low, _sign_zero_parity(low, 1))
    at.note("CMP memory, RDX", n[7], _compare(at.get(), n[7], 8))
    at.note("CMP EDX, memory", n[7], _compare(n[7], at.get(0, 4), 4))
    at.note("CMP memory, -1", n[7], _compare(at.get(2, 1), 0xFF, 1))
    at.note("TEST memory, DX", n[7], _sign_zero_parity(at.get(0, 2) & n[7] & 0xFFFF, 2))
    at.note("TEST memory, 0x80", n[7], _sign_zero_parity(at.get(4, 4) & 0x80, 4))
    at.note("XCHG memory, RDX: RDX", at.get())
    at.put(n[8])
    at.note("XCHG memory, RDX")
    at.put(n[9], 0, 4)
    at.put(n[9], 4, 4)
    scratch = 0x5000_0010
    at.note("REP STOSD: RDI", scratch + 8)
    at.note("REP STOSD: RCX", 0)
    at.note("REP STOSD, twice")
    for place in (7, 6, 5):
        at.put(n[10], place, 1)
    at.note("REP STOSB downwards: RDI", scratch + 4)
    at.note("REP STOSB downwards, three times")
    at.note("the console's status: 16 characters", 16 << 8 | 1)
    return at.noted


def test_forms_of_access(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_mmio: each form of instruction does to the device, to registers and flags what it
    should."""
    record = _exited(booted, "forms")
    wanted = _forms(nonce)
    found = _results(booted, record, _guest(nonce, guests, 0), 2 * len(wanted))
    for number, (what, value, flags) in enumerate(wanted):
        seen, seen_flags = found[2 * number : 2 * number + 2]
        assert seen == value, f"{what}: the guest has {seen:#x}; wanted: {value:#x}"
        if flags is None:
            continue
        if "CMP" not in what:
            seen_flags &= ~AUXILIARY
        assert seen_flags == flags, f"{what}: the flags are {seen_flags:#x}; wanted: {flags:#x}"


def test_forms_of_printing(booted: BootResult, nonce: str) -> None:
    """lab4.handle_mmio: stores of 1, 2, 4 and 8 bytes into the console are the guest's text."""
    _exited(booted, "forms")
    line = f"[forms] {_text(nonce)}\n"
    assert line in booted.serial, f"the guest has not printed its text; wanted is the line {line!r}"


def test_code_on_two_pages(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_mmio: an instruction on two pages that are apart in memory, by tables of 2, 3 and
    4 levels."""
    for name in LEVELS:
        record = _exited(booted, name)
        (seen,) = _results(booted, record, _guest(nonce, guests, CASES[name]), 1)
        wanted = _numbers(nonce)[0] & 0xFFFF_FFFF
        assert seen == wanted, f"{name}: the device has {seen:#x}; wanted: {wanted:#x}, out of the instruction's second page"


def test_an_unknown_instruction_is_reported(booted: BootResult, nonce: str) -> None:
    """lab4.handle_mmio: an instruction that is not decoded ends the VM, and the report has its
    bytes."""
    record = _failed(booted, "unknown", "Unsupported", "ADD to a device")
    wanted = b"\x81\x43\x10" + struct.pack("<I", _numbers(nonce)[0] & 0xFFFF_FFFF)
    assert record.instruction[: len(wanted)] == wanted, (
        f"the bytes that are reported are {record.instruction.hex(' ')}; wanted: {wanted.hex(' ')} and what follows"
    )


def test_what_a_device_refuses_is_reported(booted: BootResult) -> None:
    """lab4.handle_mmio: an access that the device does not have ends the VM with the device's
    error."""
    _failed(booted, "refused", "Unsupported", "1 byte of a register of 4")


def test_an_event_in_a_device_is_reported(booted: BootResult) -> None:
    """lab4.handle_mmio: an exception whose stack is in a device ends the VM; the instruction at RIP
    is not executed."""
    _failed(booted, "event", "Busy", "the stack of a #DB is in a device")


def test_tables_and_code_in_a_device_are_reported(booted: BootResult) -> None:
    """lab4.handle_mmio: a guest whose page tables or code are in a device ends, and the next one
    runs."""
    for name, what in (("tables", "page tables"), ("fetch", "fetch")):
        record = _failed(booted, name, None, f"the guest has its {what} in a device")
        assert what in record.reason, f"the report says: {record.reason}"


def _kernel(booted: BootResult, nonce: str, guests: Mapping[str, bytes], name: str) -> guest_results.GuestResults:
    record = _exited(booted, name, 0)
    where = GuestImage(fill_patterns(guests[KERNEL], nonce)).symbol(guest_results.SYMBOL).paddr
    found = guest_results.parse(booted.guest_read(record, where, guest_results.SIZE))
    assert found.finished and not found.problems, found.problem_words or "gkernel has not finished"
    return found


def _takes_timers(booted: BootResult, nonce: str, guests: Mapping[str, bytes], machine: Ground,
                  name: str) -> guest_results.GuestResults:
    """That each vCPU of gkernel has come up and has slept until its timer."""
    found = _kernel(booted, nonce, guests, name)
    assert len(found.cpu) == machine.cpus and all(cpu.up for cpu in found.cpu), (
        f"{sum(cpu.up for cpu in found.cpu)} of {machine.cpus} vCPUs are up"
    )
    for number, cpu in enumerate(found.cpu):
        assert cpu.timer_interrupts == TIMER, (
            f"vCPU {number} has taken {cpu.timer_interrupts} interrupts of its timer; wanted: {TIMER}"
        )
    return found


def test_kernel_on_its_xapic(booted: BootResult, nonce: str, guests: Mapping[str, bytes], machine: Ground) -> None:
    """lab4.handle_mmio: gkernel wakes its CPUs and takes timer interrupts by the APIC's page."""
    assert not _takes_timers(booted, nonce, guests, machine, "xapic").x2apic, "CPUID has told gkernel of an x2APIC"


def test_kernel_on_its_x2apic(booted: BootResult, nonce: str, guests: Mapping[str, bytes], machine: Ground) -> None:
    """lab4.handle_msr_access: gkernel wakes its CPUs and takes timer interrupts by the APIC's
    MSRs."""
    assert _takes_timers(booted, nonce, guests, machine, "x2apic").x2apic, "CPUID has told gkernel of no x2APIC"


def test_kernel_and_the_io_apic(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_mmio: the console's interrupts come through the IO-APIC, to an xAPIC and to an
    x2APIC."""
    for name in ("xapic", "x2apic"):
        found = _kernel(booted, nonce, guests, name)
        assert found.x2apic == (name == "x2apic")
        assert found.device_interrupts == LETTERS, (
            f"{name}: {found.device_interrupts} interrupts of the console; wanted: {LETTERS}"
        )
        letters = "".join(chr(ord("a") + number % 26) for number in range(LETTERS))
        assert f"[{name}] {letters}\n" in booted.serial, f"{name}: the console has not printed {letters!r}"
