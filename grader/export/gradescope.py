# SPDX-License-Identifier: MIT
"""Gradescope's results.json [gradescope-autograders.readthedocs.io, "Autograder Specifications"].

Made from the students' form of a result. Gradescope takes its texts for HTML unless the file says
otherwise: it does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grader.export.feedback import APART, NOT_JUDGED, Result, lost_through, question, summary

SCHEMA = Path(__file__).with_name("schemas") / "gradescope.json"
"""What the documentation says of the file."""


def results_json(data: Result) -> dict[str, Any]:
    """The result as Gradescope reads it: each test with its own points, the questions among
    them."""
    more = data["extra_data"]
    lost = lost_through(data["tests"])
    places = {task["id"]: index for index, task in enumerate(more["tasks"], 1)}
    counts: dict[str, int] = {}
    tests = []
    for test in data["tests"]:
        task = test["extra_data"]["task"]
        counts[task] = counts.get(task, 0) + 1
        tests.append(_test(test, f"{places[task]}.{counts[task]}", lost))
    tests += [_question(one, f"{len(places) + 1}.{index}") for index, one in enumerate(more["questions"], 1)]
    return validated({
        "score": data["score"],
        "execution_time": data["execution_time"],
        "output": "\n".join(summary(data)),
        "output_format": "text", "test_output_format": "text", "test_name_format": "text",
        "stdout_visibility": "hidden",
        "extra_data": {"lab": more["lab"], "seed": more["seed"]},
        "tests": tests,
    })


def no_verdict(why: str) -> dict[str, Any]:
    """The file for a submission that was not judged: no score, since none is known."""
    text = (f"This submission was not judged: {why}\nThat is not your fault and costs no points. Submit it once more; if it "
            "happens again, tell the course's staff.")
    return validated({
        "output": text, "output_format": "text", "stdout_visibility": "hidden",
        "tests": [{"name": "This submission was not judged", "status": "failed", "output": text, "output_format": "text",
                   "visibility": "visible"}]})


def nothing_to_judge(why: str, max_score: float) -> dict[str, Any]:
    """The file for a submission in which there is nothing to judge, which is the student's affair:
    0 points."""
    return validated({
        "score": 0, "output": f"There is nothing to judge in this submission: {why}", "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [{"name": "The lab's files are in the submission", "score": 0, "max_score": max_score, "status": "failed",
                   "output": why, "output_format": "text", "visibility": "visible"}]})


def validated(data: dict[str, Any]) -> dict[str, Any]:
    """The same data, once it is of Gradescope's form."""
    from jsonschema import Draft202012Validator

    Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(data)
    return data


def _test(test: dict[str, Any], number: str, lost: dict[str, list[str]]) -> dict[str, Any]:
    """One test. What is not judged has no score and no status; what was lost through another is
    never `passed`."""
    entry: dict[str, Any] = {"name": test["name"], "number": number, "output": test["output"], "tags": test["tags"],
                             "visibility": test["visibility"]}
    apart = APART in test["tags"]
    if apart:
        entry["name"] += " (reported apart, not in the score)"
    else:
        entry["max_score"] = test["max_score"]
    if test["extra_data"]["outcome"] == NOT_JUDGED:
        return entry
    if not apart:
        entry["score"] = test["score"]
    entry["status"] = test["status"]
    if through := lost.get(test["name"]):
        entry["status"] = "failed"
        entry["output"] = (f"lost through {', '.join(through)}: this test passed by itself, and gives its points only if "
                           "those that belong to it pass, too")
    return entry


def _question(one: dict[str, Any], number: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": f"{one['id']}: {one['title']}", "number": number, "max_score": one["max_score"],
                             "output": question(one), "visibility": "visible"}
    if one["state"] != "pending":
        entry |= {"score": one["score"], "status": "passed" if one["score"] == one["max_score"] else "failed"}
    return entry
