# SPDX-License-Identifier: MIT
"""Looks for private words in a release, in every byte of it.

Private is what stands in solutions-private/. Two things are looked for:

- **runs of tokens**: so many tokens in a row, comments among them, that stand in a private file and
  not in a stub or a header of the same task. Names and spaces between them may differ;
- **words**: names that stand in private files and nowhere in the rest of the tree, searched as
  bytes, also inside objects, packed git objects, archives and PDF files.

Lines that every file has (licence, includes, namespaces) are no secret.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader.course.lab import Lab
from grader.release.contents import PRIVATE

RUN = 28
"""Tokens in a row that are no chance any more."""
KNOWN = {
    "kern/arch/x86_64/traps.S": 64,  # registers in the order of the trap frame, as enter_user has them
    "vmm/apic_page.cc": 16,  # asks the APIC, and sends the command that it hands back
    "vmm/read_guest.cc": 16,  # reads with the registers that say how the guest pages
    "vmm/report.cc": 16,  # decodes what the CPU stands at
    "vmm/soft/instruction.cc": 16,  # puts bytes together to a number
    "vmm/pager/elf_sections.cc": 8,  # reads a header and looks at its error
    "vmm/pager/kernel_vm_pager.cc": 40,  # goes through the headers that are loaded
    "vmm/pager/finalize_mem.cc": 8,  # takes a frame and looks at its error
    "vmm/paging/second_level_table.cc": 64,  # calls a task as its contract says
}
"""Given code that says the same as an answer, and may: with how many runs at most."""
LEAST_WORD = 6
"""Letters of a name that says something."""
DEEPEST = 4
"""Archives inside archives."""
LARGEST = 256 << 20
SOURCES = (".cc", ".hh", ".h", ".S", ".inc", ".py", ".md", ".json")

_TESTS = ("labs/*/unit/*", "labs/*/boot/*", "labs/*/lab.json")
"""Released files that hidden tests are written like."""
_TOKEN = re.compile(rb"[A-Za-z_]\w*|\d[\w.']*|::|->|[-+=!<>&|]=|[^\s\w]")
_COMMON_LINE = re.compile(
    rb"^[ \t]*(?:#[ \t]*(?:include|pragma|define \w+ ?$).*|.*SPDX-License-Identifier.*|\}?[ \t]*(?://)?[ \t]*(?:inline )?namespace.*"
    rb"|\.section \.note\.GNU-stack.*)$", re.MULTILINE)
_WORD = re.compile(rb"[A-Za-z_]\w{%d,}" % (LEAST_WORD - 1))
_LETTERS = re.compile(rb"\w{%d,}" % LEAST_WORD)
"""What a word can be found in: a longer name may have it in it."""
_FLATE = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)


@dataclass(frozen=True)
class Leak:
    """Something private in a release."""

    where: str
    """the file in the release; behind `!` what is inside an archive"""
    line: int
    """from 1; 0 in what has no lines"""
    what: str
    source: str
    """the private file"""

    def __str__(self) -> str:
        return f"{self.where}:{self.line}: {self.what} (as in {self.source})"


class Private:
    """What must not be found."""

    def __init__(self, root: Path, labs: list[Lab], released: Iterable[PurePosixPath]) -> None:
        """``released``: the files of staff's tree that the release has."""
        self.runs: dict[bytes, str] = {}
        """runs of tokens, by the file that they stand in"""
        self.words: dict[bytes, str] = {}
        self.clean: set[bytes] = set()
        """letters in which no private word was found"""
        common = set()
        tests = set()
        public = bytearray()
        names = {task.file for lab in labs for task in lab.tasks} | {task.header for lab in labs for task in lab.tasks}
        for path in released:
            data = (root / path).read_bytes()
            public += data + b"\0" + path.as_posix().encode() + b"\0"
            if path.as_posix() in names:
                common.update(run for run, _ in runs(data))
            elif any(map(path.match, _TESTS)):
                tests.update(run for run, _ in runs(data))
        letters = b"\0".join(set(_LETTERS.findall(public)))
        for path in sorted((root / PRIVATE).rglob("*")):
            if not path.is_file() or path.suffix not in SOURCES:
                continue
            data = path.read_bytes()
            name = path.relative_to(root).as_posix()
            hidden = path.is_relative_to(root / PRIVATE / "hidden")
            for run, _ in runs(data):
                if run not in common and not (hidden and run in tests):
                    self.runs.setdefault(run, name)
            for word in {*_WORD.findall(data), *(part.encode() for part in path.relative_to(root / PRIVATE).parts)}:
                if len(word) >= LEAST_WORD and word not in self.words and word not in self.clean:
                    if word in (letters if _LETTERS.fullmatch(word) else public):
                        self.clean.add(word)
                    else:
                        self.words[word] = name
        for known, most in KNOWN.items():
            alike = {run for run, _ in runs((root / known).read_bytes())} & self.runs.keys() if (root / known).exists() else set()
            if len(alike) <= most:
                for run in alike:
                    del self.runs[run]
        self.clean.clear()
        in_letters = sorted((word for word in self.words if _LETTERS.fullmatch(word)), key=len, reverse=True)
        self._any_word = re.compile(b"|".join(map(re.escape, in_letters)) or b"(?!)")
        self._others = self.words.keys() - set(in_letters)

    def words_in(self, data: bytes) -> Iterator[bytes]:
        """The private words that stand in it, each once."""
        new = set(_LETTERS.findall(data)) - self.clean
        found = {one.group() for letters in new for one in self._any_word.finditer(letters)}
        if not found:
            self.clean |= new
        yield from sorted(found)
        yield from (word for word in self._others if word in data)


