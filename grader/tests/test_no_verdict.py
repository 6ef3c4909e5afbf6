# SPDX-License-Identifier: MIT
"""A machine that is to blame costs nobody a point: a killed emulator is started again, and what
cannot be judged is named. Nor is it a way out: an emulator that ends under one answer only is that
answer's doing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grader import machines
from grader.confine import sandbox
from grader.judge.unit import run_case
from grader.machines import amd_qemu, probe
from grader.testkit.boot import run_boot
from grader.tests import tiny_kernel, toy_tree
from grader.tests.test_grade import pattern, tree  # noqa: F401
from grader.tests.toy_tree import HALF, Tree

KILLED = """
    for attempt in range({times}):
        flag = transcript_dir.parent.parent / f"killed-{{attempt}}"
        if not flag.exists():
            flag.touch()
            return BootResult("up", "{end}", None, "", 0.0, transcript_dir)
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


@pytest.mark.parametrize("end", ["killed", "died"])
def test_lost_emulator_is_started_once_more(tree: Tree, end: str) -> None:  # noqa: F811
    boots_by(tree, KILLED.format(times=1, end=end))
    result, done = tree.grade("--reference")
    assert done.returncode == 0 and result["score"] == 30, done.stdout + done.stderr
    assert result["extra_data"]["notes"] == [f"amd-qemu, test_toy.py: {end} with None; it was booted once more"]
    assert f"note: amd-qemu, test_toy.py: {end}" in done.stdout


@pytest.mark.parametrize("end", ["killed", "died"])
def test_emulator_that_ends_under_an_answer_only_costs_the_points(tree: Tree, end: str) -> None:  # noqa: F811
    boots_by(tree, KILLED.format(times=9, end=end))
    result, done = tree.grade("--reference")
    assert done.returncode == 1 and (result["score"], result["extra_data"]["not_judged"]) == (20, 0)
    words = "the emulator ended under this answer, twice"
    assert words in done.stdout and kinds(result)["boot:test_toy.py::test_half"] == "crashed"
    assert result["extra_data"]["for_staff"] == [
        f"test_toy.py on amd-qemu, answers of 'twice': {words}: {end} with None"]
    transcripts = tree.root / result["extra_data"]["transcripts"]
    assert len(list(transcripts.glob("killed-*"))) == 2  # and no replay


def test_what_was_done_before_the_emulator_ended_counts(tree: Tree) -> None:  # noqa: F811
    """Some emulators end by an ordinary mistake of an answer: that costs what the mistake costs."""
    boots_by(tree, KILLED.format(times=9, end="died").replace('"up"', '"twice 42\\n"'))
    result, _ = tree.grade("--reference")
    assert result["score"] == 25 and len(result["extra_data"]["for_staff"]) == 1
    assert kinds(result)["boot:test_toy.py::test_twice"] == "passed"


def test_emulator_that_ends_without_an_answer_too_gives_no_verdict(tree: Tree) -> None:  # noqa: F811
    boots_by(tree, KILLED.format(times=9, end="died"))
    tree.write("grader/machines/dies-amd-qemu", "2")  # not at the start, but at the control boot
    result, done = tree.grade("--reference")
    assert done.returncode == 3 and (result["score"], result["extra_data"]["not_judged"]) == (20, 10)
    assert "and so does one without an answer: amd-qemu starts, but runs no kernel" in done.stdout
    assert "apt-get install --reinstall amd-qemu" in done.stdout and not result["extra_data"]["for_staff"]


def test_machine_that_dies_from_the_start_is_not_asked_to_judge(tree: Tree) -> None:  # noqa: F811
    tree.write("grader/machines/dies-amd-qemu", "1")
    result, done = tree.grade("--reference")
    assert done.returncode == 3 and (result["score"], result["extra_data"]["not_judged"]) == (20, 10)
    assert "one that only powers off ended so" in done.stdout and "QEMU died of SIGILL" in done.stdout
    assert not list((tree.root / result["extra_data"]["transcripts"]).glob("boots-*"))


