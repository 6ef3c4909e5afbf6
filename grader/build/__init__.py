# SPDX-License-Identifier: MIT
"""From answers to programs and kernels: the kit, the cache, the schedule."""
