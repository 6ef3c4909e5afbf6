# SPDX-License-Identifier: MIT
"""Many GoogleTest cases in one process: quick, and good enough to tell which one is worth a process
of its own.

One case may spoil the next, by a variable that outlives it, and an answer may print what it likes.
So only mutants, which are made here, come here, and what fails is run alone (grader/judge/unit.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from grader.confine import host_program, sandbox


def suspects(program: Path, cases: Sequence[str], seed: int, seconds: float, *, may_leak: bool = True) -> list[str]:
    """Runs cases of the program in one process, up to the first that fails: that one, and the one
    in which the process ended, if it did not come to its end. None if all pass, and all if the
    process fails only behind them, as for a leak. `may_leak`: see grader/judge/unit.py."""
    command = [*host_program.without_randomization(), str(program), f"--gtest_filter={':'.join(cases)}",
               "--gtest_fail_fast", "--gtest_color=no"]
    done = host_program.started(lambda: sandbox.run(
        command, timeout=seconds, readable=[program], env={**host_program.sanitizers(may_leak), "NEST_SEED": str(seed)}))
    if done.killed == "interrupted":
        raise KeyboardInterrupt
    if done.ok:
        return []

    def said(word: str) -> list[str]:
        return [case for case in re.findall(rf"^\[{word}\] (\S+?)(?:,? .*)?$", done.stdout, re.MULTILINE) if case in cases]

    ended_in = [case for case in said(" RUN      ")[-1:] or list(cases[:1]) if case not in said("       OK ")]
    return list(dict.fromkeys([*said("  FAILED  "), *ended_in])) or list(cases)
