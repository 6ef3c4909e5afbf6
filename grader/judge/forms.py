# SPDX-License-Identifier: MIT
"""A result as files: JSON, whose outer names are Gradescope's (grader/judge/schemas/results.json),
and JUnit XML."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from grader.judge import outcome
from grader.judge.failures import failure_text, read, transcript
from grader.judge.results import Results, TaskResult, TestResult

ERRORS = (outcome.CRASHED, outcome.TIMEOUT, outcome.NOT_RUN, outcome.NOT_BUILT, outcome.REFUSED, outcome.FORGED)
"""Outcomes that JUnit calls errors: no test could say that the answer is wrong."""


def as_dict(results: Results) -> dict[str, Any]:
    """The result as JSON has it; the outer names are Gradescope's."""
    return {
        "score": results.score,
        "max_score": results.max_score,
        "execution_time": round(results.seconds, 3),
        "output": f"{results.lab.id} {results.lab.title}: {results.reached}"
                  + (f", {results.pending} pending" if results.pending else "")
                  + (f", {results.not_judged:g} not judged" if results.not_judged else ""),
        "tests": [_test_dict(results, task, test) for task in results.tasks for test in task.tests],
        "extra_data": {
            "schema": 3,
            "lab": results.lab.id,
            "title": results.lab.title,
            "answers": results.answers,
            "seed": results.seed,
            "machines": [{
                "name": here.machine, "score": here.score, "max_score": here.max_score,
                "tasks": [{"id": task.task.id, "score": task.score, "max_score": task.max_score,
                           "counts": task.counts} for task in here.tasks],
                "left_out": [{"test": one.test.name, "points": one.test.points, "why": one.why}
                             for one in here.left_out]} for here in results.machines],
            "counts": results.lab.counts,
            "pending": results.pending,
            "not_judged": results.not_judged,
            "notes": list(results.notes), "let_passed": list(results.let_passed), "for_staff": list(results.for_staff),
            "questions": [{"id": one.question.id, "title": one.question.title, "score": one.score,
                           "max_score": one.question.points, "state": one.state, "note": one.note}
                          for one in results.questions],
            "partial": results.partial,
            "transcripts": results.transcripts,
            "tasks": [
                {"id": task.task.id, "title": task.task.title, "file": task.task.file,
                 "vendor": task.task.vendor, "counts": task.counts, "score": task.score,
                 "max_score": task.max_score, "state": task.state, "note": task.note, "elsewhere": task.elsewhere} for task in results.tasks],
            "together": None if results.together is None else {
                "passed": results.together.passed, "total": results.together.total,
                "failed": [{"name": name, "why": why} for name, why in results.together.failed]},
        },
    }


def _test_dict(results: Results, task: TaskResult, one: TestResult) -> dict[str, Any]:
    test, found = one.test, one.outcome
    return {
        "name": test.name,
        "score": one.score,
        "max_score": test.points,
        "status": "passed" if one.passed else "failed",
        "output": "" if one.passed else failure_text(results, one),
        "visibility": "hidden" if test.hidden else "visible",
        "tags": [test.task, test.kind] + ["negative"] * test.negative + ["unstable"] * found.unstable
                + ["apart"] * (not task.counts),
        "extra_data": {
            "task": test.task, "checks": test.checks, "negative": test.negative, "outcome": one.kind,
            "detail": one.detail, "seed": results.seed, "nonce": found.nonce, "read": read(results, test),
            "hint": test.hint, "alone": one.alone, "transcript": transcript(found),
            "machines": results.on_machines(test), "unstable": found.unstable, "seconds": round(found.seconds, 3)},
    }


def validated(data: dict[str, Any]) -> dict[str, Any]:
    """The same data, once it agrees with the schema. A disagreement is a fault of the grader."""
    from jsonschema import Draft202012Validator

    Draft202012Validator(json.loads((Path(__file__).with_name("schemas") / "results.json").read_text())).validate(data)
    return data


def to_json(results: Results, made: dict[str, Any] | None = None) -> str:
    """The result as JSON text, checked against its schema; `made`: another form of it than
    as_dict() gives."""
    return json.dumps(validated(made or as_dict(results)), indent=2, ensure_ascii=False) + "\n"


def to_junit(data: dict[str, Any], when: str, host: str = "localhost") -> str:
    """A result, as as_dict() gives it, as JUnit XML [Apache Ant's JUnit.xsd; Jenkins's
    junit-10.xsd]: a suite a task.

    A failure is an answer that a test found wrong; an error one that let no test say so (it
    crashed, hung, was not built). What was not judged is skipped. `when`: the moment at which it
    was judged, in ISO 8601.
    """
    from xml.etree import ElementTree as xml

    more = data["extra_data"]
    properties = {"lab": more["lab"], "title": more["title"], "answers": more["answers"], "seed": str(more["seed"]),
                  "machines": " ".join(one["name"] for one in more["machines"]), "points": f"{data['score']:g}",
                  "max_points": f"{data['max_score']:g}", "points_pending": f"{more['pending']:g}",
                  "points_not_judged": f"{more['not_judged']:g}"}
    top = xml.Element("testsuites")
    for index, task in enumerate(more["tasks"]):
        tests = [test for test in data["tests"] if test["extra_data"]["task"] == task["id"]]
        kinds = [_junit_kind(test) for test in tests]
        suite = xml.SubElement(
            top, "testsuite", name=task["id"], package=more["lab"], id=str(index), timestamp=_without_zone(when),
            hostname=host or "localhost", tests=str(len(tests)), failures=str(kinds.count("failure")),
            errors=str(kinds.count("error")), skipped=str(kinds.count("skipped")),
            time=f"{sum(test['extra_data']['seconds'] for test in tests):.3f}")
        listed = xml.SubElement(suite, "properties")
        for name, value in {**properties, "task": task["id"], "task_points": f"{task['score']:g}",
                            "task_max_points": f"{task['max_score']:g}", "counts": str(task["counts"]).lower()}.items():
            xml.SubElement(listed, "property", name=name, value=value)
        for test, kind in zip(tests, kinds):
            found = test["extra_data"]
            case = xml.SubElement(suite, "testcase", classname=task["id"], name=test["name"],
                                  time=f"{found['seconds']:.3f}")
            if kind == "skipped":
                xml.SubElement(case, "skipped", message=found["detail"])
            elif kind:
                xml.SubElement(case, kind, message=found["checks"], type=found["outcome"]).text = test["output"]
        for name in ("system-out", "system-err"):
            xml.SubElement(suite, name)
    xml.indent(top)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + xml.tostring(top, encoding="unicode") + "\n"


def _junit_kind(test: dict[str, Any]) -> str:
    """How JUnit calls what came of a test; empty for one that passed."""
    kind = test["extra_data"]["outcome"]
    if kind == outcome.NOT_JUDGED:
        return "skipped"
    return "" if test["status"] == "passed" else "error" if kind in ERRORS else "failure"


def _without_zone(when: str) -> str:
    """A moment as JUnit has it: in UTC, to the second, without a zone."""
    moment = datetime.datetime.fromisoformat(when)
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.timezone.utc)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")
