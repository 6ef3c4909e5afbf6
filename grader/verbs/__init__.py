# SPDX-License-Identifier: MIT
"""The command: a module a verb, and its first steps."""
