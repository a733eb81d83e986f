"""Why GradMAP learns what it learns: experiments, each of which isolates one cause.

A question is a file with one function of its name, from a `Study` to what was found. All learn from
training days and are judged on these or on validation days; the test year is not touched.
docs/gradmap_findings.md has what they found.
"""
