"""The item tower in torch, which computes an item's vector from its content, and the optimizer Adam."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.bundle.items.item_features import Sparse
from recsys.contracts import FloatArray, IntArray
from recsys.models._content.training_inputs import TrainingInputs


class Tower(nn.Module):
    """The item tower: gain * (mean vector of items with similar texts) + W2 relu(W1 content + b1) + b2. W2 starts near
    zero, so that training starts from the mean vector."""

    def __init__(self, job: TrainingInputs, hidden: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(*shape, generator=generator))

        dim, n_static = job.targets.shape[1], job.static.shape[1]
        self.hidden_terms = drawn(job.n_terms, hidden, scale=0.1)
        self.hidden_static = drawn(n_static, hidden, scale=0.05)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.output_weights = drawn(hidden, dim, scale=0.1 / np.sqrt(3 * hidden))
        self.output_bias = nn.Parameter(torch.zeros(dim))
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, content: "Content") -> Tensor:
        hidden = functional.embedding_bag(
            content.columns, self.hidden_terms, content.offsets, mode="sum", per_sample_weights=content.values
        )
        hidden = functional.relu(hidden + content.static @ self.hidden_static + self.hidden_bias)
        vectors: Tensor = self.gain * content.neighbours + hidden @ self.output_weights + self.output_bias
        return vectors


class Content:
    """The content of some items of the training inputs, as tensors on a device."""

    def __init__(self, job: TrainingInputs, rows: IntArray, device: str) -> None:
        terms: Sparse = job.terms.take(rows)
        self.columns = torch.from_numpy(terms.columns.astype(np.int64)).to(device)
        self.offsets = torch.from_numpy(terms.indptr[:-1].astype(np.int64)).to(device)
        self.values = torch.from_numpy(terms.values).to(device)
        self.static = torch.from_numpy(job.static[rows]).to(device)
        self.neighbours = torch.from_numpy(job.neighbours[rows]).to(device)


@torch.no_grad()
def vectors(tower: Tower, job: TrainingInputs, device: str, at_a_time: int = 65_536) -> FloatArray:
    """Return the tower's vectors of all items, (n, dim) float32. at_a_time: number of items per pass, for memory."""
    rows = np.arange(len(job.terms), dtype=np.int32)
    parts = [
        tower(Content(job, part, device)).cpu().numpy() for part in np.array_split(rows, len(rows) // at_a_time + 1)
    ]
    return np.concatenate(parts)


BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """The optimizer of a module. rate: the learning rate; state: the moments of each parameter, by name.

    Importing `torch.optim` would load torch's compiler, which takes longer than a small fit. The square root is
    computed by `.rsqrt_().reciprocal_()`: `torch.sqrt`, which torch's Adam uses unless it is fused, gives other bytes
    on other CPUs. `python -m benchmarks.same_bytes small` measures it.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
    """

    def __init__(self, module: nn.Module, rate: float) -> None:
        self._module = module
        self._rate = rate
        self.state: dict[str, Tensor] = {"steps": torch.zeros(1)}
        for name, parameter in module.named_parameters():
            self.state |= {f"{name}.{moment}": torch.zeros_like(parameter) for moment in ("first", "second")}

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters by one step against their gradients."""
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
