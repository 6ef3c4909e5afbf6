# SPDX-License-Identifier: MIT
"""What one process says of several cases is told apart: passed, failed, and not come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.judge.at_once import all_at_once, run_at_once

CASES = ["S.One", "S.Two", "S.Three", "S.Four"]
PROGRAM = """#!/usr/bin/python3
import os, sys
wanted = next(word for word in sys.argv if word.startswith("--gtest_filter=")).partition("=")[2].split(":")
first = "--gtest_fail_fast" in sys.argv
bad = {bad!r}
status = 0
for case in ["S.One", "S.Two", "S.Three", "S.Four"]:
    if case not in wanted:
        continue
    print(f"[ RUN      ] {{case}}", flush=True)
    if bad.get(case) == "dies":
        os.abort()
    if bad.get(case) == "fails":
        status = 1
        print(f"[  FAILED  ] {{case}}, where TypeParam = int (0 ms)", flush=True)
        if first:
            break
        continue
    print(f"[       OK ] {{case}} (0 ms)", flush=True)
sys.exit(status)
"""


def program(folder: Path, bad: dict[str, str]) -> Path:
    """Like a GoogleTest program of four cases."""
    path = folder / "program"
    path.write_text(PROGRAM.format(bad=bad))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("bad", "passed"), [
    ({}, CASES),
    ({"S.Two": "fails"}, ["S.One", "S.Three", "S.Four"]),
    ({"S.Two": "dies"}, ["S.One", "S.Three", "S.Four"]),
    ({"S.One": "dies", "S.Two": "fails", "S.Four": "dies"}, ["S.Three"]),
    (dict.fromkeys(CASES, "dies"), []),
])
def test_behind_a_case_that_ends_the_process_the_others_are_run(tmp_path: Path, bad: dict[str, str],
                                                              passed: list[str]) -> None:
    found = all_at_once(program(tmp_path, bad), CASES, 1, 5.0)
    assert found.passed == frozenset(passed)
    assert sorted(found.failed) == sorted(bad)
    assert found.whole


def test_the_case_in_which_the_process_ended_is_behind_those_that_failed(tmp_path: Path) -> None:
    found = run_at_once(program(tmp_path, {"S.Two": "fails", "S.Three": "dies"}), CASES, 1, 5.0)
    assert found.passed == {"S.One"}
    assert found.failed == ("S.Two", "S.Three")
    assert not found.whole


def test_up_to_the_first_that_fails(tmp_path: Path) -> None:
    found = run_at_once(program(tmp_path, {"S.Two": "fails", "S.Three": "dies"}), CASES, 1, 5.0, up_to_first=True)
    assert found.failed[0] == "S.Two"
    assert "S.Three" not in found.failed
