# SPDX-License-Identifier: MIT
"""What the machines that Bochs emulates have in common."""

from __future__ import annotations

from collections.abc import Callable

from grader.machines import Configuration, Machine, MachineError, Running

INSTALL = "apt-get install bochs bochs-term bochsbios vgabios"


class Bochs(Machine):
    """A machine with the CPU ``model``."""

    max_cpus = 2
    default_memory_mib = 128
    seconds_factor = 4.0

    def __init__(self, name: str, title: str, vendor: str, model: str) -> None:
        self.name, self.title, self.vendor, self._model = name, title, vendor, model

    def check(self) -> str:
        raise MachineError(f"{self.name} is not there yet", INSTALL)

    def start(self, configuration: Configuration, on_serial: Callable[[bytes], None]) -> Running:
        raise MachineError(f"{self.name} is not there yet", INSTALL)
