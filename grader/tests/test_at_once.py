# SPDX-License-Identifier: MIT
"""Of several cases in one process, the first that fails is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.mutate.at_once import suspects

CASES = ["S.One", "S.Two", "S.Three", "S.Four"]
PROGRAM = """#!/usr/bin/python3
import os, sys
wanted = next(word for word in sys.argv if word.startswith("--gtest_filter=")).partition("=")[2].split(":")
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
        break
    print(f"[       OK ] {{case}} (0 ms)", flush=True)
sys.exit(99 if "" in bad else status)
"""


def program(folder: Path, bad: dict[str, str]) -> Path:
    """Like a GoogleTest program of four cases."""
    path = folder / "program"
    path.write_text(PROGRAM.format(bad=bad))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("bad", "found"), [
    ({}, []),
    ({"S.Two": "fails"}, ["S.Two"]),
    ({"S.Two": "dies"}, ["S.Two"]),
    ({"S.Two": "fails", "S.Three": "dies"}, ["S.Two"]),
    ({"S.One": "dies", "S.Two": "fails"}, ["S.One"]),
    ({"": "leaks"}, CASES),
])
def test_the_first_that_fails_or_in_which_the_process_ends(tmp_path: Path, bad: dict[str, str], found: list[str]) -> None:
    assert suspects(program(tmp_path, bad), CASES, 1, 5.0) == found
