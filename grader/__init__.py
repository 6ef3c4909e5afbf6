# SPDX-License-Identifier: MIT
"""Nestling's grader: labs are data (lab.json), answers are files, verdicts are evidence."""
