# SPDX-License-Identifier: MIT
"""What a boot is told: the lines of its file ``plan``, and the machine that it runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class VmPlan:
    """One virtual machine of a boot: a line of the file ``plan`` (its grammar:
    vmm/main/plan.hh)."""

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
    more: Mapping[str, object] | None = None
    """further keys of the grammar, for example ``{"fail": "0x204000", "info": "0x9000"}``; several
    values of one key as a list"""

    def line(self) -> str:
        """The plan's line; a ValueError if a field cannot be written in one."""
        pairs: list[tuple[str, object]] = [
            ("name", self.name),
            ("file", self.file),
            ("vcpus", self.vcpus),
            ("ram", self.ram_kib),
            ("limit", self.limit_ms),
            ("keep", int(self.keep)),
        ]
        if self.hold is not None:
            pairs.append(("hold", self.hold))
        for key, value in (self.more or {}).items():
            values = value if isinstance(value, (list, tuple)) else [value]
            pairs += [(key, one) for one in values]
        return _line("vm", pairs, self.args)


@dataclass(frozen=True)
class RunPlan:
    """One step: environments of one program that run at once."""

    name: str
    file: str
    """the program, one of the boot's files"""
    count: int = 1
    repeat: int = 1
    """so many times one after the other; the evidence adds up"""
    cpus: int | None = None
    """None: all that are up"""
    keep: bool = False
    """the environments are not destroyed, so that their memory can be read from outside"""
    limit_ms: int = 20000
    """what still runs then is killed"""
    memory: int | None = None
    """frames that are left once the environments are made"""
    root: bool = False
    """started as the exercise's program is: its segments are printed, and an error is a panic"""
    probe: str | None = None
    """what is asked of the guests that the program makes: ``move:N``, ``spoil:N``
    (vmm/user/guest_probe.hh)"""
    pending: bool = False
    """each time that a program is entered, an interrupt is already pending"""
    args: str = ""

    def line(self) -> str:
        """The plan's line; a ValueError if a field cannot be written in one."""
        pairs: list[tuple[str, object]] = [
            ("name", self.name),
            ("file", self.file),
            ("count", self.count),
            ("repeat", self.repeat),
            ("keep", int(self.keep)),
            ("limit", self.limit_ms),
        ]
        if self.cpus is not None:
            pairs.append(("cpus", self.cpus))
        if self.memory is not None:
            pairs.append(("memory", self.memory))
        if self.root:
            pairs.append(("root", 1))
        if self.probe is not None:
            pairs.append(("probe", self.probe))
        if self.pending:
            pairs.append(("pending", 1))
        return _line("run", pairs, self.args)


class PlanLine(Protocol):
    """One step of a boot."""

    def line(self) -> str:
        """The plan's line; a ValueError if it cannot be written in one."""
        ...


def plan_text(plan: Sequence[PlanLine]) -> str:
    """The file ``plan`` of a boot."""
    return "".join(one.line() + "\n" for one in plan)


@dataclass(frozen=True)
class Ground:
    """The machine of one boot, as boot modules are told: `plan(nonce, machine)`, fixture
    `machine`."""

    name: str
    vendor: str
    """`amd` or `intel`"""
    cpus: int
    """what the module asks for, or as many as the machine can have"""
    memory_mib: int
    seconds: float
    """of the emulator's own time (grader/confine/processes.py); then the machine is stopped"""


def _line(step: str, pairs: Sequence[tuple[str, object]], args: str) -> str:
    words = [f"{key}={value}" for key, value in pairs]
    for word in words:
        if word.split() != [word]:
            raise ValueError(f"a plan cannot say {word!r}: no spaces are allowed there")
    if "\n" in args or "\r" in args:
        raise ValueError(f"a command line is one line: {args!r}")
    return " ".join([step, *words, *([f"args={args}"] if args else [])])
