# SPDX-License-Identifier: MIT
"""The rules for the instructions of an answer, by objdump's listing of its object.

A task in C++ has none that a compiler does not make. One in assembly may have every ordinary one,
and of the others those that its own task is about; its code ends where its section ends, and its
jumps stay inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from grader.gate import Finding

PRIVILEGED = re.compile(
    r"(syscall|sysenter|sysret|sysexit|uiret|iret|int1|int3?|into|icebp|in|ins|out|outs|cli|sti|hlt|clgi|stgi|skinit"
    r"|lgdt|sgdt|lidt|sidt|lldt|sldt|ltr|str|lmsw|smsw|clts|invd|wbinvd|wbnoinvd|invlpg|invlpga|invlpgb|invpcid"
    r"|tlbsync|rdmsr|wrmsr|rdpmc|swapgs|xsetbv|monitorx?|mwaitx?|vm(run|load|save|mcall|call|launch|resume|xoff|xon"
    r"|clear|ptrld|ptrst|read|write|func|gexit)|invept|invvpid|popf|lret|lcall|ljmp|rsm|getsec|encls|enclu"
    r"|wrpkru|rd(fs|gs)base|wr(fs|gs)base|xbegin|xabort|enqcmds?|senduipi|lfs|lgs|lss|pushf)(b|w|l|q)?")
_SYSTEM_REGISTER = re.compile(r"%(cr\d|db\d|dr\d|tr\d|[cdefgs]s)$|%(cr\d|db\d|dr\d),|%[cdefgs]s,")
HIDDEN = {b"\x0f\x05": "SYSCALL", b"\x0f\x34": "SYSENTER", b"\xcd\x80": "INT 0x80", b"\x0f\x30": "WRMSR",
          b"\x0f\x32": "RDMSR"}
_PREFIXES = re.compile(r"^((rep|repz|repnz|lock|data16|addr32|cs|ds|es|fs|gs|ss|rex(\.\w+)?|notrack|bnd)\s+)+")
_SECTION = re.compile(r"^Disassembly of section (.*):$")
_LINE = re.compile(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*(?:\t(.*))?$")
_JUMP = re.compile(r"^(j\w+|call|loop\w*|xbegin)\w*\s+([0-9a-f]+)\b")
_INDIRECT = re.compile(r"^(jmp|call)\w*\s+\*")


@dataclass(frozen=True)
class Instruction:
    """One instruction."""

    section: str
    address: int
    length: int
    text: str


def instructions(listing: str) -> list[Instruction]:
    """What `objdump -d -w -z` prints."""
    out = []
    section = ""
    for line in listing.splitlines():
        if (head := _SECTION.match(line)) is not None:
            section = head[1]
        elif (found := _LINE.match(line)) is not None:
            out.append(Instruction(section, int(found[1], 16), len(found[2].split()), (found[3] or "").strip()))
    return out


def mnemonic(text: str) -> str:
    """The instruction's name, without prefixes."""
    return (_PREFIXES.sub("", text).split() or [""])[0]


def is_privileged(text: str) -> bool:
    """Whether no compiler makes it from C++, since it is the machine's own or the kernel's."""
    text = text.partition("#")[0].strip()
    bare = _PREFIXES.sub("", text)
    moves = bare.startswith(("mov ", "movw ", "movl ", "movq ", "push ", "pop ", "pushq ", "popq "))
    return bool(PRIVILEGED.fullmatch(mnemonic(text)) or (moves and _SYSTEM_REGISTER.search(bare.partition(" ")[2])))


def findings(found: list[Instruction], about: frozenset[str], assembly: bool) -> Iterator[Finding]:
    """What the code may not do. ``about``: privileged instructions that the task is about."""
    for one in found:
        name = mnemonic(one.text)
        if "(bad)" in one.text:
            if assembly:
                yield Finding(0, f"{one.section}+{one.address:#x}: bytes that are no instruction")
        elif is_privileged(one.text) and name.rstrip("bwlq") not in about and name not in about:
            what = "the task is not about it" if assembly else "a task in C++ has no assembly in any form"
            yield Finding(0, f"{one.section}+{one.address:#x}: the instruction {name}: {what}")


def closed(found: list[Instruction], sizes: dict[str, int]) -> Iterator[Finding]:
    """For assembly: whether the code of each section ends where the section ends, and jumps stay at
    instructions of it.

    A jump to a name outside has a relocation, which the contract judges. Where RET and IRET go,
    nobody sees here."""
    by_section: dict[str, list[Instruction]] = {}
    for one in found:
        by_section.setdefault(one.section, []).append(one)
    for section, mine in by_section.items():
        starts = {one.address for one in mine}
        end = mine[-1].address + mine[-1].length
        if end != sizes.get(section, end):
            yield Finding(0, f"{section}: its last instruction is cut off")
        for one in mine:
            if _INDIRECT.match(_PREFIXES.sub("", one.text)):
                yield Finding(0, f"{section}+{one.address:#x}: jumps to where a register says: write the place's name")
            if (jump := _JUMP.match(_PREFIXES.sub("", one.text))) is not None:
                target = int(jump[2], 16)
                relocated = target == one.address + one.length  # a relocation's field is still 0
                if target not in starts and target != end and not relocated:
                    yield Finding(0, f"{section}+{one.address:#x}: jumps to {target:#x}, where no instruction begins")


def hidden(found: list[Instruction], section: str, data: bytes) -> list[str]:
    """System calls whose bytes stand inside other instructions: for a person to look at."""
    starts = {one.address for one in found if one.section == section}
    out = []
    for pattern, name in HIDDEN.items():
        at = data.find(pattern)
        while at >= 0:
            if at not in starts:
                out.append(f"{section}+{at:#x}: the bytes of {name} inside an instruction")
            at = data.find(pattern, at + 1)
    return out
