# SPDX-License-Identifier: MIT
"""A kernel of a few instructions, entered by PVH, to test the machines without ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

HEAD = """
.section .note.pvh, "a", @note
.balign 4
.long 4, 8, 18
.asciz "Xen"
.long start, 0
.text
.code32
.globl start
start:
    mov $stack, %esp
    mov $0x3fb, %dx
    mov $3, %al         # 8 bits a character
    out %al, %dx
    mov $0x3f8, %dx
"""
TAIL = """
put:                    # prints AL; DX stays 0x3f8
    push %eax
    call line_idle
    pop %eax
    out %al, %dx
    ret
line_idle:
    mov $0x3fd, %dx
1:  in %dx, %al
    test $0x40, %al
    jz 1b
    mov $0x3f8, %dx
    ret
.bss
.balign 16
.skip 4096
stack:
"""


def say(text: str) -> str:
    """Code that prints ``text`` on the serial line."""
    return "".join(f"    mov ${ord(char)}, %al\n    call put\n" for char in text)


def power_off(status: int) -> str:
    """Code that ends the machine, as kern/arch/x86_64/console.cc does."""
    return (
        say(f"power off: {status}\n")
        + f"    call line_idle\n    mov ${status}, %eax\n    mov $0xf4, %dx\n    out %eax, %dx\n"
        "    xchg %bx, %bx\n1:  hlt\n    jmp 1b\n"
    )


def evidence_symbol(block: bytes) -> str:
    """A block of evidence, filled in already, where a harness finds it."""
    values = ", ".join(str(byte) for byte in block)
    return (
        ".data\n.balign 8\nblock:\n"
        f".byte {values}\n"
        ".globl vmm_evidence\n.type vmm_evidence, @object\n"
        ".set vmm_evidence, block + 0xffffffff80000000\n"
        f".size vmm_evidence, {len(block)}\n.text\n"
    )


def build(folder: Path, code: str) -> Path:
    """Assembles and links a kernel."""
    (folder / "tiny.S").write_text(HEAD + code + TAIL)
    kernel = folder / "tiny.elf"
    subprocess.run(["as", "--64", "-o", folder / "tiny.o", folder / "tiny.S"], check=True)
    link = ["ld", "-n", "-static", "-nostdlib", "-z", "max-page-size=4096", "-Ttext=0x100000"]
    subprocess.run([*link, "-e", "start", "-o", kernel, folder / "tiny.o"], check=True)
    return kernel
