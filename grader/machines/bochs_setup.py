# SPDX-License-Identifier: MIT
"""What Bochs is told about the machine that it is to be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grader.machines import Configuration
from grader.machines.bochs_boot import RAM_AT, ROM_AT

BIOS = Path("/usr/share/bochs/BIOS-bochs-latest")
VGA_BIOS = Path("/usr/share/vgabios/vgabios.bin")
INSTRUCTIONS_PER_SECOND = 25_000_000
"""Of the emulated time: what two CPUs come to on a busy host, so that time limits mean what they
say."""


def descriptor_path(fd: int) -> str:
    """The file behind a descriptor that Bochs inherits."""
    return f"/proc/self/fd/{fd}"


def bochsrc(configuration: Configuration, model: str, files: Mapping[str, int]) -> str:
    """The text of a bochsrc. ``files``: descriptors of the serial line, and of ROM, RAM and ISO
    images.

    Descriptors, since a bochsrc cannot name every path: it has no way to write a quote.
    """
    cpus = ", ".join(f"cpu{cpu}=report" for cpu in range(configuration.cpus))
    lines = [
        "config_interface: textconfig",
        "display_library: term",
        f"romimage: file={BIOS}",
        f"vgaromimage: file={VGA_BIOS}",
        f"optromimage1: file={descriptor_path(files['rom'])}, address={ROM_AT:#x}",
        f"megs: {configuration.memory_mib}",
        f"cpu: model={model}, count={configuration.cpus}, ips={INSTRUCTIONS_PER_SECOND}, "
        "reset_on_triple_fault=0",
        "clock: sync=none, time0=1700000000",
        f"com1: enabled=1, mode=file, dev={descriptor_path(files['serial'])}",
        "sound: driver=dummy, waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy",
        "speaker: enabled=0",
        "magic_break: enabled=1",
        "log: /proc/self/fd/2",
        "panic: action=fatal",
        "error: action=report",
        # Of what is no error, only resets and, at the end, the state of the CPUs.
        "info: action=ignore, pc_system=report, " + cpus,
        "debug: action=ignore",
    ]
    if "iso" in files:
        lines += [
            "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
            f"ata0-master: type=cdrom, path={descriptor_path(files['iso'])}, status=inserted",
            "boot: cdrom",
        ]
    else:
        lines.append(f"optramimage1: file={descriptor_path(files['ram'])}, address={RAM_AT:#x}")
    return "\n".join([*lines, ""])
