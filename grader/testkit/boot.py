# SPDX-License-Identifier: MIT
"""One boot of a kernel: what to run in it, and what it left behind.

:func:`run_boot` makes the boot's file-system image from the plan and the files, starts a machine,
waits for its end, and hands back a :class:`BootResult`: what it printed, how it ended, and its
memory with the evidence in it. A kernel runs guests, which grader/testkit/plans.py and
grader/evidence/vms.py describe, user programs (grader/evidence/programs.py), user programs that run
guests (grader/evidence/guests.py), or nothing: then it looks at its boot module
(grader/evidence/checksums.py).
"""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader import machines
from grader.confine.words import kept
from grader.evidence import second_level
from grader.evidence.memory import EvidenceError, PhysicalMemory
from grader.evidence.second_level import Leaf
from grader.evidence.symbols import SymbolError
from grader.evidence.vms import VmRecord, VmState
from grader.machines import hung
from grader.machines import probe
from grader.testkit.images import file_system_image
from grader.testkit.plans import PlanLine, plan_text
from grader.testkit.took_place import departure

KEEP_MODULES = "NEST_KEEP_MODULES"
"""With this in the environment module.img stays, for who boots by hand what stands in ``command``.
Else it goes: megabytes for each boot, which the seed makes again."""
SERIAL_BYTES = 8 << 20
"""A kernel that prints more is stopped."""
READERS = {"guests": "grader.evidence.vms", "programs": "grader.evidence.programs", "vmms": "grader.evidence.guests",
           "modules": "grader.evidence.checksums", "soft": "grader.evidence.soft",
           "micro": "grader.evidence.micro"}
"""By what a kernel runs: the module whose ``load(kernel, memory)`` reads the evidence."""
COMPLAINTS = 4
"""How many of the emulator's lines an explanation quotes."""
SERIAL_TAIL = 400
"""How many characters of the serial log an explanation quotes."""


@dataclass
class BootResult:
    """What is left of a boot."""

    serial: str
    """everything on the serial line; bytes that are not UTF-8 as U+FFFD"""
    ended: str
    """``powered off``, ``triple fault``, ``reset`` (by a port), ``timeout``, ``too much output``,
    ``interrupted``, ``died`` (the emulator itself) or ``killed`` (the emulator, from outside)"""
    status: int | None
    """what the kernel gave to power_off, if it did"""
    emulator: str
    """the emulator's last words, where it ended itself; else empty"""
    complaints: str
    """what the emulator had to say on the way, a line each; its end is in the transcript's
    emulator.txt"""
    memory: PhysicalMemory
    """empty after a boot whose module was no file-system image"""
    evidence: Any
    """what the kernel published: an Evidence for guests, a ProcEvidence for programs, a
    GuestEvidence for programs that run guests, a ChecksumEvidence of boot modules; None if it never
    got so far, and ``evidence_error`` says why"""
    evidence_error: str
    registers: str
    """for a machine that had to be stopped: where every CPU was, and its registers; else empty"""
    seconds: float
    """since it was started, by the clock"""
    departure: str
    """how what the kernel published departs from the plan (grader/testkit/took_place.py); empty if
    it does not"""
    transcript: Path
    """the folder that holds serial.txt, plan, command, module.img if NEST_KEEP_MODULES is set, and
    if there is something to say registers.txt and emulator.txt (what the emulator had to say, and
    its last words)"""

    def vm(self, name: str) -> VmRecord:
        """The evidence of one VM; an EvidenceError if there is none, which says how the boot
        ended."""
        if self.evidence is None:
            raise EvidenceError(f"{self.explain()}; no evidence: {self.evidence_error}")
        try:
            return self.evidence.vm(name)
        except EvidenceError as problem:
            raise EvidenceError(f"{problem}; {self.explain()}") from None

    def walk(self, vm: VmRecord | str) -> dict[int, Leaf]:
        """The pages that the VM's second-level table maps, by guest-physical address."""
        record = self._kept(vm)
        return second_level.walk(self.memory, record.table_root, record.table_format)

    def guest_read(self, vm: VmRecord | str, gpa: int, length: int) -> bytes:
        """Bytes of the VM's memory; an EvidenceError if a page of them is not present."""
        record = self._kept(vm)
        return second_level.guest_read(
            self.memory, record.table_root, record.table_format, gpa, length
        )

    def explain(self) -> str:
        """How the boot ended, in words, with the last lines that it printed."""
        tail = self.serial.strip()[-SERIAL_TAIL:]
        words = f"its last words: {tail!r}" if tail else "it printed nothing"
        return f"{self.end_in_words()}; {words}"

    def end_in_words(self) -> str:
        """How the boot ended, with the emulator's last words if it ended itself."""
        return machines.End(self.ended, self.status, self.emulator).in_words(self.seconds)

    def last_complaints(self) -> list[str]:
        """The last lines that the emulator had to say, without those that are among its last
        words."""
        lines = [line.strip() for line in self.complaints.splitlines()]
        return [line for line in lines if line and line not in self.emulator][-COMPLAINTS:]

    def _kept(self, vm: VmRecord | str) -> VmRecord:
        record = self.vm(vm) if isinstance(vm, str) else vm
        if not record.kept:
            raise EvidenceError(f"VM {record.name!r} was not kept: its table may be gone")
        if record.state in (VmState.NONE, VmState.REFUSED):
            raise EvidenceError(f"VM {record.name!r} has no table: {record.reason or 'refused'}")
        return record


