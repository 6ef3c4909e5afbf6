# SPDX-License-Identifier: MIT
"""A class's results on one page for staff: what was reached, where the class is stuck, and what a
person should see."""
