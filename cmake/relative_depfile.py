# SPDX-License-Identifier: MIT
"""A compiler launcher for a tree whose path has a quote in it: there ninja ends a name in a
depfile, believes that the file is missing, and builds everything anew each time. So the tree's own
files are named from where the compiler runs.

``relative_depfile.py COMPILER ARGUMENT...``
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.path.abspath(__file__)).parents[1]


def escaped(path: str) -> str:
    """As the compiler writes it into a depfile."""
    for special, written in ((" ", "\\ "), ("#", "\\#"), ("$", "$$")):
        path = path.replace(special, written)
    return path


def main(argv: list[str]) -> int:
    """Compiles, and corrects the depfile."""
    status = subprocess.run(argv, check=False).returncode
    if status == 0 and "-MF" in argv:
        depfile = Path(argv[argv.index("-MF") + 1])
        text = os.fsdecode(depfile.read_bytes())
        depfile.write_bytes(os.fsencode(text.replace(f"{escaped(str(ROOT))}/", f"{os.path.relpath(ROOT)}/")))
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
