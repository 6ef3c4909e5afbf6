# SPDX-License-Identifier: MIT
"""A class's results in the forms of other people's systems: gradebooks, Gradescope, Classroom 50,
JUnit, Markdown.

What leaves the house is the students' form of a result, but for JUnit, which is staff's. What was
not judged is exported nowhere as 0 points: nothing is written, and it is said.
"""
