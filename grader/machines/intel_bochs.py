# SPDX-License-Identifier: MIT
"""Intel with VMX and EPT, emulated by Bochs: no virtualization hardware is needed."""

from __future__ import annotations

from grader.machines.bochs import Bochs

MACHINE = Bochs("intel-bochs", "Intel VMX and EPT in Bochs", "intel", "corei7_haswell_4770")
