# SPDX-License-Identifier: MIT
"""Grading a class: what is to be judged, the workers that judge it, and the database that keeps
what came of it."""
