# SPDX-License-Identifier: MIT
"""lab4: the booted cases of all tasks, in one boot.

Each virtual machine runs one group of guest/probes/exits.S, whose text and exit status are made for
this run, and which writes down what it has found and every fault that it got. That is read from its
memory, and what it printed from the serial line. Each test's name begins with its task: ports
(lab4.handle_port_access), calls (lab4.handle_hypercall), msrs (lab4.handle_msr_access), cpuid
(lab4.guest_cpuid), walk (lab4.walk_guest).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from grader.testkit.boot import BootResult
from grader.testkit.images import GuestImage, fill_symbols, pattern
from grader.testkit.plans import Ground, VmPlan
from grader.testkit.records import VmRecord, VmState

EXITS, UNKNOWN_PORT = "exits.elf", "unknown_port.elf"
RAM_KIB = 4096
GROUPS = ("ports", "strings", "read-only", "long-instruction", "two-pages", "self-map", "nothing", "calls", "msrs",
          "cpuid")
"""In the order of the table in exits.S."""
WINDOW, PAGE = 0x4000_0000, 4096
WROTE_ALL_ONES = 0xFF
PAGE_FAULT, PROTECTION = 14, 13
FAULT = struct.Struct("<8Q")
BAD_NUMBER, BAD_ADDRESS = 2**64 - 1, 2**64 - 2
FILLED = 0x1122_3344_5566_7788
"""What registers hold before an instruction that may change them."""


@dataclass(frozen=True)
class Fault:
    """An exception that the guest got, and the registers then."""

    vector: int
    error: int
    cr2: int
    rip: int
    rcx: int
    rsi: int
    rdi: int
    rax: int


def text(nonce: str) -> str:
    """What the guest prints, 32 characters."""
    return pattern(nonce, "text", 16).hex()


def status(nonce: str) -> int:
    """What it ends with."""
    return int.from_bytes(pattern(nonce, "status", 4), "little")


def image(nonce: str, guests: Mapping[str, bytes], group: str) -> bytes:
    """The guest that executes that group."""
    return fill_symbols(guests[EXITS], {
        "chosen": struct.pack("<Q", GROUPS.index(group)),
        "status": struct.pack("<Q", status(nonce)),
        "text": text(nonce).encode(),
    })  # fmt: skip


def plan(nonce: str, guests: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[VmPlan]]:
    """A virtual machine for each group, and two for the ports' policy."""
    files = {f"{group}.elf": image(nonce, guests, group) for group in GROUPS}
    files[UNKNOWN_PORT] = guests[UNKNOWN_PORT]
    return files, [
        *(VmPlan(group, f"{group}.elf", ram_kib=RAM_KIB, more={"ports": "open"} if group == "ports" else None)
          for group in GROUPS),
        VmPlan("strict", UNKNOWN_PORT, keep=False),
        VmPlan("open", UNKNOWN_PORT, keep=False, more={"ports": "open"}),
    ]  # fmt: skip


def _end(record: VmRecord) -> str:
    """How a VM ended, in words."""
    why = f", {record.reason}" if record.reason else ""
    return f"{record.state.name.lower()}{why}"


def _ended(booted: BootResult, nonce: str, group: str) -> VmRecord:
    """The record of a guest that must have come to its end."""
    record = booted.vm(group)
    assert record.state is VmState.EXITED, f"the guest `{group}` {_end(record)}; wanted: it exits by itself"
    assert record.status == status(nonce), (
        f"the guest `{group}` exited with {record.status:#x}; wanted: {status(nonce):#x}"
    )
    return record


def _words(booted: BootResult, guests: Mapping[str, bytes], group: str, symbol: str) -> bytes:
    """What stands at a symbol in the guest's memory."""
    where = GuestImage(guests[EXITS]).symbol(symbol)
    return booted.guest_read(group, where.paddr, where.size)


def _results(booted: BootResult, guests: Mapping[str, bytes], group: str) -> tuple[int, ...]:
    return struct.unpack("<8Q", _words(booted, guests, group, "results"))


