"""eSASRec: SASRec with a sampled softmax over many negatives and gated layers; how long it trains is tuned.

What is liked in one go has no order, so equal times are ordered at random. Small, minutes of one core: a larger one,
trained for longer, may do better.

Source: Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018; Tikhonovich et al., eSASRec: Enhancing
Transformer-based Recommendations in a Modular Fashion, ACM Conference on Recommender Systems 2025.
"""

import os
import sys
from typing import Any

import numpy as np
import torch
from common import Fold, top, tune_and_run
from torch import Tensor, nn
from torch.nn import functional

STEPS = [int(steps) for steps in os.environ.get("ESASREC_STEPS", "200,400,800").split(",")]  # of BATCH users
DIM, HEADS, BLOCKS, LENGTH, DROPOUT = 64, 2, 2, 50, 0.3
BATCH, NEGATIVES, RATE = 128, 1_024, 1e-3


class Block(nn.Module):
    """Attention over what came before, then a layer on each item; both are gated by their input (LiGR)."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(DIM) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(DIM, DIM) for _ in range(2))
        self.mixed, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.wide, self.narrow = nn.Linear(DIM, 4 * DIM), nn.Linear(4 * DIM, DIM)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        users, length, _ = x.shape
        parts = self.mixed(self.norms[0](x)).view(users, length, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        seen = self.out(seen.transpose(1, 2).reshape(users, length, DIM))
        x = x + self.drop(torch.sigmoid(self.gates[0](x)) * seen)
        widened = self.narrow(functional.silu(self.wide(self.norms[1](x))))
        return x + self.drop(torch.sigmoid(self.gates[1](x)) * widened)


class Model(nn.Module):
    """A user's vector after each item of a sequence (users, length), oldest first; row 0 is padding at the end."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.items, self.places = nn.Embedding(n_items + 1, DIM, padding_idx=0), nn.Embedding(LENGTH, DIM)
        nn.init.normal_(self.items.weight, std=DIM**-0.5)
        nn.init.normal_(self.places.weight, std=0.02)
        self.blocks, self.norm, self.drop = (
            nn.Sequential(*(Block() for _ in range(BLOCKS))),
            nn.LayerNorm(DIM),
            nn.Dropout(DROPOUT),
        )

    def forward(self, rows: Tensor) -> Tensor:
        x = self.items(rows) * DIM**0.5 + self.places.weight[: rows.shape[1]]
        return self.norm(self.blocks(self.drop(x)))


class Esasrec:
    """Goes on training where it stopped, so that trying several lengths costs no more than the last of them."""

    def __init__(self) -> None:
        self._fold: Fold | None = None
        self._steps = 0

    def lists(self, fold: Fold, setting: dict[str, Any]) -> np.ndarray:
        """The lists after so many steps."""
        if fold is not self._fold:
            self._begin(fold)
        self._model.train()
        while self._steps < setting["steps"]:
            self._step()
        self._model.eval()
        lists = np.full((len(fold.asked), fold.k), -1, dtype=np.int32)
        with torch.no_grad():
            for part in np.array_split(np.arange(len(fold.asked)), len(fold.asked) // 256 + 1):
                rows = self._rows([self._liked[user][-LENGTH:] for user in fold.asked[part]])
                last = (rows > 0).sum(dim=1).clamp(min=1) - 1
                users = self._model(rows)[torch.arange(len(part)), last]
                found = top((users @ self._model.items.weight[1:].T).numpy(), fold, fold.asked[part])
                lists[part, : found.shape[1]] = found
        return lists

    def _begin(self, fold: Fold) -> None:
        torch.manual_seed(1)
        self._random = np.random.default_rng(1)
        order = np.lexsort((self._random.random(len(fold.users)), fold.times, fold.users))
        ends = np.cumsum(np.bincount(fold.users, minlength=fold.n_users))
        self._liked = np.split(fold.items[order] + 1, ends[:-1])
        self._learning = np.flatnonzero([len(items) > 1 for items in self._liked])
        self._model = Model(fold.n_items)
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=RATE)
        self._fold, self._steps = fold, 0

    def _step(self) -> None:
        """One step on a window of each of some users: after every item, the next one against the same negatives."""
        chosen = self._random.choice(self._learning, min(BATCH, len(self._learning)), replace=False)
        windows = []
        for user in chosen:
            start = self._random.integers(max(1, len(self._liked[user]) - LENGTH))
            windows.append(self._liked[user][start : start + LENGTH + 1])
        rows, wanted = self._rows([one[:-1] for one in windows]), self._rows([one[1:] for one in windows])
        users = self._model(rows)[wanted > 0]
        wanted = wanted[wanted > 0]
        others = torch.from_numpy(self._random.choice(self._model.items.num_embeddings - 1, NEGATIVES) + 1)
        logits = users @ self._model.items(others).T
        logits = logits.masked_fill(wanted[:, None] == others, -torch.inf)
        right = (users * self._model.items(wanted)).sum(dim=1, keepdim=True)
        loss = -functional.log_softmax(torch.cat([right, logits], dim=1), dim=1)[:, 0].mean()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._steps += 1
        if self._steps % 50 == 0:
            print(f"step {self._steps}, loss {loss.item():.3f}", file=sys.stderr, flush=True)

    def _rows(self, sequences: list[np.ndarray]) -> Tensor:
        rows = np.zeros((len(sequences), max(1, *map(len, sequences))), dtype=np.int64)
        for place, items in enumerate(sequences):
            rows[place, : len(items)] = items
        return torch.from_numpy(rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    tune_and_run("esasrec", Esasrec().lists, [{"steps": steps} for steps in STEPS])
