# SPDX-License-Identifier: MIT
"""A CD image from which GRUB starts a kernel by multiboot2, for `nest run`."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from grader import CannotRun

HAS_GRUB = platform.machine() == "x86_64"
"""Debian has GRUB for BIOS machines on x86 only."""
_KERNEL = "kernel.elf"
_MODULE = "files.img"
_PLAIN = re.compile(r"[A-Za-z0-9 ._=:,/-]*")


def grub_iso(kernel: Path, iso: Path, *, module: Path | None = None, command_line: str = "") -> None:
    """Write `iso`: GRUB that starts `kernel` at once, with `module` beside it in memory.

    Raises CannotRun if the tools are missing or fail, with what they said; `iso` is then not there.
    """
    if not _PLAIN.fullmatch(command_line):
        raise CannotRun("GRUB would read the command line as more than words: use letters, digits, ._=:,/-")
    if not HAS_GRUB:
        raise CannotRun("Debian has no GRUB for BIOS machines on this processor, so no ISO image can be made\n"
                        "mend: leave out --grub; the kernel is entered by PVH then")
    if shutil.which("grub-mkrescue") is None:
        raise CannotRun("grub-mkrescue is missing\nmend: apt install grub-common grub-pc-bin xorriso mtools")
    iso.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="nestling-iso-") as folder:
        root = Path(folder)
        grub = root / "boot" / "grub"
        grub.mkdir(parents=True)
        try:
            shutil.copyfile(kernel, root / "boot" / _KERNEL)
            if module is not None:
                shutil.copyfile(module, root / "boot" / _MODULE)
        except OSError as problem:
            raise CannotRun(f"cannot prepare the ISO: {problem}") from problem
        (grub / "grub.cfg").write_text(_configuration(module is not None, command_line))
        # --compress is for GRUB's own modules: without it the image is written faster.
        done = subprocess.run(
            ["grub-mkrescue", "--compress=no", "-d", _platform(), "-o", str(iso), str(root)],
            capture_output=True, text=True, check=False,
        )
        if done.returncode != 0 or not iso.is_file():
            iso.unlink(missing_ok=True)
            words = done.stderr.strip() or f"it ended with status {done.returncode}"
            raise CannotRun(
                f"grub-mkrescue failed:\n{words}\n"
                "mend: apt install grub-common grub-pc-bin xorriso mtools; is there room on the disk?"
            )


def _configuration(has_module: bool, command_line: str) -> str:
    """grub.cfg: no menu, no wait, no screen."""
    lines = ["set timeout=0", f"multiboot2 /boot/{_KERNEL} {command_line}".rstrip()]
    if has_module:
        lines.append(f"module2 /boot/{_MODULE} {_MODULE}")
    return "\n".join([*lines, "boot", ""])


def _platform() -> str:
    """Where GRUB's modules for a BIOS are: an ISO for this alone is smaller and made faster."""
    folder = Path("/usr/lib/grub/i386-pc")
    if not folder.is_dir():
        raise CannotRun(f"{folder} is missing\nmend: apt install grub-pc-bin")
    return str(folder)
