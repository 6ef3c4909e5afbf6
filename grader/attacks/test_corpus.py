# SPDX-License-Identifier: MIT
"""Every attack is contained and named, and its neighbours keep their points."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from grader.attacks import corpus
from grader.attacks.corpus import Attack, Carried
from grader.build.workshop import Progress, workshop
from grader.course.lab import load_all
from grader.judge import outcome

ATTACKS = corpus.load()
Found = dict[str, Carried]
WITHOUT_NEIGHBOURS = {lab.id for lab in load_all() if all(test.kind == "boot" for test in lab.tests)}
"""The labs with no unit tests."""


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> Iterator[Found]:
    chosen = [item.callspec.params["attack"] for item in request.session.items if hasattr(item, "callspec")]
    with workshop(Progress(), other=corpus.OTHER_BUILD) as kit:
        yield corpus.carry_out(kit, [one for one in chosen if isinstance(one, Attack)])


@pytest.mark.parametrize("attack", ATTACKS, ids=[one.name for one in ATTACKS])
def test_attack(attack: Attack, found: Found) -> None:
    mine = found[attack.name].found
    passed = [name for name, one in mine.items() if one.passed]
    words = "\n".join(dict.fromkeys(one.detail for one in mine.values() if not one.passed))
    kinds = {one.kind for one in mine.values()}
    assert mine and not passed, f"{attack.tries} {len(passed)} of {len(mine)} tests pass: {passed[:5]}"
    if attack.must == "refused":
        assert kinds == {outcome.REFUSED}, f"{attack.tries} The gate lets it in: {kinds}\n{words[:1500]}"
    assert re.search(attack.says, words), f"it says nothing of /{attack.says}/:\n{words[:1500]}"

    beside = found[attack.name].neighbours
    lost = [f"{one.task.id}: {one.score:g} of {one.max_score:g}" for one in beside if one.score != one.max_score]
    assert not lost, f"{attack.tries} Its neighbours lose points: {lost}"
    assert beside or attack.task.partition(".")[0] in WITHOUT_NEIGHBOURS


def test_corpus_is_whole() -> None:
    assert len(ATTACKS) >= 60
    for one in ATTACKS:
        assert one.must in ("refused", "no points", "no more") and one.tries.endswith("."), one.name
    succeeded = [one.name for one in ATTACKS if one.before and not one.before.startswith("0 ")]
    assert len(succeeded) >= 30, len(succeeded)
