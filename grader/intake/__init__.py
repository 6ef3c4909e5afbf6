# SPDX-License-Identifier: MIT
"""From a folder of uploads, as the platforms hand them out, to submissions. All of it is
untrusted."""
