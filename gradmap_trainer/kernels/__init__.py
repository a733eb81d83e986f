"""Compiled kernels of the networks, in single precision on a CPU; the same as PyTorch's.

`outputs` and `descent` call them on plain tensors, and know no policies. The kernels themselves,
`outputs_kernel` and `descent_kernel`, are imported when first needed: without Numba, never.
"""
