"""What compiled kernels are made of: vectors for their registers, threads to run them on.

Kernels are compiled by Numba, which is imported when the first of them is needed. Each has a
counterpart in PyTorch with the same results, which differentiates, runs on a GPU, and takes over
where there is no Numba.
"""
