# SPDX-License-Identifier: MIT
"""What is an answer to a question, and what is not."""

from __future__ import annotations

import pytest

from grader.course.lab import Question, Questions
from grader.course.questions import answers, fingerprint

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
