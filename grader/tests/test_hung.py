# SPDX-License-Identifier: MIT
"""The report on a hung machine names places and callers, and survives what student code left."""

import random
import struct
from pathlib import Path

import pytest

from grader.evidence.memory import KERNEL_OFFSET, PhysicalMemory
from grader.evidence.symbols import Symbols
from grader.machines import hung
from grader.tests import tiny_kernel

MIB = 1 << 20
STACK = KERNEL_OFFSET + 0x10_0000
"""In the 2 MiB that the tables below map to physical 0."""


def text(*cpus: dict[str, int]) -> str:
    """What ``info registers -a`` prints, as far as it matters."""
    return "".join(
        f"\r\nCPU#{number}\r\nRAX=0000000000000000\r\nRIP={values['rip']:016x} RFL=00000002 HLT=1\r\n"
        f"RBP={values.get('rbp', 0):016x}\r\nCR0=80010033 CR3={values.get('cr3', 0x1000):016x}\r\n"
        for number, values in enumerate(cpus)
    )


def memory(frames: dict[int, tuple[int, int]]) -> PhysicalMemory:
    """The kernel's page tables, and stack frames (saved frame pointer, return address) in it."""
    data = bytearray(2 * MIB)
    struct.pack_into("<Q", data, 0x1000 + 511 * 8, 0x2000 | 1)
    struct.pack_into("<Q", data, 0x2000 + 510 * 8, 0x3000 | 1)
    struct.pack_into("<Q", data, 0x3000, 0x80 | 1)
    for at, frame in frames.items():
        struct.pack_into("<QQ", data, at - KERNEL_OFFSET, *frame)
    return PhysicalMemory(data)


@pytest.fixture(scope="module")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Symbols]:
    base = f"{KERNEL_OFFSET:#x}"
    code = f".globl first, second\n.set first, {base} + 0x2000\n.set second, {base} + 0x3000\n"
    code += ".type first, @function\n.type second, @function\n.size first, 32\n.size second, 32\n"
    return {"kernel": Symbols(tiny_kernel.build(tmp_path_factory.mktemp("hung"), code))}


def test_callers_are_named(symbols: dict[str, Symbols]) -> None:
    first, second = KERNEL_OFFSET + 0x2000, KERNEL_OFFSET + 0x3000
    held = memory({STACK: (STACK + 0x40, second + 8), STACK + 0x40: (0, first + 16)})
    lines = hung.report(text({"rip": first, "rbp": STACK}), symbols, held).splitlines()
    assert lines[:3] == [
        f"CPU 0: at {first:#x}, halted: first+0x0 (kernel)",
        f"    called from {second + 8:#x}: second+0x8 (kernel)",
        f"    called from {first + 16:#x}: first+0x10 (kernel)",
    ]


def test_stack_that_loops_is_left(symbols: dict[str, Symbols]) -> None:
    address = KERNEL_OFFSET + 0x2000
    held = memory({STACK: (STACK, address)})
    lines = hung.report(text({"rip": address, "rbp": STACK}), symbols, held).splitlines()
    assert sum("called from" in line for line in lines) == 1


def test_endless_stack_is_cut(symbols: dict[str, Symbols]) -> None:
    address = KERNEL_OFFSET + 0x2000
    held = memory({STACK + n * 16: (STACK + n * 16 + 16, address) for n in range(100)})
    lines = hung.report(text({"rip": address, "rbp": STACK}), symbols, held).splitlines()
    assert sum("called from" in line for line in lines) == hung.MAX_FRAMES


def test_every_cpu_is_there(symbols: dict[str, Symbols]) -> None:
    found = hung.report(text({"rip": 1}, {"rip": 2}, {"rip": 3}), symbols, memory({}))
    assert found.splitlines()[1:3] == [
        "CPU 1: at 0x2, halted: outside of the kernel: in a guest or program, or a wild jump",
        "CPU 2: at 0x3, halted: outside of the kernel: in a guest or program, or a wild jump",
    ]


def test_odd_text_and_memory_are_survived(symbols: dict[str, Symbols]) -> None:
    assert "no registers" in hung.report("", symbols, memory({}))
    source = random.Random(3)
    for _ in range(200):
        values = {
            "rip": KERNEL_OFFSET + source.getrandbits(20),
            "rbp": source.choice([source.getrandbits(64), STACK, 2**64 - 8]),
            "cr3": source.choice([source.getrandbits(64), 0x1000]),
        }
        hung.report(text(values), symbols, PhysicalMemory(source.randbytes(64 << 10)))


def test_symbols_of_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x7fELF" + bytes(60))
    assert hung._load({"x": tmp_path / "x", "none": tmp_path / "none"}) == {}
