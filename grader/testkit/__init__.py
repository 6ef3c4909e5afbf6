# SPDX-License-Identifier: MIT
"""What labs' tests are made of: boots, images, digests, guests made by hand."""
