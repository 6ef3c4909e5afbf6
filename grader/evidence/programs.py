# SPDX-License-Identifier: MIT
"""What a boot of the kernel with user programs leaves behind.

* :class:`ProcEvidence` and :class:`ProgramRecord`: the block ``proc_evidence`` of
  kern/proc/main/proc_evidence.hh, read from the machine's memory. Nothing in it is followed without
  a bound; what does not fit is an :class:`EvidenceError`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.evidence.blocks import Block, accounts_of, error_name, text_of
from grader.evidence.memory import EvidenceError, PhysicalMemory

BLOCK = Block(
    "proc_evidence", 48, "kern/proc/main/proc_evidence.hh",
    (
        ("name", "32s"), ("end", "Q"), ("status", "Q"), ("error", "Q"), ("vector", "Q"),
        ("error_code", "Q"), ("cr2", "Q"), ("rip", "Q"), ("rsp", "Q"), ("table_root", "Q"), ("kept", "Q"), ("environments", "Q"), ("exited", "Q"), ("faulted", "Q"),
        ("killed", "Q"), ("stuck", "Q"), ("refused", "Q"), ("status_sum", "Q"), ("system_calls", "Q"),
        ("preemptions", "Q"), ("switches", "Q"), ("before", "16Q"),
        ("started", "16Q"), ("ended", "16Q"), ("after", "16Q"), ("creation_nanoseconds", "Q"),
        ("run_nanoseconds", "Q"), ("reason", "96s"),
    ),
)  # fmt: skip
"""Of ``kern::ProgramRecord``; the numbers are ``finished`` and ``cpus``."""


class ProgramEnd(enum.IntEnum):
    """``kern::ProgramEnd``."""

    NONE = 0
    REFUSED = 1
    RUNNING = 2
    EXITED = 3
    FAULTED = 4
    KILLED = 5
    STUCK = 6


@dataclass(frozen=True)
class ProgramRecord:
    """One step of the boot: ``kern::ProgramRecord``. How it ended is said of its first
    environment."""

    name: str
    end: ProgramEnd
    status: int
    """what it gave to the exit system call"""
    error: str | None
    """a name of ``kern::Error``, for example ``"BadFormat"``"""
    vector: int
    error_code: int
    cr2: int
    rip: int
    rsp: int
    table_root: int
    kept: bool
    environments: int
    exited: int
    faulted: int
    killed: int
    stuck: int
    refused: int
    status_sum: int
    system_calls: int
    preemptions: int
    switches: int
    before: dict[str, int]
    """frames in use before the step, by account, for example ``before["page table"]``"""
    started: dict[str, int]
    ended: dict[str, int]
    after: dict[str, int]
    creation_nanoseconds: int
    run_nanoseconds: int
    reason: str
    """the end in words"""

    def describe(self) -> str:
        """How it ended, in words."""
        if self.end is ProgramEnd.EXITED:
            return f"exited with {self.status:#x}"
        if self.end is ProgramEnd.FAULTED:
            return (
                f"faulted: vector {self.vector}, error code {self.error_code:#x}, rip {self.rip:#x}, "
                f"cr2 {self.cr2:#x} ({self.reason})"
            )
        if self.end is ProgramEnd.REFUSED:
            return f"refused: {self.error} ({self.reason})"
        if self.end is ProgramEnd.KILLED:
            return "still ran when its time was over"
        return self.end.name.lower() + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class ProcEvidence:
    """``kern::ProcEvidence``."""

    finished: bool
    """the plan was carried out to its end"""
    cpus: int
    records: tuple[ProgramRecord, ...] = field(default_factory=tuple)

    def program(self, name: str) -> ProgramRecord:
        """The record of the step called ``name``."""
        for record in self.records:
            if record.name == name:
                return record
        names = ", ".join(record.name for record in self.records) or "none"
        raise EvidenceError(f"no record of a program {name!r}; there are: {names}")


def load(kernel: Path, memory: PhysicalMemory) -> ProcEvidence:
    """Reads the evidence block of the kernel whose ELF file is ``kernel``."""
    return parse(BLOCK.read(kernel, memory))


def parse(block: bytes) -> ProcEvidence:
    """The evidence in the bytes of ``kern::ProcEvidence``."""
    finished, cpus, records = BLOCK.unpack(block)
    return ProcEvidence(finished == 1, cpus, tuple(_record(values) for values in records))


def _record(values: dict[str, Any]) -> ProgramRecord:
    name = text_of(values["name"])
    end = values["end"]
    if end not in set(ProgramEnd):
        raise EvidenceError(f"the record of the program {name!r} ends with {end}")
    return ProgramRecord(
        **values
        | {
            "name": name,
            "reason": text_of(values["reason"]),
            "end": ProgramEnd(end),
            "error": error_name(values["error"]),
            "kept": values["kept"] == 1,
        }
        | {key: accounts_of(values[key]) for key in ("before", "started", "ended", "after")}
    )
