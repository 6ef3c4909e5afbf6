# SPDX-License-Identifier: MIT
"""Tables that are made to be walked for ever: every reader of evidence comes to its end, with a
finding."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from grader.evidence import memory as memory_module
from grader.evidence import page_table, second_level
from grader.evidence.memory import Budget, EvidenceError, PhysicalMemory
from grader.evidence.vms import TableFormat
from grader.tests.test_grade import pattern, tree  # noqa: F401
from grader.tests.toy_tree import Tree

ALL = 7  # present, writable, user; READ, WRITE, EXECUTE
PAGE = 4096


class Watched(PhysicalMemory):
    """Memory that gives up on a reader that does not."""

    reads = 0
    most = 1 << 14

    def read(self, hpa: int, length: int) -> bytes:
        self.reads += 1
        assert self.reads < self.most, "a walk without end"
        return super().read(hpa, length)


def filled(*targets: int, frames: int = 8) -> Watched:
    """Frame 1 is the root. All entries of frame n point to the frame that is the n-th target."""
    data = bytearray(frames * PAGE)
    for frame, target in enumerate(targets, 1):
        data[frame * PAGE : (frame + 1) * PAGE] = struct.pack("<Q", target * PAGE | ALL) * 512
    return Watched(data)


CYCLE = filled, (1,)
SHARED = filled, (2, 3, 4, 5)
Reader = Callable[[PhysicalMemory], Any]
READERS: tuple[Reader, ...] = (
    lambda memory: page_table.walk(memory, PAGE),
    lambda memory: page_table.table_count(memory, PAGE),
    lambda memory: page_table.read(memory, PAGE, 0x1000, 8),
    lambda memory: second_level.walk(memory, PAGE, TableFormat.NPT),
    lambda memory: second_level.walk(memory, PAGE, TableFormat.EPT),
)


@pytest.mark.parametrize("tables", [CYCLE, SHARED], ids=["cyclic", "shared"])
@pytest.mark.parametrize("reader", READERS)
def test_table_that_all_entries_share_is_a_finding(tables: Any, reader: Reader) -> None:
    make, targets = tables
    with pytest.raises(EvidenceError, match="reachable twice"):
        reader(make(*targets))


def test_tables_of_the_kernels_half_are_looked_at_once() -> None:
    """They may be shared. Here only the last of many steps says that ring 3 gets nothing."""
    data = bytearray(8 * PAGE)
    for frame, flags in ((1, ALL), (2, ALL), (3, ALL), (4, 3)):  # of level 1: not for ring 3
        data[frame * PAGE : (frame + 1) * PAGE] = struct.pack("<Q", (frame + 1) * PAGE | flags) * 512
    assert page_table.user_pages_of_kernel(Watched(data), PAGE) == []


def test_a_walk_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(64 * PAGE)
    for index in range(40):  # 40 tables of their own, all empty
        struct.pack_into("<Q", data, PAGE + index * 8, (2 + index) * PAGE | ALL)
    memory = PhysicalMemory(data)
    assert page_table.walk(memory, PAGE) == {} and page_table.table_count(memory, PAGE) == 41
    monkeypatch.setattr(memory_module.Budget.__init__, "__defaults__", (20 * 512,))
    for reader in READERS[:2] + READERS[3:]:
        with pytest.raises(EvidenceError, match="over 10240 entries"):
            reader(PhysicalMemory(data))


def test_budget_is_a_sum() -> None:
    budget = Budget(10)
    budget.spend(6)
    budget.spend(4)
    with pytest.raises(EvidenceError, match="over 10 entries"):
        budget.spend(1)


@pytest.mark.parametrize("reader", READERS[:1] + READERS[3:])
@pytest.mark.parametrize("wrong", [False, True])
def test_each_root_is_walked_once(reader: Reader, wrong: bool) -> None:
    memory = filled(1) if wrong else filled()
    for _ in range(3):
        if wrong:
            with pytest.raises(EvidenceError, match="reachable twice"):
                reader(memory)
        else:
            assert reader(memory) == {}
        assert memory.reads == 1


def test_a_test_that_looks_without_end_is_ended(tree: Tree) -> None:  # noqa: F811
    booted = (tree.root / "grader/judge/booted.py").read_text()
    tree.write("grader/judge/booted.py", booted.replace("JUDGING_SECONDS = 120.0", "JUDGING_SECONDS = 0.2"))
    test = (tree.root / "labs/lab1-toy/boot/test_toy.py").read_text()
    tree.write("labs/lab1-toy/boot/test_toy.py", test.replace('    assert "half 42"', '    while True: pass\n    assert "half 42"'))
    result, done = tree.grade("--reference", timeout=30)
    assert done.returncode == 1 and result["score"] == 25, done.stdout + done.stderr
    assert "has taken over 0.2 s of work" in done.stdout
