# SPDX-License-Identifier: MIT
"""Where a file of assembly can be changed as a student might get it wrong: its instructions, by
their text.

What does not assemble is nobody's mistake, so a rule may offer more than is possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from grader.mutate.edits import Edit

_INSTRUCTION = re.compile(r"^(?:\d+:)?[ \t]+(?P<name>[a-z]\w*)(?:[ \t]+(?P<operands>[^/\n]*?))?[ \t]*(?://[^\n]*)?$",
                          re.MULTILINE)
REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
             "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
OTHERS = {
    "jne": ("je", "ja", "jb", "jmp"), "je": ("jne", "jae", "jbe"), "sti": ("cli",), "cli": ("sti",), "clgi": ("stgi",),
    "stgi": ("clgi",), "vmload": ("vmsave",), "vmsave": ("vmload",), "vmlaunch": ("vmresume",),
    "vmresume": ("vmlaunch",), "cmp": ("test",), "add": ("sub",), "sub": ("add",), "iretq": ("iretl",),
}  # fmt: skip
NARROWER = {"q": "l", "l": "w", "w": "b"}
OPENS = ("iretq", "vmrun", "vmlaunch", "vmresume", "swapgs")
"""An STI before these, where interrupts are to stay off."""

COUNTS = ("pop", "push", "add", "sub", "swapgs")
"""What does something else the second time."""


def edits(text: str) -> list[Edit]:
    """All edits of the file, in the order of its text."""
    unique: dict[str, Edit] = {}
    for edit in _edits(text):
        unique.setdefault(edit.apply(text), edit)
    unique.pop(text, None)
    return sorted(unique.values(), key=lambda edit: (edit.begin, edit.end))


def _edits(text: str) -> Iterator[Edit]:
    found = [one for one in _INSTRUCTION.finditer(text) if not one["name"].endswith("_section")]
    displacements = sorted(set(re.findall(r"\b([A-Z]\w+)\(%", text)))
    for one, two in zip(found, found[1:]):
        if not re.search(r"_section|^\d+:", text[one.end():two.start()], re.MULTILINE) and one[0] != two[0]:
            first, second = _core(one, text), _core(two, text)
            between = text[first[1]:second[0]]
            yield Edit(first[0], second[1], text[second[0]:second[1]] + re.sub(r"//[^\n]*", "", between)
                       + text[first[0]:first[1]], "two instructions exchanged")
    for one in found:
        begin, end = _core(one, text)
        name, operands = one["name"], one["operands"] or ""
        yield Edit(begin, end, "", "an instruction dropped")
        if name in COUNTS:
            yield Edit(begin, end, f"{text[begin:end]}; {text[begin:end]}", "an instruction twice")
        for other in OTHERS.get(name, ()) or [other + name[-1] for other in OTHERS.get(name[:-1], ())]:
            yield Edit(begin, begin + len(name), other, f"{name} is {other}")
        if name in OPENS:
            yield Edit(begin, end, f"sti; {text[begin:end]}", "interrupts let in early")
        if not operands:
            continue
        at = begin + text[begin:end].index(operands, len(name))
        yield from _operands(name, operands, begin, at, displacements)


def _operands(name: str, operands: str, begin: int, at: int, displacements: list[str]) -> Iterator[Edit]:
    end = at + len(operands)
    for register in re.finditer(r"%(\w+)", operands):
        if register[1] in REGISTERS:
            other = REGISTERS[(REGISTERS.index(register[1]) + 1) % len(REGISTERS)]
            yield Edit(at + register.start(1), at + register.end(1), other, "another register")
    for number in re.finditer(r"\$(\d+)", operands):
        for other in (int(number[1]) + 1, int(number[1]) - 1, int(number[1]) + 8, int(number[1]) - 8):
            yield Edit(at + number.start(1), at + number.end(1), str(other), "another constant")
    for used in re.finditer(r"\b([A-Z]\w+)\(%", operands):
        for other in displacements:
            if other != used[1]:
                yield Edit(at + used.start(1), at + used.end(1), other, "another field")
    if used := re.search(r"\(%\w+\)", operands):
        yield Edit(at + used.start(), at + used.start(), "8+" if used.start() == 0 else "+8", "the field behind")
    parts = re.split(r", ?(?![^(]*\))", operands)
    if len(parts) == 2:
        yield Edit(at, end, f"{parts[1]}, {parts[0]}", "operands exchanged")
    width = name[-1]
    milder = None
    while width in NARROWER and name[:-1] in ("mov", "cmp", "add", "sub", "test", "xor", "or", "and"):
        width = NARROWER[width]
        narrow = re.sub(r"%(\w+)(?!\w*\))", lambda one: "%" + _narrow(one[1], width), operands)
        milder = Edit(begin, end, f"{name[:-1]}{width} {narrow}", f"an operand of width {width}", milder)
        yield milder


def _narrow(register: str, width: str) -> str:
    if register not in REGISTERS:
        register = "r" + register.lstrip("er")
    if register[1:].isdigit():
        return register + {"l": "d", "w": "w", "b": "b"}[width]
    short = register[1:]
    if width == "b":
        return short[0] + "l" if short.endswith("x") else short + "l"
    return ("e" if width == "l" else "") + short


def _core(one: re.Match[str], text: str) -> tuple[int, int]:
    """The instruction without what stands around it."""
    begin = one.start("name")
    last = "operands" if one["operands"] else "name"
    return begin, one.end(last)
