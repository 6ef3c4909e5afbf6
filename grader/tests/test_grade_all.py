# SPDX-License-Identifier: MIT
"""Grading a class: a run that may be ended at any moment, failures that are ours, replays and
comparisons."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from grader.batch import run as batch
from grader.batch import work
from grader.batch.compare import changes
from grader.batch.run import Plan, run
from grader.batch.store import FAILED, GRADED, LOST, NOT_JUDGED, Store, opened
from grader.batch.work import Item
from grader.cluster.slurm import tasks_for
from grader.intake.submission import Submission, Who
from grader.tests import toy_tree
from grader.tests.test_intake import put, zipped
from grader.tests.toy_tree import HALF, TWICE, Tree

PLAN = Plan("lab1", "", "salt")
FILES = {"vmm/twice.cc": TWICE.encode(), "vmm/half.cc": HALF.encode()}


def submission(student: str, text: str) -> Submission:
    return Submission(Who(student), student, "folder", {"vmm/a.cc": text.encode()})


class Fake:
    """Judges at once: what stands in `answers` by attempt, else full points."""

    def __init__(self, results: Path, answers: dict[str, list[Any]] | None = None) -> None:
        self.results, self.answers, self.asked = results, answers or {}, [0]

    def judged(self, items: Sequence[Item]) -> Iterator[tuple[Item, str]]:
        for one in items:
            self.asked.append(one.attempt)
            plans = self.answers.get(one.digest, [])
            what = plans[one.attempt - 1] if one.attempt <= len(plans) else {"state": GRADED, "score": 1, "max_score": 1}
            if isinstance(what, str):
                yield one, what
            else:
                work.leave(self.results, one, what)
                yield one, ""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path, lab="lab1") as store:
        yield store


def go(store: Store, fake: Fake, found: list[Submission], **more: Any) -> list[str]:
    store.take_submissions(found)
    run(store, PLAN, [one.digest for one in found], fake, lambda *_: None, **more)
    return [one.attempt.state if one.attempt else "" for one in store.rows()]


def test_equal_files_are_judged_once(store: Store) -> None:
    fake = Fake(store.folder)
    assert go(store, fake, [submission("a", "x"), submission("b", "x"), submission("c", "y")]) == [GRADED] * 3
    assert len(fake.asked) == 1 + 2
    assert go(store, fake, [submission("a", "x"), submission("d", "y")]) == [GRADED] * 2
    assert len(fake.asked) == 1 + 2, "a second run judges nothing again"


def test_what_fails_through_our_fault_is_tried_once_more_and_marked(store: Store) -> None:
    one = submission("a", "x")
    fake = Fake(store.folder, {one.digest: ["the worker died"]})
    assert go(store, fake, [one]) == [GRADED]
    assert [(try_.state, try_.why) for try_ in store.attempts(one.digest)] == [(FAILED, "the worker died"), (GRADED, "")]


def test_after_two_failures_staff_have_to_ask(store: Store) -> None:
    one = submission("a", "x")
    fake = Fake(store.folder, {one.digest: ["died", {"state": NOT_JUDGED, "score": 1, "not_judged": 2}]})
    assert go(store, fake, [one]) == [NOT_JUDGED]
    assert go(store, fake, [one]) == [NOT_JUDGED] and len(store.attempts(one.digest)) == 2
    assert go(store, fake, [one], again=True) == [GRADED] and len(store.attempts(one.digest)) == 3


def test_what_an_ended_run_left_is_taken_in_once(store: Store) -> None:
    one, two = submission("a", "x"), submission("b", "y")
    store.take_submissions([one, two])
    for each in (one, two):
        store.begin(each.digest, batch.seed(PLAN, each.digest), "then")
    left = batch.item(PLAN, one.digest, 1)
    work.leave(store.folder, left, {"state": GRADED, "score": 7, "max_score": 9})
    kept = work.inbox_file(store.folder, left).read_bytes()
    fake = Fake(store.folder)
    assert go(store, fake, [one, two]) == [GRADED, GRADED]
    assert [try_.state for try_ in store.attempts(two.digest)] == [LOST, GRADED]
    assert [try_.score for try_ in store.attempts(one.digest)] == [7]
    # A node that was cut off leaves its file a second time, with another score.
    work.inbox_file(store.folder, left).write_bytes(kept.replace(b'"score": 7', b'"score": 8'))
    go(store, fake, [one, two])
    assert [try_.score for try_ in store.attempts(one.digest)] == [7]
    assert not list((store.folder / work.INBOX).glob("*.json"))


def test_lost_attempts_do_not_use_up_the_tries(store: Store) -> None:
    one = submission("a", "x")
    store.take_submissions([one])
    for _ in range(3):
        store.begin(one.digest, 1, "then")
        store.lose_begun()
    assert go(store, Fake(store.folder), [one]) == [GRADED]


def test_a_shard_begins_attempts_without_the_database(store: Store) -> None:
    one = submission("a", "x")
    store.take_submissions([one])
    work.leave(store.folder, batch.item(PLAN, one.digest, 1), {"state": GRADED, "score": 3, "max_score": 3})
    fake = Fake(store.folder)
    assert go(store, fake, [one]) == [GRADED] and len(fake.asked) == 1


def test_a_result_half_written_is_no_result(store: Store) -> None:
    (store.folder / work.INBOX).mkdir()
    (store.folder / work.INBOX / ".x-1.json.host.1").write_text('{"item": ')
    assert batch.take_in(store) == []


def test_the_seed_follows_from_content_and_salt() -> None:
    assert batch.seed(PLAN, "x") == batch.seed(PLAN, "x") != batch.seed(PLAN, "y")
    assert batch.seed(PLAN, "x") != batch.seed(Plan("lab1", "", "other"), "x")


def test_results_of_another_lab_and_of_no_lab_are_refused(tmp_path: Path) -> None:
    from grader import UsageError

    with pytest.raises(UsageError, match="holds no results"), opened(tmp_path):
        pass
    with opened(tmp_path, lab="lab1"):
        pass
    with pytest.raises(UsageError, match="holds the results of lab1, not of lab2"), opened(tmp_path, lab="lab2"):
        pass


def test_a_comparison_names_what_changed(tmp_path: Path) -> None:
    def result(outcome: str, score: float) -> dict[str, Any]:
        return {"tests": [{"name": "unit:A", "status": "passed" if score else "failed", "score": score, "max_score": 2,
                           "extra_data": {"outcome": outcome}}]}

    for name, outcome, score in (("old", "failed", 0), ("new", "passed", 2)):
        (tmp_path / name).mkdir()
        with opened(tmp_path / name, lab="lab1") as store:
            one, two = submission("a", "x"), submission("b", "same")
            answers = {one.digest: [{"state": GRADED, "score": score, "max_score": 2, "result": result(outcome, score)}],
                       two.digest: [{"state": GRADED, "score": 2, "max_score": 2, "result": result("passed", 2)}]}
            go(store, Fake(store.folder, answers), [one, two])
    with opened(tmp_path / "old") as old, opened(tmp_path / "new") as new:
        found = list(changes(old, new))
    assert [(one.student, one.before, one.after) for one in found] == [("a", "0 of 2", "2 of 2")]
    assert found[0].lines == ("unit:A: failed (0 of 2) before, passed (2 of 2) now",)


# With a tree and real workers.


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return toy_tree.make(tmp_path_factory.mktemp("class") / "tree")


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    up = tmp_path / "up"
    put(up / "ann", FILES)
    zipped(up / "lab1-bob.zip", FILES)
    put(up / "cid", {"vmm/twice.cc": FILES["vmm/twice.cc"], "half.cc": b"int half(int) { return 1; } // wrong\n"})
    put(up / "dee", {"twice.cc": FILES["vmm/twice.cc"]})
    put(up / "eve", {"twice.cc": b"#include <unistd.h>\nint twice(int) { _exit(0); }\n", "half.cc": b"int half("})
    return up


def points(results: Path) -> dict[str, tuple[float | None, str]]:
    with opened(results) as store:
        return {one.student: (one.attempt.score, one.attempt.state) if one.attempt else (None, "") for one in store.rows()}


def verdicts(results: Path) -> dict[str, Any]:
    """What must not depend on how often a run was ended."""
    with opened(results) as store:
        return {one.student: one.attempt and [(test["name"], test["status"], test["score"], test["extra_data"]["outcome"],
                                               test["extra_data"]["nonce"]) for test in one.attempt.result["tests"]]
                for one in store.rows()}


def test_a_class_is_graded_by_one_command(toy: Tree, uploads: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = toy.nest("grade-all", str(uploads), "--lab", "lab1", "--out", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    found = points(results)
    assert found["ann"] == found["bob"] == (30, GRADED)
    assert 10 <= (found["cid"][0] or 0) < 30 and found["dee"] == (10, GRADED) and found["eve"] == (0, GRADED)
    assert "and 1 with equal files: 30 of 30" in done.stdout
    assert "vmm/half.cc: not submitted" in done.stdout
    with opened(results) as store:
        dee = store.row("dee").attempt
        assert dee and dee.result and dee.for_students and dee.compiler and dee.host and dee.ended
        state = {one["id"]: one["state"] for one in dee.result["extra_data"]["tasks"]}
        assert state["lab1.half"] == "was not handed in"
        assert "vmm/half.cc was not handed in" in json.dumps(dee.for_students)
        assert list(store.evidence(dee.digest, dee.number).rglob("*.txt"))
    again = toy.nest("grade-all", str(uploads), "--lab", "lab1", "--out", str(results))
    assert again.returncode == 0 and "with equal files" not in again.stdout
    # The tree's own files were not touched.
    assert "todo(" in (toy.root / "vmm/twice.cc").read_text()

    same = toy.nest("replay", "cid", "--results", str(results))
    assert same.returncode == 0 and "every verdict is the same as then" in same.stdout, same.stdout + same.stderr
    unknown = toy.nest("replay", "zoe", "--results", str(results))
    assert unknown.returncode == 2 and "no student 'zoe'; it has ann" in unknown.stderr
    compared = toy.nest("compare", str(results), str(results))
    assert compared.returncode == 0 and "0 of 5 students differ" in compared.stdout


def test_one_upload_is_judged_without_touching_the_tree(toy: Tree, uploads: Path) -> None:
    done = toy.nest("grade", "lab1", "--from", str(uploads / "lab1-bob.zip"))
    assert done.returncode == 0 and "30 of 30" in done.stdout, done.stdout + done.stderr
    assert "todo(" in (toy.root / "vmm/twice.cc").read_text()
    (uploads / "empty").mkdir()
    none = toy.nest("grade", "lab1", "--from", str(uploads / "empty"))
    assert none.returncode == 2 and "holds none of lab1's files" in none.stderr


def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(toy: Tree, tmp_path: Path) -> None:
    killed_run(toy, tmp_path, submissions=12, kills=4)


def killed_run(toy: Tree, place: Path, submissions: int, kills: int) -> None:
    """Kills a run again and again, lets it end, and compares it with one that nobody killed."""
    up = place / "up"
    for number in range(submissions):
        wrong = b"int half(int) { return 1; }" if number % 5 == 4 else HALF.encode()
        put(up / f"s{number:03}", {**FILES, "vmm/half.cc": wrong + f"// {number}\n".encode()})
    words = [str(toy.root / "nest"), "grade-all", str(up), "--lab", "lab1", "--salt", "s"]
    whole, broken = place / "whole", place / "broken"
    started = time.monotonic()
    assert subprocess.run([*words, "--out", str(whole)], capture_output=True).returncode == 0
    most = (time.monotonic() - started) / kills
    chance = random.Random(4)
    under_way = 0
    for kill in range(kills):
        child = subprocess.Popen([*words, "--out", str(broken)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 start_new_session=True)
        if kill % 2 == 0:  # the others are killed also while they begin
            before = len(list(broken.glob("evidence/*")))
            _until(lambda: len(list(broken.glob("evidence/*"))) > before or child.poll() is not None)
        time.sleep(chance.random() * most)
        under_way += child.poll() is None
        child.kill()
        child.wait()
    assert under_way > kills // 2, "most of them were killed after their end"
    _until(lambda: not toy_tree.processes_in(broken))
    last = subprocess.run([*words, "--out", str(broken)], capture_output=True, text=True)
    assert last.returncode == 0, last.stdout + last.stderr
    assert verdicts(broken) == verdicts(whole) and len(verdicts(whole)) == submissions
    with sqlite3.connect(broken / "results.db") as database:
        states = [state for state, in database.execute("SELECT state FROM attempt")]
    assert states.count(GRADED) == submissions and set(states) <= {GRADED, LOST}
    assert len(list((broken / "evidence").iterdir())) == submissions


def test_two_runs_into_one_folder_are_refused(toy: Tree, uploads: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with batch.only_writer(results):
        done = toy.nest("grade-all", str(uploads), "--lab", "lab1", "--out", str(results))
    assert done.returncode == 3 and "another nest grades into" in done.stderr


def test_shards_leave_files_and_the_writer_takes_them_in(toy: Tree, uploads: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    for shard in ("1/2", "2/2"):
        done = toy.nest("grade-all", str(uploads), "--lab", "lab1", "--out", str(results), "--shard", shard)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not (results / "results.db").exists()
    done = toy.nest("grade-all", str(uploads), "--lab", "lab1", "--out", str(results))
    assert done.returncode == 0 and points(results)["ann"] == (30, GRADED)
    with opened(results) as store:
        assert {len(store.attempts(one.digest)) for one in store.rows()} == {1}


@pytest.mark.parametrize("words, said", [
    (["--shard", "3/2"], "say which of how many"), (["--only", "zoe"], "no upload belongs to zoe"),
    (["--machine", "pdp-11"], "there is no machine"), (["--salt", "other"], "another salt")])
def test_what_cannot_be_meant_is_refused(toy: Tree, uploads: Path, tmp_path: Path, words: list[str], said: str) -> None:
    results = tmp_path / "results"
    results.mkdir()
    batch.salt_of(results, "this")
    done = toy.nest("grade-all", str(uploads), "--lab", "lab1", "--out", str(results), *words)
    assert done.returncode == 2 and said in done.stderr, done.stdout + done.stderr


def test_another_machine_wants_another_folder_and_a_replay_knows_all_of_them(toy: Tree, uploads: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    words = ["grade-all", str(uploads), "--lab", "lab1", "--out", str(results), "--only", "ann"]
    assert toy.nest(*words, "--machine", "all").returncode == 0
    done = toy.nest(*words, "--machine", "intel-bochs")
    assert done.returncode == 2 and "was begun on all" in done.stderr, done.stdout + done.stderr
    with opened(results) as store:
        one = store.row("ann").attempt
        assert one
        store._db.execute("UPDATE attempt SET machine = 'amd-qemu intel-bochs'")
        store._db.commit()
    again = toy.nest("replay", "ann", "--results", str(results))
    assert again.returncode == 0 and "every verdict is the same as then" in again.stdout, again.stdout + again.stderr


def test_only_one_student_is_judged_anew_and_the_others_stay(toy: Tree, uploads: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    toy.nest("grade-all", str(uploads), "--lab", "lab1", "--out", str(results))
    shutil.rmtree(uploads / "dee")
    put(uploads / "dee", FILES)
    done = toy.nest("grade-all", str(uploads), "--lab", "lab1", "--out", str(results), "--only", "dee")
    assert done.returncode == 0
    found = points(results)
    assert found["dee"] == (30, GRADED) and found["ann"] == (30, GRADED) and len(found) == 5


def _until(done: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.02)


@pytest.mark.parametrize(("items", "tasks"), [(1, 1), (5, 1), (6, 2), (20, 4), (40, 8), (200, 8), (201, 9), (1000, 40)])
def test_a_class_goes_to_so_many_tasks_of_a_cluster(items: int, tasks: int) -> None:
    assert tasks_for(items) == tasks
