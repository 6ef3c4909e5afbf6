# SPDX-License-Identifier: MIT
"""The attacks, one folder each: ``attack.json`` says what it tries, on which task, and what must happen;
``answer.cc`` or ``answer.S`` is the answer. A line ``//@ NAME`` stands for the file parts/NAME.inc.

What must happen (``must``):

- ``refused``: the gate refuses the file, so that no test of the task runs;
- ``no points``: whatever runs, no test passes;
- ``no more``: no test passes that the same answer without the attack (parts/wrong_...) does not pass.

``says`` is a regular expression that the words of the first failed test hold. ``plant`` makes something other
than a file of text in the answer's place. ``boots``: the booted tests count too. ``before`` tells how many
tests passed before there was a gate: "x of y".
"""

from __future__ import annotations

import json
import os
import re
import shutil
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

FOLDER = Path(__file__).parent
PARTS = FOLDER / "parts"
PLANTED = ROOT / "build" / "attacks"
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
            answer.write_text(whole(source.read_text()))
        return answer


def whole(text: str) -> str:
    """The text with its parts."""
    return _PART.sub(lambda found: (PARTS / f"{found[1]}.inc").read_text(), text)


def reference(task: Task) -> Path:
    """The reference answer to a task."""
    return ROOT / "solutions-private" / task.file


def load() -> list[Attack]:
    """All of them, by name."""
    return [Attack(path.parent.name, **json.loads(path.read_text())) for path in sorted(FOLDER.glob("*/attack.json"))]


def carry_out(kit: Kit, attacks: Iterable[Attack]) -> dict[str, dict[str, Outcome]]:
    """Judges each attack's answer beside the references; by attack, the outcomes by test."""
    labs = load_all()
    references = reference_answers(labs)
    assert references is not None
    found: dict[str, dict[str, Outcome]] = {}
    for lab in labs:
        mine = [one for one in attacks if one.task.partition(".")[0] == lab.id]
        if mine:
            found |= _in_lab(kit, lab, mine, references)
    return found


def _in_lab(kit: Kit, lab: Lab, attacks: list[Attack], references: Answers) -> dict[str, dict[str, Outcome]]:
    cases = []
    for one in attacks:
        task = lab.task(one.task)
        answers = references.replaced(task.file, one.put(task))
        cases += [case for case in cases_of(task, answers, one.name, [lab.usual_machine])
                  if one.boots or case.test.kind != "boot"]
    engine = Engine(lab, kit, Settings(1, new_transcripts(ROOT, f"{lab.id}-attacks"), replay=False))
    results = judge(engine, cases, "", Progress())
    return {one.name: outcomes(results, one.name, [lab.usual_machine]) for one in attacks}
