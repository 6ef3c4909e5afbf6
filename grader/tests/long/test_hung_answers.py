# SPDX-License-Identifier: MIT
"""An answer that never ends costs little: to each task of the first lab in turn, in less than half
a minute of one processor, the compiler and the grader itself included."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from grader.build.compiling import ASSEMBLY
from grader.course.lab import ROOT, Task, load_all

LAB = next(lab for lab in load_all() if lab.points)
CPU_SECONDS = 30.0
PYTHON = "/usr/bin/python3"
COUNTED = """
import sys, time
from grader.confine.processes import Child
from grader.verbs.cli import main
used, wait = {}, Child.wait
def counted(child, *words, **more):
    try:
        return wait(child, *words, **more)
    finally:
        used[child] = child.spent
Child.wait = counted
main()
print(f"used {sum(used.values()) + time.process_time():.2f}")
"""
"""The command, and at its end the time that it and all that it started have used."""


def hung(task: Task) -> str:
    """The reference, with a loop without end at its beginning."""
    text = (ROOT / "solutions-private" / task.file).read_text()
    name = task.id.partition(".")[2]
    pattern, loop = rf"\b{name}\([^{{;]*\) \{{\n", "for (volatile unsigned i = 0;;) i = i + 1;\n"
    if task.file.endswith(ASSEMBLY):
        pattern, loop = rf"^{name}:\n", "1:      jmp 1b\n"
    found, count = re.subn(pattern, rf"\g<0>{loop}", text, flags=re.MULTILINE)
    assert count == 1, f"{task.file}: {name} does not begin as this test knows it"
    return found


@pytest.mark.parametrize("task", LAB.tasks, ids=lambda task: task.id)
def test_an_answer_that_never_ends_costs_less_than_half_a_minute(task: Task, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    file = upload / task.file
    file.parent.mkdir(parents=True)
    file.write_text(hung(task))
    out = tmp_path / "result.json"
    done = subprocess.run([PYTHON, "-c", COUNTED, "grade", LAB.id, "--task", task.id, "--from", upload,
                           "--json", out], cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(out.read_text())
    kinds = [test["extra_data"]["outcome"] for test in result["tests"]]
    assert "timeout" in kinds and result["score"] <= sum(test["max_score"] for test in result["tests"]) / 4, done.stdout
    used = float(re.search(r"^used ([\d.]+)$", done.stdout, re.MULTILINE)[1])
    print(f"{task.id}: {used:.1f} s, {kinds}")
    assert used < CPU_SECONDS, kinds
