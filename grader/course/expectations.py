# SPDX-License-Identifier: MIT
"""How many expectations each case on the host evaluates, under every answer that passes it.

The numbers were recorded by `nest verify LAB --expectations` and travel with the tests, in
expectations.json of the lab's folder, and of the folder of its hidden tests. So they are known too
where no reference is. They say of which tests they are: once those were changed, nothing is known
of them until it is recorded again.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from grader import LabError

FILE = "expectations.json"
_CASE = re.compile(r"^(?:TYPED_)?TEST\w*\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.MULTILINE)


@dataclass(frozen=True)
class Expectations:
    """Of one case, what holds under every answer that passes it."""

    places: int
    """at how many places of the tests an expectation is evaluated; at least, where `times` is
    None"""
    times: int | None
    """how often in all; None: the numbers depend on the answer"""

    def missing(self, seen: tuple[int, int] | None) -> str:
        """What is wrong with what was evaluated, at so many places and so often; empty if
        nothing."""
        places, times = seen or (0, 0)
        if (places, times) == (self.places, self.times) or (self.times is None and places >= self.places):
            return ""
        return ("the case passed, but not by its expectations: "
                + (f"{times} were evaluated, and under every right answer it is {self.times}" if places == self.places else
                   f"they were evaluated at {places} places, and under every right answer it is {self.places}"
                   + " or more" * (self.times is None)))


def read(folder: Path) -> dict[str, Expectations]:
    """What a folder's file says, by the test's name; nothing of tests that were changed since.
    Raises LabError."""
    path = folder / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        tests = _tests(folder)
        unchanged = {file for file in set(tests.values()) if data["of"].get(file.name) == _digest(file)}
        same = {case for case, file in tests.items() if file in unchanged}
        return {name: Expectations(*entry) for name, entry in data["cases"].items() if _case(name) in same}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise LabError(f"{path}: damaged ({error}): put it back, or record it by `nest verify LAB --expectations`") from None


def write(folder: Path, known: dict[str, Expectations]) -> None:
    """Writes the folder's file, a line for each test; no file if there is nothing to say."""
    path = folder / FILE
    if not known:
        path.unlink(missing_ok=True)
        return
    files = sorted(set(_tests(folder).values()))
    of = [f"  {json.dumps(file.name)}: {json.dumps(_digest(file))}" for file in files]
    cases = [f"  {json.dumps(name)}: {json.dumps([one.places, one.times])}" for name, one in sorted(known.items())]
    path.write_text('{"of": {\n' + ",\n".join(of) + '\n}, "cases": {\n' + ",\n".join(cases) + "\n}}\n", encoding="utf-8")


def _tests(folder: Path) -> dict[str, Path]:
    """By `Suite.Case`, the file of the folder's tests that it stands in."""
    return {f"{suite}.{case}": file for file in sorted((folder / "unit").glob("*.cc"))
            for suite, case in _CASE.findall(file.read_text(encoding="utf-8", errors="replace"))}


def _case(name: str) -> str:
    """`Suite.Case` of `unit:Suite/Type.Case`."""
    suite, _, case = name.partition(":")[2].partition(".")
    return f"{suite.partition('/')[0]}.{case}"


def _digest(file: Path) -> str:
    """Of one of the tests' files, and of the headers beside it: where they were changed, nobody
    knows what is evaluated."""
    texts = [one.read_bytes() for one in (file, *sorted(file.parent.glob("*.hh")))]
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:16]
