"""The item tower in torch: maps an item's content to its vector."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.bundle.item_features import Sparse
from recsys.contracts import FloatArray, IntArray
from recsys.models._content.training_inputs import TrainingInputs


class Tower(nn.Module):
    """gain * (mean vector of items with similar texts) + W2 relu(W1 content + b1) + b2; W2 starts near zero."""

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
    """Return (n, dim) float32: the vectors of all items by their content alone."""
    rows = np.arange(len(job.terms), dtype=np.int32)
    parts = [
        tower(Content(job, part, device)).cpu().numpy() for part in np.array_split(rows, len(rows) // at_a_time + 1)
    ]
    return np.concatenate(parts)
