# SPDX-License-Identifier: MIT
"""Processes with limits, and the sandbox that student code runs in."""
