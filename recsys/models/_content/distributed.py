"""Processes that train together: each takes its share of every batch, and the gradients are added up.

The losses of the shares add up to that of the whole batch, so a team of two takes the steps of a single process, up to
the order of float additions.
"""

import torch
import torch.distributed as dist
from torch import nn

from recsys.contracts import IntArray


class ProcessGroup:
    """One member's view; by default a team of one."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self._rank = rank
        self._size = size

    @property
    def leads(self) -> bool:
        """True for the member that speaks for all."""
        return self._rank == 0

    def share(self, rows: IntArray) -> IntArray:
        """This member's part of the rows."""
        return rows[self._rank :: self._size]

    def add_up(self, module: nn.Module) -> None:
        """Replace each gradient by the sum over all members."""
        if self._size == 1:
            return
        for parameter in module.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
