# SPDX-License-Identifier: MIT
"""`nest labs`: the labs of this tree, and how far the answers are."""

from __future__ import annotations

import click

from grader.build.lab_kernel import is_stub
from grader.course import lab as labs_module


@click.command(short_help="List the labs and how far you are.")
def command() -> None:
    """List the labs: points, tasks, and how many tasks are written."""
    for lab in labs_module.load_all():
        written = sum(not is_stub(task) for task in lab.tasks)
        draft = " (a draft: no release has it)" * lab.draft
        print(f"{lab.id}  {lab.title}{draft}: {lab.points or 'no'} points, {written} of {len(lab.tasks)} tasks written; "
              f"read labs/{lab.folder.name}/handout.md")
