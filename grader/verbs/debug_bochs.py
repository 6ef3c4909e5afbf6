# SPDX-License-Identifier: MIT
"""``nest debug LAB --machine intel-bochs``: Bochs's own debugger, with the kernel's symbols.

A machine in Bochs is always driven through this debugger (grader/machines/bochs.py); here a person
gives the commands.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile

from grader import UsageError
from grader.evidence.symbols import demangle
from grader.machines import Configuration
from grader.machines.bochs import Bochs, Dialog, RunningBochs
from grader.machines.bochs_boot import DirectBoot

Ask = Callable[[], str | None]
"""The next command of the person; None: there is none any more."""

_PROMPT = re.compile(r"<bochs:\d+> ?$")
_ERROR = re.compile(r"^\d+[pe](\[.*)")


class Debugged(RunningBochs):
    """One Bochs process with somebody at its debugger."""

    def __init__(self, machine: Bochs, configuration: Configuration, first: Sequence[str], ask: Ask,
                 show: Callable[[str], None]) -> None:  # fmt: skip
        self._first, self._next_command, self._show = first, ask, show
        self._at_prompt = False
        self._line = ""
        self._symbols = b"".join(
            b"%x %s\n" % (address, name.encode()) for name, address in _functions(configuration.kernel)
        )
        super().__init__(configuration, machine.model, lambda data: show(data.decode("utf-8", "replace")))

    def interrupt(self) -> None:
        """Stops the machine, if it runs: the debugger asks for a command then."""
        if not self._at_prompt:
            with contextlib.suppress(OSError):
                self.ask()

    def _talk(self, direct: DirectBoot | None) -> Dialog:
        usual = super()._talk(direct)
        command = next(usual)
        while command != "c":  # what prepares the machine
            command = usual.send((yield command))
        os.ftruncate(self._memory_fd, 0)
        os.pwrite(self._memory_fd, self._symbols, 0)
        yield f'ldsym global "/proc/self/fd/{self._memory_fd}"'
        yield "u switch-mode"  # operands in the order of this tree's assembly
        for command in self._first:
            self._show(f"<bochs> {command}\n")
            self._answer((yield command))
        while (line := self._next()) is not None:
            self._answer((yield line))
        yield "q"

    def _next(self) -> str | None:
        self._at_prompt = True
        try:
            return self._next_command()
        finally:
            self._at_prompt = False

    def _answer(self, text: str) -> None:
        """What the debugger said, without its prompt and the echo of the command."""
        lines = _PROMPT.sub("", text).splitlines(keepends=True)
        self._show("".join(lines[1:]))

    def _keep_log(self, data: bytes) -> None:
        super()._keep_log(data)
        *whole, self._line = (self._line + data.decode("utf-8", "replace")).split("\n")
        for line in whole:
            if found := _ERROR.match(line):
                self._show(f"bochs: {found[1]}\n")


def breakpoint_at(place: str, *images: Path) -> str:
    """The command that stops at a function of one of the images, or at an address. Raises
    UsageError."""
    if place.startswith("0x"):
        return f"lb {place}"
    found = {
        address for image in images for name, address in _functions(image)
        if place in (name, words := demangle(name).partition("(")[0]) or words.endswith(f"::{place}")
    }  # fmt: skip
    if len(found) != 1:
        raise UsageError(f"there are {len(found)} functions called '{place}'; an address will do: 0x...")
    return f"lb {found.pop():#x}"


def debug(machine: Bochs, configuration: Configuration, commands: Sequence[str], *, batch: bool) -> None:
    """Gives the commands, then those of the terminal; returns when the debugger has ended."""
    machine.check()

    def ask() -> str | None:
        if batch:
            return None
        try:
            return input("<bochs> ")
        except EOFError:
            return None

    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    with Debugged(machine, configuration, commands, ask, show) as running, _interrupts(running):
        running.wait(None)


@contextlib.contextmanager
def _interrupts(running: Debugged) -> Iterator[None]:
    """Ctrl-C stops the machine, and not nest."""
    before = signal.signal(signal.SIGINT, lambda *_: running.interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _functions(image: Path | None) -> list[tuple[str, int]]:
    """Names and addresses, ascending."""
    if image is None:
        return []
    with image.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        found = [
            (symbol.name, symbol["st_value"]) for symbol in (table.iter_symbols() if table else ())
            if symbol.name and symbol["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS")
        ]  # fmt: skip
    return sorted(found, key=lambda one: one[1])
