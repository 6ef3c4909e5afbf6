# SPDX-License-Identifier: MIT
"""What a lab is: lab.json, its questions, its pages."""
