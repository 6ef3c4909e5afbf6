# SPDX-License-Identifier: MIT
"""The right numbers of lab 6's questions, counted here by doing what is asked step by step; and
what a wrong one gets."""

from __future__ import annotations

import pytest

from grader.course import lab as labs
from grader.course import questions
from grader.course.questions import RIGHT, WRONG

LAB = labs.find("lab6")


def switches() -> tuple[int, int]:
    """A read() that waits: how often the guest's table and how often the real one becomes
    another."""
    guest, real = [], []

    def run(program: str, ring: str) -> None:
        guest.append(program)
        real.append((program, ring))

    run("reader", "user")
    run("reader", "kernel")  # int 0x80
    run("other", "kernel")   # MOV CR3
    run("other", "user")     # IRET
    run("other", "kernel")   # the key's interrupt
    run("reader", "kernel")  # MOV CR3
    run("reader", "user")    # IRET
    return tuple(sum(a != b for a, b in zip(seen, seen[1:])) for seen in (guest, real))  # type: ignore[return-value]


def nested(guest_levels: int, host_levels: int) -> int:
    """How many entries a nested walk reads."""
    read = []

    def to_machine(what: str) -> None:
        read.extend((what, "hypervisor's", level) for level in range(host_levels))

    for level in range(guest_levels):
        to_machine(f"the guest's table of level {level}")
        read.append((f"the guest's table of level {level}", "guest's", 0))
    to_machine("the page")
    return len(read)


def counted() -> dict[str, int]:
    guest, real = switches()
    return {"q1": guest, "q2": real, "q3": nested(2, 2), "q4": nested(4, 4)}


def test_the_references_are_what_is_counted() -> None:
    assert nested(1, 1) == 3  # as the handout counts it
    assert questions.right_numbers(LAB) == counted()


@pytest.mark.parametrize("name", ["q1", "q2", "q3", "q4"])
def test_a_wrong_number_gets_nothing(name: str) -> None:
    right = questions.right_numbers(LAB)
    assert right is not None
    for number in range(100):
        found = {one.question.id: one for one in questions.results(LAB, {name: str(number)}, {}, right)}[name]
        assert (found.state, found.score) == ((RIGHT, 1) if number == counted()[name] else (WRONG, 0))


def test_the_skeleton_has_no_answer() -> None:
    found = questions.answers_of(LAB)
    assert set(found) == {one.id for one in LAB.questions.ask} and not any(found.values())  # type: ignore[union-attr]
