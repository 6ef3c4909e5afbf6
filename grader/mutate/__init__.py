# SPDX-License-Identifier: MIT
"""Mutants made from the references, and what of the references no test reaches."""
