# SPDX-License-Identifier: MIT
"""`nest release`: the tree that students get."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import click

from grader import UsageError
from grader.build.workshop import Progress
from grader.course import lab as labs_module
from grader.course.lab import ROOT, Lab
from grader.release import contents, course, proof, tree
from grader.release.leaks import Private


@click.command(short_help="Make the students' tree, without answers, and prove it.")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--labs", "names", metavar="LAB,LAB...", help="Only these labs, in this order (all); a warm-up without points goes along always.")
@click.option("--until", metavar="LAB", help="The last lab of the release (the last of all).")
@click.option("--course", "course_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="course.json: the course's name, and when a lab's compiled references may go along.")
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="Release as if on this day.")
def command(out: Path, names: str | None, until: str | None, course_file: Path | None,
            today: datetime.datetime | None) -> None:
    """Write the students' tree into OUT, a new folder or an earlier release, and prove it.

    It has no answers and no hidden tests, and nothing of labs after the last one. The references of
    earlier labs go along as objects, so that a task is judged there as it is here. Then every byte
    of it is searched for what is private, and it is built and graded, empty and with right answers.
    If something is wrong, OUT is left as it was.
    """
    all_labs = labs_module.load_all()
    labs = chosen(all_labs, names, until)
    described = course.read(course_file, all_labs)
    day = today.date() if today else datetime.date.today()
    out = out.resolve()
    if out == ROOT or ROOT in out.parents:
        raise UsageError(f"{out} is inside this tree\n  mend: name a folder elsewhere")
    progress = Progress()
    draft = out.with_name(f".{out.name}.making")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        if tree.earlier(out):
            shutil.copytree(out, draft, symlinks=True)
        wanted = tree.Wanted(ROOT, draft, tuple(labs), described, day)
        released = [path for path in contents.tracked(ROOT) if contents.is_released(path, labs)]
        made = tree.write(wanted, progress)
        progress("searching it for what is private")
        proof.no_leaks(draft, Private(ROOT, all_labs, released))
        references = described.with_references(labs, day)
        proof.works(ROOT, draft, labs, references, progress)
        old = out.with_name(f".{out.name}.before")
        if out.exists():
            out.rename(old)  # whoever is stopped here has both
        draft.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        progress.clear()
        shutil.rmtree(draft, ignore_errors=True)
    print(f"release {made.number}, until {made.until}, in {out}: nothing private found; built; 0 points as it is, all with "
          "right answers")
    print(f"compiled references: {', '.join(lab.id for lab in references) or 'none'}. An object can be decompiled")


def chosen(all_labs: list[Lab], names: str | None, until: str | None) -> list[Lab]:
    """The labs of a release. Raises UsageError."""
    finished = [lab for lab in all_labs if not lab.draft]
    labs = [labs_module.find(name.strip()) for name in names.split(",")] if names else finished
    refuse_drafts(labs)
    if len({lab.id for lab in labs}) != len(labs):
        raise UsageError("--labs names a lab twice")
    if until:
        last = labs_module.find(until)
        refuse_drafts([last])
        if last not in labs:
            raise UsageError(f"--until {until} is not one of the labs that --labs names")
        labs = labs[:labs.index(last) + 1]
    # Whoever begins the course with a later lab begins with the same first hour.
    return [*(lab for lab in all_labs if lab.points == 0 and lab not in labs), *labs]


def refuse_drafts(labs: list[Lab]) -> None:
    """Raises UsageError for a lab that is being written still."""
    for lab in labs:
        if lab.draft:
            raise UsageError(f"{lab.id} is a draft\n  mend: finish it, and remove \"draft\" from its lab.json")
