# SPDX-License-Identifier: MIT
"""What a boot of the kernel that runs guests leaves behind: the block ``vmm_evidence`` of
vmm/evidence.hh.

grader/evidence/second_level.py walks the nested tables that its records name.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.evidence.blocks import Block, accounts_of, error_name, text_of
from grader.evidence.memory import EvidenceError, PhysicalMemory

BLOCK = Block(
    "vmm_evidence", 32, "vmm/evidence.hh",
    (
        ("name", "32s"), ("state", "Q"), ("status", "Q"), ("error", "Q"), ("table_root", "Q"),
        ("table_format", "Q"), ("vcpu_count", "Q"), ("kept", "Q"), ("entry", "Q"),
        ("nested_faults", "Q"), ("exits", "Q"), ("hold_faults", "Q"), ("hold_expired", "Q"),
        ("fills", "Q"), ("vmcb", "8Q"), ("before", "16Q"), ("created", "16Q"), ("ended", "16Q"),
        ("after", "16Q"), ("held_reads", "Q"), ("failed_reads", "Q"), ("failed_address", "Q"),
        ("creation_nanoseconds", "Q"), ("run_nanoseconds", "Q"), ("cr3_writes", "Q"),
        ("page_faults", "Q"), ("reason", "64s"), ("instruction_bytes", "Q"), ("instruction", "16s"),
    ),
)  # fmt: skip
"""Of ``vmm::VmRecord``; the numbers are ``finished`` and ``cpus``."""


class VmState(enum.IntEnum):
    """``vmm::VmState``."""

    NONE = 0
    REFUSED = 1
    RUNNING = 2
    EXITED = 3
    FAILED = 4
    STOPPED = 5


class TableFormat(enum.IntEnum):
    """``VmRecord::table_format``."""

    NPT = 0
    EPT = 1


@dataclass(frozen=True)
class VmRecord:
    """One virtual machine of the boot: ``vmm::VmRecord``."""

    name: str
    state: VmState
    status: int
    """what the guest gave to the exit hypercall"""
    error: str | None
    """a name of ``kern::Error``, for example ``"OutOfMemory"``"""
    table_root: int
    table_format: TableFormat
    vcpu_count: int
    kept: bool
    entry: int
    nested_faults: int
    exits: int
    hold_faults: int
    hold_expired: bool
    fills: int
    vmcb: tuple[int, ...]
    before: dict[str, int]
    """frames in use before the VM was made, by account, for example ``before["guest memory"]``"""
    created: dict[str, int]
    """when it was ready to run"""
    ended: dict[str, int]
    """when its last vCPU had stopped"""
    after: dict[str, int]
    """when it was destroyed; equal to ``ended`` if kept"""
    held_reads: int
    failed_reads: int
    failed_address: int
    creation_nanoseconds: int
    run_nanoseconds: int
    cr3_writes: int
    """that exited, where the plan asks for that"""
    page_faults: int
    """the guest's own, likewise"""
    reason: str
    """why it was refused or ended, in words"""
    instruction: bytes
    """what the host should have done in the guest's place, and did not know; empty if it was not
    that"""


@dataclass(frozen=True)
class Evidence:
    """``vmm::Evidence``."""

    finished: bool
    """the plan was carried out to its end"""
    cpus: int
    records: tuple[VmRecord, ...] = field(default_factory=tuple)

    def vm(self, name: str) -> VmRecord:
        """The record of the VM called ``name``."""
        for record in self.records:
            if record.name == name:
                return record
        names = ", ".join(record.name for record in self.records) or "none"
        raise EvidenceError(f"no record of a VM {name!r}; there are: {names}")


def load(kernel: Path, memory: PhysicalMemory) -> Evidence:
    """Reads the evidence block of the host kernel whose ELF file is ``kernel``."""
    return parse(BLOCK.read(kernel, memory))


def parse(block: bytes) -> Evidence:
    """The evidence in the bytes of ``vmm::Evidence``."""
    finished, cpus, records = BLOCK.unpack(block)
    return Evidence(finished == 1, cpus, tuple(_record(values) for values in records))


def _record(values: dict[str, Any]) -> VmRecord:
    name = text_of(values["name"])
    state, table_format = values["state"], values["table_format"]
    if state not in set(VmState) or table_format not in set(TableFormat):
        raise EvidenceError(f"the record of VM {name!r} has state {state}, format {table_format}")
    instruction = values["instruction"][: values.pop("instruction_bytes")]
    count, vmcb = values["vcpu_count"], values["vmcb"]
    if count > len(vmcb):
        raise EvidenceError(f"the record of VM {name!r} speaks of {count} vCPUs")
    return VmRecord(
        **values
        | {
            "name": name,
            "reason": text_of(values["reason"]),
            "state": VmState(state),
            "table_format": TableFormat(table_format),
            "error": error_name(values["error"]),
            "kept": values["kept"] == 1,
            "hold_expired": values["hold_expired"] == 1,
            "vmcb": vmcb[:count],
            "instruction": instruction,
        }
        | {key: accounts_of(values[key]) for key in ("before", "created", "ended", "after")}
    )
