"""A minimal Adam: importing `torch.optim` loads torch's compiler, which takes longer than a small fit.

Its root is `.rsqrt_().reciprocal_()`: `torch.sqrt`, which the Adam of torch takes unless it is fused, gives other bytes
on another CPU. `python -m benchmarks.same_bytes small` measures all of them.

Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
"""

import torch
from torch import Tensor, nn

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """The optimizer of a module; state: its moments, by parameter name."""

    def __init__(self, module: nn.Module, rate: float) -> None:
        self._module = module
        self._rate = rate
        self.state: dict[str, Tensor] = {"steps": torch.zeros(1)}
        for name, parameter in module.named_parameters():
            self.state |= {f"{name}.{moment}": torch.zeros_like(parameter) for moment in ("first", "second")}

    @torch.no_grad()
    def step(self) -> None:
        self.state["steps"] += 1
        steps = float(self.state["steps"])
        for name, parameter in self._module.named_parameters():
            if parameter.grad is None:
                continue
            first, second = self.state[f"{name}.first"], self.state[f"{name}.second"]
            first.lerp_(parameter.grad, 1 - BETA_1)
            second.mul_(BETA_2).addcmul_(parameter.grad, parameter.grad, value=1 - BETA_2)
            spread = (second / (1 - BETA_2**steps)).rsqrt_().reciprocal_().add_(EPSILON)
            parameter.addcdiv_(first, spread, value=-self._rate / (1 - BETA_1**steps))
