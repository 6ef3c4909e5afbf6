# SPDX-License-Identifier: MIT
"""Answers that want points for nothing: what each tries, and what must happen. Staff only."""
