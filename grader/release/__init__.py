# SPDX-License-Identifier: MIT
"""Makes what students get: a tree without answers, proven before it is handed over. Staff's room:
no release has it."""
