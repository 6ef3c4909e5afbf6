# SPDX-License-Identifier: MIT
"""`nest run` and `nest debug` on the labs as they are."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from grader.build.answers import reference_answers
from grader.course.lab import ROOT, Lab, load_all
from grader.verbs.debug import last_task, place_of

LABS = load_all()
BUILD_SECONDS = 1800
MOST_TRANSCRIPTS = 2_000_000
"""Bytes of one run."""
WANTED = {
    "guests": "[gkernel] gkernel: {} CPUs",
    "programs": "Hello world!",
    "vmms": "Unhandled VMEXIT, aborting guest.",
    "modules": "boot module of 8 bytes: checksum 0x0e5f0345",
    "soft": "traced    rewritten",
    "micro": "pager: the client has all its pages",
}
"""By what a kernel runs: what is seen once it does, on so many CPUs."""

pytestmark = pytest.mark.skipif(
    reference_answers(LABS) is None, reason="a release has no reference answers"
)


def nest(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "nest", *words], capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
        cwd=cwd,
    )  # fmt: skip


def kernel_of(lab: Lab) -> str:
    """What the lab's kernel runs."""
    kernels = json.loads((ROOT / "build" / "cmake" / "kit.json").read_text())["kernels"]
    return kernels[lab.kernel]["runs"]


@pytest.mark.parametrize("lab", [lab for lab in LABS if "intel-bochs" in lab.machines], ids=lambda lab: lab.id)
def test_what_it_runs_comes_up_on_intel(lab: Lab) -> None:
    done = nest("run", lab.id, "--reference", "--machine", "intel-bochs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert WANTED[kernel_of(lab)].format(2) in done.stdout
    if kernel_of(lab) == "vmms":
        assert "boot sector: from real mode to the guest kernel" in done.stdout


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
@pytest.mark.parametrize("way", ["GRUB", "direct"])
def test_what_it_runs_comes_up(lab: Lab, way: str) -> None:
    done = nest("run", lab.id, "--reference", *(["--direct"] if way == "direct" else []))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"booted by {'PVH' if way == 'direct' else 'multiboot2'}" in done.stdout
    assert WANTED[kernel_of(lab)].format(4) in done.stdout
    assert (ROOT / "build" / "run" / f"{lab.kernel}.elf").is_file()


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_debugger_stops_in_the_last_task(lab: Lab, tmp_path: Path) -> None:
    task = last_task(lab)
    place = place_of(task)
    done = nest("debug", lab.id, "--batch", "--ex", "continue", "--ex", "list", cwd=tmp_path)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert re.search(rf"hit Breakpoint 1, .*\b{place} \(", text), text
    assert re.search(rf"^\d+\s.*\b{place}\b", text, re.MULTILINE), "the source is not shown"
    image = {"guests": "gkernel.elf", "programs": "hello.elf", "vmms": "vmm.elf", "soft": "tiny.elf", "micro": "micro.elf"}.get(kernel_of(lab))
    assert ("add symbol table from file" in text) == (image is not None) and (image or "") in text


def test_who_has_written_nothing_is_told_so(tmp_path: Path) -> None:
    """As it is handed out; `nest verify` looks at all labs, by the row of the skeleton."""
    lab = next(lab for lab in LABS if len(lab.machines) > 1)
    out = tmp_path / "result.json"
    done = nest("grade", lab.id, "--machine", "all", "--json", str(out))
    assert done.returncode == 1, done.stdout + done.stderr
    result = json.loads(out.read_text())["extra_data"]
    kept = [path.stat().st_size for path in (ROOT / result["transcripts"]).rglob("*") if path.is_file()]
    assert kept and sum(kept) < MOST_TRANSCRIPTS
    tasks = result["tasks"]
    assert {task["id"]: (task["state"], task["score"]) for task in tasks} == {
        task.id: ("not written", 0) for task in lab.tasks}
