# SPDX-License-Identifier: MIT
"""A machine that is to blame costs nobody a point: a killed emulator is started again, and what cannot be
judged is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grader import machines
from grader.confine import sandbox
from grader.machines import amd_qemu, probe
from grader.testkit.boot import run_boot
from grader.tests import tiny_kernel, toy_tree
from grader.tests.test_grade import pattern, tree  # noqa: F401
from grader.tests.toy_tree import Tree

KILLED = """
    for attempt in range({times}):
        flag = transcript_dir.parent.parent / f"killed-{{attempt}}"
        if not flag.exists():
            flag.touch()
            return BootResult("up", "killed", None, "", 0.0, transcript_dir)
    done = """
DEAD = """
    from grader.machines import MachineError
    raise MachineError(f"{machine} starts, but runs no kernel", "get another")
    done = """


def boots_by(tree: Tree, text: str) -> None:
    """Puts something before what the toy tree does in the place of a boot."""
    tree.write("grader/testkit/boot.py", toy_tree.BOOT.replace("\n    done = ", text, 1))


def kinds(result: dict[str, Any]) -> dict[str, str]:
    return {test["name"]: test["extra_data"]["outcome"] for test in result["tests"]}


def test_killed_emulator_is_started_once_more(tree: Tree) -> None:  # noqa: F811
    boots_by(tree, KILLED.format(times=1))
    result, done = tree.grade("--reference")
    assert done.returncode == 0 and result["score"] == 30, done.stdout + done.stderr
    assert result["extra_data"]["notes"] == ["amd-qemu, test_toy.py: killed with None; it was booted once more"]
    assert "note: amd-qemu, test_toy.py: killed" in done.stdout


def test_emulator_that_is_killed_again_and_again_gives_no_verdict(tree: Tree) -> None:  # noqa: F811
    boots_by(tree, KILLED.format(times=9))
    result, done = tree.grade("--reference")
    assert done.returncode == 3 and (result["score"], result["extra_data"]["not_judged"]) == (20, 10)
    assert "killed with None, twice" in done.stdout and "mend: see what ends it" in done.stdout


def test_machine_that_runs_no_kernel_gives_no_verdict(tree: Tree) -> None:  # noqa: F811
    boots_by(tree, DEAD)
    result, done = tree.grade("--reference")
    assert done.returncode == 3 and (result["score"], result["extra_data"]["not_judged"]) == (20, 10)
    assert kinds(result)["boot:test_toy.py::test_half"] == "not judged"
    assert "20 of 30 points for the reference answers, 10 not judged" in done.stdout
    assert "amd-qemu starts, but runs no kernel" in done.stdout and "mend: get another" in done.stdout


@pytest.fixture
def fake_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """In the place of QEMU: a script."""
    monkeypatch.setattr(sandbox, "status", lambda: sandbox.Status(False, "switched off"))
    amd_qemu._version.cache_clear()
    probe._trouble.cache_clear()

    def made(text: str) -> None:
        fake = tmp_path / "qemu-system-fake"
        fake.write_text(f"#!/bin/sh\ncase $1 in --version) echo fake 0.1; exit;; esac\n{text}\n")
        fake.chmod(0o755)
        monkeypatch.setattr(amd_qemu, "PROGRAM", str(fake))

    yield made
    amd_qemu._version.cache_clear()
    probe._trouble.cache_clear()


@pytest.mark.parametrize(("text", "words"), [
    ("exec sleep 1000", "the machine hung and was stopped"),
    ("exit 0", "QEMU ended with 0, and no word"),
])
def test_dead_machine_is_told_from_a_dead_kernel(
    tmp_path: Path, fake_qemu: Any, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 1.0)
    fake_qemu(text)
    kernel = tiny_kernel.build(tmp_path, "spin: jmp spin\n")
    with pytest.raises(machines.MachineError) as caught:
        run_boot(kernel, {}, [], cpus=1, memory_mib=64, wall_seconds=1, transcript_dir=tmp_path / "t")
    assert "amd-qemu starts, but runs no kernel" in caught.value.why and words in caught.value.why
    assert "fake 0.1" in caught.value.why and "--reinstall" in caught.value.mend


def test_kernel_that_says_nothing_on_a_machine_that_works_is_to_blame_itself(tmp_path: Path) -> None:
    probe._trouble.cache_clear()
    kernel = tiny_kernel.build(tmp_path, "lidt zero\nint3\n.data\nzero: .long 0, 0\n.text\n")
    result = run_boot(kernel, {}, [], cpus=1, memory_mib=64, wall_seconds=20, transcript_dir=tmp_path / "t")
    assert result.ended == "triple fault" and result.serial == ""
