# SPDX-License-Identifier: MIT
"""What can go wrong before a verdict is reached, and the exit status that says so."""

DONE = 0
POINTS_MISSING = 1
WRONG_USAGE = 2
CANNOT_RUN = 3
INTERRUPTED = 130


class NestError(Exception):
    """A message for the person at the terminal: what is wrong, and the mend."""

    status = CANNOT_RUN


class UsageError(NestError):
    """The command was given something that does not exist or makes no sense."""

    status = WRONG_USAGE


class LabError(NestError):
    """A lab.json that is malformed or contradicts itself; the text names file, line and key."""


class CannotRun(NestError):
    """The machine or the tree lacks something: why, and the mend."""
