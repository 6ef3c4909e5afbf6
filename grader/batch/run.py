# SPDX-License-Identifier: MIT
"""A class's run: takes in what is handed in, has judged what is not judged yet, and keeps what came
of it.

It may be ended at any moment. What a worker has left in the inbox is taken in by the next run, and
what was under way is begun anew; nothing counts twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from grader import CannotRun, UsageError
from grader.batch import work
from grader.batch.store import FAILED, GRADED, LOST, OURS, Store
from grader.batch.work import Item
from grader.intake.submission import Submission

TRIES = 2
"""So often files are judged at most where the failure is ours, unless staff ask again."""


class Executor(Protocol):
    """Has items judged."""

    def judged(self, items: Sequence[Item]) -> Iterator[tuple[Item, str]]:
        """Each item as it ends, and why it left no result; empty if there is one in the inbox."""


@dataclass(frozen=True)
class Plan:
    """What a run is about."""

    lab: str
    machine: str
    """empty: the lab's usual one"""
    salt: str


def salt_of(results: Path, wanted: str | None) -> str:
    """The secret that the nonces of a run follow from, with the content: so a rerun repeats
    verdicts, and no answer can know its nonce. It is kept in a file, where all nodes of a cluster
    find it; the first to come makes it."""
    path = results / "salt"
    with contextlib.suppress(FileExistsError):
        making = path.with_name(f".salt.{os.uname().nodename}.{os.getpid()}")
        making.write_text(wanted or secrets.token_hex(16), encoding="utf-8")
        making.chmod(0o600)
        try:
            os.link(making, path)
        finally:
            making.unlink()
    kept = path.read_text(encoding="utf-8")
    if wanted and kept != wanted:
        raise UsageError(f"{results} was begun with another salt\n  mend: leave out --salt, or name another folder with --out")
    return kept


def seed(plan: Plan, digest: str) -> int:
    """The seed of all nonces for files of one content."""
    return int.from_bytes(hashlib.sha256(f"{plan.salt}/{plan.lab}/{digest}".encode()).digest()[:6], "big")


def keep_files(results: Path, submissions: Sequence[Submission]) -> None:
    """Writes what was handed in, each content once, where only the grader writes."""
    for one in submissions:
        target = results / "submissions" / one.digest
        if not one.files or target.is_dir():
            continue
        making = target.with_name(f".{one.digest}.{os.uname().nodename}.{os.getpid()}")
        one.write(making)
        with contextlib.suppress(OSError):  # another shard was first
            making.rename(target)


def to_judge(digests: Sequence[str], states: dict[str, list[str]], *, again: bool = False) -> list[str]:
    """Of these contents those that are not judged, and whose judging has not failed too often.
    `again`: however often."""
    def is_open(digest: str) -> bool:
        tried = states.get(digest, [])
        return GRADED not in tried and (again or sum(one in OURS and one != LOST for one in tried) < TRIES)

    return [digest for digest in dict.fromkeys(digests) if digest and is_open(digest)]


def item(plan: Plan, digest: str, attempt: int) -> Item:
    """One attempt as a worker gets it."""
    return Item(plan.lab, digest, attempt, seed(plan, digest), plan.machine)


def take_in(store: Store) -> list[Item]:
    """Takes in whatever stands in the inbox; the attempts that were."""
    taken = []
    for path in sorted((store.folder / work.INBOX).glob("*.json")):
        if not path.name.startswith("."):
            taken.append(_take(store, path))
    return taken


def _take(store: Store, path: Path) -> Item:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        one = Item(**found.pop("item"))
    except (ValueError, TypeError, KeyError):
        raise CannotRun(f"{path} is damaged\n  mend: remove it; what it was about is judged again") from None
    store.know(one.digest, one.attempt, one.seed)
    store.end(one.digest, one.attempt, found.pop("state"), **found)
    path.unlink()
    return one


def run(store: Store, plan: Plan, digests: Sequence[str], executor: Executor,
        seen: Callable[[str, int, int], None], *, again: bool = False) -> None:
    """Has judged what is not judged yet, and once more what failed through our fault. `seen` is
    told each content whose attempt has ended, how many have, and of how many."""
    take_in(store)
    store.lose_begun()
    for turn in range(TRIES):
        states = store.states()
        open_ones = to_judge(digests, states, again=again and turn == 0)
        items = [item(plan, digest, store.begin(digest, seed(plan, digest), _now())) for digest in open_ones]
        if not items:
            return
        for done, (one, why) in enumerate(executor.judged(items), 1):
            path = work.inbox_file(store.folder, one)
            if path.exists():
                _take(store, path)
            else:
                store.end(one.digest, one.attempt, FAILED, why=why or "it left no result", ended=_now())
            seen(one.digest, done, len(items))


@contextlib.contextmanager
def only_writer(results: Path) -> Iterator[None]:
    """While it is held, no other run writes these results."""
    with open(results / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(f"another nest grades into {results}\n  mend: wait for it, or name another folder with --out") from None
        yield


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
