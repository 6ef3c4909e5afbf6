# SPDX-License-Identifier: MIT
"""A class graded by a real cluster of one node: as on this machine alone, also when Slurm begins a
task anew or loses one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader import CannotRun
from grader.batch import run as batch
from grader.batch.run import Plan, run
from grader.batch.store import FAILED, GRADED, Store, opened
from grader.cluster import slurm
from grader.cluster.slurm import Slurm
from grader.intake.submission import Submission, Who
from grader.tests import slurm_here, toy_tree
from grader.tests.test_grade_all import FILES, verdicts
from grader.tests.test_intake import put
from grader.tests.toy_tree import HALF, Tree

PLAN = Plan("lab1", "", "salt")
CLASS = 100


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return toy_tree.make(tmp_path_factory.mktemp("cluster") / "tree")


@pytest.fixture
def cluster(tmp_path: Path, toy: Tree, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Slurm's commands reach a cluster whose tasks work in the toy tree."""
    if why := slurm_here.missing():
        pytest.skip(why)
    folder = tmp_path / "slurm"
    folder.mkdir()
    try:
        with slurm_here.cluster(folder) as environment:
            monkeypatch.setenv("SLURM_CONF", environment["SLURM_CONF"])
            monkeypatch.setattr(slurm, "ROOT", toy.root)
            yield
    except slurm_here.DoesNotStart as problem:
        pytest.skip(str(problem))


def submission(number: int) -> Submission:
    return Submission(Who(f"s{number:02}"), f"s{number:02}", "folder",
                      {**FILES, "vmm/half.cc": f"{HALF}// {number}\n".encode()})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path, lab="lab1") as store:
        yield store


def graded(store: Store, count: int, executor: Slurm, seen: Callable[[str], None] = lambda _: None) -> list[list[str]]:
    """Has so many submissions judged; the states of each one's attempts."""
    found = [submission(number) for number in range(count)]
    batch.keep_files(store.folder, found)
    store.take_submissions(found)
    run(store, PLAN, [one.digest for one in found], executor, lambda digest, *_: seen(digest))
    return list(store.states().values())


def asked(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_a_cluster_gives_what_this_machine_gives(cluster: None, toy: Tree, tmp_path: Path) -> None:
    up = tmp_path / "up"
    for number in range(CLASS - 2):
        put(up / f"s{number}", {**FILES, "vmm/half.cc": f"{HALF}// {number}\n".encode()})
    put(up / "wrong", {**FILES, "vmm/half.cc": b"int half(int) { return 1; }\n"})
    put(up / "none", {"twice.cc": b"int twice("})
    for executor in ("local", "slurm"):
        done = toy.nest("grade-all", str(up), "--lab", "lab1", "--out", str(tmp_path / executor), "--salt", "s",
                        "--executor", executor, timeout=3600)
        assert done.returncode == 0, done.stdout + done.stderr
    assert verdicts(tmp_path / "local") == verdicts(tmp_path / "slurm") and len(verdicts(tmp_path / "slurm")) == CLASS
    assert all(verdicts(tmp_path / "slurm").values())
    assert not list((tmp_path / "slurm" / slurm.SHARDS).iterdir())


def test_a_task_that_is_begun_anew_counts_nothing_twice(cluster: None, store: Store) -> None:
    """Slurm puts the task into the queue again once its first item is in, as after the end of a
    node."""
    again: list[str] = []

    def requeue(digest: str) -> None:
        if not again:
            again.append(digest)
            job = asked("squeue", "--noheader", "--format=%A").split()[0]
            asked("scontrol", "requeue", job)

    assert graded(store, 6, Slurm(store.folder, tasks=1), requeue) == [[GRADED]] * 6
    assert again and len(store.attempts(again[0])) == 1


def test_items_of_a_lost_task_are_tried_again(cluster: None, store: Store) -> None:
    lost: list[str] = []

    def cancel(digest: str) -> None:
        if not lost:
            lost.append(digest)
            asked("scancel", asked("squeue", "--noheader", "--format=%A").split()[0])

    states = graded(store, 4, Slurm(store.folder, tasks=1), cancel)
    assert all(one in ([GRADED], [FAILED, GRADED]) for one in states) and [FAILED, GRADED] in states, states
    why = next(try_.why for digest in store.states() for try_ in store.attempts(digest) if try_.state == FAILED)
    assert why.startswith("its task ended without a result: ")


def test_a_run_that_was_killed_leaves_no_job(cluster: None, store: Store) -> None:
    earlier = store.folder / slurm.SHARDS / "nest-earlier"
    earlier.mkdir(parents=True)
    asked("sbatch", "--job-name=nest-earlier", "--output=/dev/null", "--wrap", "sleep 1000")
    asked("sbatch", "--job-name=somebody", "--output=/dev/null", "--wrap", "sleep 1000")
    assert graded(store, 1, Slurm(store.folder)) == [[GRADED]]
    assert asked("squeue", "--noheader", "--states=pending,running", "--format=%j").split() == ["somebody"]
    assert not list((store.folder / slurm.SHARDS).iterdir())


def test_a_job_that_slurm_holds_is_no_wait_without_end(cluster: None, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    script = slurm._script
    monkeypatch.setattr(slurm, "_script", lambda *words: script(*words).replace("--requeue", "--requeue --hold"))
    assert graded(store, 1, Slurm(store.folder)) == [[FAILED, FAILED]]
    [digest] = store.states()
    assert store.attempts(digest)[0].why.startswith("Slurm holds the job: JobHeldUser")


def test_a_job_that_slurm_refuses_is_said(cluster: None, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "gone")
    with pytest.raises(CannotRun, match="Slurm does not take the job.*invalid partition"):
        graded(store, 1, Slurm(store.folder))


def test_without_slurm_the_mend_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotRun, match="there is no sbatch here"):
        Slurm(tmp_path)
