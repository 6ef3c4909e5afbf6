# SPDX-License-Identifier: MIT
"""Questions that a student answers in a file of text.

Of an answer in words the grader looks whether there is one; its points are pending until a person
enters them (`nest award`). A number is compared with the references' answer
(grader/course/numbers.py).

The answers to a lab stand in one file of its folder, each under a heading that begins with the
question's id (`## q1: ...`). Block quotes (the question's own words) and comments are no answer.
What is entered belongs to the answer as it was read: if its words change, the points are pending
again.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from grader import CannotRun, UsageError
from grader.course import numbers
from grader.course.lab import NUMBER, ROOT, Lab, Question, Questions
from grader.gate import Refused, reader

MISSING = "no answer"
PENDING = "pending"
ENTERED = "entered"
NO_NUMBER = "no number"
RIGHT = "right"
WRONG = "wrong"
NOT_HERE = "the right number is where the course is graded"

_HEADING = re.compile(r"^#{1,6}\s+(.*)$")
_COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
_PLACEHOLDER = re.compile(r"^\s*(TODO\b.*|\.\.\.|…)\s*$")


@dataclass(frozen=True)
class QuestionResult:
    """One question: whether it is answered, and what a person or the grader gave for it."""

    question: Question
    state: str
    """MISSING, PENDING or ENTERED; of a number MISSING, NO_NUMBER, RIGHT, WRONG, or PENDING where
    the tree has no right one to compare it with"""
    score: float
    note: str = ""
    """why points that were entered do not count any more; a person's comment; how a number was
    read, or why not"""

    @property
    def lost(self) -> bool:
        """Whether automatic points are missing, as far as anybody can know here."""
        return self.question.kind == NUMBER and self.state not in (RIGHT, PENDING)


def answers(text: str, questions: Questions) -> dict[str, str]:
    """The answers by question: what stands under its heading, without quotes, comments and
    placeholders."""
    found: dict[str, list[str]] = {}
    known = {one.id for one in questions.ask}
    current: list[str] | None = None
    fenced = False
    for line in _COMMENT.sub("", text).splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else _HEADING.match(line)
        if heading:
            word = re.match(r"\w+", heading[1])
            if word and word[0].lower() in known:
                current = found.setdefault(word[0].lower(), [])
            elif line.startswith(("# ", "## ")):
                current = None  # a smaller heading belongs to the answer that it stands in
        elif current is not None and not line.lstrip().startswith(">") and not _PLACEHOLDER.match(line):
            current.append(line.rstrip())
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def answers_of(lab: Lab, *, reference: bool = False, root: Path = ROOT) -> dict[str, str]:
    """The answers in the lab's folder, or those of the references, where they have some."""
    assert lab.questions is not None
    path = _path(lab, root)
    model = root / "solutions-private" / path.relative_to(root)
    try:
        return answers(reader.read(model if reference and model.is_file() else path, root).decode(), lab.questions)
    except (OSError, Refused):
        return {}


def refusal(lab: Lab, root: Path = ROOT) -> str:
    """Why the gate does not let the file with a student's answers in; empty if it does, or there is
    none."""
    assert lab.questions is not None
    path = _path(lab, root)
    try:
        reader.read(path, root)
    except Refused as refused:
        return f"{path.relative_to(root)} is refused: {refused.findings[0].text}"
    except OSError:
        pass
    return ""


def _path(lab: Lab, root: Path) -> Path:
    """Where the answers stand below a folder that has the tree's paths."""
    assert lab.questions is not None
    return root / "labs" / lab.folder.name / lab.questions.file


def right_numbers(lab: Lab, root: Path = ROOT) -> dict[str, int] | None:
    """The right answers to the questions for numbers; None in a tree that has none, as a student's.
    Raises CannotRun."""
    if lab.questions is None:
        return {}
    model = root / "solutions-private" / _path(lab, root).relative_to(root)
    if not model.is_file():
        return None
    return numbers.right_ones(lab, answers_of(lab, reference=True, root=root), model.relative_to(root).as_posix())


