# SPDX-License-Identifier: MIT
"""The grader: results, machines, sandbox and the verbs of the command `nest`."""
