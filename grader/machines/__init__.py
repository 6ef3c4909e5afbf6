# SPDX-License-Identifier: MIT
"""The machines that a kernel can be booted on, behind one interface.

A machine is started with a :class:`Configuration`; the :class:`Running` machine hands out its
serial line as it comes, waits for the end, tells why it ended, shows its memory and registers, and
stops.
"""

from __future__ import annotations

import abc
import importlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import CannotRun
from grader.confine.sandbox import signal_name
from grader.evidence.memory import PhysicalMemory

POWERED_OFF = "powered off"
RESET = "reset"
TRIPLE_FAULT = "triple fault"
TIMEOUT = "timeout"
FLOODED = "too much output"
INTERRUPTED = "interrupted"
DIED = "died"
KILLED = "killed"

MAX_MEMORY_MIB = 3072
"""Up to here memory is one piece from address 0 on every machine, and a file offset is an Hpa."""


class MachineError(CannotRun):
    """A machine cannot be started here: why, and the mend. Never the fault of the kernel in it."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(f"{why}\nmend: {mend}")
        self.why = why
        self.mend = mend


@dataclass(frozen=True)
class Configuration:
    """What to start."""

    kernel: Path | None = None
    """an ELF file that is entered as directly as the machine can; or else"""
    iso: Path | None = None
    """a CD image that the machine's BIOS boots"""
    module: Path | None = None
    """with ``kernel``: the boot module"""
    command_line: str = ""
    cpus: int = 4
    memory_mib: int = 256
    stopped: bool = False
    """wait for a debugger before the first instruction"""
    debugger: Path | None = None
    """a Unix socket on which a debugger may attach"""
    counts_instructions: bool = False
    """the time-stamp counter goes up by one with each instruction, as Bochs's always does"""


@dataclass(frozen=True)
class End:
    """Why a machine is not running any more."""

    reason: str
    """one of the constants above"""
    status: int | None = None
    """POWERED_OFF: what the kernel gave to power_off; None if it went another way"""
    detail: str = ""
    """the emulator's last words, where it has any: always for DIED and KILLED"""

    def in_words(self, seconds: float = 0) -> str:
        """Why, for people; ``seconds`` is how long it ran."""
        powered_off = f"the kernel powered off with {self.status}"
        if self.status is None:
            powered_off = "the kernel switched the machine off by its ACPI port, without a status"
        words = {
            POWERED_OFF: powered_off,
            RESET: "the kernel reset the machine, by port 0x64, 0x92 or 0xcf9; it was no triple fault",
            TRIPLE_FAULT: "the machine was reset by a triple fault of the host kernel: an exception, and no way "
            "to deliver it or the double fault that followed",
            TIMEOUT: f"the machine hung and was stopped after {seconds:.0f} s",
            FLOODED: "the machine was stopped: it printed without end",
            INTERRUPTED: "the machine was interrupted",
            DIED: "the emulator itself ended, which no kernel should be able to do",
            KILLED: "the emulator was killed from outside, which is no fault of the kernel",
        }[self.reason]
        return f"{words}: {self.detail}" if self.detail else words


def exit_in_words(status: int) -> str:
    """How an emulator ended. ``status``: negative for a signal, or 128 + n as a shell says it."""
    number = -status if status < 0 else status - 128
    return f"died of {signal_name(number)}" if number > 0 else f"ended with {status}"


def killed_from_outside(status: int) -> str:
    """The signal that ended an emulator, if it is one that people and systems send and programs do
    not get by their own mistakes; else empty. ``status`` is as in exit_in_words()."""
    number = -status if status < 0 else status - 128
    return signal.Signals(number).name if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP) else ""


class Running(abc.ABC):
    """A machine that was started. Leave its ``with`` block, and nothing of it is left."""

    memory: PhysicalMemory
    """readable while it runs and after it has ended"""
    command: Sequence[str]

    @property
    @abc.abstractmethod
    def seconds(self) -> float:
        """Since it was started."""

    @abc.abstractmethod
    def wait(self, seconds: float | None, output_bytes: int | None = None) -> End:
        """Waits for its end, for so many seconds of its own time (``Child.spent``). At TIMEOUT the
        machine is still there, for registers(), until stop()."""

    @abc.abstractmethod
    def registers(self) -> str:
        """Every CPU's registers, of a machine that is still there; it is paused by this."""

    def complaints(self) -> str:
        """What the emulator itself had to say, for people; a line each."""
        return ""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ends it, whatever it does. May be called twice."""

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Machine(abc.ABC):
    """A kind of machine."""

    name: str
    title: str
    vendor: str
    """``amd`` or ``intel``: whose virtualization its CPU has"""
    tried: tuple[str, ...]
    """the versions of the emulator, as far as the second number, with which this tree was tested"""
    max_cpus: int
    """with more it is too slow to be of use"""
    default_memory_mib: int
    is_slow_by_grub: bool = False
    """the way through BIOS and GRUB takes so long that the direct one is the default"""
    install: str
    """the command that installs what it is made of"""
    reinstall: str
    """the command that mends what it is made of"""
    seconds_factor: float = 1.0
    """how much longer a boot may take here than on the default machine"""

    @abc.abstractmethod
    def check(self) -> str:
        """What it is made of, the emulator's version first. Raises MachineError if it cannot be
        started here."""

    @abc.abstractmethod
    def start(
        self, configuration: Configuration, on_serial: Callable[[bytes], None]
    ) -> Running:
        """Starts it; ``on_serial`` gets the serial line during wait(). Raises MachineError."""


_MODULES = {
    "amd-qemu": "grader.machines.amd_qemu",
    "intel-bochs": "grader.machines.intel_bochs",
    "amd-bochs": "grader.machines.amd_bochs",
}


def names() -> tuple[str, ...]:
    """All machines, the default one first."""
    return tuple(_MODULES)


def machine(name: str) -> Machine:
    """The machine called ``name``. Raises MachineError."""
    if name not in _MODULES:
        raise MachineError(
            f"there is no machine {name!r}", f"take one of: {', '.join(names())}"
        )
    made: Machine = importlib.import_module(_MODULES[name]).MACHINE
    return made
