# SPDX-License-Identifier: MIT
"""`nest work`: a worker of `nest grade-all`, here or on a node of a cluster. Nobody types it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from grader import DONE
from grader.batch.worker import serve


@click.command(short_help="Judge what stands on standard input, a line an item.")
@click.argument("results", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("threads", type=click.IntRange(1), required=False)
def command(results: Path, threads: int | None) -> int:
    """Judge the items on standard input, one a line, as grade-all writes them, into RESULTS/inbox."""
    serve(results.resolve(), sys.stdin, sys.stdout, threads)
    return DONE
