# SPDX-License-Identifier: MIT
"""A result as students may have it. The whole one is staff's, and what a student sees who grades at
home.

An answer runs beside the references and the hidden tests, and prints what it likes: so no word that
a program printed is in it. Of a test that failed there is the rule, and the failed expectation as
it stands in the lab's own test file, to which the answer's words can point at most. Of a hidden
test there is the name.
"""

from __future__ import annotations

import re
from typing import Any

from grader.course.lab import ROOT
from grader.judge import forms, outcome
from grader.judge.results import Results, TestResult
from grader.judge.scoring import DOES_NOT_COUNT

EXPECTATION = re.compile(r"^(?:.*/)?(labs/[\w./-]+|\w+\.py):(\d+)(?:: Failure)?$", re.MULTILINE)
"""Where a failed expectation stands: GoogleTest's line, or that of a booted test."""
EXPECTATIONS, LINES = 3, 6
"""So many are quoted at most, and so many lines of each."""
OUR_WORDS = (outcome.NOT_RUN, outcome.NOT_WRITTEN, outcome.BLOCKED, outcome.NOT_BUILT, outcome.REFUSED, DOES_NOT_COUNT)
"""Outcomes before anything ran: what is said of them are our own words, and a compiler's of the
student's file."""
NOT_JUDGED = "this could not be judged on the graders' machine; that is not your fault and costs no points"


def as_dict(results: Results) -> dict[str, Any]:
    """The result in the form of :func:`grader.judge.forms.as_dict`, as students may have it."""
    data = forms.as_dict(results)
    found = {one.test.name: one for one in results.tests}
    for test in data["tests"]:
        _clear(test, results, found[test["name"]])
    shown = {test.name for test in results.lab.tests if not test.hidden}
    more = data["extra_data"]
    more |= {"notes": [], "let_passed": [], "for_staff": [], "transcripts": ""}
    if more["together"]:
        more["together"]["failed"] = [{"name": one["name"], "why": ""} for one in more["together"]["failed"]
                                      if one["name"] in shown]
    return data


def _clear(test: dict[str, Any], results: Results, one: TestResult) -> None:
    more = test["extra_data"]
    more |= {"nonce": "", "transcript": "", "detail": _seen(results, one)}
    if one.test.hidden:
        test |= {"output": "", "tags": [one.test.task]}
        more |= {"checks": "", "detail": "", "read": "", "hint": "", "alone": "", "machines": {}, "unstable": False,
                 "negative": False, "seconds": 0, "outcome": outcome.PASSED if one.passed else outcome.FAILED}
        return
    rows = (("task", one.test.task), ("checks", one.test.checks), ("seen", more["detail"]), ("hint", one.test.hint),
            ("read", more["read"]), ("alone", one.alone))
    test["output"] = "" if one.passed else "\n".join(
        f"{name}: {text}" for name, text in rows if text)


def _seen(results: Results, one: TestResult) -> str:
    """What is told of how a test ended."""
    if one.passed:
        return ""
    if not one.judged:
        return NOT_JUDGED
    if one.kind in OUR_WORDS:
        return one.detail
    return "\n".join([one.kind, *_expectations(results, one)])


def _expectations(results: Results, one: TestResult) -> list[str]:
    """The failed expectations, out of the lab's own files, whatever the rest of the detail says."""
    places = dict.fromkeys((path, int(line)) for path, line in EXPECTATION.findall(one.detail.replace("at test_", "test_")))
    quoted = []
    own = results.lab.folder.name
    for path, number in places:
        name = path if path.startswith("labs/") else f"labs/{own}/boot/{path}"
        if not name.startswith(f"labs/{own}/") or ".." in name or not (ROOT / name).is_file():
            continue
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()[number - 1 : number - 1 + LINES]
        quoted.append("\n".join([f"{name}:{number}:", *_statement(lines)]))
    return quoted[:EXPECTATIONS]


def _statement(lines: list[str]) -> list[str]:
    """The first lines, up to where the brackets of the first one are closed."""
    depth = 0
    for count, line in enumerate(lines, 1):
        depth += line.count("(") - line.count(")")
        if depth <= 0:
            return lines[:count]
    return lines
