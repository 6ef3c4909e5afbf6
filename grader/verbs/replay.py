# SPDX-License-Identifier: MIT
"""`nest replay`: judges one of a class's submissions once more, under the same nonce."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from grader import DONE, POINTS_MISSING, UsageError
from grader.batch.compare import differences
from grader.batch.show import in_words
from grader.batch.store import opened
from grader.confine import sandbox
from grader.course import lab as labs
from grader.judge import forms
from grader.judge.judging import ALL, grade
from grader.judge.report import show
from grader.verbs.options import sandbox_option


@click.command(short_help="Judge one of a class's submissions once more, and show both results.")
@click.argument("student")
@click.option("--results", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="RESULTS",
              help="The folder that `nest grade-all --out` wrote.")
@click.option("--test", "keyword", default="", metavar="TEST", help="Only tests whose names match, as in `nest grade -k`.")
@sandbox_option
def command(student: str, results: Path, keyword: str) -> int:
    """Judge STUDENT's submission once more with the same nonces, and show what it got then and now.

    Nothing is kept of it: the results stay as they are. Ends with 1 if a verdict differs.
    """
    sandbox.required(results)
    with opened(results) as store:
        row = store.row(student)
        lab = labs.find(store.meta("lab"))
        tried = store.attempts(row.digest) if row.digest else []
    if not row.digest or not tried:
        raise UsageError(f"{student}: {'; '.join(row.findings) or 'not judged yet'}")
    for one in tried:
        print(f"{student}, attempt {one.number} of {one.begun or one.ended}: {in_words(one)}"
              + (f": {one.why.strip()}" if one.why else ""))
        if one.result:
            print(f"  evidence: {store.evidence(one.digest, one.number)}")
    then = row.attempt
    assert then is not None
    now = grade(lab, keyword=keyword, machine=ALL if " " in then.machine else then.machine or None, seed=then.seed,
                handed_in=store.handed_in(row.digest).resolve())
    show(now, sys.stdout)
    if then.result is None:
        return DONE
    lines = differences(then.result, forms.as_dict(now), partly=bool(keyword))
    print(*(f"differs: {line}" for line in lines), sep="\n" if lines else "",
          end="\n" if lines else "every verdict is the same as then\n")
    return POINTS_MISSING if lines else DONE