def runs(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Each run of RUN tokens of a text, and where it begins."""
    data = _COMMON_LINE.sub(lambda line: b" " * len(line.group()), data)
    found = list(_TOKEN.finditer(data))
    tokens = [one.group() for one in found]
    for index in range(len(found) - RUN + 1):
        yield b" ".join(tokens[index:index + RUN]), found[index].start()


def scan(folder: Path, private: Private) -> list[Leak]:
    """What of the private things stands in a folder, its git repository and its archives
    included."""
    leaks: list[Leak] = []
    clean: set[bytes] = set()

    def look(name: str, data: bytes) -> None:
        digest = hashlib.sha256(data).digest()
        if digest not in clean:  # most of what a repository has is a file beside it as well
            found = list(_in_text(name, data, private))
            leaks.extend(found)
            if not found:
                clean.add(digest)

    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            look(name, str(path.readlink()).encode())
        elif path.is_file():
            for inner, data in unpacked(name, path.read_bytes()):
                look(inner, data)
        leaks += [Leak(name, 0, f"its name has '{word.decode()}'", private.words[word])
                  for word in private.words_in(path.name.encode())]
    for name, data in _git_objects(folder):
        for inner, text in unpacked(name, data):
            look(inner, text)
    return leaks


def unpacked(name: str, data: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """The file itself and, if it is packed, what is in it."""
    yield name, data
    if depth == DEEPEST:
        return
    try:
        if data[:2] == b"\x1f\x8b":
            yield from unpacked(f"{name}!", gzip.GzipFile(fileobj=io.BytesIO(data)).read(LARGEST), depth + 1)
        elif data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for one in archive.infolist():
                    if one.file_size <= LARGEST:
                        yield from unpacked(f"{name}!{one.filename}", archive.read(one), depth + 1)
        elif data[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    inner = tar.extractfile(member) if member.isfile() else None
                    if inner:
                        yield from unpacked(f"{name}!{member.name}", inner.read(LARGEST), depth + 1)
        elif data[:5] == b"%PDF-":
            for index, stream in enumerate(_FLATE.findall(data)):
                yield f"{name}!stream {index}", zlib.decompressobj().decompress(stream, LARGEST)
        elif data[:1] == b"\x78":  # zlib: a loose git object, say
            yield f"{name}!", zlib.decompressobj().decompress(data, LARGEST)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError):
        return


def _git_objects(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every object of each git repository inside, those that nothing points to included."""
    for head in sorted(folder.rglob("HEAD")):
        git = head.parent
        if not (git / "objects").is_dir():
            continue
        listing = subprocess.run(
            ["git", f"--git-dir={git}", "cat-file", "--batch-all-objects", "--batch", "--unordered"],
            capture_output=True, check=True, env={"PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1"}).stdout
        at = 0
        while at < len(listing):
            end = listing.index(b"\n", at)
            name, _, size = listing[at:end].decode().partition(" ")[0], None, int(listing[at:end].split()[2])
            yield f"{git.relative_to(folder)}!{name[:12]}", listing[end + 1:end + 1 + size]
            at = end + 2 + size


def _in_text(name: str, data: bytes, private: Private) -> Iterator[Leak]:
    for word in private.words_in(data):
        yield Leak(name, _line(data, data.index(word)), f"has '{word.decode(errors='replace')}'", private.words[word])
    if b"\0" in data[:4096]:
        return
    for run, at in runs(data):
        if run in private.runs:
            shown = " ".join(run.decode(errors="replace").split())[:60]
            yield Leak(name, _line(data, at), f"has `{shown}`", private.runs[run])
            return  # one a file: the others say the same


def _line(data: bytes, at: int) -> int:
    return 0 if b"\0" in data[:4096] else data.count(b"\n", 0, at) + 1