def _faults(booted: BootResult, guests: Mapping[str, bytes], group: str) -> list[Fault]:
    count = _results(booted, guests, group)[7]
    return [Fault(*FAULT.unpack_from(_words(booted, guests, group, "faults"), FAULT.size * i)) for i in range(count)]


def _printed(booted: BootResult, group: str) -> list[str]:
    """The guest's lines."""
    head = f"[{group}] "
    return [line.removeprefix(head) for line in booted.serial.splitlines() if line.startswith(head)]


def _is(seen: int, wanted: int, what: str) -> None:
    assert seen == wanted, f"{what} is {seen:#x}; wanted: {wanted:#x}"


def test_ports_of_other_machines(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_port_access: with open ports a kernel goes on that looks for what this machine
    does not have."""
    _ended(booted, nonce, "ports")
    word, long, byte, debug, *_ = _results(booted, guests, "ports")
    _is(word, FILLED | 0xFFFF, "RAX behind IN of 2 bytes from 0x604")
    _is(long, 0xFFFF_FFFF, "RAX behind IN of 4 bytes from 0xcfc")
    _is(byte, FILLED | WROTE_ALL_ONES, "RAX behind IN of a byte from 0x92")
    _is(debug & 0xFF, 0xE9, "AL behind IN from 0xe9")
    assert _printed(booted, "ports") == [text(nonce)], "what REP OUTSB to 0xe9 prints"


def test_ports_that_nobody_serves(booted: BootResult) -> None:
    """lab4.handle_port_access: such a port ends the VM, unless its plan says that ports are
    open."""
    record = booted.vm("strict")
    assert record.state is VmState.FAILED, f"a guest at port 0x4321 {_end(record)}; wanted: the VM ends"
    assert record.reason == "IN from a port that no device serves"
    record = booted.vm("open")
    assert (record.state, record.status) == (VmState.EXITED, 42), f"with ports=open it {_end(record)}; wanted: it goes on"


def test_ports_a_string_with_a_fault(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_port_access: the second page comes by the guest's own page fault, and the string
    goes on."""
    _ended(booted, nonce, "strings")
    rsi, rcx, at_string, entry, *_ = _results(booted, guests, "strings")
    faults = _faults(booted, guests, "strings")
    assert len(faults) == 1, f"the guest got {len(faults)} faults; wanted: one, for its second page"
    (fault,) = faults
    _is(fault.vector, PAGE_FAULT, "the vector")
    _is(fault.error, 0, "the error code")
    _is(fault.cr2, WINDOW + PAGE, "CR2")
    _is(fault.rip, at_string, "RIP in the handler")
    _is(fault.rcx, 16, "RCX in the handler")
    _is(fault.rsi, WINDOW + PAGE, "RSI in the handler")
    _is(rsi, WINDOW + PAGE + 16, "RSI behind the string")
    _is(rcx, 0, "RCX behind the string")
    assert entry & 0x20, "the second page is not marked as accessed"
    assert _printed(booted, "strings") == [text(nonce)], "the text, once"


def test_ports_into_a_read_only_page(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_port_access: INS into a page that the guest has made read-only is the guest's
    page fault."""
    _ended(booted, nonce, "read-only")
    before, after, *_ = _results(booted, guests, "read-only")
    faults = _faults(booted, guests, "read-only")
    assert [(fault.vector, fault.error, fault.cr2) for fault in faults] == [(PAGE_FAULT, 3, WINDOW + 2 * PAGE)], (
        f"the guest got {faults}; wanted: one page fault with error code 3"
    )
    kept = int.from_bytes(text(nonce).encode()[16:24], "little")
    _is(before, kept, "what stands in the page behind the fault")
    _is(after, kept >> 32 << 32 | 0xE9E9_E9E9, "what INS stores there without CR0.WP")


def test_ports_a_long_instruction(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_port_access: 15 bytes, FS, 32-bit addresses."""
    _ended(booted, nonce, "long-instruction")
    rsi, rcx, rbx, *_ = _results(booted, guests, "long-instruction")
    where = GuestImage(guests[EXITS]).symbol("text").paddr
    _is(rsi, where - 0x1000 + 32, "RSI behind it")
    _is(rcx, 0, "RCX behind it")
    assert rbx in (0x756E6547, 0x68747541), "the CPUID of 15 bytes behind it was not executed, or not as one"
    assert _printed(booted, "long-instruction") == [text(nonce)]


def test_ports_an_instruction_on_two_pages(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_port_access: the second page of the code is absent; then it is there."""
    _ended(booted, nonce, "two-pages")
    faults = _faults(booted, guests, "two-pages")
    assert [(fault.vector, fault.cr2) for fault in faults] == [(PAGE_FAULT, WINDOW + 5 * PAGE)]
    assert _printed(booted, "two-pages") == [text(nonce)]


def test_ports_without_memory(booted: BootResult) -> None:
    """lab4.handle_port_access: OUTS from where no memory is ends the VM with a report, at the
    instruction."""
    record = booted.vm("nothing")
    assert record.state is VmState.FAILED and record.error == "NotFound", f"it {_end(record)}; wanted: failed with NotFound"
    assert record.failed_address == 0x3000_0000


def test_walk_tables_that_map_themselves(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.walk_guest: the root is a table of every level, and a page as well."""
    _ended(booted, nonce, "self-map")
    byte, entry, result, *_ = _results(booted, guests, "self-map")
    _is(byte & 0xFF, entry & 0xFF, "the lowest byte of the root's own entry, found through itself")
    _is(result, 0, "the result of `print` of the root, found through itself")
    assert not _faults(booted, guests, "self-map")


def test_calls_over_the_end_of_memory(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_hypercall: a bad pointer is an error for the guest, which goes on."""
    _ended(booted, nonce, "calls")
    over, absent, outside, number, good, *_ = _results(booted, guests, "calls")
    _is(over, BAD_ADDRESS, "the result of `print` over the end of memory")
    _is(absent, BAD_ADDRESS, "the result of `print` from a page that is absent")
    _is(outside, BAD_ADDRESS, "the result of `print` from an address that is not canonical")
    _is(number, BAD_NUMBER, "the result of hypercall 77")
    _is(good, 0, "the result of `print` of a text on two pages")
    assert _printed(booted, "calls")[-1:] == [text(nonce)]


def test_msrs_that_are_refused(booted: BootResult, nonce: str, guests: Mapping[str, bytes]) -> None:
    """lab4.handle_msr_access: #GP with the registers as they were; what may be written is kept."""
    _ended(booted, nonce, "msrs")
    changed, low, high, *_ = _results(booted, guests, "msrs")
    first, second = (_faults(booted, guests, "msrs") + [None, None])[:2]
    assert first is not None and second is not None, "RDMSR of 0x1234 and WRMSR of EFER with bit 12 are both refused"
    for fault in (first, second):
        _is(fault.vector, PROTECTION, "the vector")
        _is(fault.error, 0, "the error code")
    _is(first.rax, FILLED, "RAX behind an RDMSR that is refused")
    _is(changed, 0, "what a refused WRMSR has changed of EFER")
    _is(low, status(nonce), "EAX behind RDMSR of LSTAR")
    _is(high, 0x7FFF, "EDX behind RDMSR of LSTAR")


def test_cpuid_of_a_guest(booted: BootResult, nonce: str, guests: Mapping[str, bytes], machine: Ground) -> None:
    """lab4.guest_cpuid: an x2APIC and a hypervisor, upper halves cleared, and nothing beyond the
    end on AMD."""
    _ended(booted, nonce, "cpuid")
    eax, ebx, ecx, edx, beyond, *_ = _results(booted, guests, "cpuid")
    for name, value in (("RAX", eax), ("RBX", ebx), ("RCX", ecx), ("RDX", edx)):
        _is(value >> 32, 0, f"the upper half of {name}")
    assert ecx >> 21 & 1 and ecx >> 31, f"ECX of leaf 1 is {ecx:#x}; wanted: bits 21 (x2APIC) and 31 (a hypervisor) set"
    if machine.vendor == "amd":
        _is(beyond, 0, "what a leaf beyond the end gives")
