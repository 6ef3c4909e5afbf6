# SPDX-License-Identifier: MIT
"""Twenty times `kill -9`, at random moments of a run of a hundred submissions."""

from __future__ import annotations

from pathlib import Path

from grader.tests import toy_tree
from grader.tests.test_grade_all import killed_run


def test_final_verdicts_are_those_of_a_run_that_nobody_killed(tmp_path: Path) -> None:
    killed_run(toy_tree.make(tmp_path / "tree"), tmp_path, submissions=100, kills=20)
