"""Compiled kernels of the public plan's program: see `solving`, which calls `days`.

The method of `gridedge_gateway.program`, with groups in the lanes of vectors. Where the reference
multiplies with matrices, kernels walk along the steps: a store is a recurrence, and the inverse of
a class's own terms is that of a matrix with three diagonals. Of a copy that keeps to its bounds
they hold copy + multiplier / penalty, which is the copy once it is clipped.
"""
