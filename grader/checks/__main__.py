# SPDX-License-Identifier: MIT
"""``python3 -m grader.checks [ROOT]``: prints every finding; ends with 1 if there is one."""

import sys
from pathlib import Path

from grader.checks import ROOT, run_all

found = run_all(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
for finding in found:
    print(finding)
sys.exit(1 if found else 0)
