# SPDX-License-Identifier: MIT
"""What a boot of the kernel with user programs and guests leaves behind.

* :class:`GuestRecord`: one guest environment, of the block ``guest_evidence``
(vmm/user/guest_evidence.hh). * :class:`GuestEvidence`: these, beside what is known of the programs
(grader/evidence/programs.py), which make
  the guests. Steps of such a boot are its :class:`grader.testkit.plans.RunPlan`.

Nothing in the block is followed without a bound; what does not fit is an :class:`EvidenceError`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.evidence import programs as proc_evidence
from grader.evidence.blocks import Block, accounts_of, text_of
from grader.evidence.memory import EvidenceError, PhysicalMemory
from grader.evidence.programs import ProcEvidence
from grader.evidence.vms import TableFormat

REGISTERS = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags",
)  # fmt: skip

BLOCK = Block(
    "guest_evidence", 64, "vmm/user/guest_evidence.hh",
    (
        ("name", "32s"), ("owner_name", "32s"), ("id", "Q"), ("owner", "Q"), ("end", "Q"),
        ("status", "Q"), ("memory_bytes", "Q"), ("rip", "Q"), ("hypercalls", "Q"), ("move", "Q"),
        ("kept", "Q"), ("destroyed", "Q"), ("table_root", "Q"), ("table_format", "Q"),
        ("control_block", "Q"), ("pages", "Q"), ("exits", "Q"), ("exit_code", "Q"),
        ("exit_information_1", "Q"), ("exit_information_2", "Q"), ("slices", "Q"), ("moves", "Q"),
        ("cpus", "Q"), ("entries", "Q"), ("clears", "Q"), ("instruction_error", "Q"),
        ("host_rsp_wanted", "Q"), ("host_rsp_found", "Q"), ("host_rsp_mismatches", "Q"),
        ("kicks", "Q"), ("kicks_lost", "Q"),
        ("registers", "18Q"), ("cr0", "Q"), ("cr3", "Q"), ("cr4", "Q"), ("efer", "Q"),
        ("before", "16Q"), ("started", "16Q"), ("ended", "16Q"), ("after", "16Q"), ("reason", "64s"),
    ),
)  # fmt: skip
"""Of ``vmm::GuestRecord``; the numbers are ``guests`` and ``vendor``."""


class GuestEnd(enum.IntEnum):
    """``vmm::GuestEnd``."""

    NONE = 0
    MADE = 1
    """and never started"""
    RUNNING = 2
    EXITED = 3
    UNHANDLED = 4
    """``Unhandled VMEXIT, aborting guest.``"""
    FAILED = 5
    KILLED = 6
    REFUSED = 7
    """by the CPU: an entry failure"""


class Vendor(enum.IntEnum):
    """Whose virtualization the kernel has found."""

    NONE = 0
    AMD = 1
    INTEL = 2


@dataclass(frozen=True)
class GuestRecord:
    """One guest environment of the boot: ``vmm::GuestRecord``."""

    name: str
    owner_name: str
    """of the program that made it: the name of its step"""
    id: int
    owner: int
    end: GuestEnd
    status: int
    """EXITED: what it gave to the exit hypercall"""
    memory_bytes: int
    rip: int
    hypercalls: bool
    """they are served"""
    move: int
    """it was told to move to another CPU every so many exits"""
    kept: bool
    """its table and memory can still be read"""
    destroyed: bool
    table_root: int
    table_format: TableFormat
    control_block: int
    """address of its VMCB or VMCS; 0: it was never started"""
    pages: int
    """that were present when it ended"""
    exits: int
    exit_code: int
    """the last exit's, as the vendor numbers them"""
    exit_information_1: int
    exit_information_2: int
    slices: int
    """how often it came to a CPU"""
    moves: int
    """how often to another than the last time"""
    cpus: int
    """bit n: it has run on CPU n"""
    entries: int
    clears: int
    instruction_error: int
    host_rsp_wanted: int
    host_rsp_found: int
    host_rsp_mismatches: int
    kicks: int
    """AMD: entries at which an interrupt was waiting already, if the guest moves"""
    kicks_lost: int
    """AMD: of these, taken before the guest was entered"""
    registers: dict[str, int]
    """by name in lower case, at the end"""
    cr0: int
    cr3: int
    cr4: int
    efer: int
    before: dict[str, int]
    """frames in use before it was made, by account, for example ``before["user page"]``"""
    started: dict[str, int]
    ended: dict[str, int]
    after: dict[str, int]
    """when it was destroyed"""
    reason: str
    """the end in words"""

    def describe(self) -> str:
        """How it ended, in words."""
        if self.end is GuestEnd.EXITED:
            return f"exited with {self.status:#x}"
        where = f" at rip {self.registers['rip']:#x}" if self.control_block else ""
        words = {
            GuestEnd.UNHANDLED: f"ended by an exit that is not served{where}",
            GuestEnd.FAILED: f"ended by the host{where}",
            GuestEnd.REFUSED: "the entry failed",
            GuestEnd.KILLED: f"killed{where} after {self.exits} exits",
            GuestEnd.RUNNING: f"still running{where} after {self.exits} exits",
            GuestEnd.MADE: "never started",
        }.get(self.end, "never made")
        # The reason of a failed entry is the same for all of them; the report's rule says more.
        return words + (f" ({self.reason})" if self.reason and self.end is not GuestEnd.REFUSED else "")


@dataclass(frozen=True)
class GuestEvidence(ProcEvidence):
    """Both blocks: ``records`` are the programs', ``guests`` those of the guests that they made."""

    vendor: Vendor = Vendor.NONE
    guests: tuple[GuestRecord, ...] = field(default_factory=tuple)
    guests_made: int = 0
    """more than there are in ``guests``, if there were too many for the block"""

    def guest(self, name: str) -> GuestRecord:
        """The record of the guest called ``name``: ``guest1`` is the first one of the boot."""
        for record in self.guests:
            if record.name == name:
                return record
        names = ", ".join(record.name for record in self.guests) or "none"
        raise EvidenceError(f"no record of a guest {name!r}; there are: {names}")


def load(kernel: Path, memory: PhysicalMemory) -> GuestEvidence:
    """Reads both evidence blocks of the kernel whose ELF file is ``kernel``."""
    block = BLOCK.read(kernel, memory)
    return parse(block, proc_evidence.load(kernel, memory))


def parse(block: bytes, programs: ProcEvidence) -> GuestEvidence:
    """The evidence in the bytes of ``vmm::GuestEvidence``, and that of the programs."""
    made, vendor, records = BLOCK.unpack(block)
    if vendor not in set(Vendor):
        raise EvidenceError(f"the block speaks of vendor {vendor}")
    guests = tuple(_record(values) for values in records)
    return GuestEvidence(
        programs.finished, programs.cpus, programs.records, Vendor(vendor), guests, made
    )


def _record(values: dict[str, Any]) -> GuestRecord:
    name = text_of(values["name"])
    end, table_format = values["end"], values["table_format"]
    if end not in set(GuestEnd) or table_format not in set(TableFormat):
        raise EvidenceError(f"the record of guest {name!r} has end {end}, format {table_format}")
    return GuestRecord(
        **values
        | {
            "name": name,
            "owner_name": text_of(values["owner_name"]),
            "reason": text_of(values["reason"]),
            "end": GuestEnd(end),
            "table_format": TableFormat(table_format),
            "registers": dict(zip(REGISTERS, values["registers"])),
        }
        | {key: values[key] == 1 for key in ("hypercalls", "kept", "destroyed")}
        | {key: accounts_of(values[key]) for key in ("before", "started", "ended", "after")}
    )
