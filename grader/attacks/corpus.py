# SPDX-License-Identifier: MIT
"""The attacks, one folder each: ``attack.json`` says what it tries, on which task, and what must
happen; ``answer.cc`` or ``answer.S`` is the answer. A line ``//@ NAME`` stands for the file
parts/NAME.inc.

What must happen (``must``):

- ``refused``: the gate refuses the file, so that no test of the task runs;
- ``no points``: whatever runs, no test passes;
- ``no more``: no test passes that the same answer without the attack (parts/wrong_...) does not
  pass.

``says`` is a regular expression that the words of the first failed test hold. ``plant`` makes
something other than a file of text in the answer's place, or (``replace``) what a file in git
cannot hold, or holds many times. ``boots``: the booted tests count too. ``before`` tells how many
tests passed before it was contained: "x of y".

Each attack has a session of its own, in which the lab's other tasks are judged too, with the
references: whatever an attack does, they keep all their points.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.build.answers import Answers, reference_answers
from grader.build.kit import Kit
from grader.build.workshop import Progress
from grader.course.lab import ROOT, Lab, Task, load_all
from grader.judge.engine import Engine, Settings, cases_of, new_transcripts
from grader.judge.judging import judge, outcomes
from grader.judge.outcome import Outcome
from grader.judge.results import TaskResult
from grader.judge.scoring import score_task

FOLDER = Path(__file__).parent
PARTS = FOLDER / "parts"
PLANTED = ROOT / "build" / "attacks"
NEIGHBOUR = "neighbour"
OTHER_BUILD = Path(os.environ["NEST_BUILD"]) if "NEST_BUILD" in os.environ else None
"""A build folder whose kit is taken in the place of the tree's, as that of another compiler."""
_PART = re.compile(r"^//@ (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Attack:
    """One attack."""

    name: str
    tries: str
    task: str
    must: str
    says: str
    boots: bool = False
    plant: dict[str, Any] = field(default_factory=dict, hash=False)
    before: str = ""

    def put(self, task: Task) -> Path:
        """Puts the answer into a folder of its own below build/; where it is."""
        place = PLANTED / self.name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        answer = place / Path(task.file).name
        plant = self.plant
        if "link" in plant:
            answer.symlink_to(ROOT / plant["link"])
        elif "folder_link" in plant:
            (place / "folder").symlink_to(ROOT / plant["folder_link"])
            return place / "folder" / answer.name
        elif "fifo" in plant:
            os.mkfifo(answer)
        elif "folder" in plant:
            answer.mkdir()
        elif "bytes" in plant:
            answer.write_bytes((reference(task)).read_bytes() + b"//" + b"x" * plant["bytes"] + b"\n")
        elif "latin1" in plant:
            answer.write_bytes((reference(task)).read_bytes() + b"// \xe4\xff\n")
        else:
            source = next(FOLDER.joinpath(self.name).glob("answer.*"))
            text = whole(source.read_text())
            for mark, by in plant.get("replace", {}).items():
                text = text.replace(mark, by if isinstance(by, str) else by[0] * by[1])
            answer.write_bytes(text.encode())
            if "objects" in plant:
                _make_objects(answer)
        return answer


def _make_objects(answer: Path) -> None:
    """Puts a folder of objects in the answer's place, as compiled references are."""
    source = answer.rename(answer.with_name("source.cc"))
    answer.mkdir()
    for flavour in ("asan", "tsan", "kernel"):
        subprocess.run(["g++", "-std=c++23", f"-I{ROOT}", "-c", source, "-o", answer / f"{flavour}.o"], check=True)


def whole(text: str) -> str:
    """The text with its parts."""
    return _PART.sub(lambda found: (PARTS / f"{found[1]}.inc").read_text(), text)


def reference(task: Task) -> Path:
    """The reference answer to a task."""
    return ROOT / "solutions-private" / task.file


def load() -> list[Attack]:
    """All of them, by name."""
    return [Attack(path.parent.name, **json.loads(path.read_text())) for path in sorted(FOLDER.glob("*/attack.json"))]


@dataclass(frozen=True)
class Carried:
    """What came of one attack."""

    found: dict[str, Outcome]
    """by test of the attacked task"""
    neighbours: tuple[TaskResult, ...]
    """the lab's other tasks, by their unit tests"""


def carry_out(kit: Kit, attacks: Iterable[Attack]) -> dict[str, Carried]:
    """Judges each attack's answer beside the references; by attack, what came of it."""
    labs = load_all()
    references = reference_answers(labs)
    assert references is not None
    return {one.name: _carried(kit, lab, one, references)
            for lab in labs for one in attacks if one.task.partition(".")[0] == lab.id}


def _carried(kit: Kit, lab: Lab, attack: Attack, references: Answers) -> Carried:
    task = lab.task(attack.task)
    on = [lab.usual_machine]
    cases = [case for case in cases_of(task, references.replaced(task.file, attack.put(task)), attack.name, on)
             if attack.boots or case.test.kind != "boot"]
    others = [one for one in lab.tasks if one is not task]
    cases += [case for one in others for case in cases_of(one, references, NEIGHBOUR, []) if case.test.kind == "unit"]
    engine = Engine(lab, kit, Settings(1, new_transcripts(ROOT, f"{lab.id}-attacks"), replay=False))
    results = judge(engine, cases, "", Progress())
    beside = outcomes(results, NEIGHBOUR, on)
    scored = (score_task(one, beside, elsewhere="reference", alone="") for one in others)
    return Carried(outcomes(results, attack.name, on), tuple(one for one in scored if one is not None))
