# SPDX-License-Identifier: MIT
"""`nest export`: a class's results for other people's systems."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from grader import CANNOT_RUN, DONE, CannotRun, UsageError
from grader.batch.store import Row, Store, opened
from grader.course import lab as labs_module
from grader.course.lab import ROOT, Lab
from grader.export import autograder_zip, canvas, classroom50, feedback, gradescope, moodle, table
from grader.export.gradebook import Filled
from grader.export.submissions import file_names, is_ours, no_verdict, shown, students
from grader.judge import forms

RESULTS = click.option("--results", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="RESULTS",
                       help="The folder that `nest grade-all --out` wrote.")
FOLDER = click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
                      help="Where the files go.")
STUDENT = click.option("--student", metavar="ID", default="", help="Only this one's.")
INTO = click.option("--into", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="CSV",
                    help="The file that the platform exported. It is not changed.")
FILE = click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="CSV",
                    help="Where the filled one goes.")

LAB = click.option("--lab", required=True, metavar="LAB")


@click.group(short_help="Put a class's results into other systems' forms.")
def command() -> None:
    """Put a class's results into the form of another system. `nest export FORMAT --help` says more.

    What was not judged is nowhere exported as 0 points: it is left out, and said. Ends with 3 if
    there was such.
    """


@command.command("gradescope", short_help="results.json for each submission.")
@RESULTS
@FOLDER
@STUDENT
def for_gradescope(results: Path, out: Path, student: str) -> int:
    """Write FOLDER/STUDENT/results.json for each submission, as Gradescope reads it. Only what
    students may see."""

    def write(one: Row, name: str) -> None:
        assert one.attempt is not None and one.attempt.for_students is not None
        _write(out / name / "results.json", _json(gradescope.results_json(one.attempt.for_students)))

    return _each(results, student, write)


@command.command("junit", short_help="JUnit XML for each submission, for staff.")
@RESULTS
@FOLDER
@STUDENT
def for_junit(results: Path, out: Path, student: str) -> int:
    """Write FOLDER/STUDENT.xml for each submission, with everything that staff see."""

    def write(one: Row, name: str) -> None:
        assert one.attempt is not None and one.attempt.result is not None
        _write(out / f"{name}.xml", forms.to_junit(one.attempt.result, one.attempt.begun, one.attempt.host))

    return _each(results, student, write)


@command.command("markdown", short_help="A page of feedback for each student.")
@RESULTS
@FOLDER
@STUDENT
def for_markdown(results: Path, out: Path, student: str) -> int:
    """Write FOLDER/STUDENT.md for each student, also for each of a group. Only what students may
    see."""

    def write(one: Row, name: str) -> None:
        assert one.attempt is not None and one.attempt.for_students is not None
        for who, file in file_names(students(one)).items() if one.members else [(one.student, name)]:
            _write(out / f"{file}.md", feedback.markdown(one.attempt.for_students, who if one.members else one.name or who))

    return _each(results, student, write)


@command.command("canvas", short_help="Fill in the gradebook that Canvas exported.")
@RESULTS
@INTO
@click.option("--column", required=True, metavar="TITLE", help="The assignment: its title, or the number that stands in "
              "brackets behind it.")
@FILE
def for_canvas(results: Path, into: Path, column: str, out: Path) -> int:
    """Fill in one assignment's column of Canvas's gradebook, as `Gradebook, Export` wrote it.

    Students are found by Canvas's ids. Every other byte of the file stays as it is.
    """
    return _fill(results, into, out, lambda store, their: canvas.filled(
        their, column, store.rows(), _points(labs_module.find(store.meta("lab"))), _say))


@command.command("moodle", short_help="Fill in the grading worksheet that Moodle exported.")
@RESULTS
@INTO
@FILE
@click.option("--column", default=moodle.GRADE, metavar="TITLE", show_default=True, help="The column of grades.")
@click.option("--id-column", default=moodle.IDENTIFIER, metavar="TITLE", show_default=True, help="The column of participants.")
@click.option("--comments", default=moodle.COMMENTS, metavar="TITLE", show_default=True, help="The column for comments.")
def for_moodle(results: Path, into: Path, out: Path, column: str, id_column: str, comments: str) -> int:
    """Fill in grades and comments of Moodle's offline grading worksheet (`Download grading
    worksheet`).

    Students are found by Moodle's numbers. Every other byte of the file stays as it is.
    """
    return _fill(results, into, out, lambda store, their: moodle.filled(
        their, (id_column, column, comments), store.rows(), _say))


@command.command("gradescope-autograder", short_help="The zip that judges on Gradescope.")
@LAB
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="ZIP")
def for_gradescope_autograder(lab: str, out: Path) -> None:
    """Write the autograder that staff upload to Gradescope, for Ubuntu 24.04 and later or Debian.

    It has this tree as it is committed, the references too: give it to nobody. Gradescope's setup
    builds the kit, makes the references objects and deletes them.
    """
    autograder_zip.write(ROOT, labs_module.find(lab), out)
    print(f"{out}: {out.stat().st_size >> 10} KiB, with the references in it: for Gradescope alone")


@command.command("classroom50", short_help="The folder that judges on Classroom 50.")
@LAB
@click.option("--release", "made", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="RELEASE",
              help="What `nest release` wrote: what the students have.")
@FOLDER
def for_classroom50(lab: str, made: Path, out: Path) -> None:
    """Write the folder that staff put at CLASSROOM/autograders/ASSIGNMENT/ of Classroom 50's
    repository.

    It is made of the release, without references and hidden tests, since it is published. It runs
    in the student's own repository, so its results are provisional, and say so.
    """
    from grader.verbs.bootstrap import PACKAGES

    classroom50.write(made, labs_module.find(lab), PACKAGES["grade"], out)
    print(f"{out}: autograder.py and what it needs; runtime.json is for `gh teacher assignment add --runtime`")


def _each(results: Path, student: str, write: Callable[[Row, str], None]) -> int:
    """Writes every submission of which there is a result; the exit status."""
    ours = count = 0
    with opened(results) as store:
        names = file_names(row.student for row in store.rows())
        for one in _chosen(store, student):
            why = no_verdict(one)
            if why:
                ours += is_ours(one)
                _say(f"{shown(one.student)}: {why}" + ("; what is judged is written" if _has_result(one) else
                                                       "; nothing is written"))
            if _has_result(one):
                write(one, names.get(one.student) or file_names([one.student])[one.student])
                count += 1
    print(f"{count} submission{'s' * (count != 1)} written")
    return CANNOT_RUN if ours else DONE


def _chosen(store: Store, student: str) -> Iterator[Row]:
    return iter([store.row(student)]) if student else store.rows()


def _has_result(one: Row) -> bool:
    return bool(one.digest and one.attempt and one.attempt.result and one.attempt.for_students)


def _fill(results: Path, into: Path, out: Path, fill: Callable[[Store, table.Table], Filled]) -> int:
    if out.exists() and into.exists() and out.samefile(into):
        raise UsageError(f"--out is the platform's own file\n  mend: another name, so that {into} stays to compare with")
    their = table.read(into)
    with opened(results) as store:
        done = fill(store, their)
    _write(out, their.data())
    print(f"{out}: {done.written} grades written, {done.changed} of them in place of another one"
          + (f"; {done.left_out} without a verdict" if done.left_out else ""))
    return CANNOT_RUN if done.left_out else DONE


def _points(lab: Lab) -> float:
    """The points of a lab, those that a person gives among them."""
    return sum(task.points for task in lab.tasks if lab.counted(task)) + sum(
        one.points for one in (lab.questions.ask if lab.questions else ()))


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, content: str | bytes) -> None:
    """Raises CannotRun."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise CannotRun(f"cannot write {path}: {error.strerror}") from error


def _say(text: str) -> None:
    print(f"nest: {text}", file=sys.stderr)
