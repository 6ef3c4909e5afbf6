# SPDX-License-Identifier: MIT
"""lab.json: good ones load, bad ones are refused with file, line and key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader import LabError, UsageError
from grader.course import lab
from grader.tests.toy_tree import lab_json


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good lab in a tree of its own."""
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    path = tmp_path / "labs" / "lab1-toy"
    path.mkdir(parents=True)
    write(path, lab_json())
    return path


def write(folder: Path, data: Any) -> list[str]:
    text = json.dumps(data, indent=1)
    (folder / "lab.json").write_text(text)
    return text.splitlines()


def test_a_good_lab(folder: Path) -> None:
    for _ in range(2):  # the second time by the note that it was checked
        loaded = lab.load(folder)
        assert loaded.kernel == "nestling"
        assert loaded.points == 30 and [task.id for task in loaded.tasks] == ["lab1.twice", "lab1.half"]
        half = loaded.task("half")
        assert half is loaded.task("lab1.half") and half.first_positive is half.tests[0]
        assert [test.kind for test in half.tests] == ["unit", "race", "unit", "boot"]
        assert half.tests[3].module == "test_toy.py" and half.tests[2].negative


def test_a_lab_without_points(folder: Path) -> None:
    data = lab_json() | {"points": 0}
    for task in data["tasks"]:
        task["points"] = 0
        for test in task["tests"]:
            test["points"] = 0
    write(folder, data)
    loaded = lab.load(folder)
    assert loaded.points == 0 and all(task.bearer(test) is test for task in loaded.tasks for test in task.tests)


def test_found_by_id_name_and_folder(folder: Path) -> None:
    root = folder.parent.parent
    for name in ("lab1", "toy", "lab1-toy", "labs/lab1-toy/"):
        assert lab.find(name, root).id == "lab1"
    with pytest.raises(UsageError, match="lab1-toy"):
        lab.find("lab2", root)


Change = Callable[[dict[str, Any]], Any]
CASES: list[tuple[Change, str, str]] = [
    (lambda d: d.update(points=31), '"points": 31', "points: is 31, but the tasks' points add up to 30"),
    (lambda d: d["tasks"][1].update(points=19), '"points": 19', "tasks[1].points: is 19, but its tests' points"),
    (lambda d: d["tasks"][0].update(extra=1), '"extra": 1', "tasks[0].extra: unknown key"),
    (lambda d: d["tasks"][1]["tests"][0].update(points=0), '"points": 0', "tasks[1].tests[0].points: is 0, but"),
    (lambda d: d["tasks"][1]["tests"][0].update(points="6"), '"points": "6"', "tasks[1].tests[0].points: '6' is not"),
    (lambda d: d["tasks"][1]["tests"][0].update(points=6.1), '"points": 6.1', "6.1 is not a multiple of 0.125"),
    (lambda d: d["tasks"][1]["tests"][0].update(points=6.5), '"points": 20', "add up to 20.5"),
    (lambda d: d["tasks"][0]["tests"][0].update(name="gtest:A.B"), '"name": "gtest:A.B"', "tasks[0].tests[0].name"),
    (lambda d: d["tasks"][1].update(id="lab1.twice"), '"id": "lab1.twice"', "tasks[1].id: 'lab1.twice' appears twice"),
    (lambda d: d["tasks"][1].update(id="lab2.half"), '"id": "lab2.half"', "tasks[1].id: should start with 'lab1.'"),
    (lambda d: d["tasks"][1].update(file="vmm/twice.cc"), '"file": "vmm/twice.cc"', "tasks[1].file"),
    (lambda d: d["tasks"][0].update(file="vmm/../../x.cc"), '"file": "vmm/../../x.cc"', "leaves its room"),
    (lambda d: d["tasks"][0]["tests"][1].update(name="unit:Twice.OfThree"), "unit:Twice.OfThree", "appears twice"),
    (lambda d: [t.update(negative=True) for t in d["tasks"][0]["tests"]], '"tests"', "no positive test"),
    (lambda d: d["tasks"][0].pop("header"), "{", "'header' is a required property"),
    (lambda d: d["tasks"][0].update(file="vmm/twice.S"), '"name": "unit:Twice.OfThree"', "only boot tests can see it"),
    (lambda d: d.update(kernel="Nest ling"), '"kernel"', "kernel: 'Nest ling' does not match"),
    (lambda d: d.update(name="other"), '"name": "other"', "should be 'lab1-other'"),
]


@pytest.mark.parametrize(("change", "line_text", "words"), CASES)
def test_faults_name_file_line_and_key(folder: Path, change: Change, line_text: str, words: str) -> None:
    data = lab_json()
    change(data)
    lines = write(folder, data)
    with pytest.raises(LabError) as caught:
        lab.load(folder)
    message = str(caught.value)
    assert words in message
    path, number, _ = next(line for line in message.split("\n") if words in line).split(":", 2)
    assert path == str(folder / "lab.json") and line_text in lines[int(number) - 1]


