# SPDX-License-Identifier: MIT
"""What is kept of what was built, in staff's tree and in a student's."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from grader.build import opening, workshop
from grader.build.cache import Cache
from grader.course.release import Release

MADE = Release("X", 1, "2026-01-01", "0" * 40, "lab1", ())


@pytest.mark.parametrize(("made", "most"), [(None, 1 << 30), (MADE, 200_000_000)])
def test_a_students_build_folder_stays_small(made: Release | None, most: int, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """400 MB in all: half of it for what never changes."""
    cache = Cache(tmp_path)
    for number in range(30):
        path = tmp_path / "ab" / str(number)
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.truncate(path, 50_000_000)  # as large as it says, without blocks on the disk
        os.utime(path, (time.time() - number,) * 2 if made else (time.time() - 7200 - number,) * 2)  # just used, or not

    @contextmanager
    def kit(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(cache=cache, is_alone=lambda: True)

    monkeypatch.setattr(workshop, "open_kit", kit)
    monkeypatch.setattr(workshop.release, "read", lambda: made)
    with workshop.workshop(workshop.Progress()):
        pass
    left = sum(path.stat().st_size for path in (tmp_path / "ab").iterdir())
    assert 100_000_000 <= left <= most and (made or left > 400_000_000)


def test_whoever_shares_a_kit_is_not_alone(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as mine, open(tmp_path / "lock") as others:
        fcntl.flock(mine, fcntl.LOCK_SH)
        assert opening._is_alone(mine)
        fcntl.flock(mine, fcntl.LOCK_SH)
        fcntl.flock(others, fcntl.LOCK_SH)
        assert not opening._is_alone(mine)
