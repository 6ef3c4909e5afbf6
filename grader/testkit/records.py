# SPDX-License-Identifier: MIT
"""What a boot leaves behind, as far as labs' tests look at it: the records that kernels publish,
and the readers of page tables and of a guest's results."""

from grader.evidence import guest_results, page_table
from grader.evidence.guests import GuestEnd, GuestRecord
from grader.evidence.programs import ProgramEnd, ProgramRecord
from grader.evidence.vms import VmRecord, VmState

__all__ = [
    "GuestEnd", "GuestRecord", "ProgramEnd", "ProgramRecord", "VmRecord", "VmState", "guest_results", "page_table",
]  # fmt: skip