def results(lab: Lab, found: Mapping[str, str], awards: Mapping[str, Any],
            right: Mapping[str, int] | None = None, *, reference: bool = False) -> tuple[QuestionResult, ...]:
    """Each question of the lab with what there is of it. `right`: what right_numbers() says.
    `reference`: `found` are the references' answers, which lack nothing where they are no
    longer."""
    out = []
    for one in lab.questions.ask if lab.questions else ():
        answer = found.get(one.id, "")
        award = awards.get(one.id)
        if one.kind == NUMBER and reference and right is None:
            out.append(QuestionResult(one, PENDING, 0, NOT_HERE))
        elif one.kind == NUMBER:
            out.append(_number(one, answer, None if right is None else right[one.id]))
        elif award is not None and award["answer"] == fingerprint(answer):
            out.append(QuestionResult(one, ENTERED, award["points"], award.get("comment", "")))
        elif not re.search(r"\w", answer):
            out.append(QuestionResult(one, MISSING, 0))
        else:
            note = "the answer was changed after points were entered" if award is not None else ""
            out.append(QuestionResult(one, PENDING, 0, note))
    return tuple(out)


def _number(question: Question, answer: str, right: int | None) -> QuestionResult:
    """What there is of a number. `right`: None if this tree does not know it."""
    if not answer:
        return QuestionResult(question, MISSING, 0)
    number = numbers.read(answer)
    if isinstance(number, str):
        return QuestionResult(question, NO_NUMBER, 0, number)
    if right is None:
        return QuestionResult(question, PENDING, 0, f"read as {number}; {NOT_HERE}")
    is_right = abs(number - right) <= question.tolerance
    return QuestionResult(question, RIGHT if is_right else WRONG, question.points * is_right, f"read as {number}")


def fingerprint(answer: str) -> str:
    """The same for answers of the same words."""
    return hashlib.sha256(" ".join(answer.split()).encode()).hexdigest()[:16]


def read_awards(file: Path, lab: Lab) -> dict[str, Any]:
    """What `nest award` wrote for this lab. Raises CannotRun with what is wrong in the file."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotRun(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise CannotRun(f"{file}: not JSON: {error}\n  mend: it is written by `nest award`") from None
    asked = {one.id: one for one in lab.questions.ask} if lab.questions else {}
    try:
        if data["lab"] != lab.id:
            raise CannotRun(f"{file}: its points are for {data['lab']}, not for {lab.id}")
        for name, award in data["awards"].items():
            if name not in asked:
                raise CannotRun(f"{file}: {lab.id} has no question '{name}'")
            _check(asked[name], award["points"], str(file))
            if not (isinstance(award["answer"], str) and isinstance(award.get("comment", ""), str)):
                raise TypeError
        return dict(data["awards"])
    except (KeyError, TypeError, AttributeError):
        raise CannotRun(f"{file}: not what `nest award` writes\n  mend: remove it and enter the points again") from None


def write_awards(file: Path, lab: Lab, awards: Mapping[str, Any]) -> None:
    """Keeps the points for `nest grade --awards`."""
    try:
        file.write_text(json.dumps({"lab": lab.id, "awards": dict(awards)}, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"cannot write {file}: {error.strerror}") from None


def award(lab: Lab, found: Mapping[str, str], name: str, points: str, comment: str) -> tuple[str, dict[str, Any]]:
    """One entry for a question, from words of a command line. Raises UsageError."""
    asked = {one.id: one for one in lab.questions.ask} if lab.questions else {}
    if name not in asked:
        raise UsageError(f"{lab.id} has no question '{name}'; its questions are: {', '.join(asked) or 'none'}")
    try:
        number = float(points)
    except ValueError:
        raise UsageError(f"{name}={points}: points are a number") from None
    number = int(number) if number.is_integer() else number
    _check(asked[name], number, f"{name}={points}")
    entry = {"points": number, "answer": fingerprint(found.get(name, ""))}
    return name, entry | ({"comment": comment} if comment else {})


def _check(question: Question, points: Any, where: str) -> None:
    if question.kind == NUMBER:
        raise UsageError(f"{where}: {question.id} is a number, whose points the grader gives")
    if isinstance(points, bool) or not isinstance(points, (int, float)):
        raise TypeError
    if not 0 <= points <= question.points:
        raise UsageError(f"{where}: {question.id} has {question.points} point{'s' * (question.points != 1)}: "
                         f"give 0 to {question.points}, not {points:g}")