@pytest.mark.parametrize(("flavour", "case", "lost"), [("tsan", "race:Half.Race", 4), ("asan", "unit:Half.OfFour", 11)])
def test_sanitizer_that_cannot_start_gives_no_verdict(
    tree: Tree, flavour: str, case: str, lost: int  # noqa: F811
) -> None:
    """Programs of one flavour die before main, in a way that nobody has foreseen."""
    kit = json.loads((tree.root / "build/cmake/kit.json").read_text())
    kit["flavours"][flavour] = {**kit["flavours"][flavour], "link": ["-O0", "-Wl,--dynamic-linker=/nowhere"]}
    tree.write("build/cmake/kit.json", json.dumps(kit))
    result, done = tree.grade("--reference", "--task", "lab1.half")
    assert done.returncode == 3, done.stdout
    assert kinds(result)[case] == "not judged"
    assert (result["score"], result["extra_data"]["not_judged"]) == (20 - lost, lost)
    assert f"({flavour}) cannot work here: a program that does nothing ended with" in done.stdout
    assert "mend: sudo sysctl vm.mmap_rnd_bits=28" in done.stdout


def without_threads(tree: Tree) -> None:
    """Programs of ThreadSanitizer die before main; the race's case has no points."""
    kit = json.loads((tree.root / "build/cmake/kit.json").read_text())
    kit["flavours"]["tsan"] = {**kit["flavours"]["tsan"], "link": ["-O0", "-Wl,--dynamic-linker=/nowhere"]}
    tree.write("build/cmake/kit.json", json.dumps(kit))
    lab = toy_tree.lab_json()
    four, race = lab["tasks"][1]["tests"][:2]
    four["points"], race["points"] = 10, 0
    tree.write("labs/lab1-toy/lab.json", json.dumps(lab))


def test_race_without_points_that_cannot_be_judged_ends_nothing(tree: Tree) -> None:  # noqa: F811
    without_threads(tree)
    result, done = tree.grade("--reference")
    assert done.returncode == 0, done.stdout
    assert (result["score"], result["extra_data"]["not_judged"]) == (30, 0)
    assert kinds(result)["race:Half.Race"] == "not judged" and "mend: sudo sysctl" in done.stdout


def test_where_nothing_could_be_judged_there_is_no_verdict(tree: Tree) -> None:  # noqa: F811
    without_threads(tree)
    assert tree.grade("--reference", "-k", "Race")[1].returncode == 3


@pytest.mark.parametrize(("file", "name", "judged"), [
    ("grader/testkit/boot.py", "run_boot", 20), ("grader/judge/unit.py", "run_case", 26),
    ("grader/judge/together.py", "run_together", 14)])
def test_full_disk_gives_no_verdict(tree: Tree, file: str, name: str, judged: float) -> None:  # noqa: F811
    text = (tree.root / file).read_text()
    tree.write(file, f'{text}\n\ndef {name}(*_, **__):\n    raise OSError(28, "No space left on device", "/there")\n')
    result, done = tree.grade("--reference")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert (result["score"], result["extra_data"]["not_judged"]) == (judged, 30 - judged), done.stdout
    assert "/there: No space left on device" in done.stdout and "mend: make room on the disk" in done.stdout


FULL = """

_compiled = compiled


def compiled(answer, tools, keep, place, readable, blame_disk):
    if answer.file.endswith("half.cc"):
        blame_disk("as: half.o: No space left on device")
    return _compiled(answer, tools, keep, place, readable, blame_disk)
"""


def test_full_disk_while_one_answer_is_compiled_costs_nobody_a_point(tree: Tree) -> None:  # noqa: F811
    tree.solve()
    tree.write("vmm/half.cc", HALF + "// another\n")
    text = (tree.root / "grader/build/compiling.py").read_text()
    assert tree.grade()[1].returncode == 0
    tree.write("vmm/half.cc", HALF + "// yet another\n")
    tree.write("grader/build/compiling.py", text + FULL)
    disk = tree.root / "grader/build/disk.py"
    tree.write("grader/build/disk.py", disk.read_text() + "\n\ndef has_room(folder):\n    return False\n")
    result, done = tree.grade()
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    assert (result["score"], result["extra_data"]["not_judged"]) == (10, 20), done.stdout
    assert "half.o: No space left on device" in done.stdout and "mend: make room there" in done.stdout


