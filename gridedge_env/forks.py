"""Processes that are forked from this one, as vectorisers of environments do."""

from __future__ import annotations

import os

import torch


def use_one_thread_after_a_fork() -> None:
    """Have processes that are forked from this one compute in one thread.

    A fork has none of its parent's threads, but OpenMP, by which PyTorch computes, waits for them:
    for ever, as soon as the parent has used them. PyTorch's own data loaders do the same.
    """
    if hasattr(os, "register_at_fork"):  # Windows has no forks
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