@pytest.mark.parametrize(("text", "words"), [
    ("", ":1:1: not JSON"),
    ('{\n "id": }', ":2:8: not JSON"),
    ('{"id": 1, "id": 2}', "'id' appears twice"),
    ("[" * 100000, "nested too deeply"),
    ("[]", "is not of type 'object'"),
    ("7", "is not of type 'object'"),
])
def test_texts_that_are_no_lab(folder: Path, text: str, words: str) -> None:
    (folder / "lab.json").write_text(text)
    with pytest.raises(LabError) as caught:
        lab.load(folder)
    assert words in str(caught.value)


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "lab.json").write_bytes(b'{"id": "\xff"}')
    with pytest.raises(LabError, match="not UTF-8 at byte 8"):
        lab.load(folder)


def test_positions_are_those_of_the_keys() -> None:
    text = '{\n "a": [\n  1,\n  {"b\\"c": "}:,"}\n ],\n "d":\n   null\n}'
    assert lab.positions(text) == {(): 1, ("a",): 2, ("a", 0): 3, ("a", 1): 4, ("a", 1, 'b"c'): 4, ("d",): 6}


def vendors(d: dict[str, Any]) -> None:
    d.update(points=10, counts="intel", machines=["amd-qemu", "intel-bochs"])
    d["tasks"][0]["vendor"], d["tasks"][1]["vendor"] = "intel", "amd"


def test_a_lab_with_vendors_questions_and_needs(folder: Path) -> None:
    data = lab_json()
    vendors(data)
    data["points"] += 4
    data["questions"] = {"file": "questions.md", "ask": [{"id": "q1", "title": "Why?", "points": 4, "read": "#there"}]}
    data["tasks"][0]["tests"][2]["cpus"] = 4
    write(folder, data)
    loaded = lab.load(folder)
    twice, half = loaded.tasks
    assert loaded.counted(twice) and not loaded.counted(half) and twice.vendor == "intel"
    assert [test.cpus for test in twice.tests] == [1, 1, 4]
    assert loaded.questions is not None and loaded.questions.ask[0].points == 4
    assert (loaded.questions.ask[0].kind, loaded.questions.ask[0].tolerance) == (lab.WORDS, 0)
    assert loaded.mutants_on == loaded.machines == ("amd-qemu", "intel-bochs")
    assert loaded.usual_machine == "intel-bochs"
    data = lab_json() | {"machines": ["amd-qemu", "intel-bochs"]}
    write(folder, data)
    assert lab.load(folder).mutants_on == ("amd-qemu", "intel-bochs")
    write(folder, data | {"mutants_on": ["intel-bochs"]})
    assert lab.load(folder).mutants_on == ("intel-bochs",)


@pytest.mark.parametrize(("change", "words"), [
    (lambda d: d.update(points=30), "points: is 30, but the counting tasks' (intel) points add up to 10"),
    (lambda d: d.update(counts="amd"), "points: is 10, but the counting tasks' (amd) points add up to 20"),
    (lambda d: d.pop("counts"), "the file as a whole: tasks are for amd and intel: \"counts\" should say"),
    (lambda d: d.update(counts="arm"), "counts: 'arm' is not one of"),
    (lambda d: d.update(machines=["amd-qemu"]), "machines: has no machine with intel's CPUs"),
    (lambda d: [t.pop("vendor") for t in d["tasks"]], "counts: is for labs with tasks that name a vendor"),
    (lambda d: d["tasks"][0]["tests"][0].update(cpus=4), "tasks[0].tests[0].cpus: is for boot tests"),
    (lambda d: d.update(mutants_on=["amd-bochs"]), "mutants_on[0]: 'amd-bochs' is not one of the lab's machines"),
    (lambda d: d.update(questions={"file": "q.md", "ask": [{"id": "q", "title": "?", "points": 2}]}),
     "the counting tasks' (intel) and the questions' points add up to 12"),
    (lambda d: d.update(points=14, questions={"file": "q.md", "ask": [{"id": "q", "title": "?", "points": 2}] * 2}),
     "questions.ask[1].id: 'q' appears twice"),
    (lambda d: d.update(questions={"file": "../q.md", "ask": []}), "questions.file: '../q.md' does not match"),
    (lambda d: d.update(questions={"file": "q.md", "ask": [{"id": "q", "title": "?", "points": 2, "kind": "digits"}]}),
     "questions.ask[0].kind: 'digits' is not one of ['words', 'number']"),
    (lambda d: d.update(points=12, questions={"file": "q.md", "ask": [
        {"id": "q", "title": "?", "points": 2, "tolerance": 1}]}),
     'questions.ask[0].tolerance: is for questions of the kind "number"'),
    (lambda d: d.update(questions={"file": "q.md", "ask": [{"id": "q", "title": "?", "points": 2, "right": 8}]}),
     "questions.ask[0].right: unknown key"),
])
def test_faults_of_vendors_and_questions(folder: Path, change: Change, words: str) -> None:
    data = lab_json()
    vendors(data)
    change(data)
    write(folder, data)
    with pytest.raises(LabError) as caught:
        lab.load(folder)
    assert words in str(caught.value)