def test_words_of_an_answer_fill_no_disk(tree: Tree) -> None:  # noqa: F811
    tree.solve()
    tree.write("vmm/half.cc", '#error No space left on device\n')
    result, done = tree.grade()
    assert done.returncode == 1 and result["score"] == 10, done.stdout
    assert "vmm/half.cc:1:2: error: #error No space left on device" in done.stdout


KILLS_ITSELF = """
    from pathlib import Path
    from grader.confine.sandbox import Completed
    flag = Path(transcript.parent.parent, f"killed-{{case}}-{{len(list(transcript.parent.parent.glob(f'killed-{{case}}-*')))}}")
    flag.touch()
    if int(flag.name.rpartition("-")[2]) < {times}:
        return Outcome(outcome.CRASHED, "the test's process died of SIGKILL, sent from outside", lost=True)
    command = ["""


@pytest.mark.parametrize(("times", "score"), [(1, 30), (9, 10)])
def test_killed_process_is_started_once_more(tree: Tree, times: int, score: float) -> None:  # noqa: F811
    text = (tree.root / "grader/judge/unit.py").read_text()
    tree.write("grader/judge/unit.py", text.replace("\n    command = [", KILLS_ITSELF.format(times=times), 1))
    # Of all cases together nothing was heard, for the same reason.
    text = (tree.root / "grader/judge/together.py").read_text()
    tree.write("grader/judge/together.py", f"{text}\n\ndef run_together(*_, **__):\n    return {{}}\n")
    result, done = tree.grade("--reference")
    assert result["score"] == score, done.stdout + done.stderr
    assert "unit:Half.OfFour: the test's process died of SIGKILL, sent from outside; it was run once more" in (
        result["extra_data"]["notes"])
    words = "the process ended under this answer, twice"
    assert (words in done.stdout) == (times > 1)
    assert any(words in line for line in result["extra_data"]["for_staff"]) == (times > 1)


def test_process_that_is_killed_from_outside_is_lost(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nkill -KILL $$\n")
    program.chmod(0o755)
    found = run_case(program, "A.B", task="lab1.one", seed=1, transcript=tmp_path / "t" / "a.txt")
    assert found.lost and "died of SIGKILL" in found.detail


def test_machine_that_runs_no_kernel_gives_no_verdict(tree: Tree) -> None:  # noqa: F811
    boots_by(tree, DEAD)
    result, done = tree.grade("--reference")
    assert done.returncode == 3 and (result["score"], result["extra_data"]["not_judged"]) == (20, 10)
    assert kinds(result)["boot:test_toy.py::test_half"] == "not judged"
    assert "20 of 30 points for the reference answers, 20 of 30 points judged" in done.stdout
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
        run_boot(kernel, {}, [], cpus=1, memory_mib=64, seconds=1, transcript_dir=tmp_path / "t")
    assert "amd-qemu starts, but runs no kernel" in caught.value.why and words in caught.value.why
    assert "fake 0.1" in caught.value.why and "--reinstall" in caught.value.mend


def test_machine_that_dies_is_found_before_anything_counts(fake_qemu: Any) -> None:
    fake_qemu("kill -ILL $$")
    with pytest.raises(machines.MachineError, match="one that only powers off ended so: .* died of SIGILL"):
        probe.vouch_for(machines.machine("amd-qemu"))


def test_kernel_that_says_nothing_on_a_machine_that_works_is_to_blame_itself(tmp_path: Path) -> None:
    probe._trouble.cache_clear()
    kernel = tiny_kernel.build(tmp_path, "lidt zero\nint3\n.data\nzero: .long 0, 0\n.text\n")
    result = run_boot(kernel, {}, [], cpus=1, memory_mib=64, seconds=20, transcript_dir=tmp_path / "t")
    assert result.ended == "triple fault" and result.serial == ""
