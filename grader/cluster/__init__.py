# SPDX-License-Identifier: MIT
"""Grading a class on the nodes of a cluster."""
