# SPDX-License-Identifier: MIT
"""`nest run` and `nest debug` on the labs as they are."""

import re
import subprocess
from pathlib import Path

import pytest

from grader.kit import reference_answers
from grader.lab import ROOT, load_all

LABS = load_all()
BUILD_SECONDS = 1800

pytestmark = pytest.mark.skipif(
    reference_answers(LABS) is None, reason="a release has no reference answers"
)


def nest(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "nest", *words], capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
        cwd=cwd,
    )  # fmt: skip


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
@pytest.mark.parametrize("way", ["GRUB", "direct"])
def test_guest_comes_up_on_four_vcpus(lab, way: str) -> None:  # type: ignore[no-untyped-def]
    done = nest("run", lab.id, "--reference", *(["--direct"] if way == "direct" else []))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[gkernel] gkernel: 4 CPUs" in done.stdout
    assert f"booted by {'PVH' if way == 'direct' else 'multiboot2'}" in done.stdout


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_debugger_stops_in_the_last_task(lab, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    function = lab.tasks[-1].id.rpartition(".")[2]
    done = nest("debug", lab.id, "--batch", "--ex", "continue", "--ex", "list", cwd=tmp_path)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert re.search(rf"hit Breakpoint 1, .*\b{function} \(", text), text
    assert re.search(rf"^\d+\s.*\b{function}\(", text, re.MULTILINE), "the source is not shown"
    assert "add symbol table from file" in text and "gkernel.elf" in text
