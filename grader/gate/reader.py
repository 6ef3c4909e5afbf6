# SPDX-License-Identifier: MIT
"""The one reader of files that come from outside: answers, and `questions.md`.

A name inside the tree may lead to another file by a link, to a pipe that nobody writes, or to a
device without end. So each part of the path is opened by itself and no link is followed; what is
opened must be a regular file of text. Whoever works with it takes the bytes that were read here,
never the name again.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from grader.gate import Finding, Refused

FILE_BYTES = 1 << 20
_LAST = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_BOM = b"\xef\xbb\xbf"
_NAMES = {"\0": "a zero byte", "\r": "a carriage return that ends no line"}
_UNSEEN = re.compile("[\0\r\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What is no text; what ends a line to some and not to others; what changes the direction of
text."""


def read(path: Path, root: Path) -> bytes:
    """The text of a file, in UTF-8 without a byte order mark, its lines ended as in Unix.

    Below ``root`` no part of the path may be a link; of a file elsewhere, which only staff name,
    the last part. Raises Refused, or OSError where there is no such file or it cannot be read.
    """
    inside = path.is_relative_to(root)
    *folders, name = path.relative_to(root).parts if inside else (path.name,)
    at = os.open(root if inside else path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = _opened(folder, _FOLDER, at)
            os.close(at)
            at = below
        # Opening a pipe or a device may already do something: look first, and look again at what
        # was opened.
        _must_be_regular(os.stat(name, dir_fd=at, follow_symlinks=False), name)
        file = _opened(name, _LAST, at)
    finally:
        os.close(at)
    with open(file, "rb") as opened:
        _must_be_regular(os.fstat(opened.fileno()), name)
        data = opened.read(FILE_BYTES + 1)
    return _text(data, name)


def _opened(name: str, flags: int, at: int) -> int:
    if name == "..":
        raise Refused([Finding(0, "the path leaves its folder")])
    try:
        return os.open(name, flags, dir_fd=at)
    except OSError as error:
        linked = error.errno == errno.ELOOP
        with_link = error.errno == errno.ENOTDIR and stat.S_ISLNK(
            os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
        if linked or with_link:
            raise Refused([Finding(0, f"{name} is a link: put the file itself there")]) from None
        raise


def _must_be_regular(status: os.stat_result, name: str) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise Refused([Finding(0, f"{name} is a link: put the file itself there")])
    if not stat.S_ISREG(status.st_mode):
        raise Refused([Finding(0, f"{name} is not a regular file: put a file of text there")])
    if status.st_size > FILE_BYTES:
        raise Refused([Finding(0, f"{name} has {status.st_size} bytes, and at most 1 MiB is read")])


def _text(data: bytes, name: str) -> bytes:
    if len(data) > FILE_BYTES:
        raise Refused([Finding(0, f"{name} has more than 1 MiB")])
    data = data.removeprefix(_BOM).replace(b"\r\n", b"\n")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused([Finding(line, f"{name} is not UTF-8 here: save it with that encoding")]) from None
    if (unseen := _UNSEEN.search(text)) is not None:
        line = text.count("\n", 0, unseen.start()) + 1
        raise Refused([Finding(line, f"{name} has {_NAMES.get(unseen[0], 'a character')} here, by which a reader "
                               f"and a compiler see two texts ({ascii(unseen[0])}): leave it out")])
    return data
