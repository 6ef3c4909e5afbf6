# SPDX-License-Identifier: MIT
"""Which of an upload's files answer which tasks.

A file counts by its path in the tree, below whatever folders the upload has around it; else by its
own name, as platforms hand out files that were uploaded singly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from grader.course.lab import Lab
from grader.intake.members import ARCHIVES, FILE_BYTES, Member
from grader.intake.submission import Findings

ROOMS = {"kern", "vmm", "guest", "labs", "solutions-private"}
_TURN = re.compile(r"(?:-| ?\()(\d+)\)?$")
"""What a platform or a browser adds to the name of a file that is uploaded again: ``a-1.cc``, ``a
(1).cc``."""


def wanted(lab: Lab) -> tuple[str, ...]:
    """The paths of what is handed in for a lab."""
    questions = (f"labs/{lab.folder.name}/{lab.questions.file}",) if lab.questions else ()
    return (*(task.file for task in lab.tasks), *questions)


@dataclass(frozen=True)
class _Found:
    rank: tuple[int, ...]
    """smaller is better; see _place"""
    name: str
    data: bytes


@dataclass
class _Candidates:
    found: list[_Found] = field(default_factory=list)

    def best(self) -> list[_Found]:
        """The best ones; of equal content the first."""
        rank = min((one.rank for one in self.found), default=None)
        chosen: dict[bytes, _Found] = {}
        for one in self.found:
            if one.rank == rank:
                chosen.setdefault(one.data, one)
        return list(chosen.values())


def match(members: Iterable[Member], lab: Lab, findings: Findings, *, newest: bool = False) -> dict[str, bytes]:
    """The lab's files among the members, by path in the tree. What is ambiguous is a finding.
    ``newest``: of a name that a platform numbers, the last one counts; else the one without a
    number."""
    paths = wanted(lab)
    candidates = {path: _Candidates() for path in paths}
    for member in members:
        name = member.name.replace("\\", "/")
        if name.lower().endswith(ARCHIVES):
            findings.add(f"{name} is an archive inside the upload: it was not opened")
        path, rank = _place(name, paths, newest)
        if not path:
            continue
        data = member.read()
        if len(data) > FILE_BYTES:
            findings.add(f"{name} has more than 1 MiB: left out")
        else:
            candidates[path].found.append(_Found(rank, name, data))
    out = {}
    for path, there in candidates.items():
        best = there.best()
        if len(best) == 1:
            out[path] = best[0].data
            if PurePosixPath(best[0].name).name != PurePosixPath(path).name:
                findings.add(f"{best[0].name} was taken for {path}")
        elif best:
            findings.add(f"{path} is ambiguous: {' and '.join(sorted(one.name for one in best)[:4])} differ; none was taken")
    return out


def _place(name: str, paths: tuple[str, ...], newest: bool) -> tuple[str, tuple[int, ...]]:
    """The path that a member answers, and how well; an empty path if none. The more of a path's
    last parts a name has, the better; then the name as it is before one that was changed on the
    way; then the one that is less deep."""
    own = PurePosixPath(name)
    turn = _TURN.search(own.stem)
    spellings = [(own.parts, 0, 0)]
    if turn:
        spellings.append(((*own.parts[:-1], f"{own.stem[:turn.start()]}{own.suffix}"), 2, -int(turn[1][:9])))
    for parts, changed, age in spellings:
        agree = {path: _last_parts(parts, PurePosixPath(path).parts) for path in paths}
        most = max(agree.values())
        best = [path for path in paths if agree[path] == most]
        # In a whole tree that was handed in, a file of the same name may stand at a path of its
        # own.
        elsewhere = set(parts[:-most]) & ROOMS if most else True
        if len(best) == 1 and not elsewhere:
            exact = parts[-1] == PurePosixPath(best[0]).name
            changed = changed or int(not exact)
            return best[0], (-most, age if newest else changed, changed if newest else age, len(parts))
    return "", ()


def _last_parts(name: tuple[str, ...], path: tuple[str, ...]) -> int:
    """How many of the last parts are the same, whatever their case."""
    count = 0
    for one, two in zip(reversed(name), reversed(path)):
        if one.lower() != two.lower():
            break
        count += 1
    return count
