# SPDX-License-Identifier: MIT
"""What an upload has inside: a folder's files, or an archive's members, by name. Nothing is ever
unpacked: members are looked at in turn, and the few that are wanted are read, up to a size.

Whoever made the upload chose every name, size and kind in it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader.intake.submission import Findings

FILE_BYTES = 1 << 20
"""The gate reads no more of an answer."""
ARCHIVE_BYTES = 64 << 20
UNPACKED_BYTES = 256 << 20
"""What is decompressed of one archive at most."""
MEMBERS = 20_000
DEEP = 40
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tbz2", ".txz")
LITTER = re.compile(r"(^|/)(__MACOSX|\.git|\.svn|\.DS_Store|Thumbs\.db|\._[^/]*)(/|$)")
"""What systems put beside a student's files."""
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True)
class Member:
    """A regular file in an upload."""

    name: str
    """with slashes, from the upload's own top"""
    read: Callable[[], bytes]
    """its content, or one byte more than FILE_BYTES of it"""


class Unreadable(Exception):
    """An upload that cannot be read as what it says it is."""


def of_folder(folder: Path, findings: Findings) -> Iterator[Member]:
    """The files in a folder and below it. No link is followed."""
    count = 0
    def unreadable(error: OSError) -> None:
        findings.add(f"{Path(error.filename).relative_to(folder)}: {error.strerror}: left out")

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=False):
        here = Path(place)
        if len(here.relative_to(folder).parts) > DEEP:
            findings.add(f"{here.relative_to(folder)}: folders are nested too deep: left out")
            folders[:] = []
            continue
        folders[:] = sorted(one for one in folders if one != ".git" and not _is_link(here / one, folder, findings))
        for name in sorted(names):
            path = here / name
            shown = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
            count += 1
            if count > MEMBERS:
                raise Unreadable(f"it has more than {MEMBERS} files")
            mode = os.lstat(path).st_mode
            if not stat.S_ISREG(mode):
                findings.add(f"{shown} is {'a link' if stat.S_ISLNK(mode) else 'no regular file'}: left out")
            elif is_fair(shown, findings):
                yield Member(shown, lambda path=path, shown=shown: read_file(path, shown))  # type: ignore[misc]


def _is_link(path: Path, top: Path, findings: Findings) -> bool:
    if path.is_symlink():
        findings.add(f"{path.relative_to(top)} is a link: left out")
    return path.is_symlink()


def read_file(path: Path, shown: str) -> bytes:
    try:
        with open(os.open(path, _OPEN), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable(f"{shown} is no regular file any more")
            return file.read(FILE_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"{shown}: {error.strerror}") from None


def of_archive(path: Path, findings: Findings) -> Iterator[Member]:
    """The members of a zip or tar archive. A tar's are gone once the next one is asked for. Raises
    Unreadable."""
    try:
        with open(os.open(path, _OPEN), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("it is no regular file")
            if os.fstat(file.fileno()).st_size > ARCHIVE_BYTES:
                raise Unreadable(f"it has more than {ARCHIVE_BYTES >> 20} MiB")
            yield from (_of_zip if is_zip(file) else _of_tar)(file, findings)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
            ValueError, OverflowError, OSError) as error:
        raise Unreadable(f"it cannot be read as an archive: {error}") from None


def is_zip(file: io.BufferedReader) -> bool:
    """Whether a file begins as a zip does."""
    head = file.read(4)
    file.seek(0)
    return head[:2] == b"PK"


def _of_zip(file: io.BufferedReader, findings: Findings) -> Iterator[Member]:
    unpacked = 0

    def read(info: zipfile.ZipInfo) -> bytes:
        nonlocal unpacked
        with archive.open(info) as member:
            data = member.read(FILE_BYTES + 1)
        unpacked += len(data)
        if unpacked > UNPACKED_BYTES:
            raise Unreadable(f"it unpacks to more than {UNPACKED_BYTES >> 20} MiB")
        return data

    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > MEMBERS:
            raise Unreadable(f"it has more than {MEMBERS} members")
        for info in infos:
            # The name as it is written: zipfile cuts it at a zero byte.
            name = info.orig_filename
            kind = stat.S_IFMT(info.external_attr >> 16)
            if name.endswith("/") or kind == stat.S_IFDIR:
                continue
            if kind not in (0, stat.S_IFREG):
                findings.add(f"{name} is {'a link' if kind == stat.S_IFLNK else 'no regular file'}: left out")
            elif info.flag_bits & 1:
                findings.add(f"{name} is encrypted: left out")
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
                findings.add(f"{name} is compressed by a method that is not read here: left out")
            elif is_fair(name, findings):
                yield Member(name, lambda info=info: read(info))  # type: ignore[misc]


def _of_tar(file: io.BufferedReader, findings: Findings) -> Iterator[Member]:
    stream = _Bounded(_decompressed(file))
    with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
        for count, info in enumerate(archive):
            if count >= MEMBERS:
                raise Unreadable(f"it has more than {MEMBERS} members")
            name = os.fsencode(info.name).decode("utf-8", "backslashreplace")
            if info.isdir():
                continue
            if not info.isreg() or info.issparse():
                findings.add(f"{name} is {'a link' if info.issym() or info.islnk() else 'no regular file'}: left out")
            elif is_fair(name, findings):
                member = archive.extractfile(info)
                assert member is not None
                yield Member(name, lambda member=member: member.read(FILE_BYTES + 1))  # type: ignore[misc]


def _decompressed(file: io.BufferedReader) -> io.RawIOBase | io.BufferedIOBase:
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if head.startswith(b"\xfd7zXZ\0"):
        return _Xz(file)
    return file


class _Xz(io.RawIOBase):
    """An .xz file, in bounded memory: its header may ask for gigabytes."""

    MEMORY = 100 << 20

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._decoder = lzma.LZMADecompressor(memlimit=self.MEMORY)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._decoder.eof:
            packed = self._file.read(65536) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not packed:
                return b""
            if data := self._decoder.decompress(packed, size):
                return data
        return b""


class _Bounded(io.RawIOBase):
    """At most so many bytes of a stream; one that goes on is a bomb."""

    def __init__(self, stream: io.RawIOBase | io.BufferedIOBase) -> None:
        self._stream = stream
        self._left = UNPACKED_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = b""
        while len(data) < size and (more := self._stream.read(min(size - len(data), 1 << 20))):
            data += more
            self._left -= len(more)
            if self._left < 0:
                raise Unreadable(f"it unpacks to more than {UNPACKED_BYTES >> 20} MiB")
        return data


def is_fair(name: str, findings: Findings) -> bool:
    """Whether a name says a place inside the upload. What the student's system put there is left
    out without a word."""
    if LITTER.search(name):
        return False
    parts = PurePosixPath(name).parts
    why = ""
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        why = "its name is absolute"
    elif ".." in parts or ".." in name.split("\\"):
        why = "its name leads out of the upload"
    elif not name.isprintable() or not parts:
        why = "its name is no line of printable characters"
    elif len(name) > 1000:
        why = "its name is too long"
    if why:
        findings.add(f"{name[:200]!r}: {why}: left out")
    return not why
