# SPDX-License-Identifier: MIT
"""What a student reads of a result: a summary for the head of a page, and a whole page in Markdown.

All of it is made from the students' form (grader/judge/for_students.py), whose words may still be a
student's own: a compiler quotes the line that it does not like. So nothing is taken for Markdown or
HTML.
"""

from __future__ import annotations

import re
from typing import Any

from grader.confine.words import clean

Result = dict[str, Any]

NOT_JUDGED = "not judged"
APART = "apart"
_MARKUP = re.compile(r"([\\`*_{}\[\]()#!|<>&~$:@])")


def points(score: float, most: float) -> str:
    """Points of points, as `1.5 of 20`."""
    return f"{score:g} of {most:g}"


def lost_through(tests: list[dict[str, Any]]) -> dict[str, list[str]]:
    """By test that passed and has no points all the same: the tests that belong to it and did not
    pass.

    A test without points belongs to the last one of its task before it that has some.
    """
    lost: dict[str, list[str]] = {}
    bearers: dict[str, dict[str, Any]] = {}
    for test in tests:
        task = test["extra_data"]["task"]
        if test["max_score"]:
            bearers[task] = test
        elif test["status"] != "passed" and task in bearers:
            bearer = bearers[task]
            if bearer["status"] == "passed" and bearer["score"] < bearer["max_score"]:
                lost.setdefault(bearer["name"], []).append(test["name"])
    return lost


def summary(data: Result) -> list[str]:
    """The result in a few lines of plain text."""
    more = data["extra_data"]
    lines = [f"{more['lab']} {more['title']}: {points(data['score'], data['max_score'])} points"]
    if more["not_judged"]:
        lines.append(f"NOT ALL OF IT IS JUDGED: {more['not_judged']:g} points could not be judged on the graders' machine. "
                     "That is not your fault and costs no points: it will be judged again.")
    if more["pending"]:
        lines.append(f"{more['pending']:g} points are for answers that nobody has read yet.")
    for task in more["tasks"]:
        lines.append(f"{task['id']} {task['title']}: {points(task['score'], task['max_score'])}{_state(task, data)}")
    for one in more["questions"]:
        lines.append(f"{one['id']} {one['title']}: {question(one)}")
    return lines


def question(one: dict[str, Any]) -> str:
    """What came of a question, in words."""
    if one["state"] == "pending":
        said = f"{one['max_score']:g} points, not read yet"
    else:
        said = points(one["score"], one["max_score"])
        if one["state"] in ("no answer", "no number", "wrong"):
            said += f", {one['state']}"
    return said + (f": {one['note']}" if one["note"] else "")


def _state(task: dict[str, Any], data: Result) -> str:
    tests = [test for test in data["tests"] if test["extra_data"]["task"] == task["id"]]
    failed = sum(test["status"] != "passed" and test["extra_data"]["outcome"] != NOT_JUDGED for test in tests)
    words = ("" if task["counts"] else ", reported apart: these points are not in the score",
             f"; {task['state']}" if task["state"] != "graded" else
             f"; {failed} of {len(tests)} tests failed" if failed else "")
    return "".join(words)


def markdown(data: Result, name: str) -> str:
    """The result as a page in Markdown. `name`: whose it is."""
    more = data["extra_data"]
    lost = lost_through(data["tests"])
    head, *rest = summary(data)
    lines = [f"# {plain(head)}", "", f"For {plain(name)}", ""]
    lines += [f"- {plain(line)}" for line in rest]
    for task in more["tasks"]:
        tests = [test for test in data["tests"] if test["extra_data"]["task"] == task["id"]]
        lines += ["", f"## {plain(task['id'])} {plain(task['title'])}: {plain(points(task['score'], task['max_score']))}", ""]
        if task["note"]:
            lines += [f"{plain(task['file'])} {plain(task['state'])}:", "", *block(task["note"]), ""]
        good = [test for test in tests if test["status"] == "passed" and test["name"] not in lost]
        lines.append(f"{len(good)} of {len(tests)} tests passed.")
        for test in tests:
            if test in good or (task["note"] and test["extra_data"]["outcome"] in ("not written", "does not build", "refused")):
                continue
            lines += ["", f"### {plain(test['name'])}: {plain(verdict(test, lost))}", ""]
            lines += block(test["output"]) if test["output"] else []
    return "\n".join(lines).rstrip("\n") + "\n"


def verdict(test: dict[str, Any], lost: dict[str, list[str]]) -> str:
    """How a test that is not simply passed ended, with its points."""
    if test["name"] in lost:
        return f"lost through {', '.join(lost[test['name']])}; {points(test['score'], test['max_score'])}"
    kind = test["extra_data"]["outcome"]
    return f"{kind}; {points(test['score'], test['max_score'])}" if kind != NOT_JUDGED and test["max_score"] else kind


def plain(text: str) -> str:
    """A text inside a line of Markdown, of which nothing is Markdown."""
    return _MARKUP.sub(r"\\\1", " ".join(clean(text).split()))


def block(text: str) -> list[str]:
    """A text of many lines as a block of code, whatever it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *clean(text).strip("\n").split("\n"), fence]
