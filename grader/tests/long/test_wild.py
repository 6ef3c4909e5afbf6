# SPDX-License-Identifier: MIT
"""A hundred thousand random instructions in guests of lab 6's kernel, and as many random calls of
lab 8's: both live."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.build.answers import reference_answers
from grader.course.lab import load_all
from grader.tests.test_micro_hostile import WHERE, withstands
from grader.tests.test_soft_hostile import beginnings

BEGINNINGS = CALLS = 100_000
MOST_BOOTS = 100
"""Thirty-four, if all come to their end."""

pytestmark = pytest.mark.skipif(reference_answers(load_all()) is None, reason="a release has no reference answers")


def test_a_hundred_thousand_random_instructions(tmp_path: Path) -> None:
    begun = boots = 0
    while begun < BEGINNINGS:
        boots += 1
        assert boots <= MOST_BOOTS, f"{begun} beginnings in {MOST_BOOTS} boots"
        begun += beginnings(tmp_path / f"boot-{boots}")
    print(f"{begun} beginnings in {boots} boots")


@pytest.mark.parametrize(("machine", "cpus"), WHERE)
def test_a_hundred_thousand_calls(machine: str, cpus: int, tmp_path: Path) -> None:
    withstands(machine, cpus, CALLS, tmp_path / "transcript")
