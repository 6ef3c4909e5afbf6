# SPDX-License-Identifier: MIT
"""Readers of what a machine left behind: memory, the kernel's blocks, page tables."""
