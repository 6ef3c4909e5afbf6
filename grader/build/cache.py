# SPDX-License-Identifier: MIT
"""Built things, kept by what they were made from.

An entry appears at once and whole (by rename) and never changes, so any number of gradings in one
tree may share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


def digest(*parts: object) -> str:
    """A key from the parts' representations. Raises TypeError for a set: each process writes it in
    another order."""
    _refuse_sets(parts)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


def _refuse_sets(part: object) -> None:
    if isinstance(part, set | frozenset):
        raise TypeError(f"no key from a set, which has no order: {part!r}")
    if isinstance(part, tuple | list):
        for one in part:
            _refuse_sets(one)
    elif isinstance(part, dict):
        _refuse_sets([*part.items()])


class Cache:
    """A folder of files named by their keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Path | None:
        """The entry, marked as used now, or None."""
        path = self.folder / key[:2] / key[2:]
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError:
            pass  # somebody else's file, or a read-only disk: still good to read
        return path

    def put(self, key: str, made: Path) -> Path:
        """Moves a finished file in. The first of two that race stays as good as the second."""
        path = self.folder / key[:2] / key[2:]
        path.parent.mkdir(exist_ok=True)
        os.replace(made, path)
        return path

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder on the same disk for what is being made; gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix=".making-", dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def trim(self, limit: int, in_use: float) -> None:
        """Removes the entries that were unused for longest until the rest fits into `limit` bytes,
        but none that was used within `in_use` seconds, since another grading may want it, and work
        that was never finished."""
        now = time.time()
        entries = []
        for room in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # another nest works here, too
                if room.name.startswith(".making-"):
                    if now - room.stat().st_mtime > in_use:
                        shutil.rmtree(room.path, ignore_errors=True)
                elif room.is_dir(follow_symlinks=False):
                    for entry in os.scandir(room.path):
                        status = entry.stat(follow_symlinks=False)
                        entries.append((status.st_mtime, status.st_size, entry.path))
        total = sum(size for _, size, _ in entries)
        for used, size, path in sorted(entries):
            if total <= limit:
                break
            if now - used > in_use:
                Path(path).unlink(missing_ok=True)
                total -= size
