# SPDX-License-Identifier: MIT
"""The same work of guest/tiny with shadow tables on demand, with traced tables, and with nested
paging: what the benchmark kernel of vmm/bench/soft_main.cc measures, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

from grader.testkit import tiny

WAYS = {"on-demand": "option one", "traced": "option two", "nested": "nested paging"}
"""The sides of its rows."""
WHAT = {"tiny-exits": "exits", "tiny-loads": "page tables loaded", "tiny-time": "time"}
"""The rows."""
TURNS = 250
"""of each of the two programs: a system call, a switch, a page fault and three stores to page
tables"""


def work(image: bytes) -> bytes:
    """The guest, with so much to do, and without the part that waits for its timer."""
    return tiny.seeded(image, "bench", turns=TURNS, rounds=0)


def table(samples: Mapping[tuple[str, str], tuple[float, ...]]) -> Iterator[str]:
    """Its lines, of medians."""
    yield f"{2 * TURNS} turns of tiny's programs: system calls, switches, page faults, stores to page tables"
    yield f"{'':13}{'exits':>8}{'page tables loaded':>21}{'time':>11}"
    for side, name in WAYS.items():
        exits, loads, ns = (statistics.median(samples[row, side]) for row in WHAT)
        yield f"{name:13}{exits:8.0f}{loads:21.0f}{ns / 1e6:8.0f} ms"
