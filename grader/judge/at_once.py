# SPDX-License-Identifier: MIT
"""Many GoogleTest cases in one process: quick, and good enough to tell which cases are worth a process of their own.

What a case alone in its process does is the verdict (grader/judge/unit.py). Here one case may spoil the next, by
a variable that outlives it, and an answer may print what it likes. So only answers of staff's own come here, and what
matters of those that do not pass here is run alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.confine import host_program, sandbox


@dataclass(frozen=True)
class AtOnce:
    """What one process says of several cases."""

    passed: frozenset[str]
    failed: tuple[str, ...]
    """those that it says have failed, and behind them the one in which it ended, if it did not come to its end"""
    whole: bool
    """it came to its end: it says something of each case"""


def run_at_once(program: Path, cases: Sequence[str], seed: int, seconds: float, *, up_to_first: bool = False,
                may_leak: bool = True) -> AtOnce:
    """Runs cases of the program in one process, all of them or `up_to_first` that fails. `may_leak`: see
    grader/judge/unit.py."""
    command = [*host_program.without_randomization(), str(program), f"--gtest_filter={':'.join(cases)}",
               *["--gtest_fail_fast"] * up_to_first, "--gtest_color=no"]
    done = host_program.started(lambda: sandbox.run(
        command, timeout=seconds, readable=[program], env={**host_program.sanitizers(may_leak), "NEST_SEED": str(seed)}))
    if done.killed == "interrupted":
        raise KeyboardInterrupt

    def said(word: str) -> list[str]:
        return [case for case in re.findall(rf"^\[{word}\] (\S+?)(?:,? .*)?$", done.stdout, re.MULTILINE) if case in cases]

    begun, failed = said(" RUN      "), list(dict.fromkeys(said("  FAILED  ")))
    passed = frozenset(cases if done.ok else said("       OK "))
    whole = passed.issuperset(set(cases).difference(failed))
    if not whole and not done.ok and (last := begun[-1:] or list(cases[:1])) and not passed.issuperset(last):
        failed += [case for case in last if case not in failed]
    return AtOnce(passed, tuple(failed), whole)


def all_at_once(program: Path, cases: Sequence[str], seed: int, seconds: float, *, may_leak: bool = True) -> AtOnce:
    """Runs all of the cases beside each other: after one in which the process ended, another goes on behind it."""
    passed: frozenset[str] = frozenset()
    failed: tuple[str, ...] = ()
    while left := [case for case in cases if case not in passed and case not in failed]:
        found = run_at_once(program, left, seed, seconds, may_leak=may_leak)
        passed |= found.passed
        failed += found.failed
        if found.whole or not found.failed:
            break
    return AtOnce(passed, failed, len(passed) + len(failed) == len(cases))
