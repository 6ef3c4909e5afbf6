# SPDX-License-Identifier: MIT
"""The instructions by which lab 4's decoder is judged
(labs/lab4-vm-exits/unit/made_instructions.hh) are what a disassembler, Capstone, says of them: how
long they are, what they do, and with which operands."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

capstone = pytest.importorskip("capstone", reason="python3-capstone is not installed")
x86 = capstone.x86

ROOT = Path(__file__).resolve().parents[2]
COUNT = 20_000
FIELDS = 15

PROGRAM = """
#include <cstdio>
#include "labs/lab4-vm-exits/unit/made_instructions.hh"
int main(int, char** arguments) {
    using namespace lab;
    const int count = std::atoi(arguments[1]);
    for (int i = 0; i < count; ++i) {
        const Ground ground = Ground::any(std::array{CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64}[i % 3]);
        const MadeInstruction made = make_instruction(ground);
        for (const std::byte byte : made.bytes) std::printf("%02x", std::to_integer<unsigned>(byte));
        const auto& [base, index, scale, displacement, displacement_bytes, rip_relative, by_sib] = made.operand;
        const auto& wanted = made.wanted;
        std::printf(" %d %d %d %d %d %lld %d %d %d %d %d %d %d %llu\\n", 16 << (i % 3), made.address_bits,
                    base ? int(*base) : -1, index ? int(*index) : -1, index ? 1 << scale : 1,
                    static_cast<long long>(displacement), rip_relative, int(wanted.operation), wanted.size,
                    wanted.memory_first, wanted.reg ? wanted.reg->number : -1,
                    wanted.reg && wanted.reg->is_high_byte, wanted.register_size + 100 * wanted.sign_extend,
                    static_cast<unsigned long long>(wanted.immediate));
    }
}
"""

MODES = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}
MNEMONICS = ("mov movzx movsx movsxd", "mov", "and", "or", "xor", "cmp", "test", "xchg")
"""By the number of MemoryAccess::Operation."""
LEGACY = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
NOTHING = ("", "riz", "eiz")


def register(number: int, size: int, is_high: bool = False) -> str:
    """The name of a register."""
    if is_high:
        return "acdb"[number] + "h"
    if number > 7:
        return f"r{number}" + {1: "b", 2: "w", 4: "d", 8: ""}[size]
    name = LEGACY[number]
    if size == 1:
        return name[0] + "l" if number < 4 else name + "l"
    return {2: "", 4: "e", 8: "r"}[size] + name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What the generator says of each instruction."""
    program = tmp_path_factory.mktemp("made") / "made"
    command = [os.environ.get("CXX", "g++"), "-std=c++23", "-O0", f"-I{ROOT}", "-x", "c++", "-", "-o", str(program),
               "-lgtest", "-lpthread"]  # fmt: skip
    subprocess.run(command, input=PROGRAM, text=True, check=True)
    text = subprocess.run([program, str(COUNT)], check=True, capture_output=True, text=True).stdout
    return [line.split() for line in text.splitlines()]


def difference(words: list[str], disassembler: Any) -> str:
    """How the instruction differs from what Capstone says of it; empty if it does not."""
    code = bytes.fromhex(words[0])
    (address_bits, base, index, scale, displacement, rip_relative, operation, size, memory_first, number, is_high,
     register_size, immediate) = map(int, words[2:])  # fmt: skip
    sign_extend, register_size = divmod(register_size, 100)
    found = next(disassembler.disasm(code + bytes(15), 0), None)
    if found is None:
        return "is no instruction"
    if found.size != len(code):
        return f"has {found.size} bytes, not {len(code)}"
    if found.mnemonic.split()[-1] not in MNEMONICS[operation].split():
        return f"is {found.mnemonic}, not {MNEMONICS[operation]}"
    if sign_extend != (found.mnemonic in ("movsx", "movsxd")):
        return f"is {found.mnemonic}, and the sign {'is' if sign_extend else 'is not'} to be extended"
    at = [i for i, one in enumerate(found.operands) if one.type == x86.X86_OP_MEM]
    if len(at) != 1 or len(found.operands) != 2:
        return f"has other operands: {found.op_str}"
    memory, other = found.operands[at[0]], found.operands[1 - at[0]]
    # TEST and XCHG have no order: disassemblers write either.
    if operation < 6 and (at[0] == 0) != (memory_first == 1):
        return f"has memory as operand {at[0]}: {found.op_str}"
    if memory.size != size:
        return f"accesses {memory.size} bytes, not {size}"
    mem = memory.mem
    names = Counter((found.reg_name(reg) or "", factor) for reg, factor in ((mem.base, 1), (mem.index, mem.scale)))
    names = Counter({(name, factor): count for (name, factor), count in names.items() if name not in NOTHING})
    bytes_of = address_bits // 8
    wanted = Counter((register(reg, bytes_of), factor) for reg, factor in ((base, 1), (index, scale)) if reg >= 0)
    if rip_relative:
        wanted = Counter({("rip" if address_bits == 64 else "eip", 1): 1})
    if names != wanted:
        return f"has memory at {found.op_str}, not by {sorted(wanted)}"
    if (mem.disp - displacement) % (1 << address_bits):
        return f"has the displacement {mem.disp}, not {displacement}"
    if number >= 0:
        name = register(number, register_size, is_high == 1)
        seen = found.reg_name(other.reg) if other.type == x86.X86_OP_REG else found.op_str
        return "" if seen == name else f"has the register {seen}, not {name}"
    if other.type != x86.X86_OP_IMM or (other.imm - immediate) % (1 << 8 * size):
        return f"has the operand {found.op_str}, not {immediate:#x}"
    return ""


def test_made_instructions_are_what_a_disassembler_says(made: list[list[str]]) -> None:
    assert len(made) == COUNT and all(len(words) == FIELDS for words in made)
    disassemblers = {}
    for bits, mode in MODES.items():
        disassemblers[bits] = capstone.Cs(capstone.CS_ARCH_X86, mode)
        disassemblers[bits].detail = True
    wrong = Counter[str]()
    examples = {}
    for words in made:
        if problem := difference(words, disassemblers[int(words[1])]):
            wrong[problem.split(",")[0]] += 1
            examples.setdefault(problem.split(",")[0], f"{words[1]}-bit code, {words[0]} {problem}")
    assert not wrong, f"{wrong.total()} of {COUNT}: " + "; ".join(list(examples.values())[:10])
