# SPDX-License-Identifier: MIT
"""What is an answer to a question, and what is not; what a number gets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from grader import CannotRun, UsageError
from grader.course import numbers
from grader.course.lab import NUMBER, Question, Questions
from grader.course.questions import (
    ENTERED, MISSING, NO_NUMBER, PENDING, RIGHT, WRONG, answers, award, fingerprint, results,
)

ASKED = Questions("questions.md", (Question("q1", "Why?", 1, ""), Question("q2", "How?", 2, "")))


@pytest.mark.parametrize(("text", "wanted"), [
    ("", {}),
    ("## q1: Why?\nBecause.\n## q2\nSo.\n", {"q1": "Because.", "q2": "So."}),
    ("# Q1\n\nBecause.\n\n# Afterword\nnone\n", {"q1": "Because."}),
    ("## q1: Why?\n> the question's words\n\n<!-- your\nanswer -->\nTODO\n...\n", {"q1": ""}),
    ("## q1: Why?\n<!-- never closed\nBecause.\n", {"q1": ""}),
    ("## q1\nOne\n### in detail\nTwo\n", {"q1": "One\nTwo"}),
    ("## q1\n```\n# q2 is a comment of the code\n```\n", {"q1": "```\n# q2 is a comment of the code\n```"}),
    ("## q10: another\nNo.\n", {}),
    ("Because.\n", {}),
])
def test_answers(text: str, wanted: dict[str, str]) -> None:
    assert answers(text, ASKED) == wanted


def test_fingerprint_is_that_of_the_words() -> None:
    assert fingerprint("a  b\nc") == fingerprint("a b c\n") != fingerprint("a b d")


COUNTED: Any = SimpleNamespace(id="lab6", questions=Questions("questions.md", (
    Question("q1", "How many?", 2, "", NUMBER), Question("q2", "About how many?", 1, "", NUMBER, tolerance=3),
    Question("q3", "Why?", 1, ""))))


@pytest.mark.parametrize(("answer", "number"), [("8", 8), ("0", 0), ("0024", 24), ("999999999999999", 999999999999999)])
def test_a_number_is_digits(answer: str, number: int) -> None:
    assert numbers.read(answer) == number


@pytest.mark.parametrize(("answer", "words"), [
    ("12 accesses", "'12 accesses' is no whole number"), ("0x18", "decimal digits"), ("1,000", "separator"),
    ("1_000", "no whole number"), ("-3", "sign"), ("+3", "sign"), ("8.", "'8.' is"), ("2.5", "'2.5' is"),
    ("**8**", "'**8**' is"), ("twelve", "word"), ("\u0668", "no whole number"), ("8\n24", "has 2 lines"),
    ("8\nsince 2 * 3 + 2", "has 2 lines"), ("9" * 16, "no whole number"), ("a" * 500, f"'{'a' * 40}...' is"),
    ("\x1b[31m8", "no whole number"),
])
def test_what_is_no_number_is_told_why(answer: str, words: str) -> None:
    said = numbers.read(answer)
    assert isinstance(said, str) and words in said and "digits alone, such as 42" in said and "\x1b" not in said


@pytest.mark.parametrize(("answer", "state", "score"), [
    ("8", RIGHT, 2), ("08", RIGHT, 2), ("7", WRONG, 0), ("9", WRONG, 0), ("80", WRONG, 0), ("", MISSING, 0),
    ("0x8", NO_NUMBER, 0), ("8 accesses", NO_NUMBER, 0), ("8 or 9", NO_NUMBER, 0), ("8\n9", NO_NUMBER, 0),
])
def test_a_number_is_right_or_wrong(answer: str, state: str, score: int) -> None:
    one = results(COUNTED, {"q1": answer}, {}, {"q1": 8, "q2": 100})[0]
    assert (one.state, one.score) == (state, score) and one.lost == (state != RIGHT)


@pytest.mark.parametrize(("answer", "state"), [("97", RIGHT), ("103", RIGHT), ("96", WRONG), ("104", WRONG)])
def test_a_tolerance_is_where_the_question_has_one(answer: str, state: str) -> None:
    assert results(COUNTED, {"q2": answer}, {}, {"q1": 8, "q2": 100})[1].state == state


def test_a_tree_without_the_right_numbers_says_what_it_read() -> None:
    right, short, words = results(COUNTED, {"q1": "7", "q2": "0x18", "q3": "Because."}, {})
    assert (right.state, right.score, right.lost) == (PENDING, 0, False) and right.note.startswith("read as 7;")
    assert (short.state, short.lost) == (NO_NUMBER, True) and words.state == PENDING
    assert results(COUNTED, {}, {})[0].state == MISSING


def test_references_whose_numbers_are_gone_lack_nothing() -> None:
    """As in an autograder's image, whose references are objects and nothing else."""
    assert [(one.state, one.lost) for one in results(COUNTED, {}, {}, reference=True)] == [
        (PENDING, False), (PENDING, False), (MISSING, False)]


def test_right_numbers_have_to_be_there() -> None:
    assert numbers.right_ones(COUNTED, {"q1": "8", "q2": "100", "q3": "Because."}, "model") == {"q1": 8, "q2": 100}
    for model in ({"q1": "8"}, {"q1": "8", "q2": "about 100"}):
        with pytest.raises(CannotRun, match="model has no number for q2"):
            numbers.right_ones(COUNTED, model, "model")


def test_nobody_enters_points_for_a_number() -> None:
    with pytest.raises(UsageError, match="q1 is a number, whose points the grader gives"):
        award(COUNTED, {"q1": "7"}, "q1", "2", "")
    assert award(COUNTED, {"q3": "Because."}, "q3", "1", "")[0] == "q3"
    given = {"q1": {"points": 2, "answer": fingerprint("7")}, "q3": {"points": 1, "answer": fingerprint("So.")}}
    assert [(one.state, one.score) for one in results(COUNTED, {"q1": "7", "q3": "So."}, given, {"q1": 8, "q2": 1})] == [
        (WRONG, 0), (MISSING, 0), (ENTERED, 1)]
