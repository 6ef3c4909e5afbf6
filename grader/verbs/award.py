# SPDX-License-Identifier: MIT
"""`nest award`: a person enters the points for the questions of a lab."""

from __future__ import annotations

from pathlib import Path

import click

from grader import DONE, UsageError
from grader.course import lab as labs
from grader.course import questions


@click.command(short_help="Enter points for answers that a person reads.")
@click.argument("lab_name", metavar="LAB")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("given", metavar="[QUESTION=POINTS]...", nargs=-1)
@click.option("--comment", default="", help="Kept with the points, and shown to the student.")
def command(lab_name: str, file: Path, given: tuple[str, ...], comment: str) -> int:
    """Enter points for questions of LAB into FILE, which `nest grade LAB --awards FILE` then
    counts.

    Without QUESTION=POINTS it shows the answers and what was entered. Points belong to an answer's
    words: if the student changes them, the points are pending again.
    """
    lab = labs.find(lab_name)
    if lab.questions is None:
        raise UsageError(f"{lab.id} has no questions: all its points are given by tests")
    answers = questions.answers_of(lab)
    awards = questions.read_awards(file, lab) if file.exists() else {}
    for word in given:
        name, equals, points = word.partition("=")
        if not equals:
            raise UsageError(f"'{word}' is not QUESTION=POINTS, such as {lab.questions.ask[0].id}=1")
        key, entry = questions.award(lab, answers, name, points, comment)
        awards[key] = entry
    if given:
        questions.write_awards(file, lab, awards)
    for one in questions.results(lab, answers, awards, questions.right_numbers(lab)):
        is_open = one.state == questions.PENDING or one.question.kind == labs.WORDS and one.state == questions.MISSING
        points = "?" if is_open else f"{one.score:g}"
        print(f"{one.question.id}  {one.question.title}: {points}/{one.question.points}  {one.state}"
              + (f" ({one.note})" if one.note else ""))
        if not given:
            for line in answers.get(one.question.id, "").splitlines():
                print(f"    {line}".rstrip())
    return DONE
