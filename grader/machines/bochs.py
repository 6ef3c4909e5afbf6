# SPDX-License-Identifier: MIT
"""What the machines that Bochs emulates have in common.

Bochs is driven through its debugger. At the end the kernel prints its last line and executes ``xchg
%bx, %bx``: the debugger stops, and if that line is the last that came, it writes the memory to a
memory file of ours and quits. A machine that hangs is stopped by SIGINT and looked at in the same
way. Nothing listens on the network, and no file is left behind: all of them are descriptors without
names.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from grader.confine import sandbox
from grader.evidence.memory import PhysicalMemory
from grader.machines import (
    DIED,
    FLOODED,
    INTERRUPTED,
    KILLED,
    POWERED_OFF,
    RESET,
    TIMEOUT,
    TRIPLE_FAULT,
    Configuration,
    End,
    Machine,
    MachineError,
    Running,
    exit_in_words,
    killed_from_outside,
)
from grader.confine.processes import Child, Limits, descendants
from grader.machines import bochs_command
from grader.machines.bochs_boot import RAM_AT, DirectBoot
from grader.machines.bochs_command import INSTALL, REINSTALL, memory_file
from grader.machines.bochs_setup import descriptor_path
from grader.machines.slots import emulator_slot

MIN_MEMORY_MIB, MAX_MEMORY_MIB = 32, 2048
STOP_SECONDS = 30.0
"""What the debugger gets to show a machine that hangs."""
KEPT_BYTES = 65536
MARKER_BYTES = 64
CODE_BYTES = 16
"""The kernel's first bytes, by which its memory is known."""
PAGE = 4096
DIRECT_MAP = 0xFFFF_8000_0000_0000
"""The host kernel has all memory there; kern/arch/x86_64/kernel_map.hh."""

_PROMPT = re.compile(rb"<bochs:\d+> ?$")
_MAGIC_BREAK = re.compile(r"^\(\d+\) Magic breakpoint", re.MULTILINE)
_MARKER = re.compile(rb"(?:^|\n)power off: (\d{1,3})\r?\n$")
_MAPPED_TO = re.compile(r"maps to physical page 0x([0-9a-f]+)")
_RESET = re.compile(rb"bx_pc_system_c::Reset\(")
_ERROR = re.compile(r"^\d+[ep](\[.*)$", re.MULTILINE)
# Exits, and an MSR (VM_CR) that AMD's CPUs have and those of Bochs do not.
_ORDINARY = re.compile("EPT violation|SVM VMEXIT|RDMSR: Unknown register 0xc0010114")
_PANIC = ">>PANIC<<"
_TRIPLE_FAULT = "exception with no resolution"
_POWER_OFF = "ACPI control: soft power off"
_OR_OF_A_GUEST = "or one of its guest, which on this machine looks alike"
"""Bochs lets a guest's triple fault through to the machine under AMD's virtualization."""

Dialog = Generator[str, str, None]
"""Yields commands, and gets what the debugger says to them."""


class Bochs(Machine):
    """A machine with the CPU ``model``."""

    tried = ("2.7", "3.0")
    max_cpus = 2
    default_memory_mib = 128
    install, reinstall = INSTALL, REINSTALL
    seconds_factor = 2.0
    is_slow_by_grub = True

    def __init__(self, name: str, title: str, vendor: str, model: str) -> None:
        self.name, self.title, self.vendor, self.model = name, title, vendor, model

    def check(self) -> str:
        return f"Bochs {bochs_command.check()}, {self.model}"

    def start(
        self, configuration: Configuration, on_serial: Callable[[bytes], None]
    ) -> RunningBochs:
        self.check()
        if not MIN_MEMORY_MIB <= configuration.memory_mib <= MAX_MEMORY_MIB:
            raise MachineError(
                f"{self.name} cannot have {configuration.memory_mib} MiB of memory",
                f"ask for {MIN_MEMORY_MIB} to {MAX_MEMORY_MIB} MiB",
            )
        if configuration.cpus > self.max_cpus:
            raise MachineError(
                f"{self.name} cannot have {configuration.cpus} CPUs", f"ask for 1 to {self.max_cpus}"
            )
        if configuration.debugger or configuration.stopped:
            raise MachineError(f"no gdb can attach to {self.name}", "`nest debug` has Bochs's own debugger")
        return RunningBochs(configuration, self.model, on_serial, _OR_OF_A_GUEST if self.vendor == "amd" else "")


