# SPDX-License-Identifier: MIT
"""The digest of the guest and of the harness are one."""

import random
import struct
import subprocess
from pathlib import Path

import pytest

from grader.testkit.digest import digest, key_of, written_page

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
#include <cstdio>
#include <vector>
#include "guest/gkernel/digest.hh"
int main() {
    unsigned long key, count, word;
    while (std::scanf("%lx %lu", &key, &count) == 2) {
        guest::Digest digest{key};
        for (unsigned long i = 0; i < count && std::scanf("%lx", &word) == 1; ++i) digest.add(word);
        std::printf("%016lx %016lx\\n", digest.value(), guest::written_word(key, count * 8));
    }
}
"""


@pytest.fixture(scope="module")
def guest_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("digest") / "digest"
    command = ["g++", "-std=c++23", "-O1", f"-I{ROOT}", "-x", "c++", "-", "-o", str(program)]
    subprocess.run(command, input=PROGRAM, text=True, check=True)
    return program


def test_guest_and_harness_agree(guest_program: Path) -> None:
    random_source = random.Random(20)
    cases = [(0, []), ((1 << 64) - 1, [0]), (1, [(1 << 64) - 1] * 3)]
    for count in (1, 2, 512, 4000):
        words = [random_source.getrandbits(64) for _ in range(count)]
        cases.append((random_source.getrandbits(64), words))
    text = "\n".join(f"{k:x} {len(w)} " + " ".join(f"{x:x}" for x in w) for k, w in cases)
    out = subprocess.run([guest_program], input=text, text=True, check=True, capture_output=True)
    lines = out.stdout.split("\n")
    for (key, words), line in zip(cases, lines):
        seen_digest, seen_word = (int(x, 16) for x in line.split())
        data = struct.pack(f"<{len(words)}Q", *words)
        assert digest(data, key) == seen_digest
        assert written_page(key, len(words) * 8, 8) == struct.pack("<Q", seen_word)


def test_every_part_counts() -> None:
    data = bytes(range(256)) * 16
    key = key_of("00ff00ff00ff00ff")
    right = digest(data, key)
    swapped = data[8:16] + data[:8] + data[16:]
    assert digest(swapped, key) != right
    assert digest(data, key + 1) != right
    assert digest(data + bytes(8), key) != right
    assert digest(bytes(4096), key) != digest(bytes(8192), key)


def test_a_torn_word_is_refused() -> None:
    with pytest.raises(ValueError, match="whole 64-bit words"):
        digest(b"123456789", 1)
