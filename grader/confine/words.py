# SPDX-License-Identifier: MIT
"""What an answer has made a program say: a compiler, a test's process, a booted machine."""

from __future__ import annotations


MOST_KEPT = 24 << 10
"""characters of one transcript: what a program says beyond that is the same again"""


def kept(text: str) -> str:
    """The text as a transcript keeps it: clean, and of one that is too long its beginning and its
    end."""
    if len(text) > MOST_KEPT:
        left_out = len(text) - MOST_KEPT
        text = f"{text[:MOST_KEPT // 2]}\n[... {left_out} characters are left out ...]\n{text[-MOST_KEPT // 2:]}"
    return clean(text)


def clean(text: str) -> str:
    """The text as it may be kept and shown: lines of characters that can be printed, with tabs. Any
    other is written as Python writes it, ``\\x1b``: no terminal obeys it, and no form of a result
    (XML 1.0 has no control characters, no U+FFFE, no half of a surrogate pair) is broken by it."""
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)
