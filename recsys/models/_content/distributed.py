"""Data-parallel training: each process takes its share of every batch, and the gradients are summed.

The losses of the shares sum to that of the whole batch, so two processes take the same steps as a single one, up to the
order of float additions.
"""

import torch
import torch.distributed as dist
from torch import nn

from recsys.contracts import IntArray


class ProcessGroup:
    """The process group, as one of its processes sees it; by default a group of one."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self._rank = rank
        self._size = size

    @property
    def leads(self) -> bool:
        """Whether this process writes the output of the group."""
        return self._rank == 0

    def share(self, rows: IntArray) -> IntArray:
        return rows[self._rank :: self._size]

    def add_up(self, module: nn.Module) -> None:
        if self._size == 1:
            return
        for parameter in module.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
