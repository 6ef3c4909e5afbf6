# SPDX-License-Identifier: MIT
"""Measurements: both sides of each row in one run."""
