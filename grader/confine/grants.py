# SPDX-License-Identifier: MIT
"""Opens single files to one user, by access control lists: who may read ``build/cache/ab/cdef`` may
still not read the file beside it. [man 5 acl; linux, include/uapi/linux/posix_acl_xattr.h]"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

_NAME = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = "<HHI"
_OWNER, _USER, _GROUP, _MASK, _OTHER = 1, 2, 4, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
READ, SEARCH = 4, 1
_NO_LIST = (errno.ENODATA, errno.EOPNOTSUPP)


def needed(path: Path) -> Iterator[tuple[Path, int]]:
    """What must be opened so that a user who owns nothing may read ``path``, a file or a folder
    with all below it: the folders that lead there, to be searched, and what is closed."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            yield folder, SEARCH
    yield from _closed(path)
    if path.is_dir():
        for place, folders, files in os.walk(path):
            for name in (*folders, *files):
                yield from _closed(Path(place, name))


def give(path: Path, user: int, rights: int) -> None:
    """Adds the rights to those that the user has by the list. Raises OSError where the disk has no
    such lists."""
    entries = _read(path)
    entries[_USER, user] = entries.get((_USER, user), 0) | rights
    _write(path, entries)


def take_back(path: Path, user: int) -> None:
    """Removes the user from the list. Without such an entry, or without the file, nothing
    happens."""
    try:
        entries = _read(path)
        if entries.pop((_USER, user), None) is not None:
            _write(path, entries)
    except FileNotFoundError:
        pass


def _closed(path: Path) -> Iterator[tuple[Path, int]]:
    mode = path.lstat().st_mode
    wanted = READ | (SEARCH if mode & stat.S_IXUSR else 0)
    if not stat.S_ISLNK(mode) and mode & wanted != wanted:
        yield path, wanted


def _read(path: Path) -> dict[tuple[int, int], int]:
    """The list's entries, without its mask."""
    try:
        data = os.getxattr(path, _NAME)[len(_VERSION):]
    except OSError as error:
        if error.errno not in _NO_LIST:
            raise
        mode = path.stat().st_mode
        return {(_OWNER, _NOBODY): mode >> 6 & 7, (_GROUP, _NOBODY): mode >> 3 & 7, (_OTHER, _NOBODY): mode & 7}
    return {(tag, who): rights for tag, rights, who in struct.iter_unpack(_ENTRY, data) if tag != _MASK}


def _write(path: Path, entries: dict[tuple[int, int], int]) -> None:
    named = [rights for (tag, _), rights in entries.items() if tag == _USER]
    if named:  # the mask bounds what the list gives, and shows as the group's rights
        entries = entries | {(_MASK, _NOBODY): entries[_GROUP, _NOBODY] | _all(named)}
    data = b"".join(struct.pack(_ENTRY, tag, rights, who) for (tag, who), rights in sorted(entries.items()))
    os.setxattr(path, _NAME, _VERSION + data)


def _all(rights: list[int]) -> int:
    found = 0
    for one in rights:
        found |= one
    return found