class RunningBochs(Running):
    """One Bochs process."""

    def __init__(
        self, configuration: Configuration, model: str, on_serial: Callable[[bytes], None], whose_triple_fault: str = "",
    ) -> None:
        self._whose_triple_fault = whose_triple_fault
        self._cpus = configuration.cpus
        self._size = configuration.memory_mib << 20
        self._on_serial = on_serial
        self._serial_end = b""
        self._serial_bytes = 0
        self._most_serial: int | None = None
        self._resets = 0
        self._said = b""
        self._log = bytearray()
        self._asked = False
        self._has_begun = False
        self._status: int | None = None
        self._registers: list[str] = []
        self.memory = PhysicalMemory(b"")
        with contextlib.ExitStack() as stack:
            stack.enter_context(emulator_slot())
            self._memory_fd = memory_file(stack, b"")
            self._serial_fd, serial_write = _pipe(stack)
            stdin, self._stdin = _pipe(stack)
            command = bochs_command.make(stack, configuration, model, serial_write)
            self.command = command.argv
            self._dialog = self._talk(command.direct)
            try:
                self._child = stack.enter_context(
                    Child(
                        sandbox.wrap(
                            self.command,
                            file_bytes=None,
                        ),
                        env=sandbox.ENVIRONMENT | {"TERM": "dumb"},
                        stdin=stdin,
                        pass_fds=[self._memory_fd, *command.files],
                        on_stdout=self._hear,
                        on_stderr=self._keep_log,
                        readers={self._serial_fd: self._serial},
                        ends_itself=sandbox.ends_itself(),
                    )
                )
            except OSError as problem:
                raise MachineError(f"{bochs_command.PROGRAM} does not start: {problem}", INSTALL) from problem
            self._stack = stack.pop_all()

    @property
    def seconds(self) -> float:
        return self._child.seconds

    def wait(self, seconds: float | None, output_bytes: int | None = None) -> End:
        self._most_serial = output_bytes
        status = self._child.wait(Limits(seconds=seconds), kill_on_timeout=False)
        if status is None and not self._has_begun:
            raise MachineError(
                f"the debugger of Bochs {bochs_command.version()} asked for no command",
                f"install a version that was tried ({', '.join(Bochs.tried)}), or give it more time",
            )
        if status is None:
            return End(TIMEOUT)
        if self._resets > 1:
            return End(RESET)
        if self._child.killed:
            return End(FLOODED if self._has_flooded() else INTERRUPTED)
        self._map_memory()
        if self._status is not None:
            missing = "" if self.memory.size else "its memory could not be read"
            return End(POWERED_OFF, self._status, missing)
        words = self._words()
        if _TRIPLE_FAULT in words:
            return End(TRIPLE_FAULT, detail=self._whose_triple_fault)
        if _POWER_OFF in words:
            return End(POWERED_OFF)
        if by := killed_from_outside(status):
            return End(KILLED, detail=f"Bochs got {by}")
        if not self._serial_bytes:
            raise MachineError(
                f"{bochs_command.PROGRAM} ended before the kernel ran: {words or f'with {status}'}",
                "`nest doctor` tries the machine on its own and says what is missing",
            )
        return End(DIED, detail=f"Bochs {exit_in_words(status)}" + (f": {words}" if words else ", and said nothing"))

    def registers(self) -> str:
        """In the form of QEMU's ``info registers -a``. Bochs ends here, once its memory is read."""
        self._asked = True
        self.ask()
        status = self._child.wait(
            Limits(seconds=self._child.spent + STOP_SECONDS), kill_on_timeout=False
        )
        if status is None or not self._registers:
            raise OSError("Bochs's debugger does not answer")
        self._map_memory()
        return "\n".join(f"CPU#{cpu}\n{text}" for cpu, text in enumerate(self._with_state()))

    def ask(self) -> None:
        """Stops the machine in the debugger. Raises OSError."""
        family = [self._child.pid, *descendants(self._child.pid)]
        bochs = [pid for pid in family if _name(pid) == bochs_command.PROGRAM]
        if not bochs:
            raise OSError(f"{bochs_command.PROGRAM} is not running")
        os.kill(bochs[-1], signal.SIGINT)

    def complaints(self) -> str:
        # For example which check of a VM entry failed; but an ordinary exit is nothing wrong.
        found = _ERROR.findall(self._log.decode("utf-8", "replace"))
        return "".join(f"{line}\n" for line in found if not _ORDINARY.search(line))

    def stop(self) -> None:
        self._stack.close()

    def _talk(self, direct: DirectBoot | None) -> Dialog:
        """The whole dialog with the debugger."""
        if direct:
            # Bochs gives out its memory in blocks, in the order in which they are touched, but
            # loads an image as if it were one piece. So the image is touched from its begin to its
            # end, and seen.
            yield f'writemem "{descriptor_path(self._memory_fd)}" {RAM_AT:#x} {len(direct.ram)}'
            if not _holds(self._memory_fd, direct.ram):
                yield "q"
        while True:
            answer = yield "c"
            stopped = _MAGIC_BREAK.search(answer)
            marker = _MARKER.search(self._serial_end)
            if stopped and marker:
                self._status = int(marker[1])
                yield from self._dump(direct)
                yield "q"
            elif self._asked:
                for cpu in range(self._cpus):
                    yield f"set $cpu = {cpu}"
                    general = yield "r"
                    control = yield "creg"
                    self._registers.append(_in_qemus_form(general, control))
                yield from self._dump(direct)
                yield "q"

    def _dump(self, direct: DirectBoot | None) -> Dialog:
        """Writes the memory, through the eyes of a CPU that is in the host kernel; one that is in a
        guest may have the same map of *its* memory."""
        for cpu in range(self._cpus):
            os.ftruncate(self._memory_fd, 0)
            yield f"set $cpu = {cpu}"
            for base in (DIRECT_MAP, 0):
                wrong = 0
                for offset in (0, self._size - PAGE):
                    mapped = _MAPPED_TO.search((yield f"page {base + offset:#x}"))
                    wrong += mapped is None or int(mapped[1], 16) != offset
                if not wrong:
                    yield f'writemem "{descriptor_path(self._memory_fd)}" {base:#x} {self._size}'
                    code = direct.ram[:CODE_BYTES] if direct else b""
                    if os.pread(self._memory_fd, len(code), RAM_AT) == code:
                        return
        os.ftruncate(self._memory_fd, 0)

    def _map_memory(self) -> None:
        if os.fstat(self._memory_fd).st_size == self._size:
            self.memory = PhysicalMemory.from_fd(self._memory_fd, self._size)

    def _hear(self, data: bytes) -> None:
        self._said = (self._said + data)[-KEPT_BYTES:]
        if not _PROMPT.search(self._said):
            return
        self._child.read(self._serial_fd)  # what the kernel said before it stopped
        said, self._said = self._said.decode("utf-8", "replace"), b""
        with contextlib.suppress(StopIteration, BrokenPipeError):
            command = self._dialog.send(said) if self._has_begun else next(self._dialog)
            self._has_begun = True
            os.write(self._stdin, command.encode() + b"\n")

    def _serial(self, data: bytes) -> None:
        self._serial_end = (self._serial_end + data)[-MARKER_BYTES:]
        self._serial_bytes += len(data)
        self._on_serial(data)
        if self._has_flooded():
            self._child.interrupt()

    def _has_flooded(self) -> bool:
        return self._most_serial is not None and self._serial_bytes > self._most_serial

    def _keep_log(self, data: bytes) -> None:
        seen = len(_RESET.findall(self._log[-MARKER_BYTES:]))
        self._log += data
        self._resets += len(_RESET.findall(self._log[-MARKER_BYTES - len(data) :])) - seen
        del self._log[:-KEPT_BYTES]
        if self._resets > 1:  # the first one is that of power-on
            self._child.interrupt()

    def _with_state(self) -> Iterator[str]:
        """The registers, and whether each CPU was halted: that stands in the log, at the end."""
        log = self._log.decode("utf-8", "replace")
        for cpu, text in enumerate(self._registers):
            found = re.findall(rf"\[CPU{cpu} *\] CPU is in .* \((.*)\)", log)
            yield f"{text}HLT={int(bool(found) and found[-1] == 'halted')}\n"

    def _words(self) -> str:
        """Why Bochs gave up, from its log."""
        lines = self._log.decode("utf-8", "replace").splitlines()
        return "; ".join(line.split(_PANIC)[1].strip() for line in lines if _PANIC in line)


def _in_qemus_form(general: str, control: str) -> str:
    """One CPU's registers as grader/machines/hung.py reads them, from the debugger's ``r`` and
    ``creg``."""
    found = re.findall(r"^(r\w+) *: ([0-9a-f]{8})_([0-9a-f]{8})", general, re.MULTILINE)
    found += re.findall(r"\b(CR[0-4]|EFER)=(?:page fault laddr=)?0x()([0-9a-f]+)", control)
    flags = re.search(r"^eflags (0x[0-9a-f]+).*$", general, re.MULTILINE)
    words = [f"{name.upper()}={high}{low}" for name, high, low in found]
    lines = [" ".join(words[at : at + 4]) for at in range(0, len(words), 4)]
    return "\n".join([*lines, flags[0] if flags else "", ""])


def _holds(fd: int, data: bytes) -> bool:
    return os.fstat(fd).st_size == len(data) and os.pread(fd, len(data), 0) == data


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    return ends


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
