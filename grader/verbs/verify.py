# SPDX-License-Identifier: MIT
"""`nest verify`: proves that a lab's tests tell right answers from wrong ones."""

from __future__ import annotations

import json
import secrets
import time

import click

from grader import DONE, POINTS_MISSING, UsageError
from grader.build.workshop import Progress, workshop
from grader.course import lab as labs_module
from grader.course.lab import ROOT, Lab
from grader.judge.flaky import differences, runs
from grader.judge.judging import ALL, machines_of
from grader.judge.matrix import as_dict, faults, show, show_seen, verify
from grader.judge.recording import record, unrecorded
from grader.verbs.output import write


@click.command(short_help="Prove that a lab's tests tell right answers from wrong ones.")
@click.argument("lab", required=False)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Repeat a run with the same nonces.")
@click.option("-k", "keyword", metavar="TEXT", default="", help="Only rows whose names contain this.")
@click.option("--machine", metavar="MACHINE", help="Booted tests on this machine alone.")
@click.option("--full", is_flag=True, help="Judge wrong answers by all their tests, and not up to the first that "
              "notices them.")
@click.option("--seen", is_flag=True, help="Show of each mutant the points that it keeps by the tests on the host, and "
              "what its first failing test says; with --full by all tests.")
@click.option("--flaky", type=click.IntRange(2), metavar="N", help="Judge the references, and what touches concurrency, N "
              "times, and show each verdict that differs.")
@click.option("--mutate", is_flag=True, help="Judge mutants made from the references instead, and show those that no test "
              "notices.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="With --mutate: only so many of each lab's mutants, of drafts only if LAB says so, "
              "and none that is listed as right.")
@click.option("--coverage", is_flag=True, help="Show the lines and branches of the references that no test on the host "
              "reaches.")
@click.option("--expectations", is_flag=True, help="Record how many expectations each unit test evaluates: after "
              "each change of a lab's tests.")
@click.option("--json", "json_file", metavar="FILE", help="Write the matrix as JSON; - is standard output.")
def command(lab: str | None, seed: int | None, keyword: str, machine: str | None, full: bool,
            seen: bool, flaky: int | None, mutate: bool, sample: int | None, coverage: bool, expectations: bool,
            json_file: str | None) -> int:
    """Judge the skeleton, the references, every mutant and every variant of LAB, or of every lab.

    With --mutate: judge what is made from the references by changing one place at a time.

    Ends with 0 if every cell of the matrix is as it must be, and with 1 if not.
    """
    started = time.monotonic()
    labs = [labs_module.find(lab)] if lab else labs_module.load_all()
    if machine and machine != ALL:
        if lab:
            machines_of(labs[0], machine)
        labs = [one for one in labs if machine in one.machines]
        if not labs:
            raise UsageError(f"no lab runs on '{machine}'")
    seed = secrets.randbits(48) if seed is None else seed
    progress = Progress()
    if mutate:
        if sample and not lab:  # of a draft nobody has listed yet which mutants are right
            labs = [one for one in labs if not one.draft]
        return _mutate(labs, seed, progress, keyword, sample)
    if coverage:
        return _coverage(labs, seed, progress)
    if flaky:
        return _flaky(labs, seed, flaky, progress, keyword, machine or ALL)
    if expectations:
        return _expectations(labs, seed, progress)
    wrong: list[str] = []
    matrices = []
    with workshop(progress) as kit:
        for one in labs:
            rows = verify(one, kit, seed, progress, keyword, machine or ALL, full=full, all_on_host=seen)
            progress.clear()
            if seen:
                show_seen(one, rows)
            matrices.append({"lab": one.id, "seed": seed, "rows": [as_dict(row, one) for row in rows]})
            wrong += [f"{one.id}: {fault}" for fault in faults(one, rows)]
            if json_file != "-":
                show(one, rows)
            if json_file != "-" and (names := unrecorded(one)):
                print(f"note: of {len(names)} unit tests nobody recorded how many expectations they evaluate ({names[0]}"
                      f"{', ...' * (len(names) > 1)}): ./nest verify {one.id} --expectations")
    if json_file:
        write(json_file, json.dumps(matrices, indent=2) + "\n")
    if json_file != "-":
        if len(labs) > 1:  # once more, since a matrix is long
            print(*(f"wrong: {fault}" for fault in wrong), sep="\n", end="\n" * bool(wrong))
        print(f"verify: {len(wrong)} wrong cell{'s' * (len(wrong) != 1)}, seed {seed}, {time.monotonic() - started:.0f} s")
    return POINTS_MISSING if wrong else DONE


def _flaky(labs: list[Lab], seed: int, count: int, progress: Progress, keyword: str, machine: str) -> int:
    """Judges again and again; -k chooses other rows."""
    differing = 0
    with workshop(progress) as kit:
        for one in labs:
            started = time.monotonic()
            found = runs(one, kit, seed, count, progress, keyword, machine)
            progress.clear()
            lines = list(differences(one, found))
            print(*(f"differs: {line}" for line in lines), f"{one.id}: {len(found[0][1])} rows {count} times, "
                  f"{len(lines)} verdicts that differ, seeds from {seed}, {time.monotonic() - started:.0f} s",
                  sep="\n", flush=True)
            differing += len(lines)
    return POINTS_MISSING if differing else DONE


def _expectations(labs: list[Lab], seed: int, progress: Progress) -> int:
    """Records what each unit test evaluates."""
    with workshop(progress) as kit:
        for one in labs:
            known, unknown = record(one, kit, seed, progress)
            progress.clear()
            print(f"{one.id}: recorded of {known} unit tests; of {unknown} the numbers depend on the answer", flush=True)
    return DONE


def _mutate(labs: list[Lab], seed: int, progress: Progress, keyword: str, sample: int | None) -> int:
    """Judges generated mutants of the labs' references; -k chooses tasks."""
    from grader.mutate import report, survivors
    from grader.mutate.campaign import Campaign

    wrong = 0
    with workshop(progress) as kit:
        for one in labs:
            started = time.monotonic()
            listed = survivors.read(ROOT, one.id)
            campaign = Campaign(one, kit, seed, progress, keyword)
            if sample:
                campaign.sample(sample, listed)
            judged = campaign.run(listed)
            progress.clear()
            print(*report.table(one, judged, listed), sep="\n")
            faults = list(report.faults(one, judged, listed, whole=not sample))
            print(*(f"wrong: {fault}" for fault in faults), f"{len(judged)} mutants, {time.monotonic() - started:.0f} s",
                  sep="\n", flush=True)
            wrong += len(faults)
    return POINTS_MISSING if wrong else DONE


def _coverage(labs: list[Lab], seed: int, progress: Progress) -> int:
    """Lines and branches of the references without a test."""
    from grader.mutate import coverage, survivors

    wrong = 0
    with workshop(progress) as kit:
        for one in labs:
            started = time.monotonic()
            found = list(coverage.unreached(one, kit, seed))
            lines = list(coverage.faults(one, found, survivors.read(ROOT, one.id)))
            print(*(f"wrong: {line}" for line in lines), f"{one.id}: {len(found)} lines that are not wholly reached, "
                  f"{len(lines)} wrong, {time.monotonic() - started:.0f} s", sep="\n", flush=True)
            wrong += len(lines)
    return POINTS_MISSING if wrong else DONE
