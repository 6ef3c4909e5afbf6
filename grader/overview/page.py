# SPDX-License-Identifier: MIT
"""The page: one HTML file without scripts, which loads nothing from anywhere.

Every word in it may be a student's, so the template escapes all of them, and the page's own policy
lets a browser run and load nothing even if one slipped through.
"""

from __future__ import annotations

from pathlib import Path

import jinja2

from grader.batch.store import GRADED
from grader.judge import outcome
from grader.overview import figures
from grader.overview.gathered import MARKS, Class, Entry, by_score
from grader.overview.similar import LEAST_TOKENS, Alike

TEMPLATE = "class.html.j2"
SLOWEST = 10
CLASSES = {outcome.PASSED: "p", outcome.NOT_WRITTEN: "n", outcome.BLOCKED: "n", outcome.NOT_JUDGED: "q"}
"""The colour of an outcome's cell; any other is red."""


def render(found: Class, alike: list[Alike], made: str) -> str:
    """The page as text. `made`: the moment, in words."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"g": lambda number: f"{number:g}", "colour": colour}
    tests = figures.tests(found)
    ordered = list(by_score(found.graded))
    places = {id(one): place for place, one in enumerate(found.entries)}
    return environment.get_template(TEMPLATE).render(
        found=found, made=made, bins=figures.histogram(found), scores=figures.scores(found), tests=tests,
        tasks=figures.tasks(found), stumbles=figures.stumbles(found), ordered=ordered, place=lambda one: places[id(one)],
        slowest=sorted(tests, key=lambda one: -one.median_seconds)[:SLOWEST],
        unstable=[one for one in tests if one.unstable], without=[one for one in found.entries if one.state != GRADED],
        noted=[one for one in found.entries if one.findings or one.for_staff], alike=alike, least=LEAST_TOKENS,
        marks=MARKS, cells=cells, spans=spans(found))


def colour(kind: str) -> str:
    """The class of an outcome's cells."""
    return CLASSES.get(kind, "f")


def cells(entry: Entry, place: int) -> list[tuple[str, str, str]]:
    """A row of the map: for each test the colour, the mark, and the anchor of what there is to
    read; a test that was not run has no mark."""
    anchors = {number: f"s{place}f{index}" for index, one in enumerate(entry.failures) for number in one.tests}
    return [(colour(kind), "" if not kind else "~" if number in entry.unstable else MARKS.get(kind, "x"),
             anchors.get(number, f"s{place}")) for number, kind in enumerate(entry.kinds)]


def spans(found: Class) -> list[tuple[str, int]]:
    """The tasks above the map's columns, each with how many tests in a row are its."""
    made: list[tuple[str, int]] = []
    for test in found.tests:
        if made and made[-1][0] == test.task:
            made[-1] = (test.task, made[-1][1] + 1)
        else:
            made.append((test.task, 1))
    return made
