# SPDX-License-Identifier: MIT
"""`nest labs`: the labs of this tree, and how far the answers are."""

from __future__ import annotations

import click

from grader.build.lab_kernel import is_stub
from grader.course import lab as labs_module


@click.command(short_help="List the labs and how far you are.")
def command() -> None:
    """List the labs: points, and how many of the tasks are written."""
    for lab in labs_module.load_all():
        written = sum(not is_stub(task) for task in lab.tasks)
        print(f"{lab.id}  {lab.title:<24}  {lab.points or 'no':>3} points  {written} of {len(lab.tasks)} written"
              + "; a draft" * lab.draft)
    print("read labs/LAB-NAME/handout.md, or the pages that ./nest handouts builds")
