# SPDX-License-Identifier: MIT
"""`nest work`: a worker of `nest grade-all`, here or on a node of a cluster. Nobody types it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from grader import DONE
from grader.batch import work
from grader.batch.pool import Pool
from grader.batch.store import FAILED
from grader.batch.worker import serve
from grader.cluster.slurm import read_items


@click.command(short_help="Judge what stands on standard input, a line an item.")
@click.argument("results", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("threads", type=click.IntRange(1), required=False)
@click.option("--items", "folder", type=click.Path(file_okay=False, path_type=Path), help="Judge the items in this folder's "
              "files, by workers: the task of a cluster's job.")
@click.option("--cpus", type=click.IntRange(1), help="With --items: on so many processors.")
def command(results: Path, threads: int | None, folder: Path | None, cpus: int | None) -> int:
    """Judge the items on standard input, one a line, as grade-all writes them, into
    RESULTS/inbox."""
    results = results.resolve()
    if folder is None:
        serve(results, sys.stdin, sys.stdout, threads)
        return DONE
    for item, why in Pool(results, cpus, cpus).judged(read_items(folder)):
        if why:
            work.leave(results, item, {"state": FAILED, "why": why, "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
        print(f"{item.name} {why or 'done'}", flush=True)
    return DONE
