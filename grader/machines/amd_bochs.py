# SPDX-License-Identifier: MIT
"""AMD with SVM and nested paging, emulated by Bochs: a second opinion beside QEMU's."""

from __future__ import annotations

from grader.machines.bochs import Bochs

MACHINE = Bochs("amd-bochs", "AMD SVM and NPT in Bochs", "amd", "ryzen")
