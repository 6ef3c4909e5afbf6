# SPDX-License-Identifier: MIT
"""`nest pack`: the archive to hand in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from grader import DONE, UsageError
from grader.course import lab as labs_module
from grader.judge.judging import grade
from grader.judge.report import show
from grader.student import identity, packing


@click.command(short_help="Grade a lab afresh and pack its answers to be handed in.")
@click.argument("lab_name", metavar="LAB")
@click.option("--out", type=click.Path(path_type=Path), metavar="PATH",
              help="The archive, or the folder for it (LAB-ID.zip in the folder where you are).")
def command(lab_name: str, out: Path | None) -> int:
    """Grade your answers to LAB with nothing kept from before, and pack them into one archive.

    Only the files of the lab's tasks go along, and its questions.md. It is packed whatever the
    score is.
    """
    lab = labs_module.find(lab_name)
    who = identity.read()
    if who is None:
        raise UsageError('nobody has said who hands in\n  mend: nest whoami --name "Your Name" --id s1234567')
    name = f"{lab.id}-{who.group or who.id}.zip"
    target = out or Path(name)
    if target.is_dir():
        target /= name
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}\n  mend: make it, or name another place with --out")
    packed = packing.files(lab)
    results = grade(lab, fresh=True)
    show(results, sys.stdout)
    score = {"score": results.score, "max_score": results.max_score, "pending": results.pending,
             "not_judged": results.not_judged, "seed": results.seed, "notes": list(results.notes),
             "tasks": {task.task.id: {"score": task.score, "max_score": task.max_score, "state": task.state}
                       for task in results.tasks}}
    if packing.files(lab) != packed:
        raise UsageError("a file was changed while it was graded\n  mend: nest pack once more")
    packing.write(target, packed, packing.manifest(lab, who, packed, score))
    print(f"packed {len(packed)} files of {who.name} ({who.id}) into {target}: hand in that file")
    if results.not_judged:
        print(f"{results.not_judged} of the points could not be judged here; that costs nothing when it is graded")
    return DONE
