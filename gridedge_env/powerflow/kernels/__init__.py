"""Kernels of the power flow, compiled by Numba: see `compiled_backend`, which calls them.

Numba cannot be told the types of these functions in Python's terms; mypy looks elsewhere.
"""
