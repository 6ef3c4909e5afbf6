# SPDX-License-Identifier: MIT
"""What a student does with a tree beside writing and grading: say who they are, hand in, take over
an update."""