def run_boot(
    kernel: Path,
    files: Mapping[str, bytes],
    plan: Sequence[PlanLine] | bytes,
    *,
    cpus: int = 4,
    memory_mib: int = 256,
    seconds: float = 60,
    transcript_dir: Path,
    machine: str = "amd-qemu",
    runs: str = "guests",
) -> BootResult:
    """Boots ``kernel`` with ``files`` (and the plan, as the file ``plan``) and waits for its end.

    A plan that is bytes is the boot module as it is, in the place of a file-system image. ``runs``
    says what the kernel runs, ``guests``, ``programs`` or ``vmms``, or ``modules`` if it only looks
    at its boot module, and so which evidence it leaves. After ``seconds`` of the emulator's own
    time (grader/confine/processes.py) it is stopped.

    Raises :class:`grader.machines.MachineError` if the machine cannot be started at all, or runs no
    kernel whatever: that is never the fault of this one.
    """
    raw = isinstance(plan, bytes)
    text = "" if raw else plan_text(plan)
    module = transcript_dir / "module.img"
    try:
        transcript_dir.mkdir(parents=True, exist_ok=True)
        module.write_bytes(plan if raw else file_system_image({**files, "plan": text.encode()}))
        _keep(transcript_dir / "plan", text)
    except OSError as problem:
        raise machines.MachineError(
            f"{transcript_dir} cannot be written: {problem.strerror}",
            "make room, or make the folder writable",
        ) from problem
    configuration = machines.Configuration(
        kernel=kernel, module=module, cpus=cpus, memory_mib=memory_mib
    )
    serial = bytearray()
    registers = ""
    with machines.machine(machine).start(configuration, serial.extend) as running:
        _keep(transcript_dir / "command", shlex.join(running.command) + "\n")
        try:
            end = running.wait(seconds, SERIAL_BYTES)
            if end.reason == machines.TIMEOUT:
                # Programs are all linked at one address: which of them it was, nobody can tell.
                known = {"module": plan} if raw else files if runs == "guests" else {}
                registers = hung.describe(running, kernel, known)
        finally:
            _keep(transcript_dir / "serial.txt", serial.decode("utf-8", "replace"))
            if not os.environ.get(KEEP_MODULES):
                module.unlink(missing_ok=True)
        took = running.seconds
        complaints = running.complaints()
    if not serial and end.reason not in (machines.INTERRUPTED, machines.KILLED):
        probe.expect_alive(machine)
    _keep(transcript_dir / "registers.txt", registers)
    last = end.detail if end.detail not in complaints else ""
    _keep(transcript_dir / "emulator.txt", "".join(f"{text.rstrip()}\n" for text in (complaints, last) if text))
    found, why = _evidence(kernel, running.memory, runs)
    return BootResult(
        serial=serial.decode("utf-8", "replace").replace("\r\n", "\n"),
        ended=end.reason,
        status=end.status,
        emulator=end.detail,
        complaints=complaints,
        # A module as it is: what was published is all that is looked at, and many boots wait to be
        # judged.
        memory=PhysicalMemory(b"") if raw else running.memory,
        evidence=found,
        evidence_error=why,
        registers=registers,
        seconds=took,
        departure=_departure(plan, files, found, why, end),
        transcript=transcript_dir,
    )


def _departure(
    plan: Sequence[PlanLine] | bytes, files: Mapping[str, bytes], found: Any, why: str, end: machines.End
) -> str:
    done = end.reason == machines.POWERED_OFF and end.status == 0
    if found is None:
        return f"the kernel powered off as if the plan were done, without evidence: {why}" if done else ""
    return "" if isinstance(plan, bytes) else departure(plan, found, files=files, done=done)


def _evidence(kernel: Path, memory: PhysicalMemory, runs: str) -> tuple[Any, str]:
    reader = importlib.import_module(READERS[runs])
    try:
        return reader.load(kernel, memory), ""
    except (EvidenceError, SymbolError) as problem:
        return None, str(problem)


def _keep(path: Path, text: str) -> None:
    if text:
        path.write_text(kept(text), encoding="utf-8")
    else:
        path.unlink(missing_ok=True)
