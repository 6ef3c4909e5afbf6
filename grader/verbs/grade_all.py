# SPDX-License-Identifier: MIT
"""`nest grade-all`: judges a class's submissions to one lab."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from grader import CANNOT_RUN, DONE, UsageError
from grader.batch import run as batch
from grader.batch.pool import Pool
from grader.batch.show import Watch, summary
from grader.batch.store import Store, opened
from grader.build.workshop import Progress, workshop
from grader.cluster.slurm import Slurm
from grader.confine import sandbox
from grader.course import lab as labs
from grader.intake import platforms, uploads
from grader.intake.submission import Submission
from grader.judge.judging import machines_of
from grader.verbs.options import sandbox_option


EXECUTORS = ("local", "slurm")


def _shard(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    first, slash, second = value.partition("/")
    if not (slash and first.isdigit() and second.isdigit() and 1 <= int(first) <= int(second)):
        raise UsageError(f"--shard {value}: say which of how many, such as 2/8")
    return int(first), int(second)


@click.command(short_help="Judge a class's submissions to a lab.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--lab", "lab_name", required=True, metavar="LAB")
@click.option("--out", "results", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="RESULTS",
              help="Where the results and all evidence are kept.")
@click.option("--roster", type=click.Path(dir_okay=False, path_type=Path), metavar="CSV", help="The class: a column id, and "
              "perhaps name, group and handed_in.")
@click.option("--jobs", type=click.IntRange(1), help="So many submissions at once (one a core).")
@click.option("--executor", type=click.Choice(EXECUTORS), default=EXECUTORS[0], help="Who judges: workers on this machine, or "
              "the tasks of a Slurm job array. Tree and RESULTS must then stand on a disk that all nodes share.")
@sandbox_option
@click.option("--only", multiple=True, metavar="STUDENT", help="Only this one's. May be repeated.")
@click.option("--regrade-failed", "again", is_flag=True, help="Judge again what could not be judged through our fault.")
@click.option("--machine", metavar="MACHINE", help="Where booted tests run, as in `nest grade`.")
@click.option("--salt", metavar="TEXT", help="What the nonces follow from; else drawn once, and kept with the results.")
@click.option("--shard", callback=_shard, metavar="I/N", help="Judge only this share, without the database: for the nodes of "
              "any queue. Then grade-all without --shard takes the results in.")
def command(folder: Path, lab_name: str, results: Path, roster: Path | None, jobs: int | None, executor: str,
            only: tuple[str, ...], again: bool, machine: str | None, salt: str | None, shard: tuple[int, int] | None) -> int:
    """Judge each submission in DIR: folders, zip and tar archives, and git repositories, named by
    student, or as Gradescope, Canvas and Moodle name them.

    May be ended at any moment; called again, it goes on. Ends with 0 if all that was handed in is
    judged, and with 3 if some could not be judged on this system.
    """
    lab = labs.find(lab_name)
    machines_of(lab, machine)
    known = platforms.read_roster(roster) if roster else None
    found, nobodys = uploads.read_all(folder, lab, known)
    wanted = _only(found, only)
    if executor == "local":
        sandbox.required(folder)
    results.mkdir(parents=True, exist_ok=True)
    results = results.resolve()
    if executor == "local":
        sandbox.required(results)
    plan = batch.Plan(lab.id, machine or "", batch.salt_of(results, salt))
    batch.keep_files(results, wanted)
    progress = Progress()
    with workshop(progress):
        pass  # the kit is up to date before any worker opens it
    if shard:
        return _judge_shard(results, plan, wanted, shard, Pool(results, jobs))
    with batch.only_writer(results), opened(results, lab=lab.id) as store:
        _same_machine(store, machine or lab.usual_machine)
        if only:
            for one in wanted:
                store.take_submission(one)
        else:
            store.take_submissions(found)
        watch = Watch(store, progress)
        started = time.monotonic()
        workers = Pool(results, jobs) if executor == "local" else Slurm(results, jobs)
        batch.run(store, plan, [one.digest for one in wanted if one.files], workers, watch, again=again)
        progress.clear()
        return CANNOT_RUN if summary(store, nobodys, time.monotonic() - started, sys.stdout) else DONE


def _same_machine(store: Store, machine: str) -> None:
    """Results of several machines in one folder would not be one class's. Raises UsageError."""
    if (before := store.meta("machine")) not in ("", machine):
        raise UsageError(f"{store.folder} was begun on {before}, and this would be on {machine}\n"
                         f"  mend: --machine {before}, or another folder with --out")
    store.set_meta("machine", machine)


def _only(found: list[Submission], only: tuple[str, ...]) -> list[Submission]:
    missing = set(only) - {one.who.id for one in found}
    if missing:
        raise UsageError(f"no upload belongs to {', '.join(sorted(missing))}; there are those of "
                         f"{', '.join(one.who.id for one in found[:8])}{' and others' * (len(found) > 8)}")
    return [one for one in found if not only or one.who.id in only]


def _judge_shard(results: Path, plan: batch.Plan, wanted: list[Submission], shard: tuple[int, int], pool: Pool) -> int:
    digests = sorted({one.digest for one in wanted if one.files})[shard[0] - 1::shard[1]]
    states: dict[str, list[str]] = {}
    if (results / "results.db").exists():
        with opened(results) as store:
            states = store.states()
    items = [batch.item(plan, digest, len(states.get(digest, [])) + 1) for digest in batch.to_judge(digests, states)]
    failed = 0
    for done, (item, why) in enumerate(pool.judged(items), 1):
        print(f"[{done}/{len(items)}] {item.digest} {why or 'done'}", flush=True)
        failed += bool(why)
    return CANNOT_RUN if failed else DONE
