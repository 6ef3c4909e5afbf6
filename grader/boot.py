# SPDX-License-Identifier: MIT
"""One boot of a hypervisor kernel: what to run in it, and what it left behind.

:func:`run_boot` makes the boot's file-system image from the plan and the files, starts a machine,
waits for its end, and hands back a :class:`BootResult`: what it printed, how it ended, and its memory
with the evidence in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import evidence
from grader.evidence import Evidence, Leaf, PhysicalMemory, VmRecord


@dataclass(frozen=True)
class VmPlan:
    """One virtual machine of a boot: a line of the file ``plan`` (its grammar: vmm/main/plan.hh)."""

    name: str
    file: str
    """the guest's kernel, one of the boot's files"""
    vcpus: int = 1
    ram_kib: int = 65536
    limit_ms: int = 10000
    """the VM is stopped after this time; 0: never"""
    keep: bool = True
    """the VM is not destroyed, so that its memory and table can be read from outside"""
    hold: str | None = None
    """``GPA:N`` or ``GPA:until:GPA2``: holds the file read that serves the page"""
    args: str = ""
    """the guest's command line"""

    def line(self) -> str:
        """The plan's line; a ValueError if a field cannot be written in one."""
        raise NotImplementedError


def plan_text(plan: Sequence[VmPlan]) -> str:
    """The file ``plan`` of a boot."""
    return "".join(vm.line() + "\n" for vm in plan)


@dataclass
class BootResult:
    """What is left of a boot."""

    serial: str
    """everything on the serial line; bytes that are not UTF-8 as U+FFFD"""
    ended: str
    """``powered off``, ``reset`` (a triple fault), ``timeout``, ``too much output`` or ``died``"""
    status: int | None
    """what the kernel gave to power_off, if it did"""
    memory: PhysicalMemory
    evidence: Evidence | None
    """None if the kernel never got so far; ``evidence_error`` says why"""
    evidence_error: str
    registers: str
    """for a machine that had to be stopped: every CPU's registers and where it was; else empty"""
    seconds: float
    transcript: Path
    """the folder that holds serial.txt, plan, files.img, command and registers.txt"""

    def vm(self, name: str) -> VmRecord:
        """The evidence of one VM; an EvidenceError if there is none, which says how the boot ended."""
        raise NotImplementedError

    def walk(self, vm: VmRecord | str) -> dict[int, Leaf]:
        """The pages that the VM's second-level table maps, by guest-physical address."""
        raise NotImplementedError

    def guest_read(self, vm: VmRecord | str, gpa: int, length: int) -> bytes:
        """Bytes of the VM's memory; an EvidenceError if a page of them is not present."""
        raise NotImplementedError


def run_boot(
    kernel: Path,
    files: dict[str, bytes],
    plan: Sequence[VmPlan],
    *,
    cpus: int = 4,
    memory_mib: int = 256,
    wall_seconds: float = 60,
    transcript_dir: Path,
    machine: str = "amd-qemu",
) -> BootResult:
    """Boots ``kernel`` with ``files`` (and the plan, as the file ``plan``) and waits for its end.

    Raises :class:`grader.machines.CannotRun` if the machine cannot be started at all: that is never
    the fault of the kernel.
    """
    raise NotImplementedError
