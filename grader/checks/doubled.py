# SPDX-License-Identifier: MIT
"""No header of the framework has a variable that an answer would silently get a second one of.

Of an answer's object only the task's own symbols stay global (grader/gate/contract.py). What its
headers define inline becomes the answer's own. For functions and constants that changes nothing; a
variable that changes, as an inline one or a function's static one, would be another variable in the
answer than in the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from grader.checks import Finding
from grader.checks.arrows import _blanked

ROOMS = ("kern", "vmm")
NO_ANSWERS = "kern/arch/explore"
"""Its headers are the test machinery's own, and no answer includes them."""
_INLINE = re.compile(r"^[ \t]*(?:static\s+)?inline\s+(?!namespace\b)(?P<rest>[^;{}=]*)[;{=]", re.MULTILINE)
_STATIC = re.compile(r"^[ \t]+static\s+(?P<rest>[^;{}=]*)[;{=]", re.MULTILINE)
_CONSTANT = re.compile(r"\b(const|constexpr|consteval)\b(?![^<]*>)")


def check(root: Path) -> Iterator[Finding]:
    """Every variable of a header that can change."""
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.hh")):
            if path.is_relative_to(root / NO_ANSWERS):
                continue
            text = _blanked(path.read_text(encoding="utf-8", errors="replace"))
            for pattern in (_INLINE, _STATIC):
                for found in pattern.finditer(text):
                    words = found["rest"]
                    if "(" in words or _CONSTANT.search(words) or re.match(r"\s*(inline\s+)?(struct|class|enum)\b", words):
                        continue
                    at = found.start("rest") if pattern is _STATIC else found.start()
                    yield Finding(path.relative_to(root).as_posix(), text.count("\n", 0, at) + 1,
                                  "a header's variable that can change: an answer would get one of its own. "
                                  "Define it in a .cc file")
