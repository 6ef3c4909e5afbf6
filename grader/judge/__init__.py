# SPDX-License-Identifier: MIT
"""From cases to outcomes to points."""
