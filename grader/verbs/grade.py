# SPDX-License-Identifier: MIT
"""`nest grade`: judges the answers to one lab."""

from __future__ import annotations

import datetime
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from grader import UsageError
from grader.course import lab as labs_module
from grader.course.lab import Lab
from grader.judge import forms
from grader.judge.for_students import as_dict as for_students_dict
from grader.judge.judging import grade
from grader.judge.report import show
from grader.verbs.options import sandbox_option
from grader.verbs.output import write


@click.command(short_help="Judge the answers to a lab and show the score.")
@click.argument("lab")
@click.option("--reference", is_flag=True, help="Judge solutions-private/ in place of the tree's own files.")
@click.option("--task", metavar="TASK", help="Judge this task alone.")
@click.option("-k", "keyword", metavar="EXPR", default="", help="Only tests whose names match, as in pytest.")
@click.option("--machine", metavar="MACHINE", help="Where booted tests run: amd-qemu, intel-bochs, "
              "amd-bochs, or all that the lab names (its first).")
@click.option("--awards", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Points that a person has entered with `nest award`.")
@sandbox_option
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Repeat a run with the same nonces.")
@click.option("--from", "upload", type=click.Path(exists=True, path_type=Path), metavar="PATH", help="Judge what was handed in: "
              "a folder, a repository or an archive. The tree's own files stay as they are.")
@click.option("--let-pass", "let_pass", multiple=True, metavar="TASK", help="Staff: judge this task's answer even if the "
              "gate refuses it; the result says so. May be repeated.")
@click.option("--json", "json_file", metavar="FILE", help="Write the result as JSON; - is standard output.")
@click.option("--for-students", "for_students", is_flag=True, help="Staff: --json gets what students may have, without what "
              "programs printed and without hidden tests' words.")
@click.option("--junit", "junit_file", metavar="FILE", help="Write the result as JUnit XML; - likewise.")
def command(lab: str, reference: bool, task: str | None, keyword: str, machine: str | None,
            awards: Path | None, seed: int | None, upload: Path | None, let_pass: tuple[str, ...], json_file: str | None,
            for_students: bool, junit_file: str | None) -> int:
    """Judge the answers to LAB (its id, its name or its folder) and show the score.

    Ends with 0 if all automatic points are reached, with 1 if points are missing, and with 3 if
    some tests could not be judged on this system.
    """
    if json_file == "-" and junit_file == "-":
        raise UsageError("only one of --json and --junit can go to standard output")
    if for_students and not json_file:
        raise UsageError("--for-students is about the file of --json")
    if reference and upload:
        raise UsageError("--reference and --from both say what is judged: give one of them")
    found = labs_module.find(lab)
    with _handed_in(upload, found) as folder:
        results = grade(found, reference=reference, task=task, keyword=keyword, machine=machine,
                        awards=awards, seed=seed, let_pass=let_pass, handed_in=folder)
    if json_file:
        write(json_file, forms.to_json(results, for_students_dict(results) if for_students else None))
    if junit_file:
        begun = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=results.seconds)
        write(junit_file, forms.to_junit(forms.as_dict(results), begun.isoformat(), platform.node()))
    show(results, sys.stderr if "-" in (json_file, junit_file) else sys.stdout)
    return results.status


@contextmanager
def _handed_in(upload: Path | None, lab: Lab) -> Iterator[Path | None]:
    """A folder with what was handed in, at its paths in the tree; what a person should know of it
    is said."""
    if upload is None:
        yield None
        return
    from grader.intake.uploads import read_one

    submission = read_one(upload, lab)
    for line in submission.findings:
        print(f"{submission.source}: {line}", file=sys.stderr)
    if not submission.files:
        raise UsageError(f"{upload} holds none of {lab.id}'s files: {', '.join(task.file for task in lab.tasks)}")
    with tempfile.TemporaryDirectory(prefix="nest-from-") as place:
        submission.write(Path(place))
        yield Path(place)
