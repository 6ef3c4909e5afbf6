# SPDX-License-Identifier: MIT
"""The command that starts Bochs: which program, in which version, and the files that it gets as
descriptors."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from grader.machines import Configuration, MachineError
from grader.machines.bochs_boot import DirectBoot, direct_boot, fast_clock
from grader.machines.bochs_setup import BIOS, VGA_BIOS, bochsrc, descriptor_path

PROGRAM = "bochs-bin"
DISPLAY = "*/bochs/plugins/libbx_term_gui.so"
"""Below /usr/lib; a display that listens nowhere."""
INSTALL = "apt-get install bochs bochs-term bochsbios vgabios"
REINSTALL = "apt-get install --reinstall bochs bochs-term bochsbios vgabios"


@dataclass(frozen=True)
class Command:
    """What starts a machine."""

    argv: list[str]
    files: tuple[int, ...]
    """descriptors that it must inherit under the same numbers"""
    direct: DirectBoot | None
    """what it has in memory at the start; None if it boots a CD"""


def check() -> str:
    """The version that is installed. Raises MachineError if it, or what it needs, is missing."""
    if shutil.which(PROGRAM) is None:
        raise MachineError(f"{PROGRAM} is not installed", INSTALL)
    for file in (BIOS, VGA_BIOS):
        if not file.exists():
            raise MachineError(f"{file} is missing", INSTALL)
    if not any(Path("/usr/lib").glob(DISPLAY)):
        raise MachineError("Bochs's display for terminals is missing", INSTALL)
    return version()


def version() -> str:
    """As Bochs tells it. Raises MachineError if it does not."""
    return _build(PROGRAM).version


def make(stack: contextlib.ExitStack, configuration: Configuration, model: str, serial: int) -> Command:
    """The command for a machine with the CPU ``model`` and its serial line on the descriptor
    ``serial``. ``stack`` closes the files. Raises MachineError."""
    direct = _direct(configuration)
    files = {"serial": serial, "rom": memory_file(stack, direct.rom if direct else fast_clock())}
    if direct:
        files["ram"] = memory_file(stack, direct.ram)
    if configuration.iso:
        files["iso"] = os.open(configuration.iso, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, files["iso"])
    files["bochsrc"] = memory_file(stack, bochsrc(configuration, model, files).encode())
    argv = [PROGRAM, "-q", *_build(PROGRAM).with_debugger, "-f", descriptor_path(files["bochsrc"])]
    return Command(argv, tuple(files.values()), direct)


def memory_file(stack: contextlib.ExitStack, data: bytes) -> int:
    """A descriptor of a file in memory, with the data in it."""
    fd = os.memfd_create("bochs")
    stack.callback(os.close, fd)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def _direct(configuration: Configuration) -> DirectBoot | None:
    if configuration.kernel is None:
        return None
    module = configuration.module.read_bytes() if configuration.module else None
    return direct_boot(
        configuration.kernel, module, configuration.command_line, configuration.memory_mib
    )


@dataclass(frozen=True)
class Build:
    """What a Bochs says of itself."""

    version: str
    with_debugger: tuple[str, ...]
    """the words that start it with its debugger: from 3.0 on it wants to be told, and 2.7 does not
    know the word"""


@functools.lru_cache(maxsize=1)
def _build(program: str) -> Build:
    """Asks a program. Raises MachineError if it cannot be one that serves here."""
    try:
        told = subprocess.run(
            [program, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=20, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as problem:
        raise MachineError(f"{program} does not start: {problem}", REINSTALL) from problem
    text = told.stdout + told.stderr
    version = re.search(r"Bochs x86 Emulator (\S+)", text)
    if version is None:
        raise MachineError(f"{program} does not tell its version: {text.strip()[-300:]!r}", REINSTALL)
    flags = re.findall(r"^ +(-\w+) ", text, re.MULTILINE)
    if "-rc" not in flags:
        raise MachineError(f"Bochs {version[1]} was built without its debugger", INSTALL)
    return Build(version[1], ("-debugger",) if "-debugger" in flags else ())
